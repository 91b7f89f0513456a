//! Components through the embedding API: calls in both directions, linking, errors. Not
//! here: values (`component_values.rs`), resources (`component_resources.rs`), the
//! official scripts (helve-wast).

mod support;

use helve::component::{Component, Linker, TypedFunc, Val};
use helve::{Error, Store, Trap};
use support::{NO_TYPES, echo, engine, instance, with_memory};

#[test]
fn a_typed_call_of_add() {
    let (mut store, instance) = instance(
        (),
        r#"(component
            (core module $m (func (export "add") (param i32 i32) (result i32)
                (i32.add (local.get 0) (local.get 1))))
            (core instance $i (instantiate $m))
            (func (export "add") (param "a" u32) (param "b" u32) (result u32)
                (canon lift (core func $i "add"))))"#,
        |_| Ok(()),
    )
    .unwrap();
    let add = instance
        .get_typed_func::<(u32, u32), (u32,)>(&mut store, "add")
        .unwrap();
    assert_eq!(add.call(&mut store, (2, 3)).unwrap(), (5,));
    assert_eq!(add.call(&mut store, (u32::MAX, 3)).unwrap(), (2,));
    let func = instance.get_func(&mut store, "add").unwrap();
    let mut results = [Val::Bool(false)];
    func.call(&mut store, &[Val::U32(40), Val::U32(2)], &mut results)
        .unwrap();
    assert_eq!(results, [Val::U32(42)]);
    let error = func
        .call(&mut store, &[Val::U32(40), Val::S32(2)], &mut results)
        .unwrap_err();
    assert!(
        format!("{error:#}")
            .contains("in argument `b`: type mismatch: expected `u32`, found a s32"),
        "{error:#}"
    );
    let error = instance
        .get_typed_func::<(u32, i32), (u32,)>(&mut store, "add")
        .unwrap_err();
    assert!(
        format!("{error:#}").contains("in parameter `b`"),
        "{error:#}"
    );
    assert_eq!(
        add.call(&mut store, (1, 1)).unwrap(),
        (2,),
        "a host's mistake does no harm"
    );
}

#[test]
fn a_host_error_comes_back_whole_and_ends_the_instance() {
    #[derive(Debug, PartialEq)]
    struct Exit(i32);
    impl std::fmt::Display for Exit {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "exit {}", self.0)
        }
    }
    impl std::error::Error for Exit {}
    let (mut store, instance) = instance(
        0,
        &echo("u32", NO_TYPES, "", ("i32", "i32")),
        |linker: &mut Linker<i32>| {
            linker.root().func_wrap("echo", |mut cx, (x,): (u32,)| {
                *cx.data_mut() += 1;
                if x == 0 {
                    Err(Error::new(Exit(3)))
                } else {
                    Ok((x,))
                }
            })
        },
    )
    .unwrap();
    let echo = instance
        .get_typed_func::<(u32,), (u32,)>(&mut store, "echo")
        .unwrap();
    echo.call(&mut store, (1,)).unwrap();
    let error = echo.call(&mut store, (0,)).unwrap_err();
    assert_eq!(error.downcast_ref::<Exit>(), Some(&Exit(3)), "{error:#}");
    let error = echo.call(&mut store, (1,)).unwrap_err();
    assert_eq!(error.trap(), Some(Trap::CannotEnterComponent), "{error:#}");
    assert_eq!(*store.data(), 2);
}

#[test]
fn missing_imports_are_all_named() {
    let text = r#"(component
        (import "a:b/c@0.2.10" (instance (export "f" (func)) (export "r" (type (sub resource))) (export "g" (func))))
        (import "h" (func)))"#;
    let error = instance((), text, |linker| {
        linker
            .instance("a:b/c@0.3.0")?
            .func_wrap("f", |_, (): ()| Ok(()))
    })
    .unwrap_err();
    let message = format!("{error:#}");
    for part in [
        "a:b/c@0.2.10#f",
        "a:b/c@0.2.10#g",
        "resource `a:b/c@0.2.10#r`",
        "function `h`",
        "a:b/c@0.3.0",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
    let error = instance((), text, |linker| {
        linker.root().func_wrap("h", |_, (): ()| Ok((1u32,)))
    })
    .unwrap_err();
    assert!(format!("{error:#}").contains("a:b/c@0.2.10#f"), "{error:#}");
}

