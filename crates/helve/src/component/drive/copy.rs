//! Reads and writes of streams and futures: where the elements are, and moving them.
//!
//! ```text
//!   Buffer.address:  | number of the built-in (24 bits) | address in its memory (40 bits) |
//!
//!   elements:  none                 nothing moves
//!              plain bytes          copied from memory to memory
//!              owned resources      taken out of the writer's table, put into the reader's
//!              anything else        lifted out of the writer, lowered into the reader
//! ```
//!
//! The built-in says which memory, which options and which element type. Not here: which
//! ends meet when (`helve_model`).
//!
//! # Safety
//!
//! Memories are looked at for one copy, while no guest runs; a `realloc` runs between
//! looks only.

use super::builtins::type_number;
use crate::component::call::lane::Lane;
use crate::component::call::options::CallOptions;
use crate::component::call::scope::CallScope;
use crate::component::component::Component;
use crate::component::lift::LiftContext;
use crate::component::lower::LowerContext;
use crate::component::part::{Part, type_id};
use crate::component::state::{InstanceData, InstancePtr};
use crate::component::value::{self, Vals};
use helve_abi::canon::CanonBuiltin;
use helve_abi::layout::PointerWidth;
use helve_abi::program::{Form, ProgramId};
use helve_abi::types::InterfaceType;
use helve_base::error::GuestTrap;
use helve_base::{Bug, Error, Result, Trap};
use helve_model::{Buffer, CopySides, Direction, EndType, Shape, TypeId};
use rustc_hash::FxHashMap;

const ADDRESS_BITS: u32 = 40;

/// What a built-in of streams or futures is about.
#[derive(Clone, Copy)]
pub(super) struct About {
    /// Its own, by which buffers name it.
    pub number: u32,
    pub shape: Shape,
    pub ty: TypeId,
    /// Whether elements are numbers, or none.
    pub plain: bool,
    /// Whether it does not wait.
    pub is_async: bool,
    pub instance: InstancePtr,
    pub options: CallOptions,
    payload: Option<InterfaceType>,
    program: Option<ProgramId>,
    size: u32,
    align: u32,
    /// Whether elements can be copied as bytes.
    bulk: bool,
    /// The resources that elements own, as handle tables know their type.
    own: Option<TypeId>,
}

impl About {
    /// The buffer of a read or write, checked.
    #[inline(always)]
    pub fn buffer(
        &self,
        shape: Shape,
        lanes: &[Lane],
    ) -> std::result::Result<Buffer, helve_model::Trap> {
        let lane = |at: usize| match (self.options.width, lanes.get(at)) {
            (_, None) => 0,
            (PointerWidth::P32, Some(lane)) => lane.u32().into(),
            (PointerWidth::P64, Some(lane)) => lane.u64(),
        };
        let (at, length) = match shape {
            Shape::Stream => (lane(1), lane(2)),
            Shape::Future => (lane(1), 1),
        };
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        if self.size == 0 {
            return Ok(Buffer::new(u64::from(self.number) << ADDRESS_BITS, length));
        }
        let memory = self.options.memory;
        // SAFETY: only the length is looked at.
        let bytes = memory.map_or(0, |memory| unsafe { memory.bytes() }.len() as u64);
        let end = at.checked_add(u64::from(length) * u64::from(self.size));
        let fits = end.is_some_and(|end| end <= bytes && end < 1 << ADDRESS_BITS);
        let aligned = at & u64::from(self.align - 1) == 0;
        if length > 0 && !(fits && aligned) {
            return Err(helve_model::Trap::Buffer { aligned });
        }
        Ok(Buffer::new(
            u64::from(self.number) << ADDRESS_BITS | (at & ((1 << ADDRESS_BITS) - 1)),
            length,
        ))
    }

    /// Where a buffer of it goes on.
    pub fn place(&self, buffer: &Buffer) -> Place {
        Place {
            instance: self.instance,
            options: self.options,
            payload: self.payload,
            size: self.size,
            at: self.next(buffer),
        }
    }

