//! Lazy compilation as guests and hosts meet it: deep stacks, many threads, fibers, names in
//! backtraces, hot functions that are compiled again while they run.

use helve::core::{Linker, Module, Val};
use helve::{Backtrace, CompileMode, Config, Engine, Store, Trap};
use std::fmt::Write as _;
use std::sync::Barrier;
use std::time::{Duration, Instant};

fn engine() -> Engine {
    Engine::new(Config::new().compile(CompileMode::Lazy)).unwrap()
}

/// Calls `run` of a module.
fn call(engine: &Engine, module: &Module, args: &[Val]) -> helve::Result<i64> {
    let mut store = Store::new(engine, ());
    let instance = Linker::new(engine).instantiate(&mut store, module)?;
    let run = instance.get_func(&mut store, "run").unwrap();
    let mut results = [Val::I32(0)];
    run.call(&mut store, args, &mut results)?;
    match results[0] {
        Val::I32(value) => Ok(value.into()),
        Val::I64(value) => Ok(value),
        other => panic!("{other:?}"),
    }
}

#[test]
fn arguments_of_every_kind_survive_the_stub() {
    let engine = engine();
    // More of each kind than there are registers, each with a weight of its own.
    let kinds = ["i32", "i64", "f32", "f64"];
    let (mut params, mut args, mut sum, mut expected) =
        (String::new(), String::new(), String::new(), 0i64);
    for i in 0..40 {
        let kind = kinds[i % 4];
        write!(params, "(param {kind})").unwrap();
        write!(args, "({kind}.const {})", i + 1).unwrap();
        let converted = match kind {
            "i32" => format!("(i64.extend_i32_s (local.get {i}))"),
            "i64" => format!("(local.get {i})"),
            _ => format!("(i64.trunc_{kind}_s (local.get {i}))"),
        };
        write!(
            sum,
            "(local.set 41 (i64.add (local.get 41) (i64.mul {converted} (i64.const {}))))",
            i + 3
        )
        .unwrap();
        expected += (i as i64 + 1) * (i as i64 + 3);
    }
    let text = format!(
        "(module (func $sum {params} (param v128) (result i64) (local i64) {sum}
            (i64.add (local.get 41) (i64x2.extract_lane 1 (local.get 40))))
          (func (export \"run\") (result i64) (call $sum {args} (v128.const i64x2 5 7))))"
    );
    let module = Module::new(&engine, text).unwrap();
    for _ in 0..2 {
        assert_eq!(call(&engine, &module, &[]).unwrap(), expected + 7);
    }
}

/// A guest uses up its stack, calling a function that is new at every depth.
#[test]
fn new_functions_at_the_end_of_the_stack() {
    let engine = engine();
    let mut text = String::from("(module (table 2000 funcref) (elem (i32.const 0) func");
    for i in 0..2000 {
        write!(text, " $f{i}").unwrap();
    }
    text.push_str(") (global $depth (mut i32) (i32.const 0))");
    for i in 0..2000 {
        write!(text, "(func $f{i} (result i32) (i32.const {i}))").unwrap();
    }
    // Every 16 frames one more function is called for the first time, to the very end.
    text.push_str(
        "(func $down (param i32) (result i32)
           (if (i32.eqz (i32.and (local.get 0) (i32.const 15)))
             (then (drop (call_indirect (result i32)
               (i32.rem_u (i32.shr_u (local.get 0) (i32.const 4)) (i32.const 2000))))))
           (i32.add (i32.const 1) (call $down (i32.add (local.get 0) (i32.const 1)))))
         (func (export \"run\") (result i32) (call $down (i32.const 0))))",
    );
    let module = Module::new(&engine, text).unwrap();
    let on_a_small_thread = || {
        let error = call(&engine, &module, &[]).unwrap_err();
        assert_eq!(
            error.downcast_ref::<Trap>(),
            Some(&Trap::StackOverflow),
            "{error:#}"
        );
    };
    on_a_small_thread();
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(1 << 20);
        thread
            .spawn_scoped(scope, on_a_small_thread)
            .unwrap()
            .join()
            .unwrap();
    });
}

