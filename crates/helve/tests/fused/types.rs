//! Types and values made at random, reproducibly, and their text.

use helve::component::Val;

/// Numbers that look random.
pub struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        (self.bits() >> 16) % n
    }
}

/// A type.
#[derive(Clone, Debug)]
pub enum Ty {
    Prim(&'static str),
    List(Box<Ty>),
    Fixed(Box<Ty>, u32),
    Tuple(Vec<Ty>),
    Record(Vec<Ty>),
    Variant(Vec<Option<Ty>>),
    Option(Box<Ty>),
    Result(Option<Box<Ty>>, Option<Box<Ty>>),
    Enum(u32),
    Flags(u32),
}

/// A core value type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    I32,
    I64,
    F32,
    F64,
}

impl Lane {
    pub fn text(self) -> &'static str {
        match self {
            Lane::I32 => "i32",
            Lane::I64 => "i64",
            Lane::F32 => "f32",
            Lane::F64 => "f64",
        }
    }
}

const PRIMS: &[&str] = &[
    "bool", "s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64", "f32", "f64", "char", "string",
    "string",
];

impl Ty {
    /// A random type, at most `depth` levels deep.
    pub fn random(r: &mut Random, depth: u32) -> Ty {
        let kind = if depth == 0 { 0 } else { r.below(14) };
        let inner = |r: &mut Random| Ty::random(r, depth.saturating_sub(1));
        let few = |r: &mut Random| if r.below(5) == 0 { 9 } else { 1 + r.below(3) };
        match kind {
            0 | 1 => Ty::Prim(PRIMS[r.below(PRIMS.len() as u64) as usize]),
            2 => Ty::Flags(1 + r.below(32) as u32),
            3 => Ty::Enum(if r.below(8) == 0 {
                300
            } else {
                1 + r.below(5) as u32
            }),
            4 | 5 => Ty::List(Box::new(inner(r))),
            6 => Ty::Fixed(Box::new(inner(r)), 1 + r.below(6) as u32),
            7 => Ty::Option(Box::new(inner(r))),
            8 => {
                let ok = (r.below(4) > 0).then(|| Box::new(inner(r)));
                let err = (r.below(4) > 0).then(|| Box::new(inner(r)));
                Ty::Result(ok, err)
            }
            9 | 10 => {
                let count = few(r);
                let case = |r: &mut Random| (r.below(5) > 0).then(|| Ty::random(r, depth - 1));
                Ty::Variant((0..count).map(|_| case(r)).collect())
            }
            11 => Ty::Record((0..few(r)).map(|_| inner(r)).collect()),
            _ => Ty::Tuple((0..few(r)).map(|_| inner(r)).collect()),
        }
    }

    /// Whether it has a string somewhere.
    pub fn has_string(&self) -> bool {
        match self {
            Ty::Prim(name) => *name == "string",
            Ty::List(t) | Ty::Fixed(t, _) | Ty::Option(t) => t.has_string(),
            Ty::Tuple(ts) | Ty::Record(ts) => ts.iter().any(Ty::has_string),
            Ty::Variant(cases) => cases.iter().flatten().any(Ty::has_string),
            Ty::Result(a, b) => a.iter().chain(b).any(|t| t.has_string()),
            Ty::Enum(_) | Ty::Flags(_) => false,
        }
    }

    /// Its text. What needs a name gets one: `names` takes the definitions, in order.
    pub fn text(&self, names: &mut Vec<String>) -> String {
        let mut named = |body: String| {
            names.push(body);
            format!("$n{}", names.len() - 1)
        };
        match self {
            Ty::Prim(name) => (*name).to_owned(),
            Ty::Enum(n) => named(format!("(enum {})", labels(*n))),
            Ty::Flags(n) => named(format!("(flags {})", labels(*n))),
            Ty::List(t) => format!("(list {})", t.text(names)),
            Ty::Fixed(t, n) => format!("(list {} {n})", t.text(names)),
            Ty::Option(t) => format!("(option {})", t.text(names)),
            Ty::Tuple(ts) => {
                let parts: Vec<_> = ts.iter().map(|t| t.text(names)).collect();
                format!("(tuple {})", parts.join(" "))
            }
            Ty::Result(a, b) => {
                let a = a.as_ref().map_or(String::new(), |t| t.text(names));
                let b = b.as_ref();
                let b = b.map_or(String::new(), |t| format!("(error {})", t.text(names)));
                format!("(result {a} {b})")
            }
            Ty::Record(ts) => {
                let parts = ts.iter().map(|t| t.text(names)).enumerate();
                let parts: Vec<_> = parts
                    .map(|(i, t)| format!("(field \"l{i}\" {t})"))
                    .collect();
                names.push(format!("(record {})", parts.join(" ")));
                format!("$n{}", names.len() - 1)
            }
            Ty::Variant(cases) => {
                let cases: Vec<_> = cases
                    .iter()
                    .enumerate()
                    .map(|(i, t)| {
                        let t = t.as_ref().map_or(String::new(), |t| t.text(names));
                        format!("(case \"l{i}\" {t})")
                    })
                    .collect();
                names.push(format!("(variant {})", cases.join(" ")));
                format!("$n{}", names.len() - 1)
            }
        }
    }

