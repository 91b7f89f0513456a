//! Things by number, told apart from earlier ones in the same place.
//!
//! A handle that outlives its thing finds nothing. Not here: what the things are.

/// Where a thing is, and which of those that were there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    /// A key of nothing, for what is no slot.
    pub const NONE: Key = Key {
        index: u32::MAX,
        generation: 0,
    };

    /// As a number.
    pub fn to_bits(self) -> u64 {
        u64::from(self.index) | u64::from(self.generation) << 32
    }

    /// From [`Key::to_bits`].
    pub fn from_bits(bits: u64) -> Key {
        Key {
            index: bits as u32,
            generation: (bits >> 32) as u32,
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

struct Slot<V> {
    generation: u32,
    value: Option<V>,
}

/// Things by [`Key`].
pub(crate) struct Slots<V> {
    slots: Vec<Slot<V>>,
    free: Vec<u32>,
}

impl<V> Default for Slots<V> {
    fn default() -> Slots<V> {
        Slots {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<V> Slots<V> {
    /// Keeps a thing that is told its key.
    pub fn insert_with(&mut self, make: impl FnOnce(Key) -> V) -> Key {
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            let generation = slot.generation;
            let key = Key { index, generation };
            slot.value = Some(make(key));
            return key;
        }
        // Each takes more than 16 bytes: there are never 2^32.
        let index = self.slots.len() as u32;
        let generation = 0;
        let key = Key { index, generation };
        let value = Some(make(key));
        self.slots.push(Slot { generation, value });
        key
    }

    /// Keeps a thing.
    pub fn insert(&mut self, value: V) -> Key {
        self.insert_with(|_| value)
    }

    fn slot(&mut self, key: Key) -> Option<&mut Slot<V>> {
        let slot = self.slots.get_mut(key.index as usize)?;
        (slot.generation == key.generation).then_some(slot)
    }

    pub fn get_mut(&mut self, key: Key) -> Option<&mut V> {
        self.slot(key)?.value.as_mut()
    }

    /// Lends a thing to whoever asks: it is not to be found until it is back.
    pub fn lend(&mut self, key: Key) -> Option<V> {
        self.slot(key)?.value.take()
    }

    /// A thing that was lent is back.
    pub fn give_back(&mut self, key: Key, value: V) {
        if let Some(slot) = self.slot(key) {
            slot.value = Some(value);
        }
    }

    /// Gives a thing up.
    pub fn remove(&mut self, key: Key) -> Option<V> {
        let slot = self.slot(key)?;
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(key.index);
        Some(value)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &V)> {
        (0..).zip(&self.slots).filter_map(|(index, slot)| {
            let generation = slot.generation;
            Some((Key { index, generation }, slot.value.as_ref()?))
        })
    }
}
