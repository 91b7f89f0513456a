//! What goes wrong with others while a guest waits, on top of whose stack they may run: it
//! goes on as if nothing had happened, unless it is of the same root.

use crate::support::block_on;
use helve::component::{Component, Instance, Linker};
use helve::{Config, Engine, Result, Store, Trap, UpdateDeadline};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// `begin(how, yields)` returns, yields so often, and then does what `how` says.
const OTHER: &str = r#"(component
    (import "fail" (func $fail))
    (import "panic" (func $panic))
    (core func $fail (canon lower (func $fail)))
    (core func $panic (canon lower (func $panic)))
    (core func $yield (canon thread.yield))
    (core func $return (canon task.return))
    (core module $other
        (import "" "fail" (func $fail))
        (import "" "panic" (func $panic))
        (import "" "yield" (func $yield (result i32)))
        (import "" "return" (func $return))
        (func $deep (param i32) (result i32)
            (i32.add (call $deep (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))
        (func $spin (local $n i32)
            (loop $again
                (br_if $again (i32.lt_u
                    (local.tee $n (i32.add (local.get $n) (i32.const 1)))
                    (i32.const 100000)))))
        (func (export "begin") (param $how i32) (param $yields i32)
            (call $return)
            (loop $again
                (drop (call $yield))
                (br_if $again (local.tee $yields (i32.sub (local.get $yields) (i32.const 1)))))
            (block $spin (block $deep (block $panic (block $fail (block $trap
                (br_table $trap $fail $panic $deep $spin (local.get $how)))
                unreachable)
                (call $fail) return)
                (call $panic) return)
                (drop (call $deep (i32.const 0))) return)
            (call $spin) (drop (call $yield)) (call $spin)))
    (core instance $i (instantiate $other (with "" (instance
        (export "fail" (func $fail)) (export "panic" (func $panic))
        (export "yield" (func $yield)) (export "return" (func $return))))))
    (func (export "begin") async (param "how" u32) (param "yields" u32) (canon lift (core func $i "begin") async)))"#;

const TRAP: u32 = 0;
const FAIL: u32 = 1;
const PANIC: u32 = 2;
const DEEP: u32 = 3;
const SPIN: u32 = 4;

/// `waits` keeps a number in a context slot and yields again and again; `forked` calls it on a
/// stack of its own and waits for it there; `joined` starts it and waits for its event.
const WAITER: &str = r#"(component
    (component $inner
        (core func $set (canon context.set i32 0))
        (core func $get (canon context.get i32 0))
        (core func $yield (canon thread.yield))
        (core func $return (canon task.return (result u32)))
        (core module $waiter
            (import "" "set" (func $set (param i32)))
            (import "" "get" (func $get (result i32)))
            (import "" "yield" (func $yield (result i32)))
            (import "" "return" (func $return (param i32)))
            (func (export "waits") (local $n i32)
                (call $set (i32.const 7))
                (loop $again
                    (drop (call $yield))
                    (br_if $again (i32.lt_u
                        (local.tee $n (i32.add (local.get $n) (i32.const 1)))
                        (i32.const 100))))
                (call $return (call $get))))
        (core instance $i (instantiate $waiter (with "" (instance
            (export "set" (func $set)) (export "get" (func $get))
            (export "yield" (func $yield)) (export "return" (func $return))))))
        (func (export "waits") async (result u32) (canon lift (core func $i "waits") async)))
    (instance $inner (instantiate $inner))
    (alias export $inner "waits" (func $waits))
    (core module $memory (memory (export "m") 1))
    (core instance $memory (instantiate $memory))
    (core func $waits (canon lower (func $waits)))
    (core func $start (canon lower (func $waits) async (memory (core memory $memory "m"))))
    (core func $new (canon waitable-set.new))
    (core func $join (canon waitable.join))
    (core func $wait (canon waitable-set.wait (memory (core memory $memory "m"))))
    (core func $drop (canon subtask.drop))
    (core func $yield (canon thread.yield))
    (core func $return (canon task.return (result u32)))
    (core module $outer
        (import "m" "m" (memory 1))
        (import "" "waits" (func $waits (result i32)))
        (import "" "start" (func $start (param i32) (result i32)))
        (import "" "new" (func $new (result i32)))
        (import "" "join" (func $join (param i32 i32)))
        (import "" "wait" (func $wait (param i32 i32) (result i32)))
        (import "" "drop" (func $drop (param i32)))
        (import "" "yield" (func $yield (result i32)))
        (import "" "return" (func $return (param i32)))
        (func (export "forked") (local $n i32)
            (loop $again
                (drop (call $yield))
                (br_if $again (i32.lt_u
                    (local.tee $n (i32.add (local.get $n) (i32.const 1)))
                    (i32.const 30))))
            (call $return (call $waits)))
        (func (export "joined") (local $sub i32) (local $set i32)
            (local.set $sub (i32.shr_u (call $start (i32.const 16)) (i32.const 4)))
            (local.set $set (call $new))
            (call $join (local.get $sub) (local.get $set))
            (drop (call $wait (local.get $set) (i32.const 32)))
            (call $drop (local.get $sub))
            (call $return (i32.load (i32.const 16)))))
    (core instance $i (instantiate $outer
        (with "m" (instance $memory))
        (with "" (instance
            (export "waits" (func $waits)) (export "start" (func $start)) (export "new" (func $new))
            (export "join" (func $join)) (export "wait" (func $wait)) (export "drop" (func $drop))
            (export "yield" (func $yield)) (export "return" (func $return))))))
    (export "waits" (func $waits))
    (func (export "forked") async (result u32) (canon lift (core func $i "forked") async))
    (func (export "joined") async (result u32) (canon lift (core func $i "joined") async)))"#;

