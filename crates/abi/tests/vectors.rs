//! Recorded facts about random types and values, checked against layouts, flat forms and
//! programs.
//!
//! `data/layouts.txt`: type | size32 align32 size64 align64 | core values for 32-bit and
//! for 64-bit pointers (`-`: more than 16). `data/values.txt`: type | pointer width,
//! string encoding | value | the core values it lowers to | the memory behind byte 16,
//! up to the last byte that is not 0, with an allocator that counts up from 16.

mod common;

use common::{Guest, Machine, hex, read_type, read_value, tokens};
use helve_abi::flat::Passing;
use helve_abi::layout::PointerWidth;
use helve_abi::program::Programs;
use helve_abi::{FlatType, FlatTypes, StringEncoding, Types};

fn columns(line: &str) -> Vec<&str> {
    line.split('|').map(str::trim).collect()
}

fn flat_text(flat: Option<FlatTypes>) -> String {
    let name = |ty| match ty {
        FlatType::I32 => "i32",
        FlatType::I64 => "i64",
        FlatType::F32 => "f32",
        FlatType::F64 => "f64",
    };
    flat.map_or("-".into(), |flat| {
        flat.iter().map(name).collect::<Vec<_>>().join(",")
    })
}

#[test]
fn layouts_and_flat_forms() {
    let mut types = Types::new();
    for line in include_str!("data/layouts.txt").lines() {
        let columns = columns(line);
        let ty = read_type(&mut types, &mut tokens(columns[0]).into_iter()).unwrap();
        let l = types.layout(ty);
        let sizes = format!("{} {} {} {}", l.size32, l.align32, l.size64, l.align64);
        assert_eq!(sizes, columns[1], "{line}");
        for (column, width) in [(2, PointerWidth::P32), (3, PointerWidth::P64)] {
            let flat = types.flat(ty, width);
            assert_eq!(flat_text(flat), columns[column], "{line}");
            assert_eq!(
                l.flat_count.map(usize::from),
                flat.map(FlatTypes::len),
                "{line}"
            );
        }
    }
}

#[test]
fn values_in_memory_and_flat() {
    let mut types = Types::new();
    for line in include_str!("data/values.txt").lines() {
        let [ty, options, value, flat, memory] = columns(line)[..] else {
            panic!("not five columns: {line}")
        };
        let ty = read_type(&mut types, &mut tokens(ty).into_iter()).unwrap();
        let value = read_value(&mut tokens(value).into_iter()).unwrap();
        let (width, encoding) = options.split_once(' ').unwrap();
        let width = if width == "32" {
            PointerWidth::P32
        } else {
            PointerWidth::P64
        };
        let encoding = match encoding {
            "utf8" => StringEncoding::Utf8,
            "utf16" => StringEncoding::Utf16,
            _ => StringEncoding::Latin1OrUtf16,
        };
        let mut programs = Programs::new();
        let passing = types.flat(ty, width).map_or(Passing::Memory, Passing::Flat);
        let passed = programs.passed(&types, [ty], passing, width);
        let guest = Guest::new(encoding, width);
        let mut machine = Machine {
            programs: &programs,
            guest,
            flat: vec![],
        };
        machine.lower_all(&passed, std::slice::from_ref(&value));

        let flat: Vec<u64> = flat
            .split(',')
            .map(|n| u64::from_str_radix(n, 16).unwrap())
            .collect();
        assert_eq!(machine.flat[..flat.len()], flat, "{line}");
        let mut want = hex(memory);
        want.resize(4096 - 16, 0);
        assert_eq!(machine.guest.memory[16..], want, "{line}");
        assert_eq!(machine.lift_all(&passed), [value], "{line}");
    }
}
