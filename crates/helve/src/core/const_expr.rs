//! Constant expressions, evaluated.
//!
//! Not here: reading them (helve-compile), what becomes of their values.
//!
//! # Safety
//!
//! Validation has typed each expression: an operand's field of the `ValRaw` is the one
//! that was written.

use crate::core::value::ZERO;
use helve_base::id::{FuncIndex, GlobalIndex};
use helve_base::vmctx::{VMFuncRef, ValRaw};
use helve_base::{Bug, Result};
use helve_compile::module::{ConstExpr, ConstOp};
use smallvec::SmallVec;

/// The value of `expr`. `global` reads globals that have their value already, `func`
/// gives function references.
pub(crate) fn eval(
    expr: &ConstExpr,
    global: impl Fn(GlobalIndex) -> ValRaw,
    func: impl Fn(FuncIndex) -> Result<*mut VMFuncRef>,
) -> Result<ValRaw> {
    let mut stack = SmallVec::<[ValRaw; 4]>::new();
    for op in &expr.ops {
        let value = match *op {
            ConstOp::I32Const(v) => ValRaw { i32: v },
            ConstOp::I64Const(v) => ValRaw { i64: v },
            ConstOp::F32Const(v) => ValRaw { f32: v },
            ConstOp::F64Const(v) => ValRaw { f64: v },
            ConstOp::V128Const(v) => ValRaw { v128: v },
            ConstOp::GlobalGet(i) => global(i),
            ConstOp::RefNull(_) => ZERO,
            ConstOp::RefFunc(i) => ValRaw { funcref: func(i)? },
            ConstOp::I32Add => i32s(&mut stack, i32::wrapping_add)?,
            ConstOp::I32Sub => i32s(&mut stack, i32::wrapping_sub)?,
            ConstOp::I32Mul => i32s(&mut stack, i32::wrapping_mul)?,
            ConstOp::I64Add => i64s(&mut stack, i64::wrapping_add)?,
            ConstOp::I64Sub => i64s(&mut stack, i64::wrapping_sub)?,
            ConstOp::I64Mul => i64s(&mut stack, i64::wrapping_mul)?,
        };
        stack.push(value);
    }
    pop(&mut stack)
}

fn pop(stack: &mut SmallVec<[ValRaw; 4]>) -> Result<ValRaw> {
    stack
        .pop()
        .ok_or_else(|| Bug("a constant expression without a value".into()).into())
}

fn i32s(stack: &mut SmallVec<[ValRaw; 4]>, f: impl Fn(i32, i32) -> i32) -> Result<ValRaw> {
    let (b, a) = (pop(stack)?, pop(stack)?);
    // SAFETY: typed by validation.
    let i32 = unsafe { f(a.i32, b.i32) };
    Ok(ValRaw { i32 })
}

fn i64s(stack: &mut SmallVec<[ValRaw; 4]>, f: impl Fn(i64, i64) -> i64) -> Result<ValRaw> {
    let (b, a) = (pop(stack)?, pop(stack)?);
    // SAFETY: typed by validation.
    let i64 = unsafe { f(a.i64, b.i64) };
    Ok(ValRaw { i64 })
}
