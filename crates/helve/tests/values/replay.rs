//! Replays vectors that were recorded from the executable spec (`fuzz/values.py` says what
//! stands in them) on real components.
//!
//! ```text
//!  host --get,set,flat--> component a (memory, realloc that behaves or not)
//!  host --pull,push-----> component b --get,flat--> a
//! ```
//! Values go through dynamic `Val`s, through Rust types where one fits, and from component
//! to component; all must be what the spec makes of them. Not here: which vectors.

use helve::component::{Component, Instance, Lift, Linker, Lower, Val};
use helve::{Engine, ErrorKind, Result, Store};
use std::fmt::Write;

/// What became of the vectors.
#[derive(Default)]
pub struct Report {
    pub types: usize,
    pub cases: usize,
    pub checks: usize,
    pub traps: usize,
    pub typed: usize,
    pub wrong: Vec<String>,
}

/// Replays every line. `exact`: adapters call `realloc` as the spec does, so all that they
/// leave in memory is compared; else only the values that come out of them.
pub fn replay(engine: &Engine, lines: &str, exact: bool) -> Report {
    let mut report = Report::default();
    let mut linker = Linker::new(engine);
    let mut target = None;
    for line in lines.lines() {
        if let Some(line) = line.strip_prefix("T ") {
            report.types += 1;
            target = match Target::new(engine, line) {
                Ok(target) => Some(target),
                Err(error) => {
                    report.wrong.push(format!("{line}: {error:#}"));
                    None
                }
            };
        } else if let Some(target) = &target {
            report.cases += 1;
            let mut case = Case {
                engine,
                linker: &mut linker,
                target,
                line,
                report: &mut report,
                exact,
            };
            case.run();
        }
    }
    report
}

/// The component for a type.
struct Target {
    component: Component,
    ty: String,
    flats: Option<Vec<String>>,
    line: String,
}

impl Target {
    fn new(engine: &Engine, line: &str) -> Result<Target> {
        let parts: Vec<&str> = line.split(" ; ").map(str::trim).collect();
        let [named, ty, flats, a, b] = parts[..] else {
            return Err(helve::Error::msg("a line of types has five parts"));
        };
        let flats = (flats != "-").then(|| flats.split(' ').map(str::to_owned).collect());
        let text = component(named, ty, flats.as_deref(), a, b);
        let component = Component::new(engine, &*text)?;
        Ok(Target {
            component,
            ty: ty.to_owned(),
            flats,
            line: line.to_owned(),
        })
    }
}

const REALLOC: &str = r#"(global $next (mut i32) (i32.const 4096))
(global $calls (mut i32) (i32.const 0))
(global $policy (mut i32) (i32.const 0))
(global $ptr (mut i32) (i32.const 0))
(func $bump (param $align i32) (param $size i32) (result i32) (local $at i32)
  (local.set $at (i32.and
    (i32.sub (i32.add (global.get $next) (local.get $align)) (i32.const 1))
    (i32.sub (i32.const 0) (local.get $align))))
  (global.set $next (i32.add (local.get $at) (local.get $size)))
  (local.get $at))
