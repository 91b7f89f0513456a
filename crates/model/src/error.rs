//! What can be wrong with an index or with what it stands for.
//!
//! Each error carries the index and what was found and asked for, by opaque ids. Names
//! come from [`Names`] when it is shown: [`HandleError::display`]. The official scripts
//! compare the start of these texts.

use crate::copy_end::Direction;
use crate::handles::{Kind, TypeId};
use crate::stream::Shape;
use alloc::string::String;
use core::fmt::{self, Display, Formatter};

/// What messages call things; every answer is optional.
pub trait Names {
    /// A resource type.
    fn resource(&self, _ty: TypeId) -> Option<String> {
        None
    }

    /// Whether the host defines this resource type.
    fn is_host(&self, _ty: TypeId) -> bool {
        false
    }

    /// The type of a stream or future: `stream<u8>`.
    fn payload(&self, _ty: TypeId) -> Option<String> {
        None
    }

    /// The component instance whose table it is.
    fn instance(&self) -> Option<String> {
        None
    }
}

/// No names: ids are shown as numbers.
#[derive(Clone, Copy, Debug)]
pub struct NoNames;

impl Names for NoNames {}

/// A kind of handle and, where it has one, its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The kind.
    pub kind: Kind,
    /// The type of the resource, or of the stream or future.
    pub ty: TypeId,
}

/// Why a handle operation failed. The table is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandleError {
    /// The index is out of range or free.
    Unknown {
        /// The index.
        index: u32,
    },
    /// The index stands for something else.
    Wrong {
        /// The index.
        index: u32,
        /// What was asked for.
        expected: Found,
        /// What was there.
        found: Found,
    },
    /// An operation on waitables met something else.
    NotWaitable {
        /// The index.
        index: u32,
        /// What was there.
        found: Found,
    },
    /// A resource that is lent out was to be dropped or given away.
    Lent {
        /// The index.
        index: u32,
        /// Loans that have not ended.
        lends: u32,
        /// Whether the handle owns the resource.
        own: bool,
    },
    /// A borrowed resource was to be given away.
    NotOwned {
        /// The index.
        index: u32,
    },
    /// What the index stands for is in no state for the operation.
    Refused {
        /// The index; 0 where it has none.
        index: u32,
        /// What stands in the way.
        why: Refusal,
    },
    /// A task ends while it has borrowed handles.
    BorrowsRemain {
        /// How many.
        count: u32,
    },
    /// Every index up to the limit is taken.
    Full {
        /// The highest index.
        limit: u32,
    },
    /// A counter (of loans, of borrows) cannot count further.
    TooMany {
        /// Of what.
        what: &'static str,
    },
    /// The host has no memory for a larger table.
    OutOfMemory,
    /// The user of the table named a borrow scope or loan that does not exist. Not a
    /// guest's fault.
    Misuse {
        /// What does not exist.
        what: &'static str,
    },
}

/// Why an operation is not allowed in the state things are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// A waitable waited for by itself and through a set at once.
    SyncAndSet,
    /// A read or write while one is under way.
    CopyBusy,
    /// A read or write after the last one there can be.
    CopyDone(Shape, Direction),
    /// A buffer of 2^28 elements or more.
    BufferTooLong,
    /// Elements that are no numbers, copied within one instance.
    IntraComponent(Shape),
    /// A cancel where no read or write is under way, or one that was cancelled already.
    NothingToCancel,
    /// An end dropped while a read or write is under way.
    DropBusy(Shape, Direction),
    /// A future's writable end dropped before a value was written.
    DropUnwritten,
    /// An end given away while a read is under way.
    LiftBusy(Shape),
    /// An end given away after the last read there can be.
    LiftDone(Shape),
    /// An end given away while in a waitable set.
    LiftInSet(Shape),
    /// A waitable set dropped while something is in it.
    DropSetWithMembers,
    /// A waitable set dropped while someone waits for it.
    DropSetWithWaiters,
    /// A subtask dropped before its caller knew that it is resolved.
    DropUnresolvedSubtask,
    /// A subtask cancelled after its caller knew that it is resolved.
    CancelDelivered,
    /// A subtask cancelled twice.
    CancelTwice,
}

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        use Direction::{Readable, Writable};
        use Shape::{Future, Stream};
        f.write_str(match self {
            Refusal::SyncAndSet => {
                "waitable cannot be used synchronously while added to a waitable set"
            }
            Refusal::CopyBusy => "cannot have concurrent operations active on a future/stream",
            Refusal::CopyDone(Stream, Readable) => {
                "cannot read from stream after being notified that the writable end dropped"
            }
            Refusal::CopyDone(Stream, Writable) => {
                "cannot write to stream after being notified that the readable end dropped"
            }
            Refusal::CopyDone(Future, Readable) => {
                "cannot read from future after previous read succeeded"
            }
            Refusal::CopyDone(Future, Writable) => {
                "cannot write to future after previous write succeeded or readable end dropped"
            }
            Refusal::BufferTooLong => "cannot copy 2^28 elements or more at once",
            Refusal::IntraComponent(Stream) => {
                "cannot read from and write to intra-component stream"
            }
            Refusal::IntraComponent(Future) => {
                "cannot read from and write to intra-component future"
            }
            Refusal::NothingToCancel => "cannot cancel: no read or write is active",
            Refusal::DropBusy(Stream, Readable) => "cannot remove busy stream",
            Refusal::DropBusy(Stream, Writable) => "cannot drop busy stream",
            Refusal::DropBusy(Future, Readable) => "cannot remove busy future",
            Refusal::DropBusy(Future, Writable) => "cannot drop busy future",
            Refusal::DropUnwritten => "cannot drop future write end without first writing a value",
            Refusal::LiftBusy(Stream) => "cannot remove busy stream",
            Refusal::LiftBusy(Future) => "cannot remove busy future",
            Refusal::LiftDone(Stream) => {
                "cannot lift stream after being notified that the writable end dropped"
            }
            Refusal::LiftDone(Future) => "cannot lift future after previous read succeeded",
            Refusal::LiftInSet(Stream) => "cannot lift stream while it's in a waitable set",
            Refusal::LiftInSet(Future) => "cannot lift future while it's in a waitable set",
            Refusal::DropSetWithMembers => "cannot drop waitable set with waitables in it",
            Refusal::DropSetWithWaiters => "cannot drop waitable set with waiters",
            Refusal::DropUnresolvedSubtask => "cannot drop a subtask which has not yet resolved",
            Refusal::CancelDelivered => "cannot cancel a subtask which has already resolved",
            Refusal::CancelTwice => "cannot cancel a subtask twice",
        })
    }
}

