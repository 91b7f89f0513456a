//! Writing a guest's values: the context that [`Lower`](super::typed::Lower) works with.
//!
//! Memory for strings and lists comes from the guest's own `realloc`, so a guest may run
//! in the middle of lowering: nothing here keeps a reference into guest memory across a
//! method call. While its `realloc` runs the guest can't leave its instance.
//!
//! Strings of the host are lowered as the spec lowers a string that is already in the
//! guest's encoding: one allocation of the exact size. Not here: the walk over a type
//! (`typed`, `value`), strings between guests (`call::adapter`).
//!
//! # Safety
//!
//! Slices of guest memory are made for one write or read at a time, while no guest runs.

use crate::component::call::enter::CoreFunc;
use crate::component::call::lane::Lane;
use crate::component::call::options::CallOptions;
use crate::component::call::scope::CallScope;
use crate::component::meter::metered;
use crate::component::resource::{ResourceAny, not_a_handle};
use crate::component::state::InstanceData;
use crate::component::typed::Lower;
use helve_abi::error::{AbiError, Content};
use helve_abi::layout::PointerWidth;
use helve_abi::options::StringEncoding;
use helve_abi::strings::MAX_BYTES;
use helve_abi::types::{InterfaceType, ResourceTypeId, Types};
use helve_base::{Bug, Error, Result, ensure};

/// Most bytes that one `realloc` of a 32-bit memory is asked for.
const MAX_ALLOCATION: u64 = u32::MAX as u64;

/// What lowering one call's values knows.
pub struct LowerContext<'a> {
    pub(crate) options: &'a CallOptions,
    pub(crate) instance: &'a InstanceData,
    pub(crate) scope: &'a mut CallScope,
}

