//! Derived types and flags, sent through a guest in each of the four ways there are.
//!
//! ```text
//! host --lower--> echo (guest) --lift--> keep (host) --store--> guest --load--> host
//!        lanes                   lanes               memory            memory
//! ```
//! `echo` takes a value and returns a list of it, which it gets by calling the host. Not
//! here: what a derive refuses (`helve-macros`).

use helve::component::{Component, ComponentType, Instance, Lift, Linker, Lower, flags};
use helve::{Config, Engine, Result, Store, StoreContextMut};

/// A component whose types are `types`, in WAT, each a line `NAME = TYPE`; `echo` has a
/// parameter of the last one, which has these lanes.
fn echo_component(types: &str, lanes: &str) -> String {
    let mut imports = String::new();
    let mut last = "";
    for line in types.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, ty) = line.split_once(" = ").expect("a line NAME = TYPE");
        imports += &format!(
            "(type ${name}-plain {ty}) (import \"{name}\" (type ${name} (eq ${name}-plain)))\n"
        );
        last = name;
    }
    let count = lanes.split_whitespace().count();
    let operands: String = (0..count).map(|i| format!("local.get {i} ")).collect();
    format!(
        r#"(component
            {imports}
            (import "keep" (func $keep (param "x" ${last}) (result (list ${last}))))
            (core module $storage
                (memory (export "memory") 1)
                (global $next (mut i32) (i32.const 1024))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                    (global.set $next (i32.and
                        (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
                    global.get $next
                    (global.set $next (i32.add (global.get $next) (local.get 3)))))
            (core instance $storage (instantiate $storage))
            (alias core export $storage "memory" (core memory $memory))
            (alias core export $storage "realloc" (core func $realloc))
            (core func $keep-lowered (canon lower (func $keep)
                (memory $memory) (realloc $realloc)))
            (core module $main
                (import "" "keep" (func $keep (param {lanes} i32)))
                (func (export "echo") (param {lanes}) (result i32)
                    {operands} i32.const 16 call $keep
                    i32.const 16))
            (core instance $main (instantiate $main
                (with "" (instance (export "keep" (func $keep-lowered))))))
            (alias core export $main "echo" (core func $echo))
            (func (export "echo") (param "x" ${last}) (result (list ${last}))
                (canon lift (core func $echo)
                    (memory $memory) (realloc $realloc))))"#
    )
}

/// That component, linked to a `keep` of `T`.
fn instantiate<T>(types: &str, lanes: &str) -> Result<(Store<()>, Instance)>
where
    T: Lower + Lift + Clone + Send + Sync + 'static,
{
    let engine = Engine::new(&Config::new())?;
    let component = Component::new(&engine, echo_component(types, lanes))?;
    let mut linker = Linker::<()>::new(&engine);
    linker.root().func_wrap(
        "keep",
        |_: StoreContextMut<'_, ()>, (x,): (T,)| -> Result<(Vec<T>,)> { Ok((vec![x.clone(), x],)) },
    )?;
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &component)?;
    Ok((store, instance))
}

/// Sends each value through the guest and back.
fn round_trip<T>(types: &str, lanes: &str, values: &[T])
where
    T: Lower + Lift + Clone + PartialEq + std::fmt::Debug + Send + Sync + 'static,
{
    let (mut store, instance) = instantiate::<T>(types, lanes).expect("the types match");
    let echo = instance
        .get_typed_func::<(T,), (Vec<T>,)>(&mut store, "echo")
        .expect("`echo` has this type");
    for value in values {
        let (back,) = echo.call(&mut store, (value.clone(),)).expect("it runs");
        assert_eq!(back, [value.clone(), value.clone()]);
    }
}

/// What is wrong with `T` as the type of `keep`.
fn mismatch<T>(types: &str, lanes: &str) -> String
where
    T: Lower + Lift + Clone + Send + Sync + 'static,
{
    match instantiate::<T>(types, lanes) {
        Ok(_) => panic!("the types match"),
        Err(error) => format!("{error:?}"),
    }
}

#[derive(Clone, Debug, PartialEq, ComponentType, Lift, Lower)]
#[component(record)]
struct Stat {
    #[component(name = "type")]
    kind: Kind,
    link_count: u64,
    r#final: bool,
    label: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, ComponentType, Lift, Lower)]
#[component(enum)]
enum Kind {
    Unknown,
    RegularFile,
    #[component(name = "dir")]
    Directory,
}

const KIND: &str = r#"kind = (enum "unknown" "regular-file" "dir")"#;
const STAT: &str = r#"
    stat = (record (field "type" $kind) (field "link-count" u64) (field "final" bool) (field "label" (option string)))
"#;

#[test]
fn records_and_enums() {
    let stat = |kind, label: Option<&str>| Stat {
        kind,
        link_count: u64::MAX - 1,
        r#final: label.is_some(),
        label: label.map(str::to_owned),
    };
    let values = [
        stat(Kind::Unknown, None),
        stat(Kind::RegularFile, Some("")),
        stat(Kind::Directory, Some("grüße")),
    ];
    round_trip(&[KIND, STAT].concat(), "i32 i64 i32 i32 i32 i32", &values);
    let kinds = [Kind::Unknown, Kind::RegularFile, Kind::Directory];
    round_trip(KIND, "i32", &kinds);
}

