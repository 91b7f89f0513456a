//! What each component instance uses and may have, nested ones too: memory, tables, handles,
//! what calls copy, fuel. Each limit from both sides.

use helve::component::inspect::Usage;
use helve::component::{Component, Instance, Linker, Val};
use helve::{Config, Engine, InstanceLimits, Result, Store};

/// A component inside another, each with a memory and a table of its own, which grow by
/// pages and elements; `spin` burns fuel in the one inside, then outside.
const GUEST: &str = r#"(component
    (component $inner
        (core module $m
            (memory (export "memory") 2) (table $t 5 funcref)
            (global $next (mut i32) (i32.const 1024))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                (global.get $next)
                (global.set $next (i32.add (global.get $next) (local.get 3))))
            (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
            (func (export "more") (param i32) (result i32)
                (table.grow $t (ref.null func) (local.get 0)))
            (func (export "echo") (param i32 i32) (result i32)
                (i32.store (i32.const 0) (local.get 0))
                (i32.store (i32.const 4) (local.get 1))
                (i32.const 0))
            (func (export "spin") (param i32)
                (loop $more
                    (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
                    (br_if $more (local.get 0)))))
        (core instance $m (instantiate $m))
        (func (export "grow") (param "pages" u32) (result s32) (canon lift (core func $m "grow")))
        (func (export "more") (param "by" u32) (result s32) (canon lift (core func $m "more")))
        (func (export "spin") (param "turns" u32) (canon lift (core func $m "spin")))
        (func (export "echo") (param "s" string) (result (list u8)) (canon lift
            (core func $m "echo") (memory (core memory $m "memory"))
            (realloc (core func $m "realloc")))))
    (instance $inner (instantiate $inner))
    (core func $spin (canon lower (func $inner "spin")))
    (core func $set-new (canon waitable-set.new))
    (core module $m
        (import "" "spin" (func $spin (param i32)))
        (import "" "set-new" (func $set-new (result i32)))
        (memory 1)
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
        (func (export "sets") (param i32)
            (loop $more
                (drop (call $set-new))
                (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
                (br_if $more (local.get 0))))
        (func (export "spin") (param i32 i32)
            (call $spin (local.get 0))
            (loop $more
                (local.set 1 (i32.sub (local.get 1) (i32.const 1)))
                (br_if $more (local.get 1)))))
    (core instance $m (instantiate $m (with "" (instance
        (export "spin" (func $spin)) (export "set-new" (func $set-new))))))
    (func (export "grow") (param "pages" u32) (result s32) (canon lift (core func $m "grow")))
    (func (export "sets") (param "count" u32) (canon lift (core func $m "sets")))
    (func (export "spin") (param "inside" u32) (param "outside" u32)
        (canon lift (core func $m "spin")))
    (export "grow-inside" (func $inner "grow"))
    (export "more-inside" (func $inner "more"))
    (export "echo" (func $inner "echo")))"#;

const PAGE: u64 = 1 << 16;

fn store(config: &Config, limits: Option<InstanceLimits>) -> (Engine, Store<()>) {
    let engine = Engine::new(config).expect("an engine");
    let mut store = Store::new(&engine, ());
    if let Some(limits) = limits {
        store.set_instance_limits(limits);
    }
    (engine, store)
}

fn instance(engine: &Engine, store: &mut Store<()>) -> Result<Instance> {
    let component = Component::new(engine, GUEST)?;
    Linker::new(engine).instantiate(store, &component)
}

fn grow(store: &mut Store<()>, instance: &Instance, name: &str, by: u32) -> i32 {
    let grow = instance.get_typed_func::<(u32,), (i32,)>(&mut *store, name);
    grow.expect("a function")
        .call(store, (by,))
        .expect("no trap")
        .0
}

fn usage<const N: usize>(store: &mut Store<()>, instance: &Instance) -> [Usage; N] {
    let usage = instance.usage(store).expect("it is there");
    usage.try_into().expect("as many")
}

fn limits(change: impl FnOnce(&mut InstanceLimits)) -> Option<InstanceLimits> {
    let mut limits = InstanceLimits::default();
    change(&mut limits);
    Some(limits)
}

#[test]
fn memory_is_bounded_by_instance() {
    let most = limits(|limits| limits.memory_bytes = 4 * PAGE);
    let (engine, mut store) = store(&Config::new(), most);
    let one = instance(&engine, &mut store).expect("it fits");
    // Outside there is one page, inside there are two: each may have four.
    for (name, by, expected) in [
        ("grow", 4, -1),
        ("grow", 3, 1),
        ("grow", 1, -1),
        ("grow-inside", 3, -1),
        ("grow-inside", 2, 2),
        ("grow-inside", 1, -1),
        ("grow-inside", 0, 4),
    ] {
        assert_eq!(grow(&mut store, &one, name, by), expected, "{name} by {by}");
    }
    for used in usage::<2>(&mut store, &one) {
        assert_eq!(
            (used.memory_bytes as u64, used.memory_limit),
            (4 * PAGE, 4 * PAGE)
        );
    }
    // Another instance has as much for itself; what is removed counts for nobody.
    let two = instance(&engine, &mut store).expect("it fits");
    assert_eq!(grow(&mut store, &two, "grow", 3), 1);
    store.remove_instance(one).expect("nobody uses it");
    assert_eq!(grow(&mut store, &two, "grow", 1), -1);
}

#[test]
fn what_does_not_fit_is_not_made() {
    for (bytes, fits) in [(2 * PAGE, true), (2 * PAGE - 1, false)] {
        let most = limits(|limits| limits.memory_bytes = bytes);
        let (engine, mut store) = store(&Config::new(), most);
        let made = instance(&engine, &mut store);
        assert_eq!(made.is_ok(), fits, "{bytes}");
        if let Err(error) = made {
            let error = format!("{error:#}");
            assert!(error.contains("InstanceLimits::memory_bytes"), "{error}");
        }
    }
    for (elements, fits) in [(5, true), (4, false)] {
        let most = limits(|limits| limits.table_elements = elements);
        let (engine, mut store) = store(&Config::new(), most);
        let made = instance(&engine, &mut store);
        assert_eq!(made.is_ok(), fits, "{elements}");
        if let Err(error) = made {
            let error = format!("{error:#}");
            assert!(error.contains("InstanceLimits::table_elements"), "{error}");
        }
    }
}

#[test]
fn the_engine_has_the_defaults() {
    let mut config = Config::new();
    config.max_instance_memory_bytes(3 * PAGE);
    let (engine, mut store) = store(&config, None);
    let one = instance(&engine, &mut store).expect("it fits");
    assert_eq!(grow(&mut store, &one, "grow-inside", 2), -1);
    assert_eq!(grow(&mut store, &one, "grow-inside", 1), 2);
    // The store's own say is asked too.
    let mut config = Config::new();
    config.max_store_memory_bytes(4 * PAGE);
    let (engine, mut store) = self::store(&config, None);
    let one = instance(&engine, &mut store).expect("it fits");
    assert_eq!(grow(&mut store, &one, "grow", 2), -1);
    assert_eq!(grow(&mut store, &one, "grow", 1), 1);
    assert_eq!(
        usage::<2>(&mut store, &one)[0].memory_bytes as u64,
        2 * PAGE
    );
}

#[test]
fn tables_are_bounded_by_instance() {
    let most = limits(|limits| limits.table_elements = 8);
    let (engine, mut store) = store(&Config::new(), most);
    let one = instance(&engine, &mut store).expect("it fits");
    for (by, expected) in [(4, -1), (3, 5), (1, -1)] {
        assert_eq!(grow(&mut store, &one, "more-inside", by), expected);
    }
    let used = usage(&mut store, &one);
    let tables = used.map(|used| (used.table_elements, used.table_limit));
    assert_eq!(tables, [(0, 8), (8, 8)]);
}

#[test]
fn handles_are_bounded_by_instance() {
    for (count, fits) in [(50, true), (51, false)] {
        let most = limits(|limits| limits.handles = 50);
        let (engine, mut store) = store(&Config::new(), most);
        let one = instance(&engine, &mut store).expect("it fits");
        let sets = one.get_typed_func::<(u32,), ()>(&mut store, "sets");
        let made = sets.expect("a function").call(&mut store, (count,));
        assert_eq!(made.is_ok(), fits, "{count}");
        let used = usage(&mut store, &one);
        // A trap clears the table.
        let left = if fits { 50 } else { 0 };
        assert_eq!(used.map(|used| used.handles), [left, 0]);
    }
}

#[test]
fn what_calls_copy_is_counted_and_bounded() -> Result<()> {
    for (bytes, fits) in [(1000, true), (999, false)] {
        let most = limits(|limits| limits.lifted_bytes = bytes);
        let (engine, mut store) = store(&Config::new(), most);
        let one = instance(&engine, &mut store)?;
        let echo = one.get_typed_func::<(&str,), (Vec<u8>,)>(&mut store, "echo")?;
        let text = "x".repeat(1000);
        let echoed = echo.call(&mut store, (&text,));
        assert_eq!(echoed.is_ok(), fits, "{bytes}");
        let copied = usage(&mut store, &one).map(|used| used.copied_bytes);
        assert_eq!(copied, [0, 2000]);
    }
    // Dynamic values count alike.
    let (engine, mut store) = store(&Config::new(), None);
    let one = instance(&engine, &mut store)?;
    let echo = one.get_func(&mut store, "echo").expect("a function");
    let mut results = [Val::Bool(false)];
    echo.call(&mut store, &[Val::String("four".into())], &mut results)?;
    let copied = usage(&mut store, &one).map(|used| used.copied_bytes);
    assert_eq!(copied, [0, 8]);
    Ok(())
}

/// A giver that calls a taker with a string and a list, and writes to it by a stream.
fn giver_and_taker(encoding: &str) -> String {
    format!(
        r#"(component
  (component $taker
    (core module $m
      (memory (export "mem") 1)
      (global $next (mut i32) (i32.const 1024))
      (func (export "realloc") (param i32 i32 i32 i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
        (global.set $next (i32.add (local.get $at) (local.get 3)))
        (local.get $at))
      (func (export "take") (param i32 i32 i32 i32)))
    (core instance $i (instantiate $m))
    (func (export "take") (param "text" string) (param "numbers" (list u32))
      (canon lift (core func $i "take") (memory (core memory $i "mem")) (realloc (core func $i "realloc"))
        string-encoding={encoding})))
  (component $giver
    (import "take" (func $take (param "text" string) (param "numbers" (list u32))))
    (core module $libc (memory (export "mem") 1) (data (i32.const 16) "hello, world"))
    (core instance $libc (instantiate $libc))
    (core func $take (canon lower (func $take) (memory (core memory $libc "mem"))))
    (type $bytes (stream u16))
    (core func $new (canon stream.new $bytes))
    (core func $read (canon stream.read $bytes async (memory (core memory $libc "mem"))))
    (core func $write (canon stream.write $bytes async (memory (core memory $libc "mem"))))
    (core module $m
      (import "" "take" (func $take (param i32 i32 i32 i32)))
      (import "" "new" (func $new (result i64)))
      (import "" "read" (func $read (param i32 i32 i32) (result i32)))
      (import "" "write" (func $write (param i32 i32 i32) (result i32)))
      (func (export "give") (param i32)
        (call $take (i32.const 16) (i32.const 12) (i32.const 16) (local.get 0)))
      (func (export "stream") (param i32)
        (local $ends i64)
        (local.set $ends (call $new))
        (drop (call $read (i32.wrap_i64 (local.get $ends)) (i32.const 256) (local.get 0)))
        (drop (call $write
          (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32)))
          (i32.const 512) (local.get 0)))))
    (core instance $i (instantiate $m (with "" (instance
      (export "take" (func $take)) (export "new" (func $new))
      (export "read" (func $read)) (export "write" (func $write))))))
    (func (export "give") (param "count" u32) (canon lift (core func $i "give")))
    (func (export "stream") (param "count" u32) (canon lift (core func $i "stream"))))
  (instance $t (instantiate $taker))
  (instance $g (instantiate $giver (with "take" (func $t "take"))))
  (export "give" (func $g "give"))
  (export "stream" (func $g "stream")))"#
    )
}

