//! Compiled components.
//!
//! ```text
//!  bytes --decode--> Plan --compile--> modules (all that stand in the bytes)
//!                      \--------------> programs (how every function's values move)
//! ```
//!
//! Not here: instances (`instance`), core modules' code (core's `Module`).

use crate::component::artifact::read;
use crate::component::fused::FusedCode;
use crate::component::instance::ExportIndex;
use crate::component::late::LateTypes;
use crate::component::linked::{Made, Source};
use crate::component::types;
use crate::core::Module;
use crate::core::engine::Engine;
use helve_abi::flat::Side;
use helve_abi::program::{CallPrograms, Form, Programs};
use helve_abi::types::FuncTypeId;
use helve_base::{PrimaryMap, Result, bail, ensure, error::Context};
use helve_compile::Bytes;
use helve_compile::artifact_file::{Artifact, StoredModule};
use helve_compile::features::WasmFeatures;
use helve_decode::plan::*;
use rayon::prelude::*;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// A compiled component. Cheap to clone.
#[derive(Clone)]
pub struct Component(Arc<Inner>);

struct Inner {
    engine: Engine,
    /// What it was made from.
    source: Source,
    made: Made,
    plan: Plan,
    modules: PrimaryMap<StaticModuleId, Module>,
    programs: Programs,
    lifted: PrimaryMap<LiftedId, Arc<CallPrograms>>,
    lowered: PrimaryMap<LoweredId, Arc<CallPrograms>>,
    fused: FusedCode,
    late: LateTypes,
}

impl Component {
    /// Compiles a component, given as a binary or (with feature `wat`) as text.
    ///
    /// # Errors
    ///
    /// Where it is malformed, invalid, or no component.
    pub fn new(engine: &Engine, bytes: impl AsRef<[u8]>) -> Result<Component> {
        let bytes = bytes.as_ref();
        #[cfg(feature = "wat")]
        if !bytes.starts_with(b"\0asm") && !Artifact::looks_like(bytes) {
            let binary = wat::parse_bytes(bytes)?;
            return Component::from_binary(engine, &binary);
        }
        Component::from_binary(engine, bytes)
    }

    /// Compiles the component in a file: see [`Component::new`].
    ///
    /// # Errors
    ///
    /// Where the file can't be read, and those of [`Component::new`].
    pub fn from_file(engine: &Engine, path: impl AsRef<Path>) -> Result<Component> {
        let path = path.as_ref();
        let bytes = read(path).with_context(|| format!("reading {}", path.display()))?;
        let made = match bytes.starts_with(b"\0asm") {
            true => Component::from_shared(engine, bytes),
            false => Component::new(engine, &bytes),
        };
        made.with_context(|| format!("compiling {}", path.display()))
    }

    /// Compiles a binary component.
    ///
    /// # Errors
    ///
    /// Those of [`Component::new`].
    pub fn from_binary(engine: &Engine, bytes: &[u8]) -> Result<Component> {
        ensure!(
            !Artifact::looks_like(bytes),
            "this is compiled code: it is loaded by `Component::deserialize`"
        );
        Component::from_shared(engine, bytes.into())
    }

    fn from_shared(engine: &Engine, whole: Arc<[u8]>) -> Result<Component> {
        let plan = decode(engine, &whole)?;
        let modules = each_module(&plan, |_, range| {
            Module::from_range(engine, whole.clone(), range)
        })?;
        let source = Source::file(Bytes::from(&whole));
        Component::from_parts(engine, source, plan, modules, None)
    }

    /// Puts a component together. Its adapters are compiled now unless they are given.
    pub(crate) fn from_parts(
        engine: &Engine,
        source: Source,
        plan: Plan,
        modules: PrimaryMap<StaticModuleId, Module>,
        adapters: Option<StoredModule>,
    ) -> Result<Component> {
        let mut programs = Programs::new();
        let mut call = |ty: FuncTypeId, options: OptionsId, side| {
            Arc::new(programs.call(&plan.types, ty, plan.options[options].signature(side)))
        };
        let lifted = plan
            .lifted
            .values()
            .map(|lifted| call(lifted.ty, lifted.options, Side::Lift))
            .collect();
        let lowered = plan
            .lowered
            .values()
            .map(|lowered| call(lowered.ty, lowered.options, Side::Lower))
            .collect();
        for def in plan.builtins.values() {
            if let Some(ty) = def.op.element(&plan.types) {
                let width = plan.options[def.options].width;
                programs.make(&plan.types, ty, Form::Memory(width));
            }
        }
        let fused = match engine.config().has_slow_calls() {
            false => FusedCode::new(engine, &plan, adapters)?,
            true => FusedCode::none(&plan),
        };
        let late = LateTypes::new(engine, &plan, &modules, &lowered);
        Ok(Component(Arc::new(Inner {
            engine: engine.clone(),
            source,
            made: Made::default(),
            modules,
            plan,
            programs,
            lifted,
            lowered,
            fused,
            late,
        })))
    }

