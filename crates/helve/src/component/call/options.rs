//! Canonical options with their core functions and memory found: ready to call.
//!
//! Not here: which options are allowed where (validation); layouts (`helve_abi`).

use crate::component::call::enter::CoreFunc;
use crate::component::call::memory::GuestMemory;
use helve_abi::layout::PointerWidth;
use helve_abi::options::StringEncoding;
use helve_decode::plan::ComponentInstanceId;

/// What one lift or lower says about how values cross it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallOptions {
    /// Whose options they are.
    pub owner: ComponentInstanceId,
    /// How strings are encoded.
    pub encoding: StringEncoding,
    /// Width of addresses.
    pub width: PointerWidth,
    /// The memory that values are in.
    pub memory: Option<GuestMemory>,
    /// Allocates in it.
    pub realloc: Option<CoreFunc>,
    /// Called when the results have been read.
    pub post_return: Option<CoreFunc>,
}
