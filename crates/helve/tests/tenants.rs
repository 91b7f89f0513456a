//! Memories of component instances that end go back to the pool, those that nobody can have
//! written to as they are. So every way by which a component instance's code comes to run, or
//! its memories are written to, is taken here, and the next tenants look at what they get.

use helve::component::{Component, Linker, Resource, ResourceType};
use helve::core;
use helve::{Config, Engine, PoolingAllocationConfig, Result, Store};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A module that fills its memory when it is asked to.
const SOIL: &str = r#"
    (memory (export "mem") 1)
    (func $soil (export "soil") (memory.fill (i32.const 0) (i32.const 0xee) (i32.const 65536)))
    (func (export "soil-i") (param i32) (call $soil))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (call $soil) (i32.const 16))
    (func (export "take") (param i32 i32))
    (func (export "give") (result i32) (i32.const 16))
    (func (export "post") (param i32) (call $soil))
    (func (export "event") (param i32 i32 i32) (result i32) (call $soil) (i32.const 0))
    (func (export "yield") (result i32) (i32.const 1))"#;

/// A component whose instance soils its memory when its function `f` is called.
fn soiled_by_f() -> String {
    format!(
        r#"(component $B (core module $m {SOIL}) (core instance $i (instantiate $m))
            (func (export "f") (canon lift (core func $i "soil"))))"#
    )
}

type Act = fn(&mut Store<()>, &helve::component::Instance) -> Result<()>;

fn nothing(_: &mut Store<()>, _: &helve::component::Instance) -> Result<()> {
    Ok(())
}

fn call(store: &mut Store<()>, instance: &helve::component::Instance) -> Result<()> {
    let f = instance.get_typed_func::<(), ()>(&mut *store, "f")?;
    f.call(store, ())
}