    /// Size and alignment in memory; pointers have `pointer` bytes.
    pub fn layout(&self, pointer: u32) -> (u32, u32) {
        let record = |parts: &mut dyn Iterator<Item = (u32, u32)>| {
            let (mut at, mut align) = (0u32, 1);
            for (size, a) in parts {
                at = at.next_multiple_of(a) + size;
                align = align.max(a);
            }
            (at.next_multiple_of(align), align)
        };
        match self {
            Ty::Prim(name) => match *name {
                "bool" | "s8" | "u8" => (1, 1),
                "s16" | "u16" => (2, 2),
                "s64" | "u64" | "f64" => (8, 8),
                "string" => (2 * pointer, pointer),
                _ => (4, 4),
            },
            Ty::List(_) => (2 * pointer, pointer),
            Ty::Fixed(t, n) => {
                let (size, align) = t.layout(pointer);
                (size * n, align)
            }
            Ty::Tuple(ts) | Ty::Record(ts) => record(&mut ts.iter().map(|t| t.layout(pointer))),
            Ty::Enum(n) => tag(*n),
            Ty::Flags(n) => match n {
                0..=8 => (1, 1),
                9..=16 => (2, 2),
                _ => (4, 4),
            },
            _ => {
                let cases = self.cases();
                let payloads = cases
                    .iter()
                    .map(|t| t.map_or((0, 1), |t| t.layout(pointer)));
                let (size, align) =
                    payloads.fold((0, 1), |(s, a), (size, align)| (s.max(size), a.max(align)));
                let tag = tag(cases.len() as u32);
                let align = align.max(tag.1);
                let payload = tag.0.next_multiple_of(
                    cases
                        .iter()
                        .map(|t| t.map_or(1, |t| t.layout(pointer).1))
                        .max()
                        .unwrap_or(1),
                );
                ((payload + size).next_multiple_of(align), align)
            }
        }
    }

    /// The payloads of a variant, option or result.
    fn cases(&self) -> Vec<Option<&Ty>> {
        match self {
            Ty::Variant(cases) => cases.iter().map(Option::as_ref).collect(),
            Ty::Option(t) => vec![None, Some(t)],
            Ty::Result(a, b) => vec![a.as_deref(), b.as_deref()],
            _ => Vec::new(),
        }
    }

    /// The core values it flattens to.
    pub fn lanes(&self, pointer: Lane) -> Vec<Lane> {
        match self {
            Ty::Prim(name) => match *name {
                "s64" | "u64" => vec![Lane::I64],
                "f32" => vec![Lane::F32],
                "f64" => vec![Lane::F64],
                "string" => vec![pointer; 2],
                _ => vec![Lane::I32],
            },
            Ty::List(_) => vec![pointer; 2],
            Ty::Fixed(t, n) => t.lanes(pointer).repeat(*n as usize),
            Ty::Tuple(ts) | Ty::Record(ts) => ts.iter().flat_map(|t| t.lanes(pointer)).collect(),
            Ty::Enum(_) | Ty::Flags(_) => vec![Lane::I32],
            _ => {
                let mut joined: Vec<Lane> = Vec::new();
                for case in self.cases().into_iter().flatten() {
                    for (i, lane) in case.lanes(pointer).into_iter().enumerate() {
                        match joined.get_mut(i) {
                            Some(old) => *old = join(*old, lane),
                            None => joined.push(lane),
                        }
                    }
                }
                joined.insert(0, Lane::I32);
                joined
            }
        }
    }

