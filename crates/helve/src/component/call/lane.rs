//! One core value of a flattened call, as a typed cell.
//!
//! ```text
//!  argument array of a trampoline:   | lane 0 | lane 1 | ...      16 bytes each
//!  a lane:                           | bits (8 bytes) | not ours (8 bytes) |
//! ```
//!
//! Why not [`helve_base::vmctx::ValRaw`] itself: that is a union, so reading one is
//! `unsafe`, and derives expand into embedders' code. A lane has the same size and
//! alignment, and writing one always writes all 64 bits, zero-extended. That is exactly
//! how the spec widens what variants join (`i32` and `f32` in an `i64` lane), and
//! reading the low bits is how it narrows, so joined lanes need no code at all.
//!
//! Not here: which values become which lanes (`typed`, `lift`, `lower`).
//!
//! # Safety
//!
//! [`lanes_mut`] looks at an argument array as lanes: same size, same alignment, and the
//! 64 bits of each are there, as trampolines store whole words or leave what was there.

use helve_base::vmctx::ValRaw;
use std::mem::MaybeUninit;

/// One core value; see the module.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub struct Lane {
    bits: u64,
    rest: MaybeUninit<u64>,
}

const _: () =
    assert!(size_of::<Lane>() == size_of::<ValRaw>() && align_of::<Lane>() == align_of::<ValRaw>());

impl Lane {
    /// All bits zero: what lanes that no payload uses must be.
    pub const ZERO: Lane = Lane::from_u64(0);

    /// An `i32`.
    #[inline]
    pub const fn from_u32(value: u32) -> Lane {
        Lane::from_u64(value as u64)
    }

    /// An `i64`.
    #[inline]
    pub const fn from_u64(value: u64) -> Lane {
        Lane {
            bits: value,
            rest: MaybeUninit::uninit(),
        }
    }

    /// The value of an `i32` or, by its bits, of an `f32`.
    #[inline]
    pub const fn u32(self) -> u32 {
        self.bits as u32
    }

    /// The value of an `i64` or, by its bits, of an `f64`.
    #[inline]
    pub const fn u64(self) -> u64 {
        self.bits
    }
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#x}", self.bits)
    }
}

/// The array of a host call as lanes.
pub(crate) fn lanes_mut(args: &mut [ValRaw]) -> &mut [Lane] {
    // SAFETY: same layout (asserted above); a lane has no invalid bits.
    unsafe { std::slice::from_raw_parts_mut(args.as_mut_ptr().cast(), args.len()) }
}
