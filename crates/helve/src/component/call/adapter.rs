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
use crate::component::call::scope::CallScope;
use crate::component::func::Func;
use crate::component::lift::LiftContext;
use crate::component::lower::LowerContext;
use crate::component::value;
use helve_base::{Bug, Error, Result};

/// Calls `callee` with the caller's lanes, which take the result.
pub(crate) fn call(call: &HostCall<'_>, callee: Func, lanes: &mut [Lane]) -> Result<()> {
    let (callee, lifted) = {
        // SAFETY: see the module; the borrow ends here.
        let store = unsafe { call.instance.store().get() };
        callee.resolve(store)?
    };
    let same_root = std::ptr::eq(callee, call.instance);
    let caller = same_root.then_some(call.options.owner);
    let mut scope = CallScope::default();
    let to = call.result_address(lanes);
    let mut results = None;
    // The scope serves the arguments first and the results later, never both at once.
    let scope_cell = std::cell::RefCell::new(&mut scope);
    let args: &[Lane] = lanes;
    lifted.call(
        callee,
        caller,
        |cx, dst| {
            let mut scope = scope_cell.try_borrow_mut().map_err(|_| busy())?;
            let vals =
                value::lift_passed(&mut call.lifting(&mut scope), &call.programs.params, args)?;
            value::lower_passed(cx, &lifted.programs.params, &vals, dst)
        },
        |cx: &mut LiftContext<'_>, src| {
            let vals = value::lift_passed(cx, &lifted.programs.result, src)?;
            let mut scope = scope_cell.try_borrow_mut().map_err(|_| busy())?;
            let mut into = LowerContext::new(call.options, call.instance, &mut scope);
            let mut lanes = [Lane::ZERO; 1];
            let flat = call.programs.signature.results.len();
            value::lower_result(&mut into, &call.programs.result, &vals, to, &mut lanes)?;
            results = lanes.first().copied().filter(|_| flat > 0);
            Ok(())
        },
    )?;
    if let (Some(result), Some(lane)) = (results, lanes.first_mut()) {
        *lane = result;
    }
    call.instance.end_loans(call.options.owner, &mut scope)
}

#[cold]
fn busy() -> Error {
    Error::new(Bug("a call's loans are in use".into()))
}
