//! From an index that a guest computed to an address that is safe to touch.
//!
//! ```text
//!  32-bit memory, offset + size within the guard:   base + index (+ offset), no check:
//!      [ 4 GiB that an index reaches | guard that offset and size reach ]
//!  everything else (64-bit, big offset, small pages), and tables:
//!      outside = index + offset + size > len
//!      address = outside ? 0 : base + index + offset      (a Spectre-proof select)
//! ```
//!
//! Address 0 is never mapped, so the access itself traps, with the code its flags carry;
//! and no misprediction can reach memory that is not the guest's. So a trap record may
//! belong to any load or store, and its fault address may be 0 or outside of everything.

use crate::env::{Region, load_fixed, trapping, trusted};
use crate::func::FuncTranslator;
use crate::trap_code;
use crate::types::POINTER;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Endianness, InstBuilder, MemFlagsData, Value, types};
use helve_base::Trap;
use helve_base::core_type::MemoryType;
use helve_base::id::*;
use helve_base::vmctx::{MEMORY_GUARD, offset};

/// Where to access, with which flags.
pub(crate) struct Address {
    /// The address to give to the load or store.
    pub(crate) base: Value,
    /// The offset to give to it.
    pub(crate) offset: i32,
    /// The flags to give to it.
    pub(crate) flags: MemFlagsData,
}

/// A pointer to the `VMMemory` of a memory: (pointer, offset).
fn memory_at(t: &mut FuncTranslator<'_>, memory: MemoryIndex) -> (Value, u32) {
    match t.env.module.defined_memory(memory) {
        Some(defined) => (t.env.vmctx, t.env.offsets().defined_memory(defined)),
        None => {
            let at = t.env.offsets().imported_memory(memory);
            (t.env.load_fixed(&mut t.b, POINTER, at), 0)
        }
    }
}

/// The bytes that a memory has now.
pub(crate) fn memory_len(t: &mut FuncTranslator<'_>, memory: MemoryIndex) -> Value {
    let (pointer, at) = memory_at(t, memory);
    if t.env.module.memories[memory].shared {
        // Others make it grow: the owner's own record is the truth.
        let owner = load_fixed(&mut t.b, POINTER, pointer, at + offset::MEMORY_OWNER);
        let len = t.b.ins().iadd_imm_u(owner, i64::from(offset::MEMORY_LEN));
        return t.b.ins().atomic_load(POINTER, MemFlagsData::trusted(), len);
    }
    let flags = trusted(&mut t.b, Region::Sizes);
    t.b.ins()
        .load(POINTER, flags, pointer, (at + offset::MEMORY_LEN) as i32)
}

/// The first byte of a memory, which never moves. One block loads it once.
fn memory_base(t: &mut FuncTranslator<'_>, memory: MemoryIndex) -> Value {
    let block = t.b.current_block();
    if let Some((in_block, of, base)) = t.memory_base
        && Some(in_block) == block
        && of == memory
    {
        return base;
    }
    let (pointer, at) = memory_at(t, memory);
    let base = load_fixed(&mut t.b, POINTER, pointer, at + offset::MEMORY_BASE);
    t.memory_base = block.map(|block| (block, memory, base));
    base
}

/// An index or length of a memory or table as 64 bits.
pub(crate) fn widen(t: &mut FuncTranslator<'_>, value: Value) -> Value {
    if t.b.func.dfg.value_type(value) == types::I32 {
        t.b.ins().uextend(types::I64, value)
    } else {
        value
    }
}

/// Where to access `size` bytes at `index + offset` of a memory.
pub(crate) fn heap_address(
    t: &mut FuncTranslator<'_>,
    memory: MemoryIndex,
    index: Value,
    offset: u64,
    size: u64,
) -> Address {
    let code = trap_code(Trap::MemoryOutOfBounds);
    let flags = trapping(&mut t.b, Region::Heap, code).with_endianness(Endianness::Little);
    let ty = t.env.module.memories[memory];
    let index = widen(t, index);
    if let Some(offset) = guarded(&ty, offset, size) {
        let base = memory_base(t, memory);
        let base = t.b.ins().iadd(base, index);
        return Address {
            base,
            offset,
            flags,
        };
    }
    let base = checked_address(t, memory, index, offset, size);
    Address {
        base,
        offset: 0,
        flags,
    }
}

/// The offset, where a guard region makes the check.
fn guarded(ty: &MemoryType, offset: u64, size: u64) -> Option<i32> {
    let reach = offset.checked_add(size)?;
    let guarded = !ty.memory64 && ty.page_size_log2 == 16 && reach <= MEMORY_GUARD;
    if guarded {
        i32::try_from(offset).ok()
    } else {
        None
    }
}

