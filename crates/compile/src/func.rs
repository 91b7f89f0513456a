//! One function body to CLIF.
//!
//! ```text
//!  operators --> reachable? --no--> ops::control::skip (counts nesting until code lives again)
//!                    |yes
//!                    +--> control | call | exception | memory | table | global | reference
//!                    +--> value instructions (int, float, conversion, simd)
//! ```
//!
//! Locals are Cranelift variables; operands are SSA values on a [`ValueStack`]; labels are
//! blocks whose parameters are the label's values. Validation has run, so a body that does
//! not fit is a bug of ours and ends in a `Bug` error.
//!
//! Not here: machine code (`compiler`), what single instructions do (`ops`).

use crate::ValueStack;
use crate::env::{Env, Region, load_fixed, trusted};
use crate::interrupt::Interrupts;
use crate::module::Module;
use crate::ops;
use crate::ops::control::Frame;
use crate::ops::exception::Try;
use crate::ops::simd::relaxed::{self, Relaxed};
use crate::osr::{self, Entry, Loops};
use crate::signature::{ResultPlace, WasmSignature};
use crate::stack::canonical;
use crate::types::POINTER;
use cranelift_codegen::ir::{
    ArgumentPurpose, Block, Function, GlobalValueData, InstBuilder, MemFlagsData, SourceLoc, Type,
    UserFuncName, Value,
};
use cranelift_codegen::isa::{CallConv, TargetFrontendConfig};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Variable};
use helve_base::core_type::FuncType;
use helve_base::id::*;
use helve_base::vmctx::offset;
use helve_base::{Bug, Error, Result};
use smallvec::SmallVec;
use std::rc::Rc;
use wasmparser::{FunctionBody, Operator};

/// Everything about the function being translated.
pub(crate) struct FuncTranslator<'a> {
    /// Cranelift's builder.
    pub(crate) b: FunctionBuilder<'a>,
    /// The operands.
    pub(crate) stack: ValueStack,
    /// What the function knows of its instance.
    pub(crate) env: Env<'a>,
    /// Open blocks, the outermost (the function itself) first.
    pub(crate) control: Vec<Frame>,
    /// The `try_table`s among them.
    pub(crate) tries: Vec<Try>,
    /// Whether the next instruction can run.
    pub(crate) reachable: bool,
    /// Blocks opened since code became unreachable.
    pub(crate) skipped: usize,
    /// The base of a memory that this block has loaded already.
    pub(crate) memory_base: Option<(Block, MemoryIndex, Value)>,
    /// How it can be stopped.
    pub(crate) interrupts: Interrupts,
    /// What relaxed instructions become.
    relaxed: Relaxed,
    direct: Direct,
    pub(crate) locals: Vec<Variable>,
    /// Which function it is.
    pub(crate) func: DefinedFuncIndex,
    /// Its loops.
    pub(crate) loops: Loops,
    /// Where the function counts itself, from the slots on.
    counter: Option<u32>,
}

/// Which functions are called where they stand, and not through their slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direct {
    /// None: what is in a slot may change.
    Never,
    /// Itself, as there will be no better code for it.
    Itself,
    /// All of the module, which are compiled together.
    Module,
}

/// What does not follow from the module.
pub(crate) struct Tuning {
    /// The machine.
    pub(crate) target: TargetFrontendConfig,
    /// Whether the function counts itself, and asks for better code at its loops each time
    /// that these bits of the count are zero.
    pub(crate) counters: Option<u32>,
    /// Whether it uses up fuel.
    pub(crate) fuel: bool,
    /// Whether it looks at the epoch.
    pub(crate) epoch: bool,
    /// What relaxed instructions become.
    pub(crate) relaxed: Relaxed,
    /// Where it is entered.
    pub(crate) entry: Entry,
    /// Which functions it calls where they stand.
    pub(crate) direct: Direct,
}

