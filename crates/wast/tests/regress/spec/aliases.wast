;; aliases of types through levels: type equality across outer aliases & exports
(component
  (type $t (record (field "a" u32) (field "b" string)))
  (export $T "t" (type $t))
  (component $c
    (alias outer 1 $t (type $u))
    (export $u2 "u" (type $u))
    (core module $m (memory (export "m") 1) (func (export "r") (param i32 i32 i32 i32) (result i32) (i32.const 100)) (func (export "f") (param i32 i32 i32) (result i32) (local.get 0)))
    (core instance $i (instantiate $m))
    (func (export "f") (param "x" $u2) (result u32) (canon lift (core func $i "f") (memory (core memory $i "m")) (realloc (core func $i "r")))))
  (instance $c (instantiate $c))
  (export "f" (func $c "f") (func (param "x" $T) (result u32)))
)
(assert_return (invoke "f" (record.const (field "a" u32.const 7) (field "b" str.const "x"))) (u32.const 7))
;; instance exports nested two deep as root export
(component
  (core module $m (func (export "f") (result i32) (i32.const 3)))
  (core instance $i (instantiate $m))
  (func $f (result u32) (canon lift (core func $i "f")))
  (instance $a (export "f" (func $f)))
  (instance $b (export "a" (instance $a)))
  (export "b" (instance $b))
  (export "ns:pkg/iface@1.2.3" (instance $a)))
;; module alias outer
(component $top
  (core module $M (func (export "f") (result i32) (i32.const 11)))
  (component $c
    (alias outer $top $M (core module $M2))
    (core instance $i (instantiate $M2))
    (func (export "f") (result u32) (canon lift (core func $i "f"))))
  (instance $x (instantiate $c))
  (export "f" (func $x "f")))
(assert_return (invoke "f") (u32.const 11))
;; multi-memory, tables shared between modules
(component
  (core module $A (table (export "t") 2 funcref) (memory (export "m1") 1) (memory (export "m2") 1)
    (func (export "load") (result i32) (i32.load 1 (i32.const 0))))
  (core instance $a (instantiate $A))
  (core module $B (import "a" "t" (table 2 funcref)) (import "a" "m2" (memory 1))
    (func $g (result i32) (i32.const 99)) (elem (i32.const 1) $g) (data (i32.const 0) "\2a\00\00\00"))
  (core instance $b (instantiate $B (with "a" (instance $a))))
  (core module $C (import "a" "t" (table 2 funcref)) (type $t (func (result i32)))
    (func (export "call") (param i32) (result i32) (call_indirect (type $t) (local.get 0))))
  (core instance $c (instantiate $C (with "a" (instance $a))))
  (func (export "load") (result u32) (canon lift (core func $a "load")))
  (func (export "call") (param "i" u32) (result u32) (canon lift (core func $c "call"))))
(assert_return (invoke "load") (u32.const 42))
(assert_return (invoke "call" (u32.const 1)) (u32.const 99))
(assert_trap (invoke "call" (u32.const 0)) "uninitialized element")