#[test]
fn versions_of_one_track_serve_each_other() {
    let text = r#"(component
        (import "a:b/c@0.2.10" (instance $i (export "f" (func (result u32)))))
        (core func $f (canon lower (func $i "f")))
        (core module $m (import "" "f" (func $f (result i32))) (export "f" (func $f)))
        (core instance $m (instantiate $m (with "" (instance (export "f" (func $f))))))
        (func $run (result u32) (canon lift (core func $m "f")))
        (instance $e (export "f" (func $run)))
        (export "x:y/z@0.2.3" (instance $e)))"#;
    for (version, works) in [
        ("0.2.10", true),
        ("0.2.12", true),
        ("0.2.0", true),
        ("0.3.0", false),
    ] {
        let made = instance((), text, |linker| {
            linker
                .instance(&format!("a:b/c@{version}"))?
                .func_wrap("f", |_, (): ()| Ok((7u32,)))
        });
        assert_eq!(made.is_ok(), works, "{version}");
        let Ok((mut store, instance)) = made else {
            continue;
        };
        let e = instance
            .get_export(&mut store, None, "x:y/z@0.2.8")
            .unwrap();
        let f = instance.get_export(&mut store, Some(&e), "f").unwrap();
        let f = instance
            .get_typed_func::<(), (u32,)>(&mut store, &f)
            .unwrap();
        assert_eq!(f.call(&mut store, ()).unwrap(), (7,));
        assert!(instance.get_func(&mut store, "x:y/z@0.2.3#f").is_some());
        assert!(instance.get_func(&mut store, "x:y/z@0.3.3#f").is_none());
    }
}

#[test]
fn names_are_defined_once_unless_shadowing_is_allowed() {
    let engine = engine();
    let mut linker: Linker<()> = Linker::new(&engine);
    linker.root().func_wrap("f", |_, (): ()| Ok(())).unwrap();
    let error = linker
        .root()
        .func_wrap("f", |_, (): ()| Ok(()))
        .unwrap_err();
    assert!(error.to_string().contains("`f` is defined"), "{error}");
    linker.allow_shadowing(true);
    linker.root().func_wrap("f", |_, (): ()| Ok(())).unwrap();
}

#[test]
fn composed_components_call_each_other() {
    let memory = with_memory("");
    let text = format!(
        r#"(component
        (component $inner
            {memory}
            (core instance $mem (instantiate $m))
            (core module $f
                (func (export "twice") (param i32 i32) (result i32)
                    (i32.store (i32.const 0) (local.get 0))
                    (i32.store (i32.const 4) (local.get 1))
                    (i32.const 0))
                (import "" "memory" (memory 1)))
            (core instance $f (instantiate $f (with "" (instance (export "memory" (memory $mem "memory"))))))
            (func (export "same") (param "x" string) (result string) (canon lift (core func $f "twice")
                (memory (core memory $mem "memory")) (realloc (core func $mem "realloc")))))
        (instance $inner (instantiate $inner))
        {memory}
        (core instance $mem (instantiate $m))
        (core func $same (canon lower (func $inner "same")
            (memory (core memory $mem "memory")) (realloc (core func $mem "realloc")) string-encoding=utf16))
        (core module $main
            (import "" "same" (func $same (param i32 i32 i32)))
            (func (export "run") (param i32 i32) (result i32)
                (call $same (local.get 0) (local.get 1) (i32.const 64)) (i32.const 64)))
        (core instance $main (instantiate $main (with "" (instance (export "same" (func $same))))))
        (func (export "run") (param "x" string) (result string) (canon lift (core func $main "run")
            (memory (core memory $mem "memory")) (realloc (core func $mem "realloc")) string-encoding=utf16)))"#
    );
    let text = text
        .replace("(import \"\" \"memory\" (memory 1)))", ")")
        .replacen(
            "(core module $f",
            "(core module $f (import \"\" \"memory\" (memory 1))",
            1,
        );
    let (mut store, instance) = instance((), &text, |_| Ok(())).unwrap();
    let run = instance
        .get_typed_func::<(&str,), (String,)>(&mut store, "run")
        .unwrap();
    for text in ["", "hello", "☃ snow"] {
        assert_eq!(run.call(&mut store, (text,)).unwrap().0, text);
    }
}

