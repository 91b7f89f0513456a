//! Exceptions: made, thrown from frame to frame, and freed once nobody can reach them.
//!
//! ```text
//!   Builtin::ExceptionNew --> VMException | payload      known to the store's `Exceptions`
//!   Builtin::Throw, or Builtin::Raise after a host function failed with one
//!      |  frame by frame: is there a handler for this return address?
//!      |-- yes: go on at its landing; that code compares tags, and throws again from
//!      |        its own frame where none fits
//!      |-- the frame's code ends exceptions (a component's boundary): a trap
//!      +-- no frame is left: the innermost `enter` returns Exit::Exception
//! ```
//!
//! **Freeing.** An `exnref` is a plain pointer in compiled code. When exceptions have taken
//! a certain number of bytes since the last time, all words that could be one are looked
//! at: on every stack of the store (from the live end up to its entry), in saved
//! registers, in globals and tables that may hold one, and in the payloads of those found.
//! What is not found is freed. A word that only looks like an `exnref` keeps one alive a
//! little longer; nothing moves.
//!
//! Not here: the tables of handlers (`registry`), the machine's registers (`arch`).
//!
//! # Safety
//!
//! An exception is allocated here and stays until a collection does not find it. Whatever
//! the host holds is held by a [`ThrownException`] or kept for good. Stack words are read
//! between a stack pointer and the entry above it on the same stack: memory that is
//! mapped, whoever's frames are in it.

use crate::arch;
use crate::backtrace::{self, Start};
use crate::fibers::Continuation;
use crate::registry::{self, Catch};
use crate::traps::{Activation, Exit, record};
use helve_base::Trap;
use helve_base::vmctx::{VMException, VMGlobal, VMStoreContext, VMTable, VMTag, ValRaw};
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// All exceptions of a store. Its address ([`Box`]) is stable for its life.
pub struct Exceptions {
    objects: HashMap<usize, Object>,
    /// The addresses that any object had so far: most words are none of them.
    lowest: usize,
    highest: usize,
    bytes: usize,
    most: usize,
    /// Bytes at which the next collection is due.
    due: usize,
    /// What may hold references, beside stacks; all live as long as the store.
    globals: Vec<*const VMGlobal>,
    tables: Vec<*const VMTable>,
    /// Fibers that were left while there were exceptions.
    suspended: HashSet<*const Continuation>,
}

// SAFETY: it owns the objects; the rest belongs to the store that it moves with.
unsafe impl Send for Exceptions {}

struct Object {
    values: usize,
    marked: bool,
    /// Whether the host has it as a value, for as long as the store lives.
    kept: AtomicBool,
    /// Shared with everything of the host's that holds it for a while.
    held: Option<Arc<()>>,
}

/// An exception on its way through the host: the source of the error that a call returns
/// when nothing in the guest caught one. A host function that fails with it throws it on.
#[derive(Clone)]
pub struct ThrownException {
    exception: NonNull<VMException>,
    store: *const VMStoreContext,
    _held: Arc<()>,
}

// SAFETY: the pointers are only followed with the store at hand.
unsafe impl Send for ThrownException {}
// SAFETY: as above.
unsafe impl Sync for ThrownException {}

impl ThrownException {
    /// The exception, if it is of this store.
    pub fn of(&self, store: *const VMStoreContext) -> Option<NonNull<VMException>> {
        (self.store == store).then_some(self.exception)
    }
}

impl fmt::Debug for ThrownException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThrownException").finish_non_exhaustive()
    }
}

impl fmt::Display for ThrownException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an exception of the guest's that nothing caught")
    }
}

impl std::error::Error for ThrownException {}

/// Bytes before the first collection, and the least between two.
const COLLECT_AFTER: usize = 1 << 20;

impl Exceptions {
    /// None yet, and never more than `most` bytes of them.
    pub fn new(most: usize) -> Box<Exceptions> {
        Box::new(Exceptions {
            objects: HashMap::new(),
            lowest: usize::MAX,
            highest: 0,
            bytes: 0,
            most,
            due: COLLECT_AFTER.min(most),
            globals: Vec::new(),
            tables: Vec::new(),
            suspended: HashSet::new(),
        })
    }

    /// A global that may hold a reference to one.
    ///
    /// # Safety
    ///
    /// It lives as long as the store.
    pub unsafe fn add_global(&mut self, global: *const VMGlobal) {
        self.globals.push(global);
    }

    /// A table whose elements may be such references.
    ///
    /// # Safety
    ///
    /// It lives as long as the store.
    pub unsafe fn add_table(&mut self, table: *const VMTable) {
        self.tables.push(table);
    }

    /// The global is gone, or will be.
    pub fn remove_global(&mut self, global: *const VMGlobal) {
        self.globals.retain(|watched| *watched != global);
    }

