//! The walk: both sides' programs of one type, step by step.
//!
//! Programs of one type have the same steps in every form, so two of them run side by
//! side. A step reads from one place and writes to the other; records are steps one after
//! the other, a variant branches, a list is a loop (`list`).
//!
//! ```text
//!  program pair -- plain bytes in both memories? ----> copied
//!               -- big, and both have addresses? ----> call of a subprogram    (set)
//!               -- else -----------------------------> steps written out here
//! ```
//!
//! Not here: numbers (`place`), what is behind pointers (`list`, `string`).

use super::emit::Emit;
use super::handles;
use super::place::Place;
use super::set::{Pair, SMALL};
use crate::types::POINTER;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, BlockArg, InstBuilder, MemFlagsData, Value, types};
use cranelift_frontend::Switch;
use helve_abi::ResourceTypeId;
use helve_abi::program::{Cases, Handle, Op, ProgramId, Scalar};
use helve_base::adapter::{AdapterSide, ComponentBuiltin, Guard, offset};
use helve_model::layout::UNCOUNTED_SCOPE;

/// Operations beyond which a function gives every part that is not [`SMALL`] away.
const FULL: u32 = 1500;

/// Bytes that are copied by plain loads and stores rather than by a routine.
const INLINE_COPY: u32 = 64;

impl Emit<'_, '_> {
    /// Moves one value.
    pub(super) fn pair(&mut self, programs: Pair, from: Place, to: Place) {
        let [source, target] = [programs.from, programs.to].map(|id| &self.shared.programs[id]);
        let (bulk, bytes, align) = (source.bulk && target.bulk, source.size, source.align);
        if bulk && bytes == target.size {
            return self.copy(from, to, bytes, align);
        }
        let cost = self.shared.cost(programs.from);
        let big = cost > SMALL || (self.weight > FULL && cost > 4);
        if big && from.has_address() && to.has_address() {
            return self.outlined(programs, from, to);
        }
        self.steps(programs, from, to);
    }

    /// Copies plain data.
    fn copy(&mut self, from: Place, to: Place, bytes: u32, align: u32) {
        self.weight = self.weight.saturating_add(bytes.min(INLINE_COPY) / 8 + 1);
        if bytes <= INLINE_COPY {
            return self.copy_inline(from, to, bytes, align);
        }
        let (from, to) = (self.place_address(from), self.place_address(to));
        let bytes = self.b.ins().iconst(types::I64, i64::from(bytes));
        self.call_routine(ComponentBuiltin::CopyBytes, &[to, from, bytes]);
    }

    /// Calls the function that moves such values.
    fn outlined(&mut self, programs: Pair, from: Place, to: Place) {
        self.weight = self.weight.saturating_add(4);
        let index = self.shared.subprogram(self.shape, self.from, programs);
        let table = self.field(offset::SUBPROGRAMS);
        let from = self.place_address(from);
        let to = self.place_address(to);
        let scope = match self.scope {
            Some(scope) => scope,
            None => self.b.ins().iconst(types::I64, 0),
        };
        let code = crate::env::load_fixed(&mut self.b, POINTER, table, index * 8);
        let sig = self.b.import_signature(super::set::subprogram_signature());
        self.b
            .ins()
            .call_indirect(sig, code, &[self.context, from, to, scope]);
    }

    /// Writes out the steps of a pair of programs.
    pub(super) fn steps(&mut self, programs: Pair, from: Place, to: Place) {
        let shared = &self.shared.programs;
        // Cheap: programs are written out in place only while they are short.
        let sources = shared[programs.from].ops.clone();
        let targets = shared[programs.to].ops.clone();
        if sources.len() != targets.len() {
            return self.impossible("two programs of one type that differ");
        }
        for (source, target) in sources.iter().zip(&*targets) {
            self.weight = self.weight.saturating_add(1);
            self.step(*source, *target, from, to);
        }
    }

