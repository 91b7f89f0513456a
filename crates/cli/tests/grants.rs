//! `--config` and `--keyvalue`: what was given is there, what was not is said once.

mod common;

use common::{expect, guest};

#[test]
fn values_of_a_configuration() {
    let file = guest("grants.wat");
    let value = ["--invoke", "value", &file];
    let run = |options: &[&str], code: i32, out: &str, err: &[&str]| {
        expect(&[&["run"], options, &value].concat(), code, out, err);
    };
    run(&["--config", "k=a=b"], 0, "\"a=b\"\n", &[]);
    run(&["--config", "other=1"], 0, "\"\"\n", &[]);
    let told = "denied a configuration: it has no value at all; `--config KEY=VALUE`";
    run(&[], 0, "\"\"\n", &[told]);
    let folder = tempfile::tempdir().unwrap();
    let values = folder.path().join("values");
    std::fs::write(&values, "# of the file\nk=there\n").unwrap();
    let from = ["--config-file", values.to_str().unwrap()];
    run(&from, 0, "\"there\"\n", &[]);
    run(
        &[&from[..], &["--config", "k=here"]].concat(),
        0,
        "\"here\"\n",
        &[],
    );
    std::fs::write(&values, "k\n").unwrap();
    run(&from, 1, "", &["line 1: expected KEY=VALUE"]);
    run(&["--config", "k"], 2, "", &["expected NAME=VALUE"]);
}

#[test]
fn buckets_are_granted_by_name() {
    let file = guest("grants.wat");
    let count = ["--invoke", "count", &file];
    let run = |options: &[&str], code: i32, out: &str, err: &[&str]| {
        expect(&[&["run"], options, &count].concat(), code, out, err);
    };
    run(&["--keyvalue", "b=memory"], 0, "1\n", &[]);
    run(&["--keyvalue", "b=memory"], 0, "1\n", &[]);
    let told = "denied the key-value bucket `b`; `--keyvalue b=memory` would grant it";
    run(&["--keyvalue", "other=memory"], 0, "-1\n", &[told]);
    run(
        &["--keyvalue", "b=disk"],
        2,
        "",
        &["expected NAME=memory or NAME=redb:FILE"],
    );
    let two = ["--keyvalue", "b=memory", "--keyvalue", "b=memory"];
    run(&two, 1, "", &["two buckets are called `b`"]);
    let folder = tempfile::tempdir().unwrap();
    let grant = format!("b=redb:{}", folder.path().join("counts").display());
    run(&["--keyvalue", &grant], 0, "1\n", &[]);
    run(&["--keyvalue", &grant], 0, "2\n", &[]);
    let full = ["--max-bucket-keys", "0", "--keyvalue", "b=memory"];
    run(&full, 0, "-2\n", &[]);
    let grant = format!("b=redb:{}", folder.path().display());
    run(&["--keyvalue", &grant], 1, "", &["cannot open the bucket"]);
}
