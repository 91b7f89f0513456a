//! A table of references: a raw array that may move when it grows.
//!
//! Compiled code reloads base and length from the `VMTable` at each access, so growth
//! may move the array. Every element is one word: null, a `*mut VMFuncRef`, or an
//! opaque externref word.
//!
//! Not here: element segments and bulk instructions across instances (`instance`,
//! `builtins`), what an externref word means (the embedder).
//!
//! # Safety
//!
//! A [`Table`] owns its array of `capacity` words, of which the first `len` are in use
//! and the rest zero. The `VMTable` is reached through raw pointers only, as compiled
//! code reads it; see `memory` for where it stands. No reference to elements is held
//! beyond one operation.

use crate::limiter::Limiter;
use helve_base::core_type::TableType;
use helve_base::vmctx::VMTable;
use helve_base::{Result, ensure};
use std::alloc::{Layout, alloc_zeroed, dealloc, realloc};
use std::cell::{Cell, UnsafeCell};
use std::ptr::null_mut;

/// A table. Its address ([`Box`]) is stable for its life.
pub struct Table {
    ty: TableType,
    /// Most elements it may ever have.
    most: u64,
    /// The array, here too because the definition's home may go first.
    array: Cell<*mut *mut u8>,
    capacity: Cell<usize>,
    home: UnsafeCell<VMTable>,
    definition: Cell<*mut VMTable>,
}

// SAFETY: it owns its array; a table is used by one thread at a time, and its elements
// are words to this crate.
unsafe impl Send for Table {}

impl Table {
    /// A table of `ty` with every element `value`, never of more than `limit` elements.
    pub fn new(ty: &TableType, value: *mut u8, limit: u64) -> Result<Box<Table>> {
        let index_most = if ty.table64 {
            u64::MAX
        } else {
            u64::from(u32::MAX)
        };
        let most = limit.min(index_most).min(ty.maximum.unwrap_or(u64::MAX));
        ensure!(
            ty.minimum <= most,
            "table of at least {} elements where the limit is {most}; raise Limits::table_elements",
            ty.minimum
        );
        let table = Box::new(Table {
            ty: *ty,
            most,
            array: Cell::new(null_mut()),
            capacity: Cell::new(0),
            home: UnsafeCell::new(VMTable {
                base: null_mut(),
                len: 0,
                owner: null_mut(),
            }),
            definition: Cell::new(null_mut()),
        });
        let owner = (&raw const *table).cast_mut().cast();
        table.definition.set(table.home.get());
        // SAFETY: `home` is our own, and nobody else has its address yet.
        unsafe { (*table.home.get()).owner = owner };
        let made = table.grow(ty.minimum, value, None);
        ensure!(
            made.is_some(),
            "cannot allocate a table of {} elements",
            ty.minimum
        );
        Ok(table)
    }

    /// The table that `definition` is of.
    ///
    /// # Safety
    ///
    /// `definition` was made by this file, and its table lives for `'a`.
    pub unsafe fn of<'a>(definition: *const VMTable) -> &'a Table {
        // SAFETY: by contract; `owner` is set once, by `new`.
        unsafe { &*(*definition).owner.cast::<Table>() }
    }

    /// What compiled code reads.
    pub fn definition(&self) -> *mut VMTable {
        self.definition.get()
    }

    /// Moves the definition to `at`, before any code has seen it where it was.
    ///
    /// # Safety
    ///
    /// `at` is writable for as long as the table lives.
    pub(crate) unsafe fn bind(&self, at: *mut VMTable) {
        // SAFETY: both are valid, by contract and by construction.
        unsafe { at.write(*self.definition.get()) };
        self.definition.set(at);
    }

    /// Its type, as declared.
    pub fn ty(&self) -> &TableType {
        &self.ty
    }

