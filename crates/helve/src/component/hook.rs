//! Hooks: the host is told of every call that crosses the border to a guest, or back.
//!
//! ```text
//!  host --CallingWasm--> guest --CallingHost--> host function
//!       <--ReturningFromWasm--  <--ReturningFromHost--
//! ```
//!
//! Whether there is a hook is asked when an instance is made: a store without one makes
//! instances whose calls know nothing of hooks, but for one look at a field. For spans,
//! metering, replay. Not here: calls from guest to guest, which the host takes no part in.
//!
//! # Safety
//!
//! A hook gets the store of the data type that it was made for, while no guest runs and
//! nothing else borrows from it: where calls begin and end.

use crate::component::call::host::{Caller, HostCall, HostCallable, HostFunc, lower_as};
use crate::component::call::lane::Lane;
use crate::component::call::scope::CallScope;
use crate::component::concurrent;
use crate::component::concurrent::host_task::Waiting;
use crate::component::span::Span;
use crate::component::typed::TypeCheck;
use crate::core;
use crate::core::context::{AsContextMut, StoreContextMut};
use crate::core::store::{Store, StoreOpaque, StorePtr};
use helve_abi::types::FuncTypeId;
use helve_base::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Which border is crossed, and which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallHook {
    /// The host calls an exported function.
    CallingWasm,
    /// That call is over, with a result or an error.
    ReturningFromWasm,
    /// A guest calls a function of the host's.
    CallingHost,
    /// That call is over: it has its result, has failed, or was given up.
    ReturningFromHost,
}

/// A call that crosses the border.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Crossing<'a> {
    /// Which way.
    pub kind: CallHook,
    /// The guest's component instance: `root`, `root / child`.
    pub instance: &'a str,
    /// The function: `run`, `wasi:cli/run@0.2.0#run`.
    pub function: &'a str,
}

/// What a store's hook is inside.
pub(crate) type Hook = Arc<dyn Fn(StorePtr, Crossing<'_>) -> Result<()> + Send + Sync>;

impl<T: 'static> Store<T> {
    /// Calls `hook` whenever a call crosses the border between the host and a guest, of
    /// instances that are made from now on. An error of the hook ends the call: the guest
    /// is not entered, or traps.
    ///
    /// Calls that wait are told like others: a call that `call_concurrent` has queued begins
    /// once its instance can be entered, and is over when its result is there, or once its
    /// guest has done as it was asked where it was given up. An error of the hook at the end
    /// of such a call, or of an async host function that was given up, is one of
    /// [`Store::run_until_idle`] where nobody waits for the call any more. Of a call whose
    /// `call_async` is dropped the end is not told.
    ///
    /// ```
    /// # use helve::{Engine, Config, Store, component::{CallHook, Component, Linker}};
    /// # let engine = Engine::new(&Config::new())?;
    /// let mut store = Store::new(&engine, Vec::new());
    /// store.call_hook(|mut cx, crossing| {
    ///     if crossing.kind == CallHook::CallingWasm {
    ///         cx.data_mut().push(crossing.function.to_owned());
    ///     }
    ///     Ok(())
    /// });
    /// # let component = Component::new(&engine, "(component
    /// #     (core module $m (func (export \"f\")))
    /// #     (core instance $i (instantiate $m))
    /// #     (func (export \"f\") (canon lift (core func $i \"f\"))))")?;
    /// let instance = Linker::new(&engine).instantiate(&mut store, &component)?;
    /// instance.get_typed_func::<(), ()>(&mut store, "f")?.call(&mut store, ())?;
    /// assert_eq!(store.data(), &["f"]);
    /// # Ok::<(), helve::Error>(())
    /// ```
    pub fn call_hook<F>(&mut self, hook: F)
    where
        F: Fn(StoreContextMut<'_, T>, Crossing<'_>) -> Result<()> + Send + Sync + 'static,
    {
        let hook: Hook = Arc::new(move |store: StorePtr, crossing: Crossing<'_>| {
            // SAFETY: see the module: the store is one of `T`.
            hook(unsafe { store.context::<T>() }, crossing)
        });
        let mut context = self.as_context_mut();
        context.opaque().components.shared().set_hook(hook);
    }
}

