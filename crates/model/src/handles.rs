//! The table of one component instance: indices, slots and the free list.
//!
//! ```text
//!   index  0        1         2        3         4 = len
//!        +--------+---------+--------+---------+
//!        | unused | own R   | free   | free    |        free list: 3 -> 2 -> end
//!        +--------+---------+--------+---------+        (last freed is used first)
//! ```
//!
//! The rules are written once, over [`Storage`]: slots in a `Vec`, or in memory that
//! compiled code reads and writes too. A slot is read and written by value, so no
//! reference into such memory is ever alive. Not here: what the kinds mean (`resource`
//! and the others).

use crate::error::{Found, HandleError};
use alloc::vec::Vec;

/// The highest index there can be.
pub const MAX_INDEX: u32 = (1 << 28) - 1;

/// A type: of a resource, or of a stream or future. What the number means is the
/// user's; it is below 2^28.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(u32);

impl TypeId {
    /// For kinds that have no type.
    pub const NONE: TypeId = TypeId(0);

    /// The type with this number, if it is below 2^28.
    pub const fn new(number: u32) -> Option<TypeId> {
        if number < 1 << 28 {
            Some(TypeId(number))
        } else {
            None
        }
    }

    /// The number.
    #[inline]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Nothing.
    Free = 0,
    /// A resource that this handle owns.
    Own = 2,
    /// A resource lent to a task.
    Borrow = 3,
    /// The readable end of a stream.
    StreamReadable = 4,
    /// The writable end of a stream.
    StreamWritable = 5,
    /// The readable end of a future.
    FutureReadable = 6,
    /// The writable end of a future.
    FutureWritable = 7,
    /// A call that has not been dropped.
    Subtask = 8,
    /// A set of waitables.
    WaitableSet = 9,
    /// An error context.
    ErrorContext = 10,
    /// A thread (in a table of its own).
    Thread = 11,
}

impl Kind {
    const fn of(tag: u32) -> Kind {
        match tag & 15 {
            2 => Kind::Own,
            3 => Kind::Borrow,
            4 => Kind::StreamReadable,
            5 => Kind::StreamWritable,
            6 => Kind::FutureReadable,
            7 => Kind::FutureWritable,
            8 => Kind::Subtask,
            9 => Kind::WaitableSet,
            10 => Kind::ErrorContext,
            11 => Kind::Thread,
            _ => Kind::Free,
        }
    }

    /// For messages.
    pub const fn noun(self) -> &'static str {
        match self {
            Kind::Free => "free index",
            Kind::Own => "owned resource",
            Kind::Borrow => "borrowed resource",
            Kind::StreamReadable => "readable end of a stream",
            Kind::StreamWritable => "writable end of a stream",
            Kind::FutureReadable => "readable end of a future",
            Kind::FutureWritable => "writable end of a future",
            Kind::Subtask => "subtask",
            Kind::WaitableSet => "waitable set",
            Kind::ErrorContext => "error context",
            Kind::Thread => "thread",
        }
    }

    /// Whether it is a resource, owned or borrowed.
    pub const fn is_resource(self) -> bool {
        matches!(self, Kind::Own | Kind::Borrow)
    }

    /// Whether it is an end of a stream or future.
    pub const fn has_payload(self) -> bool {
        use Kind::*;
        matches!(
            self,
            StreamReadable | StreamWritable | FutureReadable | FutureWritable
        )
    }

    /// Whether it can be in a waitable set.
    #[inline]
    pub const fn is_waitable(self) -> bool {
        self.has_payload() || matches!(self, Kind::Subtask)
    }
}

/// One entry. What the numbers mean depends on the kind; see [`crate::layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Slot {
    pub(crate) tag: u32,
    pub(crate) rep: u32,
    pub(crate) lends: u32,
    pub(crate) scope: u32,
}

impl Slot {
    /// Of this kind and type, with `rep` as its first number.
    pub(crate) const fn new(kind: Kind, ty: TypeId, rep: u32) -> Slot {
        Slot {
            tag: crate::layout::tag(kind, ty),
            rep,
            lends: 0,
            scope: 0,
        }
    }

    /// Its four words, in the order they have in memory: for a [`Storage`] that keeps bytes.
    pub const fn to_words(self) -> [u32; 4] {
        [self.tag, self.rep, self.lends, self.scope]
    }

    /// A slot whose words [`Slot::to_words`] gave, or memory that was nothing but zeros.
    pub const fn from_words([tag, rep, lends, scope]: [u32; 4]) -> Slot {
        Slot {
            tag,
            rep,
            lends,
            scope,
        }
    }

    /// What it holds.
    #[inline]
    pub const fn kind(&self) -> Kind {
        Kind::of(self.tag)
    }

    /// The type of the resource, or of the stream or future.
    pub const fn ty(&self) -> TypeId {
        TypeId(self.tag >> 4)
    }

    /// A resource's representation; what another kind is in its slab; the next free
    /// index of a free one.
    pub const fn rep(&self) -> u32 {
        self.rep
    }

    /// Loans of a resource that have not ended.
    pub const fn lends(&self) -> u32 {
        self.lends
    }

    pub(crate) const fn found(&self) -> Found {
        Found {
            kind: self.kind(),
            ty: self.ty(),
        }
    }
}

/// The two numbers that say which slots are in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Slots that were ever in use, slot 0 counted. 0 where there is no memory for slot 0
    /// yet, so that what is below it can always be read.
    pub len: u32,
    /// The free slot to use next; 0: none.
    pub free: u32,
}

