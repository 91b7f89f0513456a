//! Named things in the order in which the file names them.
//!
//! Why not a plain map: imports and exports are reported, linked and listed in file
//! order, and looked up by name as well. Names are unique (validation sees to it); a
//! later one of the same name replaces the earlier one in its place.

use std::collections::HashMap;
use std::sync::Arc;

/// Named things, in order.
#[derive(Clone, Debug)]
pub struct NamedList<T> {
    entries: Vec<(Arc<str>, T)>,
    index: HashMap<Arc<str>, usize>,
}

impl<T> NamedList<T> {
    /// An empty map.
    pub fn new() -> NamedList<T> {
        NamedList {
            entries: Vec::new(),
            index: HashMap::new(),
        }
    }

    /// Adds `value`, or replaces what had that name.
    pub fn insert(&mut self, name: Arc<str>, value: T) {
        match self.index.get(&name) {
            Some(&at) => self.entries[at].1 = value,
            None => {
                self.index.insert(name.clone(), self.entries.len());
                self.entries.push((name, value));
            }
        }
    }

    /// The thing of this name.
    pub fn get(&self, name: &str) -> Option<&T> {
        let &at = self.index.get(name)?;
        self.entries.get(at).map(|(_, value)| value)
    }

    /// The `n`th thing and its name.
    pub fn get_index(&self, n: usize) -> Option<(&Arc<str>, &T)> {
        self.entries.get(n).map(|(name, value)| (name, value))
    }

    /// The place of the thing of this name.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Arc<str>, &T)> + ExactSizeIterator {
        self.entries.iter().map(|(name, value)| (name, value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<T> Default for NamedList<T> {
    fn default() -> Self {
        NamedList::new()
    }
}
