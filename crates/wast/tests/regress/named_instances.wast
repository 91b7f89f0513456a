;; Components that import what named instances before them export: functions, with their
;; resource types, core modules, nested instances. Handles pass between the two.

(component $maker
  (core module $dtor
    (global $dropped (mut i32) (i32.const 0))
    (func (export "dtor") (param i32) (global.set $dropped (local.get 0)))
    (func (export "last") (result i32) (global.get $dropped))
    (func (export "peek") (param i32) (result i32) (local.get 0)))
  (core instance $d (instantiate $dtor))
  (type $r' (resource (rep i32) (dtor (core func $d "dtor"))))
  (export $r "r" (type $r'))
  (core func $new (canon resource.new $r'))
  (core module $three (func (export "three") (result i32) (i32.const 3)))
  (export "three" (core module $three))
  (func $make (param "rep" u32) (result (own $r)) (canon lift (core func $new)))
  (func $peek (param "r" (borrow $r)) (result u32) (canon lift (core func $d "peek")))
  (func $last (result u32) (canon lift (core func $d "last")))
  (export "make" (func $make))
  (instance $inner (export "r" (type $r)) (export "peek" (func $peek)))
  (export "inner" (instance $inner))
  (export "last" (func $last)))

(component $user
  (import "maker" (instance $maker
    (export "r" (type $r (sub resource)))
    (export "three" (core module (export "three" (func (result i32)))))
    (export "make" (func (param "rep" u32) (result (own $r))))
    (export "inner" (instance
      (export "r" (type $r2 (eq $r)))
      (export "peek" (func (param "r" (borrow $r2)) (result u32)))))
    (export "last" (func (result u32)))))
  (alias export $maker "r" (type $r))
  (alias export $maker "inner" (instance $inner))
  (alias export $maker "three" (core module $three))
  (core func $make (canon lower (func $maker "make")))
  (core func $peek (canon lower (func $inner "peek")))
  (core func $last (canon lower (func $maker "last")))
  (core func $drop (canon resource.drop $r))
  (core instance $three (instantiate $three))
  (core module $m
    (import "three" "three" (func $three (result i32)))
    (import "" "make" (func $make (param i32) (result i32)))
    (import "" "peek" (func $peek (param i32) (result i32)))
    (import "" "last" (func $last (result i32)))
    (import "" "drop" (func $drop (param i32)))
    (func (export "run") (result i32)
      (local $h i32)
      (local.set $h (call $make (i32.const 40)))
      (if (i32.ne (call $peek (local.get $h)) (i32.const 40)) (then unreachable))
      (call $drop (local.get $h))
      (i32.add (call $last) (call $three))))
  (core instance $i (instantiate $m
    (with "three" (instance $three))
    (with "" (instance
      (export "make" (func $make)) (export "peek" (func $peek))
      (export "last" (func $last)) (export "drop" (func $drop))))))
  (func (export "run") (result u32) (canon lift (core func $i "run"))))

(assert_return (invoke $user "run") (u32.const 43))

;; A later instance of the name takes its place, with all it had.
(component $maker)
(assert_unlinkable
  (component (import "maker" (instance (export "last" (func (result u32))))))
  "last")
