//! Which pages of a private mapping hold something of their own: those that a slot of a
//! pool has to reset.
//!
//! ```text
//!   never touched, or only read        not resident, a page of the file, or the zero page
//!   written                            an anonymous page: reported
//! ```
//!
//! Asked from the kernel by the ioctl `PAGEMAP_SCAN` (Linux 6.7), else by reading
//! `/proc/self/pagemap`, which cannot tell the zero page and so reports more. Where neither
//! is to be had the caller gives all pages back.
//!
//! # Safety
//!
//! The ioctl gets a request that describes its own size and the array that it may fill,
//! both on this frame.

use crate::mmap::Reservation;
use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// The kernel's page tables of this process, and of no child that was forked later.
struct Pagemap {
    file: File,
    process: Process,
}

/// A page that a forked child finds cleared, where the system can do that; else the number
/// of the process.
enum Process {
    Page(Reservation),
    Number(u32),
}

impl Process {
    fn current() -> Process {
        let page = Reservation::new(1).ok().filter(|page| {
            let ready = page.commit(1) && page.wipe_on_fork();
            if ready {
                // SAFETY: accessible, and ours.
                unsafe { page.base().write(1) };
            }
            ready
        });
        page.map_or_else(|| Process::Number(std::process::id()), Process::Page)
    }

    /// Whether this is still that process.
    fn is_current(&self) -> bool {
        match self {
            // SAFETY: accessible, and never written to again but by the system's clearing it.
            Process::Page(page) => unsafe { page.base().read_volatile() == 1 },
            Process::Number(number) => *number == std::process::id(),
        }
    }
}

// SAFETY: the page is only read.
unsafe impl Sync for Process {}

/// `PAGEMAP_SCAN`: read and write, 96 bytes, type `f`, number 16.
const PAGEMAP_SCAN: u64 = 0xc060_6610;

const IS_FILE: u64 = 1 << 2;
const IS_PRESENT: u64 = 1 << 3;
const IS_SWAPPED: u64 = 1 << 4;
const IS_ZERO_PAGE: u64 = 1 << 5;

/// The argument of `PAGEMAP_SCAN`.
#[repr(C)]
struct ScanRequest {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    regions: u64,
    regions_len: u64,
    most_pages: u64,
    inverted: u64,
    all_of: u64,
    any_of: u64,
    returned: u64,
}

/// What it answers with.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

/// Regions asked for at once.
const REGIONS: usize = 64;

/// Calls `each` with every run of written pages within `bytes` from `start` on, as
/// offsets from it, in order, until it answers `false`. `false` where the kernel does not
/// tell, perhaps after some calls.
pub(crate) fn written(
    start: *mut u8,
    bytes: usize,
    each: &mut dyn FnMut(Range<usize>) -> bool,
) -> bool {
    let Some(pagemap) = pagemap() else {
        return false;
    };
    static NO_SCAN: AtomicBool = AtomicBool::new(false);
    if !NO_SCAN.load(Ordering::Relaxed) {
        match scan(pagemap, start.addr(), bytes, each) {
            Some(()) => return true,
            None => NO_SCAN.store(true, Ordering::Relaxed),
        }
    }
    read(pagemap, start.addr(), bytes, each).is_ok()
}

fn pagemap() -> Option<&'static Pagemap> {
    static PAGEMAP: OnceLock<Option<Pagemap>> = OnceLock::new();
    let open = || {
        Some(Pagemap {
            file: File::open("/proc/self/pagemap").ok()?,
            process: Process::current(),
        })
    };
    let pagemap = PAGEMAP.get_or_init(open).as_ref();
    // The file shows the process that opened it: in a forked child, its parent.
    pagemap.filter(|pagemap| pagemap.process.is_current())
}

