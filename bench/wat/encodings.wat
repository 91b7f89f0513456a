;; guest -> guest, a string whose encoding is another on the other side, or utf16 on both.
;; Exports, each  func(n: u32, len: u32) -> u32  (n >= 1 calls with len code units, all 'a';
;; len <= 30000; result is the length that the callee saw, len; one op = one call):
;;   utf8-utf16, utf16-utf8, utf16-utf16, latin1-utf8, utf8-latin1
(component
  (component $Callee
    (core module $m
      (memory (export "mem") 4)
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
      (func (export "take") (param $ptr i32) (param $len i32) (result i32) (local.get $len)))
    (core instance $i (instantiate $m))
    (func (export "utf8") (param "x" string) (result u32)
      (canon lift (core func $i "take") string-encoding=utf8
        (memory (core memory $i "mem")) (realloc (core func $i "realloc"))))
    (func (export "utf16") (param "x" string) (result u32)
      (canon lift (core func $i "take") string-encoding=utf16
        (memory (core memory $i "mem")) (realloc (core func $i "realloc"))))
    (func (export "latin1") (param "x" string) (result u32)
      (canon lift (core func $i "take") string-encoding=latin1+utf16
        (memory (core memory $i "mem")) (realloc (core func $i "realloc")))))
  (component $Caller
    (import "c" (instance $c
      (export "utf8" (func (param "x" string) (result u32)))
      (export "utf16" (func (param "x" string) (result u32)))
      (export "latin1" (func (param "x" string) (result u32)))))
    (core module $Mem (memory (export "mem") 3))
    (core instance $mem (instantiate $Mem))
    (core func $8-16 (canon lower (func $c "utf16") string-encoding=utf8 (memory (core memory $mem "mem"))))
    (core func $16-8 (canon lower (func $c "utf8") string-encoding=utf16 (memory (core memory $mem "mem"))))
    (core func $16-16 (canon lower (func $c "utf16") string-encoding=utf16 (memory (core memory $mem "mem"))))
    (core func $1-8 (canon lower (func $c "utf8") string-encoding=latin1+utf16 (memory (core memory $mem "mem"))))
    (core func $8-1 (canon lower (func $c "latin1") string-encoding=utf8 (memory (core memory $mem "mem"))))
    ;; bytes of 'a' at 1024, units of 'a' at 65536
    (core module $m
      (import "" "mem" (memory 3))
      (import "" "take" (func $take (param i32 i32) (result i32)))
      (func $run (param $n i32) (param $len i32) (param $at i32) (result i32) (local $r i32)
        (memory.fill (i32.const 1024) (i32.const 97) (i32.const 30000))
        (loop $units
          (i32.store16 offset=65536 (i32.shl (local.get $r) (i32.const 1)) (i32.const 97))
          (local.set $r (i32.add (local.get $r) (i32.const 1)))
          (br_if $units (i32.lt_u (local.get $r) (i32.const 30000))))
        (loop $l
          (local.set $r (call $take (local.get $at) (local.get $len)))
          (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $r))
      (func (export "bytes") (param $n i32) (param $len i32) (result i32)
        (call $run (local.get $n) (local.get $len) (i32.const 1024)))
      (func (export "units") (param $n i32) (param $len i32) (result i32)
        (call $run (local.get $n) (local.get $len) (i32.const 65536))))
    (core instance $i8-16 (instantiate $m (with "" (instance
      (export "mem" (memory $mem "mem")) (export "take" (func $8-16))))))
    (core instance $i16-8 (instantiate $m (with "" (instance
      (export "mem" (memory $mem "mem")) (export "take" (func $16-8))))))
    (core instance $i16-16 (instantiate $m (with "" (instance
      (export "mem" (memory $mem "mem")) (export "take" (func $16-16))))))
    (core instance $i1-8 (instantiate $m (with "" (instance
      (export "mem" (memory $mem "mem")) (export "take" (func $1-8))))))
    (core instance $i8-1 (instantiate $m (with "" (instance
      (export "mem" (memory $mem "mem")) (export "take" (func $8-1))))))
    (func (export "utf8-utf16") (param "n" u32) (param "len" u32) (result u32)
      (canon lift (core func $i8-16 "bytes")))
    (func (export "utf16-utf8") (param "n" u32) (param "len" u32) (result u32)
      (canon lift (core func $i16-8 "units")))
    (func (export "utf16-utf16") (param "n" u32) (param "len" u32) (result u32)
      (canon lift (core func $i16-16 "units")))
    (func (export "latin1-utf8") (param "n" u32) (param "len" u32) (result u32)
      (canon lift (core func $i1-8 "bytes")))
    (func (export "utf8-latin1") (param "n" u32) (param "len" u32) (result u32)
      (canon lift (core func $i8-1 "bytes"))))
  (instance $callee (instantiate $Callee))
  (instance $caller (instantiate $Caller (with "c" (instance $callee))))
  (export "utf8-utf16" (func $caller "utf8-utf16"))
  (export "utf16-utf8" (func $caller "utf16-utf8"))
  (export "utf16-utf16" (func $caller "utf16-utf16"))
  (export "latin1-utf8" (func $caller "latin1-utf8"))
  (export "utf8-latin1" (func $caller "utf8-latin1")))
