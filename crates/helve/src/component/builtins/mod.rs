//! Canonical built-ins as host functions of a component instance.
//!
//! All but those that read or write what a task may see check first that calls may go
//! out. Built-ins that need tasks say that they are not supported yet; they still link,
//! because many components import them and never call them.
//!
//! Not here: `canon lift` and `canon lower` (`call`).
//!
//! # Safety
//!
//! Each closure follows its instance's pointer only when compiled code of that instance's
//! store calls it: both are alive then.

pub(crate) mod resource;

use crate::component::builtins::resource::Dropper;
use crate::component::call::lane::{Lane, lanes_mut};
use crate::component::drive;
use crate::component::part::Part;
use crate::component::state::InstanceData;
use crate::core;
use crate::core::store::StoreOpaque;
use helve_abi::canon::CanonBuiltin;
use helve_abi::flat::FlatType;
use helve_abi::types::ResourceTypeId;
use helve_base::core_type::{FuncType, ValType};
use helve_base::error::GuestTrap;
use helve_base::{Error, Result, Trap};
use helve_decode::plan::*;

/// The core function of a built-in.
pub(crate) fn make(
    instance: &InstanceData,
    store: &mut StoreOpaque,
    id: CanonBuiltinId,
) -> Result<core::Func> {
    let BuiltinDef { op, owner, .. } = instance.plan().builtins[id];
    let ptr = instance.ptr();
    let ty = core_type(instance.plan(), id);
    let wide = |resource| is_wide(instance.plan(), resource);
    match op {
        CanonBuiltin::ResourceNew { resource } if wide(resource) => {
            core::Func::new_raw(store, &ty, move |_, args| {
                // SAFETY: see the module.
                resource::new_wide(unsafe { ptr.get() }, owner, resource, lanes_mut(args))
            })
        }
        CanonBuiltin::ResourceRep { resource } if wide(resource) => {
            core::Func::new_raw(store, &ty, move |_, args| {
                // SAFETY: see the module.
                resource::rep_wide(unsafe { ptr.get() }, owner, resource, lanes_mut(args))
            })
        }
        CanonBuiltin::ResourceNew { resource } => {
            core::Func::new_raw(store, &ty, move |_, args| {
                // SAFETY: see the module.
                resource::new(unsafe { ptr.get() }, owner, resource, lanes_mut(args))
            })
        }
        CanonBuiltin::ResourceRep { resource } => {
            core::Func::new_raw(store, &ty, move |_, args| {
                // SAFETY: see the module.
                resource::rep(unsafe { ptr.get() }, owner, resource, lanes_mut(args))
            })
        }
        CanonBuiltin::ResourceDrop { resource } if instance.tasks() => {
            drive::destructor::builtin(instance, store, &ty, (owner, resource))
        }
        CanonBuiltin::ResourceDrop { resource } => {
            core::Func::new_raw(store, &ty, move |_, args| {
                let by = Dropper {
                    // SAFETY: see the module.
                    instance: unsafe { ptr.get() },
                    part: owner,
                    answer: None,
                };
                resource::drop_handle(by, resource, lanes_mut(args)[0].u32())
            })
        }
        op if !matches!(
            op,
            CanonBuiltin::ContextGet { .. } | CanonBuiltin::ContextSet { .. }
        ) =>
        {
            drive::builtins::builtin(instance, store, id)
        }
        op => core::Func::new_raw(store, &ty, move |_, args| {
            // SAFETY: see the module.
            simple(unsafe { ptr.get() }.part(owner), op, lanes_mut(args))
        }),
    }
}

/// Its type.
pub(crate) fn core_type(plan: &Plan, id: CanonBuiltinId) -> FuncType {
    let BuiltinDef { op, options, .. } = plan.builtins[id];
    match op {
        CanonBuiltin::ResourceNew { resource } if is_wide(plan, resource) => {
            FuncType::new([ValType::I64], [ValType::I32])
        }
        CanonBuiltin::ResourceRep { resource } if is_wide(plan, resource) => {
            FuncType::new([ValType::I32], [ValType::I64])
        }
        _ => {
            let (params, results) = op.signature(&plan.types, plan.options[options].width);
            FuncType::new(params.core(), results.core())
        }
    }
}

fn is_wide(plan: &Plan, resource: ResourceTypeId) -> bool {
    plan.resources
        .get(resource)
        .is_some_and(ResourceDef::is_wide)
}

/// Built-ins on what one component instance has.
fn simple(part: &Part, op: CanonBuiltin, lanes: &mut [Lane]) -> Result<()> {
    match op {
        CanonBuiltin::ContextGet { slot, .. } => {
            set(
                lanes,
                Lane::from_u64(part.context.get().get(slot as usize).copied().unwrap_or(0)),
            );
        }
        CanonBuiltin::ContextSet { ty, slot } => {
            let lane = lanes.first().copied().unwrap_or(Lane::ZERO);
            let mut context = part.context.get();
            if let Some(value) = context.get_mut(slot as usize) {
                *value = if ty == FlatType::I64 {
                    lane.u64()
                } else {
                    lane.u32().into()
                };
            }
            part.context.set(context);
        }
        CanonBuiltin::BackpressureInc => {
            backpressure(part, part.backpressure.get().checked_add(1))?
        }
        CanonBuiltin::BackpressureDec => {
            backpressure(part, part.backpressure.get().checked_sub(1))?
        }
        op => {
            part.check_leave()?;
            return Err(Error::msg(format!(
                "the built-in `{}` is not supported yet",
                op.name()
            )));
        }
    }
    Ok(())
}

fn backpressure(part: &Part, count: Option<u16>) -> Result<()> {
    let Some(count) = count else {
        return Err(Error::new(GuestTrap::new(
            Trap::CanonicalAbi,
            "backpressure counter overflow",
        )));
    };
    part.backpressure.set(count);
    Ok(())
}

/// Writes the one result.
fn set(lanes: &mut [Lane], lane: Lane) {
    if let Some(first) = lanes.first_mut() {
        *first = lane;
    }
}
