//! A stream or future as one record: both its ends, who waits there with a buffer, and how a
//! reader and a writer meet.
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

use crate::copy_end::{CopyEnd, Direction};
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
    /// The end that started this copy; the other one waited for it.
    pub(crate) active: WaitableId,
    /// The active end's buffer.
    pub(crate) buffer: Buffer,
    /// Whose memory that is in; `None`: the host's.
    pub(crate) instance: Option<InstanceId>,
}

impl CopyJob {
    /// The end that started it.
    #[inline(always)]
    pub const fn active(&self) -> WaitableId {
        self.active
    }
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

/// A stream or future: both its ends, and what they share. One record, as small as it can
/// be: only one end at a time waits with a buffer.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    /// Readable, writable.
    ends: [CopyEnd; 2],
    /// Of the end that waits: where its buffer is, how long, and whose memory that is in
    /// (`HOST`: the host's). Its progress is the end's.
    address: u64,
    length: u32,
    instance: u32,
    pub ty: TypeId,
    /// Which end waits.
    pub pending: Option<Direction>,
    /// An end of the host's that is to be told when the other one is dropped.
    pub watcher: Option<Direction>,
    pub shape: Shape,
    /// Whether elements are numbers or nothing: only such may be copied within one
    /// instance, as the spec has it today.
    pub plain: bool,
}

/// No instance has this number.
const HOST: u32 = u32::MAX;

impl Shared {
    #[inline(always)]
    pub fn new(shape: Shape, ty: TypeId, plain: bool) -> Shared {
        Shared {
            ends: [CopyEnd::new(), CopyEnd::new()],
            address: 0,
            length: 0,
            instance: HOST,
            ty,
            pending: None,
            watcher: None,
            shape,
            plain,
        }
    }

    /// An end, while it is there.
    #[inline(always)]
    pub fn end(&self, direction: Direction) -> Option<&CopyEnd> {
        let [readable, writable] = &self.ends;
        let end = match direction {
            Direction::Readable => readable,
            Direction::Writable => writable,
        };
        end.alive.then_some(end)
    }

    /// The same, to be changed.
    #[inline(always)]
    pub fn end_mut(&mut self, direction: Direction) -> Option<&mut CopyEnd> {
        let [readable, writable] = &mut self.ends;
        let end = match direction {
            Direction::Readable => readable,
            Direction::Writable => writable,
        };
        end.alive.then_some(end)
    }

    /// The half that is an end's, whether that is there or not.
    #[inline(always)]
    pub fn half(&mut self, direction: Direction) -> &mut CopyEnd {
        let [readable, writable] = &mut self.ends;
        match direction {
            Direction::Readable => readable,
            Direction::Writable => writable,
        }
    }

    /// Ends alive.
    pub fn ends_alive(&self) -> usize {
        self.ends.iter().filter(|end| end.alive).count()
    }

    /// The end waits with a buffer.
    #[inline(always)]
    pub fn wait(&mut self, direction: Direction, buffer: &Buffer, instance: Option<InstanceId>) {
        self.pending = Some(direction);
        (self.address, self.length) = (buffer.address, buffer.length);
        self.instance = instance.map_or(HOST, InstanceId::get);
    }

    /// Whose memory the buffer of the end that waits is in; `None`: the host's.
    #[inline(always)]
    pub fn pending_instance(&self) -> Option<InstanceId> {
        (self.instance != HOST).then(|| InstanceId::from_number(self.instance as usize))
    }

    /// The buffer of an end, where that is the one that waits.
    #[inline(always)]
    pub fn pending_buffer(&self, direction: Direction) -> Option<Buffer> {
        let progress = self.end(direction)?.progress;
        (self.pending == Some(direction)).then_some(Buffer {
            address: self.address,
            length: self.length,
            progress,
        })
    }
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
