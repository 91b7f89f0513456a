//! What the embedder calls: waiting for one call, for many, for all that a store does.
//!
//! ```text
//!   TypedFunc::call_async, Func::call_async     one call, until it is resolved
//!   Store::run_concurrent                       whatever an async closure does
//!   ..::call_concurrent(&accessor, ..)          calls in there, beside each other
//!   Store::run_until_idle                       until nothing keeps an instance alive
//! ```
//!
//! Each drives the store's event loop while it is awaited; dropping one only stops the
//! driving (and cancels its call). Not here: the loop (`event_loop`), calls (`call`).
//!
//! # Safety
//!
//! The side of a call that is awaited stands in that future: it is used while the future
//! is being polled only, as `side` says. Nothing of the store is held across an await but
//! the store's context itself.

use super::call::{self, Call};
use super::event_loop::{EventLoop, Until, locked_down};
use super::side::HostEnd;
use super::stall::Stall;
use super::{Accessor, stall};
use crate::component::call::enter::CallShape;
use crate::component::call::lane::Lane;
use crate::component::drive::call::locked_meanwhile;
use crate::component::func::{Func, TypedFunc, lift_typed_result, lower_params};
use crate::component::has_data::HasData;
use crate::component::hook::CallHook;
use crate::component::lift::LiftContext;
use crate::component::lower::LowerContext;
use crate::component::typed::{ComponentNamedList, Lift, Lower};
use crate::component::value::{Val, lift_result, lower_passed};
use crate::core::config::Schedule;
use crate::core::context::{AsContextMut, StoreContextMut};
use crate::core::store::Store;
use helve_base::{Result, ensure, error::Context};
use std::future::pending;
use std::pin::pin;

