//! Compiled core modules.
//!
//! ```text
//!  bytes --translate, compile--> ModuleInner { info, slots, type ids, data } ---> any store's instances
//!                                      |
//!                                  CodeMemory --tag--> ModuleCode (names, offsets: backtraces)
//! ```
//!
//! `slots` holds addresses in `code`, which lives as long as the module does. Lazily, they
//! are stubs first, and `CodeMemory` is `LazyModule`'s regions.

use crate::core::config::CompileMode;
use crate::core::engine::Engine;
use crate::core::image::ModuleImages;
use crate::core::lazy::LazyModule;
use crate::core::slots::Slots;
use crate::core::types::TypeRegistry;
use helve_base::core_type::*;
use helve_base::id::*;
use helve_base::{Bug, Error, Handler, PrimaryMap, Result, Trap, error::Context as _};
use helve_compile::artifact_file::Locations;
use helve_compile::module::EntityIndex;
use helve_compile::{Bytes, FunctionRange};
use helve_vm::code::{CodeMemory, Tables};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// A compiled core module. Cheap to clone.
///
/// ```
/// # use helve::{Engine, Config, core::Module};
/// # let engine = Engine::new(&Config::new())?;
/// let module = Module::new(&engine, r#"(module (func (export "f")) (memory (export "m") 1))"#)?;
/// let exports: Vec<&str> = module.exports().map(|(name, _)| name).collect();
/// assert_eq!(exports, ["f", "m"]);
/// # Ok::<(), helve::Error>(())
/// ```
#[derive(Clone)]
pub struct Module(Arc<ModuleInner>);

pub(crate) struct ModuleInner {
    engine: Engine,
    pub info: Arc<helve_compile::Module>,
    /// Engine-wide types, by the module's own index.
    types: PrimaryMap<TypeIndex, FuncType>,
    /// Their ids; instances' contexts point here.
    pub type_ids: Box<[u32]>,
    /// Addresses of the defined functions' code; instances' contexts point here.
    pub slots: Arc<Slots>,
    /// The whole file that the module is a part of.
    pub bytes: Arc<[u8]>,
    /// Where it starts there.
    pub start: usize,
    /// Data segments as ranges of `bytes`.
    pub data: Vec<Range<usize>>,
    pub code: ModuleMemory,
    /// First contents of its memories.
    pub images: ModuleImages,
}

/// Where a module's code is.
pub(crate) enum ModuleMemory {
    /// Compiled ahead, as a whole.
    Image(Arc<CodeMemory>),
    /// Function by function, when called.
    Lazy(Arc<LazyModule>),
}

/// What was compiled is kept before the last user's handle is gone: the thread that compiles
/// beside guests may hold the code for a moment longer, and the process may end in it.
impl Drop for ModuleInner {
    fn drop(&mut self) {
        if let ModuleMemory::Lazy(lazy) = &self.code {
            lazy.write();
        }
    }
}

/// What a backtrace needs to know about a module's code; the tag of its `CodeMemory`.
pub(crate) struct ModuleCode {
    pub info: Arc<helve_compile::Module>,
    pub functions: PrimaryMap<DefinedFuncIndex, FunctionRange>,
    pub locations: Locations,
}

/// Machine code of a module that is not published yet.
pub(crate) struct ModuleImage<'a> {
    pub image: &'a [u8],
    pub functions: PrimaryMap<DefinedFuncIndex, FunctionRange>,
    pub traps: Vec<(u32, Trap)>,
    pub handlers: Vec<Handler>,
    pub locations: Locations,
}

impl ModuleCode {
    /// The function whose code `offset` is in.
    pub fn function_at(&self, offset: u32) -> Option<FuncIndex> {
        let ranges = self.functions.as_values_slice();
        let i = ranges
            .partition_point(|range| range.start <= offset)
            .checked_sub(1)?;
        let range = ranges.get(i)?;
        let defined = DefinedFuncIndex::from_u32(u32::try_from(i).ok()?);
        (offset - range.start < range.len).then(|| self.info.func_index(defined))
    }

    /// The offset in the module of the instruction that trapped at `offset` in the code,
    /// or whose call returns there.
    pub fn wasm_offset(&self, offset: u32) -> Option<u32> {
        self.locations.at(offset)
    }
}

impl Module {
    /// Compiles a module, given as a binary or (with feature `wat`) as text.
    ///
    /// # Errors
    ///
    /// Where it is malformed, invalid, or uses features that are off.
    pub fn new(engine: &Engine, bytes: impl AsRef<[u8]>) -> Result<Module> {
        let bytes = bytes.as_ref();
        #[cfg(feature = "wat")]
        if !bytes.starts_with(b"\0asm") {
            let binary = wat::parse_bytes(bytes)?;
            return Module::from_binary(engine, &binary);
        }
        Module::from_binary(engine, bytes)
    }