#[test]
fn guests_that_break_the_abi_trap() {
    // (result type, body of a core function that returns it, text of the trap)
    let cases = [
        ("char", "(i32.const 0xd800)", "invalid `char` bit pattern"),
        ("(result)", "(i32.const 2)", "invalid variant discriminant"),
        ("string", "(i32.const 3)", "unaligned pointer"),
        (
            "string",
            "(i32.const 0x7ffffffc)",
            "pointer/length out of bounds of memory",
        ),
        (
            "string",
            "(i32.store (i32.const 0) (i32.const -1)) (i32.const 0)",
            "string pointer/length out of bounds of memory",
        ),
        (
            "string",
            "(i32.store (i32.const 4) (i32.const 1)) (i32.store8 (i32.const 0) (i32.const 8)) (i32.store8 (i32.const 8) (i32.const 0xff)) (i32.const 0)",
            "invalid utf-8",
        ),
        (
            "(list u32)",
            "(i32.store (i32.const 0) (i32.const 2)) (i32.store (i32.const 4) (i32.const 1)) (i32.const 0)",
            "unaligned pointer",
        ),
        (
            "(list u32)",
            "(i32.store (i32.const 4) (i32.const -1)) (i32.const 0)",
            "list content out-of-bounds",
        ),
        ("u32", "unreachable", "unreachable"),
    ];
    for (ty, body, text) in cases {
        let module = with_memory(&format!("(func (export \"f\") (result i32) {body})"));
        let component = format!(
            r#"(component {module} (core instance $i (instantiate $m))
                (func (export "f") (result {ty}) (canon lift (core func $i "f") (memory (core memory $i "memory")))))"#
        );
        let (mut store, instance) = instance((), &component, |_| Ok(())).unwrap();
        let func = instance.get_func(&mut store, "f").unwrap();
        let error = func
            .call(&mut store, &[], &mut [Val::Bool(false)])
            .unwrap_err();
        assert!(error.to_string().contains(text), "{ty}: {error}");
        assert!(error.trap().is_some(), "{ty}: {error}");
        let error = func
            .call(&mut store, &[], &mut [Val::Bool(false)])
            .unwrap_err();
        assert_eq!(error.trap(), Some(Trap::CannotEnterComponent), "{error}");
    }
}

