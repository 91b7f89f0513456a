//! Core modules of WASI 0.1 as components, by the adapter that is published for it.
//!
//! A module that exports `_start` becomes a command, any other a reactor. The adapter
//! speaks 0.2 with us, but for one thing: it turns every exit code but 0 into 1. So the
//! import of `proc_exit` is sent past it, to `wasi:cli/exit`'s `exit-with-code`. And a module that takes
//! all of its memory for its own gets that (`memory.rs`). Not here: any implementation of
//! WASI 0.1.

mod memory;

use helve::{Context as _, Error, Result};
use std::convert::Infallible;
use wasi_preview1_component_adapter_provider as adapters;
use wasm_encoder::reencode::{self, Reencode};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The interface that `proc_exit` is sent to, and a world that imports it.
const EXIT: &str = "wasi:cli/exit@0.2.12";
const EXIT_WIT: &str = "package wasi:cli@0.2.12;
interface exit {
  exit: func(status: result);
  exit-with-code: func(status-code: u8);
}
world exits { import exit; }";

/// Whether `bytes` are a core module (and not a component, or anything else).
pub fn is_core_module(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\0asm\x01\0\0\0")
}

/// Makes a component of a core module that imports WASI 0.1.
///
/// # Errors
/// Where the module is not valid, or imports something that is not WASI 0.1.
pub fn componentize(module: &[u8]) -> Result<Vec<u8>> {
    let facts = Facts::of(module);
    let adapter = if facts.exports_start {
        adapters::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER
    } else {
        adapters::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER
    };
    let shared;
    let module = match memory::own_memory(module)? {
        Some(rewritten) if !facts.shares_memory => {
            shared = rewritten;
            shared.as_slice()
        }
        _ => module,
    };
    let code = if facts.imports_exit {
        exit_with_code(module)?
    } else {
        module.to_vec()
    };
    let encode = || {
        ComponentEncoder::default()
            .module(&code)?
            .adapter(adapters::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter)?
            .validate(true)
            .encode()
    };
    let encoded = encode().map_err(|e| Error::msg(format!("{e:#}")));
    encoded.context(
        "a core module, which cannot be made a component: only modules that import WASI 0.1 can",
    )
}

/// What decides how a module is adapted. A broken module has neither: the encoder then
/// says what is wrong with it.
#[derive(Default)]
struct Facts {
    exports_start: bool,
    imports_exit: bool,
    /// Whether its allocator lives with pages that others add to its memory.
    shares_memory: bool,
}

impl Facts {
    fn of(module: &[u8]) -> Facts {
        let mut facts = Facts::default();
        for payload in wasmparser::Parser::new(0).parse_all(module) {
            match payload {
                Ok(wasmparser::Payload::ImportSection(imports)) => {
                    facts.imports_exit = imports.into_imports().flatten().any(|i| is_exit(&i));
                }
                Ok(wasmparser::Payload::ExportSection(exports)) => {
                    for export in exports.into_iter().flatten() {
                        facts.exports_start |= export.name == "_start";
                        facts.shares_memory |= export.name == "cabi_realloc";
                    }
                }
                Ok(wasmparser::Payload::CustomSection(section))
                    if section.name() == "producers" =>
                {
                    facts.shares_memory |= names_llvm(section.data());
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        facts
    }
}

/// Whether a `producers` section names a compiler of the LLVM family.
fn names_llvm(section: &[u8]) -> bool {
    let names: [&[u8]; 3] = [b"clang", b"rustc", b"zig"];
    let found = |name: &[u8]| section.windows(name.len()).any(|part| part == name);
    names.into_iter().any(found)
}

fn is_exit(import: &wasmparser::Import<'_>) -> bool {
    import.module == adapters::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME && import.name == "proc_exit"
}

/// Writes a module again, with its import of `proc_exit` sent elsewhere.
struct Redirect;

impl Reencode for Redirect {
    type Error = Infallible;

    fn parse_imports(
        &mut self,
        section: &mut wasm_encoder::ImportSection,
        imports: wasmparser::Imports<'_>,
    ) -> Result<(), reencode::Error<Infallible>> {
        match imports {
            wasmparser::Imports::Single(_, import) if is_exit(&import) => {
                section.import(EXIT, "exit-with-code", self.entity_type(import.ty)?);
                Ok(())
            }
            other => reencode::utils::parse_imports(self, section, other),
        }
    }
}

fn exit_with_code(module: &[u8]) -> Result<Vec<u8>> {
    let mut redirected = wasm_encoder::Module::new();
    Redirect
        .parse_core_module(&mut redirected, wasmparser::Parser::new(0), module)
        .map_err(|e| Error::msg(format!("not a valid core module: {e}")))?;
    let mut bytes = redirected.finish();
    let mut embed = || {
        let mut resolve = Resolve::default();
        let package = resolve.push_source("exit.wit", EXIT_WIT)?;
        let world = resolve.select_world(&[package], Some("exits"))?;
        embed_component_metadata(&mut bytes, &resolve, world, StringEncoding::UTF8, false)
    };
    embed().map_err(|e| Error::msg(format!("{e:#}")))?;
    Ok(bytes)
}
