//! Canonical definitions: lifts, lowers and built-ins, with their options resolved.

use crate::error::{bug, unsupported};
use crate::plan::*;
use crate::resolve::Resolver;
use crate::scope::{Scope, ScopeId, at};
use helve_abi::flat::FlatType;
use helve_abi::types::{FutureId, InterfaceType, StreamId};
use helve_abi::{CanonBuiltin, StringEncoding};
use helve_base::Result;
use helve_base::core_type::ValType;
use wasmparser::{CanonicalFunction, CanonicalOption};

impl<'a> Resolver<'a> {
    /// A canonical definition: adds a core function, or (lift) a component-level one.
    pub fn canon(
        &mut self,
        scope: ScopeId,
        owner: ComponentInstanceId,
        canon: &CanonicalFunction,
        cancellable: bool,
    ) -> Result<()> {
        match canon {
            CanonicalFunction::Lift {
                core_func_index,
                type_index,
                options,
            } => {
                let core = self.core_func(scope, *core_func_index)?;
                let ty = self.scopes[scope].func_type(*type_index)?;
                let options = self.canonical_options(scope, options)?;
                let id = self.plan.lifted.push(Lifted {
                    core,
                    ty,
                    options,
                    owner,
                });
                let func = FuncRef::Lifted(id);
                self.scopes[scope].funcs.push(FuncItem { func, ty });
            }
            CanonicalFunction::Lower {
                func_index,
                options,
            } => {
                let func = *at(&self.scopes[scope].funcs, *func_index, "function")?;
                let options = self.canonical_options(scope, options)?;
                self.plan.component_instances[owner].has_lower = true;
                let id = self.plan.lowered.push(Lowered {
                    callee: func.func,
                    ty: func.ty,
                    options,
                    owner,
                });
                self.scopes[scope].core_funcs.push(CoreDef::Lowered(id));
            }
            builtin => {
                let (op, options, table) = self.builtin(scope, builtin, cancellable)?;
                let id = self.plan.builtins.push(BuiltinDef {
                    op,
                    options,
                    table,
                    owner,
                });
                self.scopes[scope].core_funcs.push(CoreDef::Builtin(id));
            }
        }
        Ok(())
    }

    fn core_func(&self, scope: ScopeId, index: u32) -> Result<CoreDef> {
        Ok(at(&self.scopes[scope].core_funcs, index, "core function")?.clone())
    }

    fn builtin(
        &mut self,
        scope: ScopeId,
        canon: &CanonicalFunction,
        cancellable: bool,
    ) -> Result<(CanonBuiltin, OptionsId, Option<CoreDef>)> {
        use CanonicalFunction as F;
        let mut table = None;
        let options = match canon {
            F::TaskReturn { options, .. }
            | F::StreamRead { options, .. }
            | F::StreamWrite { options, .. }
            | F::FutureRead { options, .. }
            | F::FutureWrite { options, .. }
            | F::ErrorContextNew { options }
            | F::ErrorContextDebugMessage { options } => self.canonical_options(scope, options)?,
            F::WaitableSetWait { memory } | F::WaitableSetPoll { memory } => {
                self.canonical_options(scope, &[CanonicalOption::Memory(*memory)])?
            }
            _ => self.intern_options(CanonicalOptions::default()),
        };
        let op = match canon {
            F::ThreadNewIndirect {
                func_ty_index,
                table_index,
            } => {
                let (def, width) = at(&self.scopes[scope].core_tables, *table_index, "core table")?;
                table = Some(def.clone());
                CanonBuiltin::ThreadNewIndirect {
                    argument: self.thread_argument(scope, *func_ty_index)?,
                    index: FlatType::pointer(*width),
                }
            }
            F::TaskReturn { result, .. } => CanonBuiltin::TaskReturn {
                result: self.optional(scope, result)?,
            },
            _ => builtin_op(&self.scopes[scope], canon, cancellable, self.offset)?,
        };
        Ok((op, options, table))
    }