const WAYS: [&str; 3] = ["waits", "forked", "joined"];

fn set_up(config: &mut Config) -> (Store<()>, Instance, Instance) {
    let engine = Engine::new(config.all_features(true)).unwrap();
    let mut linker: Linker<()> = Linker::new(&engine);
    let fail = |_: helve::StoreContextMut<'_, ()>, (): ()| -> Result<()> {
        Err(helve::Error::msg("the host refuses"))
    };
    let panics = |_: helve::StoreContextMut<'_, ()>, (): ()| -> Result<()> { panic!("on purpose") };
    linker.root().func_wrap("fail", fail).unwrap();
    linker.root().func_wrap("panic", panics).unwrap();
    let mut store = Store::new(&engine, ());
    let [other, waiter] = [OTHER, WAITER].map(|text| {
        let component = Component::new(&engine, text).unwrap();
        linker.instantiate(&mut store, &component).unwrap()
    });
    (store, other, waiter)
}

fn begin(store: &mut Store<()>, other: &Instance, how: u32, yields: u32) -> Result<()> {
    let begin = other.get_typed_func::<(u32, u32), ()>(&mut *store, "begin")?;
    begin.call(&mut *store, (how, yields))
}

fn wait(store: &mut Store<()>, waiter: &Instance, way: &str) -> Result<u32> {
    let waits = waiter.get_typed_func::<(), (u32,)>(&mut *store, way)?;
    Ok(waits.call(&mut *store, ())?.0)
}

#[test]
fn others_trap() {
    let mut seen = [0; 3];
    for how in [TRAP, FAIL, DEEP] {
        for way in WAYS {
            for (others, yields) in [(0, 1), (0, 9), (1, 8), (2, 7), (19, 6), (3, 60)] {
                let (mut store, other, waiter) = set_up(&mut Config::new());
                for _ in 0..others {
                    begin(&mut store, &other, SPIN, 2).unwrap();
                }
                begin(&mut store, &other, how, yields).unwrap();
                let case = format!("{how}, {way}, {others} others, {yields}");
                assert_eq!(wait(&mut store, &waiter, way).unwrap(), 7, "{case}");
                let error = store.take_unreported_error();
                let error = error.unwrap_or_else(|| panic!("{case}: nothing went wrong"));
                let text = format!("{error:#}");
                match how {
                    TRAP => assert_eq!(error.trap(), Some(Trap::Unreachable), "{text}"),
                    FAIL => assert!(text.contains("the host refuses"), "{text}"),
                    _ => assert_eq!(error.trap(), Some(Trap::StackOverflow), "{text}"),
                }
                // Whose stack it was on top of.
                let below = [" - outer!", " - waiter!"].map(|name| text.contains(name));
                seen[usize::from(below[0]) + usize::from(below[1])] += 1;
                assert!(begin(&mut store, &other, SPIN, 1).is_err());
                for way in WAYS {
                    assert_eq!(wait(&mut store, &waiter, way).unwrap(), 7, "{case}");
                }
                assert!(store.take_unreported_error().is_none());
            }
        }
    }
    assert!(seen.iter().all(|&count| count > 0), "{seen:?}");
}

