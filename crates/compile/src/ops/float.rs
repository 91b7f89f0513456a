//! Arithmetic and comparisons of f32 and f64.
//!
//! Cranelift's float instructions have wasm's meaning: IEEE 754, rounding to nearest
//! (ties to even), `fmin` and `fmax` that pass NaN on and put -0 below +0. `fneg`,
//! `fabs` and `fcopysign` only touch the sign bit, of a NaN too. Which NaN arithmetic
//! makes is open in wasm; the compiler's settings can make it the canonical one. Not
//! here: conversions (`conversion`), vectors (`simd`).

use super::emit::{binary, truth, unary};
use crate::ValueStack;
use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::{InstBuilder, Opcode};
use cranelift_frontend::FunctionBuilder;
use wasmparser::Operator;

/// How an instruction is translated.
#[derive(Clone, Copy)]
enum Form {
    /// An f32 with these bits.
    Const32(u32),
    /// An f64 with these bits.
    Const64(u64),
    /// One operand.
    Unary(Opcode),
    /// Two operands.
    Binary(Opcode),
    /// A comparison of two operands.
    Compare(FloatCC),
}

/// Translates `op` if it is one of this family; returns whether it is.
pub(crate) fn translate(
    op: &Operator<'_>,
    b: &mut FunctionBuilder<'_>,
    stack: &mut ValueStack,
) -> bool {
    let Some(form) = form(op) else {
        return false;
    };
    let result = match form {
        Form::Const32(bits) => b.ins().f32const(Ieee32::with_bits(bits)),
        Form::Const64(bits) => b.ins().f64const(Ieee64::with_bits(bits)),
        Form::Unary(opcode) => {
            let x = stack.pop();
            let ty = b.func.dfg.value_type(x);
            unary(b, opcode, ty, x)
        }
        Form::Binary(opcode) => {
            let (x, y) = stack.pop2();
            binary(b, opcode, x, y)
        }
        Form::Compare(cc) => {
            let (x, y) = stack.pop2();
            let bit = b.ins().fcmp(cc, x, y);
            truth(b, bit)
        }
    };
    stack.push(result);
    true
}

/// The form of each instruction. All comparisons but "not equal" are false on NaN.
fn form(op: &Operator<'_>) -> Option<Form> {
    use Form::{Binary, Compare, Const32, Const64, Unary};
    use Operator::*;
    Some(match op {
        F32Const { value } => Const32(value.bits()),
        F64Const { value } => Const64(value.bits()),

        F32Abs | F64Abs => Unary(Opcode::Fabs),
        F32Neg | F64Neg => Unary(Opcode::Fneg),
        F32Ceil | F64Ceil => Unary(Opcode::Ceil),
        F32Floor | F64Floor => Unary(Opcode::Floor),
        F32Trunc | F64Trunc => Unary(Opcode::Trunc),
        F32Nearest | F64Nearest => Unary(Opcode::Nearest),
        F32Sqrt | F64Sqrt => Unary(Opcode::Sqrt),

        F32Add | F64Add => Binary(Opcode::Fadd),
        F32Sub | F64Sub => Binary(Opcode::Fsub),
        F32Mul | F64Mul => Binary(Opcode::Fmul),
        F32Div | F64Div => Binary(Opcode::Fdiv),
        F32Min | F64Min => Binary(Opcode::Fmin),
        F32Max | F64Max => Binary(Opcode::Fmax),
        F32Copysign | F64Copysign => Binary(Opcode::Fcopysign),

        F32Eq | F64Eq => Compare(FloatCC::Equal),
        F32Ne | F64Ne => Compare(FloatCC::NotEqual),
        F32Lt | F64Lt => Compare(FloatCC::LessThan),
        F32Gt | F64Gt => Compare(FloatCC::GreaterThan),
        F32Le | F64Le => Compare(FloatCC::LessThanOrEqual),
        F32Ge | F64Ge => Compare(FloatCC::GreaterThanOrEqual),
        _ => return None,
    })
}
