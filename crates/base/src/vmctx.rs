//! The memory that compiled code and the VM share, field by field.
//!
//! ```text
//!  VMStoreContext (one per store)       VMContext (one per core instance)
//!  +--------------+                     +-----------------------------+ 0
//!  | stack_limit  |<--------------------| store                       |
//!  | exit_fp      |   [Builtin::ALL] <--| builtins                    |
//!  | exit_pc      |   [CodePtr; n]   <--| slots                       |
//!  | activation   |   [u32; types]   <--| type_ids                    |
//!  | ...          |                     | instance (opaque), hot      |
//!  +--------------+                     +-----------------------------+ 48
//!                                       | imported functions          | VMFunctionImport
//!                                       | imported tables             | *mut VMTable
//!                                       | imported memories           | *mut VMMemory
//!                                       | imported globals            | *mut VMGlobal
//!                                       | imported tags               | *mut VMTag
//!                                       | defined tables              | VMTable
//!                                       | defined memories            | VMMemory
//!                                       | defined tags                | VMTag
//!                                       | defined globals (align 16)  | VMGlobal
//!                                       | func refs                   | VMFuncRef
//!                                       +-----------------------------+
//! ```
//!
//! **Slots.** Code is never called by its address but through a [`CodePtr`] cell, so
//! that lazy compilation can fill the cell later. A module's defined functions share
//! one array of slots among all its instances. A `VMFuncRef` and a `VMFunctionImport`
//! point *to a slot*: the callee's code is `*slot`.
//!
//! **Convention.** A wasm function takes `(callee's context, params...)` in Cranelift's
//! `tail` convention. The callee's context is a `VMContext` or a `VMHostContext`; both
//! start with `store`.
//!
//! Not here: who allocates and fills these (helve-vm) or reads them (helve-compile).

use crate::id::*;
use std::sync::atomic::AtomicU64;

/// The address of machine code with the signature the place calls for.
pub type CodePtr = *const u8;

/// What a host function's trampoline calls: the context and the argument array, which
/// holds the parameters and takes the results. Returns a [`crate::builtin::status`].
pub type HostCall = unsafe extern "C" fn(*mut VMHostContext, *mut ValRaw) -> u32;

/// What the host calls to enter compiled code, made per signature by the compiler (and
/// itself called by the VM's assembly `enter` only): (code, callee's context, arguments).
pub type EntryTrampoline = unsafe extern "C" fn(CodePtr, *mut u8, *mut ValRaw);

/// One core value in memory, 16 bytes. Small ones stand at the start; what is behind
/// them is unspecified. References are pointers ([`VMFuncRef`], or an opaque word).
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub union ValRaw {
    /// An `i32`.
    pub i32: i32,
    /// An `i64`.
    pub i64: i64,
    /// An `f32`'s bits.
    pub f32: u32,
    /// An `f64`'s bits.
    pub f64: u64,
    /// A `v128`, little-endian.
    pub v128: [u8; 16],
    /// A `funcref`: null or a function.
    pub funcref: *mut VMFuncRef,
    /// An `externref`: 0 is null.
    pub externref: usize,
}

/// What all instances of a store share with compiled code.
#[derive(Debug)]
#[repr(C)]
pub struct VMStoreContext {
    /// The lowest stack address that compiled code may reach; prologues compare.
    pub stack_limit: usize,
    /// Frame pointer of the wasm frame that last left to the host.
    pub exit_fp: usize,
    /// The innermost `enter` that is live; the VM's own. Between the two exit fields, so that
    /// entering copies each by itself: compiled code writes them one by one, and a load of
    /// both at once would have to wait until those writes have left the store buffer.
    pub activation: *mut u8,
    /// Return address into that frame.
    pub exit_pc: usize,
    /// The array of built-ins, in the order of `Builtin::ALL`.
    pub builtins: *const CodePtr,
    /// The store itself, for host functions; opaque here.
    pub owner: *mut u8,
    /// Bytes of stack that guests may use (`Limits::guest_stack_bytes`).
    pub guest_stack_bytes: usize,
    /// Bytes of stack below `stack_limit` that host functions can count on
    /// (`Limits::host_stack_bytes`).
    pub host_stack_bytes: usize,
    /// The store's exceptions, the VM's own; null where none can be made.
    pub exceptions: *mut u8,
    /// Units of work that guests may still do; below 0 they must ask for more. Only code
    /// that was compiled to count looks at it.
    pub fuel: i64,
    /// The engine's epoch, which other threads count up.
    pub epoch: *const AtomicU64,
    /// The epoch at which guests must ask whether they may go on.
    pub epoch_deadline: u64,
    /// Whom they ask, the VM's own; null where the answer is always no.
    pub interrupts: *mut u8,
    /// The innermost call between components that adapters have noted on the stack that
    /// runs: a [`VMCallRecord`](crate::adapter::VMCallRecord), or null.
    pub calls: *mut u8,
}