/// What components are, and what is done with an instance.
fn ways() -> Vec<(&'static str, String, Act)> {
    let one = |rest: &str| {
        format!("(component (core module $m {SOIL}) (core instance $i (instantiate $m)) {rest})")
    };
    let b = soiled_by_f();
    vec![
        ("nothing at all", one(""), nothing),
        (
            "a call of the host",
            one(r#"(func (export "f") (canon lift (core func $i "soil")))"#),
            call,
        ),
        (
            "a call of another component",
            format!(
                r#"(component {b} (instance $b (instantiate $B))
                (core func $f (canon lower (func $b "f")))
                (core module $n (import "" "f" (func $f)) (func (export "f") (call $f)))
                (core instance $j (instantiate $n (with "" (instance (export "f" (func $f))))))
                (func (export "f") (canon lift (core func $j "f"))))"#
            ),
            call,
        ),
        (
            "the same, from a start function",
            format!(
                r#"(component {b} (instance $b (instantiate $B))
                (core func $f (canon lower (func $b "f")))
                (core module $n (import "" "f" (func $f)) (start $f))
                (core instance $j (instantiate $n (with "" (instance (export "f" (func $f)))))))"#
            ),
            nothing,
        ),
        (
            "a call through a table",
            format!(
                r#"(component {b} (instance $b (instantiate $B))
                (core func $f (canon lower (func $b "f")))
                (core module $n (import "" "f" (func $f)) (type $t (func))
                    (table 2 funcref) (elem (i32.const 1) $f)
                    (func (export "f") (call_indirect (type $t) (i32.const 1))
                        (call_indirect (type $t) (i32.const 1))))
                (core instance $j (instantiate $n (with "" (instance (export "f" (func $f))))))
                (func (export "f") (canon lift (core func $j "f"))))"#
            ),
            call,
        ),
        (
            "another module's start function",
            one(r#"(core module $n (import "i" "soil" (func $f)) (start $f))
                (core instance (instantiate $n (with "i" (instance $i))))"#),
            nothing,
        ),
        (
            "a start function that traps",
            one(
                r#"(core module $n (import "i" "soil" (func $f)) (func $g (call $f) (unreachable)) (start $g))
                (core instance (instantiate $n (with "i" (instance $i))))"#,
            ),
            nothing,
        ),
        (
            "another module's data",
            one(
                r#"(core module $n (import "i" "mem" (memory 1)) (data (i32.const 7) "soil"))
                (core instance (instantiate $n (with "i" (instance $i))))"#,
            ),
            nothing,
        ),
        (
            "a module with a memory that comes after the first call",
            format!(
                r#"(component {b} (instance $b (instantiate $B))
                (core func $f (canon lower (func $b "f")))
                (core module $o {SOIL})
                (core module $n (import "" "f" (func $f)) (start $f))
                (core instance $j (instantiate $n (with "" (instance (export "f" (func $f))))))
                (core instance $k (instantiate $o))
                (func (export "f") (canon lift (core func $k "soil"))))"#
            ),
            call,
        ),
        (
            "an argument in memory",
            one(r#"(func (export "f") (param "s" string)
                    (canon lift (core func $i "take") (memory (core memory $i "mem")) (realloc (core func $i "realloc"))))"#),
            |store, instance| {
                let f = instance.get_typed_func::<(&str,), ()>(&mut *store, "f")?;
                f.call(store, ("soil",))
            },
        ),
        (
            "a post-return function",
            one(r#"(func (export "f") (result string)
                    (canon lift (core func $i "give") (memory (core memory $i "mem")) (post-return (core func $i "post"))))"#),
            |store, instance| {
                let f = instance.get_typed_func::<(), (String,)>(&mut *store, "f")?;
                f.call(store, ()).map(|_| ())
            },
        ),
        (
            "a callback that traps in the end",
            one(r#"(func (export "f") async
                    (canon lift (core func $i "yield") async (callback (core func $i "event"))))"#),
            call,
        ),
        (
            "a destructor, by the host",
            one(
                r#"(type $r' (resource (rep i32) (dtor (core func $i "soil-i"))))
                (export $r "r" (type $r'))
                (core func $new (canon resource.new $r))
                (core module $n (import "" "new" (func $new (param i32) (result i32)))
                    (func (export "make") (result i32) (call $new (i32.const 1))))
                (core instance $j (instantiate $n (with "" (instance (export "new" (func $new))))))
                (func (export "f") (result (own $r)) (canon lift (core func $j "make")))"#,
            ),
            |store, instance| {
                let f = instance.get_func(&mut *store, "f").expect("a function");
                let mut made = [helve::component::Val::Bool(false)];
                f.call(&mut *store, &[], &mut made)?;
                let [helve::component::Val::Resource(made)] = made else {
                    panic!("{made:?}")
                };
                made.resource_drop(store)
            },
        ),
    ]
}

/// One test at a time: one of them looks at what the process has.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn no_byte_of_a_component_is_seen_by_the_next() {
    let _alone = alone();
    let clean = "(module (memory (export \"mem\") 1))";
    for resident in [0, 4096, 1 << 20] {
        let mut pool = PoolingAllocationConfig::new();
        pool.linear_memory_keep_resident(resident);
        let mut config = Config::new();
        config.allocation_strategy(pool);
        let engine = Engine::new(&config).expect("an engine");
        let clean = core::Module::new(&engine, clean).expect("a module");
        for (what, text, act) in ways() {
            let component = Component::new(&engine, &text).expect(what);
            let pre = Linker::new(&engine)
                .instantiate_pre(&component)
                .expect(what);
            // The first instance has no image.
            for round in 0..3 {
                let mut store = Store::new(&engine, ());
                let made = pre.instantiate(&mut store);
                let done = made.and_then(|instance| act(&mut store, &instance));
                assert_eq!(done.is_err(), what.contains("traps"), "{what}: {done:?}");
                drop(store);
                let mut store = Store::new(&engine, ());
                for _ in 0..3 {
                    let next = core::Instance::new(&mut store, &clean, &[]).expect("an instance");
                    let memory = next.get_memory(&store, "mem").expect("a memory");
                    let bytes = memory.data(&store).expect("bytes");
                    let seen = bytes.iter().filter(|&&byte| byte != 0).count();
                    assert_eq!(seen, 0, "{what}, {resident} bytes kept, round {round}");
                }
            }
        }
    }
}

