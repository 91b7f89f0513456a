//! Async host functions as guests call them.
//!
//! ```text
//!   lift arguments, make the future, poll it once
//!     ready     lower the result: no event loop, no task, no switch
//!     waits     of an async type:  a subtask; the caller's stack waits only if it asked to
//!               of another type:   the whole stack stands still (parked, or a fiber), its
//!                                  tree closed to entry; other trees run
//! ```
//!
//! The same core functions serve closures that never wait where they are lowered with
//! `async`. Not here: what happens when the future is done (`host_task`).
//!
//! # Safety
//!
//! As for `drive::builtins`: compiled code of the store calls. The argument array stands
//! in the trampoline's frame, which stays while its fiber does. A host's future stands in one
//! box with its result, and is pinned there.

use super::Concurrent;
use super::accessor::{Accessor, open};
use super::host_task::{HostWait, Lanes, Pending, Purpose, Waiting};
use super::slots::Key;
use crate::component::call::host::{
    Caller, HostCall, HostCallable, HostFunc, lift_params, lower_typed_result,
};
use crate::component::call::lane::Lane;
use crate::component::call::scope::{CallScope, KeptScope};
use crate::component::drive::{State, answer, refused};
use crate::component::hook::CallHook;
use crate::component::lower::LowerContext;
use crate::component::span::Span;
use crate::component::typed::{ComponentNamedList, Lift, Lower, TypeCheck};
use crate::component::value::{self, Val, Vals};
use crate::core;
use crate::core::context::StoreContextMut;
use crate::core::store::{StoreOpaque, StorePtr};
use helve_abi::types::FuncTypeId;
use helve_base::vmctx::{VMHostContext, ValRaw};
use helve_base::{Bug, Error, Result, ensure};
use helve_model::Effect;
use helve_vm::fibers::can_suspend;
use helve_vm::traps::host_call_async;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// An async closure with Rust types.
pub(crate) struct TypedAsync<T, P, R, F> {
    pub func: F,
    pub types: PhantomData<fn(T, P) -> R>,
}

/// An async closure over dynamic values.
pub(crate) struct DynamicAsync<T, F> {
    pub func: F,
    pub types: PhantomData<fn(T)>,
}

/// An async closure with Rust types that has the store to itself.
pub(crate) struct TypedExclusive<T, P, R, F> {
    pub func: F,
    pub types: PhantomData<fn(T, P) -> R>,
}

/// What such a closure returns.
pub(crate) type ExclusiveFuture<'a, R> = Box<dyn Future<Output = Result<R>> + Send + 'a>;

/// A future of one of these, and its result.
struct Work<Fut, R> {
    /// Pinned with the whole.
    future: Fut,
    result: Option<R>,
}

impl<Fut, R> Work<Fut, R>
where
    Fut: Future<Output = Result<R>>,
{
    fn new(future: Fut) -> Self {
        let result = None;
        Work { future, result }
    }

    #[inline]
    fn poll_it(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        // SAFETY: the future stays where it is: it is only reached through this pin, and
        // dropped in its place. The result is not pinned.
        let this = unsafe { self.get_unchecked_mut() };
        // SAFETY: as above.
        let future = unsafe { Pin::new_unchecked(&mut this.future) };
        match future.poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(result)) => {
                this.result = Some(result);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        }
    }

    fn take(self: Pin<&mut Self>) -> Result<R> {
        // SAFETY: as above.
        let result = unsafe { self.get_unchecked_mut() }.result.take();
        result.ok_or_else(|| Error::new(Bug("a host function without a result".into())))
    }
}

/// A typed one.
#[repr(transparent)]
struct TypedWork<Fut, R>(Work<Fut, R>);

impl<Fut, R> TypedWork<Fut, R> {
    fn work(self: Pin<&mut Self>) -> Pin<&mut Work<Fut, R>> {
        // SAFETY: it is pinned with the whole, which is nothing else.
        unsafe { self.map_unchecked_mut(|this| &mut this.0) }
    }
}

impl<Fut, R> HostWait for TypedWork<Fut, R>
where
    Fut: Future<Output = Result<R>> + Send,
    R: ComponentNamedList + Lower + Send,
{
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.work().poll_it(cx)
    }

    fn lower(
        self: Pin<&mut Self>,
        call: HostCall<'_>,
        scope: &mut CallScope,
        to: Lane,
        lanes: &mut [Lane],
    ) -> Result<()> {
        lower_typed_result(call, scope, &self.work().take()?, to, lanes)
    }
}

/// A dynamic one.
#[repr(transparent)]
struct DynamicWork<Fut>(Work<Fut, Vec<Val>>);

