//! Programs as component text: puppets that ask the host for every step.
//!
//! ```text
//!   component root: puppet 0            each part:  $m  memory, table of what it may call
//!     component c1: puppet 1                        $p  puppet: exported functions, callback;
//!     component c2: puppet 2  ...                       asks `step`, calls through the table
//!                                                   $x  fills the table: built-ins, calls
//! ```
//!
//! A part may call its own functions, the root's, those of parts before it, and the root
//! any; the table is filled when all are there. The text format has no `cancellable` any
//! more: those bytes are set in the encoded component. Not here: what is to be done when (the
//! host, in `replay`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// A lifted function as calls name it: instance, kind, parameter, result, post-return.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Func {
    pub instance: usize,
    pub kind: char,
    pub param: String,
    pub result: String,
    pub post: bool,
}

/// How the puppet performs an action: the signature it calls, what, and with which
/// arguments.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Op {
    pub class: u32,
    pub callee: Callee,
    pub args: [u32; 3],
}

/// What an action calls.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Callee {
    /// Nothing: the puppet's function returns.
    Return,
    /// A canonical built-in, as text.
    Builtin(String),
    /// A function, lowered asynchronously or not.
    Call(Func, bool),
}

/// Core signatures by class; the puppet's `dispatch` has the same order.
const CLASSES: [&str; 10] = [
    "",
    "(result i32)",
    "(result i64)",
    "(param i32)",
    "(param i32) (result i32)",
    "(param i32 i32)",
    "(param i32 i32) (result i32)",
    "(param i32 i32 i32) (result i32)",
    "(param i32 i32) (result i32)",
    "(param i64)",
];
pub const EVENT: u32 = 8;
pub const RETURN: u32 = 10;
/// Traps.
pub const UNREACHABLE: u32 = 11;
/// Table places that every puppet needs: its thread function, `context.set` and `.get`.
const FIXED: usize = 3;

/// What a program's parts call, in table order.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    pub slots: Vec<BTreeMap<(Callee, u32), usize>>,
    /// Called by the host.
    pub exported: BTreeSet<Func>,
}

impl Parts {
    pub fn new(count: usize) -> Parts {
        Parts {
            slots: vec![BTreeMap::new(); count],
            exported: BTreeSet::new(),
        }
    }

    pub fn add(&mut self, instance: usize, op: &Op) {
        if op.callee != Callee::Return {
            let slots = &mut self.slots[instance];
            let next = FIXED + slots.len();
            slots.entry((op.callee.clone(), op.class)).or_insert(next);
        }
    }

    pub fn slot(&self, instance: usize, op: &Op) -> u32 {
        let slot = self.slots[instance].get(&(op.callee.clone(), op.class));
        slot.copied().unwrap_or(0) as u32
    }

    fn funcs(&self) -> BTreeSet<Func> {
        let mut all = self.exported.clone();
        for (callee, _) in self.slots.iter().flat_map(BTreeMap::keys) {
            if let Callee::Call(func, _) = callee {
                all.insert(func.clone());
            }
        }
        all
    }

    pub fn name(&self, func: &Func) -> String {
        let at = self.funcs().iter().position(|other| other == func);
        format!("g{}", at.unwrap_or(usize::MAX))
    }
}

/// The type that a code stands for.
pub fn type_text(code: &str) -> String {
    let (kind, number) = code.split_at(1);
    match kind {
        "o" => format!("(own $t{number})"),
        "b" => format!("(borrow $t{number})"),
        "e" => "error-context".into(),
        _ => format!("${code}"),
    }
}

fn resource_of(code: &str) -> usize {
    match code.split_at(1) {
        ("o" | "b", number) => number.parse().unwrap_or(1),
        _ => 1,
    }
}

impl Func {
    fn type_text(&self) -> String {
        let mut text = String::from(if self.kind == 's' { "" } else { "async " });
        if self.param != "n" {
            let _ = write!(text, "(param \"x\" {}) ", type_text(&self.param));
        }
        if self.result != "n" {
            let _ = write!(text, "(result {})", type_text(&self.result));
        }
        text
    }

