//! What a function under translation knows of its instance, and how it gets there.
//!
//! Everything is reached from the context, the function's first parameter. What cannot
//! change while the function runs (slots, type ids, memory bases, imports) is loaded with
//! flags that let Cranelift move and merge the loads; what can (lengths, the code in a
//! slot, mutable globals, table elements) is not.
//!
//! **Alias regions** tell Cranelift which stores can't change what a load saw. Linear
//! memories are one region (two imports may be one memory), table elements another, and
//! so are sizes; each global that the module defines has its own, imported ones share one.
//!
//! Not here: instructions (`ops`), address checks (`bounds`).

use crate::module::Module;
use crate::signature::{WasmSignature, builtin_signature};
use crate::trap_code;
use crate::types::POINTER;
use cranelift_codegen::ir::{
    AliasRegionData, ExtFuncData, ExternalName, FuncRef, InstBuilder, MemFlagsData, SigRef,
    StackSlot, StackSlotData, StackSlotKind, TrapCode, Type, UserExternalName, Value,
};
use cranelift_codegen::isa::CallConv;
use cranelift_frontend::FunctionBuilder;
use helve_base::builtin::{Builtin, BuiltinType};
use helve_base::id::*;
use helve_base::vmctx::{VMOffsets, offset};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::rc::Rc;

/// Parts of memory that never overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Region {
    /// Linear memories.
    Heap,
    /// Bases and lengths of memories and tables.
    Sizes,
    /// Elements of tables.
    Elements,
    /// Slots of functions.
    Slots,
    /// The counters behind them.
    Counters,
    /// What a store says about stopping: fuel and the epoch's deadline.
    Fuel,
    /// Globals that are imported.
    ImportedGlobals,
    /// One global that the module defines.
    Global(DefinedGlobalIndex),
}

/// Globals beyond this one share a region: Cranelift's table of flags is small.
const GLOBALS_WITH_REGION: u32 = 1000;

impl Region {
    fn data(self) -> AliasRegionData {
        let (user_id, name) = match self {
            Region::Heap => (0, "heap"),
            Region::Sizes => (1, "sizes"),
            Region::Elements => (2, "elements"),
            Region::Slots => (3, "slots"),
            Region::ImportedGlobals => (4, "imported globals"),
            Region::Counters => (5, "counters"),
            Region::Fuel => (6, "fuel"),
            Region::Global(i) => (7 + i.as_u32().min(GLOBALS_WITH_REGION), "global"),
        };
        AliasRegionData {
            user_id,
            description: name.into(),
        }
    }
}

/// The namespaces of functions that are called where they stand: others of the module, and
/// the function under translation itself.
pub(crate) const OTHERS: u32 = 0;
pub(crate) const ITSELF: u32 = 1;

/// A signature as used in one function: interned there.
#[derive(Clone)]
pub(crate) struct Callee {
    /// For the call instruction.
    pub(crate) sig: SigRef,
    /// What it means.
    pub(crate) signature: Rc<WasmSignature>,
}

/// The surroundings of the function under translation.
pub(crate) struct Env<'a> {
    /// The module it belongs to.
    pub(crate) module: &'a Module,
    /// Its context.
    pub(crate) vmctx: Value,
    /// The area its caller gave it for results, where its type needs one.
    pub(crate) result_area: Option<Value>,
    /// The function's own signature.
    pub(crate) own: Rc<WasmSignature>,
    convention: CallConv,
    callees: HashMap<TypeIndex, Callee>,
    builtins: HashMap<u32, SigRef>,
    functions: HashMap<DefinedFuncIndex, FuncRef>,
    call_area: Option<StackSlot>,
}

