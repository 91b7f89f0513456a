//! Instructions on integer lanes.
//!
//! A table from operators to (vector type, form), and what each form becomes. Shift
//! amounts are modulo the lane's width in wasm and in Cranelift. The forms with several
//! opcodes are spelled as Cranelift's back ends recognise them: a widening multiply, a
//! widening pairwise sum and a dot product are one or two machine instructions each.

use crate::ValueStack;
use crate::ops::emit::{binary, truth, unary};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8X16, I16X8, I32, I32X4, I64X2};
use cranelift_codegen::ir::{InstBuilder, Opcode, Type, Value};
use cranelift_frontend::FunctionBuilder;
use wasmparser::Operator;

/// How an instruction is translated.
#[derive(Clone, Copy)]
enum Form {
    /// One operand.
    Unary(Opcode),
    /// Two operands.
    Binary(Opcode),
    /// A comparison; lanes of the result are all ones or all zeros.
    Compare(IntCC),
    /// A vector, and an i32 that all lanes are shifted by.
    Shift(Opcode),
    /// Whether no lane is zero.
    AllTrue,
    /// The highest bit of each lane, lane 0 in the lowest bit of an i32.
    Bitmask,
    /// The products of half of the lanes, which the opcode first makes twice as wide.
    MulWidened(Opcode),
    /// The sums of neighbours, made twice as wide: (low half, high half) opcodes.
    AddNeighbours(Opcode, Opcode),
    /// The sums of neighbours' products, signed and twice as wide.
    Dot,
}

/// Translates `op` if it is one of this family; returns whether it is.
pub(super) fn translate(
    op: &Operator<'_>,
    b: &mut FunctionBuilder<'_>,
    stack: &mut ValueStack,
) -> bool {
    let row = arithmetic(op)
        .or_else(|| widening(op))
        .or_else(|| comparison(op));
    let Some((ty, form)) = row else {
        return false;
    };
    let result = match form {
        Form::Unary(opcode) => {
            let x = stack.pop_vector(b, ty);
            unary(b, opcode, ty, x)
        }
        Form::Binary(opcode) => {
            let (x, y) = stack.pop2_vector(b, ty);
            binary(b, opcode, x, y)
        }
        Form::Compare(cc) => {
            let (x, y) = stack.pop2_vector(b, ty);
            b.ins().icmp(cc, x, y)
        }
        Form::Shift(opcode) => {
            let amount = stack.pop();
            let x = stack.pop_vector(b, ty);
            binary(b, opcode, x, amount)
        }
        Form::AllTrue => {
            let x = stack.pop_vector(b, ty);
            let all = b.ins().vall_true(x);
            truth(b, all)
        }
        Form::Bitmask => {
            let x = stack.pop_vector(b, ty);
            b.ins().vhigh_bits(I32, x)
        }
        Form::MulWidened(widen) => {
            let (x, y) = stack.pop2_vector(b, ty);
            let x = unary(b, widen, ty, x);
            let y = unary(b, widen, ty, y);
            b.ins().imul(x, y)
        }
        Form::AddNeighbours(low, high) => {
            let x = stack.pop_vector(b, ty);
            let low = unary(b, low, ty, x);
            let high = unary(b, high, ty, x);
            b.ins().iadd_pairwise(low, high)
        }
        Form::Dot => {
            let (x, y) = stack.pop2_vector(b, ty);
            dot(b, x, y)
        }
    };
    stack.push(result);
    true
}

/// The sums of neighbours' signed products, in lanes twice as wide; they wrap around.
pub(super) fn dot(b: &mut FunctionBuilder<'_>, x: Value, y: Value) -> Value {
    let x_low = b.ins().swiden_low(x);
    let y_low = b.ins().swiden_low(y);
    let low = b.ins().imul(x_low, y_low);
    let x_high = b.ins().swiden_high(x);
    let y_high = b.ins().swiden_high(y);
    let high = b.ins().imul(x_high, y_high);
    b.ins().iadd_pairwise(low, high)
}

