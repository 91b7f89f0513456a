//! Guests that wait for async host functions.

use helve::core::{Caller, Linker, Module, TypedFunc, Val};
use helve::{Backtrace, Config, Engine, Error, Result, Store, Trap};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Not ready for the first `n` polls, each of which wakes.
async fn wait(n: u32) {
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

#[derive(Default)]
struct Count(AtomicU32);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Runs a future to its end; how many polls that took.
fn block_on<F: Future>(future: F) -> (F::Output, u32) {
    let mut future = pin!(future);
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    for polls in 1.. {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return (output, polls);
        }
        assert!(count.0.load(Ordering::Relaxed) >= polls, "nobody woke");
    }
    unreachable!()
}

const WAT: &str = r#"(module $m
  (import "h" "wait" (func $wait (param i32 i64) (result i64)))
  (import "h" "sync" (func $sync (param i32) (result i64)))
  (func $inner (param i32 i64) (result i64)
    (i64.add (local.get 1) (call $wait (local.get 0) (local.get 1))))
  (func (export "run") (param i32 i64) (result i64) (call $inner (local.get 0) (local.get 1)))
  (func (export "nested") (param i32) (result i64) (call $sync (local.get 0)))
  (func (export "twice") (param i32 i64) (result i64)
    (call $wait (local.get 0) (call $wait (local.get 0) (local.get 1)))))"#;

type Run = TypedFunc<(i32, i64), i64>;

/// `wait(n, x)` is not ready for n polls, then gives 2 x; 1000 polls and more stand for
/// failures. `sync(n)` calls `run(n, 1)` from a host function.
fn set_up() -> (Store<Vec<i32>>, helve::core::Instance) {
    let engine = Engine::new(&Config::new()).unwrap();
    let mut linker = Linker::<Vec<i32>>::new(&engine);
    linker
        .func_wrap_async(
            "h",
            "wait",
            |mut caller: Caller<'_, Vec<i32>>, (n, x): (i32, i64)| {
                Box::new(async move {
                    caller.data_mut().push(n);
                    wait(n as u32 % 1000).await;
                    caller.data_mut().push(-n);
                    match n / 1000 {
                        0 => Ok(x * 2),
                        1 => Err(Error::msg("no luck")),
                        _ => panic!("after waiting"),
                    }
                })
            },
        )
        .unwrap();
    linker
        .func_wrap(
            "h",
            "sync",
            |mut caller: Caller<'_, Vec<i32>>, n: i32| -> Result<i64> {
                let run = caller.get_export("run").and_then(|e| e.into_func());
                let run = run.ok_or_else(|| Error::msg("no run"))?;
                run.typed::<(i32, i64), i64>(&caller)?
                    .call(&mut caller, (n, 1))
            },
        )
        .unwrap();
    let mut store = Store::new(&engine, Vec::new());
    let module = Module::new(&engine, WAT).unwrap();
    let instance = linker.instantiate(&mut store, &module).unwrap();
    (store, instance)
}

#[test]
fn a_guest_waits_and_goes_on() {
    let (mut store, instance) = set_up();
    for (name, n, polls, result) in [
        ("run", 0, 1, 15),
        ("run", 1, 2, 15),
        ("run", 5, 6, 15),
        ("twice", 0, 1, 20),
        ("twice", 3, 7, 20),
    ] {
        store.data_mut().clear();
        let func: Run = instance.get_typed_func(&store, name).unwrap();
        let (got, took) = block_on(func.call_async(&mut store, (n, 5)));
        assert_eq!((got.unwrap(), took), (result, polls), "{name} {n}");
        assert_eq!(store.data()[..2], [n, -n]);
        let mut results = [Val::I32(0)];
        let args = [Val::I32(n), Val::I64(5)];
        let (got, _) = block_on(func.func().call_async(&mut store, &args, &mut results));
        got.unwrap();
        assert!(matches!(results[0], Val::I64(v) if v == result));
    }
}

