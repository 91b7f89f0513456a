//! Arithmetic, bit operations and comparisons of i32 and i64.
//!
//! A table from operators to forms, and what each form becomes. Wasm's shift and
//! rotate amounts are modulo the width, and so are Cranelift's. Division traps by
//! itself: Cranelift attaches its codes for overflow (`MIN / -1`) and for a zero
//! divisor, and makes `MIN rem -1` zero. Not here: changes of width other than sign
//! extension in place (`conversion`), vectors (`simd`).

use super::emit::{binary, truth, unary};
use crate::ValueStack;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Opcode, Type, types};
use cranelift_frontend::FunctionBuilder;
use wasmparser::Operator;

/// How an instruction is translated.
#[derive(Clone, Copy)]
enum Form {
    /// A constant. The bits are zero-extended, as `iconst` wants them.
    Const(Type, u64),
    /// One operand.
    Unary(Opcode),
    /// Two operands.
    Binary(Opcode),
    /// A comparison of two operands.
    Compare(IntCC),
    /// Whether the operand is zero.
    IsZero,
    /// The low bits of the operand, as many as the type has, with their sign.
    SignExtend(Type),
    /// Two 128-bit operands, each as a low and a high half; two halves come out.
    Wide(Opcode),
    /// The 128-bit product of two 64-bit operands, each first extended by the opcode.
    MulWide(Opcode),
}

/// Translates `op` if it is one of this family; returns whether it is.
pub(crate) fn translate(
    op: &Operator<'_>,
    b: &mut FunctionBuilder<'_>,
    stack: &mut ValueStack,
) -> bool {
    let Some(form) = arithmetic(op).or_else(|| comparison(op)) else {
        return false;
    };
    let result = match form {
        Form::Const(ty, bits) => b.ins().iconst(ty, bits.cast_signed()),
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
            let bit = b.ins().icmp(cc, x, y);
            truth(b, bit)
        }
        Form::IsZero => {
            let x = stack.pop();
            let bit = b.ins().icmp_imm_u(IntCC::Equal, x, 0);
            truth(b, bit)
        }
        Form::SignExtend(from) => {
            let x = stack.pop();
            let ty = b.func.dfg.value_type(x);
            let low = b.ins().ireduce(from, x);
            b.ins().sextend(ty, low)
        }
        Form::Wide(opcode) => {
            let (y_low, y_high) = stack.pop2();
            let (x_low, x_high) = stack.pop2();
            let x = b.ins().iconcat(x_low, x_high);
            let y = b.ins().iconcat(y_low, y_high);
            let wide = binary(b, opcode, x, y);
            let (low, high) = b.ins().isplit(wide);
            stack.push(low);
            high
        }
        Form::MulWide(extend) => {
            let (x, y) = stack.pop2();
            let x = unary(b, extend, types::I128, x);
            let y = unary(b, extend, types::I128, y);
            let wide = b.ins().imul(x, y);
            let (low, high) = b.ins().isplit(wide);
            stack.push(low);
            high
        }
    };
    stack.push(result);
    true
}

/// The form of a constant or of an instruction that computes a number.
fn arithmetic(op: &Operator<'_>) -> Option<Form> {
    use Form::{Binary, Const, MulWide, SignExtend, Unary, Wide};
    use Operator::*;
    Some(match op {
        I32Const { value } => Const(types::I32, u64::from(value.cast_unsigned())),
        I64Const { value } => Const(types::I64, value.cast_unsigned()),

        I32Clz | I64Clz => Unary(Opcode::Clz),
        I32Ctz | I64Ctz => Unary(Opcode::Ctz),
        I32Popcnt | I64Popcnt => Unary(Opcode::Popcnt),

        I32Add | I64Add => Binary(Opcode::Iadd),
        I32Sub | I64Sub => Binary(Opcode::Isub),
        I32Mul | I64Mul => Binary(Opcode::Imul),
        I32DivS | I64DivS => Binary(Opcode::Sdiv),
        I32DivU | I64DivU => Binary(Opcode::Udiv),
        I32RemS | I64RemS => Binary(Opcode::Srem),
        I32RemU | I64RemU => Binary(Opcode::Urem),
        I32And | I64And => Binary(Opcode::Band),
        I32Or | I64Or => Binary(Opcode::Bor),
        I32Xor | I64Xor => Binary(Opcode::Bxor),
        I32Shl | I64Shl => Binary(Opcode::Ishl),
        I32ShrS | I64ShrS => Binary(Opcode::Sshr),
        I32ShrU | I64ShrU => Binary(Opcode::Ushr),
        I32Rotl | I64Rotl => Binary(Opcode::Rotl),
        I32Rotr | I64Rotr => Binary(Opcode::Rotr),

        I32Extend8S | I64Extend8S => SignExtend(types::I8),
        I32Extend16S | I64Extend16S => SignExtend(types::I16),
        I64Extend32S => SignExtend(types::I32),

        I64Add128 => Wide(Opcode::Iadd),
        I64Sub128 => Wide(Opcode::Isub),
        I64MulWideS => MulWide(Opcode::Sextend),
        I64MulWideU => MulWide(Opcode::Uextend),
        _ => return None,
    })
}

/// The form of an instruction that computes a truth.
fn comparison(op: &Operator<'_>) -> Option<Form> {
    use Operator::*;
    Some(Form::Compare(match op {
        I32Eqz | I64Eqz => return Some(Form::IsZero),
        I32Eq | I64Eq => IntCC::Equal,
        I32Ne | I64Ne => IntCC::NotEqual,
        I32LtS | I64LtS => IntCC::SignedLessThan,
        I32LtU | I64LtU => IntCC::UnsignedLessThan,
        I32GtS | I64GtS => IntCC::SignedGreaterThan,
        I32GtU | I64GtU => IntCC::UnsignedGreaterThan,
        I32LeS | I64LeS => IntCC::SignedLessThanOrEqual,
        I32LeU | I64LeU => IntCC::UnsignedLessThanOrEqual,
        I32GeS | I64GeS => IntCC::SignedGreaterThanOrEqual,
        I32GeU | I64GeU => IntCC::UnsignedGreaterThanOrEqual,
        _ => return None,
    }))
}
