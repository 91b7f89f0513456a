//! `wasmparser`'s types as Helve's, and Helve's as Cranelift's.
//!
//! A reference is a pointer in compiled code, so `I64`; a v128 is `I8X16`.

use crate::module::EntityIndex;
use cranelift_codegen::ir::{Type, types};
use helve_base::core_type::*;
use helve_base::id::*;
use helve_base::{Result, bail, ensure};
use wasmparser::{AbstractHeapType, CompositeInnerType, ExternalKind, UnpackedIndex};

/// A pointer; compiled code runs on 64-bit machines only.
pub(crate) const POINTER: Type = types::I64;

/// The type of a value in CLIF.
pub(crate) fn clif(ty: ValType) -> Type {
    match ty {
        ValType::I32 => types::I32,
        ValType::I64 => types::I64,
        ValType::F32 => types::F32,
        ValType::F64 => types::F64,
        ValType::V128 => types::I8X16,
        ValType::Ref(_) => POINTER,
    }
}

/// A value type.
pub(crate) fn val_type(ty: wasmparser::ValType) -> Result<ValType> {
    Ok(match ty {
        wasmparser::ValType::I32 => ValType::I32,
        wasmparser::ValType::I64 => ValType::I64,
        wasmparser::ValType::F32 => ValType::F32,
        wasmparser::ValType::F64 => ValType::F64,
        wasmparser::ValType::V128 => ValType::V128,
        wasmparser::ValType::Ref(ty) => ValType::Ref(ref_type(ty)?),
    })
}

/// A reference type.
pub(crate) fn ref_type(ty: wasmparser::RefType) -> Result<RefType> {
    Ok(RefType {
        nullable: ty.is_nullable(),
        heap: heap_type(ty.heap_type())?,
    })
}

/// A heap type; a concrete one keeps the module's own type index.
pub(crate) fn heap_type(ty: wasmparser::HeapType) -> Result<HeapType> {
    use wasmparser::HeapType::{Abstract, Concrete};
    Ok(match ty {
        Abstract {
            shared: false,
            ty: AbstractHeapType::Func,
        } => HeapType::Func,
        Abstract {
            shared: false,
            ty: AbstractHeapType::Extern,
        } => HeapType::Extern,
        Abstract {
            shared: false,
            ty: AbstractHeapType::NoFunc,
        } => HeapType::NoFunc,
        Abstract {
            shared: false,
            ty: AbstractHeapType::NoExtern,
        } => HeapType::NoExtern,
        Abstract {
            shared: false,
            ty: AbstractHeapType::Exn,
        } => HeapType::Exn,
        Abstract {
            shared: false,
            ty: AbstractHeapType::NoExn,
        } => HeapType::NoExn,
        Concrete(UnpackedIndex::Module(i)) => HeapType::ConcreteFunc(SharedTypeId::from_u32(i)),
        other => bail!("heap type {other:?} is not supported"),
    })
}

/// A function type out of a type section.
pub(crate) fn func_type(ty: &wasmparser::SubType) -> Result<FuncType> {
    let CompositeInnerType::Func(func) = &ty.composite_type.inner else {
        bail!("only function types are supported, not {ty}");
    };
    let list = |types: &[wasmparser::ValType]| -> Result<Box<[ValType]>> {
        types.iter().map(|&ty| val_type(ty)).collect()
    };
    ensure!(
        ty.is_final && ty.supertype_idxs.is_empty(),
        "only function types without subtypes are supported, not {ty}"
    );
    Ok(FuncType {
        params: list(func.params())?,
        results: list(func.results())?,
    })
}

/// A table's type.
pub(crate) fn table_type(ty: &wasmparser::TableType) -> Result<TableType> {
    Ok(TableType {
        element: ref_type(ty.element_type)?,
        minimum: ty.initial,
        maximum: ty.maximum,
        table64: ty.table64,
    })
}

/// A memory's type.
pub(crate) fn memory_type(ty: &wasmparser::MemoryType) -> MemoryType {
    MemoryType {
        minimum: ty.initial,
        maximum: ty.maximum,
        memory64: ty.memory64,
        shared: ty.shared,
        // Validation lets nothing above 16 through.
        page_size_log2: ty.page_size_log2.unwrap_or(16).min(16) as u8,
    }
}

/// A global's type.
pub(crate) fn global_type(ty: &wasmparser::GlobalType) -> Result<GlobalType> {
    Ok(GlobalType {
        content: val_type(ty.content_type)?,
        mutable: ty.mutable,
    })
}

/// What an export of this kind and index is.
pub(crate) fn entity(kind: ExternalKind, index: u32) -> Result<EntityIndex> {
    Ok(match kind {
        ExternalKind::Func | ExternalKind::FuncExact => {
            EntityIndex::Func(FuncIndex::from_u32(index))
        }
        ExternalKind::Table => EntityIndex::Table(TableIndex::from_u32(index)),
        ExternalKind::Memory => EntityIndex::Memory(MemoryIndex::from_u32(index)),
        ExternalKind::Global => EntityIndex::Global(GlobalIndex::from_u32(index)),
        ExternalKind::Tag => EntityIndex::Tag(TagIndex::from_u32(index)),
    })
}