    /// The table is gone, or will be.
    pub fn remove_table(&mut self, table: *const VMTable) {
        self.tables.retain(|watched| *watched != table);
    }

    /// How many there are, those included that nobody can reach any more.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Keeps an exception for as long as the store lives: the host has it as a value.
    pub fn keep(&self, exception: NonNull<VMException>) {
        if let Some(object) = self.objects.get(&exception.addr().get()) {
            object.kept.store(true, Ordering::Relaxed);
        }
    }

    /// Keeps an exception for as long as what is returned lives.
    pub fn hold(
        &mut self,
        exception: NonNull<VMException>,
        store: *const VMStoreContext,
    ) -> ThrownException {
        let object = self.objects.get_mut(&exception.addr().get());
        let held = object.map(|object| object.held.get_or_insert_default().clone());
        ThrownException {
            exception,
            store,
            _held: held.unwrap_or_default(),
        }
    }

    /// One more exception, its payload zero; `None` where there is no room for it.
    ///
    /// # Safety
    ///
    /// As for [`create`].
    unsafe fn create(
        &mut self,
        store: *const VMStoreContext,
        tag: *mut VMTag,
        values: usize,
    ) -> Option<NonNull<VMException>> {
        let layout = layout(values)?;
        if self.bytes.saturating_add(layout.size()) > self.due {
            // SAFETY: by contract.
            unsafe { self.collect(store) };
            let next = self.bytes.saturating_mul(2).max(COLLECT_AFTER);
            self.due = next.min(self.most);
            if self.bytes.saturating_add(layout.size()) > self.due {
                return None;
            }
        }
        // SAFETY: the layout is not empty.
        let exception = NonNull::new(unsafe { alloc_zeroed(layout) }.cast::<VMException>())?;
        // SAFETY: just allocated, and large enough.
        unsafe { exception.write(VMException { tag, values }) };
        let address = exception.as_ptr().expose_provenance();
        self.lowest = self.lowest.min(address);
        self.highest = self.highest.max(address);
        self.bytes += layout.size();
        let object = Object {
            values,
            marked: false,
            kept: AtomicBool::new(false),
            held: None,
        };
        self.objects.insert(address, object);
        Some(exception)
    }

    /// Frees what nobody can reach.
    ///
    /// # Safety
    ///
    /// As for [`create`].
    unsafe fn collect(&mut self, store: *const VMStoreContext) {
        let mut found = Vec::new();
        for (&address, object) in &mut self.objects {
            let held = object
                .held
                .as_ref()
                .is_some_and(|held| Arc::strong_count(held) > 1);
            object.marked = *object.kept.get_mut() || held;
            if object.marked {
                found.push(address);
            }
        }
        // SAFETY: by contract.
        if !unsafe { Activation::innermost(store) }.is_null() {
            for word in arch::kept_registers() {
                self.mark(word, &mut found);
            }
        }
        // SAFETY: by contract: these are ranges of live stacks, and live globals and tables.
        unsafe {
            let mut ranges = running_stacks(store);
            ranges.extend(self.suspended.iter().map(|&fiber| (*fiber).stack_in_use()));
            for (low, high) in ranges {
                let mut at = low.next_multiple_of(size_of::<usize>());
                while at < high {
                    self.mark(arch::read_word(at), &mut found);
                    at += size_of::<usize>();
                }
            }
            for i in 0..self.globals.len() {
                let word = (*self.globals[i]).value.externref;
                self.mark(word, &mut found);
            }
            for i in 0..self.tables.len() {
                let VMTable { base, len, .. } = *self.tables[i];
                for element in 0..len {
                    self.mark((*base.add(element)).addr(), &mut found);
                }
            }
        }
        while let Some(address) = found.pop() {
            let values = self.objects.get(&address).map_or(0, |object| object.values);
            for i in 0..values {
                let at = address + size_of::<VMException>() + i * size_of::<ValRaw>();
                // SAFETY: a value of an object's payload, all of whose bytes were written.
                self.mark(unsafe { arch::read_word(at) }, &mut found);
            }
        }
        let bytes = &mut self.bytes;
        self.objects.retain(|&address, object| {
            if !object.marked {
                *bytes -= free(address, object.values);
            }
            object.marked
        });
    }

    /// Notes that `word` was found.
    fn mark(&mut self, word: usize, found: &mut Vec<usize>) {
        if word < self.lowest || word > self.highest {
            return;
        }
        if let Some(object) = self.objects.get_mut(&word)
            && !object.marked
        {
            object.marked = true;
            found.push(word);
        }
    }
}

impl Drop for Exceptions {
    fn drop(&mut self) {
        for (&address, object) in &self.objects {
            free(address, object.values);
        }
    }
}