(func $is (param i32) (result i32) (i32.eq (global.get $policy) (local.get 0)))
(func (export "realloc") (param $old i32) (param $was i32) (param $align i32) (param $size i32) (result i32)
  (local $at i32) (local $n i32)
  (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
  (if (i32.and (call $is (i32.const 0)) (i32.and (i32.ne (local.get $was) (i32.const 0))
      (i32.le_u (local.get $size) (local.get $was))))
    (then (return (local.get $old))))
  (if (call $is (i32.const 2))
    (then (return (i32.add (call $bump (local.get $align) (local.get $size)) (i32.const 1)))))
  (if (call $is (i32.const 3)) (then (return (i32.const 4096))))
  (if (call $is (i32.const 4)) (then (return (i32.const 65520))))
  (if (i32.and (call $is (i32.const 5)) (i32.eq (global.get $calls) (i32.const 2)))
    (then unreachable))
  (if (call $is (i32.const 6)) (then (return (i32.const 0xfffffff0))))
  (if (call $is (i32.const 7)) (then (return (i32.const 64))))
  (if (i32.and (call $is (i32.const 8)) (i32.eq (global.get $calls) (i32.const 2)))
    (then (return (i32.add (call $bump (local.get $align) (local.get $size)) (i32.const 1)))))
  (if (i32.and (call $is (i32.const 10)) (i32.eq (global.get $calls) (i32.const 3)))
    (then (return (i32.add (call $bump (local.get $align) (local.get $size)) (i32.const 1)))))
  (if (i32.and (call $is (i32.const 9)) (i32.eq (global.get $calls) (i32.const 2)))
    (then (return (i32.const 0xfffffff0))))
  (if (i32.and (call $is (i32.const 11)) (i32.eq (global.get $calls) (i32.const 3)))
    (then (return (i32.const 0xfffffff0))))
  (local.set $at (call $bump (local.get $align) (local.get $size)))
  (local.set $n (select (local.get $was) (local.get $size)
    (i32.lt_u (local.get $was) (local.get $size))))
  (memory.copy (local.get $at) (local.get $old) (local.get $n))
  (local.get $at))
(func (export "poke") (param i32 i64) (i64.store (local.get 0) (local.get 1)))
(func (export "config") (param i32 i32)
  (global.set $ptr (local.get 0)) (global.set $policy (local.get 1)))
(func (export "dump") (result i32)
  (i32.store (i32.const 8) (i32.const 64)) (i32.store (i32.const 12) (i32.const 8192))
  (i32.const 8))
(func (export "get") (result i32) (global.get $ptr))
(func (export "set") (param i32) (i64.store (i32.const 128) (i64.extend_i32_u (local.get 0))))
"#;

const CONTROLS: &str = r#"(func (export "poke") (param "at" u32) (param "x" u64) (canon lift (core func $mem "poke")))
(func (export "config") (param "ptr" u32) (param "policy" u32) (canon lift (core func $mem "config")))
(func (export "dump") (result (list u8)) (canon lift (core func $mem "dump") (memory (core memory $mem "m"))))
"#;

/// The root component of a type.
fn component(named: &str, ty: &str, flats: Option<&[String]>, a: &str, b: &str) -> String {
    let (mut types, mut with) = (String::new(), String::new());
    for (i, named) in named
        .split('|')
        .filter(|named| !named.is_empty())
        .enumerate()
    {
        let _ = writeln!(
            types,
            "(type $d{i} {named}) (import \"t{i}\" (type $t{i} (eq $d{i})))"
        );
        let _ = write!(with, "(with \"t{i}\" (type $t{i})) ");
    }
    let pair = format!("(tuple {ty} (list u8 17))");
    let options = |encoding: &str| {
        format!(
            "(memory (core memory $mem \"m\")) (realloc (core func $mem \"realloc\")) string-encoding={encoding}"
        )
    };
    let (mut store_flats, mut load_flats, mut kinds) =
        (String::new(), String::new(), String::new());
    for (i, flat) in flats.unwrap_or_default().iter().enumerate() {
        let at = 128 + 8 * i;
        let _ = match flat.as_str() {
            "i32" => write!(
                store_flats,
                "(i64.store (i32.const {at}) (i64.extend_i32_u (local.get {i})))"
            ),
            "f32" => write!(
                store_flats,
                "(i64.store (i32.const {at}) (i64.extend_i32_u (i32.reinterpret_f32 (local.get {i}))))"
            ),
            other => write!(
                store_flats,
                "({other}.store (i32.const {at}) (local.get {i}))"
            ),
        };
        let _ = write!(load_flats, "({flat}.load (i32.const {}))", 32768 + 8 * i);
        let _ = write!(kinds, " {flat}");
    }
    let has_flat = flats.is_some();
    let when = |text: String| if has_flat { text } else { String::new() };
    let flat_core = when(format!(
        "(func (export \"flat\") (param {kinds}) {store_flats})"
    ));
    let flat_lift = |options: &str| {
        when(format!(
            "(func (export \"flat\") (param \"x\" {ty}) (canon lift (core func $mem \"flat\") {options}))"
        ))
    };
    let flat_import = when(format!("(import \"flat\" (func $flat (param \"x\" {ty})))"));
    let (options_a, options_b) = (options(a), options(b));
    let flat_lower = when(format!(
        "(core func $flat' (canon lower (func $flat) {options_b}))"
    ));
    let flat_core_import = when(format!(
        "(import \"\" \"flat\" (func $flat (param {kinds})))"
    ));
    let push_core = when(format!(
        "(func (export \"push\") (call $flat {load_flats}))"
    ));
    let flat_arg = when("(export \"flat\" (func $flat'))".into());
    let push_lift = when("(func (export \"push\") (canon lift (core func $main \"push\")))".into());
    let flat_with = when("(with \"flat\" (func $a \"flat\"))".into());
    let flat_lift = flat_lift(&options_a);
    format!(
        r#"(component
{types}
(component $A
{types}
(core module $mem (memory (export "m") 1 1) {REALLOC} {flat_core})
(core instance $mem (instantiate $mem))
{CONTROLS}
(func (export "get") (result {pair}) (canon lift (core func $mem "get") {options_a}))
(func (export "set") (param "x" {pair}) (canon lift (core func $mem "set") {options_a}))
{flat_lift})
(component $B
{types}
(import "get" (func $get (result {pair})))
{flat_import}
(core module $mem (memory (export "m") 1 1) {REALLOC})
(core instance $mem (instantiate $mem))
(core func $get' (canon lower (func $get) {options_b}))
{flat_lower}
(core module $main (import "" "m" (memory 1)) (import "" "get" (func $get (param i32))) {flat_core_import}
  (func (export "pull") (result i32) (call $get (i32.const 64)) (i32.const 64)) {push_core})
(core instance $main (instantiate $main (with "" (instance (export "m" (memory $mem "m")) (export "get" (func $get')) {flat_arg}))))
{CONTROLS}
(func (export "pull") (result {pair}) (canon lift (core func $main "pull") {options_b}))
{push_lift})
(instance $a (instantiate $A {with}))
(instance $b (instantiate $B {with} (with "get" (func $a "get")) {flat_with}))
(export "a" (instance $a))
(export "b" (instance $b))
)"#
    )
}

struct Case<'a> {
    engine: &'a Engine,
    linker: &'a mut Linker<()>,
    target: &'a Target,
    line: &'a str,
    report: &'a mut Report,
    exact: bool,
}

/// One instance of the target.
struct Run {
    store: Store<()>,
    instance: Instance,
}

impl Run {
    fn poke(&mut self, side: &str, at: u32, bytes: &[u8]) -> Result<()> {
        let poke = format!("{side}#poke");
        let poke = self
            .instance
            .get_typed_func::<(u32, u64), ()>(&mut self.store, &poke)?;
        for (i, chunk) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            poke.call(
                &mut self.store,
                (at + 8 * i as u32, u64::from_le_bytes(word)),
            )?;
        }
        Ok(())
    }

    fn config(&mut self, side: &str, pointer: u32, policy: u32) -> Result<()> {
        let name = format!("{side}#config");
        let config = self
            .instance
            .get_typed_func::<(u32, u32), ()>(&mut self.store, &name)?;
        config.call(&mut self.store, (pointer, policy))
    }

    fn memory(&mut self, side: &str) -> Result<String> {
        let name = format!("{side}#dump");
        let dump = self
            .instance
            .get_typed_func::<(), (Vec<u8>,)>(&mut self.store, &name)?;
        Ok(format!("{:08x}", crc32(&dump.call(&mut self.store, ())?.0)))
    }

    fn call(&mut self, name: &str, params: &[Val], count: usize) -> Result<Vec<Val>> {
        let Some(func) = self.instance.get_func(&mut self.store, name) else {
            return Err(helve::Error::msg(format!("no `{name}`")));
        };
        let mut results = vec![Val::Bool(false); count];
        func.call(&mut self.store, params, &mut results)?;
        Ok(results)
    }
}

impl Case<'_> {
    fn run(&mut self) {
        let parts: Vec<&str> = self.line.split(' ').collect();
        match parts[..] {
            ["G", policy, pointer, image, get, pull, memory, set, flat] => {
                let number = |text: &str| text.parse().unwrap_or(0);
                let image = bytes(image);
                self.given(
                    number(policy),
                    number(pointer),
                    &image,
                    [get, pull, memory, set, flat],
                );
            }
            ["P", policy, words, image, push] => {
                let words: Vec<u8> = words
                    .split(',')
                    .flat_map(|word| u64::from_str_radix(word, 16).unwrap_or(0).to_le_bytes())
                    .collect();
                if self.exact {
                    let result = self.push(policy.parse().unwrap_or(0), &words, &bytes(image));
                    self.expect("push", push, result);
                }
            }
            _ => self
                .report
                .wrong
                .push(format!("not a vector: {}", self.line)),
        }
    }

    fn fresh(&mut self) -> Result<Run> {
        let mut store = Store::new(self.engine, ());
        if self.linker.check(&self.target.component).is_err() {
            self.linker
                .define_unknown_imports_as_traps(&self.target.component)?;
        }
        let instance = self
            .linker
            .instantiate(&mut store, &self.target.component)?;
        Ok(Run { store, instance })
    }

    fn given(&mut self, policy: u32, pointer: u32, image: &[u8], expected: [&str; 5]) {
        let mut value = None;
        let got = self.get(pointer, image).map(|val| {
            let text = sum(&val);
            value = Some(val);
            text
        });
        self.expect("get", expected[0], got);
        let well_behaved = policy < 2;
        let policy_of_b = if self.exact || well_behaved {
            policy
        } else {
            0
        };
        let pulled = self.pull(policy_of_b, pointer, image);
        let (again, memory) = match pulled {
            Ok((again, memory)) => (Ok(again), Some(memory)),
            Err(error) => (Err(error), None),
        };
        // The spec's first guess at a string's size may not fit where the string does.
        let fits = expected[0] == "!" || expected[1] != "!";
        if self.exact || (well_behaved && fits) {
            self.expect("pull", expected[1], again);
        }
        if let (Some(memory), true) = (memory, self.exact) {
            self.expect("pull's memory", expected[2], Ok(memory));
        }
        if let Some(value) = value {
            let result = self.lower("a#set", policy, value.clone());
            self.expect("set", expected[3], result);
            if let (Val::Tuple(mut parts), true) = (value, expected[4] != "-") {
                let result = self.lower("a#flat", policy, parts.remove(0));
                self.expect("flat", expected[4], result);
            }
        }
        self.typed(policy, pointer, image, expected);
    }

    fn get(&mut self, pointer: u32, image: &[u8]) -> Result<Val> {
        let mut run = self.fresh()?;
        run.poke("a", 64, image)?;
        run.config("a", pointer, 0)?;
        Ok(run.call("a#get", &[], 1)?.remove(0))
    }

    fn pull(&mut self, policy: u32, pointer: u32, image: &[u8]) -> Result<(String, String)> {
        let mut run = self.fresh()?;
        run.poke("a", 64, image)?;
        run.config("a", pointer, 0)?;
        run.config("b", 0, policy)?;
        let val = run.call("b#pull", &[], 1)?.remove(0);
        Ok((sum(&val), run.memory("b")?))
    }

    fn lower(&mut self, name: &str, policy: u32, value: Val) -> Result<String> {
        let mut run = self.fresh()?;
        run.config("a", 0, policy)?;
        run.call(name, &[value], 0)?;
        run.memory("a")
    }

    fn push(&mut self, policy: u32, words: &[u8], image: &[u8]) -> Result<String> {
        debug_assert!(self.target.flats.is_some());
        let mut run = self.fresh()?;
        run.poke("b", 64, image)?;
        run.poke("b", 32768, words)?;
        run.config("a", 0, policy)?;
        run.call("b#push", &[], 0)?;
        run.memory("a")
    }

    fn expect(&mut self, what: &str, expected: &str, found: Result<String>) {
        self.report.checks += 1;
        let found = match found {
            Ok(text) => text,
            Err(error) if error.trap().is_some() => {
                self.report.traps += 1;
                if expected == "!" {
                    return;
                }
                format!("{error:#}")
            }
            Err(error) if error.kind() == ErrorKind::Bug => format!("a bug: {error:#}"),
            Err(error) => format!("no trap: {error:#}"),
        };
        // `~`: there is a NaN in it, whose bits may be any.
        if found != expected && (expected != "~" || found.len() != 8) {
            let line: String = self.line.chars().take(700).collect();
            self.report.wrong.push(format!(
                "{what}: {found} where the spec has {expected}\n  T {}\n  {line}",
                self.target.line
            ));
        }
    }

    /// The same with Rust types, where there is one.
    fn typed(&mut self, policy: u32, pointer: u32, image: &[u8], expected: [&str; 5]) {
        macro_rules! types {
            ($($text:literal = $ty:ty,)*) => {
                match self.target.ty.as_str() {
                    $($text => self.typed_as::<$ty>(policy, pointer, image, expected),)*
                    _ => {}
                }
            };
        }
        types! {
            "bool" = bool, "u8" = u8, "s8" = i8, "u16" = u16, "s16" = i16, "u32" = u32,
            "s32" = i32, "u64" = u64, "s64" = i64, "f32" = f32, "f64" = f64, "char" = char,
            "string" = String, "(list u8)" = Vec<u8>, "(list s16)" = Vec<i16>,
            "(list string)" = Vec<String>, "(list char)" = Vec<char>, "(list bool)" = Vec<bool>,
            "(list f32)" = Vec<f32>, "(list u64)" = Vec<u64>,
            "(option string)" = Option<String>, "(option u64)" = Option<u64>,
            "(option bool)" = Option<bool>, "(option char)" = Option<char>,
            "(result string)" = Result<String, ()>, "(result)" = Result<(), ()>,
            "(result (error string))" = Result<(), String>,
            "(tuple string)" = (String,), "(tuple string string)" = (String, String),
            "(list string 2)" = [String; 2], "(list char 3)" = [char; 3],
        }
    }

    fn typed_as<T>(&mut self, policy: u32, pointer: u32, image: &[u8], expected: [&str; 5])
    where
        T: Lift + Lower + ToVal + Clone + 'static,
    {
        self.report.typed += 1;
        type Pair<T> = (T, [u8; 17]);
        let get = |case: &mut Self| -> Result<Pair<T>> {
            let mut run = case.fresh()?;
            run.poke("a", 64, image)?;
            run.config("a", pointer, 0)?;
            let get = run
                .instance
                .get_typed_func::<(), (Pair<T>,)>(&mut run.store, "a#get")?;
            Ok(get.call(&mut run.store, ())?.0)
        };
        let value = get(self);
        let text = match &value {
            Ok((a, b)) => {
                let bytes = b.iter().map(|byte| Val::U8(*byte)).collect();
                Ok(sum(&Val::Tuple(vec![a.to_val(), Val::List(bytes)])))
            }
            Err(error) => Err(match error.trap() {
                Some(trap) => helve::Error::new(trap),
                None => helve::Error::msg(format!("{error:#}")),
            }),
        };
        self.expect("typed get", expected[0], text);
        let Ok(value) = value else { return };
        let lower = |case: &mut Self, flat: bool| -> Result<String> {
            let mut run = case.fresh()?;
            run.config("a", 0, policy)?;
            let (store, instance) = (&mut run.store, run.instance);
            match flat {
                true => {
                    let func = instance.get_typed_func::<(T,), ()>(&mut *store, "a#flat")?;
                    func.call(&mut *store, (value.0.clone(),))?;
                }
                false => {
                    let func = instance.get_typed_func::<(Pair<T>,), ()>(&mut *store, "a#set")?;
                    func.call(&mut *store, (value.clone(),))?;
                }
            }
            run.memory("a")
        };
        let set = lower(self, false);
        self.expect("typed set", expected[3], set);
        if expected[4] != "-" {
            let flat = lower(self, true);
            self.expect("typed flat", expected[4], flat);
        }
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| {
        hex.get(at..at + 2)
            .and_then(|text| u8::from_str_radix(text, 16).ok())
    };
    (0..hex.len() / 2)
        .map(|i| digit(2 * i).unwrap_or(0))
        .collect()
}

fn sum(val: &Val) -> String {
    let mut text = String::new();
    show(val, &mut text);
    format!("{:08x}", crc32(text.as_bytes()))
}

/// The text of a value, as the recorder makes it.
fn show(val: &Val, into: &mut String) {
    let list = |vals: &mut dyn Iterator<Item = &Val>, into: &mut String| {
        for (i, val) in vals.enumerate() {
            if i > 0 {
                into.push(',');
            }
            show(val, into);
        }
    };
    let payload = |label: &str, val: Option<&Val>, into: &mut String| {
        into.push_str(label);
        into.push('(');
        if let Some(val) = val {
            show(val, into);
        }
        into.push(')');
    };
    let _ = match val {
        Val::Bool(b) => write!(into, "{}", if *b { "t" } else { "f" }),
        Val::S8(n) => write!(into, "{n}"),
        Val::U8(n) => write!(into, "{n}"),
        Val::S16(n) => write!(into, "{n}"),
        Val::U16(n) => write!(into, "{n}"),
        Val::S32(n) => write!(into, "{n}"),
        Val::U32(n) => write!(into, "{n}"),
        Val::S64(n) => write!(into, "{n}"),
        Val::U64(n) => write!(into, "{n}"),
        Val::Float32(x) if x.is_nan() => write!(into, "nan"),
        Val::Float64(x) if x.is_nan() => write!(into, "nan"),
        Val::Float32(x) => write!(into, "{:08x}", x.to_bits()),
        Val::Float64(x) => write!(into, "{:016x}", x.to_bits()),
        Val::Char(c) => write!(into, "{:x}", u32::from(*c)),
        Val::String(text) => {
            into.push('"');
            text.bytes().for_each(|byte| {
                let _ = write!(into, "{byte:02x}");
            });
            write!(into, "\"")
        }
        Val::List(vals) => {
            into.push('[');
            list(&mut vals.iter(), into);
            write!(into, "]")
        }
        Val::Tuple(vals) => {
            into.push('{');
            list(&mut vals.iter(), into);
            write!(into, "}}")
        }
        Val::Record(fields) => {
            into.push('{');
            list(&mut fields.iter().map(|(_, val)| val), into);
            write!(into, "}}")
        }
        Val::Map(pairs) => {
            into.push('[');
            for (i, (key, val)) in pairs.iter().enumerate() {
                into.push_str(if i > 0 { ",{" } else { "{" });
                list(&mut [key, val].into_iter(), into);
                into.push('}');
            }
            write!(into, "]")
        }
        Val::Variant(label, val) => {
            payload(label, val.as_deref(), into);
            Ok(())
        }
        Val::Enum(label) => write!(into, "{label}"),
        Val::Option(None) => write!(into, "none"),
        Val::Option(some) => {
            payload("some", some.as_deref(), into);
            Ok(())
        }
        Val::Result(Ok(val)) => {
            payload("ok", val.as_deref(), into);
            Ok(())
        }
        Val::Result(Err(val)) => {
            payload("err", val.as_deref(), into);
            Ok(())
        }
        Val::Flags(names) => write!(into, "<{}>", names.join(" ")),
        other => write!(into, "{}", other.kind()),
    };
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut table = [0u32; 256];
    for (i, entry) in table.iter_mut().enumerate() {
        *entry = (0..8).fold(i as u32, |n, _| {
            if n & 1 == 1 {
                (n >> 1) ^ 0xedb8_8320
            } else {
                n >> 1
            }
        });
    }
    !bytes.iter().fold(!0, |sum: u32, byte| {
        table[(sum as u8 ^ byte) as usize] ^ (sum >> 8)
    })
}

/// A Rust value as the dynamic one that it stands for.
trait ToVal {
    fn to_val(&self) -> Val;
}

macro_rules! scalars {
    ($($ty:ty = $val:ident,)*) => {
        $(impl ToVal for $ty {
            fn to_val(&self) -> Val {
                Val::$val(self.clone())
            }
        })*
    };
}

scalars! {
    bool = Bool, u8 = U8, i8 = S8, u16 = U16, i16 = S16, u32 = U32, i32 = S32, u64 = U64,
    i64 = S64, f32 = Float32, f64 = Float64, char = Char, String = String,
}

impl<T: ToVal> ToVal for Vec<T> {
    fn to_val(&self) -> Val {
        Val::List(self.iter().map(T::to_val).collect())
    }
}

impl<T: ToVal, const N: usize> ToVal for [T; N] {
    fn to_val(&self) -> Val {
        Val::List(self.iter().map(T::to_val).collect())
    }
}

impl<T: ToVal> ToVal for Option<T> {
    fn to_val(&self) -> Val {
        Val::Option(self.as_ref().map(|some| Box::new(some.to_val())))
    }
}

impl ToVal for Result<String, ()> {
    fn to_val(&self) -> Val {
        Val::Result(match self {
            Ok(text) => Ok(Some(Box::new(text.to_val()))),
            Err(()) => Err(None),
        })
    }
}

impl ToVal for Result<(), String> {
    fn to_val(&self) -> Val {
        Val::Result(match self {
            Ok(()) => Ok(None),
            Err(text) => Err(Some(Box::new(text.to_val()))),
        })
    }
}

impl ToVal for Result<(), ()> {
    fn to_val(&self) -> Val {
        Val::Result(self.map(|()| None).map_err(|()| None))
    }
}

impl ToVal for (String,) {
    fn to_val(&self) -> Val {
        Val::Tuple(vec![self.0.to_val()])
    }
}

impl ToVal for (String, String) {
    fn to_val(&self) -> Val {
        Val::Tuple(vec![self.0.to_val(), self.1.to_val()])
    }
}
