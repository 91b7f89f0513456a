//! Making an instance, in the order of the specification.
//!
//! ```text
//!  check imports -> memories, tables -> VMContext: imports, func refs -> globals
//!      -> table contents, element segments -> (the store owns it now)
//!      -> active elements -> active data -> start
//! ```
//!
//! What fails before the store owns the instance leaves nothing. What fails later (a
//! trap) leaves the instance, unreachable by name, because others may already hold its
//! functions through shared tables.
//!
//! # Safety
//!
//! Imports are checked against the module's types before they are written into its
//! context, and live as long as the store. The guest runs only in `start`, when nothing
//! of the store is borrowed.

use crate::core::backtrace::exit_error;
use crate::core::const_expr;
use crate::core::externs::{Extern, check_import};
use crate::core::func::{Func, call_raw};
use crate::core::host::{HostContext, HostFunc};
use crate::core::image::Images;
use crate::core::instance::InstanceData;
use crate::core::limits::PartLimiter;
use crate::core::module::{Module, ModuleInner, ModuleMemory};
use crate::core::store::{InstanceId, StoreOpaque, StorePtr};
use crate::core::value::ZERO;
use helve_base::core_type::{ExternType, TableType};
use helve_base::id::*;
use helve_base::vmctx::{VMFuncRef, VMFunctionImport, ValRaw};
use helve_base::{Bug, EntityRef, Error, Result, bail, ensure};
use helve_compile::module::{ConstExpr, DataMode, ElemItems, ElemMode, EntityIndex, Import};
use helve_vm::instance::{Instance, InstanceParts};
use std::ptr::NonNull;

/// What an import is filled with.
#[derive(Clone, Copy)]
pub(crate) enum ImportItem<'a> {
    /// A thing of this store.
    Extern(Extern),
    /// A host function that is in no store yet.
    Host(&'a HostFunc),
}

