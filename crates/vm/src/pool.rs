//! Address space for memories, kept for reuse: the next guest finds it as if it were new.
//!
//! ```text
//!            take (image, bytes)                       drop
//!   idle ------------------------> in use by a memory -------> reset --> idle
//!    |      same image: nothing to do                   written pages: copied back from the
//!    |      else: image mapped anew                     image, or zeroed; past
//!    +-- too many idle: unmapped                        `keep_resident`: given back
//! ```
//!
//! A memory of which its owner knows that nobody has written to it needs no reset.
//!
//! A slot that waits is already clean: no byte of one memory is there when the next one
//! gets the slot. The accessible part is cut or extended when it is taken.
//!
//! Not here: which pages were written (`dirty`), mapping (`mmap`).
//!
//! # Safety
//!
//! A slot that is reset belongs to nobody: its memory is gone, and no guest runs in it.
//! Writes go to runs of pages within the accessible part.

use crate::dirty;
use crate::image::MemoryImage;
use crate::mmap::Reservation;
use helve_base::vmctx::MEMORY32_RESERVATION;
use helve_base::{Result, ensure};
use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ops::{Deref, Range};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a pool of memories makes and keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPoolConfig {
    /// Most memories in use at one time.
    pub most: usize,
    /// Most unused slots kept; with 0 each memory is mapped when it is made and unmapped
    /// when it goes.
    pub keep: usize,
    /// Bytes of written pages that an unused slot keeps, cleaned; pages past that are
    /// given back to the system.
    pub keep_resident: usize,
    /// Whether to ask the kernel which pages were written. If not, all pages are given
    /// back, and `keep_resident` says nothing.
    pub scan: bool,
}

/// Memories of 32 bits, pooled.
#[derive(Debug)]
pub struct MemoryPool {
    config: MemoryPoolConfig,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Slot>,
    used: usize,
}

/// Address space with what is mapped into it.
#[derive(Debug)]
struct Slot {
    space: Reservation,
    image: Option<Arc<MemoryImage>>,
    own: Own,
    /// Bytes that were accessible when it was taken.
    first: usize,
}

/// Which pages a slot has of its own, all of them clean while nobody has it: those that
/// earlier memories wrote and that were not given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Own {
    None,
    Some,
    All,
}

/// Address space in use by one memory; goes back to its pool when dropped.
#[derive(Debug)]
pub(crate) struct Space {
    slot: ManuallyDrop<Slot>,
    pool: Option<Arc<MemoryPool>>,
    /// Whether it is as it was when it was taken, for sure.
    untouched: Cell<bool>,
    /// Whether pages that guests usually write are to be made its own first.
    cold: Cell<bool>,
}

/// How a memory leaves its slot.
enum Left {
    Untouched,
    Written,
    /// Written, and looked at: what guests only read is there too, which makes looking at
    /// the slot slow for ever, so it is let go for once.
    LookedAt,
}

/// Whether the system says which pages were written.
pub fn can_scan() -> bool {
    dirty::written(std::ptr::null_mut(), 0, &mut |_| false)
}

impl MemoryPool {
    /// An empty pool.
    pub fn new(config: MemoryPoolConfig) -> Arc<MemoryPool> {
        Arc::new(MemoryPool {
            config,
            state: Mutex::default(),
        })
    }

    /// Memories that are in use.
    pub fn used(&self) -> usize {
        self.state().used
    }

    /// Slots that wait for reuse.
    pub fn idle(&self) -> usize {
        self.state().idle.len()
    }

    /// Unmaps all slots that wait.
    pub fn clear(&self) {
        let idle = std::mem::take(&mut self.state().idle);
        drop(idle); // without the lock
    }

    /// Address space for a 32-bit memory of `bytes` that starts as `image`.
    pub(crate) fn take(
        self: &Arc<MemoryPool>,
        bytes: usize,
        image: Option<&Arc<MemoryImage>>,
    ) -> Result<Space> {
        let idle = {
            let mut state = self.state();
            ensure!(
                state.used < self.config.most,
                "all {} memories of the pool are in use; raise PoolingAllocationConfig::total_memories, or keep fewer instances at one time",
                self.config.most
            );
            state.used += 1;
            best(&mut state.idle, image)
        };
        let slot = match idle {
            Some(slot) => prepare(slot, bytes, image),
            None => fresh(bytes, image).or_else(|_| {
                // Too many mappings, perhaps: those that wait are not worth more.
                self.clear();
                fresh(bytes, image)
            }),
        };
        match slot {
            Ok(slot) => Ok(Space::new(slot, Some(self.clone()))),
            Err(error) => {
                self.state().used -= 1;
                Err(error)
            }
        }
    }

