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
pub use stack::{RECORD_BYTES, Stack, page_size};
