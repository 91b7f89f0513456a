//! `resource.new`, `resource.rep` and `resource.drop` as generated functions.
//!
//! They are called like any import, with a `VMResourceContext`. One code of each serves
//! all resource types. Not here: whoever fills the contexts (helve's component layer).

use super::handles;
use crate::artifact::CompiledFunction;
use crate::compiler::Compiler;
use crate::env::load_fixed;
use crate::signature::WasmSignature;
use crate::trampoline::entry_block;
use crate::types::POINTER;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, Function, InstBuilder, MemFlagsData, Signature, Value, types};
use cranelift_codegen::isa::TargetFrontendConfig;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use helve_base::core_type::{FuncType, ValType};
use helve_base::resource::{OnDrop, offset};
use helve_base::vmctx::offset as vm;
use helve_base::{Error, Result};
use helve_model::layout::UNCOUNTED_SCOPE;

/// A built-in of resources, with a representation of 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResourceBuiltin {
    /// `resource.new`: representation to index.
    New,
    /// `resource.rep`: index to representation.
    Rep,
    /// `resource.drop`: index.
    Drop,
}

impl ResourceBuiltin {
    /// Every one.
    pub const ALL: [ResourceBuiltin; 3] = [
        ResourceBuiltin::New,
        ResourceBuiltin::Rep,
        ResourceBuiltin::Drop,
    ];

    /// Its core type.
    pub fn ty(self) -> FuncType {
        match self {
            ResourceBuiltin::Drop => FuncType::new([ValType::I32], []),
            _ => FuncType::new([ValType::I32], [ValType::I32]),
        }
    }
}

impl Compiler {
    /// The code of a built-in of resources, called with a
    /// [`helve_base::resource::VMResourceContext`].
    pub fn resource_builtin(&self, builtin: ResourceBuiltin) -> Result<CompiledFunction> {
        let target = self.target();
        let name = || format!("resource built-in {builtin:?}");
        self.compile(&name, |function, context| {
            build(builtin, function, context, target)
        })
    }
}

fn build(
    builtin: ResourceBuiltin,
    into: &mut Function,
    context: &mut FunctionBuilderContext,
    target: TargetFrontendConfig,
) -> Result<(), Error> {
    let signature = WasmSignature::new(&builtin.ty()).clif;
    into.signature = signature.clone();
    let mut b = FunctionBuilder::new(into, context);
    let params = entry_block(&mut b);
    let &[context, value] = &*params else {
        return Err(crate::func::bug("a built-in without parameters".into()));
    };
    let slow = b.create_block();
    b.set_cold_block(slow);
    let mut this = Resource {
        b: &mut b,
        context,
        value,
        slow,
        signature,
    };
    match builtin {
        ResourceBuiltin::New => this.build_new(),
        ResourceBuiltin::Rep => this.build_rep(),
        ResourceBuiltin::Drop => this.build_drop(),
    }
    this.b.switch_to_block(slow);
    this.hand_on(offset::SLOW, value);
    b.seal_all_blocks();
    b.finalize(target);
    Ok(())
}

/// One of the functions being built.
struct Resource<'a, 'b> {
    b: &'a mut FunctionBuilder<'b>,
    context: Value,
    value: Value,
    slow: Block,
    signature: Signature,
}

impl Resource<'_, '_> {
    fn field(&mut self, at: u32) -> Value {
        load_fixed(self.b, POINTER, self.context, at)
    }

    fn tag(&mut self) -> Value {
        load_fixed(self.b, types::I32, self.context, offset::TAG)
    }

    fn need_may_leave(&mut self) {
        let flag = self.field(offset::MAY_LEAVE);
        let may = self
            .b
            .ins()
            .load(types::I8, MemFlagsData::trusted(), flag, 0);
        handles::need(self.b, may, self.slow);
    }

