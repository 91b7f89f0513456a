//! A handle table's slots in memory that generated code shares.
//!
//! ```text
//!  Table (helve_model: the rules) --Storage--> HotBlock --> slots       this file
//!  generated code ---------------------------> HotBlock --> slots       helve_compile
//! ```
//!
//! Not here: the layout and the rules (`helve_model`).
//!
//! # Safety
//!
//! The block never moves while its table exists; slots move only when the table grows.
//! Only raw pointers lead to either, and each access is over before guests run again, so
//! that generated code may read and write both.

use crate::component::history::Recorder;
use helve_model::handles::{Header, MAX_INDEX, Slot, Storage};
use helve_model::layout::{HotBlock, SLOT_LENDS, SLOT_REP, SLOT_SCOPE, SLOT_TAG};
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

/// Slot 0 of a table without memory: free, and never written to.
static NOTHING: Aligned = Aligned([0; 4]);

#[repr(align(16))]
struct Aligned([u32; 4]);

/// Fewest slots that memory is got for.
const FIRST: u32 = 16;

/// Slots of a table that is a mapping of its own.
const BIG: u32 = 1 << 14;

/// Slots and header of one component instance's table.
pub(crate) struct HotStorage(NonNull<HotBlock>, Option<Recorder>);

impl HotStorage {
    /// An empty table with indices up to `limit`, whose changes are told to `recorder`.
    pub fn new(limit: u32, recorder: Option<Recorder>) -> HotStorage {
        let block = Box::new(HotBlock {
            slots: NOTHING.0.as_ptr() as usize,
            len: 1,
            limit: limit.min(MAX_INDEX),
            ..HotBlock::default()
        });
        // SAFETY: a box is never null.
        HotStorage(
            unsafe { NonNull::new_unchecked(Box::into_raw(block)) },
            recorder,
        )
    }

    /// Who keeps what becomes of its handles.
    pub fn recorder(&self) -> Option<&Recorder> {
        self.1.as_ref()
    }

    /// The block, for contexts of generated code.
    pub fn block(&self) -> NonNull<HotBlock> {
        self.0
    }

    #[inline]
    fn read(&self) -> HotBlock {
        // SAFETY: ours, and read as a whole.
        unsafe { self.0.as_ptr().read() }
    }

    /// The address of a slot that there is memory for.
    #[inline]
    fn slot(&self, index: u32) -> Option<*mut Slot> {
        let block = self.read();
        let slots = std::ptr::with_exposed_provenance_mut::<Slot>(block.slots);
        // SAFETY: within the slots, as `capacity` says.
        (index < block.capacity).then(|| unsafe { slots.add(index as usize) })
    }
}

/// The common operations on resources as generated code does them: on the published layout,
/// with nothing changed before it is known that they can be done. Everything else, and every
/// error, is the table's ([`HotStorage`], `helve_model`).
#[derive(Clone, Copy)]
pub(crate) struct HotSlots(NonNull<HotBlock>);

impl HotSlots {
    /// Those of a table whose changes nobody is told of.
    pub fn of(storage: &HotStorage) -> Option<HotSlots> {
        storage.1.is_none().then_some(HotSlots(storage.0))
    }

    /// The words of a slot that is or was in use.
    #[inline(always)]
    fn slot(self, index: u32) -> Option<*mut [u32; 4]> {
        let block = self.0.as_ptr();
        // SAFETY: the block is as old as its table; slots below `len` are there, and slot 0
        // is never written to, because it is free.
        unsafe {
            let slots = std::ptr::with_exposed_provenance_mut::<[u32; 4]>((*block).slots);
            (index < (*block).len).then(|| slots.add(index as usize))
        }
    }

    /// Lends the resource with this tag (of an owner) at `index`: its representation.
    #[inline]
    pub fn lend(self, tag: u32, index: u32) -> Option<u32> {
        let slot = self.slot(index)?;
        // SAFETY: as `slot` says. Owned and borrowed ones differ in bit 0.
        unsafe {
            let lends = (*slot)[LENDS];
            if (*slot)[TAG] | 1 != tag | 1 || lends == u32::MAX {
                return None;
            }
            (*slot)[LENDS] = lends + 1;
            Some((*slot)[REP])
        }
    }

