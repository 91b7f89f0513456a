//! The operand stack of the function being translated, as SSA values.
//!
//! Validation has run before translation, so an operand is always there. Should one be
//! missing all the same, that is a bug of ours, not a reason to panic on guest input:
//! the stack remembers it (`ValueStack::bug`), hands out a value of no meaning, and
//! the function's compilation ends with a `Bug` error.
//!
//! **Types.** An i32 is `I32`, an i64 `I64`, f32/f64 `F32`/`F64`, a reference `I64`
//! (a pointer). A v128 may stand here as *any* 128-bit vector type: take it with
//! [`ValueStack::pop_vector`], which bitcasts only where needed. Where values must have
//! one fixed type (locals, block parameters, calls) they are made `I8X16`, the canonical
//! one, by [`canonical`].

use cranelift_codegen::ir::{Endianness, InstBuilder, MemFlagsData, Type, Value, types};
use cranelift_frontend::FunctionBuilder;

/// The operand stack.
#[derive(Default)]
pub(crate) struct ValueStack {
    values: Vec<Value>,
    bug: bool,
}

impl ValueStack {
    /// Pushes a value.
    pub(crate) fn push(&mut self, value: Value) {
        self.values.push(value);
    }

    /// Pushes several; the last one ends on top.
    pub(crate) fn push_all(&mut self, values: &[Value]) {
        self.values.extend_from_slice(values);
    }

    /// Takes the top value.
    pub(crate) fn pop(&mut self) -> Value {
        match self.values.pop() {
            Some(value) => value,
            None => self.poison(),
        }
    }

    /// Takes two: (below, top), so in the order they were pushed.
    pub(crate) fn pop2(&mut self) -> (Value, Value) {
        let b = self.pop();
        let a = self.pop();
        (a, b)
    }

    /// Takes three, in the order they were pushed.
    pub(crate) fn pop3(&mut self) -> (Value, Value, Value) {
        let c = self.pop();
        let b = self.pop();
        let a = self.pop();
        (a, b, c)
    }

    /// Takes a v128 as a value of vector type `ty`.
    pub(crate) fn pop_vector(&mut self, b: &mut FunctionBuilder<'_>, ty: Type) -> Value {
        let value = self.pop();
        as_vector(b, value, ty)
    }

    /// Takes two v128 as values of vector type `ty`, in the order they were pushed.
    pub(crate) fn pop2_vector(&mut self, b: &mut FunctionBuilder<'_>, ty: Type) -> (Value, Value) {
        let (x, y) = self.pop2();
        (as_vector(b, x, ty), as_vector(b, y, ty))
    }

    /// The top value, which stays.
    pub(crate) fn peek(&mut self) -> Value {
        match self.values.last() {
            Some(value) => *value,
            None => self.poison(),
        }
    }

    /// The top `n` values in the order they were pushed; they stay.
    pub(crate) fn peek_n(&mut self, n: usize) -> &[Value] {
        if n > self.values.len() {
            self.bug = true;
        }
        &self.values[self.values.len().saturating_sub(n)..]
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// Drops values until `len` are left.
    pub(crate) fn truncate(&mut self, len: usize) {
        if len > self.values.len() {
            self.bug = true;
        }
        self.values.truncate(len);
    }

    /// Drops the top `n` values.
    pub(crate) fn drop_n(&mut self, n: usize) {
        if n > self.values.len() {
            self.bug = true;
        }
        self.values.truncate(self.values.len().saturating_sub(n));
    }

    /// Whether an operand was missing.
    pub(crate) fn bug(&self) -> bool {
        self.bug
    }

    /// A value that always exists: the function's first parameter, its context.
    fn poison(&mut self) -> Value {
        self.bug = true;
        Value::from_u32(0)
    }
}

/// `value`, a v128 of any vector type, as one of type `ty`.
pub(crate) fn as_vector(b: &mut FunctionBuilder<'_>, value: Value, ty: Type) -> Value {
    if b.func.dfg.value_type(value) == ty {
        return value;
    }
    let lanes = MemFlagsData::new().with_endianness(Endianness::Little);
    b.ins().bitcast(ty, lanes, value)
}

/// `value` as locals, blocks and calls take it: a v128 as `I8X16`, others unchanged.
pub(crate) fn canonical(b: &mut FunctionBuilder<'_>, value: Value) -> Value {
    if b.func.dfg.value_type(value).is_vector() {
        as_vector(b, value, types::I8X16)
    } else {
        value
    }
}