/// A callable function.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct VMFuncRef {
    /// Where its code's address stands.
    pub slot: *const CodePtr,
    /// Its own context: `VMContext` or `VMHostContext`.
    pub vmctx: *mut u8,
    /// Its engine-wide type ([`SharedTypeId`] as u32).
    pub type_id: u32,
}

/// An imported function as its importer sees it.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct VMFunctionImport {
    /// Where its code's address stands.
    pub slot: *const CodePtr,
    /// Its own context: `VMContext` or `VMHostContext`.
    pub vmctx: *mut u8,
}

/// A host function as its callers see it; `slot` holds the trampoline of its
/// signature, and a `VMFuncRef` or import of it points to that very field.
#[derive(Debug)]
#[repr(C)]
pub struct VMHostContext {
    /// The store it belongs to.
    pub store: *mut VMStoreContext,
    /// The trampoline's code.
    pub slot: CodePtr,
    /// What the trampoline calls.
    pub call: HostCall,
    /// The host's own.
    pub data: *mut u8,
}

/// A table: `base[0..len]`, each element one pointer (`*mut VMFuncRef` or an opaque
/// externref word; null is null).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct VMTable {
    /// The first element.
    pub base: *mut *mut u8,
    /// Elements.
    pub len: usize,
    /// The VM's own record of it.
    pub owner: *mut u8,
}

/// A linear memory. `base` never changes; 32-bit ones reserve [`MEMORY32_RESERVATION`]
/// bytes of address space from it.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct VMMemory {
    /// Its first byte.
    pub base: *mut u8,
    /// Bytes that may be accessed.
    pub len: usize,
    /// The VM's own record of it.
    pub owner: *mut u8,
}

/// A global's value.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub struct VMGlobal {
    /// As in [`ValRaw`].
    pub value: ValRaw,
}

/// A tag's identity; its address is what tells tags apart.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct VMTag {
    /// Its function type ([`SharedTypeId`] as u32).
    pub type_id: u32,
}

/// An exception, what an `exnref` points to. Its payload stands behind it: a [`ValRaw`]
/// for each parameter of the tag's type.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(16))]
pub struct VMException {
    /// Its tag.
    pub tag: *mut VMTag,
    /// How many values there are.
    pub values: usize,
}

/// Bytes of address space that a 32-bit memory reserves: 4 GiB that an index can reach
/// and a guard that static offsets can reach.
pub const MEMORY32_RESERVATION: u64 = (4 << 30) + MEMORY_GUARD;

/// Bytes behind every memory that are never accessible: an access whose static offset
/// and size together stay within it needs no check in a 32-bit memory.
pub const MEMORY_GUARD: u64 = 32 << 20;

/// Offsets of the fixed fields, for the compiler.
pub mod offset {
    use super::*;
    use std::mem::offset_of;

    /// `VMContext.store` and `VMHostContext.store`.
    pub const VMCONTEXT_STORE: u32 = 0;
    /// `VMContext.builtins`.
    pub const VMCONTEXT_BUILTINS: u32 = 8;
    /// `VMContext.slots`.
    pub const VMCONTEXT_SLOTS: u32 = 16;
    /// `VMContext.type_ids`.
    pub const VMCONTEXT_TYPE_IDS: u32 = 24;
    /// `VMContext.instance`, the VM's own.
    pub const VMCONTEXT_INSTANCE: u32 = 32;
    /// `VMContext.hot`: the component instance's hot block, or null.
    pub const VMCONTEXT_HOT: u32 = 40;
    /// Where the parts that depend on the module start.
    pub const VMCONTEXT_DYNAMIC: u32 = 48;

