//! Whether everything that WASI's worlds can import is there, with the right types: a
//! component is made that imports all of a world, and the linker is asked.
//!
//! The interfaces are those that the hosts are generated from: that each function is there
//! follows from that, but for what is skipped, registered under several names, or another
//! version's.

mod common;

use common::{component, linker, packages};
use helve::component::{Component, Linker};
use helve::{Config, Engine};

/// Interfaces that guests export and do not import.
const EXPORTED: &[&str] = &["wasi:cli/run@", "wasi:http/incoming-handler@"];

/// A component that imports all functions of all interfaces of a version.
fn everything(version: &str) -> Vec<u8> {
    let resolve = packages(version);
    let interfaces = resolve.interfaces.iter();
    let names: Vec<String> = interfaces.filter_map(|(id, _)| resolve.id_of(id)).collect();
    let imports: String = names
        .iter()
        .filter(|name| !EXPORTED.iter().any(|start| name.starts_with(start)))
        .map(|name| format!("import {name};\n"))
        .collect();
    component(version, &imports, common::MEMORY)
}

#[test]
fn every_function_of_every_interface_is_there() {
    let mut config = Config::new();
    config.all_features(true);
    let engine = Engine::new(&config).unwrap();
    let whole = linker(&engine);
    let mut without_http: Linker<common::Host> = Linker::new(&engine);
    helve_wasi::p2::add_to_linker(&mut without_http).unwrap();
    helve_wasi::p3::add_to_linker(&mut without_http).unwrap();
    for version in ["0.2.12", "0.3.0"] {
        let component = Component::new(&engine, everything(version)).unwrap();
        let checked = whole.check(&component);
        assert!(checked.is_ok(), "{version}: {:#}", checked.unwrap_err());
        // So that the check can be seen to fail.
        assert!(without_http.check(&component).is_err(), "{version}");
    }
}
