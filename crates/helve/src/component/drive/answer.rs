//! What a built-in, or a call, returns to the guest that asked: at once, or when it is due.
//!
//! ```text
//!   the model's effect: the same thread goes on ----------------> reply in the lanes
//!     its thread waits, nothing else runs --> the loop's turns, on this stack --> reply
//!     anything else, or the loop itself is needed --> handed over, SUSPEND --> `run` replies
//! ```
//!
//! Not here: what built-ins do (`builtins`).
//!
//! # Safety
//!
//! As for `builtins`: the lanes of a reply stand in a frame that stays while its fiber does.

use super::noted::SlotsBelow;
use super::run::perform_until;
use super::{Handed, Reply, State};
use crate::component::call::lane::Lane;
use crate::component::concurrent::event_loop;
use crate::component::state::InstanceData;
use helve_base::error::GuestTrap;
use helve_base::{Bug, Error, Result, Trap};
use helve_model::{Effect, ThreadId, Value};
use helve_vm::fibers::can_suspend;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::Poll;

/// Writes what a built-in returns.
#[inline(always)]
pub(super) fn reply(state: &mut State, to: Reply, value: Value) -> Result<()> {
    let put = |at: usize, lane: Lane| {
        // SAFETY: the array has room for all results, and its fiber is suspended, or the
        // built-in has not returned.
        unsafe { to.lanes.add(at).write(lane) };
    };
    match value {
        Value::None => {}
        Value::Number(number) => put(0, Lane::from_u32(number)),
        Value::Pair(first, second) => {
            put(
                0,
                Lane::from_u64(u64::from(first) | u64::from(second) << 32),
            );
        }
        Value::Event(event) => {
            put(0, Lane::from_u32(event.code as u32));
            let mut bytes = [0; 8];
            bytes[..4].copy_from_slice(&event.index.to_le_bytes());
            bytes[4..].copy_from_slice(&event.payload.to_le_bytes());
            let (memory, at) = to
                .event
                .ok_or_else(|| Error::new(Bug("no memory".into())))?;
            let start = usize::try_from(at).unwrap_or(usize::MAX);
            // SAFETY: no guest runs.
            let memory = unsafe { memory.bytes_mut() };
            let place = memory.get_mut(start..start.saturating_add(8));
            place.ok_or_else(out_of_bounds)?.copy_from_slice(&bytes);
        }
        Value::Results(subtask) => {
            // There is none where the result went through memory, or is in its adapter.
            if let Some(lane) = state.results.remove(subtask) {
                put(0, lane);
            }
        }
    }
    Ok(())
}

fn out_of_bounds() -> Error {
    Error::new(GuestTrap::new(
        Trap::CanonicalAbi,
        "event payload pointer out of bounds of memory",
    ))
}

/// As [`answer_to`], of what gives no event.
pub(crate) fn answer(
    instance: &InstanceData,
    effect: Effect,
    lanes: &mut [Lane],
) -> Result<Poll<()>> {
    let lanes = lanes.as_mut_ptr();
    let event = None;
    let mut waits = false;
    answer_to(instance, &effect, Reply { lanes, event }, &mut waits)?;
    Ok(match waits {
        true => Poll::Pending,
        false => Poll::Ready(()),
    })
}

/// Whether the guest that calls could be suspended.
#[inline(always)]
fn is_on_fiber(instance: &InstanceData) -> bool {
    // SAFETY: in a host call of the store.
    unsafe { can_suspend(instance.store().vm()) }
}

/// What the guest that asked gets at once, or `waits` for.
#[inline]
pub(super) fn answer_to(
    instance: &InstanceData,
    effect: &Effect,
    to: Reply,
    waits: &mut bool,
) -> Result<()> {
    let mut state = instance.shared().drive.0.borrow_mut();
    let asker = state.asker;
    match effect {
        Effect::Continue { thread, value } if Some(*thread) == asker => {
            reply(&mut state, to, *value)
        }
        effect => {
            drop(state);
            answer_later(instance, (effect, asker), to, waits)
        }
    }
}

