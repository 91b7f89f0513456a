//! The relaxed vector instructions, beside their strict counterparts and beside what x86-64
//! has for them: the former where the embedder wants the same on all machines, lane by lane
//! one of the two where it does not; and the same in all tiers.

use helve::core::{Linker, Module, Val};
use helve::{CompileMode, Config, Engine, OptLevel, Store};

/// One instruction.
struct Row {
    name: &'static str,
    /// The same, strictly, on the locals `$x`, `$y` and `$z`.
    strict: &'static str,
    /// The same as x86-64 does it.
    other: fn([u128; 3]) -> u128,
    lanes: Lanes,
    operands: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Lanes {
    Bytes,
    Shorts,
    Words,
    Floats,
    Doubles,
    /// Integers of 64 bits.
    Longs,
}

impl Lanes {
    fn bits(self) -> u32 {
        match self {
            Lanes::Bytes => 8,
            Lanes::Shorts => 16,
            Lanes::Words | Lanes::Floats => 32,
            Lanes::Doubles | Lanes::Longs => 64,
        }
    }
}

/// Lane `i` of those with `bits` bits.
fn lane(x: u128, bits: u32, i: u32) -> u64 {
    ((x >> (i * bits)) as u64) & (u64::MAX >> (64 - bits))
}

/// A vector of lanes of `bits` bits, each made by `make` of its number.
fn lanes(bits: u32, make: impl Fn(u32) -> u64) -> u128 {
    (0..128 / bits).fold(0, |x, i| {
        x | u128::from(make(i) & (u64::MAX >> (64 - bits))) << (i * bits)
    })
}

fn float(x: u128, i: u32) -> f32 {
    f32::from_bits(lane(x, 32, i) as u32)
}

fn double(x: u128, i: u32) -> f64 {
    f64::from_bits(lane(x, 64, i))
}

fn swizzle([x, y, _]: [u128; 3]) -> u128 {
    lanes(8, |i| match lane(y, 8, i) {
        at if at >= 128 => 0,
        at => lane(x, 8, at as u32 % 16),
    })
}

/// A number truncated, the least one where it is out of range.
fn truncated(x: f64) -> u64 {
    let inside = x > -2147483649.0 && x < 2147483648.0;
    (if inside { x as i32 } else { i32::MIN }) as u64
}

fn select(bits: u32, [x, y, mask]: [u128; 3]) -> u128 {
    lanes(bits, |i| match lane(mask, bits, i) >> (bits - 1) {
        0 => lane(y, bits, i),
        _ => lane(x, bits, i),
    })
}

/// Products of bytes, signed by unsigned, their neighbours added, saturating.
fn dot([x, y, _]: [u128; 3]) -> u128 {
    let product = |i| i32::from(lane(x, 8, i) as i8) * lane(y, 8, i) as i32;
    lanes(16, |i| {
        let sum = product(2 * i) + product(2 * i + 1);
        sum.clamp(-32768, 32767) as u64
    })
}

fn dot_add([x, y, z]: [u128; 3]) -> u128 {
    let pairs = dot([x, y, 0]);
    let term = |i| i32::from(lane(pairs, 16, i) as i16);
    lanes(32, |i| {
        (term(2 * i) + term(2 * i + 1)).wrapping_add(lane(z, 32, i) as i32) as u64
    })
}

const DOT: &str = "(i32x4.add (local.get $z)
    (i32x4.extadd_pairwise_i16x8_s (i16x8.add_both (local.get $x) (local.get $y))))";

/// `i16x8.add_both`, which is none of wasm's: sums of neighbouring products.
const PAIRS: &str = "(i16x8.add
    (i8x16.shuffle 0 1 4 5 8 9 12 13 16 17 20 21 24 25 28 29
        (i16x8.extmul_low_i8x16_s (local.get $x) (local.get $y))
        (i16x8.extmul_high_i8x16_s (local.get $x) (local.get $y)))
    (i8x16.shuffle 2 3 6 7 10 11 14 15 18 19 22 23 26 27 30 31
        (i16x8.extmul_low_i8x16_s (local.get $x) (local.get $y))
        (i16x8.extmul_high_i8x16_s (local.get $x) (local.get $y))))";

const SELECT: &str = "(v128.bitselect (local.get $x) (local.get $y) (local.get $z))";

fn row(
    name: &'static str,
    strict: &'static str,
    other: fn([u128; 3]) -> u128,
    lanes: Lanes,
    operands: usize,
) -> Row {
    Row {
        name,
        strict,
        other,
        lanes,
        operands,
    }
}

