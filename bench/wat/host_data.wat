;; strings and lists between host and guest.
;; Imports  take: func(s: string, l: list<u32>) -> u32   (returns the sum of the lengths)
;; Exports  run: func(s: string, l: list<u32>) -> u32    the same, by the guest
;;          give: func(n: u32, s: u32, l: u32) -> u32    calls take n times (n >= 1) with s bytes
;;                                                       and l numbers, s, 4 * l <= 60000
;; The guest's realloc always gives the same places.
(component
  (import "take" (func $take (param "s" string) (param "l" (list u32)) (result u32)))
  (core module $Mem (memory (export "mem") 3))
  (core instance $mem (instantiate $Mem))
  (core func $take (canon lower (func $take) string-encoding=utf8 (memory (core memory $mem "mem"))))
  (core module $m
    (import "" "mem" (memory 3))
    (import "" "take" (func $take (param i32 i32 i32 i32) (result i32)))
    (func (export "realloc") (param i32 i32) (param $align i32) (param i32) (result i32)
      (select (i32.const 1024) (i32.const 65536) (i32.eq (local.get $align) (i32.const 1))))
    (func (export "run") (param i32 i32 i32 i32) (result i32)
      (i32.add (local.get 1) (local.get 3)))
    (func (export "give") (param $n i32) (param $s i32) (param $l i32) (result i32) (local $r i32)
      (memory.fill (i32.const 1024) (i32.const 97) (i32.const 60000))
      (loop $again
        (local.set $r (call $take (i32.const 1024) (local.get $s) (i32.const 65536) (local.get $l)))
        (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (local.get $r)))
  (core instance $i (instantiate $m (with "" (instance
    (export "mem" (memory $mem "mem")) (export "take" (func $take))))))
  (func (export "run") (param "s" string) (param "l" (list u32)) (result u32)
    (canon lift (core func $i "run") string-encoding=utf8
      (memory (core memory $mem "mem")) (realloc (core func $i "realloc"))))
  (func (export "give") (param "n" u32) (param "s" u32) (param "l" u32) (result u32)
    (canon lift (core func $i "give"))))
