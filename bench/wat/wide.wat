;; guest -> guest, sync calls with many parameters of many types.
;; Exports, each  func(n: u32) -> u32  (n >= 1 calls; result must be n; one op = one call):
;;   run-flat     ten parameters of ten types, all in registers
;;   run-spilled  twenty parameters, which go through memory
(component
  (component $Callee
    (core module $m
      (memory (export "mem") 1)
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
      (func (export "flat") (param i32 i32 i64 f32 f64 i32 i32 i64 i32 i32) (result i32)
        (i32.add (local.get 8) (local.get 9)))
      (func (export "spilled") (param $p i32) (result i32)
        (i32.add (i32.load offset=64 (local.get $p)) (i32.load offset=8 (local.get $p)))))
    (core instance $i (instantiate $m))
    (func (export "flat")
      (param "a" u8) (param "b" s16) (param "c" u64) (param "d" f32) (param "e" f64)
      (param "f" bool) (param "g" char) (param "h" s64) (param "i" u32) (param "j" u32)
      (result u32) (canon lift (core func $i "flat")))
    (func (export "spilled")
      (param "a" u64) (param "b" u32) (param "c" u8) (param "d" u8) (param "e" u16) (param "f" f64)
      (param "g" u32) (param "h" u32) (param "i" u32) (param "j" u32) (param "k" u32) (param "l" u32)
      (param "m" f32) (param "n" char) (param "o" bool) (param "p" bool) (param "q" s16)
      (param "r" u32) (param "s" s64) (param "t" u32)
      (result u32)
      (canon lift (core func $i "spilled")
        (memory (core memory $i "mem")) (realloc (core func $i "realloc")))))
  (component $Caller
    (import "c" (instance $c
      (export "flat" (func
        (param "a" u8) (param "b" s16) (param "c" u64) (param "d" f32) (param "e" f64)
        (param "f" bool) (param "g" char) (param "h" s64) (param "i" u32) (param "j" u32)
        (result u32)))
      (export "spilled" (func
        (param "a" u64) (param "b" u32) (param "c" u8) (param "d" u8) (param "e" u16) (param "f" f64)
        (param "g" u32) (param "h" u32) (param "i" u32) (param "j" u32) (param "k" u32) (param "l" u32)
        (param "m" f32) (param "n" char) (param "o" bool) (param "p" bool) (param "q" s16)
        (param "r" u32) (param "s" s64) (param "t" u32)
        (result u32)))))
    (core module $Mem (memory (export "mem") 1))
    (core instance $mem (instantiate $Mem))
    (core func $flat (canon lower (func $c "flat")))
    (core func $spilled (canon lower (func $c "spilled") (memory (core memory $mem "mem"))))
    (core module $m
      (import "" "mem" (memory 1))
      (import "" "flat" (func $flat (param i32 i32 i64 f32 f64 i32 i32 i64 i32 i32) (result i32)))
      (import "" "spilled" (func $spilled (param i32) (result i32)))
      (func (export "run-flat") (param $n i32) (result i32) (local $acc i32)
        (loop $l
          (local.set $acc (call $flat
            (i32.const 7) (i32.const -7) (i64.const 1000000) (f32.const 1.5) (f64.const 2.5)
            (i32.const 1) (i32.const 0x61) (i64.const -1) (local.get $acc) (i32.const 1)))
          (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $acc))
      ;; b at 256 + 8, r at 256 + 64; all else is 0
      (func (export "run-spilled") (param $n i32) (result i32) (local $acc i32)
        (loop $l
          (i32.store (i32.const 264) (i32.const 1))
          (i32.store (i32.const 320) (local.get $acc))
          (local.set $acc (call $spilled (i32.const 256)))
          (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $acc)))
    (core instance $i (instantiate $m (with "" (instance
      (export "mem" (memory $mem "mem")) (export "flat" (func $flat))
      (export "spilled" (func $spilled))))))
    (func (export "run-flat") (param "n" u32) (result u32) (canon lift (core func $i "run-flat")))
    (func (export "run-spilled") (param "n" u32) (result u32)
      (canon lift (core func $i "run-spilled"))))
  (instance $callee (instantiate $Callee))
  (instance $caller (instantiate $Caller (with "c" (instance $callee))))
  (export "run-flat" (func $caller "run-flat"))
  (export "run-spilled" (func $caller "run-spilled")))
