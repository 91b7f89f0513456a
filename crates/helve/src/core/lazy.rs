//! Modules whose functions are compiled when they are first called.
//!
//! ```text
//!   slot: stub --first call--> quick code --hot--> optimised code
//!                  |              |                     |
//!                  |              +- long loop --> the rest, from the loop on, optimised
//!                  +---- all appended to the module's regions
//! ```
//!
//! Two threads that call the same stub at once may both compile; the one that comes second
//! takes the first one's code, and its own stays unused. What was replaced stays too: it may
//! be running. All of it goes with the module.
//!
//! Not here: stubs and regions (helve-vm), when hot functions are compiled again (`tier`).

use crate::core::cache::ModuleCache;
use crate::core::engine::Engine;
use crate::core::module::profile_name;
use crate::core::slots::Slots;
use helve_base::id::*;
use helve_base::vmctx::CodePtr;
use helve_base::{Bug, Error, Result};
use helve_compile::{Bytes, CompiledFunction, Compiler, Translation};
use helve_vm::cpu_time;
use helve_vm::lazy::{LazyCode, stub};
use helve_vm::region::CodeRegion;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A module's functions, some of them compiled.
pub(crate) struct LazyModule {
    engine: Engine,
    translation: Translation,
    slots: Arc<Slots>,
    /// The last one has room.
    regions: Mutex<Vec<Arc<CodeRegion>>>,
    /// Functions that have quick code.
    quick: Mutex<Vec<DefinedFuncIndex>>,
    /// Loops that quick code runs for long.
    loops: Mutex<HashMap<(DefinedFuncIndex, u32), HotLoop>>,
    /// What earlier runs compiled, and later ones will find.
    cache: Option<ModuleCache>,
}

/// Where quick code that is in a long loop may go on.
#[derive(Clone, Copy)]
enum HotLoop {
    /// Nowhere yet.
    Asked,
    /// Nowhere: it cannot be compiled.
    Never,
    /// There.
    Code(usize),
}

/// The names of the two compilers in the cache's keys.
const QUICK: &str = "quick";
const OPTIMISED: &str = "optimised";

/// What a backtrace needs to know about one function; the tag of its code.
pub(crate) struct FunctionCode {
    pub info: Arc<helve_compile::Module>,
    pub func: FuncIndex,
    /// (offset in the code, offset in the module), sorted.
    locations: Box<[(u32, u32)]>,
}

impl FunctionCode {
    /// The offset in the module of the instruction that trapped at `offset` in the code,
    /// or whose call returns there.
    pub fn wasm_offset(&self, offset: u32) -> Option<u32> {
        let i = self.locations.binary_search_by_key(&offset, |&(at, _)| at);
        self.locations.get(i.ok()?).map(|&(_, wasm)| wasm)
    }
}

impl LazyModule {
    /// A module of which nothing is compiled.
    ///
    /// # Errors
    ///
    /// Where it is not valid.
    pub fn new(engine: &Engine, bytes: Bytes) -> Result<Arc<LazyModule>> {
        let (translation, cache) = translate(engine, bytes)?;
        let functions = translation.bodies().len();
        let stubs: Result<Vec<CodePtr>> = translation.bodies().keys().map(stub).collect();
        let stubs = stubs?;
        debug_assert_eq!(stubs.len(), functions);
        let module = Arc::new(LazyModule {
            engine: engine.clone(),
            translation,
            slots: Arc::new(Slots::new(stubs.into_iter())),
            regions: Mutex::default(),
            quick: Mutex::default(),
            loops: Mutex::default(),
            cache,
        });
        engine.tier().add(&module);
        Ok(module)
    }

    /// The function whose quick code counted most, and how much, of those with bodies of at
    /// most so many bytes.
    pub fn hottest(&self, most: usize) -> Option<(u32, DefinedFuncIndex)> {
        let quick = lock(&self.quick);
        let bodies = self.translation.bodies();
        let small = quick
            .iter()
            .filter(|&&func| bodies.get(func).is_some_and(|b| b.len() <= most));
        let counts = small.map(|&func| (self.slots.count(func), func));
        counts.max_by_key(|&(count, _)| count)
    }

