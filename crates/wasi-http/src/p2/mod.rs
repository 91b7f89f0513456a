//! `wasi:http` 0.2: types, the client (`outgoing-handler`), and how a request is handed to
//! a guest that exports `incoming-handler`.
//!
//! Registered as 0.2.12; the linker serves other 0.2 versions with it.

pub mod bindings;
mod body;
mod fields;
mod incoming;
mod outgoing;
mod proxy;

pub use proxy::{Answer, OutgoingAnswer, Proxy, ProxyIndex};

use crate::{HasWasiHttp, WasiHttpView};
use helve::Result;
use helve::component::Linker;

/// Adds `wasi:http`; everything else that a proxy imports is in
/// [`helve_wasi::p2::add_to_linker`].
///
/// # Errors
/// Where `linker` already has one of the names and does not allow shadowing.
pub fn add_to_linker<T: WasiHttpView>(linker: &mut Linker<T>) -> Result<()> {
    bindings::Http::add_to_linker::<T, HasWasiHttp>(linker, T::http)
}