fn layout(values: usize) -> Option<Layout> {
    let payload = Layout::array::<ValRaw>(values).ok()?;
    let (whole, _) = Layout::new::<VMException>().extend(payload).ok()?;
    Some(whole.pad_to_align())
}

/// Frees an object; its bytes.
fn free(address: usize, values: usize) -> usize {
    let Some(layout) = layout(values) else {
        return 0;
    };
    // SAFETY: allocated with this layout by `create`; nobody can reach it.
    unsafe { dealloc(std::ptr::with_exposed_provenance_mut(address), layout) };
    layout.size()
}

/// Where frames are on the stacks that lead to this call: from the stack pointer up to the
/// innermost `enter`, from there to the next outer one on the same stack, and so on.
///
/// # Safety
///
/// `store` is live and entered, and this runs on the stack of its innermost activation.
unsafe fn running_stacks(store: *const VMStoreContext) -> Vec<(usize, usize)> {
    let mut ranges = Vec::new();
    let mut low = arch::stack_pointer();
    // SAFETY: live by contract.
    unsafe {
        let mut activation = Activation::innermost(store);
        while !activation.is_null() {
            let high = (*activation).entry.fp;
            ranges.push((low, high));
            let fiber = (*activation).fiber;
            low = match fiber.is_null() {
                true => high,
                false => (*fiber).resumed_at(),
            };
            activation = (*activation).previous;
        }
    }
    ranges
}

/// The store's exceptions.
///
/// # Safety
///
/// `store` is live, and nobody else uses them for `'a`.
unsafe fn of<'a>(store: *const VMStoreContext) -> Option<&'a mut Exceptions> {
    // SAFETY: by contract; null or a box of the store's.
    unsafe { (*store).exceptions.cast::<Exceptions>().as_mut() }
}

/// A new exception with this tag, its payload zero: for the host. `None` where the store
/// has as many bytes of them as it may.
///
/// # Safety
///
/// `store` is live and on this thread; `tag` is of it, and has this many values. Where the
/// store is entered, this runs on the stack of its innermost activation.
pub unsafe fn create(
    store: *const VMStoreContext,
    tag: *mut VMTag,
    values: usize,
) -> Option<NonNull<VMException>> {
    // SAFETY: by contract.
    unsafe { of(store)?.create(store, tag, values) }
}

/// `fiber` was left, and may be resumed later.
///
/// # Safety
///
/// `store` is live; `fiber` stays where it is until [`resumed`] is called.
pub(crate) unsafe fn suspended(store: *const VMStoreContext, fiber: *const Continuation) {
    // SAFETY: by contract.
    if let Some(exceptions) = unsafe { of(store) }
        && !exceptions.is_empty()
    {
        exceptions.suspended.insert(fiber);
    }
}

/// `fiber` is to be resumed, or goes.
///
/// # Safety
///
/// `store` is live.
pub(crate) unsafe fn resumed(store: *const VMStoreContext, fiber: *const Continuation) {
    // SAFETY: by contract.
    if let Some(exceptions) = unsafe { of(store) }
        && !exceptions.suspended.is_empty()
    {
        exceptions.suspended.remove(&fiber);
    }
}

/// Where a thrown exception goes on.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Landing {
    pub(crate) sp: usize,
    pub(crate) fp: usize,
    pub(crate) pc: usize,
}

/// Throws `exception` from the frame `fp`, whose innermost call returns to `pc`: writes
/// where it goes on and returns it, or records why the activation ends and returns null.
///
/// # Safety
///
/// Called by `arch::throw` with what compiled code gave it.
pub(crate) unsafe extern "C" fn throw(
    store: *mut VMStoreContext,
    exception: *mut VMException,
    fp: usize,
    pc: usize,
    landing: *mut Landing,
) -> *mut VMException {
    // SAFETY: compiled code of the store runs; its frames from `fp` on are live.
    unsafe {
        match unwind(store, fp, pc) {
            Outcome::Lands(at) => {
                landing.write(at);
                exception
            }
            outcome => {
                record(store, ended(store, exception, fp, pc, outcome));
                std::ptr::null_mut()
            }
        }
    }
}

/// After a host function failed: throws what it failed with, if that is an exception and
/// something catches it, as [`throw`] does; else null, and the activation ends.
///
/// # Safety
///
/// Called by `arch::fail` in a host trampoline of `store`.
pub(crate) unsafe extern "C" fn failed(
    store: *mut VMStoreContext,
    landing: *mut Landing,
) -> *mut VMException {
    // SAFETY: in a host call, so there is an activation, and the exit record is fresh.
    unsafe {
        let outcome = &raw mut (*Activation::innermost(store)).outcome;
        let Some(Exit::Exception(thrown, _)) = &*outcome else {
            return std::ptr::null_mut();
        };
        let exception = thrown.exception.as_ptr();
        let (fp, pc) = ((*store).exit_fp, (*store).exit_pc);
        match unwind(store, fp, pc) {
            Outcome::Lands(at) => {
                *outcome = None;
                landing.write(at);
                exception
            }
            Outcome::Leaves => std::ptr::null_mut(),
            end => {
                *outcome = Some(ended(store, exception, fp, pc, end));
                std::ptr::null_mut()
            }
        }
    }
}

