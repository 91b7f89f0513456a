//! `wasi:http` 0.3: types, the client, and how requests are handed to a guest that exports
//! `handler`.
//!
//! Registered as 0.3.0. An imported `handler` (of the world `middleware`) is the network
//! too, unless the embedder links another component there.

pub mod bindings;
mod body;
mod client;
mod fields;
mod options;
mod request;
mod response;
mod service;

pub use service::{Answer, Service};

use crate::{HasWasiHttp, WasiHttpView};
use helve::Result;
use helve::component::Linker;

/// Adds `wasi:http`; everything else that a service imports is in
/// [`helve_wasi::p3::add_to_linker`].
///
/// # Errors
/// Where `linker` already has one of the names and does not allow shadowing.
pub fn add_to_linker<T: WasiHttpView>(linker: &mut Linker<T>) -> Result<()> {
    bindings::Http::add_to_linker::<T, HasWasiHttp>(linker, T::http)
}
