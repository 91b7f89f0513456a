//! Big things: strings and lists at the spec's bound in every pairing of encodings, and
//! ten million handles. Not here: what CI can bear (`crates/helve/tests/limits.rs`).

use helve::component::{Component, Linker};
use helve::{Config, Engine, Limits, Result, Store};
use std::time::Instant;

const MOST: u64 = (1 << 28) - 1;

/// One component hands `units` of a zero-filled memory to another as `ty`, which answers
/// how many it got.
fn pass(ty: &str, from: &str, to: &str, units: u64) -> String {
    format!(
        r#"(component
        (component $callee
            (core module $m (memory (export "m") 8200)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64))
                (func (export "take") (param i32 i32) (result i32) (local.get 1)))
            (core instance $i (instantiate $m))
            (func (export "take") (param "x" {ty}) (result u32) (canon lift (core func $i "take")
                (memory (core memory $i "m")) (realloc (core func $i "realloc")) string-encoding={to})))
        (instance $callee (instantiate $callee))
        (core module $mem (memory (export "m") 8200))
        (core instance $mem (instantiate $mem))
        (core func $take (canon lower (func $callee "take") (memory (core memory $mem "m"))
            string-encoding={from}))
        (core module $main (import "" "take" (func $take (param i32 i32) (result i32)))
            (func (export "run") (result i32) (call $take (i32.const 64) (i32.const {units}))))
        (core instance $main (instantiate $main (with "" (instance (export "take" (func $take))))))
        (func (export "run") (result u32) (canon lift (core func $main "run"))))"#
    )
}

fn call(text: &str) -> Result<u32> {
    let mut limits = Limits::default();
    limits.lifted_bytes = 2 << 30;
    limits.handles = 10_000_000;
    let fused = std::env::var_os("HELVE_SLOW_CALLS").is_none();
    let engine = Engine::new(
        Config::new()
            .all_features(true)
            .limits(limits)
            .fused_adapters(fused),
    )?;
    let component = Component::new(&engine, text)?;
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine).instantiate(&mut store, &component)?;
    let run = instance.get_typed_func::<(), (u32,)>(&mut store, "run")?;
    Ok(run.call(&mut store, ())?.0)
}

pub fn run() {
    let mut wrong = 0;
    let mut check = |what: String, text: String, passes: Option<u32>| {
        let start = Instant::now();
        let result = call(&text);
        let held = match (&result, passes) {
            (Ok(n), Some(m)) => *n == m,
            (Err(error), None) => error.trap().is_some(),
            _ => false,
        };
        let shown = match &result {
            Ok(n) => n.to_string(),
            Err(error) => format!("{error:#}")
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned(),
        };
        wrong += usize::from(!held);
        let word = if held { "ok" } else { "WRONG" };
        println!("{word} {what}: {shown} ({:?})", start.elapsed());
    };
    // The bound is on the bytes that are lifted; what they become may be twice as long.
    let tag = 1u64 << 31;
    for (from, form, bytes) in [
        ("utf8", 0, 1),
        ("utf16", 0, 2),
        ("latin1+utf16", 0, 1),
        ("latin1+utf16", tag, 2),
    ] {
        for to in ["utf8", "utf16", "latin1+utf16"] {
            let most = MOST / bytes;
            let result = most as u32;
            let what = format!(
                "string {from}{} -> {to}",
                if form == 0 { "" } else { " (tagged)" }
            );
            check(
                format!("{what} {most}"),
                pass("string", from, to, most | form),
                Some(result),
            );
            let more = most + 1;
            check(
                format!("{what} {more}"),
                pass("string", from, to, more | form),
                None,
            );
        }
    }
    for (ty, size) in [
        ("u8", 1),
        ("u16", 2),
        ("u64", 8),
        ("(tuple u8 u32)", 8),
        ("bool", 1),
    ] {
        let most = MOST / size;
        let list = format!("(list {ty})");
        let text = |n| pass(&list, "utf8", "utf8", n);
        check(format!("{list} {most}"), text(most), Some(most as u32));
        check(format!("{list} {}", most + 1), text(most + 1), None);
    }
    let handles = |n: u64| {
        format!(
            r#"(component
        (type $r (resource (rep i32)))
        (core func $new (canon resource.new $r))
        (core func $drop (canon resource.drop $r))
        (core module $m
            (import "" "new" (func $new (param i32) (result i32)))
            (import "" "drop" (func $drop (param i32)))
            (func (export "run") (result i32) (local $i i32) (local $last i32)
                (loop $again
                    (local.set $last (call $new (local.get $i)))
                    (local.set $i (i32.add (local.get $i) (i32.const 1)))
                    (br_if $again (i32.lt_u (local.get $i) (i32.const {n}))))
                (loop $again
                    (call $drop (local.get $i))
                    (local.set $i (i32.sub (local.get $i) (i32.const 1)))
                    (br_if $again (local.get $i)))
                (local.get $last)))
        (core instance $i (instantiate $m (with "" (instance
            (export "new" (func $new)) (export "drop" (func $drop))))))
        (func (export "run") (result u32) (canon lift (core func $i "run"))))"#
        )
    };
    check("handles".into(), handles(10_000_000), Some(10_000_000));
    check("handles, one more".into(), handles(10_000_001), None);
    assert!(wrong == 0, "{wrong} wrong");
}
