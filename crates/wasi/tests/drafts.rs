//! `wasi:config` and `wasi:keyvalue` as guests of each draft meet them: a guest in the text
//! format does a list of steps and says which of them went otherwise.
//!
//! The interfaces are those that the host is generated from, as they were published.

use helve::component::{Component, Linker, ResourceTable};
use helve::{Config, Engine, Store};
use helve_wasi::{Bucket, BucketLimits, Denied, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use std::sync::{Arc, Mutex};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

struct Host {
    ctx: WasiCtx,
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

/// A component of a core module, which imports these interfaces.
fn component(engine: &Engine, interfaces: &[String], module: &str) -> Component {
    let mut resolve = Resolve::default();
    let wit = include_str!("../wit/drafts.wit");
    resolve.push_source("drafts.wit", wit).unwrap();
    let imports: String = interfaces
        .iter()
        .map(|i| format!("import {i};\n"))
        .collect();
    let text = format!("package test:it;\nworld w {{\n{imports}export check: func() -> s32;\n}}");
    let package = resolve.push_source("world.wit", &text).unwrap();
    let world = resolve.select_world(&[package], Some("w")).unwrap();
    let mut module = wat::parse_str(module).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
    let encode = || ComponentEncoder::default().module(&module)?.encode();
    Component::new(engine, encode().unwrap()).unwrap()
}

/// What `check` returns, and what was denied.
fn check(engine: &Engine, component: &Component, ctx: WasiCtxBuilder) -> (i32, Vec<Denied>) {
    let denied = Arc::new(Mutex::new(Vec::new()));
    let list = denied.clone();
    let ctx = ctx.on_denied(move |what| list.lock().unwrap().push(what.clone()));
    let mut linker: Linker<Host> = Linker::new(engine);
    helve_wasi::config::add_to_linker(&mut linker).unwrap();
    helve_wasi::keyvalue::add_to_linker(&mut linker).unwrap();
    let host = Host {
        ctx: ctx.build(),
        table: ResourceTable::new(),
    };
    let mut store = Store::new(engine, host);
    let instance = linker.instantiate(&mut store, component).unwrap();
    let check = instance
        .get_typed_func::<(), (i32,)>(&mut store, "check")
        .unwrap();
    let call = async { check.call_async(&mut store, ()).await };
    let (step,) = helve_wasi::host::executor::on(call).unwrap().unwrap();
    assert!(
        store.data().table.is_empty() || step != 0,
        "handles are left"
    );
    let denied = denied.lock().unwrap().clone();
    (step, denied)
}

/// A module: what all of them have, and what one does.
fn module(imports: &str, steps: &str) -> String {
    format!(
        r#"(module {imports}
        (memory (export "memory") 4)
        (global $next (mut i32) (i32.const 4096))
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
            (global.set $next (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
            (global.get $next)
            (global.set $next (i32.add (global.get $next) (local.get 3))))
        (data (i32.const 16) "bucketkeyvaluen12345")
        (func (export "check") (result i32) (local $b i32) (local $c i32)
            {steps}
            (i32.const 0)))"#
    )
}

/// Steps, numbered: a call, and what must be so then.
fn steps(steps: &[(&str, &str)]) -> String {
    let one = |(number, (call, holds)): (usize, &(&str, &str))| {
        format!("{call}\n(if (i32.eqz {holds}) (then (return (i32.const {number}))))\n")
    };
    (1..).zip(steps).map(one).collect()
}

/// Whether the byte, word or doubleword at an address is this.
fn is(what: &str, address: u32, value: i64) -> String {
    let (load, ty) = match what {
        "byte" => ("i32.load8_u", "i32"),
        "word" => ("i32.load", "i32"),
        _ => ("i64.load", "i64"),
    };
    format!("({ty}.eq ({load} (i32.const {address})) ({ty}.const {value}))")
}

const KEYVALUE: &str = r#"
    (import "wasi:keyvalue/store@VERSION" "open" (func $open (param i32 i32 i32)))
    (import "wasi:keyvalue/store@VERSION" "[resource-drop]bucket" (func $drop (param i32)))
    (import "wasi:keyvalue/store@VERSION" "[method]bucket.get" (func $get (param i32 i32 i32 i32)))
    (import "wasi:keyvalue/store@VERSION" "[method]bucket.set" (func $set (param i32 i32 i32 i32 i32 i32)))
    (import "wasi:keyvalue/store@VERSION" "[method]bucket.delete" (func $delete (param i32 i32 i32 i32)))
    (import "wasi:keyvalue/store@VERSION" "[method]bucket.exists" (func $exists (param i32 i32 i32 i32)))
    (import "wasi:keyvalue/atomics@VERSION" "increment" (func $increment (param i32 i32 i32 i64 i32)))
    (import "wasi:keyvalue/batch@VERSION" "get-many" (func $get-many (param i32 i32 i32 i32)))
    (import "wasi:keyvalue/batch@VERSION" "set-many" (func $set-many (param i32 i32 i32 i32)))
    (import "wasi:keyvalue/batch@VERSION" "delete-many" (func $delete-many (param i32 i32 i32 i32)))
"#;

/// Opens the bucket.
const OPEN: &str = "(call $open (i32.const 16) (i32.const 6) (i32.const 1024))
    (local.set $b (i32.load (i32.const 1028)))";
const KEY: &str = "(i32.const 22) (i32.const 3)";
const VALUE: &str = "(i32.const 25) (i32.const 5)";
const NUMBER: &str = "(i32.const 30) (i32.const 1)";
const TO: &str = "(i32.const 1024)";

#[derive(Clone, Copy)]
struct Draft(&'static str);

const DRAFTS: [Draft; 2] = [Draft("0.2.0-draft"), Draft("0.2.0-draft2")];

impl Draft {
    fn component(self, engine: &Engine, imports: &str, steps: &str) -> Component {
        let version = self.0;
        let interfaces: Vec<String> = ["store", "atomics", "batch"]
            .iter()
            .map(|name| format!("wasi:keyvalue/{name}@{version}"))
            .collect();
        let module = module(&format!("{KEYVALUE}{imports}"), steps);
        component(engine, &interfaces, &module.replace("VERSION", version))
    }
}

fn ok() -> String {
    is("byte", 1024, 0)
}

fn err() -> String {
    is("byte", 1024, 1)
}

/// What both drafts can.
fn common() -> Vec<(String, String)> {
    let on = |name: &str, params: &str| format!("(call ${name} (local.get $b) {params} {TO})");
    // A list of pairs at 2048: the key and the value. One of keys at 2080: it, and `n`.
    let lists = [22, 3, 25, 5].iter().enumerate();
    let lists: String = lists
        .map(|(i, word)| {
            format!(
                "(i32.store (i32.const {}) (i32.const {word}))",
                2048 + 4 * i
            )
        })
        .collect();
    let keys = [22, 3, 31, 2].iter().enumerate();
    let keys: String = keys
        .map(|(i, word)| {
            format!(
                "(i32.store (i32.const {}) (i32.const {word}))",
                2080 + 4 * i
            )
        })
        .collect();
    let pair = "(i32.const 2048) (i32.const 1)";
    let both = "(i32.const 2080) (i32.const 2)";
    let none = is("byte", 1028, 0);
    vec![
        (OPEN.into(), ok()),
        (on("get", KEY), format!("(i32.and {} {none})", ok())),
        (on("exists", KEY), format!("(i32.and {} {none})", ok())),
        (on("set", &format!("{KEY} {VALUE}")), ok()),
        (on("exists", KEY), is("byte", 1028, 1)),
        (on("get", KEY), is("word", 1036, 5)),
        (
            "".into(),
            "(i32.eq (i32.load (i32.load (i32.const 1032))) (i32.load (i32.const 25)))".into(),
        ),
        (on("delete", KEY), ok()),
        (on("exists", KEY), is("byte", 1028, 0)),
        (
            on("increment", &format!("{NUMBER} (i64.const 40)")),
            is("double", 1032, 40),
        ),
        (
            on("increment", &format!("{NUMBER} (i64.const 2)")),
            is("double", 1032, 42),
        ),
        (on("get", NUMBER), is("word", 1036, 2)),
        (
            "".into(),
            "(i32.eq (i32.load16_u (i32.load (i32.const 1032))) (i32.const 0x3234))".into(),
        ),
        (on("set", &format!("{KEY} {VALUE}")), ok()),
        // No number; and a sum that no number holds.
        (on("increment", &format!("{KEY} (i64.const 1)")), err()),
        (
            on("set", &format!("{NUMBER} (i32.const 31) (i32.const 2)")),
            ok(),
        ),
        (
            on(
                "increment",
                &format!("{NUMBER} (i64.const 9223372036854775807)"),
            ),
            "(i32.const 1)".into(),
        ),
        (
            on(
                "increment",
                &format!("{NUMBER} (i64.const 9223372036854775807)"),
            ),
            err(),
        ),
        (on("delete", KEY), ok()),
        (format!("{lists}{keys}{}", on("set-many", pair)), ok()),
        (on("get-many", both), is("word", 1032, 2)),
        (
            "".into(),
            "(i32.eq (i32.load (i32.load (i32.const 1028))) (i32.const 1))".into(),
        ),
        (
            "".into(),
            "(i32.eqz (i32.load8_u offset=20 (i32.load (i32.const 1028))))".into(),
        ),
        (on("delete-many", both), ok()),
        (on("exists", KEY), is("byte", 1028, 0)),
    ]
}

fn bucket() -> WasiCtxBuilder {
    WasiCtx::builder().bucket("bucket", Bucket::memory(BucketLimits::default()))
}

/// Runs numbered steps in a guest of a draft.
fn run(
    engine: &Engine,
    draft: &Draft,
    imports: &str,
    list: &[(String, String)],
    ctx: WasiCtxBuilder,
) -> (i32, Vec<Denied>) {
    let list: Vec<(&str, &str)> = list.iter().map(|(a, b)| (&**a, &**b)).collect();
    check(
        engine,
        &draft.component(engine, imports, &steps(&list)),
        ctx,
    )
}

#[test]
fn guests_of_both_drafts_keep_values() {
    let engine = Engine::new(&Config::new()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (number, draft) in DRAFTS.iter().enumerate() {
        let mut list = common();
        // The last handle goes too.
        list.push(("(call $drop (local.get $b))".into(), "(i32.const 1)".into()));
        let file = folder.path().join(number.to_string());
        let file = Bucket::file(file, BucketLimits::default()).unwrap();
        for ctx in [bucket(), WasiCtx::builder().bucket("bucket", file)] {
            let (step, denied) = run(&engine, draft, "", &list, ctx);
            assert_eq!((step, denied), (0, vec![]), "{}", draft.0);
        }
    }
}

#[test]
fn pages_of_keys_go_on_where_the_last_ended() {
    let engine = Engine::new(&Config::new()).unwrap();
    // From the start, and then from what the first page says.
    let rows = [
        (
            "(param i32 i32 i64 i32)",
            "(i32.const 0) (i64.const 0)",
            "(i32.load8_u (i32.const 1040)) (i64.load (i32.const 1048))",
            1036,
        ),
        (
            "(param i32 i32 i32 i32 i32)",
            "(i32.const 0) (i32.const 0) (i32.const 0)",
            "(i32.load8_u (i32.const 1036)) (i32.load (i32.const 1040)) (i32.load (i32.const 1044))",
            1032,
        ),
    ];
    for (draft, (params, start, next, count)) in DRAFTS.iter().zip(rows) {
        let import = format!(
            r#"(import "wasi:keyvalue/store@VERSION" "[method]bucket.list-keys" (func $list {params}))"#
        );
        let list = |from: &str| format!("(call $list (local.get $b) {from} {TO})");
        let bucket = Bucket::memory(BucketLimits::default());
        let values: Vec<(String, Vec<u8>)> = (0..10_003).map(|i| (i.to_string(), vec![])).collect();
        bucket.set_many(&values).unwrap();
        let list = [
            (OPEN.into(), ok()),
            (list(start), is("word", count, 10_000)),
            (list(next), is("word", count, 3)),
            ("(call $drop (local.get $b))".into(), "(i32.const 1)".into()),
        ];
        let ctx = WasiCtx::builder().bucket("bucket", bucket);
        let (step, _) = run(&engine, draft, &import, &list, ctx);
        assert_eq!(step, 0, "{}", draft.0);
    }
}

#[test]
fn a_swap_fails_once_and_then_succeeds() {
    let engine = Engine::new(&Config::new()).unwrap();
    let import = r#"
        (import "wasi:keyvalue/atomics@VERSION" "[static]cas.new" (func $new (param i32 i32 i32 i32)))
        (import "wasi:keyvalue/atomics@VERSION" "[method]cas.current" (func $current (param i32 i32)))
        (import "wasi:keyvalue/atomics@VERSION" "[resource-drop]cas" (func $forget (param i32)))
        (import "wasi:keyvalue/atomics@VERSION" "swap" (func $swap (param i32 i32 i32 i32)))"#;
    let new =
        format!("(call $new (local.get $b) {KEY} {TO}) (local.set $c (i32.load (i32.const 1028)))");
    let swap = format!("(call $swap (local.get $c) {VALUE} {TO})");
    let set = format!("(call $set (local.get $b) {KEY} {NUMBER} {TO})");
    let current = format!("(call $current (local.get $c) {TO})");
    let again = "(local.set $c (i32.load (i32.const 1032)))";
    let list = [
        (OPEN.into(), ok()),
        (new.clone(), ok()),
        (current.clone(), is("byte", 1028, 0)),
        (set.clone(), ok()),
        (swap.clone(), err()),
        ("".into(), is("byte", 1028, 1)),
        (again.into(), "(i32.const 1)".into()),
        (swap.clone(), ok()),
        (new, ok()),
        (set, ok()),
        // Looked at again: what is compared is what was seen.
        (current, is("word", 1036, 1)),
        (swap, ok()),
        ("(call $drop (local.get $b))".into(), "(i32.const 1)".into()),
    ];
    let (step, _) = run(&engine, &DRAFTS[1], import, &list, bucket());
    assert_eq!(step, 0);
}

#[test]
fn what_was_not_granted_is_told_and_handles_are_counted() {
    let engine = Engine::new(&Config::new()).unwrap();
    let open = [(OPEN.into(), ok())];
    let twice = [
        (OPEN.into(), ok()),
        (OPEN.into(), err()),
        // `other`, with a text.
        ("".into(), is("byte", 1028, 2)),
        ("(call $drop (i32.const 1))".into(), "(i32.const 1)".into()),
        (OPEN.into(), ok()),
        ("(call $drop (local.get $b))".into(), "(i32.const 1)".into()),
    ];
    for draft in &DRAFTS {
        let (step, denied) = run(&engine, draft, "", &open, WasiCtx::builder());
        assert_eq!((step, denied), (1, vec![Denied::Bucket("bucket".into())]));
        let (step, _) = run(&engine, draft, "", &twice, bucket().max_open_buckets(1));
        assert_eq!(step, 0, "{}", draft.0);
    }
}

#[test]
fn configurations_of_every_draft() {
    let engine = Engine::new(&Config::new()).unwrap();
    for name in [
        "wasi:config/store@0.2.0-rc.1",
        "wasi:config/store@0.2.0-draft",
        "wasi:config/runtime@0.2.0-draft",
    ] {
        let imports = format!(
            r#"(import "{name}" "get" (func $get (param i32 i32 i32)))
               (import "{name}" "get-all" (func $all (param i32)))"#
        );
        let list = [
            (
                "(call $get (i32.const 22) (i32.const 3) (i32.const 1024))",
                is("word", 1036, 5),
            ),
            (
                "",
                "(i32.eq (i32.load (i32.load (i32.const 1032))) (i32.load (i32.const 25)))".into(),
            ),
            (
                "(call $get (i32.const 22) (i32.const 2) (i32.const 1024))",
                is("byte", 1028, 0),
            ),
            ("(call $all (i32.const 1024))", is("word", 1032, 2)),
        ];
        let list: Vec<(&str, &str)> = list.iter().map(|(a, b)| (*a, &**b)).collect();
        let component = component(
            &engine,
            &[name.to_owned()],
            &module(&imports, &steps(&list)),
        );
        let given = WasiCtx::builder()
            .config("key", "value")
            .config("other", "");
        assert_eq!(check(&engine, &component, given), (0, vec![]));
        let nothing = check(&engine, &component, WasiCtx::builder());
        assert_eq!(nothing, (1, vec![Denied::Config]));
    }
}
