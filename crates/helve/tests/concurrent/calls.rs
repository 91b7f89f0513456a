//! Calls that wait, one by one and many at once.

use crate::support::{PLAIN, TASKS, block_on, instantiate, wait};
use helve::component::{Accessor, Cancelled, Instance, Linker, TypedFunc};
use helve::{Error, Result, Store};
use std::future::Future;

type Func = TypedFunc<(u32,), (u32,)>;

/// Counts how many host functions are at work, and how many were at most.
#[derive(Default)]
struct Data {
    now: u32,
    most: u32,
    done: u32,
}

/// What is never ready.
const NEVER: u32 = 999;

/// `wait` and `later`: not ready for n polls, then n + 1; 1000 and more stand for failures.
fn define(linker: &mut Linker<Data>) {
    let later = |cx: Accessor<Data>, (n,): (u32,)| async move {
        cx.with(|mut store| {
            let data = store.data_mut();
            data.now += 1;
            data.most = data.most.max(data.now);
        })?;
        if n == NEVER {
            std::future::pending::<()>().await;
        }
        wait(n % 1000).await;
        cx.with(|mut store| {
            store.data_mut().now -= 1;
            store.data_mut().done += 1;
        })?;
        match n / 1000 {
            0 => Ok((n + 1,)),
            1 => Err(Error::msg("no luck")),
            _ => panic!("after waiting"),
        }
    };
    linker.root().func_wrap_async("wait", later).unwrap();
    linker.root().func_wrap_async("later", later).unwrap();
}

fn func(store: &mut Store<Data>, instance: &Instance, name: &str) -> Func {
    instance.get_typed_func(store, name).unwrap()
}

#[test]
fn one_call_waits() {
    for (text, name, n, expected) in [
        (PLAIN, "run", 3, 4 + 2),
        (PLAIN, "run", 0, 1 + 2),
        (TASKS, "start", 0, 1),
        (TASKS, "start", 5, 6),
        (TASKS, "block", 0, 1),
        (TASKS, "block", 5, 6),
        (TASKS, "plain", 0, 1),
        (TASKS, "plain", 5, 6),
    ] {
        let (mut store, instance) = instantiate(text, Data::default(), define);
        let run = func(&mut store, &instance, name);
        for _ in 0..3 {
            let result = block_on(run.call_async(&mut store, (n,))).unwrap();
            assert_eq!(result, (expected,), "{name}({n})");
        }
        block_on(store.run_until_idle()).unwrap();
        assert_eq!(store.data().now, 0);
    }
}

#[test]
fn many_calls_at_once() {
    for name in ["start", "block"] {
        let (mut store, instance) = instantiate(TASKS, Data::default(), define);
        let run = func(&mut store, &instance, name);
        let results = block_on(store.run_concurrent(async |accessor| {
            let calls: Vec<_> = (0..200)
                .map(|n| run.call_concurrent(accessor, (n % 7 + 1,)))
                .collect();
            let mut results = Vec::new();
            for call in calls {
                results.push(call.await.unwrap().0);
            }
            results
        }))
        .unwrap();
        let expected: Vec<_> = (0..200).map(|n| n % 7 + 2).collect();
        assert_eq!(results, expected);
        assert!(store.data().most > 100, "{name}: {}", store.data().most);
        assert_eq!(store.data().now, 0);
    }
}

/// Calls of what is not async stand in line, as each closes its tree.
#[test]
fn plain_calls_stand_in_line() {
    for (text, name, extra) in [(PLAIN, "run", 2), (TASKS, "plain", 0)] {
        let (mut store, instance) = instantiate(text, Data::default(), define);
        let run = func(&mut store, &instance, name);
        let results = block_on(store.run_concurrent(async |accessor| {
            let calls: Vec<_> = (0..20)
                .map(|n| run.call_concurrent(accessor, (n % 3,)))
                .collect();
            let mut results = Vec::new();
            for call in calls {
                results.push(call.await.unwrap().0);
            }
            results
        }))
        .unwrap();
        let expected: Vec<_> = (0..20).map(|n| n % 3 + 1 + extra).collect();
        assert_eq!(results, expected);
        assert_eq!(store.data().most, 1);
    }
}

