//! Adapters in components with tasks: the call is noted on the stack, and known to nobody
//! while it need not be.
//!
//! ```text
//!  gate shut? -----------------------------------------> the slow way, as a tail call
//!  note the call (VMCallRecord)
//!    arguments, callee, [result, post-return]            as in any adapter
//!      forked: the callee on a stack of its own; waits --> answer, or SUSPEND
//!    known, or the callee waits? --> Settle --SUSPEND--> Suspend, until it is over
//!  un-note it
//!  async lowered: RETURNED, or what Settle has answered
//! ```
//!
//! A function that was lifted with `async` gives its result by `task.return`: generated
//! code too, which finds the call by its note and jumps to the adapter's `move_result`.
//! Functions that could block are called on a stack of their own (`Fork`), the others run
//! on their caller's: whoever makes adapters knows which.
//!
//! Not here: how values move (`adapter`, `walk`); what tasks are (`helve_model`).

use super::emit::Emit;
use super::set::Shared;
use super::shape::{AdapterShape, LiftAbi};
use crate::artifact::CompiledFunction;
use crate::compiler::Compiler;
use crate::env::load_fixed;
use crate::func::{bug, check_stack_at_entry};
use crate::signature::{VALUE_STRIDE, WasmSignature};
use crate::trampoline::{call_builtin, entry_block};
use crate::types::{POINTER, clif};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    Block, BlockArg, Function, InstBuilder, MemFlagsData, Signature, StackSlotData, StackSlotKind,
    Value, types,
};
use cranelift_codegen::isa::TargetFrontendConfig;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use helve_abi::flat::Passing;
use helve_abi::program::Passed;
use helve_abi::types::Types;
use helve_base::adapter::{AdapterSide, ComponentBuiltin, FORK_OVER, offset};
use helve_base::builtin::{Builtin, status};
use helve_base::core_type::{FuncType, ValType};
use helve_base::vmctx::offset as vm;
use helve_base::{Error, Result};

/// What an async-lowered call returns that is over.
const RETURNED: i64 = 2;

fn flags() -> MemFlagsData {
    MemFlagsData::trusted()
}

/// A call that is noted, while its adapter is built.
pub(super) struct Noted {
    record: Value,
    previous: Value,
    /// 16 bytes for what `Settle` answers, or for a result that is a core value.
    out: Value,
    /// Where the call is over, or known to wait; its parameter is what an async-lowered
    /// call returns.
    end: Block,
}

impl Emit<'_, '_> {
    /// Goes the slow way where the callee's instance must not be entered at once.
    pub(super) fn need_gate(&mut self, params: &[Value], signature: &Signature) {
        if !self.shape.gate {
            return;
        }
        let gate = self.field(offset::GATE);
        let shut = self.b.ins().load(types::I32, flags(), gate, 0);
        let [slow, next] = [(); 2].map(|()| self.b.create_block());
        self.b.set_cold_block(slow);
        self.b.ins().brif(shut, slow, &[], next, &[]);
        self.b.switch_to_block(slow);
        self.b.seal_block(slow);
        let slot = self.field(offset::SLOW + vm::IMPORT_SLOT);
        let callee = self.field(offset::SLOW + vm::IMPORT_VMCTX);
        let code = self.b.ins().load(POINTER, flags(), slot, 0);
        let sig = self.b.import_signature(signature.clone());
        let mut all = vec![callee];
        all.extend_from_slice(params);
        self.b.ins().return_call_indirect(sig, code, &all);
        self.b.switch_to_block(next);
        self.b.seal_block(next);
    }

    /// Notes the call; `to` is where its result goes, where that is known now.
    pub(super) fn note(&mut self, to: Option<Value>) -> Noted {
        let store = self.field(offset::STORE);
        let record = self.frame_bytes(offset::RECORD_SIZE);
        let data = StackSlotData::new(StackSlotKind::ExplicitSlot, 16, 4);
        let out = self.b.create_sized_stack_slot(data);
        let out = self.b.ins().stack_addr(POINTER, out, 0);
        let end = self.b.create_block();
        if self.shape.caller_async {
            self.b.append_block_param(end, types::I32);
        }
        let previous = self
            .b
            .ins()
            .load(POINTER, flags(), store, vm::STORE_CALLS as i32);
        let zero = self.b.ins().iconst(types::I64, 0);
        let to = match to {
            Some(to) => self.widen(to),
            None => out,
        };
        // `thread` and `returned` are neighbours.
        for (value, at) in [
            (previous, offset::RECORD_PREVIOUS),
            (self.context, offset::RECORD_CONTEXT),
            (zero, offset::RECORD_THREAD),
            (to, offset::RECORD_TO),
        ] {
            self.b.ins().store(flags(), value, record, at as i32);
        }
        self.b
            .ins()
            .store(flags(), record, store, vm::STORE_CALLS as i32);
        Noted {
            record,
            previous,
            out,
            end,
        }
    }

