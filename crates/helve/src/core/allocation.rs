//! Where memories and stacks come from: mapped for each instance, or kept for the next.
//!
//! Not here: the pools (`helve_vm::pool`, `helve_fiber`).

use helve_fiber::PoolConfig;
use helve_vm::pool::MemoryPoolConfig;

/// Where instances get their memories and stacks from.
///
/// Either way a guest starts with exactly what its module says: no byte of another one is
/// ever seen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InstanceAllocationStrategy {
    /// Each memory is mapped when it is made and unmapped when its store goes. For programs
    /// that run one guest.
    OnDemand,
    /// What an instance leaves is cleaned and kept for the next. The default, with default
    /// settings.
    Pooling(PoolingAllocationConfig),
}

impl Default for InstanceAllocationStrategy {
    fn default() -> InstanceAllocationStrategy {
        InstanceAllocationStrategy::Pooling(PoolingAllocationConfig::default())
    }
}

impl From<PoolingAllocationConfig> for InstanceAllocationStrategy {
    fn from(config: PoolingAllocationConfig) -> InstanceAllocationStrategy {
        InstanceAllocationStrategy::Pooling(config)
    }
}

/// Whether to do something that not every system can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Enabled {
    /// Where the system can.
    #[default]
    Auto,
    /// In any case: making the engine fails where the system cannot.
    Yes,
    /// Never.
    No,
}

/// What a pool makes, and what it keeps of what is unused.
///
/// Nothing is reserved in advance: a pool grows with the instances that are alive at one
/// time, and keeps some of what they leave.
///
/// ```
/// use helve::{Config, Engine, PoolingAllocationConfig};
///
/// let mut pool = PoolingAllocationConfig::new();
/// pool.total_memories(500).linear_memory_keep_resident(1 << 20);
/// let engine = Engine::new(Config::new().allocation_strategy(pool))?;
/// # Ok::<(), helve::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolingAllocationConfig {
    total_memories: usize,
    total_stacks: usize,
    max_unused_warm_slots: usize,
    linear_memory_keep_resident: usize,
    async_stack_keep_resident: Option<usize>,
    pagemap_scan: Enabled,
}

impl Default for PoolingAllocationConfig {
    fn default() -> PoolingAllocationConfig {
        PoolingAllocationConfig {
            total_memories: usize::MAX,
            total_stacks: 100_000,
            max_unused_warm_slots: 100,
            linear_memory_keep_resident: 256 << 10,
            async_stack_keep_resident: None,
            pagemap_scan: Enabled::Auto,
        }
    }
}

impl PoolingAllocationConfig {
    /// The defaults.
    pub fn new() -> PoolingAllocationConfig {
        PoolingAllocationConfig::default()
    }

    /// Whether this system says which pages of a memory were written.
    pub fn is_pagemap_scan_available() -> bool {
        helve_vm::pool::can_scan()
    }

    /// Most memories that all stores of the engine have at one time (default: no bound but
    /// the system's, about 20,000 with Linux's default settings). One more is an error.
    pub fn total_memories(&mut self, count: u32) -> &mut Self {
        self.total_memories = count as usize;
        self
    }

    /// Most stacks that calls of all stores have at one time (default 100,000). One more is
    /// an error.
    pub fn total_stacks(&mut self, count: u32) -> &mut Self {
        self.total_stacks = count as usize;
        self
    }

    /// Most unused memories that are kept (default 100), and unused stacks (ten times as
    /// many). With 0 nothing is kept.
    pub fn max_unused_warm_slots(&mut self, count: u32) -> &mut Self {
        self.max_unused_warm_slots = count as usize;
        self
    }

    /// Bytes of pages that were written which an unused memory keeps, cleaned, so that the
    /// next guest finds them without a page fault (default 256 KiB). What is past them is
    /// given back to the system.
    pub fn linear_memory_keep_resident(&mut self, bytes: usize) -> &mut Self {
        self.linear_memory_keep_resident = bytes;
        self
    }

    /// Bytes at the top of an unused stack that stay with it (default: all that were used).
    pub fn async_stack_keep_resident(&mut self, bytes: usize) -> &mut Self {
        self.async_stack_keep_resident = Some(bytes);
        self
    }

    /// Whether the system is asked which pages were written (default: where it can be). If
    /// not, all pages of a memory are given back, whatever else is set.
    pub fn pagemap_scan(&mut self, enable: Enabled) -> &mut Self {
        self.pagemap_scan = enable;
        self
    }

    pub(crate) fn requires_scan(&self) -> bool {
        self.pagemap_scan == Enabled::Yes
    }
}

impl InstanceAllocationStrategy {
    /// The settings of the pool of memories.
    pub(crate) fn memories(&self) -> MemoryPoolConfig {
        match self {
            InstanceAllocationStrategy::OnDemand => MemoryPoolConfig {
                most: usize::MAX,
                keep: 0,
                keep_resident: 0,
                scan: true,
            },
            InstanceAllocationStrategy::Pooling(pool) => MemoryPoolConfig {
                most: pool.total_memories,
                keep: pool.max_unused_warm_slots,
                keep_resident: pool.linear_memory_keep_resident,
                scan: pool.pagemap_scan != Enabled::No,
            },
        }
    }

    /// The settings of the pool of stacks, which are always kept for a while: a fresh stack
    /// costs far more than a call.
    pub(crate) fn stacks(&self, stack_bytes: usize) -> PoolConfig {
        let defaults = PoolConfig {
            stack_bytes,
            ..PoolConfig::default()
        };
        match self {
            InstanceAllocationStrategy::OnDemand => defaults,
            InstanceAllocationStrategy::Pooling(pool) => PoolConfig {
                most: pool.total_stacks,
                keep: pool.max_unused_warm_slots.saturating_mul(10),
                trim: pool.async_stack_keep_resident,
                ..defaults
            },
        }
    }
}
