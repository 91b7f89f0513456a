//! A fiber: code that runs on a stack of its own and can be left and come back to.
//!
//! ```text
//!            resume            returns
//!   new ----------> running ------------> finished   (Step::Finished)
//!                    |   ^
//!            suspend v   | resume
//!                  suspended                         (Step::Suspended)
//! ```
//!
//! The switch itself is corosensei's (3.6 ns for a round trip, does not end in a
//! mispredicted `ret`); this file narrows it to one word in, one word out, and to
//! dropping without unwinding.
//!
//! # Safety
//!
//! [`Fiber::new`] has the contract that everything else rests on: between a suspension
//! and the resumption that follows, no frame on the fiber's stack owns anything that
//! needs dropping or is bound to a thread. Generated code and the frames of this file
//! keep to it. Then a suspended fiber can be forgotten (its stack reused) and can be
//! resumed by another thread.

use crate::pool::PooledStack;
use corosensei::stack::StackPointer;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use std::num::NonZeroUsize;

/// What runs on a fiber: (data, a way to suspend, the first resume's word) -> a word.
/// It must not unwind.
pub type Entry = unsafe extern "C" fn(*mut u8, &Suspender, usize) -> usize;

// SAFETY: a `Stack` has a guard page at its low end and at least 16 KiB above it.
unsafe impl corosensei::stack::Stack for PooledStack {
    fn base(&self) -> StackPointer {
        NonZeroUsize::new(crate::Stack::base(self)).unwrap_or(self.limit())
    }

    fn limit(&self) -> StackPointer {
        crate::Stack::limit(self)
    }
}

/// How the code on a fiber suspends it. Valid while the fiber is.
#[repr(transparent)]
pub struct Suspender(Yielder<usize, ()>);

impl Suspender {
    /// Returns from the `resume` that runs this fiber, with [`Step::Suspended`]; returns
    /// the word of the next `resume`. Possibly on another thread, or never.
    pub fn suspend(&self) -> usize {
        self.0.suspend(())
    }
}

/// Why `resume` returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The fiber suspended itself.
    Suspended,
    /// The fiber's entry returned this.
    Finished(usize),
}

/// Code on a stack of its own.
pub struct Fiber {
    low: usize,
    coroutine: Coroutine<usize, (), usize, PooledStack>,
}

// SAFETY: by the contract of `Fiber::new` nothing on the stack is bound to a thread.
unsafe impl Send for Fiber {}

impl Fiber {
    /// A fiber that will run `entry` with `data` on `stack`.
    ///
    /// # Safety
    ///
    /// `entry` does not unwind. While the fiber is suspended, no frame on its stack owns
    /// anything with a destructor, or a borrow or lock, or relies on the thread it
    /// runs on (thread-local addresses included). `data` is valid whenever it runs.
    #[inline]
    pub unsafe fn new(stack: PooledStack, entry: Entry, data: *mut u8) -> Fiber {
        let body = move |yielder: &Yielder<usize, ()>, first: usize| {
            // SAFETY: `Suspender` is a transparent wrapper of `Yielder`.
            let suspender = unsafe { &*std::ptr::from_ref(yielder).cast::<Suspender>() };
            // SAFETY: by the contract of `new`.
            unsafe { entry(data, suspender, first) }
        };
        stack.unmark();
        let low = stack.low();
        // SAFETY: `body` borrows nothing that the compiler sees; `data` is valid by contract.
        let coroutine = unsafe { Coroutine::with_stack_unchecked(stack, body) };
        Fiber { low, coroutine }
    }

    /// The lowest usable address of its stack.
    pub fn low(&self) -> usize {
        self.low
    }

    /// Runs the fiber until it suspends or finishes; `word` is what `suspend` (or, the
    /// first time, the entry) gets.
    ///
    /// # Safety
    ///
    /// The fiber has not finished, and running its code now is sound.
    #[inline]
    pub unsafe fn resume(&mut self, word: usize) -> Step {
        match self.coroutine.resume(word) {
            CoroutineResult::Yield(()) => Step::Suspended,
            CoroutineResult::Return(word) => Step::Finished(word),
        }
    }

    /// The stack back, whether the fiber has finished or not.
    #[inline]
    pub fn into_stack(mut self) -> PooledStack {
        self.forget_frames();
        // Moves the coroutine out past our `Drop`, which has nothing left to do.
        let this = std::mem::ManuallyDrop::new(self);
        // SAFETY: `this` is never used or dropped again.
        unsafe { std::ptr::read(&this.coroutine) }.into_stack()
    }

    /// Marks the fiber as finished, so that dropping it does not unwind.
    #[inline]
    fn forget_frames(&mut self) {
        // SAFETY: by the contract of `new` no frame on it needs dropping.
        unsafe { self.coroutine.force_reset() };
    }
}

impl Drop for Fiber {
    fn drop(&mut self) {
        self.forget_frames();
    }
}