#[test]
fn a_realloc_that_lies_traps() {
    for (returned, text) in [
        ("-4", "realloc return: beyond end of memory"),
        ("2", "realloc return: result not aligned"),
    ] {
        let component = format!(
            r#"(component
                (core module $m (memory (export "memory") 1)
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const {returned}))
                    (func (export "f") (param i32 i32)))
                (core instance $i (instantiate $m))
                (func (export "f") (param "x" (list u32)) (canon lift (core func $i "f")
                    (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"#
        );
        let (mut store, instance) = instance((), &component, |_| Ok(())).unwrap();
        let func = instance
            .get_typed_func::<(&[u32],), ()>(&mut store, "f")
            .unwrap();
        let error = func.call(&mut store, (&[1, 2],)).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[test]
fn unknown_imports_can_be_traps() {
    let text = echo("u32", NO_TYPES, "", ("i32", "i32"));
    let engine = engine();
    let component = Component::new(&engine, &text).unwrap();
    let mut linker: Linker<()> = Linker::new(&engine);
    assert!(linker.check(&component).is_err());
    linker.define_unknown_imports_as_traps(&component).unwrap();
    linker.check(&component).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let echo = instance
        .get_typed_func::<(u32,), (u32,)>(&mut store, "echo")
        .unwrap();
    let error = echo.call(&mut store, (1,)).unwrap_err();
    assert!(format!("{error:#}").contains("`echo`"), "{error:#}");
}

#[test]
fn components_as_values() {
    let engine = engine();
    let maker = Component::new(
        &engine,
        r#"(component $maker
            (import "seven" (core module $seven (export "f" (func (result i32)))))
            (component $c
                (alias outer $maker $seven (core module $seven))
                (import "twice" (func $twice (param "x" u32) (result u32)))
                (core func $twice (canon lower (func $twice)))
                (core instance $i (instantiate $seven))
                (core module $m
                    (import "" "twice" (func $twice (param i32) (result i32)))
                    (import "" "f" (func $f (result i32)))
                    (func (export "run") (result i32) (call $twice (call $f))))
                (core instance $m (instantiate $m (with "" (instance
                    (export "twice" (func $twice)) (export "f" (func $i "f"))))))
                (func (export "run") (result u32) (canon lift (core func $m "run"))))
            (instance $nested (export "c" (component $c)))
            (export "nested" (instance $nested)))"#,
    )
    .unwrap();
    let user = Component::new(
        &engine,
        r#"(component
            (import "c" (component $c
                (import "twice" (func (param "x" u32) (result u32)))
                (export "run" (func (result u32)))))
            (import "twice" (func $twice (param "x" u32) (result u32)))
            (instance $i (instantiate $c (with "twice" (func $twice))))
            (export "run" (func $i "run")))"#,
    )
    .unwrap();
    let seven = helve::core::Module::new(
        &engine,
        r#"(module (func (export "f") (result i32) (i32.const 7)))"#,
    )
    .unwrap();
    let mut store = Store::new(&engine, ());
    let mut linker: Linker<()> = Linker::new(&engine);
    linker.root().module("seven", &seven).unwrap();
    let twice = |_: helve::StoreContextMut<'_, ()>, (x,): (u32,)| Ok((2 * x,));
    linker.root().func_wrap("twice", twice).unwrap();
    let maker = linker.instantiate(&mut store, &maker).unwrap();
    let component = maker.get_component(&mut store, "nested#c").unwrap();
    assert_eq!(component.imports().collect::<Vec<_>>(), ["twice"]);
    assert!(maker.get_component(&mut store, "nested").is_err());

    // By the host, and by a guest; in other stores too.
    linker.root().component("c", &component).unwrap();
    for _ in 0..3 {
        let mut store = Store::new(&engine, ());
        for component in [&component, &user] {
            let instance = linker.instantiate(&mut store, component).unwrap();
            let run = instance.get_typed_func::<(), (u32,)>(&mut store, "run");
            assert_eq!(run.unwrap().call(&mut store, ()).unwrap(), (14,));
        }
    }
    assert!(component.serialize().is_err());
}

#[test]
fn imports_and_exports_that_implement_interfaces() {
    let engine = engine();
    let component = Component::new(
        &engine,
        r#"(component
            (import "primary" (implements "a:b/store@0.2.1") (external-id "db:1")
                (instance $p (export "get" (func (result u32)))))
            (import "secondary" (implements "a:b/store@0.2.1")
                (instance $s (export "get" (func (result u32)))))
            (export "again" (implements "a:b/store@0.2.0") (instance $p))
            (export "other" (instance $s)))"#,
    )
    .unwrap();
    let attributes = component.import_attributes("primary").unwrap();
    assert_eq!(attributes.implements.as_deref(), Some("a:b/store@0.2.1"));
    assert_eq!(attributes.external_id.as_deref(), Some("db:1"));
    let attributes = component.export_attributes("again").unwrap();
    assert_eq!(attributes.implements.as_deref(), Some("a:b/store@0.2.0"));
    assert_eq!(component.import_attributes("again"), None);

    let mut linker: Linker<()> = Linker::new(&engine);
    let error = linker.check(&component).unwrap_err().to_string();
    assert!(error.contains("function `primary#get`"), "{error}");
    let store = |n: u32| move |_: helve::StoreContextMut<'_, ()>, (): ()| Ok((n,));
    let mut wrong = linker.instance("a:b/store@0.3.0").unwrap();
    wrong.func_wrap("get", store(3)).unwrap();
    let error = linker.check(&component).unwrap_err().to_string();
    assert!(error.contains("the linker has a:b/store@0.3.0"), "{error}");
    // The interface serves both; a name of its own counts first.
    let mut interface = linker.instance("a:b/store@0.2.9").unwrap();
    interface.func_wrap("get", store(1)).unwrap();
    let mut own = linker.instance("secondary").unwrap();
    own.func_wrap("get", store(2)).unwrap();
    linker.check(&component).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let found = instance.get_export(&mut store, None, "a:b/store@0.2.5");
    assert!(found.is_some());
    assert!(
        instance
            .get_export(&mut store, None, "a:b/store@0.3.0")
            .is_none()
    );
}

