//! A store's bounds on what its guests get in total, and the embedder's own say.
//!
//! The VM asks the [`StoreLimiter`] before each growth; instantiation asks it for what a
//! module starts with. Not here: bounds on single things (the VM checks these).
//!
//! # Safety
//!
//! Each limiter stands in a box of its own, apart from the store, so that the VM's pointer to
//! it and the host data's borrow never overlap. One of a component instance lives as long as
//! its core instances, and the store's longer.

use crate::core::store::StorePtr;
use helve_base::limits::{InstanceLimits, Limits};
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

/// What the guests of one store have.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    memory_bytes: u64,
    /// Of tables and contexts of instances.
    table_bytes: u64,
    memories: usize,
    tables: usize,
    instances: usize,
}

/// What an instance had that is gone.
#[derive(Debug, Default)]
pub(crate) struct Freed {
    pub memories: usize,
    pub memory_bytes: u64,
    pub tables: usize,
    pub table_elements: u64,
    pub context_bytes: u64,
}

/// What the guests of one store have, and may have.
pub(crate) struct StoreLimiter {
    store: StorePtr,
    /// What they have. An instantiation that fails puts back what was before it.
    pub usage: Usage,
    most: Usage,
    /// The embedder's, if it set one.
    pub custom: Option<CustomLimiter>,
    /// The component instance for which memories and tables are being made.
    part: Option<NonNull<PartLimiter>>,
}

/// Bytes of one element of a table.
const ELEMENT_BYTES: u64 = size_of::<*mut u8>() as u64;

impl StoreLimiter {
    pub fn new(store: StorePtr, limits: &Limits) -> StoreLimiter {
        let most = Usage {
            memory_bytes: limits.store_memory_bytes,
            table_bytes: limits.store_table_bytes,
            memories: limits.memories,
            tables: limits.tables,
            instances: limits.instances,
        };
        StoreLimiter {
            store,
            usage: Usage::default(),
            most,
            custom: None,
            part: None,
        }
    }

    /// Makes memories and tables for a component instance while `work` runs; where that fails
    /// nothing is counted of it.
    pub fn begin_part(&mut self, part: Option<NonNull<PartLimiter>>) -> (Usage, PartUsage) {
        self.part = part;
        // SAFETY: alive, and nobody else uses it now.
        let has = part.map(|part| unsafe { part.as_ref() }.usage);
        (self.usage, has.unwrap_or_default())
    }

    /// They are made, or `before` counts again.
    pub fn end_part(&mut self, before: Option<(Usage, PartUsage)>) {
        let part = self.part.take();
        let Some((usage, had)) = before else {
            return;
        };
        self.usage = usage;
        if let Some(mut part) = part {
            // SAFETY: as above.
            unsafe { part.as_mut() }.usage = had;
        }
    }

    /// Whom the VM asks for what is being made.
    pub fn for_vm(&mut self) -> NonNull<dyn Limiter> {
        match self.part {
            Some(part) => part,
            None => NonNull::from(self),
        }
    }

    /// Counts a new memory of `bytes`.
    pub fn add_memory(&mut self, bytes: u64, maximum: Option<u64>) -> Result<()> {
        let (has, most) = (self.usage, self.most);
        ensure!(
            has.memories < most.memories,
            "the store has {} memories, its limit; raise Limits::memories",
            has.memories
        );
        if let Some(part) = self.own() {
            part.check_memory(bytes)?;
        }
        ensure!(
            self.memory_growing(0, bytes, maximum),
            "a memory of {bytes} bytes exceeds what the store may have (it has {} of {} bytes; \
             see Limits::store_memory_bytes)",
            has.memory_bytes,
            most.memory_bytes
        );
        self.usage.memories += 1;
        if let Some(part) = self.own() {
            part.usage.memory_bytes += bytes;
        }
        Ok(())
    }

    /// Counts a new table of `elements`.
    pub fn add_table(&mut self, elements: u64, maximum: Option<u64>) -> Result<()> {
        let (has, most) = (self.usage, self.most);
        ensure!(
            has.tables < most.tables,
            "the store has {} tables, its limit; raise Limits::tables",
            has.tables
        );
        if let Some(part) = self.own() {
            part.check_table(elements)?;
        }
        ensure!(
            self.table_growing(0, elements, maximum),
            "a table of {elements} elements exceeds what the store may have (it has {} of {} \
             bytes; see Limits::store_table_bytes)",
            has.table_bytes,
            most.table_bytes
        );
        self.usage.tables += 1;
        if let Some(part) = self.own() {
            part.usage.table_elements += elements;
        }
        Ok(())
    }

    /// Counts a new instance with a context of `bytes`.
    pub fn add_instance(&mut self, bytes: u32) -> Result<()> {
        let (has, most) = (self.usage, self.most);
        ensure!(
            has.instances < most.instances,
            "the store has {} core instances, its limit; raise Limits::instances",
            has.instances
        );
        ensure!(
            add(&mut self.usage.table_bytes, bytes.into(), most.table_bytes),
            "an instance of {bytes} bytes exceeds what the store may have (it has {} of {} \
             bytes; see Limits::store_table_bytes)",
            has.table_bytes,
            most.table_bytes
        );
        self.usage.instances += 1;
        Ok(())
    }