    fn step(&mut self, source: Op, target: Op, from: Place, to: Place) {
        match (source, target) {
            (Op::Record { .. }, Op::Record { .. }) => {}
            (Op::Scalar { at, scalar }, Op::Scalar { at: target, .. }) => {
                let value = self.read(from.part(at), scalar);
                self.write(to.part(target), scalar, value);
            }
            (
                Op::Flags {
                    at, bytes, labels, ..
                },
                Op::Flags { at: target, .. },
            ) => {
                let value = self.read_tag(from.part(at), bytes);
                let mask = (1u64 << labels.min(32)) - 1;
                let value = self.b.ins().band_imm_u(value, mask as i64);
                self.write_tag(to.part(target), bytes, value);
            }
            (
                Op::Enum {
                    at, bytes, cases, ..
                },
                Op::Enum { at: target, .. },
            ) => {
                let tag = self.read_tag(from.part(at), bytes);
                self.guard_tag(tag, cases);
                self.write_tag(to.part(target), bytes, tag);
            }
            (Op::Handle { at, handle }, Op::Handle { at: target, .. }) => {
                self.handle(handle, from.part(at), to.part(target));
            }
            (Op::String { at }, Op::String { at: target }) => {
                self.string(from.part(at), to.part(target));
            }
            (
                Op::List { at, element, .. },
                Op::List {
                    at: target,
                    element: other,
                    ..
                },
            )
            | (
                Op::Map {
                    at, entry: element, ..
                },
                Op::Map {
                    at: target,
                    entry: other,
                    ..
                },
            ) => {
                let programs = Pair::new(element, other);
                self.list(programs, from.part(at), to.part(target));
            }
            (Op::FixedList { .. }, Op::FixedList { .. }) => {
                self.fixed_list(source, target, from, to);
            }
            (Op::Variant { .. }, Op::Variant { .. }) => self.variant(source, target, from, to),
            (
                Op::Call { at, program },
                Op::Call {
                    at: target,
                    program: other,
                },
            ) => self.pair(Pair::new(program, other), from.part(at), to.part(target)),
            _ => self.impossible("two programs of one type that differ"),
        }
    }

    /// Traps where a number is not below the number of cases.
    fn guard_tag(&mut self, tag: Value, cases: u32) {
        let bad = self
            .b
            .ins()
            .icmp_imm_u(IntCC::UnsignedGreaterThanOrEqual, tag, i64::from(cases));
        let cases = self.b.ins().iconst(types::I32, i64::from(cases));
        self.guard_with(bad, Guard::InvalidDiscriminant, [Some(tag), Some(cases)]);
    }

    fn handle(&mut self, handle: Handle, from: Place, to: Place) {
        let index = self.read(from, Scalar::U32);
        let new = match handle {
            Handle::Own(id) => self.own(id, index),
            Handle::Borrow(id) if self.from == AdapterSide::Caller => self.borrow(id, index),
            Handle::Stream(id) => self.end(0, id.as_u32(), index),
            Handle::Future(id) => self.end(1, id.as_u32(), index),
            Handle::ErrorContext => self.end(2, 0, index),
            Handle::Borrow(_) => return self.impossible("a loan to the caller"),
        };
        self.write(to, Scalar::U32, new);
    }

    /// Moves a readable end, or an error context: its new index.
    fn end(&mut self, kind: u32, ty: u32, index: Value) -> Value {
        let side = self.source_number();
        let [kind, ty] = [kind, ty].map(|n| self.b.ins().iconst(types::I32, i64::from(n)));
        let args = [side, kind, ty, index];
        let new = self.call_fallible(ComponentBuiltin::TransferEnd, &args);
        self.b.ins().ireduce(types::I32, new)
    }

    /// Moves an owned resource from one table to the other: its new index.
    fn own(&mut self, id: ResourceTypeId, index: Value) -> Value {
        self.weight = self.weight.saturating_add(8);
        let slow = self.b.create_block();
        self.b.set_cold_block(slow);
        let done = self.block(&[types::I32]);
        let (source, target, tag) = (self.hot(self.from), self.hot(self.to()), self.tag(id));
        let slot = handles::find(&mut self.b, source, index);
        handles::need_own(&mut self.b, slot, tag, slow);
        let rep = handles::rep(&mut self.b, slot);
        let new = handles::insert(&mut self.b, target, tag, rep, None, slow);
        handles::remove(&mut self.b, source, index, slot);
        self.b.ins().jump(done, &[BlockArg::Value(new)]);

        self.b.switch_to_block(slow);
        self.b.seal_block(slow);
        let side = self.source_number();
        let ty = self.b.ins().iconst(types::I32, i64::from(id.as_u32()));
        let new = self.call_fallible(ComponentBuiltin::TransferOwn, &[side, ty, index]);
        let new = self.b.ins().ireduce(types::I32, new);
        self.b.ins().jump(done, &[BlockArg::Value(new)]);
        self.b.switch_to_block(done);
        self.b.seal_block(done);
        self.b.block_params(done)[0]
    }