/// Where slots and header are. At the start both numbers are 0. Slot 0 stays free: the
/// first `reserve` is of index 1 and makes place for it too.
///
/// The table only reads and writes slots below `len`, or at `len` after a `reserve` of
/// it has succeeded.
pub trait Storage {
    /// The header.
    fn header(&self) -> Header;
    /// Changes the header.
    fn set_header(&mut self, header: Header);
    /// A slot.
    fn get(&self, index: u32) -> Slot;
    /// Changes a slot.
    fn set(&mut self, index: u32, slot: Slot);
    /// Makes place for slot `index`; false where there is no memory for it.
    fn reserve(&mut self, index: u32) -> bool;
}

/// Slots in a `Vec`.
#[derive(Clone, Debug)]
pub struct VecStorage {
    slots: Vec<Slot>,
    header: Header,
}

impl VecStorage {
    /// No slots.
    pub const fn new() -> VecStorage {
        VecStorage {
            slots: Vec::new(),
            header: Header { len: 0, free: 0 },
        }
    }
}

impl Default for VecStorage {
    fn default() -> VecStorage {
        VecStorage::new()
    }
}

impl Storage for VecStorage {
    fn header(&self) -> Header {
        self.header
    }

    fn set_header(&mut self, header: Header) {
        self.header = header;
    }

    #[inline]
    fn get(&self, index: u32) -> Slot {
        self.slots.get(index as usize).copied().unwrap_or_default()
    }

    fn set(&mut self, index: u32, slot: Slot) {
        if let Some(place) = self.slots.get_mut(index as usize) {
            *place = slot;
        }
    }

    fn reserve(&mut self, index: u32) -> bool {
        let needed = (index as usize + 1).saturating_sub(self.slots.len());
        if self.slots.try_reserve(needed).is_err() {
            return false;
        }
        self.slots
            .resize(self.slots.len() + needed, Slot::default());
        true
    }
}

/// A handle table.
#[derive(Clone, Debug)]
pub struct Table<S> {
    storage: S,
    limit: u32,
}

impl Table<VecStorage> {
    /// An empty table in a `Vec`, without a limit of its own.
    pub fn new() -> Table<VecStorage> {
        Table::with_storage(VecStorage::new(), MAX_INDEX)
    }
}

impl Default for Table<VecStorage> {
    fn default() -> Self {
        Table::new()
    }
}

impl<S: Storage> Table<S> {
    /// The table whose slots are in `storage`, with indices up to `limit` (and
    /// [`MAX_INDEX`]).
    pub fn with_storage(storage: S, limit: u32) -> Table<S> {
        Table {
            storage,
            limit: limit.min(MAX_INDEX),
        }
    }

    /// The storage.
    pub fn storage(&self) -> &S {
        &self.storage
    }

    /// The storage, to be changed by nothing but its owner's own bookkeeping.
    pub fn storage_mut(&mut self) -> &mut S {
        &mut self.storage
    }

    /// What is at `index`.
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    #[inline]
    pub fn get(&self, index: u32) -> Result<Slot, HandleError> {
        if index < self.storage.header().len {
            let slot = self.storage.get(index);
            if slot.kind() != Kind::Free {
                return Ok(slot);
            }
        }
        Err(HandleError::Unknown { index })
    }

    /// What is at `index`, if it is of this kind and type.
    #[inline]
    pub(crate) fn expect(&self, index: u32, kind: Kind, ty: TypeId) -> Result<Slot, HandleError> {
        let slot = self.get(index)?;
        let expected = Found { kind, ty };
        if slot.found() != expected {
            return Err(HandleError::Wrong {
                index,
                expected,
                found: slot.found(),
            });
        }
        Ok(slot)
    }

    /// Changes a slot that is in use.
    pub(crate) fn update(&mut self, index: u32, slot: Slot) {
        self.storage.set(index, slot);
    }

    /// Takes an index for `slot`: the one freed last, or else the next new one.
    #[inline]
    pub(crate) fn insert(&mut self, slot: Slot) -> Result<u32, HandleError> {
        let mut header = self.storage.header();
        let index = if header.free != 0 {
            let index = header.free;
            header.free = self.storage.get(index).rep;
            index
        } else {
            let index = header.len.max(1);
            if index > self.limit {
                return Err(HandleError::Full { limit: self.limit });
            }
            if !self.storage.reserve(index) {
                return Err(HandleError::OutOfMemory);
            }
            header.len = index + 1;
            index
        };
        self.storage.set(index, slot);
        self.storage.set_header(header);
        Ok(index)
    }

    /// Frees an index that is in use.
    #[inline]
    pub(crate) fn free(&mut self, index: u32) {
        let mut header = self.storage.header();
        self.storage.set(
            index,
            Slot {
                rep: header.free,
                ..Slot::default()
            },
        );
        header.free = index;
        self.storage.set_header(header);
    }

    /// Everything in the table, by index.
    pub fn iter(&self) -> impl Iterator<Item = (u32, Slot)> + '_ {
        (1..self.storage.header().len)
            .map(|index| (index, self.storage.get(index)))
            .filter(|(_, slot)| slot.kind() != Kind::Free)
    }

    /// Whether the free list and the slots agree: for tests and fuzzing.
    ///
    /// # Errors
    ///
    /// With what does not fit together.
    pub fn audit(&self) -> Result<(), &'static str> {
        let header = self.storage.header();
        if header.len.saturating_sub(1) > self.limit {
            return Err("length outside of its limits");
        }
        let mut free = (1..header.len)
            .filter(|i| self.storage.get(*i).kind() == Kind::Free)
            .count();
        let mut at = header.free;
        while at != 0 {
            if at >= header.len || self.storage.get(at).kind() != Kind::Free {
                return Err("free list leads to a slot in use");
            }
            free = free.checked_sub(1).ok_or("free list has a cycle")?;
            at = self.storage.get(at).rep;
        }
        if free == 0 {
            Ok(())
        } else {
            Err("free slot that is not in the free list")
        }
    }
}
