//! Small components and the facts of their plans.
//!
//! A plan is compared as text ([`Plan::to_text`]), which names everything that matters:
//! what each core import is bound to, which lift meets which lower, who owns what.

use helve_base::error::ErrorKind;
use helve_decode::adapter::{Meeting, Relation};
use helve_decode::plan::*;
use helve_decode::{DecodeError, Features, Options, Plan};

fn all_features() -> Options {
    let mut options = Options::default();
    options.features = Features::all(options.features.core);
    options.validate_bodies = true;
    options
}

fn plan_of(text: &str, options: &Options) -> helve_base::Result<Plan> {
    let bytes = wat::parse_str(text).expect("well-formed text");
    helve_decode::decode(&bytes, options)
}

/// (what is tested, component, its plan)
const PLANS: &[(&str, &str, &str)] = &[
    (
        "imports of all kinds",
        r#"(component
  (import "host" (instance $h
    (export "r" (type $r (sub resource)))
    (export "[constructor]r" (func (result (own $r))))
    (export "nested" (instance (export "f" (func (param "x" u32)))))))
  (import "unused" (func (param "a" string) (result (list u8))))
  (import "m" (core module $m (import "a" "b" (func (param i32))) (export "mem" (memory 1))))
  (alias export $h "r" (type $r))
  (alias export $h "nested" (instance $n))
  (core func $drop (canon resource.drop $r))
  (core func $f (canon lower (func $n "f")))
  (core instance $i (instantiate $m (with "a" (instance (export "b" (func $f))))))
  (export "h2" (instance $h))
)
"#,
        r#"
import host#r: resource `r` of import host
import host#[constructor]r: func() -> own<r>
import host#nested#f: func(x: u32)
import unused: func(a: string) -> list<u8>
import m: core module
component_instance0: root
core_instance0: imported_module0 in component_instance0 with lowered0
lowered0: lower import host#nested#f in component_instance0
canon_builtin0: resource.drop resource0 in component_instance0
export h2#r: resource `r` of import host
export h2#[constructor]r: import host#[constructor]r
export h2#nested#f: import host#nested#f
"#,
    ),
    (
        "resource types come out one per instance",
        r#"(component $outer
  (core module $M
    (func (export "new") (param i32) (result i32) local.get 0)
    (func (export "dtor") (param i32)))
  (component $C
    (alias outer $outer $M (core module $M))
    (core instance $m (instantiate $M))
    (type $R (resource (rep i32) (dtor (core func $m "dtor"))))
    (core func $new (canon resource.new $R))
    (export $R' "r" (type $R))
    (func (export "make") (param "rep" u32) (result (own $R')) (canon lift (core func $m "new"))))
  (instance $c1 (instantiate $C))
  (instance $c2 (instantiate $C))
  (component $D
    (import "c" (instance $c (export "r" (type $r (sub resource))) (export "make" (func (param "rep" u32) (result (own $r))))))
    (core func $make (canon lower (func $c "make")))
    (alias export $c "r" (type $r))
    (core func $drop (canon resource.drop $r))
    (core module $M (import "" "make" (func (param i32) (result i32))) (import "" "drop" (func (param i32))))
    (core instance (instantiate $M (with "" (instance (export "make" (func $make)) (export "drop" (func $drop)))))))
  (instance (instantiate $D (with "c" (instance $c1))))
  (instance $d2 (instantiate $D (with "c" (instance $c2))))
  (export "one" (instance $c1))
  (export "two" (instance $c2))
)
"#,
        r#"
component_instance0: root
component_instance1: root / c1
component_instance2: root / c2
component_instance3: root / D
component_instance4: root / d2
core_instance0: module0 in component_instance1
resource0: resource `r` of root / c1 dtor core_instance0.dtor
core_instance1: module0 in component_instance2
resource1: resource `r` of root / c2 dtor core_instance1.dtor
core_instance2: module1 in component_instance3 with lowered0, canon_builtin2
core_instance3: module1 in component_instance4 with lowered1, canon_builtin3
lowered0: lower lifted0 in component_instance3
lowered1: lower lifted1 in component_instance4
lifted0: lift core_instance0.new as func(rep: u32) -> own<r> in component_instance1
lifted1: lift core_instance1.new as func(rep: u32) -> own<r> in component_instance2
canon_builtin0: resource.new resource0 in component_instance1
canon_builtin1: resource.new resource1 in component_instance2
canon_builtin2: resource.drop resource0 in component_instance3
canon_builtin3: resource.drop resource1 in component_instance4
export one#r: resource `r` of root / c1
export one#make: lifted0
export two#r: resource `r` of root / c2
export two#make: lifted1
"#,
    ),
    (
        "built-ins and options",
        r#"(component
  (type $s (stream u8)) (type $f (future string))
  (core module $M (memory (export "mem") 1) (table (export "tbl") 1 funcref)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
    (func (export "run") (param i32) (result i32) unreachable)
    (func (export "cb") (param i32 i32 i32) (result i32) unreachable)
    (func (export "sync") (param i32 i32) (result i32) unreachable)
    (func (export "post") (param i32)))
  (core instance $m (instantiate $M))
  (alias core export $m "mem" (core memory $mem))
  (alias core export $m "tbl" (core table $tbl))
  (core type $start (func (param i32)))
  (core func (canon stream.new $s))
  (core func (canon stream.read $s async (memory (core memory $mem))))
  (core func (canon future.write $f async (memory (core memory $mem)) string-encoding=utf16))
  (core func (canon future.cancel-read $f async))
  (core func (canon task.return (result string) (memory (core memory $mem))))
  (core func (canon waitable-set.wait (memory (core memory $mem))))
  (core func (canon context.get i32 0))
  (core func (canon subtask.cancel))
  (core func (canon thread.yield))
  (core func (canon thread.new-indirect $start (core table $tbl)))
  (core func (canon error-context.drop))
  (core func (canon backpressure.inc))
  (func (export "run") async (param "f" $f) (result u32)
    (canon lift (core func $m "run") async (callback (core func $m "cb"))))
  (func (export "sync") (param "a" string) (result string)
    (canon lift (core func $m "sync") (memory (core memory $mem)) (realloc (core func $m "realloc")) (post-return (core func $m "post")) string-encoding=latin1+utf16))
)
"#,
        r#"
component_instance0: root
core_instance0: module0 in component_instance0
lifted0: lift core_instance0.run as async func(f: future<string>) -> u32 callback=core_instance0.cb async in component_instance0
lifted1: lift core_instance0.sync as func(a: string) -> string latin1+utf16 memory=core_instance0.mem realloc=core_instance0.realloc post-return=core_instance0.post in component_instance0
canon_builtin0: stream.new stream<u8> in component_instance0
canon_builtin1: stream.read stream<u8> memory=core_instance0.mem async in component_instance0
canon_builtin2: future.write future<string> utf16 memory=core_instance0.mem async in component_instance0
canon_builtin3: future.cancel-read future<string> in component_instance0
canon_builtin4: task.return string memory=core_instance0.mem in component_instance0
canon_builtin5: waitable-set.wait memory=core_instance0.mem in component_instance0
canon_builtin6: context.get in component_instance0
canon_builtin7: subtask.cancel in component_instance0
canon_builtin8: thread.yield in component_instance0
canon_builtin9: thread.new-indirect in component_instance0
canon_builtin10: error-context.drop in component_instance0
canon_builtin11: backpressure.inc in component_instance0
export run: lifted0
export sync: lifted1
"#,
    ),
    (
        "components passed on, types hide exports",
        r#"(component
  (component $A
    (import "f" (func $f (param "x" u32)))
    (core func $l (canon lower (func $f)))
    (core module $M (import "" "f" (func (param i32))) (export "g" (func 0)))
    (core instance $m (instantiate $M (with "" (instance (export "f" (func $l))))))
    (func $g (param "x" u32) (canon lift (core func $m "g")))
    (instance $i (export "g" (func $g)))
    (export "i" (instance $i))
    (export "secret" (func $g)))
  (import "f" (func $f (param "x" u32)))
  (instance $a (instantiate $A (with "f" (func $f))))
  (alias export $a "i" (instance $ai))
  (instance $b (instantiate $A (with "f" (func $ai "g"))))
  (component $W (import "c" (component $C (import "f" (func (param "x" u32))) (export "i" (instance (export "g" (func (param "x" u32)))))))
     (import "f" (func $f (param "x" u32)))
     (instance $x (instantiate $C (with "f" (func $f))))
     (export "j" (instance $x "i"))
     (export "x" (instance $x)))
  (alias export $b "i" (instance $bi))
  (instance $w (instantiate $W (with "c" (component $A)) (with "f" (func $bi "g"))))
  (export "a" (instance $ai))
  (export "j" (instance $w "j"))
  (export "x" (instance $w "x"))
  (export "c" (component $A))
  (instance $two (export "g" (func $ai "g")) (export "hidden" (func $bi "g")))
  (export "k" (instance $two) (instance (export "g" (func (param "x" u32)))))
)
"#,
        r#"
import f: func(x: u32)
component_instance0: root
component_instance1: root / a
component_instance2: root / b
component_instance3: root / w
component_instance4: root / w / x
core_instance0: module0 in component_instance1 with lowered0
core_instance1: module0 in component_instance2 with lowered1
core_instance2: module0 in component_instance4 with lowered2
lowered0: lower import f in component_instance1
lowered1: lower lifted0 in component_instance2
lowered2: lower lifted1 in component_instance4
lifted0: lift core_instance0.g as func(x: u32) in component_instance1
lifted1: lift core_instance1.g as func(x: u32) in component_instance2
lifted2: lift core_instance2.g as func(x: u32) in component_instance4
export a#g: lifted0
export j#g: lifted2
export x#i#g: lifted2
export c: component
export k#g: lifted0
"#,
    ),
];

#[test]
fn plans() {
    for (what, text, want) in PLANS {
        let plan = plan_of(text, &all_features()).unwrap_or_else(|e| panic!("{what}: {e}"));
        let got = plan.to_text();
        assert_eq!(got.trim(), want.trim(), "\n{what}:\n{got}");
    }
}

#[test]
fn lifts_meet_lowers() {
    let (_, text, _) = PLANS[3];
    let plan = plan_of(text, &all_features()).unwrap();
    let meetings: Vec<Meeting> = plan.lowered.keys().map(|id| plan.meeting(id)).collect();
    let apart = |n: u32| Meeting::Lift {
        lifted: LiftedId::from_u32(n),
        relation: Relation::Apart,
    };
    let host = Meeting::Host(ImportedFuncId::from_u32(0));
    assert_eq!(meetings, [host, apart(0), apart(1)]);
    let id = ComponentInstanceId::from_u32;
    assert_eq!(plan.relation(id(3), id(3)), Relation::Same);
    assert_eq!(plan.relation(id(3), id(4)), Relation::Descendant);
    assert_eq!(plan.relation(id(4), id(0)), Relation::Ancestor);
}

#[test]
fn things_are_found_by_path() {
    let (_, text, _) = PLANS[0];
    let plan = plan_of(text, &all_features()).unwrap();
    let item = plan.export_item(&["h2", "nested", "f"]).unwrap();
    assert_eq!(plan.describe(item), "func(x: u32)");
    assert!(plan.export_item(&["h2", "nested", "g"]).is_none());
    assert!(plan.import_item(&["unused", "x"]).is_none());
    let module = &plan.imported_modules[ImportedModuleId::from_u32(0)].ty;
    assert_eq!(module.imports.len(), 1);
    assert_eq!(
        module.exports.get("mem").map(|ty| ty.noun()),
        Some("memory")
    );
}

/// What an error must be, and a part of its text.
enum Want {
    Invalid(&'static str),
    Unsupported(&'static str),
    Limit(&'static str),
}

#[test]
fn refusals_say_what_where_and_what_to_do() {
    let cases: &[(&str, Options, Want)] = &[
        (
            "(component (core func (canon thread.index)))",
            Options::default(),
            Want::Invalid("turn on the feature `threading`"),
        ),
        (
            r#"(component (import "v" (value $v string)) (export "w" (value $v)))"#,
            all_features(),
            Want::Unsupported("the value `v`"),
        ),
        (
            "(component (type $s (stream u8)) (core func (canon stream.forward $s)))",
            all_features(),
            Want::Invalid("invalid leading byte (0x2e) for canonical function"),
        ),
    ];
    for (text, options, want) in cases {
        let error = plan_of(text, options).expect_err(text);
        assert_eq!(error.kind(), ErrorKind::Host, "{error:?}");
        check(&error, want);
    }
}

fn check(error: &helve_base::Error, want: &Want) {
    let text = error.to_string();
    let (part, ok) = match (want, error.downcast_ref::<DecodeError>()) {
        (Want::Invalid(part), Some(DecodeError::Invalid { .. })) => (part, true),
        (Want::Unsupported(part), Some(DecodeError::Unsupported { .. })) => (part, true),
        (Want::Limit(part), Some(DecodeError::Limit { .. })) => (part, true),
        (Want::Invalid(part) | Want::Unsupported(part) | Want::Limit(part), _) => (part, false),
    };
    assert!(
        ok && text.contains(part) && text.contains("0x"),
        "{error:?}"
    );
}

/// Components that each instantiate the one before `times` times.
fn chain(levels: usize, times: usize) -> String {
    let mut text = "(component $top (component $c0)".to_string();
    for level in 1..=levels {
        let inner = format!("(instance (instantiate $c{}))", level - 1).repeat(times);
        text += &format!("(component $c{level} {inner})");
    }
    text + &format!("(instance (instantiate $c{levels})))")
}

/// Instance types that each hold the one before twice, imported once.
fn doubling_types(levels: usize) -> String {
    let mut text = r#"(component $top (type $t0 (instance (export "f" (func))))"#.to_string();
    for level in 1..=levels {
        let ty = level - 1;
        text += &format!(
            r#"(type $t{level} (instance (alias outer $top $t{ty} (type $t))
               (export "a" (instance (type $t))) (export "b" (instance (type $t)))))"#
        );
    }
    text + &format!(r#"(import "i" (instance (type $t{levels}))))"#)
}

/// A component in a component in a component, `levels` of them.
fn nested(levels: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..levels {
        let inner = bytes;
        bytes = b"\0asm\x0d\0\x01\0".to_vec();
        if !inner.is_empty() {
            bytes.push(4); // a component section, and its size in five bytes of LEB128
            for i in 0..5 {
                let more = if i < 4 { 0x80 } else { 0 };
                bytes.push((inner.len() >> (7 * i)) as u8 & 0x7f | more);
            }
        }
        bytes.extend(inner);
    }
    bytes
}

#[test]
fn growth_is_bounded() {
    let mut few_instances = all_features();
    few_instances.limits.instances = 1;
    let mut deep = all_features();
    deep.limits.component_nesting = 10_000;
    let two_modules = "(component (core module $m) (core instance (instantiate $m))
        (core instance (instantiate $m)))";
    let cases: &[(&str, String, &Options, Want)] = &[
        (
            "2^40 instances",
            chain(40, 2),
            &deep,
            Want::Limit("more than 10000 component"),
        ),
        (
            "deep chain",
            chain(300, 1),
            &all_features(),
            Want::Limit("100 levels deep"),
        ),
        (
            "core instances",
            two_modules.into(),
            &few_instances,
            Want::Limit("more than 1 core"),
        ),
        ("2^90 imports", doubling_types(90), &deep, Want::Invalid("")),
    ];
    for (what, text, options, want) in cases {
        let error = plan_of(text, options).expect_err(what);
        check(&error, want);
    }
    let error = helve_decode::decode(&nested(101), &all_features()).unwrap_err();
    check(&error, &Want::Limit("nested more than 100 levels deep"));
    assert!(helve_decode::decode(&nested(100), &all_features()).is_ok());
    // As deep as the validator goes, on the small stack of a test's thread.
    let plan = plan_of(&chain(990, 1), &deep).unwrap();
    assert_eq!(plan.component_instances.len(), 992);
    let plan = plan_of(&doubling_types(12), &deep).unwrap();
    assert_eq!(plan.imported_funcs.len(), 1 << 12);
    let plan = helve_decode::decode(&nested(900), &deep).unwrap();
    assert_eq!(plan.component_instances.len(), 1);
}

#[test]
fn definitions_are_bounded_too() {
    let fields: String = (0..500).map(|i| format!("(field \"f{i}\" u32)")).collect();
    let text = format!(
        "(component $top (component $c {})",
        format!("(type (record {fields}))").repeat(100)
    );
    let text = text + &"(instance (instantiate $c))".repeat(100) + ")";
    let error = plan_of(&text, &all_features()).expect_err("5,000,000 fields");
    check(&error, &Want::Limit("more than 1000000 definitions"));
}

#[test]
fn what_is_no_component_is_told_apart() {
    let cases: &[(&[u8], DecodeError)] = &[
        (b"\0asm\x01\0\0\0", DecodeError::CoreModule),
        (b"(component)", DecodeError::NotWasm),
        (b"", DecodeError::NotWasm),
    ];
    for (bytes, want) in cases {
        let error = helve_decode::decode(bytes, &Options::default()).unwrap_err();
        assert_eq!(error.downcast_ref::<DecodeError>(), Some(want));
    }
}

/// Numbers that are the same on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        let next = self.0.wrapping_mul(6364136223846793005);
        self.0 = next.wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }
}

#[test]
fn truncated_and_corrupted_bytes_are_errors_and_never_bugs() {
    let mut random = Random(1);
    for (what, text, _) in PLANS {
        let bytes = wat::parse_str(text).expect("well-formed text");
        let options = all_features();
        for end in 0..bytes.len() {
            // Some prefixes are components: those that end where a section does.
            not_a_bug(what, &bytes[..end], &options);
        }
        for _ in 0..4000 {
            let mut corrupted = bytes.clone();
            for _ in 0..=random.below(3) {
                let at = random.below(corrupted.len());
                corrupted[at] ^= 1 << random.below(8);
            }
            not_a_bug(what, &corrupted, &options);
        }
    }
}

fn not_a_bug(what: &str, bytes: &[u8], options: &Options) {
    if let Err(error) = helve_decode::decode(bytes, options) {
        let known = error.downcast_ref::<DecodeError>().is_some();
        assert!(known, "{what}: {error:?} of {bytes:x?}");
    }
}