    /// The resource type, of those it names, that is made last.
    fn newest(&self) -> usize {
        resource_of(&self.param).max(resource_of(&self.result))
    }

    fn lift(&self, name: &str) -> String {
        let (param, result) = (
            u8::from(self.param != "n"),
            match self.kind {
                'c' => 1,
                'w' => 0,
                _ => u8::from(self.result != "n"),
            },
        );
        let mut options = String::from("(memory (core memory $mem))");
        if matches!(self.kind, 'c' | 'w') {
            options += " async";
        }
        if self.kind == 'c' {
            options += " (callback (core func $p \"cb\"))";
        }
        if self.post {
            let _ = write!(options, " (post-return (core func $p \"post{result}\"))");
        }
        format!(
            "(func ${name} {} (canon lift (core func $p \"e{param}{result}\") {options}))\n",
            self.type_text()
        )
    }
}

const STREAMS: &str = "(type $s1 (stream u16)) (type $s2 (stream bool)) (type $s3 (stream))
(type $f1 (future u16)) (type $f2 (future bool)) (type $f3 (future))
";

const STEP: &str = "(param \"kind\" u32) (param \"id\" u32) (param \"part\" u32) (param \"a\" u32) (param \"b\" u32) (param \"c\" u32) (param \"sum\" u64) (result (tuple u32 u32 u32 u32 u32 u32 u32 u32 u32 u32 u32 u32 u32 u32 u32 u32))";