/// Calls between components copy without the host, and streams do; both sides are told.
#[test]
fn what_components_copy_is_counted() -> Result<()> {
    for encoding in ["utf8", "utf16"] {
        for fused in [true, false] {
            let mut config = Config::new();
            config.fused_adapters(fused);
            let (engine, mut store) = store(&config, None);
            let component = Component::new(&engine, giver_and_taker(encoding))?;
            let one = Linker::new(&engine).instantiate(&mut store, &component)?;
            let give = one.get_typed_func::<(u32,), ()>(&mut store, "give")?;
            give.call(&mut store, (3,))?;
            let copied = usage(&mut store, &one).map(|used| used.copied_bytes);
            // The slow twin lifts, then lowers: the taker has the new encoding's bytes.
            let lowered = if encoding == "utf16" && !fused {
                24
            } else {
                12
            };
            // The outermost one, the taker, the giver.
            assert_eq!(
                copied,
                [0, lowered + 12, 12 + 12],
                "{encoding}, fused: {fused}"
            );
        }
    }
    let (engine, mut store) = store(&Config::new(), None);
    let component = Component::new(&engine, giver_and_taker("utf8"))?;
    let one = Linker::new(&engine).instantiate(&mut store, &component)?;
    let stream = one.get_typed_func::<(u32,), ()>(&mut store, "stream")?;
    stream.call(&mut store, (5,))?;
    // Out of it and into it.
    let copied = usage(&mut store, &one).map(|used| used.copied_bytes);
    assert_eq!(copied, [0, 0, 20]);
    Ok(())
}

#[test]
fn fuel_is_counted_by_instance() -> Result<()> {
    for metered in [false, true] {
        let mut config = Config::new();
        config.consume_fuel(true).meter_instances(metered);
        let (engine, mut store) = store(&config, None);
        store.set_fuel(1_000_000)?;
        let one = instance(&engine, &mut store)?;
        let spin = one.get_typed_func::<(u32, u32), ()>(&mut store, "spin")?;
        let before = store.get_fuel()?;
        spin.call(&mut store, (10_000, 1))?;
        spin.call(&mut store, (1, 1000))?;
        let total = before - store.get_fuel()?;
        let fuel = usage(&mut store, &one).map(|used| used.fuel);
        let [Some(outside), Some(inside)] = fuel else {
            assert!(!metered, "{fuel:?}");
            continue;
        };
        assert!(metered);
        assert!(inside > 20_000 && outside > 2_000, "{fuel:?} of {total}");
        assert!(outside < 10_000, "{fuel:?} of {total}");
        assert_eq!(inside + outside, total, "{fuel:?}");
    }
    Ok(())
}
