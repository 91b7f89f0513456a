//! The relaxed instructions, whose results wasm lets depend on the machine.
//!
//! Each has a portable meaning, that of its strict counterpart, and some have a faster one
//! where the machine has an instruction for it:
//!
//! ```text
//!                 portable                       x86-64
//! swizzle         16 and more gives zero         by the low four bits, unless the top bit is set
//! trunc (signed)  saturating, NaN gives zero     out of range gives the least number
//! min, max        strict                         second operand where the two don't compare
//! laneselect      bit by bit                     by each lane's top bit (but for lanes of 16 bits)
//! q15mulr         saturating                     the one overflow wraps around
//! dot             signed, wraps around           second operand unsigned, saturates
//! madd, nmadd     rounded twice                  rounded once, with FMA (aarch64: always)
//! ```
//!
//! [`Relaxed`] says which; it is the same for all tiers, so that a guest sees one meaning
//! however often a function is compiled again.

use super::constant;
use super::convert::{trunc_f32x4, trunc_f64x2_signed, trunc_f64x2_unsigned};
use super::float::{pseudo_max, pseudo_min};
use super::int::dot;
use crate::ValueStack;
use crate::ops::emit::binary;
use crate::stack::as_vector;
use cranelift_codegen::ir::types::{F32X4, F64X2, I8X16, I16X8, I32X4, I64X2};
use cranelift_codegen::ir::{InstBuilder, Opcode, Type, Value};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::FunctionBuilder;
use wasmparser::Operator;

/// Which instructions of the machine the relaxed ones become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Relaxed {
    /// Those of x86-64 that differ from the strict meanings.
    x86: bool,
    /// Multiply and add in one.
    fused: bool,
}

impl Relaxed {
    /// None: what relaxed instructions compute is the same on all machines.
    pub(crate) const PORTABLE: Relaxed = Relaxed {
        x86: false,
        fused: false,
    };

    /// All that this machine has.
    pub(crate) fn fastest(isa: &dyn TargetIsa) -> Relaxed {
        let selects = [I8X16, I32X4, I64X2].map(|ty| isa.has_blendv_lowering(ty));
        Relaxed {
            x86: isa.has_x86_pshufb_lowering()
                && isa.has_x86_pmulhrsw_lowering()
                && isa.has_x86_pmaddubsw_lowering()
                && selects == [true; 3],
            fused: isa.has_native_fma(),
        }
    }
}

/// Translates `op` if it is one of this family; returns whether it is.
pub(crate) fn translate(
    op: &Operator<'_>,
    b: &mut FunctionBuilder<'_>,
    stack: &mut ValueStack,
    relaxed: Relaxed,
) -> bool {
    let known = (relaxed.x86 && x86(op, b, stack)) || (relaxed.fused && fused(op, b, stack));
    known || portable(op, b, stack)
}

/// Those that x86-64 has instructions of its own for.
fn x86(op: &Operator<'_>, b: &mut FunctionBuilder<'_>, stack: &mut ValueStack) -> bool {
    use Operator::*;
    let result = match op {
        I8x16RelaxedSwizzle => two(b, stack, I8X16, Opcode::X86Pshufb),
        I32x4RelaxedTruncF32x4S => trunc_f32x4(b, stack, Opcode::X86Cvtt2dq),
        I32x4RelaxedTruncF64x2SZero => {
            let x = stack.pop_vector(b, F64X2);
            let wide = b.ins().x86_cvtt2dq(I64X2, x);
            let zero = constant(b, I64X2, &[0; 16]);
            b.ins().snarrow(wide, zero)
        }
        I8x16RelaxedLaneselect => lane_select(b, stack, I8X16),
        I32x4RelaxedLaneselect => lane_select(b, stack, I32X4),
        I64x2RelaxedLaneselect => lane_select(b, stack, I64X2),
        F32x4RelaxedMin => pseudo_min(b, stack, F32X4),
        F64x2RelaxedMin => pseudo_min(b, stack, F64X2),
        F32x4RelaxedMax => pseudo_max(b, stack, F32X4),
        F64x2RelaxedMax => pseudo_max(b, stack, F64X2),
        I16x8RelaxedQ15mulrS => two(b, stack, I16X8, Opcode::X86Pmulhrsw),
        I16x8RelaxedDotI8x16I7x16S => two(b, stack, I8X16, Opcode::X86Pmaddubsw),
        I32x4RelaxedDotI8x16I7x16AddS => {
            let addend = stack.pop();
            let products = two(b, stack, I8X16, Opcode::X86Pmaddubsw);
            add_pairs(b, products, addend)
        }
        _ => return false,
    };
    stack.push(result);
    true
}

