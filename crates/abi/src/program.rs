//! The one walk over a type: programs of operations that move a value into or out of
//! memory or core values.
//!
//! ```text
//!  record { a: u8, b: list<string>, c: option<u64> }     (in 32-bit memory)
//!
//!    program 0:  Record             program 1: String @0        the list's elements
//!                Scalar u8    @0
//!                List         @4 --> 1
//!                Variant      @16 payload @24, cases [none, 2]
//!                                   program 2: Scalar u64 @0    the payload of `some`
//! ```
//!
//! A program is the type's parts in order, each with its place relative to where the
//! value starts: a byte offset, or in flat form the number of a core value. Three
//! clients run the same programs: dynamic values at run time, typed values, and the
//! generator of adapters, which runs two of them side by side, one for each memory.
//!
//! Programs are memoised per type and form, and records are written out in place only
//! while they are small: the size of all programs is linear in the size of the types'
//! graph, however large the tree is. Running one recurses at most
//! [`MAX_DEPTH`] deep.
//!
//! In flat form a variant's payloads share core values. What a core value really is (an
//! `i64` that holds an `f32` for one of the cases) follows from the signature; a client
//! that keeps every core value as 64 zero-extended bits need not care.
//!
//! Not here: loading, storing, handles, allocation: whoever runs a program brings them.

use crate::flat::{CoreSignature, Passing, Side, SignatureOptions};
use crate::layout::{Layout, PointerWidth, VariantBuilder, align_to};
use crate::types::*;
use helve_base::{PrimaryMap, entity_impl};
use std::collections::HashMap;
use std::ops::Index;

/// Operations of a record that are written out in place of a call.
const INLINE_OPS: usize = 16;

/// A [`Program`] of [`Programs`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProgramId(u32);
entity_impl!(ProgramId, "program");

/// Where a program's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// In a memory with addresses of this width; places are byte offsets.
    Memory(PointerWidth),
    /// In core values (pointers have this width); places are their numbers.
    Flat(PointerWidth),
}

impl Form {
    /// How wide pointers are.
    pub const fn width(self) -> PointerWidth {
        match self {
            Form::Memory(width) | Form::Flat(width) => width,
        }
    }

    /// The form of what pointers point to.
    pub const fn memory(self) -> Form {
        Form::Memory(self.width())
    }
}

/// A number, boolean or character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scalar {
    /// `bool`: any number but 0 is true.
    Bool,
    /// `s8`.
    S8,
    /// `u8`.
    U8,
    /// `s16`.
    S16,
    /// `u16`.
    U16,
    /// `s32`.
    S32,
    /// `u32`.
    U32,
    /// `s64`.
    S64,
    /// `u64`.
    U64,
    /// `f32`.
    F32,
    /// `f64`.
    F64,
    /// `char`: not every `u32` is one.
    Char,
}

impl Scalar {
    /// Bytes it takes in memory.
    pub const fn bytes(self) -> u32 {
        match self {
            Scalar::Bool | Scalar::S8 | Scalar::U8 => 1,
            Scalar::S16 | Scalar::U16 => 2,
            Scalar::S32 | Scalar::U32 | Scalar::F32 | Scalar::Char => 4,
            Scalar::S64 | Scalar::U64 | Scalar::F64 => 8,
        }
    }
}

/// What an index of a handle table is to the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Handle {
    /// `own<R>`: moves.
    Own(ResourceTypeId),
    /// `borrow<R>`: is lent for the call.
    Borrow(ResourceTypeId),
    /// `stream<T>`: its readable end moves.
    Stream(StreamId),
    /// `future<T>`: its readable end moves.
    Future(FutureId),
    /// `error-context`.
    ErrorContext,
}

/// Which type a [`Op::Variant`] is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VariantKind {
    /// `variant { .. }`.
    Variant(VariantId),
    /// `option<T>`: none, some.
    Option(OptionId),
    /// `result<T, E>`: ok, error.
    Result(ResultId),
}

/// Which type an [`Op::Record`] is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// `record { .. }`.
    Record(RecordId),
    /// `tuple<..>`.
    Tuple(TupleId),
}

