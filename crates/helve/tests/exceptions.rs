//! Exceptions between guests and the host: thrown, caught, passed through, kept; from code
//! compiled ahead, lazily, out of the cache and out of an artifact.

use helve::component::{Component, Linker as ComponentLinker};
use helve::core::{
    Caller, ExnRef, Extern, FuncType, Instance, Linker, Module, Ref, Tag, Val, ValType,
};
use helve::{CompileMode, Config, Engine, Error, Result, Store, ThrownException, Trap};

const GUEST: &str = r#"(module
    (import "host" "tag" (tag $t (param i32 f64)))
    (import "host" "call" (func $call (param i32)))
    (import "host" "take" (func $take (param exnref)))
    (import "host" "give" (func $give (result exnref)))
    (func (export "throw") (param i32) (throw $t (local.get 0) (f64.const 1.5)))
    (func $catch (export "catch") (param i32) (result i32)
        (block $caught (result i32 f64)
            (try_table (catch $t $caught) (call $call (local.get 0)))
            (return (i32.const -1)))
        drop)
    (func (export "pass") (param i32) (call $call (local.get 0)))
    (func (export "hand") (param i32)
        (block $caught (result exnref)
            (try_table (catch_all_ref $caught) (call $call (local.get 0)))
            (return))
        (call $take))
    (func (export "rethrow") (throw_ref (call $give))))"#;

/// What the host has seen of the guest's exceptions.
#[derive(Default)]
struct Seen {
    taken: Option<ExnRef>,
}

fn configs() -> [Config; 2] {
    [CompileMode::Ahead, CompileMode::Lazy].map(|mode| {
        let mut config = Config::new();
        config.compile(mode).verifier(true);
        config
    })
}

/// A guest whose host's `call(n)` throws n where it is positive, calls the guest's `throw`
/// (and passes on what that gives) where it is negative, and fails otherwise.
fn guest(config: &Config) -> Result<(Store<Seen>, Instance, Tag)> {
    let engine = Engine::new(config)?;
    let mut store = Store::new(&engine, Seen::default());
    let tag = Tag::new(&mut store, &FuncType::new([ValType::I32, ValType::F64], []))?;
    let module = Module::new(&engine, GUEST)?;
    let mut linker = Linker::new(&engine);
    linker.define("host", "tag", tag)?;
    linker.func_wrap(
        "host",
        "call",
        move |mut caller: Caller<'_, Seen>, n: i32| -> Result<()> {
            match n {
                1.. => {
                    let values = [Val::I32(n), Val::F64(2.5f64.to_bits())];
                    let exception = ExnRef::new(&mut caller, &tag, &values)?;
                    Err(caller.throw(exception))
                }
                0 => Err(Error::msg("no exception")),
                _ => {
                    let throw = caller.get_export("throw").and_then(Extern::into_func);
                    let throw = throw.ok_or_else(|| Error::msg("no `throw`"))?;
                    throw
                        .call(&mut caller, &[Val::I32(-n)], &mut [])
                        .map_err(|e| e.context("through the host"))
                }
            }
        },
    )?;
    let exn = ValType::Ref(helve::core::RefType {
        nullable: true,
        heap: helve::core::HeapType::Exn,
    });
    linker.func_new(
        "host",
        "take",
        FuncType::new([exn], []),
        |mut caller, args, _| {
            if let [Val::Ref(Ref::Exn(exception))] = args {
                caller.data_mut().taken = *exception;
            }
            Ok(())
        },
    )?;
    linker.func_new(
        "host",
        "give",
        FuncType::new([], [exn]),
        |caller, _, results| {
            results[0] = Val::Ref(Ref::Exn(caller.data().taken));
            Ok(())
        },
    )?;
    let instance = linker.instantiate(&mut store, &module)?;
    Ok((store, instance, tag))
}

