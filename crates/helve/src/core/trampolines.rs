//! Small pieces of code that an engine makes for a type of function: by which the host calls
//! guests, by which guests call the host, `task.return`.
//!
//! ```text
//!   (kind, type) --known?--> its address
//!        | no
//!        +--> kept by an earlier run? else compiled --> appended to a region of the engine's
//! ```
//!
//! They share regions, as a component may need dozens and a mapping costs more than all of
//! their code. Nothing is taken out again: it goes with the engine.
//!
//! Not here: what they do (`helve_compile::trampoline`), other code of the engine's own
//! (`engine`).

use crate::core::cache::ModuleCache;
use crate::core::engine::Engine;
use helve_base::core_type::FuncType;
use helve_base::id::SharedTypeId;
use helve_base::vmctx::CodePtr;
use helve_base::{Bug, Error, Result};
use helve_compile::function_cache::Environment;
use helve_compile::{CompiledFunction, Compiler};
use helve_vm::region::CodeRegion;
use std::collections::HashMap;
use std::ptr::with_exposed_provenance;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

/// What a trampoline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// By it the host calls functions.
    Entry,
    /// By it guests call the host's functions.
    Host,
    /// The built-in `task.return`.
    TaskReturn,
}

impl Kind {
    /// Its name in the cache's keys.
    fn name(self) -> &'static str {
        match self {
            Kind::Entry => "entry",
            Kind::Host => "host",
            Kind::TaskReturn => "task.return",
        }
    }

    fn compile(self, compiler: &Compiler, ty: &FuncType) -> Result<CompiledFunction> {
        match self {
            Kind::Entry => compiler.entry_trampoline(ty),
            Kind::Host => compiler.host_trampoline(ty),
            Kind::TaskReturn => compiler.task_return_builtin(ty),
        }
    }
}

/// The trampolines of an engine.
#[derive(Default)]
pub(crate) struct Trampolines {
    known: RwLock<HashMap<(Kind, SharedTypeId), usize>>,
    /// The last one has room.
    regions: Mutex<Vec<Arc<CodeRegion>>>,
    kept: OnceLock<Option<ModuleCache>>,
}

/// Bytes of a region.
const REGION: usize = 32 << 10;

impl Trampolines {
    /// The trampoline of this kind for functions of the type with this id. Of `engine`, whose
    /// trampolines these are.
    pub fn get(&self, engine: &Engine, kind: Kind, id: SharedTypeId) -> Result<CodePtr> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(&code) = known.get(&(kind, id)) {
            return Ok(with_exposed_provenance(code));
        }
        drop(known);
        let ty = engine.types().get(id);
        let ty = ty.ok_or_else(|| Bug("a trampoline of no type".into()))?;
        let code = self.append(self.code(engine, kind, &ty)?)?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been faster; then its one stays.
        let code = *known
            .entry((kind, id))
            .or_insert_with(|| code.expose_provenance());
        Ok(with_exposed_provenance(code))
    }

    /// Writes those that were compiled to the cache.
    pub fn write(&self) {
        if let Some(Some(kept)) = self.kept.get() {
            kept.write();
        }
    }

    /// From an earlier run, or compiled now.
    fn code(&self, engine: &Engine, kind: Kind, ty: &FuncType) -> Result<CompiledFunction> {
        let environment = Environment::of("trampolines");
        let open = || Some(engine.cache()?.kept_for(environment));
        let Some(kept) = self.kept.get_or_init(open) else {
            return kind.compile(engine.compiler(), ty);
        };
        let key = environment.key(kind.name(), format!("{ty:?}").as_bytes());
        if let Some(code) = kept.get_piece(&key) {
            return Ok(code);
        }
        let code = kind.compile(engine.compiler(), ty)?;
        kept.put_piece(key, &code);
        Ok(code)
    }

    fn append(&self, function: CompiledFunction) -> Result<CodePtr> {
        let mut regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        let CompiledFunction {
            code,
            alignment,
            traps,
            handlers,
            ..
        } = function;
        if let Some(last) = regions.last() {
            let (traps, handlers) = (traps.clone(), handlers.clone());
            let at = last.append(&code, alignment, traps, handlers, Arc::new(()))?;
            if let Some(at) = at {
                return Ok(at);
            }
        }
        let region = CodeRegion::new(REGION.max(code.len()))?;
        let at = region.append(&code, alignment, traps, handlers, Arc::new(()))?;
        regions.push(region);
        at.ok_or_else(|| Error::new(Bug("a fresh region has no room".into())))
    }
}