    fn put(&self, mut slot: Slot, left: Left) {
        let clean = self.config.keep > 0
            && match left {
                Left::Untouched => true,
                Left::Written => slot.reset(&self.config),
                Left::LookedAt => slot.discard(),
            };
        let mut state = self.state();
        state.used -= 1;
        if clean && state.idle.len() < self.config.keep {
            state.idle.push(slot);
        } else {
            drop(state); // unmapping needs no lock
            drop(slot);
        }
    }

    /// Nothing panics under this lock; were it poisoned, its state would still hold.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A slot with this very image, the last that came back; else one that has none; else the
/// one that waits longest.
fn best(idle: &mut Vec<Slot>, image: Option<&Arc<MemoryImage>>) -> Option<Slot> {
    let is_same = |slot: &Slot| slot.image.as_ref().map(Arc::as_ptr) == image.map(Arc::as_ptr);
    let place = idle
        .iter()
        .rposition(is_same)
        .or_else(|| idle.iter().rposition(|slot| slot.image.is_none()));
    match place {
        Some(place) => Some(idle.swap_remove(place)),
        None if idle.is_empty() => None,
        None => Some(idle.swap_remove(0)),
    }
}

/// A slot of its own for `bytes` that start as `image`.
fn fresh(bytes: usize, image: Option<&Arc<MemoryImage>>) -> Result<Slot> {
    let reserve = usize::try_from(MEMORY32_RESERVATION).unwrap_or(usize::MAX);
    prepare(Slot::new(reserve)?, bytes, image)
}

/// A clean slot as one of `bytes` that start as `image`.
fn prepare(mut slot: Slot, bytes: usize, image: Option<&Arc<MemoryImage>>) -> Result<Slot> {
    let is_same = slot.image.as_ref().map(Arc::as_ptr) == image.map(Arc::as_ptr);
    if !is_same && let Some(old) = slot.image.take() {
        slot.space.map_zeros(old.range())?;
    }
    ensure!(
        slot.space.set_accessible(bytes),
        "cannot commit {bytes} bytes for a memory"
    );
    if !is_same && let Some(new) = image {
        slot.space.map_file(new.range(), new.file())?;
        slot.image = Some(new.clone());
        slot.own = slot.own.less();
    }
    if image.is_some_and(|image| image.is_learning()) && slot.own != Own::None {
        ensure!(slot.space.discard(0..bytes), "cannot clear a memory");
        slot.own = Own::None;
    }
    slot.first = slot.space.accessible();
    Ok(slot)
}

impl Own {
    /// When some were given back.
    fn less(self) -> Own {
        match self {
            Own::All => Own::Some,
            other => other,
        }
    }
}

impl Slot {
    fn new(reserve: usize) -> Result<Slot> {
        Ok(Slot {
            space: Reservation::new(reserve)?,
            image: None,
            own: Own::None,
            first: 0,
        })
    }

    /// Gives all its pages back.
    fn discard(&mut self) -> bool {
        self.own = Own::None;
        self.space.discard(0..self.space.accessible())
    }

    /// Looks which pages its guest wrote, while that is of interest and can be told.
    fn look(&self) -> bool {
        let Some(image) = self.image.as_ref().filter(|image| image.is_learning()) else {
            return false;
        };
        if self.own != Own::None {
            return false;
        }
        let mut runs = Vec::new();
        let known = dirty::written(self.space.base(), self.first, &mut |run| {
            runs.push(run);
            true
        });
        if known {
            image.learn(&runs);
        }
        known
    }

