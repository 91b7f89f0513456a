//! Conversions between float and integer lanes, and between f32 and f64 lanes.
//!
//! Where the number of lanes changes, two go to or come from the low half and the high
//! half is zero or ignored. Those are spelled as Cranelift's back ends recognise them
//! (a narrowing with a zero vector, a widening before the conversion): the inner
//! conversions between 64-bit lanes alone are not instructions on every machine.

use super::constant;
use crate::ValueStack;
use crate::ops::emit::unary;
use cranelift_codegen::ir::types::{F32X4, F64X2, I32X4, I64X2};
use cranelift_codegen::ir::{InstBuilder, Opcode, Value};
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
        I32x4TruncSatF32x4S => trunc_f32x4(b, stack, Opcode::FcvtToSintSat),
        I32x4TruncSatF32x4U => trunc_f32x4(b, stack, Opcode::FcvtToUintSat),
        I32x4TruncSatF64x2SZero => trunc_f64x2_signed(b, stack),
        I32x4TruncSatF64x2UZero => trunc_f64x2_unsigned(b, stack),
        F32x4ConvertI32x4S => {
            let x = stack.pop_vector(b, I32X4);
            b.ins().fcvt_from_sint(F32X4, x)
        }
        F32x4ConvertI32x4U => {
            let x = stack.pop_vector(b, I32X4);
            b.ins().fcvt_from_uint(F32X4, x)
        }
        F64x2ConvertLowI32x4S => {
            let x = stack.pop_vector(b, I32X4);
            let low = b.ins().swiden_low(x);
            b.ins().fcvt_from_sint(F64X2, low)
        }
        F64x2ConvertLowI32x4U => {
            let x = stack.pop_vector(b, I32X4);
            let low = b.ins().uwiden_low(x);
            b.ins().fcvt_from_uint(F64X2, low)
        }
        F32x4DemoteF64x2Zero => {
            let x = stack.pop_vector(b, F64X2);
            b.ins().fvdemote(x)
        }
        F64x2PromoteLowF32x4 => {
            let x = stack.pop_vector(b, F32X4);
            b.ins().fvpromote_low(x)
        }
        _ => return false,
    };
    stack.push(result);
    true
}

/// Four f32 as four i32, by one of the two saturating opcodes.
pub(super) fn trunc_f32x4(
    b: &mut FunctionBuilder<'_>,
    stack: &mut ValueStack,
    opcode: Opcode,
) -> Value {
    let x = stack.pop_vector(b, F32X4);
    unary(b, opcode, I32X4, x)
}

/// Two f64 as two i32 and two zeros, saturating.
pub(super) fn trunc_f64x2_signed(b: &mut FunctionBuilder<'_>, stack: &mut ValueStack) -> Value {
    let x = stack.pop_vector(b, F64X2);
    let wide = b.ins().fcvt_to_sint_sat(I64X2, x);
    let zero = constant(b, I64X2, &[0; 16]);
    b.ins().snarrow(wide, zero)
}

/// Two f64 as two u32 and two zeros, saturating.
pub(super) fn trunc_f64x2_unsigned(b: &mut FunctionBuilder<'_>, stack: &mut ValueStack) -> Value {
    let x = stack.pop_vector(b, F64X2);
    let wide = b.ins().fcvt_to_uint_sat(I64X2, x);
    let zero = constant(b, I64X2, &[0; 16]);
    b.ins().uunarrow(wide, zero)
}