#[test]
fn threads_call_the_same_stubs_at_once() {
    const FUNCTIONS: usize = 200;
    const THREADS: usize = 4;
    let engine = engine();
    let mut text = String::from("(module");
    let mut sum = String::from("(i32.const 0)");
    for i in 0..FUNCTIONS {
        write!(
            text,
            "(func $f{i} (param i32) (result i32) (i32.mul (local.get 0) (i32.const {i})))"
        )
        .unwrap();
        sum = format!("{sum} (call $f{i} (i32.const 3)) i32.add");
    }
    write!(text, "(func (export \"run\") (result i32) {sum}))").unwrap();
    let expected = (0..FUNCTIONS as i32).sum::<i32>() * 3;
    for _ in 0..5 {
        let module = Module::new(&engine, &text).unwrap();
        let start = Barrier::new(THREADS);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    start.wait();
                    assert_eq!(call(&engine, &module, &[]).unwrap(), i64::from(expected));
                });
            }
        });
    }
}

#[test]
fn backtraces_name_functions() {
    let engine = engine();
    let text = "(module $m
        (func $inner (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))
        (func $outer (result i32) (call $inner (i32.const 0)))
        (func $run (export \"run\") (result i32) (call $outer)))";
    let ahead = Engine::new(&Config::new()).unwrap();
    let trace = |engine: &Engine| {
        let module = Module::new(engine, text).unwrap();
        let error = call(engine, &module, &[]).unwrap_err();
        assert_eq!(
            error.downcast_ref::<Trap>(),
            Some(&Trap::IntegerDivisionByZero)
        );
        error.downcast_ref::<Backtrace>().unwrap().to_string()
    };
    let lazy = trace(&engine);
    assert!(lazy.contains("m!inner") && lazy.contains("m!run"), "{lazy}");
    assert_eq!(lazy, trace(&ahead));
}

/// Recursion keeps calling through the slot, so it gets into the better code.
#[test]
fn hot_functions_go_on_in_better_code() {
    let engine = engine();
    let text = "(module (func $fib (export \"run\") (param i32) (result i32)
        (if (result i32) (i32.lt_u (local.get 0) (i32.const 2)) (then (local.get 0)) (else
          (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                   (call $fib (i32.sub (local.get 0) (i32.const 2))))))))";
    let module = Module::new(&engine, text).unwrap();
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1500) {
        assert_eq!(call(&engine, &module, &[Val::I32(22)]).unwrap(), 17711);
    }
}

#[test]
fn invalid_bodies_are_refused_though_nobody_calls_them() {
    let text = "(module (func (result i32) (i64.const 1)))";
    let error = Module::new(&engine(), text).unwrap_err();
    assert!(error.to_string().contains("type mismatch"), "{error:#}");
}

