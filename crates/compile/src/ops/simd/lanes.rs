//! Vectors as rows of lanes and as 128 bits: constants, splat, extract, replace,
//! shuffle, swizzle, and the bitwise instructions.
//!
//! Lane numbers and shuffle indices were checked by validation. An i8 or i16 lane
//! meets the operand stack as an i32: reduced on its way in, extended on its way out.

use super::constant;
use crate::ValueStack;
use crate::ops::emit::{binary, truth};
use cranelift_codegen::ir::types::{F32X4, F64X2, I8, I8X16, I16, I16X8, I32, I32X4, I64X2};
use cranelift_codegen::ir::{ConstantData, InstBuilder, Opcode, Type, Value};
use cranelift_frontend::FunctionBuilder;
use wasmparser::Operator;

/// Translates `op` if it is one of this family; returns whether it is.
pub(super) fn translate(
    op: &Operator<'_>,
    b: &mut FunctionBuilder<'_>,
    stack: &mut ValueStack,
) -> bool {
    let result = match op {
        Operator::V128Const { value } => constant(b, I8X16, value.bytes()),
        Operator::I8x16Shuffle { lanes } => {
            let (x, y) = stack.pop2_vector(b, I8X16);
            let mask = b
                .func
                .dfg
                .immediates
                .push(ConstantData::from(lanes.as_slice()));
            b.ins().shuffle(x, y, mask)
        }
        Operator::I8x16Swizzle => {
            let (x, indices) = stack.pop2_vector(b, I8X16);
            b.ins().swizzle(x, indices)
        }
        _ => match bits(op, b, stack).or_else(|| lane(op, b, stack)) {
            Some(result) => result,
            None => return false,
        },
    };
    stack.push(result);
    true
}

/// Instructions on all 128 bits.
fn bits(op: &Operator<'_>, b: &mut FunctionBuilder<'_>, stack: &mut ValueStack) -> Option<Value> {
    let opcode = match op {
        Operator::V128Not => {
            let x = stack.pop_vector(b, I8X16);
            return Some(b.ins().bnot(x));
        }
        Operator::V128AndNot => {
            let (x, y) = stack.pop2_vector(b, I8X16);
            let not_y = b.ins().bnot(y);
            return Some(b.ins().band(x, not_y));
        }
        Operator::V128Bitselect => {
            let mask = stack.pop_vector(b, I8X16);
            let (x, y) = stack.pop2_vector(b, I8X16);
            return Some(b.ins().bitselect(mask, x, y));
        }
        Operator::V128AnyTrue => {
            let x = stack.pop_vector(b, I8X16);
            let any = b.ins().vany_true(x);
            return Some(truth(b, any));
        }
        Operator::V128And => Opcode::Band,
        Operator::V128Or => Opcode::Bor,
        Operator::V128Xor => Opcode::Bxor,
        _ => return None,
    };
    let (x, y) = stack.pop2_vector(b, I8X16);
    Some(binary(b, opcode, x, y))
}

/// Instructions between one lane and a vector.
fn lane(op: &Operator<'_>, b: &mut FunctionBuilder<'_>, stack: &mut ValueStack) -> Option<Value> {
    use Operator::*;
    Some(match *op {
        I8x16Splat => splat(b, stack, I8X16),
        I16x8Splat => splat(b, stack, I16X8),
        I32x4Splat => splat(b, stack, I32X4),
        I64x2Splat => splat(b, stack, I64X2),
        F32x4Splat => splat(b, stack, F32X4),
        F64x2Splat => splat(b, stack, F64X2),

        I8x16ExtractLaneS { lane } => {
            let x = extract(b, stack, I8X16, lane);
            b.ins().sextend(I32, x)
        }
        I8x16ExtractLaneU { lane } => {
            let x = extract(b, stack, I8X16, lane);
            b.ins().uextend(I32, x)
        }
        I16x8ExtractLaneS { lane } => {
            let x = extract(b, stack, I16X8, lane);
            b.ins().sextend(I32, x)
        }
        I16x8ExtractLaneU { lane } => {
            let x = extract(b, stack, I16X8, lane);
            b.ins().uextend(I32, x)
        }
        I32x4ExtractLane { lane } => extract(b, stack, I32X4, lane),
        I64x2ExtractLane { lane } => extract(b, stack, I64X2, lane),
        F32x4ExtractLane { lane } => extract(b, stack, F32X4, lane),
        F64x2ExtractLane { lane } => extract(b, stack, F64X2, lane),

        I8x16ReplaceLane { lane } => replace(b, stack, I8X16, lane),
        I16x8ReplaceLane { lane } => replace(b, stack, I16X8, lane),
        I32x4ReplaceLane { lane } => replace(b, stack, I32X4, lane),
        I64x2ReplaceLane { lane } => replace(b, stack, I64X2, lane),
        F32x4ReplaceLane { lane } => replace(b, stack, F32X4, lane),
        F64x2ReplaceLane { lane } => replace(b, stack, F64X2, lane),
        _ => return None,
    })
}

/// The top operand in every lane of a vector of type `ty`.
fn splat(b: &mut FunctionBuilder<'_>, stack: &mut ValueStack, ty: Type) -> Value {
    let x = stack.pop();
    let x = as_lane(b, x, ty);
    b.ins().splat(ty, x)
}

/// Lane `lane` of the top operand, a vector of type `ty`, with the lane's own type.
fn extract(b: &mut FunctionBuilder<'_>, stack: &mut ValueStack, ty: Type, lane: u8) -> Value {
    let x = stack.pop_vector(b, ty);
    b.ins().extractlane(x, lane)
}

/// The vector below the top operand with the top operand as its lane `lane`.
fn replace(b: &mut FunctionBuilder<'_>, stack: &mut ValueStack, ty: Type, lane: u8) -> Value {
    let x = stack.pop();
    let x = as_lane(b, x, ty);
    let vector = stack.pop_vector(b, ty);
    b.ins().insertlane(vector, x, lane)
}

/// An operand as a lane of vector type `ty`.
fn as_lane(b: &mut FunctionBuilder<'_>, x: Value, ty: Type) -> Value {
    match ty.lane_type() {
        lane @ (I8 | I16) => b.ins().ireduce(lane, x),
        _ => x,
    }
}
