//! Exceptions: `throw`, `throw_ref` and `try_table`.
//!
//! ```text
//!   try_table (catch $a 1) (catch_all_ref 2)
//!     call f   --an exception comes out--> landing(exception)      Cranelift's try_call
//!     throw $b --its own: a jump---------> landing
//!   end                                    landing: tag is $a?  payload --> label 1
//!                                                   else        exception --> label 2
//!                                                   no catch_all: outer landing, or
//!                                                   Builtin::Throw from this frame
//! ```
//!
//! All handlers of a `try_table` share one landing, which compares tags by address. So the
//! VM only needs to know which return addresses have a landing. A landing nobody jumps to
//! is not built.
//!
//! Not here: who walks the stack, and how exceptions live and die (the VM).

use crate::env::Callee;
use crate::func::{FuncTranslator, bug};
use crate::ops::call::Code;
use crate::ops::control::{args, target};
use crate::ops::table::number;
use crate::signature::VALUE_STRIDE;
use crate::trap_code;
use crate::types::{POINTER, clif};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    Block, BlockArg, BlockCall, ExceptionTableData, ExceptionTableItem, InstBuilder, MemFlagsData,
    Value,
};
use helve_base::builtin::Builtin;
use helve_base::id::*;
use helve_base::vmctx::offset;
use helve_base::{Result, Trap};
use smallvec::SmallVec;
use wasmparser::{Catch, Operator, TryTable};

/// An open `try_table`.
pub(crate) struct Try {
    landing: Block,
    /// Whether anything jumps there.
    used: bool,
    /// As they stand; labels are counted from outside of it.
    catches: Vec<Catch>,
}

