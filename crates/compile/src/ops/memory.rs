//! Linear memories: loads and stores (vector ones too), sizes, bulk operations.
//!
//! Not here: which addresses are safe (`bounds`), copying and filling (`bulk`).

use crate::bounds::{Address, heap_address, memory_len, widen};
use crate::func::FuncTranslator;
use crate::ops::bulk;
use crate::ops::table::number;
use crate::stack::as_vector;
use cranelift_codegen::ir::types::*;
use cranelift_codegen::ir::{InstBuilder, Type, Value};
use helve_base::builtin::Builtin;
use helve_base::id::*;
use wasmparser::{MemArg, MemArgTarget, Operator};

/// How a loaded value becomes the one on the stack.
#[derive(Clone, Copy)]
enum Widening {
    Zero,
    Sign,
}

/// Translates an instruction on memories.
pub(crate) fn translate(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> bool {
    scalar(t, op) || vector(t, op) || whole(t, op)
}

fn scalar(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> bool {
    use Widening::{Sign, Zero};
    match op {
        Operator::I32Load { memarg } => load(t, memarg, I32),
        Operator::I64Load { memarg } => load(t, memarg, I64),
        Operator::F32Load { memarg } => load(t, memarg, F32),
        Operator::F64Load { memarg } => load(t, memarg, F64),
        Operator::I32Load8S { memarg } => load_narrow(t, memarg, I8, I32, Sign),
        Operator::I32Load8U { memarg } => load_narrow(t, memarg, I8, I32, Zero),
        Operator::I32Load16S { memarg } => load_narrow(t, memarg, I16, I32, Sign),
        Operator::I32Load16U { memarg } => load_narrow(t, memarg, I16, I32, Zero),
        Operator::I64Load8S { memarg } => load_narrow(t, memarg, I8, I64, Sign),
        Operator::I64Load8U { memarg } => load_narrow(t, memarg, I8, I64, Zero),
        Operator::I64Load16S { memarg } => load_narrow(t, memarg, I16, I64, Sign),
        Operator::I64Load16U { memarg } => load_narrow(t, memarg, I16, I64, Zero),
        Operator::I64Load32S { memarg } => load_narrow(t, memarg, I32, I64, Sign),
        Operator::I64Load32U { memarg } => load_narrow(t, memarg, I32, I64, Zero),
        Operator::I32Store { memarg } => store(t, memarg, I32),
        Operator::I64Store { memarg } => store(t, memarg, I64),
        Operator::F32Store { memarg } => store(t, memarg, F32),
        Operator::F64Store { memarg } => store(t, memarg, F64),
        Operator::I32Store8 { memarg } | Operator::I64Store8 { memarg } => store(t, memarg, I8),
        Operator::I32Store16 { memarg } | Operator::I64Store16 { memarg } => store(t, memarg, I16),
        Operator::I64Store32 { memarg } => store(t, memarg, I32),
        _ => return false,
    }
    true
}

fn vector(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> bool {
    use Widening::{Sign, Zero};
    match op {
        Operator::V128Load { memarg } => load(t, memarg, I8X16),
        Operator::V128Store { memarg } => store_vector(t, memarg),
        Operator::V128Load8x8S { memarg } => load_wide(t, memarg, I8X16, Sign),
        Operator::V128Load8x8U { memarg } => load_wide(t, memarg, I8X16, Zero),
        Operator::V128Load16x4S { memarg } => load_wide(t, memarg, I16X8, Sign),
        Operator::V128Load16x4U { memarg } => load_wide(t, memarg, I16X8, Zero),
        Operator::V128Load32x2S { memarg } => load_wide(t, memarg, I32X4, Sign),
        Operator::V128Load32x2U { memarg } => load_wide(t, memarg, I32X4, Zero),
        Operator::V128Load8Splat { memarg } => load_splat(t, memarg, I8X16),
        Operator::V128Load16Splat { memarg } => load_splat(t, memarg, I16X8),
        Operator::V128Load32Splat { memarg } => load_splat(t, memarg, I32X4),
        Operator::V128Load64Splat { memarg } => load_splat(t, memarg, I64X2),
        Operator::V128Load32Zero { memarg } => load_zero(t, memarg, I32X4),
        Operator::V128Load64Zero { memarg } => load_zero(t, memarg, I64X2),
        Operator::V128Load8Lane { memarg, lane } => load_lane(t, memarg, I8X16, *lane),
        Operator::V128Load16Lane { memarg, lane } => load_lane(t, memarg, I16X8, *lane),
        Operator::V128Load32Lane { memarg, lane } => load_lane(t, memarg, I32X4, *lane),
        Operator::V128Load64Lane { memarg, lane } => load_lane(t, memarg, I64X2, *lane),
        Operator::V128Store8Lane { memarg, lane } => store_lane(t, memarg, I8X16, *lane),
        Operator::V128Store16Lane { memarg, lane } => store_lane(t, memarg, I16X8, *lane),
        Operator::V128Store32Lane { memarg, lane } => store_lane(t, memarg, I32X4, *lane),
        Operator::V128Store64Lane { memarg, lane } => store_lane(t, memarg, I64X2, *lane),
        _ => return false,
    }
    true
}

fn whole(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> bool {
    match *op {
        Operator::MemorySize { mem } => {
            let memory = MemoryIndex::from_u32(mem);
            let len = memory_len(t, memory);
            let shift = t.env.module.memories[memory].page_size_log2;
            let pages = t.b.ins().ushr_imm_u(len, i64::from(shift));
            push_pages(t, memory, pages);
        }
        Operator::MemoryGrow { mem } => {
            let delta = t.stack.pop();
            let delta = widen(t, delta);
            let which = number(t, mem);
            let args = [which, delta];
            if let Some(before) = t.env.call_builtin(&mut t.b, Builtin::MemoryGrow, &args) {
                push_pages(t, MemoryIndex::from_u32(mem), before);
            }
        }
        Operator::MemoryFill { mem } => bulk::fill(t, mem),
        Operator::MemoryCopy { dst_mem, src_mem } => bulk::copy(t, dst_mem, src_mem),
        Operator::MemoryInit { data_index, mem } => {
            let (to, from, len) = t.stack.pop3();
            let to = widen(t, to);
            let bytes = widen(t, len);
            t.charge_bulk(bytes, MemoryIndex::from_u32(mem));
            let (memory, data) = (number(t, mem), number(t, data_index));
            t.env.call_builtin(
                &mut t.b,
                Builtin::MemoryInit,
                &[memory, data, to, from, len],
            );
        }
        Operator::DataDrop { data_index } => {
            let data = number(t, data_index);
            t.env.call_builtin(&mut t.b, Builtin::DataDrop, &[data]);
        }
        _ => return false,
    }
    true
}

/// Pushes a number of pages, which routines count in 64 bits, as wide as an address.
fn push_pages(t: &mut FuncTranslator<'_>, memory: MemoryIndex, pages: Value) {
    let memory64 = t.env.module.memories[memory].memory64;
    let pages = if memory64 {
        pages
    } else {
        t.b.ins().ireduce(I32, pages)
    };
    t.stack.push(pages);
}

/// Takes the index off the stack: where to access `size` bytes.
fn address(t: &mut FuncTranslator<'_>, memarg: &MemArg, size: u32) -> Address {
    let index = t.stack.pop();
    // Accesses to arrays are another proposal's, which validation does not let through.
    let memory = match memarg.target {
        MemArgTarget::Memory(memory) | MemArgTarget::Array(memory) => memory,
    };
    heap_address(
        t,
        MemoryIndex::from_u32(memory),
        index,
        memarg.offset,
        u64::from(size),
    )
}

fn load_value(t: &mut FuncTranslator<'_>, memarg: &MemArg, ty: Type) -> Value {
    let at = address(t, memarg, ty.bytes());
    t.b.ins().load(ty, at.flags, at.base, at.offset)
}

fn load(t: &mut FuncTranslator<'_>, memarg: &MemArg, ty: Type) {
    let value = load_value(t, memarg, ty);
    t.stack.push(value);
}

fn load_narrow(t: &mut FuncTranslator<'_>, memarg: &MemArg, from: Type, to: Type, ext: Widening) {
    let at = address(t, memarg, from.bytes());
    let value = t.b.ins().load(from, at.flags, at.base, at.offset);
    let value = match ext {
        Widening::Zero => t.b.ins().uextend(to, value),
        Widening::Sign => t.b.ins().sextend(to, value),
    };
    t.stack.push(value);
}

/// Stores the low bytes of the top value. Where those are not all, by an instruction that
/// says so: the optimiser would compute a narrowed value again, beside the whole one.
fn store(t: &mut FuncTranslator<'_>, memarg: &MemArg, ty: Type) {
    let value = t.stack.pop();
    let at = address(t, memarg, ty.bytes());
    let from = t.b.func.dfg.value_type(value);
    let ins = t.b.ins();
    match ty {
        _ if from == ty => ins.store(at.flags, value, at.base, at.offset),
        I8 => ins.istore8(at.flags, value, at.base, at.offset),
        I16 => ins.istore16(at.flags, value, at.base, at.offset),
        _ => ins.istore32(at.flags, value, at.base, at.offset),
    };
}

fn store_vector(t: &mut FuncTranslator<'_>, memarg: &MemArg) {
    let value = t.stack.pop();
    let at = address(t, memarg, 16);
    t.b.ins().store(at.flags, value, at.base, at.offset);
}

/// Loads 8 bytes as lanes of `lanes`' lane type and makes each twice as wide.
fn load_wide(t: &mut FuncTranslator<'_>, memarg: &MemArg, lanes: Type, ext: Widening) {
    let half = load_value(t, memarg, I64);
    let half = t.b.ins().scalar_to_vector(I64X2, half);
    let half = as_vector(&mut t.b, half, lanes);
    let wide = match ext {
        Widening::Zero => t.b.ins().uwiden_low(half),
        Widening::Sign => t.b.ins().swiden_low(half),
    };
    t.stack.push(wide);
}

fn load_splat(t: &mut FuncTranslator<'_>, memarg: &MemArg, ty: Type) {
    let lane = load_value(t, memarg, ty.lane_type());
    let value = t.b.ins().splat(ty, lane);
    t.stack.push(value);
}

fn load_zero(t: &mut FuncTranslator<'_>, memarg: &MemArg, ty: Type) {
    let lane = load_value(t, memarg, ty.lane_type());
    let value = t.b.ins().scalar_to_vector(ty, lane);
    t.stack.push(value);
}

fn load_lane(t: &mut FuncTranslator<'_>, memarg: &MemArg, ty: Type, lane: u8) {
    let vector = t.stack.pop_vector(&mut t.b, ty);
    let value = load_value(t, memarg, ty.lane_type());
    let vector = t.b.ins().insertlane(vector, value, lane);
    t.stack.push(vector);
}

fn store_lane(t: &mut FuncTranslator<'_>, memarg: &MemArg, ty: Type, lane: u8) {
    let vector = t.stack.pop_vector(&mut t.b, ty);
    let at = address(t, memarg, ty.lane_type().bytes());
    let value = t.b.ins().extractlane(vector, lane);
    t.b.ins().store(at.flags, value, at.base, at.offset);
}
