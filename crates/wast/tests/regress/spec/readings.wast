;; What the spec's two sources disagree about, as the executable spec has it. The same
;; components are in ../readings.wast.

;; A call from an instance to one that is inside of it.
(component
  (component $Child
    (core module $M (func (export "f") (result i32) (i32.const 7)))
    (core instance $m (instantiate $M))
    (func (export "f") (result u32) (canon lift (core func $m "f"))))
  (instance $child (instantiate $Child))
  (core func $f (canon lower (func $child "f")))
  (core module $M
    (import "" "f" (func $f (result i32)))
    (func (export "run") (result i32) (call $f)))
  (core instance $m (instantiate $M (with "" (instance (export "f" (func $f))))))
  (func (export "run") (result u32) (canon lift (core func $m "run"))))
(assert_return (invoke "run") (u32.const 7))

;; A function that is not async calls one that is, which returns at once.
(component
  (component $C
    (core module $M (func (export "f") (result i32) (i32.const 43)))
    (core instance $m (instantiate $M))
    (func (export "f") async (result u32) (canon lift (core func $m "f"))))
  (component $D
    (import "f" (func $f async (result u32)))
    (core func $f' (canon lower (func $f)))
    (core module $M
      (import "" "f" (func $f (result i32)))
      (func (export "run") (result i32) (call $f)))
    (core instance $m (instantiate $M (with "" (instance (export "f" (func $f'))))))
    (func (export "run") (result u32) (canon lift (core func $m "run"))))
  (instance $c (instantiate $C))
  (instance $d (instantiate $D (with "f" (func $c "f"))))
  (func (export "run") (alias export $d "run")))
(assert_return (invoke "run") (u32.const 43))

;; Cancelling a write after some of it was read, and after all of it was.
(component
  (core module $Mem (memory (export "mem") 1))
  (core instance $mem (instantiate $Mem))
  (type $S (stream u8))
  (core func $new (canon stream.new $S))
  (core func $read (canon stream.read $S async (memory (core memory $mem "mem"))))
  (core func $write (canon stream.write $S async (memory (core memory $mem "mem"))))
  (core func $cancel (canon stream.cancel-write $S))
  (core module $M
    (import "" "new" (func $new (result i64)))
    (import "" "read" (func $read (param i32 i32 i32) (result i32)))
    (import "" "write" (func $write (param i32 i32 i32) (result i32)))
    (import "" "cancel" (func $cancel (param i32) (result i32)))
    (func (export "run") (param $room i32) (result i32) (local $ends i64) (local $tx i32)
      (local.set $ends (call $new))
      (local.set $tx (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))))
      (if (i32.ne (call $write (local.get $tx) (i32.const 0) (i32.const 8)) (i32.const -1))
        (then unreachable))
      (drop (call $read (i32.wrap_i64 (local.get $ends)) (i32.const 64) (local.get $room)))
      (call $cancel (local.get $tx))))
  (core instance $m (instantiate $M (with "" (instance
    (export "new" (func $new)) (export "read" (func $read))
    (export "write" (func $write)) (export "cancel" (func $cancel))))))
  (func (export "run") async (param "room" u32) (result u32) (canon lift (core func $m "run"))))
(assert_return (invoke "run" (u32.const 4)) (u32.const 0x40))
(assert_return (invoke "run" (u32.const 8)) (u32.const 0x80))

;; An async call of an instance that a thread holds which could go on.
(component
  (component $C
    (core func $return (canon task.return))
    (core func $yield (canon thread.yield))
    (core module $M
      (import "" "return" (func $return))
      (import "" "yield" (func $yield (result i32)))
      (func (export "hold") (result i32)
        (call $return)
        (drop (call $yield))
        (i32.const 0))
      (func (export "cb") (param i32 i32 i32) (result i32) unreachable)
      (func (export "f")))
    (core instance $m (instantiate $M (with "" (instance
      (export "return" (func $return)) (export "yield" (func $yield))))))
    (func (export "hold") async
      (canon lift (core func $m "hold") async (callback (core func $m "cb"))))
    (func (export "f") async (canon lift (core func $m "f"))))
  (component $D
    (import "hold" (func $hold async))
    (import "f" (func $f async))
    (core func $hold' (canon lower (func $hold)))
    (core func $f' (canon lower (func $f) async))
    (core module $M
      (import "" "hold" (func $hold))
      (import "" "f" (func $f (result i32)))
      (func (export "run") (result i32)
        (call $hold)
        (i32.and (call $f) (i32.const 15))))
    (core instance $m (instantiate $M (with "" (instance
      (export "hold" (func $hold')) (export "f" (func $f'))))))
    (func (export "run") async (result u32) (canon lift (core func $m "run"))))
  (instance $c (instantiate $C))
  (instance $d (instantiate $D (with "hold" (func $c "hold")) (with "f" (func $c "f"))))
  (func (export "run") (alias export $d "run")))
(assert_return (invoke "run") (u32.const 0 (; STARTING ;)))

;; A function that is not async waits for what only a callback would do.
(component
  (core func $return (canon task.return))
  (core func $suspend (canon thread.suspend))
  (core func $index (canon thread.index))
  (core func $later (canon thread.resume-later))
  (core module $M
    (import "" "return" (func $return))
    (import "" "suspend" (func $suspend (result i32)))
    (import "" "index" (func $index (result i32)))
    (import "" "later" (func $later (param i32)))
    (global $waiting (mut i32) (i32.const 0))
    (func (export "arm") (result i32) (call $return) (i32.const 1 (; YIELD ;)))
    (func (export "cb") (param i32 i32 i32) (result i32)
      (if (global.get $waiting)
        (then
          (call $later (global.get $waiting))
          (global.set $waiting (i32.const 0))
          (return (i32.const 0))))
      (i32.const 1))
    (func (export "block") (result i32)
      (global.set $waiting (call $index))
      (drop (call $suspend))
      (i32.const 42)))
  (core instance $m (instantiate $M (with "" (instance
    (export "return" (func $return)) (export "suspend" (func $suspend))
    (export "index" (func $index)) (export "later" (func $later))))))
  (func (export "arm") async (canon lift (core func $m "arm") async (callback (core func $m "cb"))))
  (func (export "block") (result u32) (canon lift (core func $m "block"))))
(invoke "arm")
(assert_return (invoke "block") (u32.const 42))