/// Translates an instruction that throws.
pub(crate) fn translate(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> Result<bool> {
    match *op {
        Operator::Throw { tag_index } => {
            let exception = new_exception(t, TagIndex::from_u32(tag_index))?;
            throw(t, exception);
        }
        Operator::ThrowRef => {
            let exception = t.stack.pop();
            t.b.ins()
                .trapz(exception, trap_code(Trap::NullExceptionReference));
            throw(t, exception);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Opens a `try_table`, whose block is open already.
pub(super) fn open(t: &mut FuncTranslator<'_>, table: &TryTable) {
    let landing = t.b.create_block();
    t.b.append_block_param(landing, POINTER);
    t.b.set_cold_block(landing);
    t.tries.push(Try {
        landing,
        used: false,
        catches: table.catches.clone(),
    });
}

/// Whether something may land in the innermost `try_table`.
pub(super) fn catches(t: &FuncTranslator<'_>) -> bool {
    t.tries.last().is_some_and(|open| open.used)
}

/// Closes the innermost `try_table`, whose block is closed already: builds its landing.
/// What comes before is left.
pub(super) fn close(t: &mut FuncTranslator<'_>) -> Result<()> {
    let Some(closed) = t.tries.pop() else {
        return Err(bug("the end of a `try_table` that was not open".into()));
    };
    if !closed.used {
        return Ok(());
    }
    t.b.switch_to_block(closed.landing);
    t.b.seal_block(closed.landing);
    let exception = t.b.block_params(closed.landing)[0];
    for catch in closed.catches {
        let (tag, label, with_reference) = match catch {
            Catch::One { tag, label } => (Some(tag), label, false),
            Catch::OneRef { tag, label } => (Some(tag), label, true),
            Catch::All { label } => (None, label, false),
            Catch::AllRef { label } => (None, label, true),
        };
        let mut values = match tag {
            Some(tag) => matched(t, exception, TagIndex::from_u32(tag)),
            None => (SmallVec::new(), None),
        };
        values.0.extend(with_reference.then_some(exception));
        let (block, _) = target(t, label)?;
        t.b.ins().jump(block, &args(&values.0));
        match values.1 {
            Some(differs) => t.b.switch_to_block(differs),
            // It catches everything: what follows is never asked.
            None => return Ok(()),
        }
    }
    throw_on(t, exception);
    Ok(())
}

/// Compares an exception's tag: goes on with its payload where it is `tag`, and elsewhere
/// in the block that is returned.
fn matched(
    t: &mut FuncTranslator<'_>,
    exception: Value,
    tag: TagIndex,
) -> (SmallVec<[Value; 8]>, Option<Block>) {
    let flags = MemFlagsData::trusted();
    let actual =
        t.b.ins()
            .load(POINTER, flags, exception, offset::EXCEPTION_TAG as i32);
    let wanted = tag_address(t, tag);
    let same = t.b.ins().icmp(IntCC::Equal, actual, wanted);
    let (fits, differs) = (t.b.create_block(), t.b.create_block());
    t.b.ins().brif(same, fits, &[], differs, &[]);
    t.b.seal_block(fits);
    t.b.seal_block(differs);
    t.b.switch_to_block(fits);
    let types = &t.env.module.types[t.env.module.tags[tag]].params;
    let values = types.iter().enumerate().map(|(i, &ty)| {
        t.b.ins()
            .load(clif(ty), flags, exception, payload_offset(i))
    });
    (values.collect(), Some(differs))
}

/// Where value `i` of a payload is in an exception.
fn payload_offset(i: usize) -> i32 {
    // Validation allows 1,000 parameters.
    (offset::EXCEPTION_PAYLOAD + VALUE_STRIDE * i as u32) as i32
}

/// What tells a tag from all others: the address of its `VMTag`.
fn tag_address(t: &mut FuncTranslator<'_>, tag: TagIndex) -> Value {
    match t.env.module.defined_tag(tag) {
        Some(defined) => {
            let at = t.env.offsets().defined_tag(defined);
            t.b.ins().iadd_imm_u(t.env.vmctx, i64::from(at))
        }
        None => {
            let at = t.env.offsets().imported_tag(tag);
            t.env.load_fixed(&mut t.b, POINTER, at)
        }
    }
}

/// An exception with a payload off the operand stack.
fn new_exception(t: &mut FuncTranslator<'_>, tag: TagIndex) -> Result<Value> {
    let count = t.env.module.types[t.env.module.tags[tag]].params.len();
    let which = number(t, tag.as_u32());
    let length = number(t, count as u32);
    let exception = t
        .env
        .call_builtin(&mut t.b, Builtin::ExceptionNew, &[which, length]);
    let exception = exception.ok_or_else(|| bug("a routine without its result".into()))?;
    t.b.ins().trapz(exception, trap_code(Trap::LimitExceeded));
    let values = t.top(count);
    t.stack.drop_n(count);
    for (i, value) in values.into_iter().enumerate() {
        let flags = MemFlagsData::trusted();
        t.b.ins().store(flags, value, exception, payload_offset(i));
    }
    Ok(exception)
}

fn throw(t: &mut FuncTranslator<'_>, exception: Value) {
    throw_on(t, exception);
    t.reachable = false;
}

/// Throws in the innermost open `try_table`, or out of the function.
fn throw_on(t: &mut FuncTranslator<'_>, exception: Value) {
    if let Some(landing) = landing(t) {
        t.b.ins().jump(landing, &[BlockArg::Value(exception)]);
        return;
    }
    t.env.call_builtin(&mut t.b, Builtin::Throw, &[exception]);
    t.b.ins().trap(trap_code(Trap::UncaughtException));
}

/// Where what is thrown here lands, if in this function.
pub(super) fn landing(t: &mut FuncTranslator<'_>) -> Option<Block> {
    let open = t.tries.last_mut()?;
    open.used = true;
    Some(open.landing)
}

/// A call whose exceptions land in `landing`: the results that come back in registers.
pub(super) fn try_call(
    t: &mut FuncTranslator<'_>,
    callee: &Callee,
    code: Code,
    args: &[Value],
    landing: Block,
) -> SmallVec<[Value; 8]> {
    let returned = t.b.create_block();
    let returns: Vec<_> = callee.signature.clif.returns.iter().collect();
    for result in &returns {
        t.b.append_block_param(returned, result.value_type);
    }
    let results = (0..returns.len() as u32).map(BlockArg::TryCallRet);
    let pool = &mut t.b.func.dfg.value_lists;
    let normal = BlockCall::new(returned, results, pool);
    let thrown = BlockCall::new(landing, [BlockArg::TryCallExn(0)], pool);
    let table = ExceptionTableData::new(callee.sig, normal, [ExceptionTableItem::Default(thrown)]);
    let table = t.b.func.dfg.exception_tables.push(table);
    match code {
        Code::At(code) => t.b.ins().try_call_indirect(code, args, table),
        Code::Own(function) => t.b.ins().try_call(function, args, table),
    };
    t.b.seal_block(returned);
    t.b.switch_to_block(returned);
    t.b.block_params(returned).into()
}
