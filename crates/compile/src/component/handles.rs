//! Handles in generated code: what the tables' published layout lets it do without a call.
//!
//! ```text
//!  look up   index < len? else 0 (which is always free); the tag says the rest
//!  insert    the free list's first, or the next new one if there is memory for it
//!  remove    onto the free list
//! ```
//!
//! The index is masked, so that no misprediction reads outside of the table. Whatever is
//! not as it should be is left to a slow path, which starts from scratch: nothing has been
//! changed by then. Not here: the rules (`helve_model::resource`, which the slow paths
//! call), who uses this (`resource`, `walk`).

use crate::types::POINTER;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, BlockArg, InstBuilder, MemFlagsData, Value, types};
use cranelift_frontend::FunctionBuilder;
use helve_model::layout::*;

fn flags() -> MemFlagsData {
    MemFlagsData::trusted()
}

fn load(b: &mut FunctionBuilder<'_>, base: Value, at: u32) -> Value {
    b.ins().load(types::I32, flags(), base, at as i32)
}

fn store(b: &mut FunctionBuilder<'_>, value: Value, base: Value, at: u32) {
    b.ins().store(flags(), value, base, at as i32);
}

/// The address of a slot.
pub(super) fn slot(b: &mut FunctionBuilder<'_>, hot: Value, index: Value) -> Value {
    let slots = b.ins().load(POINTER, flags(), hot, HOT_SLOTS as i32);
    let index = b.ins().uextend(POINTER, index);
    let at = b.ins().imul_imm_u(index, i64::from(SLOT_SIZE));
    b.ins().iadd(slots, at)
}

/// The address of the slot at `index`, or of slot 0 where there is none.
pub(super) fn find(b: &mut FunctionBuilder<'_>, hot: Value, index: Value) -> Value {
    let len = load(b, hot, HOT_LEN);
    let outside = b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, index, len);
    let zero = b.ins().iconst(types::I32, 0);
    let index = b.ins().select_spectre_guard(outside, zero, index);
    slot(b, hot, index)
}

/// A slot's tag.
pub(super) fn tag(b: &mut FunctionBuilder<'_>, slot: Value) -> Value {
    load(b, slot, SLOT_TAG)
}

/// A slot's representation.
pub(super) fn rep(b: &mut FunctionBuilder<'_>, slot: Value) -> Value {
    load(b, slot, SLOT_REP)
}

/// The scope of a borrowed handle.
pub(super) fn scope(b: &mut FunctionBuilder<'_>, slot: Value) -> Value {
    load(b, slot, SLOT_SCOPE)
}

/// How often what is in a slot is lent.
pub(super) fn lends(b: &mut FunctionBuilder<'_>, slot: Value) -> Value {
    load(b, slot, SLOT_LENDS)
}

/// Changes how often what is in a slot is lent.
pub(super) fn set_lends(b: &mut FunctionBuilder<'_>, slot: Value, lends: Value) {
    store(b, lends, slot, SLOT_LENDS);
}

/// Goes on in a new block where `good`, else at `slow`.
pub(super) fn need(b: &mut FunctionBuilder<'_>, good: Value, slow: Block) {
    let next = b.create_block();
    b.ins().brif(good, next, &[], slow, &[]);
    b.switch_to_block(next);
    b.seal_block(next);
}

/// Goes on where a slot owns a resource with this tag that is not lent.
pub(super) fn need_own(b: &mut FunctionBuilder<'_>, slot: Value, wanted: Value, slow: Block) {
    let found = tag(b, slot);
    let same = b.ins().icmp(IntCC::Equal, found, wanted);
    need(b, same, slow);
    let lends = lends(b, slot);
    let idle = b.ins().icmp_imm_u(IntCC::Equal, lends, 0);
    need(b, idle, slow);
}

/// Takes an index and fills its slot, a borrowed one's with its scope; goes to `slow` where the table would have to grow.
pub(super) fn insert(
    b: &mut FunctionBuilder<'_>,
    hot: Value,
    tag: Value,
    rep: Value,
    scope: Option<Value>,
    slow: Block,
) -> Value {
    let [reuse, fresh, fill] = [(); 3].map(|()| b.create_block());
    b.append_block_param(fill, types::I32);
    let free = load(b, hot, HOT_FREE);
    b.ins().brif(free, reuse, &[], fresh, &[]);

    b.switch_to_block(reuse);
    b.seal_block(reuse);
    let first = slot(b, hot, free);
    let next = load(b, first, SLOT_REP);
    store(b, next, hot, HOT_FREE);
    b.ins().jump(fill, &[BlockArg::Value(free)]);

    b.switch_to_block(fresh);
    b.seal_block(fresh);
    let len = load(b, hot, HOT_LEN);
    let limit = load(b, hot, HOT_LIMIT);
    let capacity = load(b, hot, HOT_CAPACITY);
    let allowed = b.ins().icmp(IntCC::UnsignedLessThanOrEqual, len, limit);
    let room = b.ins().icmp(IntCC::UnsignedLessThan, len, capacity);
    let good = b.ins().band(allowed, room);
    need(b, good, slow);
    let more = b.ins().iadd_imm_u(len, 1);
    store(b, more, hot, HOT_LEN);
    b.ins().jump(fill, &[BlockArg::Value(len)]);

    b.switch_to_block(fill);
    b.seal_block(fill);
    let index = b.block_params(fill)[0];
    let place = slot(b, hot, index);
    let zero = b.ins().iconst(types::I32, 0);
    let scope = scope.unwrap_or(zero);
    for (value, at) in [
        (tag, SLOT_TAG),
        (rep, SLOT_REP),
        (zero, SLOT_LENDS),
        (scope, SLOT_SCOPE),
    ] {
        store(b, value, place, at);
    }
    index
}

/// Frees a slot that owns a resource and is not lent.
pub(super) fn remove(b: &mut FunctionBuilder<'_>, hot: Value, index: Value, slot: Value) {
    let free = load(b, hot, HOT_FREE);
    let zero = b.ins().iconst(types::I32, 0);
    store(b, zero, slot, SLOT_TAG);
    store(b, free, slot, SLOT_REP);
    store(b, index, hot, HOT_FREE);
}
