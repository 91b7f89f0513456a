//! What goes wrong after a call was resolved: its caller has the result, and the store tells
//! of the rest, once.

use crate::support::{block_on, instantiate, wait};
use helve::component::{Accessor, Instance, Linker, TypedFunc};
use helve::{Result, Store};

/// `run` returns 7, waits, and traps: stackful, and in its callback.
const LATE: &str = r#"(component
    (import "later" (func $later async (param "n" u32) (result u32)))
    (core func $later (canon lower (func $later)))
    (core func $return (canon task.return (result u32)))
    (core module $m
        (import "" "later" (func $later (param i32) (result i32)))
        (import "" "return" (func $return (param i32)))
        (func (export "stack")
            (call $return (i32.const 7))
            (drop (call $later (i32.const 2)))
            unreachable)
        (func (export "start") (result i32)
            (call $return (i32.const 7))
            (i32.const 1))
        (func (export "callback") (param i32 i32 i32) (result i32) unreachable))
    (core instance $i (instantiate $m (with "" (instance
        (export "later" (func $later)) (export "return" (func $return))))))
    (func (export "stack") async (result u32) (canon lift (core func $i "stack") async))
    (func (export "callback") async (result u32)
        (canon lift (core func $i "start") async (callback (core func $i "callback")))))"#;

fn set_up() -> (Store<()>, Instance) {
    instantiate(LATE, (), |linker: &mut Linker<()>| {
        let later = |_: Accessor<()>, (n,): (u32,)| async move {
            wait(n).await;
            Ok((n,))
        };
        linker.root().func_wrap_async("later", later).unwrap();
    })
}

#[test]
fn the_store_tells_once() {
    for name in ["stack", "callback"] {
        for idle in [true, false] {
            let (mut store, instance) = set_up();
            let run: TypedFunc<(), (u32,)> = instance.get_typed_func(&mut store, name).unwrap();
            let result = block_on(run.call_async(&mut store, ())).unwrap();
            assert_eq!(result, (7,), "{name}");
            let error = match idle {
                true => block_on(store.run_until_idle()).unwrap_err(),
                false => {
                    let all: Result<()> =
                        block_on(store.run_concurrent(async |_: &Accessor<()>| wait(20).await));
                    all.unwrap();
                    store.take_unreported_error().expect("a trap")
                }
            };
            assert!(error.trap().is_some(), "{name}: {error:#}");
            assert!(store.take_unreported_error().is_none(), "{name}");
            assert!(block_on(store.run_until_idle()).is_ok(), "{name}");
            let again = block_on(run.call_async(&mut store, ())).unwrap_err();
            assert!(
                again.to_string().contains("cannot enter"),
                "{name}: {again:#}"
            );
        }
    }
}