#[test]
fn host_functions_that_are_passed_on() {
    let engine = engine();
    let passing = r#"(component
        (import "host" (instance $host
            (export "r" (type $r (sub resource)))
            (export "seven" (func (result u32)))))
        (alias export $host "r" (type $r))
        (export "r" (type $r))
        (export "seven" (func $host "seven")))"#;
    let calling = r#"(component
        (import "passing" (instance $passing
            (export "r" (type $r (sub resource)))
            (export "seven" (func (result u32)))))
        (core func $seven (canon lower (func $passing "seven")))
        (core module $m (import "" "seven" (func $seven (result i32)))
            (func (export "run") (result i32) (i32.mul (call $seven) (i32.const 6))))
        (core instance $i (instantiate $m (with "" (instance (export "seven" (func $seven))))))
        (func (export "run") (result u32) (canon lift (core func $i "run"))))"#;
    let mut linker: Linker<u32> = Linker::new(&engine);
    let mut host = linker.instance("host").unwrap();
    host.func_wrap("seven", |cx, (): ()| Ok((*cx.data(),)))
        .unwrap();
    let ty = helve::component::ResourceType::host::<u32>();
    host.resource("r", ty, |_, _| Ok(())).unwrap();
    let mut store = Store::new(&engine, 7u32);
    let passing = Component::new(&engine, passing).unwrap();
    let passing = linker.instantiate(&mut store, &passing).unwrap();
    let mut names = linker.instance("passing").unwrap();
    names.exports(&mut store, &passing).unwrap();
    let calling = Component::new(&engine, calling).unwrap();
    let calling = linker.instantiate(&mut store, &calling).unwrap();
    let run = calling.get_typed_func::<(), (u32,)>(&mut store, "run");
    assert_eq!(run.unwrap().call(&mut store, ()).unwrap(), (42,));
}

/// What is looked up and is not there: the message says what is.
#[test]
fn exports_that_are_missing() {
    let engine = engine();
    let text = r#"(component
        (core module $m (func (export "f")))
        (core instance $m (instantiate $m))
        (func $f (canon lift (core func $m "f")))
        (instance $api (export "go" (func $f)))
        (export "a:b/api@1.2.3" (instance $api))
        (export "run" (func $f)))"#;
    let component = Component::new(&engine, text).unwrap();
    let linker: Linker<()> = Linker::new(&engine);
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let mut other = Store::new(&engine, ());
    let empty = Component::new(&engine, "(component)").unwrap();
    let nothing = linker.instantiate(&mut store, &empty).unwrap();
    let fault = |found: helve::Result<TypedFunc<(), ()>>| found.unwrap_err().to_string();
    for (found, expected) in [
        (
            instance.get_typed_func(&mut store, "go"),
            "exports no `go`, but `a:b/api@1.2.3#go`: look that up",
        ),
        (
            instance.get_typed_func(&mut store, "a:b/api@2.0.0#go"),
            "exports no `a:b/api@2.0.0#go`, but `a:b/api@1.2.3#go`",
        ),
        (
            instance.get_typed_func(&mut store, "ran"),
            "exports no `ran`: its functions are `a:b/api@1.2.3#go`, `run`",
        ),
        (
            nothing.get_typed_func(&mut store, "run"),
            "it exports no functions",
        ),
        (
            instance.get_typed_func(&mut store, "a:b/api@1.2.3"),
            "is no function",
        ),
        (
            instance.get_typed_func(&mut other, "run"),
            "belongs to another store",
        ),
    ] {
        let fault = fault(found);
        assert!(fault.contains(expected), "{fault}");
    }
    // By semver, and by place.
    assert!(
        instance
            .get_typed_func::<(), ()>(&mut store, "a:b/api@1.0.0#go")
            .is_ok()
    );
}