impl<'a> Env<'a> {
    /// The surroundings of a function of type `own`, whose entry block gave it `vmctx` and
    /// `result_area`. Routines of the VM are called by `convention`.
    pub(crate) fn new(
        module: &'a Module,
        own: Rc<WasmSignature>,
        vmctx: Value,
        result_area: Option<Value>,
        convention: CallConv,
    ) -> Env<'a> {
        Env {
            module,
            vmctx,
            result_area,
            own,
            convention,
            callees: HashMap::new(),
            builtins: HashMap::new(),
            functions: HashMap::new(),
            call_area: None,
        }
    }

    /// Where things are in the context.
    pub(crate) fn offsets(&self) -> &'a VMOffsets {
        &self.module.offsets
    }

    /// The signature of functions of a type of the module.
    pub(crate) fn callee(&mut self, b: &mut FunctionBuilder<'_>, ty: TypeIndex) -> Callee {
        let module = self.module;
        let make = || {
            let signature = Rc::new(WasmSignature::new(&module.types[ty]));
            Callee {
                sig: b.import_signature(signature.clif.clone()),
                signature,
            }
        };
        self.callees.entry(ty).or_insert_with(make).clone()
    }

    /// A function of the module, to be called where it stands; whether it is the one under
    /// translation.
    pub(crate) fn function(
        &mut self,
        b: &mut FunctionBuilder<'_>,
        func: DefinedFuncIndex,
        (signature, itself): (SigRef, bool),
    ) -> FuncRef {
        *self.functions.entry(func).or_insert_with(|| {
            let namespace = if itself { ITSELF } else { OTHERS };
            let name = UserExternalName::new(namespace, func.as_u32());
            let name = b.func.declare_imported_user_function(name);
            b.import_function(ExtFuncData {
                name: ExternalName::user(name),
                signature,
                colocated: true,
                patchable: false,
            })
        })
    }

    /// The address of an area for results of a call, at least `size` bytes. One area
    /// serves all calls of the function: its contents are read right after each.
    pub(crate) fn call_area(&mut self, b: &mut FunctionBuilder<'_>, size: u32) -> Value {
        let slot = match self.call_area {
            Some(slot) => slot,
            None => {
                let data = StackSlotData::new(StackSlotKind::ExplicitSlot, size, 4);
                *self.call_area.insert(b.create_sized_stack_slot(data))
            }
        };
        let data = &mut b.func.sized_stack_slots[slot];
        data.size = data.size.max(size);
        b.ins().stack_addr(POINTER, slot, 0)
    }

    /// Loads a field of the context that stays the same while the function runs.
    pub(crate) fn load_fixed(&self, b: &mut FunctionBuilder<'_>, ty: Type, at: u32) -> Value {
        load_fixed(b, ty, self.vmctx, at)
    }

    /// Calls a routine of the VM; the context is passed where its row asks for it. Traps
    /// where the row says so. Returns its result, if any.
    pub(crate) fn call_builtin(
        &mut self,
        b: &mut FunctionBuilder<'_>,
        builtin: Builtin,
        args: &[Value],
    ) -> Option<Value> {
        let convention = self.convention;
        let sig = *self
            .builtins
            .entry(builtin.index() as u32)
            .or_insert_with(|| b.import_signature(builtin_signature(builtin, convention)));
        let table = self.load_fixed(b, POINTER, offset::VMCONTEXT_BUILTINS);
        let code = load_fixed(b, POINTER, table, builtin.index() as u32 * 8);
        let mut all: SmallVec<[Value; 8]> = SmallVec::new();
        if builtin.signature().params.first() == Some(&BuiltinType::VMContext) {
            all.push(self.vmctx);
        }
        all.extend_from_slice(args);
        let call = b.ins().call_indirect(sig, code, &all);
        let result = b.inst_results(call).first().copied()?;
        match builtin.signature().trap {
            Some(trap) => {
                b.ins().trapnz(result, trap_code(trap));
                None
            }
            None => Some(result),
        }
    }
}

/// Loads what stays the same while the function runs, from memory that is always there.
pub(crate) fn load_fixed(b: &mut FunctionBuilder<'_>, ty: Type, base: Value, at: u32) -> Value {
    let flags = MemFlagsData::trusted().with_readonly().with_can_move();
    b.ins().load(ty, flags, base, at as i32)
}

/// Flags for memory that is always there and belongs to `region`.
pub(crate) fn trusted(b: &mut FunctionBuilder<'_>, region: Region) -> MemFlagsData {
    let region = b.func.dfg.alias_regions.insert(region.data());
    MemFlagsData::trusted().with_alias_region(Some(region))
}

/// Flags for an access to `region` that traps with `code` where it fails.
pub(crate) fn trapping(
    b: &mut FunctionBuilder<'_>,
    region: Region,
    code: TrapCode,
) -> MemFlagsData {
    let region = b.func.dfg.alias_regions.insert(region.data());
    MemFlagsData::new()
        .with_alias_region(Some(region))
        .with_trap_code(Some(code))
}
