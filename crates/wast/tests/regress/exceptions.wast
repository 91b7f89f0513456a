;; Exceptions where the official scripts don't look: what lives across a call that throws,
;; references that must outlast many collections, deep stacks, calls of every kind.

(module $tags
  (tag (export "int") (param i32))
  (tag (export "vector") (param v128 f64 i64))
  (tag (export "ref") (param exnref)))
(register "tags" $tags)

(module $thrower
  (import "tags" "int" (tag $int (param i32)))
  (tag $other (param i32))
  (func (export "int") (param i32) (throw $int (local.get 0)))
  (func (export "other") (param i32) (throw $other (local.get 0)))
  (func $deep (export "deep") (param i32 i32)
    (if (i32.eqz (local.get 0)) (then (throw $int (local.get 1))))
    (call $deep (i32.sub (local.get 0) (i32.const 1)) (local.get 1))))
(register "thrower" $thrower)

(module
  (import "tags" "int" (tag $int (param i32)))
  (import "tags" "vector" (tag $vector (param v128 f64 i64)))
  (import "tags" "ref" (tag $ref (param exnref)))
  (import "thrower" "int" (func $throw (param i32)))
  (import "thrower" "other" (func $other (param i32)))
  (import "thrower" "deep" (func $deep (param i32 i32)))
  (type $thrower (func (param i32)))
  (table funcref (elem $throw $other $maybe))
  (table $kept 4 exnref)
  (global $last (mut exnref) (ref.null exn))
  (func $maybe (param i32) (if (local.get 0) (then (call $throw (local.get 0)))))

  ;; Locals set before and in the body have the values of the moment of the call.
  (func (export "locals") (param i32) (result i32)
    (local $a i32) (local $b i64) (local $c f64)
    (local.set $a (i32.const 1))
    (local.set $c (f64.const 0.5))
    (block $caught (result i32)
      (try_table (result i32) (catch $int $caught)
        (local.set $a (i32.add (local.get $a) (i32.const 10)))
        (call $maybe (i32.const 0))
        (local.set $b (i64.const 100))
        (call $maybe (local.get 0))
        (local.set $a (i32.const 1000))
        (i32.const 5)))
    (i32.add (local.get $a))
    (i32.add (i32.wrap_i64 (local.get $b)))
    (i32.add (i32.trunc_f64_s (f64.mul (local.get $c) (f64.const 40)))))

  (func (export "indirect") (param i32 i32) (result i32)
    (block $all
      (return (block $caught (result i32)
        (try_table (catch $int $caught) (catch_all $all)
          (call_indirect (type $thrower) (local.get 1) (local.get 0)))
        (i32.const -1))))
    (i32.const -2))

  (func (export "vector") (result v128 f64 i64)
    (try_table (catch $vector 0)
      (throw $vector (v128.const i64x2 1 2) (f64.const 3) (i64.const 4)))
    unreachable)

  (func (export "deep") (param i32) (result i32)
    (block $caught (result i32)
      (try_table (catch $int $caught) (call $deep (local.get 0) (i32.const 77)))
      unreachable))

  ;; The handler of an inner one does not match: the outer one gets it, by the same frame.
  (func (export "outer") (param i32) (result i32)
    (block $out (result i32)
      (try_table (catch $int $out)
        (block $in (result v128 f64 i64)
          (try_table (catch $vector $in) (call $throw (local.get 0)))
          (return (i32.const -1)))
        (drop) (drop) (drop)
        (return (i32.const -2)))
      (i32.const -3)))

  ;; Keeps exceptions in a global, a table, a local and in another exception's payload
  ;; while many others come and go.
  (func $catch (param i32) (result exnref)
    (block $caught (result exnref)
      (try_table (catch_all_ref $caught) (call $throw (local.get 0)))
      unreachable))
  (func $wrap (param exnref) (result exnref)
    (block $caught (result exnref)
      (try_table (catch_all_ref $caught) (throw $ref (local.get 0)))
      unreachable))
  (func $value (param exnref) (result i32)
    (block $int (result i32)
      (try_table (catch $int $int) (throw_ref (local.get 0)))
      unreachable))
  (func $inner (param exnref) (result exnref)
    (block $ref (result exnref)
      (try_table (catch $ref $ref) (throw_ref (local.get 0)))
      unreachable))
  (func (export "keeps") (param $n i32) (result i32)
    (local $mine exnref) (local $wrapped exnref)
    (global.set $last (call $catch (i32.const 1)))
    (table.set $kept (i32.const 2) (call $catch (i32.const 20)))
    (local.set $mine (call $catch (i32.const 300)))
    (local.set $wrapped (call $wrap (call $wrap (call $catch (i32.const 4000)))))
    (loop $again
      (drop (call $catch (local.get $n)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (call $value (global.get $last))
    (i32.add (call $value (table.get $kept (i32.const 2))))
    (i32.add (call $value (local.get $mine)))
    (i32.add (call $value (call $inner (call $inner (local.get $wrapped))))))

  (func (export "uncaught") (param i32) (call $throw (local.get 0)))
  (func (export "null") (throw_ref (ref.null exn)))
  ;; A tail call leaves the handlers behind.
  (func (export "tail") (param i32)
    (block $caught (result i32)
      (try_table (catch $int $caught) (return_call $throw (local.get 0)))
      (return))
    drop)
  ;; Traps are not exceptions.
  (func (export "trap") (try_table (catch_all 0) unreachable)))

(assert_return (invoke "locals" (i32.const 0)) (i32.const 1125))
(assert_return (invoke "locals" (i32.const 9)) (i32.const 140))
(assert_return (invoke "indirect" (i32.const 0) (i32.const 6)) (i32.const 6))
(assert_return (invoke "indirect" (i32.const 1) (i32.const 6)) (i32.const -2))
(assert_return (invoke "indirect" (i32.const 2) (i32.const 0)) (i32.const -1))
(assert_return (invoke "vector") (v128.const i64x2 1 2) (f64.const 3) (i64.const 4))
(assert_return (invoke "deep" (i32.const 1)) (i32.const 77))
(assert_return (invoke "deep" (i32.const 2000)) (i32.const 77))
(assert_exhaustion (invoke "deep" (i32.const 100000000)) "call stack exhausted")
(assert_return (invoke "outer" (i32.const 8)) (i32.const 8))
(assert_return (invoke "keeps" (i32.const 100000)) (i32.const 4321))
(assert_exception (invoke "uncaught" (i32.const 1)))
(assert_exception (invoke "tail" (i32.const 1)))
(assert_trap (invoke "null") "null exception reference")
(assert_trap (invoke "trap") "unreachable")

;; An exception ends at a component's boundary: there it is a trap, whoever calls.
(component
  (component $thrower
    (core module $m
      (tag $t)
      (func (export "throw") (throw $t)))
    (core instance $i (instantiate $m))
    (func (export "throw") (canon lift (core func $i "throw"))))
  (component $catcher
    (import "throw" (func $throw))
    (core func $throw' (canon lower (func $throw)))
    (core module $m
      (import "" "throw" (func $throw))
      (func (export "catch") (try_table (catch_all 0) (call $throw))))
    (core instance $i (instantiate $m (with "" (instance (export "throw" (func $throw'))))))
    (func (export "catch") (canon lift (core func $i "catch"))))
  (instance $thrower (instantiate $thrower))
  (instance $catcher (instantiate $catcher (with "throw" (func $thrower "throw"))))
  (export "catch" (func $catcher "catch")))
(assert_trap (invoke "catch") "unhandled exception")
