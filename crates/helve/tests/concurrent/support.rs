//! A small executor, futures that wait, and guests to call.

use helve::component::{Component, Instance, Linker};
use helve::{Config, Engine, Store};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future to its end, on an executor that knows nothing of Helve. Fails where
/// nobody wakes it for a while.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        let before = std::time::Instant::now();
        thread::park_timeout(Duration::from_secs(20));
        assert!(before.elapsed() < Duration::from_secs(20), "nobody woke");
    }
}

/// Not ready for the first `n` polls, each of which wakes.
pub async fn wait(n: u32) {
    let mut left = n;
    poll_fn(move |cx| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// An engine with everything on.
pub fn engine() -> Engine {
    let mut config = Config::new();
    config.all_features(true);
    Engine::new(&config).unwrap()
}

/// An instance of a component's text in a new store.
pub fn instantiate<T: 'static>(
    text: &str,
    data: T,
    define: impl FnOnce(&mut Linker<T>),
) -> (Store<T>, Instance) {
    let engine = engine();
    let mut linker = Linker::new(&engine);
    define(&mut linker);
    let component = Component::new(&engine, text).unwrap();
    let mut store = Store::new(&engine, data);
    let instance = linker.instantiate(&mut store, &component).unwrap();
    (store, instance)
}

/// A component without tasks: `run` calls `wait`, which is no async function, twice.
pub const PLAIN: &str = r#"(component
    (import "wait" (func $wait (param "n" u32) (result u32)))
    (core func $wait (canon lower (func $wait)))
    (core module $m
        (import "" "wait" (func $wait (param i32) (result i32)))
        (func (export "run") (param i32) (result i32)
            (i32.add (call $wait (local.get 0)) (call $wait (i32.const 1)))))
    (core instance $i (instantiate $m (with "" (instance (export "wait" (func $wait))))))
    (func (export "run") (param "n" u32) (result u32) (canon lift (core func $i "run"))))"#;

/// A component with tasks whose imports are an async function and one that is not.
///
/// `start(n)` (callback) calls `later` asynchronously, waits for it, returns its result.
/// `block(n)` (stackful) calls `later` synchronously. `plain(n)` calls `wait`.
pub const TASKS: &str = r#"(component
    (import "later" (func $later async (param "n" u32) (result u32)))
    (import "wait" (func $wait (param "n" u32) (result u32)))
    (core module $mem (memory (export "memory") 1))
    (core instance $mem (instantiate $mem))
    (alias core export $mem "memory" (core memory $memory))
    (core func $later-async (canon lower (func $later) async (memory $memory)))
    (core func $later-sync (canon lower (func $later)))
    (core func $wait (canon lower (func $wait)))
    (core func $return (canon task.return (result u32)))
    (core func $cancel (canon task.cancel))
    (core func $new (canon waitable-set.new))
    (core func $join (canon waitable.join))
    (core func $set-drop (canon waitable-set.drop))
    (core func $sub-drop (canon subtask.drop))
    (core func $sub-cancel (canon subtask.cancel))
    (core func $get (canon context.get i32 0))
    (core func $set (canon context.set i32 0))
    (core module $m
        (import "m" "memory" (memory 1))
        (import "" "later-async" (func $later-async (param i32 i32) (result i32)))
        (import "" "later-sync" (func $later-sync (param i32) (result i32)))
        (import "" "wait" (func $wait (param i32) (result i32)))
        (import "" "return" (func $return (param i32)))
        (import "" "cancel" (func $cancel))
        (import "" "new" (func $new (result i32)))
        (import "" "join" (func $join (param i32 i32)))
        (import "" "set-drop" (func $set-drop (param i32)))
        (import "" "sub-drop" (func $sub-drop (param i32)))
        (import "" "sub-cancel" (func $sub-cancel (param i32) (result i32)))
        (import "" "get" (func $get (result i32)))
        (import "" "set" (func $set (param i32)))
        (global $free (mut i32) (i32.const 0))
        (global $next (mut i32) (i32.const 16))
        ;; A record of 16 bytes per call: result, subtask, set.
        (func $alloc (result i32) (local $at i32)
            (if (global.get $free)
                (then
                    (local.set $at (global.get $free))
                    (global.set $free (i32.load (local.get $at)))
                    (return (local.get $at))))
            (local.set $at (global.get $next))
            (global.set $next (i32.add (local.get $at) (i32.const 16)))
            (if (i32.gt_u (global.get $next) (i32.mul (memory.size) (i32.const 65536)))
                (then (drop (memory.grow (i32.const 16)))))
            (local.get $at))
        (func $release (param $at i32)
            (i32.store (local.get $at) (global.get $free))
            (global.set $free (local.get $at)))
        (func (export "start") (param $n i32) (result i32)
            (local $at i32) (local $status i32) (local $sub i32) (local $ws i32)
            (local.set $at (call $alloc))
            (local.set $status (call $later-async (local.get $n) (local.get $at)))
            (if (i32.eq (local.get $status) (i32.const 2))
                (then
                    (call $return (i32.load (local.get $at)))
                    (call $release (local.get $at))
                    (return (i32.const 0))))
            (local.set $sub (i32.shr_u (local.get $status) (i32.const 4)))
            (local.set $ws (call $new))
            (call $join (local.get $sub) (local.get $ws))
            (i32.store offset=4 (local.get $at) (local.get $sub))
            (i32.store offset=8 (local.get $at) (local.get $ws))
            (call $set (local.get $at))
            (i32.or (i32.shl (local.get $ws) (i32.const 4)) (i32.const 2)))
        (func (export "start-callback") (param $code i32) (param $index i32) (param $payload i32)
            (result i32) (local $at i32)
            (local.set $at (call $get))
            (call $join (i32.load offset=4 (local.get $at)) (i32.const 0))
            (if (i32.eq (local.get $code) (i32.const 6))
                (then
                    (drop (call $sub-cancel (i32.load offset=4 (local.get $at))))
                    (call $cancel))
                (else (call $return (i32.load (local.get $at)))))
            (call $sub-drop (i32.load offset=4 (local.get $at)))
            (call $set-drop (i32.load offset=8 (local.get $at)))
            (call $release (local.get $at))
            (i32.const 0))
        (func (export "block") (param $n i32)
            (call $return (call $later-sync (local.get $n))))
        (func (export "plain") (param $n i32) (result i32)
            (call $wait (local.get $n)))
        (func (export "trap") (param $n i32)
            (drop (call $later-sync (local.get $n)))
            unreachable))
    (core instance $i (instantiate $m
        (with "m" (instance $mem))
        (with "" (instance
            (export "later-async" (func $later-async))
            (export "later-sync" (func $later-sync))
            (export "wait" (func $wait))
            (export "return" (func $return))
            (export "cancel" (func $cancel))
            (export "new" (func $new))
            (export "join" (func $join))
            (export "set-drop" (func $set-drop))
            (export "sub-drop" (func $sub-drop))
            (export "sub-cancel" (func $sub-cancel))
            (export "get" (func $get))
            (export "set" (func $set))))))
    (func (export "start") async (param "n" u32) (result u32)
        (canon lift (core func $i "start") async (callback (core func $i "start-callback"))))
    (func (export "block") async (param "n" u32) (result u32)
        (canon lift (core func $i "block") async))
    (func (export "trap") async (param "n" u32) (result u32)
        (canon lift (core func $i "trap") async))
    (func (export "plain") (param "n" u32) (result u32)
        (canon lift (core func $i "plain"))))"#;
