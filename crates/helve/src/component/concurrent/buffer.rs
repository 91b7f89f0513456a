//! Elements of the host's reads and writes, and moving them to and from guests.
//!
//! ```text
//!   guest's memory --load--> Elements (read)          Elements (write) --store--> guest's memory
//!                            Elements (write) --pour--> Elements (read)
//!   in place already         nothing is moved: a producer or consumer was in the guest's memory
//! ```
//!
//! The model knows a buffer of the host by the number of its place in the store's table.
//! Not here: who reads and writes when (`host_end`, `pipe`).
//!
//! # Safety
//!
//! Guests' memories are looked at for one copy, while no guest runs.

use super::pipe::Side;
use super::slots::Key;
use crate::component::call::scope::CallScope;
use crate::component::drive::copy::Place;
use crate::component::lift::LiftContext;
use crate::component::lower::LowerContext;
use crate::component::store::StoreShared;
use crate::component::typed::{ComponentType, Lift, Lower};
use helve_abi::types::InterfaceType;
use helve_base::error::GuestTrap;
use helve_base::{Bug, Error, Result, Trap};
use helve_model::{Buffer, CopyJob};
use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The address of a buffer whose elements are where they belong.
pub(super) const IN_PLACE: u64 = u64::MAX;

/// Elements that the host reads or writes.
pub(crate) trait HostBuffer: Send + Sync {
    /// Takes elements out of a guest's memory.
    fn load(
        &self,
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        bytes: &[u8],
        count: usize,
    ) -> Result<()>;

    /// Writes its first elements to a guest's memory, and has them no more.
    fn store(
        &self,
        cx: &mut LowerContext<'_>,
        ty: InterfaceType,
        at: usize,
        count: usize,
    ) -> Result<()>;

    /// Its first elements, for another one of the host.
    fn elements(&self) -> &dyn Any;

    /// Takes the first elements of another one.
    fn pour(&self, from: &dyn HostBuffer, count: usize) -> Result<()>;

    /// A guest has come with room for `count` elements, or with that many, and this one has
    /// none of its own: how many it has put there or taken at once.
    fn at_once(&self, _side: &Side, _count: usize) -> usize {
        0
    }
}

/// Elements in the host's memory.
pub(super) struct Elements<T>(Mutex<VecDeque<T>>);

impl<T> Elements<T> {
    pub fn new(elements: Vec<T>) -> Arc<Elements<T>> {
        Arc::new(Elements(Mutex::new(elements.into())))
    }

    pub fn lock(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first ones, which it has no more.
    pub fn take(&self, most: usize) -> Vec<T> {
        let mut all = self.lock();
        let count = most.min(all.len());
        all.drain(..count).collect()
    }
}

/// What a read fills.
pub(super) struct Reading<T>(pub Arc<Elements<T>>);

/// What a write takes from.
pub(super) struct Writing<T>(pub Arc<Elements<T>>);

fn wrong_way() -> Error {
    Error::new(Bug("elements that go the wrong way".into()))
}

impl<T: Lift + Send + 'static> HostBuffer for Reading<T> {
    fn load(
        &self,
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        bytes: &[u8],
        count: usize,
    ) -> Result<()> {
        let loaded = load_elements::<T>(cx, ty, bytes, count)?;
        self.0.lock().extend(loaded);
        Ok(())
    }

    fn store(&self, _: &mut LowerContext<'_>, _: InterfaceType, _: usize, _: usize) -> Result<()> {
        Err(wrong_way())
    }

    fn elements(&self) -> &dyn Any {
        &self.0
    }

    fn pour(&self, from: &dyn HostBuffer, count: usize) -> Result<()> {
        let Some(from) = from.elements().downcast_ref::<Arc<Elements<T>>>() else {
            return Err(Error::msg(format!(
                "the host reads `{}` from a stream or future that it writes as another type",
                std::any::type_name::<T>()
            )));
        };
        let taken = from.take(count);
        self.0.lock().extend(taken);
        Ok(())
    }
}

impl<T: Lower + Send + 'static> HostBuffer for Writing<T> {
    fn load(&self, _: &mut LiftContext<'_>, _: InterfaceType, _: &[u8], _: usize) -> Result<()> {
        Err(wrong_way())
    }

    fn store(
        &self,
        cx: &mut LowerContext<'_>,
        ty: InterfaceType,
        at: usize,
        count: usize,
    ) -> Result<()> {
        let elements = self.0.take(count);
        T::store_slice(&elements, cx, ty, at)
    }

    fn elements(&self) -> &dyn Any {
        &self.0
    }

    fn pour(&self, _: &dyn HostBuffer, _: usize) -> Result<()> {
        Err(wrong_way())
    }
}

