;; Two components, one calling the other with strings: its adapter is in the artifact too.
(component $calls
  (component $inner
    (core module $m
      (memory (export "memory") 1)
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 256))
      ;; as many bytes as the string has
      (func (export "measure") (param i32 i32) (result i32) (local.get 1))
      (func (export "fail") (param i32 i32) (result i32) unreachable))
    (core instance $i (instantiate $m))
    (func (export "measure") (param "text" string) (result u32)
      (canon lift (core func $i "measure") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
    (func (export "fail") (param "text" string) (result u32)
      (canon lift (core func $i "fail") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
  (instance $inner (instantiate $inner))
  (core module $memory
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 256)))
  (core instance $mem (instantiate $memory))
  (core func $measure (canon lower (func $inner "measure") string-encoding=utf16
    (memory (core memory $mem "memory")) (realloc (core func $mem "realloc"))))
  (core func $fail (canon lower (func $inner "fail") string-encoding=utf16
    (memory (core memory $mem "memory")) (realloc (core func $mem "realloc"))))
  (core module $outer
    (import "inner" "measure" (func $measure (param i32 i32) (result i32)))
    (import "inner" "fail" (func $fail (param i32 i32) (result i32)))
    (func (export "measure") (param i32 i32) (result i32)
      (call $measure (local.get 0) (local.get 1)))
    (func $pass-on (export "fail") (param i32 i32) (result i32)
      (call $fail (local.get 0) (local.get 1))))
  (core instance $o (instantiate $outer
    (with "inner" (instance (export "measure" (func $measure)) (export "fail" (func $fail))))))
  (func (export "measure") (param "text" string) (result u32)
    (canon lift (core func $o "measure") string-encoding=utf16
      (memory (core memory $mem "memory")) (realloc (core func $mem "realloc"))))
  (func (export "fail") (param "text" string) (result u32)
    (canon lift (core func $o "fail") string-encoding=utf16
      (memory (core memory $mem "memory")) (realloc (core func $mem "realloc")))))
