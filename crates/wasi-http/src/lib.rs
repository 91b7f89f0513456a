//! `wasi:http` for Helve: the client, and what servers are made of.
//!
//! ```text
//!   p2/*  thin faces: WASI 0.2's names and types   --+
//!   p3/*  the same of WASI 0.3                     --+--> host/*  fields, bodies, client
//!   server  requests of a network to instances     --+
//! ```
//!
//! What a guest may send where is granted with the rest of the network, in
//! [`helve_wasi::WasiCtx`]; without a grant every request is denied.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod ctx;
pub mod host;
pub mod p2;
pub mod p3;
pub mod server;

pub use ctx::{HasWasiHttp, WasiHttpCtx, WasiHttpCtxView, WasiHttpView};
