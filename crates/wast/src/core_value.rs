//! Core values of a script: arguments as Helve's values, results against patterns.
//!
//! `ref.extern N` stands for the host value `N: u32`. Not here: component values
//! (`component_value.rs`).

use helve::core::{ExternRef, Ref, Val};
use helve::{Error, Result, Store};
use wast::core::{
    AbstractHeapType, HeapType, NanPattern, V128Const, V128Pattern, WastArgCore, WastRetCore,
};

/// The value that an argument of `invoke` stands for.
pub fn argument(arg: &WastArgCore<'_>, store: &mut Store<()>) -> Result<Val> {
    Ok(match arg {
        WastArgCore::I32(v) => Val::I32(*v),
        WastArgCore::I64(v) => Val::I64(*v),
        WastArgCore::F32(v) => Val::F32(v.bits),
        WastArgCore::F64(v) => Val::F64(v.bits),
        WastArgCore::V128(v) => Val::V128(v128(v)),
        WastArgCore::RefNull(heap) => Val::Ref(null(heap)?),
        WastArgCore::RefExtern(n) => Val::Ref(Ref::Extern(Some(ExternRef::new(store, *n)?))),
        WastArgCore::RefHost(_) => {
            return Err(Error::msg("`ref.host` needs garbage-collected types"));
        }
    })
}

fn null(heap: &HeapType<'_>) -> Result<Ref> {
    match heap {
        HeapType::Abstract {
            ty: AbstractHeapType::Func | AbstractHeapType::NoFunc,
            ..
        } => Ok(Ref::Func(None)),
        HeapType::Abstract {
            ty: AbstractHeapType::Extern | AbstractHeapType::NoExtern,
            ..
        } => Ok(Ref::Extern(None)),
        HeapType::Concrete(_) => Ok(Ref::Func(None)),
        other => Err(Error::msg(format!(
            "a null of type {other:?} is not supported"
        ))),
    }
}

fn v128(v: &V128Const) -> u128 {
    u128::from_le_bytes(v.to_le_bytes())
}

/// Whether `actual` is what `expected` describes.
pub fn matches(actual: &Val, expected: &WastRetCore<'_>, store: &Store<()>) -> Result<bool> {
    Ok(match (expected, actual) {
        (WastRetCore::I32(e), Val::I32(a)) => a == e,
        (WastRetCore::I64(e), Val::I64(a)) => a == e,
        (WastRetCore::F32(e), Val::F32(a)) => f32_matches(*a, &map(e, |f| f.bits)),
        (WastRetCore::F64(e), Val::F64(a)) => f64_matches(*a, &map(e, |f| f.bits)),
        (WastRetCore::V128(e), Val::V128(a)) => v128_matches(*a, e),
        (WastRetCore::RefNull(_), Val::Ref(a)) => a.is_null(),
        (WastRetCore::RefExtern(None), Val::Ref(Ref::Extern(a))) => a.is_some(),
        (WastRetCore::RefExtern(Some(e)), Val::Ref(Ref::Extern(Some(a)))) => {
            a.data(store)?.downcast_ref::<u32>() == Some(e)
        }
        (WastRetCore::RefFunc(_), Val::Ref(Ref::Func(a))) => a.is_some(),
        (WastRetCore::Either(cases), _) => {
            for case in cases {
                if matches(actual, case, store)? {
                    return Ok(true);
                }
            }
            false
        }
        _ => false,
    })
}

fn map<T, U>(pattern: &NanPattern<T>, bits: impl Fn(&T) -> U) -> NanPattern<U> {
    match pattern {
        NanPattern::CanonicalNan => NanPattern::CanonicalNan,
        NanPattern::ArithmeticNan => NanPattern::ArithmeticNan,
        NanPattern::Value(v) => NanPattern::Value(bits(v)),
    }
}

const F32_QUIET: u32 = 0x7fc0_0000;
const F64_QUIET: u64 = 0x7ff8_0000_0000_0000;

fn f32_matches(actual: u32, expected: &NanPattern<u32>) -> bool {
    match expected {
        NanPattern::CanonicalNan => actual & 0x7fff_ffff == F32_QUIET,
        NanPattern::ArithmeticNan => actual & F32_QUIET == F32_QUIET,
        NanPattern::Value(v) => actual == *v,
    }
}

fn f64_matches(actual: u64, expected: &NanPattern<u64>) -> bool {
    match expected {
        NanPattern::CanonicalNan => actual & 0x7fff_ffff_ffff_ffff == F64_QUIET,
        NanPattern::ArithmeticNan => actual & F64_QUIET == F64_QUIET,
        NanPattern::Value(v) => actual == *v,
    }
}

fn v128_matches(actual: u128, expected: &V128Pattern) -> bool {
    let bytes = actual.to_le_bytes();
    let lane = |i: usize, size: usize| {
        let mut lane = [0; 8];
        lane[..size].copy_from_slice(&bytes[i * size..(i + 1) * size]);
        u64::from_le_bytes(lane)
    };
    match expected {
        V128Pattern::I8x16(e) => e.iter().enumerate().all(|(i, e)| lane(i, 1) as i8 == *e),
        V128Pattern::I16x8(e) => e.iter().enumerate().all(|(i, e)| lane(i, 2) as i16 == *e),
        V128Pattern::I32x4(e) => e.iter().enumerate().all(|(i, e)| lane(i, 4) as i32 == *e),
        V128Pattern::I64x2(e) => e.iter().enumerate().all(|(i, e)| lane(i, 8) as i64 == *e),
        V128Pattern::F32x4(e) => e
            .iter()
            .enumerate()
            .all(|(i, e)| f32_matches(lane(i, 4) as u32, &map(e, |f| f.bits))),
        V128Pattern::F64x2(e) => e
            .iter()
            .enumerate()
            .all(|(i, e)| f64_matches(lane(i, 8), &map(e, |f| f.bits))),
    }
}
