//! One implementation of each thing that WASI gives to guests, whatever the version.
//!
//! A face (`p2`) translates names and types; what happens, and whether it may, is
//! decided here.

pub mod clock;
pub mod denied;
pub mod errno;
pub mod executor;
pub mod fs;
pub mod keyvalue;
pub mod net;
pub mod poll;
pub mod random;
pub mod stdio;
pub mod stream;
