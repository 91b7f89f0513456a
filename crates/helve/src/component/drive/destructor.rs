//! `resource.drop` in components with tasks: the destructor of a guest is a call like any
//! other, so it may wait, and whoever drops waits with it.
//!
//! ```text
//!   drop --host trampoline--> destructor on a stack of its own
//!     returns at once                     drop returns
//!     waits                               drop's stack is suspended until it is over
//! ```
//!
//! One that nothing can suspend runs where it is called (`call::on_native_stack`), as one
//! does that the host asks for. Not here: the table's rules, and which destructor a resource
//! has (`builtins::resource`).
//!
//! # Safety
//!
//! As for `builtins`.

use super::answer::pass_on;
use super::noted::first_stop;
use super::run::returned;
use super::{Handed, Reply, State, refused};
use crate::component::builtins::resource::{Dropper, drop_handle};
use crate::component::call::enter::CoreFunc;
use crate::component::call::lane::Lane;
use crate::component::meter::metered;
use crate::component::state::{InstanceData, InstancePtr};
use crate::core;
use crate::core::backtrace::component_exit_error;
use crate::core::store::StoreOpaque;
use helve_abi::types::ResourceTypeId;
use helve_base::core_type::FuncType;
use helve_base::vmctx::{VMHostContext, ValRaw};
use helve_base::{Bug, Error, Result};
use helve_decode::plan::ComponentInstanceId;
use helve_model::{Abi, Callee};
use helve_vm::fibers::FiberResult;
use helve_vm::traps::host_call_waiting;
use std::ptr::null_mut;
use std::sync::Arc;

struct Function {
    instance: InstancePtr,
    owner: ComponentInstanceId,
    resource: ResourceTypeId,
}

/// The core function of `resource.drop`.
pub(crate) fn builtin(
    instance: &InstanceData,
    store: &mut StoreOpaque,
    ty: &FuncType,
    (owner, resource): (ComponentInstanceId, ResourceTypeId),
) -> Result<core::Func> {
    let function = Function {
        instance: instance.ptr(),
        owner,
        resource,
    };
    let host =
        core::host::HostFunc::from_parts(store.engine(), ty, false, enter, Arc::new(function));
    core::Func::from_host(store, &host)
}

/// The `HostCall` of these.
///
/// # Safety
///
/// Called by a host trampoline with the context of such a function, and its arguments.
unsafe extern "C" fn enter(context: *mut VMHostContext, args: *mut ValRaw) -> u32 {
    // SAFETY: by contract; one argument.
    unsafe {
        let function = &*(*context).data.cast::<Function>();
        host_call_waiting((*context).store, |waits| {
            let by = Dropper {
                instance: function.instance.get(),
                part: function.owner,
                answer: Some((args.cast(), waits)),
            };
            drop_handle(by, function.resource, (*args.cast::<Lane>()).u32())
        })
    }
}

/// Calls a destructor of `part`: the guest that drops gets its answer in the lanes, or waits.
pub(crate) fn call(
    instance: &InstanceData,
    part: ComponentInstanceId,
    (func, rep): (CoreFunc, Lane),
    (lanes, waits): (*mut Lane, &mut bool),
) -> Result<()> {
    let drive = &instance.shared().drive;
    State::materialize(instance.shared(), instance.store())?;
    let (caller, thread) = {
        let mut state = drive.state();
        let callee = Callee {
            instance: state.id(instance, part)?,
            is_async: false,
            abi: Abi::Sync,
        };
        let caller = state.model.current_thread();
        let begun = state.model.call(callee, false);
        // What it has to start is started below.
        let _ = begun.map_err(|trap| refused(instance, part, trap))?;
        let thread = state.model.current_thread();
        let both = caller.zip(thread);
        both.ok_or_else(|| Error::new(Bug("a destructor of nobody".into())))?
    };
    let stack = drive.take_stack(instance)?;
    let own_lanes = super::frame::Frame::lanes(&stack);
    // SAFETY: nothing runs on the stack yet.
    unsafe { own_lanes.write(rep) };
    let within = instance.part(part);
    let slots = within.context.replace([0; 2]);
    let went = metered(instance, within, || {
        func.enter_on(instance.store(), stack, own_lanes, null_mut())
    });
    let next = match went {
        FiberResult::Done(result, stack) => {
            result.map_err(component_exit_error)?;
            drive.put_stack(stack);
            Handed::Effect(returned(instance, thread, &mut [])?)
        }
        FiberResult::Suspended(guest) => first_stop(instance, thread, guest)?,
    };
    within.context.set(slots);
    drive.state().asker = Some(caller);
    pass_on(instance, next, Reply { lanes, event: None }, waits)
}
