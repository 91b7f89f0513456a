//! Atomic accesses, `memory.atomic.wait` and `notify`, `atomic.fence`.
//!
//! Every access is sequentially consistent. An address that is not a multiple of the
//! access's size traps, before bounds are looked at; the access itself traps where it is
//! out of bounds, as any other does. They work on memories that are not shared too, except
//! waiting, which traps there.
//!
//! Not here: who waits where (the VM).

use crate::bounds::{heap_address, widen};
use crate::func::FuncTranslator;
use crate::ops::table::number;
use crate::trap_code;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8, I16, I32, I64};
use cranelift_codegen::ir::{AtomicRmwOp, BlockArg, InstBuilder, MemFlagsData, Type, Value};
use helve_base::Trap;
use helve_base::builtin::{Builtin, wait};
use helve_base::id::*;
use wasmparser::{MemArg, MemArgTarget, Operator};

/// Translates an atomic instruction.
pub(crate) fn translate(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> bool {
    plain(t, op) || modify(t, op) || exchange(t, op)
}

fn plain(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> bool {
    match op {
        Operator::AtomicFence { .. } => {
            t.b.ins().fence();
        }
        Operator::I32AtomicLoad { memarg, .. } => load(t, memarg, I32, I32),
        Operator::I64AtomicLoad { memarg, .. } => load(t, memarg, I64, I64),
        Operator::I32AtomicLoad8U { memarg, .. } => load(t, memarg, I8, I32),
        Operator::I32AtomicLoad16U { memarg, .. } => load(t, memarg, I16, I32),
        Operator::I64AtomicLoad8U { memarg, .. } => load(t, memarg, I8, I64),
        Operator::I64AtomicLoad16U { memarg, .. } => load(t, memarg, I16, I64),
        Operator::I64AtomicLoad32U { memarg, .. } => load(t, memarg, I32, I64),
        Operator::I32AtomicStore { memarg, .. } => store(t, memarg, I32),
        Operator::I64AtomicStore { memarg, .. } => store(t, memarg, I64),
        Operator::I32AtomicStore8 { memarg, .. } | Operator::I64AtomicStore8 { memarg, .. } => {
            store(t, memarg, I8)
        }
        Operator::I32AtomicStore16 { memarg, .. } | Operator::I64AtomicStore16 { memarg, .. } => {
            store(t, memarg, I16)
        }
        Operator::I64AtomicStore32 { memarg, .. } => store(t, memarg, I32),
        Operator::MemoryAtomicNotify { memarg, .. } => notify(t, memarg),
        Operator::MemoryAtomicWait32 { memarg, .. } => wait_for(t, memarg, I32),
        Operator::MemoryAtomicWait64 { memarg, .. } => wait_for(t, memarg, I64),
        _ => return false,
    }
    true
}

/// The instruction's operation, its access, the width of its values.
macro_rules! families {
    ($op:expr; $($rmw:ident: $($name:ident $access:ident $value:ident),*;)*) => {
        match $op {
            $($(Operator::$name { memarg, .. } => Some((AtomicRmwOp::$rmw, memarg, $access, $value)),)*)*
            _ => None,
        }
    };
}

fn modify(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> bool {
    let found = families! { op;
        Add: I32AtomicRmwAdd I32 I32, I64AtomicRmwAdd I64 I64, I32AtomicRmw8AddU I8 I32,
            I32AtomicRmw16AddU I16 I32, I64AtomicRmw8AddU I8 I64, I64AtomicRmw16AddU I16 I64,
            I64AtomicRmw32AddU I32 I64;
        Sub: I32AtomicRmwSub I32 I32, I64AtomicRmwSub I64 I64, I32AtomicRmw8SubU I8 I32,
            I32AtomicRmw16SubU I16 I32, I64AtomicRmw8SubU I8 I64, I64AtomicRmw16SubU I16 I64,
            I64AtomicRmw32SubU I32 I64;
        And: I32AtomicRmwAnd I32 I32, I64AtomicRmwAnd I64 I64, I32AtomicRmw8AndU I8 I32,
            I32AtomicRmw16AndU I16 I32, I64AtomicRmw8AndU I8 I64, I64AtomicRmw16AndU I16 I64,
            I64AtomicRmw32AndU I32 I64;
        Or: I32AtomicRmwOr I32 I32, I64AtomicRmwOr I64 I64, I32AtomicRmw8OrU I8 I32,
            I32AtomicRmw16OrU I16 I32, I64AtomicRmw8OrU I8 I64, I64AtomicRmw16OrU I16 I64,
            I64AtomicRmw32OrU I32 I64;
        Xor: I32AtomicRmwXor I32 I32, I64AtomicRmwXor I64 I64, I32AtomicRmw8XorU I8 I32,
            I32AtomicRmw16XorU I16 I32, I64AtomicRmw8XorU I8 I64, I64AtomicRmw16XorU I16 I64,
            I64AtomicRmw32XorU I32 I64;
        Xchg: I32AtomicRmwXchg I32 I32, I64AtomicRmwXchg I64 I64, I32AtomicRmw8XchgU I8 I32,
            I32AtomicRmw16XchgU I16 I32, I64AtomicRmw8XchgU I8 I64, I64AtomicRmw16XchgU I16 I64,
            I64AtomicRmw32XchgU I32 I64;
    };
    let Some((rmw, memarg, access, ty)) = found else {
        return false;
    };
    let value = t.stack.pop();
    let value = narrow(t, value, access);
    let at = address(t, memarg, access);
    let before =
        t.b.ins()
            .atomic_rmw(access, at.flags, rmw, at.address, value);
    push_widened(t, before, ty);
    true
}

fn exchange(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> bool {
    let (memarg, access, ty) = match op {
        Operator::I32AtomicRmwCmpxchg { memarg, .. } => (memarg, I32, I32),
        Operator::I64AtomicRmwCmpxchg { memarg, .. } => (memarg, I64, I64),
        Operator::I32AtomicRmw8CmpxchgU { memarg, .. } => (memarg, I8, I32),
        Operator::I32AtomicRmw16CmpxchgU { memarg, .. } => (memarg, I16, I32),
        Operator::I64AtomicRmw8CmpxchgU { memarg, .. } => (memarg, I8, I64),
        Operator::I64AtomicRmw16CmpxchgU { memarg, .. } => (memarg, I16, I64),
        Operator::I64AtomicRmw32CmpxchgU { memarg, .. } => (memarg, I32, I64),
        _ => return false,
    };
    let (expected, replacement) = t.stack.pop2();
    let replacement = narrow(t, replacement, access);
    let at = address(t, memarg, access);
    let before = if access == ty {
        t.b.ins()
            .atomic_cas(at.flags, at.address, expected, replacement)
    } else {
        exchange_narrow(t, &at, expected, replacement, access)
    };
    push_widened(t, before, ty);
    true
}

/// What is there is compared as a whole value: one with more bits is never found.
fn exchange_narrow(
    t: &mut FuncTranslator<'_>,
    at: &Place,
    expected: Value,
    replacement: Value,
    access: Type,
) -> Value {
    let ty = t.b.func.dfg.value_type(expected);
    let narrowed = t.b.ins().ireduce(access, expected);
    let whole = t.b.ins().uextend(ty, narrowed);
    let possible = t.b.ins().icmp(IntCC::Equal, whole, expected);
    let (tries, looks, done) = (t.b.create_block(), t.b.create_block(), t.b.create_block());
    let before = t.b.append_block_param(done, access);
    t.b.ins().brif(possible, tries, &[], looks, &[]);
    t.b.seal_block(tries);
    t.b.seal_block(looks);
    t.b.switch_to_block(tries);
    let found =
        t.b.ins()
            .atomic_cas(at.flags, at.address, narrowed, replacement);
    t.b.ins().jump(done, &[BlockArg::Value(found)]);
    t.b.switch_to_block(looks);
    let found = t.b.ins().atomic_load(access, at.flags, at.address);
    t.b.ins().jump(done, &[BlockArg::Value(found)]);
    t.b.seal_block(done);
    t.b.switch_to_block(done);
    before
}

/// Where an atomic access goes.
struct Place {
    flags: MemFlagsData,
    address: Value,
    /// In the memory.
    index: Value,
}

/// Takes the index off the stack; traps where the address is not aligned.
fn address(t: &mut FuncTranslator<'_>, memarg: &MemArg, access: Type) -> Place {
    let index = t.stack.pop();
    let memory = memory_of(memarg);
    let wide = widen(t, index);
    let offset = t.b.ins().iconst(I64, memarg.offset as i64);
    let whole = t.b.ins().iadd(wide, offset);
    if access.bytes() > 1 {
        let rest = t.b.ins().band_imm_u(whole, i64::from(access.bytes() - 1));
        let unaligned = t.b.ins().icmp_imm_u(IntCC::NotEqual, rest, 0);
        t.b.ins()
            .trapnz(unaligned, trap_code(Trap::UnalignedAtomic));
    }
    let at = heap_address(t, memory, index, memarg.offset, access.bytes().into());
    let address = match at.offset {
        0 => at.base,
        offset => t.b.ins().iadd_imm_s(at.base, i64::from(offset)),
    };
    Place {
        flags: at.flags,
        address,
        index: whole,
    }
}

fn memory_of(memarg: &MemArg) -> MemoryIndex {
    // Accesses to arrays are another proposal's, which validation does not let through.
    let (MemArgTarget::Memory(memory) | MemArgTarget::Array(memory)) = memarg.target;
    MemoryIndex::from_u32(memory)
}

fn narrow(t: &mut FuncTranslator<'_>, value: Value, ty: Type) -> Value {
    if t.b.func.dfg.value_type(value).bits() > ty.bits() {
        t.b.ins().ireduce(ty, value)
    } else {
        value
    }
}

fn push_widened(t: &mut FuncTranslator<'_>, value: Value, ty: Type) {
    let value = if t.b.func.dfg.value_type(value).bits() < ty.bits() {
        t.b.ins().uextend(ty, value)
    } else {
        value
    };
    t.stack.push(value);
}

fn load(t: &mut FuncTranslator<'_>, memarg: &MemArg, access: Type, ty: Type) {
    let at = address(t, memarg, access);
    let value = t.b.ins().atomic_load(access, at.flags, at.address);
    push_widened(t, value, ty);
}

fn store(t: &mut FuncTranslator<'_>, memarg: &MemArg, access: Type) {
    let value = t.stack.pop();
    let value = narrow(t, value, access);
    let at = address(t, memarg, access);
    t.b.ins().atomic_store(at.flags, value, at.address);
}

/// A load finds out whether the address is within the memory, and traps where it is not.
fn probe(t: &mut FuncTranslator<'_>, at: &Place, access: Type) {
    t.b.ins().atomic_load(access, at.flags, at.address);
}

fn notify(t: &mut FuncTranslator<'_>, memarg: &MemArg) {
    let count = t.stack.pop();
    let at = address(t, memarg, I32);
    probe(t, &at, I32);
    let memory = number(t, memory_of(memarg).as_u32());
    let args = [memory, at.index, count];
    let woken = t.env.call_builtin(&mut t.b, Builtin::AtomicNotify, &args);
    t.stack.push_all(woken.as_slice());
}

fn wait_for(t: &mut FuncTranslator<'_>, memarg: &MemArg, access: Type) {
    let (expected, timeout) = t.stack.pop2();
    let at = address(t, memarg, access);
    probe(t, &at, access);
    let memory = memory_of(memarg);
    if !t.env.module.memories[memory].shared {
        t.b.ins().trap(trap_code(Trap::AtomicWaitNonShared));
        t.reachable = false;
        return;
    }
    let expected = match access {
        I64 => expected,
        _ => t.b.ins().uextend(I64, expected),
    };
    let bytes = number(t, access.bytes());
    let memory = number(t, memory.as_u32());
    let args = [memory, at.index, bytes, expected, timeout];
    let Some(how) = t.env.call_builtin(&mut t.b, Builtin::AtomicWait, &args) else {
        return;
    };
    let interrupted =
        t.b.ins()
            .icmp_imm_u(IntCC::Equal, how, i64::from(wait::INTERRUPTED));
    t.b.ins().trapnz(interrupted, trap_code(Trap::Interrupt));
    t.stack.push(how);
}
