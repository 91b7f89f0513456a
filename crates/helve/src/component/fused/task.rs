//! `task.return`, `context.get` and `context.set` as generated code.
//!
//! ```text
//!  core code -> generated task.return -> move_result of the adapter that noted the call
//!                        \--tail call--> host function              everything else
//! ```
//!
//! Not here: the code (`helve_compile::component`), the host functions (`drive::builtins`).
//!
//! # Safety
//!
//! As for adapters' contexts: see `context`.

use super::context::import;
use crate::component::call::options::CallOptions;
use crate::component::state::InstanceData;
use crate::core;
use crate::core::store::StoreOpaque;
use helve_abi::CanonBuiltin;
use helve_abi::flat::FlatType;
use helve_abi::options::StringEncoding;
use helve_abi::types::InterfaceType;
use helve_base::Result;
use helve_base::adapter::{VMContextSlots, VMTaskReturn};
use helve_base::vmctx::{CodePtr, VMFuncRef, VMMemory};
use helve_decode::plan::*;
use std::ptr::{NonNull, null, null_mut};

/// What must be the same of a function and of the `task.return` that gives its result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ReturnKey {
    owner: ComponentInstanceId,
    ty: Option<InterfaceType>,
    /// Options, where anything depends on them.
    options: Option<(StringEncoding, Option<*mut VMMemory>)>,
}

/// The number of a key; equal keys have one.
pub(crate) fn key(
    instance: &InstanceData,
    owner: ComponentInstanceId,
    ty: Option<InterfaceType>,
    options: &CallOptions,
) -> u32 {
    let types = instance.types();
    let (flat, passing) = types.task_return_params(ty, options.width);
    let plain = ty.is_none_or(|ty| !types.contains_pointer(ty)) && !passing.is_memory();
    debug_assert!(flat.len() <= 16);
    let memory = options.memory.map(|memory| memory.as_ptr());
    let key = ReturnKey {
        owner,
        ty,
        options: (!plain).then_some((options.encoding, memory)),
    };
    let mut keys = instance.fused.returns.borrow_mut();
    let found = keys.iter().position(|other| *other == key);
    let at = found.unwrap_or_else(|| {
        keys.push(key);
        keys.len() - 1
    });
    u32::try_from(at + 1).unwrap_or(0)
}

/// A built-in's context, its code, and how core code calls it.
#[repr(C)]
pub(super) struct Context<V> {
    /// First: compiled code's pointer to a context is to this.
    vm: V,
    slot: CodePtr,
    func_ref: VMFuncRef,
}

/// Owns a context without claiming to be its only pointer.
pub(super) enum TaskBox {
    Return(NonNull<Context<VMTaskReturn>>),
    Slots(NonNull<Context<VMContextSlots>>),
}

impl Drop for TaskBox {
    fn drop(&mut self) {
        // SAFETY: made by `Box::into_raw`; the instance is going, so no code runs.
        unsafe {
            match self {
                TaskBox::Return(context) => drop(Box::from_raw(context.as_ptr())),
                TaskBox::Slots(context) => drop(Box::from_raw(context.as_ptr())),
            }
        }
    }
}

/// Puts a context where it will stay: it, and its function.
fn place<V>(vm: V, slot: CodePtr, like: core::Func) -> (NonNull<Context<V>>, core::Func) {
    let context = Box::into_raw(Box::new(Context {
        vm,
        slot,
        func_ref: VMFuncRef {
            slot: null(),
            vmctx: null_mut(),
            type_id: like.type_id().as_u32(),
        },
    }));
    // SAFETY: just made; nobody else has the pointer yet.
    unsafe {
        (*context).func_ref.slot = &raw const (*context).slot;
        (*context).func_ref.vmctx = context.cast();
        let ptr = NonNull::new_unchecked(&raw mut (*context).func_ref);
        let store = like.store;
        (NonNull::new_unchecked(context), core::Func { store, ptr })
    }
}

/// The built-in `id`, which `slow` does already, as generated code if there is some.
pub(super) fn builtin(
    instance: &InstanceData,
    store: &mut StoreOpaque,
    id: CanonBuiltinId,
    slow: core::Func,
) -> Result<core::Func> {
    if store.engine().config().has_slow_calls() {
        return Ok(slow);
    }
    let BuiltinDef {
        op, owner, options, ..
    } = instance.plan().builtins[id];
    let part = instance.part(owner);
    match op {
        CanonBuiltin::TaskReturn { result } => {
            let options = instance.call_options(store, options, owner)?;
            let vm = VMTaskReturn {
                store: store.ptr().vm(),
                may_leave: part.may_leave.as_ptr().cast(),
                slow: import(slow),
                key: key(instance, owner, result, &options),
            };
            let code = store.engine().task_return(slow.type_id())?;
            let (context, func) = place(vm, code, slow);
            instance.fused.keep_task(TaskBox::Return(context));
            Ok(func)
        }
        CanonBuiltin::ContextGet { ty, slot } | CanonBuiltin::ContextSet { ty, slot } => {
            let vm = VMContextSlots {
                store: store.ptr().vm(),
                slots: part.context.as_ptr().cast(),
            };
            let set = matches!(op, CanonBuiltin::ContextSet { .. });
            let code = store
                .engine()
                .context_builtin(set, ty == FlatType::I64, slot)?;
            let (context, func) = place(vm, code, slow);
            instance.fused.keep_task(TaskBox::Slots(context));
            Ok(func)
        }
        _ => Ok(slow),
    }
}
