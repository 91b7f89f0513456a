//! Memories that several threads, and several stores of one engine, use at once.
//!
//! Not here: memories of one store (`memory.rs`); who waits where (helve-vm).
//!
//! # Safety
//!
//! Guests of other threads may write any byte at any time, so bytes are lent as cells and
//! never as slices of plain bytes.

use crate::core::context::{AsContext, AsContextMut};
use crate::core::engine::Engine;
use crate::core::memory::Memory;
use helve_base::builtin::wait;
use helve_base::core_type::MemoryType;
use helve_base::{Error, Result, Trap, ensure};
use helve_vm::shared_memory::{MemoryOwner, SharedMemory as Inner};
use std::cell::UnsafeCell;
use std::ptr::NonNull;
use std::time::Duration;

/// A shared memory. Cheap to clone; lives as long as anybody has it.
///
/// Needs [`Config::wasm_threads`](crate::Config::wasm_threads).
///
/// ```
/// use helve::core::{MemoryType, SharedMemory};
/// # use helve::{Config, Engine, Store};
/// # let mut config = Config::new();
/// # config.wasm_threads(true);
/// # let engine = Engine::new(&config)?;
/// let module = helve::core::Module::new(&engine, "(module (import \"\" \"m\" (memory 1 4 shared)))")?;
/// let Some((_, _, helve::core::ExternType::Memory(ty))) = module.imports().next() else {
///     unreachable!()
/// };
/// let memory = SharedMemory::new(&engine, ty)?;
/// // In the stores of as many threads as there are.
/// let mut store = Store::new(&engine, ());
/// let here = memory.in_store(&mut store)?;
/// memory.grow(1)?;
/// assert_eq!(here.size(&store)?, 2);
/// # Ok::<(), helve::Error>(())
/// ```
#[derive(Clone)]
pub struct SharedMemory {
    engine: Engine,
    inner: Inner,
}

/// How [`SharedMemory::atomic_wait32`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitResult {
    /// Another thread notified.
    Ok,
    /// Another value than the expected one was there.
    Mismatch,
    /// Nobody notified in time.
    TimedOut,
}

impl SharedMemory {
    /// A memory, zeroed.
    ///
    /// # Errors
    ///
    /// Where `ty` is not shared, has no maximum, or exceeds
    /// [`Limits::memory_bytes`](crate::Limits::memory_bytes).
    pub fn new(engine: &Engine, ty: MemoryType) -> Result<SharedMemory> {
        Ok(SharedMemory {
            engine: engine.clone(),
            inner: Inner::new(&ty, engine.limits().memory_bytes)?,
        })
    }

    /// Its type, as declared.
    pub fn ty(&self) -> MemoryType {
        *self.inner.ty()
    }

    /// Its size in pages.
    pub fn size(&self) -> u64 {
        self.inner.pages()
    }

    /// Its bytes, which guests may change while they are read.
    pub fn data(&self) -> &[UnsafeCell<u8>] {
        // SAFETY: they stay there as long as the memory, which only grows; a cell promises
        // nothing about its content.
        unsafe { &*(self.inner.bytes() as *const [UnsafeCell<u8>]) }
    }

    /// Adds pages; the size before.
    ///
    /// # Errors
    ///
    /// Where its maximum or a limit is exceeded.
    pub fn grow(&self, pages: u64) -> Result<u64> {
        self.inner.grow(pages, None).ok_or_else(|| {
            Error::msg(format!(
                "a shared memory of {} pages cannot grow by {pages}",
                self.size()
            ))
        })
    }

    /// As the instruction `memory.atomic.notify`: wakes at most `count` threads that wait
    /// at `address`; how many.
    ///
    /// # Errors
    ///
    /// Where the instruction traps.
    pub fn atomic_notify(&self, address: u64, count: u32) -> Result<u32> {
        self.check(address, 4)?;
        Ok(self.inner.notify(address, count))
    }

    /// As the instruction `memory.atomic.wait32`, on the calling thread.
    ///
    /// # Errors
    ///
    /// Where the instruction traps.
    pub fn atomic_wait32(
        &self,
        address: u64,
        expected: u32,
        timeout: Option<Duration>,
    ) -> Result<WaitResult> {
        self.wait(address, 4, expected.into(), timeout)
    }

    /// As the instruction `memory.atomic.wait64`, on the calling thread.
    ///
    /// # Errors
    ///
    /// Where the instruction traps.
    pub fn atomic_wait64(
        &self,
        address: u64,
        expected: u64,
        timeout: Option<Duration>,
    ) -> Result<WaitResult> {
        self.wait(address, 8, expected, timeout)
    }

    fn wait(
        &self,
        address: u64,
        bytes: u32,
        expected: u64,
        timeout: Option<Duration>,
    ) -> Result<WaitResult> {
        self.check(address, bytes.into())?;
        let nanos = timeout.map_or(-1, |t| i64::try_from(t.as_nanos()).unwrap_or(i64::MAX));
        let how = self.inner.wait(address, bytes, expected, nanos, || false);
        Ok(match how {
            wait::WOKEN => WaitResult::Ok,
            wait::NOT_EQUAL => WaitResult::Mismatch,
            _ => WaitResult::TimedOut,
        })
    }

    fn check(&self, address: u64, bytes: u64) -> Result<()> {
        if !address.is_multiple_of(bytes) {
            return Err(Trap::UnalignedAtomic.into());
        }
        match self.inner.range(address, bytes) {
            Some(_) => Ok(()),
            None => Err(Trap::MemoryOutOfBounds.into()),
        }
    }

    /// A handle to it for this store: to be imported by its instances.
    ///
    /// # Errors
    ///
    /// Where the store is another engine's, or has as many memories as it may.
    pub fn in_store(&self, mut store: impl AsContextMut) -> Result<Memory> {
        let mut store = store.as_context_mut();
        ensure!(
            Engine::same(&self.engine, store.engine()),
            "the shared memory belongs to another engine than the store"
        );
        let store = store.opaque();
        store.limiter.get().add_memory(0, None)?;
        let ptr = NonNull::new(self.inner.definition()).ok_or_else(|| Error::msg("no memory"))?;
        store.memories.push(MemoryOwner::Shared(self.inner.clone()));
        Ok(Memory {
            store: store.id(),
            ptr,
        })
    }
}

impl Memory {
    /// The memory for other threads and stores, if it is a shared one.
    ///
    /// # Errors
    ///
    /// Where `store` is not its own.
    pub fn as_shared(&self, store: impl AsContext) -> Result<Option<SharedMemory>> {
        let store = store.as_context();
        let memory = self.record(store.opaque())?;
        Ok(Inner::of(memory).map(|inner| SharedMemory {
            engine: store.engine().clone(),
            inner,
        }))
    }
}

impl std::fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedMemory")
            .field("ty", &self.ty())
            .field("size", &self.size())
            .finish()
    }
}
