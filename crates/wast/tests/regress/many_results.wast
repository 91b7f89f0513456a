;; Functions with 23 results of all types: more than registers hold. Through calls, tail
;; calls (also to functions with more parameters, so that frames grow), tables, blocks,
;; loops and branch tables, and in and out of the host.
(module
 (type $id (func (param i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32
    f64 v128 i32 i64 f32) (result i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32 f64 v128
    i32 i64 f32 f64 v128 i32 i64 f32)))
 (type $mk (func (result i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32
    f64 v128 i32 i64 f32)))
 (table 3 3 funcref) (elem (i32.const 0) $id $id $make)
 (func $make (export "make") (result i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32 f64 v128
    i32 i64 f32 f64 v128 i32 i64 f32) (i32.const 1) (i64.const 2) (f32.const 3) (f64.const 4)
    (v128.const i64x2 4 12) (i32.const 6) (i64.const 7) (f32.const 8) (f64.const 9) (v128.const
    i64x2 9 27) (i32.const 11) (i64.const 12) (f32.const 13) (f64.const 14) (v128.const i64x2 14
    42) (i32.const 16) (i64.const 17) (f32.const 18) (f64.const 19) (v128.const i64x2 19 57)
    (i32.const 21) (i64.const 22) (f32.const 23))
 (func $id (export "id") (param i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32
    i64 f32 f64 v128 i32 i64 f32) (result i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32 f64
    v128 i32 i64 f32 f64 v128 i32 i64 f32) (local.get 0) (local.get 1) (local.get 2) (local.get 3)
    (local.get 4) (local.get 5) (local.get 6) (local.get 7) (local.get 8) (local.get 9) (local.get
    10) (local.get 11) (local.get 12) (local.get 13) (local.get 14) (local.get 15) (local.get 16)
    (local.get 17) (local.get 18) (local.get 19) (local.get 20) (local.get 21) (local.get 22))
 (func (export "viaid") (result i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32
    i64 f32 f64 v128 i32 i64 f32) (call $id (call $make)))
 (func (export "tail") (result i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32
    i64 f32 f64 v128 i32 i64 f32) (return_call $id (call $make)))
 (func (export "tail2") (result i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32
    i64 f32 f64 v128 i32 i64 f32) (return_call $make))
 (func (export "ind") (result i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32
    i64 f32 f64 v128 i32 i64 f32) (call $make) (call_indirect (type $id) (i32.const 1)))
 (func (export "tailind") (result i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32 f64 v128
    i32 i64 f32 f64 v128 i32 i64 f32) (call $make) (return_call_indirect (type $id) (i32.const 1)))
 (func (export "tailind2") (result i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32 f64 v128
    i32 i64 f32 f64 v128 i32 i64 f32) (return_call_indirect (type $mk) (i32.const 2)))
 (func (export "block") (param i32) (result i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32
    f64 v128 i32 i64 f32 f64 v128 i32 i64 f32) (block (result i32 i64 f32 f64 v128 i32 i64 f32 f64
    v128 i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32) (br_if 0 (call $make) (local.get
    0)) (call $id)))
 (func (export "loop") (param i32) (result i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32
    f64 v128 i32 i64 f32 f64 v128 i32 i64 f32) (call $make) (loop (param i32 i64 f32 f64 v128 i32
    i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32) (result i32 i64 f32 f64
    v128 i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32)
    (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if 0 (local.get 0))))
 (func (export "table") (param i32) (result i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32
    f64 v128 i32 i64 f32 f64 v128 i32 i64 f32) (block (result i32 i64 f32 f64 v128 i32 i64 f32 f64
    v128 i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32) (br_table 0 1 0 (call $make)
    (local.get 0))))
 (func $deep (param i32) (result i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32
    i64 f32 f64 v128 i32 i64 f32) (if (result i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32
    f64 v128 i32 i64 f32 f64 v128 i32 i64 f32) (local.get 0) (then (return_call $deep (i32.sub
    (local.get 0) (i32.const 1)))) (else (call $make))))
 (func (export "deep") (result i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32
    i64 f32 f64 v128 i32 i64 f32) (return_call $deep (i32.const 1000000)))
 (func $more (param i32 i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32
    f64 v128 i32 i64 f32 i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32
    f64 v128 i32 i64 f32) (result i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32 f64 v128
    i32 i64 f32 f64 v128 i32 i64 f32)
   (if (i32.eqz (local.get 0)) (then (return_call $make)))
   (return_call $less (i32.sub (local.get 0) (i32.const 1))))
 (func $less (param i32) (result i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32
    i64 f32 f64 v128 i32 i64 f32) (local.get 0) (call $make) (call $make) (return_call $more))
 (func (export "moreless") (result i32 i64 f32 f64 v128 i32 i64 f32 f64 v128 i32 i64 f32 f64 v128
    i32 i64 f32 f64 v128 i32 i64 f32) (return_call $less (i32.const 100000)))
)
(assert_return (invoke "make") (i32.const 1) (i64.const 2) (f32.const 3) (f64.const 4) (v128.const
    i64x2 4 12) (i32.const 6) (i64.const 7) (f32.const 8) (f64.const 9) (v128.const i64x2 9 27)
    (i32.const 11) (i64.const 12) (f32.const 13) (f64.const 14) (v128.const i64x2 14 42) (i32.const
    16) (i64.const 17) (f32.const 18) (f64.const 19) (v128.const i64x2 19 57) (i32.const 21)
    (i64.const 22) (f32.const 23))