/// Translates the body of `func` into `into`, which must be empty.
pub(crate) fn translate_body(
    module: &Module,
    func: DefinedFuncIndex,
    body: &FunctionBody<'_>,
    into: &mut Function,
    context: &mut FunctionBuilderContext,
    tuning: Tuning,
) -> Result<()> {
    let target = tuning.target;
    let index = module.func_index(func);
    let ty = module.func_type(index);
    let signature = Rc::new(WasmSignature::new(ty));
    let locals = osr::locals(ty, body)?;
    into.signature = match tuning.entry {
        Entry::Start => signature.clif.clone(),
        Entry::Loop(_) => osr::signature(&signature, &locals),
    };
    into.name = UserFuncName::user(0, index.as_u32());
    check_stack_at_entry(into);

    let b = FunctionBuilder::new(into, context);
    let mut t = FuncTranslator::enter(b, module, func, signature, target.default_call_conv);
    t.declare_locals(&locals);
    t.interrupts = Interrupts::new(tuning.fuel, tuning.epoch);
    t.relaxed = tuning.relaxed;
    t.direct = tuning.direct;
    if let Some(mask) = tuning.counters {
        let slots = module.defined_funcs() as u32;
        t.counter = Some(slots.saturating_mul(8).saturating_add(func.as_u32() * 4));
        t.loops = Loops::asking(mask, body, &locals)?;
    }
    match tuning.entry {
        Entry::Start => _ = t.count(),
        Entry::Loop(n) => osr::enter(&mut t, n),
    }
    t.run(ty, body)?;
    t.loops.check()?;
    t.b.seal_all_blocks();
    t.b.finalize(target);
    Ok(())
}

/// Makes the prologue compare the stack pointer with the store's limit.
pub(crate) fn check_stack_at_entry(func: &mut Function) {
    let fixed = MemFlagsData::trusted().with_readonly().with_can_move();
    let flags = func.dfg.mem_flags.insert_unchecked(fixed);
    let plain = func.dfg.mem_flags.insert_unchecked(MemFlagsData::trusted());
    let vmctx = func.create_global_value(GlobalValueData::VMContext);
    let store = func.create_global_value(GlobalValueData::Load {
        base: vmctx,
        offset: (offset::VMCONTEXT_STORE as i32).into(),
        global_type: POINTER,
        flags,
    });
    let limit = func.create_global_value(GlobalValueData::Load {
        base: store,
        offset: (offset::STORE_STACK_LIMIT as i32).into(),
        global_type: POINTER,
        flags: plain,
    });
    func.stack_limit = Some(limit);
}

/// A value of `ty` whose bits are all zero.
pub(crate) fn zero(b: &mut FunctionBuilder<'_>, ty: Type) -> Value {
    use cranelift_codegen::ir::types::{F32, F64};
    match ty {
        F32 => b.ins().f32const(0.0),
        F64 => b.ins().f64const(0.0),
        ty if ty.is_vector() => {
            let constant = b.func.dfg.constants.insert([0u8; 16][..].into());
            b.ins().vconst(ty, constant)
        }
        ty => b.ins().iconst(ty, 0),
    }
}

impl<'a> FuncTranslator<'a> {
    fn enter(
        mut b: FunctionBuilder<'a>,
        module: &'a Module,
        func: DefinedFuncIndex,
        signature: Rc<WasmSignature>,
        convention: CallConv,
    ) -> FuncTranslator<'a> {
        let entry = b.create_block();
        b.append_block_params_for_function_params(entry);
        b.switch_to_block(entry);
        b.seal_block(entry);
        debug_assert_eq!(
            b.func.signature.params[0].purpose,
            ArgumentPurpose::VMContext
        );
        let vmctx = b.block_params(entry)[0];
        let first = signature.clif.params.len() - signature.params.len();
        let result_area = (signature.area > 0).then(|| b.block_params(entry)[1]);
        let params: SmallVec<[Value; 16]> = b.block_params(entry)[first..].into();