#[rustfmt::skip]
fn rows() -> Vec<Row> {
    use Lanes::*;
    vec![
        row("i8x16.relaxed_swizzle", "(i8x16.swizzle (local.get $x) (local.get $y))", swizzle, Bytes, 2),
        row("i32x4.relaxed_trunc_f32x4_s", "(i32x4.trunc_sat_f32x4_s (local.get $x))",
            |[x, ..]| lanes(32, |i| truncated(float(x, i).into())), Words, 1),
        row("i32x4.relaxed_trunc_f32x4_u", "(i32x4.trunc_sat_f32x4_u (local.get $x))",
            |[x, ..]| lanes(32, |i| (float(x, i) as u32).into()), Words, 1),
        row("i32x4.relaxed_trunc_f64x2_s_zero", "(i32x4.trunc_sat_f64x2_s_zero (local.get $x))",
            |[x, ..]| lanes(32, |i| if i < 2 { truncated(double(x, i)) } else { 0 }), Words, 1),
        row("i32x4.relaxed_trunc_f64x2_u_zero", "(i32x4.trunc_sat_f64x2_u_zero (local.get $x))",
            |[x, ..]| lanes(32, |i| if i < 2 { (double(x, i) as u32).into() } else { 0 }), Words, 1),
        row("f32x4.relaxed_madd", "(f32x4.add (f32x4.mul (local.get $x) (local.get $y)) (local.get $z))",
            |[x, y, z]| lanes(32, |i| float(x, i).mul_add(float(y, i), float(z, i)).to_bits().into()), Floats, 3),
        row("f64x2.relaxed_madd", "(f64x2.add (f64x2.mul (local.get $x) (local.get $y)) (local.get $z))",
            |[x, y, z]| lanes(64, |i| double(x, i).mul_add(double(y, i), double(z, i)).to_bits()), Doubles, 3),
        row("f32x4.relaxed_nmadd", "(f32x4.sub (local.get $z) (f32x4.mul (local.get $x) (local.get $y)))",
            |[x, y, z]| lanes(32, |i| (-float(x, i)).mul_add(float(y, i), float(z, i)).to_bits().into()), Floats, 3),
        row("f64x2.relaxed_nmadd", "(f64x2.sub (local.get $z) (f64x2.mul (local.get $x) (local.get $y)))",
            |[x, y, z]| lanes(64, |i| (-double(x, i)).mul_add(double(y, i), double(z, i)).to_bits()), Doubles, 3),
        row("i8x16.relaxed_laneselect", SELECT, |all| select(8, all), Bytes, 3),
        row("i16x8.relaxed_laneselect", SELECT, |all| select(16, all), Shorts, 3),
        row("i32x4.relaxed_laneselect", SELECT, |all| select(32, all), Words, 3),
        row("i64x2.relaxed_laneselect", SELECT, |all| select(64, all), Longs, 3),
        row("f32x4.relaxed_min", "(f32x4.min (local.get $x) (local.get $y))",
            |[x, y, _]| lanes(32, |i| lane(if float(y, i) < float(x, i) { y } else { x }, 32, i)), Floats, 2),
        row("f32x4.relaxed_max", "(f32x4.max (local.get $x) (local.get $y))",
            |[x, y, _]| lanes(32, |i| lane(if float(x, i) < float(y, i) { y } else { x }, 32, i)), Floats, 2),
        row("f64x2.relaxed_min", "(f64x2.min (local.get $x) (local.get $y))",
            |[x, y, _]| lanes(64, |i| lane(if double(y, i) < double(x, i) { y } else { x }, 64, i)), Doubles, 2),
        row("f64x2.relaxed_max", "(f64x2.max (local.get $x) (local.get $y))",
            |[x, y, _]| lanes(64, |i| lane(if double(x, i) < double(y, i) { y } else { x }, 64, i)), Doubles, 2),
        row("i16x8.relaxed_q15mulr_s", "(i16x8.q15mulr_sat_s (local.get $x) (local.get $y))",
            |[x, y, _]| lanes(16, |i| {
                let product = i32::from(lane(x, 16, i) as i16) * i32::from(lane(y, 16, i) as i16);
                ((product + 0x4000) >> 15) as u64
            }), Shorts, 2),
        row("i16x8.relaxed_dot_i8x16_i7x16_s", PAIRS, dot, Shorts, 2),
        row("i32x4.relaxed_dot_i8x16_i7x16_add_s", DOT, dot_add, Words, 3),
    ]
}

/// A module with each instruction (`r0`, `r1`, ...) and its strict counterpart (`s0`, ...).
fn module(rows: &[Row]) -> String {
    let mut text = String::from("(module\n");
    let params = "(param $x v128) (param $y v128) (param $z v128) (result v128)";
    for (i, row) in rows.iter().enumerate() {
        let operands = ["(local.get $x)", "(local.get $y)", "(local.get $z)"];
        let operands = operands[..row.operands].join(" ");
        let strict = row
            .strict
            .replace("(i16x8.add_both (local.get $x) (local.get $y))", PAIRS);
        text += &format!(
            "(func (export \"r{i}\") {params} ({} {operands}))\n(func (export \"s{i}\") {params} {strict})\n",
            row.name
        );
    }
    text + ")"
}