    /// The component instance whose built-in it is.
    ///
    /// # Safety
    ///
    /// Its store is at hand.
    unsafe fn part(&self) -> &Part {
        // SAFETY: by contract; forgotten with its instance.
        unsafe { self.instance.get() }.part(self.options.owner)
    }

    /// Where the next elements of a buffer are.
    #[inline(always)]
    fn next(&self, buffer: &Buffer) -> u64 {
        let at = buffer.address & ((1 << ADDRESS_BITS) - 1);
        at + u64::from(buffer.progress) * u64::from(self.size)
    }
}

/// An element type as an instance knows it.
type ElementKey = (InstancePtr, Option<InterfaceType>);

/// All such built-ins of a store, and the element types they are about.
#[derive(Default)]
pub(super) struct Ends {
    about: Vec<Option<About>>,
    /// Numbers of built-ins whose instances are gone.
    free: Vec<u32>,
    /// Element types seen so far, one of each: where there is one. None where there is none
    /// any more.
    types: Vec<Option<Seen>>,
    ids: FxHashMap<ElementKey, TypeId>,
    /// Those of them that were asked for last, and which goes next.
    recent: ([Option<(ElementKey, TypeId)>; 2], usize),
    /// Room for the resources of one copy, kept for the next.
    reps: Vec<u32>,
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

/// An element type that was seen.
struct Seen {
    component: Component,
    /// Where. Only followed where the type has handles, which are what they are there.
    instance: InstancePtr,
    payload: Option<InterfaceType>,
    /// Whether it has handles.
    handles: bool,
    /// Whether that instance is gone.
    gone: bool,
}

impl Seen {
    fn new(instance: &InstanceData, payload: Option<InterfaceType>) -> Seen {
        let types = instance.types();
        Seen {
            component: instance.component.clone(),
            instance: instance.ptr(),
            payload,
            handles: payload
                .is_some_and(|ty| types.contains_handle(ty) || types.contains_async_value(ty)),
            gone: false,
        }
    }

    /// Whether it is this one, resources by what they are in the store.
    fn is(&self, other: &InstanceData, payload: Option<InterfaceType>) -> bool {
        match (self.payload, payload) {
            (None, None) => true,
            (Some(ty), Some(other_ty)) => {
                let mut same = |x, y| {
                    // SAFETY: of the same store, which has it: `Ends::forget`.
                    let known = unsafe { self.instance.get() }.resource(x);
                    matches!((known, other.resource(y)), (Ok(x), Ok(y)) if x == y)
                };
                let types = &self.component.plan().types;
                types.equal(ty, other.types(), other_ty, &mut same)
            }
            _ => false,
        }
    }
}

/// Whether an element type is a number, or none.
pub(crate) fn is_plain(payload: Option<InterfaceType>) -> bool {
    use InterfaceType::{F32, F64, S8, S16, S32, S64, U8, U16, U32, U64};
    matches!(
        payload,
        None | Some(U8 | U16 | U32 | U64 | S8 | S16 | S32 | S64 | F32 | F64)
    )
}

/// Where a guest's elements are, for whoever else copies them.
pub(crate) struct Place {
    pub instance: InstancePtr,
    pub options: CallOptions,
    pub payload: Option<InterfaceType>,
    pub size: u32,
    pub at: u64,
}

impl super::State {
    /// Where a guest's buffer goes on.
    pub(crate) fn place(&self, buffer: &Buffer) -> Result<Place> {
        let about = self.ends.about((buffer.address >> ADDRESS_BITS) as u32);
        Ok(about.ok_or_else(out_of_bounds)?.place(buffer))
    }

    /// The model's number of an element type.
    pub(crate) fn type_id(
        &mut self,
        instance: &InstanceData,
        payload: Option<InterfaceType>,
    ) -> TypeId {
        self.ends.type_id(instance, payload)
    }