/// One step. `at` is its place: a byte offset or the number of a core value, from where
/// the program's value starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// A number, boolean or character.
    Scalar {
        /// Its place.
        at: u32,
        /// Which.
        scalar: Scalar,
    },
    /// Flags: an integer whose bits from the number of labels on are ignored when read
    /// and 0 when written.
    Flags {
        /// Its place.
        at: u32,
        /// The type.
        ty: FlagsId,
        /// Bytes in memory: 1, 2 or 4.
        bytes: u8,
        /// How many labels there are.
        labels: u8,
    },
    /// An enum: a discriminant.
    Enum {
        /// Its place.
        at: u32,
        /// The type.
        ty: EnumId,
        /// Bytes in memory: 1, 2 or 4.
        bytes: u8,
        /// How many cases there are.
        cases: u32,
    },
    /// An index of a handle table.
    Handle {
        /// Its place.
        at: u32,
        /// What it stands for.
        handle: Handle,
    },
    /// A string: pointer and length, in two pointers' bytes or two core values.
    String {
        /// The pointer's place; the length's is right behind it.
        at: u32,
    },
    /// A list: pointer and length.
    List {
        /// The pointer's place; the length's is right behind it.
        at: u32,
        /// The type.
        ty: ListId,
        /// Moves one element, in memory.
        element: ProgramId,
    },
    /// A map: pointer and length of a list of pairs.
    Map {
        /// The pointer's place; the length's is right behind it.
        at: u32,
        /// The type.
        ty: MapId,
        /// Moves one pair (a tuple), in memory.
        entry: ProgramId,
    },
    /// A list of fixed length, in place.
    FixedList {
        /// The first element's place.
        at: u32,
        /// The type.
        ty: FixedListId,
        /// Moves one element, in this program's form.
        element: ProgramId,
        /// From one element's place to the next one's.
        stride: u32,
        /// How many there are.
        length: u32,
    },
    /// A variant: a discriminant, and a payload that depends on it.
    Variant {
        /// The discriminant's place.
        at: u32,
        /// The type.
        kind: VariantKind,
        /// Bytes of the discriminant in memory: 1, 2 or 4.
        bytes: u8,
        /// The payload's place, the same in all cases.
        payload: u32,
        /// The cases, for [`Programs::cases`].
        cases: Cases,
    },
    /// A record or tuple begins: the parts that follow are its fields, each of which is
    /// one operation, or a `Record` with all that follows it for its own fields.
    Record {
        /// Which type.
        kind: RecordKind,
        /// How many fields follow.
        fields: u32,
    },
    /// A record or tuple that is not written out here: run that program, places counted
    /// from `at`. It starts with its own `Record`.
    Call {
        /// Where the value starts.
        at: u32,
        /// What to run.
        program: ProgramId,
    },
}

/// The cases of a variant: for each one the program of its payload, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cases {
    start: u32,
    len: u32,
}

impl Cases {
    /// How many there are: a discriminant must be below.
    pub const fn len(self) -> u32 {
        self.len
    }

    /// Whether there are none, which no type has.
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// How to move one value of one type.
#[derive(Clone, Debug)]
pub struct Program {
    /// The type.
    pub ty: InterfaceType,
    /// Where its values are.
    pub form: Form,
    /// Bytes of one value in memory, or how many core values it is.
    pub size: u32,
    /// Its alignment in memory; 1 in flat form.
    pub align: u32,
    /// Whether values in memory may be copied as bytes from any memory to any other
    /// ([`Types::is_bulk`]) instead of running this; false in flat form.
    pub bulk: bool,
    /// The steps; empty only where a flat form does not exist.
    pub ops: Box<[Op]>,
}

/// Parameters or a result and how each crosses.
#[derive(Clone, Debug)]
pub struct Passed {
    /// As core values or through memory.
    pub passing: Passing,
    /// For each value where it starts (a byte offset from the address, or the number of
    /// a core value) and the program that moves it.
    pub parts: Box<[(u32, ProgramId)]>,
    /// Bytes of all together, where they go through memory.
    pub size: u32,
    /// Their alignment, where they go through memory.
    pub align: u32,
}

/// All that moving a function's values takes.
#[derive(Clone, Debug)]
pub struct CallPrograms {
    /// The core function's signature.
    pub signature: CoreSignature,
    /// The parameters.
    pub params: Passed,
    /// The result; of an async lifted function what its `task.return` takes.
    pub result: Passed,
}

/// A set of programs, complete: what one refers to is in it.
#[derive(Clone, Debug, Default)]
pub struct Programs {
    programs: PrimaryMap<ProgramId, Program>,
    ids: HashMap<(InterfaceType, Form), ProgramId>,
    cases: Vec<Option<ProgramId>>,
}

impl Index<ProgramId> for Programs {
    type Output = Program;
    #[inline]
    fn index(&self, id: ProgramId) -> &Program {
        &self.programs[id]
    }
}

impl Programs {
    /// No programs.
    pub fn new() -> Programs {
        Programs::default()
    }

    /// The payloads' programs of a variant's cases, in order.
    pub fn cases(&self, cases: Cases) -> &[Option<ProgramId>] {
        let range = cases.start as usize..(cases.start + cases.len) as usize;
        self.cases.get(range).unwrap_or(&[])
    }