/// The core modules that come first: memory and table, puppet.
fn cores(part: usize, slots: usize) -> String {
    let bytes: String = (0..8192)
        .map(|at| format!("\\{:02x}", (at * 7 + part * 13) & 255))
        .collect();
    let size = FIXED + slots;
    let puppet = puppet(part, size);
    format!(
        "(core module $M (memory (export \"mem\") 1) (data (i32.const 0) \"{bytes}\") (table (export \"tab\") {size} funcref))
(core instance $m (instantiate $M))
(alias core export $m \"mem\" (core memory $mem)) (alias core export $m \"tab\" (core table $tab))
(core func $step' (canon lower (func $step) (memory (core memory $mem))))
{puppet}
(core instance $h (export \"step\" (func $step')))
(core instance $p (instantiate $P (with \"m\" (instance $m)) (with \"h\" (instance $h))))
(alias core export $p \"e10\" (core func $dtor)) (alias core export $p \"realloc\" (core func $realloc))
"
    )
}

fn puppet(part: usize, size: usize) -> String {
    let mut types = String::new();
    for (class, signature) in CLASSES.iter().enumerate() {
        let _ = writeln!(types, "(type $c{class} (func {signature}))");
    }
    let mut entries = String::new();
    for (param, result) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let params = ["", "(param i32)"][param];
        let results = ["", "(result i32)"][result];
        let argument = ["i32.const 0", "local.get 0"][param];
        let end = ["drop", ""][result];
        let _ = writeln!(
            entries,
            "(func (export \"e{param}{result}\") {params} {results} {argument} i32.const 0 call $start {end})"
        );
    }
    PUPPET
        .replace("{part}", &part.to_string())
        .replace("{size}", &size.to_string())
        .replace("{types}", &types)
        .replace("{entries}", &entries)
        .replace("{dispatch}", &dispatch())
}

/// A puppet. Bytes up to 8192 are the program's, the host's reply is at 8192: thread, class,
/// table place, three arguments, number of actions of a post-return function, and these.
const PUPPET: &str = r#"(core module $P
(import "m" "mem" (memory 1)) (import "m" "tab" (table {size} funcref))
(import "h" "step" (func $step (param i32 i32 i32 i32 i32 i32 i64 i32)))
{types}
(func $sum (result i64) (local $at i32) (local $sum i64)
  (loop $next
    (local.set $sum (i64.add (local.get $sum) (i64.mul (i64.load (local.get $at))
      (i64.extend_i32_u (i32.add (i32.shr_u (local.get $at) (i32.const 3)) (i32.const 1))))))
    (local.tee $at (i32.add (local.get $at) (i32.const 8))) i32.const 8192 i32.lt_u br_if $next)
  local.get $sum)
(func $tell (param i32 i32 i32 i32 i32)
  (call $step (local.get 0) (local.get 1) (i32.const {part}) (local.get 2) (local.get 3) (local.get 4) (call $sum) (i32.const 8192)))
(func $start (param $argument i32) (param $kind i32) (result i32) (local $id i32)
  (call $tell (local.get $kind) (i32.const 0) (local.get $argument) (i32.const 0) (i32.const 0))
  (local.set $id (i32.load (i32.const 8192)))
  (call_indirect (type $c3) (local.get $id) (i32.const 1))
  (call $go (local.get $id)))
{entries}
(func (export "thread") (param i32) i32.const 0 i32.const 3 call $start drop)
(func (export "cb") (param i32 i32 i32) (result i32) (local $id i32)
  (local.set $id (call_indirect (type $c1) (i32.const 2)))
  (call $tell (i32.const 1) (local.get $id) (local.get 0) (local.get 1) (local.get 2))
  (call $go (local.get $id)))
(func $post (local $n i32) (local $at i32) (local $v i32)
  (block $done (loop $next
    (br_if $done (i32.eq (local.get $n) (i32.load (i32.const 8216))))
    (local.set $at (i32.add (i32.const 8220) (i32.mul (local.get $n) (i32.const 12))))
    (local.set $v (i32.const 0))
    (if (i32.eq (i32.load (local.get $at)) (i32.const 0)) (then (call_indirect (type $c0) (i32.load offset=4 (local.get $at)))))
    (if (i32.eq (i32.load (local.get $at)) (i32.const 1)) (then (local.set $v (call_indirect (type $c1) (i32.load offset=4 (local.get $at))))))
    (if (i32.eq (i32.load (local.get $at)) (i32.const 4)) (then (local.set $v (call_indirect (type $c4) (i32.load offset=8 (local.get $at)) (i32.load offset=4 (local.get $at))))))
    (i32.store (i32.add (i32.const 600) (i32.shl (local.get $n) (i32.const 2))) (local.get $v))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    br $next)))
(func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 3072)
(func (export "post0") call $post)
(func (export "post1") (param i32) call $post)
(func $go (param $id i32) (result i32) (local $v i32) (local $w i32) (local $x i32) (local $l i64) (local $at i32)
  (local.set $at (i32.add (i32.const 64) (i32.shl (i32.and (local.get $id) (i32.const 63)) (i32.const 3))))
  (loop $again
    (block $told
{dispatch}
    )
    (call $tell (i32.const 2) (local.get $id) (local.get $v) (local.get $w) (local.get $x))
    br $again)
  unreachable)
)"#;

/// What a puppet's actions do, by class: each leaves what it got in `$v`, `$w` and `$x`.
fn dispatch() -> String {
    let call =
        |class: usize| format!("(call_indirect (type $c{class}) (i32.load (i32.const 8200)))");
    let a = |n: u32| format!("(i32.load (i32.const {}))", 8204 + 4 * n);
    let number = "local.set $v i32.const 0 local.set $w i32.const 0 local.set $x br $told";
    let none = "i32.const 0 ";
    let bodies = [
        format!("{} {none}{number}", call(0)),
        format!("{} {number}", call(1)),
        format!(
            "{} local.tee $l i32.wrap_i64 local.set $v local.get $l i64.const 32 i64.shr_u i32.wrap_i64 local.set $w i32.const 0 local.set $x br $told",
            call(2)
        ),
        format!("{} {} {none}{number}", a(0), call(3)),
        format!("{} {} {number}", a(0), call(4)),
        format!("{} {} {} {none}{number}", a(0), a(1), call(5)),
        format!("{} {} {} {number}", a(0), a(1), call(6)),
        format!("{} {} {} {} {number}", a(0), a(1), a(2), call(7)),
        format!(
            "{} local.get $at {} local.set $v local.get $at i32.load local.set $w local.get $at i32.load offset=4 local.set $x br $told",
            a(0),
            call(8)
        ),
        format!("i64.const 1 {} {none}{number}", call(9)),
        format!("{} return", a(0)),
        "unreachable".into(),
    ];
    let mut dispatch = String::new();
    for class in (0..bodies.len()).rev() {
        dispatch += &format!("(block $b{class} ");
    }
    dispatch += "(br_table 0 1 2 3 4 5 6 7 8 9 10 11 (i32.load (i32.const 8196)))";
    for body in bodies {
        dispatch += &format!(") {body}\n");
    }
    dispatch
}

/// The modules and functions that come last: everything in the table.
fn table(parts: &Parts, part: usize) -> String {
    let mut text = String::from(
        "(core func $cset (canon context.set i32 0)) (core func $cget (canon context.get i32 0))
",
    );
    let mut imports = String::from(
        "(import \"p\" \"thread\" (func $f0 (param i32))) (import \"f\" \"1\" (func $f1 (param i32))) (import \"f\" \"2\" (func $f2 (result i32)))\n",
    );
    let mut exports = String::from("(export \"1\" (func $cset)) (export \"2\" (func $cget))\n");
    let mut elements = String::from("$f0 $f1 $f2");
    let mut slots: Vec<_> = parts.slots[part].iter().collect();
    slots.sort_by_key(|(_, slot)| **slot);
    for ((callee, class), slot) in slots {
        let canon = match callee {
            Callee::Builtin(canon) => canon.clone(),
            Callee::Call(func, is_async) => {
                let name = parts.name(func);
                let is_async = if *is_async {
                    " async (memory (core memory $mem))"
                } else {
                    ""
                };
                format!("lower (func ${name}){is_async}")
            }
            Callee::Return => continue,
        };
        let canon = canon.replace(CANCELLABLE, "");
        let _ = writeln!(text, "(core func $x{slot} (canon {canon}))");
        let signature = CLASSES[*class as usize];
        let _ = writeln!(
            imports,
            "(import \"f\" \"{slot}\" (func $f{slot} {signature}))"
        );
        let _ = writeln!(exports, "(export \"{slot}\" (func $x{slot}))");
        let _ = write!(elements, " $f{slot}");
    }
    let size = FIXED + parts.slots[part].len();
    format!(
        "{text}(core module $X {imports} (import \"m\" \"tab\" (table {size} funcref)) (elem (i32.const 0) func {elements}))
(core instance $f {exports})
(core instance $x (instantiate $X (with \"m\" (instance $m)) (with \"p\" (instance $p)) (with \"f\" (instance $f))))
"
    )
}

const CANCELLABLE: &str = " cancellable";
/// The opcodes of built-ins that can be `cancellable`: the byte after them says so.
const OPCODES: [u8; 8] = [0x0c, 0x20, 0x21, 0x29, 0x2a, 0x2b, 0x2c, 0x2d];

/// For each built-in with such an opcode in a part's table, whether it is cancellable.
fn cancellable(parts: &Parts, part: usize, flags: &mut Vec<bool>) {
    let mut slots: Vec<_> = parts.slots[part].iter().collect();
    slots.sort_by_key(|(_, slot)| **slot);
    for ((callee, _), _) in slots {
        if let Callee::Builtin(canon) = callee
            && [
                "waitable-set.wait",
                "waitable-set.poll",
                "thread.suspend",
                "thread.yield",
            ]
            .iter()
            .any(|name| canon.starts_with(name))
        {
            flags.push(canon.contains(CANCELLABLE));
        }
    }
}

/// The whole component, encoded.
pub fn binary(parts: &Parts) -> Result<Vec<u8>, String> {
    let mut bytes = wat::parse_str(component(parts)).map_err(|e| e.to_string())?;
    let mut flags = Vec::new();
    for part in (1..parts.slots.len()).chain([0]) {
        cancellable(parts, part, &mut flags);
    }
    let mut places = Vec::new();
    for payload in wasmparser::Parser::new(0).parse_all(&bytes) {
        if let Ok(wasmparser::Payload::ComponentCanonicalSection(section)) = payload {
            for item in section.into_iter_with_offsets() {
                let (at, _) = item.map_err(|e| e.to_string())?;
                places.push(usize::try_from(at).map_err(|e| e.to_string())?);
            }
        }
    }
    places.retain(|at| OPCODES.contains(&bytes[*at]));
    if places.len() != flags.len() {
        return Err(format!("{} places for {} flags", places.len(), flags.len()));
    }
    for (at, flag) in places.into_iter().zip(flags) {
        bytes[at + 1] = u8::from(flag);
    }
    Ok(bytes)
}

const THREAD_TYPE: &str = "(core type $ft (func (param i32)))\n";

/// What a child imports of others.
fn imported(parts: &Parts, part: usize) -> Vec<Func> {
    let mut found = BTreeSet::new();
    for (callee, _) in parts.slots[part].keys() {
        if let Callee::Call(func, _) = callee
            && func.instance != part
        {
            found.insert(func.clone());
        }
    }
    found.into_iter().collect()
}

fn child(parts: &Parts, part: usize) -> String {
    let own = part + 1;
    let mut text = format!("(component $C{part}\n{STREAMS}{THREAD_TYPE}");
    for ty in 1..own {
        let _ = writeln!(text, "(import \"t{ty}\" (type $t{ty} (sub resource)))");
    }
    let _ = writeln!(text, "(import \"step\" (func $step {STEP}))");
    for func in imported(parts, part) {
        let name = parts.name(&func);
        let _ = writeln!(
            text,
            "(import \"{name}\" (func ${name} {}))",
            func.type_text()
        );
    }
    text += &cores(part, parts.slots[part].len());
    let _ = writeln!(
        text,
        "(type $own (resource (rep i32) (dtor (core func $dtor))))\n(export $t{own} \"t{own}\" (type $own))"
    );
    let mine: Vec<_> = parts
        .funcs()
        .into_iter()
        .filter(|func| func.instance == part)
        .collect();
    for func in &mine {
        text += &func.lift(&parts.name(func));
    }
    text += &table(parts, part);
    for func in &mine {
        let name = parts.name(func);
        let _ = writeln!(text, "(export \"{name}\" (func ${name}))");
    }
    text + ")\n"
}

/// The whole component.
pub fn component(parts: &Parts) -> String {
    let count = parts.slots.len();
    let funcs = parts.funcs();
    let mut text = format!("(component\n{STREAMS}{THREAD_TYPE}");
    let _ = writeln!(text, "(import \"step\" (func $step {STEP}))");
    text += &cores(0, parts.slots[0].len());
    text += "(type $own (resource (rep i32) (dtor (core func $dtor))))\n(export $t1 \"t1\" (type $own))\n";
    for part in 0..count {
        if part > 0 {
            text += &child(parts, part);
            let mut with = String::from("(with \"step\" (func $step))");
            for ty in 1..=part {
                let _ = write!(with, " (with \"t{ty}\" (type $t{ty}))");
            }
            for func in imported(parts, part) {
                let name = parts.name(&func);
                let _ = write!(with, " (with \"{name}\" (func ${name}))");
            }
            let own = part + 1;
            let _ = writeln!(text, "(instance $i{part} (instantiate $C{part} {with}))");
            let _ = writeln!(text, "(alias export $i{part} \"t{own}\" (type $a{own}))");
            let _ = writeln!(text, "(export $t{own} \"t{own}\" (type $a{own}))");
            for func in funcs.iter().filter(|func| func.instance == part) {
                let name = parts.name(func);
                let _ = writeln!(text, "(alias export $i{part} \"{name}\" (func ${name}))");
            }
        }
        // The root's functions, as soon as there are the types that they name.
        for func in &funcs {
            if func.instance == 0 && func.newest() == part + 1 {
                text += &func.lift(&parts.name(func));
            }
        }
    }
    text += &table(parts, 0);
    for func in &parts.exported {
        let name = parts.name(func);
        let ty = func.type_text();
        let _ = writeln!(text, "(export \"{name}\" (func ${name}) (func {ty}))");
    }
    text + ")\n"
}