(assert_return (invoke "viaid") (i32.const 1) (i64.const 2) (f32.const 3) (f64.const 4) (v128.const
    i64x2 4 12) (i32.const 6) (i64.const 7) (f32.const 8) (f64.const 9) (v128.const i64x2 9 27)
    (i32.const 11) (i64.const 12) (f32.const 13) (f64.const 14) (v128.const i64x2 14 42) (i32.const
    16) (i64.const 17) (f32.const 18) (f64.const 19) (v128.const i64x2 19 57) (i32.const 21)
    (i64.const 22) (f32.const 23))
(assert_return (invoke "tail") (i32.const 1) (i64.const 2) (f32.const 3) (f64.const 4) (v128.const
    i64x2 4 12) (i32.const 6) (i64.const 7) (f32.const 8) (f64.const 9) (v128.const i64x2 9 27)
    (i32.const 11) (i64.const 12) (f32.const 13) (f64.const 14) (v128.const i64x2 14 42) (i32.const
    16) (i64.const 17) (f32.const 18) (f64.const 19) (v128.const i64x2 19 57) (i32.const 21)
    (i64.const 22) (f32.const 23))
(assert_return (invoke "tail2") (i32.const 1) (i64.const 2) (f32.const 3) (f64.const 4) (v128.const
    i64x2 4 12) (i32.const 6) (i64.const 7) (f32.const 8) (f64.const 9) (v128.const i64x2 9 27)
    (i32.const 11) (i64.const 12) (f32.const 13) (f64.const 14) (v128.const i64x2 14 42) (i32.const
    16) (i64.const 17) (f32.const 18) (f64.const 19) (v128.const i64x2 19 57) (i32.const 21)
    (i64.const 22) (f32.const 23))
(assert_return (invoke "ind") (i32.const 1) (i64.const 2) (f32.const 3) (f64.const 4) (v128.const
    i64x2 4 12) (i32.const 6) (i64.const 7) (f32.const 8) (f64.const 9) (v128.const i64x2 9 27)
    (i32.const 11) (i64.const 12) (f32.const 13) (f64.const 14) (v128.const i64x2 14 42) (i32.const
    16) (i64.const 17) (f32.const 18) (f64.const 19) (v128.const i64x2 19 57) (i32.const 21)
    (i64.const 22) (f32.const 23))
(assert_return (invoke "tailind") (i32.const 1) (i64.const 2) (f32.const 3) (f64.const 4)
    (v128.const i64x2 4 12) (i32.const 6) (i64.const 7) (f32.const 8) (f64.const 9) (v128.const
    i64x2 9 27) (i32.const 11) (i64.const 12) (f32.const 13) (f64.const 14) (v128.const i64x2 14
    42) (i32.const 16) (i64.const 17) (f32.const 18) (f64.const 19) (v128.const i64x2 19 57)
    (i32.const 21) (i64.const 22) (f32.const 23))
