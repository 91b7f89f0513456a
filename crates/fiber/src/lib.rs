//! Stacks and switching between them: the one place that knows how a fiber works.
//!
//! ```text
//!   StackPool --take--> PooledStack --Fiber::new--> Fiber --resume--> runs `Entry`
//!       ^                    |                        ^  |
//!       +------- drop -------+                        |  v
//!                                                     +--Suspender::suspend
//! ```
//!
//! A fiber's suspended frames are generated code and one switch shim, nothing with a
//! destructor. So dropping a suspended [`Fiber`] only takes its stack back: nothing is
//! unwound, and a suspended fiber may move to another thread.
//!
//! Not here: what runs on a fiber, and which state of a store is saved at each switch
//! (`helve_vm::fibers`).

#![warn(missing_docs)]

mod fiber;
mod pool;
mod stack;

pub use fiber::{Entry, Fiber, Step, Suspender};
pub use pool::{PoolConfig, PooledStack, StackPool};
pub use stack::{RECORD_BYTES, Stack};

/// The system's page size, in bytes.
///
/// By the C library: what asks the kernel's own table of a process finds addresses there
/// that do not exist in a process that runs under Valgrind.
#[inline]
pub fn page_size() -> usize {
    static SIZE: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    match SIZE.load(std::sync::atomic::Ordering::Relaxed) {
        0 => {
            // SAFETY: it only answers.
            let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
            let size = usize::try_from(size).unwrap_or(4096);
            SIZE.store(size, std::sync::atomic::Ordering::Relaxed);
            size
        }
        size => size,
    }
}