/// Calls `func` and drives the store until there is a result.
async fn call_async<T, R, L, U>(
    mut store: StoreContextMut<'_, T>,
    func: Func,
    lower: L,
    lift: U,
) -> Result<R>
where
    T: 'static,
    L: FnOnce(&CallShape, &mut LowerContext<'_>, &mut [Lane]) -> Result<()>,
    U: FnOnce(&CallShape, &mut LiftContext<'_>, &[Lane]) -> Result<R>,
{
    if let Some(lifted) = cannot_wait(&mut store, func)? {
        let (instance, lifted) = lifted;
        return lifted.call(
            instance,
            None,
            |cx, lanes| lower(&lifted.shape, cx, lanes),
            |cx, lanes| lift(&lifted.shape, cx, lanes),
        );
    }
    let watch = func.resolve(store.opaque())?.1.watch.clone();
    let Some(watch) = watch else {
        return until_returned(store, func, lower, lift).await;
    };
    watch.tell(store.store_ptr(), CallHook::CallingWasm)?;
    let result = until_returned(store.as_context_mut(), func, lower, lift).await;
    let told = watch.tell(store.store_ptr(), CallHook::ReturningFromWasm);
    let result = result?;
    told.map(|()| result)
}

/// The same of a function that may wait.
async fn until_returned<T, R, L, U>(
    mut store: StoreContextMut<'_, T>,
    func: Func,
    lower: L,
    lift: U,
) -> Result<R>
where
    T: 'static,
    L: FnOnce(&CallShape, &mut LowerContext<'_>, &mut [Lane]) -> Result<()>,
    U: FnOnce(&CallShape, &mut LiftContext<'_>, &[Lane]) -> Result<R>,
{
    let (mailbox, token, id) = {
        let id = store.opaque().id();
        let shared = store.opaque().components.shared();
        let concurrent = &shared.concurrent;
        (concurrent.mailbox.clone(), concurrent.tokens.make(), id)
    };
    let (call, mut side) = call::slot((&mailbox, id), lower, lift);
    {
        // SAFETY: the token is current while this future is polled, and `side` lives as
        // long as the future.
        let end = unsafe { HostEnd::lent(token, &mut side) };
        let (instance, lifted) = func.resolve(store.opaque())?;
        call::queue_side(instance, lifted, end, (call.progress(), None));
    }
    let done = EventLoop::new(store.as_context_mut(), token, Until::Stalled, call).await;
    drop(side);
    let (instance, lifted) = func.resolve(store.opaque())?;
    match done {
        Some(Ok(result)) => locked_meanwhile(instance).map_or(Ok(result), Err),
        Some(Err(error)) => Err(error),
        None => {
            let shared = instance.shared();
            let error = stall::error(shared);
            let told = super::again(&error);
            locked_down(shared, instance, lifted.owner, told);
            Err(error)
        }
    }
}

type Ready<'a> = (
    &'a crate::component::state::InstanceData,
    &'a crate::component::call::enter::LiftedFunc,
);

/// The function, where nothing it can call ever waits.
fn cannot_wait<'a, T>(store: &mut StoreContextMut<'_, T>, func: Func) -> Result<Option<Ready<'a>>> {
    let (instance, lifted) = func.resolve(store.opaque())?;
    let config = instance.component.engine().config();
    let yields = config.consume_fuel || config.epoch_interruption;
    let may = instance.tasks() || instance.may_wait.get() || yields;
    Ok((!may).then_some((instance, lifted)))
}

impl<P, R> TypedFunc<P, R>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    /// Calls it and drives the store's event loop until it has returned, however long it,
    /// or a host function it calls, has to wait. Works on any executor.
    ///
    /// # Errors
    ///
    /// As for [`Func::call`]; and a deadlock, where nothing in the store can go on.
    pub async fn call_async(&self, mut store: impl AsContextMut, params: P) -> Result<R> {
        call_async(
            store.as_context_mut(),
            *self.func(),
            move |shape: &CallShape, cx: &mut LowerContext<'_>, lanes: &mut [Lane]| {
                lower_params(cx, shape, &params, lanes)
            },
            |shape: &CallShape, cx: &mut LiftContext<'_>, lanes: &[Lane]| {
                lift_typed_result::<R>(cx, shape, lanes)
            },
        )
        .await
    }

    /// Calls it beside whatever else runs in the store's event loop: it begins soon, once
    /// its instance can be entered, whether the [`Call`] is polled or not.
    ///
    /// ```
    /// # use helve::component::{Component, Linker};
    /// # use helve::{Config, Engine, Result, Store};
    /// # async fn two(mut store: Store<()>, instance: helve::component::Instance) -> Result<()> {
    /// let double = instance.get_typed_func::<(u32,), (u32,)>(&mut store, "double")?;
    /// let (a, b) = store
    ///     .run_concurrent(async |accessor| {
    ///         let first = double.call_concurrent(accessor, (1,));
    ///         let second = double.call_concurrent(accessor, (2,));
    ///         (first.await, second.await)
    ///     })
    ///     .await?;
    /// assert_eq!((a?, b?), ((2,), (4,)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn call_concurrent<T, D>(&self, accessor: &Accessor<T, D>, params: P) -> Call<R>
    where
        T: 'static,
        D: HasData + ?Sized,
        P: Send + 'static,
        R: Send + 'static,
    {
        let func = *self.func();
        let queued = accessor.with(|mut store| {
            let (instance, lifted) = func.resolve(store.opaque())?;
            Ok(call::queue(
                instance,
                lifted,
                move |shape: &CallShape, cx: &mut LowerContext<'_>, lanes: &mut [Lane]| {
                    lower_params(cx, shape, &params, lanes)
                },
                |shape: &CallShape, cx: &mut LiftContext<'_>, lanes: &[Lane]| {
                    lift_typed_result::<R>(cx, shape, lanes)
                },
            ))
        });
        queued.and_then(|call| call).unwrap_or_else(Call::failed)
    }
}

