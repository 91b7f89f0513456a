//! Reading a guest's values: the context that [`Lift`](super::typed::Lift) works with.
//!
//! While a value is lifted no guest runs, so guest memory is one plain slice. All that a
//! guest says is checked once per buffer: alignment, range, the ABI's own limits
//! (`helve_abi::strings`) and the engine's limit for what lifting may allocate. Not here:
//! the walk over a type, which is `typed`'s or `value`'s.

use crate::component::call::lane::Lane;
use crate::component::call::options::CallOptions;
use crate::component::call::scope::CallScope;
use crate::component::resource::ResourceAny;
use crate::component::state::InstanceData;
use crate::component::typed::Lift;
use helve_abi::error::{AbiError, Content};
use helve_abi::layout::PointerWidth;
use helve_abi::strings;
use helve_abi::types::{InterfaceType, ResourceTypeId, Types};
use helve_base::Result;

/// What lifting one call's values knows.
pub struct LiftContext<'a> {
    memory: &'a [u8],
    pub(crate) options: &'a CallOptions,
    pub(crate) instance: &'a InstanceData,
    pub(crate) scope: &'a mut CallScope,
    /// Bytes that may still be allocated for lifted values.
    budget: usize,
}

impl<'a> LiftContext<'a> {
    /// `memory` is that of `options`, or empty where they have none.
    #[inline]
    pub(crate) fn new(
        memory: &'a [u8],
        options: &'a CallOptions,
        instance: &'a InstanceData,
        scope: &'a mut CallScope,
    ) -> LiftContext<'a> {
        let budget = instance.lifted_bytes;
        LiftContext {
            memory,
            options,
            instance,
            scope,
            budget,
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

    /// The guest's memory.
    #[inline]
    pub fn memory(&self) -> &'a [u8] {
        self.memory
    }

    /// An address or a length.
    #[inline]
    pub fn address(&self, lane: Lane) -> u64 {
        match self.options.width {
            PointerWidth::P32 => lane.u32().into(),
            PointerWidth::P64 => lane.u64(),
        }
    }

    /// The pointer and length at the start of `bytes`.
    ///
    /// # Errors
    ///
    /// Where the guest's memory ends before.
    #[inline]
    pub fn pair(&self, bytes: &[u8]) -> Result<(u64, u64)> {
        match (self.options.width, bytes) {
            (PointerWidth::P32, &[a, b, c, d, e, f, g, h, ..]) => Ok((
                u32::from_le_bytes([a, b, c, d]).into(),
                u32::from_le_bytes([e, f, g, h]).into(),
            )),
            (PointerWidth::P64, bytes) => match bytes.as_chunks::<8>().0 {
                [pointer, length, ..] => {
                    Ok((u64::from_le_bytes(*pointer), u64::from_le_bytes(*length)))
                }
                _ => Err(crate::component::typed::too_few_lanes()),
            },
            _ => Err(crate::component::typed::too_few_lanes()),
        }
    }

    /// The case number in the first `size` bytes (1, 2 or 4).
    ///
    /// # Errors
    ///
    /// Where the guest's memory ends before.
    #[inline]
    pub fn discriminant(&self, bytes: &[u8], size: u32) -> Result<u32> {
        match (size, bytes) {
            (1, &[a, ..]) => Ok(a.into()),
            (2, &[a, b, ..]) => Ok(u16::from_le_bytes([a, b]).into()),
            (4, &[a, b, c, d, ..]) => Ok(u32::from_le_bytes([a, b, c, d])),
            _ => Err(crate::component::typed::too_few_lanes()),
        }
    }

