//! Two components, one calling the other, made for a type.
//!
//! ```text
//!  host -> caller.run-f (list T) -> callee.f (list T) -> (list T)     through memory
//!  host -> caller.run-g T        -> callee.g T -> (list u64)          as core values: what
//!                                                                     the callee saw
//!  host -> caller.run-h (list T) -> callee.h (list T) -> T            a result alone
//!  host -> caller.raw-f bytes, n -> callee.f: any bytes as n values   what guests can do
//!  host -> caller.raw-g (list u64)-> callee.g: any core values        wrong
//!  host -> callee.mode           how the callee's realloc lies
//! ```

use super::types::{Lane, Ty};

/// How one of the components sees memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    pub wide: bool,
    pub encoding: &'static str,
}

impl Options {
    pub fn lane(&self) -> Lane {
        if self.wide { Lane::I64 } else { Lane::I32 }
    }

    pub fn pointer(&self) -> u32 {
        if self.wide { 8 } else { 4 }
    }
}

/// A memory with a realloc that gives out ever higher addresses; it can be told to lie.
fn libc(options: &Options) -> String {
    let p = options.lane().text();
    let memory = if options.wide { "i64" } else { "" };
    format!(
        r#"(core module $libc
            (memory (export "mem") {memory} 4 512)
            (global $bump (mut {p}) ({p}.const 0x10000))
            (global $mode (mut i32) (i32.const 0))
            (func (export "mode") (param i32) (global.set $mode (local.get 0)))
            (func (export "reset") (global.set $bump ({p}.const 0x10000)))
            (func (export "realloc") (param $old {p}) (param $size {p}) (param $align {p}) (param $new {p})
                (result {p}) (local $p {p})
                (if (i32.eq (global.get $mode) (i32.const 1))
                    (then (return ({p}.add ({p}.const 0x10000) ({p}.shr_u (local.get $align) ({p}.const 1))))))
                (if (i32.eq (global.get $mode) (i32.const 2)) (then (return ({p}.const 0x3fff8))))
                (if (i32.eq (global.get $mode) (i32.const 3)) (then unreachable))
                (local.set $p ({p}.and
                    ({p}.add (global.get $bump) ({p}.const 15)) ({p}.const -16)))
                (global.set $bump ({p}.add (local.get $p) (local.get $new)))
                (block $fits (loop $grow
                    (br_if $fits ({p}.le_u (global.get $bump)
                        ({p}.mul (memory.size) ({p}.const 0x10000))))
                    (if ({p}.eq (memory.grow ({p}.const 16)) ({p}.const -1)) (then unreachable))
                    (br $grow)))
                (memory.copy (local.get $p) (local.get $old)
                    (select (local.get $size) (local.get $new)
                        ({p}.lt_u (local.get $size) (local.get $new))))
                (local.get $p)))
          (core instance $libc (instantiate $libc))
          (alias core export $libc "mem" (core memory $mem))
          (alias core export $libc "realloc" (core func $realloc))"#
    )
}

fn canon(options: &Options) -> String {
    format!(
        "(memory $mem) (realloc $realloc) string-encoding={}",
        options.encoding
    )
}

/// The core parameters of a function that takes one `ty`.
fn params(ty: &Ty, options: &Options) -> Vec<Lane> {
    let lanes = ty.lanes(options.lane());
    if lanes.len() > 16 {
        vec![options.lane()]
    } else {
        lanes
    }
}

fn list(lanes: &[Lane]) -> String {
    lanes
        .iter()
        .map(|lane| format!(" {}", lane.text()))
        .collect()
}

/// A core value as 64 bits.
fn widen(lane: Lane, value: &str) -> String {
    match lane {
        Lane::I64 => value.to_owned(),
        Lane::I32 => format!("(i64.extend_i32_u {value})"),
        Lane::F32 => format!("(i64.extend_i32_u (i32.reinterpret_f32 {value}))"),
        Lane::F64 => format!("(i64.reinterpret_f64 {value})"),
    }
}

/// How many bytes an address or a store of one takes, and its constant.
fn address(options: &Options, at: u32) -> String {
    format!("({}.const {at})", options.lane().text())
}

