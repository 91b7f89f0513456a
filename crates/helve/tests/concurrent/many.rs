//! Many of everything: at once, and one after the other with flat memory. (Longer runs
//! are in `fuzz/`.)

use crate::support::{TASKS, block_on, instantiate, wait};
use helve::component::{Accessor, Component, Instance, Linker, StreamReader, future, stream};
use helve::{Config, Engine, Store};

type Func = helve::component::TypedFunc<(u32,), (u32,)>;

/// `later` and `wait`: at once for 0, else once all calls are there.
#[derive(Default)]
struct Data {
    there: u32,
    all: u32,
}

fn define(linker: &mut Linker<Data>) {
    let later = |cx: Accessor<Data>, (n,): (u32,)| async move {
        if n == 0 {
            return Ok((1,));
        }
        cx.with(|mut store| store.data_mut().there += 1)?;
        while cx.with(|store| store.data().there < store.data().all)? {
            // Nobody wakes it before the others are there, but the next turn.
            wait(1).await;
        }
        Ok((n,))
    };
    linker.root().func_wrap_async("wait", later).unwrap();
    linker.root().func_wrap_async("later", later).unwrap();
}

fn set_up(all: u32) -> (Store<Data>, Instance) {
    instantiate(TASKS, Data { there: 0, all }, define)
}

/// All calls are blocked at the same time, then all complete; or there is a clean error
/// where the system has no more stacks.
pub fn at_once(name: &str, count: u32) {
    let (mut store, instance) = set_up(count);
    let run: Func = instance.get_typed_func(&mut store, name).unwrap();
    let results = block_on(store.run_concurrent(async |accessor| {
        let calls: Vec<_> = (0..count)
            .map(|_| run.call_concurrent(accessor, (7,)))
            .collect();
        let mut results = Vec::new();
        for call in calls {
            results.push(call.await);
            if results.last().is_some_and(Result::is_err) {
                break;
            }
        }
        results
    }))
    .unwrap();
    match results.last().unwrap() {
        Ok(_) => assert!(results.iter().all(|result| matches!(result, Ok((7,))))),
        Err(error) => {
            let text = format!("{error:?}");
            assert!(name == "block" && text.contains("stack"), "{text}");
        }
    }
}

/// As many calls as an instance may have under way are made; one more fails, and says why.
#[test]
fn calls_are_bounded_by_instance() {
    for (name, count, fits) in [
        ("start", 20, true),
        ("start", 21, false),
        ("block", 20, true),
        ("block", 21, false),
    ] {
        let mut config = Config::new();
        config.all_features(true).max_tasks(20);
        let engine = Engine::new(&config).unwrap();
        let mut linker = Linker::new(&engine);
        define(&mut linker);
        let component = Component::new(&engine, TASKS).unwrap();
        // Nobody goes on before all are there.
        let mut store = Store::new(
            &engine,
            Data {
                there: 0,
                all: count,
            },
        );
        let instance = linker.instantiate(&mut store, &component).unwrap();
        let run: Func = instance.get_typed_func(&mut store, name).unwrap();
        let failure = block_on(store.run_concurrent(async |accessor| {
            let calls: Vec<_> = (0..count)
                .map(|_| run.call_concurrent(accessor, (7,)))
                .collect();
            // The last one first: the others wait for it.
            for call in calls.into_iter().rev() {
                if let Err(error) = call.await {
                    return Some(format!("{error:?}"));
                }
            }
            None
        }))
        .unwrap();
        assert_eq!(failure.is_none(), fits, "{name}, {count}: {failure:?}");
        if let Some(text) = failure {
            assert!(text.contains("raise `Limits::tasks`"), "{name}: {text}");
            continue;
        }
        let usage = instance.usage(&mut store).unwrap();
        assert_eq!((usage[0].tasks, usage[0].task_limit), (0, 20));
    }
}

#[test]
fn callbacks_at_once() {
    at_once("start", 5_000);
}

#[test]
fn stacks_at_once() {
    at_once("block", 2_000);
}

/// Bytes of memory that this process has.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0) * 4096
}

/// Tasks, subtasks, streams and futures that come and go, four of each in a round, leave
/// nothing.
pub fn come_and_go(rounds: u32) {
    let (mut store, instance) = set_up(0);
    let functions = ["start", "block", "plain"]
        .map(|name| -> Func { instance.get_typed_func(&mut store, name).unwrap() });
    let round = |store: &mut Store<Data>, rounds: u32| {
        for n in 0..rounds {
            for function in &functions {
                block_on(function.call_async(&mut *store, (n % 2,))).unwrap();
            }
            let (writer, reader) = stream::<String>(&mut *store).unwrap();
            drop(writer);
            let (writer, other) = future::<u8>(&mut *store).unwrap();
            drop((reader, writer, other));
            let _: StreamReader<u32> = stream(&mut *store).unwrap().1;
        }
        assert_eq!(store.task_counts(), [0; 8]);
    };
    round(&mut store, 300);
    // Once in a while memory is got for long: one quiet round of ten is enough.
    let mut least = usize::MAX;
    for _ in 0..10 {
        let before = resident();
        round(&mut store, rounds / 10);
        least = least.min(resident().saturating_sub(before));
    }
    // A record of 16 bytes for each of the calls would be more.
    assert!(least < 1 << 14, "{least} bytes more in each of ten rounds");
}

/// In a process of its own, as the other tests of this one get memory too.
#[test]
fn one_after_the_other() {
    const ALONE: &str = "HELVE_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return come_and_go(3_000);
    }
    let run = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "many::one_after_the_other"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && said.contains("1 passed"), "{said}");
}

/// Calls that wait for a tree that is closed, many of them: they begin in the order in which
/// they were made, those that were dropped do not begin, and other trees go on.
pub fn at_a_closed_door(count: u32) {
    let define = |linker: &mut Linker<Vec<u32>>| {
        let note = |cx: Accessor<Vec<u32>>, (n,): (u32,)| async move {
            wait(1).await;
            cx.with(|mut store| store.data_mut().push(n))?;
            Ok((n,))
        };
        linker.root().func_wrap_async("wait", note).unwrap();
        linker.root().func_wrap_async("later", note).unwrap();
    };
    let (mut store, instance) = instantiate(TASKS, Vec::new(), define);
    let plain: Func = instance.get_typed_func(&mut store, "plain").unwrap();
    let is_kept = |n: &u32| !n.is_multiple_of(3);
    let results = block_on(store.run_concurrent(async |accessor| {
        let calls: Vec<_> = (0..count)
            .map(|n| (n, plain.call_concurrent(accessor, (n,))))
            .collect();
        // The first one begins, and closes the tree.
        wait(3).await;
        let kept: Vec<_> = calls.into_iter().filter(|(n, _)| is_kept(n)).collect();
        let mut results = Vec::new();
        for (_, call) in kept {
            results.push(call.await.unwrap().0);
        }
        results
    }))
    .unwrap();
    let kept: Vec<u32> = (0..count).filter(is_kept).collect();
    assert_eq!(results, kept);
    let mut begun = store.data().clone();
    begun.retain(is_kept);
    assert_eq!(begun, kept);
    assert!(store.data().len() < kept.len() + 8, "dropped ones began");
    assert_eq!(store.task_counts(), [0; 8]);
}

#[test]
fn a_closed_door() {
    at_a_closed_door(3_000);
}
