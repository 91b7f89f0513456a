//! `Option`, `Result`, and pointers to a value, which are the value.
//!
//! Not here: variants of embedders (derives).

use super::*;
use helve_base::{Result as Fallible, error::Context};
use std::sync::Arc;

impl<T: ComponentType> ComponentType for Option<T> {
    const LAYOUT: Layout = option_layout::<T>().layout;
    const NEEDS_TYPE: bool = T::NEEDS_TYPE;

    fn typecheck(ty: InterfaceType, cx: &TypeCheck<'_>) -> Fallible<()> {
        let InterfaceType::Option(id) = ty else {
            return Err(cx.mismatch_type("option", ty));
        };
        T::typecheck(cx.types()[id].some, cx).context("in an option")
    }
}

const fn option_layout<T: ComponentType>() -> VariantLayout {
    VariantLayout::new(&[None, Some(T::LAYOUT)])
}

impl<T: Lower> Lower for Option<T> {
    fn lower(
        &self,
        cx: &mut LowerContext<'_>,
        ty: InterfaceType,
        dst: &mut [Lane],
    ) -> Fallible<()> {
        let payload = payload_lanes::<T>(dst)?;
        if let Some(value) = self {
            let some = part::<T>(cx.types(), ty, 1);
            value.lower(cx, some, payload)?;
        }
        set_lane(dst, Lane::from_u32(self.is_some().into()))
    }

    fn store(&self, cx: &mut LowerContext<'_>, ty: InterfaceType, at: usize) -> Fallible<()> {
        cx.put(at, &[self.is_some().into()])?;
        match self {
            Some(value) => {
                let some = part::<T>(cx.types(), ty, 1);
                value.store(
                    cx,
                    some,
                    at + const { option_layout::<T>() }.payload(cx.width()) as usize,
                )
            }
            None => Ok(()),
        }
    }
}

impl<T: Lift> Lift for Option<T> {
    fn lift(cx: &mut LiftContext<'_>, ty: InterfaceType, src: &[Lane]) -> Fallible<Option<T>> {
        match get_lane(src)?.u32() {
            0 => Ok(None),
            1 => {
                let some = part::<T>(cx.types(), ty, 1);
                T::lift(cx, some, payload_of::<T>(src)?).map(Some)
            }
            other => Err(invalid_discriminant(other, 2)),
        }
    }

    fn load(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> Fallible<Option<T>> {
        match cx.discriminant(bytes, 1)? {
            0 => Ok(None),
            1 => {
                let some = part::<T>(cx.types(), ty, 1);
                let at = const { option_layout::<T>() }.payload(cx.width()) as usize;
                T::load(cx, some, sub_slice::<T>(bytes, at, cx.width())?).map(Some)
            }
            other => Err(invalid_discriminant(other, 2)),
        }
    }
}

impl<T: ComponentType, E: ComponentType> ComponentType for Result<T, E> {
    const LAYOUT: Layout = result_layout::<T, E>().layout;
    const NEEDS_TYPE: bool = T::NEEDS_TYPE || E::NEEDS_TYPE;

    fn typecheck(ty: InterfaceType, cx: &TypeCheck<'_>) -> Fallible<()> {
        let InterfaceType::Result(id) = ty else {
            return Err(cx.mismatch_type("result", ty));
        };
        let found = cx.types()[id];
        T::typecheck_optional(found.ok, cx).context("in a result's ok")?;
        E::typecheck_optional(found.err, cx).context("in a result's error")
    }
}

const fn result_layout<T: ComponentType, E: ComponentType>() -> VariantLayout {
    VariantLayout::new(&[Some(T::LAYOUT), Some(E::LAYOUT)])
}

impl<T: Lower, E: Lower> Lower for Result<T, E> {
    fn lower(
        &self,
        cx: &mut LowerContext<'_>,
        ty: InterfaceType,
        dst: &mut [Lane],
    ) -> Fallible<()> {
        match self {
            Ok(value) => {
                let ok = part::<T>(cx.types(), ty, 0);
                value.lower(cx, ok, payload_lanes::<T>(dst)?)?;
            }
            Err(value) => {
                let err = part::<E>(cx.types(), ty, 1);
                value.lower(cx, err, payload_lanes::<E>(dst)?)?;
            }
        }
        set_lane(dst, Lane::from_u32(self.is_err().into()))
    }

