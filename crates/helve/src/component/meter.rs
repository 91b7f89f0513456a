//! Fuel by component instance: who used up how much of what the store was given.
//!
//! ```text
//!   entered: A ......... realloc of B ... A ..... host
//!            |-- used --|-- B's own --|-- A's --|
//! ```
//!
//! With [`Config::meter_instances`](crate::Config::meter_instances) calls between components
//! pass through the host, so that each time guest code is entered it is that of one instance:
//! what is used up until it is left again is that instance's, less what was entered
//! meanwhile. Without it nothing is asked. Not here: fuel itself (`core::interrupt`).
//!
//! # Safety
//!
//! Nothing borrows from the store where its guests are entered and left.

use crate::component::part::Part;
use crate::component::state::InstanceData;
use std::cell::Cell;

/// What the store's instances have used up while others were being metered.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    nested: Cell<u64>,
}

/// Runs code of `part`, of `instance`'s store.
#[inline]
pub(crate) fn metered<R>(instance: &InstanceData, part: &Part, work: impl FnOnce() -> R) -> R {
    match instance.is_metered() {
        false => work(),
        true => count(instance, part, work),
    }
}

fn count<R>(instance: &InstanceData, part: &Part, work: impl FnOnce() -> R) -> R {
    let nested = &instance.shared().meter.nested;
    // SAFETY: see the head of this file.
    let left = || unsafe { instance.store().get() }.fuel();
    let (before, outside) = (left(), nested.replace(0));
    let result = work();
    // A host function may have given more meanwhile: then less is known of what was used.
    let used = before.saturating_sub(left());
    let own = used.saturating_sub(nested.get());
    part.fuel.set(part.fuel.get().saturating_add(own));
    nested.set(outside.saturating_add(used));
    result
}
