//! What the host holds: the table that copies of [`ResourceAny`] point into.
//!
//! Keyed by resource type: a [`ResourceKey`] is what one is at run time, so that equal
//! keys are equal types. Not here: guests' tables (`part`, `helve_model`), destructors
//! (`builtins::resource`).

use crate::component::resource::ResourceAny;
use helve_base::{Error, Result, bail, ensure, entity_impl};
use std::cell::RefCell;

/// A resource type at run time, unique in its store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ResourceKey(u32);
entity_impl!(ResourceKey, "resource_key");

/// A handle of the host: what a copy of [`ResourceAny`] points to. The generation tells
/// a handle from an earlier one in the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostHandle {
    index: u32,
    generation: u32,
}

/// The handles that the host holds.
#[derive(Debug, Default)]
pub(crate) struct HostHandles(RefCell<HostTable>);

#[derive(Debug, Default)]
struct HostTable {
    slots: Vec<HostSlot>,
    free: Vec<u32>,
    /// How many handles there are of each resource type.
    counts: Vec<u32>,
}

#[derive(Debug)]
struct HostSlot {
    generation: u32,
    entry: Option<HostEntry>,
}

#[derive(Clone, Copy, Debug)]
struct HostEntry {
    key: ResourceKey,
    rep: u32,
    owned: bool,
    lends: u32,
}

impl HostTable {
    fn entry(&mut self, handle: HostHandle) -> Result<&mut HostEntry> {
        let slot = self
            .slots
            .get_mut(handle.index as usize)
            .filter(|slot| slot.generation == handle.generation);
        slot.and_then(|slot| slot.entry.as_mut()).ok_or_else(|| {
            Error::msg(
                "this ResourceAny has ended: it was dropped, given to a guest, or its call is over",
            )
        })
    }

    fn remove(&mut self, handle: HostHandle) -> Option<HostEntry> {
        let slot = self.slots.get_mut(handle.index as usize)?;
        let entry = slot
            .entry
            .take_if(|_| slot.generation == handle.generation)?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(handle.index);
        if let Some(count) = self.counts.get_mut(entry.key.as_u32() as usize) {
            *count = count.saturating_sub(1);
        }
        Some(entry)
    }
}

impl HostHandles {
    /// A new handle.
    pub fn insert(&self, key: ResourceKey, rep: u32, owned: bool) -> Result<HostHandle> {
        let mut table = self.0.borrow_mut();
        let at = key.as_u32() as usize;
        if table.counts.len() <= at {
            table.counts.resize(at + 1, 0);
        }
        table.counts[at] = table.counts[at].saturating_add(1);
        let entry = Some(HostEntry {
            key,
            rep,
            owned,
            lends: 0,
        });
        if let Some(index) = table.free.pop()
            && let Some(slot) = table.slots.get_mut(index as usize)
        {
            slot.entry = entry;
            return Ok(HostHandle {
                index,
                generation: slot.generation,
            });
        }
        let index = u32::try_from(table.slots.len())
            .map_err(|_| Error::msg("the host holds too many resources"))?;
        table.slots.push(HostSlot {
            generation: 0,
            entry,
        });
        Ok(HostHandle {
            index,
            generation: 0,
        })
    }

    /// The representation behind a handle.
    pub fn rep(&self, handle: HostHandle) -> Result<u32> {
        Ok(self.0.borrow_mut().entry(handle)?.rep)
    }

    /// Ends a handle: its type, representation and whether it owned the resource.
    pub fn remove(&self, handle: HostHandle) -> Result<(ResourceKey, u32, bool)> {
        let mut table = self.0.borrow_mut();
        let entry = *table.entry(handle)?;
        ensure!(
            entry.lends == 0,
            "this resource is lent to a call that still runs"
        );
        table.remove(handle);
        Ok((entry.key, entry.rep, entry.owned))
    }

    /// How many handles of a resource type the host has.
    pub fn count(&self, key: ResourceKey) -> u32 {
        let table = self.0.borrow();
        table
            .counts
            .get(key.as_u32() as usize)
            .copied()
            .unwrap_or(0)
    }

    /// Ends a borrowed handle with its call, if the host has not.
    pub fn expire(&self, handle: HostHandle) {
        self.0.borrow_mut().remove(handle);
    }

    /// Takes the resource out, to give it away.
    pub fn take_own(&self, any: &ResourceAny, key: ResourceKey) -> Result<u32> {
        let entry = *self.0.borrow_mut().entry(any.handle())?;
        check_key(&entry, key)?;
        ensure!(
            entry.owned,
            "this resource is borrowed: a guest that takes `own` needs an owned one"
        );
        Ok(self.remove(any.handle())?.1)
    }

    /// Lends the resource until [`HostHandles::end_loan`].
    pub fn lend(&self, any: &ResourceAny, key: ResourceKey) -> Result<u32> {
        let mut table = self.0.borrow_mut();
        let entry = table.entry(any.handle())?;
        check_key(entry, key)?;
        entry.lends += 1;
        Ok(entry.rep)
    }

    /// Ends a loan.
    pub fn end_loan(&self, handle: HostHandle) {
        if let Ok(entry) = self.0.borrow_mut().entry(handle) {
            entry.lends = entry.lends.saturating_sub(1);
        }
    }
}

fn check_key(entry: &HostEntry, key: ResourceKey) -> Result<()> {
    if entry.key != key {
        bail!("this resource has another type than the function takes");
    }
    Ok(())
}
