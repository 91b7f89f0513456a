//! [`Accessor`]: how host code that waits gets to its store while others use it too.
//!
//! ```text
//!   event loop: open(store) ---> polls a host future ---> accessor.with(|cx| ..)
//!               (this thread's list of open stores)         finds the store there, takes it
//! ```
//!
//! An accessor knows only which store it is for. The store itself stands in a list of this
//! thread while the loop polls, so an accessor that went elsewhere finds nothing, and one
//! that is used inside its own `with` finds it taken.
//!
//! # Safety
//!
//! Whoever opens a store has it borrowed, and uses nothing of it until what it opened it
//! for is over. Store ids are never used again.

use crate::component::has_data::{Access, HasData, HasSelf};
use crate::core::context::AsContextMut;
use crate::core::store::{StoreId, StoreOpaque, StorePtr};
use helve_base::{Error, Result};
use std::cell::RefCell;
use std::future::Future;

/// A store that host code on this thread may use.
struct Open {
    id: StoreId,
    store: StorePtr,
    taken: bool,
}

thread_local! {
    static OPEN: RefCell<Vec<Open>> = const { RefCell::new(Vec::new()) };
}

/// Why not a method of the key: compiled code may suspend between two accesses, and the
/// compiler must not keep the thread's address across that.
#[inline(never)]
fn list<R>(work: impl FnOnce(&mut Vec<Open>) -> R) -> R {
    OPEN.with(|open| work(&mut open.borrow_mut()))
}

struct Close;

impl Drop for Close {
    fn drop(&mut self) {
        list(|open| open.pop());
    }
}

/// Lets accessors of a store find it while `work` runs.
///
/// # Safety
///
/// Nothing borrows from the store while `work` runs, but what `work` finds this way.
pub(crate) unsafe fn open<R>(id: StoreId, store: StorePtr, work: impl FnOnce() -> R) -> R {
    list(|open| {
        open.push(Open {
            id,
            store,
            taken: false,
        });
    });
    let _close = Close;
    work()
}

/// Puts the store back.
struct Return(usize);

impl Drop for Return {
    fn drop(&mut self) {
        list(|open| {
            if let Some(open) = open.get_mut(self.0) {
                open.taken = false;
            }
        });
    }
}

/// Runs `work` with the store of this number, where that is at hand and nobody uses it.
pub(super) fn taking<R>(id: StoreId, work: impl FnOnce(StorePtr) -> R) -> Option<R> {
    let (at, store) = list(|open| {
        let at = open.iter().rposition(|open| open.id == id)?;
        let open = &mut open[at];
        let free = !std::mem::replace(&mut open.taken, true);
        free.then_some((at, open.store))
    })?;
    let _return = Return(at);
    Some(work(store))
}

/// A host's way to its store while other things of that store run: what an async host
/// function gets instead of the store itself.
///
/// It can be cloned, kept and sent anywhere, but only leads to the store from within the
/// store's event loop: in async host functions, in tasks given to [`Accessor::spawn`], and
/// in the closure of [`Store::run_concurrent`](crate::Store::run_concurrent).
///
/// ```
/// # use helve::{Engine, Config, Result, component::{Accessor, Linker}};
/// # fn main() -> Result<()> {
/// # let engine = Engine::new(&Config::new())?;
/// let mut linker: Linker<u32> = Linker::new(&engine);
/// linker.root().func_wrap_async("count", |cx: Accessor<u32>, ()| async move {
///     // No guest runs and nothing else uses the store during `with`, and only then.
///     cx.with(|mut store| *store.data_mut() += 1)?;
///     std::future::ready(()).await;
///     Ok((cx.with(|store| *store.data())?,))
/// })?;
/// # Ok(())
/// # }
/// ```
///
/// `D` says which part of the store's data the host's traits are implemented for: by
/// default the data itself; generated bindings give others (see [`HasData`]).
pub struct Accessor<T: 'static, D: HasData + ?Sized = HasSelf<T>> {
    id: StoreId,
    getter: fn(&mut T) -> D::Data<'_>,
}

impl<T: 'static, D: HasData + ?Sized> Clone for Accessor<T, D> {
    fn clone(&self) -> Self {
        Accessor {
            id: self.id,
            getter: self.getter,
        }
    }
}

impl<T: 'static, D: HasData + ?Sized> std::fmt::Debug for Accessor<T, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Accessor").field(&self.id).finish()
    }
}

impl<T: 'static> Accessor<T> {
    /// For the store of this context.
    pub(crate) fn new(mut store: impl AsContextMut<Data = T>) -> Accessor<T> {
        Accessor {
            id: store.as_context_mut().opaque().id(),
            getter: |data| data,
        }
    }
}

impl<T: 'static, D: HasData + ?Sized> Accessor<T, D> {
    /// The same for another part of the store's data, which `getter` finds.
    pub fn with_getter<E: HasData + ?Sized>(
        &self,
        getter: fn(&mut T) -> E::Data<'_>,
    ) -> Accessor<T, E> {
        Accessor {
            id: self.id,
            getter,
        }
    }

    /// How the host's part of the store's data is found.
    pub fn getter(&self) -> fn(&mut T) -> D::Data<'_> {
        self.getter
    }

    /// Does something with the store.
    ///
    /// # Errors
    ///
    /// Outside the store's event loop, and inside another `with` of the same store.
    pub fn with<R>(&self, work: impl FnOnce(Access<'_, T, D>) -> R) -> Result<R> {
        let found = list(|open| {
            let at = open.iter().rposition(|open| open.id == self.id);
            let at = at.ok_or_else(|| {
                Error::msg(
                    "this accessor's store is not at hand: use it in an async host function, \
                     a spawned task, or in `run_concurrent`, and on their thread",
                )
            })?;
            let open = &mut open[at];
            if open.taken {
                return Err(Error::msg(
                    "the store is in use: an accessor's `with` can't be called inside another",
                ));
            }
            open.taken = true;
            Ok((at, open.store))
        });
        let (at, store) = found?;
        let _return = Return(at);
        // SAFETY: opened on this thread and now taken; accessors are made from stores of
        // their own type.
        let context = unsafe { store.context::<T>() };
        Ok(work(Access::new(context, self.getter)))
    }

    /// The same without the data.
    pub(super) fn with_store<R>(&self, work: impl FnOnce(&mut StoreOpaque) -> R) -> Result<R> {
        self.with(|mut store| work(store.opaque()))
    }

    /// Gives the store's event loop a future to run beside everything else. An error that
    /// it returns is one of [`Store::run_until_idle`](crate::Store::run_until_idle).
    ///
    /// # Errors
    ///
    /// As for [`Accessor::with`].
    pub fn spawn(&self, task: impl Future<Output = Result<()>> + Send + 'static) -> Result<()> {
        self.with(|mut store| super::host_task::spawn(store.opaque(), Box::pin(task)))?
    }
}
