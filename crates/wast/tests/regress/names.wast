;; Names that differ in hyphens are different names, wherever they stand; names that differ
;; in case are not.

(component
  (component $C
    (core module $m (func (export "f") (result i32) (i32.const 1)))
    (core instance $i (instantiate $m))
    (func $one (result u32) (canon lift (core func $i "f")))
    (export "a-1" (func $one))
    (export "a1" (func $one)))
  (instance $c (instantiate $C))
  (component $D
    (import "z-z" (func $f (result u32)))
    (import "zz" (func (result u32)))
    (import "Z0-z0" (func (result u32)))
    (type $record (record (field "x1" u8) (field "x-1" u8) (field "x-1z" u8)))
    (type (variant (case "x1" u8) (case "x-1" u8)))
    (type (enum "x1" "x-1"))
    (type (flags "x1" "x-1"))
    (type (func (param "x1" u8) (param "x-1" u8)))
    (export $record' "a:b/c-d" (type $record))
    (export "a:b/cd" (type $record))
    (export "f" (func $f)))
  (instance $d (instantiate $D
    (with "zz" (func $c "a1")) (with "z-z" (func $c "a-1")) (with "Z0-z0" (func $c "a1"))))
  (alias export $d "a:b/cd" (type $t))
  (export "f" (func $d "f")))
(assert_return (invoke "f") (u32.const 1))

;; The rest of validation still happens in such a component.
(assert_invalid
  (component
    (import "a-1" (func))
    (import "a1" (func))
    (import "A-1" (func)))
  "import name `A-1` conflicts with previous name `a-1`")
(assert_invalid
  (component
    (import "z-1" (func))
    (import "z1" (instance $i (export "b-z" (func))))
    (alias export $i "bz" (func)))
  "has no export named `bz`")
(assert_invalid
  (component (type (record (field "x-1" u8) (field "x1" u8) (field "X1" u8))))
  "record field name `X1` conflicts with previous field name `x1`")

;; Canonical versions, alone and with the rest of the version.
(component definition
  (import "a:b/c@1" (instance))
  (import "a:b/c@0.2" (instance))
  (import "a:b/c@0.0.3" (instance))
  (import "a:b/c@0.0.0" (instance)))
(assert_invalid
  (component (import "a:b/c@0" (instance)))
  "name `a:b/c@0`: `0` is no semantic version: unexpected end of input")
