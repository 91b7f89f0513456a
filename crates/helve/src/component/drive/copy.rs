//! Reads and writes of streams and futures: where the elements are, and moving them.
//!
//! ```text
//!   Buffer.address:  | number of the built-in (24 bits) | address in its memory (40 bits) |
//! ```
//!
//! The built-in says which memory and which element type. Here: elements that are copied
//! as bytes, and none. Not yet: those that hold strings, lists or handles.
//!
//! # Safety
//!
//! Memories are looked at for one copy, while no guest runs.

use super::builtins::type_number;
use crate::component::call::lane::Lane;
use crate::component::call::memory::GuestMemory;
use crate::component::call::options::CallOptions;
use crate::component::state::InstanceData;
use helve_abi::canon::CanonBuiltin;
use helve_abi::layout::PointerWidth;
use helve_abi::types::InterfaceType;
use helve_base::error::GuestTrap;
use helve_base::{Error, Result, Trap};
use helve_model::{Buffer, CopyJob, Direction, EndType, Shape, TypeId};

const ADDRESS_BITS: u32 = 40;

/// What a built-in of streams or futures is about.
#[derive(Clone, Copy)]
struct About {
    shape: Shape,
    ty: TypeId,
    /// Whether elements are numbers, or none.
    plain: bool,
    memory: Option<GuestMemory>,
    width: PointerWidth,
    size: u32,
    align: u32,
    /// Whether elements can be copied as bytes.
    bulk: bool,
}

/// All such built-ins of a store.
#[derive(Default)]
pub(super) struct Ends {
    about: Vec<About>,
    /// Element types seen so far, in words, so that components agree.
    types: Vec<String>,
}

fn payload(instance: &InstanceData, op: &CanonBuiltin) -> Option<(Shape, Option<InterfaceType>)> {
    use CanonBuiltin::*;
    match *op {
        StreamNew { ty }
        | StreamRead { ty }
        | StreamWrite { ty }
        | StreamCancelRead { ty, .. }
        | StreamCancelWrite { ty, .. }
        | StreamDropReadable { ty }
        | StreamDropWritable { ty } => Some((Shape::Stream, instance.types()[ty].element)),
        FutureNew { ty }
        | FutureRead { ty }
        | FutureWrite { ty }
        | FutureCancelRead { ty, .. }
        | FutureCancelWrite { ty, .. }
        | FutureDropReadable { ty }
        | FutureDropWritable { ty } => Some((Shape::Future, instance.types()[ty].payload)),
        _ => None,
    }
}

/// An element type in words.
pub(super) fn type_name(instance: &InstanceData, payload: Option<InterfaceType>) -> String {
    payload.map_or_else(String::new, |ty| instance.types().display(ty).to_string())
}

impl Ends {
    /// The number of a built-in; 0 for one that has none.
    pub fn register(
        instance: &InstanceData,
        options: &CallOptions,
        op: &CanonBuiltin,
    ) -> Result<u32> {
        let Some((shape, payload)) = payload(instance, op) else {
            return Ok(0);
        };
        let types = instance.types();
        let mut state = instance.shared().drive.0.borrow_mut();
        let ends = &mut state.ends;
        let ty = ends.type_id(type_name(instance, payload));
        use InterfaceType::{F32, F64, S8, S16, S32, S64, U8, U16, U32, U64};
        let layout = payload.map(|ty| types.layout(ty));
        ends.about.push(About {
            shape,
            ty,
            plain: matches!(
                payload,
                None | Some(U8 | U16 | U32 | U64 | S8 | S16 | S32 | S64 | F32 | F64)
            ),
            memory: options.memory,
            width: options.width,
            size: layout.map_or(0, |layout| layout.size(options.width)),
            align: layout.map_or(1, |layout| layout.align(options.width)),
            bulk: payload.is_none_or(|ty| types.is_bulk(ty)),
        });
        Ok(ends.about.len() as u32)
    }