impl<Fut> DynamicWork<Fut> {
    fn work(self: Pin<&mut Self>) -> Pin<&mut Work<Fut, Vec<Val>>> {
        // SAFETY: as above.
        unsafe { self.map_unchecked_mut(|this| &mut this.0) }
    }
}

impl<Fut> HostWait for DynamicWork<Fut>
where
    Fut: Future<Output = Result<Vec<Val>>> + Send,
{
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.work().poll_it(cx)
    }

    fn lower(
        self: Pin<&mut Self>,
        call: HostCall<'_>,
        scope: &mut CallScope,
        to: Lane,
        lanes: &mut [Lane],
    ) -> Result<()> {
        let results = self.work().take()?;
        let expected = call.shape.result.iter().len();
        ensure!(
            results.len() == expected,
            "a host function returned {} values, its type has {expected}",
            results.len()
        );
        let mut cx = LowerContext::new(call.options, call.instance, scope);
        let result = &call.shape.programs.result;
        value::check_result(&cx, result, &results)?;
        value::lower_result(&mut cx, result, &results, to, lanes)
    }
}

impl<T, P, R, F, Fut> HostCallable for TypedAsync<T, P, R, F>
where
    T: 'static,
    P: ComponentNamedList + Lift + 'static,
    R: ComponentNamedList + Lower + Send + 'static,
    F: Fn(Accessor<T>, P) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R>> + Send + 'static,
{
    fn typecheck(&self, ty: FuncTypeId, cx: &TypeCheck<'_>) -> Result<()> {
        let ty = &cx.types()[ty];
        P::typecheck_params(&ty.params, cx)?;
        R::typecheck_result(ty.result, cx)
    }

    fn is_async(&self) -> bool {
        true
    }

    unsafe fn begin(
        &self,
        call: HostCall<'_>,
        scope: &mut CallScope,
        lanes: &[Lane],
    ) -> Result<Waiting> {
        let params = lift_params::<P>(call, scope, lanes)?;
        // SAFETY: the store is one of `T`, as the caller says, and nothing borrows from it.
        let accessor = Accessor::new(unsafe { call.instance.store().context::<T>() });
        let future = (self.func)(accessor, params);
        Ok(Box::pin(TypedWork(Work::new(future))))
    }

    fn lower(self: Arc<Self>, store: &mut StoreOpaque, caller: Caller) -> Result<core::Func> {
        make(store, caller, self, false)
    }
}

impl<T, P, R, F> HostCallable for TypedExclusive<T, P, R, F>
where
    T: 'static,
    P: ComponentNamedList + Lift + 'static,
    R: ComponentNamedList + Lower + Send + 'static,
    F: for<'a> Fn(StoreContextMut<'a, T>, P) -> ExclusiveFuture<'a, R> + Send + Sync + 'static,
{
    fn typecheck(&self, ty: FuncTypeId, cx: &TypeCheck<'_>) -> Result<()> {
        let ty = &cx.types()[ty];
        P::typecheck_params(&ty.params, cx)?;
        R::typecheck_result(ty.result, cx)
    }

    fn is_async(&self) -> bool {
        true
    }

    fn is_exclusive(&self) -> bool {
        true
    }

    unsafe fn begin(
        &self,
        call: HostCall<'_>,
        scope: &mut CallScope,
        lanes: &[Lane],
    ) -> Result<Waiting> {
        let params = lift_params::<P>(call, scope, lanes)?;
        // SAFETY: the store is one of `T`, as the caller says, and nothing borrows from it;
        // nothing else of the store runs until the future is gone (`exclusive`).
        let store = unsafe { call.instance.store().context::<T>() };
        let future = Box::into_pin((self.func)(store, params));
        Ok(Box::pin(TypedWork(Work::new(future))))
    }

    fn lower(self: Arc<Self>, store: &mut StoreOpaque, caller: Caller) -> Result<core::Func> {
        make(store, caller, self, false)
    }
}

