//! What the tests of components share: engines, instances, components that echo.

#![allow(dead_code)] // no test uses all of it

use helve::component::{Component, Instance, Linker};
use helve::{Config, Engine, Result, Store};

pub fn engine() -> Engine {
    Engine::new(Config::new().all_features(true)).unwrap()
}

/// An instance of the component in `text`, with what `define` adds to the linker.
pub fn instance<T: 'static>(
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

/// Core module with a memory, a bump allocator that aligns, and `more`.
pub fn with_memory(more: &str) -> String {
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
pub fn echo(ty: &str, types: &str, encoding: &str, (params, results): (&str, &str)) -> String {
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

pub const NO_TYPES: &str = "";
