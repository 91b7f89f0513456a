//! Components through the embedding API: calls in both directions, values of every type,
//! resources, errors. Not here: the official scripts (helve-wast).

use helve::component::{Component, Instance, Linker, Resource, ResourceAny, ResourceType, Val};
use helve::{Config, Engine, Error, Result, Store, Trap};

fn engine() -> Engine {
    Engine::new(Config::new().all_features(true)).unwrap()
}

/// An instance of the component in `text`, with what `define` adds to the linker.
fn instance<T: 'static>(
    data: T,
    text: &str,
    define: impl FnOnce(&mut Linker<T>) -> Result<()>,
) -> Result<(Store<T>, Instance)> {
    let engine = engine();
    let component = Component::new(&engine, text)?;
    let mut linker = Linker::new(&engine);
    define(&mut linker)?;
    let mut store = Store::new(&engine, data);
    let instance = linker.instantiate(&mut store, &component)?;
    Ok((store, instance))
}

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

/// Core module with a memory, a bump allocator that aligns, and `more`.
fn with_memory(more: &str) -> String {
    format!(
        r#"(core module $m
            (memory (export "memory") 2)
            (global $next (mut i32) (i32.const 1024))
            (func $realloc (export "realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and
                    (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
                    (i32.sub (i32.const 0) (local.get $align))))
                (global.set $next (i32.add (local.get $at) (local.get $size)))
                (if (local.get $old_size) (then
                    (memory.copy (local.get $at) (local.get $old) (local.get $old_size))))
                (local.get $at))
            {more})"#
    )
}

/// A component whose `echo` takes a `ty` and returns it by way of an import `echo`,
/// all in linear memory or in lanes, as the ABI says.
fn echo(ty: &str, types: &str, encoding: &str, (params, results): (&str, &str)) -> String {
    // The lowered import and the lifted export of one function type differ in where a
    // result goes that does not fit one lane.
    let (core, call) = if results == "retptr" {
        (
            format!("(import \"\" \"echo\" (func $echo (param {params} i32)))"),
            "(call $echo {args} (i32.const 16)) (i32.const 16)".to_owned(),
        )
    } else {
        (
            format!("(import \"\" \"echo\" (func $echo (param {params}) (result {results})))"),
            "(call $echo {args})".to_owned(),
        )
    };
    let count = params.split_whitespace().count();
    let args: Vec<String> = (0..count).map(|i| format!("(local.get {i})")).collect();
    let call = call.replace("{args}", &args.join(" "));
    let result = if results == "retptr" { "i32" } else { results };
    let module = with_memory("");
    format!(
        r#"(component
            {types}
            (import "echo" (func $echo (param "x" {ty}) (result {ty})))
            {module}
            (core instance $mem (instantiate $m))
            (core func $lowered (canon lower (func $echo)
                (memory (core memory $mem "memory")) (realloc (core func $mem "realloc")) {encoding}))
            (core module $main
                {core}
                (func (export "echo") (param {params}) (result {result}) {call}))
            (core instance $i (instantiate $main (with "" (instance (export "echo" (func $lowered))))))
            (func (export "echo") (param "x" {ty}) (result {ty}) (canon lift (core func $i "echo")
                (memory (core memory $mem "memory")) (realloc (core func $mem "realloc")) {encoding})))"#
    )
}

const NO_TYPES: &str = "";

/// Sends values through a guest and a dynamic host function, and back.
fn echo_dynamic(text: &str, values: &[Val]) {
    let (mut store, instance) = instance(Vec::new(), text, |linker: &mut Linker<Vec<Val>>| {
        linker.root().func_new("echo", |mut cx, params, results| {
            cx.data_mut().push(params[0].clone());
            results[0] = params[0].clone();
            Ok(())
        })
    })
    .unwrap_or_else(|e| panic!("{e:#}\n{text}"));
    let func = instance.get_func(&mut store, "echo").unwrap();
    for value in values {
        let mut results = [Val::Bool(false)];
        func.call(&mut store, std::slice::from_ref(value), &mut results)
            .unwrap_or_else(|e| panic!("{value:?}: {e:#}"));
        assert_eq!(&results[0], value);
        assert_eq!(store.data().last(), Some(value));
    }
}

