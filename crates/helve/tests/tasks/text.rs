//! The two components, as text.
//!
//! | mode | B |
//! | --- | --- |
//! | 0 | returns at once |
//! | 1 | waits before it returns |
//! | 2 | waits after it has returned |
//! | 3 | both |
//! | 4 | traps |
//! | 5 | returns from a pointer that is none |
//! | 6 | traps after it has returned |
//!
//! Each has a memory of 32 or of 64 bits: the code is written for the first, and `wide` makes
//! the other of it. Not here: types and values, who calls.

use super::rng::Rng;
use super::types::{Named, Ty};
use super::wide;
use std::fmt::Write;

/// How B's functions are lifted: not async; async, and synchronously, stackful, with a
/// callback, with one that waits for a set.
pub const LIFTS: [&str; 5] = ["s", "a", "w", "c", "d"];
pub const MODES: std::ops::RangeInclusive<u32> = 0..=6;

const ENCODINGS: [&str; 3] = ["utf8", "utf16", "latin1+utf16"];

fn memory(text: &mut String) {
    *text += r#"(core module $mem
        (memory (export "mem") 80)
        (global $at (mut i32) (i32.const 262144))
        (func (export "realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
            (local $to i32)
            (local.set $to (i32.and
                (i32.add (global.get $at) (i32.sub (local.get $align) (i32.const 1)))
                (i32.sub (i32.const 0) (local.get $align))))
            (global.set $at (i32.add (local.get $to) (local.get $size)))
            (if (i32.gt_u (global.get $at) (i32.const 5000000)) (then (global.set $at (i32.const 262144))))
            (memory.copy (local.get $to) (local.get $old)
                (select (local.get $size) (local.get $old-size) (i32.lt_u (local.get $size) (local.get $old-size))))
            (local.get $to)))
    (core instance $mem (instantiate $mem))
    "#;
}

fn func_type(lift: &str) -> String {
    let word = if lift == "s" { "" } else { "async " };
    format!("{word}(param \"x\" $p) (result $p)")
}

