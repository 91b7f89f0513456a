//! Core modules of wasm-smith, run here and by wasmi: results, traps, memories and globals
//! must agree. The tests run some, `fuzz/` millions.
//!
//! Loops and recursion are bounded inside the modules (`ensure_termination`: a counter in
//! a global that traps when it is used up), so both engines stop at the same place.

pub mod ours;
pub mod theirs;

use crate::rng::Rng;
use arbitrary::Unstructured;
use helve::{CompileMode, Config, Engine, Limits, OptLevel};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The module of a seed.
pub fn module(seed: u64) -> Option<Vec<u8>> {
    let mut rng = Rng::new(seed);
    let len = 500 + rng.below(4000);
    let bytes: Vec<u8> = (0..len).map(|_| rng.next() as u8).collect();
    let mut config = wasm_smith::Config::default();
    config.max_imports = 0;
    config.min_funcs = 1;
    config.max_funcs = 8;
    config.max_instructions = 120;
    config.max_memories = 2;
    config.max_memory32_bytes = 4 << 20;
    config.max_memory64_bytes = 4 << 20;
    config.max_table_elements = 1000;
    config.export_everything = true;
    config.allow_start_export = true;
    config.canonicalize_nans = true;
    config.bulk_memory_enabled = true;
    config.multi_value_enabled = true;
    config.reference_types_enabled = true;
    config.simd_enabled = rng.chance(1, 2);
    config.relaxed_simd_enabled = config.simd_enabled && rng.chance(1, 2);
    config.tail_call_enabled = rng.chance(1, 2);
    config.extended_const_enabled = true;
    config.memory64_enabled = rng.chance(1, 3);
    config.exceptions_enabled = false;
    config.gc_enabled = false;
    config.threads_enabled = false;
    config.shared_everything_threads_enabled = false;
    config.custom_page_sizes_enabled = rng.chance(1, 4);
    config.wide_arithmetic_enabled = rng.chance(1, 4);
    let mut module = wasm_smith::Module::new(config, &mut Unstructured::new(&bytes)).ok()?;
    module.ensure_termination(1000).ok()?;
    Some(module.to_bytes())
}

/// The ways to run a module: both tiers, lazily with every loop left for better code, and with
/// fuel and epochs looked at.
pub fn engines() -> Vec<Engine> {
    let ways = [
        (CompileMode::Ahead, OptLevel::Speed, false),
        (CompileMode::Ahead, OptLevel::None, false),
        (CompileMode::Lazy, OptLevel::Speed, false),
        (CompileMode::Ahead, OptLevel::Speed, true),
    ];
    ways.map(|(mode, level, interrupts)| {
        let mut limits = Limits::default();
        limits.memory_bytes = MEMORY as u64;
        limits.table_elements = ELEMENTS as u64;
        let mut config = Config::new();
        config.all_features(true).compile(mode).optimize(level);
        config.limits(limits).eager_loops(true);
        config
            .consume_fuel(interrupts)
            .epoch_interruption(interrupts);
        config.relaxed_simd_deterministic(true);
        Engine::new(&config).expect("an engine")
    })
    .into()
}

/// Bytes of a memory and elements of a table, for both engines.
const MEMORY: usize = 16 << 20;
const ELEMENTS: usize = 100_000;

/// What a run shows, line by line.
type Log = Vec<String>;

/// Arguments by seed, the same for both.
fn arguments(rng: &mut Rng, types: &[char]) -> Option<Vec<u128>> {
    let mut numbers = Vec::new();
    for ty in types {
        numbers.push(match ty {
            'i' | 'f' => u128::from(rng.number() as u32),
            'I' | 'F' => u128::from(rng.number()),
            'v' => u128::from(rng.number()) << 64 | u128::from(rng.number()),
            _ => 0,
        });
    }
    Some(numbers)
}

fn bits(ty: char, number: u128) -> String {
    match ty {
        'f' if f32::from_bits(number as u32).is_nan() => "f:nan".into(),
        'F' if f64::from_bits(number as u64).is_nan() => "F:nan".into(),
        'r' => "r".into(),
        _ => format!("{ty}:{number:x}"),
    }
}

fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// Tables say whether an index is beyond them or an element empty with different words.
fn same(a: &str, b: &str) -> bool {
    let word = |text: &str| text.replace("UndefinedElement", "TableOutOfBounds");
    word(a) == word(b)
}

/// The seed's finding, if there is one; `None` of the outer option: no module.
pub fn compare(engines: &[Engine], seed: u64) -> Option<(bool, Option<String>)> {
    let wasm = module(seed)?;
    let theirs = match theirs::run(&wasm, seed) {
        Ok(log) => log,
        Err(_) => return Some((false, None)),
    };
    for (tier, engine) in engines.iter().enumerate() {
        let ours = match catch_unwind(AssertUnwindSafe(|| ours::run(engine, &wasm, seed))) {
            Ok(Ok(log)) => log,
            Ok(Err(error)) => return Some((true, Some(error))),
            Err(_) => return Some((true, Some("a panic".into()))),
        };
        // Stacks are not equally deep: what both did before one overflowed must agree.
        for at in 0..ours.len().max(theirs.len()) {
            let (a, b) = (ours.get(at), theirs.get(at));
            if [a, b]
                .iter()
                .any(|line| line.is_some_and(|line| line.ends_with("stack")))
            {
                break;
            }
            match (a, b) {
                (Some(a), Some(b)) if same(a, b) => {}
                _ => {
                    return Some((
                        true,
                        Some(format!("tier {tier}: {a:?} where wasmi has {b:?}")),
                    ));
                }
            }
        }
    }
    Some((true, None))
}
