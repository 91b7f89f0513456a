//! Whether everything that WASI's worlds can import is there, with the right types: a
//! component is made that imports all of a world, and the linker is asked.
//!
//! `wit/` has the interfaces' definitions as they were published, without comments.

use helve::component::{Component, Linker, ResourceTable};
use helve::{Config, Engine};
use helve_wasi::{WasiCtx, WasiCtxView, WasiView};
use helve_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};
use std::path::Path;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::abi::{AbiVariant, WasmType};
use wit_parser::{Resolve, WorldId, WorldItem};

struct Host {
    ctx: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
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

/// Interfaces that guests export and do not import.
const EXPORTED: &[&str] = &["wasi:cli/run@", "wasi:http/incoming-handler@"];

/// A component that imports all functions of all interfaces of these packages.
fn everything(version: &str, packages: &[&str]) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wit");
    let mut resolve = Resolve::default();
    for package in packages {
        let file = folder.join(version).join(format!("{package}.wit"));
        let text = std::fs::read_to_string(&file).unwrap();
        resolve
            .push_source(&format!("{package}.wit"), &text)
            .unwrap();
    }
    let interfaces = resolve.interfaces.iter();
    let names: Vec<String> = interfaces.filter_map(|(id, _)| resolve.id_of(id)).collect();
    let imports: String = names
        .iter()
        .filter(|name| !EXPORTED.iter().any(|start| name.starts_with(start)))
        .map(|name| format!("import {name};\n"))
        .collect();
    let text = format!("package test:all;\nworld all {{\n{imports}}}\n");
    let package = resolve.push_source("all.wit", &text).unwrap();
    let world = resolve.select_world(&[package], Some("all")).unwrap();
    let mut module = wat::parse_str(importing(&resolve, world)).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
    let encode = || ComponentEncoder::default().module(&module)?.encode();
    encode().unwrap()
}

/// A core module that imports every function of a world.
fn importing(resolve: &Resolve, world: WorldId) -> String {
    let mut text = String::from("(module\n");
    for (key, item) in &resolve.worlds[world].imports {
        let WorldItem::Interface { id, .. } = item else {
            continue;
        };
        let interface = resolve.name_world_key(key);
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
            text += &format!(
                "(import \"{interface}\" \"{name}\" (func (param{params}) (result{results})))\n"
            );
        }
    }
    text + "(memory (export \"memory\") 1)
        (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) unreachable))"
}

const V2: &[&str] = &[
    "io",
    "clocks",
    "random",
    "filesystem",
    "sockets",
    "cli",
    "http",
];
const V3: &[&str] = &["clocks", "random", "filesystem", "sockets", "cli", "http"];

#[test]
fn every_function_of_every_interface_is_there() {
    let mut config = Config::new();
    config.all_features(true);
    let engine = Engine::new(&config).unwrap();
    let mut linker: Linker<Host> = Linker::new(&engine);
    helve_wasi::p2::add_to_linker(&mut linker).unwrap();
    helve_wasi::p3::add_to_linker(&mut linker).unwrap();
    let without_http = linker.clone();
    helve_wasi_http::p2::add_to_linker(&mut linker).unwrap();
    helve_wasi_http::p3::add_to_linker(&mut linker).unwrap();
    for (version, packages) in [("0.2.12", V2), ("0.3.0", V3)] {
        let component = Component::new(&engine, everything(version, packages)).unwrap();
        let checked = linker.check(&component);
        assert!(checked.is_ok(), "{version}: {:#}", checked.unwrap_err());
        // So that the check can be seen to fail.
        assert!(without_http.check(&component).is_err(), "{version}");
    }
}
