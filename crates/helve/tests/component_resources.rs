//! Resources of the host and of guests, owned and borrowed, through the embedding API.

mod support;

use helve::Store;
use helve::component::{Instance, Linker, Resource, ResourceAny, ResourceType, Val};
use support::instance;

/// Imports a host resource, makes one, borrows it twice, drops it.
const HOST_RESOURCE: &str = r#"(component
    (import "r" (type $r (sub resource)))
    (import "make" (func $make (param "x" u32) (result (own $r))))
    (import "look" (func $look (param "r" (borrow $r)) (result u32)))
    (import "eat" (func $eat (param "r" (own $r))))
    (core func $make' (canon lower (func $make)))
    (core func $look' (canon lower (func $look)))
    (core func $eat' (canon lower (func $eat)))
    (core func $drop (canon resource.drop $r))
    (core module $m
        (import "" "make" (func $make (param i32) (result i32)))
        (import "" "look" (func $look (param i32) (result i32)))
        (import "" "eat" (func $eat (param i32)))
        (import "" "drop" (func $drop (param i32)))
        (func (export "run") (param i32) (result i32)
            (local $h i32)
            (local.set $h (call $make (local.get 0)))
            (i32.add (call $look (local.get $h)) (call $look (local.get $h)))
            (call $drop (local.get $h)))
        (func (export "give") (param i32) (call $eat (call $make (local.get 0))))
        (func (export "take") (param i32) (result i32)
            (call $look (local.get 0)) (call $drop (local.get 0)))
        (func (export "keep") (param i32))
        (func (export "make") (param i32) (result i32) (call $make (local.get 0))))
    (core instance $i (instantiate $m (with "" (instance
        (export "make" (func $make')) (export "look" (func $look'))
        (export "eat" (func $eat')) (export "drop" (func $drop))))))
    (func (export "run") (param "x" u32) (result u32) (canon lift (core func $i "run")))
    (func (export "give") (param "x" u32) (canon lift (core func $i "give")))
    (func (export "take") (param "r" (own $r)) (result u32) (canon lift (core func $i "take")))
    (func (export "take-borrow") (param "r" (borrow $r)) (result u32) (canon lift (core func $i "take")))
    (func (export "keep-borrow") (param "r" (borrow $r)) (canon lift (core func $i "keep")))
    (func (export "make") (param "x" u32) (result (own $r)) (canon lift (core func $i "make"))))"#;

struct Thing;

#[derive(Default, Debug, PartialEq)]
struct Log {
    dropped: Vec<u32>,
    eaten: Vec<u32>,
}

fn host_resource() -> (Store<Log>, Instance) {
    instance(Log::default(), HOST_RESOURCE, |linker: &mut Linker<Log>| {
        let mut root = linker.root();
        root.resource("r", ResourceType::host::<Thing>(), |mut cx, rep| {
            cx.data_mut().dropped.push(rep);
            Ok(())
        })?;
        root.func_wrap("make", |_, (x,): (u32,)| {
            Ok((Resource::<Thing>::new_own(x),))
        })?;
        root.func_wrap("look", |_, (r,): (Resource<Thing>,)| {
            assert!(!r.owned());
            Ok((r.rep(),))
        })?;
        root.func_wrap("eat", |mut cx, (r,): (Resource<Thing>,)| {
            assert!(r.owned());
            cx.data_mut().eaten.push(r.rep());
            Ok(())
        })
    })
    .unwrap()
}

#[test]
fn host_resources() {
    let (mut store, instance) = host_resource();
    let run = instance
        .get_typed_func::<(u32,), (u32,)>(&mut store, "run")
        .unwrap();
    assert_eq!(run.call(&mut store, (21,)).unwrap(), (42,));
    let give = instance
        .get_typed_func::<(u32,), ()>(&mut store, "give")
        .unwrap();
    give.call(&mut store, (5,)).unwrap();
    assert_eq!(
        *store.data(),
        Log {
            dropped: vec![21],
            eaten: vec![5]
        }
    );

    let take = instance
        .get_typed_func::<(Resource<Thing>,), (u32,)>(&mut store, "take")
        .unwrap();
    assert_eq!(
        take.call(&mut store, (Resource::new_own(9),)).unwrap(),
        (9,)
    );
    assert_eq!(store.data().dropped, [21, 9]);
    let borrow = instance
        .get_typed_func::<(Resource<Thing>,), (u32,)>(&mut store, "take-borrow")
        .unwrap();
    assert_eq!(
        borrow.call(&mut store, (Resource::new_borrow(8),)).unwrap(),
        (8,)
    );
    assert_eq!(
        store.data().dropped,
        [21, 9],
        "a borrowed resource is not destroyed"
    );

    let make = instance
        .get_typed_func::<(u32,), (ResourceAny,)>(&mut store, "make")
        .unwrap();
    let (any,) = make.call(&mut store, (77,)).unwrap();
    assert!(any.owned());
    assert_eq!(any.ty(), ResourceType::host::<Thing>());
    assert_eq!(
        instance
            .get_typed_func::<(ResourceAny,), (u32,)>(&mut store, "take-borrow")
            .unwrap()
            .call(&mut store, (any,))
            .unwrap(),
        (77,)
    );
    any.resource_drop(&mut store).unwrap();
    assert_eq!(store.data().dropped, [21, 9, 77]);
    assert!(any.resource_drop(&mut store).is_err());

    let keep = instance
        .get_typed_func::<(Resource<Thing>,), ()>(&mut store, "keep-borrow")
        .unwrap();
    let error = keep
        .call(&mut store, (Resource::new_borrow(1),))
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("borrow handles still remain at the end of the call"),
        "{error}"
    );
}

#[test]
fn guest_resources_through_the_host() {
    let text = r#"(component
        (core module $d
            (global (export "destroyed") (mut i32) (i32.const 0))
            (func (export "dtor") (param i32) (global.set 0 (local.get 0))))
        (core instance $d (instantiate $d))
        (type $r' (resource (rep i32) (dtor (core func $d "dtor"))))
        (export $r "r" (type $r'))
        (core func $new (canon resource.new $r'))
        (core func $rep (canon resource.rep $r'))
        (core module $m
            (import "" "new" (func $new (param i32) (result i32)))
            (import "" "rep" (func $rep (param i32) (result i32)))
            (import "" "destroyed" (global $destroyed (mut i32)))
            (func (export "make") (param i32) (result i32) (call $new (local.get 0)))
            (func (export "look") (param i32) (result i32) (local.get 0))
            (func (export "take") (param i32) (result i32) (call $rep (local.get 0)))
            (func (export "destroyed") (result i32) (global.get $destroyed)))
        (core instance $i (instantiate $m (with "" (instance
            (export "new" (func $new)) (export "rep" (func $rep)) (export "destroyed" (global $d "destroyed"))))))
        (func (export "make") (param "x" u32) (result (own $r)) (canon lift (core func $i "make")))
        (func (export "look") (param "r" (borrow $r)) (result u32) (canon lift (core func $i "look")))
        (func (export "take") (param "r" (own $r)) (result u32) (canon lift (core func $i "take")))
        (func (export "destroyed") (result u32) (canon lift (core func $i "destroyed"))))"#;
    let (mut store, instance) = instance((), text, |_| Ok(())).unwrap();
    let make = instance
        .get_typed_func::<(u32,), (ResourceAny,)>(&mut store, "make")
        .unwrap();
    let look = instance
        .get_typed_func::<(ResourceAny,), (u32,)>(&mut store, "look")
        .unwrap();
    let take = instance
        .get_typed_func::<(ResourceAny,), (u32,)>(&mut store, "take")
        .unwrap();
    let destroyed = instance
        .get_typed_func::<(), (u32,)>(&mut store, "destroyed")
        .unwrap();
    let (a,) = make.call(&mut store, (11,)).unwrap();
    let (b,) = make.call(&mut store, (12,)).unwrap();
    assert_eq!(Some(a.ty()), instance.get_resource(&mut store, "r"));
    assert_eq!(
        look.call(&mut store, (a,)).unwrap(),
        (11,),
        "the guest that defines it sees the representation"
    );
    assert_eq!(take.call(&mut store, (b,)).unwrap(), (12,));
    let error = look.call(&mut store, (b,)).unwrap_err();
    assert!(error.to_string().contains("has ended"), "{error}");
    a.resource_drop(&mut store).unwrap();
    assert_eq!(destroyed.call(&mut store, ()).unwrap(), (11,));
    let func = instance.get_func(&mut store, "make").unwrap();
    let mut results = [Val::Bool(false)];
    func.call(&mut store, &[Val::U32(3)], &mut results).unwrap();
    let [Val::Resource(c)] = results else {
        panic!("{results:?}")
    };
    c.resource_drop(&mut store).unwrap();
    assert_eq!(destroyed.call(&mut store, ()).unwrap(), (3,));
}