    /// Compiles the module in a file: see [`Module::new`].
    ///
    /// # Errors
    ///
    /// Where the file can't be read, and those of [`Module::new`].
    pub fn from_file(engine: &Engine, path: impl AsRef<Path>) -> Result<Module> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        Module::new(engine, bytes).with_context(|| format!("compiling {}", path.display()))
    }

    /// Compiles a binary module.
    ///
    /// # Errors
    ///
    /// Those of [`Module::new`].
    pub fn from_binary(engine: &Engine, bytes: &[u8]) -> Result<Module> {
        let bytes: Arc<[u8]> = bytes.into();
        let range = 0..bytes.len();
        Module::from_range(engine, bytes, range)
    }

    /// Compiles the module that is a part of a bigger file.
    pub(crate) fn from_range(
        engine: &Engine,
        bytes: Arc<[u8]>,
        range: Range<usize>,
    ) -> Result<Module> {
        let start = range.start;
        let part = Bytes::from(&bytes).slice(range);
        let part = part.ok_or_else(|| Error::msg("a module outside of its file"))?;
        let features = engine.config().features;
        if engine.config().compile == CompileMode::Lazy {
            let lazy = LazyModule::new(engine, part)?;
            let info = lazy.translation().module().clone();
            let slots = lazy.slots().clone();
            let code = ModuleMemory::Lazy(lazy);
            return Module::assemble(engine, info, bytes, start, slots, code);
        }
        let translation = helve_compile::translate(part, features)?;
        let compiled = engine.compiler().compile_module(&translation)?;
        let code = ModuleImage {
            image: &compiled.image,
            functions: compiled.functions,
            traps: compiled.traps,
            handlers: compiled.handlers,
            locations: compiled.locations.into(),
        };
        Module::publish(engine, translation.module().clone(), bytes, start, code)
    }

    /// Makes a module of its code. It starts at `start` in `bytes`.
    pub(crate) fn publish(
        engine: &Engine,
        info: Arc<helve_compile::Module>,
        bytes: Arc<[u8]>,
        start: usize,
        compiled: ModuleImage<'_>,
    ) -> Result<Module> {
        let functions = compiled
            .functions
            .values()
            .map(|range| (range.start, range.len))
            .collect();
        let starts: Vec<u32> = compiled
            .functions
            .values()
            .map(|range| range.start)
            .collect();
        let tag = Arc::new(ModuleCode {
            info: info.clone(),
            functions: compiled.functions,
            locations: compiled.locations,
        });
        let tables = Tables {
            traps: compiled.traps,
            handlers: compiled.handlers,
            functions,
            ..Tables::default()
        };
        let code = CodeMemory::publish(compiled.image, tables, tag.clone())?;
        if let Some(profile) = engine.profile() {
            for (func, range) in tag.functions.iter() {
                let bytes = compiled.image.get(range.start as usize..);
                let bytes = bytes.and_then(|bytes| bytes.get(..range.len as usize));
                let name = profile_name(&info, info.func_index(func));
                profile.add(&name, code.address(range.start), bytes.unwrap_or(&[]));
            }
        }
        let slots = starts.into_iter().map(|start| code.address(start));
        let slots = Arc::new(Slots::new(slots));
        Module::assemble(engine, info, bytes, start, slots, ModuleMemory::Image(code))
    }

    /// Makes a module of its parts.
    fn assemble(
        engine: &Engine,
        info: Arc<helve_compile::Module>,
        bytes: Arc<[u8]>,
        start: usize,
        slots: Arc<Slots>,
        code: ModuleMemory,
    ) -> Result<Module> {
        let (types, type_ids) = engine_types(engine, &info)?;
        let data = info.data.values().map(|segment| {
            let Range {
                start: from,
                end: to,
            } = segment.range;
            from.saturating_add(start)..to.saturating_add(start)
        });
        let data = data.collect();
        let engine = engine.clone();
        Ok(Module(Arc::new(ModuleInner {
            engine,
            info,
            types,
            type_ids,
            slots,
            bytes,
            start,
            data,
            code,
            images: ModuleImages::default(),
        })))
    }

    /// The engine it was compiled with.
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// What it calls itself.
    pub fn name(&self) -> Option<&str> {
        self.0.info.module_name.as_deref()
    }

    /// What it imports: module, name, type.
    pub fn imports(&self) -> impl ExactSizeIterator<Item = (&str, &str, ExternType)> {
        self.0.info.imports.iter().map(|import| {
            (
                &*import.module,
                &*import.name,
                self.entity_type(import.entity),
            )
        })
    }

    /// What it exports: name, type.
    pub fn exports(&self) -> impl ExactSizeIterator<Item = (&str, ExternType)> {
        self.0
            .info
            .exports
            .iter()
            .map(|export| (&*export.name, self.entity_type(export.entity)))
    }

    /// The type of the export with this name.
    pub fn get_export(&self, name: &str) -> Option<ExternType> {
        Some(self.entity_type(self.0.info.export(name)?))
    }

    pub(crate) fn inner(&self) -> &Arc<ModuleInner> {
        &self.0
    }
}