impl Func {
    /// As [`Func::call`], and drives the store's event loop until it has returned.
    pub async fn call_async(
        &self,
        mut store: impl AsContextMut,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<()> {
        let mut store = store.as_context_mut();
        self.check(&mut store, params, results.len())?;
        call_async(
            store,
            *self,
            |shape: &CallShape, cx: &mut LowerContext<'_>, lanes: &mut [Lane]| {
                lower_passed(cx, &shape.programs.params, params, lanes)
            },
            |shape: &CallShape, cx: &mut LiftContext<'_>, lanes: &[Lane]| {
                lift_result(cx, &shape.programs.result, lanes, results)
            },
        )
        .await
    }

    /// As [`TypedFunc::call_concurrent`], with dynamic values: as many results as it has.
    pub fn call_concurrent<T, D>(
        &self,
        accessor: &Accessor<T, D>,
        params: Vec<Val>,
    ) -> Call<Vec<Val>>
    where
        T: 'static,
        D: HasData + ?Sized,
    {
        let queued = accessor.with(|mut store| {
            let count = self.result_count(&store)?;
            self.check(&mut store, &params, count)?;
            let (instance, lifted) = self.resolve(store.opaque())?;
            Ok(call::queue(
                instance,
                lifted,
                move |shape: &CallShape, cx: &mut LowerContext<'_>, lanes: &mut [Lane]| {
                    lower_passed(cx, &shape.programs.params, &params, lanes)
                },
                move |shape: &CallShape, cx: &mut LiftContext<'_>, lanes: &[Lane]| {
                    let mut results = vec![Val::Bool(false); count];
                    lift_result(cx, &shape.programs.result, lanes, &mut results)?;
                    Ok(results)
                },
            ))
        });
        queued.and_then(|call| call).unwrap_or_else(Call::failed)
    }

    /// That these can be its arguments, and its results that many.
    pub(crate) fn check<T>(
        &self,
        store: &mut StoreContextMut<'_, T>,
        params: &[Val],
        results: usize,
    ) -> Result<()> {
        let (instance, lifted) = self.resolve(store.opaque())?;
        let ty = &instance.types()[lifted.shape.ty];
        ensure!(
            params.len() == ty.params.len() && results == ty.result.iter().len(),
            "{} arguments and room for {results} results where the function's type is {}",
            params.len(),
            instance.types().display_func(lifted.shape.ty)
        );
        for (val, (name, ty)) in params.iter().zip(&ty.params) {
            val.check(instance.types(), *ty)
                .with_context(|| format!("in argument `{name}`"))?;
        }
        Ok(())
    }
}

impl<T: 'static> StoreContextMut<'_, T> {
    /// As [`Store::run_concurrent`].
    pub async fn run_concurrent<R>(
        &mut self,
        work: impl AsyncFnOnce(&Accessor<T>) -> R,
    ) -> Result<R> {
        let accessor = Accessor::new(self.as_context_mut());
        let token = self.opaque().components.shared().concurrent.tokens.make();
        let main = pin!(work(&accessor));
        let done = EventLoop::new(self.as_context_mut(), token, Until::Ready, main).await;
        done.ok_or_else(|| helve_base::Error::new(helve_base::Bug("a loop that ended".into())))
    }

    /// As [`Store::run_until_idle`].
    pub async fn run_until_idle(&mut self) -> Result<()> {
        let token = self.opaque().components.shared().concurrent.tokens.make();
        let never = pending::<()>();
        EventLoop::new(self.as_context_mut(), token, Until::Idle, never).await;
        let shared = self.opaque().components.shared();
        if let Some(error) = shared.concurrent.take_failure() {
            return Err(error);
        }
        let left = shared.drive.state().model.implicit_threads();
        match left {
            0 => Ok(()),
            _ => Err(stall::error(&shared)),
        }
    }
}

