//! What the VM knows about the current thread: which store runs, on which stack, and
//! whether the thread can take a trap.
//!
//! ```text
//!   store      *mut VMStoreContext   the innermost store that is in compiled code, or null
//!   low, high  the bounds of the stack that runs: the thread's own, or a fiber's
//!   ready      the alternate signal stack is in place and the bounds are known
//! ```
//!
//! The signal handler reads `store`. It is thread-local, constant-initialised and has
//! no destructor, so reading it is one load, async-signal-safe; the thread that runs
//! compiled code has touched it before. Every access is behind `#[inline(never)]`: the
//! compiler may keep a thread-local's address across a call, and after a fiber switch
//! that address may be another thread's.
//!
//! Not here: the handler (`signals`).
//!
//! # Safety
//!
//! Kernel and libc calls on memory that this file made, or that the local frame owns.

use crate::arch;
use crate::mmap::Reservation;
use helve_base::Result;
use helve_base::vmctx::VMStoreContext;
use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ptr::{null, null_mut};

/// Bytes of a thread's alternate signal stack. The kernel's frame takes up to some
/// 11 KiB where vector registers are wide; our handler takes little, one that we chain
/// to may take more.
const ALTERNATE_BYTES: usize = 64 << 10;

struct Thread {
    store: Cell<*mut VMStoreContext>,
    low: Cell<usize>,
    high: Cell<usize>,
    ready: Cell<bool>,
}

thread_local! {
    static THREAD: Thread = const {
        Thread {
            store: Cell::new(null_mut()),
            low: Cell::new(0),
            high: Cell::new(0),
            ready: Cell::new(false),
        }
    };
    /// The alternate stack this thread owns; its drop disables and unmaps it.
    static ALTERNATE: Cell<Option<Alternate>> = const { Cell::new(None) };
}

/// Makes `store` the current one; the one before, for [`end`]. If nothing of `store` is
/// entered yet, sets its stack limit for the stack that runs.
///
/// # Safety
///
/// `store` is live.
#[inline(never)]
pub(crate) unsafe fn begin(store: *mut VMStoreContext) -> *mut VMStoreContext {
    THREAD.with(|t| {
        if !t.ready.get() {
            prepare(t);
        }
        // SAFETY: by contract.
        unsafe {
            if (*store).activation.is_null() {
                let (guest, host) = ((*store).guest_stack_bytes, (*store).host_stack_bytes);
                (*store).stack_limit = t.stack_limit(arch::stack_pointer(), guest, host);
            }
        }
        t.store.replace(store)
    })
}

/// Undoes [`begin`].
#[inline(never)]
pub(crate) fn end(before: *mut VMStoreContext) {
    THREAD.with(|t| t.store.set(before));
}

/// What a switch of stacks saves, and puts back after it.
pub(crate) struct Saved {
    store: *mut VMStoreContext,
    low: usize,
    high: usize,
}

/// Makes `store` the current one, on a stack with these bounds; what was before.
#[inline(never)]
pub(crate) fn begin_on(store: *mut VMStoreContext, low: usize, high: usize) -> Saved {
    THREAD.with(|t| {
        if !t.ready.get() {
            prepare(t);
        }
        Saved {
            store: t.store.replace(store),
            low: t.low.replace(low),
            high: t.high.replace(high),
        }
    })
}

/// Undoes [`begin_on`].
#[inline(never)]
pub(crate) fn end_on(saved: &Saved) {
    THREAD.with(|t| {
        t.store.set(saved.store);
        t.low.set(saved.low);
        t.high.set(saved.high);
    });
}

impl Thread {
    /// The lowest address that guests entered at `sp` may use: `guest` bytes below, but
    /// at least `host` above the end of the stack.
    fn stack_limit(&self, sp: usize, guest: usize, host: usize) -> usize {
        let (low, high) = (self.low.get(), self.high.get());
        let wanted = sp.saturating_sub(guest);
        if (low..high).contains(&sp) {
            wanted.max(low.saturating_add(host))
        } else {
            // A stack that someone else made, unknown to us: trust the setting.
            wanted
        }
    }
}

