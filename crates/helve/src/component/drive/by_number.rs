//! What the store keeps for tasks, threads and calls, found by their numbers.
//!
//! The model's numbers are small and used again, so a vector does what a hash map would, at
//! the price of an index. Not here: whose numbers they are (`helve_model`).

use helve_model::{TaskId, ThreadId, WaitableId};

/// Something with a number of its own while it lives.
pub(crate) trait Numbered: Copy + PartialEq {
    fn number(self) -> u32;
}

impl Numbered for ThreadId {
    fn number(self) -> u32 {
        self.0
    }
}

impl Numbered for TaskId {
    fn number(self) -> u32 {
        TaskId::number(self)
    }
}

impl Numbered for WaitableId {
    fn number(self) -> u32 {
        WaitableId::number(self)
    }
}

/// Values by number.
pub(crate) struct ByNumber<K, V>(Vec<Option<(K, V)>>);

impl<K, V> Default for ByNumber<K, V> {
    fn default() -> Self {
        ByNumber(Vec::new())
    }
}

impl<K: Numbered, V> ByNumber<K, V> {
    #[inline]
    pub fn get(&self, key: K) -> Option<&V> {
        let (found, value) = self.0.get(key.number() as usize)?.as_ref()?;
        (*found == key).then_some(value)
    }

    /// The one that had the number before goes: its owner is gone.
    #[inline]
    pub fn insert(&mut self, key: K, value: V) {
        let at = key.number() as usize;
        if at >= self.0.len() {
            self.0.resize_with(at + 1, || None);
        }
        self.0[at] = Some((key, value));
    }

    #[inline]
    pub fn remove(&mut self, key: K) -> Option<V> {
        let place = self.0.get_mut(key.number() as usize)?;
        match place {
            Some((found, _)) if *found == key => place.take().map(|(_, value)| value),
            _ => None,
        }
    }

    /// Takes out all that `gone` is true of.
    pub fn remove_all(&mut self, mut gone: impl FnMut(K) -> bool) -> Vec<V> {
        let places = self.0.iter_mut();
        let gone = places.filter(|place| place.as_ref().is_some_and(|(key, _)| gone(*key)));
        gone.filter_map(|place| place.take().map(|(_, value)| value))
            .collect()
    }
}
