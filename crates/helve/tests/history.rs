//! The story that a handle error tells where it is kept: where the handle was made, lent,
//! given away and dropped, with the guest's functions; and that it is bounded, and absent
//! where nobody asked for it.

use helve::component::{Component, Instance, Linker};
use helve::{Config, Engine, Store, Trap};

/// Two components: the outer one makes resources and gives them to the inner one.
const GUEST: &str = r#"(component
    (component $inner
        (import "r" (type $r (sub resource)))
        (core func $drop (canon resource.drop $r))
        (core module $m
            (import "" "drop" (func $drop (param i32)))
            (func $swallow (export "take") (param i32) (call $drop (local.get 0)))
            (func (export "look") (param i32) (call $drop (local.get 0))))
        (core instance $m (instantiate $m (with "" (instance (export "drop" (func $drop))))))
        (func (export "take") (param "r" (own $r)) (canon lift (core func $m "take")))
        (func (export "look") (param "r" (borrow $r)) (canon lift (core func $m "look"))))
    (type $r (resource (rep i32)))
    (instance $inner (instantiate $inner (with "r" (type $r))))
    (core func $new (canon resource.new $r))
    (core func $rep (canon resource.rep $r))
    (core func $drop (canon resource.drop $r))
    (core func $take (canon lower (func $inner "take")))
    (core func $look (canon lower (func $inner "look")))
    (core func $set-new (canon waitable-set.new))
    (core func $set-drop (canon waitable-set.drop))
    (core module $app
        (import "" "new" (func $new (param i32) (result i32)))
        (import "" "rep" (func $rep (param i32) (result i32)))
        (import "" "drop" (func $drop (param i32)))
        (import "" "take" (func $take (param i32)))
        (import "" "look" (func $look (param i32)))
        (import "" "set-new" (func $set-new (result i32)))
        (import "" "set-drop" (func $set-drop (param i32)))
        (func $open (result i32) (call $new (i32.const 7)))
        (func $close (param i32) (call $drop (local.get 0)))
        (func $dropped-twice (export "dropped-twice") (local $h i32)
            (local.set $h (call $open))
            (call $close (local.get $h))
            (call $close (local.get $h)))
        (func $given-away (export "given-away") (local $h i32)
            (local.set $h (call $open))
            (call $look (local.get $h))
            (call $take (local.get $h))
            (drop (call $rep (local.get $h))))
        (func $never (export "never") (call $close (i32.const 77)))
        (func $wrong (export "wrong") (call $close (call $set-new)))
        (func $again (export "again") (local $i i32) (local $h i32)
            (loop $more
                (local.set $h (call $open))
                (call $close (local.get $h))
                (br_if $more (i32.lt_u
                    (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000))))
            (call $close (local.get $h)))
        (func $forgotten (export "forgotten") (local $i i32) (local $first i32) (local $h i32)
            (local.set $first (call $open))
            (local.set $h (call $open))
            (call $close (local.get $first))
            (call $close (local.get $h))
            (loop $more
                (call $set-drop (call $set-new))
                (br_if $more (i32.lt_u
                    (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100))))
            (call $close (local.get $first))))
    (core instance $m (instantiate $app (with "" (instance
        (export "new" (func $new)) (export "rep" (func $rep)) (export "drop" (func $drop))
        (export "take" (func $take)) (export "look" (func $look))
        (export "set-new" (func $set-new)) (export "set-drop" (func $set-drop))))))
    (export $r' "r" (type $r))
    (func $dropped-twice (export "dropped-twice") (canon lift (core func $m "dropped-twice")))
    (func $given-away (export "given-away") (canon lift (core func $m "given-away")))
    (func $never (export "never") (canon lift (core func $m "never")))
    (func $wrong (export "wrong") (canon lift (core func $m "wrong")))
    (func $again (export "again") (canon lift (core func $m "again")))
    (func $forgotten (export "forgotten") (canon lift (core func $m "forgotten"))))"#;

fn instance(events: usize) -> (Store<()>, Instance) {
    let engine = Engine::new(Config::new().handle_history(events)).expect("an engine");
    let component = Component::new(&engine, GUEST).expect("a component");
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine)
        .instantiate(&mut store, &component)
        .expect("an instance");
    (store, instance)
}

/// What calling an export fails with, without the backtrace of the failure itself.
fn fault(events: usize, name: &str) -> String {
    let (mut store, instance) = instance(events);
    let func = instance.get_typed_func::<(), ()>(&mut store, name);
    let error = func.expect("a function").call(&mut store, ()).unwrap_err();
    assert_eq!(error.trap(), Some(Trap::Handle), "{error:?}");
    // Offsets are those of the text format's encoder: what matters is that there are some.
    let text = error.to_string().replace("wasm trap: ", "");
    let mut plain = String::new();
    let mut rest = &*text;
    while let Some(at) = rest.find("(0x") {
        plain += &rest[..at];
        plain += "(at)";
        rest = &rest[at + rest[at..].find(')').expect("its end") + 1..];
    }
    plain + rest
}

#[test]
fn errors_tell_the_story() {
    for (name, expected) in [
        (
            "dropped-twice",
            "unknown handle index 1 (in component instance `root`)
  index 1 was made by `resource.new`: owned resource `root / r`
      at app!open (at)
      at app!dropped-twice (at)
  index 1 was dropped by `resource.drop`
      at app!close (at)
      at app!dropped-twice (at)",
        ),
        (
            "given-away",
            "unknown handle index 1 (in component instance `root`)
  index 1 was made by `resource.new`: owned resource `root / r`
      at app!open (at)
      at app!given-away (at)
  index 1 was lent to a call (loans: 1)
      at app!given-away (at)
  index 1 was given away in a call
      at app!given-away (at)",
        ),
        (
            "never",
            "unknown handle index 77 (in component instance `root`)
  index 77: it was never in use",
        ),
        (
            "wrong",
            "handle index 1 used with the wrong type, expected guest-defined resource but found \
             a waitable set (expected `root / r`) (in component instance `root`)
  index 1 was made by `waitable-set.new`: waitable set
      at app!wrong (at)",
        ),
        (
            "again",
            "unknown handle index 1 (in component instance `root`)
  index 1 was made by `resource.new`: owned resource `root / r`
      at app!open (at)
      at app!again (at)
  index 1 was dropped by `resource.drop`
      at app!close (at)
      at app!again (at)",
        ),
    ] {
        let fault = fault(10_000, name);
        assert_eq!(fault, expected, "{name}: {fault}");
    }
}

#[test]
fn it_is_bounded() {
    let text = fault(50, "forgotten");
    assert!(text.contains("nothing is known of it any more"), "{text}");
    let text = fault(10_000, "forgotten");
    assert!(text.contains("dropped by `resource.drop`"), "{text}");
}

#[test]
fn without_it_nothing_is_told() {
    for name in ["dropped-twice", "given-away", "never", "wrong"] {
        let fault = fault(0, name);
        assert!(!fault.contains('\n'), "{fault}");
    }
}