impl ModuleInner {
    /// The engine-wide id of a function's type.
    pub fn func_type_id(&self, func: FuncIndex) -> Option<u32> {
        let ty = self.info.functions.get(func)?;
        self.type_ids.get(ty.as_u32() as usize).copied()
    }

    /// The engine-wide id of a tag's type.
    pub fn tag_type_id(&self, tag: TagIndex) -> Option<u32> {
        let ty = self.info.tags.get(tag)?;
        self.type_ids.get(ty.as_u32() as usize).copied()
    }

    /// A reference type of the module's, engine-wide.
    pub fn ref_type(&self, ty: RefType) -> RefType {
        RefType {
            heap: self.heap_type(ty.heap),
            ..ty
        }
    }

    /// A value type of the module's, engine-wide.
    pub fn val_type(&self, ty: ValType) -> ValType {
        match ty {
            ValType::Ref(ty) => ValType::Ref(self.ref_type(ty)),
            other => other,
        }
    }

    fn heap_type(&self, heap: HeapType) -> HeapType {
        match heap {
            HeapType::ConcreteFunc(local) => match self.type_ids.get(local.as_u32() as usize) {
                Some(&id) => HeapType::ConcreteFunc(SharedTypeId::from_u32(id)),
                None => HeapType::NoFunc,
            },
            other => other,
        }
    }
}

impl Module {
    /// The engine-wide type of anything in the module.
    pub(crate) fn entity_type(&self, entity: EntityIndex) -> ExternType {
        let info = &self.0.info;
        match entity {
            EntityIndex::Func(i) => ExternType::Func(self.0.types[info.functions[i]].clone()),
            EntityIndex::Tag(i) => ExternType::Tag(self.0.types[info.tags[i]].clone()),
            EntityIndex::Table(i) => {
                let ty = info.tables[i];
                ExternType::Table(TableType {
                    element: self.0.ref_type(ty.element),
                    ..ty
                })
            }
            EntityIndex::Memory(i) => ExternType::Memory(info.memories[i]),
            EntityIndex::Global(i) => {
                let ty = info.globals[i];
                ExternType::Global(GlobalType {
                    content: self.0.val_type(ty.content),
                    ..ty
                })
            }
        }
    }
}

/// What profilers call a function.
pub(crate) fn profile_name(info: &helve_compile::Module, func: FuncIndex) -> String {
    let name = info.func_display_name(func);
    let module = info.module_name.as_deref().unwrap_or("wasm");
    format!("{module}!{:#}", rustc_demangle::demangle(&name))
}

type Types = PrimaryMap<TypeIndex, FuncType>;

/// The module's types with engine-wide ids inside, and the id of each.
fn engine_types(engine: &Engine, info: &helve_compile::Module) -> Result<(Types, Box<[u32]>)> {
    let mut ids: Vec<SharedTypeId> = Vec::with_capacity(info.types.len());
    let mut all = info.types.values();
    for &count in &info.type_groups {
        let start = ids.len();
        let heap = |heap: HeapType| -> Result<HeapType> {
            let HeapType::ConcreteFunc(local) = heap else {
                return Ok(heap);
            };
            let local = local.as_u32() as usize;
            if let Some(&id) = ids.get(local) {
                return Ok(HeapType::ConcreteFunc(id));
            }
            let place = local.checked_sub(start).filter(|&at| at < count as usize);
            let place = place.ok_or_else(|| Bug("a type that comes later".into()))?;
            Ok(HeapType::ConcreteFunc(TypeRegistry::in_group(place)))
        };
        let group: Result<Vec<FuncType>> = all
            .by_ref()
            .take(count as usize)
            .map(|ty| ty.map_heap_types(heap))
            .collect();
        ids.extend(engine.types().intern_group(&group?));
    }
    let types: Result<PrimaryMap<TypeIndex, FuncType>> = ids
        .iter()
        .map(|&id| {
            let ty = engine.types().get(id);
            let ty = ty.ok_or_else(|| Bug("a type without an id".into()))?;
            Ok((*ty).clone())
        })
        .collect();
    let ids = ids.into_iter().map(SharedTypeId::as_u32).collect();
    Ok((types?, ids))
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module")
            .field("name", &self.0.info.module_name)
            .finish_non_exhaustive()
    }
}