    fn store(&self, cx: &mut LowerContext<'_>, ty: InterfaceType, at: usize) -> Fallible<()> {
        cx.put(at, &[self.is_err().into()])?;
        let payload = at + const { result_layout::<T, E>() }.payload(cx.width()) as usize;
        match self {
            Ok(value) => {
                let ok = part::<T>(cx.types(), ty, 0);
                value.store(cx, ok, payload)
            }
            Err(value) => {
                let err = part::<E>(cx.types(), ty, 1);
                value.store(cx, err, payload)
            }
        }
    }
}

impl<T: Lift, E: Lift> Lift for Result<T, E> {
    fn lift(cx: &mut LiftContext<'_>, ty: InterfaceType, src: &[Lane]) -> Fallible<Result<T, E>> {
        match get_lane(src)?.u32() {
            0 => {
                let ok = part::<T>(cx.types(), ty, 0);
                T::lift(cx, ok, payload_of::<T>(src)?).map(Ok)
            }
            1 => {
                let err = part::<E>(cx.types(), ty, 1);
                E::lift(cx, err, payload_of::<E>(src)?).map(Err)
            }
            other => Err(invalid_discriminant(other, 2)),
        }
    }

    fn load(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> Fallible<Result<T, E>> {
        let payload = const { result_layout::<T, E>() }.payload(cx.width()) as usize;
        match cx.discriminant(bytes, 1)? {
            0 => {
                let ok = part::<T>(cx.types(), ty, 0);
                T::load(cx, ok, sub_slice::<T>(bytes, payload, cx.width())?).map(Ok)
            }
            1 => {
                let err = part::<E>(cx.types(), ty, 1);
                E::load(cx, err, sub_slice::<E>(bytes, payload, cx.width())?).map(Err)
            }
            other => Err(invalid_discriminant(other, 2)),
        }
    }
}

impl<T: ComponentType + ?Sized> ComponentType for &T {
    const LAYOUT: Layout = T::LAYOUT;
    const NEEDS_TYPE: bool = T::NEEDS_TYPE;

    fn typecheck(ty: InterfaceType, cx: &TypeCheck<'_>) -> Fallible<()> {
        T::typecheck(ty, cx)
    }
}

impl<T: Lower + ?Sized> Lower for &T {
    fn lower(
        &self,
        cx: &mut LowerContext<'_>,
        ty: InterfaceType,
        dst: &mut [Lane],
    ) -> Fallible<()> {
        T::lower(self, cx, ty, dst)
    }

    fn store(&self, cx: &mut LowerContext<'_>, ty: InterfaceType, at: usize) -> Fallible<()> {
        T::store(self, cx, ty, at)
    }
}

macro_rules! owners {
    ($($owner:ident),*) => {$(
        impl<T: ComponentType> ComponentType for $owner<T> {
            const LAYOUT: Layout = T::LAYOUT;
            const NEEDS_TYPE: bool = T::NEEDS_TYPE;

            fn typecheck(ty: InterfaceType, cx: &TypeCheck<'_>) -> Fallible<()> {
                T::typecheck(ty, cx)
            }
        }

        impl<T: Lower> Lower for $owner<T> {
            fn lower(&self, cx: &mut LowerContext<'_>, ty: InterfaceType, dst: &mut [Lane]) -> Fallible<()> {
                T::lower(self, cx, ty, dst)
            }

            fn store(&self, cx: &mut LowerContext<'_>, ty: InterfaceType, at: usize) -> Fallible<()> {
                T::store(self, cx, ty, at)
            }
        }

        impl<T: Lift> Lift for $owner<T> {
            fn lift(cx: &mut LiftContext<'_>, ty: InterfaceType, src: &[Lane]) -> Fallible<$owner<T>> {
                T::lift(cx, ty, src).map($owner::new)
            }

            fn load(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> Fallible<$owner<T>> {
                T::load(cx, ty, bytes).map($owner::new)
            }
        }
    )*};
}

owners!(Box, Arc);
