;; guest -> guest, sync calls of functions that are not async, into a component that could block
;; elsewhere, as real guests can: it imports an async function, and waitable-set.wait.
;; Imports  nap: async func(x: u32) -> u32   (never called)
;; Exports, each  func(n: u32) -> u32  (n >= 1, result must be n; one op = one call):
;;   run-add     two numbers, their sum
;;   run-method  a method with a borrow of the callee's own resource
(component
  (import "nap" (func $nap async (param "x" u32) (result u32)))
  (component $Callee
    (import "nap" (func $nap async (param "x" u32) (result u32)))
    (type $R' (resource (rep i32)))
    (export $R "r" (type $R'))
    (core func $new (canon resource.new $R'))
    (core module $Mem (memory (export "mem") 1))
    (core instance $mem (instantiate $Mem))
    (core func $ws.wait (canon waitable-set.wait (memory (core memory $mem "mem"))))
    (core func $nap-s (canon lower (func $nap)))
    (core module $m
      (import "" "new" (func $new (param i32) (result i32)))
      (import "" "ws.wait" (func $ws.wait (param i32 i32) (result i32)))
      (import "" "nap-s" (func $nap-s (param i32) (result i32)))
      (func (export "block") (param i32) (result i32)
        (call $ws.wait (call $nap-s (local.get 0)) (i32.const 16)))
      (func (export "make") (result i32) (call $new (i32.const 1)))
      (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
      (func (export "get") (param i32) (result i32) (local.get 0)))
    (core instance $i (instantiate $m (with "" (instance
      (export "new" (func $new)) (export "ws.wait" (func $ws.wait)) (export "nap-s" (func $nap-s))))))
    (func (export "block") async (param "x" u32) (result u32) (canon lift (core func $i "block")))
    (func (export "make") (result (own $R)) (canon lift (core func $i "make")))
    (func (export "add") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add")))
    (func (export "[method]r.get") (param "self" (borrow $R)) (result u32)
      (canon lift (core func $i "get"))))
  (component $Caller
    (import "c" (instance $c
      (export "r" (type $R (sub resource)))
      (export "make" (func (result (own $R))))
      (export "add" (func (param "a" u32) (param "b" u32) (result u32)))
      (export "[method]r.get" (func (param "self" (borrow $R)) (result u32)))))
    (alias export $c "r" (type $R))
    (core func $make (canon lower (func $c "make")))
    (core func $add (canon lower (func $c "add")))
    (core func $get (canon lower (func $c "[method]r.get")))
    (core func $drop (canon resource.drop $R))
    (core module $m
      (import "" "make" (func $make (result i32)))
      (import "" "add" (func $add (param i32 i32) (result i32)))
      (import "" "get" (func $get (param i32) (result i32)))
      (import "" "drop" (func $drop (param i32)))
      (func (export "run-add") (param $n i32) (result i32) (local $acc i32)
        (loop $l
          (local.set $acc (call $add (local.get $acc) (i32.const 1)))
          (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $acc))
      (func (export "run-method") (param $n i32) (result i32) (local $acc i32) (local $h i32)
        (local.set $h (call $make))
        (loop $l
          (local.set $acc (i32.add (local.get $acc) (call $get (local.get $h))))
          (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (call $drop (local.get $h))
        (local.get $acc)))
    (core instance $i (instantiate $m (with "" (instance
      (export "make" (func $make)) (export "add" (func $add))
      (export "get" (func $get)) (export "drop" (func $drop))))))
    (func (export "run-add") (param "n" u32) (result u32) (canon lift (core func $i "run-add")))
    (func (export "run-method") (param "n" u32) (result u32) (canon lift (core func $i "run-method"))))
  (instance $callee (instantiate $Callee (with "nap" (func $nap))))
  (instance $caller (instantiate $Caller (with "c" (instance $callee))))
  (export "run-add" (func $caller "run-add"))
  (export "run-method" (func $caller "run-method")))