    /// Lends a resource: what the callee gets for it.
    fn borrow(&mut self, id: ResourceTypeId, index: Value) -> Value {
        if let Some(scope) = self.scope {
            return self.borrow_in(scope, id, index);
        }
        self.weight = self.weight.saturating_add(8);
        let slow = self.b.create_block();
        self.b.set_cold_block(slow);
        let (hot, tag) = (self.hot(self.from), self.tag(id));
        let slot = handles::find(&mut self.b, hot, index);
        let found = handles::tag(&mut self.b, slot);
        // Owned and borrowed differ in bit 0.
        let found = self.b.ins().bor_imm_u(found, 1);
        let wanted = self.b.ins().bor_imm_u(tag, 1);
        let same = self.b.ins().icmp(IntCC::Equal, found, wanted);
        handles::need(&mut self.b, same, slow);
        let lends = handles::lends(&mut self.b, slot);
        let more = self.b.ins().iadd_imm_u(lends, 1);
        handles::need(&mut self.b, more, slow);
        handles::set_lends(&mut self.b, slot, more);
        let rep = handles::rep(&mut self.b, slot);
        self.lent.push(index);
        let defines = self.shape.defines.checked_shr(self.param).unwrap_or(0) & 1;
        let lent = if defines != 0 {
            rep
        } else {
            self.give(tag, rep)
        };
        let next = self.b.create_block();
        self.b.ins().jump(next, &[]);

        // Only to say what is wrong: this fails.
        self.b.switch_to_block(slow);
        self.b.seal_block(slow);
        let scope = self.call_fallible(ComponentBuiltin::BeginScope, &[]);
        self.borrow_in(scope, id, index);
        self.b
            .ins()
            .trap(crate::trap_code(helve_base::Trap::Handle));
        self.b.switch_to_block(next);
        self.b.seal_block(next);
        lent
    }

    /// A borrowed handle for the callee: its index.
    fn give(&mut self, owned: Value, rep: Value) -> Value {
        let scope = match self.call {
            Some(scope) => scope,
            None => self.new_call(),
        };
        let target = self.hot(AdapterSide::Callee);
        let tag = self.b.ins().bxor_imm_u(owned, 1);
        let [retry, grow] = [(); 2].map(|()| self.b.create_block());
        self.b.set_cold_block(grow);
        let done = self.block(&[types::I32]);
        self.b.ins().jump(retry, &[]);
        self.b.switch_to_block(retry);
        let index = handles::insert(&mut self.b, target, tag, rep, Some(scope), grow);
        self.b.ins().jump(done, &[BlockArg::Value(index)]);

        self.b.switch_to_block(grow);
        self.b.seal_block(grow);
        let side = self.b.ins().iconst(types::I32, AdapterSide::Callee as i64);
        self.call_fallible(ComponentBuiltin::GrowHandles, &[side]);
        self.b.ins().jump(retry, &[]);
        self.b.seal_block(retry);
        self.b.switch_to_block(done);
        self.b.seal_block(done);
        let index = self.b.block_params(done)[0];
        self.given.push((index, tag));
        index
    }

    /// A number for this call, as the scope of what it lends.
    fn new_call(&mut self) -> Value {
        let calls = self.field(offset::CALLS);
        let flags = MemFlagsData::trusted();
        let before = self.b.ins().load(types::I32, flags, calls, 0);
        let number = self.b.ins().iadd_imm_u(before, 1);
        self.b.ins().store(flags, number, calls, 0);
        let scope = self.b.ins().bor_imm_u(number, i64::from(UNCOUNTED_SCOPE));
        *self.call.insert(scope)
    }

    fn borrow_in(&mut self, scope: Value, id: ResourceTypeId, index: Value) -> Value {
        let ty = self.b.ins().iconst(types::I32, i64::from(id.as_u32()));
        let new = self.call_fallible(ComponentBuiltin::TransferBorrow, &[scope, ty, index]);
        self.b.ins().ireduce(types::I32, new)
    }

    /// Traps where the callee has kept what it borrowed for the call.
    fn guard_returned(&mut self) {
        let Some(scope) = self.call else { return };
        let hot = self.hot(AdapterSide::Callee);
        let mut kept = self.b.ins().iconst(types::I64, 0);
        for (index, tag) in std::mem::take(&mut self.given) {
            let slot = handles::slot(&mut self.b, hot, index);
            let found = handles::tag(&mut self.b, slot);
            let owner = handles::scope(&mut self.b, slot);
            let same = self.b.ins().icmp(IntCC::Equal, found, tag);
            let ours = self.b.ins().icmp(IntCC::Equal, owner, scope);
            let still = self.b.ins().band(same, ours);
            let still = self.b.ins().uextend(types::I64, still);
            kept = self.b.ins().iadd(kept, still);
        }
        let [cold, next] = [(); 2].map(|()| self.b.create_block());
        self.b.set_cold_block(cold);
        self.b.ins().brif(kept, cold, &[], next, &[]);
        self.b.switch_to_block(cold);
        self.b.seal_block(cold);
        self.call_fallible(ComponentBuiltin::BorrowsRemain, &[kept]);
        self.b
            .ins()
            .trap(crate::trap_code(helve_base::Trap::Handle));
        self.b.switch_to_block(next);
        self.b.seal_block(next);
    }