    /// What the callee's context slots were, with the note.
    pub(super) fn keep_in_note(&mut self, noted: &Noted, values: [Value; 2]) {
        for (value, at) in values.into_iter().zip([0, 8]) {
            let at = offset::RECORD_KEPT as i32 + at;
            self.b.ins().store(flags(), value, noted.record, at);
        }
    }

    /// As [`keep_in_note`](Self::keep_in_note) has put it there.
    pub(super) fn kept_in_note(&mut self, noted: &Noted) -> [Value; 2] {
        [0, 8].map(|at| {
            let at = offset::RECORD_KEPT as i32 + at;
            self.b.ins().load(types::I64, flags(), noted.record, at)
        })
    }

    /// Calls the callee on a stack of its own: its results. Where it waits, the caller goes
    /// on at the call's end with an answer, or waits too.
    pub(super) fn fork(&mut self, noted: &Noted, ty: &FuncType, args: &[Value]) -> Vec<Value> {
        let places = args.len().max(ty.results.len()).max(1) as u32;
        let array = self.lanes_in_frame(places);
        for (at, &arg) in (0..).zip(args) {
            self.b
                .ins()
                .store(flags(), arg, array, at * VALUE_STRIDE as i32);
        }
        let answer = self.answer_place(noted);
        let found = self.call_fallible(ComponentBuiltin::Fork, &[noted.record, array, answer]);
        let [waits, over] = [(); 2].map(|()| self.b.create_block());
        self.b.set_cold_block(waits);
        let returned = self
            .b
            .ins()
            .icmp_imm_u(IntCC::Equal, found, FORK_OVER as i64);
        self.b.ins().brif(returned, over, &[], waits, &[]);
        self.b.switch_to_block(waits);
        self.b.seal_block(waits);
        let found = self.b.ins().ireduce(types::I32, found);
        self.await_status(found);
        let answer = self.answer(answer);
        self.b.ins().jump(noted.end, &answer);
        self.b.switch_to_block(over);
        self.b.seal_block(over);
        (0..)
            .zip(ty.results.iter())
            .map(|(at, &ty)| {
                let at = at * VALUE_STRIDE as i32;
                self.b.ins().load(clif(ty), flags(), array, at)
            })
            .collect()
    }

    fn lanes_in_frame(&mut self, places: u32) -> Value {
        let bytes = places.saturating_mul(VALUE_STRIDE);
        let data = StackSlotData::new(StackSlotKind::ExplicitSlot, bytes, 4);
        let slot = self.b.create_sized_stack_slot(data);
        self.b.ins().stack_addr(POINTER, slot, 0)
    }

    /// Where what the caller gets is put, where that is not its result.
    fn answer_place(&mut self, noted: &Noted) -> Value {
        // The slot holds a core value that was given already: the answer has its own.
        match self.shape.abi != LiftAbi::Sync && !self.shape.caller_async {
            true => self.lanes_in_frame(1),
            false => noted.out,
        }
    }

    /// The answer, for where calls end.
    fn answer(&mut self, place: Value) -> Vec<BlockArg> {
        match self.shape.caller_async {
            true => {
                let answer = self.b.ins().load(types::I32, flags(), place, 0);
                vec![BlockArg::Value(answer)]
            }
            false => Vec::new(),
        }
    }

