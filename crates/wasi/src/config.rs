//! `wasi:config`: values that the embedder gives a guest, as text by name.
//!
//! Registered as the drafts that guests were built with: `store` of 0.2.0-rc.1 and of
//! 0.2.0-draft, and `runtime`, as the latter was first called. They differ in names only.
//! Guests of either WASI version import them.

use crate::WasiView;
use crate::host::denied::Denied;
use crate::p2::bind::func;
use helve::Result;
use helve::component::{ComponentType, Lift, Linker, Lower};

/// `error`, and `config-error` of `runtime`. No value of ours ever fails.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
enum ConfigError {
    Upstream(String),
    Io(String),
}

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
    for name in INTERFACES {
        let mut interface = linker.instance(name)?;
        func(&mut interface, "get", |host, (key,): (String,)| {
            if host.ctx.config.is_empty() {
                host.ctx.denials.tell(Denied::Config);
            }
            let value = host.ctx.config.get(&key).cloned();
            Ok(Result::<_, ConfigError>::Ok(value))
        })?;
        func(&mut interface, "get-all", |host, (): ()| {
            if host.ctx.config.is_empty() {
                host.ctx.denials.tell(Denied::Config);
            }
            let values = host.ctx.config.clone();
            let values: Vec<(String, String)> = values.into_iter().collect();
            Ok(Result::<_, ConfigError>::Ok(values))
        })?;
    }
    Ok(())
}
