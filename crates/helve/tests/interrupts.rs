//! Guests that run for long: stopped by fuel and by epochs, or made to let others run;
//! compiled ahead and lazily.

use helve::core::{Instance, Linker, Module, TypedFunc};
use helve::{CompileMode, Config, Engine, Error, Result, Store, Trap, UpdateDeadline};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

const GUEST: &str = r#"(module
    (memory 16)
    (table 100000 funcref)
    (func (export "spin") (loop (br 0)))
    (func $recurse (export "recurse") (result i32)
        (if (result i32) (i32.const 1) (then (return_call $recurse)) (else (i32.const 0))))
    (func (export "count") (param $n i32) (result i32)
        (local $sum i32)
        (loop $again
            (local.set $sum (i32.add (local.get $sum) (local.get $n)))
            (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $sum))
    (func (export "fill") (param $n i32) (result i32)
        (memory.fill (i32.const 0) (i32.const 7) (local.get $n))
        (i32.const 1))
    (func (export "fills") (loop (memory.fill (i32.const 0) (i32.const 7) (i32.const 1048576)) (br 0)))
    (func (export "tables")
        (loop (table.fill 0 (i32.const 0) (ref.null func) (i32.const 100000)) (br 0)))
    (func (export "peek") (result i32) (i32.load8_u (i32.const 0))))"#;

fn guest(config: &mut Config, mode: CompileMode) -> Result<(Store<()>, Instance)> {
    let engine = Engine::new(config.compile(mode).verifier(true))?;
    let module = Module::new(&engine, GUEST)?;
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine).instantiate(&mut store, &module)?;
    Ok((store, instance))
}

const MODES: [CompileMode; 2] = [CompileMode::Ahead, CompileMode::Lazy];

fn trap<R: std::fmt::Debug>(result: Result<R>) -> Option<Trap> {
    result.expect_err("it runs for ever").trap()
}

#[test]
fn fuel_runs_out() -> Result<()> {
    for mode in MODES {
        let (mut store, instance) = guest(Config::new().consume_fuel(true), mode)?;
        for name in ["spin", "fills", "tables"] {
            store.set_fuel(100_000)?;
            let run = instance.get_typed_func::<(), ()>(&store, name)?;
            assert_eq!(
                trap(run.call(&mut store, ())),
                Some(Trap::OutOfFuel),
                "{name}"
            );
            assert_eq!(store.get_fuel()?, 0);
        }
        store.set_fuel(100_000)?;
        let run = instance.get_typed_func::<(), i32>(&store, "recurse")?;
        assert_eq!(trap(run.call(&mut store, ())), Some(Trap::OutOfFuel));
        // The store is as good as before.
        store.set_fuel(1_000)?;
        let count = instance.get_typed_func::<i32, i32>(&store, "count")?;
        assert_eq!(count.call(&mut store, 10)?, 55);
    }
    Ok(())
}

#[test]
fn fuel_is_the_same_in_every_run_and_tier() -> Result<()> {
    let used = |mode, n| -> Result<u64> {
        let (mut store, instance) = guest(Config::new().consume_fuel(true), mode)?;
        let count = instance.get_typed_func::<i32, i32>(&store, "count")?;
        store.set_fuel(1 << 40)?;
        count.call(&mut store, n)?;
        Ok((1 << 40) - store.get_fuel()?)
    };
    // An add, a subtraction, two constants or so and a branch in each turn.
    assert_eq!(used(CompileMode::Ahead, 1)?, used(CompileMode::Lazy, 1)?);
    let (ten, twenty) = (used(CompileMode::Ahead, 10)?, used(CompileMode::Ahead, 20)?);
    assert_eq!(twenty - ten, 10 * 4);
    // Long enough to be compiled again in between.
    let long = used(CompileMode::Ahead, 20_000_000)?;
    assert_eq!(long, used(CompileMode::Lazy, 20_000_000)?);
    assert_eq!(long, ten + 4 * (20_000_000 - 10));

    // One unit less than it takes is too little: then it stops at the next check.
    let (mut store, instance) = guest(Config::new().consume_fuel(true), CompileMode::Ahead)?;
    let count = instance.get_typed_func::<i32, i32>(&store, "count")?;
    store.set_fuel(ten)?;
    assert_eq!(count.call(&mut store, 10)?, 55);
    assert_eq!(store.get_fuel()?, 0);
    store.set_fuel(ten - 8)?;
    assert_eq!(trap(count.call(&mut store, 10)), Some(Trap::OutOfFuel));
    Ok(())
}

