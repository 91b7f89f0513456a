//! Lifting dynamic values: runs a type's program and builds a [`Val`].
//!
//! Not here: what a guest's bytes may be (`lift`).

use super::{Val, Vals};
use crate::component::call::lane::Lane;
use crate::component::drive::ends::{FutureAny, StreamAny};
use crate::component::drive::error_context::ErrorContext;
use crate::component::lift::LiftContext;
use crate::component::typed::{invalid_discriminant, too_few_lanes};
use helve_abi::flat::Passing;
use helve_abi::program::*;
use helve_abi::types::InterfaceType;
use helve_base::{Bug, Error, Result};

/// Where a value is.
#[derive(Clone, Copy)]
enum From<'a> {
    /// These bytes of guest memory.
    Memory(&'a [u8]),
    /// These lanes.
    Lanes(&'a [Lane]),
}

impl<'a> From<'a> {
    /// The same, from `at` on.
    fn at(self, at: u32) -> Result<From<'a>> {
        Ok(match self {
            From::Memory(bytes) => {
                From::Memory(bytes.get(at as usize..).ok_or_else(too_few_lanes)?)
            }
            From::Lanes(lanes) => From::Lanes(lanes.get(at as usize..).ok_or_else(too_few_lanes)?),
        })
    }

    /// A number of `size` bytes; what is above them may be anything.
    fn get(self, at: u32, size: u32) -> Result<u64> {
        match self.at(at)? {
            From::Memory(bytes) => {
                let mut bits = [0; 8];
                let from = bytes.get(..size as usize).ok_or_else(too_few_lanes)?;
                bits.get_mut(..size as usize)
                    .ok_or_else(too_few_lanes)?
                    .copy_from_slice(from);
                Ok(u64::from_le_bytes(bits))
            }
            From::Lanes(lanes) => Ok(lanes.first().ok_or_else(too_few_lanes)?.u64()),
        }
    }

    /// A pointer and a length.
    fn pair(self, cx: &LiftContext<'_>, at: u32) -> Result<(u64, u64)> {
        match self.at(at)? {
            From::Memory(bytes) => cx.pair(bytes),
            From::Lanes([a, b, ..]) => Ok((cx.address(*a), cx.address(*b))),
            From::Lanes(_) => Err(too_few_lanes()),
        }
    }

    /// The discriminant of a variant or enum.
    fn discriminant(self, at: u32, size: u32, cases: u32) -> Result<u32> {
        let found = self.get(at, size)? as u32;
        if found < cases {
            Ok(found)
        } else {
            Err(invalid_discriminant(found, cases))
        }
    }
}

/// Where lifted values go, one after the other.
trait Places {
    /// The next one is this.
    fn put(&mut self, val: Val);

    /// The next one is this number.
    fn put_scalar(&mut self, scalar: Scalar, bits: u64) -> Result<()>;
}

impl Places for Vals {
    #[inline]
    fn put(&mut self, val: Val) {
        self.push(val);
    }

    #[inline]
    fn put_scalar(&mut self, scalar: Scalar, bits: u64) -> Result<()> {
        self.push(scalar_val(scalar, bits)?);
        Ok(())
    }
}

/// Values that are there already. Numbers are written where they are to be: what is put
/// together elsewhere in small pieces would be copied in big ones before those have left the
/// store buffer.
impl Places for std::slice::IterMut<'_, Val> {
    #[inline]
    fn put(&mut self, val: Val) {
        if let Some(place) = self.next() {
            *place = val;
        }
    }

    #[inline]
    fn put_scalar(&mut self, scalar: Scalar, bits: u64) -> Result<()> {
        match self.next() {
            Some(place) => set_scalar(place, scalar, bits),
            None => Ok(()),
        }
    }
}

/// Lifts the values that were passed in `lanes`, in order.
fn lift_each(
    cx: &mut LiftContext<'_>,
    passed: &Passed,
    lanes: &[Lane],
    places: &mut impl Places,
) -> Result<()> {
    let from = match passed.passing {
        Passing::Flat(_) => From::Lanes(lanes),
        Passing::Memory => {
            let at = cx.address(*lanes.first().ok_or_else(too_few_lanes)?);
            From::Memory(cx.value_bytes(at, passed.size, passed.align)?)
        }
    };
    let programs = cx.instance.component.programs();
    for (start, program) in &passed.parts {
        // A number needs no walk.
        if let [Op::Scalar { at, scalar }] = *programs[*program].ops {
            let bits = from.get(start.saturating_add(at), scalar.bytes())?;
            places.put_scalar(scalar, bits)?;
        } else {
            places.put(lift(cx, *program, from.at(*start)?)?);
        }
    }
    Ok(())
}

