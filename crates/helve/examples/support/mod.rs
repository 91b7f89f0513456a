//! What the examples share: guests in the text format, and an executor with timers.

#![allow(dead_code)] // no example uses all of it

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// A guest that exports `transform: func(text: string) -> string` and imports
/// `log: func(line: string)`: it logs the text, and runs `body` on every byte of it.
pub fn transformer(body: &str) -> String {
    format!(
        r#"(component
            (import "log" (func $log (param "line" string)))
            (core module $libc
                (memory (export "memory") 1)
                (global $next (mut i32) (i32.const 1024))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                    (global.get $next)
                    (global.set $next (i32.add (global.get $next) (local.get 3)))))
            (core instance $libc (instantiate $libc))
            (core func $log (canon lower (func $log) (memory (core memory $libc "memory"))))
            (core module $m
                (import "libc" "memory" (memory 1))
                (import "" "log" (func $log (param i32 i32)))
                (func (export "transform") (param $at i32) (param $len i32) (result i32)
                    (local $i i32) (local $byte i32)
                    (call $log (local.get $at) (local.get $len))
                    (i32.store (i32.const 16) (local.get $at))
                    (i32.store (i32.const 20) (local.get $len))
                    (block $done (loop $more
                        (br_if $done (i32.ge_u (local.get $i) (local.get $len)))
                        (local.set $byte
                            (i32.load8_u (i32.add (local.get $at) (local.get $i))))
                        {body}
                        (i32.store8 (i32.add (local.get $at) (local.get $i)) (local.get $byte))
                        (local.set $i (i32.add (local.get $i) (i32.const 1)))
                        (br $more)))
                    (i32.const 16)))
            (core instance $m (instantiate $m (with "libc" (instance $libc))
                (with "" (instance (export "log" (func $log))))))
            (func (export "transform") (param "text" string) (result string)
                (canon lift (core func $m "transform")
                    (memory (core memory $libc "memory")) (realloc (core func $libc "realloc")))))"#
    )
}

/// Small letters become capitals.
pub const SHOUT: &str = "(if (i32.lt_u (i32.sub (local.get $byte) (i32.const 97)) (i32.const 26))
    (then (local.set $byte (i32.sub (local.get $byte) (i32.const 32)))))";

/// Every `e` becomes a `3`.
pub const LEET: &str = "(if (i32.eq (local.get $byte) (i32.const 101))
    (then (local.set $byte (i32.const 51))))";

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future to its end. Any other executor would do, tokio's for example.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        thread::park();
    }
}

/// Ready after `time`.
pub async fn sleep(time: Duration) {
    let until = Instant::now() + time;
    poll_fn(|cx| {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        thread::spawn(move || {
            thread::sleep(left);
            waker.wake();
        });
        Poll::Pending
    })
    .await;
}

/// What `future` gives, unless that takes longer than `time`.
pub async fn timeout<F: Future>(time: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut timer = pin!(sleep(time));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => timer.as_mut().poll(cx).map(|()| None),
    })
    .await
}