/// Functions with loops that are left for optimised code while they run: all kinds of locals
/// and results, loops in loops, in branches, in code that is only reached from them.
const LOOPS: &[(&str, &str)] = &[
    (
        "every type of local",
        "(func (export \"run\") (param $n i32) (result i64)
            (local $a i32) (local $b i64) (local $c f32) (local $d f64) (local $v v128)
            (local $r funcref) (local $unset i64)
            (local.set $b (i64.const 3)) (local.set $c (f32.const 1.5))
            (local.set $d (f64.const 0.25)) (local.set $v (v128.const i64x2 5 7))
            (loop $l
                (local.set $a (i32.add (local.get $a) (i32.const 1)))
                (local.set $b (i64.add (i64.mul (local.get $b) (i64.const 31)) (i64.extend_i32_u (local.get $a))))
                (local.set $c (f32.add (local.get $c) (f32.const 0.5)))
                (local.set $d (f64.mul (local.get $d) (f64.const 1.0000001)))
                (local.set $v (i64x2.add (local.get $v) (v128.const i64x2 1 2)))
                (br_if $l (i32.lt_u (local.get $a) (local.get $n))))
            (i64.xor (i64.add (local.get $b) (local.get $unset))
              (i64.xor (i64.reinterpret_f64 (local.get $d))
                (i64.add (i64.extend_i32_u (i32.reinterpret_f32 (local.get $c)))
                  (i64.add (i64x2.extract_lane 0 (local.get $v))
                    (i64.add (i64x2.extract_lane 1 (local.get $v))
                      (i64.extend_i32_u (ref.is_null (local.get $r)))))))))",
    ),
    (
        "loops in loops and branches",
        "(memory 1)
         (func (export \"run\") (param $n i32) (result i64) (local $i i32) (local $j i32) (local $s i64)
            (block $done
              (loop $outer
                (local.set $j (i32.const 0))
                (if (i32.and (local.get $i) (i32.const 1))
                  (then (loop $odd
                    (local.set $s (i64.add (local.get $s) (i64.extend_i32_u (local.get $j))))
                    (i64.store (i32.and (local.get $j) (i32.const 0xff8)) (local.get $s))
                    (local.set $j (i32.add (local.get $j) (i32.const 1)))
                    (br_if $odd (i32.lt_u (local.get $j) (i32.const 50)))))
                  (else (loop $even
                    (local.set $s (i64.xor (i64.rotl (local.get $s) (i64.const 3)) (i64.load (i32.const 64))))
                    (local.set $j (i32.add (local.get $j) (i32.const 3)))
                    (br_if $done (i64.eq (local.get $s) (i64.const 12345)))
                    (br_if $even (i32.lt_u (local.get $j) (i32.const 100))))))
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if $outer (i32.lt_u (i32.mul (local.get $i) (i32.const 40)) (local.get $n)))))
            (local.get $s))",
    ),
    (
        "operands below the loop, parameters of the loop, many results",
        "(func $many (param $n i32) (result i64 i64 i64 i64 i64 i64 i64 i64) (local $i i32)
            (loop $l (local.set $i (i32.add (local.get $i) (i32.const 1)))
              (br_if $l (i32.lt_u (local.get $i) (local.get $n))))
            (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)
            (i64.const 5) (i64.const 6) (i64.const 7) (i64.extend_i32_u (local.get $i)))
         (func (export \"run\") (param $n i32) (result i64) (local $i i32) (local $s i64)
            (i64.const 100)
            (loop $l (local.set $i (i32.add (local.get $i) (i32.const 1)))
              (br_if $l (i32.lt_u (local.get $i) (local.get $n))))
            (i64.extend_i32_u (local.get $i))
            (loop $p (param i64) (result i64)
              (i64.add (i64.const 1))
              (local.set $i (i32.sub (local.get $i) (i32.const 1)))
              (br_if $p (local.get $i)))
            (i64.add)
            (call $many (local.get $n))
            (i64.add) (i64.add) (i64.add) (i64.add) (i64.add) (i64.add) (i64.add) (i64.add))",
    ),
    (
        "a loop without end that is left by a return",
        "(func (export \"run\") (param $n i32) (result i64) (local $i i64)
            (loop $l
              (if (i64.ge_u (local.get $i) (i64.extend_i32_u (local.get $n))) (then (return (local.get $i))))
              (local.set $i (i64.add (local.get $i) (i64.const 1)))
              (br $l))
            (unreachable)
            (loop (br 0)))",
    ),
];

#[test]
fn loops_go_on_in_better_code() {
    let ahead = Engine::new(&Config::new()).unwrap();
    let mut eager = Config::new();
    eager
        .compile(CompileMode::Lazy)
        .eager_loops(true)
        .verifier(true);
    let mut soon = Config::new();
    soon.compile(CompileMode::Lazy)
        .background_after(Duration::ZERO);
    // Turns enough to ask more than once.
    for (config, turns) in [(&eager, 1_000), (&soon, 5_000_000)] {
        let engine = Engine::new(config).unwrap();
        for (what, text) in LOOPS {
            let text = format!("(module {text})");
            let args = [Val::I32(turns)];
            let [module, reference] =
                [&engine, &ahead].map(|engine| Module::new(engine, &text).unwrap());
            let expected = call(&ahead, &reference, &args).unwrap();
            assert_eq!(call(&engine, &module, &args).unwrap(), expected, "{what}");
        }
    }
}

/// A trap in what a loop went on in is where it would have been.
#[test]
fn traps_after_a_loop_was_left_are_in_the_same_place() {
    let text = "(module $m (func $inner (param $n i32) (local $i i32)
        (loop $l
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $l (i32.lt_u (local.get $i) (local.get $n))))
        (unreachable))
      (func $run (export \"run\") (param i32) (result i32) (call $inner (local.get 0)) (i32.const 1)))";
    let mut eager = Config::new();
    eager.compile(CompileMode::Lazy).eager_loops(true);
    let traces = [Config::new(), eager].map(|config| {
        let engine = Engine::new(&config).unwrap();
        let module = Module::new(&engine, text).unwrap();
        let error = call(&engine, &module, &[Val::I32(50)]).unwrap_err();
        assert_eq!(error.trap(), Some(Trap::Unreachable));
        error.downcast_ref::<Backtrace>().unwrap().to_string()
    });
    assert_eq!(traces[0], traces[1]);
}