/// An image is as it was for the next instance, also where instantiating fails after it was
/// mapped.
#[test]
fn an_image_is_whole_for_the_next() {
    let _alone = alone();
    let engine = Engine::new(&Config::new()).expect("an engine");
    let bytes = "x".repeat(40_000);
    let text = |element: u32| {
        format!(
            r#"(component (core module $m (memory (export "mem") 1) (data (i32.const 100) "{bytes}")
                (table 1 funcref) (elem (i32.const {element}) func $sum)
                (func $sum (export "sum") (result i32) (local $i i32) (local $s i32)
                    (loop $next
                        (local.set $s (i32.add (local.get $s) (i32.load8_u (local.get $i))))
                        (i32.store8 (local.get $i) (i32.const 3))
                        (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1)))
                            (i32.const 65536))))
                    (local.get $s)))
            (core instance $i (instantiate $m))
            (func (export "sum") (result u32) (canon lift (core func $i "sum"))))"#
        )
    };
    let [good, bad] = [0, 1].map(|element| {
        let component = Component::new(&engine, text(element)).expect("a component");
        Linker::new(&engine)
            .instantiate_pre(&component)
            .expect("no imports")
    });
    for round in 0..8 {
        let mut store = Store::new(&engine, ());
        let instance = good.instantiate(&mut store).expect("an instance");
        if round % 3 != 1 {
            let sum = instance.get_typed_func::<(), (u32,)>(&mut store, "sum");
            let sum = sum.and_then(|sum| sum.call(&mut store, ())).expect("a sum");
            assert_eq!(sum, (40_000 * u32::from(b'x'),), "round {round}");
        }
        let mut store = Store::new(&engine, ());
        bad.instantiate(&mut store)
            .expect_err("an element out of bounds");
    }
}

/// Many instances, one after the other and some at a time: the process gets no bigger.
#[test]
fn memory_is_flat() {
    let _alone = alone();
    let engine = Engine::new(&Config::new()).expect("an engine");
    let text = format!(
        r#"(component {b} (instance $b (instantiate $B))
        (import "host" (instance $host (export "r" (type (sub resource)))))
        (core func $f (canon lower (func $b "f")))
        (core module $n (import "" "f" (func $f)) (func (export "f") (call $f)))
        (core instance $j (instantiate $n (with "" (instance (export "f" (func $f))))))
        (func (export "f") (canon lift (core func $j "f"))))"#,
        b = soiled_by_f()
    );
    let component = Component::new(&engine, text).expect("a component");
    let mut linker = Linker::new(&engine);
    let mut host = linker.instance("host").expect("a name");
    let ty = ResourceType::host::<u8>();
    host.resource("r", ty, |_, _| Ok(())).expect("a name");
    let _ = Resource::<u8>::new_own(1);
    let pre = linker.instantiate_pre(&component).expect("all imports");
    let run = |rounds: u32| {
        for round in 0..rounds {
            let mut store = Store::new(&engine, ());
            let instance = pre.instantiate(&mut store).expect("an instance");
            if round % 4 == 0 {
                call(&mut store, &instance).expect("a call");
            }
            if round % 8 == 0 {
                store.remove_instance(instance).expect("it is quiet");
                pre.instantiate(&mut store).expect("another one");
            }
        }
        resident()
    };
    run(200);
    let before = run(200);
    let after = run(3000);
    assert!(after < before + (1 << 20), "{before} bytes, then {after}");
}

/// Bytes of this process that are in memory.
fn resident() -> usize {
    let stat = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages = stat
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("a number") * 4096
}