    /// An instance of the model.
    pub(crate) fn part(
        &self,
        id: helve_model::InstanceId,
    ) -> Option<(InstancePtr, helve_decode::plan::ComponentInstanceId)> {
        self.model.tables.part(id)
    }
}

impl Ends {
    /// The element type that this number stands for.
    pub(super) fn type_text(&self, ty: TypeId) -> Option<String> {
        let at = ty.get().checked_sub(1)? as usize;
        let seen = self.types.get(at)?.as_ref()?;
        let types = &seen.component.plan().types;
        Some(types.display(seen.payload?).to_string())
    }

    /// What a built-in is about, if it is one of these; `is_async`: it does not wait.
    pub fn register(
        instance: &InstanceData,
        options: &CallOptions,
        op: &CanonBuiltin,
        is_async: bool,
    ) -> Result<Option<About>> {
        let Some((shape, payload)) = payload(instance, op) else {
            return Ok(None);
        };
        let types = instance.types();
        let mut state = instance.shared().drive.0.borrow_mut();
        let ends = &mut state.ends;
        let ty = ends.type_id(instance, payload);
        let layout = payload.map(|ty| types.layout(ty));
        let form = Form::Memory(options.width);
        let programs = instance.component.programs();
        let mut about = About {
            number: 0,
            shape,
            ty,
            plain: is_plain(payload),
            is_async,
            payload,
            instance: instance.ptr(),
            options: *options,
            program: payload.and_then(|ty| programs.get(ty, form)),
            size: layout.map_or(0, |layout| layout.size(options.width)),
            align: layout.map_or(1, |layout| layout.align(options.width)),
            bulk: payload.is_none_or(|ty| types.is_bulk(ty)),
            own: match payload {
                Some(InterfaceType::Own(id)) => instance.resource(id).ok().map(type_id),
                _ => None,
            },
        };
        if let Some(number) = ends.free.pop()
            && let Some(place) = ends.about.get_mut(number as usize - 1)
        {
            about.number = number;
            *place = Some(about);
        } else {
            about.number = ends.about.len() as u32 + 1;
            ends.about.push(Some(about));
        }
        Ok(Some(about))
    }

    /// The model's number of an element type.
    pub fn type_id(&mut self, instance: &InstanceData, payload: Option<InterfaceType>) -> TypeId {
        let key = (instance.ptr(), payload);
        for (known, id) in self.recent.0.iter().flatten() {
            if *known == key {
                return *id;
            }
        }
        let id = match self.ids.get(&key) {
            Some(id) => *id,
            None => self.new_type_id(instance, payload),
        };
        let (recent, next) = &mut self.recent;
        recent[*next & 1] = Some((key, id));
        *next ^= 1;
        id
    }

    fn new_type_id(&mut self, instance: &InstanceData, payload: Option<InterfaceType>) -> TypeId {
        let known =
            |seen: &Option<Seen>| seen.as_ref().is_some_and(|seen| seen.is(instance, payload));
        let found = self.types.iter().position(known);
        if let Some(place) = found.and_then(|at| self.types.get_mut(at))
            && place.as_ref().is_some_and(|seen| seen.gone)
        {
            *place = Some(Seen::new(instance, payload));
        }
        let id = type_number(found.unwrap_or_else(|| {
            self.types.push(Some(Seen::new(instance, payload)));
            self.types.len() - 1
        }));
        self.ids.insert((instance.ptr(), payload), id);
        id
    }

    /// Where an element type is, if an instance that has it is there.
    pub fn seen(&self, ty: TypeId) -> Option<(InstancePtr, Option<InterfaceType>)> {
        let seen = self
            .types
            .get((ty.get() as usize).checked_sub(1)?)?
            .as_ref()?;
        (!seen.gone).then_some((seen.instance, seen.payload))
    }

