//! Lowering dynamic values: runs a type's program over a [`Val`].
//!
//! Lanes are zero before; each is written at most once, so what no case of a variant
//! uses stays zero, as the ABI wants it. Not here: checking types (`Val::check`).

use super::{Val, label};
use crate::component::call::host::first_mut;
use crate::component::call::lane::Lane;
use crate::component::lower::LowerContext;
use crate::component::resource::not_a_handle;
use crate::component::typed::too_few_lanes;
use helve_abi::error::Content;
use helve_abi::flat::Passing;
use helve_abi::program::*;
use helve_abi::types::InterfaceType;
use helve_base::{Bug, Error, Result, ensure};

/// Where a value goes.
enum To<'a> {
    /// Guest memory, from this address.
    Memory(usize),
    /// Lanes.
    Lanes(&'a mut [Lane]),
}

impl To<'_> {
    /// The same, from `at` on.
    fn at(&mut self, at: u32) -> Result<To<'_>> {
        Ok(match self {
            To::Memory(base) => To::Memory(base.saturating_add(at as usize)),
            To::Lanes(lanes) => To::Lanes(lanes.get_mut(at as usize..).ok_or_else(too_few_lanes)?),
        })
    }

    /// Writes a number of `size` bytes.
    fn put(&mut self, cx: &mut LowerContext<'_>, at: u32, size: u32, bits: u64) -> Result<()> {
        match self {
            To::Memory(base) => {
                let at = base.saturating_add(at as usize);
                let bytes = bits.to_le_bytes();
                let Some(bytes) = bytes.get(..size as usize) else {
                    return Err(too_few_lanes());
                };
                cx.bytes_mut(at, size as usize)?.copy_from_slice(bytes);
                Ok(())
            }
            To::Lanes(lanes) => {
                *lanes.get_mut(at as usize).ok_or_else(too_few_lanes)? = Lane::from_u64(bits);
                Ok(())
            }
        }
    }

    fn put_pair(&mut self, cx: &mut LowerContext<'_>, at: u32, pair: (u64, u64)) -> Result<()> {
        match self {
            To::Memory(base) => {
                let at = base.saturating_add(at as usize);
                cx.put_pair(at, pair)
            }
            To::Lanes(_) => {
                self.put(cx, at, 8, pair.0)?;
                self.put(cx, at + 1, 8, pair.1)
            }
        }
    }
}

/// Lowers arguments, into new guest memory if they go through memory.
pub(crate) fn lower_passed(
    cx: &mut LowerContext<'_>,
    passed: &Passed,
    vals: &[Val],
    lanes: &mut [Lane],
) -> Result<()> {
    match passed.passing {
        Passing::Flat(_) => lower_parts(cx, passed, vals, &mut To::Lanes(lanes)),
        Passing::Memory => {
            let at = cx.allocate(passed.align, passed.size.into(), Content::Values)?;
            *lanes.first_mut().ok_or_else(too_few_lanes)? = Lane::from_u64(at as u64);
            lower_parts(cx, passed, vals, &mut To::Memory(at))
        }
    }
}

/// Lowers the result of a host function to where lane `to` says, or into `lanes`, if it is
/// what a guest gets.
pub(crate) fn lower_checked(
    cx: &mut LowerContext<'_>,
    passed: &Passed,
    vals: &[Val],
    to: Lane,
    lanes: &mut [Lane],
) -> Result<()> {
    // A number of the right type needs neither a check of its own nor a walk.
    if let ([(_, program)], [val], Passing::Flat(_)) = (&*passed.parts, vals, &passed.passing)
        && let [Op::Scalar { scalar, .. }] = *cx.instance.component.programs()[*program].ops
        && let Ok(bits) = scalar_bits(scalar, val)
        && let Some(lane) = lanes.first_mut()
    {
        *lane = Lane::from_u64(bits);
        return Ok(());
    }
    check_result(cx, passed, vals)?;
    lower_result(cx, passed, vals, to, lanes)
}

/// That `vals` are the results that a guest gets.
pub(crate) fn check_result(cx: &LowerContext<'_>, passed: &Passed, vals: &[Val]) -> Result<()> {
    let types = cx.types();
    ensure!(
        vals.len() == passed.parts.len(),
        "expected {} results, found {}",
        passed.parts.len(),
        vals.len()
    );
    for (val, (_, program)) in vals.iter().zip(&passed.parts) {
        val.check(types, cx.instance.component.programs()[*program].ty)?;
    }
    Ok(())
}