#[test]
fn dynamic_values_go_through_a_guest_and_back() {
    let utf8 = "";
    let cases: &[(&str, &str, (&str, &str), Vec<Val>)] = &[
        (
            "bool",
            NO_TYPES,
            ("i32", "i32"),
            vec![Val::Bool(true), Val::Bool(false)],
        ),
        (
            "s8",
            NO_TYPES,
            ("i32", "i32"),
            vec![Val::S8(-128), Val::S8(127)],
        ),
        ("u8", NO_TYPES, ("i32", "i32"), vec![Val::U8(255)]),
        ("s16", NO_TYPES, ("i32", "i32"), vec![Val::S16(-32768)]),
        ("u16", NO_TYPES, ("i32", "i32"), vec![Val::U16(65535)]),
        ("s32", NO_TYPES, ("i32", "i32"), vec![Val::S32(i32::MIN)]),
        ("u32", NO_TYPES, ("i32", "i32"), vec![Val::U32(u32::MAX)]),
        ("s64", NO_TYPES, ("i64", "i64"), vec![Val::S64(i64::MIN)]),
        ("u64", NO_TYPES, ("i64", "i64"), vec![Val::U64(u64::MAX)]),
        (
            "f32",
            NO_TYPES,
            ("f32", "f32"),
            vec![Val::Float32(1.5), Val::Float32(f32::NAN)],
        ),
        (
            "f64",
            NO_TYPES,
            ("f64", "f64"),
            vec![Val::Float64(-0.0), Val::Float64(f64::INFINITY)],
        ),
        (
            "char",
            NO_TYPES,
            ("i32", "i32"),
            vec![Val::Char('x'), Val::Char('\u{10ffff}')],
        ),
        (
            "string",
            NO_TYPES,
            ("i32 i32", "retptr"),
            vec![Val::String("".into()), Val::String("grüße ☃".into())],
        ),
        (
            "(list u16)",
            NO_TYPES,
            ("i32 i32", "retptr"),
            vec![
                Val::List(vec![]),
                Val::List(vec![Val::U16(1), Val::U16(0xffff)]),
            ],
        ),
        (
            "(list (tuple u8 string (option u64)))",
            NO_TYPES,
            ("i32 i32", "retptr"),
            vec![Val::List(vec![
                Val::Tuple(vec![Val::U8(7), Val::String("a".into()), Val::Option(None)]),
                Val::Tuple(vec![
                    Val::U8(8),
                    Val::String("bc".into()),
                    Val::Option(Some(Box::new(Val::U64(1 << 40)))),
                ]),
            ])],
        ),
        (
            "$r",
            r#"(type $r' (record (field "a" u8) (field "b-c" f64) (field "d" (list string))))
               (import "r" (type $r (eq $r')))"#,
            ("i32 f64 i32 i32", "retptr"),
            vec![Val::Record(vec![
                ("a".into(), Val::U8(1)),
                ("b-c".into(), Val::Float64(2.5)),
                (
                    "d".into(),
                    Val::List(vec![Val::String("x".into()), Val::String("yz".into())]),
                ),
            ])],
        ),
        (
            "$v",
            r#"(type $v' (variant (case "none") (case "float" f32) (case "long" u64) (case "text" string)))
               (import "v" (type $v (eq $v')))"#,
            ("i32 i64 i32", "retptr"),
            vec![
                Val::Variant("none".into(), None),
                Val::Variant("float".into(), Some(Box::new(Val::Float32(-1.25)))),
                Val::Variant("long".into(), Some(Box::new(Val::U64(u64::MAX)))),
                Val::Variant("text".into(), Some(Box::new(Val::String("hi".into())))),
            ],
        ),
        (
            "$e",
            r#"(type $e' (enum "one" "two" "three")) (import "e" (type $e (eq $e')))"#,
            ("i32", "i32"),
            vec![Val::Enum("one".into()), Val::Enum("three".into())],
        ),
        (
            "$f",
            r#"(type $f' (flags "a" "b" "c" "d" "e" "f" "g" "h" "i")) (import "f" (type $f (eq $f')))"#,
            ("i32", "i32"),
            vec![Val::Flags(vec![]), Val::Flags(vec!["a".into(), "i".into()])],
        ),
        (
            "(option string)",
            NO_TYPES,
            ("i32 i32 i32", "retptr"),
            vec![
                Val::Option(None),
                Val::Option(Some(Box::new(Val::String("s".into())))),
            ],
        ),
        (
            "(result u8 (error string))",
            NO_TYPES,
            ("i32 i32 i32", "retptr"),
            vec![
                Val::Result(Ok(Some(Box::new(Val::U8(9))))),
                Val::Result(Err(Some(Box::new(Val::String("bad".into()))))),
            ],
        ),
        (
            "(result)",
            NO_TYPES,
            ("i32", "i32"),
            vec![Val::Result(Ok(None)), Val::Result(Err(None))],
        ),
        (
            "(tuple u8 u16 u32 u64 u8 u16 u32 u64 u8 u16 u32 u64 u8 u16 u32 u64 string)",
            NO_TYPES,
            ("i32", "retptr"),
            vec![Val::Tuple(
                (0u8..16)
                    .map(|i| match i % 4 {
                        0 => Val::U8(i),
                        1 => Val::U16(i.into()),
                        2 => Val::U32(i.into()),
                        _ => Val::U64(i.into()),
                    })
                    .chain([Val::String("end".into())])
                    .collect(),
            )],
        ),
    ];
    for (ty, types, core, values) in cases {
        echo_dynamic(&echo(ty, types, utf8, *core), values);
    }
}

#[test]
fn strings_in_every_encoding() {
    let long = "ab".repeat(1000);
    let texts = ["", "plain", "grüße", "snow ☃ man", "💧", &long];
    for encoding in [
        "string-encoding=utf8",
        "string-encoding=utf16",
        "string-encoding=latin1+utf16",
    ] {
        let text = echo("string", NO_TYPES, encoding, ("i32 i32", "retptr"));
        echo_dynamic(&text, &texts.map(|text| Val::String(text.into())));
        let (mut store, instance) = instance((), &text, |linker| {
            linker
                .root()
                .func_wrap("echo", |_, (text,): (String,)| Ok((text,)))
        })
        .unwrap();
        let echo = instance
            .get_typed_func::<(&str,), (String,)>(&mut store, "echo")
            .unwrap();
        for text in texts {
            assert_eq!(
                echo.call(&mut store, (text,)).unwrap().0,
                text,
                "{encoding}"
            );
        }
    }
}

/// Sends values of one Rust type through a guest and a typed host function, and back.
macro_rules! typed_echo {
    ($ty:ty, $wit:literal, $core:expr, [$($value:expr),+ $(,)?]) => {{
        let (mut store, instance) = instance((), &echo($wit, NO_TYPES, "", $core), |linker| {
            linker.root().func_wrap("echo", |_, (x,): ($ty,)| Ok((x,)))
        })
        .unwrap_or_else(|e| panic!("{}: {e:#}", $wit));
        let echo = instance.get_typed_func::<($ty,), ($ty,)>(&mut store, "echo").unwrap();
        $(
            let value: $ty = $value;
            assert_eq!(echo.call(&mut store, (value.clone(),)).unwrap(), (value,), $wit);
        )+
    }};
}

#[test]
fn typed_values_go_through_a_guest_and_back() {
    typed_echo!(bool, "bool", ("i32", "i32"), [true, false]);
    typed_echo!(i8, "s8", ("i32", "i32"), [-128, 127]);
    typed_echo!(u8, "u8", ("i32", "i32"), [255]);
    typed_echo!(i16, "s16", ("i32", "i32"), [-32768]);
    typed_echo!(u64, "u64", ("i64", "i64"), [u64::MAX]);
    typed_echo!(f32, "f32", ("f32", "f32"), [0.5]);
    typed_echo!(f64, "f64", ("f64", "f64"), [f64::MIN_POSITIVE]);
    typed_echo!(char, "char", ("i32", "i32"), ['ß']);
    typed_echo!(
        Vec<u8>,
        "(list u8)",
        ("i32 i32", "retptr"),
        [vec![], vec![1, 2, 3], vec![9; 20_000]]
    );
    typed_echo!(
        Vec<f64>,
        "(list f64)",
        ("i32 i32", "retptr"),
        [vec![1.0, 2.0]]
    );
    typed_echo!(
        Vec<(u8, String, Option<u64>)>,
        "(list (tuple u8 string (option u64)))",
        ("i32 i32", "retptr"),
        [vec![
            (1, "a".into(), None),
            (2, "bc".into(), Some(u64::MAX))
        ]]
    );
    typed_echo!(
        Option<Option<u8>>,
        "(option (option u8))",
        ("i32 i32 i32", "retptr"),
        [None, Some(None), Some(Some(3))]
    );
    typed_echo!(
        Result<f32, u64>,
        "(result f32 (error u64))",
        ("i32 i64", "retptr"),
        [Ok(1.5), Err(u64::MAX)]
    );
    typed_echo!(Result<(), ()>, "(result)", ("i32", "i32"), [Ok(()), Err(())]);
    typed_echo!(Result<(), String>, "(result (error string))", ("i32 i32 i32", "retptr"), [Ok(()), Err("e".into())]);
    typed_echo!(
        (u8, (u64, char)),
        "(tuple u8 (tuple u64 char))",
        ("i32 i64 i32", "retptr"),
        [(1, (2, 'c'))]
    );
    typed_echo!(
        [u16; 3],
        "(list u16 3)",
        ("i32 i32 i32", "retptr"),
        [[1, 2, 3]]
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

/// Imports a host resource, makes one, borrows it twice, drops it.
const HOST_RESOURCE: &str = r#"(component
    (import "r" (type $r (sub resource)))
    (import "make" (func $make (param "x" u32) (result (own $r))))
    (import "look" (func $look (param "r" (borrow $r)) (result u32)))
    (import "eat" (func $eat (param "r" (own $r))))
    (core func $make' (canon lower (func $make)))
    (core func $look' (canon lower (func $look)))
    (core func $eat' (canon lower (func $eat)))
    (core func $drop (canon resource.drop $r))
    (core module $m
        (import "" "make" (func $make (param i32) (result i32)))
        (import "" "look" (func $look (param i32) (result i32)))
        (import "" "eat" (func $eat (param i32)))
        (import "" "drop" (func $drop (param i32)))
        (func (export "run") (param i32) (result i32)
            (local $h i32)
            (local.set $h (call $make (local.get 0)))
            (i32.add (call $look (local.get $h)) (call $look (local.get $h)))
            (call $drop (local.get $h)))
        (func (export "give") (param i32) (call $eat (call $make (local.get 0))))
        (func (export "take") (param i32) (result i32)
            (call $look (local.get 0)) (call $drop (local.get 0)))
        (func (export "keep") (param i32))
        (func (export "make") (param i32) (result i32) (call $make (local.get 0))))
    (core instance $i (instantiate $m (with "" (instance
        (export "make" (func $make')) (export "look" (func $look'))
        (export "eat" (func $eat')) (export "drop" (func $drop))))))
    (func (export "run") (param "x" u32) (result u32) (canon lift (core func $i "run")))
    (func (export "give") (param "x" u32) (canon lift (core func $i "give")))
    (func (export "take") (param "r" (own $r)) (result u32) (canon lift (core func $i "take")))
    (func (export "take-borrow") (param "r" (borrow $r)) (result u32) (canon lift (core func $i "take")))
    (func (export "keep-borrow") (param "r" (borrow $r)) (canon lift (core func $i "keep")))
    (func (export "make") (param "x" u32) (result (own $r)) (canon lift (core func $i "make"))))"#;

struct Thing;

#[derive(Default, Debug, PartialEq)]
struct Log {
    dropped: Vec<u32>,
    eaten: Vec<u32>,
}

fn host_resource() -> (Store<Log>, Instance) {
    instance(Log::default(), HOST_RESOURCE, |linker: &mut Linker<Log>| {
        let mut root = linker.root();
        root.resource("r", ResourceType::host::<Thing>(), |mut cx, rep| {
            cx.data_mut().dropped.push(rep);
            Ok(())
        })?;
        root.func_wrap("make", |_, (x,): (u32,)| {
            Ok((Resource::<Thing>::new_own(x),))
        })?;
        root.func_wrap("look", |_, (r,): (Resource<Thing>,)| {
            assert!(!r.owned());
            Ok((r.rep(),))
        })?;
        root.func_wrap("eat", |mut cx, (r,): (Resource<Thing>,)| {
            assert!(r.owned());
            cx.data_mut().eaten.push(r.rep());
            Ok(())
        })
    })
    .unwrap()
}

#[test]
fn host_resources() {
    let (mut store, instance) = host_resource();
    let run = instance
        .get_typed_func::<(u32,), (u32,)>(&mut store, "run")
        .unwrap();
    assert_eq!(run.call(&mut store, (21,)).unwrap(), (42,));
    let give = instance
        .get_typed_func::<(u32,), ()>(&mut store, "give")
        .unwrap();
    give.call(&mut store, (5,)).unwrap();
    assert_eq!(
        *store.data(),
        Log {
            dropped: vec![21],
            eaten: vec![5]
        }
    );

    let take = instance
        .get_typed_func::<(Resource<Thing>,), (u32,)>(&mut store, "take")
        .unwrap();
    assert_eq!(
        take.call(&mut store, (Resource::new_own(9),)).unwrap(),
        (9,)
    );
    assert_eq!(store.data().dropped, [21, 9]);
    let borrow = instance
        .get_typed_func::<(Resource<Thing>,), (u32,)>(&mut store, "take-borrow")
        .unwrap();
    assert_eq!(
        borrow.call(&mut store, (Resource::new_borrow(8),)).unwrap(),
        (8,)
    );
    assert_eq!(
        store.data().dropped,
        [21, 9],
        "a borrowed resource is not destroyed"
    );

    let make = instance
        .get_typed_func::<(u32,), (ResourceAny,)>(&mut store, "make")
        .unwrap();
    let (any,) = make.call(&mut store, (77,)).unwrap();
    assert!(any.owned());
    assert_eq!(any.ty(), ResourceType::host::<Thing>());
    assert_eq!(
        instance
            .get_typed_func::<(ResourceAny,), (u32,)>(&mut store, "take-borrow")
            .unwrap()
            .call(&mut store, (any,))
            .unwrap(),
        (77,)
    );
    any.resource_drop(&mut store).unwrap();
    assert_eq!(store.data().dropped, [21, 9, 77]);
    assert!(any.resource_drop(&mut store).is_err());

    let keep = instance
        .get_typed_func::<(Resource<Thing>,), ()>(&mut store, "keep-borrow")
        .unwrap();
    let error = keep
        .call(&mut store, (Resource::new_borrow(1),))
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("borrow handles still remain at the end of the call"),
        "{error}"
    );
}

#[test]
fn guest_resources_through_the_host() {
    let text = r#"(component
        (core module $d
            (global (export "destroyed") (mut i32) (i32.const 0))
            (func (export "dtor") (param i32) (global.set 0 (local.get 0))))
        (core instance $d (instantiate $d))
        (type $r' (resource (rep i32) (dtor (core func $d "dtor"))))
        (export $r "r" (type $r'))
        (core func $new (canon resource.new $r'))
        (core func $rep (canon resource.rep $r'))
        (core module $m
            (import "" "new" (func $new (param i32) (result i32)))
            (import "" "rep" (func $rep (param i32) (result i32)))
            (import "" "destroyed" (global $destroyed (mut i32)))
            (func (export "make") (param i32) (result i32) (call $new (local.get 0)))
            (func (export "look") (param i32) (result i32) (local.get 0))
            (func (export "take") (param i32) (result i32) (call $rep (local.get 0)))
            (func (export "destroyed") (result i32) (global.get $destroyed)))
        (core instance $i (instantiate $m (with "" (instance
            (export "new" (func $new)) (export "rep" (func $rep)) (export "destroyed" (global $d "destroyed"))))))
        (func (export "make") (param "x" u32) (result (own $r)) (canon lift (core func $i "make")))
        (func (export "look") (param "r" (borrow $r)) (result u32) (canon lift (core func $i "look")))
        (func (export "take") (param "r" (own $r)) (result u32) (canon lift (core func $i "take")))
        (func (export "destroyed") (result u32) (canon lift (core func $i "destroyed"))))"#;
    let (mut store, instance) = instance((), text, |_| Ok(())).unwrap();
    let make = instance
        .get_typed_func::<(u32,), (ResourceAny,)>(&mut store, "make")
        .unwrap();
    let look = instance
        .get_typed_func::<(ResourceAny,), (u32,)>(&mut store, "look")
        .unwrap();
    let take = instance
        .get_typed_func::<(ResourceAny,), (u32,)>(&mut store, "take")
        .unwrap();
    let destroyed = instance
        .get_typed_func::<(), (u32,)>(&mut store, "destroyed")
        .unwrap();
    let (a,) = make.call(&mut store, (11,)).unwrap();
    let (b,) = make.call(&mut store, (12,)).unwrap();
    assert_eq!(Some(a.ty()), instance.get_resource(&mut store, "r"));
    assert_eq!(
        look.call(&mut store, (a,)).unwrap(),
        (11,),
        "the guest that defines it sees the representation"
    );
    assert_eq!(take.call(&mut store, (b,)).unwrap(), (12,));
    let error = look.call(&mut store, (b,)).unwrap_err();
    assert!(error.to_string().contains("has ended"), "{error}");
    a.resource_drop(&mut store).unwrap();
    assert_eq!(destroyed.call(&mut store, ()).unwrap(), (11,));
    let func = instance.get_func(&mut store, "make").unwrap();
    let mut results = [Val::Bool(false)];
    func.call(&mut store, &[Val::U32(3)], &mut results).unwrap();
    let [Val::Resource(c)] = results else {
        panic!("{results:?}")
    };
    c.resource_drop(&mut store).unwrap();
    assert_eq!(destroyed.call(&mut store, ()).unwrap(), (3,));
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
