//! Compiled components as bytes: they come back as they were, or not at all.

use helve::component::{Component, Linker};
use helve::{Config, Engine, OptLevel, Result, Store};

const ADD: &str = r#"(component
    (core module $m
        (memory (export "memory") 1)
        (data (i32.const 8) "\05")
        (table 1 funcref) (elem (i32.const 0) $twice)
        (func $twice (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
        (func (export "f") (param i32) (result i32)
            (call_indirect (param i32) (result i32)
                (i32.add (local.get 0) (i32.load (i32.const 8))) (i32.const 0))))
    (core instance $i (instantiate $m))
    (func (export "f") (param "n" u32) (result u32) (canon lift (core func $i "f"))))"#;

fn engine() -> Engine {
    Engine::new(&Config::new()).expect("an engine")
}

fn bytes() -> Vec<u8> {
    let component = Component::new(&engine(), ADD).expect("compiles");
    component.serialize().expect("serializes")
}

fn load(engine: &Engine, bytes: &[u8]) -> Result<Component> {
    // SAFETY: `serialize` made the bytes, or they are refused.
    unsafe { Component::deserialize(engine, bytes) }
}

fn call(component: &Component) -> u32 {
    let mut store = Store::new(component.engine(), ());
    let instance = Linker::new(component.engine())
        .instantiate(&mut store, component)
        .expect("instantiates");
    let f = instance
        .get_typed_func::<(u32,), (u32,)>(&mut store, "f")
        .expect("has f");
    f.call(&mut store, (16,)).expect("returns").0
}

#[test]
fn they_come_back_and_can_be_written_again() {
    let bytes = bytes();
    assert!(Component::is_serialized(&bytes) && !Component::is_serialized(b"\0asm"));
    let loaded = load(&engine(), &bytes).expect("loads");
    assert_eq!(call(&loaded), 42);
    assert_eq!(loaded.serialize().expect("serializes"), bytes);
    let file = std::env::temp_dir().join(format!("helve-artifact-{}", std::process::id()));
    std::fs::write(&file, &bytes).expect("is written");
    let loaded = Component::from_trusted_file(&engine(), &file).expect("loads");
    std::fs::remove_file(&file).expect("is removed");
    assert_eq!(call(&loaded), 42);
}

#[test]
fn nothing_damaged_is_loaded() {
    let (engine, bytes) = (engine(), bytes());
    for len in (0..bytes.len()).step_by(7) {
        assert!(load(&engine, &bytes[..len]).is_err(), "cut to {len}");
    }
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(load(&engine, &flipped).is_err(), "byte {at} flipped");
    }
}

#[test]
fn other_settings_refuse_it_and_wasm_is_not_mistaken_for_it() {
    let bytes = bytes();
    let quick = Engine::new(Config::new().optimize(OptLevel::None)).expect("an engine");
    let error = load(&quick, &bytes).expect_err("is refused").to_string();
    assert!(error.contains("does not fit this Helve"), "{error}");
    let all = Engine::new(Config::new().all_features(true)).expect("an engine");
    assert!(load(&all, &bytes).is_err());
    let error = Component::new(&engine(), &bytes).expect_err("is refused");
    assert!(error.to_string().contains("deserialize"), "{error}");
    let error = load(&engine(), b"\0asm\x0d\0\x01\0").expect_err("is refused");
    assert!(
        error.to_string().contains("not compiled by Helve"),
        "{error}"
    );
}