    /// What an instance had is free again.
    pub fn remove(&mut self, freed: &Freed) {
        let usage = &mut self.usage;
        let table_bytes = freed.table_elements.saturating_mul(ELEMENT_BYTES);
        let table_bytes = table_bytes.saturating_add(freed.context_bytes);
        usage.memory_bytes = usage.memory_bytes.saturating_sub(freed.memory_bytes);
        usage.table_bytes = usage.table_bytes.saturating_sub(table_bytes);
        usage.memories = usage.memories.saturating_sub(freed.memories);
        usage.tables = usage.tables.saturating_sub(freed.tables);
        usage.instances = usage.instances.saturating_sub(1);
    }

    fn own(&mut self) -> Option<&mut PartLimiter> {
        // SAFETY: alive while memories are made for it, and nobody else uses it then.
        self.part.as_mut().map(|part| unsafe { part.as_mut() })
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
        let growth = Growth::Memory {
            current,
            desired,
            maximum,
        };
        let more = desired.saturating_sub(current);
        self.custom_allows(growth)
            && add(&mut self.usage.memory_bytes, more, self.most.memory_bytes)
    }

    fn table_growing(&mut self, current: u64, desired: u64, maximum: Option<u64>) -> bool {
        let growth = Growth::Table {
            current,
            desired,
            maximum,
        };
        let more = desired
            .saturating_sub(current)
            .saturating_mul(ELEMENT_BYTES);
        self.custom_allows(growth) && add(&mut self.usage.table_bytes, more, self.most.table_bytes)
    }
}

/// What one component instance has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PartUsage {
    pub memory_bytes: u64,
    pub table_elements: u64,
}

/// What one component instance has, and may have, beside what its store may.
pub(crate) struct PartLimiter {
    store: NonNull<StoreLimiter>,
    pub usage: PartUsage,
    most: PartUsage,
}

impl PartLimiter {
    pub fn new(store: &LimiterBox<StoreLimiter>, limits: &InstanceLimits) -> PartLimiter {
        PartLimiter {
            store: store.0,
            usage: PartUsage::default(),
            most: PartUsage {
                memory_bytes: limits.memory_bytes,
                table_elements: limits.table_elements,
            },
        }
    }

    /// What it may have.
    pub fn most(&self) -> PartUsage {
        self.most
    }

    fn check_memory(&self, bytes: u64) -> Result<()> {
        let (has, most) = (self.usage.memory_bytes, self.most.memory_bytes);
        ensure!(
            has.saturating_add(bytes) <= most,
            "a memory of {bytes} bytes exceeds what the component instance may have (it has {has} \
             of {most} bytes; see InstanceLimits::memory_bytes)"
        );
        Ok(())
    }

    fn check_table(&self, elements: u64) -> Result<()> {
        let (has, most) = (self.usage.table_elements, self.most.table_elements);
        ensure!(
            has.saturating_add(elements) <= most,
            "a table of {elements} elements exceeds what the component instance may have (it has \
             {has} of {most} elements; see InstanceLimits::table_elements)"
        );
        Ok(())
    }

    fn store(&mut self) -> &mut StoreLimiter {
        // SAFETY: the store's outlives it, and nobody else uses that while a growth runs.
        unsafe { self.store.as_mut() }
    }
}

impl Limiter for PartLimiter {
    fn memory_growing(&mut self, current: u64, desired: u64, maximum: Option<u64>) -> bool {
        let more = desired.saturating_sub(current);
        let mut has = self.usage.memory_bytes;
        let allowed = add(&mut has, more, self.most.memory_bytes)
            && self.store().memory_growing(current, desired, maximum);
        if allowed {
            self.usage.memory_bytes = has;
        }
        allowed
    }

    fn table_growing(&mut self, current: u64, desired: u64, maximum: Option<u64>) -> bool {
        let more = desired.saturating_sub(current);
        let mut has = self.usage.table_elements;
        let allowed = add(&mut has, more, self.most.table_elements)
            && self.store().table_growing(current, desired, maximum);
        if allowed {
            self.usage.table_elements = has;
        }
        allowed
    }
}

/// Adds `more`, unless that exceeds `most`.
fn add(has: &mut u64, more: u64, most: u64) -> bool {
    let total = has.saturating_add(more);
    let fits = total <= most;
    if fits {
        *has = total;
    }
    fits
}

/// Owns a limiter without claiming to be its only pointer.
pub(crate) struct LimiterBox<L>(NonNull<L>);

impl<L> LimiterBox<L> {
    pub fn new(limiter: L) -> LimiterBox<L> {
        LimiterBox(NonNull::from(Box::leak(Box::new(limiter))))
    }

    pub fn as_ptr(&self) -> NonNull<L> {
        self.0
    }

    pub fn get(&mut self) -> &mut L {
        // SAFETY: ours; the VM uses its pointer only while a growth runs, and then nobody
        // is here.
        unsafe { self.0.as_mut() }
    }
}

impl<L> Drop for LimiterBox<L> {
    fn drop(&mut self) {
        // SAFETY: made from a box by `new`.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}
