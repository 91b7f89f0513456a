//! What all stores share: the compiler, the settings, function types and trampolines.
//!
//! Trampolines (host to wasm and wasm to host) depend on a function type only, so each
//! is compiled once, when first asked for, and kept for the engine's life.
//!
//! # Safety
//!
//! The code of a type's entry trampoline is a function of type `EntryTrampoline`, by the
//! compiler's contract; its memory is never given back while the engine lives.

use crate::component::concurrent::clock::Timers;
use crate::core::allocation::{InstanceAllocationStrategy, PoolingAllocationConfig};
use crate::core::cache::Cache;
use crate::core::config::{Config, OptLevel, ProfilingStrategy};
use crate::core::tier::Tier;
use crate::core::trampolines::{Kind, Trampolines};
use crate::core::types::TypeRegistry;
use helve_base::id::SharedTypeId;
use helve_base::limits::Limits;
use helve_base::vmctx::{CodePtr, EntryTrampoline};
use helve_base::{Bug, Result, ensure};
use helve_compile::component::ResourceBuiltin;
use helve_compile::{CompiledFunction, Compiler, CompilerOptions, RegisterAllocator};
use helve_fiber::StackPool;
use helve_vm::code::{CodeMemory, Tables};
use helve_vm::fibers::SPARE_STACK;
use helve_vm::pool::MemoryPool;
use helve_vm::profile::{Format, Profile};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};

/// The compiler and everything else that stores and threads share. Cheap to clone.
///
/// ```
/// use helve::{Config, Engine, Store, component::Component};
/// let engine = Engine::new(&Config::new())?;
/// // Components are compiled once and shared by all stores of the engine, on any thread.
/// let component = Component::new(&engine, "(component)")?;
/// let store = Store::new(&engine, "the host's data");
/// # let _ = (component, store);
/// # Ok::<(), helve::Error>(())
/// ```
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    config: Config,
    compiler: Compiler,
    epoch: AtomicU64,
    quick: OnceLock<Compiler>,
    tier: Tier,
    cache: OnceLock<Option<Arc<Cache>>>,
    types: TypeRegistry,
    trampolines: Trampolines,
    resources: OnceLock<ResourceCode>,
    contexts: RwLock<HashMap<(bool, bool, u32), Arc<CodeMemory>>>,
    stacks: Arc<StackPool>,
    memories: Arc<MemoryPool>,
    profile: Option<Profile>,
    timers: Arc<Timers>,
}

/// The code of the built-ins of resources, in the order of `ResourceBuiltin::ALL`.
type ResourceCode = [Arc<CodeMemory>; ResourceBuiltin::ALL.len()];

impl Default for Engine {
    /// An engine with the default settings, which ask nothing that a machine that Helve runs
    /// on can't do.
    ///
    /// # Panics
    ///
    /// Where they do: that would be a bug of Helve's.
    fn default() -> Engine {
        match Engine::new(&Config::new()) {
            Ok(engine) => engine,
            Err(error) => panic!("the default settings: {error:?}"),
        }
    }
}

impl Engine {
    /// An engine with these settings.
    ///
    /// # Errors
    ///
    /// Where this system has not what they ask for.
    pub fn new(config: &Config) -> Result<Engine> {
        let options = CompilerOptions {
            optimize: match config.optimize {
                OptLevel::None => helve_compile::OptLevel::None,
                OptLevel::Speed => helve_compile::OptLevel::Speed,
            },
            registers: match config.optimize {
                OptLevel::None => RegisterAllocator::SinglePass,
                OptLevel::Speed => RegisterAllocator::Backtracking,
            },
            verifier: config.verifier,
            fuel: config.consume_fuel,
            epoch: config.epoch_interruption,
            deterministic_simd: config.deterministic_simd,
            canonical_nans: config.canonical_nans,
            ..CompilerOptions::default()
        };
        if let InstanceAllocationStrategy::Pooling(pool) = &config.allocation {
            ensure!(
                !pool.requires_scan() || PoolingAllocationConfig::is_pagemap_scan_available(),
                "this system does not say which pages were written; set PoolingAllocationConfig::pagemap_scan to Enabled::Auto"
            );
        }
        let limits = &config.limits;
        Ok(Engine(Arc::new(Inner {
            config: config.clone(),
            compiler: Compiler::new(&options)?,
            epoch: AtomicU64::new(0),
            quick: OnceLock::new(),
            tier: Tier::default(),
            cache: OnceLock::new(),
            types: TypeRegistry::default(),
            trampolines: Trampolines::default(),
            resources: OnceLock::new(),
            contexts: RwLock::default(),
            stacks: StackPool::new(
                config.allocation.stacks(
                    limits
                        .guest_stack_bytes
                        .saturating_add(limits.host_stack_bytes)
                        .saturating_add(SPARE_STACK),
                ),
            ),
            memories: MemoryPool::new(config.allocation.memories()),
            timers: Arc::default(),
            profile: match config.profiler {
                ProfilingStrategy::None => None,
                ProfilingStrategy::PerfMap => Some(Profile::open(Format::PerfMap)?),
                ProfilingStrategy::JitDump => Some(Profile::open(Format::JitDump)?),
            },
        })))
    }

