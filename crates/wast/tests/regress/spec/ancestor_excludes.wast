;; A component's function calls a child's, which calls back into the parent: the parent's
;; task still runs and excludes others, so the call back only starts (16: subtask 1, STARTING)
;; once that is over, although nothing had to be known of the tasks on the stack until then.

(component definition $Donut
  (core module $G (func (export "g")))
  (core instance $g (instantiate $G))
  (func $g async (canon lift (core func $g "g")))

  (component $C
    (import "g" (func $g async))
    (core func $g (canon lower (func $g) async))
    (core module $m
      (import "" "g" (func $g (result i32)))
      (func (export "h") (result i32) (call $g)))
    (core instance $i (instantiate $m (with "" (instance (export "g" (func $g))))))
    (func (export "h") async (result u32) (canon lift (core func $i "h"))))
  (instance $c (instantiate $C (with "g" (func $g))))

  (core module $mem (memory (export "mem") 1))
  (core instance $mem (instantiate $mem))
  (core func $h (canon lower (func $c "h")))
  (core func $h' (canon lower (func $c "h") async (memory (core memory $mem "mem"))))
  (core func $return (canon task.return (result u32)))
  (core module $m
    (import "" "mem" (memory 1))
    (import "" "h" (func $h (result i32)))
    (import "" "h'" (func $h' (param i32) (result i32)))
    (import "" "return" (func $return (param i32)))
    (func (export "f") (result i32) (call $h))
    (func (export "f'") (result i32)
      (if (i32.ne (call $h' (i32.const 8)) (i32.const 2)) (then unreachable))
      (call $return (i32.load (i32.const 8)))
      (i32.const 0))
    (func (export "cb") (param i32 i32 i32) (result i32) unreachable))
  (core instance $i (instantiate $m (with "" (instance
    (export "mem" (memory $mem "mem")) (export "h" (func $h)) (export "h'" (func $h'))
    (export "return" (func $return))))))
  (func (export "f") async (result u32) (canon lift (core func $i "f")))
  (func (export "f-callback") async (result u32)
    (canon lift (core func $i "f'") async (callback (core func $i "cb")))))

(component instance $one $Donut)
(assert_return (invoke "f") (u32.const 16))
(component instance $two $Donut)
(assert_return (invoke "f-callback") (u32.const 16))