/// Numbers that are odd in many ways, by a generator.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 1 ^ x
    }

    fn vector(&mut self) -> u128 {
        let floats = [
            0.0f32,
            -0.0,
            1.5,
            -2.5,
            3e9,
            -3e9,
            2147483648.0,
            f32::NAN,
            f32::INFINITY,
            1e-40,
            0.1,
            16777217.0,
        ];
        match self.next() % 4 {
            0 => {
                lanes(32, |_| 0)
                    | lanes(16, |i| {
                        [0x8000, 0x7fff, 0xffff, 0][(self.0 >> i) as usize % 4]
                    })
            }
            1 => lanes(32, |i| {
                floats[(self.0 >> (4 * i)) as usize % floats.len()]
                    .to_bits()
                    .into()
            }),
            2 => lanes(64, |i| {
                f64::from(floats[(self.0 >> (4 * i)) as usize % floats.len()]).to_bits()
            }),
            _ => u128::from(self.next()) << 64 | u128::from(self.next()),
        }
    }
}

/// Each lane for comparison: all NaNs are one.
fn normal(x: u128, lanes: Lanes, i: u32) -> u64 {
    match lanes {
        Lanes::Floats if float(x, i).is_nan() => f32::NAN.to_bits().into(),
        Lanes::Doubles if double(x, i).is_nan() => f64::NAN.to_bits(),
        _ => lane(x, lanes.bits(), i),
    }
}

struct Guest {
    store: Store<()>,
    instance: helve::core::Instance,
}

impl Guest {
    fn new(text: &str, set: impl FnOnce(&mut Config)) -> Guest {
        let mut config = Config::new();
        set(config.verifier(true));
        let engine = Engine::new(&config).expect("an engine");
        let module = Module::new(&engine, text).expect("a module");
        let mut store = Store::new(&engine, ());
        let instance = Linker::new(&engine).instantiate(&mut store, &module);
        Guest {
            instance: instance.expect("an instance"),
            store,
        }
    }

    fn call(&mut self, name: &str, args: [u128; 3]) -> u128 {
        let func = self
            .instance
            .get_func(&mut self.store, name)
            .expect("there");
        let mut results = [Val::V128(0)];
        func.call(&mut self.store, &args.map(Val::V128), &mut results)
            .expect("no trap");
        match results[0] {
            Val::V128(x) => x,
            ref other => panic!("{other:?}"),
        }
    }
}

#[test]
fn relaxed_instructions_mean_what_they_may() {
    let rows = rows();
    let text = module(&rows);
    let ways = [
        (CompileMode::Ahead, OptLevel::Speed),
        (CompileMode::Ahead, OptLevel::None),
        (CompileMode::Lazy, OptLevel::Speed),
    ];
    let guests = |deterministic| {
        ways.map(|(mode, level)| {
            Guest::new(&text, |config| {
                config.compile(mode).optimize(level);
                config.relaxed_simd_deterministic(deterministic);
            })
        })
    };
    let (mut same, mut fast) = (guests(true), guests(false));
    let mut numbers = Numbers(1);
    let mut differ = vec![false; rows.len()];
    for _ in 0..400 {
        let args = [numbers.vector(), numbers.vector(), numbers.vector()];
        for (i, row) in rows.iter().enumerate() {
            let name = row.name;
            let strict = same[0].call(&format!("s{i}"), args);
            let count = 128 / row.lanes.bits();
            for guest in &mut same {
                let found = guest.call(&format!("r{i}"), args);
                for at in 0..count {
                    let (a, b) = (normal(found, row.lanes, at), normal(strict, row.lanes, at));
                    assert_eq!(a, b, "{name}, lane {at} of {args:x?}");
                }
            }
            let other = (row.other)(args);
            let first = fast[0].call(&format!("r{i}"), args);
            for at in 0..count {
                let found = normal(first, row.lanes, at);
                let may = [strict, other].map(|x| normal(x, row.lanes, at));
                assert!(
                    may.contains(&found),
                    "{name}, lane {at} of {args:x?}: {found:x} is none of {may:x?}"
                );
                differ[i] |= found != may[0];
            }
            for guest in &mut fast[1..] {
                let found = guest.call(&format!("r{i}"), args);
                for at in 0..count {
                    let (a, b) = (normal(found, row.lanes, at), normal(first, row.lanes, at));
                    assert_eq!(a, b, "{name}, lane {at} of {args:x?}: another tier");
                }
            }
        }
    }
    // Else the fast way is not tested at all.
    let differ = differ.iter().filter(|&&differs| differs).count();
    let least = if cfg!(target_arch = "x86_64") { 11 } else { 4 };
    assert!(differ >= least, "only {differ} are done in another way");
}
