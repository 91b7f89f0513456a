//! Async fan-out: many calls of one guest at once, each waiting for the host, each with its
//! own time.
//!
//! ```sh
//! cargo run --package helve --example fan_out
//! ```

mod support;

use helve::component::{Accessor, Component, Linker};
use helve::{Config, Engine, Result, Store};
use std::time::{Duration, Instant};
use support::{block_on, sleep, timeout};

/// `get: async func(ms: u32) -> u32` calls `fetch: async func(ms: u32) -> u32`, of the host.
const GUEST: &str = r#"(component
    (import "fetch" (func $fetch async (param "ms" u32) (result u32)))
    (core module $libc (memory (export "memory") 1))
    (core instance $libc (instantiate $libc))
    (core func $fetch (canon lower (func $fetch) async (memory (core memory $libc "memory"))))
    (core func $return (canon task.return (result u32)))
    (core func $set-new (canon waitable-set.new))
    (core func $set-drop (canon waitable-set.drop))
    (core func $join (canon waitable.join))
    (core func $subtask-drop (canon subtask.drop))
    (core func $context-get (canon context.get i32 0))
    (core func $context-set (canon context.set i32 0))
    (core module $m
        (import "libc" "memory" (memory 1))
        (import "" "fetch" (func $fetch (param i32 i32) (result i32)))
        (import "" "return" (func $return (param i32)))
        (import "" "set-new" (func $set-new (result i32)))
        (import "" "set-drop" (func $set-drop (param i32)))
        (import "" "join" (func $join (param i32 i32)))
        (import "" "subtask-drop" (func $subtask-drop (param i32)))
        (import "" "context-get" (func $context-get (result i32)))
        (import "" "context-set" (func $context-set (param i32)))
        (global $next (mut i32) (i32.const 64))
        ;; A call's state: where its result goes, and its set.
        (func (export "get") (param $ms i32) (result i32)
            (local $state i32) (local $status i32)
            (local.set $state (global.get $next))
            (global.set $next (i32.add (global.get $next) (i32.const 8)))
            (local.set $status (call $fetch (local.get $ms) (local.get $state)))
            (i32.store offset=4 (local.get $state) (call $set-new))
            (call $join (i32.shr_u (local.get $status) (i32.const 4))
                (i32.load offset=4 (local.get $state)))
            (call $context-set (local.get $state))
            ;; WAIT for the set
            (i32.or (i32.const 2)
                (i32.shl (i32.load offset=4 (local.get $state)) (i32.const 4))))
        (func (export "callback") (param $event i32) (param $index i32) (param $payload i32)
            (result i32)
            (local $state i32)
            (local.set $state (call $context-get))
            ;; STARTED is not the end
            (if (i32.ne (local.get $payload) (i32.const 2))
                (then (return (i32.or (i32.const 2)
                    (i32.shl (i32.load offset=4 (local.get $state)) (i32.const 4))))))
            (call $subtask-drop (local.get $index))
            (call $set-drop (i32.load offset=4 (local.get $state)))
            (call $return (i32.load (local.get $state)))
            (i32.const 0)))
    (core instance $m (instantiate $m (with "libc" (instance $libc)) (with "" (instance
        (export "fetch" (func $fetch)) (export "return" (func $return))
        (export "set-new" (func $set-new)) (export "set-drop" (func $set-drop))
        (export "join" (func $join)) (export "subtask-drop" (func $subtask-drop))
        (export "context-get" (func $context-get))
        (export "context-set" (func $context-set))))))
    (func (export "get") async (param "ms" u32) (result u32)
        (canon lift (core func $m "get") async (callback (core func $m "callback")))))"#;

fn main() -> Result<()> {
    let engine = Engine::new(Config::new().all_features(true))?;
    let component = Component::new(&engine, GUEST)?;
    let mut linker: Linker<u32> = Linker::new(&engine);
    linker
        .root()
        .func_wrap_async("fetch", |cx: Accessor<u32>, (ms,): (u32,)| async move {
            sleep(Duration::from_millis(ms.into())).await;
            cx.with(|mut store| *store.data_mut() += 1)?;
            Ok((ms * 2,))
        })?;
    let mut store = Store::new(&engine, 0);
    let instance = linker.instantiate(&mut store, &component)?;
    let get = instance.get_typed_func::<(u32,), (u32,)>(&mut store, "get")?;

    let begun = Instant::now();
    let results = block_on(store.run_concurrent(async |accessor| {
        // All begin before the first is waited for.
        let calls: Vec<_> = (1..=20)
            .map(|n| get.call_concurrent(accessor, (n * 5,)))
            .collect();
        let slow = get.call_concurrent(accessor, (60_000,));
        let mut results = Vec::new();
        for call in calls {
            results.push(timeout(Duration::from_secs(20), call).await);
        }
        // Time is up for the slow one: dropping the call asks the guest to cancel.
        assert!(timeout(Duration::from_millis(10), slow).await.is_none());
        results
    }))?;
    let sum: u32 = results
        .into_iter()
        .map(|result| Ok(result.expect("in time")?.0))
        .sum::<Result<u32>>()?;
    println!("20 answers, their sum {sum}, after {:?}", begun.elapsed());
    assert_eq!(sum, 2 * 5 * (1..=20).sum::<u32>());
    assert_eq!(*store.data(), 20);
    Ok(())
}

#[test]
fn it_runs() -> Result<()> {
    main()
}
