//! The two ways across the border, one of each kind per signature.
//!
//! ```text
//!  entry   C convention (code, context, array)     array -> registers, call, registers -> array
//!  host    tail convention (context, params...)    params -> array on its stack
//!            store.exit_fp, exit_pc = the wasm caller      call context.call(context, array)
//!            RETURNED -> results from the array, return
//!            SUSPEND  -> built-in Suspend gives the next status
//!            else     -> built-in Raise, which does not return
//! ```
//!
//! An array has 16 bytes for each value (`ValRaw`) and room for parameters or results,
//! whichever are more. Not here: what `exit_fp` is for (backtraces, the VM's).

use crate::env::load_fixed;
use crate::func::check_stack_at_entry;
use crate::signature::{ResultPlace, VALUE_STRIDE, WasmSignature, builtin_signature};
use crate::trap_code;
use crate::types::POINTER;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    AbiParam, Block, BlockArg, Function, InstBuilder, MemFlagsData, Signature, StackSlotData,
    StackSlotKind, Type, Value, types,
};
use cranelift_codegen::isa::TargetFrontendConfig;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use helve_base::Trap;
use helve_base::builtin::{Builtin, status};
use helve_base::core_type::FuncType;
use helve_base::vmctx::offset;

/// Values travel through arrays as little-endian bytes, and the arrays are there.
fn flags() -> MemFlagsData {
    MemFlagsData::trusted()
}

fn at(index: usize) -> i32 {
    // Validation allows 1,000 parameters and results.
    (index as i32).saturating_mul(VALUE_STRIDE as i32)
}

pub(crate) fn entry_block(b: &mut FunctionBuilder<'_>) -> Vec<Value> {
    let block = b.create_block();
    b.append_block_params_for_function_params(block);
    b.switch_to_block(block);
    b.seal_block(block);
    b.block_params(block).to_vec()
}

fn stack_array(b: &mut FunctionBuilder<'_>, bytes: u32) -> Value {
    let data = StackSlotData::new(StackSlotKind::ExplicitSlot, bytes, 4);
    let slot = b.create_sized_stack_slot(data);
    b.ins().stack_addr(POINTER, slot, 0)
}

/// Builds the entry trampoline of functions of type `ty`.
pub(crate) fn entry(
    ty: &FuncType,
    into: &mut Function,
    context: &mut FunctionBuilderContext,
    target: TargetFrontendConfig,
) {
    let wasm = WasmSignature::new(ty);
    into.signature = Signature::new(target.default_call_conv);
    into.signature.params.extend([AbiParam::new(POINTER); 3]);
    let mut b = FunctionBuilder::new(into, context);
    let params = entry_block(&mut b);
    let (code, callee, array) = (params[0], params[1], params[2]);

    let area = (wasm.area > 0).then(|| stack_array(&mut b, wasm.area));
    let mut args = vec![callee];
    args.extend(area);
    for (i, &ty) in wasm.params.iter().enumerate() {
        args.push(b.ins().load(ty, flags(), array, at(i)));
    }
    let sig = b.import_signature(wasm.clif.clone());
    let call = b.ins().call_indirect(sig, code, &args);
    let registers = b.inst_results(call).to_vec();
    let mut registers = registers.into_iter();
    for (i, &(ty, place)) in wasm.results.iter().enumerate() {
        let value = match (place, area) {
            (ResultPlace::Area(from), Some(area)) => Some(b.ins().load(ty, flags(), area, from)),
            _ => registers.next(),
        };
        if let Some(value) = value {
            b.ins().store(flags(), value, array, at(i));
        }
    }
    b.ins().return_(&[]);
    b.finalize(target);
}