/// The address, or 0 where not all of the `size` bytes are in the memory.
fn checked_address(
    t: &mut FuncTranslator<'_>,
    memory: MemoryIndex,
    index: Value,
    offset: u64,
    size: u64,
) -> Value {
    let len = memory_len(t, memory);
    let base = memory_base(t, memory);
    let zero = t.b.ins().iconst(POINTER, 0);
    let Some(reach) = offset.checked_add(size) else {
        // No index is small enough. The access is still made, so that it traps.
        return zero;
    };
    let reach = t.b.ins().iconst(types::I64, reach as i64);
    let (end, wrapped) = t.b.ins().uadd_overflow(index, reach);
    let beyond = t.b.ins().icmp(IntCC::UnsignedGreaterThan, end, len);
    let outside = t.b.ins().bor(wrapped, beyond);
    let address = t.b.ins().iadd(base, index);
    let offset = t.b.ins().iconst(types::I64, offset as i64);
    let address = t.b.ins().iadd(address, offset);
    t.b.ins().select_spectre_guard(outside, zero, address)
}

/// The address of `index`; traps unless the `len` bytes from there on are in the memory. Both
/// are 64-bit values.
pub(crate) fn range_address(
    t: &mut FuncTranslator<'_>,
    memory: MemoryIndex,
    index: Value,
    len: Value,
) -> Value {
    let size = memory_len(t, memory);
    let beyond = IntCC::UnsignedGreaterThan;
    let outside = match t.env.module.memories[memory].memory64 {
        // Two numbers of 32 bits: nothing wraps around.
        false => {
            let end = t.b.ins().iadd(index, len);
            t.b.ins().icmp(beyond, end, size)
        }
        true => {
            let (end, wrapped) = t.b.ins().uadd_overflow(index, len);
            let beyond = t.b.ins().icmp(beyond, end, size);
            t.b.ins().bor(wrapped, beyond)
        }
    };
    t.b.ins()
        .trapnz(outside, trap_code(Trap::MemoryOutOfBounds));
    let base = memory_base(t, memory);
    t.b.ins().iadd(base, index)
}

/// A pointer to the `VMTable` of a table: (pointer, offset).
fn table_at(t: &mut FuncTranslator<'_>, table: TableIndex) -> (Value, u32) {
    match t.env.module.defined_table(table) {
        Some(defined) => (t.env.vmctx, t.env.offsets().defined_table(defined)),
        None => {
            let at = t.env.offsets().imported_table(table);
            (t.env.load_fixed(&mut t.b, POINTER, at), 0)
        }
    }
}

/// The elements of a table that can never grow.
fn fixed_len(t: &FuncTranslator<'_>, table: TableIndex) -> Option<u64> {
    let ty = t.env.module.tables[table];
    (ty.maximum == Some(ty.minimum)).then_some(ty.minimum)
}

/// How many elements a table has now, as 64 bits.
pub(crate) fn table_len(t: &mut FuncTranslator<'_>, table: TableIndex) -> Value {
    if let Some(len) = fixed_len(t, table) {
        return t.b.ins().iconst(types::I64, len as i64);
    }
    let (pointer, at) = table_at(t, table);
    let flags = trusted(&mut t.b, Region::Sizes);
    t.b.ins()
        .load(POINTER, flags, pointer, (at + offset::TABLE_LEN) as i32)
}

/// Where to access an element; an access outside of the table traps with `trap`.
pub(crate) fn table_address(
    t: &mut FuncTranslator<'_>,
    table: TableIndex,
    index: Value,
    trap: Trap,
) -> Address {
    let flags = trapping(&mut t.b, Region::Elements, trap_code(trap)).with_aligned();
    let index = widen(t, index);
    let len = table_len(t, table);
    let (pointer, at) = table_at(t, table);
    let at = at + offset::TABLE_BASE;
    let base = if fixed_len(t, table).is_some() {
        load_fixed(&mut t.b, POINTER, pointer, at)
    } else {
        let sizes = trusted(&mut t.b, Region::Sizes);
        t.b.ins().load(POINTER, sizes, pointer, at as i32)
    };
    let outside =
        t.b.ins()
            .icmp(IntCC::UnsignedGreaterThanOrEqual, index, len);
    let bytes = t.b.ins().ishl_imm_u(index, 3);
    let address = t.b.ins().iadd(base, bytes);
    let zero = t.b.ins().iconst(POINTER, 0);
    let base = t.b.ins().select_spectre_guard(outside, zero, address);
    Address {
        base,
        offset: 0,
        flags,
    }
}
