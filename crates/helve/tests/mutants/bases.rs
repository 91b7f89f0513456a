//! The components that are mutated: our own texts, generated ones, and those of the
//! official scripts where they are there. Not here: how they change (`mutate`).

use super::generate;
use super::harness::{Case, Engines};
use std::path::Path;

/// Our own texts. Each has a part of the Component Model that generated ones have not.
const TEXTS: &[(&str, &str)] = &[
    ("resources", include_str!("bases/resources.wat")),
    ("nested", include_str!("bases/nested.wat")),
    ("memory", include_str!("bases/memory.wat")),
    ("table", include_str!("bases/table.wat")),
    ("strings", include_str!("bases/strings.wat")),
    ("types", include_str!("bases/types.wat")),
];

/// Own texts and `generated` generated ones.
pub fn own(engines: &Engines, generated: u64) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, text) in TEXTS {
        let bytes = wat::parse_str(text).unwrap_or_else(|e| panic!("{name}: {e}"));
        cases.push(
            engines
                .case(name, &bytes)
                .unwrap_or_else(|| panic!("{name}: unusable")),
        );
    }
    for seed in 0..generated {
        let text = generate::component(seed);
        let bytes = wat::parse_str(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let case = engines.case(&format!("generated {seed}"), &bytes);
        cases.push(case.unwrap_or_else(|| panic!("seed {seed} is not valid\n{text}")));
    }
    cases
}

/// The components in the scripts under `folder` that can be called as they are. For the
/// long runs.
#[allow(dead_code)]
pub fn scripts(engines: &Engines, folder: &Path, into: &mut Vec<Case>) {
    let mut paths: Vec<_> = match folder.read_dir() {
        Ok(entries) => entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect(),
        Err(_) => return,
    };
    paths.sort();
    for path in paths {
        if path.is_dir() {
            scripts(engines, &path, into);
        } else if path.extension().is_some_and(|ext| ext == "wast") {
            let name = path
                .file_name()
                .map_or(String::new(), |n| n.to_string_lossy().into());
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            script(engines, &name, &text, into);
        }
    }
}

#[allow(dead_code)]
fn script(engines: &Engines, name: &str, text: &str, into: &mut Vec<Case>) {
    use wast::{Wast, WastDirective, parser};
    let Ok(buffer) = parser::ParseBuffer::new(text) else {
        return;
    };
    let Ok(script) = parser::parse::<Wast<'_>>(&buffer) else {
        return;
    };
    for (i, directive) in script.directives.into_iter().enumerate() {
        let (WastDirective::Module(mut quoted) | WastDirective::ModuleDefinition(mut quoted)) =
            directive
        else {
            continue;
        };
        let Ok(bytes) = quoted.encode() else { continue };
        let Some(case) = engines.case(&format!("{name} {i}"), &bytes) else {
            continue;
        };
        let outcome = engines.run(&case, &case.base.bytes, 0, 0);
        if outcome.calls > 0 {
            into.push(case);
        }
    }
}