#[derive(Clone, Debug, PartialEq, ComponentType, Lift, Lower)]
struct Pair<A, B>(
    #[component(name = "first")] A,
    #[component(name = "second")] B,
);

#[test]
fn generic_records_with_unnamed_fields() {
    let types = r#"pair = (record (field "first" u8) (field "second" s64))"#;
    round_trip(types, "i32 i64", &[Pair(1u8, -2i64), Pair(255, i64::MIN)]);
}

#[derive(Clone, Debug, PartialEq, ComponentType, Lift, Lower)]
#[component(variant)]
enum Filter {
    All,
    None,
    Some(Vec<String>),
    LessThan { limit: f32 },
    Between((f64, i64)),
}

#[test]
fn variants_with_payloads_that_share_lanes() {
    let types = r#"
        filter = (variant (case "all") (case "none") (case "some" (list string)) (case "less-than" f32) (case "between" (tuple f64 s64)))
    "#;
    let values = [
        Filter::All,
        Filter::None,
        Filter::Some(vec!["a".into(), String::new()]),
        Filter::LessThan { limit: -0.5 },
        Filter::Between((f64::MAX, -1)),
    ];
    round_trip(types, "i32 i64 i64", &values);
}

#[derive(Clone, Copy, Debug, PartialEq, ComponentType, Lift, Lower)]
enum NoPayloads {
    A,
    B,
}

#[test]
fn variants_without_payloads() {
    let types = r#"v = (variant (case "a") (case "b"))"#;
    round_trip(types, "i32", &[NoPayloads::A, NoPayloads::B]);
}

flags! {
    /// Few.
    pub Access {
        const READ;
        /// Written to.
        const WRITE;
        #[component(name = "x")]
        const EXECUTE;
    }
}

flags! {
    Many {
        const A0; const A1; const A2; const A3; const A4; const A5; const A6; const A7;
        const B0; const B1; const B2; const B3; const B4; const B5; const B6; const B7;
        const C0; const C1; const C2; const C3; const C4; const C5; const C6; const C7;
        const D0; const D1; const D2; const D3; const D4; const D5; const D6; const D7;
    }
}

#[test]
fn flags_pass() {
    let few = r#"access = (flags "read" "write" "x")"#;
    let values = [
        Access::empty(),
        Access::READ | Access::EXECUTE,
        Access::all(),
    ];
    round_trip(few, "i32", &values);
    let labels: String = ["a", "b", "c", "d"]
        .iter()
        .flat_map(|letter| (0..8).map(move |i| format!("\"{letter}{i}\" ")))
        .collect();
    let many = format!("many = (flags {labels})");
    round_trip(&many, "i32", &[Many::A0, Many::D7, Many::all()]);
}

#[test]
fn flags_are_sets() {
    let mut access = Access::READ | Access::WRITE;
    assert!(access.contains(Access::READ) && !access.contains(Access::all()));
    assert!(access.intersects(Access::all()) && !access.intersects(Access::EXECUTE));
    assert_eq!(access & Access::WRITE, Access::WRITE);
    assert_eq!(access - Access::WRITE, Access::READ);
    assert_eq!(access ^ Access::all(), Access::EXECUTE);
    assert_eq!(!access, Access::EXECUTE);
    assert_eq!(Access::from_bits_truncate(u32::MAX).bits(), 0b111);
    assert_eq!(Many::all().bits(), u32::MAX);
    access.set(Access::EXECUTE, true);
    access.remove(Access::READ);
    access |= Access::READ;
    assert_eq!(access, Access::all());
    assert_eq!(format!("{:?}", Access::READ | Access::EXECUTE), "{read, x}");
    assert!(Access::default().is_empty());
}

#[test]
fn types_that_differ_are_told_apart() {
    let first_only = r#"k = (record (field "first" u8))"#;
    let other_second = r#"k = (record (field "first" u8) (field "second" s8))"#;
    let payload = r#"k = (variant (case "a") (case "b" u8))"#;
    let reordered = r#"k = (enum "unknown" "dir" "regular-file")"#;
    for (found, expected) in [
        (
            mismatch::<Kind>(r#"k = (enum "unknown" "regular-file")"#, "i32"),
            "enum of 2 cases",
        ),
        (mismatch::<Kind>(reordered, "i32"), "label dir"),
        (
            mismatch::<Kind>(r#"k = (variant (case "a"))"#, "i32"),
            "variant",
        ),
        (
            mismatch::<NoPayloads>(r#"k = (enum "a" "b")"#, "i32"),
            "enum",
        ),
        (
            mismatch::<NoPayloads>(payload, "i32 i32"),
            "without a payload",
        ),
        (
            mismatch::<Access>(r#"k = (flags "read" "write")"#, "i32"),
            "flags of 2 labels",
        ),
        (
            mismatch::<Pair<u8, u8>>(first_only, "i32"),
            "record of 1 fields",
        ),
        (
            mismatch::<Pair<u8, u8>>(other_second, "i32 i32"),
            "in field `second`",
        ),
    ] {
        assert!(found.contains(expected), "{found}");
    }
}