    /// Ends a loan of the resource at `index`.
    #[inline]
    pub fn end_loan(self, index: u32) -> Option<()> {
        let slot = self.slot(index)?;
        // SAFETY: as `slot` says.
        unsafe {
            let lends = (*slot)[LENDS];
            if (*slot)[TAG] & 14 != 2 || lends == 0 {
                return None;
            }
            (*slot)[LENDS] = lends - 1;
        }
        Some(())
    }

    /// A new owned resource: its index.
    #[inline]
    pub fn insert_own(self, tag: u32, rep: u32) -> Option<u32> {
        let block = self.0.as_ptr();
        // SAFETY: as `slot` says; the free slot holds the next free one.
        unsafe {
            let index = (*block).free;
            let slot = self.slot(index).filter(|_| index != 0)?;
            (*block).free = (*slot)[REP];
            (*slot)[TAG] = tag;
            (*slot)[REP] = rep;
            (*slot)[LENDS] = 0;
            (*slot)[SCOPE] = 0;
            Some(index)
        }
    }

    /// Takes out an owned resource that is not lent: its representation.
    #[inline]
    pub fn take_own(self, tag: u32, index: u32) -> Option<u32> {
        let slot = self.slot(index)?;
        let block = self.0.as_ptr();
        // SAFETY: as `slot` says.
        unsafe {
            if (*slot)[TAG] != tag || (*slot)[LENDS] != 0 {
                return None;
            }
            let rep = (*slot)[REP];
            (*slot)[TAG] = 0;
            (*slot)[REP] = (*block).free;
            (*block).free = index;
            Some(rep)
        }
    }
}

const TAG: usize = SLOT_TAG as usize / 4;
const REP: usize = SLOT_REP as usize / 4;
const LENDS: usize = SLOT_LENDS as usize / 4;
const SCOPE: usize = SLOT_SCOPE as usize / 4;

impl Storage for HotStorage {
    #[inline]
    fn header(&self) -> Header {
        let HotBlock { len, free, .. } = self.read();
        Header { len, free }
    }

    #[inline]
    fn set_header(&mut self, header: Header) {
        // SAFETY: ours; single fields are written.
        unsafe {
            (*self.0.as_ptr()).len = header.len;
            (*self.0.as_ptr()).free = header.free;
        }
    }

    #[inline]
    fn get(&self, index: u32) -> Slot {
        match self.slot(index) {
            // SAFETY: in range, and initialised: memory is zeroed first.
            Some(slot) => unsafe { slot.read() },
            None => Slot::default(),
        }
    }

    #[inline]
    fn set(&mut self, index: u32, slot: Slot) {
        if let Some(recorder) = &self.1 {
            recorder.changed(index, self.get(index), slot);
        }
        if let Some(place) = self.slot(index) {
            // SAFETY: in range, and ours.
            unsafe { place.write(slot) };
        }
    }

    fn reserve(&mut self, index: u32) -> bool {
        let block = self.read();
        if index < block.capacity {
            return true;
        }
        // What no handle is in costs nothing, while small blocks that were outgrown stay in
        // the heap.
        let times = if block.capacity < BIG { 4 } else { 2 };
        let more = block.capacity.saturating_mul(times);
        let wanted = (index + 1).max(FIRST).max(more);
        let wanted = wanted.min(MAX_INDEX + 1);
        let (Ok(old), Ok(new)) = (layout(block.capacity), layout(wanted)) else {
            return false;
        };
        let slots = std::ptr::with_exposed_provenance_mut::<u8>(block.slots);
        // SAFETY: `new` is not empty; `old` is what the slots were allocated with, if they
        // were. What is new is zeros that nobody wrote: pages of a big table that no handle
        // is in yet take no memory.
        let slots = unsafe {
            let fresh = alloc_zeroed(new);
            if block.capacity > 0 && !fresh.is_null() {
                fresh.copy_from_nonoverlapping(slots, old.size());
                dealloc(slots, old);
            }
            fresh
        };
        if slots.is_null() {
            return false;
        }
        // SAFETY: ours; single fields are written.
        unsafe {
            (*self.0.as_ptr()).slots = slots.expose_provenance();
            (*self.0.as_ptr()).capacity = wanted;
        }
        true
    }
}