(assert_return (invoke "tailind2") (i32.const 1) (i64.const 2) (f32.const 3) (f64.const 4)
    (v128.const i64x2 4 12) (i32.const 6) (i64.const 7) (f32.const 8) (f64.const 9) (v128.const
    i64x2 9 27) (i32.const 11) (i64.const 12) (f32.const 13) (f64.const 14) (v128.const i64x2 14
    42) (i32.const 16) (i64.const 17) (f32.const 18) (f64.const 19) (v128.const i64x2 19 57)
    (i32.const 21) (i64.const 22) (f32.const 23))
(assert_return (invoke "deep") (i32.const 1) (i64.const 2) (f32.const 3) (f64.const 4) (v128.const
    i64x2 4 12) (i32.const 6) (i64.const 7) (f32.const 8) (f64.const 9) (v128.const i64x2 9 27)
    (i32.const 11) (i64.const 12) (f32.const 13) (f64.const 14) (v128.const i64x2 14 42) (i32.const
    16) (i64.const 17) (f32.const 18) (f64.const 19) (v128.const i64x2 19 57) (i32.const 21)
    (i64.const 22) (f32.const 23))
(assert_return (invoke "moreless") (i32.const 1) (i64.const 2) (f32.const 3) (f64.const 4)
    (v128.const i64x2 4 12) (i32.const 6) (i64.const 7) (f32.const 8) (f64.const 9) (v128.const
    i64x2 9 27) (i32.const 11) (i64.const 12) (f32.const 13) (f64.const 14) (v128.const i64x2 14
    42) (i32.const 16) (i64.const 17) (f32.const 18) (f64.const 19) (v128.const i64x2 19 57)
    (i32.const 21) (i64.const 22) (f32.const 23))
(assert_return (invoke "block" (i32.const 1)) (i32.const 1) (i64.const 2) (f32.const 3) (f64.const
    4) (v128.const i64x2 4 12) (i32.const 6) (i64.const 7) (f32.const 8) (f64.const 9) (v128.const
    i64x2 9 27) (i32.const 11) (i64.const 12) (f32.const 13) (f64.const 14) (v128.const i64x2 14
    42) (i32.const 16) (i64.const 17) (f32.const 18) (f64.const 19) (v128.const i64x2 19 57)
    (i32.const 21) (i64.const 22) (f32.const 23))
(assert_return (invoke "block" (i32.const 2)) (i32.const 1) (i64.const 2) (f32.const 3) (f64.const
    4) (v128.const i64x2 4 12) (i32.const 6) (i64.const 7) (f32.const 8) (f64.const 9) (v128.const
    i64x2 9 27) (i32.const 11) (i64.const 12) (f32.const 13) (f64.const 14) (v128.const i64x2 14
    42) (i32.const 16) (i64.const 17) (f32.const 18) (f64.const 19) (v128.const i64x2 19 57)
    (i32.const 21) (i64.const 22) (f32.const 23))
(assert_return (invoke "block" (i32.const 3)) (i32.const 1) (i64.const 2) (f32.const 3) (f64.const
    4) (v128.const i64x2 4 12) (i32.const 6) (i64.const 7) (f32.const 8) (f64.const 9) (v128.const
    i64x2 9 27) (i32.const 11) (i64.const 12) (f32.const 13) (f64.const 14) (v128.const i64x2 14
    42) (i32.const 16) (i64.const 17) (f32.const 18) (f64.const 19) (v128.const i64x2 19 57)
    (i32.const 21) (i64.const 22) (f32.const 23))
(assert_return (invoke "loop" (i32.const 1)) (i32.const 1) (i64.const 2) (f32.const 3) (f64.const
    4) (v128.const i64x2 4 12) (i32.const 6) (i64.const 7) (f32.const 8) (f64.const 9) (v128.const
    i64x2 9 27) (i32.const 11) (i64.const 12) (f32.const 13) (f64.const 14) (v128.const i64x2 14
    42) (i32.const 16) (i64.const 17) (f32.const 18) (f64.const 19) (v128.const i64x2 19 57)
    (i32.const 21) (i64.const 22) (f32.const 23))