fn callee(named: &str, encoding: &str) -> String {
    let mut text = format!(
        "(component $B {named} (import \"later\" (func $later async (param \"n\" u32) (result u32)))\n"
    );
    memory(&mut text);
    text += &format!(
        r#"(core func $later' (canon lower (func $later)))
        (core func $later-async (canon lower (func $later) async (memory (core memory $mem "mem"))))
        (core func $return (canon task.return (result $p) (memory (core memory $mem "mem")) string-encoding={encoding}))
        (core func $cancel (canon task.cancel))
        (core func $set (canon waitable-set.new))
        (core func $join (canon waitable.join))
        (core func $set-drop (canon waitable-set.drop))
        (core func $sub-drop (canon subtask.drop))
        (core func $get (canon context.get i32 0))
        (core func $put (canon context.set i32 0))
        (core module $m
            (import "m" "mem" (memory 80))
            (import "m" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
            (import "" "later" (func $later (param i32) (result i32)))
            (import "" "later-async" (func $later-async (param i32 i32) (result i32)))
            (import "" "return" (func $return (param i32)))
            (import "" "cancel" (func $cancel))
            (import "" "set" (func $set (result i32)))
            (import "" "join" (func $join (param i32 i32)))
            (import "" "set-drop" (func $set-drop (param i32)))
            (import "" "sub-drop" (func $sub-drop (param i32)))
            (import "" "get" (func $get (result i32)))
            (import "" "put" (func $put (param i32)))
            ;; functions
            (global $mode (mut i32) (i32.const 0))
            (func (export "mode") (param i32) (global.set $mode (local.get 0)))
            (func $is (param i32) (result i32) (i32.eq (global.get $mode) (local.get 0)))
            (func $before (result i32) (i32.or (call $is (i32.const 1)) (call $is (i32.const 3))))
            (func $after (result i32) (i32.or (call $is (i32.const 2)) (call $is (i32.const 3))))
            (func $given (param i32) (result i32)
                (if (call $is (i32.const 4)) (then unreachable))
                (select (i32.const 0xfffffff1) (local.get 0) (call $is (i32.const 5))))
            (func (export "s") (param i32) (result i32) (call $given (local.get 0)))
            (func (export "a") (param i32) (result i32)
                (if (call $before) (then (drop (call $later (i32.const 2)))))
                (call $given (local.get 0)))
            (func (export "w") (param i32)
                (if (call $before) (then (drop (call $later (i32.const 2)))))
                (call $return (call $given (local.get 0)))
                (if (call $after) (then (drop (call $later (i32.const 1)))))
                (if (call $is (i32.const 6)) (then unreachable)))
            ;; With a callback, which is called once more before or after, for nothing.
            (func (export "c") (param i32) (result i32)
                (call $put (local.get 0))
                (if (call $before) (then (return (i32.const 1))))
                (call $give (local.get 0)))
            (func $give (param i32) (result i32)
                (call $put (i32.const 0))
                (call $return (call $given (local.get 0)))
                (if (call $is (i32.const 6)) (then unreachable))
                (call $after))
            (func (export "c-callback") (param i32 i32 i32) (result i32)
                (if (i32.eq (local.get 0) (i32.const 6)) (then (call $cancel) (return (i32.const 0))))
                (if (call $get) (then (return (call $give (call $get)))))
                (i32.const 0))
            ;; With a callback that waits for a host function: a record has the value, the
            ;; set, the subtask.
            (func (export "d") (param i32) (result i32) (local $r i32)
                (local.set $r (call $realloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 16)))
                (i32.store (local.get $r) (local.get 0))
                (call $put (local.get $r))
                (if (call $before) (then (return (call $wait (local.get $r)))))
                (call $d-give (local.get $r)))
            (func $wait (param $r i32) (result i32) (local $status i32)
                (local.set $status (call $later-async (i32.const 3) (i32.add (local.get $r) (i32.const 12))))
                (i32.store offset=4 (local.get $r) (call $set))
                (i32.store offset=8 (local.get $r) (i32.shr_u (local.get $status) (i32.const 4)))
                (call $join (i32.load offset=8 (local.get $r)) (i32.load offset=4 (local.get $r)))
                (i32.or (i32.const 2) (i32.shl (i32.load offset=4 (local.get $r)) (i32.const 4))))
            (func $d-give (param $r i32) (result i32)
                (call $return (call $given (i32.load (local.get $r))))
                (i32.store (local.get $r) (i32.const 0))
                (if (call $is (i32.const 6)) (then unreachable))
                (if (call $after) (then (return (call $wait (local.get $r)))))
                (i32.const 0))
            (func (export "d-callback") (param i32 i32 i32) (result i32) (local $r i32)
                (local.set $r (call $get))
                ;; Asked to cancel: it waits on, and returns all the same.
                (if (i32.eq (local.get 0) (i32.const 6))
                    (then (return (i32.or (i32.const 2) (i32.shl (i32.load offset=4 (local.get $r)) (i32.const 4))))))
                (call $sub-drop (i32.load offset=8 (local.get $r)))
                (call $set-drop (i32.load offset=4 (local.get $r)))
                (if (i32.load (local.get $r)) (then (return (call $d-give (local.get $r)))))
                (i32.const 0)))
        (core instance $i (instantiate $m (with "m" (instance $mem)) (with "" (instance
            (export "later" (func $later')) (export "later-async" (func $later-async))
            (export "return" (func $return)) (export "cancel" (func $cancel))
            (export "set" (func $set)) (export "join" (func $join))
            (export "set-drop" (func $set-drop)) (export "sub-drop" (func $sub-drop))
            (export "get" (func $get)) (export "put" (func $put))))))
        (func (export "mode") (param "n" u32) (canon lift (core func $i "mode")))
        "#
    );
    for lift in LIFTS {
        let mut options = format!(
            "(memory (core memory $mem \"mem\")) (realloc (core func $mem \"realloc\")) string-encoding={encoding}"
        );
        if "wcd".contains(lift) {
            options += " async";
        }
        if "cd".contains(lift) {
            let _ = write!(options, " (callback (core func $i \"{lift}-callback\"))");
        }
        let ty = func_type(lift);
        let _ = writeln!(
            text,
            "(func (export \"{lift}\") {ty} (canon lift (core func $i \"{lift}\") {options}))"
        );
    }
    text + ")\n"
}

/// What A does with each of B's functions.
fn caller(named: &str, encoding: &str) -> String {
    let mut text = format!("(component $A {named}\n");
    for lift in LIFTS {
        let _ = writeln!(
            text,
            "(import \"{lift}\" (func ${lift} {}))",
            func_type(lift)
        );
    }
    memory(&mut text);
    let options = format!(
        "(memory (core memory $mem \"mem\")) (realloc (core func $mem \"realloc\")) string-encoding={encoding}"
    );
    let (mut imports, mut with, mut funcs, mut exports) =
        (String::new(), String::new(), String::new(), String::new());
    for lift in LIFTS {
        let _ = writeln!(
            text,
            "(core func ${lift}-sync (canon lower (func ${lift}) {options}))"
        );
        let _ = writeln!(
            imports,
            "(import \"\" \"{lift}-sync\" (func ${lift}-sync (param i32 i32)))"
        );
        let _ = writeln!(with, "(export \"{lift}-sync\" (func ${lift}-sync))");
        let _ = writeln!(
            funcs,
            "(func (export \"sync-{lift}\") (param i32) (result i32) (local $to i32)
                (local.set $to (call $room))
                (call ${lift}-sync (local.get 0) (local.get $to))
                (local.get $to))"
        );
        let _ = writeln!(
            exports,
            "(func (export \"run-sync-{lift}\") async (param \"x\" $p) (result $p) (canon lift (core func $i \"sync-{lift}\") {options}))"
        );
        if lift == "s" {
            continue;
        }
        let _ = writeln!(
            text,
            "(core func ${lift}-async (canon lower (func ${lift}) async {options}))"
        );
        let _ = writeln!(
            imports,
            "(import \"\" \"{lift}-async\" (func ${lift}-async (param i32 i32) (result i32)))"
        );
        let _ = writeln!(with, "(export \"{lift}-async\" (func ${lift}-async))");
        let _ = writeln!(
            funcs,
            "(func (export \"async-{lift}\") (param i32) (result i32) (local $to i32)
                (local.set $to (call $room))
                (call $finish (call ${lift}-async (local.get 0) (local.get $to)))
                (local.get $to))
            (func (export \"cancel-{lift}\") (param i32) (result i32) (local $to i32)
                (local.set $to (call $room))
                (call $give-up (call ${lift}-async (local.get 0) (local.get $to)))
                (local.get 0))
            (func (export \"callback-{lift}\") (param i32) (result i32) (local $to i32)
                (local.set $to (call $room))
                (call $wait-for (call ${lift}-async (local.get 0) (local.get $to)) (local.get $to)))"
        );
        for how in ["async", "cancel"] {
            let _ = writeln!(
                exports,
                "(func (export \"run-{how}-{lift}\") async (param \"x\" $p) (result $p) (canon lift (core func $i \"{how}-{lift}\") {options}))"
            );
        }
        let _ = writeln!(
            exports,
            "(func (export \"run-callback-{lift}\") async (param \"x\" $p) (result $p) (canon lift (core func $i \"callback-{lift}\") async (callback (core func $i \"callback\")) {options}))"
        );
    }
    let _ = write!(
        text,
        r#"(core func $return (canon task.return (result $p) (memory (core memory $mem "mem")) string-encoding={encoding}))
        (core func $set (canon waitable-set.new))
        (core func $join (canon waitable.join))
        (core func $wait (canon waitable-set.wait (memory (core memory $mem "mem"))))
        (core func $set-drop (canon waitable-set.drop))
        (core func $sub-drop (canon subtask.drop))
        (core func $sub-cancel (canon subtask.cancel))
        (core func $get (canon context.get i32 0))
        (core func $put (canon context.set i32 0))
        (core module $m
            (import "m" "mem" (memory 80))
            (import "m" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
            (import "" "return" (func $return (param i32)))
            (import "" "set" (func $set (result i32)))
            (import "" "join" (func $join (param i32 i32)))
            (import "" "wait" (func $wait (param i32 i32) (result i32)))
            (import "" "set-drop" (func $set-drop (param i32)))
            (import "" "sub-drop" (func $sub-drop (param i32)))
            (import "" "sub-cancel" (func $sub-cancel (param i32) (result i32)))
            (import "" "get" (func $get (result i32)))
            (import "" "put" (func $put (param i32)))
            {imports}
            ;; functions
            (func $room (result i32) (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 16384)))
            ;; The log: how many at 1020, from 1024 on what.
            (func $note (param i32)
                (i32.store (i32.add (i32.const 1024) (i32.shl (i32.load (i32.const 1020)) (i32.const 2))) (local.get 0))
                (i32.store (i32.const 1020) (i32.add (i32.load (i32.const 1020)) (i32.const 1))))
            (func (export "log") (result i32)
                (i32.store (i32.const 1008) (i32.const 1024))
                (i32.store (i32.const 1012) (i32.load (i32.const 1020)))
                (i32.store (i32.const 1020) (i32.const 0))
                (i32.const 1008))
            (func $finish (param $status i32) (local $set i32) (local $sub i32)
                (call $note (i32.and (local.get $status) (i32.const 15)))
                (local.set $sub (i32.shr_u (local.get $status) (i32.const 4)))
                (if (i32.eqz (local.get $sub)) (then (return)))
                (local.set $set (call $set))
                (call $join (local.get $sub) (local.get $set))
                (loop $again
                    (call $note (call $wait (local.get $set) (i32.const 1000)))
                    (call $note (i32.load (i32.const 1004)))
                    (br_if $again (i32.lt_u (i32.load (i32.const 1004)) (i32.const 2))))
                (call $sub-drop (local.get $sub))
                (call $set-drop (local.get $set)))
            (func $give-up (param $status i32) (local $sub i32)
                (call $note (i32.and (local.get $status) (i32.const 15)))
                (local.set $sub (i32.shr_u (local.get $status) (i32.const 4)))
                (if (i32.eqz (local.get $sub)) (then (return)))
                (call $note (call $sub-cancel (local.get $sub)))
                (call $sub-drop (local.get $sub)))
            ;; A record: where the result is, the set, the subtask.
            (func $wait-for (param $status i32) (param $to i32) (result i32) (local $r i32) (local $sub i32)
                (local.set $sub (i32.shr_u (local.get $status) (i32.const 4)))
                (if (i32.eqz (local.get $sub)) (then (call $return (local.get $to)) (return (i32.const 0))))
                (local.set $r (call $realloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 12)))
                (call $put (local.get $r))
                (i32.store (local.get $r) (local.get $to))
                (i32.store offset=4 (local.get $r) (call $set))
                (i32.store offset=8 (local.get $r) (local.get $sub))
                (call $join (local.get $sub) (i32.load offset=4 (local.get $r)))
                (i32.or (i32.const 2) (i32.shl (i32.load offset=4 (local.get $r)) (i32.const 4))))
            (func (export "callback") (param $event i32) (param i32) (param $state i32) (result i32) (local $r i32)
                (local.set $r (call $get))
                (if (i32.lt_u (local.get $state) (i32.const 2))
                    (then (return (i32.or (i32.const 2) (i32.shl (i32.load offset=4 (local.get $r)) (i32.const 4))))))
                (call $sub-drop (i32.load offset=8 (local.get $r)))
                (call $set-drop (i32.load offset=4 (local.get $r)))
                (call $return (i32.load (local.get $r)))
                (i32.const 0))
            {funcs})
        (core instance $i (instantiate $m (with "m" (instance $mem)) (with "" (instance
            (export "return" (func $return)) (export "set" (func $set)) (export "join" (func $join))
            (export "wait" (func $wait)) (export "set-drop" (func $set-drop))
            (export "sub-drop" (func $sub-drop)) (export "sub-cancel" (func $sub-cancel))
            (export "get" (func $get)) (export "put" (func $put)) {with}))))
        (func (export "log") (result (list u32)) (canon lift (core func $i "log") (memory (core memory $mem "mem"))))
        {exports})
        "#
    );
    text
}

