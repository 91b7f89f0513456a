//! Strings: `str`, `String` and other owners of one.
//!
//! Lowering writes the guest's encoding into memory that its `realloc` gave; lifting
//! checks and copies. Not here: transcoding (`helve_abi::strings`).

use super::*;
use helve_base::Result;
use std::borrow::Cow;
use std::sync::Arc;

impl ComponentType for str {
    const LAYOUT: Layout = Layout::POINTER_PAIR;

    fn typecheck(ty: InterfaceType, cx: &TypeCheck<'_>) -> Result<()> {
        cx.scalar(ty, InterfaceType::String)
    }
}

impl Lower for str {
    fn lower(&self, cx: &mut LowerContext<'_>, _: InterfaceType, dst: &mut [Lane]) -> Result<()> {
        let pair = cx.lower_string(self)?;
        set_pair(dst, pair)
    }

    fn store(&self, cx: &mut LowerContext<'_>, _: InterfaceType, at: usize) -> Result<()> {
        let pair = cx.lower_string(self)?;
        cx.put_pair(at, pair)
    }
}

macro_rules! strings {
    ($($ty:ty),*) => {$(
        impl ComponentType for $ty {
            const LAYOUT: Layout = <str as ComponentType>::LAYOUT;

            fn typecheck(ty: InterfaceType, cx: &TypeCheck<'_>) -> Result<()> {
                <str as ComponentType>::typecheck(ty, cx)
            }
        }

        impl Lower for $ty {
            fn lower(&self, cx: &mut LowerContext<'_>, ty: InterfaceType, dst: &mut [Lane]) -> Result<()> {
                <str as Lower>::lower(self, cx, ty, dst)
            }

            fn store(&self, cx: &mut LowerContext<'_>, ty: InterfaceType, at: usize) -> Result<()> {
                <str as Lower>::store(self, cx, ty, at)
            }
        }

        impl Lift for $ty {
            fn lift(cx: &mut LiftContext<'_>, _: InterfaceType, src: &[Lane]) -> Result<$ty> {
                let pair = pair(cx, src)?;
                Ok(cx.lift_string(pair)?.into())
            }

            fn load(cx: &mut LiftContext<'_>, _: InterfaceType, bytes: &[u8]) -> Result<$ty> {
                let pair = cx.pair(bytes)?;
                Ok(cx.lift_string(pair)?.into())
            }
        }
    )*};
}

strings!(String, Box<str>, Arc<str>, Cow<'static, str>);

/// Writes a pointer and a length.
#[inline]
pub(super) fn set_pair(dst: &mut [Lane], (pointer, length): (u64, u64)) -> Result<()> {
    let [a, b] = dst.first_chunk_mut().ok_or_else(too_few_lanes)?;
    (*a, *b) = (Lane::from_u64(pointer), Lane::from_u64(length));
    Ok(())
}

/// Reads a pointer and a length.
#[inline]
pub(super) fn pair(cx: &LiftContext<'_>, src: &[Lane]) -> Result<(u64, u64)> {
    let [a, b] = src.first_chunk().ok_or_else(too_few_lanes)?;
    Ok((cx.address(*a), cx.address(*b)))
}