    /// The model's number of an element type.
    pub fn type_id(&mut self, name: String) -> TypeId {
        let found = self.types.iter().position(|other| *other == name);
        type_number(found.unwrap_or_else(|| {
            self.types.push(name);
            self.types.len() - 1
        }))
    }

    fn about(&self, number: u32) -> Option<&About> {
        self.about.get((number as usize).checked_sub(1)?)
    }

    /// What `stream.new` or `future.new` makes.
    pub fn made(&self, number: u32) -> (Shape, TypeId, bool) {
        let about = self.about(number);
        about.map_or((Shape::Stream, TypeId::NONE, false), |about| {
            (about.shape, about.ty, about.plain)
        })
    }

    /// The end that a built-in takes.
    pub fn end(&self, number: u32, shape: Shape, direction: Direction) -> EndType {
        EndType {
            shape,
            direction,
            ty: self.about(number).map_or(TypeId::NONE, |about| about.ty),
        }
    }

    /// The buffer of a read or write, checked.
    pub fn buffer(
        &self,
        number: u32,
        shape: Shape,
        lanes: &[Lane],
    ) -> std::result::Result<Buffer, helve_model::Trap> {
        let gone = helve_model::Trap::Misuse("a stream's built-in without its type");
        let about = self.about(number).ok_or(gone)?;
        let lane = |at: usize| match (about.width, lanes.get(at)) {
            (_, None) => 0,
            (PointerWidth::P32, Some(lane)) => lane.u32().into(),
            (PointerWidth::P64, Some(lane)) => lane.u64(),
        };
        let (at, length) = match shape {
            Shape::Stream => (lane(1), lane(2)),
            Shape::Future => (lane(1), 1),
        };
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        // SAFETY: only the length is looked at.
        let bytes = about
            .memory
            .map_or(0, |memory| unsafe { memory.bytes() }.len() as u64);
        let end = at.checked_add(u64::from(length) * u64::from(about.size));
        let fits = end.is_some_and(|end| end <= bytes && end < 1 << ADDRESS_BITS);
        let aligned = at & u64::from(about.align - 1) == 0;
        if about.size > 0 && length > 0 && !(fits && aligned) {
            return Err(helve_model::Trap::Buffer { aligned });
        }
        let at = if about.size == 0 { 0 } else { at };
        Ok(Buffer::new(u64::from(number) << ADDRESS_BITS | at, length))
    }

    /// The bytes of so many elements of a buffer, from its progress on.
    fn bytes(&self, buffer: &Buffer, count: u32) -> Result<(&About, std::ops::Range<usize>)> {
        let about = self.about((buffer.address >> ADDRESS_BITS) as u32);
        let about = about.ok_or_else(out_of_bounds)?;
        let at = buffer.address & ((1 << ADDRESS_BITS) - 1);
        let start = at + u64::from(buffer.progress) * u64::from(about.size);
        let end = start + u64::from(count) * u64::from(about.size);
        Ok((about, start as usize..end as usize))
    }

    /// Moves elements.
    pub fn copy(&self, job: &CopyJob) -> Result<()> {
        let (from, source) = self.bytes(&job.from, job.count)?;
        let (to, target) = self.bytes(&job.to, job.count)?;
        if from.size == 0 {
            return Ok(());
        }
        if !from.bulk || !to.bulk {
            return Err(Error::msg(
                "streams and futures of strings, lists or handles are not supported yet",
            ));
        }
        let (Some(from), Some(to)) = (from.memory, to.memory) else {
            return Err(out_of_bounds());
        };
        // SAFETY: one after the other, and no guest runs.
        let bytes = unsafe { from.bytes() }
            .get(source)
            .ok_or_else(out_of_bounds)?
            .to_vec();
        // SAFETY: as above.
        let place = unsafe { to.bytes_mut() }.get_mut(target);
        place.ok_or_else(out_of_bounds)?.copy_from_slice(&bytes);
        Ok(())
    }
}

fn out_of_bounds() -> Error {
    Error::new(GuestTrap::new(
        Trap::CanonicalAbi,
        "pointer out of bounds of memory",
    ))
}