/// Multiplications with an addition, rounded once.
fn fused(op: &Operator<'_>, b: &mut FunctionBuilder<'_>, stack: &mut ValueStack) -> bool {
    let (ty, negated) = match op {
        Operator::F32x4RelaxedMadd => (F32X4, false),
        Operator::F64x2RelaxedMadd => (F64X2, false),
        Operator::F32x4RelaxedNmadd => (F32X4, true),
        Operator::F64x2RelaxedNmadd => (F64X2, true),
        _ => return false,
    };
    let addend = stack.pop_vector(b, ty);
    let (x, y) = stack.pop2_vector(b, ty);
    let x = if negated { b.ins().fneg(x) } else { x };
    let result = b.ins().fma(x, y, addend);
    stack.push(result);
    true
}

/// All of them, as their strict counterparts.
fn portable(op: &Operator<'_>, b: &mut FunctionBuilder<'_>, stack: &mut ValueStack) -> bool {
    use Operator::*;
    let result = match op {
        // Indices of 16 and more give zero.
        I8x16RelaxedSwizzle => {
            let (x, indices) = stack.pop2_vector(b, I8X16);
            b.ins().swizzle(x, indices)
        }

        // Saturating; NaN gives zero.
        I32x4RelaxedTruncF32x4S => trunc_f32x4(b, stack, Opcode::FcvtToSintSat),
        I32x4RelaxedTruncF32x4U => trunc_f32x4(b, stack, Opcode::FcvtToUintSat),
        I32x4RelaxedTruncF64x2SZero => trunc_f64x2_signed(b, stack),
        I32x4RelaxedTruncF64x2UZero => trunc_f64x2_unsigned(b, stack),

        F32x4RelaxedMadd => multiply_add(b, stack, F32X4, Opcode::Fadd),
        F64x2RelaxedMadd => multiply_add(b, stack, F64X2, Opcode::Fadd),
        F32x4RelaxedNmadd => multiply_add(b, stack, F32X4, Opcode::Fsub),
        F64x2RelaxedNmadd => multiply_add(b, stack, F64X2, Opcode::Fsub),

        // Bit by bit, so the lanes' width does not matter.
        I8x16RelaxedLaneselect
        | I16x8RelaxedLaneselect
        | I32x4RelaxedLaneselect
        | I64x2RelaxedLaneselect => {
            let mask = stack.pop_vector(b, I8X16);
            let (x, y) = stack.pop2_vector(b, I8X16);
            b.ins().bitselect(mask, x, y)
        }

        F32x4RelaxedMin => two(b, stack, F32X4, Opcode::Fmin),
        F32x4RelaxedMax => two(b, stack, F32X4, Opcode::Fmax),
        F64x2RelaxedMin => two(b, stack, F64X2, Opcode::Fmin),
        F64x2RelaxedMax => two(b, stack, F64X2, Opcode::Fmax),
        I16x8RelaxedQ15mulrS => two(b, stack, I16X8, Opcode::SqmulRoundSat),

        // Both operands signed; sums wrap around.
        I16x8RelaxedDotI8x16I7x16S => {
            let (x, y) = stack.pop2_vector(b, I8X16);
            dot(b, x, y)
        }
        I32x4RelaxedDotI8x16I7x16AddS => {
            let addend = stack.pop();
            let (x, y) = stack.pop2_vector(b, I8X16);
            let products = dot(b, x, y);
            add_pairs(b, products, addend)
        }
        _ => return false,
    };
    stack.push(result);
    true
}

/// The two top operands as `ty`, combined by `opcode`.
fn two(b: &mut FunctionBuilder<'_>, stack: &mut ValueStack, ty: Type, opcode: Opcode) -> Value {
    let (x, y) = stack.pop2_vector(b, ty);
    binary(b, opcode, x, y)
}

/// `addend opcode (x * y)`, each step rounded; the addend is the top operand.
fn multiply_add(
    b: &mut FunctionBuilder<'_>,
    stack: &mut ValueStack,
    ty: Type,
    opcode: Opcode,
) -> Value {
    let addend = stack.pop_vector(b, ty);
    let (x, y) = stack.pop2_vector(b, ty);
    let product = b.ins().fmul(x, y);
    binary(b, opcode, addend, product)
}

/// By the top bits of the lanes of the mask, which is the top operand.
fn lane_select(b: &mut FunctionBuilder<'_>, stack: &mut ValueStack, ty: Type) -> Value {
    let mask = stack.pop_vector(b, ty);
    let (x, y) = stack.pop2_vector(b, ty);
    b.ins().blendv(mask, x, y)
}

/// The sums of neighbours among eight products, on top of four addends.
fn add_pairs(b: &mut FunctionBuilder<'_>, products: Value, addend: Value) -> Value {
    let low = b.ins().swiden_low(products);
    let high = b.ins().swiden_high(products);
    let sums = b.ins().iadd_pairwise(low, high);
    let addend = as_vector(b, addend, I32X4);
    b.ins().iadd(sums, addend)
}
