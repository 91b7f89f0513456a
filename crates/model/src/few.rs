//! A few items in any order: one of them needs no memory of its own.
//!
//! Most tasks have one thread that waits, most waitable sets one member. Not here: sets of
//! anything by number (`slab`).

use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};

/// See the head of this file.
#[derive(Clone, Debug, Default)]
pub(crate) enum Few<T> {
    #[default]
    None,
    One(T),
    Many(Vec<T>),
}

impl<T: Copy> Few<T> {
    /// None.
    pub const fn new() -> Few<T> {
        Few::None
    }

    /// Adds one at the end; `false`: there is no memory for it.
    #[inline]
    #[must_use]
    pub fn push(&mut self, item: T) -> bool {
        match self {
            Few::None => {
                *self = Few::One(item);
                true
            }
            few => few.push_more(item),
        }
    }

    fn push_more(&mut self, item: T) -> bool {
        match self.reserve() {
            true => {
                if let Few::Many(all) = self {
                    all.push(item);
                }
                true
            }
            false => false,
        }
    }

    /// Makes room for one more; `false`: there is no memory for it.
    #[inline]
    #[must_use]
    pub fn reserve(&mut self) -> bool {
        match self {
            Few::None => true,
            Few::One(first) => {
                let mut all = Vec::new();
                if all.try_reserve(4).is_err() {
                    return false;
                }
                all.push(*first);
                *self = Few::Many(all);
                true
            }
            Few::Many(all) => all.try_reserve(1).is_ok(),
        }
    }

    /// Takes one out; the last one comes in its place.
    #[inline]
    pub fn swap_remove(&mut self, at: usize) {
        match self {
            Few::Many(all) if at < all.len() => {
                all.swap_remove(at);
            }
            Few::One(_) if at == 0 => *self = Few::None,
            _ => {}
        }
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match self {
            Few::None => &[],
            Few::One(item) => core::slice::from_ref(item),
            Few::Many(all) => all,
        }
    }
}

impl<T> DerefMut for Few<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Few::None => &mut [],
            Few::One(item) => core::slice::from_mut(item),
            Few::Many(all) => all,
        }
    }
}
