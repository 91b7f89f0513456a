//! `helve run --fuel`, `--timeout`, `--max-memory`, `--max-stack`: each from both sides.

mod common;

use common::{expect, guest};

fn run(options: &[&str], call: &str, code: i32, stdout: &str, stderr: &[&str]) {
    let file = guest("bounds.wat");
    let mut args = vec!["run", "--no-cache", "--invoke", call];
    args.extend(options);
    args.push(&file);
    expect(&args, code, stdout, stderr);
}

#[test]
fn each_bound_stops_what_goes_beyond_it() {
    run(
        &["--fuel", "1000000"],
        "spin()",
        134,
        "",
        &["all fuel consumed"],
    );
    run(&["--fuel", "1000000"], "deep(100)", 0, "100\n", &[]);
    run(&["--timeout", "200ms"], "spin()", 134, "", &["interrupted"]);
    run(&["--timeout", "1h"], "deep(100)", 0, "100\n", &[]);
    run(&["--max-memory", "1M"], "grow(15)", 0, "1\n", &[]);
    run(&["--max-memory", "1M"], "grow(16)", 0, "-1\n", &[]);
    run(&["--max-stack", "64K"], "deep(100)", 0, "100\n", &[]);
    run(
        &["--max-stack", "64K"],
        "deep(100000)",
        134,
        "",
        &["call stack exhausted"],
    );
    run(
        &["--max-memory", "1X"],
        "spin()",
        2,
        "",
        &["expected a size"],
    );
    run(&["--timeout", "soon"], "spin()", 2, "", &["expected"]);
}
