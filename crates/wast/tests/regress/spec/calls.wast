;; start function order & traps at instantiation, uninstantiable after trap
(assert_trap (component
  (core module $m (func $s unreachable) (start $s))
  (core instance (instantiate $m))) "unreachable")
;; a core start function that calls out to a component function
(component
  (component $c
    (core module $m (global $g (mut i32) (i32.const 0)) (func (export "inc") (global.set $g (i32.add (global.get $g) (i32.const 1)))) (func (export "get") (result i32) (global.get $g)))
    (core instance $i (instantiate $m))
    (func (export "inc") (canon lift (core func $i "inc")))
    (func (export "get") (result u32) (canon lift (core func $i "get"))))
  (instance $c (instantiate $c))
  (core func $inc (canon lower (func $c "inc")))
  (core module $m (import "" "inc" (func $inc)) (start $inc))
  (core instance (instantiate $m (with "" (instance (export "inc" (func $inc))))))
  (core instance (instantiate $m (with "" (instance (export "inc" (func $inc))))))
  (export "get" (func $c "get")))
(assert_return (invoke "get") (u32.const 2))
;; lifted function that is an import of a core module directly (lower then lift)
(component
  (component $c
    (core module $m (func (export "f") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3))))
    (core instance $i (instantiate $m))
    (func (export "f") (param "x" u32) (result u32) (canon lift (core func $i "f"))))
  (instance $c (instantiate $c))
  (core func $f (canon lower (func $c "f")))
  (func (export "g") (param "x" u32) (result u32) (canon lift (core func $f))))
(assert_return (invoke "g" (u32.const 5)) (u32.const 15))
;; exported lifted builtin
(component
  (type $r (resource (rep i32)))
  (core func $new (canon resource.new $r))
  (export $r' "r" (type $r))
  (func (export "new") (param "x" u32) (result u32) (canon lift (core func $new))))
(assert_return (invoke "new" (u32.const 5)) (u32.const 1))
(assert_return (invoke "new" (u32.const 5)) (u32.const 2))
