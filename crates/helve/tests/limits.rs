//! Every bound in `Limits` from both sides, big things, and guests that run wild.
//!
//! Not here: what takes gigabytes or minutes (`fuzz/`).

use helve::component::{Component, Instance, Linker, Val};
use helve::{Config, Engine, Error, ErrorKind, Limits, Result, Store, Trap};
use std::fmt::Write;

fn engine(limits: Limits) -> Engine {
    Engine::new(Config::new().all_features(true).limits(limits)).expect("an engine")
}

fn instance(limits: Limits, text: &str) -> Result<(Store<()>, Instance)> {
    let engine = engine(limits);
    let component = Component::new(&engine, text)?;
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine).instantiate(&mut store, &component)?;
    Ok((store, instance))
}

/// Makes an instance and calls `run`, if it exports that.
fn run(limits: Limits, text: &str) -> Result<Option<u32>> {
    let (mut store, instance) = instance(limits, text)?;
    if instance.get_func(&mut store, "run").is_none() {
        return Ok(None);
    }
    let run = instance.get_typed_func::<(), (u32,)>(&mut store, "run")?;
    Ok(Some(run.call(&mut store, ())?.0))
}

/// A refusal in words: no bug of Helve's.
fn refused(what: &str, result: Result<Option<u32>>) -> Error {
    let Err(error) = result else {
        panic!("{what}: not refused")
    };
    assert_ne!(error.kind(), ErrorKind::Bug, "{what}: {error:#}");
    error
}

/// `text` passes at `at`, and one less is refused.
fn edge(what: &str, text: &str, at: u64, set: impl Fn(&mut Limits, u64)) {
    let mut limits = Limits::default();
    set(&mut limits, at);
    run(limits.clone(), text).unwrap_or_else(|e| panic!("{what} at {at}: {e:#}"));
    set(&mut limits, at - 1);
    refused(what, run(limits, text));
}

fn core(text: &str) -> String {
    format!("(component (core module $m {text}) (core instance $i (instantiate $m)))")
}

const PAGE: u64 = 65536;

#[test]
fn memories_and_tables() {
    let one = core("(memory 3)");
    edge("memory_bytes", &one, 3 * PAGE, |limits, n| {
        limits.memory_bytes = n
    });
    let two = core("(memory 2) (memory 2)");
    edge("store_memory_bytes", &two, 4 * PAGE, |limits, n| {
        limits.store_memory_bytes = n
    });
    edge("memories", &two, 2, |limits, n| {
        limits.memories = n as usize
    });
    let tables = core("(table 100 funcref) (table 90 externref)");
    edge("tables", &tables, 2, |limits, n| limits.tables = n as usize);
    edge("table_elements", &tables, 100, |limits, n| {
        limits.table_elements = n
    });
    let mut limits = Limits::default();
    limits.store_table_bytes = 16 << 10;
    run(limits.clone(), &tables).expect("190 elements and a context in 16 KiB");
    limits.store_table_bytes = 190 * 8 - 1;
    refused("store_table_bytes", run(limits, &tables));
}

#[test]
fn growing_stops_at_the_limit() {
    let text = |by: u64| {
        format!(
            r#"(component (core module $m (memory 1)
            (func (export "run") (result i32) (memory.grow (i32.const {by}))))
            (core instance $i (instantiate $m))
            (func (export "run") (result u32) (canon lift (core func $i "run"))))"#
        )
    };
    let mut limits = Limits::default();
    limits.memory_bytes = 5 * PAGE;
    assert_eq!(run(limits.clone(), &text(4)).expect("fits"), Some(1));
    assert_eq!(run(limits.clone(), &text(5)).expect("runs"), Some(u32::MAX));
    assert_eq!(run(limits, &text(65535)).expect("runs"), Some(u32::MAX));
    let mut limits = Limits::default();
    limits.store_memory_bytes = 5 * PAGE;
    assert_eq!(run(limits.clone(), &text(4)).expect("fits"), Some(1));
    assert_eq!(run(limits, &text(5)).expect("runs"), Some(u32::MAX));
}

#[test]
fn instances() {
    let three = "(component (core module $m)
        (core instance (instantiate $m)) (core instance (instantiate $m))
        (core instance (instantiate $m)))";
    edge("instances", three, 3, |limits, n| {
        limits.instances = n as usize
    });
    let nested = "(component (component $c) (instance (instantiate $c))
        (instance (instantiate $c)))";
    edge("component_instances", nested, 3, |limits, n| {
        limits.component_instances = n as usize
    });
    let deep = "(component (component (component (component))))";
    let mut limits = Limits::default();
    limits.component_nesting = 2;
    refused("component_nesting", run(limits.clone(), deep));
    limits.component_nesting = 5;
    run(limits.clone(), deep).expect("five levels for four");
    limits.component_definitions = 1;
    refused("component_definitions", run(limits, nested));
}