    /// What a thread's start function takes.
    fn thread_argument(&self, scope: ScopeId, func_type: u32) -> Result<FlatType> {
        let ty = self.scopes[scope].core_func_type(func_type)?;
        match ty.as_ref().map(|ty| &*ty.params) {
            Some([ValType::I32]) => Ok(FlatType::I32),
            Some([ValType::I64]) => Ok(FlatType::I64),
            _ => Err(unsupported(
                "a thread's start function of this type",
                self.offset,
            )),
        }
    }

    fn canonical_options(
        &mut self,
        scope: ScopeId,
        options: &[CanonicalOption],
    ) -> Result<OptionsId> {
        let mut made = CanonicalOptions::default();
        for option in options {
            match option {
                CanonicalOption::UTF8 => made.string_encoding = StringEncoding::Utf8,
                CanonicalOption::UTF16 => made.string_encoding = StringEncoding::Utf16,
                CanonicalOption::CompactUTF16 => {
                    made.string_encoding = StringEncoding::Latin1OrUtf16;
                }
                CanonicalOption::Memory(index) => {
                    let memories = &self.scopes[scope].core_memories;
                    let (def, width) = at(memories, *index, "core memory")?;
                    made.memory = Some(def.clone());
                    made.width = *width;
                }
                CanonicalOption::Realloc(index) => {
                    made.realloc = Some(self.core_func(scope, *index)?);
                }
                CanonicalOption::PostReturn(index) => {
                    made.post_return = Some(self.core_func(scope, *index)?);
                }
                CanonicalOption::Callback(index) => {
                    made.callback = Some(self.core_func(scope, *index)?);
                }
                CanonicalOption::Async => made.is_async = true,
                CanonicalOption::CoreType(_) | CanonicalOption::Gc => {
                    return Err(unsupported("a canonical option of `gc`", self.offset));
                }
            }
        }
        Ok(self.intern_options(made))
    }

    fn intern_options(&mut self, options: CanonicalOptions) -> OptionsId {
        if let Some(id) = self.option_ids.get(&options) {
            return *id;
        }
        let id = self.plan.options.push(options.clone());
        self.option_ids.insert(options, id);
        id
    }
}

/// The stream type at an index.
fn stream(scope: &Scope, index: u32) -> Result<StreamId> {
    match scope.value_type(index)? {
        InterfaceType::Stream(id) => Ok(id),
        other => Err(bug(format!(
            "type {index} is a {}, not a stream",
            other.kind()
        ))),
    }
}

/// The future type at an index.
fn future(scope: &Scope, index: u32) -> Result<FutureId> {
    match scope.value_type(index)? {
        InterfaceType::Future(id) => Ok(id),
        other => Err(bug(format!(
            "type {index} is a {}, not a future",
            other.kind()
        ))),
    }
}

/// `context.get` and `context.set`'s type.
fn context_type(ty: wasmparser::ValType) -> FlatType {
    match ty {
        wasmparser::ValType::I64 => FlatType::I64,
        _ => FlatType::I32,
    }
}

