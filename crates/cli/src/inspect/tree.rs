//! What a file consists of: components in components, core modules, sizes.
//!
//! One walk over the sections with a stack of what is open; names come last in the file and
//! are put in when they do. Sizes are those in the file, headers of sections included.
//! Not here: whether the file is valid (decoding says so before).

use crate::inspect::grouped;
use crate::inspect::links::{Import, Links, Supply};
use helve::{Error, Result};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::ops::Range;
use wasmparser::{
    CanonicalFunction, ComponentExternalKind, ComponentName, CustomSectionReader, Encoding,
    KnownCustom, Name, Parser, Payload, TypeRef,
};

/// A component or core module.
#[derive(Default)]
pub struct Node {
    is_module: bool,
    name: Option<String>,
    bytes: u64,
    /// What there is, in the order it is shown: noun (singular), how many.
    counts: BTreeMap<Count, u64>,
    /// Memories that are defined: pages at first, most, whether 64 bits wide.
    memories: Vec<(u64, Option<u64>, bool)>,
    /// Bytes of custom sections, by name.
    custom: BTreeMap<String, u64>,
    /// Components and modules in it, in the file's order.
    parts: Vec<Node>,
    /// Where in `parts` each component and each core module is, for the name section;
    /// those that are not defined here have no place.
    components: Vec<Option<usize>>,
    modules: Vec<Option<usize>>,
}

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Count {
    Imports,
    Exports,
    CoreInstances,
    Instances,
    Lifts,
    Lowers,
    ResourceBuiltins,
    AsyncBuiltins,
    Functions,
    CodeBytes,
    DataBytes,
    Tables,
    Globals,
    Tags,
}

impl Count {
    /// For people: one and many.
    fn nouns(self) -> (&'static str, &'static str) {
        match self {
            Count::Imports => ("import", "imports"),
            Count::Exports => ("export", "exports"),
            Count::CoreInstances => ("core instance", "core instances"),
            Count::Instances => ("instance", "instances"),
            Count::Lifts => ("lift", "lifts"),
            Count::Lowers => ("lower", "lowers"),
            Count::ResourceBuiltins => ("resource built-in", "resource built-ins"),
            Count::AsyncBuiltins => ("other built-in", "other built-ins"),
            Count::Functions => ("function", "functions"),
            Count::CodeBytes => ("byte of code", "bytes of code"),
            Count::DataBytes => ("byte of data", "bytes of data"),
            Count::Tables => ("table", "tables"),
            Count::Globals => ("global", "globals"),
            Count::Tags => ("tag", "tags"),
        }
    }

    /// For JSON.
    fn key(self) -> &'static str {
        match self {
            Count::Imports => "imports",
            Count::Exports => "exports",
            Count::CoreInstances => "core_instances",
            Count::Instances => "instances",
            Count::Lifts => "lifts",
            Count::Lowers => "lowers",
            Count::ResourceBuiltins => "resource_builtins",
            Count::AsyncBuiltins => "other_builtins",
            Count::Functions => "functions",
            Count::CodeBytes => "code_bytes",
            Count::DataBytes => "data_bytes",
            Count::Tables => "tables",
            Count::Globals => "globals",
            Count::Tags => "tags",
        }
    }
}

/// The tree of a component or module.
pub fn of(bytes: &[u8]) -> Result<Node> {
    let mut open: Vec<Node> = Vec::new();
    let mut starting = 0..bytes.len() as u64;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::Version { encoding, .. } => open.push(Node {
                is_module: encoding == Encoding::Module,
                bytes: starting.end.saturating_sub(starting.start),
                ..Node::default()
            }),
            Payload::ModuleSection {
                unchecked_range, ..
            }
            | Payload::ComponentSection {
                unchecked_range, ..
            } => {
                starting = unchecked_range;
            }
            Payload::End(_) => {
                let Some(done) = open.pop() else { break };
                match open.last_mut() {
                    Some(parent) => parent.adopt(done),
                    None => return Ok(done),
                }
            }
            payload => {
                if let Some(node) = open.last_mut() {
                    node.payload(payload)?;
                }
            }
        }
    }
    Err(Error::msg("the file ends in the middle of something"))
}

impl Node {
    fn adopt(&mut self, part: Node) {
        let place = Some(self.parts.len());
        match part.is_module {
            true => self.modules.push(place),
            false => self.components.push(place),
        }
        self.parts.push(part);
    }

    fn count(&mut self, what: Count, by: impl Into<u64>) {
        *self.counts.entry(what).or_default() += by.into();
    }

