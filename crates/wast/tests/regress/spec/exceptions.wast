;; An exception that would leave a component, or a function that the ABI calls, traps.
(component
  (component $c
    (core module $m (tag $t (param i32)) (func (export "throw") (param i32) (if (local.get 0) (then (throw $t (i32.const 1))))))
    (core instance $i (instantiate $m))
    (func (export "throw") (param "x" u32) (canon lift (core func $i "throw"))))
  (instance $c (instantiate $c))
  (component $d
    (import "throw" (func $throw (param "x" u32)))
    (core func $throw (canon lower (func $throw)))
    (core module $m
      (import "" "throw" (func $throw (param i32)))
      (func (export "try") (param i32) (result i32)
        (block $h (try_table (catch_all $h) (call $throw (local.get 0)) (return (i32.const 1)))) (i32.const 2)))
    (core instance $i (instantiate $m (with "" (instance (export "throw" (func $throw))))))
    (func (export "try") (param "x" u32) (result u32) (canon lift (core func $i "try"))))
  (instance $d (instantiate $d (with "throw" (func $c "throw"))))
  (export "throw" (func $c "throw"))
  (export "try" (func $d "try")))
(assert_return (invoke "try" (u32.const 0)) (u32.const 1))
(assert_trap (invoke "try" (u32.const 1)) "unhandled exception")
;; from realloc, post-return, destructors, start
(component
  (core module $m (tag $t) (memory (export "mem") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (throw $t))
    (func (export "f") (param i32 i32)))
  (core instance $i (instantiate $m))
  (func (export "f") (param "x" string) (canon lift (core func $i "f") (memory (core memory $i "mem")) (realloc (core func $i "realloc")))))
(assert_trap (invoke "f" (str.const "x")) "unhandled exception")
(component
  (core module $m (tag $t) (func (export "f") (result i32) (i32.const 1)) (func (export "post") (param i32) (throw $t)))
  (core instance $i (instantiate $m))
  (func (export "f") (result u32) (canon lift (core func $i "f") (post-return (core func $i "post")))))
(assert_trap (invoke "f") "unhandled exception")
(assert_trap (component (core module $m (tag $t) (func $s (throw $t)) (start $s)) (core instance (instantiate $m))) "unhandled exception")
(component
  (core module $d (tag $t) (func (export "dtor") (param i32) (throw $t)))
  (core instance $d (instantiate $d))
  (type $r (resource (rep i32) (dtor (core func $d "dtor"))))
  (core func $new (canon resource.new $r)) (core func $drop (canon resource.drop $r))
  (core module $m (import "" "new" (func $new (param i32) (result i32))) (import "" "drop" (func $drop (param i32)))
    (func (export "f") (result i32) (block $h (try_table (catch_all $h) (call $drop (call $new (i32.const 1))) (return (i32.const 1)))) (i32.const 2)))
  (core instance $m (instantiate $m (with "" (instance (export "new" (func $new)) (export "drop" (func $drop))))))
  (func (export "f") (result u32) (canon lift (core func $m "f"))))
(assert_trap (invoke "f") "unhandled exception")
;; tags as imports and exports of core modules, through module types
(component
  (core module $T (tag (export "t") (param i32)))
  (core type $ty (module (import "t" "t" (tag (param i32))) (export "throw" (func))))
  (component $c (import "m" (core module $m (type $ty)))
    (core module $T (tag (export "t") (param i32)))
    (core instance $t (instantiate $T))
    (core instance $i (instantiate $m (with "t" (instance $t))))
    (core module $u (import "t" "t" (tag $t (param i32))) (import "m" "throw" (func $throw))
      (func (export "f") (result i32) (block $h (result i32) (try_table (catch $t $h) (call $throw)) (i32.const 0))))
    (core instance $u (instantiate $u (with "t" (instance $t)) (with "m" (instance $i))))
    (func (export "f") (result u32) (canon lift (core func $u "f"))))
  (core module $M (import "t" "t" (tag $t (param i32))) (func (export "throw") (throw $t (i32.const 77))))
  (instance $c (instantiate $c (with "m" (core module $M))))
  (export "f" (func $c "f")))
(assert_return (invoke "f") (u32.const 77))

;; An exception ends at a component's boundary: there it is a trap, whoever calls.
(component
  (component $inner
    (core module $m
      (tag $t)
      (func (export "throw") (throw $t)))
    (core instance $i (instantiate $m))
    (func (export "throw") (canon lift (core func $i "throw"))))
  (instance $inner (instantiate $inner))
  (core func $throw (canon lower (func $inner "throw")))
  (core module $m
    (import "" "throw" (func $throw))
    (func (export "catch") (try_table (catch_all 0) (call $throw))))
  (core instance $i (instantiate $m (with "" (instance (export "throw" (func $throw))))))
  (func (export "catch") (canon lift (core func $i "catch"))))
(assert_trap (invoke "catch") "unhandled exception")