#[test]
fn failures_end_their_tree_only() {
    for (text, name) in [
        (PLAIN, "run"),
        (TASKS, "start"),
        (TASKS, "block"),
        (TASKS, "plain"),
    ] {
        for n in [1000, 1005] {
            let (mut store, instance) = instantiate(text, Data::default(), define);
            let run = func(&mut store, &instance, name);
            let error = block_on(run.call_async(&mut store, (n,))).unwrap_err();
            assert!(
                format!("{error:?}").contains("no luck"),
                "{name}: {error:?}"
            );
            let error = block_on(run.call_async(&mut store, (0,))).unwrap_err();
            assert!(format!("{error:?}").contains("cannot enter"), "{error:?}");
        }
    }
}

#[test]
fn panics_come_through() {
    for (text, name) in [
        (PLAIN, "run"),
        (TASKS, "start"),
        (TASKS, "block"),
        (TASKS, "plain"),
    ] {
        for n in [2000, 2005] {
            let (mut store, instance) = instantiate(text, Data::default(), define);
            let run = func(&mut store, &instance, name);
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let _ = block_on(run.call_async(&mut store, (n,)));
            }));
            assert!(caught.is_err(), "{name}({n})");
            let error = block_on(run.call_async(&mut store, (0,))).unwrap_err();
            assert!(format!("{error:?}").contains("cannot enter"), "{error:?}");
        }
    }
}

#[test]
fn a_blocking_call_says_so() {
    for (text, name) in [
        (PLAIN, "run"),
        (TASKS, "start"),
        (TASKS, "block"),
        (TASKS, "plain"),
    ] {
        let (mut store, instance) = instantiate(text, Data::default(), define);
        let run = func(&mut store, &instance, name);
        let error = run.call(&mut store, (NEVER,)).unwrap_err();
        assert!(
            format!("{error:?}").contains("call_async"),
            "{name}: {error:?}"
        );
    }
}

#[test]
fn dropped_calls_are_cancelled() {
    let (mut store, instance) = instantiate(TASKS, Data::default(), define);
    let run = func(&mut store, &instance, "start");
    block_on(store.run_concurrent(async |accessor| {
        let call = run.call_concurrent(accessor, (NEVER,));
        let other = run.call_concurrent(accessor, (3,));
        wait(10).await;
        drop(call);
        assert_eq!(other.await.unwrap(), (4,));
        let asked = run.call_concurrent(accessor, (NEVER,));
        wait(10).await;
        asked.cancel();
        let error = asked.await.unwrap_err();
        assert!(error.is::<Cancelled>(), "{error:?}");
    }))
    .unwrap();
    block_on(store.run_until_idle()).unwrap();
    // The two futures were dropped, not finished.
    assert_eq!(store.data().done, 1);
    assert_eq!(block_on(run.call_async(&mut store, (1,))).unwrap(), (2,));
}

#[test]
fn dropped_drivers_leave_the_store_usable() {
    for (text, name) in [(TASKS, "start"), (TASKS, "block")] {
        let (mut store, instance) = instantiate(text, Data::default(), define);
        let run = func(&mut store, &instance, name);
        {
            let mut call = Box::pin(run.call_async(&mut store, (NEVER,)));
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(call.as_mut().poll(&mut cx).is_pending());
        }
        assert_eq!(block_on(run.call_async(&mut store, (1,))).unwrap(), (2,));
        // What blocks on its stack isn't told to cancel.
        if name == "start" {
            block_on(store.run_until_idle()).unwrap();
        }
    }
}