    fn payload(&mut self, payload: Payload<'_>) -> Result<()> {
        match payload {
            Payload::ImportSection(s) => {
                self.count(Count::Imports, s.into_imports().count() as u64)
            }
            Payload::FunctionSection(s) => self.count(Count::Functions, s.count()),
            Payload::TableSection(s) => self.count(Count::Tables, s.count()),
            Payload::TagSection(s) => self.count(Count::Tags, s.count()),
            Payload::GlobalSection(s) => self.count(Count::Globals, s.count()),
            Payload::ExportSection(s) => self.count(Count::Exports, s.count()),
            Payload::CodeSectionStart { size, .. } => self.count(Count::CodeBytes, size),
            Payload::DataSection(s) => {
                for data in s {
                    self.count(Count::DataBytes, data?.data.len() as u64);
                }
            }
            Payload::MemorySection(s) => {
                for memory in s {
                    let memory = memory?;
                    self.memories
                        .push((memory.initial, memory.maximum, memory.memory64));
                }
            }
            Payload::InstanceSection(s) => self.count(Count::CoreInstances, s.count()),
            Payload::ComponentInstanceSection(s) => self.count(Count::Instances, s.count()),
            Payload::ComponentImportSection(s) => {
                self.count(Count::Imports, s.count());
                for import in s {
                    self.other_item(import?.ty.kind());
                }
            }
            Payload::ComponentExportSection(s) => {
                self.count(Count::Exports, s.count());
                // An export is an item of its own.
                for export in s {
                    self.other_item(export?.kind);
                }
            }
            Payload::ComponentAliasSection(s) => {
                for alias in s {
                    self.alias(&alias?);
                }
            }
            Payload::ComponentCanonicalSection(s) => {
                for canon in s.into_iter().map_while(|canon| canon.ok()) {
                    self.count(kind_of(&canon), 1u32);
                }
            }
            Payload::CustomSection(s) => self.custom_section(&s),
            _ => {}
        }
        Ok(())
    }

    /// A component or module that does not stand here takes an index all the same.
    fn other_item(&mut self, kind: ComponentExternalKind) {
        match kind {
            ComponentExternalKind::Module => self.modules.push(None),
            ComponentExternalKind::Component => self.components.push(None),
            _ => {}
        }
    }

    fn alias(&mut self, alias: &wasmparser::ComponentAlias<'_>) {
        use wasmparser::ComponentOuterAliasKind as Outer;
        match alias {
            wasmparser::ComponentAlias::InstanceExport { kind, .. } => self.other_item(*kind),
            wasmparser::ComponentAlias::Outer {
                kind: Outer::CoreModule,
                ..
            } => self.modules.push(None),
            wasmparser::ComponentAlias::Outer {
                kind: Outer::Component,
                ..
            } => self.components.push(None),
            _ => {}
        }
    }

