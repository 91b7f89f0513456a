//! Building an instruction whose opcode is data.
//!
//! The families of value instructions are tables from a wasm operator to an opcode;
//! this turns an opcode and its operands into a value. Not here: opcodes with
//! immediates, which the families build by name.

use cranelift_codegen::ir::{InstBuilder, Opcode, Type, Value, types};
use cranelift_frontend::FunctionBuilder;

/// `opcode x`. `ty` is the opcode's controlling type: that of the result where it
/// differs from the operand's and the opcode converts, else that of the operand.
pub(super) fn unary(b: &mut FunctionBuilder<'_>, opcode: Opcode, ty: Type, x: Value) -> Value {
    let (inst, dfg) = b.ins().Unary(opcode, ty, x);
    dfg.first_result(inst)
}

/// `opcode x, y`, controlled by the type of `x`.
pub(super) fn binary(b: &mut FunctionBuilder<'_>, opcode: Opcode, x: Value, y: Value) -> Value {
    let ty = b.func.dfg.value_type(x);
    let (inst, dfg) = b.ins().Binary(opcode, ty, x, y);
    dfg.first_result(inst)
}

/// Cranelift's truth (an `I8` that is 0 or 1) as wasm's: an `I32` that is 0 or 1.
pub(super) fn truth(b: &mut FunctionBuilder<'_>, truth: Value) -> Value {
    b.ins().uextend(types::I32, truth)
}
