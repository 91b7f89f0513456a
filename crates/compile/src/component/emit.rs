//! What every part of an adapter is written with: its context, both memories, the calls
//! it makes, and the ways to give up.
//!
//! ```text
//!   checks ----bad----> one cold block each (its numbers) --> refuse: Refuse(guard, a, b)
//!   routines --failed-----------------------------------------------> raise: Raise, never back
//! ```
//!
//! Not here: what is moved (`walk`), the call itself (`adapter`).

use super::set::Shared;
use super::shape::{AdapterShape, SideShape};
use crate::env::{Region, load_fixed, trusted};
use crate::func::bug;
use crate::signature::row_signature;
use crate::trampoline::{call_builtin, leave};
use crate::trap_code;
use crate::types::POINTER;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    AbiParam, Block, BlockArg, InstBuilder, MemFlagsData, Signature, StackSlotData, StackSlotKind,
    Type, Value, types,
};
use cranelift_codegen::isa::{CallConv, TargetFrontendConfig};
use cranelift_frontend::{FunctionBuilder, Variable};
use helve_abi::ResourceTypeId;
use helve_abi::layout::PointerWidth;
use helve_base::adapter::{AdapterSide, ComponentBuiltin, Guard, offset};
use helve_base::builtin::Builtin;
use helve_base::vmctx::offset as vm;
use helve_base::{Error, Trap};

/// A function of adapter code being built.
pub(super) struct Emit<'a, 'b> {
    /// Cranelift's builder.
    pub(super) b: FunctionBuilder<'b>,
    /// Programs, and which of them are functions of their own.
    pub(super) shared: &'a mut Shared,
    /// What the adapter is for.
    pub(super) shape: AdapterShape,
    /// The `VMAdapterContext`.
    pub(super) context: Value,
    /// Which side values come from.
    pub(super) from: AdapterSide,
    /// The number of the scope of what the call lends.
    pub(super) scope: Option<Value>,
    /// Which parameter is being moved.
    pub(super) param: u32,
    /// Indices of handles that the call lends without a scope of the store's.
    pub(super) lent: Vec<Value>,
    /// What the callee got for some of them: index and tag.
    pub(super) given: Vec<(Value, Value)>,
    /// The scope of those, made up.
    pub(super) call: Option<Value>,
    /// The core values that the source's flat forms are in.
    pub(super) lanes: Vec<Value>,
    /// The core values that the destination's flat forms become.
    pub(super) targets: Vec<Variable>,
    /// How much code there is already, in operations.
    pub(super) weight: u32,
    pub(super) target: TargetFrontendConfig,
    /// Cold blocks to fill at the end: guard and numbers for its message.
    guards: Vec<(Block, Guard, [Option<Value>; 2])>,
    raise: Option<Block>,
    wrong: Option<&'static str>,
}

impl<'a, 'b> Emit<'a, 'b> {
    /// For a function whose entry block is being filled.
    pub(super) fn new(
        b: FunctionBuilder<'b>,
        shared: &'a mut Shared,
        shape: AdapterShape,
        from: AdapterSide,
        context: Value,
        target: TargetFrontendConfig,
    ) -> Emit<'a, 'b> {
        Emit {
            b,
            shared,
            shape,
            context,
            from,
            scope: None,
            param: 0,
            lent: Vec::new(),
            given: Vec::new(),
            call: None,
            lanes: Vec::new(),
            targets: Vec::new(),
            weight: 0,
            target,
            guards: Vec::new(),
            raise: None,
            wrong: None,
        }
    }