#[test]
fn others_make_the_host_panic() {
    for (way, yields) in WAYS.into_iter().flat_map(|way| [1, 2, 7].map(|n| (way, n))) {
        let (mut store, other, waiter) = set_up(&mut Config::new());
        begin(&mut store, &other, SPIN, 2).unwrap();
        begin(&mut store, &other, PANIC, yields).unwrap();
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let went = catch_unwind(AssertUnwindSafe(|| wait(&mut store, &waiter, way)));
        std::panic::set_hook(hook);
        let panic = went.expect_err("the host function panics");
        assert_eq!(panic.downcast_ref(), Some(&"on purpose"), "{way}");
        assert!(begin(&mut store, &other, SPIN, 3).is_err());
        let _ = store.take_unreported_error();
        for way in WAYS {
            assert_eq!(wait(&mut store, &waiter, way).unwrap(), 7, "{way}");
        }
        assert!(store.take_unreported_error().is_none());
        assert!(block_on(store.run_until_idle()).is_ok());
    }
}

/// Some others spin, and one waits.
async fn beside(
    store: &mut Store<()>,
    (other, waiter): (&Instance, &Instance),
    (way, count): (&str, u32),
) -> Result<()> {
    let begin = other.get_typed_func::<(u32, u32), ()>(&mut *store, "begin")?;
    for n in 0..count {
        begin.call_async(&mut *store, (SPIN, 2 + 3 * n)).await?;
    }
    let waits = waiter.get_typed_func::<(), (u32,)>(&mut *store, way)?;
    assert_eq!(waits.call_async(&mut *store, ()).await?, (7,), "{way}");
    Ok(())
}

#[test]
fn others_run_for_long() {
    for way in WAYS {
        // Fuel that makes them let others run.
        let (mut store, other, waiter) = set_up(Config::new().consume_fuel(true));
        store.set_fuel(u64::MAX).unwrap();
        store.fuel_async_yield_interval(Some(5_000)).unwrap();
        for count in [1, 2, 10] {
            block_on(beside(&mut store, (&other, &waiter), (way, count))).unwrap();
        }
        block_on(store.run_until_idle()).unwrap();

        // Fuel that is used up: whoever runs then traps, and so does who runs next.
        let (mut store, other, waiter) = set_up(Config::new().consume_fuel(true));
        store.set_fuel(20_000).unwrap();
        begin(&mut store, &other, SPIN, 3).unwrap();
        let error = wait(&mut store, &waiter, way).unwrap_err();
        assert_eq!(error.trap(), Some(Trap::OutOfFuel), "{way}: {error:#}");
        let error = store.take_unreported_error().expect("no fuel");
        assert_eq!(error.trap(), Some(Trap::OutOfFuel), "{way}: {error:#}");
        assert!(store.take_unreported_error().is_none());

        // Epochs that pass while they run.
        let (mut store, other, waiter) = set_up(Config::new().epoch_interruption(true));
        store.set_epoch_deadline(1);
        let mut left = 50;
        store.epoch_deadline_callback(move |_| {
            // It has passed again at once, for some time.
            left -= u64::from(left > 0);
            Ok(UpdateDeadline::Yield(u64::from(left == 0)))
        });
        store.engine().increment_epoch();
        block_on(beside(&mut store, (&other, &waiter), (way, 3))).unwrap();
        block_on(store.run_until_idle()).unwrap();
    }
}