/// Makes `n` handles without dropping any, then drops all.
fn handles(n: u64) -> String {
    format!(
        r#"(component
        (type $r (resource (rep i32)))
        (core func $new (canon resource.new $r))
        (core func $drop (canon resource.drop $r))
        (core module $m
            (import "" "new" (func $new (param i32) (result i32)))
            (import "" "drop" (func $drop (param i32)))
            (func (export "run") (result i32) (local $i i32) (local $last i32)
                (loop $again
                    (local.set $last (call $new (local.get $i)))
                    (local.set $i (i32.add (local.get $i) (i32.const 1)))
                    (br_if $again (i32.lt_u (local.get $i) (i32.const {n}))))
                (loop $again
                    (call $drop (local.get $i))
                    (local.set $i (i32.sub (local.get $i) (i32.const 1)))
                    (br_if $again (local.get $i)))
                (local.get $last)))
        (core instance $i (instantiate $m (with "" (instance
            (export "new" (func $new)) (export "drop" (func $drop))))))
        (func (export "run") (result u32) (canon lift (core func $i "run"))))"#
    )
}

#[test]
fn handle_tables() {
    edge("handles", &handles(10), 10, |limits, n| {
        limits.handles = n as u32
    });
    edge("handles", &handles(1000), 1000, |limits, n| {
        limits.handles = n as u32
    });
    assert_eq!(
        run(Limits::default(), &handles(200_000)).expect("many"),
        Some(200_000)
    );
}

#[test]
fn lifted_values() {
    let text = |list: &str, bytes: u32| {
        format!(
            r#"(component (core module $m (memory (export "m") 20)
            (data (i32.const 0) "\10\00\00\00")
            (func (export "get") (result i32) (i32.store (i32.const 4) (i32.const {bytes}))
                (i32.const 0)))
            (core instance $i (instantiate $m))
            (func (export "get") (result {list})
                (canon lift (core func $i "get") (memory (core memory $i "m")))))"#
        )
    };
    let mut limits = Limits::default();
    limits.lifted_bytes = 1_000_000;
    let get = |bytes: u32| -> Result<usize> {
        let (mut store, instance) = instance(limits.clone(), &text("(list u8)", bytes))?;
        let get = instance.get_typed_func::<(), (Vec<u8>,)>(&mut store, "get")?;
        Ok(get.call(&mut store, ())?.0.len())
    };
    assert_eq!(get(1_000_000).expect("fits"), 1_000_000);
    let error = get(1_000_001).expect_err("too many");
    assert_ne!(error.kind(), ErrorKind::Bug, "{error:#}");
    let get = |bytes: u32| -> Result<usize> {
        let (mut store, instance) = instance(limits.clone(), &text("string", bytes))?;
        let get = instance.get_typed_func::<(), (String,)>(&mut store, "get")?;
        Ok(get.call(&mut store, ())?.0.len())
    };
    // A string counts twice, for what it may become as UTF-8.
    assert_eq!(get(500_000).expect("fits"), 500_000);
    get(500_001).expect_err("too many");
    let dynamic = |bytes: u32| -> Result<Vec<Val>> {
        let (mut store, instance) = instance(limits.clone(), &text("(list u8)", bytes))?;
        let get = instance.get_func(&mut store, "get").expect("a function");
        let mut results = vec![Val::Bool(false)];
        get.call(&mut store, &[], &mut results)?;
        Ok(results)
    };
    dynamic(1000).expect("fits");
    dynamic(1_000_000).expect_err("a value is bigger than a byte");
}

/// One component hands `units` out of a memory of zeros to another, as `ty`; what comes
/// back is how many it got.
fn handed(ty: &str, from: &str, to: &str, units: u64) -> String {
    format!(
        r#"(component
        (component $callee
            (core module $m (memory (export "m") 8200)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64))
                (func (export "take") (param i32 i32) (result i32) (local.get 1)))
            (core instance $i (instantiate $m))
            (func (export "take") (param "x" {ty}) (result u32) (canon lift (core func $i "take")
                (memory (core memory $i "m")) (realloc (core func $i "realloc"))
                string-encoding={to})))
        (instance $callee (instantiate $callee))
        (core module $mem (memory (export "m") 8200))
        (core instance $mem (instantiate $mem))
        (core func $take (canon lower (func $callee "take") (memory (core memory $mem "m"))
            string-encoding={from}))
        (core module $main (import "" "take" (func $take (param i32 i32) (result i32)))
            (func (export "run") (result i32) (call $take (i32.const 64) (i32.const {units}))))
        (core instance $main (instantiate $main (with "" (instance (export "take" (func $take))))))
        (func (export "run") (result u32) (canon lift (core func $main "run"))))"#
    )
}