/// The built-ins whose immediates are types and flags only.
fn builtin_op(
    scope: &Scope,
    canon: &CanonicalFunction,
    cancellable: bool,
    offset: u64,
) -> Result<CanonBuiltin> {
    use CanonBuiltin as B;
    use CanonicalFunction as F;
    Ok(match *canon {
        F::ResourceNew { resource } => B::ResourceNew {
            resource: scope.resource(resource)?,
        },
        F::ResourceDrop { resource } => B::ResourceDrop {
            resource: scope.resource(resource)?,
        },
        F::ResourceRep { resource } => B::ResourceRep {
            resource: scope.resource(resource)?,
        },
        F::BackpressureInc => B::BackpressureInc,
        F::BackpressureDec => B::BackpressureDec,
        F::TaskCancel => B::TaskCancel,
        F::ContextGet { ty, slot } => B::ContextGet {
            ty: context_type(ty),
            slot,
        },
        F::ContextSet { ty, slot } => B::ContextSet {
            ty: context_type(ty),
            slot,
        },
        F::SubtaskDrop => B::SubtaskDrop,
        F::SubtaskCancel { async_: is_async } => B::SubtaskCancel { is_async },
        F::ErrorContextNew { .. } => B::ErrorContextNew,
        F::ErrorContextDebugMessage { .. } => B::ErrorContextDebugMessage,
        F::ErrorContextDrop => B::ErrorContextDrop,
        F::WaitableSetNew => B::WaitableSetNew,
        F::WaitableSetWait { .. } => B::WaitableSetWait { cancellable },
        F::WaitableSetPoll { .. } => B::WaitableSetPoll { cancellable },
        F::WaitableSetDrop => B::WaitableSetDrop,
        F::WaitableJoin => B::WaitableJoin,
        F::StreamForward { .. } => return Err(unsupported("stream.forward", offset)),
        F::FutureForward { .. } => return Err(unsupported("future.forward", offset)),
        F::ThreadSpawnRef { .. }
        | F::ThreadSpawnIndirect { .. }
        | F::ThreadAvailableParallelism => {
            let what = "a built-in of shared-everything threads";
            return Err(unsupported(what, offset));
        }
        _ => match thread_op(canon, cancellable) {
            Some(op) => op,
            None => copy_op(scope, canon)?,
        },
    })
}

/// The built-ins of threads.
fn thread_op(canon: &CanonicalFunction, cancellable: bool) -> Option<CanonBuiltin> {
    use CanonBuiltin as B;
    use CanonicalFunction as F;
    Some(match *canon {
        F::ThreadIndex => B::ThreadIndex,
        F::ThreadResumeLater => B::ThreadResumeLater,
        F::ThreadSuspend => B::ThreadSuspend { cancellable },
        F::ThreadYield => B::ThreadYield { cancellable },
        F::ThreadSuspendThenResume => B::ThreadSuspendThenResume { cancellable },
        F::ThreadYieldThenResume => B::ThreadYieldThenResume { cancellable },
        F::ThreadSuspendThenPromote => B::ThreadSuspendThenPromote { cancellable },
        F::ThreadYieldThenPromote => B::ThreadYieldThenPromote { cancellable },
        _ => return None,
    })
}

/// The built-ins of streams and futures.
fn copy_op(scope: &Scope, canon: &CanonicalFunction) -> Result<CanonBuiltin> {
    use CanonBuiltin as B;
    use CanonicalFunction as F;
    let stream = |index: u32| stream(scope, index);
    let future = |index: u32| future(scope, index);
    Ok(match *canon {
        F::StreamNew { ty } => B::StreamNew { ty: stream(ty)? },
        F::StreamRead { ty, .. } => B::StreamRead { ty: stream(ty)? },
        F::StreamWrite { ty, .. } => B::StreamWrite { ty: stream(ty)? },
        F::StreamCancelRead { ty, async_ } => B::StreamCancelRead {
            ty: stream(ty)?,
            is_async: async_,
        },
        F::StreamCancelWrite { ty, async_ } => B::StreamCancelWrite {
            ty: stream(ty)?,
            is_async: async_,
        },
        F::StreamDropReadable { ty } => B::StreamDropReadable { ty: stream(ty)? },
        F::StreamDropWritable { ty } => B::StreamDropWritable { ty: stream(ty)? },
        F::FutureNew { ty } => B::FutureNew { ty: future(ty)? },
        F::FutureRead { ty, .. } => B::FutureRead { ty: future(ty)? },
        F::FutureWrite { ty, .. } => B::FutureWrite { ty: future(ty)? },
        F::FutureCancelRead { ty, async_ } => B::FutureCancelRead {
            ty: future(ty)?,
            is_async: async_,
        },
        F::FutureCancelWrite { ty, async_ } => B::FutureCancelWrite {
            ty: future(ty)?,
            is_async: async_,
        },
        F::FutureDropReadable { ty } => B::FutureDropReadable { ty: future(ty)? },
        F::FutureDropWritable { ty } => B::FutureDropWritable { ty: future(ty)? },
        _ => {
            return Err(bug(format!(
                "{canon:?} is no built-in of streams and futures"
            )));
        }
    })
}
