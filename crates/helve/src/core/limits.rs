//! A store's bounds on what its guests get in total, and the embedder's own say.
//!
//! The VM asks the [`StoreLimiter`] before each growth; instantiation asks it for what a
//! module starts with. Not here: bounds on single things (the VM checks these).
//!
//! # Safety
//!
//! The limiter stands in its own box, apart from the store, so that the VM's pointer to
//! it and the host data's borrow never overlap.

use crate::core::store::StorePtr;
use helve_base::limits::Limits;
use helve_base::{Result, ensure};
use helve_vm::Limiter;
use std::ptr::NonNull;

/// What a guest asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Growth {
    Memory {
        current: u64,
        desired: u64,
        maximum: Option<u64>,
    },
    Table {
        current: u64,
        desired: u64,
        maximum: Option<u64>,
    },
}

impl Growth {
    /// Asks an embedder's limiter.
    pub fn ask(self, limiter: &mut dyn Limiter) -> bool {
        match self {
            Growth::Memory {
                current,
                desired,
                maximum,
            } => limiter.memory_growing(current, desired, maximum),
            Growth::Table {
                current,
                desired,
                maximum,
            } => limiter.table_growing(current, desired, maximum),
        }
    }
}

/// The embedder's limiter, reached through the host's data.
pub(crate) type CustomLimiter = Box<dyn FnMut(StorePtr, Growth) -> bool + Send + Sync>;

/// What the guests of one store have, and may have.
pub(crate) struct StoreLimiter {
    store: StorePtr,
    memory_bytes: u64,
    most_memory_bytes: u64,
    memories: usize,
    most_memories: usize,
    tables: usize,
    most_tables: usize,
    instances: usize,
    most_instances: usize,
    /// The embedder's, if it set one.
    pub custom: Option<CustomLimiter>,
}

impl StoreLimiter {
    pub fn new(store: StorePtr, limits: &Limits) -> StoreLimiter {
        StoreLimiter {
            store,
            memory_bytes: 0,
            most_memory_bytes: limits.store_memory_bytes,
            memories: 0,
            most_memories: limits.memories,
            tables: 0,
            most_tables: limits.tables,
            instances: 0,
            most_instances: limits.instances,
            custom: None,
        }
    }

    /// Counts a new memory of `bytes`.
    pub fn add_memory(&mut self, bytes: u64, maximum: Option<u64>) -> Result<()> {
        ensure!(
            self.memories < self.most_memories,
            "the store has {} memories, its limit; raise Limits::memories",
            self.memories
        );
        ensure!(
            self.memory_growing(0, bytes, maximum),
            "a memory of {bytes} bytes exceeds what the store may have (it has {} of {} bytes; see Limits::store_memory_bytes)",
            self.memory_bytes,
            self.most_memory_bytes
        );
        self.memories += 1;
        Ok(())
    }

    /// Counts a new table of `elements`.
    pub fn add_table(&mut self, elements: u64, maximum: Option<u64>) -> Result<()> {
        ensure!(
            self.tables < self.most_tables,
            "the store has {} tables, its limit; raise Limits::tables",
            self.tables
        );
        ensure!(
            self.table_growing(0, elements, maximum),
            "the store's limiter refuses a table of {elements} elements"
        );
        self.tables += 1;
        Ok(())
    }

    /// Counts a new instance.
    pub fn add_instance(&mut self) -> Result<()> {
        ensure!(
            self.instances < self.most_instances,
            "the store has {} core instances, its limit; raise Limits::instances",
            self.instances
        );
        self.instances += 1;
        Ok(())
    }

    fn custom_allows(&mut self, growth: Growth) -> bool {
        let store = self.store;
        self.custom
            .as_mut()
            .is_none_or(|custom| custom(store, growth))
    }
}

impl Limiter for StoreLimiter {
    fn memory_growing(&mut self, current: u64, desired: u64, maximum: Option<u64>) -> bool {
        let more = desired.saturating_sub(current);
        let total = self.memory_bytes.saturating_add(more);
        if total > self.most_memory_bytes
            || !self.custom_allows(Growth::Memory {
                current,
                desired,
                maximum,
            })
        {
            return false;
        }
        self.memory_bytes = total;
        true
    }

    fn table_growing(&mut self, current: u64, desired: u64, maximum: Option<u64>) -> bool {
        self.custom_allows(Growth::Table {
            current,
            desired,
            maximum,
        })
    }
}

/// Owns a limiter without claiming to be its only pointer.
pub(crate) struct LimiterBox(NonNull<StoreLimiter>);

impl LimiterBox {
    pub fn new(limiter: StoreLimiter) -> LimiterBox {
        LimiterBox(NonNull::from(Box::leak(Box::new(limiter))))
    }

    /// For the VM.
    pub fn as_ptr(&self) -> NonNull<dyn Limiter> {
        self.0
    }

    pub fn get(&mut self) -> &mut StoreLimiter {
        // SAFETY: ours; the VM uses its pointer only while a growth runs, and then nobody
        // is here.
        unsafe { self.0.as_mut() }
    }
}

impl Drop for LimiterBox {
    fn drop(&mut self) {
        // SAFETY: made from a box by `new`.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}
