//! Long random tests, by hand: each takes a range of seeds, and a seed is enough to see
//! one case again. Not in CI; short runs of the same are tests of the crates.
//!
//! ```text
//! helve-fuzz mutants FROM TO        mutated components (a watched child runs them)
//! helve-fuzz mutant N [FILE]        one of them, aloud; its bytes to FILE
//! helve-fuzz core FROM TO           core modules of wasm-smith, against wasmi
//! helve-fuzz core-one N [FILE]
//! helve-fuzz core-met FROM TO       what those modules have in them
//! helve-fuzz core-first FROM TO     those that are the first to have some instruction
//! helve-fuzz values FILE            vectors of values.py, on real components
//! helve-fuzz programs FILE          whole programs of programs.py, through components
//! helve-fuzz faults FILE STEPS     a fault at every step, up to so many, of such programs
//! helve-fuzz tasks FROM TO          calls that are tasks, between components: both twins
//! helve-fuzz big                    what is too heavy for CI
//! helve-fuzz many N                 calls at once, then N rounds of calls and streams
//! ```
//! `HELVE_SUITES` says where the official scripts are, to mutate their components too.

mod big;
mod core;
#[allow(dead_code, reason = "the tests of concurrency use all of it")]
#[path = "../../crates/helve/tests/concurrent/many.rs"]
mod many;
mod mutant_runs;
#[path = "../../crates/helve/tests/mutants/mod.rs"]
mod mutants;
#[path = "../../crates/helve/tests/programs/replay.rs"]
mod programs;
#[path = "../../crates/helve/tests/values/replay.rs"]
mod replay;
#[path = "../../crates/helve/tests/smith/mod.rs"]
mod smith;
#[allow(dead_code, reason = "the tests of concurrency use all of it")]
#[path = "../../crates/helve/tests/concurrent/support.rs"]
mod support;
#[path = "../../crates/helve/tests/tasks/mod.rs"]
mod tasks;
mod watch;

use mutants::rng;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let number = |text: &str| {
        text.parse::<u64>()
            .unwrap_or_else(|_| panic!("{text}: no number"))
    };
    match args[..] {
        [what @ ("mutants" | "core"), from, to] => watch::run(what, number(from), number(to)),
        ["mutants-worker", from, to, state] => {
            alone(|| mutant_runs::worker(number(from), number(to), watch::State::open(state)));
        }
        ["core-worker", from, to, state] => {
            alone(|| core::worker(number(from), number(to), watch::State::open(state)));
        }
        ["mutant", n] => mutant_runs::one(number(n), None),
        ["mutant", n, file] => mutant_runs::one(number(n), Some(file)),
        ["core-met", from, to] => core::met(number(from)..number(to)),
        ["core-first", from, to] => core::first(number(from)..number(to)),
        ["core-one", n] => core::one(number(n), None),
        ["core-one", n, file] => core::one(number(n), Some(file)),
        ["values", file] => values(file),
        ["programs", file] => programs(file),
        ["faults", file, most] => faults(file, number(most)),
        ["tasks", from, to] => tasks_of(number(from)..number(to)),
        ["big"] => big::run(),
        ["many", rounds] => {
            many::at_once("start", 100_000);
            println!("100,000 calls with callbacks at once");
            many::at_once("block", 100_000);
            println!("100,000 calls on stacks at once, or as many as the system allows");
            let rounds = u32::try_from(number(rounds)).unwrap_or(u32::MAX);
            many::come_and_go(rounds);
            println!("{rounds} rounds, and nothing is left");
        }
        _ => {
            eprintln!(
                "helve-fuzz mutants|core FROM TO | mutant N [FILE] | core-one N [FILE] | values FILE | programs FILE | faults FILE STEPS | tasks FROM TO | big | many N"
            );
            std::process::exit(2);
        }
    }
}

/// Runs `work` on the only thread of the pool that the compiler uses: it hands nothing over.
fn alone(work: impl FnOnce() + Send) {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .stack_size(16 << 20);
    pool.build_global().expect("a pool");
    rayon::scope(|_| work());
}

/// Replays vectors with both kinds of adapters.
fn values(file: &str) {
    let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{file}: {e}"));
    for fused in [true, false] {
        let mut config = helve::Config::new();
        config.all_features(true).fused_adapters(fused);
        let engine = helve::Engine::new(&config).expect("an engine");
        let report = replay::replay(&engine, &text, fused);
        println!(
            "fused {fused}: {} types, {} cases, {} checks, {} of them traps, {} cases with Rust types too, {} wrong",
            report.types,
            report.cases,
            report.checks,
            report.traps,
            report.typed,
            report.wrong.len()
        );
        report
            .wrong
            .iter()
            .take(40)
            .for_each(|wrong| println!("FINDING values: {wrong}"));
    }
}

fn engine(fused: bool, level: helve::OptLevel) -> helve::Engine {
    let mut config = helve::Config::new();
    config
        .all_features(true)
        .fused_adapters(fused)
        .optimize(level);
    helve::Engine::new(&config).expect("an engine")
}

/// Replays whole programs with both kinds of adapters.
fn programs(file: &str) {
    let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{file}: {e}"));
    for fused in [true, false] {
        let report = programs::replay_all(&engine(fused, helve::OptLevel::None), &text);
        println!(
            "fused {fused}: {} programs, {} actions, {} with all calls known, {} wrong",
            report.programs,
            report.actions,
            report.again,
            report.wrong.len()
        );
        for strayed in &report.strayed {
            println!("strayed at first: {strayed}");
        }
        report
            .wrong
            .iter()
            .for_each(|wrong| println!("FINDING programs: {wrong}"));
    }
}

/// Faults at every step of whole programs.
fn faults(file: &str, most: u64) {
    let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{file}: {e}"));
    let engine = engine(true, helve::OptLevel::None);
    std::panic::set_hook(Box::new(|_| {}));
    let most = u32::try_from(most).unwrap_or(u32::MAX);
    let (count, wrong) = programs::faults::everywhere(&engine, &text, most);
    println!("{count} faults, {} wrong", wrong.len());
    wrong
        .iter()
        .for_each(|wrong| println!("FINDING faults: {wrong}"));
}

/// Twins of calls that are tasks, seed by seed.
fn tasks_of(seeds: std::ops::Range<u64>) {
    let mut report = tasks::Report::default();
    for seed in seeds {
        tasks::compare(seed, &mut report);
        for wrong in report.wrong.drain(..) {
            println!("FINDING tasks: {wrong}");
        }
    }
    println!(
        "{} calls, {} trapped, {} waited for their callee",
        report.calls, report.traps, report.waited
    );
}
