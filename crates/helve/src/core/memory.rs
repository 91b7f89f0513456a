//! Linear memories: handles for the host.
//!
//! # Safety
//!
//! A handle's pointer is a definition in the store or one of its instances and lives as
//! long as the store; every use first checks that the store at hand is the right one.
//! Bytes are lent with the store, so no guest runs while the host sees them.

use crate::core::context::{AsContext, AsContextMut, StoreContextMut};
use crate::core::store::{StoreId, StoreOpaque};
use helve_base::core_type::MemoryType;
use helve_base::vmctx::VMMemory;
use helve_base::{Error, Result};
use std::ptr::NonNull;

/// A linear memory of a store.
///
/// ```
/// # use helve::{Engine, Config, Store, core::*};
/// # let engine = Engine::new(&Config::new())?;
/// # let mut store = Store::new(&engine, ());
/// let module = Module::new(&engine, r#"(module (memory (export "m") 1))"#)?;
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let memory = instance.get_memory(&store, "m").expect("it has one");
/// memory.write(&mut store, 16, b"hello")?;
/// assert_eq!(&memory.data(&store)?[16..21], b"hello");
/// assert_eq!(memory.grow(&mut store, 1)?, 1); // pages of 64 KiB: how many there were
/// # Ok::<(), helve::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    pub(crate) store: StoreId,
    pub(crate) ptr: NonNull<VMMemory>,
}

// SAFETY: the pointer is only followed with the store at hand.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// A memory of the host's own, zeroed.
    ///
    /// # Errors
    ///
    /// Where the type is invalid, or a limit of the store or the system does not allow it.
    pub fn new(mut store: impl AsContextMut, ty: MemoryType) -> Result<Memory> {
        let mut store = store.as_context_mut();
        let store = store.opaque();
        let memory = store.new_memory(&ty, None)?;
        let ptr = NonNull::new(memory.definition()).ok_or_else(|| Error::msg("no memory"))?;
        store.memories.push(memory);
        Ok(Memory {
            store: store.id(),
            ptr,
        })
    }

    /// The VM's record of it.
    pub(crate) fn record<'a>(
        &self,
        store: &'a StoreOpaque,
    ) -> Result<&'a helve_vm::memory::Memory> {
        store.check(self.store)?;
        // SAFETY: the store is the right one, so the memory is alive as long as it is.
        Ok(unsafe { helve_vm::memory::Memory::of(self.ptr.as_ptr()) })
    }

    /// All its bytes, for whoever has checked the store.
    ///
    /// # Safety
    ///
    /// The store must be alive. What is read or written must not be in use elsewhere; it
    /// may move out of bounds, but never away, when guests run.
    #[inline]
    pub(crate) unsafe fn bytes(&self) -> *mut [u8] {
        // SAFETY: the definition lives as long as the store.
        let VMMemory { base, len, .. } = unsafe { self.ptr.as_ptr().read() };
        std::ptr::slice_from_raw_parts_mut(base, len)
    }

    /// Fails unless it is of this store, and only used by it.
    fn check_own(&self, store: &StoreOpaque) -> Result<()> {
        helve_base::ensure!(
            !self.record(store)?.ty().shared,
            "the memory is shared with other threads: use Memory::as_shared"
        );
        Ok(())
    }

    /// Its type, as declared.
    ///
    /// # Errors
    ///
    /// Where `store` is not its own.
    pub fn ty(&self, store: impl AsContext) -> Result<MemoryType> {
        Ok(*self.record(store.as_context().opaque())?.ty())
    }

    /// Its size in pages.
    ///
    /// # Errors
    ///
    /// Where `store` is not its own.
    pub fn size(&self, store: impl AsContext) -> Result<u64> {
        Ok(self.record(store.as_context().opaque())?.pages())
    }

    /// Its bytes.
    ///
    /// # Errors
    ///
    /// Where `store` is not its own. Shared memories have no slice.
    pub fn data<'a, T: 'static>(&self, store: &'a impl AsContext<Data = T>) -> Result<&'a [u8]> {
        self.check_own(store.as_context().opaque())?;
        // SAFETY: borrowed with the store.
        Ok(unsafe { &*self.bytes() })
    }

    /// Its bytes, to change.
    ///
    /// # Errors
    ///
    /// Where `store` is not its own. Shared memories have no slice.
    pub fn data_mut<'a, T: 'static>(
        &self,
        store: &'a mut impl AsContextMut<Data = T>,
    ) -> Result<&'a mut [u8]> {
        self.check_own(store.as_context().opaque())?;
        // SAFETY: borrowed uniquely with the store.
        Ok(unsafe { &mut *self.bytes() })
    }

    /// Its bytes, to change, and the host's data beside them.
    ///
    /// # Errors
    ///
    /// Where `store` is not its own. Shared memories have no slice.
    pub fn data_and_store_mut<'a, T: 'static>(
        &self,
        store: impl Into<StoreContextMut<'a, T>>,
    ) -> Result<(&'a mut [u8], &'a mut T)> {
        let mut store = store.into();
        self.check_own(store.opaque())?;
        // SAFETY: both borrowed for as long as the store; they are apart from each other.
        Ok(unsafe { (&mut *self.bytes(), store.into_data()) })
    }

    /// Copies bytes out.
    ///
    /// # Errors
    ///
    /// Where `offset..offset + buffer.len()` is not in the memory.
    pub fn read(&self, store: impl AsContext, offset: usize, buffer: &mut [u8]) -> Result<()> {
        let store = store.as_context();
        let data = self.data(&store)?;
        let range = offset..offset.saturating_add(buffer.len());
        buffer.copy_from_slice(data.get(range).ok_or_else(|| out_of_bounds(data, offset))?);
        Ok(())
    }

    /// Copies bytes in.
    ///
    /// # Errors
    ///
    /// Where `offset..offset + bytes.len()` is not in the memory.
    pub fn write(&self, mut store: impl AsContextMut, offset: usize, bytes: &[u8]) -> Result<()> {
        let mut store = store.as_context_mut();
        let data = self.data_mut(&mut store)?;
        let range = offset..offset.saturating_add(bytes.len());
        match data.get_mut(range) {
            Some(place) => place.copy_from_slice(bytes),
            None => return Err(out_of_bounds(data, offset)),
        }
        Ok(())
    }

    /// Adds pages; the size before.
    ///
    /// # Errors
    ///
    /// Where its maximum or a limit is exceeded.
    pub fn grow(&self, mut store: impl AsContextMut, pages: u64) -> Result<u64> {
        let mut store = store.as_context_mut();
        let store = store.opaque();
        store.check(self.store)?;
        // SAFETY: the store is the right one; the memory is apart from the limiter.
        let memory = unsafe { helve_vm::memory::Memory::of(self.ptr.as_ptr()) };
        memory
            .grow(pages, Some(store.limiter.get()))
            .ok_or_else(|| {
                Error::msg(format!(
                    "a memory of {} pages cannot grow by {pages}",
                    memory.pages()
                ))
            })
    }
}

fn out_of_bounds(data: &[u8], offset: usize) -> Error {
    Error::msg(format!(
        "offset {offset} and what follows is not in a memory of {} bytes",
        data.len()
    ))
}
