//! Functions of the host's that a component exports as it has imported them, as functions
//! that the host can call.
//!
//! ```text
//!   host --call--> lifted --> asks for room for a result --> lowered --> the host's function
//!                  a component of our own: a memory, `realloc`, and no other code
//! ```
//!
//! So values cross as they do for any guest, and nothing else knows of such functions. The
//! component is made when the function is first looked up, and stays in its store. Not here:
//! who looks them up (`instance`).

use super::component::Component;
use super::func::Func;
use super::link::Binding;
use super::linker::{Definition, Linker};
use super::state::InstanceData;
use crate::core::context::{AsContext, AsContextMut};
use helve_abi::flat::{MAX_FLAT_PARAMS, MAX_FLAT_RESULTS, Side, SignatureOptions};
use helve_abi::layout::PointerWidth;
use helve_abi::types::{FuncTypeId, InterfaceType, ResourceTypeId, Types};
use helve_base::core_type::ValType as CoreType;
use helve_base::{Bug, Error, Result, bail, ensure};
use helve_decode::plan::ImportedFuncId;
use std::cell::OnceCell;
use std::collections::HashMap;
use wasm_encoder::{
    CanonicalOption, CodeSection, ComponentBuilder, ComponentExportKind, ComponentTypeRef,
    ComponentValType, ConstExpr, EntityType, ExportKind, ExportSection, Function, FunctionSection,
    GlobalSection, GlobalType, ImportSection, MemorySection, MemoryType, Module, ModuleArg,
    PrimitiveValType, TypeBounds, TypeSection, ValType,
};

/// The function, of an instance that this store has.
pub(super) fn func(
    instance: &InstanceData,
    id: ImportedFuncId,
    mut store: impl AsContextMut,
) -> Result<Func> {
    if let Some(func) = instance.reexports.borrow().get(&id) {
        return Ok(*func);
    }
    let Some(Binding::Host(host)) = instance.imported_funcs.get(id).and_then(OnceCell::get) else {
        return Err(Error::new(Bug("a host function that is none".into())));
    };
    let host = host.clone();
    let ty = instance.plan().imported_funcs[id].ty;
    let borrows = borrows(instance.types(), ty)?;
    let (bytes, resources) = Encoder::new(instance.types()).component(ty, &borrows);
    let mut context = store.as_context_mut();
    let engine = context.as_context().engine().clone();
    let component = Component::from_binary(&engine, &bytes)?;
    let mut linker = Linker::new(&engine);
    let mut root = linker.root();
    for (at, resource) in resources.into_iter().enumerate() {
        root.resource_type(&format!("r{at}"), instance.resource_type(resource))?;
    }
    root.define("f", Definition::Func(host))?;
    let made = linker.instantiate(&mut context, &component)?;
    let func = made.get_func(&mut context, "g");
    let func = func.ok_or_else(|| Error::new(Bug("no function was made".into())))?;
    instance.reexports.borrow_mut().insert(id, func);
    Ok(func)
}

/// The parameters that are borrowed handles, by their first core value: the guest that a
/// caller lends to has to drop them.
fn borrows(types: &Types, ty: FuncTypeId) -> Result<Vec<(u32, ResourceTypeId)>> {
    let mut found = Vec::new();
    let mut at = 0;
    for (_, ty) in &types[ty].params {
        let flat = types.flatten([*ty], PointerWidth::P32);
        match (ty, flat) {
            (InterfaceType::Borrow(id), _) => found.push((at, *id)),
            (ty, _) if types.contains_borrow(*ty) => bail!(
                "a function of the host's that was only passed on and borrows handles within \
                 other values: call the host's own"
            ),
            _ => {}
        }
        at += flat.map_or(0, |flat| flat.core().count() as u32);
    }
    ensure!(
        found.is_empty() || at as usize <= MAX_FLAT_PARAMS,
        "a function of the host's that was only passed on and borrows one of many parameters: \
         call the host's own"
    );
    Ok(found)
}

/// Writes the component.
struct Encoder<'a> {
    types: &'a Types,
    builder: ComponentBuilder,
    known: HashMap<InterfaceType, u32>,
    resources: Vec<(ResourceTypeId, u32)>,
    named: u32,
}

