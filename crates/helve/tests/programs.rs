//! Whole concurrent programs as the executable spec runs them: recorded, and replayed by
//! compiled components, step by step. `fuzz/programs.py` records them, crates/model/tests/
//! vectors.rs says what the lines mean; longer recordings: `helve-fuzz programs FILE`.

#[path = "programs/replay.rs"]
mod replay;
#[allow(dead_code, reason = "the tests of concurrency use all of it")]
#[path = "concurrent/support.rs"]
mod support;

use helve::{CompileMode, Config, Engine, OptLevel};

const VECTORS: &str = include_str!("programs/vectors.txt");

/// Every `every`th program, from `from` on; all those of the file that `HELVE_VECTORS`
/// names, if it does.
fn chosen(from: usize, every: usize) -> String {
    if let Ok(path) = std::env::var("HELVE_VECTORS") {
        return std::fs::read_to_string(path).expect("recorded programs");
    }
    let runs = VECTORS.split("# ").skip(1 + from).step_by(every);
    runs.flat_map(|run| ["# ", run]).collect()
}

fn agree(config: &mut Config, from: usize, every: usize) {
    let engine = Engine::new(config.all_features(true)).expect("an engine");
    let chosen = chosen(from, every);
    let report = replay::replay_all(&engine, &chosen);
    let (programs, actions, again) = (report.programs, report.actions, report.again);
    println!("{programs} programs, {actions} actions, {again} with all calls known");
    assert!(again * 20 <= programs.max(100));
    assert!(report.wrong.is_empty(), "{:#?}", report.wrong);
    assert!(actions > 10 * programs);
}

#[test]
fn adapters_as_code_agree_with_the_spec() {
    agree(Config::new().optimize(OptLevel::None), 0, 1);
}

#[test]
fn adapters_by_way_of_the_host_agree_with_the_spec() {
    agree(
        Config::new().optimize(OptLevel::None).fused_adapters(false),
        0,
        2,
    );
}

#[test]
fn the_better_tier_agrees_with_the_spec() {
    agree(Config::new().optimize(OptLevel::Speed), 0, 4);
}

#[test]
fn lazily_compiled_programs_agree_with_the_spec() {
    agree(
        Config::new().compile(CompileMode::Lazy).eager_loops(true),
        1,
        4,
    );
}

/// Faults at every step of some of the programs.
#[test]
fn faults_at_every_step() {
    let mut config = Config::new();
    config.all_features(true).optimize(OptLevel::None);
    let engine = Engine::new(&config).expect("an engine");
    let (count, wrong) = replay::faults::everywhere(&engine, &chosen(0, 15), 40);
    println!("{count} faults");
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count > 500, "{count}");
}
