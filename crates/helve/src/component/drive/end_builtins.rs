//! The built-ins of streams and futures that guests call all the time: making two ends,
//! reading, writing, dropping an end.
//!
//! ```text
//!   guest -> host trampoline -> model --over at once--> result in the array, RETURNED
//!                                 |       (bytes are moved on the way)
//!                                 +--all else-------> `builtins`, `answer`
//! ```
//!
//! One host function for each of them, put together whole when it is compiled: nothing is
//! looked at that is known when the instance is made, and no answer is put together in
//! memory to be taken apart again. As they concern the caller's own table only, nobody is
//! asked who calls. The same where somebody wants to see it is `builtins`: their slow twin.
//!
//! # Safety
//!
//! As for `builtins`.

use super::builtins::Function;
use super::copy::{About, copy_bytes};
use super::{State, refused};
use crate::component::call::lane::Lane;
use crate::component::concurrent::pipe::Side;
use crate::component::concurrent::piped;
use crate::component::hot::HotStorage;
use crate::component::part::Part;
use crate::component::store::StoreShared;
use helve_abi::canon::CanonBuiltin;
use helve_base::vmctx::{HostCall, VMHostContext, ValRaw};
use helve_base::{Bug, Error, Result};
use helve_model::error::HandleError;
use helve_model::handles::Table;
use helve_model::{
    Arena, Buffer, CopyJob, CopyResult, Copying, Direction, EndType, InstanceId, Shape,
};
use helve_vm::traps::host_call;

/// What an asynchronous read or write returns that goes on.
const BLOCKED: u32 = u32::MAX;

/// The entry of a built-in, if it is one of these. Synchronous reads and writes, which may
/// have to wait, are not.
pub(super) fn entry(op: CanonBuiltin, about: Option<&About>) -> Option<HostCall> {
    use CanonBuiltin::*;
    let is_async = about.is_some_and(|about| about.is_async);
    Some(match op {
        StreamNew { .. } | FutureNew { .. } => new_ends,
        StreamRead { .. } if is_async => copy::<true, false>,
        StreamWrite { .. } if is_async => copy::<true, true>,
        FutureRead { .. } if is_async => copy::<false, false>,
        FutureWrite { .. } if is_async => copy::<false, true>,
        StreamDropReadable { .. } => drop_end::<true, false>,
        StreamDropWritable { .. } => drop_end::<true, true>,
        FutureDropReadable { .. } => drop_end::<false, false>,
        FutureDropWritable { .. } => drop_end::<false, true>,
        _ => return None,
    })
}

const fn shape(stream: bool) -> Shape {
    match stream {
        true => Shape::Stream,
        false => Shape::Future,
    }
}

const fn direction(writes: bool) -> Direction {
    match writes {
        true => Direction::Writable,
        false => Direction::Readable,
    }
}

/// What one of them is called with.
struct Called<'a> {
    function: &'a Function,
    about: &'a About,
    part: &'a Part,
    shared: &'a StoreShared,
    lanes: &'a mut [Lane],
}

