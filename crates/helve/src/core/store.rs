//! A store: everything that belongs to one run of guests, and the host's data beside it.
//!
//! ```text
//!  Store<T> ---> StoreInner<T> (heap)
//!                +--------------------------------+ <- StorePtr, *mut VMStoreContext
//!                | StoreOpaque                    |
//!                |   vm: VMStoreContext           |  shared with compiled code
//!                |   instances, memories, ...     |
//!                |   components                   |  src/component/store.rs
//!                +--------------------------------+
//!                | data: T                        |
//!                +--------------------------------+
//! ```
//!
//! All three start at one address, so compiled code's `*mut VMStoreContext` is also the
//! way back to the store in host functions.
//!
//! Not here: the borrowed faces ([`StoreContext`](super::context::StoreContext)).
//!
//! # Safety
//!
//! A call into a guest re-enters the store through the raw pointer in its contexts. So no
//! `&mut StoreInner` or `&mut StoreOpaque` may be alive across such a call: whoever calls
//! holds a [`StorePtr`] and borrows from it only between calls. The pointer is made once,
//! from the box, and every borrow derives from it.

use crate::component::store::ComponentStore;
use crate::core::context::{AsContext, AsContextMut, StoreContext, StoreContextMut};
use crate::core::engine::Engine;
use helve_base::vmctx::VMStoreContext;
use helve_base::{Result, ensure};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which store a handle belongs to; no two stores of a process have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StoreId(u64);

impl StoreId {
    fn next() -> StoreId {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        StoreId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Everything that belongs to one run of guests, with the host's data `T`.
///
/// Handles ([`Instance`](crate::core::Instance), [`Func`](crate::core::Func), ...) are
/// only good for the store they came from.
pub struct Store<T: 'static> {
    ptr: NonNull<StoreInner<T>>,
    owns: PhantomData<StoreInner<T>>,
}

// SAFETY: a store owns all that its raw pointers lead to, host closures in it are `Send`,
// and no thread keeps anything of it while none of its guests runs.
unsafe impl<T: Send> Send for Store<T> {}
// SAFETY: `&Store` gives out `&T` and reads only.
unsafe impl<T: Sync> Sync for Store<T> {}

/// What [`Store`] points to.
#[repr(C)]
pub(crate) struct StoreInner<T: 'static> {
    pub opaque: StoreOpaque,
    pub data: T,
}

/// The part of a store that does not depend on the host's data.
#[repr(C)]
pub(crate) struct StoreOpaque {
    /// What compiled code sees; must stay first.
    pub vm: VMStoreContext,
    id: StoreId,
    engine: Engine,
    /// What components keep per store.
    pub components: ComponentStore,
}

impl StoreOpaque {
    /// Which store this is.
    pub fn id(&self) -> StoreId {
        self.id
    }

    /// The engine it was made with.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Fails unless `owner`, a handle's store, is this one.
    pub fn check(&self, owner: StoreId) -> Result<()> {
        ensure!(owner == self.id, "this handle belongs to another store: use it with the store it came from");
        Ok(())
    }
}

/// A store by address, for code that calls guests. See this file's `# Safety`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StorePtr(NonNull<StoreOpaque>);

impl StorePtr {
    /// The store whose `VMStoreContext` this is.
    ///
    /// # Safety
    ///
    /// `vm` must point to the context of a store that is alive, and derive from its box.
    pub unsafe fn from_vm(vm: *mut VMStoreContext) -> StorePtr {
        // SAFETY: not null, as the caller says.
        StorePtr(unsafe { NonNull::new_unchecked(vm.cast()) })
    }

    /// The context that compiled code sees.
    pub fn vm(self) -> *mut VMStoreContext {
        self.0.as_ptr().cast()
    }

    /// The store.
    ///
    /// # Safety
    ///
    /// The store must be alive, and nothing else may borrow from it, nor guests run,
    /// while the result is in use.
    pub unsafe fn get<'a>(mut self) -> &'a mut StoreOpaque {
        // SAFETY: as the caller says.
        unsafe { self.0.as_mut() }
    }

    /// The store as a context with the host's data.
    ///
    /// # Safety
    ///
    /// The store must be a `Store<T>`, alive for `'a`, and nothing else may borrow from it
    /// for `'a`, except through the result.
    pub unsafe fn context<'a, T: 'static>(self) -> StoreContextMut<'a, T> {
        // SAFETY: as the caller says.
        unsafe { StoreContextMut::from_raw(self.0.cast()) }
    }
}

impl<T: 'static> Store<T> {
    /// An empty store.
    pub fn new(engine: &Engine, data: T) -> Store<T> {
        let inner = Box::new(StoreInner {
            opaque: StoreOpaque {
                vm: VMStoreContext {
                    stack_limit: usize::MAX,
                    exit_fp: 0,
                    exit_pc: 0,
                    activation: std::ptr::null_mut(),
                    builtins: std::ptr::null(),
                    owner: std::ptr::null_mut(),
                    guest_stack_bytes: engine.limits().guest_stack_bytes,
                    host_stack_bytes: engine.limits().host_stack_bytes,
                },
                id: StoreId::next(),
                engine: engine.clone(),
                components: ComponentStore::default(),
            },
            data,
        });
        let ptr = Box::into_raw(inner);
        // SAFETY: just made by `Box::into_raw`, so valid and not null.
        unsafe {
            (*ptr).opaque.vm.owner = ptr.cast();
            Store { ptr: NonNull::new_unchecked(ptr), owns: PhantomData }
        }
    }

    /// The host's data.
    pub fn data(&self) -> &T {
        // SAFETY: alive, and borrowed through `self`; no guest runs while `self` is at hand.
        unsafe { &(*self.ptr.as_ptr()).data }
    }

    /// The host's data, to change.
    pub fn data_mut(&mut self) -> &mut T {
        // SAFETY: as above, and `self` is borrowed uniquely.
        unsafe { &mut (*self.ptr.as_ptr()).data }
    }

    /// The engine it was made with.
    pub fn engine(&self) -> &Engine {
        // SAFETY: as in `data`.
        unsafe { &(*self.ptr.as_ptr()).opaque.engine }
    }

    /// Ends the store, and keeps the host's data.
    pub fn into_data(self) -> T {
        let this = std::mem::ManuallyDrop::new(self);
        // SAFETY: `ptr` came from `Box::into_raw`, and `this` is not dropped.
        let inner = unsafe { Box::from_raw(this.ptr.as_ptr()) };
        inner.data
    }
}

impl<T: 'static> Drop for Store<T> {
    fn drop(&mut self) {
        // SAFETY: `ptr` came from `Box::into_raw`; no guest runs while the store is dropped.
        drop(unsafe { Box::from_raw(self.ptr.as_ptr()) });
    }
}

impl<T: 'static> AsContext for Store<T> {
    type Data = T;

    fn as_context(&self) -> StoreContext<'_, T> {
        // SAFETY: alive as long as `self` is borrowed.
        unsafe { StoreContext::from_raw(self.ptr) }
    }
}

impl<T: 'static> AsContextMut for Store<T> {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        // SAFETY: alive and uniquely ours as long as `self` is borrowed.
        unsafe { StoreContextMut::from_raw(self.ptr) }
    }
}

impl<T: std::fmt::Debug + 'static> std::fmt::Debug for Store<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("data", self.data()).finish_non_exhaustive()
    }
}
