//! Core modules of WASI 0.1 as components, by the adapter that is published for it.
//!
//! A module that exports `_start` becomes a command, any other a reactor. Not here: any
//! implementation of WASI 0.1; the adapter speaks 0.2 with us.

use helve::{Context as _, Error, Result};
use wasi_preview1_component_adapter_provider as adapters;
use wit_component::ComponentEncoder;

/// Whether `bytes` are a core module (and not a component, or anything else).
pub fn is_core_module(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\0asm\x01\0\0\0")
}

/// Makes a component of a core module that imports WASI 0.1.
///
/// # Errors
/// Where the module is not valid, or imports something that is not WASI 0.1.
pub fn componentize(module: &[u8]) -> Result<Vec<u8>> {
    let adapter = if exports_start(module) {
        adapters::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER
    } else {
        adapters::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER
    };
    let encode = || {
        ComponentEncoder::default()
            .module(module)?
            .adapter(adapters::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter)?
            .validate(true)
            .encode()
    };
    let encoded = encode().map_err(|e| Error::msg(format!("{e:#}")));
    encoded.context("a core module, which cannot be made a component: only modules that import WASI 0.1 can")
}

/// Whether a module exports `_start`. A broken module says no: the encoder then says why.
fn exports_start(module: &[u8]) -> bool {
    let sections = wasmparser::Parser::new(0).parse_all(module);
    let exports = sections.filter_map(|payload| match payload {
        Ok(wasmparser::Payload::ExportSection(exports)) => Some(exports),
        _ => None,
    });
    exports.flatten().flatten().any(|export| export.name == "_start")
}
