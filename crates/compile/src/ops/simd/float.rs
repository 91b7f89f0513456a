//! Instructions on float lanes.
//!
//! As for single floats (`ops::float`), Cranelift's instructions have wasm's meaning.
//! `pmin` and `pmax` are not among them: they are a comparison that picks an operand,
//! so that the first operand comes out where either is NaN or both are zeros.

use crate::ValueStack;
use crate::ops::emit::{binary, unary};
use crate::stack::as_vector;
use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::types::{F32X4, F64X2};
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
    Compare(FloatCC),
    /// The second operand where it is less than the first, else the first.
    PseudoMin,
    /// The second operand where the first is less than it, else the first.
    PseudoMax,
}

/// Translates `op` if it is one of this family; returns whether it is.
pub(super) fn translate(
    op: &Operator<'_>,
    b: &mut FunctionBuilder<'_>,
    stack: &mut ValueStack,
) -> bool {
    let Some((ty, form)) = row(op) else {
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
            b.ins().fcmp(cc, x, y)
        }
        Form::PseudoMin => pseudo_min(b, stack, ty),
        Form::PseudoMax => pseudo_max(b, stack, ty),
    };
    stack.push(result);
    true
}

/// The second operand where it is less than the first, else the first.
pub(super) fn pseudo_min(b: &mut FunctionBuilder<'_>, stack: &mut ValueStack, ty: Type) -> Value {
    let (x, y) = stack.pop2_vector(b, ty);
    let pick_y = b.ins().fcmp(FloatCC::LessThan, y, x);
    let pick_y = as_vector(b, pick_y, ty);
    b.ins().bitselect(pick_y, y, x)
}

/// The second operand where the first is less than it, else the first.
pub(super) fn pseudo_max(b: &mut FunctionBuilder<'_>, stack: &mut ValueStack, ty: Type) -> Value {
    let (x, y) = stack.pop2_vector(b, ty);
    let pick_y = b.ins().fcmp(FloatCC::LessThan, x, y);
    let pick_y = as_vector(b, pick_y, ty);
    b.ins().bitselect(pick_y, y, x)
}

/// The type and form of each instruction.
fn row(op: &Operator<'_>) -> Option<(Type, Form)> {
    use Form::{Binary, Compare, PseudoMax, PseudoMin, Unary};
    use Operator::*;
    Some(match op {
        F32x4Abs => (F32X4, Unary(Opcode::Fabs)),
        F64x2Abs => (F64X2, Unary(Opcode::Fabs)),
        F32x4Neg => (F32X4, Unary(Opcode::Fneg)),
        F64x2Neg => (F64X2, Unary(Opcode::Fneg)),
        F32x4Ceil => (F32X4, Unary(Opcode::Ceil)),
        F64x2Ceil => (F64X2, Unary(Opcode::Ceil)),
        F32x4Floor => (F32X4, Unary(Opcode::Floor)),
        F64x2Floor => (F64X2, Unary(Opcode::Floor)),
        F32x4Trunc => (F32X4, Unary(Opcode::Trunc)),
        F64x2Trunc => (F64X2, Unary(Opcode::Trunc)),
        F32x4Nearest => (F32X4, Unary(Opcode::Nearest)),
        F64x2Nearest => (F64X2, Unary(Opcode::Nearest)),
        F32x4Sqrt => (F32X4, Unary(Opcode::Sqrt)),
        F64x2Sqrt => (F64X2, Unary(Opcode::Sqrt)),

        F32x4Add => (F32X4, Binary(Opcode::Fadd)),
        F64x2Add => (F64X2, Binary(Opcode::Fadd)),
        F32x4Sub => (F32X4, Binary(Opcode::Fsub)),
        F64x2Sub => (F64X2, Binary(Opcode::Fsub)),
        F32x4Mul => (F32X4, Binary(Opcode::Fmul)),
        F64x2Mul => (F64X2, Binary(Opcode::Fmul)),
        F32x4Div => (F32X4, Binary(Opcode::Fdiv)),
        F64x2Div => (F64X2, Binary(Opcode::Fdiv)),
        F32x4Min => (F32X4, Binary(Opcode::Fmin)),
        F64x2Min => (F64X2, Binary(Opcode::Fmin)),
        F32x4Max => (F32X4, Binary(Opcode::Fmax)),
        F64x2Max => (F64X2, Binary(Opcode::Fmax)),
        F32x4PMin => (F32X4, PseudoMin),
        F64x2PMin => (F64X2, PseudoMin),
        F32x4PMax => (F32X4, PseudoMax),
        F64x2PMax => (F64X2, PseudoMax),

        F32x4Eq => (F32X4, Compare(FloatCC::Equal)),
        F64x2Eq => (F64X2, Compare(FloatCC::Equal)),
        F32x4Ne => (F32X4, Compare(FloatCC::NotEqual)),
        F64x2Ne => (F64X2, Compare(FloatCC::NotEqual)),
        F32x4Lt => (F32X4, Compare(FloatCC::LessThan)),
        F64x2Lt => (F64X2, Compare(FloatCC::LessThan)),
        F32x4Gt => (F32X4, Compare(FloatCC::GreaterThan)),
        F64x2Gt => (F64X2, Compare(FloatCC::GreaterThan)),
        F32x4Le => (F32X4, Compare(FloatCC::LessThanOrEqual)),
        F64x2Le => (F64X2, Compare(FloatCC::LessThanOrEqual)),
        F32x4Ge => (F32X4, Compare(FloatCC::GreaterThanOrEqual)),
        F64x2Ge => (F64X2, Compare(FloatCC::GreaterThanOrEqual)),
        _ => return None,
    })
}
