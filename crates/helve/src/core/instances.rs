//! The core instances of a store, by number.
//!
//! The numbers of those that are gone are used again: only instances of components end
//! before their store, and nobody outside of their component instance has their numbers.

use crate::core::instance::InstanceData;
use crate::core::store::InstanceId;
use helve_base::PrimaryMap;

/// See the head of this file.
#[derive(Default)]
pub(crate) struct Instances {
    slots: PrimaryMap<InstanceId, Option<InstanceData>>,
    free: Vec<InstanceId>,
}

impl Instances {
    /// The instance with this number.
    pub fn get(&self, id: InstanceId) -> Option<&InstanceData> {
        self.slots.get(id)?.as_ref()
    }

    /// The number that the next instance gets.
    pub fn next_key(&self) -> InstanceId {
        let free = self.free.last().copied();
        free.unwrap_or_else(|| self.slots.next_key())
    }

    /// Keeps an instance.
    pub fn push(&mut self, data: InstanceData) -> InstanceId {
        match self.free.pop() {
            Some(id) => {
                self.slots[id] = Some(data);
                id
            }
            None => self.slots.push(Some(data)),
        }
    }

    /// Takes an instance out.
    pub fn remove(&mut self, id: InstanceId) -> Option<InstanceData> {
        let data = self.slots.get_mut(id)?.take()?;
        self.free.push(id);
        Some(data)
    }

    /// All of them.
    pub fn values(&self) -> impl Iterator<Item = &InstanceData> {
        self.slots.values().flatten()
    }
}
