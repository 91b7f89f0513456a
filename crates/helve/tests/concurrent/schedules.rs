//! Seeds: the same one makes the same choices, different ones different choices; time is
//! virtual then.

use crate::support::{TASKS, block_on, instantiate};
use helve::component::{Accessor, Linker};
use helve::{Result, Schedule, Store};
use std::collections::HashSet;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

type Log = Vec<u32>;

/// `wait` and `later` sleep n hours (n % 5 of them) and log n.
fn define(linker: &mut Linker<Log>) {
    let later = |cx: Accessor<Log>, (n,): (u32,)| async move {
        cx.sleep(Duration::from_secs(u64::from(n % 5) * 3600))
            .await?;
        cx.with(|mut store| store.data_mut().push(n))?;
        Ok((n,))
    };
    linker.root().func_wrap_async("wait", later).unwrap();
    linker.root().func_wrap_async("later", later).unwrap();
}

/// One run: what was logged, and each turn.
fn run(schedule: Schedule) -> (Log, Vec<String>) {
    let (mut store, instance) = instantiate(TASKS, Log::new(), define);
    store.set_schedule(schedule);
    let trace = Arc::new(Mutex::new(Vec::new()));
    let lines = trace.clone();
    store.trace_schedule(move |line| lines.lock().unwrap().push(line.to_owned()));
    let start = instance
        .get_typed_func::<(u32,), (u32,)>(&mut store, "start")
        .unwrap();
    let block = instance
        .get_typed_func::<(u32,), (u32,)>(&mut store, "block")
        .unwrap();
    block_on(store.run_concurrent(async |accessor| {
        let calls: Vec<_> = (0..20)
            .map(|n| match n % 2 {
                0 => start.call_concurrent(accessor, (n,)),
                _ => block.call_concurrent(accessor, (n,)),
            })
            .collect();
        for (n, call) in (0..).zip(calls) {
            assert_eq!(call.await.unwrap(), (n,));
        }
    }))
    .unwrap();
    block_on(store.run_until_idle()).unwrap();
    store.audit_tasks().unwrap();
    let lines = trace.lock().unwrap().clone();
    (store.into_data(), lines)
}

#[test]
fn seeds() {
    let before = Instant::now();
    let mut orders = HashSet::new();
    for seed in 0..20 {
        let (log, trace) = run(Schedule::Seed(seed));
        assert_eq!(
            (log.clone(), trace),
            run(Schedule::Seed(seed)),
            "seed {seed}"
        );
        // Who sleeps longer comes later.
        let hours: Vec<_> = log.iter().map(|n| n % 5).collect();
        assert!(hours.is_sorted(), "{hours:?}");
        orders.insert(log);
    }
    assert!(orders.len() > 10, "{} different orders", orders.len());
    assert!(before.elapsed() < Duration::from_secs(3600));
}

/// The real clock, on an executor that knows nothing of time.
#[test]
fn real_sleep() {
    let (mut store, instance) = instantiate(TASKS, Log::new(), |linker| {
        let later = |cx: Accessor<Log>, (n,): (u32,)| async move {
            let before = cx.now()?;
            cx.sleep(Duration::from_millis(u64::from(n))).await?;
            assert!(cx.now()? >= before + Duration::from_millis(u64::from(n)));
            Ok((n,))
        };
        linker.root().func_wrap_async("wait", later).unwrap();
        linker.root().func_wrap_async("later", later).unwrap();
    });
    for name in ["start", "block", "plain"] {
        let run = instance
            .get_typed_func::<(u32,), (u32,)>(&mut store, name)
            .unwrap();
        let before = Instant::now();
        assert_eq!(block_on(run.call_async(&mut store, (30,))).unwrap(), (30,));
        assert!(before.elapsed() >= Duration::from_millis(30));
    }
}

/// A guest that yields for ever does not keep others, or sleepers, from their turn.
#[test]
fn spinners_do_not_win() {
    const SPIN: &str = r#"(component
        (core func $yield (canon thread.yield))
        (core func $return (canon task.return))
        (core module $m
            (import "" "yield" (func $yield (result i32)))
            (import "" "return" (func $return))
            (func (export "spin") (call $return) (loop (drop (call $yield)) (br 0)))
            (func (export "quick") (drop (call $yield)) (call $return)))
        (core instance $i (instantiate $m (with "" (instance
            (export "yield" (func $yield)) (export "return" (func $return))))))
        (func (export "spin") async (canon lift (core func $i "spin") async))
        (func (export "quick") async (canon lift (core func $i "quick") async)))"#;
    let schedules = (0..20).map(Schedule::Seed).chain([Schedule::InOrder]);
    for schedule in schedules {
        let (mut store, instance): (Store<()>, _) = instantiate(SPIN, (), |_| {});
        store.set_schedule(schedule);
        let spin = instance
            .get_typed_func::<(), ()>(&mut store, "spin")
            .unwrap();
        let quick = instance
            .get_typed_func::<(), ()>(&mut store, "quick")
            .unwrap();
        let done: Result<()> = block_on(store.run_concurrent(async |accessor| {
            spin.call_concurrent(accessor, ()).await?;
            quick.call_concurrent(accessor, ()).await?;
            accessor.sleep(Duration::from_millis(2)).await
        }))
        .unwrap();
        done.unwrap();
    }
}

/// Guests that never call out are left, by fuel or by epochs, so that others have their
/// turn: the executor, and other trees of the store.
#[test]
fn busy_guests_yield() {
    const BUSY: &str = r#"(component
        (core module $m
            (func (export "run") (param $n i32) (result i32)
                (loop $l
                    (local.set $n (i32.sub (local.get $n) (i32.const 1)))
                    (br_if $l (local.get $n)))
                (i32.const 7)))
        (core instance $i (instantiate $m))
        (func (export "run") (param "n" u32) (result u32) (canon lift (core func $i "run")))
        TASKS)"#;
    const NONE: &str = "";
    const ASYNC: &str = r#"
        (core func $return (canon task.return (result u32)))
        (core module $n
            (import "" "return" (func $return (param i32)))
            (import "" "run" (func $run (param i32) (result i32)))
            (func (export "run") (param i32) (call $return (call $run (local.get 0)))))
        (core instance $j (instantiate $n (with "" (instance
            (export "return" (func $return)) (export "run" (func $i "run"))))))
        (func (export "busy") async (param "n" u32) (result u32) (canon lift (core func $j "run") async))"#;
    for (extra, name) in [(NONE, "run"), (ASYNC, "run"), (ASYNC, "busy")] {
        let mut config = helve::Config::new();
        config.all_features(true).consume_fuel(true);
        let engine = helve::Engine::new(&config).unwrap();
        let text = BUSY.replace("TASKS", extra);
        let component = helve::component::Component::new(&engine, text).unwrap();
        let mut store = Store::new(&engine, ());
        store.set_fuel(u64::MAX).unwrap();
        store.fuel_async_yield_interval(Some(1000)).unwrap();
        let instance = Linker::new(&engine)
            .instantiate(&mut store, &component)
            .unwrap();
        let run = instance
            .get_typed_func::<(u32,), (u32,)>(&mut store, name)
            .unwrap();
        let mut pending = 0;
        let mut call = Box::pin(run.call_async(&mut store, (10_000,)));
        let result = block_on(std::future::poll_fn(|cx| {
            let polled = call.as_mut().poll(cx);
            pending += u32::from(polled.is_pending());
            polled
        }));
        assert_eq!(result.unwrap(), (7,));
        assert!(pending > 5, "{name}: {pending}");
    }
}
