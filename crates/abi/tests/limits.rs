//! Types that are deep, wide, large or forbidden; core signatures; text.

use helve_abi::InterfaceType as T;
use helve_abi::flat::{Side, SignatureOptions};
use helve_abi::layout::PointerWidth;
use helve_abi::program::{Form, Op, Programs};
use helve_abi::types::{MAX_DEPTH, TypeError};
use helve_abi::{InterfaceType, ResourceTypeId, Types};

const FORMS: [Form; 4] = [
    Form::Memory(PointerWidth::P32),
    Form::Memory(PointerWidth::P64),
    Form::Flat(PointerWidth::P32),
    Form::Flat(PointerWidth::P64),
];

/// All operations of all programs that this one leads to.
fn total_ops(programs: &mut Programs, types: &Types, ty: InterfaceType) -> usize {
    let mut todo: Vec<_> = FORMS
        .iter()
        .map(|form| programs.make(types, ty, *form))
        .collect();
    let mut seen = std::collections::HashSet::new();
    let mut lists = std::collections::HashSet::new();
    let mut ops = 0;
    while let Some(id) = todo.pop() {
        if !seen.insert(id) {
            continue;
        }
        for op in &programs[id].ops {
            ops += 1;
            match *op {
                Op::List { element: id, .. } | Op::Map { entry: id, .. } => todo.push(id),
                Op::FixedList { element: id, .. } | Op::Call { program: id, .. } => todo.push(id),
                Op::Variant { cases, .. } if lists.insert(cases) => {
                    let cases = programs.cases(cases);
                    ops += cases.len();
                    todo.extend(cases.iter().flatten());
                }
                _ => {}
            }
        }
    }
    ops
}

/// Makes a type of one part.
type Wrap = fn(&mut Types, T) -> Result<T, TypeError>;

#[test]
fn deep_types() {
    let mut types = Types::new();
    let wrap: [Wrap; 4] = [
        |types, ty| types.list(ty),
        |types, ty| types.option(ty),
        |types, ty| types.record([("f", ty)]),
        |types, ty| types.result(None, Some(ty)),
    ];
    for wrap in wrap {
        let mut ty = T::U8;
        for level in 1..=MAX_DEPTH {
            ty = wrap(&mut types, ty).unwrap();
            assert_eq!(types.depth(ty), level);
        }
        assert_eq!(wrap(&mut types, ty), Err(TypeError::TooDeep));
        assert!(total_ops(&mut Programs::new(), &types, ty) < 10_000);
        assert!(types.display(ty).to_string().len() < 200);
    }
}

/// The tree of such a type has 2^100 leaves, its graph 100 nodes.
#[test]
fn a_small_graph_of_a_huge_tree() {
    let mut types = Types::new();
    let mut ty = types.list(T::Borrow(ResourceTypeId::from_u32(0))).unwrap();
    for _ in 0..50 {
        let pair = types.record([("a", ty), ("b", ty)]).unwrap();
        ty = types.list(pair).unwrap();
    }
    assert!(
        types.contains_borrow(ty) && types.contains_pointer(ty) && !types.contains_async_value(ty)
    );
    assert!(total_ops(&mut Programs::new(), &types, ty) < 2_000);
    assert!(types.display(ty).to_string().len() < 2_000);
}

#[test]
fn wide_types() {
    let mut types = Types::new();
    let cases = (0..1000).map(|i| (format!("c{i}"), Some(T::U64)));
    let variant = types.variant(cases).unwrap();
    let record = types
        .record((0..1000).map(|i| (format!("f{i}"), variant)))
        .unwrap();
    let outer = types
        .record((0..1000).map(|i| (format!("f{i}"), record)))
        .unwrap();
    assert_eq!(types.layout(outer).size32, 16_000_000);
    assert_eq!(types.layout(outer).flat_count, None);
    assert!(total_ops(&mut Programs::new(), &types, outer) < 20_000);
}

#[test]
fn forbidden_types() {
    let mut types = Types::new();
    let borrow = T::Borrow(ResourceTypeId::from_u32(0));
    let nothing: [(&str, T); 0] = [];
    let names = |n: usize| (0..n).map(|i| i.to_string());
    let kib = types.fixed_list(T::U8, 1 << 10).unwrap();
    let of_borrow = types.option(borrow).unwrap();
    let cases = [
        (types.record(nothing), TypeError::Empty("record")),
        (types.tuple([]), TypeError::Empty("tuple")),
        (types.variant([("", None); 0]), TypeError::Empty("variant")),
        (types.flags(names(0)), TypeError::Empty("flags")),
        (types.enum_(names(0)), TypeError::Empty("enum")),
        (
            types.fixed_list(T::U8, 0),
            TypeError::Empty("fixed-length list"),
        ),
        (types.flags(names(33)), TypeError::TooManyFlags(33)),
        (types.fixed_list(T::U8, 1 << 28), TypeError::TooLarge),
        (types.fixed_list(kib, 1 << 31), TypeError::TooLarge),
        (types.fixed_list(T::String, 1 << 24), TypeError::TooLarge),
        (types.map(T::F32, T::U8), TypeError::BadKey),
        (types.stream(Some(T::Char)), TypeError::BadPayload("stream")),
        (
            types.stream(Some(of_borrow)),
            TypeError::BadPayload("stream"),
        ),
        (types.future(Some(borrow)), TypeError::BadPayload("future")),
    ];
    for (found, want) in cases {
        assert_eq!(found, Err(want));
    }
    let func = types.func([("a", of_borrow)], Some(of_borrow), false);
    assert_eq!(func, Err(TypeError::BorrowInResult));
    assert!(types.fixed_list(T::U8, (1 << 28) - 1).is_ok());
}

