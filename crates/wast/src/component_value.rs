//! Component values of a script, as arguments and as expected results.
//!
//! Not here: core values (`core_value.rs`).

use helve::component::Val;
use helve::{Error, Result, core};
use wast::component::WastVal;
use wast::core::WastArgCore;

/// The value that a script's literal stands for.
pub fn value(v: &WastVal<'_>) -> Val {
    let boxed = |v: &Option<Box<WastVal<'_>>>| v.as_deref().map(|v| Box::new(value(v)));
    match v {
        WastVal::Bool(v) => Val::Bool(*v),
        WastVal::U8(v) => Val::U8(*v),
        WastVal::S8(v) => Val::S8(*v),
        WastVal::U16(v) => Val::U16(*v),
        WastVal::S16(v) => Val::S16(*v),
        WastVal::U32(v) => Val::U32(*v),
        WastVal::S32(v) => Val::S32(*v),
        WastVal::U64(v) => Val::U64(*v),
        WastVal::S64(v) => Val::S64(*v),
        WastVal::F32(v) => Val::Float32(f32::from_bits(v.bits)),
        WastVal::F64(v) => Val::Float64(f64::from_bits(v.bits)),
        WastVal::Char(v) => Val::Char(*v),
        WastVal::String(v) => Val::String(v.to_string()),
        WastVal::List(v) => Val::List(v.iter().map(value).collect()),
        WastVal::Map(v) => Val::Map(v.iter().map(|(k, v)| (value(k), value(v))).collect()),
        WastVal::Record(v) => {
            Val::Record(v.iter().map(|(k, v)| (k.to_string(), value(v))).collect())
        }
        WastVal::Tuple(v) => Val::Tuple(v.iter().map(value).collect()),
        WastVal::Variant(name, payload) => Val::Variant(name.to_string(), boxed(payload)),
        WastVal::Enum(name) => Val::Enum(name.to_string()),
        WastVal::Option(v) => Val::Option(boxed(v)),
        WastVal::Result(v) => Val::Result(match v {
            Ok(v) => Ok(boxed(v)),
            Err(v) => Err(boxed(v)),
        }),
        WastVal::Flags(v) => Val::Flags(v.iter().map(|n| n.to_string()).collect()),
    }
}

/// The value that a number in the core form stands for: some scripts write them so. An
/// `i32` is a `u32` there.
pub fn of_core(arg: &WastArgCore<'_>) -> Result<Val> {
    Ok(match arg {
        WastArgCore::I32(v) => Val::U32(*v as u32),
        WastArgCore::I64(v) => Val::U64(*v as u64),
        WastArgCore::F32(v) => Val::Float32(f32::from_bits(v.bits)),
        WastArgCore::F64(v) => Val::Float64(f64::from_bits(v.bits)),
        _ => return Err(Error::msg("an argument that is no component value")),
    })
}

/// A number as a core value, for expectations in the core form. A border may scramble
/// NaNs, so any NaN counts as the canonical one.
pub fn as_core(value: &Val) -> Option<core::Val> {
    Some(match *value {
        Val::Bool(v) => core::Val::I32(v.into()),
        Val::U8(v) => core::Val::I32(v.into()),
        Val::S8(v) => core::Val::I32(v.into()),
        Val::U16(v) => core::Val::I32(v.into()),
        Val::S16(v) => core::Val::I32(v.into()),
        Val::U32(v) => core::Val::I32(v as i32),
        Val::S32(v) => core::Val::I32(v),
        Val::U64(v) => core::Val::I64(v as i64),
        Val::S64(v) => core::Val::I64(v),
        Val::Float32(v) if v.is_nan() => core::Val::F32(0x7fc0_0000),
        Val::Float32(v) => core::Val::F32(v.to_bits()),
        Val::Float64(v) if v.is_nan() => core::Val::F64(0x7ff8_0000_0000_0000),
        Val::Float64(v) => core::Val::F64(v.to_bits()),
        _ => return None,
    })
}

/// Whether `actual` is the expected value. Flags are sets; NaNs are equal to each other,
/// since a canonical ABI border may canonicalise or scramble them.
pub fn matches(actual: &Val, expected: &Val) -> bool {
    let all =
        |a: &[Val], e: &[Val]| a.len() == e.len() && a.iter().zip(e).all(|(a, e)| matches(a, e));
    let both = |a: &Option<Box<Val>>, e: &Option<Box<Val>>| match (a, e) {
        (Some(a), Some(e)) => matches(a, e),
        (a, e) => a.is_none() && e.is_none(),
    };
    match (actual, expected) {
        (Val::Float32(a), Val::Float32(e)) => {
            a.to_bits() == e.to_bits() || a.is_nan() && e.is_nan()
        }
        (Val::Float64(a), Val::Float64(e)) => {
            a.to_bits() == e.to_bits() || a.is_nan() && e.is_nan()
        }
        (Val::List(a), Val::List(e)) | (Val::Tuple(a), Val::Tuple(e)) => all(a, e),
        (Val::Map(a), Val::Map(e)) => {
            a.len() == e.len()
                && a.iter()
                    .zip(e)
                    .all(|(a, e)| matches(&a.0, &e.0) && matches(&a.1, &e.1))
        }
        (Val::Record(a), Val::Record(e)) => {
            a.len() == e.len()
                && a.iter()
                    .zip(e)
                    .all(|(a, e)| a.0 == e.0 && matches(&a.1, &e.1))
        }
        (Val::Variant(a, ap), Val::Variant(e, ep)) => a == e && both(ap, ep),
        (Val::Option(a), Val::Option(e)) => both(a, e),
        (Val::Result(Ok(a)), Val::Result(Ok(e))) | (Val::Result(Err(a)), Val::Result(Err(e))) => {
            both(a, e)
        }
        (Val::Flags(a), Val::Flags(e)) => a.len() == e.len() && e.iter().all(|e| a.contains(e)),
        (actual, expected) => actual == expected,
    }
}