    /// Makes it as it was when it was prepared; `false` where that fails.
    fn reset(&mut self, config: &MemoryPoolConfig) -> bool {
        let bytes = self.space.accessible();
        if !config.scan {
            return self.discard();
        }
        let mut room = config.keep_resident / helve_fiber::page_size() * helve_fiber::page_size();
        // Where `room` ended.
        let mut full = None;
        let known = dirty::written(self.space.base(), bytes, &mut |run| {
            let kept = run.len().min(room);
            room -= kept;
            self.restore(run.start..run.start + kept);
            if kept < run.len() {
                full = Some(run.start + kept);
            }
            full.is_none()
        });
        self.own = match full {
            _ if !known => Own::None,
            Some(_) => Own::Some,
            None => Own::All,
        };
        match full {
            _ if !known => self.space.discard(0..bytes),
            Some(rest) => self.space.discard(rest..bytes),
            None => true,
        }
    }

    /// Copies the image, and zeros around it, back to `run`.
    fn restore(&self, run: Range<usize>) {
        let zero = |part: Range<usize>| {
            if part.start < part.end {
                // SAFETY: see the module.
                unsafe { self.space.base().add(part.start).write_bytes(0, part.len()) };
            }
        };
        let Some(image) = &self.image else {
            return zero(run);
        };
        let range = image.range();
        zero(run.start..run.end.min(range.start));
        zero(run.start.max(range.end)..run.end);
        let (from, to) = (run.start.max(range.start), run.end.min(range.end));
        let part = from.wrapping_sub(range.start)..to.wrapping_sub(range.start);
        if let (true, Some(part)) = (from < to, image.contents().get(part)) {
            // SAFETY: see the module; the image's view is no memory's.
            unsafe {
                let to = self.space.base().add(from);
                to.copy_from_nonoverlapping(part.as_ptr(), part.len());
            }
        }
    }
}

impl Space {
    /// Address space of `reserve` bytes that is in no pool.
    pub(crate) fn single(
        reserve: usize,
        bytes: usize,
        image: Option<&Arc<MemoryImage>>,
    ) -> Result<Space> {
        let slot = prepare(Slot::new(reserve)?, bytes, image)?;
        Ok(Space::new(slot, None))
    }

    fn new(slot: Slot, pool: Option<Arc<MemoryPool>>) -> Space {
        let usual = slot.image.as_ref().map_or(&[][..], |image| image.usual());
        Space {
            untouched: Cell::new(false),
            cold: Cell::new(slot.own != Own::All && !usual.is_empty()),
            slot: ManuallyDrop::new(slot),
            pool,
        }
    }

    /// It is as it was when it was taken: there is nothing to reset. Until somebody says so
    /// it is taken for written to.
    pub(crate) fn set_untouched(&self) {
        self.untouched.set(true);
    }

    /// From now on it may be written to.
    pub(crate) fn touch(&self) {
        self.untouched.set(false);
        if self.cold.replace(false)
            && let Some(image) = &self.slot.image
        {
            let runs = image.usual().iter();
            runs.for_each(|run| self.slot.space.populate(run.clone()));
        }
    }
}

impl Deref for Space {
    type Target = Reservation;

