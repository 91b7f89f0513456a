//! Every instruction that computes values from values, compiled alone: by both tiers,
//! with Cranelift's verifier on, and with the traps that it may raise and no others.
//!
//! One table of names by signature. Not here: what the instructions compute, which the
//! official scripts check.

use helve_base::Trap;
use helve_compile::{Compiler, CompilerOptions, Features, translate};
use std::collections::BTreeSet;

/// Parameters, results, names; letters: i = i32, l = i64, f = f32, d = f64, v = v128.
const INSTRUCTIONS: &[(&str, &str, &str)] = &[
    ("", "i", "i32.const,-2147483648 i32.const,-1"),
    ("", "l", "i64.const,-9223372036854775808 i64.const,-1"),
    ("", "f", "f32.const,nan:0x200001 f32.const,-0"),
    ("", "d", "f64.const,nan:0x4000000000001 f64.const,-inf"),
    ("", "v", "v128.const,i64x2,-1,1"),
    (
        "i",
        "i",
        "i32.eqz i32.clz i32.ctz i32.popcnt i32.extend8_s i32.extend16_s",
    ),
    ("l", "i", "i64.eqz i32.wrap_i64"),
    (
        "l",
        "l",
        "i64.clz i64.ctz i64.popcnt i64.extend8_s i64.extend16_s i64.extend32_s",
    ),
    (
        "ii",
        "i",
        "i32.add i32.sub i32.mul i32.div_s i32.div_u i32.rem_s i32.rem_u i32.and i32.or i32.xor \
         i32.shl i32.shr_s i32.shr_u i32.rotl i32.rotr i32.eq i32.ne i32.lt_s i32.lt_u i32.gt_s \
         i32.gt_u i32.le_s i32.le_u i32.ge_s i32.ge_u",
    ),
    (
        "ll",
        "l",
        "i64.add i64.sub i64.mul i64.div_s i64.div_u i64.rem_s i64.rem_u i64.and i64.or i64.xor \
         i64.shl i64.shr_s i64.shr_u i64.rotl i64.rotr",
    ),
    (
        "ll",
        "i",
        "i64.eq i64.ne i64.lt_s i64.lt_u i64.gt_s i64.gt_u i64.le_s i64.le_u i64.ge_s i64.ge_u",
    ),
    ("llll", "ll", "i64.add128 i64.sub128"),
    ("ll", "ll", "i64.mul_wide_s i64.mul_wide_u"),
    (
        "f",
        "f",
        "f32.abs f32.neg f32.ceil f32.floor f32.trunc f32.nearest f32.sqrt",
    ),
    (
        "d",
        "d",
        "f64.abs f64.neg f64.ceil f64.floor f64.trunc f64.nearest f64.sqrt",
    ),
    (
        "ff",
        "f",
        "f32.add f32.sub f32.mul f32.div f32.min f32.max f32.copysign",
    ),
    (
        "dd",
        "d",
        "f64.add f64.sub f64.mul f64.div f64.min f64.max f64.copysign",
    ),
    ("ff", "i", "f32.eq f32.ne f32.lt f32.gt f32.le f32.ge"),
    ("dd", "i", "f64.eq f64.ne f64.lt f64.gt f64.le f64.ge"),
    ("i", "l", "i64.extend_i32_s i64.extend_i32_u"),
    (
        "f",
        "i",
        "i32.trunc_f32_s i32.trunc_f32_u i32.trunc_sat_f32_s i32.trunc_sat_f32_u i32.reinterpret_f32",
    ),
    (
        "d",
        "i",
        "i32.trunc_f64_s i32.trunc_f64_u i32.trunc_sat_f64_s i32.trunc_sat_f64_u",
    ),
    (
        "f",
        "l",
        "i64.trunc_f32_s i64.trunc_f32_u i64.trunc_sat_f32_s i64.trunc_sat_f32_u",
    ),
    (
        "d",
        "l",
        "i64.trunc_f64_s i64.trunc_f64_u i64.trunc_sat_f64_s i64.trunc_sat_f64_u i64.reinterpret_f64",
    ),
    (
        "i",
        "f",
        "f32.convert_i32_s f32.convert_i32_u f32.reinterpret_i32",
    ),
    ("l", "f", "f32.convert_i64_s f32.convert_i64_u"),
    ("i", "d", "f64.convert_i32_s f64.convert_i32_u"),
    (
        "l",
        "d",
        "f64.convert_i64_s f64.convert_i64_u f64.reinterpret_i64",
    ),
    ("d", "f", "f32.demote_f64"),
    ("f", "d", "f64.promote_f32"),
    (
        "vv",
        "v",
        "i8x16.shuffle,0,31,1,30,2,29,3,28,4,27,5,26,6,25,7,24 i8x16.swizzle v128.and v128.andnot \
         v128.or v128.xor i8x16.relaxed_swizzle",
    ),
    ("v", "v", "v128.not"),
    ("vvv", "v", "v128.bitselect"),
    ("v", "i", "v128.any_true"),
    ("i", "v", "i8x16.splat i16x8.splat i32x4.splat"),
    ("l", "v", "i64x2.splat"),
    ("f", "v", "f32x4.splat"),
    ("d", "v", "f64x2.splat"),
    (
        "v",
        "i",
        "i8x16.extract_lane_s,15 i8x16.extract_lane_u,15 i16x8.extract_lane_s,7 \
         i16x8.extract_lane_u,7 i32x4.extract_lane,3",
    ),
    ("v", "l", "i64x2.extract_lane,1"),
    ("v", "f", "f32x4.extract_lane,3"),
    ("v", "d", "f64x2.extract_lane,1"),
    (
        "vi",
        "v",
        "i8x16.replace_lane,15 i16x8.replace_lane,7 i32x4.replace_lane,3",
    ),
    ("vl", "v", "i64x2.replace_lane,1"),
    ("vf", "v", "f32x4.replace_lane,3"),
    ("vd", "v", "f64x2.replace_lane,1"),
    (
        "vi",
        "v",
        "i8x16.shl i8x16.shr_s i8x16.shr_u i16x8.shl i16x8.shr_s i16x8.shr_u i32x4.shl i32x4.shr_s \
         i32x4.shr_u i64x2.shl i64x2.shr_s i64x2.shr_u",
    ),
    (
        "v",
        "i",
        "i8x16.all_true i8x16.bitmask i16x8.all_true i16x8.bitmask i32x4.all_true i32x4.bitmask \
         i64x2.all_true i64x2.bitmask",
    ),
    (
        "v",
        "v",
        "i8x16.abs i8x16.neg i8x16.popcnt i16x8.abs i16x8.neg i32x4.abs i32x4.neg i64x2.abs \
         i64x2.neg i16x8.extend_low_i8x16_s i16x8.extend_high_i8x16_s i16x8.extend_low_i8x16_u \
         i16x8.extend_high_i8x16_u i32x4.extend_low_i16x8_s i32x4.extend_high_i16x8_s \
         i32x4.extend_low_i16x8_u i32x4.extend_high_i16x8_u i64x2.extend_low_i32x4_s \
         i64x2.extend_high_i32x4_s i64x2.extend_low_i32x4_u i64x2.extend_high_i32x4_u \
         i16x8.extadd_pairwise_i8x16_s i16x8.extadd_pairwise_i8x16_u i32x4.extadd_pairwise_i16x8_s \
         i32x4.extadd_pairwise_i16x8_u",
    ),
    (
        "vv",
        "v",
        "i8x16.eq i8x16.ne i8x16.lt_s i8x16.lt_u i8x16.gt_s i8x16.gt_u i8x16.le_s i8x16.le_u \
         i8x16.ge_s i8x16.ge_u i8x16.narrow_i16x8_s i8x16.narrow_i16x8_u i8x16.add i8x16.add_sat_s \
         i8x16.add_sat_u i8x16.sub i8x16.sub_sat_s i8x16.sub_sat_u i8x16.min_s i8x16.min_u \
         i8x16.max_s i8x16.max_u i8x16.avgr_u",
    ),
    (
        "vv",
        "v",
        "i16x8.eq i16x8.ne i16x8.lt_s i16x8.lt_u i16x8.gt_s i16x8.gt_u i16x8.le_s i16x8.le_u \
         i16x8.ge_s i16x8.ge_u i16x8.narrow_i32x4_s i16x8.narrow_i32x4_u i16x8.add i16x8.add_sat_s \
         i16x8.add_sat_u i16x8.sub i16x8.sub_sat_s i16x8.sub_sat_u i16x8.mul i16x8.min_s \
         i16x8.min_u i16x8.max_s i16x8.max_u i16x8.avgr_u i16x8.q15mulr_sat_s \
         i16x8.extmul_low_i8x16_s i16x8.extmul_high_i8x16_s i16x8.extmul_low_i8x16_u \
         i16x8.extmul_high_i8x16_u i16x8.relaxed_q15mulr_s i16x8.relaxed_dot_i8x16_i7x16_s",
    ),
    (
        "vv",
        "v",
        "i32x4.eq i32x4.ne i32x4.lt_s i32x4.lt_u i32x4.gt_s i32x4.gt_u i32x4.le_s i32x4.le_u \
         i32x4.ge_s i32x4.ge_u i32x4.add i32x4.sub i32x4.mul i32x4.min_s i32x4.min_u i32x4.max_s \
         i32x4.max_u i32x4.dot_i16x8_s i32x4.extmul_low_i16x8_s i32x4.extmul_high_i16x8_s \
         i32x4.extmul_low_i16x8_u i32x4.extmul_high_i16x8_u",
    ),
    (
        "vv",
        "v",
        "i64x2.eq i64x2.ne i64x2.lt_s i64x2.gt_s i64x2.le_s i64x2.ge_s i64x2.add i64x2.sub \
         i64x2.mul i64x2.extmul_low_i32x4_s i64x2.extmul_high_i32x4_s i64x2.extmul_low_i32x4_u \
         i64x2.extmul_high_i32x4_u",
    ),
    (
        "v",
        "v",
        "f32x4.abs f32x4.neg f32x4.sqrt f32x4.ceil f32x4.floor f32x4.trunc f32x4.nearest f64x2.abs \
         f64x2.neg f64x2.sqrt f64x2.ceil f64x2.floor f64x2.trunc f64x2.nearest \
         i32x4.trunc_sat_f32x4_s i32x4.trunc_sat_f32x4_u i32x4.trunc_sat_f64x2_s_zero \
         i32x4.trunc_sat_f64x2_u_zero f32x4.convert_i32x4_s f32x4.convert_i32x4_u \
         f64x2.convert_low_i32x4_s f64x2.convert_low_i32x4_u f32x4.demote_f64x2_zero \
         f64x2.promote_low_f32x4 i32x4.relaxed_trunc_f32x4_s i32x4.relaxed_trunc_f32x4_u \
         i32x4.relaxed_trunc_f64x2_s_zero i32x4.relaxed_trunc_f64x2_u_zero",
    ),
    (
        "vv",
        "v",
        "f32x4.add f32x4.sub f32x4.mul f32x4.div f32x4.min f32x4.max f32x4.pmin f32x4.pmax \
         f32x4.eq f32x4.ne f32x4.lt f32x4.gt f32x4.le f32x4.ge f64x2.add f64x2.sub f64x2.mul \
         f64x2.div f64x2.min f64x2.max f64x2.pmin f64x2.pmax f64x2.eq f64x2.ne f64x2.lt f64x2.gt \
         f64x2.le f64x2.ge f32x4.relaxed_min f32x4.relaxed_max f64x2.relaxed_min f64x2.relaxed_max",
    ),
    (
        "vvv",
        "v",
        "f32x4.relaxed_madd f32x4.relaxed_nmadd f64x2.relaxed_madd f64x2.relaxed_nmadd \
         i8x16.relaxed_laneselect i16x8.relaxed_laneselect i32x4.relaxed_laneselect \
         i64x2.relaxed_laneselect i32x4.relaxed_dot_i8x16_i7x16_add_s",
    ),
];