/// Lifts `count` elements that stand one after the other in guest memory.
pub(crate) fn lift_elements(
    cx: &mut LiftContext<'_>,
    program: ProgramId,
    bytes: &[u8],
    count: u32,
    vals: &mut Vals,
) -> Result<()> {
    let size = cx.instance.component.programs()[program].size as usize;
    cx.charge((count as usize).saturating_mul(size_of::<Val>()))?;
    for i in 0..count as usize {
        let from = bytes.get(i * size..).ok_or_else(too_few_lanes)?;
        vals.push(lift(cx, program, From::Memory(from))?);
    }
    Ok(())
}

/// Lifts the values that were passed in `lanes`.
pub(crate) fn lift_passed(
    cx: &mut LiftContext<'_>,
    passed: &Passed,
    lanes: &[Lane],
    vals: &mut Vals,
) -> Result<()> {
    lift_each(cx, passed, lanes, vals)
}

/// The same, into as many places.
pub(crate) fn lift_into(
    cx: &mut LiftContext<'_>,
    passed: &Passed,
    lanes: &[Lane],
    vals: &mut [Val],
) -> Result<()> {
    lift_each(cx, passed, lanes, &mut vals.iter_mut())
}

/// Lifts a function's result into `results`.
pub(crate) fn lift_result(
    cx: &mut LiftContext<'_>,
    passed: &Passed,
    lanes: &[Lane],
    results: &mut [Val],
) -> Result<()> {
    lift_each(cx, passed, lanes, &mut results.iter_mut())
}

/// Runs a program.
fn lift(cx: &mut LiftContext<'_>, program: ProgramId, from: From<'_>) -> Result<Val> {
    let ops = &mut cx.instance.component.programs()[program].ops.iter();
    step(cx, ops, from)
}

/// Runs the next operation, and those that belong to it.
fn step<'p>(
    cx: &mut LiftContext<'_>,
    ops: &mut impl Iterator<Item = &'p Op>,
    from: From<'_>,
) -> Result<Val> {
    let Some(op) = ops.next() else {
        return Err(bug());
    };
    match *op {
        Op::Call { at, program } => lift(cx, program, from.at(at)?),
        Op::Record { kind, fields } => {
            cx.charge((fields as usize).saturating_mul(size_of::<Val>()))?;
            let vals = (0..fields).map(|_| step(cx, ops, from));
            let vals = vals.collect::<Result<Vec<_>>>()?;
            Ok(match kind {
                RecordKind::Tuple(_) => Val::Tuple(vals),
                RecordKind::Record(id) => {
                    let fields = cx.types()[id].fields.iter();
                    let names = fields.map(|field| field.name.to_string());
                    Val::Record(names.zip(vals).collect())
                }
            })
        }
        op => part(cx, op, from),
    }
}

/// Runs one operation that no others belong to.
fn part(cx: &mut LiftContext<'_>, op: Op, from: From<'_>) -> Result<Val> {
    Ok(match op {
        Op::Scalar { at, scalar } => scalar_val(scalar, from.get(at, scalar.bytes())?)?,
        Op::Flags { at, ty, bytes, .. } => {
            let bits = from.get(at, bytes.into())?;
            let names = cx.types()[ty].names.iter().enumerate();
            let set = names.filter(|(i, _)| bits >> (i % 64) & 1 != 0);
            Val::Flags(set.map(|(_, name)| name.to_string()).collect())
        }
        #[rustfmt::skip]
        Op::Enum { at, ty, bytes, cases } => {
            let case = from.discriminant(at, bytes.into(), cases)?;
            Val::Enum(cx.types()[ty].names[case as usize].to_string())
        }
        Op::Handle { at, handle } => {
            let index = from.get(at, 4)? as u32;
            let (instance, part) = (cx.instance, cx.options.owner);
            let ty = match handle {
                Handle::Stream(_) => {
                    return StreamAny::lift(instance, part, handle, index).map(Val::Stream);
                }
                Handle::Future(_) => {
                    return FutureAny::lift(instance, part, handle, index).map(Val::Future);
                }
                Handle::Own(id) => InterfaceType::Own(id),
                Handle::Borrow(id) => InterfaceType::Borrow(id),
                Handle::ErrorContext => {
                    return ErrorContext::lift(instance, part, index).map(Val::ErrorContext);
                }
            };
            Val::Resource(cx.lift_any(index, ty)?)
        }
        Op::String { at } => {
            let pair = from.pair(cx, at)?;
            Val::String(cx.lift_string(pair)?)
        }
        Op::List { at, element, .. } => {
            let pair = from.pair(cx, at)?;
            Val::List(lift_list(cx, element, pair)?)
        }
        Op::Map { at, entry, .. } => {
            let pair = from.pair(cx, at)?;
            let entries = lift_list(cx, entry, pair)?;
            Val::Map(entries.into_iter().map(map_entry).collect::<Result<_>>()?)
        }
        #[rustfmt::skip]
        Op::FixedList { at, element, stride, length, .. } => {
            cx.charge((length as usize).saturating_mul(size_of::<Val>()))?;
            let place = |i: u32| at.saturating_add(i.saturating_mul(stride));
            let items = (0..length).map(|i| lift(cx, element, from.at(place(i))?));
            Val::List(items.collect::<Result<_>>()?)
        }
        #[rustfmt::skip]
        Op::Variant { at, kind, bytes, payload, cases } => {
            let case = from.discriminant(at, bytes.into(), cases.len())?;
            let programs = cx.instance.component.programs().cases(cases);
            let value = match programs.get(case as usize).copied().flatten() {
                Some(program) => {
                    cx.charge(size_of::<Val>())?;
                    Some(Box::new(lift(cx, program, from.at(payload)?)?))
                }
                None => None,
            };
            variant_val(cx, kind, case, value)
        }
        Op::Record { .. } | Op::Call { .. } => return Err(bug()),
    })
}

