//! What each fiber has in its stack's own memory: the arguments and results of the function
//! that it was made for, and the record of the call that it was made by.
//!
//! So a task or thread that gets a stack allocates nothing. And stacks that a store uses
//! again and again: it keeps a few at hand. Not here: entering a fiber (`run`, `noted`).
//!
//! # Safety
//!
//! A frame is reached through raw pointers, by whoever holds its stack. Between runs it is
//! only read by the one who made it.

use super::Drive;
use super::call::LANES;
use crate::component::call::lane::Lane;
use crate::component::state::InstanceData;
use helve_base::Result;
use helve_base::adapter::VMCallRecord;
use helve_fiber::PooledStack;
use helve_vm::fibers::{ROOM_BYTES, Suspended, room};
use std::cell::RefCell;

/// See the head of this file.
#[repr(C)]
pub(super) struct Frame {
    /// As in an argument array.
    pub lanes: [Lane; LANES],
    /// The call that an adapter has made on a stack of its own: the outermost one there.
    pub call: VMCallRecord,
}

const _: () = assert!(size_of::<Frame>() <= ROOM_BYTES && align_of::<Frame>() <= 16);

impl Frame {
    /// That of a stack.
    pub fn of(stack: &PooledStack) -> *mut Frame {
        room(stack).cast()
    }

    /// Its array, to write arguments to.
    pub fn lanes(stack: &PooledStack) -> *mut Lane {
        // SAFETY: only the address is taken, in the stack's room.
        unsafe { (&raw mut (*Frame::of(stack)).lanes).cast() }
    }

    /// That of a suspended guest.
    pub fn of_suspended(guest: &Suspended) -> *mut Frame {
        guest.room().cast()
    }
}

/// Most stacks that a store keeps.
const KEEP: usize = 8;

/// Stacks at hand.
#[derive(Default)]
pub(super) struct Stacks(RefCell<Vec<PooledStack>>);

impl Drive {
    /// A stack for a function of a guest's.
    #[inline]
    pub(super) fn take_stack(&self, instance: &InstanceData) -> Result<PooledStack> {
        if let Some(stack) = self.1.0.borrow_mut().pop() {
            return Ok(stack);
        }
        instance.component.engine().stacks().take()
    }

    /// It is not used any more: nothing runs on it.
    #[inline]
    pub(super) fn put_stack(&self, stack: PooledStack) {
        let mut stacks = self.1.0.borrow_mut();
        if stacks.len() < KEEP && stack.keeps_pages() {
            stacks.push(stack);
        }
    }
}