    /// Elements.
    pub fn len(&self) -> u64 {
        self.vm().len as u64
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Element `index`, if there is one.
    pub fn get(&self, index: u64) -> Option<*mut u8> {
        let place = self.range(index, 1)?;
        // SAFETY: `range` says it is within the array.
        Some(unsafe { *place })
    }

    /// Sets element `index`; `None` if there is none.
    pub fn set(&self, index: u64, value: *mut u8) -> Option<()> {
        let place = self.range(index, 1)?;
        // SAFETY: `range` says it is within the array.
        unsafe { *place = value };
        Some(())
    }

    /// Sets `len` elements from `index` on; `None`, changing nothing, if out of bounds.
    pub fn fill(&self, index: u64, value: *mut u8, len: u64) -> Option<()> {
        let place = self.range(index, len)?;
        for i in 0..len as usize {
            // SAFETY: `range` says the whole run is within the array.
            unsafe { *place.add(i) = value };
        }
        Some(())
    }

    /// Copies `values` to `index` on; `None`, changing nothing, if out of bounds.
    pub fn init(&self, index: u64, values: &[*mut u8]) -> Option<()> {
        let place = self.range(index, values.len() as u64)?;
        // SAFETY: `range` says the target is within the array; `values` is the host's.
        unsafe { std::ptr::copy(values.as_ptr(), place, values.len()) };
        Some(())
    }

    /// Copies `len` elements at `from` of `source` to `to` of this table, which may be
    /// the same; `None`, changing nothing, if out of bounds.
    pub fn copy(&self, to: u64, source: &Table, from: u64, len: u64) -> Option<()> {
        let target = self.range(to, len)?;
        let origin = source.range(from, len)?;
        // SAFETY: both runs are within their arrays; `copy` allows overlap.
        unsafe { std::ptr::copy(origin, target, len as usize) };
        Some(())
    }

    /// Adds `more` elements, if limits, `limiter` and the allocator allow; the elements
    /// before, or `None`.
    pub fn grow(
        &self,
        more: u64,
        value: *mut u8,
        limiter: Option<&mut dyn Limiter>,
    ) -> Option<u64> {
        let before = self.len();
        let wanted = before.checked_add(more)?;
        if wanted > self.most {
            return None;
        }
        if let Some(limiter) = limiter
            && !limiter.table_growing(before, wanted, self.ty.maximum)
        {
            return None;
        }
        // A limiter is the embedder's code: it may have grown this very table.
        if self.len() != before {
            return None;
        }
        self.reserve(usize::try_from(wanted).ok()?)?;
        // SAFETY: the definition is valid by construction.
        unsafe { (*self.definition.get()).len = wanted as usize };
        // What is behind the length is zero already.
        if !value.is_null() {
            self.fill(before, value, more)?;
        }
        Some(before)
    }

    /// Makes the array hold `wanted` elements; at least doubles it.
    fn reserve(&self, wanted: usize) -> Option<()> {
        let old = self.capacity.get();
        if wanted <= old {
            return Some(());
        }
        let most = usize::try_from(self.most).unwrap_or(usize::MAX);
        let doubled = old.saturating_mul(2).max(8).min(most);
        let new = wanted.max(doubled);
        let layout = Layout::array::<*mut u8>(new).ok()?;
        let base = self.vm().base;
        // SAFETY: `base` is null only where `old` is 0; layouts are those it was made with;
        // `layout` is not empty: `wanted > 0`.
        let moved = unsafe {
            if old == 0 {
                alloc_zeroed(layout)
            } else {
                realloc(
                    base.cast(),
                    Layout::array::<*mut u8>(old).ok()?,
                    layout.size(),
                )
            }
        }
        .cast::<*mut u8>();
        if moved.is_null() {
            return None;
        }
        if old != 0 {
            // SAFETY: the part that `realloc` added.
            unsafe { moved.add(old).write_bytes(0, new - old) };
        }
        // SAFETY: the definition is valid by construction.
        unsafe { (*self.definition.get()).base = moved };
        self.array.set(moved);
        self.capacity.set(new);
        Some(())
    }

    /// The elements from `index` on, where `len` of them are within the table.
    fn range(&self, index: u64, len: u64) -> Option<*mut *mut u8> {
        let vm = self.vm();
        let end = index.checked_add(len)?;
        // An index within a table that is held in memory fits in `usize`. Wrapping: the
        // base of an empty table may be null.
        (end <= vm.len as u64).then(|| vm.base.wrapping_add(index as usize))
    }

    fn vm(&self) -> VMTable {
        // SAFETY: the definition is valid by construction.
        unsafe { *self.definition.get() }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        if let Ok(layout) = Layout::array::<*mut u8>(self.capacity.get())
            && layout.size() != 0
        {
            // SAFETY: allocated with this layout by `reserve`.
            unsafe { dealloc(self.array.get().cast(), layout) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use helve_base::core_type::RefType;

    fn ty(minimum: u64, maximum: Option<u64>) -> TableType {
        TableType {
            element: RefType::EXTERNREF,
            minimum,
            maximum,
            table64: false,
        }
    }

    fn word(n: usize) -> *mut u8 {
        std::ptr::without_provenance_mut(n)
    }

    fn contents(table: &Table) -> Vec<usize> {
        (0..table.len())
            .map(|i| table.get(i).unwrap().addr())
            .collect()
    }

    #[test]
    fn growth_keeps_and_fills() {
        let table = Table::new(&ty(2, Some(1000)), word(7), 10_000).unwrap();
        assert_eq!(table.grow(3, word(9), None), Some(2));
        assert_eq!(contents(&table), [7, 7, 9, 9, 9]);
        assert_eq!(table.grow(900, null_mut(), None), Some(5));
        assert_eq!(table.get(904).map(|p| p.addr()), Some(0));
        assert_eq!(table.get(4).map(|p| p.addr()), Some(9));
        assert_eq!(table.grow(96, null_mut(), None), None);
        assert_eq!(table.grow(u64::MAX, null_mut(), None), None);
        assert_eq!(table.grow(95, null_mut(), None), Some(905));
        assert!(Table::new(&ty(11, None), null_mut(), 10).is_err());
    }

    #[test]
    fn every_operation_checks_bounds_first() {
        let table = Table::new(&ty(4, None), word(1), 100).unwrap();
        let other = Table::new(&ty(2, None), word(2), 100).unwrap();
        assert!(table.get(4).is_none() && table.set(4, word(5)).is_none());
        assert!(table.fill(3, word(5), 2).is_none());
        assert!(table.fill(u64::MAX, word(5), 2).is_none());
        assert!(table.copy(3, &other, 0, 2).is_none());
        assert!(table.copy(0, &other, 1, 2).is_none());
        assert!(table.init(3, &[word(5), word(5)]).is_none());
        assert_eq!(contents(&table), [1, 1, 1, 1]);
        assert!(table.fill(4, word(5), 0).is_some());
        assert!(table.fill(5, word(5), 0).is_none());
        assert!(table.copy(4, &other, 2, 0).is_some());
        let empty = Table::new(&ty(0, None), null_mut(), 100).unwrap();
        assert!(empty.fill(0, word(1), 0).is_some() && empty.get(0).is_none());
    }

    #[test]
    fn overlapping_copies_move() {
        let table = Table::new(&ty(6, None), null_mut(), 100).unwrap();
        table.init(0, &[1, 2, 3, 4, 5, 6].map(word)).unwrap();
        table.copy(1, &table, 0, 5).unwrap();
        assert_eq!(contents(&table), [1, 1, 2, 3, 4, 5]);
        table.copy(0, &table, 2, 4).unwrap();
        assert_eq!(contents(&table), [2, 3, 4, 5, 4, 5]);
    }
}
