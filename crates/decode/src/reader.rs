//! One pass over the bytes: parse, validate, and keep every component's definitions.
//!
//! ```text
//!  component 0 (root):  [def, def, Component(1), def, Instance(..), ...]
//!  component 1:         [def, CoreModule(0), ...]
//!  module 0:            byte range, imports, which exported memories are 64 bits wide
//! ```
//!
//! `wasmparser`'s validator sees each payload before we do, so everything kept is valid
//! (the bodies of core functions aside, see [`crate::Options`]). Nested components are
//! walked with a stack of our own, never with the host's.
//!
//! Not here: what definitions mean (`resolve`).

use crate::error::{DecodeError, bug, invalid, limit, refused};
use crate::plan::{CoreKind, ModuleImport, StaticModule, StaticModuleId};
use crate::{Options, cancellable, unique_names};
use helve_base::{Error, PrimaryMap, Result, entity_impl};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use wasmparser::{
    BinaryReader, CanonicalFunction, ComponentAlias, ComponentCanonicalSectionReader,
    ComponentExport, ComponentImport, ComponentInstance, ComponentName, ComponentNameSectionReader,
    ComponentType, CoreType, Encoding, ExternalKind, FromReader, FuncValidatorAllocations,
    Instance, KnownCustom, Parser, Payload, SectionLimited, TypeRef, ValidPayload, Validator,
};

/// A component that is defined somewhere in the bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ComponentDefId(u32);
entity_impl!(ComponentDefId, "component_def");