    /// Counts `bytes` that lifting is about to allocate.
    ///
    /// # Errors
    ///
    /// Where that is more than the instance may lift: see
    /// [`InstanceLimits`](crate::InstanceLimits).
    #[inline]
    pub fn charge(&mut self, bytes: usize) -> Result<()> {
        match self.budget.checked_sub(bytes) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => Err(AbiError::LiftedTooMuch(self.instance.lifted_bytes).into()),
        }
    }

    /// Counts bytes that are copied out of the guest.
    #[inline]
    pub(crate) fn count(&self, bytes: &[u8]) {
        let part = self.instance.part(self.options.owner);
        part.count_copied(bytes.len() as u64);
    }

    /// The bytes of parameters or results that go through memory.
    #[inline]
    pub(crate) fn value_bytes(&self, at: u64, size: u32, align: u32) -> Result<&'a [u8]> {
        if at & u64::from(align - 1) != 0 {
            return Err(AbiError::Unaligned.into());
        }
        match at.checked_add(size.into()) {
            Some(end) if end <= self.memory.len() as u64 => {
                Ok(&self.memory[at as usize..end as usize])
            }
            _ => Err(AbiError::OutOfBounds(Content::Values).into()),
        }
    }

    /// The bytes of a list's items.
    #[inline]
    pub(crate) fn list_bytes(
        &self,
        (at, length): (u64, u64),
        size: u32,
        align: u32,
    ) -> Result<&'a [u8]> {
        let bytes = strings::list_bytes(at, length, size, align, self.memory.len() as u64)?;
        Ok(&self.memory[at as usize..][..bytes as usize])
    }

    /// A list of `T`, whose items have type `ty`.
    ///
    /// # Errors
    ///
    /// Where the guest's memory ends before, or what stands there is no value of the type.
    pub fn lift_list<T: Lift>(&mut self, pair: (u64, u64), ty: InterfaceType) -> Result<Vec<T>> {
        let (size, align) = (T::LAYOUT.size(self.width()), T::LAYOUT.align(self.width()));
        let bytes = self.list_bytes(pair, size, align)?;
        self.count(bytes);
        // In range, so the length fits what the memory has.
        self.charge((pair.1 as usize).saturating_mul(size_of::<T>().max(1)))?;
        T::load_slice(self, ty, bytes)
    }

    /// A string.
    ///
    /// # Errors
    ///
    /// Where it is outside of the guest's memory, or not of its encoding, and as
    /// [`LiftContext::charge`] does.
    pub fn lift_string(&mut self, (at, length): (u64, u64)) -> Result<String> {
        let memory = self.memory;
        let range = strings::range(
            self.options.encoding,
            self.width(),
            at,
            length,
            memory.len() as u64,
        )?;
        let bytes = &memory[range.ptr as usize..][..range.bytes as usize];
        self.count(bytes);
        // Transcoding makes at most two bytes of one.
        self.charge(bytes.len().saturating_mul(2))?;
        Ok(strings::decode(range.encoding, bytes)?)
    }

    /// The representation of an `own` handle, which leaves the guest's table.
    ///
    /// # Errors
    ///
    /// Where there is no such handle, or it is of another type, and as [`LiftContext::charge`]
    /// does.
    pub fn lift_own(&mut self, index: u32, ty: ResourceTypeId) -> Result<u32> {
        self.instance
            .part(self.options.owner)
            .take_own(self.instance.resource(ty)?, index)
    }

    /// The representation of a handle that the guest lends for the rest of the call.
    ///
    /// # Errors
    ///
    /// Where there is no such handle, or it is of another type, and as [`LiftContext::charge`]
    /// does.
    #[inline]
    pub fn lift_borrow(&mut self, index: u32, ty: ResourceTypeId) -> Result<u32> {
        let part = self.instance.part(self.options.owner);
        part.lend(&mut self.scope.loans, self.instance.resource(ty)?, index)
    }

    /// A handle as the host holds it, whatever its resource type.
    ///
    /// # Errors
    ///
    /// Where there is no such handle, or it is of another type, and as [`LiftContext::charge`]
    /// does.
    pub fn lift_any(&mut self, index: u32, ty: InterfaceType) -> Result<ResourceAny> {
        let (id, owned) = match ty {
            InterfaceType::Own(id) => (id, true),
            InterfaceType::Borrow(id) => (id, false),
            _ => return Err(crate::component::resource::not_a_handle()),
        };
        let rep = if owned {
            self.lift_own(index, id)?
        } else {
            self.lift_borrow(index, id)?
        };
        let handle =
            self.instance
                .host_handles()
                .insert(self.instance.resource(id)?, rep, owned)?;
        if !owned {
            self.scope.borrow(handle);
        }
        Ok(ResourceAny::new(self.instance, id, handle, owned))
    }
}

impl std::fmt::Debug for LiftContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiftContext")
            .field("options", self.options)
            .finish_non_exhaustive()
    }
}
