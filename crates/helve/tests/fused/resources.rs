//! Handles at random: three components pass resources around by raw indices, right and
//! wrong ones, with everything generated, and with each part of it slow.
//!
//! ```text
//!  user --own, borrow--> provider (defines r)          user --borrow--> third --borrow--> provider
//! ```

use super::{Guest, types::Random};
use helve::component::Val;
use helve::{Config, Engine};

/// `op(kind, a, b)` in the user: what `Kind` says with the handles `a` and `b`.
const KINDS: u32 = 11;

fn component(dtor: &str) -> String {
    format!(
        r#"(component
  (component $Provider
    (core module $libc
      (memory (export "mem") 1)
      (global $bump (mut i32) (i32.const 1024))
      (global $dropped (mut i32) (i32.const 0))
      (func (export "dtor") (param i32)
        (if (i32.eq (local.get 0) (i32.const 7)) (then unreachable))
        (global.set $dropped (i32.add (i32.mul (global.get $dropped) (i32.const 3)) (local.get 0))))
      (func (export "dropped") (result i32) (global.get $dropped))
      (func (export "realloc") (param i32 i32 i32 i32) (result i32)
        (global.set $bump (i32.and (i32.add (global.get $bump) (i32.const 64)) (i32.const 0xfff0)))
        (global.get $bump)))
    (core instance $libc (instantiate $libc))
    (type $R' (resource (rep i32) {dtor}))
    (export $R "r" (type $R'))
    (core func $new (canon resource.new $R'))
    (core func $drop (canon resource.drop $R'))
    (core func $rep (canon resource.rep $R'))
    (core module $m
      (import "" "new" (func $new (param i32) (result i32)))
      (import "" "drop" (func $drop (param i32)))
      (import "" "rep" (func $rep (param i32) (result i32)))
      (import "" "mem" (memory 1))
      (func (export "make") (param i32) (result i32) (call $new (local.get 0)))
      (func (export "id") (param i32) (result i32) (local.get 0))
      (func (export "take") (param i32) (result i32) (local $rep i32)
        (local.set $rep (call $rep (local.get 0)))
        (call $drop (local.get 0)) (local.get $rep))
      (func (export "pair") (param i32 i32) (result i32)
        (i32.add (local.get 0) (i32.mul (call $rep (local.get 1)) (i32.const 1000)))
        (call $drop (local.get 1)))
      (func (export "list") (param i32 i32) (result i32)
        (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1))
        (i32.const 16)))
    (core instance $i (instantiate $m (with "" (instance (export "new" (func $new))
      (export "drop" (func $drop)) (export "rep" (func $rep)) (export "mem" (memory $libc "mem"))))))
    (func (export "make") (param "rep" u32) (result (own $R)) (canon lift (core func $i "make")))
    (func (export "get") (param "x" (borrow $R)) (result u32) (canon lift (core func $i "id")))
    (func (export "echo") (param "x" (own $R)) (result (own $R)) (canon lift (core func $i "id")))
    (func (export "take") (param "x" (own $R)) (result u32) (canon lift (core func $i "take")))
    (func (export "pair") (param "x" (borrow $R)) (param "y" (own $R)) (result u32)
      (canon lift (core func $i "pair")))
    (func (export "list") (param "x" (list (own $R))) (result (list (own $R)))
      (canon lift (core func $i "list") (memory (core memory $libc "mem")) (realloc (core func $libc "realloc"))))
    (func (export "dropped") (result u32) (canon lift (core func $libc "dropped"))))

  (component $Third
    (import "p" (instance $p (export "r" (type $R (sub resource)))
      (export "get" (func (param "x" (borrow $R)) (result u32)))
      (export "echo" (func (param "x" (own $R)) (result (own $R))))))
    (alias export $p "r" (type $R))
    (core func $drop (canon resource.drop $R))
    (core func $get (canon lower (func $p "get")))
    (core func $echo (canon lower (func $p "echo")))
    (core module $libc
      (memory (export "mem") 1)
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 512)))
    (core instance $libc (instantiate $libc))
    (core module $m
      (import "" "drop" (func $drop (param i32)))
      (import "" "get" (func $get (param i32) (result i32)))
      (import "" "echo" (func $echo (param i32) (result i32)))
      (import "" "mem" (memory 1))
      (func (export "look") (param $x i32) (param $mode i32) (result i32) (local $seen i32)
        (if (i32.eq (local.get $mode) (i32.const 1)) (then (return (i32.const 1))))
        (if (i32.eq (local.get $mode) (i32.const 2)) (then (local.set $seen (call $get (local.get $x)))))
        (if (i32.eq (local.get $mode) (i32.const 3)) (then (call $drop (local.get $x))))
        (if (i32.eq (local.get $mode) (i32.const 4)) (then (drop (call $echo (local.get $x)))))
        (call $drop (local.get $x))
        (i32.add (local.get $seen) (local.get $x)))
      (func (export "many") (param $at i32) (param $n i32) (result i32) (local $sum i32)
        (block $done (loop $next
          (br_if $done (i32.eqz (local.get $n)))
          (local.set $sum (i32.add (local.get $sum) (call $get (i32.load (local.get $at)))))
          (call $drop (i32.load (local.get $at)))
          (local.set $at (i32.add (local.get $at) (i32.const 4)))
          (local.set $n (i32.sub (local.get $n) (i32.const 1)))
          (br $next)))
        (local.get $sum))
      (func (export "maybe") (param $is i32) (param $x i32) (result i32)
        (if (result i32) (local.get $is)
          (then (call $get (local.get $x)) (call $drop (local.get $x)))
          (else (i32.const 77)))))
    (core instance $i (instantiate $m (with "" (instance (export "drop" (func $drop))
      (export "get" (func $get)) (export "echo" (func $echo)) (export "mem" (memory $libc "mem"))))))
    (func (export "look") (param "x" (borrow $R)) (param "mode" u32) (result u32)
      (canon lift (core func $i "look")))
    (func (export "many") (param "x" (list (borrow $R))) (result u32)
      (canon lift (core func $i "many") (memory (core memory $libc "mem")) (realloc (core func $libc "realloc"))))
    (func (export "maybe") (param "x" (option (borrow $R))) (result u32)
      (canon lift (core func $i "maybe"))))

  (component $User
    (import "p" (instance $p (export "r" (type $R (sub resource)))
      (export "make" (func (param "rep" u32) (result (own $R))))
      (export "get" (func (param "x" (borrow $R)) (result u32)))
      (export "echo" (func (param "x" (own $R)) (result (own $R))))
      (export "take" (func (param "x" (own $R)) (result u32)))
      (export "pair" (func (param "x" (borrow $R)) (param "y" (own $R)) (result u32)))
      (export "list" (func (param "x" (list (own $R))) (result (list (own $R)))))
      (export "dropped" (func (result u32)))))
    (alias export $p "r" (type $R))
    (import "t" (instance $t
      (alias outer $User $R (type $R))
      (export "look" (func (param "x" (borrow $R)) (param "mode" u32) (result u32)))
      (export "many" (func (param "x" (list (borrow $R))) (result u32)))
      (export "maybe" (func (param "x" (option (borrow $R))) (result u32)))))
    (core module $libc
      (memory (export "mem") 1)
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 512)))
    (core instance $libc (instantiate $libc))
    (core func $make (canon lower (func $p "make")))
    (core func $get (canon lower (func $p "get")))
    (core func $echo (canon lower (func $p "echo")))
    (core func $take (canon lower (func $p "take")))
    (core func $pair (canon lower (func $p "pair")))
    (core func $list (canon lower (func $p "list") (memory (core memory $libc "mem")) (realloc (core func $libc "realloc"))))
    (core func $dropped (canon lower (func $p "dropped")))
    (core func $look (canon lower (func $t "look")))
    (core func $many (canon lower (func $t "many") (memory (core memory $libc "mem"))))
    (core func $maybe (canon lower (func $t "maybe")))
    (core func $drop (canon resource.drop $R))
    (core module $m
      (import "" "make" (func $make (param i32) (result i32)))
      (import "" "get" (func $get (param i32) (result i32)))
      (import "" "echo" (func $echo (param i32) (result i32)))
      (import "" "take" (func $take (param i32) (result i32)))
      (import "" "pair" (func $pair (param i32 i32) (result i32)))
      (import "" "list" (func $list (param i32 i32 i32)))
      (import "" "dropped" (func $dropped (result i32)))
      (import "" "look" (func $look (param i32 i32) (result i32)))
      (import "" "many" (func $many (param i32 i32) (result i32)))
      (import "" "maybe" (func $maybe (param i32 i32) (result i32)))
      (import "" "drop" (func $drop (param i32)))
      (import "" "mem" (memory 1))
      (func (export "op") (param $kind i32) (param $a i32) (param $b i32) (result i32)
        (i32.store (i32.const 64) (local.get $a)) (i32.store (i32.const 68) (local.get $b))
        (block $10 (block $9 (block $8 (block $7 (block $6 (block $5 (block $4 (block $3 (block $2 (block $1 (block $0
          (br_table $0 $1 $2 $3 $4 $5 $6 $7 $8 $9 $10 (local.get $kind)))
          (return (call $make (local.get $b))))
          (return (call $get (local.get $a))))
          (return (call $echo (local.get $a))))
          (return (call $take (local.get $a))))
          (return (call $look (local.get $a) (local.get $b))))
          (call $drop (local.get $a)) (return (i32.const 5)))
          (return (call $many (i32.const 64) (i32.const 2))))
          (call $list (i32.const 64) (i32.const 2) (i32.const 32))
          (return (i32.load (i32.load (i32.const 32)))))
          (return (call $pair (local.get $a) (local.get $b))))
          (return (call $maybe (i32.and (local.get $b) (i32.const 3)) (local.get $a))))
        (call $dropped)))
    (core instance $i (instantiate $m (with "" (instance
      (export "make" (func $make)) (export "get" (func $get)) (export "echo" (func $echo))
      (export "take" (func $take)) (export "pair" (func $pair)) (export "list" (func $list))
      (export "dropped" (func $dropped)) (export "look" (func $look)) (export "many" (func $many))
      (export "maybe" (func $maybe)) (export "drop" (func $drop)) (export "mem" (memory $libc "mem"))))))
    (func (export "op") (param "kind" u32) (param "a" u32) (param "b" u32) (result u32)
      (canon lift (core func $i "op"))))

  (instance $p (instantiate $Provider))
  (instance $t (instantiate $Third (with "p" (instance $p))))
  (instance $u (instantiate $User (with "p" (instance $p)) (with "t" (instance $t))))
  (export "op" (func $u "op")))"#
    )
}

#[test]
fn handles_at_random_are_answered_alike() {
    let engines: Vec<Engine> = (0..4)
        .map(|i| {
            let mut config = Config::new();
            config.all_features(true).verifier(true);
            config.fused_adapters(i & 1 == 0).inline_handles(i & 2 == 0);
            Engine::new(&config).expect("an engine")
        })
        .collect();
    let (mut answers, mut traps) = (0, 0);
    for dtor in ["", "(dtor (core func $libc \"dtor\"))"] {
        let text = component(dtor);
        let mut guests: Vec<Guest> = engines.iter().map(|e| Guest::new(e, &text)).collect();
        let mut r = Random(0x5eed_5eed_0000_0001);
        let mut story: Vec<[u32; 3]> = Vec::new();
        for _ in 0..6000 {
            // Two in five make something, so that there is something to use.
            let kind = r.below(KINDS as u64 * 5 / 3) as u32;
            let kind = if kind >= KINDS { 0 } else { kind };
            let index = |r: &mut Random| match r.below(20) {
                0 => r.bits() as u32,
                _ => r.below(9) as u32,
            };
            let op = [kind, index(&mut r), index(&mut r)];
            story.push(op);
            let args = op.map(Val::U32);
            let found: Vec<_> = guests.iter_mut().map(|g| g.call(0, "op", &args)).collect();
            for other in &found[1..] {
                assert_eq!(found[0], *other, "dtor {dtor:?}, the last of {story:?}");
            }
            match &found[0] {
                Ok(_) => answers += 1,
                Err(_) => {
                    traps += 1;
                    story.clear();
                }
            }
        }
    }
    assert!(
        answers > 3000 && traps > 1000,
        "{answers} answers, {traps} traps"
    );
}
