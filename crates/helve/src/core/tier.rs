//! Hot functions are compiled again, by the optimising compiler, beside the guest.
//!
//! ```text
//!   idle --a function is compiled quickly--> waiting -------> looking <--> optimising
//!    ^                                                            |  hottest function first
//!    +------------- nothing was hot for a while ------------------+
//! ```
//!
//! One thread per engine, which is there only while something may be hot; short runs end
//! before it wakes up. It reads the counters that quick code counts up, compiles, and swaps slots: a
//! call that is under way goes on in the old code. Where that is in a long loop, it asks for
//! code to go on in; such loops come first. What was compiled is written to the cache
//! meanwhile, so that little is lost when the process is killed.
//!
//! Not here: slots and regions (`lazy`).

use crate::core::engine::{Engine, WeakEngine};
use crate::core::lazy::LazyModule;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

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

    fn modules(&self) -> Vec<Arc<LazyModule>> {
        let modules = self.state().modules.clone();
        modules.iter().filter_map(Weak::upgrade).collect()
    }

    /// Compiles what is most worth it; `false` where nothing is.
    fn work(&self) -> bool {
        let modules = self.modules();
        for module in &modules {
            if let Some((func, number)) = module.asked_loop() {
                module.optimize_loop(func, number);
                return true;
            }
        }
        let hottest = modules
            .iter()
            .filter_map(|module| Some((module.hottest()?, module)));
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
    let delay = engine
        .upgrade()
        .map(|engine| engine.config().background_after);
    std::thread::sleep(delay.unwrap_or_default());
    let mut quiet = 0;
    while let Some(engine) = engine.upgrade() {
        let worked = engine.tier().work();
        engine.tier().flush();
        match worked {
            true => quiet = 0,
            false if quiet < PATIENCE => quiet += 1,
            false => {
                engine.tier().state().running = false;
                return;
            }
        }
        drop(engine);
        if worked {
            continue;
        }
        std::thread::sleep(PAUSE);
    }
}
