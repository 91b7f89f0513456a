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

impl<T> Slab<T> {
    pub(crate) const fn new() -> Slab<T> {
        Slab {
            items: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Takes a number for an item.
    pub(crate) fn insert(&mut self, item: T) -> Result<u32, HandleError> {
        if let Some(number) = self.free.pop() {
            if let Some(place) = self.items.get_mut(number as usize) {
                *place = Some(item);
            }
            return Ok(number);
        }
        let number = u32::try_from(self.items.len()).map_err(|_| HandleError::OutOfMemory)?;
        self.items
            .try_reserve(1)
            .map_err(|_| HandleError::OutOfMemory)?;
        // So that giving a number back never needs memory.
        self.free
            .try_reserve(self.items.len() + 1)
            .map_err(|_| HandleError::OutOfMemory)?;
        self.items.push(Some(item));
        Ok(number)
    }

    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        self.items.get(number as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.items.get_mut(number as usize)?.as_mut()
    }

    pub(crate) fn remove(&mut self, number: u32) -> Option<T> {
        let item = self.items.get_mut(number as usize)?.take()?;
        self.free.push(number);
        Some(item)
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