    fn deref(&self) -> &Reservation {
        &self.slot.space
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // SAFETY: `slot` is not used again: this is the drop.
        let slot = unsafe { ManuallyDrop::take(&mut self.slot) };
        let asks = self.pool.as_ref().is_none_or(|pool| pool.config.scan);
        let state = match self.untouched.get() {
            true => Left::Untouched,
            false if asks && slot.look() => Left::LookedAt,
            false => Left::Written,
        };
        match &self.pool {
            Some(pool) => pool.put(slot, state),
            None => drop(slot),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 65536;

    fn pool(keep_resident: usize, scan: bool) -> Arc<MemoryPool> {
        MemoryPool::new(MemoryPoolConfig {
            most: 3,
            keep: 2,
            keep_resident,
            scan,
        })
    }

    fn bytes(space: &Space) -> &[u8] {
        // SAFETY: accessible, and nobody writes meanwhile.
        unsafe { std::slice::from_raw_parts(space.base(), space.accessible()) }
    }

    fn write(space: &Space, at: usize, byte: u8) {
        assert!(at < space.accessible());
        // SAFETY: accessible, and ours.
        unsafe { space.base().add(at).write_volatile(byte) };
    }

    /// What a memory of `len` bytes with `image` must hold.
    fn expected(len: usize, image: &[(usize, &[u8])]) -> Vec<u8> {
        let mut all = vec![0; len];
        for (at, part) in image {
            all[*at..at + part.len()].copy_from_slice(part);
        }
        all
    }

    /// Slots go from memory to memory of all kinds, each of which writes everywhere:
    /// whatever the settings, the next one starts as a new one would.
    #[test]
    fn nothing_is_seen_of_the_memory_before() {
        let dense = vec![7u8; 3 * PAGE];
        let images: [&[(usize, &[u8])]; 4] = [
            &[],
            &[(5000, b"hello"), (70_000, &dense[..9000])],
            &[(0, &dense)],
            &[(4 * PAGE - 3, b"end")],
        ];
        let made = images.map(MemoryImage::new);
        for (resident, scan) in [
            (0, true),
            (4096, true),
            (100_000, true),
            (1 << 30, true),
            (9, false),
        ] {
            let pool = pool(resident, scan);
            let mut seed = 1u32;
            let mut random = |below: usize| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 8) as usize % below
            };
            for round in 0..200 {
                let kind = random(4);
                let len = (4 + random(3)) * PAGE;
                let space = pool.take(len, made[kind].as_ref()).unwrap();
                assert_eq!(
                    bytes(&space),
                    expected(len, images[kind]),
                    "{resident} {scan} {round}"
                );
                assert!(space.commit(len + random(3) * PAGE));
                assert!(bytes(&space)[len..].iter().all(|&byte| byte == 0));
                match random(4) {
                    0 => {}
                    1 => (0..space.accessible()).for_each(|at| write(&space, at, 0xee)),
                    _ => (0..40).for_each(|_| write(&space, random(space.accessible()), 0xdd)),
                }
            }
            assert_eq!((pool.used(), pool.idle()), (0, 1));
        }
    }

    #[test]
    fn pools_are_bounded() {
        let pool = pool(1 << 20, true);
        let three: Vec<Space> = (0..3).map(|_| pool.take(PAGE, None).unwrap()).collect();
        let error = pool.take(PAGE, None).unwrap_err().to_string();
        assert!(error.contains("all 3 memories"), "{error}");
        drop(three);
        assert_eq!((pool.used(), pool.idle()), (0, 2));
        pool.clear();
        assert_eq!(pool.idle(), 0);
        assert!(pool.take(PAGE, None).is_ok());
    }

    /// What the first guests write is there for later ones before they write, and holds the
    /// same.
    #[test]
    fn usual_pages_are_made_first() {
        let page = helve_fiber::page_size();
        let dense = vec![7u8; 3 * PAGE];
        let own = |space: &Space| {
            let mut pages = Vec::new();
            dirty::written(space.base(), space.accessible(), &mut |run| {
                pages.extend(run.step_by(page).map(|at| at / page));
                true
            });
            pages
        };
        for pool in [Some(pool(1 << 20, true)), None] {
            let image = MemoryImage::new(&[(PAGE, &dense)]);
            let take = || match &pool {
                Some(pool) => pool.take(5 * PAGE, image.as_ref()),
                None => Space::single(6 * PAGE, 5 * PAGE, image.as_ref()),
            };
            for round in 0..8 {
                let space = take().unwrap();
                space.set_untouched();
                space.touch();
                if round >= 3 {
                    assert_eq!(own(&space), [0, 20, 21], "round {round}");
                }
                let expected = expected(5 * PAGE, &[(PAGE, &dense)]);
                assert_eq!(bytes(&space), expected, "round {round}");
                for at in [0, 20, 21, 30 + round] {
                    if round < 3 || at < 30 {
                        write(&space, at * page + 9, 1);
                    }
                }
            }
        }
    }

    #[test]
    fn slots_go_to_memories_of_the_same_image_first() {
        let pool = pool(1 << 20, true);
        let images = [1, 2].map(|byte| MemoryImage::new(&[(0, &[byte; 100])]));
        let spaces = images
            .each_ref()
            .map(|image| pool.take(PAGE, image.as_ref()).unwrap());
        let bases = spaces.each_ref().map(|space| space.base());
        drop(spaces);
        for i in [1, 0, 0, 1] {
            let space = pool.take(PAGE, images[i].as_ref()).unwrap();
            assert_eq!(space.base(), bases[i]);
        }
    }
}