/// Lowers results, to where lane `to` says if they go through memory.
pub(crate) fn lower_result(
    cx: &mut LowerContext<'_>,
    passed: &Passed,
    vals: &[Val],
    to: Lane,
    lanes: &mut [Lane],
) -> Result<()> {
    match passed.passing {
        Passing::Flat(flat) => {
            let lanes = first_mut(lanes, flat.len())?;
            lower_parts(cx, passed, vals, &mut To::Lanes(lanes))
        }
        Passing::Memory => {
            let at = cx.address(to);
            let at = cx.check_value(at, passed.size, passed.align)?;
            lower_parts(cx, passed, vals, &mut To::Memory(at))
        }
    }
}

fn lower_parts(
    cx: &mut LowerContext<'_>,
    passed: &Passed,
    vals: &[Val],
    to: &mut To<'_>,
) -> Result<()> {
    let programs = cx.instance.component.programs();
    for ((start, program), val) in passed.parts.iter().zip(vals) {
        // A number needs no walk.
        if let [Op::Scalar { at, scalar }] = *programs[*program].ops {
            let bits = scalar_bits(scalar, val)?;
            to.put(cx, start.saturating_add(at), scalar.bytes(), bits)?;
        } else {
            lower(cx, *program, val, &mut to.at(*start)?)?;
        }
    }
    Ok(())
}

/// Lowers elements one after the other, from `at` on, where there is room.
pub(crate) fn lower_elements(
    cx: &mut LowerContext<'_>,
    program: ProgramId,
    vals: &[Val],
    at: usize,
) -> Result<()> {
    let size = cx.instance.component.programs()[program].size as usize;
    for (i, val) in vals.iter().enumerate() {
        let at = at.saturating_add(i.saturating_mul(size));
        lower(cx, program, val, &mut To::Memory(at))?;
    }
    Ok(())
}

/// Runs a program over a value.
fn lower(cx: &mut LowerContext<'_>, program: ProgramId, val: &Val, to: &mut To<'_>) -> Result<()> {
    let ops = &mut cx.instance.component.programs()[program].ops.iter();
    step(cx, ops, val, to)
}

/// Runs the next operation, and those that belong to it.
fn step<'p>(
    cx: &mut LowerContext<'_>,
    ops: &mut impl Iterator<Item = &'p Op>,
    val: &Val,
    to: &mut To<'_>,
) -> Result<()> {
    let Some(op) = ops.next() else {
        return Err(mismatch());
    };
    match (*op, val) {
        (Op::Record { .. }, Val::Record(fields)) => {
            let mut vals = fields.iter().map(|(_, val)| val);
            vals.try_for_each(|val| step(cx, ops, val, to))
        }
        (Op::Record { .. }, Val::Tuple(vals)) => {
            vals.iter().try_for_each(|val| step(cx, ops, val, to))
        }
        (Op::Call { at, program }, val) => lower(cx, program, val, &mut to.at(at)?),
        (op, val) => part(cx, op, val, to),
    }
}

/// Runs one operation that no others belong to.
fn part(cx: &mut LowerContext<'_>, op: Op, val: &Val, to: &mut To<'_>) -> Result<()> {
    match (op, val) {
        (Op::Scalar { at, scalar }, val) => {
            to.put(cx, at, scalar.bytes(), scalar_bits(scalar, val)?)
        }
        #[rustfmt::skip]
        (Op::Flags { at, ty, bytes, .. }, Val::Flags(set)) => {
            let names = &cx.types()[ty].names;
            let set = set.iter().filter_map(|flag| label(names, flag));
            to.put(cx, at, bytes.into(), set.fold(0, |bits, i| bits | 1 << (i % 64)))
        }
        #[rustfmt::skip]
        (Op::Enum { at, ty, bytes, .. }, Val::Enum(name)) => {
            let case = label(&cx.types()[ty].names, name).ok_or_else(mismatch)?;
            to.put(cx, at, bytes.into(), case.into())
        }
        (Op::Handle { at, handle }, val) => {
            let index = lower_handle(cx, handle, val)?;
            to.put(cx, at, 4, index.into())
        }
        (Op::String { at }, Val::String(text)) => {
            let pair = cx.lower_string(text)?;
            to.put_pair(cx, at, pair)
        }
        #[rustfmt::skip]
        (Op::List { at, element, .. }, Val::List(items)) => {
            let item = |cx: &mut LowerContext<'_>, i: usize, to: &mut To<'_>| lower(cx, element, &items[i], to);
            let pair = lower_list(cx, element, items.len(), item)?;
            to.put_pair(cx, at, pair)
        }
        (Op::Map { at, entry, .. }, Val::Map(pairs)) => {
            let pair = lower_list(cx, entry, pairs.len(), |cx, i, to| {
                let (key, value) = &pairs[i];
                lower(cx, entry, &Val::Tuple(vec![key.clone(), value.clone()]), to)
            })?;
            to.put_pair(cx, at, pair)
        }
        #[rustfmt::skip]
        (Op::FixedList { at, element, stride, .. }, Val::List(items)) => {
            let place = |i: u32| at.saturating_add(i.saturating_mul(stride));
            (0..).zip(items).try_for_each(|(i, item)| lower(cx, element, item, &mut to.at(place(i))?))
        }
        #[rustfmt::skip]
        (Op::Variant { at, kind, bytes, payload, cases }, val) => {
            let (case, value) = variant_case(cx, kind, val)?;
            to.put(cx, at, bytes.into(), case.into())?;
            let programs = cx.instance.component.programs().cases(cases);
            match (programs.get(case as usize).copied().flatten(), value) {
                (Some(program), Some(value)) => lower(cx, program, value, &mut to.at(payload)?),
                _ => Ok(()),
            }
        }
        _ => Err(mismatch()),
    }
}