impl<'a> Encoder<'a> {
    fn new(types: &'a Types) -> Encoder<'a> {
        Encoder {
            types,
            builder: ComponentBuilder::default(),
            known: HashMap::new(),
            resources: Vec::new(),
            named: 0,
        }
    }

    /// Its bytes, and the resource types that it imports, in order.
    fn component(
        mut self,
        ty: FuncTypeId,
        borrows: &[(u32, ResourceTypeId)],
    ) -> (Vec<u8>, Vec<ResourceTypeId>) {
        let func = &self.types[ty];
        let params: Vec<(&str, ComponentValType)> = func
            .params
            .iter()
            .map(|(name, ty)| (&**name, self.value(*ty)))
            .collect();
        let result = func.result.map(|ty| self.value(ty));
        let (index, mut encoder) = self.builder.type_function(None);
        encoder.async_(func.is_async);
        encoder.params(params).result(result);
        let host = self.builder.import("f", ComponentTypeRef::Func(index));

        let memory = self.builder.core_module(None, &memory());
        let memory = self.builder.core_instantiate(None, memory, []);
        let mem = self
            .builder
            .core_alias_export(None, memory, "memory", ExportKind::Memory);
        let realloc = self
            .builder
            .core_alias_export(None, memory, "realloc", ExportKind::Func);
        let options = [
            CanonicalOption::UTF8,
            CanonicalOption::Memory(mem),
            CanonicalOption::Realloc(realloc),
        ];
        let lowered = self.builder.lower_func(None, host, options);
        let drops: Vec<(String, u32)> = borrows
            .iter()
            .map(|(at, id)| {
                let resource = self.resource(*id);
                (format!("drop{at}"), self.builder.resource_drop(resource))
            })
            .collect();
        let drops = drops.iter().map(|(name, func)| (&**name, *func));
        let supplied: Vec<_> = std::iter::once(("f", lowered))
            .chain(drops)
            .map(|(name, func)| (name, ExportKind::Func, func))
            .collect();
        let host = self.builder.core_instantiate_exports(None, supplied);
        let bridge = self.bridge(ty, borrows);
        let bridge = self.builder.core_module(None, &bridge);
        let bridge = self.builder.core_instantiate(
            None,
            bridge,
            [
                ("host", ModuleArg::Instance(host)),
                ("memory", ModuleArg::Instance(memory)),
            ],
        );
        let [core, done] = ["g", "done"].map(|name| {
            self.builder
                .core_alias_export(None, bridge, name, ExportKind::Func)
        });
        let options = options
            .into_iter()
            .chain([CanonicalOption::PostReturn(done)]);
        let options: Vec<_> = options.collect();
        let lifted = self.builder.lift_func(None, core, index, options);
        self.builder
            .export("g", ComponentExportKind::Func, lifted, None);
        let resources = self.resources.iter().map(|(id, _)| *id).collect();
        (self.builder.finish(), resources)
    }

    /// The core module between: gives the lowered function a place for its result where that
    /// goes through memory, and frees everything afterwards.
    fn bridge(&self, ty: FuncTypeId, borrows: &[(u32, ResourceTypeId)]) -> Module {
        let [lift, lower] = [Side::Lift, Side::Lower].map(|side| {
            let options = SignatureOptions {
                side,
                width: PointerWidth::P32,
                is_async: false,
                callback: false,
            };
            self.types.core_signature(ty, options)
        });
        let core = |flat: helve_abi::flat::FlatTypes| flat.core().map(core_type).collect();
        let [lift_params, lift_results, lower_params, lower_results]: [Vec<ValType>; 4] =
            [lift.params, lift.results, lower.params, lower.results].map(core);
        let mut types = TypeSection::new();
        let four = [ValType::I32; 4];
        types.ty().function(lower_params, lower_results);
        types.ty().function(four, [ValType::I32]);
        types
            .ty()
            .function(lift_params.iter().copied(), lift_results.iter().copied());
        types.ty().function(lift_results.iter().copied(), []);
        types.ty().function([], []);
        types.ty().function([ValType::I32], []);
        let mut imports = ImportSection::new();
        imports.import("host", "f", EntityType::Function(0));
        imports.import("memory", "realloc", EntityType::Function(1));
        imports.import("memory", "reset", EntityType::Function(4));
        for (at, _) in borrows {
            imports.import("host", &format!("drop{at}"), EntityType::Function(5));
        }
        let own = 3 + borrows.len() as u32;
        let mut functions = FunctionSection::new();
        functions.function(2).function(3);
        let mut exports = ExportSection::new();
        exports.export("g", ExportKind::Func, own);
        exports.export("done", ExportKind::Func, own + 1);
        let mut code = CodeSection::new();
        code.function(&self.forward(ty, lift_params.len() as u32, borrows));
        let mut body = Function::new([]);
        body.instructions().call(2).end();
        code.function(&body);
        let mut module = Module::new();
        module.section(&types).section(&imports).section(&functions);
        module.section(&exports).section(&code);
        module
    }

    /// Calls the host's function with as many core values as it got.
    fn forward(&self, ty: FuncTypeId, at: u32, borrows: &[(u32, ResourceTypeId)]) -> Function {
        let result = self.types.flatten(self.types[ty].result, PointerWidth::P32);
        let in_memory = result.is_none_or(|flat| flat.core().count() > MAX_FLAT_RESULTS);
        let mut body = Function::new([(1, ValType::I32)]);
        let mut ins = body.instructions();
        if in_memory {
            let layout = self.types[ty].result.map(|ty| self.types.layout(ty));
            let (size, align) = layout.map_or((0, 1), |layout| {
                (
                    layout.size(PointerWidth::P32),
                    layout.align(PointerWidth::P32),
                )
            });
            ins.i32_const(0).i32_const(0).i32_const(align as i32);
            ins.i32_const(size as i32).call(1).local_set(at);
        }
        (0..at).for_each(|param| {
            ins.local_get(param);
        });
        if in_memory {
            ins.local_get(at).call(0).local_get(at);
        } else {
            ins.call(0);
        }
        for (drop, (param, _)) in (3..).zip(borrows) {
            ins.local_get(*param).call(drop);
        }
        ins.end();
        body
    }

    fn optional(&mut self, ty: Option<InterfaceType>) -> Option<ComponentValType> {
        ty.map(|ty| self.value(ty))
    }

    fn resource(&mut self, id: ResourceTypeId) -> u32 {
        if let Some((_, index)) = self.resources.iter().find(|(known, _)| *known == id) {
            return *index;
        }
        let name = format!("r{}", self.resources.len());
        let bounds = ComponentTypeRef::Type(TypeBounds::SubResource);
        let index = self.builder.import(name.as_str(), bounds);
        self.resources.push((id, index));
        index
    }

    fn value(&mut self, ty: InterfaceType) -> ComponentValType {
        if let Some(primitive) = primitive(ty) {
            return ComponentValType::Primitive(primitive);
        }
        if let Some(index) = self.known.get(&ty) {
            return ComponentValType::Type(*index);
        }
        let mut index = self.define(ty);
        if matches!(
            ty,
            InterfaceType::Record(_)
                | InterfaceType::Variant(_)
                | InterfaceType::Flags(_)
                | InterfaceType::Enum(_)
        ) {
            // Functions are exported with types that have names.
            let name = format!("t{}", self.named);
            let bounds = ComponentTypeRef::Type(TypeBounds::Eq(index));
            index = self.builder.import(name.as_str(), bounds);
            self.named += 1;
        }
        self.known.insert(ty, index);
        ComponentValType::Type(index)
    }

    fn define(&mut self, ty: InterfaceType) -> u32 {
        let types = self.types;
        macro_rules! define {
            ($method:ident($($arg:expr),*)) => {{
                let (index, encoder) = self.builder.type_defined(None);
                encoder.$method($($arg),*);
                index
            }};
        }
        match ty {
            InterfaceType::Record(id) => {
                let fields = types[id].fields.iter();
                let fields = fields.map(|field| (&*field.name, self.value(field.ty)));
                let fields: Vec<_> = fields.collect();
                define!(record(fields))
            }
            InterfaceType::Variant(id) => {
                let cases = types[id].cases.iter();
                let cases: Vec<_> = cases
                    .map(|case| (&*case.name, self.optional(case.ty)))
                    .collect();
                define!(variant(cases))
            }
            InterfaceType::List(id) => {
                let element = self.value(types[id].element);
                define!(list(element))
            }
            InterfaceType::FixedList(id) => {
                let element = self.value(types[id].element);
                define!(fixed_length_list(element, types[id].length))
            }
            InterfaceType::Map(id) => {
                let (key, value) = (self.value(types[id].key), self.value(types[id].value));
                define!(map(key, value))
            }
            InterfaceType::Tuple(id) => {
                let parts: Vec<_> = types[id].types.iter().map(|ty| self.value(*ty)).collect();
                define!(tuple(parts))
            }
            InterfaceType::Flags(id) => define!(flags(types[id].names.iter().map(|name| &**name))),
            InterfaceType::Enum(id) => {
                define!(enum_type(types[id].names.iter().map(|name| &**name)))
            }
            InterfaceType::Option(id) => {
                let some = self.value(types[id].some);
                define!(option(some))
            }
            InterfaceType::Result(id) => {
                let (ok, err) = (self.optional(types[id].ok), self.optional(types[id].err));
                define!(result(ok, err))
            }
            InterfaceType::Own(id) | InterfaceType::Borrow(id) => {
                let resource = self.resource(id);
                match ty {
                    InterfaceType::Own(_) => define!(own(resource)),
                    _ => define!(borrow(resource)),
                }
            }
            InterfaceType::Future(id) => {
                let payload = self.optional(types[id].payload);
                define!(future(payload))
            }
            InterfaceType::Stream(id) => {
                let element = self.optional(types[id].element);
                define!(stream(element))
            }
            // All others are primitive.
            _ => define!(primitive(PrimitiveValType::Bool)),
        }
    }
}

fn primitive(ty: InterfaceType) -> Option<PrimitiveValType> {
    Some(match ty {
        InterfaceType::Bool => PrimitiveValType::Bool,
        InterfaceType::S8 => PrimitiveValType::S8,
        InterfaceType::U8 => PrimitiveValType::U8,
        InterfaceType::S16 => PrimitiveValType::S16,
        InterfaceType::U16 => PrimitiveValType::U16,
        InterfaceType::S32 => PrimitiveValType::S32,
        InterfaceType::U32 => PrimitiveValType::U32,
        InterfaceType::S64 => PrimitiveValType::S64,
        InterfaceType::U64 => PrimitiveValType::U64,
        InterfaceType::F32 => PrimitiveValType::F32,
        InterfaceType::F64 => PrimitiveValType::F64,
        InterfaceType::Char => PrimitiveValType::Char,
        InterfaceType::String => PrimitiveValType::String,
        InterfaceType::ErrorContext => PrimitiveValType::ErrorContext,
        _ => return None,
    })
}

fn core_type(ty: CoreType) -> ValType {
    match ty {
        CoreType::I64 => ValType::I64,
        CoreType::F32 => ValType::F32,
        CoreType::F64 => ValType::F64,
        // Flat types are numbers.
        _ => ValType::I32,
    }
}

/// Where it starts to give out memory: 0 is nobody's address.
const START: i32 = 16;

/// A memory that grows as it must, and is free again after each call.
fn memory() -> Module {
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32; 4], [ValType::I32]);
    types.ty().function([], []);
    let mut functions = FunctionSection::new();
    functions.function(0).function(1);
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 1,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut globals = GlobalSection::new();
    let next = GlobalType {
        val_type: ValType::I32,
        mutable: true,
        shared: false,
    };
    globals.global(next, &ConstExpr::i32_const(START));
    let mut exports = ExportSection::new();
    exports.export("memory", ExportKind::Memory, 0);
    exports.export("realloc", ExportKind::Func, 0);
    exports.export("reset", ExportKind::Func, 1);
    let mut code = CodeSection::new();
    code.function(&realloc());
    let mut body = Function::new([]);
    body.instructions().i32_const(START).global_set(0).end();
    code.function(&body);
    let mut module = Module::new();
    module
        .section(&types)
        .section(&functions)
        .section(&memories);
    module.section(&globals).section(&exports).section(&code);
    module
}

