//! `global.get` and `global.set`.
//!
//! A global that the module defines lies in the context itself; an imported one is
//! reached through a pointer there. Immutable ones never change after instantiation: a
//! constant is used as it stands, others are loaded freely.

use crate::env::{Region, load_fixed, trusted};
use crate::func::FuncTranslator;
use crate::module::ConstOp;
use crate::stack::canonical;
use crate::types::{POINTER, clif};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, types};
use helve_base::id::*;
use wasmparser::Operator;

/// Translates an access to a global.
pub(crate) fn translate(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> bool {
    match op {
        Operator::GlobalGet { global_index } => {
            let value = get(t, GlobalIndex::from_u32(*global_index));
            t.stack.push(value);
        }
        Operator::GlobalSet { global_index } => {
            let value = t.stack.pop();
            let value = canonical(&mut t.b, value);
            let (base, at, flags) = place(t, GlobalIndex::from_u32(*global_index));
            t.b.ins().store(flags, value, base, at);
        }
        _ => return false,
    }
    true
}

fn get(t: &mut FuncTranslator<'_>, global: GlobalIndex) -> Value {
    let ty = t.env.module.globals[global];
    if ty.mutable {
        let (base, at, flags) = place(t, global);
        return t.b.ins().load(clif(ty.content), flags, base, at);
    }
    if let Some(value) = constant(t, global) {
        return value;
    }
    let (base, at, _) = place(t, global);
    load_fixed(&mut t.b, clif(ty.content), base, at as u32)
}

/// The value of an immutable global that is known now.
fn constant(t: &mut FuncTranslator<'_>, global: GlobalIndex) -> Option<Value> {
    let defined = t.env.module.defined_global(global)?;
    match *t.env.module.global_inits[defined].ops {
        [ConstOp::I32Const(value)] => Some(t.b.ins().iconst(types::I32, i64::from(value as u32))),
        [ConstOp::I64Const(value)] => Some(t.b.ins().iconst(types::I64, value)),
        _ => None,
    }
}

fn place(t: &mut FuncTranslator<'_>, global: GlobalIndex) -> (Value, i32, MemFlagsData) {
    match t.env.module.defined_global(global) {
        Some(defined) => {
            let flags = trusted(&mut t.b, Region::Global(defined));
            (
                t.env.vmctx,
                t.env.offsets().defined_global(defined) as i32,
                flags,
            )
        }
        None => {
            let at = t.env.offsets().imported_global(global);
            let pointer = t.env.load_fixed(&mut t.b, POINTER, at);
            (pointer, 0, trusted(&mut t.b, Region::ImportedGlobals))
        }
    }
}