impl<'a> LowerContext<'a> {
    #[inline]
    pub(crate) fn new(
        options: &'a CallOptions,
        instance: &'a InstanceData,
        scope: &'a mut CallScope,
    ) -> LowerContext<'a> {
        LowerContext {
            options,
            instance,
            scope,
        }
    }

    /// The component's types.
    #[inline]
    pub fn types(&self) -> &'a Types {
        self.instance.types()
    }

    /// The width of the guest's addresses.
    #[inline]
    pub fn width(&self) -> PointerWidth {
        self.options.width
    }

    /// An address or a length.
    #[inline]
    pub(crate) fn address(&self, lane: Lane) -> u64 {
        match self.options.width {
            PointerWidth::P32 => lane.u32().into(),
            PointerWidth::P64 => lane.u64(),
        }
    }

    /// The guest's memory as it is now.
    #[inline]
    fn memory(&mut self) -> &mut [u8] {
        match self.options.memory {
            // SAFETY: no guest runs while `self` is borrowed, and only `self` writes.
            Some(memory) => unsafe { memory.bytes_mut() },
            None => &mut [],
        }
    }

    /// `size` bytes of guest memory at `at`, to write.
    ///
    /// # Errors
    ///
    /// Where the guest's memory ends before.
    #[inline]
    pub fn bytes_mut(&mut self, at: usize, size: usize) -> Result<&mut [u8]> {
        let end = at.saturating_add(size);
        self.memory().get_mut(at..end).ok_or_else(unchecked)
    }

    /// Writes `bytes` at `at`.
    ///
    /// # Errors
    ///
    /// Where the guest's memory ends before.
    #[inline]
    pub fn put<const N: usize>(&mut self, at: usize, bytes: &[u8; N]) -> Result<()> {
        self.bytes_mut(at, N)?.copy_from_slice(bytes);
        Ok(())
    }

    /// Writes a case number of `size` bytes (1, 2 or 4).
    ///
    /// # Errors
    ///
    /// Where the guest's memory ends before.
    #[inline]
    pub fn put_discriminant(&mut self, at: usize, size: u32, value: u32) -> Result<()> {
        match size {
            1 => self.put(at, &[value as u8]),
            2 => self.put(at, &(value as u16).to_le_bytes()),
            _ => self.put(at, &value.to_le_bytes()),
        }
    }

    /// Writes a pointer and a length.
    ///
    /// # Errors
    ///
    /// Where the guest's memory ends before.
    #[inline]
    pub fn put_pair(&mut self, at: usize, (pointer, length): (u64, u64)) -> Result<()> {
        match self.options.width {
            PointerWidth::P32 => {
                self.put(at, &(pointer as u32).to_le_bytes())?;
                self.put(at + 4, &(length as u32).to_le_bytes())
            }
            PointerWidth::P64 => {
                self.put(at, &pointer.to_le_bytes())?;
                self.put(at + 8, &length.to_le_bytes())
            }
        }
    }

    /// New guest memory: in range and aligned.
    pub(crate) fn allocate(&mut self, align: u32, size: u64, content: Content) -> Result<usize> {
        self.reallocate((0, 0), align, size, content)
    }

    /// The guest's `realloc` of `(address, size)` to `size` bytes.
    pub(crate) fn reallocate(
        &mut self,
        (old, old_size): (u64, u64),
        align: u32,
        size: u64,
        content: Content,
    ) -> Result<usize> {
        let Some(realloc) = self.options.realloc else {
            return Err(Error::new(Bug(
                "lowering needs a realloc that validation did not ask for".into(),
            )));
        };
        self.instance.part(self.options.owner).count_copied(size);
        let at = self.call_realloc(realloc, [old, old_size, align.into(), size])?;
        self.check_allocation(at, align, size, content)
    }

    fn call_realloc(&mut self, realloc: CoreFunc, args: [u64; 4]) -> Result<u64> {
        let mut lanes = args.map(Lane::from_u64);
        let part = self.instance.part(self.options.owner);
        let before = part.may_leave.replace(false);
        let run = || realloc.call(self.instance.store(), &mut lanes);
        metered(self.instance, part, run)?;
        part.may_leave.set(before);
        Ok(self.address(lanes[0]))
    }

    fn check_allocation(
        &mut self,
        at: u64,
        align: u32,
        size: u64,
        content: Content,
    ) -> Result<usize> {
        if at & u64::from(align - 1) != 0 {
            return Err(AbiError::ReallocUnaligned.into());
        }
        let end = at.checked_add(size);
        if end.is_none_or(|end| end > self.memory().len() as u64) {
            return Err(AbiError::ReallocOutOfBounds(content).into());
        }
        Ok(at as usize)
    }

    /// Checks an address where the guest wants results.
    #[inline]
    pub(crate) fn check_value(&mut self, at: u64, size: u32, align: u32) -> Result<usize> {
        if at & u64::from(align - 1) != 0 {
            return Err(AbiError::Unaligned.into());
        }
        let end = at.checked_add(size.into());
        if end.is_none_or(|end| end > self.memory().len() as u64) {
            return Err(AbiError::OutOfBounds(Content::Values).into());
        }
        Ok(at as usize)
    }

    /// A list, whose items have type `ty`, in new guest memory: its address and length.
    ///
    /// # Errors
    ///
    /// Where the guest's `realloc` traps or gives what is outside of its memory, or an item
    /// can't be lowered.
    pub fn lower_list<T: Lower>(&mut self, items: &[T], ty: InterfaceType) -> Result<(u64, u64)> {
        let (size, align) = (T::LAYOUT.size(self.width()), T::LAYOUT.align(self.width()));
        let at = self.allocate_list(items.len(), size, align)?;
        T::store_slice(items, self, ty, at)?;
        Ok((at as u64, items.len() as u64))
    }

    /// Memory for a list of `count` items.
    pub(crate) fn allocate_list(&mut self, count: usize, size: u32, align: u32) -> Result<usize> {
        let bytes = (count as u64).saturating_mul(size.into());
        ensure!(
            bytes <= MAX_ALLOCATION,
            "list of {count} items is too long: it would take {bytes} bytes in the guest"
        );
        self.allocate(align, bytes, Content::List)
    }

    /// A string in new guest memory: its address and its length as the encoding counts it.
    ///
    /// # Errors
    ///
    /// Where the guest's `realloc` traps or gives what is outside of its memory.
    pub fn lower_string(&mut self, text: &str) -> Result<(u64, u64)> {
        let utf16_units = || text.encode_utf16().count() as u64;
        match self.options.encoding {
            StringEncoding::Utf8 => {
                let at = self.allocate_string(text.len() as u64, 1)?;
                self.bytes_mut(at, text.len())?
                    .copy_from_slice(text.as_bytes());
                Ok((at as u64, text.len() as u64))
            }
            StringEncoding::Latin1OrUtf16 if text.chars().all(|c| u32::from(c) < 0x100) => {
                let length = text.chars().count();
                let at = self.allocate_string(length as u64, 2)?;
                for (byte, c) in self.bytes_mut(at, length)?.iter_mut().zip(text.chars()) {
                    *byte = u32::from(c) as u8;
                }
                Ok((at as u64, length as u64))
            }
            encoding => {
                let units = utf16_units();
                let at = self.allocate_string(units.saturating_mul(2), 2)?;
                let bytes = self.bytes_mut(at, units as usize * 2)?;
                for (pair, unit) in bytes.as_chunks_mut().0.iter_mut().zip(text.encode_utf16()) {
                    *pair = unit.to_le_bytes();
                }
                let tag = if encoding == StringEncoding::Utf16 {
                    0
                } else {
                    self.width().utf16_tag()
                };
                Ok((at as u64, units | tag))
            }
        }
    }

    fn allocate_string(&mut self, bytes: u64, align: u32) -> Result<usize> {
        ensure!(
            bytes <= MAX_BYTES,
            "string of {bytes} bytes is too long: the canonical ABI allows {MAX_BYTES} bytes"
        );
        self.allocate(align, bytes, Content::String)
    }

    /// A new `own` handle of the guest for this representation.
    ///
    /// # Errors
    ///
    /// Where no such handle can be made: the table is full, or the type is not a resource's.
    #[inline]
    pub fn lower_own(&mut self, rep: u32, ty: ResourceTypeId) -> Result<u32> {
        self.instance
            .part(self.options.owner)
            .insert_own(self.instance.resource(ty)?, rep)
    }

    /// What the guest gets to borrow a resource: a handle for the rest of the call, or the
    /// representation itself where the guest implements the resource.
    ///
    /// # Errors
    ///
    /// Where no such handle can be made: the table is full, or the type is not a resource's.
    pub fn lower_borrow(&mut self, rep: u32, ty: ResourceTypeId) -> Result<u32> {
        if self.instance.implements(self.options.owner, ty) {
            return self.instance.implementers_rep(ty, rep);
        }
        let task = match self.scope.task {
            Some(task) => task,
            None => *self
                .scope
                .task
                .insert(self.instance.shared().begin_scope()?),
        };
        self.instance
            .part(self.options.owner)
            .insert_borrow(self.instance.resource(ty)?, rep, task)
    }

    /// Gives the guest a handle that the host holds.
    ///
    /// # Errors
    ///
    /// Where the handle is of another type, or lent, or the table is full.
    pub fn lower_any(&mut self, any: &ResourceAny, ty: InterfaceType) -> Result<u32> {
        ensure!(
            any.store() == self.instance.store_id(),
            "this resource belongs to another store"
        );
        match ty {
            InterfaceType::Own(id) => {
                let rep = self
                    .instance
                    .host_handles()
                    .take_own(any, self.instance.resource(id)?)?;
                self.lower_own(rep, id)
            }
            InterfaceType::Borrow(id) => {
                let handles = self.instance.host_handles();
                let rep = handles.lend(any, self.instance.resource(id)?)?;
                self.scope.lend(any.handle());
                self.lower_borrow(rep, id)
            }
            _ => Err(not_a_handle()),
        }
    }
}

impl std::fmt::Debug for LowerContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LowerContext")
            .field("options", self.options)
            .finish_non_exhaustive()
    }
}

#[cold]
fn unchecked() -> Error {
    Error::new(Bug(
        "a write to guest memory that was not checked before".into()
    ))
}