fn values(store: &Store<Seen>, exception: ExnRef) -> (i32, f64) {
    match exception.values(store).expect("of this store")[..] {
        [Val::I32(n), Val::F64(x)] => (n, f64::from_bits(x)),
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn hosts_throw_catch_and_pass_on() -> Result<()> {
    for config in configs() {
        let (mut store, instance, tag) = guest(&config)?;
        let catch = instance.get_typed_func::<i32, i32>(&store, "catch")?;
        assert_eq!(catch.call(&mut store, 7)?, 7);
        assert_eq!(catch.call(&mut store, -8)?, 8);
        let error = catch.call(&mut store, 0).expect_err("not an exception");
        assert_eq!((error.trap(), error.is::<ThrownException>()), (None, false));

        let pass = instance.get_typed_func::<i32, ()>(&store, "pass")?;
        for (n, x) in [(7, 2.5), (-9, 1.5)] {
            let error = pass.call(&mut store, n).expect_err("uncaught");
            assert_eq!(error.trap(), Some(Trap::UncaughtException), "{error:?}");
            let exception = store.exception(&error).expect("an exception");
            assert_eq!(exception.tag(&store)?, tag);
            assert_eq!(values(&store, exception), (n.abs(), x));
        }
    }
    Ok(())
}

#[test]
fn hosts_keep_what_they_have_seen() -> Result<()> {
    for config in configs() {
        let (mut store, instance, _) = guest(&config)?;
        let hand = instance.get_typed_func::<i32, ()>(&store, "hand")?;
        let catch = instance.get_typed_func::<i32, i32>(&store, "catch")?;
        let rethrow = instance.get_typed_func::<(), ()>(&store, "rethrow")?;
        hand.call(&mut store, -12)?;
        let error = rethrow.call(&mut store, ()).expect_err("uncaught");
        for n in 1..50_000 {
            assert_eq!(catch.call(&mut store, -n)?, n);
        }
        let held = store.exception(&error).expect("an exception");
        let taken = store.data().taken.expect("an exception");
        assert_eq!(held, taken);
        assert_eq!(values(&store, taken), (12, 1.5));
        let error = rethrow.call(&mut store, ()).expect_err("uncaught");
        assert_eq!(store.exception(&error), Some(taken));
    }
    Ok(())
}

#[test]
fn a_store_has_so_many_bytes_of_exceptions() -> Result<()> {
    // Each is put into a table, so that all of them stay.
    let text = r#"(module
        (tag $t (param i64 i64))
        (table $kept 100000 exnref)
        (func (export "run") (param $n i32)
            (loop $again
                (table.set $kept (local.get $n)
                    (block $caught (result exnref)
                        (try_table (catch_all_ref $caught) (throw $t (i64.const 1) (i64.const 2)))
                        unreachable))
                (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"#;
    for mut config in configs() {
        let mut limits = helve::Limits::default();
        limits.exception_bytes = 48 * 1000;
        config.limits(limits);
        let engine = Engine::new(&config)?;
        let module = Module::new(&engine, text)?;
        let mut store = Store::new(&engine, ());
        let instance = Linker::new(&engine).instantiate(&mut store, &module)?;
        let run = instance.get_typed_func::<i32, ()>(&store, "run")?;
        run.call(&mut store, 900)?;
        // Those from before are replaced, and freed.
        run.call(&mut store, 900)?;
        let error = run.call(&mut store, 1100).expect_err("too many");
        assert_eq!(error.trap(), Some(Trap::LimitExceeded));
    }
    Ok(())
}

#[test]
fn exceptions_of_other_stores_and_wrong_values_are_refused() -> Result<()> {
    let [config, _] = configs();
    let (mut one, ..) = guest(&config)?;
    let (mut other, instance, tag) = guest(&config)?;
    let values = [Val::I32(1), Val::F64(0)];
    assert!(ExnRef::new(&mut one, &tag, &values).is_err());
    assert!(ExnRef::new(&mut other, &tag, &values[..1]).is_err());
    assert!(ExnRef::new(&mut other, &tag, &[Val::I32(1), Val::I32(1)]).is_err());
    assert!(Tag::new(&mut one, &FuncType::new([], [ValType::I32])).is_err());
    let exception = ExnRef::new(&mut other, &tag, &values)?;
    assert!(exception.values(&one).is_err());
    assert!(!one.throw(exception).is::<ThrownException>());
    let throw = instance.get_typed_func::<i32, ()>(&other, "throw")?;
    let error = throw.call(&mut other, 1).expect_err("uncaught");
    assert_eq!(one.exception(&error), None);
    Ok(())
}

/// A component whose `run` catches what a function of its own throws.
const COMPONENT: &str = r#"(component
    (core module $m
        (tag $t (param i32))
        (func $throw (param i32) (throw $t (local.get 0)))
        (func (export "run") (param i32) (result i32)
            (block $caught (result i32)
                (try_table (catch $t $caught) (call $throw (local.get 0)))
                (return (i32.const -1)))))
    (core instance $i (instantiate $m))
    (func (export "run") (param "n" s32) (result s32) (canon lift (core func $i "run"))))"#;

fn runs(engine: &Engine, component: &Component) -> Result<()> {
    let mut store = Store::new(engine, ());
    let instance = ComponentLinker::new(engine).instantiate(&mut store, component)?;
    let run = instance.get_typed_func::<(i32,), (i32,)>(&mut store, "run")?;
    assert_eq!(run.call(&mut store, (5,))?.0, 5);
    Ok(())
}

#[test]
fn handlers_come_back_from_artifacts_and_caches() -> Result<()> {
    let engine = Engine::new(&Config::new())?;
    let bytes = Component::new(&engine, COMPONENT)?.serialize()?;
    // SAFETY: made just now.
    let component = unsafe { Component::deserialize(&engine, &bytes) }?;
    runs(&engine, &component)?;

    let folder = std::env::temp_dir().join(format!("helve-exceptions-{}", std::process::id()));
    for _ in 0..2 {
        let mut config = Config::new();
        config.compile(CompileMode::Lazy).cache(&folder, 1 << 20);
        let engine = Engine::new(&config)?;
        runs(&engine, &Component::new(&engine, COMPONENT)?)?;
    }
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