fn lift_list(cx: &mut LiftContext<'_>, element: ProgramId, pair: (u64, u64)) -> Result<Vec<Val>> {
    let Program { size, align, .. } = cx.instance.component.programs()[element];
    let bytes = cx.list_bytes(pair, size, align)?;
    cx.count(bytes);
    cx.charge((pair.1 as usize).saturating_mul(size_of::<Val>()))?;
    let items = bytes.chunks_exact((size as usize).max(1));
    items
        .map(|item| lift(cx, element, From::Memory(item)))
        .collect()
}

fn map_entry(entry: Val) -> Result<(Val, Val)> {
    match entry {
        Val::Tuple(pair) => {
            let [key, value] = <[Val; 2]>::try_from(pair).map_err(|_| bug())?;
            Ok((key, value))
        }
        _ => Err(bug()),
    }
}

fn variant_val(cx: &LiftContext<'_>, kind: VariantKind, case: u32, value: Option<Box<Val>>) -> Val {
    match kind {
        VariantKind::Variant(id) => {
            Val::Variant(cx.types()[id].cases[case as usize].name.to_string(), value)
        }
        VariantKind::Option(_) => Val::Option(value),
        VariantKind::Result(_) if case == 0 => Val::Result(Ok(value)),
        VariantKind::Result(_) => Val::Result(Err(value)),
    }
}

fn scalar_val(scalar: Scalar, bits: u64) -> Result<Val> {
    let mut val = Val::Bool(false);
    set_scalar(&mut val, scalar, bits)?;
    Ok(val)
}

#[inline]
fn set_scalar(place: &mut Val, scalar: Scalar, bits: u64) -> Result<()> {
    match scalar {
        Scalar::Bool => set(place, Val::Bool(bits as u32 != 0)),
        Scalar::S8 => set(place, Val::S8(bits as i8)),
        Scalar::U8 => set(place, Val::U8(bits as u8)),
        Scalar::S16 => set(place, Val::S16(bits as i16)),
        Scalar::U16 => set(place, Val::U16(bits as u16)),
        Scalar::S32 => set(place, Val::S32(bits as i32)),
        Scalar::U32 => set(place, Val::U32(bits as u32)),
        Scalar::S64 => set(place, Val::S64(bits as i64)),
        Scalar::U64 => set(place, Val::U64(bits)),
        Scalar::F32 => set(place, Val::Float32(f32::from_bits(bits as u32))),
        Scalar::F64 => set(place, Val::Float64(f64::from_bits(bits))),
        Scalar::Char => {
            let char = crate::component::typed::character(bits as u32)?;
            set(place, Val::Char(char));
        }
    }
    Ok(())
}

/// Writes a number; what was there, mostly one too, then needs no look at how to drop it.
#[inline(always)]
fn set(place: &mut Val, val: Val) {
    use Val::*;
    let old = &*place;
    let plain = matches!(
        old,
        Bool(_)
            | S8(_)
            | U8(_)
            | S16(_)
            | U16(_)
            | S32(_)
            | U32(_)
            | S64(_)
            | U64(_)
            | Float32(_)
            | Float64(_)
            | Char(_)
    );
    match plain {
        true => std::mem::forget(std::mem::replace(place, val)),
        false => *place = val,
    }
}

#[cold]
fn bug() -> Error {
    Error::new(Bug("a program does not fit its type".into()))
}
