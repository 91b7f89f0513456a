//! Core modules of wasm-smith, run here and by wasmi: results, traps, memories and globals
//! must agree.
//!
//! Loops and recursion are bounded inside the modules (`ensure_termination`: a counter in
//! a global that traps when it is used up), so both engines stop at the same place. How much of
//! the language they have in them is counted by `met`.

use crate::mutants::rng::Rng;
use crate::watch::State;
use arbitrary::Unstructured;
use helve::core::{Extern, Instance, Linker, Module, Val};
use helve::{CompileMode, Config, Engine, ErrorKind, Limits, OptLevel, Store, Trap};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The module of a seed.
fn module(seed: u64) -> Option<Vec<u8>> {
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
fn engines() -> Vec<Engine> {
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

mod ours {
    use super::*;
    use helve::core::{Ref, ValType};

    fn letter(ty: ValType) -> char {
        match ty {
            ValType::I32 => 'i',
            ValType::I64 => 'I',
            ValType::F32 => 'f',
            ValType::F64 => 'F',
            ValType::V128 => 'v',
            ValType::Ref(_) => 'r',
        }
    }

    fn show(val: &Val) -> String {
        match val {
            Val::I32(n) => bits('i', u128::from(*n as u32)),
            Val::I64(n) => bits('I', u128::from(*n as u64)),
            Val::F32(n) => bits('f', u128::from(*n)),
            Val::F64(n) => bits('F', u128::from(*n)),
            Val::V128(n) => bits('v', *n),
            Val::Ref(r) => format!("r:{}", r.is_null()),
        }
    }

    fn value(ty: ValType, number: u128) -> Val {
        match ty {
            ValType::I32 => Val::I32(number as i32),
            ValType::I64 => Val::I64(number as i64),
            ValType::F32 => Val::F32(number as u32),
            ValType::F64 => Val::F64(number as u64),
            ValType::V128 => Val::V128(number),
            ValType::Ref(ty) => Val::Ref(match format!("{ty:?}").contains("xtern") {
                true => Ref::Extern(None),
                false => Ref::Func(None),
            }),
        }
    }

    pub fn run(engine: &Engine, wasm: &[u8], seed: u64) -> Result<Log, String> {
        let mut log = Log::new();
        let module = Module::from_binary(engine, wasm).map_err(|e| format!("compile: {e:#}"))?;
        let mut store = Store::new(engine, ());
        // An error where this engine does not count any.
        let _ = store.set_fuel(1 << 40);
        let linker = Linker::new(engine);
        let instance: Instance = match linker.instantiate(&mut store, &module) {
            Ok(instance) => instance,
            Err(error) => {
                log.push(trap(&error)?);
                return Ok(log);
            }
        };
        let mut names: Vec<String> = module.exports().map(|(name, _)| name.to_owned()).collect();
        names.sort();
        for round in 0..2 {
            for name in &names {
                let Some(Extern::Func(func)) = instance.get_export(&mut store, name) else {
                    continue;
                };
                let ty = func.ty(&store).map_err(|e| e.to_string())?;
                let letters: Vec<char> = ty.params.iter().map(|ty| letter(*ty)).collect();
                let mut rng = Rng::new(seed ^ round);
                let Some(numbers) = arguments(&mut rng, &letters) else {
                    continue;
                };
                let params = ty.params.iter().zip(numbers);
                let params: Vec<Val> = params.map(|(ty, n)| value(*ty, n)).collect();
                let mut results = vec![Val::I32(0); ty.results.len()];
                match func.call(&mut store, &params, &mut results) {
                    Ok(()) => {
                        let texts: Vec<String> = results.iter().map(show).collect();
                        log.push(format!("{name} -> {}", texts.join(" ")));
                    }
                    Err(error) => {
                        let text = trap(&error)?;
                        log.push(format!("{name} -> {text}"));
                        if text == "stack" {
                            return Ok(log);
                        }
                    }
                }
            }
        }
        for name in &names {
            match instance.get_export(&mut store, name) {
                Some(Extern::Global(global)) => {
                    let val = global.get(&store).map_err(|e| e.to_string())?;
                    log.push(format!("{name} = {}", show(&val)));
                }
                Some(Extern::Memory(memory)) => {
                    let bytes = memory.data(&store).map_err(|e| e.to_string())?;
                    log.push(format!("{name} = {} {:x}", bytes.len(), hash(bytes)));
                }
                Some(Extern::Table(table)) => {
                    let len = table.size(&store).map_err(|e| e.to_string())?;
                    log.push(format!("{name} = {len} elements"));
                }
                _ => {}
            }
        }
        Ok(log)
    }

    fn trap(error: &helve::Error) -> Result<String, String> {
        match (error.kind(), error.trap()) {
            (ErrorKind::Bug, _) => Err(format!("{error:#}")),
            (_, Some(Trap::StackOverflow)) => Ok("stack".into()),
            (_, Some(trap)) => Ok(format!("{trap:?}")),
            _ => Ok(format!("error {error:#}")),
        }
    }
}

fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

mod theirs {
    use super::*;
    use wasmi::{TrapCode, Val, ValType};

    fn show(val: &Val) -> String {
        match val {
            Val::I32(n) => bits('i', u128::from(*n as u32)),
            Val::I64(n) => bits('I', u128::from(*n as u64)),
            Val::F32(n) => bits('f', u128::from(n.to_bits())),
            Val::F64(n) => bits('F', u128::from(n.to_bits())),
            Val::V128(n) => bits('v', n.as_u128()),
            Val::FuncRef(r) => format!("r:{}", r.is_null()),
            Val::ExternRef(r) => format!("r:{}", r.is_null()),
        }
    }

    fn value(ty: ValType, number: u128) -> Val {
        match ty {
            ValType::I32 => Val::I32(number as i32),
            ValType::I64 => Val::I64(number as i64),
            ValType::F32 => Val::F32(wasmi::F32::from_bits(number as u32)),
            ValType::F64 => Val::F64(wasmi::F64::from_bits(number as u64)),
            ValType::V128 => Val::V128(wasmi::V128::from(number)),
            other => Val::default_for_ty(other),
        }
    }

    fn letter(ty: ValType) -> char {
        match ty {
            ValType::I32 => 'i',
            ValType::I64 => 'I',
            ValType::F32 => 'f',
            ValType::F64 => 'F',
            ValType::V128 => 'v',
            _ => 'r',
        }
    }

    fn trap(error: &wasmi::Error) -> String {
        match error.as_trap_code() {
            Some(TrapCode::StackOverflow) => "stack".into(),
            Some(code) => match code {
                TrapCode::UnreachableCodeReached => "Unreachable".into(),
                TrapCode::MemoryOutOfBounds => "MemoryOutOfBounds".into(),
                TrapCode::TableOutOfBounds => "TableOutOfBounds".into(),
                TrapCode::IndirectCallToNull => "UninitializedElement".into(),
                TrapCode::IntegerDivisionByZero => "IntegerDivisionByZero".into(),
                TrapCode::IntegerOverflow => "IntegerOverflow".into(),
                TrapCode::BadConversionToInteger => "InvalidConversionToInteger".into(),
                TrapCode::BadSignature => "IndirectCallTypeMismatch".into(),
                other => format!("{other:?}"),
            },
            None => match format!("{error}") {
                text if text.contains("out of bounds table access") => "TableOutOfBounds".into(),
                text if text.contains("out of bounds memory access") => "MemoryOutOfBounds".into(),
                text => format!("error {text}"),
            },
        }
    }

    pub fn run(wasm: &[u8], seed: u64) -> Result<Log, String> {
        let mut log = Log::new();
        let mut config = wasmi::Config::default();
        config
            .wasm_memory64(true)
            .wasm_multi_memory(true)
            .wasm_simd(true)
            .wasm_relaxed_simd(true)
            .wasm_wide_arithmetic(true)
            .wasm_custom_page_sizes(true)
            .wasm_tail_call(true);
        let engine = wasmi::Engine::new(&config);
        let module = wasmi::Module::new(&engine, wasm).map_err(|e| format!("theirs: {e}"))?;
        let limits = wasmi::StoreLimitsBuilder::new()
            .memory_size(MEMORY)
            .table_elements(ELEMENTS);
        let mut store = wasmi::Store::new(&engine, limits.build());
        store.limiter(|limits| limits);
        let linker = wasmi::Linker::new(&engine);
        let instance = match linker.instantiate_and_start(&mut store, &module) {
            Ok(instance) => instance,
            Err(error) => {
                log.push(trap(&error));
                return Ok(log);
            }
        };
        let mut names: Vec<String> = module.exports().map(|e| e.name().to_owned()).collect();
        names.sort();
        for round in 0..2 {
            for name in &names {
                let Some(func) = instance.get_func(&store, name) else {
                    continue;
                };
                let ty = func.ty(&store);
                let letters: Vec<char> = ty.params().iter().map(|ty| letter(*ty)).collect();
                let mut rng = Rng::new(seed ^ round);
                let Some(numbers) = arguments(&mut rng, &letters) else {
                    continue;
                };
                let params = ty.params().iter().zip(numbers);
                let params: Vec<Val> = params.map(|(ty, n)| value(*ty, n)).collect();
                let mut results: Vec<Val> = ty
                    .results()
                    .iter()
                    .map(|ty| Val::default_for_ty(*ty))
                    .collect();
                match func.call(&mut store, &params, &mut results) {
                    Ok(()) => {
                        let texts: Vec<String> = results.iter().map(show).collect();
                        log.push(format!("{name} -> {}", texts.join(" ")));
                    }
                    Err(error) => {
                        let text = trap(&error);
                        log.push(format!("{name} -> {text}"));
                        if text == "stack" {
                            return Ok(log);
                        }
                    }
                }
            }
        }
        for name in &names {
            if let Some(global) = instance.get_global(&store, name) {
                log.push(format!("{name} = {}", show(&global.get(&store))));
            } else if let Some(memory) = instance.get_memory(&store, name) {
                let bytes = memory.data(&store);
                log.push(format!("{name} = {} {:x}", bytes.len(), hash(bytes)));
            } else if let Some(table) = instance.get_table(&store, name) {
                log.push(format!("{name} = {} elements", table.size(&store)));
            }
        }
        Ok(log)
    }
}

/// Tables say whether an index is beyond them or an element empty with different words.
fn same(a: &str, b: &str) -> bool {
    let word = |text: &str| text.replace("UndefinedElement", "TableOutOfBounds");
    word(a) == word(b)
}

/// The seed's finding, if there is one; `None` of the outer option: no module.
fn compare(engines: &[Engine], seed: u64) -> Option<(bool, Option<String>)> {
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

/// What the modules had in them so far: where it grows no more, more seeds show little.
#[derive(Default)]
struct Met {
    modules: u64,
    instructions: HashSet<String>,
    pairs: HashSet<(String, String)>,
    triples: HashSet<(String, String, String)>,
}

impl Met {
    fn add(&mut self, wasm: &[u8]) {
        self.modules += 1;
        let name = |op: wasmparser::Operator<'_>| {
            let text = format!("{op:?}");
            let end = text.find([' ', '{', '(']).unwrap_or(text.len());
            text[..end].to_owned()
        };
        for payload in wasmparser::Parser::new(0).parse_all(wasm) {
            let Ok(wasmparser::Payload::CodeSectionEntry(body)) = payload else {
                continue;
            };
            let Ok(mut reader) = body.get_operators_reader() else {
                continue;
            };
            let (mut before, mut last) = (String::new(), String::new());
            while let Ok(op) = reader.read() {
                let op = name(op);
                self.triples.insert((before, last.clone(), op.clone()));
                self.pairs.insert((last.clone(), op.clone()));
                self.instructions.insert(op.clone());
                (before, last) = (last, op);
            }
        }
        if self.modules.is_power_of_two() || self.modules.is_multiple_of(2000) {
            println!(
                "met in {} modules: {} instructions, {} pairs, {} triples",
                self.modules,
                self.instructions.len(),
                self.pairs.len(),
                self.triples.len()
            );
        }
    }
}

/// What modules of these seeds have in them, without running any.
pub fn met(seeds: std::ops::Range<u64>) {
    let mut met = Met::default();
    seeds.filter_map(module).for_each(|wasm| met.add(&wasm));
}

pub fn worker(from: u64, to: u64, mut state: State) {
    let engines = engines();
    for n in from..to {
        state.start(n);
        state.numbers[1] += 1;
        let Some((both, finding)) = compare(&engines, n) else {
            continue;
        };
        state.numbers[2] += 1;
        state.numbers[4] += u64::from(both);
        if let Some(finding) = finding {
            println!("FINDING core {n}: {finding}");
        }
    }
    state.write();
}

/// One module, aloud.
pub fn one(n: u64, file: Option<&str>) {
    let Some(wasm) = module(n) else {
        println!("no module of {n}");
        return;
    };
    if let Some(file) = file {
        std::fs::write(file, &wasm).expect("writing the module");
    }
    for payload in wasmparser::Parser::new(0).parse_all(&wasm) {
        use wasmparser::Payload;
        match payload {
            Ok(Payload::MemorySection(section)) => println!("{:?}", Vec::from_iter(section)),
            Ok(Payload::GlobalSection(section)) => println!("{:?}", Vec::from_iter(section)),
            Ok(Payload::DataSection(section)) => println!("{:#?}", Vec::from_iter(section)),
            Ok(Payload::StartSection { func, .. }) => println!("start {func}"),
            _ => {}
        }
    }
    for engine in engines() {
        println!("ours: {:#?}", ours::run(&engine, &wasm, n));
    }
    println!("wasmi: {:#?}", theirs::run(&wasm, n));
}
