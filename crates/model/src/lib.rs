//! The handle tables and the concurrency of the WebAssembly Component Model as pure state
//! machines.
//!
//! One table per component instance holds everything a guest has an index for:
//! resources, the ends of streams and futures, subtasks, waitable sets and error
//! contexts; a second one holds its threads. The rules are the Canonical ABI's, and the
//! file names are its nouns. This crate decides; performing (running destructors,
//! copying elements, resuming threads) is for whoever uses it: operations that need the
//! outside return what is to be done. [`Store`] puts them together with tasks, threads and
//! calls: every canonical built-in is one transition of it, whose answer is one [`Effect`].
//!
//! It stands alone: no dependency, no `unsafe`, `no_std` with `alloc`, so that another
//! engine can take it. Slots can live in memory that compiled code shares, through
//! [`Storage`]; [`layout`] says where everything in a slot is.
//!
//! An operation that fails has changed nothing.

#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod audit;
mod canon_lift;
pub mod canon_lower;
mod canon_thread;
mod canon_waitable;
mod choice;
mod component_instance;
pub mod copy_end;
pub mod effect;
pub mod error;
pub mod error_context;
pub mod few;
mod future;
pub mod handles;
mod inspect;
pub mod instance;
pub mod layout;
mod lockdown;
mod park;
pub mod readings;
pub mod resource;
pub mod run_queue;
mod slab;
pub mod store;
mod store_audit;
pub mod stream;
pub mod subtask;
mod tables;
pub mod task;
pub mod thread;
mod trap;
pub mod wait_graph;
pub mod waitable;
pub mod waitable_set;
mod waiting;

pub use canon_lower::FirstWait;
pub use copy_end::{CopyResult, CopyState, Copying, Direction, EndType};
pub use effect::{Caller, Effect, Entry, Returning, Value};
pub use error::{HandleError, Names, Refusal};
pub use handles::{Kind, Slot, Storage, Table, TypeId, VecStorage};
pub use inspect::{HandleState, TaskInfo, ThreadInfo, ThreadState, WaitsFor};
pub use instance::{InstanceError, InstanceId, Instances};
pub use lockdown::Ended;
pub use park::ParkedId;
pub use readings::Readings;
pub use resource::{Dropped, Lent, Loans, ScopeId, Scopes};
pub use run_queue::{Schedule, Told};
pub use store::Store;
pub use stream::{Buffer, CopyJob, CopySides, Shape};
pub use subtask::{Cancelling, SubtaskState};
pub use tables::{Tables, VecTables};
pub use task::{Abi, Callee, TaskId, TaskState};
pub use thread::{ThreadId, Threads};
pub use trap::Trap;
pub use waitable::{Arena, ContextId, Event, EventCode, SetId, WaitableId, Woken};

/// The README's example, so that it stays true.
#[doc = include_str!("../README.md")]
#[cfg(doctest)]
pub struct Readme;
