//! Functions of the host's that a component exports as it has imported them: called by the
//! host through the instance, dynamically and typed, with values of random types.

#[path = "mutants/rng.rs"]
mod rng;
#[path = "mutants/types.rs"]
#[allow(dead_code, reason = "the mutants use all of it")]
mod types;
#[path = "mutants/values.rs"]
mod values;

use helve::component::{Accessor, Component, Instance, Linker, Resource, ResourceType, Val};
use helve::{Config, Engine, Limits, Result, Store, StoreContextMut};
use rng::Rng;
use std::fmt::Write;
use types::{Named, Ty};

fn engine() -> Engine {
    Engine::new(Config::new().all_features(true)).expect("an engine")
}

struct NoHandles;

impl values::Handles for NoHandles {
    fn own(&mut self) -> Option<Val> {
        None
    }

    fn borrow(&mut self) -> Option<Val> {
        None
    }
}

#[test]
fn values_of_random_types_come_back() -> Result<()> {
    let engine = engine();
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let named = Named::random(&mut rng, 4);
        let ty = Ty::random(&mut rng, &named, 3, false);
        let mut text = String::from("(component ");
        for (at, defined) in named.texts.iter().enumerate() {
            let _ = writeln!(
                text,
                "(type $d{at} {defined}) (import \"t{at}\" (type $t{at} (eq $d{at})))"
            );
        }
        let _ = write!(
            text,
            "(import \"f\" (func $f (param \"x\" {0}) (result {0}))) (export \"g\" (func $f)))",
            ty.text()
        );
        let component = Component::new(&engine, &text)?;
        let mut linker: Linker<u32> = Linker::new(&engine);
        linker.root().func_new("f", |mut cx, params, results| {
            *cx.data_mut() += 1;
            results[0] = params[0].clone();
            Ok(())
        })?;
        let mut store = Store::new(&engine, 0);
        let instance = linker.instantiate(&mut store, &component)?;
        let func = instance.get_func(&mut store, "g").expect("a function");
        assert_eq!(instance.get_func(&mut store, "g"), Some(func));
        for _ in 0..5 {
            let value = func.with_type(&store, |types, ty| {
                values::random(&mut rng, types, ty.params[0].1, &mut NoHandles)
            })?;
            let value = value.expect("a value");
            let mut results = [Val::Bool(false)];
            func.call(&mut store, std::slice::from_ref(&value), &mut results)?;
            // Not compared as such: a NaN is no other.
            assert_eq!(format!("{:?}", results[0]), format!("{value:?}"), "{text}");
        }
        assert_eq!(*store.data(), 5);
    }
    Ok(())
}

enum Thing {}

const RESOURCES: &str = r#"(component
    (import "thing" (type $thing (sub resource)))
    (import "make" (func $make (param "rep" u32) (result (own $thing))))
    (import "look" (func $look (param "thing" (borrow $thing)) (result u32)))
    (import "join" (func $join (param "a" string) (param "b" string) (result string)))
    (import "later" (func $later async (param "n" u32) (result u32)))
    (export "make" (func $make))
    (export "look" (func $look))
    (export "join" (func $join))
    (instance $inner (export "later" (func $later)))
    (export "inner" (instance $inner)))"#;

fn instantiate(limits: Limits) -> Result<(Store<()>, Instance)> {
    let engine = Engine::new(Config::new().all_features(true).limits(limits))?;
    let component = Component::new(&engine, RESOURCES)?;
    let mut linker: Linker<()> = Linker::new(&engine);
    let mut root = linker.root();
    root.resource("thing", ResourceType::host::<Thing>(), |_, _| Ok(()))?;
    root.func_wrap("make", |_: StoreContextMut<'_, ()>, (rep,): (u32,)| {
        Ok((Resource::<Thing>::new_own(rep),))
    })?;
    root.func_wrap(
        "look",
        |_: StoreContextMut<'_, ()>, (thing,): (Resource<Thing>,)| Ok((thing.rep(),)),
    )?;
    root.func_wrap(
        "join",
        |_: StoreContextMut<'_, ()>, (a, b): (String, String)| Ok((a + &b,)),
    )?;
    root.func_wrap_async("later", |_: Accessor<()>, (n,): (u32,)| async move {
        Ok((n + 1,))
    })?;
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &component)?;
    Ok((store, instance))
}

#[test]
fn typed_calls_resources_and_async_functions() -> Result<()> {
    let (mut store, instance) = instantiate(Limits::default())?;
    let make = instance.get_typed_func::<(u32,), (Resource<Thing>,)>(&mut store, "make")?;
    let look = instance.get_typed_func::<(Resource<Thing>,), (u32,)>(&mut store, "look")?;
    let join = instance.get_typed_func::<(String, String), (String,)>(&mut store, "join")?;
    for rep in 0..100 {
        let (thing,) = make.call(&mut store, (rep,))?;
        assert_eq!(thing.rep(), rep);
        let borrowed = Resource::<Thing>::new_borrow(rep);
        assert_eq!(look.call(&mut store, (borrowed,))?, (rep,));
    }
    // More than a page, again and again: the memory is free after each call.
    let long = "x".repeat(100_000);
    for _ in 0..50 {
        let (joined,) = join.call(&mut store, (long.clone(), "y".into()))?;
        assert_eq!(joined.len(), 100_001);
    }
    let later = instance.get_typed_func::<(u32,), (u32,)>(&mut store, "inner#later")?;
    assert_eq!(later.call(&mut store, (41,))?, (42,));
    let wrong = instance.get_typed_func::<(u64,), (u32,)>(&mut store, "inner#later");
    assert!(wrong.is_err());
    Ok(())
}

#[test]
fn limits_of_the_store_count_it() -> Result<()> {
    let mut limits = Limits::default();
    limits.component_instances = 1;
    limits.instances = 1;
    let (mut store, instance) = instantiate(limits)?;
    assert!(instance.get_func(&mut store, "join").is_none());
    let typed = instance.get_typed_func::<(String, String), (String,)>(&mut store, "join");
    let Err(error) = typed else {
        panic!("there is room");
    };
    let text = format!("{error:#}");
    assert!(text.contains("limit") || text.contains("most"), "{text}");
    Ok(())
}