#[test]
fn what_can_only_fail_is_free() -> Result<()> {
    const BULK: [(&str, &str); 8] = [
        (
            "table.grow",
            "(drop (table.grow $t (ref.null func) (i64.const -1)))",
        ),
        ("memory.grow", "(drop (memory.grow (i64.const -1)))"),
        (
            "table.fill",
            "(table.fill $t (i64.const 1) (ref.null func) (i64.const -1))",
        ),
        (
            "table.copy",
            "(table.copy $t $t (i64.const 0) (i64.const 1) (i64.const -1))",
        ),
        (
            "table.init",
            "(table.init $t $e (i64.const 0) (i32.const 0) (i32.const -1))",
        ),
        (
            "memory.fill",
            "(memory.fill (i64.const 1) (i32.const 0) (i64.const -1))",
        ),
        (
            "memory.copy",
            "(memory.copy (i64.const 0) (i64.const 1) (i64.const -1))",
        ),
        (
            "memory.init",
            "(memory.init $d (i64.const 0) (i32.const 0) (i32.const -1))",
        ),
    ];
    for (name, code) in BULK {
        let text = format!(
            r#"(module (table $t i64 10 funcref) (memory i64 1) (elem $e func) (data $d "")
                (func (export "run") {code}))"#
        );
        let mut ends = Vec::new();
        for fuel in [false, true] {
            let mut config = Config::new();
            let engine = Engine::new(config.all_features(true).consume_fuel(fuel))?;
            let mut store = Store::new(&engine, ());
            if fuel {
                store.set_fuel(100)?;
            }
            let module = Module::new(&engine, &text)?;
            let instance = Linker::new(&engine).instantiate(&mut store, &module)?;
            let run = instance.get_typed_func::<(), ()>(&store, "run")?;
            ends.push(run.call(&mut store, ()).map_err(|error| error.trap()));
            if fuel {
                let left = store.get_fuel()?;
                assert!(left > 80, "{name} left {left}");
            }
        }
        assert_eq!(ends[0], ends[1], "{name}");
        assert_ne!(ends[0], Err(Some(Trap::OutOfFuel)), "{name}");
    }
    Ok(())
}

#[test]
fn growing_a_table_is_paid_for() -> Result<()> {
    let mut config = Config::new();
    let engine = Engine::new(config.consume_fuel(true))?;
    let text = r#"(module (table $t 10 funcref)
        (func (export "grow") (param i32) (result i32)
            (table.grow $t (ref.null func) (local.get 0))))"#;
    let module = Module::new(&engine, text)?;
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine).instantiate(&mut store, &module)?;
    let grow = instance.get_typed_func::<i32, i32>(&store, "grow")?;
    store.set_fuel(1_000)?;
    assert_eq!(grow.call(&mut store, 800)?, 10);
    let left = store.get_fuel()?;
    assert!((880..900).contains(&left), "{left}");
    assert_eq!(trap(grow.call(&mut store, 80_000)), Some(Trap::OutOfFuel));
    Ok(())
}

#[test]
fn no_bulk_operation_is_half_done() -> Result<()> {
    for mode in MODES {
        let (mut store, instance) = guest(Config::new().consume_fuel(true), mode)?;
        let fill = instance.get_typed_func::<i32, i32>(&store, "fill")?;
        let peek = instance.get_typed_func::<(), i32>(&store, "peek")?;
        store.set_fuel(1000)?;
        assert_eq!(trap(fill.call(&mut store, 1 << 20)), Some(Trap::OutOfFuel));
        store.set_fuel(1000)?;
        assert_eq!(peek.call(&mut store, ())?, 0);
        store.set_fuel((1 << 20) / 64 + 100)?;
        assert_eq!(fill.call(&mut store, 1 << 20)?, 1);
        assert_eq!(peek.call(&mut store, ())?, 7);
    }
    Ok(())
}

#[test]
fn what_is_off_says_so() -> Result<()> {
    let (mut store, instance) = guest(&mut Config::new(), CompileMode::Ahead)?;
    assert!(store.set_fuel(1).is_err());
    assert!(store.get_fuel().is_err());
    assert!(store.fuel_async_yield_interval(Some(1)).is_err());
    let count = instance.get_typed_func::<i32, i32>(&store, "count")?;
    store.engine().increment_epoch();
    store.engine().increment_epoch();
    assert_eq!(count.call(&mut store, 3)?, 6);
    let (mut store, _) = guest(Config::new().consume_fuel(true), CompileMode::Ahead)?;
    assert_eq!(store.get_fuel()?, 0);
    assert!(store.fuel_async_yield_interval(Some(0)).is_err());
    Ok(())
}

/// Counts the engine's epoch up until it is dropped.
struct Ticker(Option<std::thread::JoinHandle<()>>, Arc<AtomicU32>);