/// Stores a pointer and a length at 16.
fn pair(options: &Options, pointer: &str, length: &str) -> String {
    let p = options.lane().text();
    let at = |at| address(options, at);
    let second = 16 + options.pointer();
    format!(
        "({p}.store {} {pointer}) ({p}.store {} {length})",
        at(16),
        at(second)
    )
}

fn callee(ty: &Ty, text: &str, types: &str, options: &Options) -> String {
    let p = options.lane().text();
    let lanes = params(ty, options);
    let stores: String = lanes
        .iter()
        .enumerate()
        .map(|(i, &lane)| {
            let at = address(options, 2048 + 8 * i as u32);
            format!(
                "(i64.store {at} {}) ",
                widen(lane, &format!("(local.get {i})"))
            )
        })
        .collect();
    let alone = ty.lanes(options.lane());
    let (h_result, h_body) = match &alone[..] {
        [lane] => (lane.text(), load_one(ty, *lane)),
        _ => (p, "(local.get 0)".to_owned()),
    };
    let canon = canon(options);
    let seen = pair(
        options,
        &address(options, 2048),
        &address(options, lanes.len() as u32),
    );
    format!(
        r#"(component $Callee
          {types}
          {libc}
          (core module $m
            (import "libc" "mem" (memory {memory} 1))
            (func (export "f") (param {p} {p}) (result {p})
                {forward} {sixteen})
            (func (export "g") (param{lanes}) (result {p}) {stores} {seen} {sixteen})
            (func (export "h") (param {p} {p}) (result {h_result})
                (if ({p}.eqz (local.get 1)) (then unreachable)) {h_body}))
          (core instance $m (instantiate $m (with "libc" (instance $libc))))
          (func (export "mode") (param "x" u32) (canon lift (core func $libc "mode")))
          (func (export "f") (param "x" (list {text})) (result (list {text}))
            (canon lift (core func $m "f") {canon}))
          (func (export "g") (param "x" {text}) (result (list u64))
            (canon lift (core func $m "g") {canon}))
          (func (export "h") (param "x" (list {text})) (result {text})
            (canon lift (core func $m "h") {canon})))"#,
        libc = libc(options),
        memory = if options.wide { "i64" } else { "" },
        forward = pair(options, "(local.get 0)", "(local.get 1)"),
        sixteen = address(options, 16),
        lanes = list(&lanes),
    )
}

/// Loads a value of one core value; what is above its bytes in the lane is junk.
fn load_one(ty: &Ty, lane: Lane) -> String {
    let size = ty.layout(4).0;
    match (lane, size) {
        (Lane::I32, 1) => "(i32.or (i32.const 0) (i32.load8_u (local.get 0)))",
        (Lane::I32, 2) => "(i32.load16_u (local.get 0))",
        (Lane::I32, _) => "(i32.load (local.get 0))",
        (Lane::I64, _) => "(i64.load (local.get 0))",
        (Lane::F32, _) => "(f32.load (local.get 0))",
        (Lane::F64, _) => "(f64.load (local.get 0))",
    }
    .to_owned()
}

