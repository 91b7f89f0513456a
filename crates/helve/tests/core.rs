//! Core WebAssembly through the embedding API: small programs, one table per question.

use helve::core::{
    Caller, ExternRef, Func, FuncType, Instance, Linker, Memory, Module, Ref, Val, ValType,
};
use helve::{Backtrace, Config, Engine, Error, ErrorKind, Result, Store, Trap};

fn engine() -> Engine {
    let mut config = Config::new();
    config.verifier(true);
    Engine::new(&config).unwrap()
}

fn instantiate(wat: &str) -> (Store<()>, Instance) {
    let engine = engine();
    let mut store = Store::new(&engine, ());
    let module = Module::new(&engine, wat).unwrap();
    let instance = Linker::new(&engine)
        .instantiate(&mut store, &module)
        .unwrap();
    (store, instance)
}

fn call(store: &mut Store<()>, instance: Instance, name: &str, args: &[Val]) -> Result<Vec<Val>> {
    let func = instance.get_func(&mut *store, name).expect("exported");
    let mut results = vec![Val::I32(0); func.ty(&*store)?.results.len()];
    func.call(store, args, &mut results)?;
    Ok(results)
}

/// Each program exports `run`: its arguments, and its results as text, or its trap.
const PROGRAMS: &[(&str, &[Val], &str)] = &[
        ("(func (export \"run\") (result i32) i32.const 42)", &[], "i32:42"),
        (
            "(func $fac (export \"run\") (param i64) (result i64)
               (if (result i64) (i64.eqz (local.get 0)) (then (i64.const 1))
                 (else (i64.mul (local.get 0) (call $fac (i64.sub (local.get 0) (i64.const 1)))))))",
            &[Val::I64(20)],
            "i64:2432902008176640000",
        ),
        (
            "(func (export \"run\") (param i32) (result i32) (local i32)
               (loop $l
                 (local.set 1 (i32.add (local.get 1) (local.get 0)))
                 (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
               (local.get 1))",
            &[Val::I32(9)],
            "i32:45",
        ),
        (
            "(memory 1) (data (i32.const 4) \"abcd\")
             (func (export \"run\") (result i32) (i32.load (i32.const 4)))",
            &[],
            "i32:1684234849",
        ),
        (
            "(memory 1) (func (export \"run\") (result i32 i32 i32)
               (memory.grow (i32.const 2)) (memory.size) (i32.load8_u (i32.const 196607)))",
            &[],
            "i32:1 i32:3 i32:0",
        ),
        (
            "(table 3 funcref) (elem (i32.const 1) $a $b) (type $t (func (result i32)))
             (func $a (result i32) i32.const 7) (func $b (result i32) i32.const 8)
             (func (export \"run\") (param i32) (result i32)
               (call_indirect (type $t) (i32.sub (local.get 0) (i32.const 7))))",
            &[Val::I32(9)],
            "i32:8",
        ),
        (
            "(global $g (mut i64) (i64.const 5))
             (func (export \"run\") (result i64 f32)
               (global.set $g (i64.add (global.get $g) (i64.const 1))) (global.get $g) (f32.const 1.5))",
            &[],
            "i64:6 f32:1.5 (0x3fc00000)",
        ),
        (
            "(func (export \"run\") (result v128) (i32x4.add (v128.const i32x4 1 2 3 4) (v128.const i32x4 1 1 1 1)))",
            &[],
            "v128:0x00000005000000040000000300000002",
        ),
        (
            "(func $f) (elem declare func $f)
             (func (export \"run\") (result funcref externref) (ref.func $f) (ref.null extern))",
            &[],
            "funcref externref:null",
        ),
        (
            "(func $even (export \"run\") (param i64) (result i32)
               (if (i64.eqz (local.get 0)) (then (return (i32.const 1))))
               (return_call $odd (i64.sub (local.get 0) (i64.const 1))))
             (func $odd (param i64) (result i32)
               (if (i64.eqz (local.get 0)) (then (return (i32.const 0))))
               (return_call $even (i64.sub (local.get 0) (i64.const 1))))",
            &[Val::I64(1_000_001)],
            "i32:0",
        ),
        ("(func (export \"run\") unreachable)", &[], "trap: wasm `unreachable` instruction executed"),
        ("(func $f (export \"run\") (call $f))", &[], "trap: call stack exhausted"),
        (
            "(memory 1) (func (export \"run\") (drop (i32.load (i32.const 65533))))",
            &[],
            "trap: out of bounds memory access",
        ),
        (
            "(memory 1) (func (export \"run\") (i32.store8 offset=4294967295 (i32.const 4294967295) (i32.const 0)))",
            &[],
            "trap: out of bounds memory access",
        ),
        (
            "(memory 1) (func (export \"run\") (memory.fill (i32.const 65535) (i32.const 0) (i32.const 2)))",
            &[],
            "trap: out of bounds memory access",
        ),
        (
            "(func (export \"run\") (param i32) (drop (i32.div_s (local.get 0) (i32.const 0))))",
            &[Val::I32(9)],
            "trap: integer divide by zero",
        ),
        (
            "(func (export \"run\") (param i32) (drop (i32.div_s (i32.const 0x80000000) (i32.sub (i32.const 8) (local.get 0)))))",
            &[Val::I32(9)],
            "trap: integer overflow",
        ),
        (
            "(func (export \"run\") (drop (i32.trunc_f32_s (f32.const nan))))",
            &[],
            "trap: invalid conversion to integer",
        ),
        (
            "(table 1 funcref) (func (export \"run\") (param i32) (call_indirect (local.get 0)))",
            &[Val::I32(9)],
            "trap: undefined element",
        ),
        (
            "(table 10 funcref) (func (export \"run\") (param i32) (call_indirect (local.get 0)))",
            &[Val::I32(9)],
            "trap: uninitialized element",
        ),
        (
            "(table 1 funcref) (elem (i32.const 0) $f) (func $f (param i64))
             (func (export \"run\") (call_indirect (i32.const 0)))",
            &[],
            "trap: indirect call type mismatch",
        ),
        (
            "(table 1 funcref) (func (export \"run\") (drop (table.get (i32.const 1))))",
            &[],
            "trap: out of bounds table access",
        ),
    ];

#[test]
fn programs_give_what_they_should() {
    for (wat, args, expected) in PROGRAMS {
        let (mut store, instance) = instantiate(&format!("(module {wat})"));
        let got = match call(&mut store, instance, "run", args) {
            Ok(values) => values
                .iter()
                .map(Val::to_string)
                .collect::<Vec<_>>()
                .join(" "),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Trap, "{error:?}");
                error.to_string().replace("wasm trap", "trap")
            }
        };
        assert_eq!(&got, expected, "{wat}");
    }
}

/// What a module's instantiation says when it fails.
#[test]
fn instantiation_fails_cleanly() {
    let cases = [
        ("(import \"a\" \"b\" (func))", "unknown import"),
        ("(import \"host\" \"f\" (func))", "incompatible import type"),
        (
            "(import \"host\" \"f\" (memory 1))",
            "incompatible import type",
        ),
        (
            "(memory 1) (data (i32.const 65536) \"x\")",
            "out of bounds memory access",
        ),
        (
            "(table 1 funcref) (func $f) (elem (i32.const 1) $f)",
            "out of bounds table access",
        ),
        ("(func $f unreachable) (start $f)", "`unreachable`"),
        ("(memory 2)", "a memory of 131072 bytes exceeds"),
    ];
    let mut config = Config::new();
    config.max_store_memory_bytes(65536);
    let engine = Engine::new(&config).unwrap();
    for (wat, expected) in cases {
        let mut store = Store::new(&engine, ());
        let mut linker = Linker::new(&engine);
        linker.func_wrap("host", "f", |x: i32| x).unwrap();
        let module = Module::new(&engine, format!("(module {wat})")).unwrap();
        let error = linker.instantiate(&mut store, &module).unwrap_err();
        assert!(format!("{error:#}").contains(expected), "{error:?}");
    }
}

#[test]
fn a_trap_names_the_functions_that_were_running() {
    let (mut store, instance) = instantiate(
        "(module $shop
           (func $pay (param i32) (drop (i32.div_u (i32.const 1) (local.get 0))))
           (func $_ZN4shop4sell17h0123456789abcdefE (call $pay (i32.const 0)))
           (func (export \"run\") (call $_ZN4shop4sell17h0123456789abcdefE)))",
    );
    let error = call(&mut store, instance, "run", &[]).unwrap_err();
    assert_eq!(error.trap(), Some(Trap::IntegerDivisionByZero));
    let trace = error.downcast_ref::<Backtrace>().expect("a backtrace");
    let names: Vec<_> = trace
        .frames()
        .iter()
        .map(|f| (f.module_name(), f.func_name(), f.func_index()))
        .collect();
    let shop = Some("shop");
    assert_eq!(
        names,
        [
            (shop, Some("pay"), 0),
            (shop, Some("shop::sell"), 1),
            (shop, None, 2)
        ]
    );
    assert!(
        trace.frames().iter().all(|f| f.module_offset().is_some()),
        "{trace}"
    );
    let text = format!("{error:?}");
    assert!(
        text.starts_with("wasm trap: integer divide by zero\n"),
        "{text}"
    );
    assert!(
        text.contains("wasm backtrace:") && text.contains("shop!pay"),
        "{text}"
    );
}

/// An error type of the embedder's own.
#[derive(Debug)]
struct Quit(i32);

impl std::fmt::Display for Quit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "quit with {}", self.0)
    }
}

impl std::error::Error for Quit {}

const CALLS_HOST: &str = r#"(module
          (import "h" "none" (func $none))
          (import "h" "add" (func $add (param i32 i64 f32 f64) (result f64)))
          (import "h" "swap" (func $swap (param i32 i64) (result i64 i32)))
          (import "h" "log" (func $log (param i32 i32)))
          (import "h" "quit" (func $quit (param i32)))
          (import "h" "sum16" (func $sum16 (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
          (import "h" "twenty" (func $twenty (param i32) (result i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)))
          (import "h" "wrong" (func $wrong (result i32)))
          (memory (export "memory") 1) (data (i32.const 8) "hello")
          (func (export "add") (result f64) (call $none) (call $add (i32.const 1) (i64.const 2) (f32.const 3) (f64.const 4)))
          (func (export "swap") (param i32 i64) (result i64 i32) (call $swap (local.get 0) (local.get 1)))
          (func (export "log") (call $log (i32.const 8) (i32.const 5)))
          (func (export "quit") (call $quit (i32.const 3)))
          (func (export "wrong") (drop (call $wrong)))
          (func (export "sum16") (result i32)
            (call $sum16 (i32.const 1) (i32.const 2) (i32.const 3) (i32.const 4) (i32.const 5) (i32.const 6) (i32.const 7) (i32.const 8)
              (i32.const 9) (i32.const 10) (i32.const 11) (i32.const 12) (i32.const 13) (i32.const 14) (i32.const 15) (i32.const 16)))
          (func (export "twenty") (param i32) (result i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)
            (call $twenty (local.get 0))))"#;

/// The functions that [`CALLS_HOST`] imports.
fn host_functions(engine: &Engine) -> Linker<Vec<String>> {
    let mut linker = Linker::<Vec<String>>::new(engine);
    linker.func_wrap("h", "none", || {}).unwrap();
    linker
        .func_wrap("h", "add", |a: i32, b: i64, c: f32, d: f64| -> f64 {
            f64::from(a) + b as f64 + f64::from(c) + d
        })
        .unwrap();
    linker
        .func_wrap("h", "swap", |a: u32, b: u64| (b, a))
        .unwrap();
    linker
        .func_wrap(
            "h",
            "log",
            |mut caller: Caller<'_, Vec<String>>, ptr: u32, len: u32| -> Result<()> {
                let memory = caller.get_export("memory").and_then(|e| e.into_memory());
                let memory = memory.ok_or_else(|| Error::msg("no memory"))?;
                let mut text = vec![0; len as usize];
                memory.read(&caller, ptr as usize, &mut text)?;
                caller.data_mut().push(String::from_utf8(text)?);
                Ok(())
            },
        )
        .unwrap();
    linker
        .func_wrap("h", "quit", |code: i32| -> Result<(), Quit> {
            Err(Quit(code))
        })
        .unwrap();
    linker
        .func_wrap(
            "h",
            "sum16",
            |a: i32,
             b: i32,
             c: i32,
             d: i32,
             e: i32,
             f: i32,
             g: i32,
             h: i32,
             i: i32,
             j: i32,
             k: i32,
             l: i32,
             m: i32,
             n: i32,
             o: i32,
             p: i32| { a + b + c + d + e + f + g + h + i + j + k + l + m + n + o + p },
        )
        .unwrap();
    dynamic_host_functions(&mut linker);
    linker
}

fn dynamic_host_functions(linker: &mut Linker<Vec<String>>) {
    let ty = FuncType::new([ValType::I32], [ValType::I64; 20]);
    linker
        .func_new("h", "twenty", ty, |_, params, results| {
            let Val::I32(first) = params[0] else {
                panic!("{}", params[0])
            };
            for (i, result) in results.iter_mut().enumerate() {
                *result = Val::I64(i64::from(first) + i as i64);
            }
            Ok(())
        })
        .unwrap();
    linker
        .func_new(
            "h",
            "wrong",
            FuncType::new([], [ValType::I32]),
            |_, _, r| {
                r[0] = Val::I64(1);
                Ok(())
            },
        )
        .unwrap();
}

#[test]
fn host_functions_give_and_take() {
    let engine = engine();
    let linker = host_functions(&engine);
    let module = Module::new(&engine, CALLS_HOST).unwrap();
    let mut store = Store::new(&engine, Vec::new());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    assert_eq!(
        instance
            .get_typed_func::<(), f64>(&mut store, "add")
            .unwrap()
            .call(&mut store, ())
            .unwrap(),
        10.0
    );
    let swap = instance
        .get_typed_func::<(u32, u64), (u64, u32)>(&mut store, "swap")
        .unwrap();
    assert_eq!(swap.call(&mut store, (1, 2)).unwrap(), (2, 1));
    instance
        .get_typed_func::<(), ()>(&mut store, "log")
        .unwrap()
        .call(&mut store, ())
        .unwrap();
    assert_eq!(store.data(), &["hello"]);
    assert_eq!(
        instance
            .get_typed_func::<(), i32>(&mut store, "sum16")
            .unwrap()
            .call(&mut store, ())
            .unwrap(),
        136
    );

    let twenty = instance.get_func(&mut store, "twenty").unwrap();
    let mut results = [Val::I32(0); 20];
    twenty
        .call(&mut store, &[Val::I32(100)], &mut results)
        .unwrap();
    for (i, result) in results.iter().enumerate() {
        assert!(
            matches!(result, Val::I64(v) if *v == 100 + i as i64),
            "{i}: {result}"
        );
    }

    let error = instance
        .get_typed_func::<(), ()>(&mut store, "quit")
        .unwrap()
        .call(&mut store, ())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Host);
    assert_eq!(error.downcast_ref::<Quit>().map(|q| q.0), Some(3));
    assert_eq!(
        error.downcast_ref::<Backtrace>().map(|b| b.frames().len()),
        Some(1)
    );
    let error = instance
        .get_typed_func::<(), ()>(&mut store, "wrong")
        .unwrap()
        .call(&mut store, ())
        .unwrap_err();
    assert!(
        format!("{error:#}").contains("where the type is i32"),
        "{error:#}"
    );
}

#[test]
fn wrong_use_is_an_error() {
    let (mut store, instance) = instantiate(
        "(module (func (export \"f\") (param i32)) (global (export \"g\") i32 (i32.const 1)))",
    );
    let f = instance.get_func(&store, "f").unwrap();
    assert!(f.call(&mut store, &[], &mut []).is_err());
    assert!(f.call(&mut store, &[Val::I64(1)], &mut []).is_err());
    assert!(
        f.call(&mut store, &[Val::I32(1)], &mut [Val::I32(1)])
            .is_err()
    );
    assert!(f.typed::<i64, ()>(&store).is_err());
    assert!(f.typed::<i32, i32>(&store).is_err());
    assert!(
        instance
            .get_global(&store, "g")
            .unwrap()
            .set(&mut store, Val::I32(2))
            .is_err()
    );
    assert!(instance.get_func(&store, "g").is_none());

    let (mut other, other_instance) = instantiate("(module)");
    let typed = f.typed::<i32, ()>(&store).unwrap();
    assert!(f.call(&mut other, &[Val::I32(1)], &mut []).is_err());
    assert!(typed.call(&mut other, 1).is_err());
    assert!(instance.get_func(&other, "f").is_none());
    assert!(other_instance.exports(&store).is_err());
    assert!(
        instance
            .get_global(&store, "g")
            .unwrap()
            .get(&other)
            .is_err()
    );
    let value = ExternRef::new(&mut other, 1u32).unwrap();
    assert!(value.data(&store).is_err());
    typed.call(&mut store, 1).unwrap();
}

#[test]
fn a_host_panic_goes_through_guests() {
    let engine = engine();
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    linker
        .func_wrap("h", "panic", || -> () { panic!("from the host") })
        .unwrap();
    let module = Module::new(
        &engine,
        "(module (import \"h\" \"panic\" (func $p)) (func (export \"run\") (call $p)) (func (export \"ok\") (result i32) i32.const 1))",
    )
    .unwrap();
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.get_typed_func::<(), ()>(&store, "run").unwrap();
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.call(&mut store, ())));
    assert_eq!(
        panic.unwrap_err().downcast_ref::<&str>(),
        Some(&"from the host")
    );
    let ok = instance.get_typed_func::<(), i32>(&store, "ok").unwrap();
    assert_eq!(ok.call(&mut store, ()).unwrap(), 1);
}

#[test]
fn host_and_guest_call_each_other_in_turn() {
    let engine = engine();
    let mut store = Store::new(&engine, 0u32);
    let mut linker = Linker::new(&engine);
    linker
        .func_wrap(
            "h",
            "down",
            |mut caller: Caller<'_, u32>, n: i32| -> Result<i32> {
                *caller.data_mut() += 1;
                let Some(f) = caller.get_export("run").and_then(|e| e.into_func()) else {
                    return Err(Error::msg("no run"));
                };
                let below = f.typed::<i32, i32>(&caller)?.call(&mut caller, n)?;
                *caller.data_mut() += 1;
                Ok(below + 1)
            },
        )
        .unwrap();
    let module = Module::new(
        &engine,
        "(module $m (import \"h\" \"down\" (func $down (param i32) (result i32)))
           (func $run (export \"run\") (param i32) (result i32)
             (if (i32.eqz (local.get 0)) (then (return (i32.const 0))))
             (if (i32.eq (local.get 0) (i32.const 100)) (then unreachable))
             (call $down (i32.sub (local.get 0) (i32.const 1)))))",
    )
    .unwrap();
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.get_typed_func::<i32, i32>(&store, "run").unwrap();
    assert_eq!(run.call(&mut store, 10).unwrap(), 10);
    assert_eq!(*store.data(), 20);
    let error = run.call(&mut store, 105).unwrap_err();
    assert_eq!(error.trap(), Some(Trap::Unreachable));
    assert_eq!(error.downcast_ref::<Backtrace>().unwrap().frames().len(), 6);
    assert_eq!(run.call(&mut store, 3).unwrap(), 3);
}

