//! `bool`, integers, floats and `char`: one lane, or 1 to 8 bytes.
//!
//! Lists of numbers are copied in bulk. Guests' NaNs keep their bits, as the spec lets
//! them. Not here: anything with parts.

use super::*;
use helve_base::error::Result;

macro_rules! numbers {
    ($($ty:ident = $kind:ident, $layout:ident, $to_lane:expr, $from_lane:expr;)*) => {$(
        impl ComponentType for $ty {
            const LAYOUT: Layout = Layout::$layout;
            const FLAT: bool = true;

            fn typecheck(ty: InterfaceType, cx: &TypeCheck<'_>) -> Result<()> {
                cx.scalar(ty, InterfaceType::$kind)
            }
        }

        impl Lower for $ty {
            #[inline]
            fn lower(&self, _: &mut LowerContext<'_>, _: InterfaceType, dst: &mut [Lane]) -> Result<()> {
                let to_lane: fn($ty) -> Lane = $to_lane;
                set_lane(dst, to_lane(*self))
            }

            #[inline]
            fn store(&self, cx: &mut LowerContext<'_>, _: InterfaceType, at: usize) -> Result<()> {
                cx.put(at, &self.to_le_bytes())
            }

            #[inline]
            fn store_flat(&self, to: &mut [u8]) {
                put_flat(to, &self.to_le_bytes());
            }

            fn store_slice(items: &[$ty], cx: &mut LowerContext<'_>, _: InterfaceType, at: usize) -> Result<()> {
                const SIZE: usize = size_of::<$ty>();
                let bytes = cx.bytes_mut(at, items.len() * SIZE)?;
                for (bytes, item) in bytes.chunks_exact_mut(SIZE).zip(items) {
                    bytes.copy_from_slice(&item.to_le_bytes());
                }
                Ok(())
            }
        }

        impl Lift for $ty {
            #[inline]
            fn lift(_: &mut LiftContext<'_>, _: InterfaceType, src: &[Lane]) -> Result<$ty> {
                let from_lane: fn(Lane) -> $ty = $from_lane;
                Ok(from_lane(get_lane(src)?))
            }

            #[inline]
            fn load(_: &mut LiftContext<'_>, _: InterfaceType, bytes: &[u8]) -> Result<$ty> {
                Ok($ty::from_le_bytes(array(bytes)?))
            }

            #[inline]
            fn load_flat(bytes: &[u8]) -> Result<$ty> {
                Ok($ty::from_le_bytes(array(bytes)?))
            }

            fn load_slice(_: &mut LiftContext<'_>, _: InterfaceType, bytes: &[u8]) -> Result<Vec<$ty>> {
                let (chunks, _) = bytes.as_chunks();
                Ok(chunks.iter().map(|item| $ty::from_le_bytes(*item)).collect())
            }
        }
    )*};
}

numbers! {
    u8 = U8, BYTES1, |v| Lane::from_u32(v.into()), |lane| lane.u32() as u8;
    i8 = S8, BYTES1, |v| Lane::from_u32(v as u32), |lane| lane.u32() as i8;
    u16 = U16, BYTES2, |v| Lane::from_u32(v.into()), |lane| lane.u32() as u16;
    i16 = S16, BYTES2, |v| Lane::from_u32(v as u32), |lane| lane.u32() as i16;
    u32 = U32, BYTES4, Lane::from_u32, Lane::u32;
    i32 = S32, BYTES4, |v| Lane::from_u32(v as u32), |lane| lane.u32() as i32;
    u64 = U64, BYTES8, Lane::from_u64, Lane::u64;
    i64 = S64, BYTES8, |v| Lane::from_u64(v as u64), |lane| lane.u64() as i64;
    f32 = F32, BYTES4, |v| Lane::from_u32(v.to_bits()), |lane| f32::from_bits(lane.u32());
    f64 = F64, BYTES8, |v| Lane::from_u64(v.to_bits()), |lane| f64::from_bits(lane.u64());
}

/// The bytes of a scalar of `N` bytes.
#[inline]
pub(super) fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    match bytes.first_chunk() {
        Some(array) => Ok(*array),
        None => Err(too_few_lanes()),
    }
}

impl ComponentType for bool {
    const LAYOUT: Layout = Layout::BYTES1;
    const FLAT: bool = true;

    fn typecheck(ty: InterfaceType, cx: &TypeCheck<'_>) -> Result<()> {
        cx.scalar(ty, InterfaceType::Bool)
    }
}

impl Lower for bool {
    #[inline]
    fn lower(&self, _: &mut LowerContext<'_>, _: InterfaceType, dst: &mut [Lane]) -> Result<()> {
        set_lane(dst, Lane::from_u32((*self).into()))
    }

    #[inline]
    fn store(&self, cx: &mut LowerContext<'_>, _: InterfaceType, at: usize) -> Result<()> {
        cx.put(at, &[(*self).into()])
    }

    #[inline]
    fn store_flat(&self, to: &mut [u8]) {
        put_flat(to, &[(*self).into()]);
    }
}

impl Lift for bool {
    #[inline]
    fn lift(_: &mut LiftContext<'_>, _: InterfaceType, src: &[Lane]) -> Result<bool> {
        Ok(get_lane(src)?.u32() != 0)
    }

    #[inline]
    fn load(_: &mut LiftContext<'_>, _: InterfaceType, bytes: &[u8]) -> Result<bool> {
        Ok(array::<1>(bytes)? != [0])
    }

    #[inline]
    fn load_flat(bytes: &[u8]) -> Result<bool> {
        Ok(array::<1>(bytes)? != [0])
    }
}

impl ComponentType for char {
    const LAYOUT: Layout = Layout::BYTES4;
    const FLAT: bool = true;

    fn typecheck(ty: InterfaceType, cx: &TypeCheck<'_>) -> Result<()> {
        cx.scalar(ty, InterfaceType::Char)
    }
}

impl Lower for char {
    #[inline]
    fn lower(&self, _: &mut LowerContext<'_>, _: InterfaceType, dst: &mut [Lane]) -> Result<()> {
        set_lane(dst, Lane::from_u32((*self).into()))
    }

    #[inline]
    fn store(&self, cx: &mut LowerContext<'_>, _: InterfaceType, at: usize) -> Result<()> {
        cx.put(at, &u32::from(*self).to_le_bytes())
    }

    #[inline]
    fn store_flat(&self, to: &mut [u8]) {
        put_flat(to, &u32::from(*self).to_le_bytes());
    }
}

impl Lift for char {
    #[inline]
    fn lift(_: &mut LiftContext<'_>, _: InterfaceType, src: &[Lane]) -> Result<char> {
        character(get_lane(src)?.u32())
    }

    #[inline]
    fn load(_: &mut LiftContext<'_>, _: InterfaceType, bytes: &[u8]) -> Result<char> {
        character(u32::from_le_bytes(array(bytes)?))
    }

    #[inline]
    fn load_flat(bytes: &[u8]) -> Result<char> {
        character(u32::from_le_bytes(array(bytes)?))
    }
}

/// A character, if `bits` are one.
#[inline]
pub(crate) fn character(bits: u32) -> Result<char> {
    char::from_u32(bits).ok_or_else(|| AbiError::InvalidChar(bits).into())
}