    /// A random value.
    pub fn value(&self, r: &mut Random) -> Val {
        let label = |i: u64| format!("l{i}");
        match self {
            Ty::Prim(name) => prim(name, r),
            Ty::List(t) => {
                let most = if r.below(10) == 0 { 70 } else { 4 };
                Val::List((0..r.below(most)).map(|_| t.value(r)).collect())
            }
            Ty::Fixed(t, n) => Val::List((0..*n).map(|_| t.value(r)).collect()),
            Ty::Tuple(ts) => Val::Tuple(ts.iter().map(|t| t.value(r)).collect()),
            Ty::Record(ts) => {
                let fields = ts.iter().enumerate();
                Val::Record(fields.map(|(i, t)| (label(i as u64), t.value(r))).collect())
            }
            Ty::Variant(cases) => {
                let i = r.below(cases.len() as u64);
                let payload = cases[i as usize].as_ref();
                Val::Variant(label(i), payload.map(|t| Box::new(t.value(r))))
            }
            Ty::Option(t) => Val::Option((r.below(3) > 0).then(|| Box::new(t.value(r)))),
            Ty::Result(a, b) => {
                let mut of = |t: &Option<Box<Ty>>| t.as_ref().map(|t| Box::new(t.value(r)));
                let (ok, err) = (of(a), of(b));
                Val::Result(if r.below(2) == 0 { Ok(ok) } else { Err(err) })
            }
            Ty::Enum(n) => Val::Enum(label(r.below((*n).into()))),
            Ty::Flags(n) => {
                let set = (0..u64::from(*n)).filter(|_| r.below(2) == 0);
                Val::Flags(set.map(label).collect())
            }
        }
    }
}

fn labels(n: u32) -> String {
    (0..n).map(|i| format!("\"l{i}\" ")).collect()
}

fn tag(cases: u32) -> (u32, u32) {
    match cases {
        0..=256 => (1, 1),
        257..=65536 => (2, 2),
        _ => (4, 4),
    }
}

fn join(a: Lane, b: Lane) -> Lane {
    match (a, b) {
        (a, b) if a == b => a,
        (Lane::I32, Lane::F32) | (Lane::F32, Lane::I32) => Lane::I32,
        _ => Lane::I64,
    }
}

/// Numbers at the edges as often as any.
fn edge(r: &mut Random) -> u64 {
    match r.below(4) {
        0 => r.below(3),
        1 => u64::MAX - r.below(2),
        2 => 1 << r.below(64),
        _ => r.bits(),
    }
}

fn prim(name: &str, r: &mut Random) -> Val {
    match name {
        "bool" => Val::Bool(r.below(2) == 0),
        "s8" => Val::S8(edge(r) as i8),
        "u8" => Val::U8(edge(r) as u8),
        "s16" => Val::S16(edge(r) as i16),
        "u16" => Val::U16(edge(r) as u16),
        "s32" => Val::S32(edge(r) as i32),
        "u32" => Val::U32(edge(r) as u32),
        "s64" => Val::S64(edge(r) as i64),
        "u64" => Val::U64(edge(r)),
        "f32" => Val::Float32(f32::from_bits(edge(r) as u32)),
        "f64" => Val::Float64(f64::from_bits(edge(r))),
        "char" => Val::Char(character(r)),
        _ => Val::String(string(r)),
    }
}

fn character(r: &mut Random) -> char {
    let most = [0x80, 0x100, 0x800, 0x1_0000, 0x11_0000][r.below(5) as usize];
    char::from_u32(r.below(most) as u32).unwrap_or('\u{e000}')
}

/// Of one alphabet mostly, so that every way of transcoding is taken.
fn string(r: &mut Random) -> String {
    let longest = if r.below(6) == 0 { 90 } else { 6 };
    let length = r.below(longest);
    let most = [0x80, 0x100, 0x800, 0x11_0000][r.below(4) as usize];
    let one = |r: &mut Random| match r.below(12) {
        0 => character(r),
        _ => char::from_u32(r.below(most) as u32).unwrap_or('☃'),
    };
    (0..length).map(|_| one(r)).collect()
}
