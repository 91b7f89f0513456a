//! What a component imports, with what `helve run` has for it, and what it exports.
//!
//! The answer comes from the linker that `run` uses, so the two cannot differ. Not here:
//! whether types fit (linking checks that).

use crate::load::{self, Host};
use helve::component::Linker;
use helve::{CompileMode, Engine, Result};
use helve_decode::Plan;
use helve_decode::plan::{Item, NameAttributes, ResourceOrigin, TypeItem};
use helve_decode::reflect::Leaf;
use serde_json::{Value, json};
use std::fmt::Write;

/// Most names that one line lists.
const MOST_LISTED: usize = 8;

/// Imports and exports of a component or core module.
#[derive(Default)]
pub struct Links {
    pub imports: Vec<Import>,
    /// Path and type of everything that is exported.
    pub exports: Vec<(String, String)>,
}

/// One import.
pub struct Import {
    pub name: String,
    /// Its type in words.
    pub what: String,
    pub supply: Supply,
    /// What is in an instance, functions and resources: path from the root, type.
    pub parts: Vec<(String, String)>,
}

/// Who could satisfy an import.
pub enum Supply {
    /// `helve run`, under this name.
    Host(String),
    /// It has the name, but not these parts of it.
    Partly(String, Vec<String>),
    /// Nothing is needed: there are only types in it.
    TypesOnly,
    /// Nobody known. `helve run` has these other versions.
    Unknown(Vec<String>),
    /// The adapter from WASI 0.1, which `helve run` puts around core modules.
    Adapter,
}

/// The links of a component.
pub fn of(plan: &Plan) -> Result<Links> {
    let engine = Engine::new(&load::config(CompileMode::Lazy))?;
    let linker = load::hosts(&engine)?;
    let leaves = plan.import_leaves();
    let mut links = Links::default();
    for (name, import) in plan.imports.iter() {
        let inside = leaves.iter().filter(|leaf| leaf.path.root() == &**name);
        let needed: Vec<_> = inside.filter(|leaf| is_needed(plan, leaf)).collect();
        let interface = import.attributes.implements.as_deref();
        let served = match (linker.resolve(name), interface) {
            (None, Some(interface)) => interface,
            _ => name,
        };
        let missing = needed.iter().filter(|leaf| {
            let inside = leaf.path.0.iter().skip(1).map(|name| &**name);
            let path: Vec<&str> = [served].into_iter().chain(inside).collect();
            !linker.supplies(&path)
        });
        let missing: Vec<String> = missing.map(|leaf| leaf.path.leaf().to_owned()).collect();
        let parts = needed.iter().filter(|leaf| leaf.path.0.len() > 1);
        links.imports.push(Import {
            name: name.to_string(),
            what: described(plan, &import.item, &import.attributes),
            supply: supply(&linker, served, needed.is_empty(), missing),
            parts: parts
                .map(|leaf| (leaf.path.to_string(), plan.describe(&leaf.item)))
                .collect(),
        });
    }
    for leaf in plan.export_leaves() {
        links
            .exports
            .push((leaf.path.to_string(), plan.describe(&leaf.item)));
    }
    Ok(links)
}

/// Whether somebody has to supply it. A resource type comes in where it is first named;
/// other interfaces that use it only say so.
fn is_needed(plan: &Plan, leaf: &Leaf) -> bool {
    match leaf.item {
        Item::Type(TypeItem::Resource(id)) => match plan.resources.get(id).map(|def| &def.origin) {
            Some(ResourceOrigin::Imported { path }) => *path == leaf.path,
            _ => false,
        },
        Item::Type(_) => false,
        _ => true,
    }
}

fn supply(linker: &Linker<Host>, name: &str, types_only: bool, missing: Vec<String>) -> Supply {
    match linker.resolve(name) {
        _ if types_only => Supply::TypesOnly,
        Some(found) if missing.is_empty() => Supply::Host(found.to_owned()),
        Some(found) => Supply::Partly(found.to_owned(), missing),
        None => Supply::Unknown(
            linker
                .other_versions(name)
                .into_iter()
                .map(str::to_owned)
                .collect(),
        ),
    }
}

fn described(plan: &Plan, item: &Item, attributes: &NameAttributes) -> String {
    let mut text = plan.describe(item);
    if let Some(interface) = &attributes.implements {
        text.push_str(&format!(", implements {interface}"));
    }
    if let Some(id) = &attributes.external_id {
        text.push_str(&format!(", external id {id}"));
    }
    text
}

impl Supply {
    fn text(&self) -> String {
        match self {
            Supply::Host(name) => format!("`helve run` has it as {name}"),
            Supply::Partly(name, missing) => {
                format!("`helve run` has {name}, without {}", some(missing.iter()))
            }
            Supply::TypesOnly => "types only, nobody has to supply it".into(),
            Supply::Unknown(other) if other.is_empty() => "nothing known supplies it".into(),
            Supply::Unknown(other) => {
                format!(
                    "nothing known supplies it; `helve run` has {}, another version",
                    other.join(", ")
                )
            }
            Supply::Adapter => "WASI 0.1: `helve run` adapts it".into(),
        }
    }

    fn json(&self) -> Value {
        match self {
            Supply::Host(name) => json!({"by": "helve run", "as": name}),
            Supply::Partly(name, missing) => {
                json!({"by": "helve run", "as": name, "missing": missing})
            }
            Supply::TypesOnly => json!({"by": "nobody needed"}),
            Supply::Unknown(other) => json!({"by": null, "other_versions": other}),
            Supply::Adapter => json!({"by": "helve run", "as": "adapter from WASI 0.1"}),
        }
    }
}

impl Import {
    /// For `--json`.
    pub fn json(&self) -> Value {
        let parts = self
            .parts
            .iter()
            .map(|(name, what)| json!({"name": name, "type": what}));
        json!({
            "name": self.name,
            "type": self.what,
            "satisfied": self.supply.json(),
            "contains": parts.collect::<Value>(),
        })
    }
}

impl Links {
    /// For people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let widest = self
            .imports
            .iter()
            .map(|import| import.name.len())
            .max()
            .unwrap_or(0)
            .min(48);
        out.push_str(if self.imports.is_empty() {
            "\nImports: none\n"
        } else {
            "\nImports:\n"
        });
        for import in &self.imports {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "  {:widest$}  {}", import.name, import.supply.text());
            if matches!(import.supply, Supply::Unknown(_)) {
                let named = import.parts.iter().map(|(name, what)| {
                    let leaf = name.rsplit('#').next().unwrap_or(name);
                    format!("{leaf}: {what}")
                });
                let parts: Vec<String> = if import.parts.is_empty() {
                    vec![import.what.clone()]
                } else {
                    named.collect()
                };
                for part in parts.iter().take(MOST_LISTED) {
                    let _ = writeln!(out, "      {part}");
                }
                if parts.len() > MOST_LISTED {
                    let _ = writeln!(out, "      and {} more", parts.len() - MOST_LISTED);
                }
            }
        }
        out.push_str(if self.exports.is_empty() {
            "\nExports: none\n"
        } else {
            "\nExports:\n"
        });
        for (name, what) in &self.exports {
            let _ = writeln!(out, "  {name}: {what}");
        }
        out
    }
}

fn some<'a>(names: impl ExactSizeIterator<Item = &'a String>) -> String {
    let more = names.len().saturating_sub(MOST_LISTED);
    let mut text = names
        .take(MOST_LISTED)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}
