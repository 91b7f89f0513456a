//! Instructions on integers.

use crate::ValueStack;
use cranelift_frontend::FunctionBuilder;
use wasmparser::Operator;

/// Translates `op` if it is one of this family; returns whether it is.
pub(crate) fn translate(
    _op: &Operator<'_>,
    _b: &mut FunctionBuilder<'_>,
    _stack: &mut ValueStack,
) -> bool {
    false
}
