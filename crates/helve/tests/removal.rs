//! Instances that end while their store lives on: what they held is given back, handles to
//! them find them gone, and the store stays as small as it was.

use helve::component::{Component, Instance, Linker, Resource, ResourceAny, ResourceType, Val};
use helve::{Config, Engine, Result, Store};

/// Takes files that the host opens and keeps them; makes resources of its own.
const KEEPER: &str = r#"(component
    (import "file" (type $file (sub resource)))
    (import "open" (func $open (result (own $file))))
    (core func $open (canon lower (func $open)))
    (core module $m
        (import "" "open" (func $open (result i32)))
        (memory (export "memory") 2)
        (table 10 funcref)
        (func (export "keep") (param i32)
            (loop $more
                (drop (call $open))
                (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
                (br_if $more (local.get 0))))
        (func (export "trap") unreachable)
        (func (export "number") (param i32) (result i32) (local.get 0)))
    (core instance $i (instantiate $m (with "" (instance (export "open" (func $open))))))
    (type $own' (resource (rep i32)))
    (export $own "own" (type $own'))
    (core func $new (canon resource.new $own'))
    (core module $maker
        (import "" "new" (func $new (param i32) (result i32)))
        (func (export "make") (param i32) (result i32) (call $new (local.get 0))))
    (core instance $maker (instantiate $maker
        (with "" (instance (export "new" (func $new))))))
    (func (export "keep") (param "count" u32) (canon lift (core func $i "keep")))
    (func (export "trap") (canon lift (core func $i "trap")))
    (func (export "number") (param "x" u32) (result u32) (canon lift (core func $i "number")))
    (func (export "make") (param "rep" u32) (result (own $own))
        (canon lift (core func $maker "make"))))"#;

/// The host: how many files are open.
#[derive(Default)]
struct Host {
    open: u32,
    closed: u32,
}

struct File;

fn keeper() -> Result<(Engine, Component, Linker<Host>)> {
    let engine = Engine::new(&Config::new())?;
    let component = Component::new(&engine, KEEPER)?;
    let mut linker: Linker<Host> = Linker::new(&engine);
    linker
        .root()
        .resource("file", ResourceType::host::<File>(), |mut cx, _| {
            cx.data_mut().closed += 1;
            Ok(())
        })?;
    linker.root().func_wrap("open", |mut cx, ()| {
        cx.data_mut().open += 1;
        Ok((Resource::<File>::new_own(7),))
    })?;
    Ok((engine, component, linker))
}

fn call(store: &mut Store<Host>, instance: &Instance, name: &str, x: u32) -> Result<()> {
    let func = instance.get_typed_func::<(u32,), ()>(&mut *store, name)?;
    func.call(store, (x,))
}

#[test]
fn what_it_held_is_reported_and_given_back() -> Result<()> {
    let (engine, component, linker) = keeper()?;
    let mut store = Store::new(&engine, Host::default());
    let instance = linker.instantiate(&mut store, &component)?;
    call(&mut store, &instance, "keep", 3)?;
    let handles = instance.handles(&mut store)?;
    assert_eq!(handles.len(), 3);
    assert_eq!(
        handles[0].to_string(),
        "root 1: owned resource `file` of the host"
    );
    let usage = &instance.usage(&mut store)?[0];
    assert_eq!((usage.handles, usage.memory_bytes), (3, 2 << 16));
    let report = store.remove_instance(instance)?;
    assert_eq!(report.handles, handles);
    assert!(report.to_string().starts_with("3 handles are left:"));
    assert_eq!((store.data().open, store.data().closed), (3, 3));
    Ok(())
}

#[test]
fn handles_to_it_find_it_gone() -> Result<()> {
    let (engine, component, linker) = keeper()?;
    let mut store = Store::new(&engine, Host::default());
    let old = linker.instantiate(&mut store, &component)?;
    let number = old.get_typed_func::<(u32,), (u32,)>(&mut store, "number")?;
    let make = old.get_typed_func::<(u32,), (ResourceAny,)>(&mut store, "make")?;
    let (held,) = make.call(&mut store, (5,))?;
    assert!(store.remove_instance(old)?.is_empty());
    // In its place stands another one; what belonged to the old one does not reach it.
    let new = linker.instantiate(&mut store, &component)?;
    let gone = number.call(&mut store, (1,)).unwrap_err().to_string();
    assert!(gone.contains("is gone"), "{gone}");
    assert!(old.get_func(&mut store, "number").is_none());
    assert!(old.handles(&mut store).is_err() && store.remove_instance(old).is_err());
    let number = new.get_typed_func::<(u32,), (u32,)>(&mut store, "number")?;
    assert_eq!(number.call(&mut store, (1,))?, (1,));
    // An orphan: to be dropped, and nothing happens.
    held.resource_drop(&mut store)?;
    Ok(())
}

#[test]
fn a_fresh_instance_takes_the_place_of_one_that_trapped() -> Result<()> {
    let (engine, component, linker) = keeper()?;
    let pre = linker.instantiate_pre(&component)?;
    let mut store = Store::new(&engine, Host::default());
    let mut instance = pre.instantiate(&mut store)?;
    for round in 1..=3 {
        call(&mut store, &instance, "keep", 1)?;
        let trap = instance
            .get_func(&mut store, "trap")
            .expect("it exports it");
        assert!(trap.call(&mut store, &[], &mut []).is_err());
        assert!(call(&mut store, &instance, "keep", 1).is_err());
        store.remove_instance(instance)?;
        assert_eq!(store.data().closed, round);
        instance = pre.instantiate(&mut store)?;
    }
    Ok(())
}

#[test]
fn whoever_is_imported_from_stays() -> Result<()> {
    let (engine, component, linker) = keeper()?;
    let mut store = Store::new(&engine, Host::default());
    let provider = linker.instantiate(&mut store, &component)?;
    let number = provider
        .get_func(&mut store, "number")
        .expect("it exports it");
    let mut linker: Linker<Host> = Linker::new(&engine);
    linker.root().func("number", number)?;
    let user = Component::new(
        &engine,
        r#"(component
            (import "number" (func $n (param "x" u32) (result u32)))
            (export "twice" (func $n)))"#,
    )?;
    let user = linker.instantiate(&mut store, &user)?;
    let refused = store.remove_instance(provider).unwrap_err().to_string();
    assert!(refused.contains("imports from this one"), "{refused}");
    let mut result = [Val::Bool(false)];
    number.call(&mut store, &[Val::U32(4)], &mut result)?;
    assert_eq!(result, [Val::U32(4)]);
    store.remove_instance(user)?;
    store.remove_instance(provider)?;
    Ok(())
}

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = text
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("a number") * 4096
}

/// `HELVE_INSTANCES` says how many; a million were run by hand.
#[test]
fn many_instances_in_one_store_keep_it_small() -> Result<()> {
    let count = std::env::var("HELVE_INSTANCES").ok();
    let count = count
        .and_then(|count| count.parse().ok())
        .unwrap_or(3000u32);
    let (engine, component, linker) = keeper()?;
    let pre = linker.instantiate_pre(&component)?;
    let mut store = Store::new(&engine, Host::default());
    let mut before = 0;
    for round in 0..count {
        let instance = pre.instantiate(&mut store)?;
        call(&mut store, &instance, "keep", 2)?;
        let make = instance.get_typed_func::<(u32,), (ResourceAny,)>(&mut store, "make")?;
        let (held,) = make.call(&mut store, (round,))?;
        held.resource_drop(&mut store)?;
        store.remove_instance(instance)?;
        if round == count / 3 {
            before = resident();
        }
    }
    assert_eq!(store.data().closed, 2 * count);
    let grown = resident().saturating_sub(before);
    assert!(grown < 4 << 20, "{count} instances: {grown} bytes more");
    Ok(())
}
