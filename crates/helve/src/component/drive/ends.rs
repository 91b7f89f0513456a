//! Streams and futures as values whose element type is only known at run time.
//!
//! ```text
//!   guest's table --lift--> an end in no table (StreamAny, FutureAny) --lower--> table
//!                              |  ^
//!            try_into_reader   v  | into_any
//!                           StreamReader<T>, FutureReader<T>
//! ```
//!
//! Not here: reading and writing (`concurrent`).
//!
//! # Safety
//!
//! See the module above.

use super::State;
use super::error_context::ErrorContext;
use crate::component::concurrent::copy_is_plain;
use crate::component::concurrent::host_end::{self, HostEnd};
use crate::component::concurrent::{FutureReader, StreamReader};
use crate::component::state::InstanceData;
use crate::component::store::StoreShared;
use crate::component::typed::{ComponentType, TypeCheck};
use crate::core::context::AsContextMut;
use crate::core::store::{StoreId, StoreOpaque};
use helve_abi::program::Handle;
use helve_abi::types::InterfaceType;
use helve_base::{Bug, Error, Result, ensure};
use helve_decode::plan::ComponentInstanceId;
use helve_model::{Shape, TypeId, WaitableId};

/// Whether an element type, or none, is the one that a Rust type stands for.
type Check = fn(Option<InterfaceType>, &TypeCheck<'_>) -> Result<()>;

/// The readable end of a stream, held by the host.
///
/// It must be given to a guest, closed, or made a reader; copies are the same end.
///
/// ```
/// # use helve::{Config, Engine, Store, component::stream};
/// # let engine = Engine::new(&Config::new())?;
/// # let mut store = Store::new(&engine, ());
/// let (_writer, reader) = stream::<u8>(&mut store)?;
/// let any = reader.into_any(&mut store)?; // as a dynamic value: `Val::Stream(any)`
/// let reader = any.try_into_reader::<u8>(&mut store)?;
/// # let _ = reader;
/// # Ok::<(), helve::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct StreamAny(End);

/// The readable end of a future, held by the host.
///
/// It must be given to a guest, closed, or made a reader; copies are the same end.
///
/// ```
/// # use helve::{Config, Engine, Store, component::future};
/// # let engine = Engine::new(&Config::new())?;
/// # let mut store = Store::new(&engine, ());
/// let (_writer, reader) = future::<u8>(&mut store)?;
/// let any = reader.into_any(&mut store)?; // as a dynamic value: `Val::Future(any)`
/// any.close(&mut store)?;
/// # Ok::<(), helve::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FutureAny(End);

#[derive(Clone, Copy, Debug)]
struct End {
    store: StoreId,
    end: WaitableId,
    /// Of one that the host made and no guest has had: what Rust's type says.
    check: Option<Check>,
}

impl PartialEq for StreamAny {
    fn eq(&self, other: &StreamAny) -> bool {
        (self.0.store, self.0.end) == (other.0.store, other.0.end)
    }
}

impl Eq for StreamAny {}

impl PartialEq for FutureAny {
    fn eq(&self, other: &FutureAny) -> bool {
        (self.0.store, self.0.end) == (other.0.store, other.0.end)
    }
}

impl Eq for FutureAny {}

fn payload(instance: &InstanceData, handle: Handle) -> Result<(Shape, Option<InterfaceType>)> {
    match handle {
        Handle::Stream(id) => Ok((Shape::Stream, instance.types()[id].element)),
        Handle::Future(id) => Ok((Shape::Future, instance.types()[id].payload)),
        _ => Err(Error::new(Bug("a stream that is something else".into()))),
    }
}

fn lift(
    instance: &InstanceData,
    part: ComponentInstanceId,
    handle: Handle,
    index: u32,
) -> Result<End> {
    let (shape, payload) = payload(instance, handle)?;
    let ty = instance.shared().drive.state().type_id(instance, payload);
    let end = HostEnd::lift(instance, part, (shape, ty), index)?;
    let store = instance.store_id();
    Ok(End {
        store,
        end: end.give(store)?,
        check: None,
    })
}

fn lower(
    instance: &InstanceData,
    part: ComponentInstanceId,
    handle: Handle,
    end: End,
) -> Result<u32> {
    let (_, payload) = payload(instance, handle)?;
    ensure!(
        end.store == instance.store_id(),
        "a stream or future of another store"
    );
    let ty = {
        let mut drive = instance.shared().drive.state();
        let has = drive.model.arena.end_type(end.end)?;
        if let Some(check) = end.check.filter(|_| has == TypeId::NONE) {
            let resource = |id| instance.resource_type(id);
            check(payload, &TypeCheck::new(instance.types(), &resource))?;
        }
        drive.type_id(instance, payload)
    };
    host_end::insert(instance, part, (ty, copy_is_plain(payload)), end.end)
}

/// Closes an end that nobody wants.
fn close(shared: &StoreShared, end: End) -> Result<()> {
    let mut state = shared.drive.state();
    let closed = state.model.with_arena(|arena| arena.close_end(end.end));
    closed.map_err(super::other_trap)
}

/// Moves a readable end, or an error context, from one part's table to another's.
pub(crate) fn transfer(
    instance: &InstanceData,
    (from, to): (ComponentInstanceId, ComponentInstanceId),
    handle: Handle,
    index: u32,
) -> Result<u32> {
    if handle == Handle::ErrorContext {
        return ErrorContext::lift(instance, from, index)?.lower(instance, to);
    }
    let end = lift(instance, from, handle, index)?;
    lower(instance, to, handle, end)
}

/// An end with elements of type `T`, if that is what it has.
fn hold<T: ComponentType>(store: &mut StoreOpaque, end: End) -> Result<HostEnd> {
    store.check(end.store)?;
    let shared = store.components.shared();
    let known = {
        let drive = shared.drive.state();
        let ty = drive.model.arena.end_type(end.end)?;
        drive.type_of(ty)
    };
    match known {
        Some((instance, payload)) => {
            // SAFETY: of this store, which is alive.
            let instance = unsafe { instance.get() };
            let resource = |id| instance.resource_type(id);
            T::typecheck_optional(payload, &TypeCheck::new(instance.types(), &resource))?;
        }
        None => ensure!(
            end.check
                .is_none_or(|check| std::ptr::fn_addr_eq(check, T::typecheck_optional as Check)),
            "the host made this stream or future for another type than `{}`",
            std::any::type_name::<T>()
        ),
    }
    Ok(HostEnd::hold(end.store, &shared.concurrent, end.end))
}

fn any<T: ComponentType>(store: &mut StoreOpaque, end: &HostEnd) -> Result<End> {
    let store = store.id();
    Ok(End {
        store,
        end: end.give(store)?,
        check: Some(T::typecheck_optional),
    })
}

impl State {
    /// Where a type of elements was seen first.
    fn type_of(
        &self,
        ty: TypeId,
    ) -> Option<(crate::component::state::InstancePtr, Option<InterfaceType>)> {
        self.ends.seen(ty)
    }
}

impl StreamAny {
    /// Closes it: its writer is told that nobody reads.
    ///
    /// # Errors
    ///
    /// Where it was given away already, or `store` is not its own.
    pub fn close(self, mut store: impl AsContextMut) -> Result<()> {
        let mut store = store.as_context_mut();
        store.opaque().check(self.0.store)?;
        close(&store.opaque().components.shared(), self.0)
    }

    /// The same as a reader of `T`s, where that is what it carries. This end is of no use
    /// then, and neither are its copies.
    pub fn try_into_reader<T: ComponentType>(
        self,
        mut store: impl AsContextMut,
    ) -> Result<StreamReader<T>> {
        let mut store = store.as_context_mut();
        hold::<T>(store.opaque(), self.0).map(StreamReader::hold)
    }

    pub(crate) fn discard(self, shared: &StoreShared) -> Result<()> {
        close(shared, self.0)
    }

    pub(crate) fn lift(
        instance: &InstanceData,
        part: ComponentInstanceId,
        handle: Handle,
        index: u32,
    ) -> Result<StreamAny> {
        lift(instance, part, handle, index).map(StreamAny)
    }

    pub(crate) fn lower(
        self,
        instance: &InstanceData,
        part: ComponentInstanceId,
        handle: Handle,
    ) -> Result<u32> {
        lower(instance, part, handle, self.0)
    }
}

impl<T: ComponentType> StreamReader<T> {
    /// The same as a value without a Rust type, for [`Val::Stream`](crate::component::Val).
    pub fn into_any(self, mut store: impl AsContextMut) -> Result<StreamAny> {
        let mut store = store.as_context_mut();
        any::<T>(store.opaque(), self.end()).map(StreamAny)
    }
}

impl FutureAny {
    /// Closes it: its writer is told that nobody reads.
    ///
    /// # Errors
    ///
    /// Where it was given away already, or `store` is not its own.
    pub fn close(self, mut store: impl AsContextMut) -> Result<()> {
        let mut store = store.as_context_mut();
        store.opaque().check(self.0.store)?;
        close(&store.opaque().components.shared(), self.0)
    }

    /// The same as a reader of a `T`, where that is what it carries. This end is of no use
    /// then, and neither are its copies.
    pub fn try_into_reader<T: ComponentType>(
        self,
        mut store: impl AsContextMut,
    ) -> Result<FutureReader<T>> {
        let mut store = store.as_context_mut();
        hold::<T>(store.opaque(), self.0).map(FutureReader::hold)
    }

    pub(crate) fn discard(self, shared: &StoreShared) -> Result<()> {
        close(shared, self.0)
    }

    pub(crate) fn lift(
        instance: &InstanceData,
        part: ComponentInstanceId,
        handle: Handle,
        index: u32,
    ) -> Result<FutureAny> {
        lift(instance, part, handle, index).map(FutureAny)
    }

    pub(crate) fn lower(
        self,
        instance: &InstanceData,
        part: ComponentInstanceId,
        handle: Handle,
    ) -> Result<u32> {
        lower(instance, part, handle, self.0)
    }
}

impl<T: ComponentType> FutureReader<T> {
    /// The same as a value without a Rust type, for [`Val::Future`](crate::component::Val).
    pub fn into_any(self, mut store: impl AsContextMut) -> Result<FutureAny> {
        let mut store = store.as_context_mut();
        any::<T>(store.opaque(), self.end()).map(FutureAny)
    }
}