/// Builds the trampoline by which wasm calls host functions of type `ty`.
pub(crate) fn host(
    ty: &FuncType,
    into: &mut Function,
    context: &mut FunctionBuilderContext,
    target: TargetFrontendConfig,
) {
    let wasm = WasmSignature::new(ty);
    into.signature = wasm.clif.clone();
    check_stack_at_entry(into);
    let mut b = FunctionBuilder::new(into, context);
    let params = entry_block(&mut b);
    let host = params[0];
    let area = (wasm.area > 0).then(|| params[1]);
    let values = &params[params.len() - wasm.params.len()..];

    let count = wasm.params.len().max(wasm.results.len()).max(1);
    let array = stack_array(&mut b, at(count) as u32);
    for (i, &value) in values.iter().enumerate() {
        b.ins().store(flags(), value, array, at(i));
    }
    let store = load_fixed(&mut b, POINTER, host, offset::VMCONTEXT_STORE);
    leave(&mut b, store);

    let call = load_fixed(&mut b, POINTER, host, offset::HOST_CALL);
    let mut signature = Signature::new(target.default_call_conv);
    signature.params.extend([AbiParam::new(POINTER); 2]);
    signature.returns.push(AbiParam::new(types::I32));
    let sig = b.import_signature(signature);
    let inst = b.ins().call_indirect(sig, call, &[host, array]);
    let first = b.inst_results(inst)[0];
    after(&mut b, store, first, target);

    let mut registers = Vec::new();
    for (i, &(ty, place)) in wasm.results.iter().enumerate() {
        let value = b.ins().load(ty, flags(), array, at(i));
        match (place, area) {
            (ResultPlace::Area(to), Some(area)) => {
                b.ins().store(flags(), value, area, to);
            }
            _ => registers.push(value),
        }
    }
    b.ins().return_(&registers);
    b.seal_all_blocks();
    b.finalize(target);
}

/// Leaves word of the wasm frame that called: its frame pointer is what this frame saved.
pub(crate) fn leave(b: &mut FunctionBuilder<'_>, store: Value) {
    let frame = b.ins().get_frame_pointer(POINTER);
    let caller = b.ins().load(POINTER, flags(), frame, 0);
    let back = b.ins().get_return_address(POINTER);
    b.ins()
        .store(flags(), caller, store, offset::STORE_EXIT_FP as i32);
    b.ins()
        .store(flags(), back, store, offset::STORE_EXIT_PC as i32);
}

/// Acts on a host function's status; code goes on where it is `RETURNED`.
fn after(b: &mut FunctionBuilder<'_>, store: Value, first: Value, target: TargetFrontendConfig) {
    let check = block(b, &[types::I32]);
    let (special, suspend, raise) = (block(b, &[]), block(b, &[]), block(b, &[]));
    let returned = block(b, &[]);
    for cold in [special, suspend, raise] {
        b.set_cold_block(cold);
    }
    b.ins().jump(check, &[BlockArg::Value(first)]);

    b.switch_to_block(check);
    let status = b.block_params(check)[0];
    let done = b
        .ins()
        .icmp_imm_u(IntCC::Equal, status, i64::from(status::RETURNED));
    b.ins().brif(done, returned, &[], special, &[]);

    b.switch_to_block(special);
    let waits = b
        .ins()
        .icmp_imm_u(IntCC::Equal, status, i64::from(status::SUSPEND));
    b.ins().brif(waits, suspend, &[], raise, &[]);

    b.switch_to_block(suspend);
    let next = call_builtin(b, store, Builtin::Suspend, target);
    let next: Vec<BlockArg> = next.map(BlockArg::Value).into_iter().collect();
    b.ins().jump(check, &next);

    b.switch_to_block(raise);
    call_builtin(b, store, Builtin::Raise, target);
    b.ins().trap(trap_code(Trap::Unreachable));

    b.switch_to_block(returned);
}

fn block(b: &mut FunctionBuilder<'_>, params: &[Type]) -> Block {
    let block = b.create_block();
    for &ty in params {
        b.append_block_param(block, ty);
    }
    block
}

pub(crate) fn call_builtin(
    b: &mut FunctionBuilder<'_>,
    store: Value,
    builtin: Builtin,
    target: TargetFrontendConfig,
) -> Option<Value> {
    let table = load_fixed(b, POINTER, store, offset::STORE_BUILTINS);
    let code = load_fixed(b, POINTER, table, builtin.index() as u32 * 8);
    let sig = b.import_signature(builtin_signature(builtin, target.default_call_conv));
    let call = b.ins().call_indirect(sig, code, &[store]);
    b.inst_results(call).first().copied()
}