    /// The call is over: what the adapter returns.
    pub(super) fn unnote(
        &mut self,
        noted: &Noted,
        packed: Option<Value>,
        returned: Vec<Value>,
        result: &Passed,
    ) -> Vec<Value> {
        let by_task_return = self.shape.abi != LiftAbi::Sync;
        let thread = self.record_field(noted, offset::RECORD_THREAD);
        let over = match packed {
            // A callback that has not been given its last event, or no result.
            Some(packed) => {
                let known = self.b.ins().bor(thread, packed);
                self.or_not_given(noted, known)
            }
            None if by_task_return => self.or_not_given(noted, thread),
            None => thread,
        };
        let (settle, done) = (self.b.create_block(), noted.end);
        self.b.set_cold_block(settle);
        let returned_at_once = self.b.ins().iconst(types::I32, RETURNED);
        let now: Vec<BlockArg> = match self.shape.caller_async {
            true => vec![BlockArg::Value(returned_at_once)],
            false => Vec::new(),
        };
        self.b.ins().brif(over, settle, &[], done, &now);

        self.b.switch_to_block(settle);
        self.b.seal_block(settle);
        let answer = self.answer_place(noted);
        let packed = packed.unwrap_or(thread);
        self.settle(noted.record, packed, answer);
        let then = self.answer(answer);
        self.b.ins().jump(done, &then);

        self.b.switch_to_block(done);
        self.b.seal_block(done);
        let store = self.field(offset::STORE);
        self.b
            .ins()
            .store(flags(), noted.previous, store, vm::STORE_CALLS as i32);
        match (self.shape.caller_async, by_task_return) {
            (true, _) => self.b.block_params(done).to_vec(),
            (false, false) => returned,
            (false, true) => match result.passing {
                Passing::Memory => Vec::new(),
                Passing::Flat(flat) => flat
                    .core()
                    .map(|ty| self.b.ins().load(clif(ty), flags(), noted.out, 0))
                    .collect(),
            },
        }
    }

    /// Not 0 where `number` isn't, or `task.return` has given no result.
    fn or_not_given(&mut self, noted: &Noted, number: Value) -> Value {
        let given = self.record_field(noted, offset::RECORD_RETURNED);
        let none = self.b.ins().icmp_imm_u(IntCC::Equal, given, 0);
        let none = self.b.ins().uextend(types::I32, none);
        self.b.ins().bor(number, none)
    }

    fn record_field(&mut self, noted: &Noted, at: u32) -> Value {
        self.b
            .ins()
            .load(types::I32, flags(), noted.record, at as i32)
    }

    /// Asks what comes after the callee's function, and waits where that is to be waited for.
    fn settle(&mut self, record: Value, packed: Value, answer: Value) {
        let first = self.call_fallible(ComponentBuiltin::Settle, &[record, packed, answer]);
        let first = self.b.ins().ireduce(types::I32, first);
        self.await_status(first);
    }

    /// Goes on once a status says RETURNED: the stack waits until then, or something failed.
    fn await_status(&mut self, first: Value) {
        let check = self.block(&[types::I32]);
        let [special, suspend, done] = [(); 3].map(|()| self.b.create_block());
        self.b.ins().jump(check, &[BlockArg::Value(first)]);

        self.b.switch_to_block(check);
        let found = self.b.block_params(check)[0];
        let returned = i64::from(status::RETURNED);
        let over = self.b.ins().icmp_imm_u(IntCC::Equal, found, returned);
        self.b.ins().brif(over, done, &[], special, &[]);
        self.b.switch_to_block(special);
        self.b.seal_block(special);
        let waits = i64::from(status::SUSPEND);
        let waits = self.b.ins().icmp_imm_u(IntCC::Equal, found, waits);
        let raise = self.raise_block();
        self.b.ins().brif(waits, suspend, &[], raise, &[]);
        self.b.switch_to_block(suspend);
        self.b.seal_block(suspend);
        let store = self.field(offset::STORE);
        let next = call_builtin(&mut self.b, store, Builtin::Suspend, self.target);
        let next: Vec<BlockArg> = next.map(BlockArg::Value).into_iter().collect();
        self.b.ins().jump(check, &next);
        self.b.seal_block(check);
        self.b.switch_to_block(done);
        self.b.seal_block(done);
    }
}