fn layout(slots: u32) -> Result<Layout, std::alloc::LayoutError> {
    Layout::array::<Slot>(slots as usize)
}

impl Drop for HotStorage {
    fn drop(&mut self) {
        let block = self.read();
        if let (Ok(layout), true) = (layout(block.capacity), block.capacity > 0) {
            // SAFETY: allocated by `reserve` with this layout.
            unsafe { dealloc(std::ptr::with_exposed_provenance_mut(block.slots), layout) };
        }
        // SAFETY: from `Box::into_raw` in `new`; the instance is going, so no code runs.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use helve_model::handles::{Table, TypeId};
    use helve_model::resource::Loans;

    /// The short ways against the table's rules, on two tables that must stay the same.
    #[test]
    fn short_ways_do_what_the_table_does() {
        let mut short = Table::with_storage(HotStorage::new(40, None), 40);
        let mut long = Table::with_storage(HotStorage::new(40, None), 40);
        let hot = HotSlots::of(short.storage()).unwrap();
        let types = [1, 2].map(|ty| TypeId::new(ty).unwrap());
        let mut seed = 5u32;
        let mut random = |below: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) % below
        };
        let mut taken = 0;
        for round in 0..20_000 {
            let (ty, index) = (types[random(2) as usize], random(44));
            let tag = helve_model::layout::resource_tag(ty);
            let (mut a, mut b) = (Loans::new(), Loans::new());
            let (shortly, same) = match random(5) {
                0 | 1 => {
                    let rep = random(1000);
                    let new = long.new_own(ty, rep);
                    let it = hot.insert_own(tag, rep);
                    (
                        it.is_some(),
                        it.map_or_else(|| short.new_own(ty, rep), Ok) == new,
                    )
                }
                2 => {
                    let rep = long.take_own(index, ty);
                    let it = hot.take_own(tag, index);
                    (
                        it.is_some(),
                        it.map_or_else(|| short.take_own(index, ty), Ok) == rep,
                    )
                }
                _ => {
                    let lent = long.lend(&mut b, index, ty);
                    let it = hot.lend(tag, index);
                    let rep = match it {
                        Some(rep) => a.add(index).map(|()| rep),
                        None => short.lend(&mut a, index, ty).map(|lent| lent.rep),
                    };
                    (it.is_some(), rep == lent.map(|lent| lent.rep) && a == b)
                }
            };
            taken += u32::from(shortly);
            assert!(same, "round {round}");
            if random(3) > 0 {
                match a.only().map(|index| hot.end_loan(index)) {
                    Some(Some(())) => a.end_only(),
                    _ => short.end_loans(&mut a).unwrap(),
                }
                long.end_loans(&mut b).unwrap();
            }
            assert!(short.iter().eq(long.iter()), "round {round}");
            short.audit().unwrap();
        }
        assert!(taken > 2_000, "{taken}");
    }

    #[test]
    fn a_table_grows_and_reuses() {
        let mut table = Table::with_storage(HotStorage::new(1000, None), 1000);
        let ty = TypeId::new(7).unwrap();
        assert!(table.get(0).is_err() && table.get(1).is_err());
        for i in 1..=1000 {
            assert_eq!(table.new_own(ty, i * 3).unwrap(), i);
        }
        assert!(table.new_own(ty, 0).is_err());
        for i in (1..=1000).step_by(7) {
            assert_eq!(table.take_own(i, ty).unwrap(), i * 3);
        }
        table.audit().unwrap();
        assert_eq!(table.new_own(ty, 5).unwrap(), 995);
        assert_eq!(table.rep(995, ty).unwrap(), 5);
    }
}
