//! Numbered places for what does not fit a slot.
//!
//! A freed place is used again; whoever holds a number knows that its place is in use.
//! No generations: slots own what they point to.

use crate::error::HandleError;
use alloc::vec::Vec;

/// Items by number.
#[derive(Clone, Debug)]
pub(crate) struct Slab<T> {
    items: Vec<Option<T>>,
    free: Vec<u32>,
}

/// Items of a slab that is a mapping of its own, or nearly.
const BIG: usize = 1 << 12;

impl<T> Slab<T> {
    pub(crate) const fn new() -> Slab<T> {
        Slab {
            items: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Takes a number for an item.
    // Always inlined: an item that is put together elsewhere and then moved costs more than
    // everything else here.
    #[inline(always)]
    pub(crate) fn insert(&mut self, item: T) -> Result<u32, HandleError> {
        let number = self.place()?;
        if let Some(place) = self.items.get_mut(number as usize) {
            *place = Some(item);
        }
        Ok(number)
    }

    /// A number whose place is empty.
    #[inline]
    fn place(&mut self) -> Result<u32, HandleError> {
        match self.free.pop() {
            Some(number) => Ok(number),
            None => self.more(),
        }
    }

    #[cold]
    fn more(&mut self) -> Result<u32, HandleError> {
        let number = u32::try_from(self.items.len()).map_err(|_| HandleError::OutOfMemory)?;
        // Room that is not used costs nothing, while small blocks that were outgrown stay in
        // the heap.
        let (len, room) = (self.items.len(), self.items.capacity());
        if len == room {
            let more = if len < BIG { 3 * len.max(1) } else { len };
            let reserved = self.items.try_reserve_exact(more);
            reserved.map_err(|_| HandleError::OutOfMemory)?;
        }
        // So that giving a number back never needs memory.
        let room = self.items.capacity();
        if self.free.capacity() < room {
            let reserved = self.free.try_reserve_exact(room - self.free.len());
            reserved.map_err(|_| HandleError::OutOfMemory)?;
        }
        self.items.push(None);
        Ok(number)
    }

    #[inline(always)]
    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        self.items.get(number as usize)?.as_ref()
    }

    #[inline(always)]
    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.items.get_mut(number as usize)?.as_mut()
    }

    pub(crate) fn remove(&mut self, number: u32) -> Option<T> {
        let item = self.items.get_mut(number as usize)?.take()?;
        self.free.push(number);
        Some(item)
    }

    /// The same, of one that nobody needs any more; whether there was one.
    #[inline(always)]
    pub(crate) fn discard(&mut self, number: u32) -> bool {
        match self.items.get_mut(number as usize) {
            Some(place @ Some(_)) => {
                *place = None;
                self.free.push(number);
                true
            }
            _ => false,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..)
            .zip(&self.items)
            .filter_map(|(number, item)| Some((number, item.as_ref()?)))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.items.len() - self.free.len()
    }
}
