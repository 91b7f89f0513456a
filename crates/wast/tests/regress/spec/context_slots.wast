;; Context slots belong to threads: whoever enters an instance while one of its threads waits,
;; or is below on another stack, leaves that thread's slots alone.

;; "go" calls a child that calls back into the same instance, where the inner call waits: what
;; goes on first is the outer one.
(component
  (core func $set (canon context.set i32 0))
  (core func $get (canon context.get i32 0))
  (core func $yield (canon thread.yield))
  (core func $return (canon task.return (result u32)))
  (core module $Table (table (export "t") 1 funcref))
  (core instance $table (instantiate $Table))
  (core module $P
    (import "" "set" (func $set (param i32)))
    (import "" "get" (func $get (result i32)))
    (import "" "yield" (func $yield (result i32)))
    (import "" "return" (func $return (param i32)))
    (import "table" "t" (table 1 funcref))
    (type $call (func (result i32)))
    (func (export "inner")
      (call $set (i32.const 6))
      (drop (call $yield))
      (drop (call $yield))
      (if (i32.ne (call $get) (i32.const 6)) (then unreachable)))
    (func (export "go") (result i32)
      (call $set (i32.const 3))
      (drop (call_indirect (type $call) (i32.const 0)))
      (if (i32.ne (call $get) (i32.const 3)) (then unreachable))
      (i32.const 1 (; YIELD ;)))
    (func (export "callback") (param i32 i32 i32) (result i32)
      (call $return (call $get))
      (i32.const 0 (; EXIT ;))))
  (core instance $p (instantiate $P
    (with "" (instance
      (export "set" (func $set)) (export "get" (func $get))
      (export "yield" (func $yield)) (export "return" (func $return))))
    (with "table" (instance $table))))
  (func $inner (canon lift (core func $p "inner")))

  (component $Q
    (import "inner" (func $inner))
    (core func $inner (canon lower (func $inner)))
    (core func $yield (canon thread.yield))
    (core func $return (canon task.return))
    (core module $M
      (import "" "inner" (func $inner))
      (import "" "yield" (func $yield (result i32)))
      (import "" "return" (func $return))
      (func (export "middle")
        (call $inner)
        (drop (call $yield))
        (call $inner)
        (call $return)))
    (core instance $m (instantiate $M (with "" (instance
      (export "inner" (func $inner)) (export "yield" (func $yield)) (export "return" (func $return))))))
    (func (export "middle") async (canon lift (core func $m "middle") async)))
  (instance $q (instantiate $Q (with "inner" (func $inner))))
  (core func $middle (canon lower (func $q "middle") async))
  (core module $Fill
    (import "table" "t" (table 1 funcref))
    (import "" "middle" (func $middle (result i32)))
    (elem (i32.const 0) func $middle))
  (core instance (instantiate $Fill
    (with "table" (instance $table))
    (with "" (instance (export "middle" (func $middle))))))

  (func (export "go") async (result u32)
    (canon lift (core func $p "go") async (callback (core func $p "callback")))))
(assert_return (invoke "go") (u32.const 3))
(assert_return (invoke "go") (u32.const 3))

;; A thread that has given its result goes on when another one waits, on top of whose stack it
;; may run, and calls into the instance of that one.
(component
  (component $P
    (core func $set (canon context.set i32 0))
    (core func $get (canon context.get i32 0))
    (core func $yield (canon thread.yield))
    (core func $return (canon task.return (result u32)))
    (core module $M
      (import "" "set" (func $set (param i32)))
      (import "" "get" (func $get (result i32)))
      (import "" "yield" (func $yield (result i32)))
      (import "" "return" (func $return (param i32)))
      (global $calls (mut i32) (i32.const 0))
      (func (export "called")
        (if (call $get) (then unreachable))
        (call $set (i32.const 9))
        (global.set $calls (i32.add (global.get $calls) (i32.const 1))))
      (func (export "calls") (result i32) (global.get $calls))
      (func (export "waits") (local $n i32)
        (call $set (i32.const 7))
        (loop $again
          (drop (call $yield))
          (if (i32.ne (call $get) (i32.const 7)) (then unreachable))
          (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 10))))
        (call $return (call $get))))
    (core instance $m (instantiate $M (with "" (instance
      (export "set" (func $set)) (export "get" (func $get))
      (export "yield" (func $yield)) (export "return" (func $return))))))
    (func (export "called") (canon lift (core func $m "called")))
    (func (export "calls") (result u32) (canon lift (core func $m "calls")))
    (func (export "waits") async (result u32) (canon lift (core func $m "waits") async)))
  (instance $p (instantiate $P))
  (component $Q
    (import "called" (func $called))
    (core func $called (canon lower (func $called)))
    (core func $yield (canon thread.yield))
    (core func $return (canon task.return))
    (core module $M
      (import "" "called" (func $called))
      (import "" "yield" (func $yield (result i32)))
      (import "" "return" (func $return))
      (func (export "begin") (local $n i32)
        (call $return)
        (loop $again
          (drop (call $yield))
          (call $called)
          (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 5))))))
    (core instance $m (instantiate $M (with "" (instance
      (export "called" (func $called)) (export "yield" (func $yield)) (export "return" (func $return))))))
    (func (export "begin") async (canon lift (core func $m "begin") async)))
  (instance $q (instantiate $Q (with "called" (func $p "called"))))
  (export "begin" (func $q "begin"))
  (export "waits" (func $p "waits"))
  (export "calls" (func $p "calls")))
(invoke "begin")
(assert_return (invoke "waits") (u32.const 7))
(assert_return (invoke "calls") (u32.const 5))
