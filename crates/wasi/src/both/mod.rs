//! What is the same in the faces of 0.2 and 0.3 but for names and the type of its errors.
//!
//! ```text
//!   p2: "local-address"      --+
//!                              +--> facts, options --> host/net
//!   p3: "get-local-address"  --+
//! ```
//!
//! Not here: what the versions do in different ways (`p2`, `p3`), and what is done at all
//! (`host`).

pub mod cli;
pub mod socket;
