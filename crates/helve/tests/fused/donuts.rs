//! A parent around its children: who may be entered again, and context slots.
//!
//! ```text
//!  parent.g(x) --by two bits of x--> c1 | c2 | c3 | c1 .f(x >> 2)
//!  c1, c2: f(x) --> parent.g(x)          c3: f(x) --> c2.f(x)
//! ```
//!
//! The parent may be entered from inside while it runs; its children may not.

use super::{Guest, engines};
use helve::component::Val;

/// Reads zeroed context slots, sets one, calls, and finds it as it was.
const CAREFUL: &str = r#"
    (if (call $get) (then unreachable))
    (call $set (i32.add (local.get 0) (i32.const 1)))
    (local.set $r (call $next (local.get 0)))
    (if (i32.ne (call $get) (i32.add (local.get 0) (i32.const 1))) (then unreachable))"#;

fn component(watch: bool) -> String {
    let (imports, canons, given, body) = if watch {
        (
            r#"(import "" "get" (func $get (result i32))) (import "" "set" (func $set (param i32)))"#,
            "(core func $get (canon context.get i32 0)) (core func $set (canon context.set i32 0))",
            r#"(export "get" (func $get)) (export "set" (func $set))"#,
            CAREFUL,
        )
    } else {
        ("", "", "", "(local.set $r (call $next (local.get 0)))")
    };
    format!(
        r#"(component $P
  (core module $Table (table (export "t") 4 funcref))
  (core instance $table (instantiate $Table))
  {canons}
  (core module $M
    (import "" "t" (table 4 funcref))
    {imports}
    (type $f (func (param i32) (result i32)))
    (func $next (param i32) (result i32)
      (call_indirect (type $f) (i32.shr_u (local.get 0) (i32.const 2))
        (i32.and (local.get 0) (i32.const 3))))
    (func (export "g") (param i32) (result i32) (local $r i32)
      (if (i32.eqz (local.get 0)) (then (return (i32.const 1000))))
      {body}
      (i32.add (local.get $r) (i32.const 100))))
  (core instance $m (instantiate $M (with "" (instance (export "t" (table $table "t")) {given}))))
  (func $g (param "x" u32) (result u32) (canon lift (core func $m "g")))
  (component $C
    (import "next" (func $next (param "x" u32) (result u32)))
    (core func $next' (canon lower (func $next)))
    {canons}
    (core module $M
      (import "" "next" (func $next (param i32) (result i32)))
      {imports}
      (func (export "f") (param i32) (result i32) (local $r i32)
        (if (i32.eqz (local.get 0)) (then (return (i32.const 7))))
        {body}
        (i32.add (local.get $r) (i32.const 1))))
    (core instance $m (instantiate $M (with "" (instance (export "next" (func $next')) {given}))))
    (func (export "f") (param "x" u32) (result u32) (canon lift (core func $m "f"))))
  (component $M
    (alias outer $P $C (component $C))
    (import "next" (func $next (param "x" u32) (result u32)))
    (instance $c (instantiate $C (with "next" (func $next))))
    (export "f" (func $c "f")))
  (instance $c1 (instantiate $C (with "next" (func $g))))
  (instance $c2 (instantiate $C (with "next" (func $g))))
  (instance $c3 (instantiate $C (with "next" (func $c2 "f"))))
  (core func $f1 (canon lower (func $c1 "f")))
  (core func $f2 (canon lower (func $c2 "f")))
  (core func $f3 (canon lower (func $c3 "f")))
  (core module $Fill
    (import "" "t" (table 4 funcref))
    (import "" "f1" (func $f1 (param i32) (result i32)))
    (import "" "f2" (func $f2 (param i32) (result i32)))
    (import "" "f3" (func $f3 (param i32) (result i32)))
    (elem (i32.const 0) $f1 $f2 $f3 $f1))
  (core instance (instantiate $Fill (with "" (instance (export "t" (table $table "t"))
    (export "f1" (func $f1)) (export "f2" (func $f2)) (export "f3" (func $f3))))))
  (export "g" (func $g))
  (export "f" (func $c3 "f")))"#
    )
}

#[test]
fn who_may_be_entered_again() {
    for (watch, nested) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut text = component(watch);
        if nested {
            // Inside of instances that have no code of their own.
            text = text.replace("$c1 (instantiate $C", "$c1 (instantiate $M");
            text = text.replace("$c2 (instantiate $C", "$c2 (instantiate $M");
        }
        let mut guests = engines().map(|engine| Guest::new(&engine, &text));
        let (mut answers, mut traps) = (0, 0);
        for x in 0..300 {
            for name in ["g", "f"] {
                let found = guests.each_mut().map(|g| g.call(0, name, &[Val::U32(x)]));
                assert_eq!(found[0], found[1], "{name}({x})");
                match &found[0] {
                    Ok(_) => answers += 1,
                    Err(text) => {
                        assert!(text.contains("cannot enter component instance"), "{text}");
                        traps += 1;
                    }
                }
            }
        }
        assert!(
            answers > 10 && traps > 200,
            "{answers} answers, {traps} traps"
        );
        // Through the parent twice: g, c1, g, c2.
        let deep = guests[0].call(0, "g", &[Val::U32(4)]);
        assert_eq!(deep.as_deref(), Ok("U32(208)"));
    }
}