#[test]
fn strings_and_lists_end_at_two_to_the_28th() {
    const MOST: u64 = (1 << 28) - 1;
    let call = |text: String| run(Limits::default(), &text);
    assert_eq!(
        call(handed("(list u8)", "utf8", "utf8", MOST)).expect("fits"),
        Some(MOST as u32)
    );
    // The bound is on the bytes that are lifted. (All pairings that pass: `fuzz/`.)
    let mut trapping = vec![
        handed("(list u8)", "utf8", "utf8", MOST + 1),
        handed("(list u16)", "utf8", "utf8", MOST / 2 + 1),
        handed("(list (tuple u8 u32))", "utf8", "utf8", MOST / 8 + 1),
        handed("(list bool)", "utf8", "utf8", MOST + 1),
    ];
    let utf16_tag = 1 << 31;
    for (from, units) in [
        ("utf8", MOST + 1),
        ("utf16", MOST / 2 + 1),
        ("latin1+utf16", MOST + 1),
        ("latin1+utf16", (MOST / 2 + 1) | utf16_tag),
    ] {
        for to in ["utf8", "utf16", "latin1+utf16"] {
            trapping.push(handed("string", from, to, units));
        }
    }
    for text in trapping {
        let error = call(text.clone()).expect_err(&text);
        assert!(error.trap().is_some(), "{error:#} {text}");
    }
}