/// The store that runs compiled code on this thread, or null. Async-signal-safe.
#[inline(never)]
pub(crate) fn current_store() -> *mut VMStoreContext {
    // `try_with` cannot fail here (no destructor), and cannot panic at all.
    THREAD.try_with(|t| t.store.get()).unwrap_or(null_mut())
}

/// Once per thread: an alternate stack for signals, and the stack's bounds.
#[cold]
fn prepare(t: &Thread) {
    crate::signals::install();
    // Without an alternate stack a trap still works unless the stack is used up, and
    // prologue checks see to that; so go on.
    let _ = Alternate::install();
    if let Some((low, high)) = native_bounds() {
        t.low.set(low);
        t.high.set(high);
    }
    t.ready.set(true);
}

/// The bounds of the thread's own stack, as libc knows them.
fn native_bounds() -> Option<(usize, usize)> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let mut start = null_mut();
    let mut bytes = 0;
    let mut guard = 0;
    // SAFETY: the calls fill what they are given, in this order, and are undone by the
    // last one.
    let known = unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) != 0 {
            return None;
        }
        let known = libc::pthread_attr_getstack(attributes.as_ptr(), &mut start, &mut bytes) == 0
            && libc::pthread_attr_getguardsize(attributes.as_ptr(), &mut guard) == 0;
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        known
    };
    // Some libcs count the guard into the stack, some don't; a page more is no loss.
    let low = start.addr().checked_add(guard)?;
    let high = start.addr().checked_add(bytes)?;
    (known && low < high).then_some((low, high))
}

/// An alternate signal stack of our own.
struct Alternate(Reservation);

impl Alternate {
    /// Installs one, unless the thread has one that is big enough.
    fn install() -> Result<()> {
        let mut old = MaybeUninit::<libc::stack_t>::zeroed();
        // SAFETY: only asks; zeroed is a valid `stack_t`.
        let old = unsafe {
            libc::sigaltstack(null(), old.as_mut_ptr());
            old.assume_init()
        };
        if old.ss_flags & libc::SS_DISABLE == 0 && old.ss_size >= ALTERNATE_BYTES {
            return Ok(());
        }
        // A page is left inaccessible at the low end, as a guard.
        let page = helve_fiber::page_size();
        let space = Reservation::new_top(page, ALTERNATE_BYTES)?;
        let stack = libc::stack_t {
            // SAFETY: within the reservation.
            ss_sp: unsafe { space.base().add(page) }.cast(),
            ss_flags: 0,
            ss_size: ALTERNATE_BYTES,
        };
        // SAFETY: the range is mapped until `Alternate` is dropped, which uninstalls it.
        if unsafe { libc::sigaltstack(&stack, null_mut()) } != 0 {
            return Err(std::io::Error::last_os_error().into());
        }
        let mut alternate = Some(Alternate(space));
        // Where the thread is past its destructors the stack is kept for good.
        if ALTERNATE.try_with(|a| a.set(alternate.take())).is_err() {
            std::mem::forget(alternate);
        }
        Ok(())
    }
}

impl Drop for Alternate {
    fn drop(&mut self) {
        let disable = libc::stack_t {
            ss_sp: null_mut(),
            ss_flags: libc::SS_DISABLE,
            ss_size: ALTERNATE_BYTES,
        };
        let mut old = MaybeUninit::<libc::stack_t>::zeroed();
        // SAFETY: zeroed is a valid `stack_t`. If someone has since installed another
        // one, that is put back.
        unsafe {
            libc::sigaltstack(&disable, old.as_mut_ptr());
            let old = old.assume_init();
            let ours = self.0.base().addr()..self.0.base().addr() + self.0.reserved();
            if old.ss_flags & libc::SS_DISABLE == 0 && !ours.contains(&old.ss_sp.addr()) {
                libc::sigaltstack(&old, null_mut());
            }
        }
        let _ = THREAD.try_with(|t| t.ready.set(false));
    }
}
