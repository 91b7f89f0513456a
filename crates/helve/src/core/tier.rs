//! Hot functions are compiled again, by the optimising compiler, beside the guest.
//!
//! ```text
//!   idle --a function is compiled quickly--> waiting (1 s) --> looking <--> optimising
//!    ^                                                            |  hottest function first
//!    +------------- nothing was hot for a while ------------------+
//! ```
//!
//! One thread per engine, which is there only while something may be hot; short runs end
//! before it wakes up. It reads the counters that quick code counts up, compiles, and swaps slots: a
//! call that is under way goes on in the old code, so a function that loops for long without
//! being called again stays quick code.
//!
//! Not here: slots and regions (`lazy`).

use crate::core::engine::{Engine, WeakEngine};
use crate::core::lazy::LazyModule;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// How long guests run before anything is compiled again.
const FIRST: Duration = Duration::from_secs(1);
/// How long to wait where nothing is hot.
const PAUSE: Duration = Duration::from_millis(100);
/// How often to find nothing hot before giving up until a function is compiled.
const PATIENCE: u32 = 50;
/// Calls and turns of loops that make a function hot.
const HOT: u32 = 5_000;

/// An engine's second compilation.
#[derive(Default)]
pub(crate) struct Tier(Mutex<State>);

#[derive(Default)]
struct State {
    modules: Vec<Weak<LazyModule>>,
    running: bool,
}

impl Tier {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks after `module` from now on.
    pub fn add(&self, module: &Arc<LazyModule>) {
        let mut state = self.state();
        state.modules.retain(|module| module.strong_count() > 0);
        state.modules.push(Arc::downgrade(module));
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

    /// The hottest function, by its module.
    fn hottest(&self) -> Option<(Arc<LazyModule>, helve_base::id::DefinedFuncIndex)> {
        let modules = self.state().modules.clone();
        let hottest = modules
            .iter()
            .filter_map(Weak::upgrade)
            .filter_map(|module| {
                let (count, func) = module.hottest()?;
                Some((count, module, func))
            });
        let (count, module, func) = hottest.max_by_key(|&(count, ..)| count)?;
        (count >= HOT).then_some((module, func))
    }
}

/// The thread's life.
fn look(engine: &WeakEngine) {
    std::thread::sleep(FIRST);
    let mut quiet = 0;
    while let Some(engine) = engine.upgrade() {
        match engine.tier().hottest() {
            Some((module, func)) => {
                quiet = 0;
                module.optimize(func);
                continue;
            }
            None if quiet < PATIENCE => quiet += 1,
            None => {
                engine.tier().state().running = false;
                return;
            }
        }
        drop(engine);
        std::thread::sleep(PAUSE);
    }
}
