//! What the two ends of a stream share: who waits there with a buffer, and how a reader
//! and a writer meet.
//!
//! ```text
//!   the other end waits with a buffer that ..      | I bring some room | I bring none
//!   -----------------------------------------------+-------------------+-------------
//!   .. has room left                               | copy the lesser   | I am done
//!   .. is full, or has no length                   | it is done, I     | the same; but a
//!                                                  | wait instead      | write is done
//!   nobody waits: I wait.   The other end is dropped: I am done with DROPPED.
//! ```
//!
//! The one who waited is told of a copy by an event, and its buffer can take part in more
//! copies until that event is delivered. Futures are `future`'s. Not here: the states
//! of the ends (`copy_end`), moving elements (the copy is an effect, [`CopyJob`]).

use crate::handles::TypeId;
use crate::instance::InstanceId;
use crate::waitable::WaitableId;

/// The most elements of one buffer.
pub const MAX_LENGTH: u32 = (1 << 28) - 1;

/// Elements somewhere: in a guest's memory, or the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// What the user finds the elements by: an address.
    pub address: u64,
    /// How many there are.
    pub length: u32,
    /// How many have been read or written.
    pub progress: u32,
}

impl Buffer {
    /// `length` elements, none of them used.
    pub const fn new(address: u64, length: u32) -> Buffer {
        Buffer {
            address,
            length,
            progress: 0,
        }
    }

    /// Elements left.
    #[inline]
    pub const fn remain(&self) -> u32 {
        self.length - self.progress
    }
}

/// A copy to be performed: `count` elements from the buffer of one end to that of the other
/// ([`Arena::copy_sides`](crate::Arena::copy_sides)). Then
/// [`Arena::finish_copy`](crate::Arena::finish_copy).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyJob {
    /// How many elements.
    pub count: u32,
    /// The end that started this copy.
    pub(crate) active: WaitableId,
    /// The end that waited for it.
    pub(crate) waiting: WaitableId,
}

/// Where a copy's elements are, and where they go: from each buffer's progress on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopySides {
    /// The writer's buffer.
    pub from: Buffer,
    /// The writer's instance; `None`: the host.
    pub from_instance: Option<InstanceId>,
    /// The reader's buffer.
    pub to: Buffer,
    /// The reader's instance; `None`: the host.
    pub to_instance: Option<InstanceId>,
}

/// Whether it carries many elements or one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// A stream.
    Stream,
    /// A future.
    Future,
}

/// Who waits with a buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub end: WaitableId,
    pub instance: Option<InstanceId>,
}

/// What two ends share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub shape: Shape,
    pub ty: TypeId,
    /// Whether elements are numbers or nothing: only such may be copied within one
    /// instance, as the spec has it today.
    pub plain: bool,
    /// Whether one end is dropped.
    pub dropped: bool,
    pub pending: Option<Pending>,
    /// An end of the host's that is to be told when the other one is dropped.
    pub watcher: Option<WaitableId>,
    /// Ends alive.
    pub ends: u8,
}

/// What happens when an end comes with a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meeting {
    /// It waits.
    Wait,
    /// It is done, having copied nothing: the other end is dropped.
    Dropped,
    /// It is done, having copied nothing.
    Done,
    /// So many elements are copied between it and the one who waits.
    Copy(u32),
    /// The one who waits is done; it waits instead.
    Replace,
}

/// How an end with buffer `mine` meets the one that waits with `theirs`.
#[inline]
pub(crate) fn meet(mine: &Buffer, theirs: &Buffer, writing: bool) -> Meeting {
    if theirs.remain() > 0 {
        match mine.remain().min(theirs.remain()) {
            0 => Meeting::Done,
            count => Meeting::Copy(count),
        }
    } else if writing && mine.length == 0 && theirs.length == 0 {
        Meeting::Done
    } else {
        Meeting::Replace
    }
}
