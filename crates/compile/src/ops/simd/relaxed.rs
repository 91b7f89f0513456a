//! The relaxed instructions, whose results wasm lets depend on the machine.
//!
//! Helve does not use that freedom: each one means what its strict counterpart means,
//! and a multiply-add rounds twice. So a guest computes the same on every machine, in
//! every tier, and a seeded run can be replayed elsewhere. (A fused multiply-add would
//! need a call on machines without one, too.)

use super::convert::{trunc_f32x4, trunc_f64x2_signed, trunc_f64x2_unsigned};
use super::int::dot;
use crate::ValueStack;
use crate::ops::emit::binary;
use crate::stack::as_vector;
use cranelift_codegen::ir::types::{F32X4, F64X2, I8X16, I16X8, I32X4};
use cranelift_codegen::ir::{InstBuilder, Opcode, Type, Value};
use cranelift_frontend::FunctionBuilder;
use wasmparser::Operator;

/// Translates `op` if it is one of this family; returns whether it is.
pub(super) fn translate(
    op: &Operator<'_>,
    b: &mut FunctionBuilder<'_>,
    stack: &mut ValueStack,
) -> bool {
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
            let low = b.ins().swiden_low(products);
            let high = b.ins().swiden_high(products);
            let sums = b.ins().iadd_pairwise(low, high);
            let addend = as_vector(b, addend, I32X4);
            b.ins().iadd(sums, addend)
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
