//! Core types in the component's type sections, as `helve_base` expresses them.
//!
//! What it cannot express (garbage-collected types, references to other types) is kept
//! as "other" and refused only where a plan would have to name it.

use crate::error::unsupported;
use crate::plan::ModuleType;
use crate::scope::{CoreTypeItem, Scope, ScopeId, at};
use helve_base::core_type::{
    ExternType, FuncType, GlobalType, HeapType, MemoryType, RefType, TableType, ValType,
};
use helve_base::{PrimaryMap, Result};
use wasmparser::{
    AbstractHeapType, CompositeInnerType, CoreType, ModuleTypeDeclaration, RecGroup, TypeRef,
};

/// Adds a core type definition to a scope's index space.
pub(crate) fn define(
    scopes: &mut PrimaryMap<ScopeId, Scope>,
    scope: ScopeId,
    ty: &CoreType<'_>,
    offset: u64,
) -> Result<()> {
    match ty {
        CoreType::Rec(group) => {
            let types = rec_group(group);
            scopes[scope].core_types.extend(types);
        }
        CoreType::Module(decls) => {
            let ty = module_type(scopes, scope, decls, offset)?;
            let item = ty.map_or(CoreTypeItem::Other, |ty| CoreTypeItem::Module(ty.into()));
            scopes[scope].core_types.push(item);
        }
    }
    Ok(())
}

fn rec_group(group: &RecGroup) -> impl Iterator<Item = CoreTypeItem> + '_ {
    group.types().map(|ty| match &ty.composite_type.inner {
        CompositeInnerType::Func(func) => match func_type(func) {
            Some(func) => CoreTypeItem::Func(func),
            None => CoreTypeItem::Other,
        },
        _ => CoreTypeItem::Other,
    })
}

fn func_type(ty: &wasmparser::FuncType) -> Option<FuncType> {
    Some(FuncType {
        params: ty
            .params()
            .iter()
            .map(|ty| val_type(*ty))
            .collect::<Option<_>>()?,
        results: ty
            .results()
            .iter()
            .map(|ty| val_type(*ty))
            .collect::<Option<_>>()?,
    })
}

fn val_type(ty: wasmparser::ValType) -> Option<ValType> {
    Some(match ty {
        wasmparser::ValType::I32 => ValType::I32,
        wasmparser::ValType::I64 => ValType::I64,
        wasmparser::ValType::F32 => ValType::F32,
        wasmparser::ValType::F64 => ValType::F64,
        wasmparser::ValType::V128 => ValType::V128,
        wasmparser::ValType::Ref(ty) => ValType::Ref(ref_type(ty)?),
    })
}

fn ref_type(ty: wasmparser::RefType) -> Option<RefType> {
    let wasmparser::HeapType::Abstract {
        shared: false,
        ty: heap,
    } = ty.heap_type()
    else {
        return None;
    };
    let heap = match heap {
        AbstractHeapType::Func => HeapType::Func,
        AbstractHeapType::Extern => HeapType::Extern,
        AbstractHeapType::NoFunc => HeapType::NoFunc,
        AbstractHeapType::NoExtern => HeapType::NoExtern,
        AbstractHeapType::Exn => HeapType::Exn,
        AbstractHeapType::NoExn => HeapType::NoExn,
        _ => return None,
    };
    Some(RefType {
        nullable: ty.is_nullable(),
        heap,
    })
}

/// A module type; none where an import or export of it cannot be expressed.
fn module_type(
    scopes: &PrimaryMap<ScopeId, Scope>,
    scope: ScopeId,
    decls: &[ModuleTypeDeclaration<'_>],
    offset: u64,
) -> Result<Option<ModuleType>> {
    let mut types: Vec<CoreTypeItem> = Vec::new();
    let mut module = ModuleType::default();
    for decl in decls {
        match decl {
            ModuleTypeDeclaration::Type(group) => types.extend(rec_group(group)),
            ModuleTypeDeclaration::OuterAlias { count, index, .. } => {
                let ty = match count.checked_sub(1) {
                    None => at(&types, *index, "type of a module type")?.clone(),
                    Some(levels) => {
                        let scope = outer(scopes, scope, levels)?;
                        at(&scopes[scope].core_types, *index, "core type")?.clone()
                    }
                };
                types.push(ty);
            }
            ModuleTypeDeclaration::Import(import) => {
                let Some(ty) = extern_type(&types, &import.ty)? else {
                    return Ok(None);
                };
                let names = (import.module.into(), import.name.into(), ty);
                module.imports.push(names);
            }
            ModuleTypeDeclaration::Export { name, ty } => {
                let Some(ty) = extern_type(&types, ty)? else {
                    return Ok(None);
                };
                module.exports.insert((*name).into(), ty);
            }
        }
        if module.imports.len().max(types.len()) > (1 << 20) {
            return Err(unsupported("a core module type of this size", offset));
        }
    }
    Ok(Some(module))
}

/// The scope `levels` outside of `scope`.
pub(crate) fn outer(
    scopes: &PrimaryMap<ScopeId, Scope>,
    mut scope: ScopeId,
    levels: u32,
) -> Result<ScopeId> {
    for _ in 0..levels {
        scope = scopes[scope]
            .outer
            .ok_or_else(|| crate::error::bug("an alias beyond the outermost scope"))?;
    }
    Ok(scope)
}

fn extern_type(types: &[CoreTypeItem], ty: &TypeRef) -> Result<Option<ExternType>> {
    let func = |index: u32| {
        Ok::<_, helve_base::Error>(match at(types, index, "type of a module type")? {
            CoreTypeItem::Func(ty) => Some(ty.clone()),
            _ => None,
        })
    };
    Ok(match ty {
        TypeRef::Func(index) | TypeRef::FuncExact(index) => func(*index)?.map(ExternType::Func),
        TypeRef::Tag(tag) => func(tag.func_type_idx)?.map(ExternType::Tag),
        TypeRef::Table(ty) => ref_type(ty.element_type).map(|element| {
            ExternType::Table(TableType {
                element,
                minimum: ty.initial,
                maximum: ty.maximum,
                table64: ty.table64,
            })
        }),
        TypeRef::Memory(ty) => Some(ExternType::Memory(MemoryType {
            minimum: ty.initial,
            maximum: ty.maximum,
            memory64: ty.memory64,
            shared: ty.shared,
            page_size_log2: ty
                .page_size_log2
                .and_then(|n| n.try_into().ok())
                .unwrap_or(16),
        })),
        TypeRef::Global(ty) => val_type(ty.content_type).map(|content| {
            ExternType::Global(GlobalType {
                content,
                mutable: ty.mutable,
            })
        }),
    })
}