/// `count` elements of a guest's memory.
pub(super) fn load_elements<T: Lift>(
    cx: &mut LiftContext<'_>,
    ty: InterfaceType,
    bytes: &[u8],
    count: usize,
) -> Result<Vec<T>> {
    if <T as ComponentType>::LAYOUT.size(cx.width()) == 0 {
        return (0..count).map(|_| T::load(cx, ty, &[])).collect();
    }
    cx.charge(count.saturating_mul(size_of::<T>()))?;
    T::load_slice(cx, ty, bytes)
}

/// Performs a copy of which at least one side is the host's.
pub(crate) fn perform(shared: &StoreShared, job: &CopyJob) -> Result<()> {
    let buffer = |address: u64| {
        let mut state = shared.concurrent.state.borrow_mut();
        state.buffers.get_mut(Key::from_bits(address)).cloned()
    };
    let gone = || Error::new(Bug("a buffer of the host that is gone".into()));
    let count = job.count as usize;
    let sides = shared.drive.state().model.arena.copy_sides(job)?;
    match (sides.from_instance, sides.to_instance) {
        (None, _) if sides.from.address == IN_PLACE => Ok(()),
        (_, None) if sides.to.address == IN_PLACE => Ok(()),
        (None, None) => {
            let from = buffer(sides.from.address).ok_or_else(gone)?;
            let to = buffer(sides.to.address).ok_or_else(gone)?;
            to.pour(&*from, count)
        }
        (None, Some(_)) => {
            let from = buffer(sides.from.address).ok_or_else(gone)?;
            let place = place(shared, &sides.to)?;
            place.count_copied(count);
            place.lower(|cx, ty, at| from.store(cx, ty, at, count))
        }
        (Some(_), None) => {
            let to = buffer(sides.to.address).ok_or_else(gone)?;
            let place = place(shared, &sides.from)?;
            place.count_copied(count);
            place.lift(job.count, |cx, ty, bytes| to.load(cx, ty, bytes, count))
        }
        (Some(_), Some(_)) => Err(gone()),
    }
}

/// Where a guest's buffer goes on.
pub(super) fn place(shared: &StoreShared, buffer: &Buffer) -> Result<Place> {
    shared.drive.state().place(buffer)
}

impl Place {
    /// Counts so many elements that the host copies.
    pub fn count_copied(&self, elements: usize) {
        // SAFETY: of the store that the copy is in.
        let instance = unsafe { self.instance.get() };
        let part = instance.part(self.options.owner);
        part.count_copied(elements as u64 * u64::from(self.size));
    }

    /// Lifts what stands there.
    pub fn lift<R>(
        &self,
        count: u32,
        work: impl FnOnce(&mut LiftContext<'_>, InterfaceType, &[u8]) -> Result<R>,
    ) -> Result<R> {
        let mut scope = CallScope::default();
        // SAFETY: of the store that the copy is in; lifting runs no guest.
        let (instance, memory) = unsafe {
            let memory = self.options.memory.map_or(&[][..], |memory| memory.bytes());
            (self.instance.get(), memory)
        };
        let at = self.at as usize;
        let end = at.saturating_add(count as usize * self.size as usize);
        let bytes = memory.get(at..end).ok_or_else(out_of_bounds)?;
        let mut cx = LiftContext::new(memory, &self.options, instance, &mut scope);
        work(&mut cx, self.payload.unwrap_or(InterfaceType::Bool), bytes)
    }

    /// Lowers to there.
    pub fn lower<R>(
        &self,
        work: impl FnOnce(&mut LowerContext<'_>, InterfaceType, usize) -> Result<R>,
    ) -> Result<R> {
        let mut scope = CallScope::default();
        // SAFETY: as above.
        let instance = unsafe { self.instance.get() };
        let mut cx = LowerContext::new(&self.options, instance, &mut scope);
        let ty = self.payload.unwrap_or(InterfaceType::Bool);
        work(&mut cx, ty, self.at as usize)
    }
}

pub(super) fn out_of_bounds() -> Error {
    Error::new(GuestTrap::new(
        Trap::CanonicalAbi,
        "pointer out of bounds of memory",
    ))
}
