//! A store's event loop one step at a time: for tests that replay recorded runs.
//!
//! A recording says who runs when and which of the spec's free choices were made; its
//! replay takes the same steps. Not here: the loop itself (`event_loop`), what a step does.

use super::call;
use super::event_loop;
use crate::component::drive::State;
use crate::core::context::AsContextMut;
use helve_base::{Error, Result};
use helve_model::{Schedule, Told};
use std::collections::VecDeque;

/// Makes the free choices as recorded, from now on: the next thread that is made is the
/// recording's first.
pub fn tell(mut store: impl AsContextMut, mut told: VecDeque<Told>) {
    let shared = store.as_context_mut().opaque().components.shared();
    let mut drive = shared.drive.state();
    for choice in &mut told {
        if let Told::Thread { serial, .. } = choice {
            *serial += drive.model.threads_made();
        }
    }
    drive.model.set_schedule(Schedule::Replay(told));
}

/// Makes free choices in order from now on: the recording is left.
pub fn stray(mut store: impl AsContextMut) {
    let shared = store.as_context_mut().opaque().components.shared();
    let mut drive = shared.drive.state();
    drive.model.set_schedule(Schedule::InOrder);
}

/// Makes every call on the stack that runs known, as a recording knows them: those that
/// nobody looks at have no threads otherwise, and are not counted. For a host function.
///
/// # Errors
///
/// Where the store can hold no more tasks.
pub fn know(mut store: impl AsContextMut) -> Result<()> {
    let mut store = store.as_context_mut();
    let shared = store.opaque().components.shared();
    State::materialize(&shared, store.store_ptr())
}

/// Begins the call that was queued first, if there is one.
pub fn begin(mut store: impl AsContextMut) {
    let mut store = store.as_context_mut();
    let shared = store.opaque().components.shared();
    let ptr = store.store_ptr();
    shared.concurrent.turns_here(0);
    let first = shared.concurrent.state.borrow().starts.first();
    if let Some(first) = first {
        call::start(ptr, &shared, first);
    }
}

/// Carries out what dropped or cancelled calls ask for.
pub fn deliver(mut store: impl AsContextMut) {
    let shared = store.as_context_mut().opaque().components.shared();
    shared.concurrent.turns_here(0);
    event_loop::read_letters(&shared);
}

/// Lets one thread run; whether there was one that could.
pub fn tick(mut store: impl AsContextMut) -> bool {
    let shared = store.as_context_mut().opaque().components.shared();
    shared.concurrent.turns_here(0);
    let ready = !shared.drive.state().model.is_idle();
    event_loop::tick(&shared);
    ready
}

/// What went wrong where no call was to be told.
pub fn failure(mut store: impl AsContextMut) -> Option<Error> {
    let shared = store.as_context_mut().opaque().components.shared();
    shared.concurrent.take_failure()
}

/// Whether everything in the store's tables fits together.
///
/// # Errors
///
/// What does not.
pub fn audit(mut store: impl AsContextMut) -> Result<(), &'static str> {
    let shared = store.as_context_mut().opaque().components.shared();
    let mut drive = shared.drive.state();
    drive.model.audit()
}