/// A function whose calls a hook is told of, or are spans.
#[derive(Clone)]
pub(crate) struct Watch {
    pub hook: Option<Hook>,
    /// Whether calls are spans too.
    #[cfg_attr(not(feature = "tracing"), expect(dead_code))]
    pub traces: bool,
    pub instance: Arc<str>,
    pub function: Arc<str>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Watch({})", self.function)
    }
}

impl Watch {
    /// Tells the hook; nothing borrows from the store.
    pub fn tell(&self, store: StorePtr, kind: CallHook) -> Result<()> {
        let Some(hook) = &self.hook else {
            return Ok(());
        };
        let crossing = Crossing {
            kind,
            instance: &self.instance,
            function: &self.function,
        };
        hook(store, crossing)
    }

    /// A call of the guest's function by the host.
    pub fn around_guest<R>(&self, store: StorePtr, call: impl FnOnce() -> Result<R>) -> Result<R> {
        self.tell(store, CallHook::CallingWasm)?;
        let result = call();
        let told = self.tell(store, CallHook::ReturningFromWasm);
        let result = result?;
        told.map(|()| result)
    }
}

/// A call that runs beside others, from when its guest is entered to when it is over.
pub(crate) struct WatchedCall {
    watch: Box<Watch>,
    entered: AtomicBool,
    /// Where its result is.
    result: Arc<dyn Overrule>,
}

/// The result of a call, for the hook that has the last word.
pub(crate) trait Overrule: Send + Sync {
    /// Puts an error in its place; who has taken it is not there to be told.
    fn overrule(&self, error: Error) -> std::result::Result<(), Error>;
}

impl WatchedCall {
    pub fn new(watch: &Watch, result: Arc<dyn Overrule>) -> Arc<WatchedCall> {
        Arc::new(WatchedCall {
            watch: Box::new(watch.clone()),
            entered: AtomicBool::new(false),
            result,
        })
    }

    /// The guest is about to be entered.
    pub fn enter(&self, store: StorePtr) -> Result<()> {
        self.watch.tell(store, CallHook::CallingWasm)?;
        self.entered.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The call is over, in whatever way.
    pub fn over(&self, store: StorePtr) -> std::result::Result<(), Error> {
        if !self.entered.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        match self.watch.tell(store, CallHook::ReturningFromWasm) {
            Ok(()) => Ok(()),
            Err(error) => self.result.overrule(error),
        }
    }
}

/// A host function whose calls a hook is told of.
pub(crate) struct Watched {
    pub watch: Watch,
    pub inner: HostFunc,
}

impl HostCallable for Watched {
    fn typecheck(&self, ty: FuncTypeId, cx: &TypeCheck<'_>) -> Result<()> {
        self.inner.typecheck(ty, cx)
    }

    unsafe fn call(&self, call: HostCall<'_>, lanes: &mut [Lane]) -> Result<()> {
        let store = call.instance.store();
        self.watch.tell(store, CallHook::CallingHost)?;
        // SAFETY: as the caller says.
        let done =
            Span::of_host(Some(&self.watch)).within(|| unsafe { self.inner.call(call, lanes) });
        let told = self.watch.tell(store, CallHook::ReturningFromHost);
        done.and(told)
    }

    fn is_async(&self) -> bool {
        self.inner.is_async()
    }

    fn is_exclusive(&self) -> bool {
        self.inner.is_exclusive()
    }

    unsafe fn begin(
        &self,
        call: HostCall<'_>,
        scope: &mut CallScope,
        lanes: &[Lane],
    ) -> Result<Waiting> {
        // SAFETY: as the caller says.
        unsafe { self.inner.begin(call, scope, lanes) }
    }

    fn watch(&self) -> Option<&Watch> {
        Some(&self.watch)
    }

    fn lower(self: Arc<Self>, store: &mut StoreOpaque, caller: Caller) -> Result<core::Func> {
        match self.is_async() {
            true => concurrent::host_func::make(store, caller, self, false),
            false => lower_as(self, store, caller),
        }
    }
}