        // Of a continuation, these are all locals.
        let mut locals = Vec::with_capacity(params.len());
        for &value in &params {
            let ty = b.func.dfg.value_type(value);
            let local = b.declare_var(ty);
            b.def_var(local, value);
            locals.push(local);
        }
        let env = Env::new(module, signature, vmctx, result_area, convention);
        FuncTranslator {
            b,
            stack: ValueStack::default(),
            env,
            control: Vec::new(),
            tries: Vec::new(),
            reachable: true,
            skipped: 0,
            memory_base: None,
            interrupts: Interrupts::default(),
            relaxed: Relaxed::PORTABLE,
            direct: Direct::Never,
            locals,
            func,
            loops: Loops::default(),
            counter: None,
        }
    }

    /// At the function's start and at each turn of a loop: looks whether it may go on, and
    /// counts the function up, if it is to count itself: the count.
    pub(crate) fn count(&mut self) -> Option<Value> {
        self.check_interrupts();
        let at = self.counter?;
        let slots = load_fixed(
            &mut self.b,
            POINTER,
            self.env.vmctx,
            offset::VMCONTEXT_SLOTS,
        );
        let flags = trusted(&mut self.b, Region::Counters);
        let ty = cranelift_codegen::ir::types::I32;
        let count = self.b.ins().load(ty, flags, slots, at as i32);
        let one = self.b.ins().iconst(ty, 1);
        let count = self.b.ins().iadd(count, one);
        self.b.ins().store(flags, count, slots, at as i32);
        Some(count)
    }

    /// Declares the locals after the parameters; they start as zero.
    fn declare_locals(&mut self, all: &[Type]) {
        let rest = all.get(self.locals.len()..).unwrap_or(&[]);
        for run in rest.chunk_by(|a, b| a == b) {
            let initial = zero(&mut self.b, run[0]);
            for &ty in run {
                let local = self.b.declare_var(ty);
                self.b.def_var(local, initial);
                self.locals.push(local);
            }
        }
    }

    fn run(&mut self, ty: &FuncType, body: &FunctionBody<'_>) -> Result<()> {
        self.control.push(Frame::function(ty.results.len()));
        let mut reader = body.get_operators_reader()?;
        while !self.control.is_empty() {
            let (op, at) = reader.read_with_offset()?;
            self.b.set_srcloc(SourceLoc::new(at as u32));
            if !self.reachable {
                ops::control::skip(self, &op)?;
                continue;
            }
            self.charge(&op);
            if !self.translate(&op)? {
                return Err(bug(format!(
                    "instruction {op:?} passed validation but is not known"
                )));
            }
            if self.stack.bug() {
                return Err(bug(format!("the operand stack ran empty at {op:?}")));
            }
        }
        Ok(())
    }

    fn translate(&mut self, op: &Operator<'_>) -> Result<bool> {
        match op {
            Operator::LocalGet { local_index } => {
                let local = self.local(*local_index)?;
                let value = self.b.use_var(local);
                self.stack.push(value);
            }
            Operator::LocalSet { local_index } => {
                let value = self.stack.pop();
                self.set_local(*local_index, value)?;
            }
            Operator::LocalTee { local_index } => {
                let value = self.stack.peek();
                self.set_local(*local_index, value)?;
            }
            _ => {
                let (b, stack) = (&mut self.b, &mut self.stack);
                return Ok(ops::translate_value(op, b, stack)
                    || relaxed::translate(op, b, stack, self.relaxed)
                    || ops::memory::translate(self, op)
                    || ops::control::translate(self, op)?
                    || ops::call::translate(self, op)
                    || ops::exception::translate(self, op)?
                    || ops::atomic::translate(self, op)
                    || ops::global::translate(self, op)
                    || ops::table::translate(self, op)
                    || ops::reference::translate(self, op)?);
            }
        }
        Ok(true)
    }

    /// Whether a function of the module is called where it stands.
    pub(crate) fn is_direct(&self, callee: DefinedFuncIndex) -> bool {
        match self.direct {
            Direct::Never => false,
            Direct::Itself => callee == self.func,
            Direct::Module => true,
        }
    }

    fn local(&self, index: u32) -> Result<Variable> {
        let local = self.locals.get(index as usize);
        local
            .copied()
            .ok_or_else(|| bug(format!("there is no local {index}")))
    }

    fn set_local(&mut self, index: u32, value: Value) -> Result<()> {
        let local = self.local(index)?;
        let value = canonical(&mut self.b, value);
        self.b.def_var(local, value);
        Ok(())
    }

    /// The top `n` operands as blocks and calls take them.
    pub(crate) fn top(&mut self, n: usize) -> SmallVec<[Value; 8]> {
        let mut values: SmallVec<[Value; 8]> = self.stack.peek_n(n).into();
        for value in &mut values {
            *value = canonical(&mut self.b, *value);
        }
        values
    }

    /// Returns from the function with `values`.
    pub(crate) fn return_values(&mut self, values: &[Value]) {
        let own = self.env.own.clone();
        let mut registers: SmallVec<[Value; 8]> = SmallVec::new();
        for (&value, &(_, place)) in values.iter().zip(&own.results) {
            match (place, self.env.result_area) {
                (ResultPlace::Area(at), Some(area)) => {
                    self.b.ins().store(MemFlagsData::trusted(), value, area, at);
                }
                _ => registers.push(value),
            }
        }
        self.b.ins().return_(&registers);
    }
}

/// An error that blames us.
pub(crate) fn bug(message: String) -> Error {
    Error::new(Bug(message))
}
