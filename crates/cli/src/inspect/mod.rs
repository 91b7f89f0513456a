//! `helve inspect`: what a file is, what it needs and what it offers, without running or
//! compiling any of it.
//!
//! ```text
//!  bytes --+--> Plan (decoded, validated) --> imports, exports   (links)
//!          +--> sections ------------------> tree with sizes     (tree)
//!          +--> WIT -----------------------> the world           (wit)
//! ```
//!
//! A core module has no world and no plan; a WIT package is only its WIT.

mod links;
mod tree;
mod wit;

use crate::load;
use crate::run::report;
use clap::Args;
use helve::{Context as _, Result};
use helve_compile::Bytes;
use helve_compile::artifact_file::Artifact;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Show what a component is, needs and offers
///
/// Prints the world of a component as WIT; what it consists of, nested components and core
/// modules, with sizes in bytes; its imports with what `helve run` supplies for each; its
/// exports. Nothing is compiled or run. FILE may also be a core module, a WIT package in the
/// binary format, text of the text format, or what `helve compile` made.
#[derive(Args)]
pub struct Inspect {
    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Print only WIT, all packages it needs included
    #[arg(long, conflicts_with = "json")]
    wit: bool,

    /// The component
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// What there is to say about a file.
struct Report {
    /// In a few words.
    what: String,
    /// For JSON: "component", "module" or "wit-package".
    kind: &'static str,
    bytes: usize,
    /// Who compiled it, where it is compiled: line by line.
    compiled: Option<String>,
    /// The WIT, or why there is none.
    wit: Option<Result<wit::Wit>>,
    tree: Option<tree::Node>,
    links: Option<links::Links>,
    /// A last word of advice.
    note: Option<String>,
}

impl Inspect {
    /// Inspects it.
    pub fn main(&self) -> ExitCode {
        match self.inspect() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => report(&error),
        }
    }

    fn inspect(&self) -> Result<()> {
        let place = || format!("cannot inspect `{}`", self.file.display());
        let report = self.report().with_context(place)?;
        let text = if self.wit {
            match report.wit {
                Some(Ok(wit)) => wit.all,
                Some(Err(error)) => return Err(error).with_context(place),
                None => {
                    return Err(helve::Error::msg("a core module has no WIT")).with_context(place);
                }
            }
        } else if self.json {
            serde_json::to_string_pretty(&report.json())? + "\n"
        } else {
            report.text()
        };
        // Whoever reads may have seen enough: `helve inspect x | head`.
        let _ = std::io::stdout().write_all(text.as_bytes());
        Ok(())
    }

    fn report(&self) -> Result<Report> {
        if !load::is_compiled(&self.file)? {
            let bytes = load::read(&self.file)?;
            return report_wasm(&bytes);
        }
        let bytes = Bytes::from(std::fs::read(&self.file)?);
        let artifact = Artifact::unverified(bytes.clone())?;
        artifact.verify()?;
        let mut report = report_wasm(artifact.source()?)?;
        report.what.push_str(", compiled by `helve compile`");
        report.bytes = bytes.len();
        report.compiled = Some(artifact.made_by().to_owned());
        Ok(report)
    }
}

fn report_wasm(bytes: &[u8]) -> Result<Report> {
    let mut report = Report {
        what: "a component".into(),
        kind: "component",
        bytes: bytes.len(),
        compiled: None,
        wit: None,
        tree: None,
        links: None,
        note: None,
    };
    if helve_wasi::preview1::is_core_module(bytes) {
        let module = tree::module(bytes)?;
        report.kind = "module";
        report.what = "a core module, not a component".into();
        report.note = Some(module.advice());
        report.links = Some(module.links);
        report.tree = Some(module.tree);
        return Ok(report);
    }
    let wit = wit::of(bytes);
    if let Ok(wit) = &wit
        && wit.is_package
    {
        report.kind = "wit-package";
        report.what = "a WIT package in the binary format: types only, no code".into();
    } else {
        let plan = decode(bytes)?;
        report.links = Some(links::of(&plan)?);
    }
    report.tree = Some(tree::of(bytes)?);
    report.wit = Some(wit);
    Ok(report)
}

/// Whatever Helve knows of is on: inspecting is for finding out what is used.
fn decode(bytes: &[u8]) -> Result<helve_decode::Plan> {
    let core = helve_compile::features::WasmFeatures::all();
    let options = helve_decode::Options {
        features: helve_decode::Features::all(core),
        ..Default::default()
    };
    helve_decode::decode(bytes, &options)
}

/// 1234567 as "1,234,567".
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl Report {
    fn text(&self) -> String {
        let mut out = format!("{}, {} bytes\n", self.what, grouped(self.bytes as u64));
        // Writing to a String cannot fail.
        if let Some(made_by) = self
            .compiled
            .as_deref()
            .and_then(|text| text.lines().next())
        {
            let _ = writeln!(out, "made by {made_by}");
        }
        match &self.wit {
            Some(Ok(wit)) => {
                let _ = write!(out, "\nWorld:\n{}", indented(&wit.own));
                if !wit.left_out.is_empty() {
                    let names = wit.left_out.join(", ");
                    let _ = writeln!(out, "  // left out (--wit prints all): {names}");
                }
            }
            Some(Err(error)) => {
                let _ = writeln!(out, "\nWorld: cannot be written as WIT: {error:#}");
            }
            None => {}
        }
        if let Some(tree) = &self.tree {
            let _ = write!(out, "\nStructure:\n{}", indented(&tree.text()));
        }
        if let Some(links) = &self.links {
            out.push_str(&links.text());
        }
        if let Some(note) = &self.note {
            let _ = writeln!(out, "\n{note}");
        }
        out
    }

    fn json(&self) -> Value {
        let mut object = Map::new();
        object.insert("kind".into(), self.kind.into());
        object.insert("bytes".into(), self.bytes.into());
        if let Some(made_by) = &self.compiled {
            object.insert("compiled_by".into(), made_by.lines().collect());
        }
        match &self.wit {
            Some(Ok(wit)) => {
                object.insert("wit".into(), (&*wit.all).into());
            }
            Some(Err(error)) => {
                object.insert("wit".into(), Value::Null);
                object.insert("wit_error".into(), format!("{error:#}").into());
            }
            None => {}
        }
        if let Some(tree) = &self.tree {
            object.insert("structure".into(), tree.json());
        }
        if let Some(links) = &self.links {
            object.insert(
                "imports".into(),
                links.imports.iter().map(links::Import::json).collect(),
            );
            let exports = links
                .exports
                .iter()
                .map(|(name, what)| json!({"name": name, "type": what}));
            object.insert("exports".into(), exports.collect());
        }
        if let Some(note) = &self.note {
            object.insert("note".into(), (&**note).into());
        }
        Value::Object(object)
    }
}

fn indented(text: &str) -> String {
    let indent = |line: &str| {
        if line.is_empty() {
            "\n".into()
        } else {
            format!("  {line}\n")
        }
    };
    text.lines().map(indent).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn groups_of_three() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1234567, "1,234,567"),
        ] {
            assert_eq!(super::grouped(number), text);
        }
    }
}