impl HandleError {
    /// The index that it is about, where it is about one.
    pub fn index(&self) -> Option<u32> {
        match *self {
            HandleError::Unknown { index }
            | HandleError::Wrong { index, .. }
            | HandleError::NotWaitable { index, .. }
            | HandleError::Lent { index, .. }
            | HandleError::NotOwned { index }
            | HandleError::Refused { index, .. } => (index != 0).then_some(index),
            _ => None,
        }
    }

    /// The message, with names.
    pub fn display<'a>(&'a self, names: &'a dyn Names) -> DisplayError<'a> {
        DisplayError { error: self, names }
    }
}

impl Display for HandleError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.display(&NoNames).fmt(f)
    }
}

impl core::error::Error for HandleError {}

/// See [`HandleError::display`].
#[derive(Clone, Copy)]
pub struct DisplayError<'a> {
    error: &'a HandleError,
    names: &'a dyn Names,
}

impl DisplayError<'_> {
    /// "guest-defined resource", "readable end of a stream", ...
    fn noun(&self, found: Found) -> &'static str {
        match found.kind {
            Kind::Own | Kind::Borrow if self.names.is_host(found.ty) => "host-defined resource",
            Kind::Own | Kind::Borrow => "guest-defined resource",
            kind => kind.noun(),
        }
    }

    fn name(&self, found: Found) -> Option<String> {
        match found.kind {
            Kind::Own | Kind::Borrow => self.names.resource(found.ty),
            kind if kind.has_payload() => self.names.payload(found.ty),
            _ => None,
        }
    }

    fn wrong(&self, f: &mut Formatter<'_>, index: u32, want: Found, found: Found) -> fmt::Result {
        let (expected, there) = (self.noun(want), self.noun(found));
        write!(
            f,
            "handle index {index} used with the wrong type, expected {expected} but found "
        )?;
        f.write_str(if expected == there {
            "a different "
        } else {
            "a "
        })?;
        f.write_str(there)?;
        match (self.name(want), self.name(found)) {
            (Some(want), Some(found)) => write!(f, " (expected `{want}`, found `{found}`)"),
            (Some(want), None) => write!(f, " (expected `{want}`)"),
            (None, Some(found)) => write!(f, " (found `{found}`)"),
            (None, None) => Ok(()),
        }
    }
}

impl Display for DisplayError<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self.error {
            HandleError::Unknown { index } => write!(f, "unknown handle index {index}")?,
            HandleError::Wrong {
                index,
                expected,
                found,
            } => self.wrong(f, index, expected, found)?,
            HandleError::NotWaitable { index, found } => {
                write!(
                    f,
                    "handle index {index} is not a waitable but a {}",
                    self.noun(found)
                )?;
            }
            HandleError::Lent { index, lends, own } => {
                let what = if own { "owned" } else { "borrowed" };
                write!(
                    f,
                    "cannot remove {what} resource while borrowed (handle index {index}, {lends} \
                     loans)"
                )?;
            }
            HandleError::NotOwned { index } => write!(
                f,
                "cannot give away the resource of handle index {index}: it is only borrowed"
            )?,
            HandleError::Refused { index: 0, why } => write!(f, "{why}")?,
            HandleError::Refused { index, why } => write!(f, "{why} (handle index {index})")?,
            HandleError::BorrowsRemain { count } => {
                write!(
                    f,
                    "borrow handles still remain at the end of the call ({count})"
                )?;
            }
            HandleError::Full { limit } => {
                write!(
                    f,
                    "handle table is full: all indices up to {limit} are in use"
                )?;
            }
            HandleError::TooMany { what } => write!(f, "too many {what}")?,
            HandleError::OutOfMemory => f.write_str("no memory for a larger handle table")?,
            HandleError::Misuse { what } => write!(f, "there is no such {what}")?,
        }
        match self.names.instance() {
            Some(instance) => write!(f, " (in component instance `{instance}`)"),
            None => Ok(()),
        }
    }
}
