//! Hardware faults of compiled code become traps; all others go where they went before.
//!
//! ```text
//!   SIGSEGV SIGBUS SIGILL SIGFPE
//!      |
//!      | sent by the machine, a store is entered, pc is in published code, at a trap?
//!      |-- yes: note trap, pc, fp, address in the innermost activation;
//!      |        go on in `trap_landing` (arch), off the signal stack
//!      +-- no: the handler that was there before, or its default
//! ```
//!
//! The handler allocates nothing, takes no lock and calls nothing that may: the pc is
//! looked up in a lock-free table (`registry`), the store is one thread-local load.
//!
//! Not here: the alternate stack (`thread`), what happens after landing (`traps`).
//!
//! # Safety
//!
//! The handler changes the interrupted context only where the interrupted pc is one of
//! our traps: then the thread is in compiled code, whose state is consistent there, and
//! the activation that it finds is that code's own.

use crate::arch::Registers;
use crate::registry;
use crate::thread;
use crate::traps::{Activation, Fault};
use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr::null_mut;
use std::sync::Once;

/// The signals that machine code can raise.
const SIGNALS: [i32; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];

/// The handlers that were there before, in the order of `SIGNALS`; written once, before
/// our handler is installed.
struct Previous(UnsafeCell<[MaybeUninit<libc::sigaction>; SIGNALS.len()]>);

// SAFETY: written under `Once` before any reader (the handler) is installed.
unsafe impl Sync for Previous {}

static PREVIOUS: Previous = Previous(UnsafeCell::new(
    [const { MaybeUninit::zeroed() }; SIGNALS.len()],
));

/// Installs the handlers, once per process. Entering compiled code does this; call it
/// earlier to fix the order among several runtimes' handlers.
pub fn install() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        for (i, signal) in SIGNALS.into_iter().enumerate() {
            // SAFETY: `Once` makes us the only writer, and no handler of ours is
            // installed for this signal yet. All pointers are to valid `sigaction`s.
            // Neither call fails for these signals.
            unsafe {
                let slot = (&raw mut (*PREVIOUS.0.get())[i]).cast::<libc::sigaction>();
                libc::sigaction(signal, std::ptr::null(), slot);
                let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
                action.sa_sigaction = handle as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                libc::sigemptyset(&raw mut action.sa_mask);
                libc::sigaction(signal, &action, null_mut());
            }
        }
    });
}

/// The handler.
unsafe extern "C" fn handle(signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes valid pointers.
    unsafe {
        if !trap(signal, &*info, &mut *context.cast()) {
            chain(signal, info, context);
        }
    }
}

/// Makes the fault a trap, if it is one of compiled code.
///
/// # Safety
///
/// Called by the handler with what it got.
unsafe fn trap(signal: i32, info: &libc::siginfo_t, context: &mut libc::ucontext_t) -> bool {
    // Codes that are not positive: some process sent it.
    if info.si_code <= 0 {
        return false;
    }
    let store = thread::current_store();
    if store.is_null() {
        return false;
    }
    // SAFETY: a current store is live.
    let activation = unsafe { Activation::innermost(store) };
    if activation.is_null() {
        return false;
    }
    let mut registers = Registers::new(context);
    let (pc, fp) = (registers.pc(), registers.fp());
    let Some(trap) = registry::trap_at(pc) else {
        return false;
    };
    let address = match signal {
        // SAFETY: these signals carry an address.
        libc::SIGSEGV | libc::SIGBUS => Some(unsafe { info.si_addr() }.addr()),
        _ => None,
    };
    // SAFETY: compiled code runs, so nobody else uses its activation.
    unsafe {
        (*activation).fault = Some(Fault {
            trap,
            pc,
            fp,
            address,
        })
    };
    registers.land(store);
    true
}

/// Does what would have been done without us.
///
/// # Safety
///
/// Called by the handler with what it got.
unsafe fn chain(signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    let Some(i) = SIGNALS.iter().position(|&s| s == signal) else {
        return;
    };
    // SAFETY: written before the handler was installed; the casts are to the types that
    // the flags say.
    unsafe {
        let previous = (*PREVIOUS.0.get())[i].assume_init_ref();
        let handler = previous.sa_sigaction;
        let sent = (*info).si_code <= 0;
        if handler == libc::SIG_IGN && sent {
            return;
        }
        if handler == libc::SIG_DFL || handler == libc::SIG_IGN {
            // Returning runs the faulting instruction again, now with the default
            // action; a signal that was sent is sent again.
            let mut default: libc::sigaction = MaybeUninit::zeroed().assume_init();
            default.sa_sigaction = libc::SIG_DFL;
            libc::sigaction(signal, &default, null_mut());
            if sent {
                libc::raise(signal);
            }
        } else if previous.sa_flags & libc::SA_SIGINFO != 0 {
            let handler: unsafe extern "C" fn(i32, *mut libc::siginfo_t, *mut c_void) =
                std::mem::transmute(handler);
            handler(signal, info, context);
        } else {
            let handler: unsafe extern "C" fn(i32) = std::mem::transmute(handler);
            handler(signal);
        }
    }
}