/// A chain of `n` instances of one component, each of which calls the one before it.
fn chain(n: usize) -> String {
    let mut text = String::from(
        r#"(component
        (core module $zero (func (export "run") (result i32) (i32.const 0)))
        (core instance $zero (instantiate $zero))
        (func $f0 (result u32) (canon lift (core func $zero "run")))
        (component $c
            (import "f" (func $f (result u32)))
            (core func $f' (canon lower (func $f)))
            (core module $m (import "" "f" (func $f (result i32)))
                (func (export "run") (result i32) (i32.add (call $f) (i32.const 1))))
            (core instance $i (instantiate $m (with "" (instance (export "f" (func $f'))))))
            (func (export "run") (result u32) (canon lift (core func $i "run"))))
        (instance $i0 (export "run" (func $f0)))
"#,
    );
    for i in 1..=n {
        let _ = writeln!(
            text,
            "(instance $i{i} (instantiate $c (with \"f\" (func $i{} \"run\"))))",
            i - 1
        );
    }
    let _ = write!(text, "(export \"run\" (func $i{n} \"run\")))");
    text
}

#[test]
fn a_thousand_instances_call_each_other() {
    assert_eq!(
        run(Limits::default(), &chain(1000)).expect("runs"),
        Some(1000)
    );
}

/// Hands a value of `levels` tuples around one byte through a component.
fn deep(levels: usize) -> Result<()> {
    let mut types = String::from("(type $t0 (tuple u8))");
    for level in 1..levels {
        let _ = write!(types, "(type $t{level} (tuple $t{}))", level - 1);
    }
    let text = format!(
        r#"(component {types}
        (core module $m (func (export "f") (param i32) (result i32) (local.get 0)))
        (core instance $i (instantiate $m))
        (func (export "f") (param "x" $t{last}) (result $t{last})
            (canon lift (core func $i "f"))))"#,
        last = levels - 1
    );
    let (mut store, instance) = instance(Limits::default(), &text)?;
    let func = instance.get_func(&mut store, "f").expect("a function");
    let value = (0..levels).fold(Val::U8(7), |value, _| Val::Tuple(vec![value]));
    let mut results = [Val::Bool(false)];
    func.call(&mut store, std::slice::from_ref(&value), &mut results)?;
    assert_eq!(results[0], value);
    Ok(())
}

#[test]
fn a_type_of_a_hundred_levels() {
    // The validator's own bound is 100, and the byte, the function and the component
    // around it are levels too.
    for levels in [1, 50, 90, 97] {
        deep(levels).unwrap_or_else(|e| panic!("{levels}: {e:#}"));
    }
    for levels in [98, 100, 101, 128, 129, 256, 1000] {
        let error = deep(levels).expect_err("too deep");
        assert_ne!(error.kind(), ErrorKind::Bug, "{levels}: {error:#}");
    }
}

fn wild(body: &str) -> String {
    format!(
        r#"(component (core module $m (memory 1)
            (func $deep (param i32) (result i32)
                (if (result i32) (local.get 0)
                    (then (i32.add (i32.const 1) (call $deep (i32.sub (local.get 0) (i32.const 1)))))
                    (else (i32.const 0))))
            (func (export "run") (result i32) {body}))
        (core instance $i (instantiate $m))
        (func (export "run") (result u32) (canon lift (core func $i "run"))))"#
    )
}

#[test]
fn guests_that_run_wild() {
    let deep = |n: i32| wild(&format!("(call $deep (i32.const {n}))"));
    assert_eq!(
        run(Limits::default(), &deep(1000)).expect("fits"),
        Some(1000)
    );
    let error = refused("recursion", run(Limits::default(), &deep(-1)));
    assert_eq!(error.trap(), Some(Trap::StackOverflow), "{error:#}");
    let mut limits = Limits::default();
    limits.guest_stack_bytes = 16 << 10;
    let error = refused("a small stack", run(limits, &deep(2000)));
    assert_eq!(error.trap(), Some(Trap::StackOverflow), "{error:#}");
    let error = refused("a trap", run(Limits::default(), &wild("unreachable")));
    assert_eq!(error.trap(), Some(Trap::Unreachable), "{error:#}");
    let eat = wild(
        "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 100)) (i32.const -1)))) (memory.size)",
    );
    let mut limits = Limits::default();
    limits.memory_bytes = 64 << 20;
    let pages = run(limits, &eat).expect("ends").expect("a number");
    assert!((900..=1024).contains(&pages), "{pages}");
}

const CALLS_OUT: &str = r#"(component
    (import "out" (func $out (param "x" u32) (result u32)))
    (core func $out' (canon lower (func $out)))
    (core module $m (import "" "out" (func $out (param i32) (result i32)))
        (func (export "run") (param i32) (result i32) (call $out (local.get 0))))
    (core instance $i (instantiate $m (with "" (instance (export "out" (func $out'))))))
    (func (export "run") (param "x" u32) (result u32) (canon lift (core func $i "run"))))"#;

#[test]
fn a_panic_of_the_host_comes_out_where_the_guest_was_called() {
    let engine = engine(Limits::default());
    let component = Component::new(&engine, CALLS_OUT).expect("valid");
    let mut linker = Linker::<()>::new(&engine);
    linker
        .root()
        .func_wrap("out", |_, (x,): (u32,)| -> Result<(u32,)> {
            std::panic::panic_any(format!("panic {x}"))
        })
        .expect("defined");
    for _ in 0..3 {
        let mut store = Store::new(&engine, ());
        let instance = linker
            .instantiate(&mut store, &component)
            .expect("an instance");
        let run = instance
            .get_typed_func::<(u32,), (u32,)>(&mut store, "run")
            .expect("typed");
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = run.call(&mut store, (5,));
        }))
        .expect_err("carried across");
        assert_eq!(panic.downcast_ref::<String>().expect("a text"), "panic 5");
        let again = run.call(&mut store, (6,));
        assert!(
            again.is_err(),
            "an instance that a panic went through is closed"
        );
    }
}

#[test]
fn many_threads_each_with_a_store() {
    let engine = engine(Limits::default());
    let component = Component::new(&engine, CALLS_OUT).expect("valid");
    let wild = Component::new(&engine, &*wild("(call $deep (i32.const -1))")).expect("valid");
    let mut linker = Linker::<u32>::new(&engine);
    linker
        .root()
        .func_wrap("out", |cx, (x,): (u32,)| Ok((x + *cx.data(),)))
        .expect("defined");
    std::thread::scope(|scope| {
        for thread in 0..8u32 {
            let (linker, component, wild, engine) = (&linker, &component, &wild, &engine);
            scope.spawn(move || {
                for round in 0..20 {
                    let mut store = Store::new(engine, thread);
                    let instance = linker.instantiate(&mut store, component).expect("made");
                    let run = instance
                        .get_typed_func::<(u32,), (u32,)>(&mut store, "run")
                        .expect("typed");
                    for x in 0..50 {
                        let (sum,) = run.call(&mut store, (x,)).expect("runs");
                        assert_eq!(sum, x + thread, "round {round}");
                    }
                    let deep = linker.instantiate(&mut store, wild).expect("made");
                    let run = deep
                        .get_typed_func::<(), (u32,)>(&mut store, "run")
                        .expect("typed");
                    let error = run.call(&mut store, ()).expect_err("a trap");
                    assert_eq!(error.trap(), Some(Trap::StackOverflow), "{error:#}");
                }
            });
        }
    });
}
