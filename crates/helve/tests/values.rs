//! Values as the executable spec lifts and lowers them: vectors recorded from it, on real
//! components, by every way a value can go. `fuzz/values.py` records them.

#[path = "values/replay.rs"]
mod replay;

use helve::{Config, Engine};

const VECTORS: &str = include_str!("values/vectors.txt");

fn agree(fused: bool) {
    let mut config = Config::new();
    config.all_features(true).fused_adapters(fused);
    let report = replay::replay(&Engine::new(&config).expect("an engine"), VECTORS, fused);
    println!(
        "{} types, {} cases, {} checks, {} of them traps, {} cases with Rust types too",
        report.types, report.cases, report.checks, report.traps, report.typed
    );
    let few: Vec<&str> = report.wrong.iter().take(10).map(String::as_str).collect();
    assert!(
        few.is_empty(),
        "{} wrong:\n{}",
        report.wrong.len(),
        few.join("\n")
    );
    assert!(report.traps > 0 && report.typed > 0 && report.checks > report.cases);
}

#[test]
fn adapters_as_code_agree_with_the_spec() {
    agree(true);
}

#[test]
fn adapters_by_way_of_the_host_agree_with_the_spec() {
    agree(false);
}
