//! Components that are too big to be kept as text: made the same way each time.

use std::fmt::Write;
use std::sync::OnceLock;

/// Numbers that are the same on every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: u32) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        ((self.0 >> 33) % u64::from(n)) as u32
    }
}

const OPERATORS: [&str; 9] = [
    "add", "sub", "mul", "and", "or", "xor", "shl", "shr_u", "rotl",
];

/// One statement of function `f`; returns how many instructions it is.
fn statement(numbers: &mut Numbers, text: &mut String, f: u32) -> u32 {
    let (a, b, d) = (numbers.below(4), numbers.below(4), numbers.below(4));
    let kind = numbers.below(10);
    let (line, count) = if kind < 5 {
        let operator = OPERATORS[numbers.below(9) as usize];
        (
            format!("local.get {a} local.get {b} i32.{operator} local.set {d}"),
            4,
        )
    } else if kind < 6 {
        let constant = numbers.below(1 << 20);
        let operator = OPERATORS[numbers.below(9) as usize];
        (
            format!("local.get {a} i32.const {constant} i32.{operator} local.set {d}"),
            4,
        )
    } else if kind < 7 {
        let offset = 4 * numbers.below(64);
        (
            format!("local.get {a} i32.const 65532 i32.and i32.load offset={offset} local.set {d}"),
            5,
        )
    } else if kind < 8 {
        let offset = 4 * numbers.below(64);
        (
            format!(
                "local.get {a} i32.const 65532 i32.and local.get {b} i32.store offset={offset}"
            ),
            5,
        )
    } else if kind < 9 {
        let line = format!(
            "local.get {a} local.get {b} i32.lt_u if local.get {d} i32.const 1 i32.add local.set {d} \
             else local.get {d} local.get {a} i32.xor local.set {d} end"
        );
        (line, 13)
    } else if f > 0 {
        let callee = numbers.below(f);
        (
            format!("local.get {a} local.get {b} call {callee} local.set {d}"),
            4,
        )
    } else {
        (
            format!("local.get {a} local.get {b} i32.sub local.set {d}"),
            4,
        )
    };
    text.push_str(&line);
    text.push('\n');
    count
}

fn big_text(functions: u32, instructions: u32) -> String {
    let mut numbers = Numbers(1);
    let mut text = String::from("(component (core module $m (memory 2)\n");
    for f in 0..functions {
        text.push_str("(func (param i32 i32) (result i32) (local i32 i32)\n");
        let mut count = 0;
        while count < instructions - 12 {
            count += statement(&mut numbers, &mut text, f);
        }
        text.push_str("loop local.get 0 i32.const 1 i32.shr_u local.tee 0 br_if 0 end\n");
        text.push_str("local.get 2 local.get 3 i32.xor local.get 1 i32.add)\n");
    }
    let last = functions - 1;
    write!(
        text,
        r#"(func (export "f") (param i32) (result i32) (call {last} (local.get 0) (i32.const 7))))
        (core instance $i (instantiate $m))
        (func (export "f") (param "x" u32) (result u32) (canon lift (core func $i "f"))))"#
    )
    .expect("a String takes everything");
    text
}

/// The byte at address `a` of the image.
pub fn image_byte(a: u32) -> u8 {
    97 + ((a + (a >> 12)) % 26) as u8
}

/// A data segment of 64 KiB for each of 16 pages, no byte of them zero; `touch(n)` reads and
/// writes one byte of each of the first `n`, and returns the sum of what it has read.
fn image_text() -> String {
    let mut text = String::from("(component (core module $m (memory (export \"mem\") 16)\n");
    for page in 0..16u32 {
        let start = page << 16;
        let bytes: String = (start..start + 65536)
            .map(|a| image_byte(a) as char)
            .collect();
        writeln!(text, "(data (i32.const {start}) \"{bytes}\")")
            .expect("a String takes everything");
    }
    text.push_str(
        r#"(func (export "touch") (param $n i32) (result i32) (local $a i32) (local $sum i32)
          (block $done
            (loop $l
              (br_if $done (i32.eqz (local.get $n)))
              (local.set $sum (i32.add (local.get $sum) (i32.load8_u (local.get $a))))
              (i32.store8 (local.get $a) (i32.const 1))
              (local.set $a (i32.add (local.get $a) (i32.const 65536)))
              (local.set $n (i32.sub (local.get $n) (i32.const 1)))
              (br $l)))
          (local.get $sum)))
        (core instance $i (instantiate $m))
        (func (export "touch") (param "n" u32) (result u32) (canon lift (core func $i "touch"))))"#,
    );
    text
}

fn binary(cell: &'static OnceLock<Vec<u8>>, text: impl FnOnce() -> String) -> &'static [u8] {
    cell.get_or_init(|| wat::parse_str(text()).expect("the text is well-formed"))
}

/// 5,001 functions of about 100 instructions each, as bytes.
pub fn big() -> &'static [u8] {
    static BIG: OnceLock<Vec<u8>> = OnceLock::new();
    binary(&BIG, || big_text(5000, 100))
}

/// A component with an image of 1 MiB, as bytes.
pub fn image() -> &'static [u8] {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    binary(&IMAGE, image_text)
}
