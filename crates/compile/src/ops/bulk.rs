//! `memory.copy` and `memory.fill`: the ranges are checked here, then bytes move by one call
//! of a routine that only moves bytes, or by a few loads and stores where the length is a
//! small constant, as compilers write it for a struct.
//!
//! All is checked, and all fuel paid, before the first byte moves: the operation happens as a
//! whole or not at all. Not here: `memory.init` (the VM's, which knows data segments).

use crate::bounds::{range_address, widen};
use crate::env::{Region, trapping};
use crate::func::FuncTranslator;
use crate::trap_code;
use cranelift_codegen::ir::types::{I8, I8X16, I16, I32, I64};
use cranelift_codegen::ir::{InstBuilder, InstructionData, MemFlagsData, Opcode, Type, Value};
use helve_base::Trap;
use helve_base::builtin::Builtin;
use helve_base::id::MemoryIndex;

/// The most bytes that are moved without a call.
const INLINE: u64 = 64;

/// `memory.copy`.
pub(super) fn copy(t: &mut FuncTranslator<'_>, dst_mem: u32, src_mem: u32) {
    let (to, from, len) = t.stack.pop3();
    let (dst, src) = (
        MemoryIndex::from_u32(dst_mem),
        MemoryIndex::from_u32(src_mem),
    );
    let small = small_constant(t, len);
    let (to, from, len) = (widen(t, to), widen(t, from), widen(t, len));
    t.charge_bulk(len, dst);
    let from = range_address(t, src, from, len);
    let to = range_address(t, dst, to, len);
    let Some(bytes) = small.filter(|_| in_reach(t, src) && in_reach(t, dst)) else {
        let args = [to, from, len];
        t.env.call_builtin(&mut t.b, Builtin::MoveBytes, &args);
        return;
    };
    let flags = flags(t);
    // The two may overlap: everything is loaded before anything is stored.
    let loaded: Vec<(i32, Value)> = pieces(bytes)
        .map(|(ty, at)| (at, t.b.ins().load(ty, flags, from, at)))
        .collect();
    for (at, value) in loaded {
        t.b.ins().store(flags, value, to, at);
    }
}

/// `memory.fill`.
pub(super) fn fill(t: &mut FuncTranslator<'_>, mem: u32) {
    let (to, byte, len) = t.stack.pop3();
    let memory = MemoryIndex::from_u32(mem);
    let small = small_constant(t, len);
    let (to, len) = (widen(t, to), widen(t, len));
    t.charge_bulk(len, memory);
    let to = range_address(t, memory, to, len);
    let Some(bytes) = small.filter(|_| in_reach(t, memory)) else {
        let args = [to, byte, len];
        t.env.call_builtin(&mut t.b, Builtin::FillBytes, &args);
        return;
    };
    let flags = flags(t);
    let byte = t.b.ins().ireduce(I8, byte);
    for (ty, at) in pieces(bytes) {
        let value = repeated(t, byte, ty);
        t.b.ins().store(flags, value, to, at);
    }
}

/// A length that is a small constant.
fn small_constant(t: &FuncTranslator<'_>, len: Value) -> Option<u64> {
    let inst = t.b.func.dfg.value_def(len).inst()?;
    match t.b.func.dfg.insts[inst] {
        InstructionData::UnaryImm {
            opcode: Opcode::Iconst,
            imm,
        } => u64::try_from(imm.bits()).ok().filter(|&n| n <= INLINE),
        _ => None,
    }
}

/// Whether an access that is only made on a path which is predicted wrongly stays within
/// what the memory has reserved, as that of a load with such an index would.
fn in_reach(t: &FuncTranslator<'_>, memory: MemoryIndex) -> bool {
    let ty = &t.env.module.memories[memory];
    !ty.memory64 && ty.page_size_log2 == 16
}

fn flags(t: &mut FuncTranslator<'_>) -> MemFlagsData {
    trapping(&mut t.b, Region::Heap, trap_code(Trap::MemoryOutOfBounds))
}

/// Accesses that cover `bytes` bytes: their types and offsets. The last two may overlap.
fn pieces(bytes: u64) -> impl Iterator<Item = (Type, i32)> {
    let ty = match bytes {
        0..=1 => I8,
        2..=3 => I16,
        4..=7 => I32,
        8..=15 => I64,
        _ => I8X16,
    };
    let size = u64::from(ty.bytes());
    (0..bytes.div_ceil(size)).map(move |i| {
        let at = (i * size).min(bytes - size);
        // At most `INLINE`.
        (ty, at as i32)
    })
}

/// A value of `ty` all of whose bytes are `byte`.
fn repeated(t: &mut FuncTranslator<'_>, byte: Value, ty: Type) -> Value {
    if ty == I8 {
        return byte;
    }
    if ty.is_vector() {
        return t.b.ins().splat(ty, byte);
    }
    let wide = t.b.ins().uextend(ty, byte);
    let ones =
        t.b.ins()
            .iconst(ty, 0x0101_0101_0101_0101 >> (64 - ty.bits()));
    t.b.ins().imul(wide, ones)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_each_byte_and_no_other() {
        for bytes in 0..=INLINE {
            let mut covered = vec![false; bytes as usize];
            for (ty, at) in pieces(bytes) {
                for byte in &mut covered[at as usize..][..ty.bytes() as usize] {
                    *byte = true;
                }
            }
            assert!(covered.iter().all(|&byte| byte), "{bytes}");
        }
    }
}
