//! Every component of the official scripts decodes, or is rejected where the script
//! says so. The scripts are not part of the project: without them (`../shared/suites`
//! beside it, or where `HELVE_SUITES` points) this says so and tests nothing.

use helve_decode::{DecodeError, Features, Options};
use std::path::{Path, PathBuf};
use wasmparser::WasmFeatures;
use wast::parser::{self, ParseBuffer};
use wast::{QuoteWat, Wast, WastDirective, WastExecute, Wat};

/// What does not go as the script says: (script, what is found there, why). An entry
/// that is no longer true fails the test too.
const KNOWN: &[(&str, &str, &str)] = &[(
    "async/cancellable.wast",
    "script: the `cancellable` option",
    "the text parser follows a later version of the spec (binaries are fine)",
)];

fn suites() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/suites");
    let root = std::env::var_os("HELVE_SUITES").map_or(beside, PathBuf::from);
    root.join("component-model").is_dir().then_some(root)
}

fn scripts(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a readable folder") {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            scripts(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "wast") {
            found.push(path);
        }
    }
}

fn options() -> Options {
    let mut options = Options::default();
    let core = WasmFeatures::WASM3 | WasmFeatures::THREADS;
    options.features = Features::all(core);
    options.features.nested_names = false; // the scripts expect it to be off
    options.validate_bodies = true;
    options
}

fn is_component(wat: &QuoteWat<'_>) -> bool {
    matches!(
        wat,
        QuoteWat::Wat(Wat::Component(_)) | QuoteWat::QuoteComponent(..)
    )
}

/// What came of one component: the encoder's or decoder's refusal, if any.
fn refusal(wat: &mut QuoteWat<'_>, options: &Options) -> Option<String> {
    let bytes = match wat.encode() {
        Ok(bytes) => bytes,
        Err(error) => return Some(format!("text: {}", error.message())),
    };
    let error = helve_decode::decode(&bytes, options).err()?;
    match error.downcast_ref::<DecodeError>() {
        Some(DecodeError::Invalid { message, .. }) => Some(format!("invalid: {message}")),
        Some(DecodeError::NotWasm) => Some("invalid: not WebAssembly".to_string()),
        Some(other) => Some(format!("other: {other}")),
        None => Some(format!("bug: {error:?}")),
    }
}

/// The components of a script that do not go as it says, and how many there are.
fn check(text: &str, options: &Options) -> (usize, Vec<String>) {
    let mut wrong = Vec::new();
    let buffer = match ParseBuffer::new(text) {
        Ok(buffer) => buffer,
        Err(error) => return (0, vec![format!("script: {}", error.message())]),
    };
    let script = match parser::parse::<Wast<'_>>(&buffer) {
        Ok(script) => script,
        Err(error) => return (0, vec![format!("script: {}", error.message())]),
    };
    let mut seen = 0;
    for directive in script.directives {
        let line = directive.span().linecol_in(text).0 + 1;
        let (mut wat, must_fail) = match directive {
            WastDirective::Module(wat) | WastDirective::ModuleDefinition(wat) => (wat, false),
            WastDirective::AssertInvalid { module, .. }
            | WastDirective::AssertMalformed { module, .. } => (module, true),
            WastDirective::AssertUnlinkable { module, .. } => (QuoteWat::Wat(module), false),
            WastDirective::AssertTrap { exec, .. } | WastDirective::AssertReturn { exec, .. } => {
                match exec {
                    WastExecute::Wat(wat) => (QuoteWat::Wat(wat), false),
                    _ => continue,
                }
            }
            _ => continue,
        };
        if !is_component(&wat) {
            continue;
        }
        seen += 1;
        match (refusal(&mut wat, options), must_fail) {
            (None, false) => {}
            (Some(why), true) if why.starts_with("text") || why.starts_with("invalid") => {}
            (None, true) => wrong.push(format!("line {line}: accepted")),
            (Some(why), _) => wrong.push(format!("line {line}: {why}")),
        }
    }
    (seen, wrong)
}

#[test]
fn official_scripts_decode_or_are_rejected_as_they_say() {
    let Some(root) = suites() else {
        println!("skipped: no ../shared/suites beside the project and no HELVE_SUITES");
        return;
    };
    let mut paths = Vec::new();
    scripts(&root.join("component-model"), &mut paths);
    paths.sort();
    let options = options();
    let (mut seen, mut unexpected, mut known) = (0, Vec::new(), Vec::new());
    for path in &paths {
        let name = path
            .strip_prefix(&root)
            .unwrap_or(path)
            .display()
            .to_string();
        let text = std::fs::read_to_string(path).expect("a readable script");
        let (components, wrong) = check(&text, &options);
        seen += components;
        for what in wrong {
            let entry = KNOWN
                .iter()
                .position(|(script, found, _)| name.ends_with(script) && what.contains(found));
            match entry {
                Some(i) => known.push(i),
                None => unexpected.push(format!("{name}: {what}")),
            }
        }
    }
    println!("{} scripts, {seen} components", paths.len());
    let gone = (0..KNOWN.len()).filter(|i| !known.contains(i));
    unexpected.extend(gone.map(|i| format!("no longer so: {:?}", KNOWN[i])));
    assert!(unexpected.is_empty(), "\n{}", unexpected.join("\n"));
    assert!(seen > 0, "the suites folder holds no components");
}