impl<T: 'static> Store<T> {
    /// How this store's event loop makes the choices that the Component Model leaves
    /// open, from now on.
    pub fn set_schedule(&mut self, schedule: Schedule) {
        let shared = self.as_context_mut().opaque().components.shared();
        let mut drive = shared.drive.state();
        drive.set_schedule(schedule, &shared.concurrent);
    }

    /// Tells `trace` each turn of this store's event loop, as one line: the same seed and
    /// the same host give the same lines.
    pub fn trace_schedule(&mut self, trace: impl FnMut(&str) + Send + 'static) {
        let shared = self.as_context_mut().opaque().components.shared();
        shared.concurrent.set_trace(Some(Box::new(trace)));
    }

    /// Every task that waits now, and for what: what the error of a deadlock says, at any
    /// time.
    pub fn stall(&mut self) -> Stall {
        let shared = self.as_context_mut().opaque().components.shared();
        stall::explain(&shared)
    }

    /// Whether everything about tasks fits together: for tests.
    #[doc(hidden)]
    pub fn audit_tasks(&mut self) -> Result<(), &'static str> {
        let shared = self.as_context_mut().opaque().components.shared();
        super::event_loop::read_end_letters(&shared);
        shared.drive.state().model.audit()
    }

    /// What went wrong first with nobody to tell, and was not asked for yet: a task that had
    /// returned its result already and traps afterwards, a spawned task or a destructor of a
    /// discarded value that fails. [`Store::run_until_idle`] fails with the same; whoever
    /// only uses [`Store::run_concurrent`] or calls asks here, from time to time.
    ///
    /// The tree of a guest that trapped is locked down, so each tells once at most.
    ///
    /// ```
    /// # use helve::{Config, Engine, Store};
    /// # let engine = Engine::new(&Config::new())?;
    /// # let mut store = Store::new(&engine, ());
    /// while let Some(error) = store.take_unreported_error() {
    ///     eprintln!("a guest failed in the background: {error:#}");
    /// }
    /// # Ok::<(), helve::Error>(())
    /// ```
    pub fn take_unreported_error(&mut self) -> Option<helve_base::Error> {
        let shared = self.as_context_mut().opaque().components.shared();
        shared.concurrent.take_failure()
    }

    /// What there is of tasks, threads, waitables, sets, streams and futures, error
    /// contexts, host futures and calls, reads and writes of the host: for leak tests.
    #[doc(hidden)]
    pub fn task_counts(&mut self) -> [usize; 8] {
        let shared = self.as_context_mut().opaque().components.shared();
        super::event_loop::read_end_letters(&shared);
        let drive = shared.drive.state();
        let ([tasks, threads, ..], arena) = (drive.model.counts(), drive.model.arena.counts());
        let host = shared.concurrent.counts();
        let [waitables, sets, streams, contexts] = arena;
        [
            tasks, threads, waitables, sets, streams, contexts, host[0], host[1],
        ]
    }

    /// Runs `work`, which gets an [`Accessor`], while the store's event loop runs: many
    /// calls at once, streams and futures, whatever else it awaits. Works on any executor.
    ///
    /// What is not done when `work` is stays in the store, for the next time its loop runs.
    ///
    /// # Errors
    ///
    /// Its calls and operations report their own errors; what fails with nobody to tell is
    /// an error of [`Store::run_until_idle`], or [`Store::take_unreported_error`] has it.
    pub async fn run_concurrent<R>(
        &mut self,
        work: impl AsyncFnOnce(&Accessor<T>) -> R,
    ) -> Result<R> {
        self.as_context_mut().run_concurrent(work).await
    }

    /// Runs the store's event loop until nothing keeps its instances alive: no task's own
    /// thread is left (threads that guests made with `thread.new-indirect` do not count),
    /// and no host function or spawned task is at work.
    ///
    /// # Errors
    ///
    /// What went wrong with nobody to tell: a trap of a task that had returned already, an
    /// error of a spawned task. And a stall: tasks are left that nothing can wake.
    pub async fn run_until_idle(&mut self) -> Result<()> {
        self.as_context_mut().run_until_idle().await
    }
}