#[test]
fn equal_types_have_one_id() {
    let mut types = Types::new();
    let a = types.record([("a", T::U8), ("b", T::String)]).unwrap();
    assert_eq!(types.record([("a", T::U8), ("b", T::String)]), Ok(a));
    assert_ne!(types.record([("b", T::U8), ("a", T::String)]), Ok(a));
    let f = types.func([("x", a)], None, false).unwrap();
    assert_eq!(types.func([("x", a)], None, false), Ok(f));
    assert_ne!(types.func([("x", a)], None, true), Ok(f));
}

/// function | side, pointer width, options | core signature
const SIGNATURES: &str = "
    one | lift 32 | [f32] -> [i32]
    one | lower 32 | [f32] -> [i32]
    two | lift 32 | [i32 i32 i32] -> [i32]
    two | lift 64 | [i64 i64 i32] -> [i64]
    two | lower 32 | [i32 i32 i32 i32] -> []
    two | lower 64 | [i64 i64 i32 i64] -> []
    five | lift 32 async callback | [i64 i64 i64 i64 i64] -> [i32]
    five | lift 32 async | [i64 i64 i64 i64 i64] -> []
    five | lower 32 async | [i32 i32] -> [i32]
    five | lower 64 async | [i64 i64] -> [i32]
    many | lift 32 | [i32] -> []
    many | lower 64 | [i64] -> []
    none | lower 32 async | [] -> [i32]
    none | lift 32 async callback | [] -> [i32]
";

#[test]
fn core_signatures() {
    let mut types = Types::new();
    let pair = types.tuple([T::U32, T::U64]).unwrap();
    let numbered = |n: usize, ty| (0..n).map(move |i| (i.to_string(), ty));
    let one = types.func([("a", T::F32)], Some(T::Char), false).unwrap();
    let two = types
        .func([("a", T::String), ("b", T::U8)], Some(pair), false)
        .unwrap();
    let five = types.func(numbered(5, T::U64), Some(T::U8), true).unwrap();
    let many = types.func(numbered(17, T::U8), None, false).unwrap();
    let none = types.func(numbered(0, T::U8), None, true).unwrap();
    let most = types.func(numbered(16, T::F64), Some(pair), false).unwrap();
    for line in SIGNATURES.trim().lines() {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let func = match columns[0] {
            "one" => one,
            "two" => two,
            "five" => five,
            "many" => many,
            _ => none,
        };
        let has = |word| columns[1].split(' ').any(|w| w == word);
        let options = SignatureOptions {
            side: if has("lift") { Side::Lift } else { Side::Lower },
            width: if has("64") {
                PointerWidth::P64
            } else {
                PointerWidth::P32
            },
            is_async: has("async"),
            callback: has("callback"),
        };
        let signature = types.core_signature(func, options);
        assert_eq!(signature.core().to_string(), columns[2], "{line}");
        let programs = Programs::new().call(&types, func, options);
        assert_eq!(programs.signature, signature);
        assert_eq!(programs.params.parts.len(), types[func].params.len());
    }
    let (side, width) = (Side::Lower, PointerWidth::P32);
    let options = SignatureOptions {
        side,
        width,
        is_async: false,
        callback: false,
    };
    assert_eq!(types.core_signature(most, options).params.len(), 17);
}

#[test]
fn text() {
    let mut types = Types::new();
    let file = ResourceTypeId::from_u32(3);
    types.name_resource(file, "file");
    let record = types.record([("a", T::U8), ("b", T::Own(file))]).unwrap();
    let list = types.list(record).unwrap();
    let fixed = types.fixed_list(T::S16, 4).unwrap();
    let result = types.result(Some(list), None).unwrap();
    let error = types.result(None, Some(fixed)).unwrap();
    let variant = types.variant([("x", None), ("y", Some(error))]).unwrap();
    let map = types.map(T::String, variant).unwrap();
    let stream = types.stream(None).unwrap();
    let wide = types.enum_((0..100).map(|i| format!("c{i}"))).unwrap();
    let unnamed = T::Borrow(ResourceTypeId::from_u32(4));
    let cases = [
        (result, "result<list<record { a: u8, b: own<file> }>>"),
        (
            map,
            "map<string, variant { x, y(result<_, list<s16, 4>>) }>",
        ),
        (stream, "stream"),
        (unnamed, "borrow<resource4>"),
        (
            wide,
            "enum { c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, .. }",
        ),
    ];
    for (ty, want) in cases {
        assert_eq!(types.display(ty).to_string(), want);
    }
    let func = types
        .func([("self", unnamed), ("x", T::Bool)], Some(stream), true)
        .unwrap();
    let want = "async func(self: borrow<resource4>, x: bool) -> stream";
    assert_eq!(types.display_func(func).to_string(), want);
}

#[test]
fn bulk_types() {
    let mut types = Types::new();
    let pair = types.tuple([T::U32, T::F32]).unwrap();
    let padded = types.tuple([T::U32, T::U8]).unwrap();
    let flags8 = types.flags((0..8).map(|i| i.to_string())).unwrap();
    let flags7 = types.flags((0..7).map(|i| i.to_string())).unwrap();
    let fixed = types.fixed_list(pair, 3).unwrap();
    let list = types.list(T::U8).unwrap();
    let option = types.option(T::U8).unwrap();
    for (ty, bulk) in [
        (T::U8, true),
        (T::F64, true),
        (T::Bool, false),
        (T::Char, false),
        (T::String, false),
        (pair, true),
        (padded, false),
        (flags8, true),
        (flags7, false),
        (fixed, true),
        (list, false),
        (option, false),
        (T::Own(ResourceTypeId::from_u32(0)), false),
    ] {
        assert_eq!(types.is_bulk(ty), bulk, "{}", types.display(ty));
    }
}