#[test]
fn abandoned_trees_are_locked() {
    for (text, name) in [
        (PLAIN, "run"),
        (TASKS, "start"),
        (TASKS, "block"),
        (TASKS, "plain"),
    ] {
        let (mut store, instance) = instantiate(text, Data::default(), define);
        let run = func(&mut store, &instance, name);
        let after = block_on(store.run_concurrent(async |accessor| {
            let call = run.call_concurrent(accessor, (NEVER,));
            wait(10).await;
            call.abandon();
            run.call_concurrent(accessor, (1,)).await
        }))
        .unwrap();
        let error = after.unwrap_err();
        assert!(
            format!("{error:?}").contains("cannot enter"),
            "{name}: {error:?}"
        );
        block_on(store.run_until_idle()).unwrap();
        assert_eq!(store.data().done, 0);
    }
}

#[test]
fn accessors_need_their_loop() {
    let (mut store, _) = instantiate(TASKS, Data::default(), define);
    let kept = block_on(store.run_concurrent(async |accessor| accessor.clone())).unwrap();
    assert!(kept.with(|_| ()).is_err());
    let nested = block_on(
        store.run_concurrent(async |accessor| accessor.with(|_| accessor.with(|_| ()).is_err())),
    )
    .unwrap();
    assert!(nested.unwrap());
}

#[test]
fn spawned_tasks_run() {
    let (mut store, instance) = instantiate(TASKS, Data::default(), define);
    let run = func(&mut store, &instance, "start");
    block_on(store.run_concurrent(async |accessor| {
        let inner = accessor.clone();
        accessor
            .spawn(async move {
                let (n,) = run.call_concurrent(&inner, (5,)).await?;
                inner.with(|mut store| store.data_mut().done += n)
            })
            .unwrap();
    }))
    .unwrap();
    block_on(store.run_until_idle()).unwrap();
    assert_eq!(store.data().done, 1 + 6);
    let failed: Result<()> = block_on(async {
        store
            .run_concurrent(async |accessor| {
                accessor.spawn(async { Err(Error::msg("spawned badly")) })
            })
            .await??;
        store.run_until_idle().await
    });
    assert_eq!(failed.unwrap_err().to_string(), "spawned badly");
}

/// Futures of the API can be moved between threads.
#[test]
fn everything_is_send() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let (mut store, instance) = instantiate(TASKS, Data::default(), define);
    let run = func(&mut store, &instance, "block");
    {
        let future = is_send(run.call_async(&mut store, (5,)));
        assert_eq!(block_on(future).unwrap(), (6,));
        let future = is_send(store.run_until_idle());
        block_on(future).unwrap();
    }
    std::thread::spawn(move || {
        let result = block_on(is_send(store.run_concurrent(async move |accessor| {
            run.call_concurrent(accessor, (7,)).await
        })));
        assert_eq!(result.unwrap().unwrap(), (8,));
    })
    .join()
    .unwrap();
}

/// A blocking call inside a host future runs a loop of its own: what it wakes meanwhile is
/// not lost.
#[test]
fn loops_inside_loops() {
    let (mut store, instance) = instantiate(TASKS, Data::default(), define);
    let run = func(&mut store, &instance, "start");
    let result = block_on(store.run_concurrent(async |accessor| {
        let inner = accessor.clone();
        accessor
            .spawn(async move {
                for n in 0..5 {
                    wait(1).await;
                    let got = inner.with(|store| run.call(store, (n,)))??;
                    assert_eq!(got, (n + 1,));
                }
                Ok(())
            })
            .unwrap();
        let calls: Vec<_> = (0..10)
            .map(|n| run.call_concurrent(accessor, (n,)))
            .collect();
        for call in calls {
            call.await?;
            let got = accessor.with(|store| run.call(store, (4,)))??;
            assert_eq!(got, (5,));
        }
        Ok::<_, Error>(())
    }));
    result.unwrap().unwrap();
    block_on(store.run_until_idle()).unwrap();
    store.audit_tasks().unwrap();
}
