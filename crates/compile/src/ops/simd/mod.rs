//! The 128-bit vector instructions that do not touch memory, relaxed ones too.
//!
//! A v128 on the operand stack is a value of whichever 128-bit vector type its maker
//! had; each instruction takes its operands as the type that it works on, and leaves
//! its result as it is. Lane 0 is always in the lowest bits: bitcasts between vector
//! types say "little endian", whatever the machine.
//!
//! ```text
//! lanes    constants, splat, extract, replace, shuffle, swizzle, whole-vector bits
//! int      integer lanes: arithmetic, comparison, shifts, extension, reduction
//! float    float lanes: arithmetic, comparison
//! convert  lanes of one type from lanes of another
//! relaxed  the relaxed instructions, portable or as this machine does them fastest
//! ```
//! Not here: loads and stores of vectors and lanes (`memory`).

mod convert;
mod float;
mod int;
mod lanes;
pub(crate) mod relaxed;

use crate::ValueStack;
use cranelift_codegen::ir::{ConstantData, InstBuilder, Type, Value};
use cranelift_frontend::FunctionBuilder;
use wasmparser::Operator;

/// Translates `op` if it is one of this family; returns whether it is.
pub(crate) fn translate(
    op: &Operator<'_>,
    b: &mut FunctionBuilder<'_>,
    stack: &mut ValueStack,
) -> bool {
    lanes::translate(op, b, stack)
        || int::translate(op, b, stack)
        || float::translate(op, b, stack)
        || convert::translate(op, b, stack)
}

/// The vector of type `ty` whose bytes are `bytes`, lane 0 first.
pub(super) fn constant(b: &mut FunctionBuilder<'_>, ty: Type, bytes: &[u8; 16]) -> Value {
    let data = ConstantData::from(bytes.as_slice());
    let handle = b.func.dfg.constants.insert(data);
    b.ins().vconst(ty, handle)
}