/// By the ioctl; `None` where the kernel does not know it.
fn scan(
    pagemap: &Pagemap,
    start: usize,
    bytes: usize,
    each: &mut dyn FnMut(Range<usize>) -> bool,
) -> Option<()> {
    let mut regions = [Region::default(); REGIONS];
    let (mut at, end) = (start as u64, (start + bytes) as u64);
    while at < end {
        let mut request = ScanRequest {
            size: size_of::<ScanRequest>() as u64,
            flags: 0,
            start: at,
            end,
            walk_end: 0,
            regions: regions.as_mut_ptr().expose_provenance() as u64,
            regions_len: REGIONS as u64,
            most_pages: 0,
            inverted: IS_FILE | IS_ZERO_PAGE,
            all_of: IS_FILE | IS_ZERO_PAGE,
            any_of: IS_PRESENT | IS_SWAPPED,
            returned: IS_PRESENT,
        };
        // SAFETY: see the module; the kernel writes `walk_end` and `regions` only.
        let found = unsafe {
            libc::ioctl(
                pagemap.file.as_raw_fd(),
                PAGEMAP_SCAN as _,
                &raw mut request,
            )
        };
        for region in regions.get(..usize::try_from(found).ok()?)? {
            let range = region.start as usize - start..region.end as usize - start;
            if !each(range) {
                return Some(());
            }
        }
        // No progress would be a kernel that does not keep its word.
        if request.walk_end <= at {
            return None;
        }
        at = request.walk_end;
    }
    Some(())
}

/// By the file: 8 bytes for each page; bit 63 present, 62 swapped, 61 of a file.
fn read(
    pagemap: &Pagemap,
    start: usize,
    bytes: usize,
    each: &mut dyn FnMut(Range<usize>) -> bool,
) -> std::io::Result<()> {
    let page = helve_fiber::page_size();
    let mut entries = [0u8; 8 * 512];
    let mut at = 0;
    while at < bytes {
        let pages = ((bytes - at) / page).clamp(1, 512);
        let Some(part) = entries.get_mut(..pages * 8) else {
            break;
        };
        pagemap
            .file
            .read_exact_at(part, ((start + at) / page * 8) as u64)?;
        for (i, entry) in part.chunks_exact(8).enumerate() {
            let flags = entry.last().copied().unwrap_or(0);
            let own = flags & 0b1100_0000 != 0 && flags & 0b0010_0000 == 0;
            let from = at + i * page;
            if own && !each(from..from + page) {
                return Ok(());
            }
        }
        at += pages * page;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every way of asking reports what was written, and not what was never touched.
    #[test]
    fn written_pages_are_found() {
        let page = helve_fiber::page_size();
        let space = Reservation::new(1000 * page).unwrap();
        assert!(space.commit(1000 * page));
        let pages = [0, 3, 4, 5, 511, 512, 513, 900, 999];
        for at in pages {
            // SAFETY: committed above, and ours.
            unsafe { space.base().add(at * page + 7).write_volatile(1) };
        }
        let pagemap = pagemap().expect("this process's page table");
        type Ask<'a> = dyn Fn(&mut dyn FnMut(Range<usize>) -> bool) -> bool + 'a;
        let start = space.base().addr();
        let ways: [&Ask<'_>; 3] = [
            &|each| written(space.base(), 1000 * page, each),
            // An old kernel answers that it doesn't know; then `written` doesn't use it.
            &|each| scan(pagemap, start, 1000 * page, each).is_some(),
            &|each| read(pagemap, start, 1000 * page, each).is_ok(),
        ];
        for (i, ask) in ways.iter().enumerate() {
            let mut found = Vec::new();
            let known = ask(&mut |range| {
                found.extend(range.step_by(page).map(|at| at / page));
                true
            });
            // A huge page may hold more than was written.
            let all = pages.iter().all(|page| found.contains(page));
            assert!(all || !known, "way {i}: {found:?}");
        }
        let mut calls = 0;
        written(space.base(), 1000 * page, &mut |_| {
            calls += 1;
            false
        });
        assert_eq!(calls, 1);
        let untouched = Reservation::new(1000 * page).unwrap();
        assert!(untouched.commit(1000 * page));
        // SAFETY: committed above.
        assert_eq!(unsafe { untouched.base().read_volatile() }, 0);
        assert!(written(untouched.base(), 1000 * page, &mut |range| panic!(
            "{range:?}"
        )));
    }
}
