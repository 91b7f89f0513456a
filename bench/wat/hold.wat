;; things that are made and kept, to see what each takes.
;; Exports, each  func(n: u32) -> u32   (result is n):
;;   streams   n times stream.new, both ends kept
;;   handles   n times resource.new, the handle kept
(component
  (type $R (resource (rep i32)))
  (type $S (stream u8))
  (core func $new-r (canon resource.new $R))
  (core func $new-s (canon stream.new $S))
  (core module $m
    (import "" "new-r" (func $new-r (param i32) (result i32)))
    (import "" "new-s" (func $new-s (result i64)))
    (func (export "streams") (param $n i32) (result i32) (local $i i32)
      (loop $l
        (drop (call $new-s))
        (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
      (local.get $i))
    (func (export "handles") (param $n i32) (result i32) (local $i i32)
      (loop $l
        (drop (call $new-r (i32.const 7)))
        (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
      (local.get $i)))
  (core instance $i (instantiate $m (with "" (instance
    (export "new-r" (func $new-r)) (export "new-s" (func $new-s))))))
  (func (export "streams") (param "n" u32) (result u32) (canon lift (core func $i "streams")))
  (func (export "handles") (param "n" u32) (result u32) (canon lift (core func $i "handles"))))