    /// An instance is gone. Element types without handles stay; a number of one with handles
    /// is not used again, as the host may have an end of such a stream.
    pub fn forget(&mut self, instance: InstancePtr) {
        for (number, about) in (1..).zip(&mut self.about) {
            if about.take_if(|about| about.instance == instance).is_some() {
                self.free.push(number);
            }
        }
        self.ids.retain(|(other, _), _| *other != instance);
        self.recent = Default::default();
        for place in &mut self.types {
            let Some(seen) = place.as_mut().filter(|seen| seen.instance == instance) else {
                continue;
            };
            seen.gone = true;
            if seen.handles {
                *place = None;
            }
        }
    }

    #[inline(always)]
    pub fn about(&self, number: u32) -> Option<&About> {
        self.about.get((number as usize).checked_sub(1)?)?.as_ref()
    }

    /// What `stream.new` or `future.new` makes.
    #[inline]
    pub fn made(&self, number: u32) -> (Shape, TypeId, bool) {
        let about = self.about(number);
        about.map_or((Shape::Stream, TypeId::NONE, false), |about| {
            (about.shape, about.ty, about.plain)
        })
    }

    /// The end that a built-in takes.
    #[inline]
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
        self.about(number).ok_or(gone)?.buffer(shape, lanes)
    }

    /// Where the next elements of a buffer are.
    fn place(&self, buffer: &Buffer) -> Result<(About, u64)> {
        let about = self.about((buffer.address >> ADDRESS_BITS) as u32);
        let about = *about.ok_or_else(out_of_bounds)?;
        let next = about.next(buffer);
        Ok((about, next))
    }

    /// Whose a buffer is.
    #[inline(always)]
    pub fn of(&self, buffer: &Buffer) -> Option<&About> {
        self.about((buffer.address >> ADDRESS_BITS) as u32)
    }

    /// Moves elements that go without lifting and lowering each: bytes, and owned resources.
    /// Runs no guest; `false`: they are others.
    pub fn copy_at_once(&mut self, sides: &CopySides, count: u32) -> Result<bool> {
        let (Some(from), Some(to)) = (self.of(&sides.from), self.of(&sides.to)) else {
            return Err(out_of_bounds());
        };
        if copy_bytes((from, &sides.from), (to, &sides.to), count)? {
            return Ok(true);
        }
        let (from, to) = (*from, *to);
        let reps = &mut self.reps;
        move_owned((&from, &sides.from), (&to, &sides.to), count, reps)
    }

    /// What a copy moves, and from where to where.
    pub fn plan(&self, sides: &CopySides, count: u32) -> Result<Copy> {
        Ok(Copy {
            from: self.place(&sides.from)?,
            to: self.place(&sides.to)?,
            count,
        })
    }
}

/// A copy that is about to be made.
pub(super) struct Copy {
    from: (About, u64),
    to: (About, u64),
    count: u32,
}

impl Copy {
    /// Moves the elements. May run the reader's `realloc`: nothing of the store's state
    /// is borrowed meanwhile.
    pub fn perform(&self) -> Result<()> {
        let ((from, source), (to, target)) = (&self.from, &self.to);
        let (Some(from_memory), Some(_)) = (from.options.memory, to.options.memory) else {
            return Err(out_of_bounds());
        };
        let bytes = |about: &About| self.count as usize * about.size as usize;
        let source = *source as usize..*source as usize + bytes(from);
        let target = *target as usize..*target as usize + bytes(to);
        for about in [from, to] {
            // SAFETY: of the store that the copy is in.
            unsafe { about.part() }.count_copied(bytes(about) as u64);
        }
        let mut vals = Vals::new();
        let mut scope = CallScope::default();
        {
            // SAFETY: of the store that the copy is in; lifting runs no guest.
            let (instance, memory) = unsafe { (from.instance.get(), from_memory.bytes()) };
            let mut cx = LiftContext::new(memory, &from.options, instance, &mut scope);
            let elements = memory.get(source).ok_or_else(out_of_bounds)?;
            let program = from.program.ok_or_else(no_program)?;
            value::lift_elements(&mut cx, program, elements, self.count, &mut vals)?;
        }
        // SAFETY: as above.
        let instance = unsafe { to.instance.get() };
        let mut cx = LowerContext::new(&to.options, instance, &mut scope);
        let program = to.program.ok_or_else(no_program)?;
        value::lower_elements(&mut cx, program, &vals, target.start)
    }
}

