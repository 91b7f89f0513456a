//! Lists: slices, `Vec` and other owners of one, and arrays for lists of fixed length.
//!
//! One `realloc` and one range check per list, whatever it holds; items that are numbers
//! are then copied in bulk ([`Lower::store_slice`], [`Lift::load_slice`]). Not here: maps
//! of a typed kind; a `map<K, V>` is a `Vec<(K, V)>` as in memory.

use super::string::{pair, set_pair};
use super::*;
use helve_base::{Result, error::Context};
use std::sync::Arc;

impl<T: ComponentType> ComponentType for [T] {
    const LAYOUT: Layout = Layout::POINTER_PAIR;
    const NEEDS_TYPE: bool = T::NEEDS_TYPE;

    fn typecheck(ty: InterfaceType, cx: &TypeCheck<'_>) -> Result<()> {
        match ty {
            InterfaceType::List(id) => {
                T::typecheck(cx.types()[id].element, cx).context("in a list")
            }
            InterfaceType::Map(id) => {
                T::typecheck(InterfaceType::Tuple(cx.types()[id].entry), cx).context("in a map")
            }
            _ => Err(cx.mismatch_type("list", ty)),
        }
    }
}

impl<T: Lower> Lower for [T] {
    fn lower(&self, cx: &mut LowerContext<'_>, ty: InterfaceType, dst: &mut [Lane]) -> Result<()> {
        let element = part::<T>(cx.types(), ty, 0);
        let pair = cx.lower_list(self, element)?;
        set_pair(dst, pair)
    }

    fn store(&self, cx: &mut LowerContext<'_>, ty: InterfaceType, at: usize) -> Result<()> {
        let element = part::<T>(cx.types(), ty, 0);
        let pair = cx.lower_list(self, element)?;
        cx.put_pair(at, pair)
    }
}

macro_rules! lists {
    ($($ty:ty),*) => {$(
        impl<T: ComponentType> ComponentType for $ty {
            const LAYOUT: Layout = <[T] as ComponentType>::LAYOUT;
            const NEEDS_TYPE: bool = T::NEEDS_TYPE;

            fn typecheck(ty: InterfaceType, cx: &TypeCheck<'_>) -> Result<()> {
                <[T] as ComponentType>::typecheck(ty, cx)
            }
        }

        impl<T: Lower> Lower for $ty {
            fn lower(&self, cx: &mut LowerContext<'_>, ty: InterfaceType, dst: &mut [Lane]) -> Result<()> {
                <[T] as Lower>::lower(self, cx, ty, dst)
            }

            fn store(&self, cx: &mut LowerContext<'_>, ty: InterfaceType, at: usize) -> Result<()> {
                <[T] as Lower>::store(self, cx, ty, at)
            }
        }

        impl<T: Lift> Lift for $ty {
            fn lift(cx: &mut LiftContext<'_>, ty: InterfaceType, src: &[Lane]) -> Result<$ty> {
                let pair = pair(cx, src)?;
                let element = part::<T>(cx.types(), ty, 0);
                Ok(cx.lift_list::<T>(pair, element)?.into())
            }

            fn load(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> Result<$ty> {
                let pair = cx.pair(bytes)?;
                let element = part::<T>(cx.types(), ty, 0);
                Ok(cx.lift_list::<T>(pair, element)?.into())
            }
        }
    )*};
}

lists!(Vec<T>, Box<[T]>, Arc<[T]>);

impl<T: ComponentType, const N: usize> ComponentType for [T; N] {
    const LAYOUT: Layout = Layout::fixed_list(&T::LAYOUT, N as u32);
    const NEEDS_TYPE: bool = T::NEEDS_TYPE;
    const FLAT: bool = T::FLAT;

    fn typecheck(ty: InterfaceType, cx: &TypeCheck<'_>) -> Result<()> {
        match ty {
            InterfaceType::FixedList(id) if cx.types()[id].length as usize == N => {
                T::typecheck(cx.types()[id].element, cx).context("in a list of fixed length")
            }
            _ => Err(cx.mismatch_type(format_args!("list of exactly {N}"), ty)),
        }
    }
}

impl<T: Lower, const N: usize> Lower for [T; N] {
    fn lower(&self, cx: &mut LowerContext<'_>, ty: InterfaceType, dst: &mut [Lane]) -> Result<()> {
        let element = part::<T>(cx.types(), ty, 0);
        let mut lanes = LaneCursor::new(dst);
        self.iter()
            .try_for_each(|item| item.lower(cx, element, lanes.next::<T>()?))
    }

    fn store(&self, cx: &mut LowerContext<'_>, ty: InterfaceType, at: usize) -> Result<()> {
        let element = part::<T>(cx.types(), ty, 0);
        T::store_slice(self, cx, element, at)
    }

    #[inline]
    fn store_flat(&self, to: &mut [u8]) {
        let size = (T::LAYOUT.size32 as usize).max(1);
        for (item, to) in self.iter().zip(to.chunks_exact_mut(size)) {
            item.store_flat(to);
        }
    }
}

impl<T: Lift, const N: usize> Lift for [T; N] {
    fn lift(cx: &mut LiftContext<'_>, ty: InterfaceType, src: &[Lane]) -> Result<[T; N]> {
        let element = part::<T>(cx.types(), ty, 0);
        let mut lanes = LaneReader::new(src);
        let items = (0..N)
            .map(|_| T::lift(cx, element, lanes.next::<T>()?))
            .collect::<Result<Vec<T>>>()?;
        items.try_into().map_err(|_| too_few_lanes())
    }

    fn load(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> Result<[T; N]> {
        let element = part::<T>(cx.types(), ty, 0);
        T::load_slice(cx, element, bytes)?
            .try_into()
            .map_err(|_| too_few_lanes())
    }

    fn load_flat(bytes: &[u8]) -> Result<[T; N]> {
        let size = (T::LAYOUT.size32 as usize).max(1);
        let items = bytes.chunks_exact(size).map(T::load_flat);
        let items = items.collect::<Result<Vec<T>>>()?;
        items.try_into().map_err(|_| too_few_lanes())
    }
}