/// The type and form of an instruction whose lanes keep their width, or are reduced.
fn arithmetic(op: &Operator<'_>) -> Option<(Type, Form)> {
    use Form::{Binary, Unary};
    use Operator::*;
    Some(match op {
        I8x16Abs => (I8X16, Unary(Opcode::Iabs)),
        I16x8Abs => (I16X8, Unary(Opcode::Iabs)),
        I32x4Abs => (I32X4, Unary(Opcode::Iabs)),
        I64x2Abs => (I64X2, Unary(Opcode::Iabs)),
        I8x16Neg => (I8X16, Unary(Opcode::Ineg)),
        I16x8Neg => (I16X8, Unary(Opcode::Ineg)),
        I32x4Neg => (I32X4, Unary(Opcode::Ineg)),
        I64x2Neg => (I64X2, Unary(Opcode::Ineg)),
        I8x16Popcnt => (I8X16, Unary(Opcode::Popcnt)),

        I8x16Add => (I8X16, Binary(Opcode::Iadd)),
        I16x8Add => (I16X8, Binary(Opcode::Iadd)),
        I32x4Add => (I32X4, Binary(Opcode::Iadd)),
        I64x2Add => (I64X2, Binary(Opcode::Iadd)),
        I8x16AddSatS => (I8X16, Binary(Opcode::SaddSat)),
        I16x8AddSatS => (I16X8, Binary(Opcode::SaddSat)),
        I8x16AddSatU => (I8X16, Binary(Opcode::UaddSat)),
        I16x8AddSatU => (I16X8, Binary(Opcode::UaddSat)),
        I8x16Sub => (I8X16, Binary(Opcode::Isub)),
        I16x8Sub => (I16X8, Binary(Opcode::Isub)),
        I32x4Sub => (I32X4, Binary(Opcode::Isub)),
        I64x2Sub => (I64X2, Binary(Opcode::Isub)),
        I8x16SubSatS => (I8X16, Binary(Opcode::SsubSat)),
        I16x8SubSatS => (I16X8, Binary(Opcode::SsubSat)),
        I8x16SubSatU => (I8X16, Binary(Opcode::UsubSat)),
        I16x8SubSatU => (I16X8, Binary(Opcode::UsubSat)),
        I16x8Mul => (I16X8, Binary(Opcode::Imul)),
        I32x4Mul => (I32X4, Binary(Opcode::Imul)),
        I64x2Mul => (I64X2, Binary(Opcode::Imul)),
        I16x8Q15MulrSatS => (I16X8, Binary(Opcode::SqmulRoundSat)),
        I8x16AvgrU => (I8X16, Binary(Opcode::AvgRound)),
        I16x8AvgrU => (I16X8, Binary(Opcode::AvgRound)),

        I8x16MinS => (I8X16, Binary(Opcode::Smin)),
        I16x8MinS => (I16X8, Binary(Opcode::Smin)),
        I32x4MinS => (I32X4, Binary(Opcode::Smin)),
        I8x16MinU => (I8X16, Binary(Opcode::Umin)),
        I16x8MinU => (I16X8, Binary(Opcode::Umin)),
        I32x4MinU => (I32X4, Binary(Opcode::Umin)),
        I8x16MaxS => (I8X16, Binary(Opcode::Smax)),
        I16x8MaxS => (I16X8, Binary(Opcode::Smax)),
        I32x4MaxS => (I32X4, Binary(Opcode::Smax)),
        I8x16MaxU => (I8X16, Binary(Opcode::Umax)),
        I16x8MaxU => (I16X8, Binary(Opcode::Umax)),
        I32x4MaxU => (I32X4, Binary(Opcode::Umax)),
        _ => return shift_or_reduce(op),
    })
}

