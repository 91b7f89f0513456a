//! Executable memory that is filled function by function, while its code runs.
//!
//! ```text
//!   code   | function 0 | pad | function 1 | pad | ... free ...   |   bump allocated
//!   index  [ record 0,          record 1,          null, null ... ]   by start, published
//!                                                                     by `count`
//! ```
//!
//! Functions are never taken out again one by one: a region lives as long as whoever may
//! run any of its code. Where the system refuses two views of one memory, a region takes
//! one function only, and is sealed by it.
//!
//! Not here: the mapping (`executable`), images known as a whole (`code`), who decides
//! what is compiled (the embedder).
//!
//! # Safety
//!
//! A record is written once, before `count` (release) says that it is there, and freed
//! with the region. Readers, the signal handler among them, look at records below `count`
//! (acquire) only. The region is published in the registry as long as it lives, and the
//! handler only asks about code that is running, whose region therefore lives.

use crate::executable::{Executable, Views};
use crate::registry;
use helve_base::vmctx::CodePtr;
use helve_base::{Handler, Result, Trap, ensure, handler};
use std::any::Any;
use std::ops::Range;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Every function starts at a multiple of at least this.
const ALIGNMENT: usize = 32;

/// Bytes of code for each place in the index. Functions are rarely this small; a region
/// of many that are counts as full early.
const BYTES_PER_RECORD: usize = 256;

/// Code that grows.
pub struct CodeRegion {
    start: usize,
    bytes: usize,
    fill: Mutex<Fill>,
    index: Index,
}

/// What only the one who appends may touch.
struct Fill {
    memory: Executable,
    used: usize,
}

/// The functions of a region, by start.
pub(crate) struct Index {
    records: Box<[AtomicPtr<Record>]>,
    count: AtomicUsize,
}

/// One function.
struct Record {
    start: u32,
    len: u32,
    /// By offset from the function's start.
    traps: Box<[(u32, Trap)]>,
    /// By return address, from the function's start too.
    handlers: Box<[Handler]>,
    tag: Arc<dyn Any + Send + Sync>,
}

impl CodeRegion {
    /// An empty region for about `bytes` of code.
    pub fn new(bytes: usize) -> Result<Arc<CodeRegion>> {
        CodeRegion::new_in(bytes, Views::Preferred)
    }

    fn new_in(bytes: usize, views: Views) -> Result<Arc<CodeRegion>> {
        ensure!(
            u32::try_from(bytes).is_ok(),
            "{bytes} bytes of code in one region; at most 4 GiB are possible"
        );
        let memory = Executable::new(bytes, views)?;
        let bytes = memory.bytes();
        let places = if memory.has_two_views() {
            bytes.div_ceil(BYTES_PER_RECORD)
        } else {
            1
        };
        let records = std::iter::repeat_with(|| AtomicPtr::new(null_mut()));
        let region = Arc::new(CodeRegion {
            start: memory.run().addr().get(),
            bytes,
            fill: Mutex::new(Fill { memory, used: 0 }),
            index: Index {
                records: records.take(places).collect(),
                count: AtomicUsize::new(0),
            },
        });
        registry::register_region(&region);
        Ok(region)
    }

    /// Adds a function, which is position independent; `None` where there is no room.
    /// `traps` and `handlers` are offsets in it, sorted. `tag` is for the embedder, who
    /// gets it back from [`crate::code::find`].
    ///
    /// # Errors
    ///
    /// Where the system does not let the code be executable.
    pub fn append(
        &self,
        code: &[u8],
        alignment: u32,
        traps: Vec<(u32, Trap)>,
        handlers: Vec<Handler>,
        tag: Arc<dyn Any + Send + Sync>,
    ) -> Result<Option<CodePtr>> {
        let mut fill = self.fill.lock().unwrap_or_else(PoisonError::into_inner);
        let alignment = ALIGNMENT.max(alignment as usize);
        let Some(start) = fill.used.checked_next_multiple_of(alignment) else {
            return Ok(None);
        };
        let fits = start
            .checked_add(code.len())
            .is_some_and(|end| end <= self.bytes);
        let place = self.index.count.load(Ordering::Relaxed);
        let Some(slot) = self.index.records.get(place).filter(|_| fits) else {
            return Ok(None);
        };
        fill.memory.write(start, code)?;
        if !fill.memory.has_two_views() {
            fill.memory.seal()?;
        }
        fill.used = start + code.len();
        let record = Box::new(Record {
            start: start as u32,
            len: code.len() as u32,
            traps: traps.into(),
            handlers: handlers.into(),
            tag,
        });
        slot.store(Box::into_raw(record), Ordering::Release);
        self.index.count.store(place + 1, Ordering::Release);
        let run: CodePtr = fill.memory.run().as_ptr();
        Ok(Some(run.wrapping_add(start)))
    }

