//! Every bound on what a guest or a file may ask for, with its default.
//!
//! One struct, so that an embedder sees all of them on one page. Not here: the
//! checks, which stand where the thing is made, and fuel.

/// Upper bounds; each one is checked where the thing it bounds is made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one linear memory (default 4 GiB).
    pub memory_bytes: u64,
    /// Bytes of all linear memories of one store (default 16 GiB).
    pub store_memory_bytes: u64,
    /// Bytes of all tables and instance contexts of one store (default 2 GiB).
    pub store_table_bytes: u64,
    /// Elements of one table (default 10,000,000).
    pub table_elements: u64,
    /// Bytes of exceptions that the guests of one store hold on to (default 64 MiB).
    pub exception_bytes: usize,
    /// Linear memories in one store (default 10,000).
    pub memories: usize,
    /// Tables in one store (default 10,000).
    pub tables: usize,
    /// Core instances in one store (default 10,000).
    pub instances: usize,
    /// Handles in one component instance's table (default 10,000,000; at most 2^28 - 1).
    pub handles: u32,
    /// Calls of one component instance's async functions that are not over (default 1,000,000).
    pub tasks: u32,
    /// Bytes of all linear memories of one component instance (default 4 GiB).
    pub instance_memory_bytes: u64,
    /// Elements of all tables of one component instance (default 10,000,000).
    pub instance_table_elements: u64,
    /// Bytes of stack that guests may use (default 1 MiB).
    pub guest_stack_bytes: usize,
    /// Bytes of stack below the guest's limit that host functions can count on
    /// (default and least 256 KiB).
    pub host_stack_bytes: usize,
    /// Component instances, nested ones too, that one component may make (default 10,000).
    pub component_instances: usize,
    /// Levels of components inside components (default 100).
    pub component_nesting: usize,
    /// Definitions, and parts of types, that flattening one component may go through;
    /// those of a nested component count each time it is instantiated (default 1,000,000).
    pub component_definitions: usize,
    /// Bytes that lifting one call's values may make the host allocate (default 1 GiB).
    pub lifted_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory_bytes: 4 << 30,
            store_memory_bytes: 16 << 30,
            store_table_bytes: 2 << 30,
            table_elements: 10_000_000,
            exception_bytes: 64 << 20,
            memories: 10_000,
            tables: 10_000,
            instances: 10_000,
            handles: 10_000_000,
            tasks: 1_000_000,
            instance_memory_bytes: 4 << 30,
            instance_table_elements: 10_000_000,
            guest_stack_bytes: 1 << 20,
            host_stack_bytes: 256 << 10,
            component_instances: 10_000,
            component_nesting: 100,
            component_definitions: 1_000_000,
            lifted_bytes: 1 << 30,
        }
    }
}

/// What one component instance may have, whichever store it is in: its own part of
/// [`Limits`]. Each instance that is nested in another has as much for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InstanceLimits {
    /// Bytes of all its linear memories.
    pub memory_bytes: u64,
    /// Elements of all its tables.
    pub table_elements: u64,
    /// Handles in its table: resources, ends of streams and futures, subtasks and the like
    /// (at most 2^28 - 1).
    pub handles: u32,
    /// Calls of its async functions that are not over, whoever made them. One more traps.
    pub tasks: u32,
    /// Bytes that lifting one call's values may make the host allocate.
    pub lifted_bytes: usize,
}

impl From<&Limits> for InstanceLimits {
    fn from(limits: &Limits) -> InstanceLimits {
        InstanceLimits {
            memory_bytes: limits.instance_memory_bytes,
            table_elements: limits.instance_table_elements,
            handles: limits.handles,
            tasks: limits.tasks,
            lifted_bytes: limits.lifted_bytes,
        }
    }
}

impl Default for InstanceLimits {
    fn default() -> InstanceLimits {
        InstanceLimits::from(&Limits::default())
    }
}