/// A handle's new index.
fn lower_handle(cx: &mut LowerContext<'_>, handle: Handle, val: &Val) -> Result<u32> {
    let (instance, part) = (cx.instance, cx.options.owner);
    match (handle, val) {
        (Handle::Own(id), Val::Resource(any)) => cx.lower_any(any, InterfaceType::Own(id)),
        (Handle::Borrow(id), Val::Resource(any)) => cx.lower_any(any, InterfaceType::Borrow(id)),
        (_, Val::Stream(end)) => end.lower(instance, part, handle),
        (_, Val::Future(end)) => end.lower(instance, part, handle),
        (Handle::ErrorContext, Val::ErrorContext(context)) => context.lower(instance, part),
        _ => Err(not_a_handle()),
    }
}

/// Memory for a list and each of its items in it.
fn lower_list(
    cx: &mut LowerContext<'_>,
    element: ProgramId,
    count: usize,
    mut item: impl FnMut(&mut LowerContext<'_>, usize, &mut To<'_>) -> Result<()>,
) -> Result<(u64, u64)> {
    let Program { size, align, .. } = cx.instance.component.programs()[element];
    let at = cx.allocate_list(count, size, align)?;
    for i in 0..count {
        item(
            cx,
            i,
            &mut To::Memory(at.saturating_add(i.saturating_mul(size as usize))),
        )?;
    }
    Ok((at as u64, count as u64))
}

fn variant_case<'v>(
    cx: &LowerContext<'_>,
    kind: VariantKind,
    val: &'v Val,
) -> Result<(u32, Option<&'v Val>)> {
    Ok(match (kind, val) {
        (VariantKind::Variant(id), Val::Variant(name, payload)) => {
            let case = cx.types()[id]
                .cases
                .iter()
                .position(|case| *case.name == **name)
                .ok_or_else(mismatch)?;
            (case as u32, payload.as_deref())
        }
        (VariantKind::Option(_), Val::Option(payload)) => {
            (payload.is_some().into(), payload.as_deref())
        }
        (VariantKind::Result(_), Val::Result(Ok(payload))) => (0, payload.as_deref()),
        (VariantKind::Result(_), Val::Result(Err(payload))) => (1, payload.as_deref()),
        _ => return Err(mismatch()),
    })
}

fn scalar_bits(scalar: Scalar, val: &Val) -> Result<u64> {
    Ok(match (scalar, val) {
        (Scalar::Bool, Val::Bool(v)) => (*v).into(),
        (Scalar::S8, Val::S8(v)) => (*v as i32 as u32).into(),
        (Scalar::U8, Val::U8(v)) => (*v).into(),
        (Scalar::S16, Val::S16(v)) => (*v as i32 as u32).into(),
        (Scalar::U16, Val::U16(v)) => (*v).into(),
        (Scalar::S32, Val::S32(v)) => (*v as u32).into(),
        (Scalar::U32, Val::U32(v)) => (*v).into(),
        (Scalar::S64, Val::S64(v)) => *v as u64,
        (Scalar::U64, Val::U64(v)) => *v,
        (Scalar::F32, Val::Float32(v)) => v.to_bits().into(),
        (Scalar::F64, Val::Float64(v)) => v.to_bits(),
        (Scalar::Char, Val::Char(v)) => u32::from(*v).into(),
        _ => return Err(mismatch()),
    })
}

#[cold]
fn mismatch() -> Error {
    Error::new(Bug("a value that was checked does not fit its type".into()))
}