    /// Ends the loans that have no scope. What is lent stays where it is.
    pub(super) fn end_lent(&mut self) {
        if self.lent.is_empty() {
            return;
        }
        self.guard_returned();
        let hot = self.hot(AdapterSide::Caller);
        for index in std::mem::take(&mut self.lent) {
            let slot = handles::slot(&mut self.b, hot, index);
            let lends = handles::lends(&mut self.b, slot);
            let fewer = self.b.ins().iadd_imm_s(lends, -1);
            handles::set_lends(&mut self.b, slot, fewer);
        }
    }

    /// A variant: the discriminant, then the payload of its case.
    fn variant(&mut self, source: Op, target: Op, from: Place, to: Place) {
        let (
            Op::Variant {
                at: source_at,
                bytes,
                payload: source_payload,
                cases,
                ..
            },
            Op::Variant {
                at: target_at,
                payload: target_payload,
                cases: target_cases,
                ..
            },
        ) = (source, target)
        else {
            return self.impossible("a variant that is none");
        };
        let tag = self.read_tag(from.part(source_at), bytes);
        self.guard_tag(tag, cases.len());
        self.write_tag(to.part(target_at), bytes, tag);

        let done = self.b.create_block();
        let blocks = self.case_blocks(tag, cases, target_cases, done);
        for (programs, block) in blocks {
            self.b.switch_to_block(block);
            self.b.seal_block(block);
            let (from, to) = (from.part(source_payload), to.part(target_payload));
            self.pair(programs, from, to);
            self.b.ins().jump(done, &[]);
        }
        self.b.switch_to_block(done);
        self.b.seal_block(done);
    }

    /// Branches on a discriminant: one block for each payload type that there is; cases
    /// without one go on at `done`.
    fn case_blocks(
        &mut self,
        tag: Value,
        cases: Cases,
        target_cases: Cases,
        done: Block,
    ) -> Vec<(Pair, Block)> {
        let programs = &self.shared.programs;
        let sources = programs.cases(cases).iter();
        let pairs: Vec<Option<Pair>> = sources
            .zip(programs.cases(target_cases))
            .map(|(source, target)| Some(Pair::new((*source)?, (*target)?)))
            .collect();
        let mut blocks: Vec<(Pair, Block)> = Vec::new();
        let mut places = std::collections::HashMap::new();
        let mut entries = Vec::new();
        for (case, pair) in (0u32..).zip(&pairs) {
            let Some(pair) = *pair else { continue };
            let block = *places.entry(pair).or_insert_with(|| {
                let block = self.b.create_block();
                blocks.push((pair, block));
                block
            });
            entries.push((case, block));
        }
        match *entries {
            [] => {
                self.b.ins().jump(done, &[]);
            }
            [(case, block)] => {
                let is = self.b.ins().icmp_imm_u(IntCC::Equal, tag, i64::from(case));
                self.b.ins().brif(is, block, &[], done, &[]);
            }
            _ => {
                let mut switch = Switch::new();
                for (case, block) in entries {
                    switch.set_entry(case.into(), block);
                }
                switch.emit(&mut self.b, tag, done);
            }
        }
        blocks
    }

    /// A list of fixed length, in place.
    fn fixed_list(&mut self, source: Op, target: Op, from: Place, to: Place) {
        let (
            Op::FixedList {
                at,
                element,
                stride,
                length,
                ..
            },
            Op::FixedList {
                at: target_at,
                element: target_element,
                stride: target_stride,
                ..
            },
        ) = (source, target)
        else {
            return self.impossible("a list that is none");
        };
        let (from, to) = (from.part(at), to.part(target_at));
        let programs = Pair::new(element, target_element);
        let [one, other] = [element, target_element].map(|id: ProgramId| &self.shared.programs[id]);
        if one.bulk && other.bulk && stride == target_stride {
            let align = one.align;
            return self.copy(from, to, stride.saturating_mul(length), align);
        }
        let addressed = from.has_address() && to.has_address();
        let cost = self.shared.cost(element).saturating_mul(length);
        if addressed && cost > SMALL {
            let from = self.place_address(from);
            let to = self.place_address(to);
            let frames = self.strides(programs, [stride, target_stride]);
            let count = self.b.ins().iconst(types::I64, i64::from(length));
            return self.each(programs, [from, to], frames, count);
        }
        for i in 0..length {
            let from = from.part(i.saturating_mul(stride));
            let to = to.part(i.saturating_mul(target_stride));
            self.pair(programs, from, to);
        }
    }
}
