//! Where things are in the memory that compiled code shares with the tables.
//!
//! ```text
//!  hot block (one per component instance)       slots: 16 bytes each, 0 is never used
//!  +------------------------------+             +-----------+-----+-------+-------+
//!  | slots  (address)             |-----------> | tag       | rep | lends | scope |
//!  | len, free, limit, capacity   |             +-----------+-----+-------+-------+
//!  | may_leave, may_enter         |               tag = type << 4 | kind; free: 0,
//!  | backpressure, exclusive      |               with the next free index as rep
//!  | borrow_scope, context slots  |
//!  +------------------------------+
//! ```
//!
//! `resource.rep` in compiled code: `i < len`, then `slots[i].tag | 1 ==`
//! [`resource_tag`]` | 1` (own and borrow kinds differ in bit 0), then `slots[i].rep`.
//! Everything else, and every failure, is a call. Not here: who allocates these.

use crate::handles::{Kind, Slot, TypeId};
use core::mem::offset_of;

/// What compiled code may read and write of one component instance without a call.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct HotBlock {
    /// The address of slot 0.
    pub slots: usize,
    /// Slots that were ever in use, slot 0 counted: indices are below it.
    pub len: u32,
    /// The free slot to use next; 0: none, take `len`.
    pub free: u32,
    /// The highest index that may be handed out.
    pub limit: u32,
    /// Slots there is memory for.
    pub capacity: u32,
    /// 1 while the instance may call out.
    pub may_leave: u32,
    /// 1 while the instance may be called.
    pub may_enter: u32,
    /// Times `backpressure.inc` is ahead of `backpressure.dec`.
    pub backpressure: u32,
    /// The thread that excludes others from running; 0: none.
    pub exclusive_thread: u32,
    /// The borrow scope of the current task; 0: none.
    pub borrow_scope: u32,
    /// Keeps the context slots aligned; always 0.
    pub reserved: u32,
    /// The current thread's context slots.
    pub context: [u64; 2],
}

impl Default for HotBlock {
    /// An empty table without memory; nothing entered, nothing held back.
    fn default() -> HotBlock {
        HotBlock {
            slots: 0,
            len: 0,
            free: 0,
            limit: crate::handles::MAX_INDEX,
            capacity: 0,
            may_leave: 1,
            may_enter: 1,
            backpressure: 0,
            exclusive_thread: 0,
            borrow_scope: 0,
            reserved: 0,
            context: [0; 2],
        }
    }
}

/// Bytes of a slot.
pub const SLOT_SIZE: u32 = size_of::<Slot>() as u32;
/// `Slot.tag`.
pub const SLOT_TAG: u32 = offset_of!(Slot, tag) as u32;
/// `Slot.rep`.
pub const SLOT_REP: u32 = offset_of!(Slot, rep) as u32;
/// `Slot.lends`.
pub const SLOT_LENDS: u32 = offset_of!(Slot, lends) as u32;
/// `Slot.scope`.
pub const SLOT_SCOPE: u32 = offset_of!(Slot, scope) as u32;

/// Set in the scope of a borrowed handle that no [`Scopes`](crate::resource::Scopes)
/// counts: the generated code that lent it looks itself, at the end of the call, whether
/// it is still there.
pub const UNCOUNTED_SCOPE: u32 = 1 << 31;

/// Bytes of a hot block.
pub const HOT_SIZE: u32 = size_of::<HotBlock>() as u32;
/// `HotBlock.slots`.
pub const HOT_SLOTS: u32 = offset_of!(HotBlock, slots) as u32;
/// `HotBlock.len`.
pub const HOT_LEN: u32 = offset_of!(HotBlock, len) as u32;
/// `HotBlock.free`.
pub const HOT_FREE: u32 = offset_of!(HotBlock, free) as u32;
/// `HotBlock.limit`.
pub const HOT_LIMIT: u32 = offset_of!(HotBlock, limit) as u32;
/// `HotBlock.capacity`.
pub const HOT_CAPACITY: u32 = offset_of!(HotBlock, capacity) as u32;
/// `HotBlock.may_leave`.
pub const HOT_MAY_LEAVE: u32 = offset_of!(HotBlock, may_leave) as u32;
/// `HotBlock.may_enter`.
pub const HOT_MAY_ENTER: u32 = offset_of!(HotBlock, may_enter) as u32;
/// `HotBlock.backpressure`.
pub const HOT_BACKPRESSURE: u32 = offset_of!(HotBlock, backpressure) as u32;
/// `HotBlock.exclusive_thread`.
pub const HOT_EXCLUSIVE_THREAD: u32 = offset_of!(HotBlock, exclusive_thread) as u32;
/// `HotBlock.borrow_scope`.
pub const HOT_BORROW_SCOPE: u32 = offset_of!(HotBlock, borrow_scope) as u32;
/// `HotBlock.context`.
pub const HOT_CONTEXT: u32 = offset_of!(HotBlock, context) as u32;

/// The tag of an owned resource of this type; a borrowed one's has bit 0 flipped.
pub const fn resource_tag(ty: TypeId) -> u32 {
    tag(Kind::Own, ty)
}

/// The tag of a slot of this kind and type.
pub const fn tag(kind: Kind, ty: TypeId) -> u32 {
    ty.get() << 4 | kind as u32
}

const _: () = {
    assert!(SLOT_SIZE == 16);
    assert!(Kind::Own as u32 ^ Kind::Borrow as u32 == 1);
    assert!(HOT_CONTEXT.is_multiple_of(8) && HOT_SIZE.is_multiple_of(8));
};