impl Ticker {
    fn new(engine: &Engine) -> Ticker {
        let (engine, stop) = (engine.clone(), Arc::new(AtomicU32::new(0)));
        let seen = stop.clone();
        let thread = std::thread::spawn(move || {
            while seen.load(Ordering::Relaxed) == 0 {
                engine.increment_epoch();
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Ticker(Some(thread), stop)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.1.store(1, Ordering::Relaxed);
        if let Some(thread) = self.0.take() {
            thread.join().expect("it only counts");
        }
    }
}

#[test]
fn epochs_interrupt() -> Result<()> {
    for mode in MODES {
        let (mut store, instance) = guest(Config::new().epoch_interruption(true), mode)?;
        let spin = instance.get_typed_func::<(), ()>(&store, "spin")?;
        let recurse = instance.get_typed_func::<(), i32>(&store, "recurse")?;
        let count = instance.get_typed_func::<i32, i32>(&store, "count")?;
        // Nothing has ticked yet.
        assert_eq!(count.call(&mut store, 3)?, 6);
        let ticker = Ticker::new(store.engine());
        for ticks in [0, 1, 5] {
            store.set_epoch_deadline(ticks);
            assert_eq!(trap(spin.call(&mut store, ())), Some(Trap::Interrupt));
            store.set_epoch_deadline(ticks);
            assert_eq!(trap(recurse.call(&mut store, ())), Some(Trap::Interrupt));
        }
        drop(ticker);
        store.set_epoch_deadline(1);
        assert_eq!(count.call(&mut store, 3)?, 6);
        store.engine().increment_epoch();
        assert_eq!(trap(count.call(&mut store, 3)), Some(Trap::Interrupt));
    }
    Ok(())
}

#[test]
fn callbacks_decide_at_the_deadline() -> Result<()> {
    for mode in MODES {
        let (mut store, instance) = guest(Config::new().epoch_interruption(true), mode)?;
        let spin = instance.get_typed_func::<(), ()>(&store, "spin")?;
        let _ticker = Ticker::new(store.engine());
        let mut left = 3;
        store.epoch_deadline_callback(move |_| {
            left -= 1;
            match left {
                1.. => Ok(UpdateDeadline::Continue(1)),
                0 => Err(Error::msg("that is enough")),
                -1 => Ok(UpdateDeadline::Interrupt),
                _ => std::panic::panic_any(7u8),
            }
        });
        let error = spin.call(&mut store, ()).expect_err("it runs for ever");
        assert_eq!(
            (
                error.trap(),
                &*format!("{:?}", error.chain().last().map(ToString::to_string))
            ),
            (None, "Some(\"that is enough\")")
        );
        store.set_epoch_deadline(1);
        assert_eq!(trap(spin.call(&mut store, ())), Some(Trap::Interrupt));
        store.set_epoch_deadline(1);
        let panic =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| spin.call(&mut store, ())));
        assert_eq!(panic.expect_err("it panics").downcast_ref(), Some(&7u8));
        store.epoch_deadline_trap();
        store.set_epoch_deadline(1);
        assert_eq!(trap(spin.call(&mut store, ())), Some(Trap::Interrupt));
    }
    Ok(())
}

#[derive(Default)]
struct Woken(AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Runs a future to its end; how often it was pending.
fn block_on<F: Future>(future: F) -> (F::Output, u32) {
    let mut future = pin!(future);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    for pending in 0.. {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return (output, pending);
        }
        assert!(woken.0.load(Ordering::Relaxed) > pending, "nobody woke");
    }
    unreachable!()
}

#[test]
fn long_guests_let_others_run() -> Result<()> {
    for mode in MODES {
        let (mut store, instance) = guest(Config::new().consume_fuel(true), mode)?;
        let count: TypedFunc<i32, i32> = instance.get_typed_func(&store, "count")?;
        store.set_fuel(1 << 40)?;
        store.fuel_async_yield_interval(Some(10_000))?;
        let (result, pending) = block_on(count.call_async(&mut store, 100_000));
        assert_eq!(result?, 705_082_704);
        assert!((35..=45).contains(&pending), "{pending} times");
        let used = (1 << 40) - store.get_fuel()?;
        // A call that cannot wait goes on, and uses up the same.
        store.set_fuel(1 << 40)?;
        count.call(&mut store, 100_000)?;
        assert_eq!((1 << 40) - store.get_fuel()?, used);
        // There is an end to it.
        store.set_fuel(100_000)?;
        let spin = instance.get_typed_func::<(), ()>(&store, "spin")?;
        let (result, pending) = block_on(spin.call_async(&mut store, ()));
        assert_eq!((trap(result), pending), (Some(Trap::OutOfFuel), 9));

        let (mut store, instance) = guest(Config::new().epoch_interruption(true), mode)?;
        let count: TypedFunc<i32, i32> = instance.get_typed_func(&store, "count")?;
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let ticker = Ticker::new(store.engine());
        let (result, pending) = block_on(count.call_async(&mut store, 50_000_000));
        drop(ticker);
        result?;
        assert!(pending > 0);
        // Left where it is, it is gone.
        store.set_epoch_deadline(0);
        let spin = instance.get_typed_func::<(), ()>(&store, "spin")?;
        {
            let mut call = pin!(spin.call_async(&mut store, ()));
            let woken = Arc::new(Woken::default());
            let waker = Waker::from(woken);
            assert!(
                call.as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
            );
        }
        assert_eq!(count.call(&mut store, 3)?, 6);
    }
    Ok(())
}
