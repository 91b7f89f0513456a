//! `error-context` as a Rust type.

use super::*;
use crate::component::drive::error_context::ErrorContext;
use helve_base::Result;

impl ComponentType for ErrorContext {
    const LAYOUT: Layout = Layout::BYTES4;

    fn typecheck(ty: InterfaceType, cx: &TypeCheck<'_>) -> Result<()> {
        cx.scalar(ty, InterfaceType::ErrorContext)
    }
}

impl Lower for ErrorContext {
    fn lower(&self, cx: &mut LowerContext<'_>, _: InterfaceType, dst: &mut [Lane]) -> Result<()> {
        let index = ErrorContext::lower(self, cx.instance, cx.options.owner)?;
        set_lane(dst, Lane::from_u32(index))
    }

    fn store(&self, cx: &mut LowerContext<'_>, _: InterfaceType, at: usize) -> Result<()> {
        let index = ErrorContext::lower(self, cx.instance, cx.options.owner)?;
        cx.put(at, &index.to_le_bytes())
    }
}

impl Lift for ErrorContext {
    fn lift(cx: &mut LiftContext<'_>, _: InterfaceType, src: &[Lane]) -> Result<ErrorContext> {
        let index = get_lane(src)?.u32();
        ErrorContext::lift(cx.instance, cx.options.owner, index)
    }

    fn load(cx: &mut LiftContext<'_>, _: InterfaceType, bytes: &[u8]) -> Result<ErrorContext> {
        let index = cx.discriminant(bytes, 4)?;
        ErrorContext::lift(cx.instance, cx.options.owner, index)
    }
}
