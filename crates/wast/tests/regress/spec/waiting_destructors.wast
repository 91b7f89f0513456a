;; Destructors are calls: one may wait, and whoever drops waits with it, however many others
;; wait below.

;; Each destructor yields; a thread that is switched to drops another resource, whose
;; destructor lets the first one go on.
(component
  (component $C
    (core module $Table (table (export "t") 4 funcref))
    (core instance $table (instantiate $Table))
    (core func $yield (canon thread.yield))
    (core func $return (canon task.return (result u32)))
    (core module $D
      (import "table" "t" (table 4 funcref))
      (type $dtor (func (param i32)))
      (func (export "dtor") (param i32) (call_indirect (type $dtor) (local.get 0) (i32.const 0))))
    (core instance $d (instantiate $D (with "table" (instance $table))))
    (type $r (resource (rep i32) (dtor (core func $d "dtor"))))
    (core func $new (canon resource.new $r))
    (core func $drop (canon resource.drop $r))
    (core type $start (func (param i32)))
    (core func $thread (canon thread.new-indirect $start (core table $table "t")))
    (core func $to (canon thread.yield-then-resume))
    (core module $M
      (import "table" "t" (table 4 funcref))
      (import "" "yield" (func $yield (result i32)))
      (import "" "return" (func $return (param i32)))
      (import "" "new" (func $new (param i32) (result i32)))
      (import "" "drop" (func $drop (param i32)))
      (import "" "thread" (func $thread (param i32 i32) (result i32)))
      (import "" "to" (func $to (param i32) (result i32)))
      (global $log (mut i32) (i32.const 0))
      (func $told (param i32)
        (global.set $log (i32.add (i32.mul (global.get $log) (i32.const 10)) (local.get 0))))
      (func $dtor (param i32)
        (call $told (local.get 0))
        (if (i32.eq (local.get 0) (i32.const 1))
          (then (drop (call $to (call $thread (i32.const 1) (i32.const 2)))))
          (else (drop (call $yield)) (drop (call $yield))))
        (call $told (i32.add (local.get 0) (i32.const 3))))
      (func $other (param i32)
        (call $drop (call $new (local.get 0)))
        (call $told (i32.const 6)))
      (elem (i32.const 0) func $dtor $other)
      (func (export "go")
        (call $drop (call $new (i32.const 1)))
        (call $told (i32.const 7))
        (drop (call $yield)) (drop (call $yield)) (drop (call $yield))
        (call $return (global.get $log))))
    (core instance $m (instantiate $M
      (with "table" (instance $table))
      (with "" (instance
        (export "yield" (func $yield)) (export "return" (func $return))
        (export "new" (func $new)) (export "drop" (func $drop))
        (export "thread" (func $thread)) (export "to" (func $to))))))
    (func (export "go") async (result u32) (canon lift (core func $m "go") async)))
  (instance $c (instantiate $C))
  (export "go" (func $c "go")))
;; 1 begins and switches to the thread, whose resource's destructor 2 begins and yields: then
;; 1 ends, as it waits no longer.
(assert_return (invoke "go") (u32.const 124567))