#[test]
fn a_failed_instantiation_keeps_what_others_hold() {
    let engine = engine();
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    let owner = Module::new(&engine, "(module (table (export \"t\") 2 funcref) (func (export \"run\") (result i32) (call_indirect (result i32) (i32.const 0))))").unwrap();
    let owner = linker.instantiate(&mut store, &owner).unwrap();
    linker.instance(&mut store, "owner", owner).unwrap();
    let module = Module::new(&engine, "(module (import \"owner\" \"t\" (table 2 funcref)) (memory 1) (global i32 (i32.const 77)) (func $f (result i32) (global.get 0)) (elem (i32.const 0) $f) (data (i32.const 70000) \"x\"))").unwrap();
    let error = linker.instantiate(&mut store, &module).unwrap_err();
    assert_eq!(error.trap(), Some(Trap::MemoryOutOfBounds));
    drop(module);
    let run = owner.get_typed_func::<(), i32>(&store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), 77);
}

#[test]
fn threads_each_with_a_store() {
    let engine = Engine::new(&Config::new()).unwrap();
    let module = Module::new(
        &engine,
        "(module (memory 1) (func $f (export \"run\") (param i32) (result i32)
           (if (i32.eqz (local.get 0)) (then (drop (i32.load (i32.const 65536)))))
           (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (local.get 0)))
           (i32.load (i32.const 0))))",
    )
    .unwrap();
    std::thread::scope(|scope| {
        for n in 1..=8 {
            let (engine, module) = (&engine, &module);
            scope.spawn(move || {
                let mut store = Store::new(engine, ());
                let instance = Linker::new(engine).instantiate(&mut store, module).unwrap();
                let run = instance.get_typed_func::<i32, i32>(&store, "run").unwrap();
                for i in 1..=1000 {
                    assert_eq!(run.call(&mut store, n).unwrap(), n * i);
                    if i % 100 == 0 {
                        assert_eq!(
                            run.call(&mut store, 0).unwrap_err().trap(),
                            Some(Trap::MemoryOutOfBounds)
                        );
                    }
                }
            });
        }
    });
    // A store may move between threads.
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine)
        .instantiate(&mut store, &module)
        .unwrap();
    let run = instance.get_typed_func::<i32, i32>(&store, "run").unwrap();
    run.call(&mut store, 1).unwrap();
    let moved = std::thread::spawn(move || run.call(&mut store, 1).unwrap());
    assert_eq!(moved.join().unwrap(), 2);
}

