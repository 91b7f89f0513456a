;; Components in components, outer aliases, instances made of exports, a module handed down.
(component
  (core module $count
    (global $n (mut i32) (i32.const 5))
    (memory (export "memory") 1)
    (data (i32.const 0) "\07\00\00\00\08\00\00\00")
    (func (export "next") (result i32)
      (global.set $n (i32.add (global.get $n) (i32.load (i32.const 0))))
      (global.get $n)))
  (type $f (func (result u32)))
  (component $leaf
    (core instance $c (instantiate $count))
    (alias outer 1 $f (type $f'))
    (func $next (type $f') (canon lift (core func $c "next")))
    (export "next" (func $next)))
  (component $middle
    (import "a" (func $a (result u32)))
    (import "leaf" (component $made (export "next" (func (result u32)))))
    (instance $leaf (instantiate $made))
    (core func $a' (canon lower (func $a)))
    (core func $b' (canon lower (func $leaf "next")))
    (core module $add
      (import "x" "a" (func $a (result i32)))
      (import "x" "b" (func $b (result i32)))
      (func (export "sum") (result i32) (i32.add (call $a) (call $b))))
    (core instance $i (instantiate $add (with "x" (instance
      (export "a" (func $a')) (export "b" (func $b'))))))
    (func $sum (result u32) (canon lift (core func $i "sum")))
    (instance (export "both") (export "sum" (func $sum)) (export "next" (func $leaf "next"))))
  (instance $one (instantiate $leaf))
  (instance $two (instantiate $middle (with "a" (func $one "next")) (with "leaf" (component $leaf))))
  (alias export $two "both" (instance $both))
  (instance $three (instantiate $middle (with "a" (func $both "sum")) (with "leaf" (component $leaf))))
  (export "two" (instance $both))
  (alias export $three "both" (instance $last))
  (export "three" (instance $last))
)