(assert_return (invoke "loop" (i32.const 2)) (i32.const 1) (i64.const 2) (f32.const 3) (f64.const
    4) (v128.const i64x2 4 12) (i32.const 6) (i64.const 7) (f32.const 8) (f64.const 9) (v128.const
    i64x2 9 27) (i32.const 11) (i64.const 12) (f32.const 13) (f64.const 14) (v128.const i64x2 14
    42) (i32.const 16) (i64.const 17) (f32.const 18) (f64.const 19) (v128.const i64x2 19 57)
    (i32.const 21) (i64.const 22) (f32.const 23))
(assert_return (invoke "loop" (i32.const 3)) (i32.const 1) (i64.const 2) (f32.const 3) (f64.const
    4) (v128.const i64x2 4 12) (i32.const 6) (i64.const 7) (f32.const 8) (f64.const 9) (v128.const
    i64x2 9 27) (i32.const 11) (i64.const 12) (f32.const 13) (f64.const 14) (v128.const i64x2 14
    42) (i32.const 16) (i64.const 17) (f32.const 18) (f64.const 19) (v128.const i64x2 19 57)
    (i32.const 21) (i64.const 22) (f32.const 23))
(assert_return (invoke "table" (i32.const 1)) (i32.const 1) (i64.const 2) (f32.const 3) (f64.const
    4) (v128.const i64x2 4 12) (i32.const 6) (i64.const 7) (f32.const 8) (f64.const 9) (v128.const
    i64x2 9 27) (i32.const 11) (i64.const 12) (f32.const 13) (f64.const 14) (v128.const i64x2 14
    42) (i32.const 16) (i64.const 17) (f32.const 18) (f64.const 19) (v128.const i64x2 19 57)
    (i32.const 21) (i64.const 22) (f32.const 23))
(assert_return (invoke "table" (i32.const 2)) (i32.const 1) (i64.const 2) (f32.const 3) (f64.const
    4) (v128.const i64x2 4 12) (i32.const 6) (i64.const 7) (f32.const 8) (f64.const 9) (v128.const
    i64x2 9 27) (i32.const 11) (i64.const 12) (f32.const 13) (f64.const 14) (v128.const i64x2 14
    42) (i32.const 16) (i64.const 17) (f32.const 18) (f64.const 19) (v128.const i64x2 19 57)
    (i32.const 21) (i64.const 22) (f32.const 23))
(assert_return (invoke "table" (i32.const 3)) (i32.const 1) (i64.const 2) (f32.const 3) (f64.const
    4) (v128.const i64x2 4 12) (i32.const 6) (i64.const 7) (f32.const 8) (f64.const 9) (v128.const
    i64x2 9 27) (i32.const 11) (i64.const 12) (f32.const 13) (f64.const 14) (v128.const i64x2 14
    42) (i32.const 16) (i64.const 17) (f32.const 18) (f64.const 19) (v128.const i64x2 19 57)
    (i32.const 21) (i64.const 22) (f32.const 23))
(assert_return (invoke "id" (i32.const 1) (i64.const 2) (f32.const 3) (f64.const 4) (v128.const
    i64x2 4 12) (i32.const 6) (i64.const 7) (f32.const 8) (f64.const 9) (v128.const i64x2 9 27)
    (i32.const 11) (i64.const 12) (f32.const 13) (f64.const 14) (v128.const i64x2 14 42) (i32.const
    16) (i64.const 17) (f32.const 18) (f64.const 19) (v128.const i64x2 19 57) (i32.const 21)
    (i64.const 22) (f32.const 23)) (i32.const 1) (i64.const 2) (f32.const 3) (f64.const 4)
    (v128.const i64x2 4 12) (i32.const 6) (i64.const 7) (f32.const 8) (f64.const 9) (v128.const
    i64x2 9 27) (i32.const 11) (i64.const 12) (f32.const 13) (f64.const 14) (v128.const i64x2 14
    42) (i32.const 16) (i64.const 17) (f32.const 18) (f64.const 19) (v128.const i64x2 19 57)
    (i32.const 21) (i64.const 22) (f32.const 23))
