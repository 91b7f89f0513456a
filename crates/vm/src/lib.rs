//! What compiled code runs on: memories, tables, instances, code memory, and the ways
//! in and out of compiled code (entering, trapping, suspending).
//!
//! It knows `helve-base` (layouts, built-in rows, traps) and `helve-fiber`, nothing
//! else: neither the compiler nor what a component is.
//!
//! ```text
//!   embedder --traps::enter--> entry trampoline --> compiled code
//!                 ^                                  |        |
//!                 |  Builtin::Raise, signals         |        +--> builtins
//!                 +----------------------------------+--> host trampoline
//!                                                             |
//!                                             traps::host_call in a `HostCall`
//! ```

#![warn(missing_docs)]

mod arch;
pub mod backtrace;
pub mod builtins;
pub mod code;
pub mod cpu_time;
mod dirty;
pub mod exception;
mod executable;
pub mod fibers;
pub mod global;
pub mod image;
pub mod instance;
pub mod interrupt;
pub mod late;
pub mod lazy;
mod limiter;
pub mod memory;
mod mmap;
pub mod pages;
pub mod pool;
pub mod profile;
pub mod region;
mod registry;
pub mod shared_memory;
pub mod signals;
pub mod table;
mod thread;
pub mod traps;

pub use limiter::Limiter;
