;; guest -> guest, sync: a list of records of options, variants, tuples, lists, results, flags.
;; Exports  run: func(n: u32, len: u32) -> u32   n >= 1 calls with len records, 1 <= len <= 100;
;;                                               the result is the length that the callee saw.
;; One op = one call. A record is 64 bytes; every second one is another case of each variant.
(component
  (component $Callee
    (core module $m
      (memory (export "mem") 4)
      (global $bump (mut i32) (i32.const 1024))
      (func (export "realloc") (param $old i32) (param $osz i32) (param $align i32) (param $sz i32)
        (result i32)
        (local $p i32)
        (local.set $p (i32.and
          (i32.add (global.get $bump) (i32.sub (local.get $align) (i32.const 1)))
          (i32.sub (i32.const 0) (local.get $align))))
        (global.set $bump (i32.add (local.get $p) (local.get $sz)))
        (local.get $p))
      (func (export "take") (param $ptr i32) (param $len i32) (result i32)
        (global.set $bump (i32.const 1024))
        (local.get $len)))
    (core instance $i (instantiate $m))
    (type $state' (variant (case "idle") (case "busy" u32) (case "failed" string)))
    (export $state "state" (type $state'))
    (type $why' (enum "a" "b" "c"))
    (export $why "why" (type $why'))
    (type $marks' (flags "a" "b" "c" "d" "e" "f" "g" "h" "i" "j"))
    (export $marks "marks" (type $marks'))
    (type $rec' (record
      (field "id" u64) (field "name" (option string)) (field "state" $state)
      (field "pos" (tuple f32 f32 s8)) (field "tags" (list u16))
      (field "res" (result u32 (error $why))) (field "marks" $marks)))
    (export $rec "rec" (type $rec'))
    (func (export "take") (param "x" (list $rec)) (result u32)
      (canon lift (core func $i "take") string-encoding=utf8
        (memory (core memory $i "mem")) (realloc (core func $i "realloc")))))
  (component $Caller
    (import "c" (instance $c
      (type $state' (variant (case "idle") (case "busy" u32) (case "failed" string)))
      (export "state" (type $state (eq $state')))
      (type $why' (enum "a" "b" "c"))
      (export "why" (type $why (eq $why')))
      (type $marks' (flags "a" "b" "c" "d" "e" "f" "g" "h" "i" "j"))
      (export "marks" (type $marks (eq $marks')))
      (type $rec' (record
        (field "id" u64) (field "name" (option string)) (field "state" $state)
        (field "pos" (tuple f32 f32 s8)) (field "tags" (list u16))
        (field "res" (result u32 (error $why))) (field "marks" $marks)))
      (export "rec" (type $rec (eq $rec')))
      (export "take" (func (param "x" (list $rec)) (result u32)))))
    (core module $Mem (memory (export "mem") 3))
    (core instance $mem (instantiate $Mem))
    (core func $take (canon lower (func $c "take") string-encoding=utf8 (memory (core memory $mem "mem"))))
    (core module $m
      (import "" "mem" (memory 3))
      (import "" "take" (func $take (param i32 i32) (result i32)))
      (func $string (param $at i32)
        (i32.store (local.get $at) (i32.const 131072))
        (i32.store offset=4 (local.get $at) (i32.const 12)))
      (func $record (param $p i32) (param $i i32)
        (i64.store (local.get $p) (i64.extend_i32_u (local.get $i)))
        (i32.store8 offset=8 (local.get $p) (i32.and (local.get $i) (i32.const 1)))
        (call $string (i32.add (local.get $p) (i32.const 12)))
        (i32.store8 offset=20 (local.get $p) (i32.rem_u (local.get $i) (i32.const 3)))
        (call $string (i32.add (local.get $p) (i32.const 24)))
        (f32.store offset=32 (local.get $p) (f32.const 1.5))
        (i32.store offset=44 (local.get $p) (i32.const 131072))
        (i32.store offset=48 (local.get $p) (i32.const 5))
        (i32.store8 offset=52 (local.get $p) (i32.and (local.get $i) (i32.const 1)))
        (i32.store16 offset=60 (local.get $p) (i32.const 0x155)))
      (func (export "run") (param $n i32) (param $len i32) (result i32)
        (local $r i32) (local $i i32)
        (memory.fill (i32.const 131072) (i32.const 97) (i32.const 64))
        (loop $l
          (call $record (i32.add (i32.const 65536) (i32.mul (local.get $i) (i32.const 64))) (local.get $i))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $l (i32.lt_u (local.get $i) (local.get $len))))
        (loop $l
          (local.set $r (call $take (i32.const 65536) (local.get $len)))
          (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $r)))
    (core instance $i (instantiate $m (with "" (instance
      (export "mem" (memory $mem "mem")) (export "take" (func $take))))))
    (func (export "run") (param "n" u32) (param "len" u32) (result u32)
      (canon lift (core func $i "run"))))
  (instance $callee (instantiate $Callee))
  (instance $caller (instantiate $Caller (with "c" (instance $callee))))
  (export "run" (func $caller "run")))
