//! Host functions that keep the store while they wait: nothing else of it runs meanwhile,
//! whatever way the guest came to call them.

use crate::support::{PLAIN, TASKS, block_on, engine, instantiate, wait};
use helve::component::{Accessor, Component, Instance, Linker, TypedFunc};
use helve::{AsContextMut, Error, Result, Schedule, Store};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Waker};

type Func = TypedFunc<(u32,), (u32,)>;

/// What happened, in order, and whom the host function calls.
#[derive(Default)]
struct Data {
    lines: Vec<String>,
    inner: Option<Func>,
}

/// What is never ready.
const NEVER: u32 = 999;

/// `wait` and `later`: not ready for n polls, then n + 1, with the lines borrowed all the
/// time; 1000 and more stand for failures, 5000 and more for a call of a guest.
fn define(linker: &mut Linker<Data>) {
    for name in ["wait", "later"] {
        let mut root = linker.root();
        let defined = root.func_wrap_async_exclusive(name, |mut store, (n,): (u32,)| {
            Box::new(async move {
                if n >= 5000 {
                    let inner = store.data().inner.expect("whom to call");
                    let (got,) = inner.call_async(&mut store, (n - 5000,)).await?;
                    store.data_mut().lines.push(format!("inner {got}"));
                    return Ok((got,));
                }
                let lines = &mut store.data_mut().lines;
                lines.push(format!("begin {n}"));
                if n == NEVER {
                    std::future::pending::<()>().await;
                }
                wait(n % 1000).await;
                lines.push(format!("end {n}"));
                match n / 1000 {
                    0 => Ok((n + 1,)),
                    1 => Err(Error::msg("no luck")),
                    _ => panic!("after waiting"),
                }
            })
        });
        defined.expect("a new name");
    }
}

fn func(store: &mut Store<Data>, instance: &Instance, name: &str) -> Func {
    instance.get_typed_func(store, name).unwrap()
}

/// Every way to call one.
const WAYS: [(&str, &str, u32); 4] = [
    (PLAIN, "run", 2),
    (TASKS, "start", 0),
    (TASKS, "block", 0),
    (TASKS, "plain", 0),
];

/// Each of these, in order and by seeds.
fn ways_and_schedules() -> impl Iterator<Item = ((&'static str, &'static str, u32), Schedule)> {
    let schedules = (0..4).map(Schedule::Seed).chain([Schedule::InOrder]);
    schedules.flat_map(|schedule| WAYS.map(|way| (way, schedule)))
}

#[test]
fn one_call_waits() {
    for ((text, name, extra), schedule) in ways_and_schedules() {
        for n in [0, 1, 5] {
            let (mut store, instance) = instantiate(text, Data::default(), define);
            store.set_schedule(schedule);
            let run = func(&mut store, &instance, name);
            for _ in 0..3 {
                let result = block_on(run.call_async(&mut store, (n,))).unwrap();
                assert_eq!(result, (n + 1 + extra,), "{name}({n})");
            }
            block_on(store.run_until_idle()).unwrap();
            store.audit_tasks().unwrap();
        }
    }
}

/// Between a function's beginning and its end there is nothing, neither of another call
/// nor of whoever made it.
#[test]
fn nothing_runs_beside_it() {
    for ((text, name, _), schedule) in ways_and_schedules() {
        let (mut store, instance) = instantiate(text, Data::default(), define);
        store.set_schedule(schedule);
        let run = func(&mut store, &instance, name);
        let results = block_on(store.run_concurrent(async |accessor| {
            let calls: Vec<_> = (0..20)
                .map(|n| run.call_concurrent(accessor, (n % 4 + 2,)))
                .collect();
            let log = |line: String| accessor.with(|mut cx| cx.data_mut().lines.push(line));
            let inner = accessor.clone();
            accessor
                .spawn(async move {
                    for _ in 0..30 {
                        wait(1).await;
                        inner.with(|mut cx| cx.data_mut().lines.push("spawned".into()))?;
                    }
                    Ok(())
                })
                .unwrap();
            let mut results = Vec::new();
            for (n, call) in calls.into_iter().enumerate() {
                log(format!("main {n}")).unwrap();
                results.push(call.await.map(|(n,)| n));
            }
            results
        }))
        .unwrap();
        assert!(results.iter().all(Result::is_ok), "{name}: {results:?}");
        block_on(store.run_until_idle()).unwrap();
        let lines = &store.data().lines;
        assert!(lines.iter().filter(|line| *line == "spawned").count() == 30);
        for pair in lines.windows(2) {
            if let Some(n) = pair[0].strip_prefix("begin ") {
                assert_eq!(pair[1], format!("end {n}"), "{name}: {lines:?}");
            }
        }
        store.audit_tasks().unwrap();
    }
}

/// Two instances, the first of which calls a function that calls the second, which calls
/// one that waits.
#[test]
fn they_may_call_guests() {
    let engine = engine();
    let mut linker = Linker::new(&engine);
    define(&mut linker);
    for ((text, name, extra), schedule) in ways_and_schedules() {
        for (other, inner, more) in WAYS {
            let mut store = Store::new(&engine, Data::default());
            store.set_schedule(schedule);
            let component = Component::new(&engine, text).unwrap();
            let outer = linker.instantiate(&mut store, &component).unwrap();
            let component = Component::new(&engine, other).unwrap();
            let instance = linker.instantiate(&mut store, &component).unwrap();
            store.data_mut().inner = Some(func(&mut store, &instance, inner));
            let run = func(&mut store, &outer, name);
            let (a, b) = block_on(store.run_concurrent(async |accessor| {
                let first = run.call_concurrent(accessor, (5003,));
                let second = run.call_concurrent(accessor, (2,));
                (first.await, second.await)
            }))
            .unwrap();
            assert_eq!(a.unwrap(), (4 + extra + more,), "{name} {inner}");
            assert_eq!(b.unwrap(), (3 + extra,), "{name} {inner}");
            block_on(store.run_until_idle()).unwrap();
            store.audit_tasks().unwrap();
        }
    }
}