    /// What is malformed in a custom section is left out.
    fn custom_section(&mut self, section: &CustomSectionReader<'_>) {
        let Range { start, end } = section.range();
        *self.custom.entry(section.name().to_owned()).or_default() += end.saturating_sub(start);
        match section.as_known() {
            KnownCustom::Name(names) => {
                for name in names.into_iter().map_while(|name| name.ok()) {
                    if let Name::Module { name, .. } = name {
                        self.name = Some(name.to_owned());
                    }
                }
            }
            KnownCustom::ComponentName(names) => {
                for name in names.into_iter().map_while(|name| name.ok()) {
                    match name {
                        ComponentName::Component { name, .. } => self.name = Some(name.to_owned()),
                        ComponentName::CoreModules(map) => self.name_parts(map, true),
                        ComponentName::Components(map) => self.name_parts(map, false),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }

    fn name_parts(&mut self, names: wasmparser::NameMap<'_>, modules: bool) {
        let names: HashMap<u32, &str> = names
            .into_iter()
            .map_while(|n| n.ok())
            .map(|n| (n.index, n.name))
            .collect();
        let places = if modules {
            &self.modules
        } else {
            &self.components
        };
        for (index, place) in places.iter().enumerate() {
            let name = u32::try_from(index)
                .ok()
                .and_then(|index| names.get(&index));
            let part = place.and_then(|place| self.parts.get_mut(place));
            if let (Some(name), Some(part)) = (name, part) {
                part.name.get_or_insert_with(|| (*name).to_owned());
            }
        }
    }

    fn noun(&self) -> &'static str {
        if self.is_module {
            "core module"
        } else {
            "component"
        }
    }

    /// For people: a line for it, and its parts further in.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Trees are as deep as the decoder allows at most: 100.
        self.write(&mut out, 0);
        out
    }

    fn write(&self, out: &mut String, depth: usize) {
        let name = self
            .name
            .as_ref()
            .map(|name| format!(" `{name}`"))
            .unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "{:indent$}{}{name}, {} bytes",
            "",
            self.noun(),
            grouped(self.bytes),
            indent = depth * 2
        );
        let mut facts: Vec<String> = self
            .counts
            .iter()
            .filter(|(_, n)| **n > 0)
            .map(|(what, &n)| {
                let (one, many) = what.nouns();
                format!("{} {}", grouped(n), if n == 1 { one } else { many })
            })
            .collect();
        for (initial, most, wide) in &self.memories {
            let most = most
                .map(|most| format!(" to {}", grouped(most)))
                .unwrap_or_default();
            let wide = if *wide { ", 64 bits" } else { "" };
            let pages = if (*initial, &*most) == (1, "") {
                "page"
            } else {
                "pages"
            };
            facts.push(format!(
                "a memory of {}{most} {pages}{wide}",
                grouped(*initial)
            ));
        }
        if !self.custom.is_empty() {
            let each: Vec<String> = self
                .custom
                .iter()
                .map(|(name, bytes)| format!("{name} {}", grouped(*bytes)))
                .collect();
            facts.push(format!("custom sections ({})", each.join(", ")));
        }
        let _ = writeln!(
            out,
            "{}{}",
            if facts.is_empty() { "" } else { ": " },
            facts.join(", ")
        );
        for part in &self.parts {
            part.write(out, depth + 1);
        }
    }

    /// For `--json`.
    pub fn json(&self) -> Value {
        let mut object = Map::new();
        object.insert(
            "kind".into(),
            if self.is_module {
                "module"
            } else {
                "component"
            }
            .into(),
        );
        object.insert("name".into(), self.name.as_deref().into());
        object.insert("bytes".into(), self.bytes.into());
        for (what, n) in &self.counts {
            object.insert(what.key().into(), (*n).into());
        }
        if self.is_module {
            let memory = |&(initial, most, wide): &(u64, Option<u64>, bool)| json!({"initial_pages": initial, "maximum_pages": most, "memory64": wide});
            object.insert(
                "memories".into(),
                self.memories.iter().map(memory).collect(),
            );
        } else {
            object.insert("parts".into(), self.parts.iter().map(Node::json).collect());
        }
        let custom = self
            .custom
            .iter()
            .map(|(name, bytes)| (name.clone(), Value::from(*bytes)));
        object.insert("custom_sections".into(), Value::Object(custom.collect()));
        Value::Object(object)
    }
}

fn kind_of(canon: &CanonicalFunction) -> Count {
    use CanonicalFunction as C;
    match canon {
        C::Lift { .. } => Count::Lifts,
        C::Lower { .. } => Count::Lowers,
        C::ResourceNew { .. } | C::ResourceDrop { .. } | C::ResourceRep { .. } => {
            Count::ResourceBuiltins
        }
        _ => Count::AsyncBuiltins,
    }
}

/// What there is to say about a core module.
pub struct Module {
    pub tree: Node,
    pub links: Links,
}

/// A core module by itself; validated, as nothing else here has been.
pub fn module(bytes: &[u8]) -> Result<Module> {
    let features = wasmparser::WasmFeatures::all();
    wasmparser::Validator::new_with_features(features).validate_all(bytes)?;
    let mut links = Links::default();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ImportSection(s) => {
                for import in s.into_imports() {
                    let import = import?;
                    let from_wasi = import.module == "wasi_snapshot_preview1";
                    links.imports.push(Import {
                        name: format!("{}#{}", import.module, import.name),
                        what: noun(&import.ty).into(),
                        supply: if from_wasi {
                            Supply::Adapter
                        } else {
                            Supply::Unknown(Vec::new())
                        },
                        parts: Vec::new(),
                    });
                }
            }
            Payload::ExportSection(s) => {
                for export in s {
                    let export = export?;
                    let what = format!("core {:?}", export.kind).to_lowercase();
                    links.exports.push((export.name.to_owned(), what));
                }
            }
            _ => {}
        }
    }
    Ok(Module {
        tree: of(bytes)?,
        links,
    })
}

fn noun(ty: &TypeRef) -> &'static str {
    match ty {
        TypeRef::Func(_) | TypeRef::FuncExact(_) => "core func",
        TypeRef::Table(_) => "core table",
        TypeRef::Memory(_) => "core memory",
        TypeRef::Global(_) => "core global",
        TypeRef::Tag(_) => "core tag",
    }
}

impl Module {
    /// What can be done with it.
    pub fn advice(&self) -> String {
        let adaptable = self
            .links
            .imports
            .iter()
            .all(|import| matches!(import.supply, Supply::Adapter));
        let is_command = self.links.exports.iter().any(|(name, _)| name == "_start");
        match (adaptable, is_command) {
            (true, true) => "It is a command of WASI 0.1: `helve run` runs it as it is.".into(),
            (true, false) => {
                "It imports nothing but WASI 0.1: `helve run --invoke` can't call core \
                              functions; make a component of it, for instance with wit-component."
                    .into()
            }
            (false, _) => {
                "It imports more than WASI 0.1: make a component of it, for instance with \
                           wit-component."
                    .into()
            }
        }
    }
}