    /// Its addresses.
    pub fn range(&self) -> Range<usize> {
        self.start..self.start + self.bytes
    }

    /// Bytes of code in it.
    pub fn used(&self) -> usize {
        self.fill
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .used
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// The tag of the function at `pc`, and where in the function that is.
    pub(crate) fn find(&self, pc: usize) -> Option<(Arc<dyn Any + Send + Sync>, u32)> {
        let offset = u32::try_from(pc.checked_sub(self.start)?).ok()?;
        let record = self.index.at(offset)?;
        Some((record.tag.clone(), offset - record.start))
    }
}

impl Index {
    /// The trap of the instruction at `offset` in the region. Async-signal-safe.
    pub(crate) fn trap_at(&self, offset: u32) -> Option<Trap> {
        let record = self.at(offset)?;
        let inside = offset - record.start;
        let i = record
            .traps
            .binary_search_by_key(&inside, |&(at, _)| at)
            .ok()?;
        record.traps.get(i).map(|&(_, trap)| trap)
    }

    /// The handler of the call that returns to `offset` in the region.
    pub(crate) fn handler_at(&self, offset: u32) -> Option<Handler> {
        let record = self.at(offset)?;
        let found = handler::find(&record.handlers, offset - record.start)?;
        Some(found.moved(record.start))
    }

    fn at(&self, offset: u32) -> Option<&Record> {
        let published = self.records.get(..self.count.load(Ordering::Acquire))?;
        let get = |slot: &AtomicPtr<Record>| {
            // SAFETY: below `count`: a record that lives as long as the region.
            unsafe { slot.load(Ordering::Acquire).as_ref() }
        };
        let after = published.partition_point(|slot| get(slot).is_some_and(|r| r.start <= offset));
        let record = get(published.get(after.checked_sub(1)?)?)?;
        (offset - record.start < record.len).then_some(record)
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        for slot in &self.records[..*self.count.get_mut()] {
            let record = slot.load(Ordering::Relaxed);
            if !record.is_null() {
                // SAFETY: made by `Box::into_raw`, and nobody else has it any more.
                drop(unsafe { Box::from_raw(record) });
            }
        }
    }
}

impl Drop for CodeRegion {
    fn drop(&mut self) {
        registry::unregister(self.start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code;

    /// A function that traps at its second byte.
    fn append(region: &CodeRegion, len: usize, tag: u32) -> Option<CodePtr> {
        let code = vec![0xc3; len];
        let traps = vec![(1, Trap::Unreachable)];
        region
            .append(&code, 16, traps, Vec::new(), Arc::new(tag))
            .unwrap()
    }

    #[test]
    fn functions_are_found_as_they_come() {
        let region = CodeRegion::new_in(4096, Views::Preferred).unwrap();
        let mut starts = Vec::new();
        for tag in 0..3 {
            starts.push(append(&region, 5 + tag as usize, tag).unwrap().addr());
            for (expected, &start) in starts.iter().enumerate() {
                let (tag, offset) = code::find(start + 4).unwrap();
                assert_eq!(tag.downcast_ref::<u32>(), Some(&(expected as u32)));
                assert_eq!(offset, 4);
                assert_eq!(registry::trap_at(start + 1), Some(Trap::Unreachable));
                assert_eq!(registry::trap_at(start), None);
                assert!(code::find(start + 20).is_none());
            }
        }
        let last = starts[2];
        drop(region);
        assert!(code::find(last).is_none());
    }

    #[test]
    fn a_region_says_when_it_is_full() {
        for (views, room) in [(Views::Preferred, 4096 / BYTES_PER_RECORD), (Views::One, 1)] {
            let region = CodeRegion::new_in(4096, views).unwrap();
            let count = (0..1000)
                .take_while(|&tag| append(&region, ALIGNMENT, tag).is_some())
                .count();
            assert_eq!(count, room, "{views:?}");
            assert!(append(&region, 5000, 0).is_none());
        }
    }

    #[test]
    fn threads_append_and_run_at_once() {
        let region = CodeRegion::new(1 << 20).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4u32 {
                let region = &region;
                scope.spawn(move || {
                    for i in 0..500u32 {
                        let number = thread * 1000 + i;
                        let mut code = vec![0xb8];
                        code.extend(number.to_le_bytes());
                        code.push(0xc3);
                        let tag = Arc::new(number);
                        let at = region.append(&code, 16, vec![], vec![], tag).unwrap();
                        let at = at.unwrap();
                        let (tag, _) = code::find(at.addr()).unwrap();
                        assert_eq!(tag.downcast_ref(), Some(&number));
                        if cfg!(target_arch = "x86_64") {
                            // SAFETY: the bytes are a function of this type.
                            let f: extern "C" fn() -> u32 = unsafe { std::mem::transmute(at) };
                            assert_eq!(f(), number);
                        }
                    }
                });
            }
        });
    }
}