/// Builds `move_result` of a shape: parameters are the callee's core values, the result
/// goes to the context's `to`.
pub(super) fn move_result(
    shape: AdapterShape,
    types: &Types,
    shared: &mut Shared,
    into: &mut Function,
    context: &mut FunctionBuilderContext,
    target: TargetFrontendConfig,
) -> Result<(), Error> {
    let [caller, callee] = [AdapterSide::Caller, AdapterSide::Callee]
        .map(|side| shared.programs.call(types, shape.ty, shape.signature(side)));
    into.signature = WasmSignature::new(&shape.result_type(types)).clif;
    check_stack_at_entry(into);
    let mut b = FunctionBuilder::new(into, context);
    let params = entry_block(&mut b);
    let [context, values @ ..] = &*params else {
        return Err(bug("an adapter without a context".into()));
    };
    let mut emit = Emit::new(b, shared, shape, AdapterSide::Callee, *context, target);
    let to = emit
        .b
        .ins()
        .load(types::I64, flags(), *context, offset::TO as i32);
    let at = match caller.result.passing {
        Passing::Memory => Some(to),
        Passing::Flat(_) => None,
    };
    let returned = emit.passed(&callee.result, values, &caller.result, at);
    if let (Passing::Flat(_), Some(&value)) = (caller.result.passing, returned.first()) {
        emit.b.ins().store(flags(), value, to, 0);
    }
    emit.b.ins().return_(&[]);
    emit.finish()
}

/// Builds `move_params` of a shape: the caller's core parameters to the callee's.
pub(super) fn move_params(
    shape: AdapterShape,
    types: &Types,
    shared: &mut Shared,
    into: &mut Function,
    context: &mut FunctionBuilderContext,
    target: TargetFrontendConfig,
) -> Result<(), Error> {
    let [caller, callee] = [AdapterSide::Caller, AdapterSide::Callee]
        .map(|side| shared.programs.call(types, shape.ty, shape.signature(side)));
    let own = WasmSignature::new(&shape.params_type(types));
    into.signature = own.clif;
    check_stack_at_entry(into);
    let mut b = FunctionBuilder::new(into, context);
    let params = entry_block(&mut b);
    let skip = if own.area > 0 { 2 } else { 1 };
    let (Some(&context), Some(values)) = (params.first(), params.get(skip..)) else {
        return Err(bug("an adapter without a context".into()));
    };
    let mut emit = Emit::new(b, shared, shape, AdapterSide::Caller, context, target);
    if shape.lends(types) {
        // What a task borrows only the store counts: never called.
        emit.b
            .ins()
            .trap(crate::trap_code(helve_base::Trap::Handle));
        return emit.finish();
    }
    let args = emit.passed(&caller.params, values, &callee.params, None);
    let mut registers = Vec::new();
    for (&(_, place), &arg) in own.results.iter().zip(&args) {
        match place {
            crate::signature::ResultPlace::Register => registers.push(arg),
            crate::signature::ResultPlace::Area(at) => {
                emit.b.ins().store(flags(), arg, params[1], at);
            }
        }
    }
    emit.b.ins().return_(&registers);
    emit.finish()
}

impl Compiler {
    /// The code of a `task.return` of this core type, called with a
    /// [`helve_base::adapter::VMTaskReturn`].
    pub fn task_return_builtin(&self, ty: &FuncType) -> Result<CompiledFunction> {
        let target = self.target();
        let name = || "task.return".to_owned();
        self.compile(&name, |function, context| {
            task_return(ty, function, context, target)
        })
    }

    /// The code of `context.get` (`set`: `context.set`) of a slot, as `i32` or `i64`
    /// (`wide`), called with a [`helve_base::adapter::VMContextSlots`].
    pub fn context_builtin(&self, set: bool, wide: bool, slot: u32) -> Result<CompiledFunction> {
        let target = self.target();
        let name = || "context built-in".to_owned();
        self.compile(&name, |function, context| {
            context_slot((set, wide, slot), function, context, target)
        })
    }
}

