//! Streams and futures as values: readable ends on their way from one table to another.
//!
//! ```text
//!   guest's table --lift--> an end in no table (StreamAny, FutureAny) --lower--> table
//! ```
//!
//! Not here yet: reading and writing by the host.
//!
//! # Safety
//!
//! See the module above.

use super::error_context::ErrorContext;
use super::{State, refused};
use crate::component::state::InstanceData;
use crate::component::store::StoreShared;
use crate::core::store::StoreId;
use helve_abi::program::Handle;
use helve_abi::types::InterfaceType;
use helve_base::{Bug, Error, Result, ensure};
use helve_decode::plan::ComponentInstanceId;
use helve_model::{Shape, Tables, TypeId, WaitableId};

/// The readable end of a stream, held by the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamAny(End);

/// The readable end of a future, held by the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FutureAny(End);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    store: StoreId,
    end: WaitableId,
    ty: TypeId,
}

fn payload(instance: &InstanceData, handle: Handle) -> Option<(Shape, Option<InterfaceType>)> {
    match handle {
        Handle::Stream(id) => Some((Shape::Stream, instance.types()[id].element)),
        Handle::Future(id) => Some((Shape::Future, instance.types()[id].payload)),
        _ => None,
    }
}

impl State {
    fn kind(&mut self, instance: &InstanceData, handle: Handle) -> Result<(Shape, TypeId)> {
        let found = payload(instance, handle);
        let (shape, payload) = found.ok_or_else(|| Error::msg("not supported yet"))?;
        Ok((shape, self.ends.type_id(instance, payload)))
    }
}

fn lift(
    instance: &InstanceData,
    part: ComponentInstanceId,
    handle: Handle,
    index: u32,
) -> Result<End> {
    let mut state = instance.shared().drive.0.borrow_mut();
    let (shape, ty) = state.kind(instance, handle)?;
    let id = state.id(instance, part)?;
    let model = &mut state.model;
    let arena = &mut model.arena;
    let taken = model
        .tables
        .with(id, |table| table.take_readable(arena, index, shape, ty));
    let taken = taken.ok_or_else(|| Error::new(Bug("an instance without a table".into())))?;
    let end = taken.map_err(|error| refused(instance, part, error.into()))?;
    let store = instance.store_id();
    Ok(End { store, end, ty })
}

fn lower(
    instance: &InstanceData,
    part: ComponentInstanceId,
    handle: Handle,
    end: End,
) -> Result<u32> {
    let mut state = instance.shared().drive.0.borrow_mut();
    let (_, ty) = state.kind(instance, handle)?;
    ensure!(
        end.store == instance.store_id() && end.ty == ty,
        "a stream or future of another store, or of another type"
    );
    let id = state.id(instance, part)?;
    let model = &mut state.model;
    let arena = &mut model.arena;
    let index = model
        .tables
        .with(id, |table| table.insert_readable(arena, end.end));
    let index = index.ok_or_else(|| Error::new(Bug("an instance without a table".into())))?;
    index.map_err(|error| refused(instance, part, error.into()))
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

impl StreamAny {
    pub(crate) fn close(self, shared: &StoreShared) -> Result<()> {
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

impl FutureAny {
    pub(crate) fn close(self, shared: &StoreShared) -> Result<()> {
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