/// Runs one of them.
///
/// # Safety
///
/// Called by a host trampoline with the context of such a function, and its arguments.
#[inline(always)]
unsafe fn enter(
    context: *mut VMHostContext,
    args: *mut ValRaw,
    work: impl FnOnce(Called<'_>) -> Result<()>,
) -> u32 {
    // SAFETY: by contract.
    unsafe {
        host_call((*context).store, || {
            let function = &*(*context).data.cast::<Function>();
            let (part, shared) = function.here.get();
            part.check_leave()?;
            let about = function.about.as_ref().ok_or_else(nothing)?;
            work(Called {
                function,
                about,
                part,
                shared,
                lanes: std::slice::from_raw_parts_mut(args.cast::<Lane>(), function.slots),
            })
        })
    }
}

#[cold]
fn nothing() -> Error {
    Error::new(Bug("a built-in of streams without one".into()))
}

/// `stream.read`, `stream.write`, `future.read`, `future.write`, with `async`.
unsafe extern "C" fn copy<const STREAM: bool, const WRITES: bool>(
    context: *mut VMHostContext,
    args: *mut ValRaw,
) -> u32 {
    // SAFETY: as for `enter`.
    unsafe {
        enter(context, args, |called| {
            called.copy(shape(STREAM), direction(WRITES))
        })
    }
}

/// `stream.new`, `future.new`.
unsafe extern "C" fn new_ends(context: *mut VMHostContext, args: *mut ValRaw) -> u32 {
    // SAFETY: as for `enter`.
    unsafe {
        enter(context, args, |mut called| {
            let About {
                shape, ty, plain, ..
            } = *called.about;
            let (readable, writable) =
                called.in_table(|table, arena| table.copy_new(arena, shape, ty, plain))?;
            let both = u64::from(readable) | u64::from(writable) << 32;
            called.give(Lane::from_u64(both));
            Ok(())
        })
    }
}

/// `stream.drop-readable`, `stream.drop-writable`, `future.drop-readable`,
/// `future.drop-writable`.
unsafe extern "C" fn drop_end<const STREAM: bool, const WRITES: bool>(
    context: *mut VMHostContext,
    args: *mut ValRaw,
) -> u32 {
    // SAFETY: as for `enter`.
    unsafe {
        enter(context, args, |called| {
            let end = called.about.end(shape(STREAM), direction(WRITES));
            let index = called.index();
            called.in_table(|table, arena| table.copy_drop(arena, index, end))
        })
    }
}

impl About {
    #[inline(always)]
    fn end(&self, shape: Shape, direction: Direction) -> EndType {
        EndType {
            shape,
            direction,
            ty: self.ty,
        }
    }
}

impl Called<'_> {
    #[inline(always)]
    fn index(&self) -> u32 {
        self.lanes.first().map_or(0, |lane| lane.u32())
    }

    #[inline(always)]
    fn give(&mut self, lane: Lane) {
        if let Some(first) = self.lanes.first_mut() {
            *first = lane;
        }
    }

    /// Does something with the caller's table.
    #[inline(always)]
    fn in_table<R>(
        &self,
        work: impl FnOnce(&mut Table<HotStorage>, &mut Arena) -> std::result::Result<R, HandleError>,
    ) -> Result<R> {
        let mut state = self.shared.drive.0.borrow_mut();
        let done = work(&mut self.part.table(), &mut state.model.arena);
        let done = state.model.settled(done);
        drop(state);
        match done {
            Ok(done) => Ok(done),
            Err(trap) => self.fails(trap),
        }
    }

    #[cold]
    fn fails<R>(&self, trap: helve_model::Trap) -> Result<R> {
        let Function {
            instance, owner, ..
        } = self.function;
        // SAFETY: see the module.
        Err(refused(unsafe { instance.get() }, *owner, trap))
    }

    #[inline(always)]
    fn copy(mut self, shape: Shape, direction: Direction) -> Result<()> {
        let (part, about) = (self.part, self.about);
        if shape == Shape::Stream
            && self.shared.concurrent.has_pipes()
            && let Some(payload) = self.at_once(direction)
        {
            self.give(Lane::from_u32(payload));
            return Ok(());
        }
        let here = match part.model_id.get() {
            Some(here) => here,
            None => self.get_known()?,
        };
        let (index, end) = (self.index(), about.end(shape, direction));
        let buffer = match about.buffer(shape, self.lanes) {
            Ok(buffer) => buffer,
            Err(trap) => return self.fails(trap),
        };
        let mut state = self.shared.drive.0.borrow_mut();
        let arena = &mut state.model.arena;
        // Step by step, not by closures: what comes back then needs no memory.
        let begun = part.table().copy(arena, index, end, here, buffer, true);
        let payload = match state.model.settled(begun) {
            Ok(Copying::Done(payload)) => payload,
            Ok(Copying::Blocked(_)) => BLOCKED,
            Ok(Copying::Copy(job)) => {
                if !self.copies(&state, (direction, buffer), &job)? {
                    drop(state);
                    return self.copy_elements(job);
                }
                match state.model.copied(job) {
                    Ok(payload) => payload,
                    Err(trap) => {
                        drop(state);
                        return self.fails(trap);
                    }
                }
            }
            Err(trap) => {
                drop(state);
                return self.fails(trap);
            }
        };
        drop(state);
        self.give(Lane::from_u32(payload));
        Ok(())
    }

    /// Copies elements that are bytes, between guests; `false`: they are others.
    #[inline(always)]
    fn copies(
        &self,
        state: &State,
        (direction, mine): (Direction, Buffer),
        job: &CopyJob,
    ) -> Result<bool> {
        let Some((theirs, Some(_))) = state.model.arena.other_buffer(job.active())? else {
            return Ok(false);
        };
        let Some(other) = state.ends.of(&theirs) else {
            return Ok(false);
        };
        let (mine, theirs) = ((self.about, &mine), (other, &theirs));
        match direction {
            Direction::Writable => copy_bytes(mine, theirs, job.count),
            Direction::Readable => copy_bytes(theirs, mine, job.count),
        }
    }

    /// The model gets to know the caller's component instance.
    #[cold]
    fn get_known(&self) -> Result<InstanceId> {
        let Function {
            instance, owner, ..
        } = self.function;
        // SAFETY: see the module.
        let instance = unsafe { instance.get() };
        self.shared.drive.state().id(instance, *owner)
    }

    /// What a read or write of a stream returns, which a producer or consumer of the host's
    /// could serve at once.
    fn at_once(&self, direction: Direction) -> Option<u32> {
        let buffer = self.about.buffer(Shape::Stream, self.lanes).ok()?;
        let count = Some(buffer.remain()).filter(|count| *count > 0)?;
        let end = self.about.end(Shape::Stream, direction);
        let address = {
            let state = self.shared.drive.state();
            if state.model.is_seeded() {
                return None;
            }
            let (table, arena) = (self.part.table(), &state.model.arena);
            table.host_waits(arena, self.index(), end, true).ok()??
        };
        let guest = Side::Guest(self.about.place(&buffer));
        let moved = piped::meet(self.shared, address, &guest, count);
        (moved > 0).then_some(CopyResult::Completed as u32 | moved << 4)
    }

    /// Elements that are no bytes are copied, or the host's; then the built-in is over.
    #[inline(never)]
    fn copy_elements(mut self, job: CopyJob) -> Result<()> {
        // SAFETY: see the module.
        let instance = unsafe { self.function.instance.get() };
        let payload = self.function.copy(instance, job)?;
        self.give(Lane::from_u32(payload));
        Ok(())
    }
}