    /// Counts the epoch up: guests of all its stores whose deadline that is are
    /// interrupted soon. May be called by any thread, and in a signal handler.
    pub fn increment_epoch(&self) {
        self.0.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// The epoch, which lives as long as the engine.
    pub(crate) fn epoch(&self) -> &AtomicU64 {
        &self.0.epoch
    }

    /// Whether both are the same engine. Modules, components and stores only go
    /// together within one.
    pub fn same(a: &Engine, b: &Engine) -> bool {
        Arc::ptr_eq(&a.0, &b.0)
    }

    /// The settings it was made with.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The bounds on what its stores' guests may ask for.
    pub fn limits(&self) -> &Limits {
        &self.0.config.limits
    }

    pub(crate) fn types(&self) -> &TypeRegistry {
        &self.0.types
    }

    /// Stacks for guests that may have to wait.
    pub(crate) fn stacks(&self) -> &Arc<StackPool> {
        &self.0.stacks
    }

    /// Address space for memories.
    pub(crate) fn memories(&self) -> &Arc<MemoryPool> {
        &self.0.memories
    }

    /// Who wakes futures of its stores that sleep.
    pub(crate) fn timers(&self) -> &Arc<Timers> {
        &self.0.timers
    }

    /// What tells perf about code.
    pub(crate) fn profile(&self) -> Option<&Profile> {
        self.0.profile.as_ref()
    }

    pub(crate) fn compiler(&self) -> &Compiler {
        &self.0.compiler
    }

    /// The compiler for functions that are called for the first time.
    pub(crate) fn quick_compiler(&self) -> Result<&Compiler> {
        if let Some(compiler) = self.0.quick.get() {
            return Ok(compiler);
        }
        let compiler = Compiler::new(&CompilerOptions {
            verifier: self.0.config.verifier,
            fuel: self.0.config.consume_fuel,
            epoch: self.0.config.epoch_interruption,
            deterministic_simd: self.0.config.deterministic_simd,
            canonical_nans: self.0.config.canonical_nans,
            counters: Some(self.0.config.loop_mask()),
            ..CompilerOptions::quick()
        })?;
        Ok(self.0.quick.get_or_init(|| compiler))
    }

    /// Where lazily compiled functions are kept.
    pub(crate) fn cache(&self) -> Option<&Arc<Cache>> {
        let open = || {
            let (folder, most) = self.0.config.cache.as_ref()?;
            Cache::open(folder, *most, self.fingerprint())
        };
        self.0.cache.get_or_init(open).as_ref()
    }

    /// What compiles hot functions again.
    pub(crate) fn tier(&self) -> &Tier {
        &self.0.tier
    }

    /// A handle that does not keep the engine alive.
    pub(crate) fn downgrade(&self) -> WeakEngine {
        WeakEngine(Arc::downgrade(&self.0))
    }

    /// The code by which the host calls functions of this type.
    pub(crate) fn entry_trampoline(&self, ty: SharedTypeId) -> Result<EntryTrampoline> {
        let code = self.trampoline(Kind::Entry, ty)?;
        // SAFETY: the compiler made it to be one, and the engine keeps it.
        Ok(unsafe { std::mem::transmute::<CodePtr, EntryTrampoline>(code) })
    }

    /// The code by which guests call host functions of this type.
    pub(crate) fn host_trampoline(&self, ty: SharedTypeId) -> Result<CodePtr> {
        self.trampoline(Kind::Host, ty)
    }

    /// The code of a built-in of resources.
    pub(crate) fn resource_builtin(&self, builtin: ResourceBuiltin) -> Result<CodePtr> {
        let code = match self.0.resources.get() {
            Some(code) => code,
            None => {
                let mut made = Vec::new();
                for builtin in ResourceBuiltin::ALL {
                    made.push(publish(self.compiler().resource_builtin(builtin)?, true)?);
                }
                let made = ResourceCode::try_from(made);
                let made = made.map_err(|_| Bug("a built-in without code".into()))?;
                self.0.resources.get_or_init(|| made)
            }
        };
        Ok(code[builtin as usize].address(0))
    }

    /// The code of a `task.return` of this core type.
    pub(crate) fn task_return(&self, ty: SharedTypeId) -> Result<CodePtr> {
        self.trampoline(Kind::TaskReturn, ty)
    }

    /// The code of `context.get` or (`set`) `context.set`; `wide`: as `i64`.
    pub(crate) fn context_builtin(&self, set: bool, wide: bool, slot: u32) -> Result<CodePtr> {
        let key = (set, wide, slot);
        let known = self.0.contexts.read();
        let known = known.unwrap_or_else(PoisonError::into_inner);
        if let Some(code) = known.get(&key) {
            return Ok(code.address(0));
        }
        drop(known);
        let code = publish(self.compiler().context_builtin(set, wide, slot)?, false)?;
        let mut known = self
            .0
            .contexts
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been faster; then its one stays.
        Ok(known.entry(key).or_insert(code).address(0))
    }

    pub(crate) fn trampolines(&self) -> &Trampolines {
        &self.0.trampolines
    }

    fn trampoline(&self, kind: Kind, id: SharedTypeId) -> Result<CodePtr> {
        self.0.trampolines.get(self, kind, id)
    }
}

/// Code of one function; says whether an exception that reaches its frame ends there, in a
/// trap.
fn publish(function: CompiledFunction, ends_exceptions: bool) -> Result<Arc<CodeMemory>> {
    let len = u32::try_from(function.code.len()).unwrap_or(u32::MAX);
    let tables = Tables {
        traps: function.traps,
        functions: vec![(0, len)],
        ends_exceptions,
        ..Tables::default()
    };
    CodeMemory::publish(&function.code, tables, Arc::new(()))
}

/// An engine, if it still lives.
pub(crate) struct WeakEngine(Weak<Inner>);

impl WeakEngine {
    pub(crate) fn upgrade(&self) -> Option<Engine> {
        self.0.upgrade().map(Engine)
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}
