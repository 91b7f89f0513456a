//! Schedules on the command line: by a seed, many seeds, and what a stall looks like.

mod common;

use common::{expect, guest, helve};

#[test]
fn seeds_of_one_run() {
    let file = guest("waits.wat");
    for schedule in ["in-order", "seed:0", "seed:18446744073709551615"] {
        let args = ["run", "--schedule", schedule, "--invoke", "good", &file];
        expect(&args, 0, "7\n", &[]);
    }
    let args = ["run", "--schedule", "random", "--invoke", "good", &file];
    expect(&args, 2, "", &["expected in-order, or seed:N"]);
    let traced = [
        "run",
        "--schedule",
        "seed:3",
        "--trace",
        "--invoke",
        "good",
        &file,
    ];
    expect(&traced, 0, "7\n", &["helve: start of a call"]);
    assert_eq!(helve(&traced).stderr, helve(&traced).stderr);
}

#[test]
fn seeds_decide_how_late_it_is() {
    let file = guest("sleeps.wat");
    for call in ["hours2", "hours3"] {
        let args = [
            "run",
            "--schedule",
            "seed:3",
            "--trace",
            "--invoke",
            call,
            &file,
        ];
        expect(&args, 0, "1\n", &[]);
        assert_eq!(helve(&args).stderr, helve(&args).stderr, "{call}");
    }
}

#[test]
fn a_stall_is_explained() {
    let file = guest("waits.wat");
    let says = [
        "deadlock detected",
        "root `stuck`, called by the host",
        "which is empty",
    ];
    expect(&["run", "--invoke", "stuck", &file], 134, "", &says);
}

#[test]
fn many_seeds() {
    let file = guest("waits.wat");
    let good = ["explore", "--runs", "5", "--invoke", "good", &file];
    expect(&good, 0, "5 schedules, none fails\n", &[]);
    let stuck = helve(&["explore", "--first", "4", "--invoke", "stuck", &file]);
    let out = String::from_utf8_lossy(&stuck.stdout);
    assert_eq!(stuck.status.code(), Some(1), "{out}");
    assert!(out.contains("seed 4 fails: "), "{out}");
    assert!(out.contains("helve run --schedule seed:4 "), "{out}");
}
