//! Tuples of up to 24, which are also the parameter and result lists of functions.
//!
//! `()` is no component type: it stands for "nothing", where a payload or a result may
//! be missing. Not here: records (derives).

use super::*;
use helve_base::{Result, bail, error::Context};

impl ComponentType for () {
    const LAYOUT: Layout = Layout::record(&[]);

    fn typecheck(ty: InterfaceType, cx: &TypeCheck<'_>) -> Result<()> {
        Err(cx.mismatch_type("nothing", ty))
    }

    fn typecheck_optional(ty: Option<InterfaceType>, cx: &TypeCheck<'_>) -> Result<()> {
        ty.map_or(Ok(()), |ty| Self::typecheck(ty, cx))
    }
}

impl Lower for () {
    fn lower(&self, _: &mut LowerContext<'_>, _: InterfaceType, _: &mut [Lane]) -> Result<()> {
        Ok(())
    }

    fn store(&self, _: &mut LowerContext<'_>, _: InterfaceType, _: usize) -> Result<()> {
        Ok(())
    }
}

impl Lift for () {
    fn lift(_: &mut LiftContext<'_>, _: InterfaceType, _: &[Lane]) -> Result<()> {
        Ok(())
    }

    fn load(_: &mut LiftContext<'_>, _: InterfaceType, _: &[u8]) -> Result<()> {
        Ok(())
    }
}

impl ComponentNamedList for () {
    fn typecheck_params(params: &[(Box<str>, InterfaceType)], cx: &TypeCheck<'_>) -> Result<()> {
        check_params(&[], params, cx)
    }

    fn typecheck_result(result: Option<InterfaceType>, cx: &TypeCheck<'_>) -> Result<()> {
        Self::typecheck_optional(result, cx)
    }
}

/// That a function has these parameters.
fn check_params(
    expected: &[CheckFn],
    params: &[(Box<str>, InterfaceType)],
    cx: &TypeCheck<'_>,
) -> Result<()> {
    if expected.len() != params.len() {
        return Err(cx.mismatch(
            format_args!("{} parameters", expected.len()),
            format_args!("{} parameters", params.len()),
        ));
    }
    for (check, (name, ty)) in expected.iter().zip(params) {
        check(*ty, cx).with_context(|| format!("in parameter `{name}`"))?;
    }
    Ok(())
}