/// The innermost noted call gets its result, if nobody knows of it yet and it is one whose
/// result this built-in gives; everything else is for the host function.
fn task_return(
    ty: &FuncType,
    into: &mut Function,
    context: &mut FunctionBuilderContext,
    target: TargetFrontendConfig,
) -> Result<(), Error> {
    let signature = WasmSignature::new(ty).clif;
    into.signature = signature.clone();
    let mut b = FunctionBuilder::new(into, context);
    let params = entry_block(&mut b);
    let [this, values @ ..] = &*params else {
        return Err(bug("a built-in without a context".into()));
    };
    let this = *this;
    let slow = b.create_block();
    b.set_cold_block(slow);
    let need = |b: &mut FunctionBuilder<'_>, good: Value| {
        let next = b.create_block();
        b.ins().brif(good, next, &[], slow, &[]);
        b.switch_to_block(next);
        b.seal_block(next);
    };
    let store = load_fixed(&mut b, POINTER, this, offset::STORE);
    let record = b
        .ins()
        .load(POINTER, flags(), store, vm::STORE_CALLS as i32);
    need(&mut b, record);
    // Not known, and nothing given: both numbers are 0.
    let state = b
        .ins()
        .load(types::I64, flags(), record, offset::RECORD_THREAD as i32);
    let fresh = b.ins().icmp_imm_u(IntCC::Equal, state, 0);
    need(&mut b, fresh);
    let adapter = b
        .ins()
        .load(POINTER, flags(), record, offset::RECORD_CONTEXT as i32);
    let wanted = load_fixed(&mut b, types::I32, adapter, offset::TASK_RETURN);
    let key = load_fixed(&mut b, types::I32, this, offset::RETURN_KEY);
    let same = b.ins().icmp(IntCC::Equal, wanted, key);
    need(&mut b, same);
    let may_leave = load_fixed(&mut b, POINTER, this, offset::RETURN_MAY_LEAVE);
    let may_leave = b.ins().load(types::I8, flags(), may_leave, 0);
    need(&mut b, may_leave);

    let one = b.ins().iconst(types::I32, 1);
    b.ins()
        .store(flags(), one, record, offset::RECORD_RETURNED as i32);
    let to = b
        .ins()
        .load(types::I64, flags(), record, offset::RECORD_TO as i32);
    b.ins().store(flags(), to, adapter, offset::TO as i32);
    let code = load_fixed(&mut b, POINTER, adapter, offset::MOVE_RESULT);
    jump(&mut b, &signature, code, (adapter, values));

    b.switch_to_block(slow);
    let import = offset::RETURN_SLOW;
    let slot = load_fixed(&mut b, POINTER, this, import + vm::IMPORT_SLOT);
    let callee = load_fixed(&mut b, POINTER, this, import + vm::IMPORT_VMCTX);
    let code = b.ins().load(POINTER, flags(), slot, 0);
    jump(&mut b, &signature, code, (callee, values));
    b.seal_all_blocks();
    b.finalize(target);
    Ok(())
}

/// Tail-calls a function of this signature.
fn jump(
    b: &mut FunctionBuilder<'_>,
    signature: &Signature,
    code: Value,
    (context, values): (Value, &[Value]),
) {
    let sig = b.import_signature(signature.clone());
    let mut all = vec![context];
    all.extend_from_slice(values);
    b.ins().return_call_indirect(sig, code, &all);
}

fn context_slot(
    (set, wide, slot): (bool, bool, u32),
    into: &mut Function,
    context: &mut FunctionBuilderContext,
    target: TargetFrontendConfig,
) -> Result<(), Error> {
    let ty = if wide { ValType::I64 } else { ValType::I32 };
    let ty = match set {
        true => FuncType::new([ty], []),
        false => FuncType::new([], [ty]),
    };
    into.signature = WasmSignature::new(&ty).clif;
    let mut b = FunctionBuilder::new(into, context);
    let params = entry_block(&mut b);
    let Some(&this) = params.first() else {
        return Err(bug("a built-in without a context".into()));
    };
    let slots = load_fixed(&mut b, POINTER, this, offset::CONTEXT_SLOTS);
    let at = (slot.min(1) * 8) as i32;
    match params.get(1) {
        Some(&value) if wide => {
            b.ins().store(flags(), value, slots, at);
            b.ins().return_(&[]);
        }
        Some(&value) => {
            let value = b.ins().uextend(types::I64, value);
            b.ins().store(flags(), value, slots, at);
            b.ins().return_(&[]);
        }
        None => {
            let ty = if wide { types::I64 } else { types::I32 };
            let value = b.ins().load(ty, flags(), slots, at);
            b.ins().return_(&[value]);
        }
    }
    b.finalize(target);
    Ok(())
}
