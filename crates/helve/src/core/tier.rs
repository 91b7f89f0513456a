//! Hot functions are compiled again, by the optimising compiler, beside the guest.
//!
//! ```text
//!   idle --a function is compiled quickly--> waiting --> looking <--> optimising
//!                                               |           |  loops that ask, then the
//!                                               |           |  hottest function
//!                     guests have used their CPU time       +-- nothing hot: less and less
//! ```
//!
//! One thread per engine, from the first function that is compiled quickly on, which ends
//! with the engine. It reads the counters that quick code counts up, compiles, and swaps slots: a
//! call that is under way goes on in the old code. Where that is in a long loop, it asks for
//! code to go on in; such loops come first. What was compiled is written to the cache
//! meanwhile, so that little is lost when the process is killed.
//!
//! **When.** After guests have used [`Config::background_after`](crate::Config) of CPU time:
//! short runs end before that. A run that finds nearly all it needs in the cache starts
//! sooner, and spends a part of what the guest does: so programs that run often and shortly
//! get better from run to run.
//!
//! Not here: slots and regions (`lazy`).

use crate::core::engine::{Engine, WeakEngine};
use crate::core::lazy::LazyModule;
use helve_vm::cpu_time;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// How long to wait where nothing is hot: at first, and at most.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Calls and turns of loops that make a function hot.
const HOT: u32 = 5_000;
/// Runs with a warm cache start after this part of the usual time ...
const WARM: u32 = 20;
/// ... if compiling took less than this part of it, and spend at most this part of it.
const SHARE: u32 = 4;
/// Nanoseconds that the optimising compiler needs for a byte of a body, about.
const NANOS_PER_BYTE: u64 = 3_000;

/// An engine's second compilation.
#[derive(Default)]
pub(crate) struct Tier {
    state: Mutex<State>,
    /// Nanoseconds of CPU time spent by the quick compiler.
    quickly: AtomicU64,
}

#[derive(Default)]
struct State {
    modules: Vec<Weak<LazyModule>>,
    running: bool,
    /// CPU time of the process when the first module came.
    started: Option<Duration>,
}

impl Tier {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks after `module` from now on.
    pub fn add(&self, module: &Arc<LazyModule>) {
        let mut state = self.state();
        state.modules.retain(|module| module.strong_count() > 0);
        state.modules.push(Arc::downgrade(module));
        state.started.get_or_insert_with(cpu_time::process);
    }

    /// The quick compiler took this long.
    pub fn compiled_quickly(&self, spent: Duration) {
        let nanos = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
        self.quickly.fetch_add(nanos, Ordering::Relaxed);
    }

    /// The largest body that may be compiled again now, in bytes; none where it is too soon.
    fn most(&self, after: Duration) -> Option<usize> {
        let started = self.state().started.unwrap_or_default();
        let used = cpu_time::process().saturating_sub(started);
        if used >= after {
            return Some(usize::MAX);
        }
        let quickly = Duration::from_nanos(self.quickly.load(Ordering::Relaxed));
        if used < after / WARM || quickly > used / SHARE {
            return None;
        }
        let spent = cpu_time::thread();
        let left = (used.saturating_sub(spent) / SHARE).checked_sub(spent)?;
        usize::try_from(left.as_nanos() / u128::from(NANOS_PER_BYTE)).ok()
    }

    /// A function was compiled quickly: sees to it that hot ones are looked for.
    pub fn wake(&self, engine: &Engine) {
        let mut state = self.state();
        if state.running {
            return;
        }
        let engine = engine.downgrade();
        let thread = std::thread::Builder::new().name("helve-tier".into());
        // Without the thread everything works, slower.
        state.running = thread.spawn(move || look(&engine)).is_ok();
    }

    fn modules(&self) -> Vec<Arc<LazyModule>> {
        let modules = self.state().modules.clone();
        modules.iter().filter_map(Weak::upgrade).collect()
    }

    /// Compiles what is most worth it; `false` where nothing is, or it is too soon.
    fn work(&self, after: Duration) -> bool {
        let Some(most) = self.most(after) else {
            return false;
        };
        let modules = self.modules();
        for module in &modules {
            if let Some((func, number)) = module.asked_loop() {
                module.optimize_loop(func, number);
                return true;
            }
        }
        let hottest = modules
            .iter()
            .filter_map(|module| Some((module.hottest(most)?, module)));
        match hottest.max_by_key(|&((count, _), _)| count) {
            Some(((count, func), module)) if count >= HOT => module.optimize(func),
            _ => return false,
        }
        true
    }

    /// Writes what was compiled to the cache.
    fn flush(&self) {
        self.modules().iter().for_each(|module| module.flush());
    }
}

/// The thread's life.
fn look(engine: &WeakEngine) {
    let mut pause = PAUSE;
    while let Some(engine) = engine.upgrade() {
        let worked = engine.tier().work(engine.config().background_after);
        engine.tier().flush();
        drop(engine);
        if worked {
            pause = PAUSE;
            continue;
        }
        std::thread::sleep(pause);
        pause = LONGEST_PAUSE.min(pause * 5 / 4);
    }
}