/// The same, where something else runs first.
fn answer_later(
    instance: &InstanceData,
    (effect, asker): (&Effect, Option<ThreadId>),
    to: Reply,
    waits: &mut bool,
) -> Result<()> {
    if asker.is_some() && !is_on_fiber(instance) {
        // No fiber: what is to be done first is done from here.
        let _slots = asker.map(|asker| SlotsBelow::of(instance, asker));
        let value = perform_until(instance, effect, asker)?;
        let value = value.ok_or_else(|| Error::new(Trap::Deadlock))?;
        return reply(&mut instance.shared().drive.0.borrow_mut(), to, value);
    }
    let next = match (effect, asker) {
        (Effect::ToHost, Some(asker)) => turns_here(instance, asker),
        _ => Handed::Effect(*effect),
    };
    let mut state = instance.shared().drive.0.borrow_mut();
    state.asker = asker;
    match next {
        Handed::Effect(Effect::Continue { thread, value }) if Some(thread) == asker => {
            reply(&mut state, to, value)
        }
        next => {
            state.handed = Some((next, to));
            *waits = true;
            Ok(())
        }
    }
}

/// The same for a guest whose callee has stopped, on a stack above: what went wrong with others
/// there ends neither, so both wait, and who runs their stacks is told.
pub(super) fn pass_on(
    instance: &InstanceData,
    next: Handed,
    to: Reply,
    waits: &mut bool,
) -> Result<()> {
    match next {
        Handed::Effect(effect) => answer_to(instance, &effect, to, waits),
        next if is_on_fiber(instance) => {
            instance.shared().drive.0.borrow_mut().handed = Some((next, to));
            *waits = true;
            Ok(())
        }
        Handed::Failed(error) => Err(error),
        Handed::Panicked(panic) => resume_unwind(panic),
    }
}

/// A guest waits, and nothing of the host's does: what the store's loop would do next is done
/// from here, on top of the guest's stack, until it goes on or the loop is needed.
#[inline(always)]
fn turns_here(instance: &InstanceData, asker: ThreadId) -> Handed {
    let shared = instance.shared();
    let turns = || -> Result<Option<Value>> {
        let mut slots = None;
        loop {
            let turn = event_loop::turn_here(shared);
            let effect = match &turn {
                Ok(Some(effect)) => effect,
                _ => return turn.map(|_| None),
            };
            if let Effect::Continue { thread, value } = effect
                && *thread == asker
            {
                return Ok(Some(*value));
            }
            let _ = slots.get_or_insert_with(|| SlotsBelow::of(instance, asker));
            if let Some(value) = perform_until(instance, effect, Some(asker))? {
                return Ok(Some(value));
            }
        }
    };
    let concurrent = &shared.concurrent;
    if shared.drive.state().model.is_inside() {
        return Handed::Effect(Effect::ToHost);
    }
    let Some(_here) = concurrent.enter_here() else {
        return Handed::Effect(Effect::ToHost);
    };
    match catch_unwind(AssertUnwindSafe(turns)) {
        Ok(Ok(Some(value))) => Handed::Effect(Effect::Continue {
            thread: asker,
            value,
        }),
        Ok(Ok(None)) => Handed::Effect(Effect::ToHost),
        Ok(Err(error)) => Handed::Failed(error),
        Err(panic) => Handed::Panicked(panic),
    }
}

/// The reply of a built-in whose thread goes on at once; any other effect is for `later`.
#[inline(always)]
pub(super) fn answer_now(
    state: &mut State,
    effect: std::result::Result<Effect, helve_model::Trap>,
    to: Reply,
    later: &mut Option<Effect>,
) -> std::result::Result<(), helve_model::Trap> {
    match effect {
        Ok(Effect::Continue { thread, value }) if Some(thread) == state.asker => match value {
            Value::None => Ok(()),
            Value::Number(number) => {
                // SAFETY: the array has room for all results.
                unsafe { to.lanes.write(Lane::from_u32(number)) };
                Ok(())
            }
            Value::Pair(first, second) => {
                let both = u64::from(first) | u64::from(second) << 32;
                // SAFETY: as above.
                unsafe { to.lanes.write(Lane::from_u64(both)) };
                Ok(())
            }
            value => {
                *later = Some(Effect::Continue { thread, value });
                Ok(())
            }
        },
        Ok(effect) => {
            *later = Some(effect);
            Ok(())
        }
        Err(trap) => Err(trap),
    }
}
