//! Which code is at a pc: for the signal handler without locks, for others with one.
//!
//! ```text
//!   MASTER (mutex)   start -> (range, traps, Weak owner)            the truth
//!      | every change publishes a sorted copy
//!      v
//!   SNAPSHOT (atomic pointer) -> [range, traps] ...                 what handlers read
//!   RETIRED (in MASTER): old snapshots, freed once no handler is reading
//! ```
//!
//! A handler counts itself in `READERS` before it loads the snapshot. A writer swaps the
//! snapshot, then frees the retired ones if it sees no reader; in the one order of all
//! sequentially consistent operations, a handler that loaded an old snapshot is seen.
//!
//! Not here: the memory itself (`code`).
//!
//! # Safety
//!
//! A snapshot is freed only when no handler reads it. The trap table that an entry points
//! to belongs to the code that the handler's thread was executing, which is therefore
//! still published.

use crate::code::CodeMemory;
use crate::region::{CodeRegion, Index};
use helve_base::{Handler, Trap, handler};
use std::collections::BTreeMap;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// One published range of code.
#[derive(Clone, Copy)]
struct Entry {
    start: usize,
    end: usize,
    tables: Tables,
}

/// Where the traps and handlers of a range are.
#[derive(Clone, Copy)]
enum Tables {
    /// Sorted by offset from the range's start.
    Image {
        traps: *const [(u32, Trap)],
        handlers: *const [Handler],
        ends_exceptions: bool,
    },
    /// With the functions of a region, which grows.
    Region(*const Index),
}

/// What an exception finds at a return address.
pub(crate) enum Catch {
    /// Nothing: it goes on to the calling frame.
    Nothing,
    /// Where it lands: an address, and the bytes of the frame.
    Landing(usize, u32),
    /// It may not leave this code.
    End,
}

/// Whose range it is.
enum Owner {
    Image(Weak<CodeMemory>),
    Region(Weak<CodeRegion>),
}

/// What is at a pc.
pub(crate) enum Found {
    Image(Arc<CodeMemory>),
    Region(Arc<CodeRegion>),
}

// SAFETY: the tables are immutable, and alive while the code is (see the head).
unsafe impl Send for Entry {}

struct Master {
    code: BTreeMap<usize, (Entry, Owner)>,
    retired: Vec<Retired>,
}

/// A snapshot that handlers may still be reading.
struct Retired(*mut Vec<Entry>);

// SAFETY: an owned box.
unsafe impl Send for Retired {}

static MASTER: Mutex<Master> = Mutex::new(Master {
    code: BTreeMap::new(),
    retired: Vec::new(),
});
static SNAPSHOT: AtomicPtr<Vec<Entry>> = AtomicPtr::new(null_mut());
static READERS: AtomicUsize = AtomicUsize::new(0);

/// Makes `code` known, before anyone can run it.
pub(crate) fn register(code: &Arc<CodeMemory>) {
    let range = code.range();
    let entry = Entry {
        start: range.start,
        end: range.end,
        tables: Tables::Image {
            traps: code.traps(),
            handlers: code.handlers(),
            ends_exceptions: code.ends_exceptions(),
        },
    };
    insert(entry, Owner::Image(Arc::downgrade(code)));
}

/// Makes a region known, before there is code in it.
pub(crate) fn register_region(region: &Arc<CodeRegion>) {
    let range = region.range();
    let entry = Entry {
        start: range.start,
        end: range.end,
        tables: Tables::Region(region.index()),
    };
    insert(entry, Owner::Region(Arc::downgrade(region)));
}

fn insert(entry: Entry, owner: Owner) {
    let mut master = master();
    master.code.insert(entry.start, (entry, owner));
    publish(&mut master);
}

/// Forgets the code that starts at `start`, which nobody runs any more.
pub(crate) fn unregister(start: usize) {
    let mut master = master();
    master.code.remove(&start);
    publish(&mut master);
}

/// The code at `pc`.
pub(crate) fn find(pc: usize) -> Option<Found> {
    let master = master();
    let (_, (entry, owner)) = master.code.range(..=pc).next_back()?;
    if pc >= entry.end {
        return None;
    }
    match owner {
        Owner::Image(code) => Some(Found::Image(code.upgrade()?)),
        Owner::Region(region) => Some(Found::Region(region.upgrade()?)),
    }
}

/// The trap at exactly `pc`. Async-signal-safe.
pub(crate) fn trap_at(pc: usize) -> Option<Trap> {
    with_entry(pc, |entry, offset| match entry.tables {
        Tables::Image { traps, .. } => {
            // SAFETY: `pc` was being executed, so its code and table are alive.
            let traps = unsafe { &*traps };
            let i = traps.binary_search_by_key(&offset, |&(at, _)| at).ok()?;
            traps.get(i).map(|&(_, trap)| trap)
        }
        // SAFETY: as above.
        Tables::Region(index) => unsafe { &*index }.trap_at(offset),
    })
}

/// What an exception finds in a frame whose innermost call returns to `pc`; that frame is
/// on the stack, so its code is alive.
pub(crate) fn catch_at(pc: usize) -> Catch {
    let found = with_entry(pc, |entry, offset| {
        let handler = match entry.tables {
            Tables::Image {
                ends_exceptions: true,
                ..
            } => return Some(Catch::End),
            // SAFETY: `pc` is to be executed, so its code and table are alive.
            Tables::Image { handlers, .. } => handler::find(unsafe { &*handlers }, offset),
            // SAFETY: as above.
            Tables::Region(index) => unsafe { &*index }.handler_at(offset),
        };
        let Handler { landing, frame, .. } = handler?;
        Some(Catch::Landing(entry.start + landing as usize, frame))
    });
    found.unwrap_or(Catch::Nothing)
}

/// Runs `f` on the range that `pc` is in, if there is one, and on the offset in it.
fn with_entry<R>(pc: usize, f: impl FnOnce(&Entry, u32) -> Option<R>) -> Option<R> {
    READERS.fetch_add(1, SeqCst);
    let snapshot = SNAPSHOT.load(SeqCst);
    // SAFETY: null or a snapshot that is not freed while we are counted.
    let found = unsafe { snapshot.as_ref() }.and_then(|entries| {
        let after = entries.partition_point(|e| e.start <= pc);
        let entry = entries.get(after.checked_sub(1)?)?;
        let offset = u32::try_from(pc - entry.start).ok()?;
        (pc < entry.end).then(|| f(entry, offset))?
    });
    READERS.fetch_sub(1, SeqCst);
    found
}

fn publish(master: &mut Master) {
    let entries: Vec<Entry> = master.code.values().map(|&(entry, _)| entry).collect();
    let old = SNAPSHOT.swap(Box::into_raw(Box::new(entries)), SeqCst);
    if !old.is_null() {
        master.retired.push(Retired(old));
    }
    if READERS.load(SeqCst) == 0 {
        for Retired(old) in master.retired.drain(..) {
            // SAFETY: made by `Box::into_raw`, swapped out, and nobody reads it.
            drop(unsafe { Box::from_raw(old) });
        }
    }
}

/// Nothing panics under this lock; were it poisoned, its state would still hold.
fn master() -> MutexGuard<'static, Master> {
    MASTER.lock().unwrap_or_else(PoisonError::into_inner)
}
