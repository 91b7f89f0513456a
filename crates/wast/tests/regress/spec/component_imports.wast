;; Components, core modules, instances and types that the root imports, supplied by what
;; named instances export.

(component $makers
  (core module $Seven (func (export "f") (result i32) (i32.const 7)))
  (component $C
    (alias outer $makers $Seven (core module $Seven))
    (import "add" (func $add (param "x" u32) (result u32)))
    (core func $add (canon lower (func $add)))
    (core instance $seven (instantiate $Seven))
    (core module $m
      (import "" "add" (func $add (param i32) (result i32)))
      (import "" "f" (func $f (result i32)))
      (func (export "run") (result i32) (call $add (call $f))))
    (core instance $i (instantiate $m (with "" (instance
      (export "add" (func $add)) (export "f" (func $seven "f"))))))
    (func (export "run") (result u32) (canon lift (core func $i "run"))))
  (export "c" (component $C))
  (export "seven" (core module $Seven))
  (component $R
    (type $r (resource (rep i32)))
    (core func $new (canon resource.new $r))
    (core func $rep (canon resource.rep $r))
    (core module $m
      (import "" "new" (func $new (param i32) (result i32)))
      (func (export "make") (param i32) (result i32) (call $new (local.get 0)))
      (func (export "get") (param i32) (result i32) (local.get 0)))
    (core instance $i (instantiate $m (with "" (instance (export "new" (func $new))))))
    (export $r' "r" (type $r))
    (func (export "[constructor]r") (param "x" u32) (result (own $r'))
      (canon lift (core func $i "make")))
    (func (export "[method]r.get") (param "self" (borrow $r')) (result u32)
      (canon lift (core func $i "get"))))
  (export "resources" (component $R))
  (component $Around
    (component $Inner
      (component $Innermost
        (core module $m (func (export "f") (result i32) (i32.const 3)))
        (core instance $i (instantiate $m))
        (func (export "f") (result u32) (canon lift (core func $i "f"))))
      (export "innermost" (component $Innermost)))
    (instance $i (instantiate $Inner))
    (export "inner" (component $Inner))
    (export "innermost" (component $i "innermost")))
  (instance $around (instantiate $Around))
  (export "around" (instance $around)))

;; Instantiated with a function of the importer's own; the module that it closes over comes
;; with it.
(component
  (import "makers" (instance $makers
    (export "c" (component
      (import "add" (func (param "x" u32) (result u32)))
      (export "run" (func (result u32)))))))
  (component $Add
    (core module $m (func (export "add") (param i32) (result i32)
      (i32.add (local.get 0) (i32.const 100))))
    (core instance $i (instantiate $m))
    (func (export "add") (param "x" u32) (result u32) (canon lift (core func $i "add"))))
  (instance $add (instantiate $Add))
  (alias export $makers "c" (component $C))
  (instance $c (instantiate $C (with "add" (func $add "add"))))
  (export "run" (func $c "run")))
(assert_return (invoke "run") (u32.const 107))

;; Every instance of an imported component has resource types of its own.
(component
  (import "makers" (instance $makers
    (export "resources" (component
      (export "r" (type $r (sub resource)))
      (export "[constructor]r" (func (param "x" u32) (result (own $r))))
      (export "[method]r.get" (func (param "self" (borrow $r)) (result u32)))))))
  (alias export $makers "resources" (component $R))
  (instance $a (instantiate $R))
  (instance $b (instantiate $R))
  (core func $a-new (canon lower (func $a "[constructor]r")))
  (core func $b-new (canon lower (func $b "[constructor]r")))
  (core func $a-get (canon lower (func $a "[method]r.get")))
  (core module $m
    (import "" "a-new" (func $a-new (param i32) (result i32)))
    (import "" "b-new" (func $b-new (param i32) (result i32)))
    (import "" "a-get" (func $a-get (param i32) (result i32)))
    (func (export "right") (result i32) (call $a-get (call $a-new (i32.const 5))))
    (func (export "wrong") (result i32) (call $a-get (call $b-new (i32.const 5)))))
  (core instance $i (instantiate $m (with "" (instance
    (export "a-new" (func $a-new)) (export "b-new" (func $b-new))
    (export "a-get" (func $a-get))))))
  (func (export "right") (result u32) (canon lift (core func $i "right")))
  (func (export "wrong") (result u32) (canon lift (core func $i "wrong"))))
(assert_return (invoke "right") (u32.const 5))
(assert_trap (invoke "wrong") "handle index 2 used with the wrong type")

;; A component that stands in a component that was exported, and one exported by an
;; instance of an instance.
(component
  (import "makers" (instance $makers
    (export "around" (instance
      (export "innermost" (component (export "f" (func (result u32)))))
      (export "inner" (component
        (export "innermost" (component (export "f" (func (result u32)))))))))))
  (alias export $makers "around" (instance $around))
  (alias export $around "inner" (component $Inner))
  (alias export $around "innermost" (component $Innermost))
  (instance $inner (instantiate $Inner))
  (alias export $inner "innermost" (component $Innermost2))
  (instance $a (instantiate $Innermost))
  (instance $b (instantiate $Innermost2))
  (export "a" (func $a "f"))
  (export "b" (func $b "f")))
(assert_return (invoke "a") (u32.const 3))
(assert_return (invoke "b") (u32.const 3))

;; Passed on: what the importer exports is the same component.
(component $passing
  (import "makers" (instance $makers
    (export "c" (component $c
      (import "add" (func (param "x" u32) (result u32)))
      (export "run" (func (result u32)))))
    (export "seven" (core module $m (export "f" (func (result i32)))))))
  (alias export $makers "c" (component $C))
  (alias export $makers "seven" (core module $Seven))
  (component $Both
    (alias outer $passing $C (component $C))
    (alias outer $passing $Seven (core module $Seven))
    (core instance $i (instantiate $Seven))
    (core module $Id (func (export "id") (param i32) (result i32) (local.get 0)))
    (core instance $id' (instantiate $Id))
    (func $id (param "x" u32) (result u32) (canon lift (core func $id' "id")))
    (instance $c (instantiate $C (with "add" (func $id))))
    (export "run" (func $c "run"))
    (func (export "seven") (result u32) (canon lift (core func $i "f"))))
  (export "both" (component $Both)))
(component
  (import "passing" (instance $passing
    (export "both" (component
      (export "run" (func (result u32)))
      (export "seven" (func (result u32)))))))
  (alias export $passing "both" (component $Both))
  (instance $both (instantiate $Both))
  (export "run" (func $both "run"))
  (export "seven" (func $both "seven")))
(assert_return (invoke "run") (u32.const 7))
(assert_return (invoke "seven") (u32.const 7))

;; What is supplied must have the type, whether it is instantiated or not.
(assert_unlinkable
  (component (import "makers" (instance (export "c" (component)))))
  "imports `add`, which its type does not have")
(assert_unlinkable
  (component (import "makers" (instance (export "c" (component
    (import "add" (func (param "y" u32) (result u32))))))))
  "type mismatch for `add`: expected func(x: u32) -> u32, found func(y: u32) -> u32")
(assert_unlinkable
  (component (import "makers" (instance (export "c" (component
    (import "add" (func (param "x" u32) (result u32)))
    (export "walk" (func)))))))
  "has no export `walk`")
(assert_unlinkable
  (component (import "makers" (instance (export "c" (component
    (import "add" (func (param "x" u32) (result u32)))
    (export "run" (func (result s32))))))))
  "type mismatch for `makers#c#run`: expected func() -> s32, found func() -> u32")
(assert_unlinkable
  (component (import "makers" (instance (export "seven" (component)))))
  "the component expects a component, the linker has a core module")
(assert_unlinkable
  (component (import "makers" (instance (export "c" (core module)))))
  "expects a core module, the linker has a component")
(assert_unlinkable
  (component (import "makers" (instance (export "seven" (core module
    (export "f" (func (result i64))))))))
  "incompatible import type")
(assert_unlinkable
  (component (import "nobody" (component)))
  "the component imports component `nobody`, which nobody supplies")
;; A component may import less and export more than its type says.
(component (import "makers" (instance (export "c" (component
  (import "add" (func (param "x" u32) (result u32)))
  (import "more" (func)))))))
