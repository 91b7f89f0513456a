//! Components from a seed.
//!
//! ```text
//!  host `f` <- link (own memory, encoding, realloc) <- link <- .. <- root's export `f`
//!  root's export `lie`: a constant pointer into random bytes, lifted as a random type
//!  root's `make`, `peek`, `take`: a resource of the guest's, with a destructor
//! ```
//!
//! A link's core code hands its arguments on as they are, so one text works for every
//! type. No loops: mutants of such components end. Not here: the mutations (`mutate`).

use super::rng::Rng;
use super::types::{Flat, Named, Ty};
use std::fmt::Write;

const ENCODINGS: &[&str] = &["utf8", "utf16", "latin1+utf16"];

struct Signature {
    params: Vec<Ty>,
    result: Option<Ty>,
}

/// Core parameters and results of a signature, lifted or lowered.
struct Core {
    params: Vec<Flat>,
    result: Option<Flat>,
    /// Whether the result goes through memory.
    pointer: bool,
}

impl Signature {
    fn random(rng: &mut Rng, named: &Named, handles: bool) -> Signature {
        let depth = 1 + rng.below(3);
        let most = *rng.pick(&[1, 1, 2, 4, 9]);
        let params: Vec<Ty> = (0..rng.below(most + 1))
            .map(|_| Ty::random(rng, named, depth, handles))
            .collect();
        let result = rng
            .chance(4, 5)
            .then(|| Ty::random(rng, named, depth, handles))
            .filter(|ty| !ty.borrows());
        Signature { params, result }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (i, ty) in self.params.iter().enumerate() {
            let _ = write!(text, " (param \"p{i}\" {})", ty.text());
        }
        if let Some(ty) = &self.result {
            let _ = write!(text, " (result {})", ty.text());
        }
        text
    }

    fn core(&self) -> Core {
        let mut params: Vec<Flat> = self.params.iter().flat_map(Ty::flatten).collect();
        if params.len() > 16 {
            params = vec![Flat::I32];
        }
        let results = self.result.as_ref().map_or(Vec::new(), Ty::flatten);
        let pointer = results.len() > 1;
        let result = if pointer {
            Some(Flat::I32)
        } else {
            results.first().copied()
        };
        Core {
            params,
            result,
            pointer,
        }
    }
}

fn list(flats: &[Flat]) -> String {
    let texts: Vec<_> = flats.iter().map(|flat| flat.text()).collect();
    texts.join(" ")
}

/// The text of a component.
pub fn component(seed: u64) -> String {
    let rng = &mut Rng::new(seed);
    let count = rng.below(4);
    let named = Named::random(rng, count);
    let handles = rng.chance(1, 3);
    let mut types = String::new();
    let mut with = String::new();
    for (i, text) in named.texts.iter().enumerate() {
        let _ = write!(
            types,
            "(type $d{i} {text})\n(import \"t{i}\" (type $t{i} (eq $d{i})))\n"
        );
        let _ = write!(with, "(with \"t{i}\" (type $t{i})) ");
    }
    if handles {
        types.push_str("(import \"r\" (type $r (sub resource)))\n");
        with.push_str("(with \"r\" (type $r)) ");
    }
    let mut text = format!("(component\n{types}");
    for f in 0..1 + rng.below(2) {
        let signature = Signature::random(rng, &named, handles);
        let _ = writeln!(text, "(import \"f{f}\" (func $f{f}{}))", signature.text());
        let mut callee = format!("(func $f{f})");
        for i in 0..rng.below(4) {
            let nested = link(rng, &signature, &types);
            let _ = write!(
                text,
                "(component $c{f}x{i}\n{nested})\n(instance $i{f}x{i} (instantiate $c{f}x{i} {with}(with \"f\" {callee})))\n"
            );
            callee = format!("(func $i{f}x{i} \"f\")");
        }
        if callee.starts_with("(func $f") {
            let nested = link(rng, &signature, &types);
            let _ = write!(
                text,
                "(component $c{f}\n{nested})\n(instance $i{f} (instantiate $c{f} {with}(with \"f\" {callee})))\n"
            );
            callee = format!("(func $i{f} \"f\")");
        }
        let _ = writeln!(text, "(export \"f{f}\" {callee})");
    }
    if rng.chance(2, 3) {
        liar(rng, &named, &mut text);
    }
    if rng.chance(1, 3) {
        resource(rng, &mut text);
    }
    text + ")"
}

/// A module with a memory of random bytes and an allocator.
fn memory(rng: &mut Rng) -> String {
    let mut data = String::new();
    for _ in 0..64 + rng.below(64) {
        let byte = match rng.below(3) {
            0 => rng.next() as u8,
            1 => 0,
            _ => rng.below(40) as u8,
        };
        let _ = write!(data, "\\{byte:02x}");
    }
    format!(
        r#"(core module $memory
  (memory (export "memory") 2 16)
  (data (i32.const 16) "{data}")
  (global $next (mut i32) (i32.const {start}))
  (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.sub (local.get 2) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get 2))))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (memory.copy (local.get $at) (local.get 0)
      (select (local.get 1) (local.get 3) (i32.lt_u (local.get 1) (local.get 3))))
    (local.get $at))
  (func (export "post") (global.set $next (i32.const {start})))
  (func (export "post32") (param i32) (global.set $next (i32.const {start}))))
(core instance $memory (instantiate $memory))
"#,
        start = 1024 + rng.below(3) * 8,
    )
}