    /// `VMStoreContext.stack_limit`.
    pub const STORE_STACK_LIMIT: u32 = offset_of!(VMStoreContext, stack_limit) as u32;
    /// `VMStoreContext.exit_fp`.
    pub const STORE_EXIT_FP: u32 = offset_of!(VMStoreContext, exit_fp) as u32;
    /// `VMStoreContext.exit_pc`.
    pub const STORE_EXIT_PC: u32 = offset_of!(VMStoreContext, exit_pc) as u32;
    /// `VMStoreContext.fuel`.
    pub const STORE_FUEL: u32 = offset_of!(VMStoreContext, fuel) as u32;
    /// `VMStoreContext.epoch`.
    pub const STORE_EPOCH: u32 = offset_of!(VMStoreContext, epoch) as u32;
    /// `VMStoreContext.epoch_deadline`.
    pub const STORE_EPOCH_DEADLINE: u32 = offset_of!(VMStoreContext, epoch_deadline) as u32;
    /// `VMStoreContext.builtins`.
    pub const STORE_BUILTINS: u32 = offset_of!(VMStoreContext, builtins) as u32;
    /// `VMException.tag`.
    pub const EXCEPTION_TAG: u32 = offset_of!(VMException, tag) as u32;
    /// The first value of an exception's payload.
    pub const EXCEPTION_PAYLOAD: u32 = size_of::<VMException>() as u32;
    /// `VMStoreContext.calls`.
    pub const STORE_CALLS: u32 = offset_of!(VMStoreContext, calls) as u32;
    /// `VMFuncRef.slot`.
    pub const FUNCREF_SLOT: u32 = offset_of!(VMFuncRef, slot) as u32;
    /// `VMFuncRef.vmctx`.
    pub const FUNCREF_VMCTX: u32 = offset_of!(VMFuncRef, vmctx) as u32;
    /// `VMFuncRef.type_id`.
    pub const FUNCREF_TYPE_ID: u32 = offset_of!(VMFuncRef, type_id) as u32;
    /// `VMFunctionImport.slot`.
    pub const IMPORT_SLOT: u32 = offset_of!(VMFunctionImport, slot) as u32;
    /// `VMFunctionImport.vmctx`.
    pub const IMPORT_VMCTX: u32 = offset_of!(VMFunctionImport, vmctx) as u32;
    /// `VMHostContext.slot`.
    pub const HOST_SLOT: u32 = offset_of!(VMHostContext, slot) as u32;
    /// `VMHostContext.call`.
    pub const HOST_CALL: u32 = offset_of!(VMHostContext, call) as u32;
    /// `VMTable.base`.
    pub const TABLE_BASE: u32 = offset_of!(VMTable, base) as u32;
    /// `VMTable.len`.
    pub const TABLE_LEN: u32 = offset_of!(VMTable, len) as u32;
    /// `VMMemory.base`.
    pub const MEMORY_BASE: u32 = offset_of!(VMMemory, base) as u32;
    /// `VMMemory.owner`. A shared memory's owner starts with its `VMMemory`.
    pub const MEMORY_OWNER: u32 = offset_of!(VMMemory, owner) as u32;
    /// `VMMemory.len`.
    pub const MEMORY_LEN: u32 = offset_of!(VMMemory, len) as u32;
}

/// How many of each thing a module imports and defines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Imported functions.
    pub imported_functions: u32,
    /// Imported tables.
    pub imported_tables: u32,
    /// Imported memories.
    pub imported_memories: u32,
    /// Imported globals.
    pub imported_globals: u32,
    /// Imported tags.
    pub imported_tags: u32,
    /// Defined tables.
    pub defined_tables: u32,
    /// Defined memories.
    pub defined_memories: u32,
    /// Defined globals.
    pub defined_globals: u32,
    /// Defined tags.
    pub defined_tags: u32,
    /// Functions whose reference can be taken.
    pub func_refs: u32,
}

/// Where each part of one module's `VMContext` starts. Offsets are in bytes.
///
/// `wasmparser`'s limits (at most 1,000,000 functions, 1,000,000 globals, ...) keep
/// every sum far below 2^32; the arithmetic saturates all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VMOffsets {
    counts: Counts,
    functions: u32,
    tables: u32,
    memories: u32,
    globals: u32,
    tags: u32,
    defined_tables: u32,
    defined_memories: u32,
    defined_tags: u32,
    defined_globals: u32,
    func_refs: u32,
    size: u32,
}

const POINTER: u32 = 8;

