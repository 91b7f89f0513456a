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
use crate::core::asynchronous::HandOver;
use crate::core::context::{AsContext, AsContextMut, StoreContext, StoreContextMut};
use crate::core::engine::Engine;
use crate::core::exception::ExceptionsBox;
use crate::core::global::HostTag;
use crate::core::host::HostContextBox;
use crate::core::instances::Instances;
use crate::core::interrupt::{self, Interrupts};
use crate::core::limits::{Freed, Growth, LimiterBox, StoreLimiter};
use helve_base::core_type::{MemoryType, RefType, TableType, ValType};
use helve_base::limits::InstanceLimits;
use helve_base::vmctx::{VMGlobal, VMStoreContext, VMTable};
use helve_base::{Result, ensure, entity_impl};
use helve_vm::Limiter;
use helve_vm::image::MemoryImage;
use helve_vm::shared_memory::{MemoryOwner, SharedMemory};
use std::any::Any;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;
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

/// A core instance of a store.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct InstanceId(u32);
entity_impl!(InstanceId, "instance");

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
// Not `Sync`: looking at a store's tasks and handles first notes what is only on the stack.

/// What [`Store`] points to.
#[repr(C)]
pub(crate) struct StoreInner<T: 'static> {
    pub opaque: StoreOpaque,
    pub data: T,
}

/// The part of a store that does not depend on the host's data.
#[expect(
    clippy::vec_box,
    reason = "definitions and importers hold their addresses"
)]
#[repr(C)]
pub(crate) struct StoreOpaque {
    /// What compiled code sees; must stay first.
    pub vm: VMStoreContext,
    id: StoreId,
    engine: Engine,
    /// What components keep per store.
    pub components: ComponentStore,
    /// Core instances; they live as long as the store, or as the component instance that
    /// they are of.
    pub instances: Instances,
    /// Memories, tables and globals that the host made.
    pub memories: Vec<MemoryOwner>,
    pub tables: Vec<Box<helve_vm::table::Table>>,
    pub globals: Vec<Box<helve_vm::global::Global>>,
    /// Tags that the host made.
    pub tags: Vec<HostTag>,
    /// The exceptions of its guests; `vm` points to them.
    pub exceptions: ExceptionsBox,
    /// What guests get that have run for long.
    pub interrupts: Interrupts,
    /// Host functions that guests of this store can call.
    pub host_functions: Vec<HostContextBox>,
    /// Host values that guests hold as externrefs.
    pub externs: Vec<Box<dyn Any + Send + Sync>>,
    /// What async calls and async host functions pass each other.
    pub hand_over: HandOver,
    /// What component instances may have that are made now.
    pub instance_limits: InstanceLimits,
    /// What its guests have, and may have. Last: instances point to it.
    pub limiter: LimiterBox<StoreLimiter>,
}

impl StoreOpaque {
    /// Its own address, with the provenance that compiled code's pointers have.
    pub fn ptr(&self) -> StorePtr {
        // SAFETY: `owner` was set to the box's address when the store was made.
        unsafe { StorePtr::from_vm(self.vm.owner.cast()) }
    }

    /// A memory, zeroed but for `image`, counted against the store's limits.
    pub fn new_memory(
        &mut self,
        ty: &MemoryType,
        image: Option<&Arc<MemoryImage>>,
    ) -> Result<MemoryOwner> {
        let bytes = ty.minimum.saturating_mul(ty.page_size());
        let maximum = ty.maximum.map(|pages| pages.saturating_mul(ty.page_size()));
        self.limiter.get().add_memory(bytes, maximum)?;
        let limit = self.engine.limits().memory_bytes;
        if ty.shared {
            return Ok(MemoryOwner::Shared(SharedMemory::new(ty, limit)?));
        }
        let pool = Some(self.engine.memories());
        Ok(helve_vm::memory::Memory::with_image(ty, limit, pool, image)?.into())
    }

    /// A table with every element `init`, counted against the store's limits.
    pub fn new_table(
        &mut self,
        ty: &TableType,
        init: *mut u8,
    ) -> Result<Box<helve_vm::table::Table>> {
        self.limiter.get().add_table(ty.minimum, ty.maximum)?;
        helve_vm::table::Table::new(ty, init, self.engine.limits().table_elements)
    }

    /// A new global of this type, which lives as long as the store: what it holds is not
    /// freed.
    pub fn watch_global(&mut self, ty: ValType, global: *const VMGlobal) {
        if let ValType::Ref(ty) = ty
            && ty.heap.is_exception()
        {
            // SAFETY: as the caller says.
            unsafe { self.exceptions.get_mut().add_global(global) }
        }
    }

    /// The same for a table with such elements.
    pub fn watch_table(&mut self, element: RefType, table: *const VMTable) {
        if element.heap.is_exception() {
            // SAFETY: as the caller says.
            unsafe { self.exceptions.get_mut().add_table(table) }
        }
    }

