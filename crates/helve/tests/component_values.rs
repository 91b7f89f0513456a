//! Values of every type through a guest and back, with dynamic and with Rust types. Not
//! here: resources (`component_resources.rs`), calls as such (`component.rs`).

mod support;

use helve::component::{Linker, Val};
use support::{NO_TYPES, echo, instance};

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

/// A type, definitions it needs, the core parameters and results of its echo, values.
type Case = (
    &'static str,
    &'static str,
    (&'static str, &'static str),
    Vec<Val>,
);

/// Values without parts, and strings.
fn scalars() -> Vec<Case> {
    vec![
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
    ]
}

/// Lists, records and tuples.
fn lists() -> Vec<Case> {
    vec![
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
    ]
}

/// Variants, enums, flags, options and results.
fn choices() -> Vec<Case> {
    vec![
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
    ]
}

#[test]
fn dynamic_values_go_through_a_guest_and_back() {
    for (ty, types, core, values) in [scalars(), lists(), choices()].concat() {
        echo_dynamic(&echo(ty, types, "", core), &values);
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