    /// Compiles a function again, better. Where that fails the quick code stays.
    pub fn optimize(&self, func: DefinedFuncIndex) {
        lock(&self.quick).retain(|&f| f != func);
        let Some(old) = self.slots.get(func) else {
            return;
        };
        let code = self.compile(self.engine.compiler(), func, OPTIMISED);
        if let Ok(new) = code.and_then(|code| self.publish(func, code)) {
            self.slots.replace(func, old, new);
        }
    }

    /// A loop that was asked for and has no code yet.
    pub fn asked_loop(&self) -> Option<(DefinedFuncIndex, u32)> {
        let loops = lock(&self.loops);
        let asked = loops
            .iter()
            .find(|(_, state)| matches!(state, HotLoop::Asked));
        asked.map(|(&place, _)| place)
    }

    /// Compiles what quick code that is in a loop goes on in.
    pub fn optimize_loop(&self, func: DefinedFuncIndex, number: u32) {
        let tier = format!("{OPTIMISED} loop {number}");
        let known = self.cache.as_ref();
        let code = match known.and_then(|cache| cache.get(&self.translation, func, &tier)) {
            Some(code) => Ok(code),
            None => self.keep(func, &tier, || {
                let compiler = self.engine.compiler();
                compiler.compile_loop(&self.translation, func, number)
            }),
        };
        let state = match code.and_then(|code| self.publish(func, code)) {
            Ok(code) => HotLoop::Code(code.expose_provenance()),
            Err(_) => HotLoop::Never,
        };
        lock(&self.loops).insert((func, number), state);
    }

    /// Writes what was compiled to the cache, if that is due.
    pub fn flush(&self) {
        if let Some(cache) = &self.cache {
            cache.flush();
        }
    }

    /// Writes all that was compiled to the cache: the module goes.
    pub fn write(&self) {
        self.engine.trampolines().write();
        if let Some(cache) = &self.cache {
            cache.write();
        }
    }

    /// What it compiles.
    pub fn translation(&self) -> &Translation {
        &self.translation
    }

    /// Where its code is.
    pub fn slots(&self) -> &Arc<Slots> {
        &self.slots
    }

    /// Compiles a function, and keeps it for later runs.
    fn compile(
        &self,
        compiler: &Compiler,
        func: DefinedFuncIndex,
        tier: &str,
    ) -> Result<CompiledFunction> {
        self.keep(func, tier, || {
            compiler.compile_function(&self.translation, func)
        })
    }

    /// Does a compilation, and keeps its result for later runs.
    fn keep(
        &self,
        func: DefinedFuncIndex,
        tier: &str,
        compile: impl FnOnce() -> Result<CompiledFunction>,
    ) -> Result<CompiledFunction> {
        let code = compile()?;
        if let Some(cache) = &self.cache {
            cache.put(&self.translation, func, tier, &code);
        }
        Ok(code)
    }

    /// A function's code for its first call, and whether it is the best there is.
    fn first(&self, func: DefinedFuncIndex) -> Result<(CompiledFunction, bool)> {
        if let Some(cache) = &self.cache {
            if let Some(code) = cache.get(&self.translation, func, OPTIMISED) {
                return Ok((code, true));
            }
            if let Some(code) = cache.get(&self.translation, func, QUICK) {
                return Ok((code, false));
            }
        }
        let before = cpu_time::thread();
        let code = self.compile(self.engine.quick_compiler()?, func, QUICK);
        let spent = cpu_time::thread().saturating_sub(before);
        self.engine.tier().compiled_quickly(spent);
        Ok((code?, false))
    }