#[test]
fn failures_and_panics_end_their_tree_only() {
    for (text, name, _) in WAYS {
        for n in [1000, 1005, 2000, 2005] {
            let (mut store, instance) = instantiate(text, Data::default(), define);
            let run = func(&mut store, &instance, name);
            let went = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                block_on(run.call_async(&mut store, (n,)))
            }));
            match went {
                Ok(result) => {
                    let error = format!("{:?}", result.unwrap_err());
                    assert!(
                        n < 2000 && error.contains("no luck"),
                        "{name}({n}): {error}"
                    );
                }
                Err(_) => assert!(n >= 2000, "{name}({n})"),
            }
            let error = block_on(run.call_async(&mut store, (0,))).unwrap_err();
            assert!(format!("{error:?}").contains("cannot enter"), "{error:?}");
            store.audit_tasks().unwrap();
        }
    }
}

/// The call is given up while the function waits: it ends before the host has the store
/// again, its guest with it, and other instances go on.
#[test]
fn a_dropped_call_ends_it() {
    struct Gone(Arc<AtomicU32>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    for depth in [0, 1] {
        for (text, name, _) in WAYS {
            let engine = engine();
            let gone = Arc::new(AtomicU32::new(0));
            let mut linker: Linker<Data> = Linker::new(&engine);
            for import in ["wait", "later"] {
                let gone = gone.clone();
                let mut root = linker.root();
                let defined =
                    root.func_wrap_async_exclusive(import, move |mut store, (n,): (u32,)| {
                        let gone = Gone(gone.clone());
                        Box::new(async move {
                            let _gone = gone;
                            if n < 5 {
                                return Ok((0,));
                            }
                            if n > 5 {
                                let inner = store.data().inner.expect("whom to call");
                                return inner.call_async(&mut store, (5,)).await;
                            }
                            let lines = &mut store.data_mut().lines;
                            std::future::pending::<()>().await;
                            lines.clear();
                            Ok((n,))
                        })
                    });
                defined.unwrap();
            }
            let component = Component::new(&engine, text).unwrap();
            let mut store = Store::new(&engine, Data::default());
            let victim = linker.instantiate(&mut store, &component).unwrap();
            let inner = linker.instantiate(&mut store, &component).unwrap();
            let other = linker.instantiate(&mut store, &component).unwrap();
            let [run, inner, other] =
                [victim, inner, other].map(|instance| func(&mut store, &instance, name));
            store.data_mut().inner = Some(inner);
            {
                let mut cx = Context::from_waker(Waker::noop());
                let mut call: Pin<Box<dyn Future<Output = _>>> =
                    Box::pin(run.call_async(&mut store, (5 + depth,)));
                assert!(call.as_mut().poll(&mut cx).is_pending());
                assert_eq!(gone.load(Ordering::SeqCst), 0);
            }
            assert_eq!(gone.load(Ordering::SeqCst), 1 + depth, "{name}");
            store.data_mut().lines.push("mine again".into());
            block_on(other.call_async(&mut store, (0,))).unwrap();
            let error = block_on(run.call_async(&mut store, (0,))).unwrap_err();
            assert!(format!("{error:?}").contains("cannot enter"), "{error:?}");
            store.audit_tasks().unwrap();
        }
    }
}

/// Beside one that keeps the store, those that do not, woken meanwhile.
#[test]
fn others_go_on_afterwards() {
    let engine = engine();
    let mut linker: Linker<Data> = Linker::new(&engine);
    define(&mut linker);
    let mut shared: Linker<Data> = Linker::new(&engine);
    for name in ["wait", "later"] {
        let later = |_: Accessor<Data>, (n,): (u32,)| async move {
            wait(n).await;
            Ok((n,))
        };
        shared.root().func_wrap_async(name, later).unwrap();
    }
    let component = Component::new(&engine, TASKS).unwrap();
    let mut store = Store::new(&engine, Data::default());
    let keeps = linker.instantiate(&mut store, &component).unwrap();
    let lends = shared.instantiate(&mut store, &component).unwrap();
    for name in ["start", "block", "plain"] {
        let (keeps, lends) = (
            func(&mut store, &keeps, name),
            func(&mut store, &lends, name),
        );
        let sum = block_on(store.run_concurrent(async |accessor| {
            let calls: Vec<_> = (0..40)
                .map(|n| match n % 2 {
                    0 => keeps.call_concurrent(accessor, (n % 7,)),
                    _ => lends.call_concurrent(accessor, (n % 7,)),
                })
                .collect();
            let mut sum = 0;
            for call in calls {
                sum += call.await?.0;
            }
            Ok::<_, Error>(sum)
        }));
        let expected: u32 = (0..40).map(|n| n % 7 + u32::from(n % 2 == 0)).sum();
        assert_eq!(sum.unwrap().unwrap(), expected);
        block_on(store.as_context_mut().run_until_idle()).unwrap();
        store.audit_tasks().unwrap();
    }
}
