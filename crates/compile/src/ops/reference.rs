//! References: a null is 0, a function is a pointer to its `VMFuncRef` in the context.

use crate::func::{FuncTranslator, bug};
use crate::trap_code;
use crate::types::POINTER;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, types};
use helve_base::id::*;
use helve_base::{Result, Trap};
use wasmparser::Operator;

/// Translates an instruction on references.
pub(crate) fn translate(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> Result<bool> {
    match op {
        Operator::RefNull { .. } => {
            let null = t.b.ins().iconst(POINTER, 0);
            t.stack.push(null);
        }
        Operator::RefIsNull => {
            let value = t.stack.pop();
            let is_null = t.b.ins().icmp_imm_u(IntCC::Equal, value, 0);
            let is_null = t.b.ins().uextend(types::I32, is_null);
            t.stack.push(is_null);
        }
        Operator::RefAsNonNull => {
            let reference = t.stack.peek();
            t.b.ins().trapz(reference, trap_code(Trap::NullReference));
        }
        Operator::RefFunc { function_index } => {
            let func = FuncIndex::from_u32(*function_index);
            let Some(place) = t.env.module.func_ref(func) else {
                return Err(bug(format!("ref.func of {func}, which is not declared")));
            };
            let at = t.env.offsets().func_ref(place);
            let pointer = t.b.ins().iadd_imm_u(t.env.vmctx, i64::from(at));
            t.stack.push(pointer);
        }
        _ => return Ok(false),
    }
    Ok(true)
}