    /// The program for a type that was made before.
    pub fn get(&self, ty: InterfaceType, form: Form) -> Option<ProgramId> {
        self.ids.get(&(ty, form)).copied()
    }

    /// The program for a type, made now or before.
    ///
    /// The flat form of a type that has none (more than 16 core values) has no
    /// operations; [`Programs::call`] never asks for one.
    pub fn make(&mut self, types: &Types, ty: InterfaceType, form: Form) -> ProgramId {
        if let Some(id) = self.get(ty, form) {
            return id;
        }
        let width = form.width();
        let layout = types.layout(ty);
        let mut ops = Vec::new();
        let (size, align, bulk) = match form {
            Form::Memory(_) => (layout.size(width), layout.align(width), types.is_bulk(ty)),
            Form::Flat(_) => (layout.flat_count.map_or(0, u32::from), 1, false),
        };
        if matches!(form, Form::Memory(_)) || layout.flat_count.is_some() {
            self.emit(types, ty, form, 0, &mut ops);
        }
        let ops = ops.into_boxed_slice();
        let id = self.programs.push(Program {
            ty,
            form,
            size,
            align,
            bulk,
            ops,
        });
        self.ids.insert((ty, form), id);
        id
    }

    /// What moving the values of a function takes, under these options.
    pub fn call(
        &mut self,
        types: &Types,
        func: FuncTypeId,
        options: SignatureOptions,
    ) -> CallPrograms {
        let signature = types.core_signature(func, options);
        let ty = &types[func];
        let params = ty.params.iter().map(|(_, ty)| *ty);
        let params = self.passed(types, params, signature.param_passing, options.width);
        let is_task_return = options.is_async && options.side == Side::Lift;
        let passing = match is_task_return {
            true => types.task_return_params(ty.result, options.width).1,
            false => signature.result_passing,
        };
        let result = self.passed(types, ty.result, passing, options.width);
        CallPrograms {
            signature,
            params,
            result,
        }
    }

    /// How these values cross one after the other when passed so.
    pub fn passed(
        &mut self,
        types: &Types,
        values: impl IntoIterator<Item = InterfaceType>,
        passing: Passing,
        width: PointerWidth,
    ) -> Passed {
        let form = match passing {
            Passing::Flat(_) => Form::Flat(width),
            Passing::Memory => Form::Memory(width),
        };
        let mut at = 0;
        let mut align = 1;
        let parts = values
            .into_iter()
            .map(|ty| {
                let layout = types.layout(ty);
                align = align.max(layout.align(width));
                (place(&layout, form, &mut at), self.make(types, ty, form))
            })
            .collect();
        let size = align_to(at, align);
        Passed {
            passing,
            parts,
            size,
            align,
        }
    }

    /// Appends the operations of a value that starts at `at`.
    fn emit(&mut self, types: &Types, ty: InterfaceType, form: Form, at: u32, ops: &mut Vec<Op>) {
        if let Some(scalar) = scalar(ty) {
            return ops.push(Op::Scalar { at, scalar });
        }
        if let Some(handle) = handle(ty) {
            return ops.push(Op::Handle { at, handle });
        }
        if let Some(op) = labels(types, ty, at) {
            return ops.push(op);
        }
        let op = match ty {
            InterfaceType::List(id) => {
                let element = self.make(types, types[id].element, form.memory());
                Op::List {
                    at,
                    ty: id,
                    element,
                }
            }
            InterfaceType::Map(id) => {
                let entry = self.make(types, InterfaceType::Tuple(types[id].entry), form.memory());
                Op::Map { at, ty: id, entry }
            }
            InterfaceType::FixedList(id) => {
                let FixedListType { element, length } = types[id];
                let element = self.make(types, element, form);
                let stride = self[element].size;
                Op::FixedList {
                    at,
                    ty: id,
                    element,
                    stride,
                    length,
                }
            }
            InterfaceType::Record(id) => {
                let fields = types[id].fields.iter().map(|field| field.ty);
                return self.emit_record(types, RecordKind::Record(id), fields, form, at, ops);
            }
            InterfaceType::Tuple(id) => {
                let fields = types[id].types.iter().copied();
                return self.emit_record(types, RecordKind::Tuple(id), fields, form, at, ops);
            }
            InterfaceType::Variant(id) => {
                let cases = types[id].cases.iter().map(|case| case.ty);
                self.variant(types, VariantKind::Variant(id), cases, form, at)
            }
            InterfaceType::Option(id) => {
                let cases = [None, Some(types[id].some)].into_iter();
                self.variant(types, VariantKind::Option(id), cases, form, at)
            }
            InterfaceType::Result(id) => {
                let cases = [types[id].ok, types[id].err].into_iter();
                self.variant(types, VariantKind::Result(id), cases, form, at)
            }
            // All others are done above.
            _ => Op::String { at },
        };
        ops.push(op);
    }

