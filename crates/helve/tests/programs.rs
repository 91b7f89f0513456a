//! Whole programs as the executable spec runs them: recorded by `fuzz/programs.py`, replayed
//! by compiled components of several instances, thread by thread and choice by choice.
//! `HELVE_PROGRAMS` names another file to replay.

#[path = "programs/replay.rs"]
mod replay;

use helve::{Config, Engine};

#[test]
fn recorded_programs() {
    let text = match std::env::var("HELVE_PROGRAMS") {
        Ok(path) => std::fs::read_to_string(path).expect("the file of programs"),
        Err(_) => include_str!("programs/vectors.txt").into(),
    };
    if let Ok(n) = std::env::var("HELVE_PROGRAM") {
        let run = text.split("# ").find(|run| run.lines().next() == Some(&n));
        println!(
            "{}",
            replay::text_of(run.expect("a program of this number"))
        );
    }
    let mut config = Config::new();
    config.all_features(true);
    let report = replay::replay_all(&Engine::new(&config).expect("an engine"), &text);
    println!(
        "{} programs, {} actions, {} wrong",
        report.programs,
        report.actions,
        report.wrong.len()
    );
    let few: Vec<&str> = report.wrong.iter().take(10).map(String::as_str).collect();
    assert!(few.is_empty(), "{}", few.join("\n"));
    assert!(report.programs > 10 && report.actions > 300);
}
