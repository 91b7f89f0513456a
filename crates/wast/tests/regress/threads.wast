;; Threads of a script: what they share is the memories of the instance they are handed,
;; and what each asserts counts.
(module $Mem (memory (export "shared") 1 1 shared))

(thread $T1 (shared (module $Mem))
  (register "mem" $Mem)
  (module
    (memory (import "mem" "shared") 1 1 shared)
    (func (export "wait") (result i32)
      (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))
  ;; 0: another thread woke it; 1: the value was no longer there.
  (assert_return (invoke "wait") (either (i32.const 0) (i32.const 1)))
)

(thread $T2 (shared (module $Mem))
  (register "mem" $Mem)
  (module
    (memory (import "mem" "shared") 1 1 shared)
    (func (export "go") (result i32)
      (i32.atomic.store (i32.const 0) (i32.const 7))
      (drop (memory.atomic.notify (i32.const 0) (i32.const 1)))
      (i32.atomic.load (i32.const 0))))
  (assert_return (invoke "go") (i32.const 7))
)

(wait $T1)
(wait $T2)

(module $Check
  (memory (import "Mem" "shared") 1 1 shared)
  (func (export "seen") (result i32) (i32.atomic.load (i32.const 0))))
(assert_return (invoke $Check "seen") (i32.const 7))
