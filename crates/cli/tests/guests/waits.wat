(component
  (core func $new (canon waitable-set.new))
  (core func $return (canon task.return (result u32)))
  (core module $m
    (import "" "new" (func $new (result i32)))
    (import "" "return" (func $return (param i32)))
    ;; Lets others run, then returns.
    (func (export "good") (result i32) (i32.const 1))
    ;; Waits for a set with nothing in it.
    (func (export "stuck") (result i32)
      (i32.or (i32.shl (call $new) (i32.const 4)) (i32.const 2)))
    (func (export "callback") (param i32 i32 i32) (result i32)
      (call $return (i32.const 7))
      (i32.const 0)))
  (core instance $i (instantiate $m (with "" (instance
    (export "new" (func $new)) (export "return" (func $return))))))
  (func (export "good") async (result u32)
    (canon lift (core func $i "good") async (callback (core func $i "callback"))))
  (func (export "stuck") async (result u32)
    (canon lift (core func $i "stuck") async (callback (core func $i "callback")))))
