//! `wasi:config`: values that the embedder gives a guest, as text by name.
//!
//! Registered as the drafts that guests were built with: `store` of 0.2.0-rc.1 and of
//! 0.2.0-draft, and `runtime`, as the latter was first called. They differ in names only.
//! Guests of either WASI version import them.

use crate::drafts::wasi::config0_2_0_rc_1::store::{self, Error};
use crate::host::denied::Denied;
use crate::{HasWasi, WasiCtxView, WasiView};
use helve::Result;
use helve::component::Linker;
use std::collections::BTreeMap;

const INTERFACES: [&str; 3] = [
    "wasi:config/store@0.2.0-rc.1",
    "wasi:config/store@0.2.0-draft",
    "wasi:config/runtime@0.2.0-draft",
];

/// Adds `wasi:config`. What a guest sees of it is what [`crate::WasiCtxBuilder::config`]
/// gave it.
///
/// # Errors
/// Where `linker` already has one of the names and does not allow shadowing.
pub fn add_to_linker<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    INTERFACES
        .into_iter()
        .try_for_each(|name| store::add_to_linker_as::<T, HasWasi>(linker, name, T::wasi))
}

/// No value of ours ever fails.
impl store::Host for WasiCtxView<'_> {
    fn get(&mut self, key: String) -> Result<Result<Option<String>, Error>> {
        Ok(Ok(self.config().get(&key).cloned()))
    }

    fn get_all(&mut self) -> Result<Result<Vec<(String, String)>, Error>> {
        Ok(Ok(self.config().clone().into_iter().collect()))
    }
}

impl WasiCtxView<'_> {
    fn config(&self) -> &BTreeMap<String, String> {
        if self.ctx.config.is_empty() {
            self.ctx.denials.tell(Denied::Config);
        }
        &self.ctx.config
    }
}
