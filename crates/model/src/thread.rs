//! The table of a component instance's threads: a second one, with the same indices and
//! the same free list, but its own.
//!
//! What a thread is (its stack, whom it waits for) is the scheduler's; here it is a
//! number.

use crate::error::HandleError;
use crate::handles::{Kind, Slot, Storage, Table, TypeId, VecStorage};

/// A thread, by whatever number the scheduler gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ThreadId(pub u32);

/// The threads of one component instance.
#[derive(Clone, Debug)]
pub struct Threads<S = VecStorage> {
    table: Table<S>,
}

impl Default for Threads {
    fn default() -> Threads {
        Threads {
            table: Table::new(),
        }
    }
}

impl<S: Storage> Threads<S> {
    /// Threads in this table, which must hold nothing else.
    pub fn with_table(table: Table<S>) -> Threads<S> {
        Threads { table }
    }

    /// Gives a thread its index.
    pub fn insert(&mut self, thread: ThreadId) -> Result<u32, HandleError> {
        self.table
            .insert(Slot::new(Kind::Thread, TypeId::NONE, thread.0))
    }

    /// The thread at `index`.
    pub fn get(&self, index: u32) -> Result<ThreadId, HandleError> {
        self.table.get(index).map(|slot| ThreadId(slot.rep()))
    }

    /// The thread at `index` has ended.
    pub fn remove(&mut self, index: u32) -> Result<ThreadId, HandleError> {
        let thread = self.get(index)?;
        self.table.free(index);
        Ok(thread)
    }

    /// All threads, by index.
    pub fn iter(&self) -> impl Iterator<Item = (u32, ThreadId)> + '_ {
        self.table
            .iter()
            .map(|(index, slot)| (index, ThreadId(slot.rep())))
    }

    /// Whether the table is in order: for tests and fuzzing.
    pub fn audit(&self) -> Result<(), &'static str> {
        self.table.audit()
    }
}