/// Moves elements whose bytes are the same on both sides, which runs no guest; `false`: they
/// are others.
#[inline(always)]
pub(super) fn copy_bytes(
    (from, source): (&About, &Buffer),
    (to, target): (&About, &Buffer),
    count: u32,
) -> Result<bool> {
    if !(from.bulk && to.bulk && from.size == to.size) {
        return Ok(false);
    }
    if from.size == 0 {
        return Ok(true);
    }
    let (Some(from_memory), Some(to_memory)) = (from.options.memory, to.options.memory) else {
        return Err(out_of_bounds());
    };
    let length = count as usize * from.size as usize;
    let (source, target) = (from.next(source) as usize, to.next(target) as usize);
    // SAFETY: no guest runs; nothing else looks at the memories, and each slice ends
    // before the next one is made, but for its address. The two places may overlap within
    // one memory. Both are of the store that the copy is in.
    unsafe {
        from.part().count_copied(length as u64);
        to.part().count_copied(length as u64);
        let source = from_memory.bytes().get(source..source + length);
        let source = source.ok_or_else(out_of_bounds)?.as_ptr();
        let target = to_memory.bytes_mut().get_mut(target..target + length);
        let target = target.ok_or_else(out_of_bounds)?.as_mut_ptr();
        std::ptr::copy(source, target, length);
    }
    Ok(true)
}

/// Moves owned resources: all out of the writer's table, then all into the reader's; `false`:
/// they are others.
fn move_owned(
    (from, source): (&About, &Buffer),
    (to, target): (&About, &Buffer),
    count: u32,
    reps: &mut Vec<u32>,
) -> Result<bool> {
    let Some(ty) = from.own.filter(|_| from.own == to.own) else {
        return Ok(false);
    };
    let (Some(from_memory), Some(to_memory)) = (from.options.memory, to.options.memory) else {
        return Err(out_of_bounds());
    };
    // SAFETY: both are of the store that the copy is in.
    let (giver, taker) = unsafe { (from.part(), to.part()) };
    let length = count as usize * size_of::<u32>();
    let (source, target) = (from.next(source) as usize, to.next(target) as usize);
    // SAFETY: no guest runs, nor does the slice outlive its use.
    let handles = unsafe { from_memory.bytes() }.get(source..source + length);
    let handles = handles.ok_or_else(out_of_bounds)?.chunks_exact(4);
    let indices = handles.map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]]));
    reps.clear();
    giver
        .with_table(|table| table.take_owns(ty, indices, reps))
        .map_err(|error| giver.refused(error))?;
    // SAFETY: as above; the other slice is gone.
    let places = unsafe { to_memory.bytes_mut() }.get_mut(target..target + length);
    let mut places = places.ok_or_else(out_of_bounds)?.chunks_exact_mut(4);
    let give = |index: u32| {
        if let Some(place) = places.next() {
            place.copy_from_slice(&index.to_le_bytes());
        }
    };
    taker
        .with_table(|table| table.new_owns(ty, reps, give))
        .map_err(|error| taker.refused(error))?;
    Ok(true)
}

fn no_program() -> Error {
    Error::new(Bug("a stream whose elements have no program".into()))
}

#[cold]
fn out_of_bounds() -> Error {
    Error::new(GuestTrap::new(
        Trap::CanonicalAbi,
        "pointer out of bounds of memory",
    ))
}
