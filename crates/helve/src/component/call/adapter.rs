//! Calls from one component instance to another, the slow and obvious way.
//!
//! ```text
//!  caller's lanes --lift--> Vec<Val> --lower--> callee's lanes -> callee
//!  caller's lanes <-lower-- Vec<Val> <--lift--- callee's lanes <-
//! ```
//!
//! Generated adapters must do exactly this, faster: this is their twin in tests. A handle
//! passes through the host's table on the way. Not here: which lift meets which lower
//! (`helve_decode::adapter`).
//!
//! # Safety
//!
//! Runs in a host call of the caller's store: nothing else borrows from it.

use crate::component::call::host::HostCall;
use crate::component::call::lane::Lane;
use crate::component::func::Func;
use crate::component::lift::LiftContext;
use crate::component::lower::LowerContext;
use crate::component::span::Span;
use crate::component::value::{self, Vals};
use helve_base::Result;
use std::cell::RefCell;

/// Calls `callee` with the caller's lanes, which take the result.
pub(crate) fn call(call: HostCall<'_>, callee: Func, lanes: &mut [Lane]) -> Result<()> {
    call.with_scope(|call, scope| {
        let (callee, lifted) = {
            // SAFETY: see the module; the borrow ends here.
            let store = unsafe { call.instance.store().get() };
            callee.resolve(store)?
        };
        let same_root = std::ptr::eq(callee, call.instance);
        let caller = same_root.then_some(call.options.owner);
        let to = call.result_address(lanes);
        let programs = &call.shape.programs;
        // Arguments are lifted first and results lowered later: never both at once.
        let scope = RefCell::new(scope);
        let lanes = RefCell::new(lanes);
        let from = &call.instance.part(call.options.owner).path;
        let span = Span::of_guest(lifted.watch.as_deref(), from);
        let lower = |cx: &mut LowerContext<'_>, dst: &mut [Lane]| {
            let mut scope = scope.borrow_mut();
            let mut from = call.lifting(&mut scope);
            let mut vals = Vals::new();
            value::lift_passed(&mut from, &programs.params, &lanes.borrow(), &mut vals)?;
            value::lower_passed(cx, &lifted.shape.programs.params, &vals, dst)
        };
        let lift = |cx: &mut LiftContext<'_>, src: &[Lane]| {
            let mut vals = Vals::new();
            value::lift_passed(cx, &lifted.shape.programs.result, src, &mut vals)?;
            let mut scope = scope.borrow_mut();
            let mut into = LowerContext::new(call.options, call.instance, &mut scope);
            let mut lanes = lanes.borrow_mut();
            value::lower_result(&mut into, &programs.result, &vals, to, &mut lanes)
        };
        span.within(|| lifted.call_unwatched(callee, caller, lower, lift))
    })
}
