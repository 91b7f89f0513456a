//! Conversions between i32, i64, f32 and f64.
//!
//! All have one operand and one result. The trapping float-to-integer conversions need
//! no code of ours: Cranelift traps a NaN with its code for a bad conversion and a
//! number out of range with its code for overflow, which is the distinction wasm makes.
//! Not here: sign extension within one type (`int`), vectors (`simd`).

use super::emit::unary;
use crate::ValueStack;
use cranelift_codegen::ir::types::{F32, F64, I32, I64};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Opcode, Type};
use cranelift_frontend::FunctionBuilder;
use wasmparser::Operator;

/// Translates `op` if it is one of this family; returns whether it is.
pub(crate) fn translate(
    op: &Operator<'_>,
    b: &mut FunctionBuilder<'_>,
    stack: &mut ValueStack,
) -> bool {
    let Some((opcode, to)) = form(op) else {
        return false;
    };
    let x = stack.pop();
    let result = if opcode == Opcode::Bitcast {
        b.ins().bitcast(to, MemFlagsData::new(), x)
    } else {
        unary(b, opcode, to, x)
    };
    stack.push(result);
    true
}

/// Each instruction's opcode and result type.
fn form(op: &Operator<'_>) -> Option<(Opcode, Type)> {
    use Operator::*;
    Some(match op {
        I32WrapI64 => (Opcode::Ireduce, I32),
        I64ExtendI32S => (Opcode::Sextend, I64),
        I64ExtendI32U => (Opcode::Uextend, I64),

        I32TruncF32S | I32TruncF64S => (Opcode::FcvtToSint, I32),
        I32TruncF32U | I32TruncF64U => (Opcode::FcvtToUint, I32),
        I64TruncF32S | I64TruncF64S => (Opcode::FcvtToSint, I64),
        I64TruncF32U | I64TruncF64U => (Opcode::FcvtToUint, I64),

        I32TruncSatF32S | I32TruncSatF64S => (Opcode::FcvtToSintSat, I32),
        I32TruncSatF32U | I32TruncSatF64U => (Opcode::FcvtToUintSat, I32),
        I64TruncSatF32S | I64TruncSatF64S => (Opcode::FcvtToSintSat, I64),
        I64TruncSatF32U | I64TruncSatF64U => (Opcode::FcvtToUintSat, I64),

        F32ConvertI32S | F32ConvertI64S => (Opcode::FcvtFromSint, F32),
        F32ConvertI32U | F32ConvertI64U => (Opcode::FcvtFromUint, F32),
        F64ConvertI32S | F64ConvertI64S => (Opcode::FcvtFromSint, F64),
        F64ConvertI32U | F64ConvertI64U => (Opcode::FcvtFromUint, F64),

        F32DemoteF64 => (Opcode::Fdemote, F32),
        F64PromoteF32 => (Opcode::Fpromote, F64),

        I32ReinterpretF32 => (Opcode::Bitcast, I32),
        I64ReinterpretF64 => (Opcode::Bitcast, I64),
        F32ReinterpretI32 => (Opcode::Bitcast, F32),
        F64ReinterpretI64 => (Opcode::Bitcast, F64),
        _ => return None,
    })
}
