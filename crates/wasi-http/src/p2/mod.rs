//! `wasi:http` 0.2: types, the client (`outgoing-handler`), and how a request is handed to
//! a guest that exports `incoming-handler`.
//!
//! Registered as 0.2.12; the linker serves other 0.2 versions with it.

mod body;
mod fields;
mod incoming;
mod outgoing;
mod proxy;

pub use proxy::{Answer, OutgoingAnswer, Proxy, ProxyIndex};

use crate::WasiHttpView;
use helve::Result;
use helve::component::Linker;

/// Adds `wasi:http`; everything else that a proxy imports is in
/// [`helve_wasi::p2::add_to_linker`].
///
/// # Errors
/// Where `linker` already has one of the names and does not allow shadowing.
pub fn add_to_linker<T: WasiHttpView>(linker: &mut Linker<T>) -> Result<()> {
    let mut types = linker.instance("wasi:http/types@0.2.12")?;
    fields::add_to_linker(&mut types)?;
    incoming::add_to_linker(&mut types)?;
    outgoing::add_to_linker(&mut types)?;
    body::add_to_linker(&mut types)?;
    proxy::add_to_linker(&mut types)?;
    outgoing::add_handler(&mut linker.instance("wasi:http/outgoing-handler@0.2.12")?)
}
