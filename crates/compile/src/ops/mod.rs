//! One file per family of instructions; each says whether it knows an instruction.
//!
//! The pure-value families (`int`, `float`, `conversion`, `simd`) only need the builder
//! and the operand stack, see [`translate_value`]; the others get the whole translator.

pub(crate) mod atomic;
mod bulk;
pub(crate) mod call;
pub(crate) mod control;
mod conversion;
mod emit;
pub(crate) mod exception;
mod float;
pub(crate) mod global;
mod int;
pub(crate) mod memory;
pub(crate) mod reference;
pub(crate) mod simd;
pub(crate) mod table;

use crate::ValueStack;
use cranelift_frontend::FunctionBuilder;
use wasmparser::Operator;

/// Translates an instruction that only computes values from values (no memory, no
/// control flow). Returns whether `op` is one.
pub(crate) fn translate_value(
    op: &Operator<'_>,
    b: &mut FunctionBuilder<'_>,
    stack: &mut ValueStack,
) -> bool {
    int::translate(op, b, stack)
        || float::translate(op, b, stack)
        || conversion::translate(op, b, stack)
        || simd::translate(op, b, stack)
}
