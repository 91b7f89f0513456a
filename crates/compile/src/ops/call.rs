//! Calls. All but those of functions that are compiled together go through slots: the
//! callee's code is what a cell holds at that moment.
//!
//! ```text
//!  call own function    where it stands, or context.slots[n]      context = ours
//!  call import          import.slot -> code                       context = import.vmctx
//!  call_indirect        table[i] -> VMFuncRef: null? type? then   slot -> code, its vmctx
//!  call_ref             VMFuncRef: null? then                     slot -> code, its vmctx
//! ```
//!
//! A null check is the first load from the `VMFuncRef`, which traps at address 0 + its
//! offset. A table whose element type is the called one needs no look at the type. Not here: how results come back (`signature`).

use crate::bounds::table_address;
use crate::env::{Callee, Region, load_fixed, trapping, trusted};
use crate::func::FuncTranslator;
use crate::ops::exception;
use crate::signature::ResultPlace;
use crate::trap_code;
use crate::types::POINTER;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{FuncRef, InstBuilder, MemFlagsData, Value, types};
use helve_base::Trap;
use helve_base::core_type::HeapType;
use helve_base::id::*;
use helve_base::vmctx::offset;
use smallvec::{SmallVec, smallvec};
use wasmparser::Operator;

/// Translates a call.
pub(crate) fn translate(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> bool {
    match *op {
        Operator::Call { function_index } => {
            let (callee, code, context) = direct(t, function_index);
            call(t, &callee, code, context);
        }
        Operator::CallIndirect {
            type_index,
            table_index,
        } => {
            let (callee, code, context) = indirect(t, type_index, table_index);
            call(t, &callee, code, context);
        }
        Operator::ReturnCall { function_index } => {
            let (callee, code, context) = direct(t, function_index);
            return_call(t, &callee, code, context);
        }
        Operator::ReturnCallIndirect {
            type_index,
            table_index,
        } => {
            let (callee, code, context) = indirect(t, type_index, table_index);
            return_call(t, &callee, code, context);
        }
        Operator::CallRef { type_index } => {
            let (callee, code, context) = referenced(t, type_index);
            call(t, &callee, code, context);
        }
        Operator::ReturnCallRef { type_index } => {
            let (callee, code, context) = referenced(t, type_index);
            return_call(t, &callee, code, context);
        }
        _ => return false,
    }
    true
}

/// The code in a slot, now.
fn code_in(t: &mut FuncTranslator<'_>, slot: Value, at: u32) -> Value {
    let flags = trusted(&mut t.b, Region::Slots);
    t.b.ins().load(POINTER, flags, slot, at as i32)
}

/// What is called.
#[derive(Clone, Copy)]
pub(super) enum Code {
    /// What is at this address.
    At(Value),
    /// A function of the module, where it stands.
    Own(FuncRef),
}

/// A function of the module: (signature, code, context).
fn direct(t: &mut FuncTranslator<'_>, func: u32) -> (Callee, Code, Value) {
    let func = FuncIndex::from_u32(func);
    let callee = t.env.callee(&mut t.b, t.env.module.functions[func]);
    if let Some(defined) = t.env.module.defined_func(func) {
        if t.is_direct(defined) {
            let about = (callee.sig, defined == t.func);
            let function = t.env.function(&mut t.b, defined, about);
            return (callee, Code::Own(function), t.env.vmctx);
        }
        let slots = t.env.load_fixed(&mut t.b, POINTER, offset::VMCONTEXT_SLOTS);
        let code = code_in(t, slots, defined.as_u32() * 8);
        return (callee, Code::At(code), t.env.vmctx);
    }
    let import = t.env.offsets().imported_function(func);
    let slot = t
        .env
        .load_fixed(&mut t.b, POINTER, import + offset::IMPORT_SLOT);
    let code = code_in(t, slot, 0);
    let context = t
        .env
        .load_fixed(&mut t.b, POINTER, import + offset::IMPORT_VMCTX);
    (callee, Code::At(code), context)
}

/// An element of a table, checked: (signature, code, context).
fn indirect(t: &mut FuncTranslator<'_>, ty: u32, table: u32) -> (Callee, Code, Value) {
    let (ty, table) = (TypeIndex::from_u32(ty), TableIndex::from_u32(table));
    let callee = t.env.callee(&mut t.b, ty);
    let index = t.stack.pop();
    let at = table_address(t, table, index, Trap::UndefinedElement);
    let func = t.b.ins().load(POINTER, at.flags, at.base, at.offset);
    if has_type(t, table, ty) {
        let (code, context) = code_of(t, func, Trap::UninitializedElement);
        return (callee, Code::At(code), context);
    }

    // Never written after it is made, but only known to be there once this load is done.
    let null = trap_code(Trap::UninitializedElement);
    let flags = trapping(&mut t.b, Region::Slots, null)
        .with_aligned()
        .with_readonly();
    let found =
        t.b.ins()
            .load(types::I32, flags, func, offset::FUNCREF_TYPE_ID as i32);
    let ids = t
        .env
        .load_fixed(&mut t.b, POINTER, offset::VMCONTEXT_TYPE_IDS);
    let wanted = load_fixed(&mut t.b, types::I32, ids, ty.as_u32() * 4);
    let differ = t.b.ins().icmp(IntCC::NotEqual, found, wanted);
    t.b.ins()
        .trapnz(differ, trap_code(Trap::IndirectCallTypeMismatch));

    let there = MemFlagsData::trusted().with_readonly();
    let slot =
        t.b.ins()
            .load(POINTER, there, func, offset::FUNCREF_SLOT as i32);
    let context =
        t.b.ins()
            .load(POINTER, there, func, offset::FUNCREF_VMCTX as i32);
    let code = code_in(t, slot, 0);
    (callee, Code::At(code), context)
}

/// Whether every element of a table that is not null is a function of this type.
fn has_type(t: &FuncTranslator<'_>, table: TableIndex, ty: TypeIndex) -> bool {
    let HeapType::ConcreteFunc(element) = t.env.module.tables[table].element.heap else {
        return false;
    };
    TypeIndex::from_u32(element.as_u32()) == ty
}

/// A function by reference: (signature, code, context).
fn referenced(t: &mut FuncTranslator<'_>, ty: u32) -> (Callee, Code, Value) {
    let callee = t.env.callee(&mut t.b, TypeIndex::from_u32(ty));
    let func = t.stack.pop();
    let (code, context) = code_of(t, func, Trap::NullFunctionReference);
    (callee, Code::At(code), context)
}

/// The code and context of a function whose type is right; `null` is the trap where there
/// is none.
fn code_of(t: &mut FuncTranslator<'_>, func: Value, null: Trap) -> (Value, Value) {
    let flags = trapping(&mut t.b, Region::Slots, trap_code(null))
        .with_aligned()
        .with_readonly();
    let slot =
        t.b.ins()
            .load(POINTER, flags, func, offset::FUNCREF_SLOT as i32);
    let there = MemFlagsData::trusted().with_readonly();
    let context =
        t.b.ins()
            .load(POINTER, there, func, offset::FUNCREF_VMCTX as i32);
    let code = code_in(t, slot, 0);
    (code, context)
}

/// Takes the parameters off the operand stack, behind the context and the result area.
fn arguments(
    t: &mut FuncTranslator<'_>,
    callee: &Callee,
    context: Value,
    area: Option<Value>,
) -> SmallVec<[Value; 8]> {
    let mut args: SmallVec<[Value; 8]> = smallvec![context];
    args.extend(area);
    let params = callee.signature.params.len();
    args.extend(t.top(params));
    t.stack.drop_n(params);
    args
}

fn call(t: &mut FuncTranslator<'_>, callee: &Callee, code: Code, context: Value) {
    let size = callee.signature.area;
    let area = (size > 0).then(|| t.env.call_area(&mut t.b, size));
    let args = arguments(t, callee, context, area);
    let registers = match exception::landing(t) {
        Some(landing) => exception::try_call(t, callee, code, &args, landing),
        None => {
            let call = match code {
                Code::At(code) => t.b.ins().call_indirect(callee.sig, code, &args),
                Code::Own(function) => t.b.ins().call(function, &args),
            };
            t.b.inst_results(call).into()
        }
    };
    let mut registers = registers.into_iter();
    for &(ty, place) in &callee.signature.results {
        let value = match (place, area) {
            (ResultPlace::Area(at), Some(area)) => {
                Some(t.b.ins().load(ty, MemFlagsData::trusted(), area, at))
            }
            _ => registers.next(),
        };
        t.stack.push_all(value.as_slice());
    }
}

fn return_call(t: &mut FuncTranslator<'_>, callee: &Callee, code: Code, context: Value) {
    let area = t.env.result_area;
    let args = arguments(t, callee, context, area);
    match code {
        Code::At(code) => t.b.ins().return_call_indirect(callee.sig, code, &args),
        Code::Own(function) => t.b.ins().return_call(function, &args),
    };
    t.reachable = false;
}