impl<T, F, Fut> HostCallable for DynamicAsync<T, F>
where
    T: 'static,
    F: Fn(Accessor<T>, Vec<Val>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Vec<Val>>> + Send + 'static,
{
    fn typecheck(&self, _: FuncTypeId, _: &TypeCheck<'_>) -> Result<()> {
        Ok(())
    }

    fn is_async(&self) -> bool {
        true
    }

    unsafe fn begin(
        &self,
        call: HostCall<'_>,
        scope: &mut CallScope,
        lanes: &[Lane],
    ) -> Result<Waiting> {
        let mut params = Vals::new();
        let programs = &call.shape.programs;
        value::lift_passed(
            &mut call.lifting(scope),
            &programs.params,
            lanes,
            &mut params,
        )?;
        // SAFETY: the store is one of `T`, as the caller says, and nothing borrows from it.
        let accessor = Accessor::new(unsafe { call.instance.store().context::<T>() });
        let future = (self.func)(accessor, params.into_vec());
        Ok(Box::pin(DynamicWork(Work::new(future))))
    }

    fn lower(self: Arc<Self>, store: &mut StoreOpaque, caller: Caller) -> Result<core::Func> {
        make(store, caller, self, false)
    }
}

/// A host function that is lowered with `async`, or may wait.
struct Function {
    caller: Arc<Caller>,
    func: HostFunc,
    /// Places in the argument array.
    slots: usize,
    /// Whether it was lowered with `async`.
    is_async: bool,
    /// Whether its type is an async one, so that callers know it may block.
    blocks: bool,
}

/// The core function that calls `func`.
pub(crate) fn make(
    store: &mut StoreOpaque,
    caller: Caller,
    func: HostFunc,
    is_async: bool,
) -> Result<core::Func> {
    let ty = caller.shape.programs.signature.core();
    // SAFETY: the instance is being linked, or runs: its store is at hand.
    let types = unsafe { caller.instance.get() }.types();
    let function = Function {
        blocks: types[caller.shape.ty].is_async,
        caller: Arc::new(caller),
        func,
        slots: ty.params.len().max(ty.results.len()),
        is_async,
    };
    let host =
        core::host::HostFunc::from_parts(store.engine(), &ty, false, enter, Arc::new(function));
    core::Func::from_host(store, &host)
}

/// The `HostCall` of all of these.
///
/// # Safety
///
/// Called by a host trampoline with the context of such a function, and its arguments.
unsafe extern "C" fn enter(context: *mut VMHostContext, args: *mut ValRaw) -> u32 {
    // SAFETY: by contract.
    unsafe {
        let vm = (*context).store;
        let function = &*(*context).data.cast::<Function>();
        host_call_async(vm, || {
            let lanes = std::slice::from_raw_parts_mut(args.cast::<Lane>(), function.slots);
            function.run(StorePtr::from_vm(vm), lanes)
        })
    }
}

/// What an asynchronous call returns that is over at once.
pub(super) fn returned(lanes: &mut [Lane]) {
    const RETURNED: u32 = 2;
    if let Some(lane) = lanes.first_mut() {
        *lane = Lane::from_u32(RETURNED);
    }
}

/// Gives a place up whose future panics when it is first polled.
struct Vacate<'a>(&'a Concurrent, Option<Key>);

impl Drop for Vacate<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.1 {
            self.0.state.borrow_mut().vacate(key);
        }
    }
}

impl Function {
    fn run(&self, store: StorePtr, lanes: &mut [Lane]) -> Result<Poll<()>> {
        // SAFETY: compiled code calls.
        let call = unsafe { self.caller.call()? };
        if !self.func.is_async() {
            // SAFETY: as above; linking checked the store's data type.
            unsafe { self.func.call(call, lanes)? };
            if self.is_async {
                returned(lanes);
            }
            return Ok(Poll::Ready(()));
        }
        let watch = self.func.watch();
        watch.map_or(Ok(()), |watch| watch.tell(store, CallHook::CallingHost))?;
        let mut scope = CallScope::default();
        let over = match self.begin(store, call, &mut scope, lanes) {
            Ok(Some((key, waiting))) => {
                match self.wait(store, call, (key, waiting), scope, lanes) {
                    Ok(goes_on) => return Ok(goes_on),
                    Err(error) => Err(error),
                }
            }
            Ok(None) => call.instance.end_loans(call.options.owner, &mut scope),
            Err(error) => {
                call.instance.abandon_loans(&mut scope);
                Err(error)
            }
        };
        let told = watch.map_or(Ok(()), |watch| {
            watch.tell(store, CallHook::ReturningFromHost)
        });
        over.and(told)?;
        if self.is_async {
            returned(lanes);
        }
        Ok(Poll::Ready(()))
    }