/// One definition of a component, in the spec's nouns.
#[derive(Clone, Debug)]
pub(crate) enum Def<'a> {
    CoreModule(StaticModuleId),
    CoreInstance(Instance<'a>),
    CoreType(CoreType<'a>),
    Component(ComponentDefId),
    Instance(ComponentInstance<'a>),
    Alias(ComponentAlias<'a>),
    Type(ComponentType<'a>),
    /// With whether it is `cancellable`.
    Canon(CanonicalFunction, bool),
    Start,
    Import(ComponentImport<'a>),
    Export(ComponentExport<'a>),
}

/// A component as it stands in the bytes.
#[derive(Debug, Default)]
pub(crate) struct ComponentDef<'a> {
    /// Its definitions, each with its offset in the bytes.
    pub defs: Vec<(Def<'a>, u64)>,
    /// What the name section calls it.
    pub name: Option<&'a str>,
    /// What the name section calls its component instances.
    pub instance_names: HashMap<u32, &'a str>,
    /// What the name section calls its core instances.
    pub core_instance_names: HashMap<u32, &'a str>,
    /// What the name section calls its types.
    pub type_names: HashMap<u32, &'a str>,
}

/// What the resolver has to know about a core module beside its place.
#[derive(Debug, Default)]
pub(crate) struct ModuleFacts {
    /// The exported memories and tables whose addresses or indices are 64 bits wide.
    pub wide: HashSet<Arc<str>>,
}

/// Everything that stands in the bytes.
#[derive(Debug, Default)]
pub(crate) struct Bytes<'a> {
    /// Every component; the first is the root.
    pub components: PrimaryMap<ComponentDefId, ComponentDef<'a>>,
    /// Every core module.
    pub modules: PrimaryMap<StaticModuleId, StaticModule>,
    /// The same order as `modules`.
    pub facts: PrimaryMap<StaticModuleId, ModuleFacts>,
}

/// Parses files that were validated before, one after the other: the ids of the second
/// one's components and modules go on where those of the first end. With the root of each.
pub(crate) fn read_again<'a>(
    files: &[&'a [u8]],
    options: &Options,
) -> Result<(Bytes<'a>, Vec<ComponentDefId>)> {
    let (mut bytes, mut roots) = (Bytes::default(), Vec::new());
    for file in files {
        let root = bytes.components.len();
        bytes = walk(file, options, false, bytes)?;
        let root = bytes.components.keys().nth(root);
        roots.push(root.ok_or_else(|| bug("a file without a component"))?);
    }
    Ok((bytes, roots))
}

/// Parses and validates `bytes`.
pub(crate) fn read<'a>(bytes: &'a [u8], options: &Options) -> Result<Bytes<'a>> {
    if Parser::is_core_wasm(bytes) {
        return Err(Error::new(DecodeError::CoreModule));
    }
    if !Parser::is_component(bytes) && !bytes.starts_with(b"\0asm") {
        return Err(Error::new(DecodeError::NotWasm));
    }
    match walk(bytes, options, true, Bytes::default()) {
        Err(error) if unique_names::is_stricter_than_spec(&error, options) => {
            let copy = unique_names::respell(bytes, options)?;
            walk(&copy, options, true, Bytes::default()).map_err(unique_names::original)?;
            walk(bytes, options, false, Bytes::default())
        }
        done => done,
    }
}

/// One pass, with or without validation; adds to `found`.
fn walk<'a>(
    bytes: &'a [u8],
    options: &Options,
    validate: bool,
    found: Bytes<'a>,
) -> Result<Bytes<'a>> {
    let features = options.features.to_wasmparser();
    let mut parser = Parser::new(0);
    parser.set_features(features);
    let mut reader = Reader {
        options,
        source: bytes,
        validator: validate.then(|| Validator::new_with_features(features)),
        allocations: FuncValidatorAllocations::default(),
        bytes: found,
        open: Vec::new(),
        starting: None,
    };
    for payload in parser.parse_all(bytes) {
        reader.payload(payload.map_err(|e| invalid(&e))?)?;
    }
    Ok(reader.bytes)
}

/// A component or core module whose end has not been read yet.
enum Open {
    Component(ComponentDefId),
    Module(ModuleScan),
}

/// A core module whose end has not been read yet.
#[derive(Default)]
struct ModuleScan {
    range: Range<usize>,
    imports: Vec<ModuleImport>,
    memories64: Vec<bool>,
    tables64: Vec<bool>,
    wide_exports: HashSet<Arc<str>>,
}

/// The walk's state.
struct Reader<'a, 'o> {
    options: &'o Options,
    source: &'a [u8],
    /// None where the bytes are known to be valid.
    validator: Option<Validator>,
    allocations: FuncValidatorAllocations,
    bytes: Bytes<'a>,
    open: Vec<Open>,
    /// Where the module or component that comes next stands; none for the root.
    starting: Option<Range<u64>>,
}

impl<'a> Reader<'a, '_> {
    fn payload(&mut self, payload: Payload<'a>) -> Result<()> {
        if let Payload::ComponentCanonicalSection(section) = payload {
            return self.canonical_section(section);
        }
        self.validate(&payload).map_err(|e| invalid(&e))?;
        match payload {
            Payload::Version {
                encoding, range, ..
            } => self.begin(encoding, range.start),
            Payload::End(_) => self.end(),
            Payload::ModuleSection {
                unchecked_range, ..
            }
            | Payload::ComponentSection {
                unchecked_range, ..
            } => {
                self.starting = Some(unchecked_range);
                Ok(())
            }
            Payload::InstanceSection(s) => self.keep(s, Def::CoreInstance),
            Payload::CoreTypeSection(s) => self.keep(s, Def::CoreType),
            Payload::ComponentInstanceSection(s) => self.keep(s, Def::Instance),
            Payload::ComponentAliasSection(s) => self.keep(s, Def::Alias),
            Payload::ComponentTypeSection(s) => self.keep(s, Def::Type),
            Payload::ComponentImportSection(s) => self.keep(s, Def::Import),
            Payload::ComponentExportSection(s) => self.keep(s, Def::Export),
            Payload::ComponentStartSection { range, .. } => {
                self.push_to_parent(Def::Start, range.start);
                Ok(())
            }
            Payload::CustomSection(s) => {
                if let KnownCustom::ComponentName(names) = s.as_known() {
                    self.names(names);
                }
                Ok(())
            }
            other => match self.open.last_mut() {
                Some(Open::Module(scan)) => scan.payload(other).map_err(|e| invalid(&e)),
                _ => Ok(()),
            },
        }
    }

    fn validate(&mut self, payload: &Payload<'a>) -> Result<(), wasmparser::Error> {
        let Some(validator) = &mut self.validator else {
            return Ok(());
        };
        if let ValidPayload::Func(func, body) = validator.payload(payload)?
            && self.options.validate_bodies
        {
            let allocations = std::mem::take(&mut self.allocations);
            let mut func = func.into_validator(allocations);
            func.validate(&body)?;
            self.allocations = func.into_allocations();
        }
        Ok(())
    }

    /// The header of a module or component.
    fn begin(&mut self, encoding: Encoding, offset: u64) -> Result<()> {
        let range = self.starting.take();
        if encoding == Encoding::Module {
            let range = range.ok_or_else(|| bug("a core module as the root"))?;
            let (Ok(start), Ok(end)) = (usize::try_from(range.start), usize::try_from(range.end))
            else {
                return Err(limit("the file is larger than memory can be", offset));
            };
            self.open.push(Open::Module(ModuleScan {
                range: start..end,
                ..ModuleScan::default()
            }));
            return Ok(());
        }
        let most = self.options.limits.component_nesting;
        if self.open.len() >= most {
            let message = format!("components nested more than {most} levels deep");
            return Err(limit(message, offset));
        }
        let id = self.bytes.components.push(ComponentDef::default());
        self.push_to_parent(Def::Component(id), offset);
        self.open.push(Open::Component(id));
        Ok(())
    }

    /// The end of a module or component.
    fn end(&mut self) -> Result<()> {
        if let Some(Open::Module(scan)) = self.open.pop() {
            let offset = scan.range.start as u64;
            let id = self.bytes.modules.push(StaticModule {
                range: scan.range,
                imports: scan.imports.into(),
            });
            self.bytes.facts.push(ModuleFacts {
                wide: scan.wide_exports,
            });
            self.push_to_parent(Def::CoreModule(id), offset);
        }
        Ok(())
    }

    fn push_to_parent(&mut self, def: Def<'a>, offset: u64) {
        if let Some(Open::Component(parent)) = self.open.last() {
            self.bytes.components[*parent].defs.push((def, offset));
        }
    }

    /// Keeps every item of a section.
    fn keep<T: FromReader<'a>>(
        &mut self,
        section: SectionLimited<'a, T>,
        def: fn(T) -> Def<'a>,
    ) -> Result<()> {
        for item in section.into_iter_with_offsets() {
            let (offset, item) = item.map_err(|e| invalid(&e))?;
            self.push_to_parent(def(item), offset);
        }
        Ok(())
    }

    /// A canonical section, with and without its `cancellable` flags.
    fn canonical_section(&mut self, section: ComponentCanonicalSectionReader<'a>) -> Result<()> {
        let range = section.range();
        let bytes = usize::try_from(range.start)
            .ok()
            .zip(usize::try_from(range.end).ok())
            .and_then(|(start, end)| self.source.get(start..end));
        let features = self.options.features.to_wasmparser();
        let unmarked = match bytes.map(|bytes| cancellable::unmark(bytes, features)) {
            Some(Ok(Some(unmarked))) => unmarked,
            Some(Err(message)) => return Err(refused(message, range.start)),
            _ => return self.canonical_definitions(section, &HashSet::new()),
        };
        let reader = BinaryReader::new_features(&unmarked.bytes, range.start, features);
        let section = SectionLimited::new(reader).map_err(|e| invalid(&e))?;
        self.canonical_definitions(section, &unmarked.cancellable)
    }

    fn canonical_definitions(
        &mut self,
        section: ComponentCanonicalSectionReader<'_>,
        cancellable: &HashSet<usize>,
    ) -> Result<()> {
        if let Some(validator) = &mut self.validator {
            let validated = validator.component_canonical_section(&section);
            validated.map_err(|e| invalid(&e))?;
        }
        for (i, item) in section.into_iter_with_offsets().enumerate() {
            let (offset, item) = item.map_err(|e| invalid(&e))?;
            self.push_to_parent(Def::Canon(item, cancellable.contains(&i)), offset);
        }
        Ok(())
    }

    /// The name section; what is malformed in it is not the component's fault.
    fn names(&mut self, names: ComponentNameSectionReader<'a>) {
        let Some(Open::Component(id)) = self.open.last() else {
            return;
        };
        let component = &mut self.bytes.components[*id];
        for name in names.into_iter().map_while(|name| name.ok()) {
            let (map, names) = match name {
                ComponentName::Instances(names) => (&mut component.instance_names, names),
                ComponentName::CoreInstances(names) => (&mut component.core_instance_names, names),
                ComponentName::Types(names) => (&mut component.type_names, names),
                ComponentName::Component { name, .. } => {
                    component.name = Some(name);
                    continue;
                }
                _ => continue,
            };
            map.extend(
                names
                    .into_iter()
                    .map_while(|n| n.ok())
                    .map(|n| (n.index, n.name)),
            );
        }
    }
}

