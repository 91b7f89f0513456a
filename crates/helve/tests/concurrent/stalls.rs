//! Deadlocks are explained: who waits for whom, and where the circle is.

use crate::support::{TASKS, block_on, instantiate};
use helve::component::{Accessor, Linker, Stall, StreamReader, stream};
use helve::{Error, Result, Trap};

/// Two children that wait for each other's end of two streams, and a root that calls both.
const CIRCLE: &str = r#"(component
    (component $child
        (type $s (stream u8))
        (core module $libc (memory (export "memory") 1))
        (core instance $libc (instantiate $libc))
        (alias core export $libc "memory" (core memory $memory))
        (core func $new (canon stream.new $s))
        (core func $read (canon stream.read $s (memory $memory)))
        (core func $return (canon task.return (result $s)))
        (core module $m
            (import "" "new" (func $new (result i64)))
            (import "" "read" (func $read (param i32 i32 i32) (result i32)))
            (import "" "return" (func $return (param i32)))
            ;; Gives a stream that it never writes to, and reads the one it got.
            (func (export "swap") (param $in i32)
                (call $return (i32.wrap_i64 (call $new)))
                (drop (call $read (local.get $in) (i32.const 0) (i32.const 1)))))
        (core instance $i (instantiate $m (with "" (instance
            (export "new" (func $new)) (export "read" (func $read))
            (export "return" (func $return))))))
        (func (export "swap") async (param "in" $s) (result $s) (canon lift (core func $i "swap") async)))
    (instance $a (instantiate $child))
    (instance $b (instantiate $child))
    (alias export $a "swap" (func $a))
    (alias export $b "swap" (func $b))
    (export "a" (func $a))
    (export "b" (func $b)))"#;

fn stall_of(error: &Error) -> &Stall {
    assert_eq!(error.trap(), Some(Trap::Deadlock), "{error:?}");
    error.downcast_ref::<Stall>().unwrap()
}

#[test]
fn a_circle_of_streams() {
    type Swap = helve::component::TypedFunc<(StreamReader<u8>,), (StreamReader<u8>,)>;
    let (mut store, instance) = instantiate(CIRCLE, (), |_: &mut Linker<()>| {});
    let a: Swap = instance.get_typed_func(&mut store, "a").unwrap();
    let b: Swap = instance.get_typed_func(&mut store, "b").unwrap();
    let (writer, reader) = stream::<u8>(&mut store).unwrap();
    block_on(store.run_concurrent(async move |accessor: &Accessor<()>| {
        let (from_a,) = a.call_concurrent(accessor, (reader,)).await.unwrap();
        let (from_b,) = b.call_concurrent(accessor, (from_a,)).await.unwrap();
        // Not a circle yet: the host holds what `a` waits for.
        std::mem::forget((from_b, writer));
    }))
    .unwrap();
    let error = block_on(store.run_until_idle()).unwrap_err();
    let stall = stall_of(&error);
    assert_eq!(stall.tasks.len(), 2, "{stall}");
    assert!(stall.tasks.iter().all(|task| !task.in_cycle), "{stall}");
    let text = stall.to_string();
    assert!(text.contains("whose other end the host holds"), "{text}");
    assert!(text.contains("whose other end root"), "{text}");
    assert!(
        format!("{error:?}").contains("who waits for whom"),
        "{error:?}"
    );
}

/// A call that can never get its result, as nobody can send it.
#[test]
fn a_call_that_waits_for_nobody() {
    type Swap = helve::component::TypedFunc<(StreamReader<u8>,), (StreamReader<u8>,)>;
    const TEXT: &str = r#"(component
        (type $s (stream u8))
        (core func $new (canon waitable-set.new))
        (core module $libc (memory (export "memory") 1))
        (core instance $libc (instantiate $libc))
        (alias core export $libc "memory" (core memory $memory))
        (core func $wait (canon waitable-set.wait (memory $memory)))
        (core module $m
            (import "" "new" (func $new (result i32)))
            (import "" "wait" (func $wait (param i32 i32) (result i32)))
            (func (export "run") (param i32)
                (drop (call $wait (call $new) (i32.const 0)))))
        (core instance $i (instantiate $m (with "" (instance
            (export "new" (func $new)) (export "wait" (func $wait))))))
        (func (export "run") async (param "in" $s) (result $s) (canon lift (core func $i "run") async)))"#;
    for blocking in [false, true] {
        let (mut store, instance) = instantiate(TEXT, (), |_: &mut Linker<()>| {});
        let run: Swap = instance.get_typed_func(&mut store, "run").unwrap();
        let (_writer, reader) = stream::<u8>(&mut store).unwrap();
        let error = match blocking {
            true => run.call(&mut store, (reader,)).unwrap_err(),
            false => block_on(run.call_async(&mut store, (reader,))).unwrap_err(),
        };
        let stall = stall_of(&error);
        let [task] = &stall.tasks[..] else {
            panic!("{stall}");
        };
        assert_eq!(task.function.as_deref(), Some("run"));
        assert_eq!(task.threads[0].set, Some(2));
        assert!(
            stall.to_string().contains("set 2, which is empty"),
            "{stall}"
        );
    }
}

/// What waits for the host is no stall, and can be looked at all the same.
#[test]
fn the_host_is_waited_for() {
    let (mut store, instance) = instantiate(TASKS, (), |linker: &mut Linker<()>| {
        let never = |_, (_,): (u32,)| std::future::pending::<Result<(u32,)>>();
        linker.root().func_wrap_async("later", never).unwrap();
        linker.root().func_wrap_async("wait", never).unwrap();
    });
    let start = instance
        .get_typed_func::<(u32,), (u32,)>(&mut store, "start")
        .unwrap();
    // In a tuple: the call itself is not waited for.
    let (call,) = block_on(store.run_concurrent(async |accessor| {
        let call = start.call_concurrent(accessor, (1,));
        crate::support::wait(10).await;
        (call,)
    }))
    .unwrap();
    let stall = store.stall();
    assert!(
        stall.to_string().contains("a call of a host function"),
        "{stall}"
    );
    drop(call);
}
