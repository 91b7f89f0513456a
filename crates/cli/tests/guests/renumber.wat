;; A module of WASI 0.1 that moves its descriptors about; exits with the number of the step
;; that went otherwise.
(module
  (import "wasi_snapshot_preview1" "fd_renumber" (func $renumber (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "\20\00\00\00\03\00\00\00")
  (data (i32.const 32) "ok\n")
  (func $fails (param $step i32) (param $errno i32)
    (if (i32.eqz (local.get $errno)) (then (call $exit (local.get $step)))))
  (func $works (param $step i32) (param $errno i32)
    (if (local.get $errno) (then (call $exit (local.get $step)))))
  (func $say (param $fd i32) (result i32)
    (call $write (local.get $fd) (i32.const 16) (i32.const 1) (i32.const 64)))
  (func (export "_start")
    ;; From and to what is not there, near and far.
    (call $fails (i32.const 1) (call $renumber (i32.const 77) (i32.const 1)))
    (call $fails (i32.const 2) (call $renumber (i32.const -1) (i32.const 1)))
    (call $fails (i32.const 3) (call $renumber (i32.const 1) (i32.const -1)))
    (call $fails (i32.const 4) (call $renumber (i32.const 0x7fffffff) (i32.const 0x80000000)))
    ;; Onto itself, and over another, which is gone then; what it was is not to be used.
    (call $works (i32.const 5) (call $renumber (i32.const 1) (i32.const 1)))
    (call $works (i32.const 6) (call $say (i32.const 1)))
    (call $works (i32.const 7) (call $renumber (i32.const 1) (i32.const 2)))
    (call $works (i32.const 8) (call $say (i32.const 2)))
    (call $fails (i32.const 9) (call $say (i32.const 1)))
    (call $fails (i32.const 10) (call $close (i32.const 1)))
    (call $works (i32.const 11) (call $renumber (i32.const 0) (i32.const 2)))
    (call $fails (i32.const 12) (call $say (i32.const 2)))
    (call $works (i32.const 13) (call $close (i32.const 2)))
    (call $fails (i32.const 14) (call $close (i32.const 2)))))