fn wide_callee(text: &str) -> String {
    let imports = [
        ("later-async".into(), "ip", Some('i')),
        ("return".into(), "p", None),
    ];
    let exports = LIFTS.map(|lift| {
        let result = match lift {
            "w" => None,
            "c" | "d" => Some('i'),
            _ => Some('p'),
        };
        (lift.into(), "p", result)
    });
    wide::component(text, &imports, &exports)
}

fn wide_caller(text: &str) -> String {
    let mut imports = vec![
        ("return".to_string(), "p", None),
        ("wait".to_string(), "ip", Some('i')),
    ];
    let mut exports = vec![("log".to_string(), "", Some('p'))];
    for lift in LIFTS {
        imports.push((format!("{lift}-sync"), "pp", None));
        exports.push((format!("sync-{lift}"), "p", Some('p')));
        if lift != "s" {
            imports.push((format!("{lift}-async"), "pp", Some('i')));
            exports.push((format!("async-{lift}"), "p", Some('p')));
            exports.push((format!("cancel-{lift}"), "p", Some('p')));
            exports.push((format!("callback-{lift}"), "p", Some('i')));
        }
    }
    wide::component(text, &imports, &exports)
}

/// The whole component.
pub fn component(rng: &mut Rng, named: &Named, ty: &Ty) -> String {
    // Types with names are imported: then exports may name them.
    let (mut own, mut with) = (String::new(), String::new());
    for (at, text) in named.texts.iter().enumerate() {
        let _ = writeln!(
            own,
            "(type $d{at} {text}) (import \"t{at}\" (type $t{at} (eq $d{at})))"
        );
        let _ = write!(with, " (with \"t{at}\" (type $t{at}))");
    }
    let _ = writeln!(own, "(type $p (tuple {} (list u8 17)))", ty.text());
    let [a, b] = [(); 2].map(|()| *rng.pick(&ENCODINGS));
    let [wide_a, wide_b] = [(); 2].map(|()| rng.chance(1, 3));
    let mut text = String::from(
        "(component (import \"later\" (func $later async (param \"n\" u32) (result u32)))\n",
    );
    text += &own;
    let mut inner = callee(&own, b);
    if wide_b {
        inner = wide_callee(&inner);
    }
    text += &inner;
    let _ = writeln!(
        text,
        "(instance $b (instantiate $B (with \"later\" (func $later)){with}))"
    );
    let mut inner = caller(&own, a);
    if wide_a {
        inner = wide_caller(&inner);
    }
    text += &inner;
    let _ = write!(text, "(instance $a (instantiate $A{with}");
    for lift in LIFTS {
        let _ = write!(text, " (with \"{lift}\" (func $b \"{lift}\"))");
    }
    text += "))\n(func (export \"mode\") (alias export $b \"mode\"))\n(func (export \"log\") (alias export $a \"log\"))\n";
    for lift in LIFTS {
        for how in ["sync", "async", "cancel", "callback"] {
            if lift != "s" || how == "sync" {
                let name = format!("run-{how}-{lift}");
                let _ = writeln!(
                    text,
                    "(func (export \"{name}\") (alias export $a \"{name}\"))"
                );
            }
        }
    }
    text + ")\n"
}
