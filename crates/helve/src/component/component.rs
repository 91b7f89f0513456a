//! Compiled components.
//!
//! ```text
//!  bytes --decode--> Plan --compile--> modules (all that stand in the bytes)
//!                      \--------------> programs (how every function's values move)
//! ```
//!
//! Not here: instances (`instance`), core modules' code (core's `Module`).

use crate::core::Module;
use crate::core::engine::Engine;
use helve_abi::flat::Side;
use helve_abi::program::{CallPrograms, Programs};
use helve_abi::types::FuncTypeId;
use helve_base::{PrimaryMap, Result, bail, error::Context};
use helve_decode::plan::*;
use rayon::prelude::*;
use std::path::Path;
use std::sync::Arc;

/// A compiled component. Cheap to clone.
#[derive(Clone)]
pub struct Component(Arc<Inner>);

struct Inner {
    engine: Engine,
    plan: Plan,
    modules: PrimaryMap<StaticModuleId, Module>,
    programs: Programs,
    lifted: PrimaryMap<LiftedId, Arc<CallPrograms>>,
    lowered: PrimaryMap<LoweredId, Arc<CallPrograms>>,
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
        if !bytes.starts_with(b"\0asm") {
            let binary = wat::parse_bytes(bytes)?;
            return Component::from_binary(engine, &binary);
        }
        Component::from_binary(engine, bytes)
    }

    /// Compiles the component in a file: see [`Component::new`].
    pub fn from_file(engine: &Engine, path: impl AsRef<Path>) -> Result<Component> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        Component::new(engine, bytes).with_context(|| format!("compiling {}", path.display()))
    }

    /// Compiles a binary component.
    pub fn from_binary(engine: &Engine, bytes: &[u8]) -> Result<Component> {
        let core = engine.config().features;
        let features = match core == helve_compile::Features::SUPPORTED {
            true => helve_decode::Features::all(core.as_wasmparser()),
            false => {
                let mut features = helve_decode::Features::default();
                features.core = core.as_wasmparser();
                features
            }
        };
        let options = helve_decode::Options {
            features,
            limits: engine.limits().clone(),
            ..Default::default()
        };
        let plan = helve_decode::decode(bytes, &options)?;
        let bytes: Arc<[u8]> = bytes.into();
        let ranges: Vec<_> = plan
            .modules
            .values()
            .map(|module| module.range.clone())
            .collect();
        let modules = ranges
            .into_par_iter()
            .map(|range| Module::from_range(engine, bytes.clone(), range))
            .collect::<Result<Vec<Module>>>()?;
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
        Ok(Component(Arc::new(Inner {
            engine: engine.clone(),
            modules: modules.into_iter().collect(),
            plan,
            programs,
            lifted,
            lowered,
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

    /// The plan of its instances.
    pub(crate) fn plan(&self) -> &Plan {
        &self.0.plan
    }

    pub(crate) fn programs(&self) -> &Programs {
        &self.0.programs
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