/// `realloc(old, old size, align, size)`: what was there is copied to a new place.
fn realloc() -> Function {
    let mut body = Function::new([(2, ValType::I32)]);
    let (at, end) = (4, 5);
    let mut ins = body.instructions();
    ins.global_get(0)
        .local_get(2)
        .i32_add()
        .i32_const(1)
        .i32_sub();
    ins.i32_const(0)
        .local_get(2)
        .i32_sub()
        .i32_and()
        .local_tee(at);
    ins.local_get(3)
        .i32_add()
        .local_tee(end)
        .local_get(at)
        .i32_lt_u();
    ins.if_(wasm_encoder::BlockType::Empty).unreachable().end();
    // As many pages more as are missing.
    ins.local_get(end)
        .i32_const(16)
        .i32_shr_u()
        .i32_const(1)
        .i32_add();
    ins.memory_size(0)
        .i32_gt_u()
        .if_(wasm_encoder::BlockType::Empty);
    ins.local_get(end)
        .i32_const(16)
        .i32_shr_u()
        .i32_const(1)
        .i32_add();
    ins.memory_size(0)
        .i32_sub()
        .memory_grow(0)
        .i32_const(-1)
        .i32_eq();
    ins.if_(wasm_encoder::BlockType::Empty)
        .unreachable()
        .end()
        .end();
    ins.local_get(end).global_set(0);
    ins.local_get(at).local_get(0).local_get(1).local_get(3);
    ins.local_get(1)
        .local_get(3)
        .i32_lt_u()
        .select()
        .memory_copy(0, 0);
    ins.local_get(at).end();
    body
}