    /// Makes the future and polls it once; what is to be waited for, and its place.
    fn begin(
        &self,
        store: StorePtr,
        call: HostCall<'_>,
        scope: &mut CallScope,
        lanes: &mut [Lane],
    ) -> Result<Option<(Key, Waiting)>> {
        let concurrent = &call.instance.shared().concurrent;
        let to = call.result_address(lanes);
        // SAFETY: as in `run`.
        let waiting = unsafe { self.func.begin(call, scope, lanes)? };
        let mut waiting = Span::of_host(self.func.watch()).around(waiting);
        let (key, bell, waker) = concurrent.state.borrow_mut().place(concurrent);
        bell.answer();
        let mut cx = Context::from_waker(&waker);
        let id = call.instance.store_id();
        let mut place = Vacate(concurrent, Some(key));
        let keeps = self.func.is_exclusive();
        let keeps = keeps.then(|| concurrent.exclusive.begin(key));
        // SAFETY: in a host call nothing borrows from the store.
        let polled = unsafe { open(id, store, || waiting.as_mut().poll(&mut cx)) };
        place.1 = None;
        if keeps.is_some() && polled.is_ready() {
            concurrent.exclusive.end(key);
        }
        drop(keeps);
        if polled.is_pending() {
            return Ok(Some((key, waiting)));
        }
        // Whoever kept the waker must not wake the next future here.
        concurrent.state.borrow_mut().empty(key, bell, waker);
        match polled {
            Poll::Ready(Ok(())) => waiting.as_mut().lower(call, scope, to, lanes)?,
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => {}
        }
        Ok(None)
    }

    fn wait(
        &self,
        store: StorePtr,
        call: HostCall<'_>,
        (key, waiting): (Key, Waiting),
        scope: CallScope,
        lanes: &mut [Lane],
    ) -> Result<Poll<()>> {
        let shared = call.instance.shared();
        let concurrent = &shared.concurrent;
        let mut pending = Pending {
            caller: self.caller.clone(),
            watch: self.func.watch().cloned().map(Box::new),
            scope: KeptScope::new(scope),
            to: call.result_address(lanes),
        };
        let array = Lanes {
            at: lanes.as_mut_ptr(),
            len: lanes.len(),
            is_async: self.is_async,
        };
        if self.blocks {
            return self.subtask(call, pending, (key, waiting), lanes);
        }
        // SAFETY: in a host call of the store.
        if !unsafe { can_suspend(store.vm()) } {
            call.instance.abandon_loans(&mut pending.scope.take());
            drop(waiting);
            concurrent.state.borrow_mut().vacate(key);
            return Err(Error::msg(
                "an async host function that is not ready was called where the guest cannot \
                 wait: call the guest with `call_async` or `call_concurrent`, and not from \
                 inside another host function",
            ));
        }
        let purpose = match concurrent.running.get() {
            Some(fiber) => Purpose::Fiber {
                call: pending,
                fiber,
                lanes: array,
            },
            None => {
                State::materialize(shared, store)?;
                let mut drive = shared.drive.state();
                drive.asks();
                let thread = drive.model.current_thread();
                let thread = thread.ok_or_else(|| Error::new(Bug("no thread runs".into())))?;
                let parked = drive.model.park();
                let parked =
                    parked.map_err(|trap| refused(call.instance, call.options.owner, trap))?;
                drive.hand_over(Effect::ToHost, lanes);
                Purpose::Parked {
                    call: pending,
                    parked,
                    thread,
                    lanes: array,
                }
            }
        };
        concurrent.state.borrow_mut().fill(key, waiting, purpose);
        Ok(Poll::Pending)
    }

    /// The call becomes a subtask of its caller's.
    fn subtask(
        &self,
        call: HostCall<'_>,
        mut pending: Pending,
        (key, waiting): (Key, Waiting),
        lanes: &mut [Lane],
    ) -> Result<Poll<()>> {
        let shared = call.instance.shared();
        State::materialize(shared, call.instance.store())?;
        let begun = (|| {
            let mut drive = shared.drive.state();
            drive.asks();
            let subtask = drive.model.begin_host_call()?;
            let mut scope = pending.scope.take();
            let loans = drive.model.arena.subtask_loans(subtask)?;
            *loans = std::mem::take(&mut scope.loans);
            pending.scope = KeptScope::new(scope);
            let effect = drive.model.finish_host_call(subtask, self.is_async)?;
            Ok((subtask, effect))
        })();
        let (subtask, effect) = match begun {
            Ok(begun) => begun,
            Err(trap) => {
                call.instance.abandon_loans(&mut pending.scope.take());
                drop(waiting);
                shared.concurrent.state.borrow_mut().vacate(key);
                return Err(refused(call.instance, call.options.owner, trap));
            }
        };
        let purpose = Purpose::Subtask {
            call: pending,
            subtask,
            is_async: self.is_async,
        };
        let concurrent = &shared.concurrent;
        concurrent.state.borrow_mut().fill(key, waiting, purpose);
        answer::answer(call.instance, effect, lanes)
    }
}
