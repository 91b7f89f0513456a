//! Adapters: calls from one component to another as generated code.
//!
//! ```text
//!  caller's core code --call--> adapter --call--> callee's core code
//!                                 |  checks and sets flags           (adapter)
//!                                 |  walks both sides' programs      (walk, list, string)
//!                                 |  between two places              (place)
//!                                 |  handles by the tables' layout   (handles)
//!                                 +--call--> subprograms: parts too big to repeat   (set)
//! ```
//!
//! One adapter serves every pair of a `canon lower` and a `canon lift` that has the same
//! [`AdapterShape`]; all that differs between such pairs is in the context it is called
//! with (`helve_base::adapter`). Values move straight from the source's memory or core
//! values to the destination's; each buffer's range is checked once.
//!
//! The spec lifts all arguments before it lowers the first one. An adapter lifts and
//! lowers part by part: all that a guest could tell the difference by is which of two
//! traps comes first, because the destination's `realloc` can neither leave its instance
//! nor reach the source's memory.
//!
//! `resource` has the built-ins of resources as generated functions, `task` what calls that
//! are tasks take beside.
//!
//! Not here: who resolves the context's pointers, and the routines that adapters call
//! (helve's component layer); calls whose callee needs a stack of its own (made by the host,
//! which uses `move_params` and `move_result` for them).

mod adapter;
mod emit;
mod handles;
mod list;
mod place;
mod resource;
mod set;
mod shape;
mod string;
mod task;
mod walk;

pub use resource::ResourceBuiltin;
pub use set::CompiledAdapters;
pub use shape::{AdapterShape, ContextSlots, LiftAbi, Piece, SideShape, Tasks};
