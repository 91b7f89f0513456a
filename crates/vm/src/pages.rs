//! Advice to the kernel about pages that are about to be written.
//!
//! A page that is touched for the first time costs a fault; a start of a program that reads
//! or copies megabytes is mostly that. Advice changes no contents, and where the kernel does
//! not take it nothing is lost.
//!
//! Not here: mappings (`mmap`).
//!
//! # Safety
//!
//! The advice given here leaves all contents as they are, whoever has the bytes; addresses
//! that are not mapped are refused by the kernel.

use rustix::mm::{Advice, madvise};

/// What the machines we know use as a large page. On others the advice is about more or
/// fewer bytes than would be best.
const LARGE: usize = 2 << 20;

/// Fewer bytes than this are not worth the call.
const WORTH: usize = 256 << 10;

/// Asks for large pages where `bytes`, none of them touched yet, has room for whole ones.
pub fn prefer_large(bytes: &mut [u8]) {
    advise(
        bytes.as_mut_ptr(),
        bytes.len(),
        LARGE,
        Advice::LinuxHugepage,
    );
}

/// Makes the pages that lie within these bytes, which may be written, present all at once:
/// they are about to be.
pub(crate) fn populate(start: *mut u8, bytes: usize) {
    if bytes >= WORTH {
        advise(
            start,
            bytes,
            helve_fiber::page_size(),
            Advice::LinuxPopulateWrite,
        );
    }
}

fn advise(start: *mut u8, bytes: usize, unit: usize, advice: Advice) {
    let before = start.addr().wrapping_neg() % unit;
    let whole = bytes.saturating_sub(before) / unit * unit;
    if whole > 0 {
        // SAFETY: see the module. A refusal costs time only.
        let _ = unsafe { madvise(start.wrapping_add(before).cast(), whole, advice) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_stay_as_they_are_wherever_bytes_begin_and_end() {
        for len in [0, 1, 4095, WORTH, LARGE + 1, 3 * LARGE] {
            for skip in [0, 1, 4097] {
                let mut bytes: Vec<u8> = (0..len + skip).map(|i| (i % 251) as u8).collect();
                let expected = bytes.clone();
                prefer_large(&mut bytes[skip..]);
                populate(bytes[skip..].as_mut_ptr(), len);
                assert!(bytes == expected, "{len} bytes from {skip}");
            }
        }
    }
}