#[test]
fn failures_after_waiting_reach_the_caller() {
    let (mut store, instance) = set_up();
    let run: Run = instance.get_typed_func(&store, "run").unwrap();
    for n in [1000, 1002] {
        let (got, _) = block_on(run.call_async(&mut store, (n, 5)));
        let error = got.unwrap_err();
        assert!(format!("{error:#}").contains("no luck"), "{error:?}");
        let trace = error.downcast_ref::<Backtrace>().expect("a backtrace");
        let names: Vec<_> = trace.frames().iter().map(|f| f.func_index()).collect();
        assert_eq!(names, [2, 3]);
    }
    for n in [2000, 2002] {
        let call = || block_on(run.call_async(&mut store, (n, 5))).0;
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"after waiting"));
    }
    assert_eq!(block_on(run.call_async(&mut store, (2, 5))).0.unwrap(), 15);
}

#[test]
fn who_cannot_wait_says_so() {
    let (mut store, instance) = set_up();
    let run: Run = instance.get_typed_func(&store, "run").unwrap();
    // Ready at once: no need to wait.
    assert_eq!(run.call(&mut store, (0, 5)).unwrap(), 15);
    let error = run.call(&mut store, (1, 5)).unwrap_err();
    assert!(
        format!("{error:#}").contains("use `call_async`"),
        "{error:?}"
    );
    // A host function stands between the guest and its stack's entry.
    let nested: TypedFunc<i32, i64> = instance.get_typed_func(&store, "nested").unwrap();
    assert_eq!(block_on(nested.call_async(&mut store, 0)).0.unwrap(), 3);
    let error = block_on(nested.call_async(&mut store, 1)).0.unwrap_err();
    assert!(format!("{error:#}").contains("cannot wait"), "{error:?}");
    assert_eq!(run.call(&mut store, (0, 5)).unwrap(), 15);
}

#[test]
fn a_dropped_call_stops_where_it_is() {
    let (mut store, instance) = set_up();
    let run: Run = instance.get_typed_func(&store, "run").unwrap();
    for _ in 0..100 {
        store.data_mut().clear();
        {
            let mut call: Pin<Box<dyn Future<Output = _> + Send + '_>> =
                Box::pin(run.call_async(&mut store, (5, 5)));
            for _ in 0..3 {
                assert!(
                    call.as_mut()
                        .poll(&mut Context::from_waker(Waker::noop()))
                        .is_pending()
                );
            }
        }
        assert_eq!(store.data(), &[5]);
    }
    assert_eq!(block_on(run.call_async(&mut store, (2, 5))).0.unwrap(), 15);
    // A store that is dropped with its call.
    let mut call = Box::pin(async move { run.call_async(&mut store, (5, 5)).await });
    assert!(
        call.as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
}

#[test]
fn a_waiting_guest_moves_between_threads() {
    let (mut store, instance) = set_up();
    let run: Run = instance.get_typed_func(&store, "twice").unwrap();
    let mut call: Pin<Box<dyn Future<Output = Result<i64>> + Send>> =
        Box::pin(async move { run.call_async(&mut store, (3, 5)).await });
    let result = loop {
        let poll = std::thread::spawn(move || {
            let poll = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            (call, poll)
        });
        match poll.join().unwrap() {
            (_, Poll::Ready(result)) => break result,
            (again, Poll::Pending) => call = again,
        }
    };
    assert_eq!(result.unwrap(), 20);
}

#[test]
fn traps_and_exhaustion_on_a_stack_of_its_own() {
    let engine = Engine::new(&Config::new()).unwrap();
    let module = Module::new(
        &engine,
        "(module (memory 1) (func $f (export \"deep\") (call $f))
           (func (export \"load\") (drop (i32.load (i32.const 65536)))))",
    )
    .unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine)
        .instantiate(&mut store, &module)
        .unwrap();
    for _ in 0..3 {
        for (name, trap) in [
            ("deep", Trap::StackOverflow),
            ("load", Trap::MemoryOutOfBounds),
        ] {
            let f: TypedFunc<(), ()> = instance.get_typed_func(&store, name).unwrap();
            let (result, _) = block_on(f.call_async(&mut store, ()));
            assert_eq!(result.unwrap_err().trap(), Some(trap));
        }
    }
}