    /// The engine it was compiled with.
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// What it imports: names of the root.
    pub fn imports(&self) -> impl Iterator<Item = &str> {
        self.0.plan.imports.iter().map(|(name, _)| &**name)
    }

    /// What it exports: names of the root.
    pub fn exports(&self) -> impl Iterator<Item = &str> {
        self.0.plan.exports.iter().map(|(name, _)| &**name)
    }

    /// What the import `name` says about itself beside its name: the interface that it
    /// implements, an identifier of the outside's. A host may supply it accordingly.
    pub fn import_attributes(&self, name: &str) -> Option<&NameAttributes> {
        Some(&self.0.plan.imports.get(name)?.attributes)
    }

    /// What the export `name` says about itself beside its name.
    pub fn export_attributes(&self, name: &str) -> Option<&NameAttributes> {
        Some(&self.0.plan.exports.get(name)?.attributes)
    }

    /// Where the export `name` is: of the root, or of the exported instance `parent`. A name
    /// with a version finds another version on its track. Good for every instance.
    pub fn get_export_index(
        &self,
        parent: Option<&ExportIndex>,
        name: &str,
    ) -> Option<ExportIndex> {
        ExportIndex::find(self.plan(), parent, name)
    }

    /// Its type: what it imports and exports, to look at.
    pub fn component_type(&self) -> types::Component {
        types::Component(self.clone())
    }

    /// What it was made from.
    pub(crate) fn source(&self) -> &Source {
        &self.0.source
    }

    /// Components that were made from it and others.
    pub(crate) fn made(&self) -> &Made {
        &self.0.made
    }

    /// Whether it is this very component.
    pub(crate) fn is_same(&self, other: &Component) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Every module that stands in the bytes.
    pub(crate) fn modules(&self) -> &PrimaryMap<StaticModuleId, Module> {
        &self.0.modules
    }

    /// The plan of its instances.
    #[inline]
    pub(crate) fn plan(&self) -> &Plan {
        &self.0.plan
    }

    #[inline]
    pub(crate) fn programs(&self) -> &Programs {
        &self.0.programs
    }

    /// What its modules import of it.
    pub(crate) fn late_types(&self) -> &LateTypes {
        &self.0.late
    }

    /// Its adapters.
    pub(crate) fn fused(&self) -> &FusedCode {
        &self.0.fused
    }

    pub(crate) fn lifted_programs(&self, id: LiftedId) -> Arc<CallPrograms> {
        self.0.lifted[id].clone()
    }

    pub(crate) fn lowered_programs(&self, id: LoweredId) -> Arc<CallPrograms> {
        self.0.lowered[id].clone()
    }

    pub(crate) fn module(&self, id: StaticModuleId) -> Result<&Module> {
        match self.0.modules.get(id) {
            Some(module) => Ok(module),
            None => bail!("the component has no {id}"),
        }
    }
}

/// The plan of a component for this engine.
pub(crate) fn decode(engine: &Engine, bytes: &[u8]) -> Result<Plan> {
    helve_decode::decode(bytes, &options(engine))
}

/// How components are decoded for this engine.
pub(crate) fn options(engine: &Engine) -> helve_decode::Options {
    let core = engine.config().features;
    let mut features = engine.config().component;
    features.core = core.as_wasmparser();
    if core == helve_compile::Features::SUPPORTED {
        // Core types in a component may say more than its modules may use: those are
        // validated again where they are compiled.
        features.core |=
            WasmFeatures::GC | WasmFeatures::FUNCTION_REFERENCES | WasmFeatures::THREADS;
    }
    helve_decode::Options {
        features,
        limits: engine.limits().clone(),
        ..Default::default()
    }
}

/// Makes every module that stands in the bytes, on all cores.
pub(crate) fn each_module(
    plan: &Plan,
    make: impl Fn(StaticModuleId, Range<usize>) -> Result<Module> + Sync,
) -> Result<PrimaryMap<StaticModuleId, Module>> {
    let ranges: Vec<_> = plan
        .modules
        .iter()
        .map(|(id, module)| (id, module.range.clone()))
        .collect();
    let made = ranges.into_par_iter().map(|(id, range)| make(id, range));
    Ok(made.collect::<Result<Vec<Module>>>()?.into_iter().collect())
}

impl std::fmt::Debug for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list =
            |names: &mut dyn Iterator<Item = &str>| names.map(str::to_owned).collect::<Vec<_>>();
        f.debug_struct("Component")
            .field("imports", &list(&mut self.imports()))
            .field("exports", &list(&mut self.exports()))
            .finish_non_exhaustive()
    }
}