/// The type and form of a shift of lanes, or of an instruction that makes one number.
fn shift_or_reduce(op: &Operator<'_>) -> Option<(Type, Form)> {
    use Form::{AllTrue, Bitmask, Shift};
    use Operator::*;
    Some(match op {
        I8x16Shl => (I8X16, Shift(Opcode::Ishl)),
        I16x8Shl => (I16X8, Shift(Opcode::Ishl)),
        I32x4Shl => (I32X4, Shift(Opcode::Ishl)),
        I64x2Shl => (I64X2, Shift(Opcode::Ishl)),
        I8x16ShrS => (I8X16, Shift(Opcode::Sshr)),
        I16x8ShrS => (I16X8, Shift(Opcode::Sshr)),
        I32x4ShrS => (I32X4, Shift(Opcode::Sshr)),
        I64x2ShrS => (I64X2, Shift(Opcode::Sshr)),
        I8x16ShrU => (I8X16, Shift(Opcode::Ushr)),
        I16x8ShrU => (I16X8, Shift(Opcode::Ushr)),
        I32x4ShrU => (I32X4, Shift(Opcode::Ushr)),
        I64x2ShrU => (I64X2, Shift(Opcode::Ushr)),

        I8x16AllTrue => (I8X16, AllTrue),
        I16x8AllTrue => (I16X8, AllTrue),
        I32x4AllTrue => (I32X4, AllTrue),
        I64x2AllTrue => (I64X2, AllTrue),
        I8x16Bitmask => (I8X16, Bitmask),
        I16x8Bitmask => (I16X8, Bitmask),
        I32x4Bitmask => (I32X4, Bitmask),
        I64x2Bitmask => (I64X2, Bitmask),
        _ => return None,
    })
}

/// The *operands'* type and the form of an instruction whose lanes change their width.
fn widening(op: &Operator<'_>) -> Option<(Type, Form)> {
    use Form::{AddNeighbours, Binary, Dot, MulWidened, Unary};
    use Opcode::{SwidenHigh, SwidenLow, UwidenHigh, UwidenLow};
    use Operator::*;
    Some(match op {
        I8x16NarrowI16x8S => (I16X8, Binary(Opcode::Snarrow)),
        I16x8NarrowI32x4S => (I32X4, Binary(Opcode::Snarrow)),
        I8x16NarrowI16x8U => (I16X8, Binary(Opcode::Unarrow)),
        I16x8NarrowI32x4U => (I32X4, Binary(Opcode::Unarrow)),

        I16x8ExtendLowI8x16S => (I8X16, Unary(SwidenLow)),
        I16x8ExtendHighI8x16S => (I8X16, Unary(SwidenHigh)),
        I16x8ExtendLowI8x16U => (I8X16, Unary(UwidenLow)),
        I16x8ExtendHighI8x16U => (I8X16, Unary(UwidenHigh)),
        I32x4ExtendLowI16x8S => (I16X8, Unary(SwidenLow)),
        I32x4ExtendHighI16x8S => (I16X8, Unary(SwidenHigh)),
        I32x4ExtendLowI16x8U => (I16X8, Unary(UwidenLow)),
        I32x4ExtendHighI16x8U => (I16X8, Unary(UwidenHigh)),
        I64x2ExtendLowI32x4S => (I32X4, Unary(SwidenLow)),
        I64x2ExtendHighI32x4S => (I32X4, Unary(SwidenHigh)),
        I64x2ExtendLowI32x4U => (I32X4, Unary(UwidenLow)),
        I64x2ExtendHighI32x4U => (I32X4, Unary(UwidenHigh)),

        I16x8ExtMulLowI8x16S => (I8X16, MulWidened(SwidenLow)),
        I16x8ExtMulHighI8x16S => (I8X16, MulWidened(SwidenHigh)),
        I16x8ExtMulLowI8x16U => (I8X16, MulWidened(UwidenLow)),
        I16x8ExtMulHighI8x16U => (I8X16, MulWidened(UwidenHigh)),
        I32x4ExtMulLowI16x8S => (I16X8, MulWidened(SwidenLow)),
        I32x4ExtMulHighI16x8S => (I16X8, MulWidened(SwidenHigh)),
        I32x4ExtMulLowI16x8U => (I16X8, MulWidened(UwidenLow)),
        I32x4ExtMulHighI16x8U => (I16X8, MulWidened(UwidenHigh)),
        I64x2ExtMulLowI32x4S => (I32X4, MulWidened(SwidenLow)),
        I64x2ExtMulHighI32x4S => (I32X4, MulWidened(SwidenHigh)),
        I64x2ExtMulLowI32x4U => (I32X4, MulWidened(UwidenLow)),
        I64x2ExtMulHighI32x4U => (I32X4, MulWidened(UwidenHigh)),

        I16x8ExtAddPairwiseI8x16S => (I8X16, AddNeighbours(SwidenLow, SwidenHigh)),
        I16x8ExtAddPairwiseI8x16U => (I8X16, AddNeighbours(UwidenLow, UwidenHigh)),
        I32x4ExtAddPairwiseI16x8S => (I16X8, AddNeighbours(SwidenLow, SwidenHigh)),
        I32x4ExtAddPairwiseI16x8U => (I16X8, AddNeighbours(UwidenLow, UwidenHigh)),
        I32x4DotI16x8S => (I16X8, Dot),
        _ => return None,
    })
}

