;; Components given to components that take components, and resources through them.
(component $leaf
  (component $L (core module $m (func (export "f") (result i32) (i32.const 5))) (core instance $i (instantiate $m)) (func (export "f") (result u32) (canon lift (core func $i "f"))))
  (export "l" (component $L))
  (component $H
    (import "x" (component $x (export "f" (func (result u32)))))
    (instance $i (instantiate $x))
    (export "f" (func $i "f")))
  (export "h" (component $H)))
(component
  (import "leaf" (instance $leaf
    (export "l" (component (export "f" (func (result u32)))))
    (export "h" (component (import "x" (component (export "f" (func (result u32))))) (export "f" (func (result u32)))))))
  (alias export $leaf "l" (component $L))
  (alias export $leaf "h" (component $H))
  (instance $i (instantiate $H (with "x" (component $L))))
  (export "f" (func $i "f")))
(assert_return (invoke "f") (u32.const 5))
;; wrong nested type
(assert_unlinkable (component
  (import "leaf" (instance $leaf
    (export "h" (component (import "x" (component (export "g" (func (result u32))))) (export "f" (func (result u32))))))))
  "no export `f`")
(assert_unlinkable (component
  (import "leaf" (instance $leaf
    (export "h" (component (import "x" (func)) (export "f" (func (result u32))))))))
  "expected component, found")
;; resources through an imported component that takes them
(component $user
  (component $U
    (import "r" (type $r (sub resource)))
    (import "new" (func $new (param "x" u32) (result (own $r))))
    (core func $new (canon lower (func $new)))
    (core func $drop (canon resource.drop $r))
    (core module $m (import "" "new" (func $new (param i32) (result i32))) (import "" "drop" (func $drop (param i32)))
      (func (export "go") (result i32) (call $drop (call $new (i32.const 8))) (call $new (i32.const 9))))
    (core instance $m (instantiate $m (with "" (instance (export "new" (func $new)) (export "drop" (func $drop))))))
    (func (export "go") (result (own $r)) (canon lift (core func $m "go"))))
  (export "u" (component $U)))
(component
  (import "user" (instance $user (export "u" (component $U
    (import "r" (type $r (sub resource)))
    (import "new" (func (param "x" u32) (result (own $r))))
    (export "go" (func (result (own $r))))))))
  (alias export $user "u" (component $U))
  (component $R
    (core module $d (global $g (mut i32) (i32.const 0)) (func (export "dtor") (param i32) (global.set $g (local.get 0))) (func (export "last") (result i32) (global.get $g)))
    (core instance $d (instantiate $d))
    (type $r (resource (rep i32) (dtor (core func $d "dtor"))))
    (core func $new (canon resource.new $r))
    (core module $m (import "" "new" (func $new (param i32) (result i32))) (func (export "new") (param i32) (result i32) (call $new (local.get 0))) (func (export "rep") (param i32) (result i32) (local.get 0)))
    (core instance $m (instantiate $m (with "" (instance (export "new" (func $new))))))
    (export $r' "r" (type $r))
    (func (export "new") (param "x" u32) (result (own $r')) (canon lift (core func $m "new")))
    (func (export "rep") (param "x" (borrow $r')) (result u32) (canon lift (core func $m "rep")))
    (func (export "last") (result u32) (canon lift (core func $d "last"))))
  (instance $r (instantiate $R))
  (instance $u (instantiate $U (with "r" (type $r "r")) (with "new" (func $r "new"))))
  (component $main
    (import "r" (type $r (sub resource)))
    (import "go" (func $go (result (own $r)))) (import "rep" (func $rep (param "x" (borrow $r)) (result u32)))
    (core func $go (canon lower (func $go))) (core func $rep (canon lower (func $rep)))
    (core module $m (import "" "go" (func $go (result i32))) (import "" "rep" (func $rep (param i32) (result i32)))
      (func (export "run") (result i32) (call $rep (call $go))))
    (core instance $m (instantiate $m (with "" (instance (export "go" (func $go)) (export "rep" (func $rep))))))
    (func (export "run") (result u32) (canon lift (core func $m "run"))))
  (instance $main (instantiate $main (with "r" (type $r "r")) (with "go" (func $u "go")) (with "rep" (func $r "rep"))))
  (export "run" (func $main "run"))
  (export "last" (func $r "last")))
(assert_return (invoke "run") (u32.const 9))
(assert_return (invoke "last") (u32.const 8))

;; Core modules that an instance of the given component exports.
(component $modules
  (component $M
    (core module $needs (import "x" "y" (func)) (func (export "f") (result i32) (i32.const 4)))
    (core module $plain (func (export "f") (result i32) (i32.const 4)))
    (export "needs" (core module $needs))
    (export "plain" (core module $plain)))
  (export "m" (component $M)))
(component
  (import "modules" (instance $modules (export "m" (component
    (export "plain" (core module (export "f" (func (result i32)))))))))
  (alias export $modules "m" (component $M))
  (instance $m (instantiate $M))
  (alias export $m "plain" (core module $plain))
  (core instance $i (instantiate $plain))
  (func (export "f") (result u32) (canon lift (core func $i "f"))))
(assert_return (invoke "f") (u32.const 4))
(assert_unlinkable (component
  (import "modules" (instance $modules (export "m" (component
    (export "needs" (core module (export "f" (func (result i32)))))))))
  (alias export $modules "m" (component $M))
  (instance $m (instantiate $M))
  (alias export $m "needs" (core module $needs))
  (core instance $i (instantiate $needs)))
  "imports `x` `y`, which its type ")
(assert_unlinkable (component
  (import "modules" (instance $modules (export "m" (component
    (export "plain" (core module (export "g" (func (result i32))))))))))
  "the module has no export `g`")
(assert_unlinkable (component
  (import "modules" (instance $modules (export "m" (component
    (export "plain" (core module (export "f" (func (result i64))))))))))
  "incompatible import type")