macro_rules! tuples {
    ($($n:literal: $($name:ident $i:tt),+;)*) => {$(
        impl<$($name: ComponentType),+> ComponentType for ($($name,)+) {
            const LAYOUT: Layout = Layout::record(&[$($name::LAYOUT),+]);
            const NEEDS_TYPE: bool = false $(|| $name::NEEDS_TYPE)+;
            const FLAT: bool = true $(&& $name::FLAT)+;

            fn typecheck(ty: InterfaceType, cx: &TypeCheck<'_>) -> Result<()> {
                cx.tuple(ty, &[$($name::typecheck),+])
            }
        }

        impl<$($name: Lower),+> Lower for ($($name,)+) {
            #[inline]
            fn lower(&self, cx: &mut LowerContext<'_>, ty: InterfaceType, dst: &mut [Lane]) -> Result<()> {
                let mut lanes = LaneCursor::new(dst);
                $(
                    let field = part::<$name>(cx.types(), ty, $i);
                    self.$i.lower(cx, field, lanes.next::<$name>()?)?;
                )+
                Ok(())
            }

            #[inline]
            fn store(&self, cx: &mut LowerContext<'_>, ty: InterfaceType, at: usize) -> Result<()> {
                let mut fields = FieldCursor::new();
                $(
                    let field = part::<$name>(cx.types(), ty, $i);
                    self.$i.store(cx, field, at + fields.next::<$name>(cx.width()))?;
                )+
                Ok(())
            }

            #[inline]
            fn store_flat(&self, to: &mut [u8]) {
                let mut fields = FieldCursor::new();
                $(self.$i.store_flat(flat_field::<$name>(&mut fields, to));)+
            }

            tuples!(@lower_result $($name)+);
        }

        impl<$($name: Lift),+> Lift for ($($name,)+) {
            #[inline]
            fn lift(cx: &mut LiftContext<'_>, ty: InterfaceType, src: &[Lane]) -> Result<Self> {
                let mut lanes = LaneReader::new(src);
                Ok(($({
                    let field = part::<$name>(cx.types(), ty, $i);
                    $name::lift(cx, field, lanes.next::<$name>()?)?
                },)+))
            }

            #[inline]
            fn load(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> Result<Self> {
                let mut fields = FieldCursor::new();
                Ok(($({
                    let field = part::<$name>(cx.types(), ty, $i);
                    $name::load(cx, field, fields.bytes::<$name>(cx.width(), bytes)?)?
                },)+))
            }

            #[inline]
            fn load_flat(bytes: &[u8]) -> Result<Self> {
                let mut fields = FieldCursor::new();
                Ok(($($name::load_flat(flat_part::<$name>(&mut fields, bytes))?,)+))
            }

            tuples!(@lift_result $($name)+);
        }

        impl<$($name: ComponentType),+> ComponentNamedList for ($($name,)+) {
            fn typecheck_params(params: &[(Box<str>, InterfaceType)], cx: &TypeCheck<'_>) -> Result<()> {
                check_params(&[$($name::typecheck),+], params, cx)
            }

            tuples!(@typecheck_result $n $($name)+);
        }
    )*};
    // A list of one result is that result.
    (@lower_result $name:ident) => {
        #[inline]
        fn lower_result(&self, cx: &mut LowerContext<'_>, ty: Option<InterfaceType>, dst: &mut [Lane]) -> Result<()> {
            self.0.lower(cx, ty.unwrap_or(InterfaceType::Bool), dst)
        }

        #[inline]
        fn store_result(&self, cx: &mut LowerContext<'_>, ty: Option<InterfaceType>, at: usize) -> Result<()> {
            self.0.store(cx, ty.unwrap_or(InterfaceType::Bool), at)
        }
    };
    (@lift_result $name:ident) => {
        #[inline]
        fn lift_result(cx: &mut LiftContext<'_>, ty: Option<InterfaceType>, src: &[Lane]) -> Result<Self> {
            Ok(($name::lift(cx, ty.unwrap_or(InterfaceType::Bool), src)?,))
        }

        #[inline]
        fn load_result(cx: &mut LiftContext<'_>, ty: Option<InterfaceType>, bytes: &[u8]) -> Result<Self> {
            Ok(($name::load(cx, ty.unwrap_or(InterfaceType::Bool), bytes)?,))
        }
    };
    (@typecheck_result $n:literal $name:ident) => {
        fn typecheck_result(result: Option<InterfaceType>, cx: &TypeCheck<'_>) -> Result<()> {
            $name::typecheck_optional(result, cx).context("in the result")
        }
    };
    (@$list:ident $name:ident $($more:ident)+) => {};
    (@typecheck_result $n:literal $($name:ident)+) => {
        fn typecheck_result(_: Option<InterfaceType>, _: &TypeCheck<'_>) -> Result<()> {
            bail!("a function has at most one result, the host has {} (a tuple as one result is `((A, B),)`)", $n)
        }
    };
}

tuples! {
    1: A0 0;
    2: A0 0, A1 1;
    3: A0 0, A1 1, A2 2;
    4: A0 0, A1 1, A2 2, A3 3;
    5: A0 0, A1 1, A2 2, A3 3, A4 4;
    6: A0 0, A1 1, A2 2, A3 3, A4 4, A5 5;
    7: A0 0, A1 1, A2 2, A3 3, A4 4, A5 5, A6 6;
    8: A0 0, A1 1, A2 2, A3 3, A4 4, A5 5, A6 6, A7 7;
    9: A0 0, A1 1, A2 2, A3 3, A4 4, A5 5, A6 6, A7 7, A8 8;
    10: A0 0, A1 1, A2 2, A3 3, A4 4, A5 5, A6 6, A7 7, A8 8, A9 9;
    11: A0 0, A1 1, A2 2, A3 3, A4 4, A5 5, A6 6, A7 7, A8 8, A9 9, A10 10;
    12: A0 0, A1 1, A2 2, A3 3, A4 4, A5 5, A6 6, A7 7, A8 8, A9 9, A10 10, A11 11;
    13: A0 0, A1 1, A2 2, A3 3, A4 4, A5 5, A6 6, A7 7, A8 8, A9 9, A10 10, A11 11, A12 12;
    14: A0 0, A1 1, A2 2, A3 3, A4 4, A5 5, A6 6, A7 7, A8 8, A9 9, A10 10, A11 11, A12 12, A13 13;
    15: A0 0, A1 1, A2 2, A3 3, A4 4, A5 5, A6 6, A7 7, A8 8, A9 9, A10 10, A11 11, A12 12, A13 13, A14 14;
    16: A0 0, A1 1, A2 2, A3 3, A4 4, A5 5, A6 6, A7 7, A8 8, A9 9, A10 10, A11 11, A12 12, A13 13, A14 14, A15 15;
    17: A0 0, A1 1, A2 2, A3 3, A4 4, A5 5, A6 6, A7 7, A8 8, A9 9, A10 10, A11 11, A12 12, A13 13, A14 14, A15 15, A16 16;
    18: A0 0, A1 1, A2 2, A3 3, A4 4, A5 5, A6 6, A7 7, A8 8, A9 9, A10 10, A11 11, A12 12, A13 13, A14 14, A15 15, A16 16, A17 17;
    19: A0 0, A1 1, A2 2, A3 3, A4 4, A5 5, A6 6, A7 7, A8 8, A9 9, A10 10, A11 11, A12 12, A13 13, A14 14, A15 15, A16 16, A17 17, A18 18;
    20: A0 0, A1 1, A2 2, A3 3, A4 4, A5 5, A6 6, A7 7, A8 8, A9 9, A10 10, A11 11, A12 12, A13 13, A14 14, A15 15, A16 16, A17 17, A18 18, A19 19;
    21: A0 0, A1 1, A2 2, A3 3, A4 4, A5 5, A6 6, A7 7, A8 8, A9 9, A10 10, A11 11, A12 12, A13 13, A14 14, A15 15, A16 16, A17 17, A18 18, A19 19, A20 20;
    22: A0 0, A1 1, A2 2, A3 3, A4 4, A5 5, A6 6, A7 7, A8 8, A9 9, A10 10, A11 11, A12 12, A13 13, A14 14, A15 15, A16 16, A17 17, A18 18, A19 19, A20 20, A21 21;
    23: A0 0, A1 1, A2 2, A3 3, A4 4, A5 5, A6 6, A7 7, A8 8, A9 9, A10 10, A11 11, A12 12, A13 13, A14 14, A15 15, A16 16, A17 17, A18 18, A19 19, A20 20, A21 21, A22 22;
    24: A0 0, A1 1, A2 2, A3 3, A4 4, A5 5, A6 6, A7 7, A8 8, A9 9, A10 10, A11 11, A12 12, A13 13, A14 14, A15 15, A16 16, A17 17, A18 18, A19 19, A20 20, A21 21, A22 22, A23 23;
}