/// The type and form of a comparison.
fn comparison(op: &Operator<'_>) -> Option<(Type, Form)> {
    use IntCC::*;
    use Operator::*;
    let (ty, cc) = match op {
        I8x16Eq => (I8X16, Equal),
        I16x8Eq => (I16X8, Equal),
        I32x4Eq => (I32X4, Equal),
        I64x2Eq => (I64X2, Equal),
        I8x16Ne => (I8X16, NotEqual),
        I16x8Ne => (I16X8, NotEqual),
        I32x4Ne => (I32X4, NotEqual),
        I64x2Ne => (I64X2, NotEqual),
        I8x16LtS => (I8X16, SignedLessThan),
        I16x8LtS => (I16X8, SignedLessThan),
        I32x4LtS => (I32X4, SignedLessThan),
        I64x2LtS => (I64X2, SignedLessThan),
        I8x16LtU => (I8X16, UnsignedLessThan),
        I16x8LtU => (I16X8, UnsignedLessThan),
        I32x4LtU => (I32X4, UnsignedLessThan),
        I8x16GtS => (I8X16, SignedGreaterThan),
        I16x8GtS => (I16X8, SignedGreaterThan),
        I32x4GtS => (I32X4, SignedGreaterThan),
        I64x2GtS => (I64X2, SignedGreaterThan),
        I8x16GtU => (I8X16, UnsignedGreaterThan),
        I16x8GtU => (I16X8, UnsignedGreaterThan),
        I32x4GtU => (I32X4, UnsignedGreaterThan),
        I8x16LeS => (I8X16, SignedLessThanOrEqual),
        I16x8LeS => (I16X8, SignedLessThanOrEqual),
        I32x4LeS => (I32X4, SignedLessThanOrEqual),
        I64x2LeS => (I64X2, SignedLessThanOrEqual),
        I8x16LeU => (I8X16, UnsignedLessThanOrEqual),
        I16x8LeU => (I16X8, UnsignedLessThanOrEqual),
        I32x4LeU => (I32X4, UnsignedLessThanOrEqual),
        I8x16GeS => (I8X16, SignedGreaterThanOrEqual),
        I16x8GeS => (I16X8, SignedGreaterThanOrEqual),
        I32x4GeS => (I32X4, SignedGreaterThanOrEqual),
        I64x2GeS => (I64X2, SignedGreaterThanOrEqual),
        I8x16GeU => (I8X16, UnsignedGreaterThanOrEqual),
        I16x8GeU => (I16X8, UnsignedGreaterThanOrEqual),
        I32x4GeU => (I32X4, UnsignedGreaterThanOrEqual),
        _ => return None,
    };
    Some((ty, Form::Compare(cc)))
}