struct AtMost(u64);

impl helve::Limiter for AtMost {
    fn memory_growing(&mut self, _current: u64, desired: u64, _maximum: Option<u64>) -> bool {
        desired <= self.0
    }

    fn table_growing(&mut self, _current: u64, desired: u64, _maximum: Option<u64>) -> bool {
        desired <= 10
    }
}

#[test]
fn growth_has_limits() {
    let wat = "(module (memory (export \"m\") 1) (table (export \"t\") 1 funcref)
        (func (export \"grow\") (param i32) (result i32) (memory.grow (local.get 0)))
        (func (export \"grow_table\") (param i32) (result i32) (table.grow (ref.null func) (local.get 0))))";
    const PAGE: u64 = 65536;
    // (limit of one memory, of the store, of the store's limiter)
    for (one, all, custom) in [
        (3 * PAGE, 100 * PAGE, 100 * PAGE),
        (100 * PAGE, 3 * PAGE, 100 * PAGE),
        (100 * PAGE, 100 * PAGE, 3 * PAGE),
    ] {
        let mut config = Config::new();
        config
            .max_memory_bytes(one)
            .max_store_memory_bytes(all)
            .max_table_elements(10);
        let engine = Engine::new(&config).unwrap();
        let mut store = Store::new(&engine, AtMost(custom));
        store.limiter(|limiter| limiter);
        let module = Module::new(&engine, wat).unwrap();
        let instance = Linker::new(&engine)
            .instantiate(&mut store, &module)
            .unwrap();
        let grow = instance.get_typed_func::<i32, i32>(&store, "grow").unwrap();
        assert_eq!(grow.call(&mut store, 1).unwrap(), 1);
        assert_eq!(grow.call(&mut store, 2).unwrap(), -1);
        let memory = instance.get_memory(&store, "m").unwrap();
        assert_eq!(memory.grow(&mut store, 1).unwrap(), 2);
        assert!(memory.grow(&mut store, 1).is_err());
        assert_eq!(memory.size(&store).unwrap(), 3);
        assert_eq!(memory.data(&store).unwrap().len(), 3 * PAGE as usize);
        let grow = instance
            .get_typed_func::<i32, i32>(&store, "grow_table")
            .unwrap();
        assert_eq!(grow.call(&mut store, 9).unwrap(), 1);
        assert_eq!(grow.call(&mut store, 1).unwrap(), -1);
        let table = instance.get_table(&store, "t").unwrap();
        assert!(table.grow(&mut store, 1, Ref::Func(None)).is_err());
        assert_eq!(table.size(&store).unwrap(), 10);
    }
}

#[test]
fn things_of_the_host_are_shared_with_guests() {
    let engine = engine();
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    let ty = helve::core::MemoryType {
        minimum: 1,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: 16,
    };
    let memory = Memory::new(&mut store, ty).unwrap();
    memory.write(&mut store, 10, &[5]).unwrap();
    linker.define("h", "m", memory).unwrap();
    let double = Func::wrap(&mut store, |x: i32| x * 2).unwrap();
    linker.define("h", "f", double).unwrap();
    let module = Module::new(
        &engine,
        "(module (import \"h\" \"m\" (memory 1)) (import \"h\" \"f\" (func $f (param i32) (result i32)))
           (table (export \"t\") 2 externref) (export \"f\" (func $f))
           (func (export \"run\") (param externref) (result externref)
             (i32.store8 (i32.const 11) (call $f (i32.load8_u (i32.const 10))))
             (drop (memory.grow (i32.const 1)))
             (table.set (i32.const 1) (local.get 0)) (table.get (i32.const 1))))",
    )
    .unwrap();
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let value = ExternRef::new(&mut store, "a host value").unwrap();
    let run = instance
        .get_typed_func::<Option<ExternRef>, Option<ExternRef>>(&store, "run")
        .unwrap();
    let back = run.call(&mut store, Some(value)).unwrap().unwrap();
    assert_eq!(
        back.data(&store).unwrap().downcast_ref::<&str>(),
        Some(&"a host value")
    );
    assert_eq!(memory.data(&store).unwrap()[11], 10);
    assert_eq!(memory.size(&store).unwrap(), 2);
    let table = instance.get_table(&store, "t").unwrap();
    assert!(table.get(&store, 0).unwrap().is_null());
    assert!(matches!(table.get(&store, 1).unwrap(), Ref::Extern(Some(v)) if v == value));
    let f = instance.get_typed_func::<i32, i32>(&store, "f").unwrap();
    assert_eq!(f.call(&mut store, 21).unwrap(), 42);
}
