//! Guests for tests: a core module in the text format, made a component of a world whose
//! interfaces are those that the hosts are generated from, and a server for it.

#![allow(dead_code)] // no test uses all of it

use helve::component::{Linker, ResourceTable};
use helve::{Config, Engine, Store};
use helve_wasi::{WasiCtx, WasiCtxView, WasiView};
use helve_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};
use std::path::Path;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::abi::{AbiVariant, WasmType};
use wit_parser::{Resolve, WorldId, WorldItem};

pub struct Host {
    pub ctx: WasiCtx,
    pub http: WasiHttpCtx,
    pub table: ResourceTable,
}

impl WasiView for Host {
    fn wasi(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.ctx,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Host {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            http: &mut self.http,
            ctx: &mut self.ctx,
            table: &mut self.table,
        }
    }
}

impl Host {
    pub fn new(ctx: WasiCtx) -> Host {
        Host {
            ctx,
            http: WasiHttpCtx::new(),
            table: ResourceTable::new(),
        }
    }
}

/// An engine as a server has it.
pub fn engine() -> Engine {
    let mut config = Config::new();
    config.all_features(true).epoch_interruption(true);
    Engine::new(&config).unwrap()
}

/// Everything of both versions.
pub fn linker(engine: &Engine) -> Linker<Host> {
    let mut linker = Linker::new(engine);
    helve_wasi::p2::add_to_linker(&mut linker).unwrap();
    helve_wasi::p3::add_to_linker(&mut linker).unwrap();
    helve_wasi_http::p2::add_to_linker(&mut linker).unwrap();
    helve_wasi_http::p3::add_to_linker(&mut linker).unwrap();
    linker
}

pub fn store(engine: &Engine, ctx: WasiCtx) -> Store<Host> {
    Store::new(engine, Host::new(ctx))
}

/// The interfaces of a version: what the hosts are generated from.
pub fn packages(version: &str) -> Resolve {
    let folder = if version.starts_with("0.2") {
        "wit/p2"
    } else {
        "wit/p3"
    };
    let mut resolve = Resolve::default();
    for feature in ["network-error-code", "informational-outbound-responses"] {
        resolve.features.insert(feature.to_owned());
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    resolve.push_path(folder).unwrap();
    resolve
}

/// A component of a world, and a core module of this body. The module's imports are
/// declared: `[method]fields.get` of `wasi:http/types@1` is `$types/fields.get`. So is how
/// to drop each resource: `$drop/fields`.
pub fn component(version: &str, items: &str, body: &str) -> Vec<u8> {
    let mut resolve = packages(version);
    let text = format!("package test:it;\nworld it {{\n{items}}}\n");
    let package = resolve.push_source("it.wit", &text).unwrap();
    let world = resolve.select_world(&[package], Some("it")).unwrap();
    let module = format!("(module\n{}\n{body})", imports(&resolve, world));
    let mut module = wat::parse_str(module).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
    let encode = || ComponentEncoder::default().module(&module)?.encode();
    encode().unwrap()
}

/// Every function of a world's imports, as imports of a core module.
pub fn imports(resolve: &Resolve, world: WorldId) -> String {
    let mut text = String::new();
    for (key, item) in &resolve.worlds[world].imports {
        let WorldItem::Interface { id, .. } = item else {
            continue;
        };
        let interface = resolve.name_world_key(key);
        let short = interface.split(['/', '@']).nth(1).unwrap_or_default();
        for (name, function) in &resolve.interfaces[*id].functions {
            let signature = resolve.wasm_signature(AbiVariant::GuestImport, function);
            let list = |types: &[WasmType]| -> String {
                let names = types.iter().map(|ty| match ty {
                    WasmType::I64 | WasmType::PointerOrI64 => " i64",
                    WasmType::F32 => " f32",
                    WasmType::F64 => " f64",
                    _ => " i32",
                });
                names.collect()
            };
            let (params, results) = (list(&signature.params), list(&signature.results));
            let known = name.rsplit(']').next().unwrap_or_default();
            text += &format!(
                "(import \"{interface}\" \"{name}\" \
                 (func ${short}/{known} (param{params}) (result{results})))\n"
            );
        }
        for (name, ty) in &resolve.interfaces[*id].types {
            if matches!(resolve.types[*ty].kind, wit_parser::TypeDefKind::Resource) {
                text += &format!(
                    "(import \"{interface}\" \"[resource-drop]{name}\" \
                     (func $drop/{name} (param i32)))\n"
                );
            }
        }
    }
    text
}

/// A memory with an allocator that never frees.
pub const MEMORY: &str = r#"
    (memory (export "memory") 16)
    (global $next (mut i32) (i32.const 65536))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (global.set $next (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
        (global.get $next)
        (global.set $next (i32.add (global.get $next) (local.get 3))))"#;