/// 4 constants, 123 other numeric ones of the first version, 5 sign extensions, 8 saturating
/// conversions, 4 of wide arithmetic, 214 on vectors without memory, 20 relaxed ones.
const INSTRUCTION_COUNT: usize = 4 + 123 + 5 + 8 + 4 + 214 + 20;

/// The traps that the instruction of this name may raise.
fn traps_of(name: &str) -> Vec<Trap> {
    let operation = name
        .split_once('.')
        .map_or(name, |(_, operation)| operation);
    match operation {
        "div_s" => vec![Trap::IntegerOverflow, Trap::IntegerDivisionByZero],
        "div_u" | "rem_s" | "rem_u" => vec![Trap::IntegerDivisionByZero],
        _ if operation.starts_with("trunc_f") => {
            vec![Trap::IntegerOverflow, Trap::InvalidConversionToInteger]
        }
        _ => Vec::new(),
    }
}

fn types(letters: &str) -> String {
    let name = |letter| match letter {
        'i' => "i32",
        'l' => "i64",
        'f' => "f32",
        'd' => "f64",
        'v' => "v128",
        other => panic!("`{other}` is no letter of a type"),
    };
    letters.chars().map(name).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_value_instruction_compiles_and_traps_as_it_should() {
    let mut seen = BTreeSet::new();
    for options in [CompilerOptions::default(), CompilerOptions::quick()] {
        let compiler = Compiler::new(&CompilerOptions {
            verifier: true,
            ..options
        })
        .expect("this machine has a compiler");
        for &(params, results, names) in INSTRUCTIONS {
            for name in names.split(' ') {
                seen.insert(name.split(',').next());
                let operands: String = (0..params.len())
                    .map(|i| format!(" local.get {i}"))
                    .collect();
                let wat = format!(
                    "(module (func (param {}) (result {}){operands} {}))",
                    types(params),
                    types(results),
                    name.replace(',', " ")
                );
                let wasm = wat::parse_str(&wat).unwrap_or_else(|e| panic!("{wat}: {e}"));
                let traps = translate(wasm, Features::SUPPORTED)
                    .and_then(|translation| compiler.compile_module(&translation))
                    .unwrap_or_else(|e| panic!("{wat}: {e:?}"))
                    .traps;
                let traps: BTreeSet<_> = traps
                    .iter()
                    .map(|(_, trap)| trap.code())
                    .filter(|&code| code != Trap::StackOverflow.code())
                    .collect();
                let expected: BTreeSet<_> = traps_of(name).into_iter().map(Trap::code).collect();
                assert_eq!(traps, expected, "traps of {name}");
            }
        }
    }
    assert_eq!(seen.len(), INSTRUCTION_COUNT, "instructions in the table");
}
