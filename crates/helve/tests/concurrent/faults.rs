//! Faults at every point: a host function fails or panics, a guest traps, a call is
//! dropped, cancelled or abandoned. Other trees of the store lose nothing, and nothing is
//! left behind.

use crate::support::{TASKS, block_on, engine, wait};
use helve::component::{Accessor, Component, Instance, Linker, TypedFunc};
use helve::{Error, Result, Store};
use std::panic::{AssertUnwindSafe, catch_unwind};

type Func = TypedFunc<(u32,), (u32,)>;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Error,
    Panic,
    Trap,
    Drop,
    Cancel,
    Abandon,
    DropLoop,
}

/// Calls of `later` by the victim until the fault, and whether it is the victim's turn.
#[derive(Default)]
struct Data {
    countdown: Option<u32>,
    fault: Option<Fault>,
    /// Answers to the bystander.
    answered: u32,
}

/// The victim asks for numbers below 1000, the bystander for others.
fn define(linker: &mut Linker<Data>) {
    let later = |cx: Accessor<Data>, (n,): (u32,)| async move {
        wait(n % 4).await;
        if n >= 1000 {
            cx.with(|mut store| store.data_mut().answered += 1)?;
            return Ok((n,));
        }
        let fault = cx.with(|mut store| {
            let data = store.data_mut();
            let left = data.countdown?;
            data.countdown = left.checked_sub(1);
            match left {
                0 => data.fault,
                _ => None,
            }
        })?;
        match fault {
            Some(Fault::Error) => Err(Error::msg("injected")),
            Some(Fault::Panic) => panic!("injected"),
            _ => Ok((n,)),
        }
    };
    linker.root().func_wrap_async("later", later).unwrap();
    linker.root().func_wrap_async("wait", later).unwrap();
}

fn functions(store: &mut Store<Data>, instance: &Instance) -> [Func; 3] {
    ["start", "block", "plain"].map(|name| instance.get_typed_func(&mut *store, name).unwrap())
}

/// Runs calls of both; the victim's fault comes at `at`.
fn run(fault: Fault, at: u32) {
    let engine = engine();
    let component = Component::new(&engine, TASKS).unwrap();
    let mut linker = Linker::new(&engine);
    define(&mut linker);
    let mut store = Store::new(&engine, Data::default());
    let victim = linker.instantiate(&mut store, &component).unwrap();
    let bystander = linker.instantiate(&mut store, &component).unwrap();
    let trap: Func = victim.get_typed_func(&mut store, "trap").unwrap();
    let victim = functions(&mut store, &victim);
    let bystander = functions(&mut store, &bystander);
    store.data_mut().countdown = Some(at);
    store.data_mut().fault = Some(fault);
    let others = catch_unwind(AssertUnwindSafe(|| {
        block_on(store.run_concurrent(async |accessor| {
            let mut calls: Vec<_> = (0..6)
                .map(|n| victim[n as usize % 3].call_concurrent(accessor, (n,)))
                .collect();
            let others: Vec<_> = (0..12)
                .map(|n| bystander[n as usize % 3].call_concurrent(accessor, (1000 + n,)))
                .collect();
            if fault == Fault::Trap {
                calls.push(trap.call_concurrent(accessor, (at,)));
            }
            wait(at).await;
            let any = calls.remove(at as usize % 5);
            match fault {
                Fault::Drop => drop(any),
                Fault::Cancel => any.cancel(),
                Fault::Abandon => any.abandon(),
                // The rest of the calls is dropped by a loop that ends.
                Fault::DropLoop => return Ok(()),
                _ => drop(any.await),
            }
            for call in calls {
                drop(call.await);
            }
            for (n, call) in (1000..).zip(others) {
                assert_eq!(call.await?, (n,));
            }
            Ok::<_, Error>(())
        }))
        .unwrap()
    }));
    let what = format!("{fault:?} at {at}");
    match others {
        Ok(others) => others.unwrap(),
        // The loop was left by the panic: what it had queued is done by the next one.
        Err(_) => assert_eq!(fault, Fault::Panic, "{what}"),
    }
    let idle: Result<()> = block_on(store.run_until_idle());
    if let Err(error) = idle {
        assert!(
            format!("{error:?}").contains("injected"),
            "{what}: {error:?}"
        );
        block_on(store.run_until_idle()).unwrap();
    }
    store
        .audit_tasks()
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(store.task_counts(), [0; 8], "{what}");
    // The bystander is as good as new.
    for function in &bystander {
        let result = block_on(function.call_async(&mut store, (1003,)));
        assert_eq!(result.unwrap(), (1003,), "{what}");
    }
    let dropped = matches!(fault, Fault::DropLoop | Fault::Panic);
    assert!(dropped || store.data().answered == 12 + 3, "{what}");
}

