//! Core modules of wasm-smith against wasmi (`smith`), for hours: the worker, one module
//! aloud, and what the modules have in them.
//!
//! Not here: how they are made and compared (`crates/helve/tests/smith`).

use crate::smith::{compare, engines, module, ours, theirs};
use crate::watch::State;
use std::collections::HashSet;

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
        self.add_quietly(wasm);
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

    fn add_quietly(&mut self, wasm: &[u8]) {
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
    }
}

/// What modules of these seeds have in them, without running any.
pub fn met(seeds: std::ops::Range<u64>) {
    let mut met = Met::default();
    seeds.filter_map(module).for_each(|wasm| met.add(&wasm));
}

/// The seeds whose modules are the first to have some instruction in them, and how many.
pub fn first(seeds: std::ops::Range<u64>) {
    let mut met = Met::default();
    for seed in seeds {
        let Some(wasm) = module(seed) else { continue };
        let before = met.instructions.len();
        met.add_quietly(&wasm);
        if met.instructions.len() > before {
            println!("{seed} {}", met.instructions.len() - before);
        }
    }
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
