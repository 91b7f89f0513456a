//! Hooks: what they are told, in which order; what their errors do.

use helve::component::{CallHook, Component, Instance, Linker};
use helve::{Config, Engine, Result, Store, bail};

const GUEST: &str = r#"(component
    (import "host" (instance $host (export "ask" (func (param "x" u32) (result u32)))))
    (core func $ask (canon lower (func $host "ask")))
    (core module $m
        (import "" "ask" (func $ask (param i32) (result i32)))
        (func (export "go") (param i32) (result i32) (call $ask (local.get 0))))
    (core instance $m (instantiate $m (with "" (instance (export "ask" (func $ask))))))
    (func $go (param "x" u32) (result u32) (canon lift (core func $m "go")))
    (instance (export "api") (export "go" (func $go))))"#;

fn instance(store: &mut Store<Vec<String>>) -> Result<Instance> {
    let engine = store.engine().clone();
    let component = Component::new(&engine, GUEST)?;
    let mut linker = Linker::new(&engine);
    linker.instance("host")?.func_wrap(
        "ask",
        |mut cx: helve::StoreContextMut<'_, Vec<String>>, (x,): (u32,)| {
            cx.data_mut().push("asked".to_owned());
            Ok((x + 1,))
        },
    )?;
    linker.instantiate(store, &component)
}

#[test]
fn every_crossing_is_told() -> Result<()> {
    let engine = Engine::new(&Config::new())?;
    let mut store = Store::new(&engine, Vec::new());
    // Made before there is a hook: nobody is told.
    let before = instance(&mut store)?;
    store.call_hook(|mut cx, crossing| {
        let line = format!(
            "{:?} {} {}",
            crossing.kind, crossing.instance, crossing.function
        );
        cx.data_mut().push(line);
        Ok(())
    });
    let after = instance(&mut store)?;
    for (instance, expected) in [
        (before, &["asked"][..]),
        (
            after,
            &[
                "CallingWasm root api#go",
                "CallingHost root host#ask",
                "asked",
                "ReturningFromHost root host#ask",
                "ReturningFromWasm root api#go",
            ],
        ),
    ] {
        let go = instance.get_typed_func::<(u32,), (u32,)>(&mut store, "api#go")?;
        assert_eq!(go.call(&mut store, (1,))?, (2,));
        assert_eq!(std::mem::take(store.data_mut()), expected);
    }
    Ok(())
}

#[test]
fn an_error_of_the_hook_ends_the_call() -> Result<()> {
    for (kind, alive) in [
        (CallHook::CallingWasm, true),
        (CallHook::CallingHost, false),
    ] {
        let engine = Engine::new(&Config::new())?;
        let mut store = Store::new(&engine, Vec::new());
        store.call_hook(move |cx, crossing| {
            if crossing.kind == kind && cx.data().is_empty() {
                bail!("no");
            }
            Ok(())
        });
        let instance = instance(&mut store)?;
        let go = instance.get_typed_func::<(u32,), (u32,)>(&mut store, "api#go")?;
        let error = go.call(&mut store, (1,)).unwrap_err();
        assert!(format!("{error:#}").contains("no"), "{error:#}");
        // A guest that was not entered is as it was; one that was called has trapped.
        store.data_mut().push("let it".to_owned());
        assert_eq!(go.call(&mut store, (1,)).is_ok(), alive);
    }
    Ok(())
}
