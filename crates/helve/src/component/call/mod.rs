//! What every call across a component's border is made of.
//!
//! ```text
//!  host -> guest:  lower args | enter | core function | leave | lift result | post-return
//!  guest -> host:  lift args  | host function  | lower result
//!  guest -> guest: both at once (adapter)
//! ```

pub(crate) mod adapter;
pub(crate) mod enter;
pub(crate) mod host;
pub(crate) mod lane;
pub(crate) mod memory;
pub(crate) mod options;
pub(crate) mod scope;
