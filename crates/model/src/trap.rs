//! Why a built-in or a call traps. The official scripts compare the start of these texts.
//!
//! What is wrong with a handle is `error`'s, with entering and leaving `instance`'s; here
//! is what is wrong with a task or a thread, and the sum of all.

use crate::error::HandleError;
use crate::instance::InstanceError;
use core::fmt::{self, Display, Formatter};

/// A trap, as a value: the whole root tree of the one who did it is to be locked down
/// ([`Store::trap`](crate::Store::trap)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trap {
    /// About a handle.
    Handle(HandleError),
    /// About entering, leaving or holding back an instance.
    Instance(InstanceError),
    /// A function that is not async has no result yet, and none of its instance's threads
    /// can go on.
    BlockSync,
    /// The same, while there are threads that could go on, but not during this call.
    Deadlock,
    /// A callback returned a code that there is not.
    CallbackCode(u32),
    /// `task.return` or `task.cancel` of a function that was lifted synchronously.
    SyncTask,
    /// `task.return` with another type or other options than the task's function has.
    WrongReturn,
    /// A task that is resolved was resolved again.
    Resolved,
    /// `task.cancel` by a task that was not told to cancel.
    NotCancelled,
    /// The last thread of a task ends, and the task is not resolved.
    Unresolved,
    /// A thread that does something was to be resumed.
    NotSuspended {
        /// Its index.
        index: u32,
    },
    /// A buffer of a stream or future that is not all in memory, or not aligned.
    Buffer {
        /// Whether it is aligned.
        aligned: bool,
    },
    /// The user of this crate did what it must not: a bug of the engine.
    Misuse(&'static str),
}

impl From<HandleError> for Trap {
    fn from(error: HandleError) -> Trap {
        Trap::Handle(error)
    }
}

impl From<InstanceError> for Trap {
    fn from(error: InstanceError) -> Trap {
        Trap::Instance(error)
    }
}

impl Display for Trap {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Trap::Handle(error) => error.fmt(f),
            Trap::Instance(error) => error.fmt(f),
            Trap::BlockSync => f.write_str("cannot block a synchronous task before returning"),
            Trap::Deadlock => {
                f.write_str("deadlock detected: event loop cannot make further progress")
            }
            Trap::CallbackCode(code) => write!(f, "unsupported callback code: {code}"),
            Trap::SyncTask => f.write_str(
                "only a task of a function with the `async` option can be resolved by a built-in",
            ),
            Trap::WrongReturn => f.write_str(
                "`task.return` has another result type or other options than the task's function",
            ),
            Trap::Resolved => f.write_str("the task has returned or was cancelled already"),
            Trap::NotCancelled => {
                f.write_str("`task.cancel` by a task that was not asked to cancel")
            }
            Trap::Unresolved => {
                f.write_str("the task's last thread ends without `task.return` or `task.cancel`")
            }
            Trap::NotSuspended { index } => write!(f, "thread {index} is not suspended"),
            Trap::Buffer { aligned: false } => f.write_str("unaligned pointer"),
            Trap::Buffer { aligned: true } => f.write_str("pointer out of bounds of memory"),
            Trap::Misuse(what) => write!(f, "misuse of the model: {what}"),
        }
    }
}

impl core::error::Error for Trap {}