    /// Tail-calls a function of the same type.
    fn hand_on(&mut self, import: u32, value: Value) {
        let slot = self.field(import + vm::IMPORT_SLOT);
        let callee = self.field(import + vm::IMPORT_VMCTX);
        let code = self.b.ins().load(POINTER, MemFlagsData::trusted(), slot, 0);
        let sig = self.b.import_signature(self.signature.clone());
        self.b
            .ins()
            .return_call_indirect(sig, code, &[callee, value]);
    }

    /// Calls the destructor. Not as a tail call: this frame is where an exception of the
    /// destructor's ends.
    fn call_dtor(&mut self, rep: Value) {
        let slot = self.field(offset::DTOR + vm::IMPORT_SLOT);
        let callee = self.field(offset::DTOR + vm::IMPORT_VMCTX);
        let code = self.b.ins().load(POINTER, MemFlagsData::trusted(), slot, 0);
        let sig = self.b.import_signature(self.signature.clone());
        self.b.ins().call_indirect(sig, code, &[callee, rep]);
    }

    fn build_new(&mut self) {
        self.need_may_leave();
        let hot = self.field(offset::HOT);
        let tag = self.tag();
        let index = handles::insert(self.b, hot, tag, self.value, None, self.slow);
        self.b.ins().return_(&[index]);
    }

    /// An owned resource's tag and a borrowed one's differ in bit 0.
    fn build_rep(&mut self) {
        let hot = self.field(offset::HOT);
        let slot = handles::find(self.b, hot, self.value);
        let found = handles::tag(self.b, slot);
        let wanted = self.tag();
        let found = self.b.ins().bor_imm_u(found, 1);
        let wanted = self.b.ins().bor_imm_u(wanted, 1);
        let same = self.b.ins().icmp(IntCC::Equal, found, wanted);
        handles::need(self.b, same, self.slow);
        let rep = handles::rep(self.b, slot);
        self.b.ins().return_(&[rep]);
    }

    fn build_drop(&mut self) {
        self.need_may_leave();
        let hot = self.field(offset::HOT);
        let slot = handles::find(self.b, hot, self.value);
        let found = handles::tag(self.b, slot);
        let lends = handles::lends(self.b, slot);
        let idle = self.b.ins().icmp_imm_u(IntCC::Equal, lends, 0);
        handles::need(self.b, idle, self.slow);
        let [owned, other] = [(); 2].map(|()| self.b.create_block());
        let tag = self.tag();
        let is = self.b.ins().icmp(IntCC::Equal, found, tag);
        self.b.ins().brif(is, owned, &[], other, &[]);
        self.b.switch_to_block(owned);
        self.drop_owned(hot, slot);
        self.b.switch_to_block(other);
        self.drop_borrowed(hot, slot, found, tag);
    }

    fn drop_owned(&mut self, hot: Value, slot: Value) {
        let on_drop = load_fixed(self.b, types::I32, self.context, offset::ON_DROP);
        handles::need(self.b, on_drop, self.slow);
        let rep = handles::rep(self.b, slot);
        handles::remove(self.b, hot, self.value, slot);
        let [call, done] = [(); 2].map(|()| self.b.create_block());
        let calls = i64::from(OnDrop::Call as u32);
        let is = self.b.ins().icmp_imm_u(IntCC::Equal, on_drop, calls);
        self.b.ins().brif(is, call, &[], done, &[]);
        self.b.switch_to_block(call);
        self.call_dtor(rep);
        self.b.ins().jump(done, &[]);
        self.b.switch_to_block(done);
        self.b.ins().return_(&[]);
    }

    /// Borrowed handles that a scope of the store counts are for the host function.
    fn drop_borrowed(&mut self, hot: Value, slot: Value, found: Value, owned: Value) {
        let wanted = self.b.ins().bxor_imm_u(owned, 1);
        let same = self.b.ins().icmp(IntCC::Equal, found, wanted);
        handles::need(self.b, same, self.slow);
        let scope = handles::scope(self.b, slot);
        let uncounted = self.b.ins().band_imm_u(scope, i64::from(UNCOUNTED_SCOPE));
        handles::need(self.b, uncounted, self.slow);
        handles::remove(self.b, hot, self.value, slot);
        self.b.ins().return_(&[]);
    }
}
