//! Lists of flat records, which are moved as a whole: the bytes in the guest's memory are
//! those that values moved one by one (`Val`) leave there, and they come back the same.

mod support {
    #[allow(dead_code, unused_macros)] // values only
    pub mod rng;
}

use helve::component::{
    Component, ComponentType, Instance, Lift, Linker, Lower, TypedFunc, Val, flags,
};
use helve::{Config, Engine, Result, Store};
use support::rng::{Any, Rng};

flags! {
    /// Nine labels take two bytes.
    pub Marks {
        const A; const B; const C; const D; const E; const F; const G; const H; const I;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, ComponentType, Lift, Lower)]
#[component(enum)]
enum Level {
    Low,
    High,
}

/// Every kind of flat part, with padding between and behind.
#[derive(Clone, Debug, PartialEq, ComponentType, Lift, Lower)]
struct Flat {
    small: u8,
    wide: u64,
    yes: bool,
    letter: char,
    pair: (u8, f32),
    level: Level,
    marks: Marks,
    grid: [i16; 3],
    last: i8,
}

/// The same with a part that is not flat.
#[derive(Clone, Debug, PartialEq, ComponentType, Lift, Lower)]
struct Loose {
    small: u8,
    maybe: Option<u8>,
    wide: u64,
}

const FLAT: &str = "(record (field \"small\" u8) (field \"wide\" u64) (field \"yes\" bool)
    (field \"letter\" char) (field \"pair\" (tuple u8 f32))
    (field \"level\" $level) (field \"marks\" $marks)
    (field \"grid\" (list s16 3)) (field \"last\" s8))";

const LOOSE: &str =
    "(record (field \"small\" u8) (field \"maybe\" (option u8)) (field \"wide\" u64))";

/// `bytes` gives back what a list's items are in memory, `echo` the list.
fn guest(item: &str, size: usize) -> String {
    format!(
        r#"(component
        (type $level' (enum "low" "high"))
        (import "level" (type $level (eq $level')))
        (type $marks' (flags "a" "b" "c" "d" "e" "f" "g" "h" "i"))
        (import "marks" (type $marks (eq $marks')))
        (type $item' {item})
        (import "item" (type $item (eq $item')))
        (core module $m
            (memory (export "memory") 1)
            (global $next (mut i32) (i32.const 64))
            ;; New memory is all zero, and so is what stands between values.
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
                (local.set $at (i32.and
                    (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
                (global.set $next (i32.add (local.get $at) (local.get 3)))
                (loop $more (if (i32.gt_u (global.get $next)
                        (i32.mul (memory.size) (i32.const 65536)))
                    (then (drop (memory.grow (i32.const 16))) (br $more))))
                (local.get $at))
            (func (export "bytes") (param i32 i32) (result i32)
                (i32.store (i32.const 0) (local.get 0))
                (i32.store (i32.const 4) (i32.mul (local.get 1) (i32.const {size})))
                (i32.const 0))
            (func (export "echo") (param i32 i32) (result i32)
                (i32.store (i32.const 0) (local.get 0))
                (i32.store (i32.const 4) (local.get 1))
                (i32.const 0)))
        (core instance $m (instantiate $m))
        (func (export "bytes") (param "items" (list $item)) (result (list u8))
            (canon lift (core func $m "bytes") (memory (core memory $m "memory"))
                (realloc (core func $m "realloc"))))
        (func (export "echo") (param "items" (list $item)) (result (list $item))
            (canon lift (core func $m "echo") (memory (core memory $m "memory"))
                (realloc (core func $m "realloc")))))"#
    )
}

fn instantiate(item: &str, size: usize) -> (Store<()>, Instance) {
    let engine = Engine::new(Config::new().all_features(true)).expect("an engine");
    let component = Component::new(&engine, guest(item, size)).expect("a component");
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine).instantiate(&mut store, &component);
    (store, instance.expect("an instance"))
}

fn check<T>(item: &str, any: fn(&mut Rng) -> T, to_val: fn(&T) -> Val) -> Result<()>
where
    T: ComponentType + Lift + Lower + PartialEq + std::fmt::Debug + 'static,
{
    let size = T::LAYOUT.size32 as usize;
    let mut rng = Rng::new(7);
    for count in [0, 1, 2, 3, 100, 1000] {
        let (mut store, instance) = instantiate(item, size);
        let items: Vec<T> = (0..count).map(|_| any(&mut rng)).collect();
        let vals = Val::List(items.iter().map(to_val).collect());
        let echo = instance.get_typed_func::<(&[T],), (Vec<T>,)>(&mut store, "echo")?;
        assert_eq!(echo.call(&mut store, (&items,))?.0, items);
        let mut results = [Val::Bool(false)];
        let func = echo.func();
        func.call(&mut store, std::slice::from_ref(&vals), &mut results)?;
        assert_eq!(results[0], vals);

        let bytes = instance.get_typed_func::<(&[T],), (Vec<u8>,)>(&mut store, "bytes")?;
        let typed = bytes.call(&mut store, (&items,))?.0;
        bytes.func().call(&mut store, &[vals], &mut results)?;
        let typed = Val::List(typed.into_iter().map(Val::U8).collect());
        assert_eq!(results[0], typed, "{count} of {item}");
    }
    Ok(())
}

fn field(name: &str, val: Val) -> (String, Val) {
    (name.to_owned(), val)
}

#[test]
fn flat_records_move_as_a_whole() -> Result<()> {
    const { assert!(Flat::FLAT && <(u8, [Flat; 2])>::FLAT) };
    let any = |rng: &mut Rng| Flat {
        small: Any::any(rng),
        wide: Any::any(rng),
        yes: Any::any(rng),
        letter: Any::any(rng),
        pair: (Any::any(rng), rng.below(1000) as f32),
        level: [Level::Low, Level::High][rng.below(2)],
        marks: Marks::from_bits_truncate(Any::any(rng)),
        grid: [Any::any(rng), Any::any(rng), Any::any(rng)],
        last: Any::any(rng),
    };
    check(FLAT, any, |flat| {
        let labels = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
        let set = (0..9).filter(|i| flat.marks.bits() >> i & 1 == 1);
        Val::Record(vec![
            field("small", Val::U8(flat.small)),
            field("wide", Val::U64(flat.wide)),
            field("yes", Val::Bool(flat.yes)),
            field("letter", Val::Char(flat.letter)),
            field(
                "pair",
                Val::Tuple(vec![Val::U8(flat.pair.0), Val::Float32(flat.pair.1)]),
            ),
            field(
                "level",
                Val::Enum(format!("{:?}", flat.level).to_lowercase()),
            ),
            field(
                "marks",
                Val::Flags(set.map(|i: usize| labels[i].to_owned()).collect()),
            ),
            field("grid", Val::List(flat.grid.map(Val::S16).to_vec())),
            field("last", Val::S8(flat.last)),
        ])
    })
}

#[test]
fn others_move_one_by_one() -> Result<()> {
    const { assert!(!Loose::FLAT && !<(u8, String)>::FLAT && !<Vec<u8>>::FLAT) };
    let any = |rng: &mut Rng| Loose {
        small: Any::any(rng),
        maybe: Any::any(rng),
        wide: Any::any(rng),
    };
    check(LOOSE, any, |loose| {
        let maybe = loose.maybe.map(|byte| Box::new(Val::U8(byte)));
        Val::Record(vec![
            field("small", Val::U8(loose.small)),
            field("maybe", Val::Option(maybe)),
            field("wide", Val::U64(loose.wide)),
        ])
    })
}

/// A case that there is not, in the last of many items, traps as it does alone.
#[test]
fn malformed_items_are_found() -> Result<()> {
    let (mut store, instance) = instantiate("(enum \"low\" \"high\")", 1);
    let echo = instance.get_func(&mut store, "echo").expect("a function");
    let levels: TypedFunc<(&[u8],), (Vec<Level>,)> = echo.assume_typed();
    let (right, mut wrong) = ([1; 50], [1; 50]);
    wrong[49] = 2;
    assert_eq!(levels.call(&mut store, (&right,))?.0, [Level::High; 50]);
    let error = levels.call(&mut store, (&wrong,)).unwrap_err();
    assert!(format!("{error:#}").contains("discriminant"), "{error:#}");
    Ok(())
}
