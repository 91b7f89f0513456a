//! Random component types: their text, and what core types they flatten to.
//!
//! The flattening is written here once more, small and plain, so that the generated
//! components test Helve's own. Not here: values (`values`), components (`generate`).

use super::rng::Rng;
use std::fmt::Write;

#[derive(Clone, Debug)]
pub enum Ty {
    Prim(&'static str),
    List(Box<Ty>),
    FixedList(Box<Ty>, usize),
    Map(&'static str, Box<Ty>),
    Tuple(Vec<Ty>),
    Option(Box<Ty>),
    Result(Option<Box<Ty>>, Option<Box<Ty>>),
    /// A type of [`Named`], by its number, and what it flattens to.
    Named(usize, Vec<Flat>),
    Own,
    Borrow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flat {
    I32,
    I64,
    F32,
    F64,
}

impl Flat {
    pub fn text(self) -> &'static str {
        match self {
            Flat::I32 => "i32",
            Flat::I64 => "i64",
            Flat::F32 => "f32",
            Flat::F64 => "f64",
        }
    }
}

pub const PRIMS: &[&str] = &[
    "bool", "s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64", "f32", "f64", "char", "string",
    "string", "string",
];

/// Types that must have names, as text in terms of earlier ones.
#[derive(Clone, Debug, Default)]
pub struct Named {
    pub texts: Vec<String>,
    flats: Vec<Vec<Flat>>,
}

impl Named {
    /// A few random records, variants, enums and flags.
    pub fn random(rng: &mut Rng, count: usize) -> Named {
        let mut named = Named::default();
        for _ in 0..count {
            let (text, flats) = match rng.below(4) {
                0 => {
                    let mut text = "(record".to_owned();
                    let mut flats = Vec::new();
                    for i in 0..1 + rng.below(5) {
                        let ty = Ty::random(rng, &named, 2, false);
                        let _ = write!(text, " (field \"f{i}\" {})", ty.text());
                        flats.extend(ty.flatten());
                    }
                    (text + ")", flats)
                }
                1 => {
                    let cases = match rng.below(12) {
                        0 => 257,
                        _ => 1 + rng.below(6),
                    };
                    let mut text = "(variant".to_owned();
                    let mut payloads = Vec::new();
                    for i in 0..cases {
                        let ty = (cases < 20 && rng.chance(2, 3))
                            .then(|| Ty::random(rng, &named, 2, false));
                        let payload = ty.as_ref().map_or(String::new(), Ty::text);
                        let _ = write!(text, " (case \"c{i}\" {payload})");
                        payloads.push(ty.map_or(Vec::new(), |ty| ty.flatten()));
                    }
                    (text + ")", variant(&payloads))
                }
                2 => {
                    let count = *rng.pick(&[1, 2, 3, 255, 256, 257]);
                    (labels("enum", count), vec![Flat::I32])
                }
                _ => {
                    let count = *rng.pick(&[1, 2, 8, 9, 16, 17, 32]);
                    (labels("flags", count), vec![Flat::I32])
                }
            };
            named.texts.push(text);
            named.flats.push(flats);
        }
        named
    }
}

fn labels(kind: &str, count: usize) -> String {
    let names: Vec<String> = (0..count).map(|i| format!("\"l{i}\"")).collect();
    format!("({kind} {})", names.join(" "))
}

impl Ty {
    /// Of at most `depth` levels; with handles of the one resource if `handles`.
    pub fn random(rng: &mut Rng, named: &Named, depth: usize, handles: bool) -> Ty {
        let inner = |rng: &mut Rng| Box::new(Ty::random(rng, named, depth - 1, handles));
        if depth == 0 || rng.chance(1, 3) {
            return Ty::Prim(rng.pick::<&str>(PRIMS));
        }
        match rng.below(11) {
            0 | 1 => Ty::List(inner(rng)),
            2 => Ty::FixedList(inner(rng), 1 + rng.below(4)),
            3 => Ty::Tuple((0..1 + rng.below(4)).map(|_| *inner(rng)).collect()),
            4 => Ty::Option(inner(rng)),
            5 => {
                let ok = rng.chance(2, 3).then(|| inner(rng));
                Ty::Result(ok, rng.chance(2, 3).then(|| inner(rng)))
            }
            6 => Ty::Map(
                rng.pick::<&str>(&["u8", "string", "s64", "char"]),
                inner(rng),
            ),
            7 if handles => Ty::Own,
            8 if handles => Ty::Borrow,
            _ if !named.texts.is_empty() => {
                let at = rng.below(named.texts.len());
                Ty::Named(at, named.flats[at].clone())
            }
            _ => Ty::Prim(rng.pick::<&str>(PRIMS)),
        }
    }

    pub fn text(&self) -> String {
        match self {
            Ty::Prim(name) => (*name).to_owned(),
            Ty::List(ty) => format!("(list {})", ty.text()),
            Ty::FixedList(ty, n) => format!("(list {} {n})", ty.text()),
            Ty::Map(key, ty) => format!("(map {key} {})", ty.text()),
            Ty::Tuple(types) => {
                let types: Vec<_> = types.iter().map(Ty::text).collect();
                format!("(tuple {})", types.join(" "))
            }
            Ty::Option(ty) => format!("(option {})", ty.text()),
            Ty::Result(ok, err) => {
                let ok = ok.as_ref().map_or(String::new(), |ty| ty.text());
                let err = err
                    .as_ref()
                    .map_or(String::new(), |ty| format!("(error {})", ty.text()));
                format!("(result {ok} {err})")
            }
            Ty::Named(at, _) => format!("$t{at}"),
            Ty::Own => "(own $r)".to_owned(),
            Ty::Borrow => "(borrow $r)".to_owned(),
        }
    }

    /// Whether a `borrow` stands in it, which results may not have.
    pub fn borrows(&self) -> bool {
        match self {
            Ty::Borrow => true,
            Ty::List(ty) | Ty::FixedList(ty, _) | Ty::Map(_, ty) | Ty::Option(ty) => ty.borrows(),
            Ty::Tuple(types) => types.iter().any(Ty::borrows),
            Ty::Result(ok, err) => [ok, err].into_iter().flatten().any(|ty| ty.borrows()),
            Ty::Prim(_) | Ty::Named(..) | Ty::Own => false,
        }
    }

    /// The core values it is outside of memory.
    pub fn flatten(&self) -> Vec<Flat> {
        match self {
            Ty::Prim("s64" | "u64") => vec![Flat::I64],
            Ty::Prim("f32") => vec![Flat::F32],
            Ty::Prim("f64") => vec![Flat::F64],
            Ty::Prim("string") | Ty::List(_) | Ty::Map(..) => vec![Flat::I32; 2],
            Ty::Prim(_) | Ty::Own | Ty::Borrow => vec![Flat::I32],
            Ty::FixedList(ty, n) => ty.flatten().repeat(*n),
            Ty::Tuple(types) => types.iter().flat_map(Ty::flatten).collect(),
            Ty::Option(ty) => variant(&[Vec::new(), ty.flatten()]),
            Ty::Result(ok, err) => {
                let flat = |ty: &Option<Box<Ty>>| ty.as_ref().map_or(Vec::new(), |t| t.flatten());
                variant(&[flat(ok), flat(err)])
            }
            Ty::Named(_, flats) => flats.clone(),
        }
    }
}

fn variant(payloads: &[Vec<Flat>]) -> Vec<Flat> {
    let mut flats = vec![Flat::I32];
    for payload in payloads {
        for (i, &flat) in payload.iter().enumerate() {
            match flats.get_mut(i + 1) {
                None => flats.push(flat),
                Some(seen) if *seen == flat => {}
                Some(seen) => {
                    *seen = match (*seen, flat) {
                        (Flat::I32, Flat::F32) | (Flat::F32, Flat::I32) => Flat::I32,
                        _ => Flat::I64,
                    }
                }
            }
        }
    }
    flats
}
