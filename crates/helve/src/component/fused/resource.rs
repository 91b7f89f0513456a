//! The built-ins of resources as generated code, where that knows enough.
//!
//! ```text
//!  core code -> generated built-in -> table                         the common case
//!                        \--tail call--> host function              everything else
//! ```
//!
//! Dropping an owned resource is left to the host function where the destructor's call
//! would have flags to check, or context slots to keep. Not here: the host functions
//! (`builtins`).
//!
//! # Safety
//!
//! As for adapters' contexts: see `context`.

use super::code::Rules;
use super::context::import;
use crate::component::state::InstanceData;
use crate::core;
use crate::core::store::StoreOpaque;
use helve_abi::CanonBuiltin;
use helve_abi::types::ResourceTypeId;
use helve_base::Result;
use helve_base::resource::{OnDrop, VMResourceContext};
use helve_base::vmctx::{CodePtr, VMFuncRef, VMFunctionImport};
use helve_compile::component::ResourceBuiltin;
use helve_decode::plan::*;
use std::ptr::{NonNull, null, null_mut};

/// One built-in of one instance for one resource type.
#[repr(C)]
pub(super) struct ResourceContext {
    /// First: compiled code's pointer to a context is to this.
    vm: VMResourceContext,
    slot: CodePtr,
    func_ref: VMFuncRef,
}

/// Owns a context without claiming to be its only pointer.
pub(super) struct ResourceBox(NonNull<ResourceContext>);

impl Drop for ResourceBox {
    fn drop(&mut self) {
        // SAFETY: made by `Box::into_raw`; the instance is going, so no code runs.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// The built-in `id`, which `slow` does already, as generated code if there is some.
pub(crate) fn builtin(
    instance: &InstanceData,
    store: &mut StoreOpaque,
    id: CanonBuiltinId,
    slow: core::Func,
) -> Result<core::Func> {
    let BuiltinDef { op, owner, .. } = instance.plan().builtins[id];
    let (builtin, resource) = match op {
        CanonBuiltin::ResourceNew { resource } => (ResourceBuiltin::New, resource),
        CanonBuiltin::ResourceRep { resource } => (ResourceBuiltin::Rep, resource),
        CanonBuiltin::ResourceDrop { resource } => (ResourceBuiltin::Drop, resource),
        _ => return super::task::builtin(instance, store, id, slow),
    };
    let resources = &instance.plan().resources;
    let is_wide = resources.get(resource).is_some_and(ResourceDef::is_wide);
    if store.engine().config().has_slow_handles() || is_wide {
        return Ok(slow);
    }
    let (on_drop, dtor) = match builtin {
        ResourceBuiltin::Drop => on_drop(instance, store, owner, resource)?,
        _ => (OnDrop::Slow, None),
    };
    let part = instance.part(owner);
    let vm = VMResourceContext {
        store: store.ptr().vm(),
        hot: part.hot().as_ptr().cast(),
        may_leave: part.may_leave.as_ptr().cast(),
        slow: import(slow),
        dtor: dtor.map_or(NO_FUNCTION, import),
        tag: instance.resource(resource)?.tag(),
        on_drop: on_drop as u32,
    };
    let slot = store.engine().resource_builtin(builtin)?;
    let context = Box::into_raw(Box::new(ResourceContext {
        vm,
        slot,
        func_ref: VMFuncRef {
            slot: null(),
            vmctx: null_mut(),
            type_id: slow.type_id().as_u32(),
        },
    }));
    // SAFETY: just made; nobody else has the pointer yet.
    let ptr = unsafe {
        (*context).func_ref.slot = &raw const (*context).slot;
        (*context).func_ref.vmctx = context.cast();
        instance
            .fused
            .keep(ResourceBox(NonNull::new_unchecked(context)));
        NonNull::new_unchecked(&raw mut (*context).func_ref)
    };
    Ok(core::Func {
        store: store.id(),
        ptr,
    })
}

const NO_FUNCTION: VMFunctionImport = VMFunctionImport {
    slot: null(),
    vmctx: null_mut(),
};

/// What `dropper` has to do when it drops an owned resource.
fn on_drop(
    instance: &InstanceData,
    store: &mut StoreOpaque,
    dropper: ComponentInstanceId,
    resource: ResourceTypeId,
) -> Result<(OnDrop, Option<core::Func>)> {
    let plan = instance.plan();
    let Some(ResourceOrigin::Defined { owner, dtor, .. }) =
        plan.resources.get(resource).map(|def| &def.origin)
    else {
        return Ok((OnDrop::Slow, None));
    };
    let rules: &Rules = instance.component.fused().rules();
    if !rules.entering(plan, dropper, *owner).is_empty() {
        return Ok((OnDrop::Slow, None));
    }
    match dtor {
        None => Ok((OnDrop::Nothing, None)),
        // A destructor of a component with tasks is one.
        Some(_) if instance.tasks() => Ok((OnDrop::Slow, None)),
        Some(_) if rules.sees_context(*owner) => Ok((OnDrop::Slow, None)),
        Some(dtor) => {
            instance.touch_owner(store, dtor);
            match instance.core_def(store, dtor)? {
                core::Extern::Func(func) => Ok((OnDrop::Call, Some(func))),
                _ => Ok((OnDrop::Slow, None)),
            }
        }
    }
}