    fn emit_record(
        &mut self,
        types: &Types,
        kind: RecordKind,
        fields: impl ExactSizeIterator<Item = InterfaceType>,
        form: Form,
        start: u32,
        ops: &mut Vec<Op>,
    ) {
        ops.push(Op::Record {
            kind,
            fields: fields.len() as u32,
        });
        let mut end = 0;
        for ty in fields {
            let at = start + place(&types.layout(ty), form, &mut end);
            if scalar(ty).is_some() || handle(ty).is_some() {
                self.emit(types, ty, form, at, ops);
                continue;
            }
            // Through the memo, so that a variant's cases are listed once, not per use.
            let program = self.make(types, ty, form);
            let inner = &self[program].ops;
            if inner.len() <= INLINE_OPS {
                ops.extend(inner.iter().map(|op| op.moved(at)));
            } else {
                ops.push(Op::Call { at, program });
            }
        }
    }

    fn variant(
        &mut self,
        types: &Types,
        kind: VariantKind,
        payloads: impl Iterator<Item = Option<InterfaceType>>,
        form: Form,
        at: u32,
    ) -> Op {
        let mut layout = VariantBuilder::new();
        let mut programs = Vec::new();
        for ty in payloads {
            layout.case(ty.map(|ty| types.layout(ty)).as_ref());
            programs.push(ty.map(|ty| self.make(types, ty, form)));
        }
        let layout = layout.finish();
        let payload = match form {
            Form::Memory(width) => layout.payload(width),
            Form::Flat(_) => 1,
        };
        let cases = Cases {
            start: self.cases.len() as u32,
            len: programs.len() as u32,
        };
        self.cases.extend(programs);
        let bytes = layout.discriminant_size as u8;
        Op::Variant {
            at,
            kind,
            bytes,
            payload: at + payload,
            cases,
        }
    }
}

impl Op {
    /// The same operation of a value that starts `by` further on.
    fn moved(mut self, by: u32) -> Op {
        match &mut self {
            Op::Variant { at, payload, .. } => {
                *at += by;
                *payload += by;
            }
            Op::Scalar { at, .. }
            | Op::Flags { at, .. }
            | Op::Enum { at, .. }
            | Op::Handle { at, .. }
            | Op::String { at }
            | Op::List { at, .. }
            | Op::Map { at, .. }
            | Op::FixedList { at, .. }
            | Op::Call { at, .. } => *at += by,
            Op::Record { .. } => {}
        }
        self
    }
}

/// Where the next value goes; `end` becomes where it ends.
fn place(layout: &Layout, form: Form, end: &mut u32) -> u32 {
    match form {
        Form::Memory(width) => layout.next_field(width, end),
        Form::Flat(_) => {
            let at = *end;
            *end += layout.flat_count.map_or(0, u32::from);
            at
        }
    }
}

fn scalar(ty: InterfaceType) -> Option<Scalar> {
    Some(match ty {
        InterfaceType::Bool => Scalar::Bool,
        InterfaceType::S8 => Scalar::S8,
        InterfaceType::U8 => Scalar::U8,
        InterfaceType::S16 => Scalar::S16,
        InterfaceType::U16 => Scalar::U16,
        InterfaceType::S32 => Scalar::S32,
        InterfaceType::U32 => Scalar::U32,
        InterfaceType::S64 => Scalar::S64,
        InterfaceType::U64 => Scalar::U64,
        InterfaceType::F32 => Scalar::F32,
        InterfaceType::F64 => Scalar::F64,
        InterfaceType::Char => Scalar::Char,
        _ => return None,
    })
}

fn labels(types: &Types, ty: InterfaceType, at: u32) -> Option<Op> {
    Some(match ty {
        InterfaceType::Flags(id) => {
            let labels = types[id].names.len();
            let bytes = Layout::flags(labels).size32 as u8;
            Op::Flags {
                at,
                ty: id,
                bytes,
                labels: labels as u8,
            }
        }
        InterfaceType::Enum(id) => {
            let cases = types[id].names.len();
            let bytes = Layout::enumeration(cases).size32 as u8;
            Op::Enum {
                at,
                ty: id,
                bytes,
                cases: cases as u32,
            }
        }
        _ => return None,
    })
}

fn handle(ty: InterfaceType) -> Option<Handle> {
    Some(match ty {
        InterfaceType::Own(id) => Handle::Own(id),
        InterfaceType::Borrow(id) => Handle::Borrow(id),
        InterfaceType::Stream(id) => Handle::Stream(id),
        InterfaceType::Future(id) => Handle::Future(id),
        InterfaceType::ErrorContext => Handle::ErrorContext,
        _ => return None,
    })
}