fn options(rng: &mut Rng) -> String {
    format!(
        "(memory (core memory $memory \"memory\")) (realloc (core func $memory \"realloc\")) string-encoding={}",
        rng.pick(ENCODINGS)
    )
}

/// The inside of a component that hands `f` on.
fn link(rng: &mut Rng, signature: &Signature, types: &str) -> String {
    let core = signature.core();
    let mut lowered = core.params.clone();
    if core.pointer {
        lowered.push(Flat::I32);
    }
    let lowered_result = if core.pointer { None } else { core.result };
    let result =
        |flat: Option<Flat>| flat.map_or(String::new(), |flat| format!("(result {})", flat.text()));
    let mut call = "(call $f".to_owned();
    for i in 0..core.params.len() {
        let _ = write!(call, " (local.get {i})");
    }
    call.push_str(if core.pointer {
        " (i32.const 256)) (i32.const 256)"
    } else {
        ")"
    });
    let options_lower = options(rng);
    let post = match core.result {
        Some(Flat::I32) if rng.chance(1, 2) => "(post-return (core func $memory \"post32\"))",
        None if rng.chance(1, 2) => "(post-return (core func $memory \"post\"))",
        _ => "",
    };
    let options_lift = format!("{} {post}", options(rng));
    format!(
        r#"{types}(import "f" (func $f{ty}))
{memory}(core func $lowered (canon lower (func $f) {options_lower}))
(core module $main
  (import "" "f" (func $f (param {lowered}) {lowered_result}))
  (func (export "f") (param {params}) {result} {call}))
(core instance $main (instantiate $main (with "" (instance (export "f" (func $lowered))))))
(func (export "f"){ty} (canon lift (core func $main "f") {options_lift}))
"#,
        ty = signature.text(),
        memory = memory(rng),
        lowered = list(&lowered),
        lowered_result = result(lowered_result),
        params = list(&core.params),
        result = result(core.result),
    )
}

/// Exports `lie`, whose results are constants.
fn liar(rng: &mut Rng, named: &Named, text: &mut String) {
    let mut main = String::from("(core module $liar\n");
    let mut lifts = String::new();
    for i in 0..1 + rng.below(3) {
        let signature = Signature {
            params: Vec::new(),
            result: Some(Ty::random(rng, named, 3, false)),
        };
        let core = signature.core();
        let Some(flat) = core.result else { continue };
        let number = match core.pointer {
            true => 16 + rng.below(16) as u64 * 8,
            false => rng.number(),
        };
        let number = match flat {
            Flat::I32 => (number as i32).to_string(),
            Flat::I64 => (number as i64).to_string(),
            Flat::F32 => format!("nan:0x{:x}", 1 + number % 0x7f_ffff),
            Flat::F64 => format!("nan:0x{:x}", 1 + number % 0xf_ffff_ffff_ffff),
        };
        let name = flat.text();
        let _ = writeln!(
            main,
            "(func (export \"lie{i}\") (result {name}) ({name}.const {number}))"
        );
        let options = options(rng);
        let _ = writeln!(
            lifts,
            "(func (export \"lie{i}\"){} (canon lift (core func $liar \"lie{i}\") {options}))",
            signature.text()
        );
    }
    text.push_str(&memory(rng));
    let _ = write!(
        text,
        "{main})\n(core instance $liar (instantiate $liar))\n{lifts}"
    );
}

/// Exports a resource and functions that take and return it.
fn resource(rng: &mut Rng, text: &mut String) {
    let depth = rng.below(3);
    let _ = write!(
        text,
        r#"(core module $dtor (global $n (mut i32) (i32.const 0)) (func (export "dtor") (param i32)
  (if (i32.gt_u (global.get $n) (i32.const {most})) (then unreachable))
  (global.set $n (i32.add (global.get $n) (i32.const 1)))))
(core instance $dtor (instantiate $dtor))
(type $own (resource (rep i32) (dtor (core func $dtor "dtor"))))
(export $res "res" (type $own))
(core func $new (canon resource.new $own))
(core func $rep (canon resource.rep $own))
(core func $drop (canon resource.drop $own))
(core module $resources
  (import "" "new" (func $new (param i32) (result i32)))
  (import "" "rep" (func $rep (param i32) (result i32)))
  (import "" "drop" (func $drop (param i32)))
  (func (export "make") (param i32) (result i32) (call $new (local.get 0)))
  (func (export "peek") (param i32) (result i32) (i32.add (local.get 0) (i32.const {depth})))
  (func (export "take") (param i32) (result i32) (call $rep (local.get 0)) (call $drop (local.get 0)))
  (func (export "swap") (param i32) (result i32)
    (call $drop (local.get 0)) (call $new (i32.const {depth}))))
(core instance $resources (instantiate $resources (with "" (instance
  (export "new" (func $new)) (export "rep" (func $rep)) (export "drop" (func $drop))))))
(func (export "make") (param "x" u32) (result (own $res)) (canon lift (core func $resources "make")))
(func (export "peek") (param "x" (borrow $res)) (result u32) (canon lift (core func $resources "peek")))
(func (export "take") (param "x" (own $res)) (result u32) (canon lift (core func $resources "take")))
(func (export "swap") (param "x" (own $res)) (result (own $res)) (canon lift (core func $resources "swap")))
"#,
        most = 2 + rng.below(30),
    );
}