    /// Publishes `function`; it is in no slot yet.
    fn publish(&self, func: DefinedFuncIndex, function: CompiledFunction) -> Result<CodePtr> {
        let Some(profile) = self.engine.profile() else {
            return self.append(func, function);
        };
        let bytes = function.code.clone();
        let code = self.append(func, function)?;
        let info = self.translation.module();
        profile.add(&profile_name(info, info.func_index(func)), code, &bytes);
        Ok(code)
    }

    fn append(&self, func: DefinedFuncIndex, function: CompiledFunction) -> Result<CodePtr> {
        let info = self.translation.module();
        let tag = Arc::new(FunctionCode {
            info: info.clone(),
            func: info.func_index(func),
            locations: function.locations.into(),
        });
        let mut regions = lock(&self.regions);
        if let Some(last) = regions.last() {
            let (code, alignment) = (&function.code, function.alignment);
            let (traps, handlers) = (function.traps.clone(), function.handlers.clone());
            if let Some(at) = last.append(code, alignment, traps, handlers, tag.clone())? {
                return Ok(at);
            }
        }
        let last = regions.last().map_or(0, |region| region.range().len());
        let bytes: usize = self.translation.bodies().values().map(Range::len).sum();
        let bytes = REGION
            .start
            .max(last.max(bytes).saturating_mul(2))
            .min(REGION.end);
        let region = CodeRegion::new(bytes.max(function.code.len()))?;
        let (traps, handlers) = (function.traps, function.handlers);
        let at = region.append(&function.code, function.alignment, traps, handlers, tag)?;
        regions.push(region);
        at.ok_or_else(|| Error::new(Bug("a fresh region has no room".into())))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded is pushed to and removed from only: a panic leaves it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads a module; validates it, unless these very bytes were found valid before.
fn translate(engine: &Engine, bytes: Bytes) -> Result<(Translation, Option<ModuleCache>)> {
    let features = engine.config().features;
    let Some(cache) = engine.cache() else {
        return Ok((helve_compile::translate(bytes, features)?, None));
    };
    let Ok(translation) = helve_compile::translate_validated(bytes.clone(), features) else {
        // It says what is wrong.
        return Ok((helve_compile::translate(bytes, features)?, None));
    };
    let cache = cache.module(&translation);
    let key = translation.validity_key();
    if cache.is_valid(&key) {
        return Ok((translation, Some(cache)));
    }
    let translation = helve_compile::translate(bytes, features)?;
    cache.set_valid(key);
    Ok((translation, Some(cache)))
}

/// The least and most bytes of a region, unless one function needs more.
const REGION: Range<usize> = 64 << 10..4 << 20;

impl LazyCode for LazyModule {
    fn hot_loop(&self, func: DefinedFuncIndex, number: u32) -> Option<CodePtr> {
        let known = *lock(&self.loops)
            .entry((func, number))
            .or_insert(HotLoop::Asked);
        match known {
            HotLoop::Code(code) => Some(std::ptr::with_exposed_provenance(code)),
            HotLoop::Never => None,
            HotLoop::Asked if self.engine.config().eager_loops => {
                self.optimize_loop(func, number);
                match lock(&self.loops).get(&(func, number)) {
                    Some(HotLoop::Code(code)) => Some(std::ptr::with_exposed_provenance(*code)),
                    _ => None,
                }
            }
            HotLoop::Asked => {
                self.engine.tier().wake(&self.engine);
                None
            }
        }
    }

    fn fill(&self, func: DefinedFuncIndex) -> Result<CodePtr> {
        let known = |code: Option<CodePtr>| {
            code.ok_or_else(|| Error::new(Bug(format!("a stub of {func}, which there is not"))))
        };
        let stub = stub(func)?;
        let code = known(self.slots.get(func))?;
        if code != stub {
            return Ok(code);
        }
        let (function, best) = self.first(func)?;
        let code = self.publish(func, function)?;
        let now = known(self.slots.replace(func, stub, code))?;
        if now == code && !best {
            lock(&self.quick).push(func);
            self.engine.tier().wake(&self.engine);
        }
        Ok(now)
    }
}