impl VMOffsets {
    /// The layout of a module that has `counts`.
    pub fn new(counts: Counts) -> VMOffsets {
        let mut at = offset::VMCONTEXT_DYNAMIC;
        let mut part = |count: u32, size: usize, align: u32| {
            at = at.saturating_add(align - 1) & !(align - 1);
            let start = at;
            at = at.saturating_add(count.saturating_mul(size as u32));
            start
        };
        let functions = part(
            counts.imported_functions,
            size_of::<VMFunctionImport>(),
            POINTER,
        );
        let tables = part(counts.imported_tables, 8, POINTER);
        let memories = part(counts.imported_memories, 8, POINTER);
        let globals = part(counts.imported_globals, 8, POINTER);
        let tags = part(counts.imported_tags, 8, POINTER);
        let defined_tables = part(counts.defined_tables, size_of::<VMTable>(), POINTER);
        let defined_memories = part(counts.defined_memories, size_of::<VMMemory>(), POINTER);
        let defined_tags = part(counts.defined_tags, size_of::<VMTag>(), POINTER);
        let defined_globals = part(counts.defined_globals, size_of::<VMGlobal>(), 16);
        let func_refs = part(counts.func_refs, size_of::<VMFuncRef>(), POINTER);
        let size = part(0, 0, 16);
        VMOffsets {
            counts,
            functions,
            tables,
            memories,
            globals,
            tags,
            defined_tables,
            defined_memories,
            defined_tags,
            defined_globals,
            func_refs,
            size,
        }
    }

    /// The counts it was made from.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Bytes of the whole context; its alignment is 16.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// The `VMFunctionImport` of imported function `i`.
    pub fn imported_function(&self, i: FuncIndex) -> u32 {
        at(self.functions, i.as_u32(), size_of::<VMFunctionImport>())
    }

    /// The `*mut VMTable` of imported table `i`.
    pub fn imported_table(&self, i: TableIndex) -> u32 {
        at(self.tables, i.as_u32(), 8)
    }

    /// The `*mut VMMemory` of imported memory `i`.
    pub fn imported_memory(&self, i: MemoryIndex) -> u32 {
        at(self.memories, i.as_u32(), 8)
    }

    /// The `*mut VMGlobal` of imported global `i`.
    pub fn imported_global(&self, i: GlobalIndex) -> u32 {
        at(self.globals, i.as_u32(), 8)
    }

    /// The `*mut VMTag` of imported tag `i`.
    pub fn imported_tag(&self, i: TagIndex) -> u32 {
        at(self.tags, i.as_u32(), 8)
    }

    /// The `VMTable` of a defined table.
    pub fn defined_table(&self, i: DefinedTableIndex) -> u32 {
        at(self.defined_tables, i.as_u32(), size_of::<VMTable>())
    }

    /// The `VMMemory` of a defined memory.
    pub fn defined_memory(&self, i: DefinedMemoryIndex) -> u32 {
        at(self.defined_memories, i.as_u32(), size_of::<VMMemory>())
    }

    /// The `VMTag` of a defined tag.
    pub fn defined_tag(&self, i: DefinedTagIndex) -> u32 {
        at(self.defined_tags, i.as_u32(), size_of::<VMTag>())
    }

    /// The `VMGlobal` of a defined global.
    pub fn defined_global(&self, i: DefinedGlobalIndex) -> u32 {
        at(self.defined_globals, i.as_u32(), size_of::<VMGlobal>())
    }

    /// The `VMFuncRef` of a function whose reference can be taken.
    pub fn func_ref(&self, i: FuncRefIndex) -> u32 {
        at(self.func_refs, i.as_u32(), size_of::<VMFuncRef>())
    }
}

fn at(start: u32, index: u32, size: usize) -> u32 {
    start.saturating_add(index.saturating_mul(size as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other_without_overlap() {
        let counts = Counts {
            imported_functions: 3,
            imported_tables: 1,
            imported_memories: 2,
            imported_globals: 5,
            imported_tags: 1,
            defined_tables: 2,
            defined_memories: 1,
            defined_globals: 4,
            defined_tags: 3,
            func_refs: 7,
        };
        let o = VMOffsets::new(counts);
        assert_eq!(
            o.imported_function(FuncIndex::from_u32(0)),
            offset::VMCONTEXT_DYNAMIC
        );
        assert_eq!(
            o.imported_table(TableIndex::from_u32(0)),
            offset::VMCONTEXT_DYNAMIC + 48
        );
        assert_eq!(o.defined_global(DefinedGlobalIndex::from_u32(0)) % 16, 0);
        assert!(o.func_ref(FuncRefIndex::from_u32(7)) <= o.size());
        assert_eq!(o.size() % 16, 0);
        assert_eq!(size_of::<ValRaw>(), 16);
        assert_eq!(size_of::<VMFuncRef>(), 24);
    }
}