enum Outcome {
    Lands(Landing),
    /// A frame that ends exceptions is in the way.
    Traps,
    /// No frame is left.
    Leaves,
}

/// Looks for a handler, from the frame `fp` on.
///
/// # Safety
///
/// `store` is entered; the frames from `fp` up to its innermost `enter` are live.
unsafe fn unwind(store: *const VMStoreContext, mut fp: usize, mut pc: usize) -> Outcome {
    // SAFETY: by contract.
    let end = unsafe { (*Activation::innermost(store)).entry.fp };
    while fp != 0 && fp < end && fp.is_multiple_of(align_of::<usize>()) {
        match registry::catch_at(pc) {
            Catch::Landing(pc, frame) => {
                let sp = fp.wrapping_sub(frame as usize);
                return Outcome::Lands(Landing { sp, fp, pc });
            }
            Catch::End => return Outcome::Traps,
            Catch::Nothing => {}
        }
        // SAFETY: `fp` is a live frame's, aligned, below `end` on the same stack.
        let [caller_fp, return_pc] = unsafe { *(fp as *const [usize; 2]) };
        if caller_fp <= fp {
            break;
        }
        (fp, pc) = (caller_fp, return_pc);
    }
    Outcome::Leaves
}

/// Why the activation ends.
///
/// # Safety
///
/// As for [`unwind`]; `exception` is of the store.
unsafe fn ended(
    store: *mut VMStoreContext,
    exception: *mut VMException,
    fp: usize,
    pc: usize,
    outcome: Outcome,
) -> Exit {
    let start = Start {
        pc,
        fp,
        returns: true,
    };
    // SAFETY: by contract.
    let backtrace = unsafe { backtrace::walk(Activation::innermost(store), start) };
    // SAFETY: by contract.
    let held = NonNull::new(exception)
        .zip(unsafe { of(store) })
        .map(|(exception, all)| all.hold(exception, store));
    match (outcome, held) {
        (Outcome::Leaves, Some(thrown)) => Exit::Exception(thrown, backtrace),
        _ => Exit::Trap {
            trap: Trap::UncaughtException,
            pc,
            fault_address: None,
            backtrace,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_reached_stays() {
        let mut store = crate::traps::store_context(&Default::default(), std::ptr::null_mut());
        let mut exceptions = Exceptions::new(usize::MAX);
        store.exceptions = (&raw mut *exceptions).cast();
        let mut tag = VMTag { type_id: 0 };
        let tag = &raw mut tag;
        let mut global = VMGlobal {
            value: ValRaw { externref: 0 },
        };
        let global = &raw mut global;
        // SAFETY: all of it lives until the end of the test; the store is not entered.
        unsafe {
            exceptions.add_global(global);
            let inner = exceptions.create(&store, tag, 0).unwrap();
            let outer = exceptions.create(&store, tag, 2).unwrap();
            let second = outer.add(1).cast::<ValRaw>().add(1);
            second.write(ValRaw {
                externref: inner.addr().get(),
            });
            (*global).value.externref = outer.addr().get();
            let kept = exceptions.create(&store, tag, 1).unwrap();
            exceptions.keep(kept);
            let held = exceptions.create(&store, tag, 1).unwrap();
            let holder = exceptions.hold(held, &store);
            exceptions.create(&store, tag, 7).unwrap();
            assert_eq!(exceptions.len(), 5);
            exceptions.collect(&store);
            assert_eq!(exceptions.len(), 4);
            drop(holder);
            exceptions.collect(&store);
            assert_eq!(exceptions.len(), 3);
            (*global).value.externref = 0;
            exceptions.collect(&store);
            assert_eq!((exceptions.len(), exceptions.bytes), (1, 32));
        }
    }

    #[test]
    fn the_limit_counts_what_is_reached() {
        let store = crate::traps::store_context(&Default::default(), std::ptr::null_mut());
        let mut exceptions = Exceptions::new(100);
        let tag = std::ptr::null_mut();
        // SAFETY: the store is not entered.
        unsafe {
            for _ in 0..1000 {
                assert!(exceptions.create(&store, tag, 1).is_some());
            }
            for _ in 0..3 {
                let one = exceptions.create(&store, tag, 1).unwrap();
                exceptions.keep(one);
            }
            assert!(exceptions.create(&store, tag, 1).is_none());
            assert!(exceptions.create(&store, tag, usize::MAX / 4).is_none());
        }
    }
}