impl ModuleScan {
    fn payload(&mut self, payload: Payload<'_>) -> Result<(), wasmparser::Error> {
        match payload {
            Payload::ImportSection(section) => {
                let mut last: Option<Arc<str>> = None;
                for import in section.into_imports() {
                    let import = import?;
                    let module = match last.take() {
                        Some(last) if &*last == import.module => last,
                        _ => import.module.into(),
                    };
                    last = Some(module.clone());
                    match import.ty {
                        TypeRef::Memory(ty) => self.memories64.push(ty.memory64),
                        TypeRef::Table(ty) => self.tables64.push(ty.table64),
                        _ => {}
                    }
                    self.imports.push(ModuleImport {
                        module,
                        name: import.name.into(),
                        kind: type_ref_kind(&import.ty),
                    });
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    self.memories64.push(memory?.memory64);
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    self.tables64.push(table?.ty.table64);
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    let wide = match export.kind {
                        ExternalKind::Memory => self.memories64.get(export.index as usize),
                        ExternalKind::Table => self.tables64.get(export.index as usize),
                        _ => None,
                    };
                    if wide == Some(&true) {
                        self.wide_exports.insert(export.name.into());
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// The kind of thing that a core type describes.
pub(crate) fn type_ref_kind(ty: &TypeRef) -> CoreKind {
    match ty {
        TypeRef::Func(_) | TypeRef::FuncExact(_) => CoreKind::Func,
        TypeRef::Table(_) => CoreKind::Table,
        TypeRef::Memory(_) => CoreKind::Memory,
        TypeRef::Global(_) => CoreKind::Global,
        TypeRef::Tag(_) => CoreKind::Tag,
    }
}

/// The kind of thing that a core export or alias names.
pub(crate) fn external_kind(kind: ExternalKind) -> CoreKind {
    match kind {
        ExternalKind::Func | ExternalKind::FuncExact => CoreKind::Func,
        ExternalKind::Table => CoreKind::Table,
        ExternalKind::Memory => CoreKind::Memory,
        ExternalKind::Global => CoreKind::Global,
        ExternalKind::Tag => CoreKind::Tag,
    }
}