/// Instantiates `module` with as many items as it has imports, for the component instance
/// that `part` is of, or for none.
///
/// # Safety
///
/// No reference to the store or into it is alive: the start function may run.
pub(crate) unsafe fn instantiate(
    ptr: StorePtr,
    module: &Module,
    items: &[ImportItem<'_>],
    part: Option<NonNull<PartLimiter>>,
) -> Result<InstanceId> {
    // SAFETY: as the caller says; not used any more once the start function runs.
    let store = unsafe { ptr.get() };
    let before = store.limiter.get().begin_part(part);
    let images = match store.engine().config().images && !shares_memory(module) {
        true => module.inner().images.next(module.inner()),
        false => None,
    };
    let made = prepare(store, module, items, images);
    store
        .limiter
        .get()
        .end_part(made.is_err().then_some(before));
    let id = made?;
    let Some(data) = store.instances.get(id) else {
        bail!("no instance")
    };
    run_segments(module.inner(), &data.vm, images)?;
    let Some(start) = module.inner().info.start else {
        // Only a component instance says when its code runs.
        match part.is_some() && (images.is_some() || !has_active_data(module)) {
            true => data.vm.set_untouched(),
            false => data.vm.touch(),
        }
        return Ok(id);
    };
    data.vm.touch();
    let Some(Extern::Func(start)) = data.entity(store.id(), EntityIndex::Func(start)) else {
        return Err(Bug("a start function without a reference".into()).into());
    };
    let trampoline = store.engine().entry_trampoline(start.type_id())?;
    let mut args = [ZERO];
    // SAFETY: validation says that it takes and gives nothing; `store` and `data` are not
    // used any more.
    let left = unsafe { call_raw(ptr, start.ptr, trampoline, args.as_mut_ptr()) };
    left.map_err(exit_error)?;
    Ok(id)
}

/// Whether a memory of the module may be in use by others already: then it gets its data
/// segments one by one.
fn shares_memory(module: &Module) -> bool {
    module.inner().info.memories.values().any(|ty| ty.shared)
}

/// Whether making an instance writes to a memory, where that has no image.
fn has_active_data(module: &Module) -> bool {
    let mut data = module.inner().info.data.values();
    data.any(|segment| matches!(segment.mode, DataMode::Active { .. }))
}

/// All but the active segments and the start function.
fn prepare(
    store: &mut StoreOpaque,
    module: &Module,
    items: &[ImportItem<'_>],
    images: Option<&Images>,
) -> Result<InstanceId> {
    let inner = module.inner();
    ensure!(
        crate::Engine::same(module.engine(), store.engine()),
        "the module was compiled by another engine than the store's"
    );
    ensure!(
        items.len() == inner.info.imports.len(),
        "{} imports given where the module has {}",
        items.len(),
        inner.info.imports.len()
    );
    for (import, item) in inner.info.imports.iter().zip(items) {
        check(store, module, import, item).map_err(|e| {
            Error::msg(format!(
                "{e} (import `{}` `{}`)",
                import.module, import.name
            ))
        })?;
    }
    let vm = new_instance(store, inner, images)?;
    let id = store.instances.next_key();
    for (import, item) in inner.info.imports.iter().zip(items) {
        set_import(store, &vm, id, import.entity, item)?;
    }
    fill(inner, &vm)?;
    watch(store, inner, &vm);
    store
        .limiter
        .get()
        .add_instance(inner.info.offsets.size())?;
    store.instances.push(InstanceData {
        module: module.clone(),
        vm,
    });
    Ok(id)
}

fn check(
    store: &StoreOpaque,
    module: &Module,
    import: &Import,
    item: &ImportItem<'_>,
) -> Result<()> {
    let type_id = match item {
        ImportItem::Extern(item) => {
            store.check(item.store())?;
            match item {
                Extern::Func(f) => f.type_id(),
                Extern::Tag(t) => t.type_id(store)?,
                other => {
                    let wanted = module.entity_type(import.entity);
                    return check_import(&wanted, &other.type_in(store)?);
                }
            }
        }
        ImportItem::Host(func) => func.type_id,
    };
    // Equal ids are equal types, and only these.
    let (wanted_id, is_tag) = match import.entity {
        EntityIndex::Func(i) => (module.inner().func_type_id(i), false),
        EntityIndex::Tag(i) => (module.inner().tag_type_id(i), true),
        _ => (None, false),
    };
    let actual_is_tag = matches!(item, ImportItem::Extern(Extern::Tag(_)));
    if wanted_id == Some(type_id.as_u32()) && is_tag == actual_is_tag {
        return Ok(());
    }
    let actual = store.engine().types().get(type_id);
    let actual = actual.ok_or_else(|| Bug("a function without a type".into()))?;
    let actual = match actual_is_tag {
        true => ExternType::Tag((*actual).clone()),
        false => ExternType::Func((*actual).clone()),
    };
    check_import(&module.entity_type(import.entity), &actual)?;
    bail!(
        "incompatible import type: the types look the same, but are of different recursive groups"
    )
}

/// The VM's instance, with memories and tables but nothing filled in yet.
fn new_instance(
    store: &mut StoreOpaque,
    inner: &std::sync::Arc<ModuleInner>,
    images: Option<&Images>,
) -> Result<Box<Instance>> {
    let info = &inner.info;
    let imported = |count: u32| count as usize;
    let mut memories = Vec::new();
    for (i, ty) in info.memories.iter() {
        if let Some(defined) = info.defined_memory(i) {
            let image = images.and_then(|images| images.get(defined));
            memories.push(store.new_memory(ty, image)?);
        }
    }
    let mut tables = Vec::new();
    for ty in info
        .tables
        .values()
        .skip(imported(info.counts.imported_tables))
    {
        let ty = TableType {
            element: inner.ref_type(ty.element),
            ..*ty
        };
        tables.push(store.new_table(&ty, std::ptr::null_mut())?);
    }
    let tags = info.tags.values().skip(imported(info.counts.imported_tags));
    let tags = tags
        .filter_map(|ty| inner.type_ids.get(ty.index()).copied())
        .collect();
    let parts = InstanceParts {
        offsets: info.offsets,
        store: store.ptr().vm(),
        slots: inner.slots.as_ptr(),
        type_ids: inner.type_ids.as_ptr(),
        memories,
        tables,
        tags,
        data_bytes: inner.bytes.clone(),
        data: inner.data.clone(),
        limiter: Some(store.limiter.get().for_vm()),
        keep: inner.clone(),
        lazy: match &inner.code {
            ModuleMemory::Image(_) => None,
            ModuleMemory::Lazy(lazy) => Some(lazy.clone()),
        },
    };
    // SAFETY: offsets, slots and type ids are of one module, kept alive by `keep`; the
    // store and its limiter outlive the instance; imports are set next.
    unsafe { Instance::new(parts) }
}

fn set_import(
    store: &mut StoreOpaque,
    vm: &Instance,
    importer: InstanceId,
    entity: EntityIndex,
    item: &ImportItem<'_>,
) -> Result<()> {
    // SAFETY: `check` has found each item to be of the import's type and of this store.
    unsafe {
        match (entity, item) {
            (EntityIndex::Func(i), ImportItem::Host(func)) => {
                let ptr = func.new_in(store, Some(importer))?;
                vm.set_imported_function(i, function_import(ptr));
            }
            (EntityIndex::Func(i), ImportItem::Extern(Extern::Func(func))) => {
                let ptr = with_importer(store, *func, importer)?;
                vm.set_imported_function(i, function_import(ptr));
            }
            (EntityIndex::Table(i), ImportItem::Extern(Extern::Table(t))) => {
                vm.set_imported_table(i, t.ptr.as_ptr())
            }
            (EntityIndex::Memory(i), ImportItem::Extern(Extern::Memory(m))) => {
                vm.set_imported_memory(i, m.ptr.as_ptr());
            }
            (EntityIndex::Global(i), ImportItem::Extern(Extern::Global(g))) => {
                vm.set_imported_global(i, g.ptr.as_ptr());
            }
            (EntityIndex::Tag(i), ImportItem::Extern(Extern::Tag(t))) => {
                vm.set_imported_tag(i, t.ptr.as_ptr())
            }
            _ => return Err(Bug("an import of the wrong kind was let through".into()).into()),
        }
    }
    Ok(())
}

/// Globals and tables that may hold exceptions keep them.
fn watch(store: &mut StoreOpaque, inner: &ModuleInner, vm: &Instance) {
    let info = &inner.info;
    for (i, _) in info.global_inits.iter() {
        let global = info.global_index(i);
        store.watch_global(info.globals[global].content, vm.global(global));
    }
    for (i, _) in info.table_inits.iter() {
        let table = info.table_index(i);
        store.watch_table(info.tables[table].element, vm.table(table));
    }
}

/// A host function that wants its caller is copied for each importer.
fn with_importer(
    store: &mut StoreOpaque,
    func: Func,
    importer: InstanceId,
) -> Result<NonNull<VMFuncRef>> {
    // SAFETY: a function of this store, in which no guest runs that could change it.
    let host = unsafe { HostContext::of(func.ptr) }.map(HostContext::func);
    match host {
        Some(host) if host.wants_caller => host.clone().new_in(store, Some(importer)),
        _ => Ok(func.ptr),
    }
}

/// # Safety
///
/// `func` must be valid.
unsafe fn function_import(func: NonNull<VMFuncRef>) -> VMFunctionImport {
    // SAFETY: as the caller says.
    let VMFuncRef { slot, vmctx, .. } = unsafe { *func.as_ptr() };
    VMFunctionImport { slot, vmctx }
}

/// Func refs, globals, table contents and element segments.
fn fill(inner: &ModuleInner, vm: &Instance) -> Result<()> {
    let info = &inner.info;
    for (place, &func) in info.func_refs.iter() {
        let type_id = inner
            .func_type_id(func)
            .ok_or_else(|| Bug("a function without a type".into()))?;
        let (slot, vmctx) = match info.defined_func(func) {
            Some(defined) => {
                let slot = inner.slots.slot(defined);
                let slot = slot.ok_or_else(|| Bug("a function without code".into()))?;
                (slot, vm.context())
            }
            None => {
                let import = vm.imported_function(func);
                (import.slot, import.vmctx)
            }
        };
        // SAFETY: a place of the context's, which nobody else uses yet.
        unsafe {
            vm.func_ref(place).write(VMFuncRef {
                slot,
                vmctx,
                type_id,
            })
        };
    }
    for (i, init) in info.global_inits.iter() {
        let value = eval(inner, vm, init)?;
        // SAFETY: the global is the instance's own; the value is of its type.
        unsafe { helve_vm::global::set(vm.global(info.global_index(i)), value) };
    }
    for (i, init) in info.table_inits.iter() {
        let Some(init) = init else { continue };
        let word = reference(eval(inner, vm, init)?);
        // SAFETY: the table is the instance's own, alive as long as it is.
        let table = unsafe { helve_vm::table::Table::of(vm.table(info.table_index(i))) };
        table
            .fill(0, word, table.len())
            .ok_or_else(|| Bug("a table was not filled".into()))?;
    }
    let elems: Result<Vec<_>> = info
        .elems
        .values()
        .map(|segment| elem_words(inner, vm, segment))
        .collect();
    vm.set_elems(elems?);
    Ok(())
}

fn elem_words(
    inner: &ModuleInner,
    vm: &Instance,
    segment: &helve_compile::module::ElemSegment,
) -> Result<Box<[*mut u8]>> {
    // A declared segment is dropped before anyone can use it.
    if segment.mode == ElemMode::Declared {
        return Ok(Box::default());
    }
    match &segment.items {
        ElemItems::Funcs(funcs) => funcs
            .iter()
            .map(|&f| Ok(func_ref(inner, vm, f)?.cast()))
            .collect(),
        ElemItems::Exprs(exprs) => exprs
            .iter()
            .map(|e| Ok(reference(eval(inner, vm, e)?)))
            .collect(),
    }
}

fn func_ref(inner: &ModuleInner, vm: &Instance, func: FuncIndex) -> Result<*mut VMFuncRef> {
    match inner.info.func_ref(func) {
        Some(place) => Ok(vm.func_ref(place)),
        None => Err(Bug("a function whose reference cannot be taken".into()).into()),
    }
}

fn eval(inner: &ModuleInner, vm: &Instance, expr: &ConstExpr) -> Result<ValRaw> {
    // SAFETY: validation says that the globals it reads are imported or have their value.
    const_expr::eval(
        expr,
        |i| unsafe { helve_vm::global::get(vm.global(i)) },
        |i| func_ref(inner, vm, i),
    )
}

fn reference(value: ValRaw) -> *mut u8 {
    // SAFETY: expressions that give references write this field, or all bytes as zero.
    unsafe { value.funcref.cast() }
}

/// Copies active segments, elements before data. Effects before a trap stay.
fn run_segments(inner: &ModuleInner, vm: &Instance, images: Option<&Images>) -> Result<()> {
    if let Err(trap) = run_elems(inner, vm) {
        // Data that comes after the trap was never there.
        images
            .into_iter()
            .flat_map(Images::iter)
            .for_each(|(i, image)| {
                let memory = vm.memory(inner.info.memory_index(i));
                // SAFETY: the instance's own memory, which has that image; no guest runs.
                unsafe { (*memory).base.add(image.start).write_bytes(0, image.len()) };
            });
        return Err(trap);
    }
    run_data(inner, vm, images.is_some())
}

fn run_elems(inner: &ModuleInner, vm: &Instance) -> Result<()> {
    let info = &inner.info;
    for (i, segment) in info.elems.iter() {
        if let ElemMode::Active { table, offset } = &segment.mode {
            let wide = info.tables.get(*table).is_some_and(|ty| ty.table64);
            let to = address(eval(inner, vm, offset)?, wide);
            let len = u32::try_from(segment.items.len()).unwrap_or(u32::MAX);
            vm.table_init(*table, i, to, 0, len)?;
            vm.elem_drop(i);
        }
    }
    Ok(())
}

/// Active data segments; with images, memories hold them already.
fn run_data(inner: &ModuleInner, vm: &Instance, imaged: bool) -> Result<()> {
    let info = &inner.info;
    for (i, segment) in info.data.iter() {
        if let DataMode::Active { memory, offset } = &segment.mode {
            if imaged {
                vm.data_drop(i);
                continue;
            }
            let wide = info.memories.get(*memory).is_some_and(|ty| ty.memory64);
            let to = address(eval(inner, vm, offset)?, wide);
            let len = u32::try_from(segment.range.len()).unwrap_or(u32::MAX);
            vm.memory_init(*memory, i, to, 0, len)?;
            vm.data_drop(i);
        }
    }
    Ok(())
}

fn address(value: ValRaw, wide: bool) -> u64 {
    // SAFETY: validation says that offsets are of their index type.
    unsafe {
        if wide {
            value.i64 as u64
        } else {
            u64::from(value.i32 as u32)
        }
    }
}