    /// Fills the cold blocks and ends the function.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        let refuse = self.b.create_block();
        for ty in [types::I32, types::I64, types::I64] {
            self.b.append_block_param(refuse, ty);
        }
        let guards = std::mem::take(&mut self.guards);
        let used = !guards.is_empty();
        for (block, guard, numbers) in guards {
            self.b.switch_to_block(block);
            let mut args = vec![self.b.ins().iconst(types::I32, i64::from(guard as u32))];
            for number in numbers {
                let number = number.map(|number| self.widen(number));
                args.push(number.unwrap_or_else(|| self.b.ins().iconst(types::I64, 0)));
            }
            let args: Vec<BlockArg> = args.into_iter().map(BlockArg::Value).collect();
            self.b.ins().jump(refuse, &args);
        }
        if used {
            self.b.set_cold_block(refuse);
            self.b.switch_to_block(refuse);
            let [code, x, y] = <[Value; 3]>::try_from(self.b.block_params(refuse))
                .map_err(|_| bug("a block lost its parameters".into()))?;
            let store = self.store();
            leave(&mut self.b, store);
            self.call_routine(ComponentBuiltin::Refuse, &[code, x, y]);
            let raise = self.raise_block();
            self.b.ins().jump(raise, &[]);
        }
        if let Some(raise) = self.raise {
            self.b.switch_to_block(raise);
            let store = self.store();
            call_builtin(&mut self.b, store, Builtin::Raise, self.target);
            self.b.ins().trap(trap_code(Trap::Unreachable));
        }
        self.b.seal_all_blocks();
        self.b.finalize(self.target);
        match self.wrong {
            None => Ok(()),
            Some(what) => Err(bug(format!("an adapter met {what}"))),
        }
    }

    /// Notes that something cannot be; the function is built to its end and thrown away.
    pub(super) fn impossible(&mut self, what: &'static str) {
        self.wrong = Some(what);
    }

    /// One side's shape.
    pub(super) fn side(&self, side: AdapterSide) -> SideShape {
        self.shape.side(side)
    }

    /// Where values go to.
    pub(super) fn to(&self) -> AdapterSide {
        self.from.other()
    }

    /// A field of the context, which never changes.
    pub(super) fn field(&mut self, at: u32) -> Value {
        load_fixed(&mut self.b, POINTER, self.context, at)
    }

    fn store(&mut self) -> Value {
        self.field(offset::STORE)
    }

    /// As 64 bits, zero-extended.
    pub(super) fn widen(&mut self, value: Value) -> Value {
        match self.b.func.dfg.value_type(value) {
            types::I32 => self.b.ins().uextend(types::I64, value),
            _ => value,
        }
    }

    /// An address or length as a core value of this width.
    pub(super) fn narrow(&mut self, value: Value, width: PointerWidth) -> Value {
        match width {
            PointerWidth::P32 => self.b.ins().ireduce(types::I32, value),
            PointerWidth::P64 => value,
        }
    }

    /// A new block, to be sealed by whoever knows all that leads to it.
    pub(super) fn block(&mut self, params: &[Type]) -> Block {
        let block = self.b.create_block();
        for &ty in params {
            self.b.append_block_param(block, ty);
        }
        block
    }

    /// Goes on unless `bad`, in a block of its own.
    fn unless(&mut self, bad: Value, cold: Block) {
        let next = self.b.create_block();
        self.b.ins().brif(bad, cold, &[], next, &[]);
        self.b.switch_to_block(next);
        self.b.seal_block(next);
    }

    /// Traps with `guard` where `bad`.
    pub(super) fn guard(&mut self, bad: Value, guard: Guard) {
        self.guard_with(bad, guard, [None, None]);
    }

    /// The same with numbers for the message.
    pub(super) fn guard_with(&mut self, bad: Value, guard: Guard, numbers: [Option<Value>; 2]) {
        let cold = self.b.create_block();
        self.b.set_cold_block(cold);
        self.guards.push((cold, guard, numbers));
        self.unless(bad, cold);
    }

    pub(super) fn raise_block(&mut self) -> Block {
        if let Some(block) = self.raise {
            return block;
        }
        let block = self.b.create_block();
        self.b.set_cold_block(block);
        *self.raise.insert(block)
    }

    /// Traps where `value` is not aligned.
    pub(super) fn guard_aligned(&mut self, value: Value, align: u32, guard: Guard) {
        if align > 1 {
            let low = self.b.ins().band_imm_u(value, i64::from(align - 1));
            self.guard(low, guard);
        }
    }

    /// Traps where `bytes` bytes from `pointer` on are not all in the memory of `side`.
    pub(super) fn guard_range(
        &mut self,
        side: AdapterSide,
        pointer: Value,
        bytes: Value,
        guard: Guard,
    ) {
        let len = self.memory_len(side);
        let bad = match self.side(side).width {
            // Both are below 2^33.
            PointerWidth::P32 => {
                let end = self.b.ins().iadd(pointer, bytes);
                self.b.ins().icmp(IntCC::UnsignedGreaterThan, end, len)
            }
            PointerWidth::P64 => {
                let (end, wrapped) = self.b.ins().uadd_overflow(pointer, bytes);
                let beyond = self.b.ins().icmp(IntCC::UnsignedGreaterThan, end, len);
                self.b.ins().bor(wrapped, beyond)
            }
        };
        self.guard(bad, guard);
    }

    fn memory(&mut self, side: AdapterSide) -> Value {
        self.field(offset::side(side) + offset::SIDE_MEMORY)
    }

    fn memory_len(&mut self, side: AdapterSide) -> Value {
        let memory = self.memory(side);
        let flags = trusted(&mut self.b, Region::Sizes);
        self.b
            .ins()
            .load(POINTER, flags, memory, vm::MEMORY_LEN as i32)
    }

    /// The address of what a checked pointer points to. Memories never move.
    pub(super) fn address(&mut self, side: AdapterSide, pointer: Value) -> Value {
        let memory = self.memory(side);
        let base = load_fixed(&mut self.b, POINTER, memory, vm::MEMORY_BASE);
        self.b.ins().iadd(base, pointer)
    }

    /// New memory of the destination, checked: its pointer.
    pub(super) fn allocate(&mut self, align: u32, bytes: Value, guard: Guard) -> Value {
        let side = self.to();
        let pointer = self.realloc(side, align, bytes);
        self.guard_aligned(pointer, align, Guard::ReallocUnaligned);
        self.guard_range(side, pointer, bytes, guard);
        self.count_copied(bytes);
        pointer
    }

    /// Counts bytes that are about to be copied.
    fn count_copied(&mut self, bytes: Value) {
        let flags = MemFlagsData::trusted();
        let at = offset::COPIED as i32;
        let so_far = self.b.ins().load(types::I64, flags, self.context, at);
        let count = self.b.ins().iadd(so_far, bytes);
        self.b.ins().store(flags, count, self.context, at);
    }

    /// Calls a side's `realloc` for new memory. While it runs its instance can't be left.
    fn realloc(&mut self, side: AdapterSide, align: u32, bytes: Value) -> Value {
        let SideShape { width, context, .. } = self.side(side);
        let ty = match width {
            PointerWidth::P32 => types::I32,
            PointerWidth::P64 => types::I64,
        };
        let mut sig = Signature::new(CallConv::Tail);
        sig.params.push(AbiParam::special(
            POINTER,
            cranelift_codegen::ir::ArgumentPurpose::VMContext,
        ));
        sig.params.extend([AbiParam::new(ty); 4]);
        sig.returns.push(AbiParam::new(ty));
        let zero = self.b.ins().iconst(ty, 0);
        let align = self.b.ins().iconst(ty, i64::from(align));
        let bytes = self.narrow(bytes, width);
        let kept = context.then(|| self.swap_slots(side));
        self.set_may_leave(side, false);
        let import = offset::side(side) + offset::SIDE_REALLOC;
        let results = self.call_import(import, sig, &[zero, zero, align, bytes]);
        self.set_may_leave(side, true);
        if let Some(kept) = kept {
            self.put_slots(side, kept);
        }
        match results.first() {
            Some(&pointer) => self.widen(pointer),
            None => self.b.ins().iconst(types::I64, 0),
        }
    }

    /// Calls a function through the import in the context, at `import`.
    pub(super) fn call_import(
        &mut self,
        import: u32,
        sig: Signature,
        args: &[Value],
    ) -> Vec<Value> {
        let slot = self.field(import + vm::IMPORT_SLOT);
        let callee = self.field(import + vm::IMPORT_VMCTX);
        let flags = trusted(&mut self.b, Region::Slots);
        let code = self.b.ins().load(POINTER, flags, slot, 0);
        let sig = self.b.import_signature(sig);
        let mut all = vec![callee];
        all.extend_from_slice(args);
        let call = self.b.ins().call_indirect(sig, code, &all);
        self.b.inst_results(call).to_vec()
    }

    /// Changes the flag that lets a side's instance call out.
    pub(super) fn set_may_leave(&mut self, side: AdapterSide, may: bool) {
        let flag = self.field(offset::side(side) + offset::SIDE_MAY_LEAVE);
        self.set_flag(flag, may);
    }

    /// The hot block of a side's instance.
    pub(super) fn hot(&mut self, side: AdapterSide) -> Value {
        self.field(offset::side(side) + offset::SIDE_HOT)
    }

    /// The tag of a slot that owns a resource of this type.
    pub(super) fn tag(&mut self, ty: ResourceTypeId) -> Value {
        let tags = self.field(offset::TAGS);
        let at = ty.as_u32().saturating_mul(4);
        load_fixed(&mut self.b, types::I32, tags, at)
    }

    /// Changes a flag.
    pub(super) fn set_flag(&mut self, flag: Value, on: bool) {
        let value = self.b.ins().iconst(types::I8, i64::from(on));
        self.b.ins().store(MemFlagsData::trusted(), value, flag, 0);
    }

    /// Makes a side's context slots zero; what they were.
    pub(super) fn swap_slots(&mut self, side: AdapterSide) -> [Value; 2] {
        let slots = self.field(offset::side(side) + offset::SIDE_CONTEXT);
        let zero = self.b.ins().iconst(types::I64, 0);
        [0, 8].map(|at| {
            let flags = MemFlagsData::trusted();
            let kept = self.b.ins().load(types::I64, flags, slots, at);
            self.b.ins().store(flags, zero, slots, at);
            kept
        })
    }

    /// Changes a side's context slots.
    pub(super) fn put_slots(&mut self, side: AdapterSide, values: [Value; 2]) {
        let slots = self.field(offset::side(side) + offset::SIDE_CONTEXT);
        for (at, value) in [0, 8].into_iter().zip(values) {
            self.b
                .ins()
                .store(MemFlagsData::trusted(), value, slots, at);
        }
    }

    /// Calls a routine of the component layer that can't fail, or whose failure the
    /// caller looks at; the context is passed where its row asks for it.
    pub(super) fn call_routine(&mut self, routine: ComponentBuiltin, args: &[Value]) -> Value {
        let row = routine.signature();
        let table = self.field(offset::BUILTINS);
        let code = load_fixed(&mut self.b, POINTER, table, routine.index() as u32 * 8);
        let sig = row_signature(&row, self.target.default_call_conv);
        let sig = self.b.import_signature(sig);
        let mut all = Vec::new();
        if row.params.first() == Some(&helve_base::builtin::BuiltinType::VMContext) {
            all.push(self.context);
        }
        all.extend_from_slice(args);
        let call = self.b.ins().call_indirect(sig, code, &all);
        match self.b.inst_results(call).first() {
            Some(&result) => result,
            None => self.context,
        }
    }

    /// Calls a routine that fails by returning all ones.
    pub(super) fn call_fallible(&mut self, routine: ComponentBuiltin, args: &[Value]) -> Value {
        let store = self.store();
        leave(&mut self.b, store);
        let result = self.call_routine(routine, args);
        let failed = self.b.ins().icmp_imm_s(IntCC::Equal, result, -1);
        let raise = self.raise_block();
        self.unless(failed, raise);
        result
    }

    /// Which side values come from, as routines take it.
    pub(super) fn source_number(&mut self) -> Value {
        self.b.ins().iconst(types::I32, self.from as i64)
    }

    /// The address of `bytes` bytes of the function's own frame.
    pub(super) fn frame_bytes(&mut self, bytes: u32) -> Value {
        let data = StackSlotData::new(StackSlotKind::ExplicitSlot, bytes, 3);
        let slot = self.b.create_sized_stack_slot(data);
        self.b.ins().stack_addr(POINTER, slot, 0)
    }
}
