//! Guests that have run for long: their fuel is used up, or the epoch's deadline is past.
//!
//! ```text
//!   compiled code --> arch::out_of_fuel, arch::epoch_passed   (note the calling frame)
//!                        --> interrupted: asks the embedder's hook
//!                              Continue  0: goes on
//!                              Yield     the fiber is suspended, then 0; where there is no
//!                                        fiber to suspend: goes on
//!                              Trap      1: compiled code traps
//!                              Fail      recorded, then 1: the activation ends with it
//! ```
//!
//! Compiled code asks between two instructions only, so nothing is half done. Not here:
//! when it asks (the compiler), what the embedder decides by.
//!
//! # Safety
//!
//! `interrupted` owns nothing when it suspends: see `fibers`.

use crate::backtrace;
use crate::fibers::suspend;
use crate::traps::{Activation, Exit, record};
use helve_base::Error;
use helve_base::builtin::status;
use helve_base::vmctx::VMStoreContext;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Why a guest asks whether it may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// `VMStoreContext.fuel` is below 0.
    Fuel,
    /// The epoch has reached `VMStoreContext.epoch_deadline`.
    Epoch,
}

/// What becomes of a guest that has run for long.
#[derive(Debug)]
pub enum Decision {
    /// It goes on: it has more fuel, or a later deadline.
    Continue,
    /// It goes on once it is resumed. Only where it runs on a fiber; see [`can_yield`].
    Yield,
    /// It traps.
    Trap,
    /// It ends as if a host function had failed.
    Fail(Error),
}

/// Decides; must be the embedder's [`Hook`], in `VMStoreContext.interrupts`.
pub type Hook = unsafe fn(*mut VMStoreContext, Reason) -> Decision;

/// The hook as `VMStoreContext.interrupts` holds it.
pub fn hook(hook: Hook) -> *mut u8 {
    hook as *mut u8
}

/// Whether the guest that runs could be suspended now.
///
/// # Safety
///
/// `store` is live and on this thread.
pub unsafe fn can_yield(store: *const VMStoreContext) -> bool {
    // SAFETY: by contract; an activation lives while it is linked.
    unsafe {
        let activation = Activation::innermost(store);
        !activation.is_null() && !(*activation).fiber.is_null()
    }
}

/// Nothing more is to be done: the guest goes on. Or it traps, or is suspended first.
const GOES_ON: u32 = 0;
const TRAPS: u32 = 1;
const YIELDS: u32 = 2;

/// Asks the hook: 0 where the guest goes on, else compiled code traps.
///
/// # Safety
///
/// Called by way of `arch::out_of_fuel` and `arch::epoch_passed` only.
pub(crate) unsafe extern "C" fn interrupted(store: *mut VMStoreContext, fuel: u32) -> u32 {
    // SAFETY: compiled code of the store runs, and its frame is on record.
    unsafe {
        let decision = ask(
            store,
            if fuel != 0 {
                Reason::Fuel
            } else {
                Reason::Epoch
            },
        );
        if decision == YIELDS {
            // Its status is 0 where the embedder lets the guest go on.
            return suspend(store.cast());
        }
        decision
    }
}

const _: () = assert!(status::RETURNED == GOES_ON);

/// # Safety
///
/// As for [`interrupted`].
unsafe fn ask(store: *mut VMStoreContext, reason: Reason) -> u32 {
    // SAFETY: by contract; the field holds a `Hook` or null, which is no hook.
    let hook: Option<Hook> = unsafe { std::mem::transmute((*store).interrupts) };
    let Some(hook) = hook else {
        return TRAPS;
    };
    // SAFETY: it is this store's.
    let decision = catch_unwind(AssertUnwindSafe(|| unsafe { hook(store, reason) }));
    let exit = match decision {
        Ok(Decision::Continue) => return GOES_ON,
        Ok(Decision::Trap) => return TRAPS,
        // SAFETY: by contract.
        Ok(Decision::Yield) if unsafe { can_yield(store) } => return YIELDS,
        Ok(Decision::Yield) => return GOES_ON,
        // SAFETY: the calling frame is on record.
        Ok(Decision::Fail(error)) => Exit::Host(error, unsafe { backtrace::capture(store) }),
        Err(panic) => Exit::Panic(panic),
    };
    // SAFETY: compiled code runs, so there is an activation.
    unsafe { record(store, exit) };
    TRAPS
}