    /// Ends a core instance that nothing refers to any more.
    pub fn remove_instance(&mut self, instance: crate::core::Instance) {
        let Some(data) = self.instances.remove(instance.id()) else {
            return;
        };
        let info = &data.module.inner().info;
        let counts = &info.counts;
        let mut freed = Freed {
            context_bytes: info.offsets.size().into(),
            ..Freed::default()
        };
        for (memory, _) in info.memories.iter().skip(counts.imported_memories as usize) {
            freed.memories += 1;
            // SAFETY: of an instance that is still there.
            freed.memory_bytes += unsafe { (*data.vm.memory(memory)).len } as u64;
        }
        for (table, _) in info.tables.iter().skip(counts.imported_tables as usize) {
            freed.tables += 1;
            let table = data.vm.table(table);
            // SAFETY: as above.
            freed.table_elements += unsafe { (*table).len } as u64;
            self.exceptions.get_mut().remove_table(table);
        }
        for (global, _) in info.globals.iter().skip(counts.imported_globals as usize) {
            self.exceptions
                .get_mut()
                .remove_global(data.vm.global(global));
        }
        self.limiter.get().remove(&freed);
    }

    /// Which store this is.
    pub fn id(&self) -> StoreId {
        self.id
    }

    /// The engine it was made with.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Fails unless `owner`, a handle's store, is this one.
    #[inline]
    pub fn check(&self, owner: StoreId) -> Result<()> {
        ensure!(
            owner == self.id,
            "this handle belongs to another store: use it with the store it came from"
        );
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
        let place = Box::into_raw(Box::<StoreInner<T>>::new_uninit()).cast::<StoreInner<T>>();
        // SAFETY: a box's address, not null; the context will stand at its start.
        let (ptr, store) = unsafe {
            (
                NonNull::new_unchecked(place),
                StorePtr::from_vm(place.cast()),
            )
        };
        let exceptions = ExceptionsBox::new(engine.limits().exception_bytes);
        let mut vm = helve_vm::traps::store_context(engine.limits(), place.cast());
        vm.exceptions = exceptions.as_ptr();
        interrupt::prepare(&mut vm, engine);
        let inner = StoreInner {
            opaque: StoreOpaque {
                vm,
                id: StoreId::next(),
                engine: engine.clone(),
                components: ComponentStore::default(),
                instances: Instances::default(),
                memories: Vec::new(),
                tables: Vec::new(),
                globals: Vec::new(),
                tags: Vec::new(),
                exceptions,
                interrupts: Interrupts::default(),
                host_functions: Vec::new(),
                externs: Vec::new(),
                hand_over: HandOver::default(),
                instance_limits: InstanceLimits::from(engine.limits()),
                limiter: LimiterBox::new(StoreLimiter::new(store, engine.limits())),
            },
            data,
        };
        // SAFETY: room for it, and ours.
        unsafe { place.write(inner) };
        Store {
            ptr,
            owns: PhantomData,
        }
    }

    /// Lets `limiter`, found in the host's data, decide about every growth of a memory or
    /// table, and about the first size of each, beside the fixed limits.
    pub fn limiter<F>(&mut self, mut limiter: F)
    where
        F: for<'a> FnMut(&'a mut T) -> &'a mut (dyn Limiter + 'a) + Send + Sync + 'static,
    {
        let custom = move |store: StorePtr, growth: Growth| {
            let inner = store.0.cast::<StoreInner<T>>();
            // SAFETY: this store's limiter is asked while a guest, or the host in a call
            // that has borrowed the store, waits: nobody uses the data.
            let data = unsafe { &mut (*inner.as_ptr()).data };
            growth.ask(limiter(data))
        };
        self.as_context_mut().opaque().limiter.get().custom = Some(Box::new(custom));
    }

    /// What each component instance may have that is made from now on in this store, nested
    /// ones too, beside what the engine's [`Limits`](crate::Limits) leave to the store as a
    /// whole. By default what these say of one instance.
    ///
    /// ```
    /// # use helve::{Config, Engine, InstanceLimits, Store};
    /// # let engine = Engine::new(&Config::new())?;
    /// let mut store = Store::new(&engine, ());
    /// let mut limits = InstanceLimits::from(engine.limits());
    /// limits.memory_bytes = 64 << 20;
    /// limits.handles = 10_000;
    /// store.set_instance_limits(limits);
    /// # Ok::<(), helve::Error>(())
    /// ```
    pub fn set_instance_limits(&mut self, limits: InstanceLimits) {
        self.as_context_mut().opaque().instance_limits = limits;
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
        // SAFETY: `ptr` came from `Box::into_raw`, and `this` is not dropped. A host's future
        // may look at the store while it is dropped, so that comes first.
        let inner = unsafe {
            drop((*this.ptr.as_ptr()).opaque.hand_over.pending.take());
            Box::from_raw(this.ptr.as_ptr())
        };
        inner.data
    }
}

impl<T: 'static> Drop for Store<T> {
    fn drop(&mut self) {
        // SAFETY: `ptr` came from `Box::into_raw`; no guest runs while the store is dropped.
        // A host's future may look at the store while it is dropped, so that comes first.
        unsafe {
            drop((*self.ptr.as_ptr()).opaque.hand_over.pending.take());
            drop(Box::from_raw(self.ptr.as_ptr()));
        }
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
        f.debug_struct("Store")
            .field("data", self.data())
            .finish_non_exhaustive()
    }
}