#[test]
fn faults() {
    use Fault::{Abandon, Cancel, Drop, DropLoop, Error, Panic, Trap};
    for fault in [Error, Panic, Trap, Drop, Cancel, Abandon, DropLoop] {
        for at in 0..8 {
            run(fault, at);
        }
    }
}

/// A component with tasks that takes a resource of the host's, by an async function and by
/// one that is not.
const TAKES: &str = r#"(component
    (import "r" (type $r (sub resource)))
    (core func $return (canon task.return (result u32)))
    (core func $drop (canon resource.drop $r))
    (core module $m
        (import "" "return" (func $return (param i32)))
        (import "" "drop" (func $drop (param i32)))
        (func (export "block") (param i32)
            (call $drop (local.get 0)) (call $return (i32.const 7)))
        (func (export "plain") (param i32) (result i32)
            (call $drop (local.get 0)) (i32.const 7)))
    (core instance $m (instantiate $m (with "" (instance
        (export "return" (func $return)) (export "drop" (func $drop))))))
    (func (export "block") async (param "r" (own $r)) (result u32)
        (canon lift (core func $m "block") async))
    (func (export "plain") (param "r" (own $r)) (result u32)
        (canon lift (core func $m "plain"))))"#;

/// Arguments that the host can't give are its mistake alone: the guest is as it was.
#[test]
fn mistakes_of_the_host_leave_the_guest() {
    use helve::component::{Resource, ResourceAny, ResourceType};
    struct Thing;
    for name in ["block", "plain"] {
        for way in 0..3 {
            let engine = engine();
            let mut linker: Linker<u32> = Linker::new(&engine);
            linker
                .root()
                .resource("r", ResourceType::host::<Thing>(), |mut cx, _| {
                    *cx.data_mut() += 1;
                    Ok(())
                })
                .unwrap();
            let component = Component::new(&engine, TAKES).unwrap();
            let mut store = Store::new(&engine, 0);
            let instance = linker.instantiate(&mut store, &component).unwrap();
            let take: TypedFunc<(ResourceAny,), (u32,)> =
                instance.get_typed_func(&mut store, name).unwrap();
            let call =
                |store: &mut Store<u32>, any: ResourceAny| match way {
                    0 => take.call(store, (any,)),
                    1 => block_on(take.call_async(store, (any,))),
                    _ => block_on(store.run_concurrent(async |accessor| {
                        take.call_concurrent(accessor, (any,)).await
                    }))
                    .unwrap(),
                };
            let own = Resource::<Thing>::new_own(5);
            let any = own.try_into_resource_any(&mut store).unwrap();
            assert_eq!(call(&mut store, any).unwrap(), (7,));
            for _ in 0..3 {
                // It was given away.
                let error = call(&mut store, any).unwrap_err();
                assert!(error.to_string().contains("has ended"), "{error}");
            }
            let own = Resource::<Thing>::new_own(6);
            let any = own.try_into_resource_any(&mut store).unwrap();
            assert_eq!(call(&mut store, any).unwrap(), (7,), "{name} {way}");
            assert_eq!(*store.data(), 2);
            store.audit_tasks().unwrap();
            assert_eq!(store.task_counts(), [0; 8]);
        }
    }
}