/// The caller's own core module.
fn caller_module(ty: &Ty, options: &Options) -> String {
    let p = options.lane().text();
    let lanes = params(ty, options);
    let gets: String = (0..lanes.len())
        .map(|i| format!("(local.get {i}) "))
        .collect();
    let alone = ty.lanes(options.lane());
    // A result of one core value is one; else the caller says where it goes.
    let (h_import, h_call) = match &alone[..] {
        [lane] => {
            let lane = lane.text();
            (
                format!("(param {p} {p}) (result {lane})"),
                format!("(result {lane}) (call $h (local.get 0) (local.get 1))"),
            )
        }
        _ => {
            let at = address(options, 4096);
            (
                format!("(param {p} {p} {p})"),
                format!("(result {p}) (call $h (local.get 0) (local.get 1) {at}) {at}"),
            )
        }
    };
    let raw: String = lanes
        .iter()
        .enumerate()
        .map(|(i, lane)| match alone.len() {
            17.. => "(local.get 0)".to_owned(),
            _ => format!("({}.load offset={} (local.get 0)) ", lane.text(), 8 * i),
        })
        .collect();
    let sixteen = address(options, 16);
    let count = match options.wide {
        true => "(i64.extend_i32_u (local.get 2))",
        false => "(local.get 2)",
    };
    format!(
        r#"(core module $m
            (import "libc" "mem" (memory {memory} 1))
            (import "c" "f" (func $f (param {p} {p} {p})))
            (import "c" "g" (func $g (param{lanes} {p})))
            (import "c" "h" (func $h {h_import}))
            (func (export "run-f") (param {p} {p}) (result {p})
                (call $f (local.get 0) (local.get 1) {sixteen}) {sixteen})
            (func (export "run-g") (param{lanes}) (result {p}) (call $g {gets} {sixteen}) {sixteen})
            (func (export "run-h") (param {p} {p}) {h_call})
            (func (export "raw-f") (param {p} {p} i32) (result {p})
                (call $f (local.get 0) {count} {sixteen}) {sixteen})
            (func (export "raw-g") (param {p} {p}) (result {p}) (call $g {raw} {sixteen}) {sixteen}))"#,
        memory = if options.wide { "i64" } else { "" },
        lanes = list(&lanes),
    )
}

fn caller(ty: &Ty, text: &str, names: usize, imports: &str, options: &Options) -> String {
    let canon = canon(options);
    let exports: String = (0..names)
        .map(|i| {
            format!(
                "(alias export $c \"n{i}\" (type $a{i})) (export $n{i} \"n{i}\" (type $a{i}))\n"
            )
        })
        .collect();
    format!(
        r#"(component $Caller
          (import "c" (instance $c {imports}))
          {exports}
          {libc}
          (core func $f (canon lower (func $c "f") {canon}))
          (core func $g (canon lower (func $c "g") {canon}))
          (core func $h (canon lower (func $c "h") {canon}))
          {module}
          (core instance $m (instantiate $m (with "libc" (instance $libc))
            (with "c" (instance (export "f" (func $f)) (export "g" (func $g)) (export "h" (func $h))))))
          (func (export "run-f") (param "x" (list {text})) (result (list {text}))
            (canon lift (core func $m "run-f") {canon}))
          (func (export "run-g") (param "x" {text}) (result (list u64))
            (canon lift (core func $m "run-g") {canon}))
          (func (export "run-h") (param "x" (list {text})) (result {text})
            (canon lift (core func $m "run-h") {canon}))
          (func (export "raw-f") (param "x" (list u8)) (param "n" u32) (result (list {text}))
            (canon lift (core func $m "raw-f") {canon}))
          (func (export "raw-g") (param "x" (list u64)) (result (list u64))
            (canon lift (core func $m "raw-g") {canon})))"#,
        libc = libc(options),
        module = caller_module(ty, options),
    )
}

/// The component for a type.
pub fn component(ty: &Ty, from: &Options, to: &Options) -> String {
    let mut bodies = Vec::new();
    let text = ty.text(&mut bodies);
    // `$n3` in a body is what an earlier definition exported.
    let defined: String = bodies
        .iter()
        .enumerate()
        .map(|(i, body)| format!("(type $d{i} {body}) (export $n{i} \"n{i}\" (type $d{i}))\n"))
        .collect();
    let imported: String = bodies
        .iter()
        .enumerate()
        .map(|(i, body)| format!("(type $d{i} {body}) (export \"n{i}\" (type $n{i} (eq $d{i})))\n"))
        .collect();
    let imports = format!(
        r#"{imported}
            (export "f" (func (param "x" (list {text})) (result (list {text}))))
            (export "g" (func (param "x" {text}) (result (list u64))))
            (export "h" (func (param "x" (list {text})) (result {text})))"#
    );
    format!(
        r#"(component
          {callee}
          {caller}
          (instance $callee (instantiate $Callee))
          (instance $caller (instantiate $Caller (with "c" (instance $callee))))
          (export "callee" (instance $callee))
          (export "caller" (instance $caller)))"#,
        callee = callee(ty, &text, &defined, to),
        caller = caller(ty, &text, bodies.len(), &imports, from),
    )
}
