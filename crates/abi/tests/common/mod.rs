//! Types and values as the vectors write them, and a client of programs.
//!
//! The client is the smallest one there can be: a byte vector as memory, a bump
//! allocator as `realloc`, numbers for handles. It moves values by running programs and
//! nothing else, so that the vectors check the programs.

use helve_abi::layout::PointerWidth;
use helve_abi::program::{Op, Passed, ProgramId, Programs, Scalar};
use helve_abi::strings::{self, Transcoder};
use helve_abi::types::{InterfaceType, Types};
use helve_abi::{AbiError, StringEncoding};

/// Words and brackets of a text.
pub fn tokens(text: &str) -> Vec<String> {
    let mut spaced = text.to_owned();
    for bracket in ["(", ")", "[", "]"] {
        spaced = spaced.replace(bracket, &format!(" {bracket} "));
    }
    spaced.split_whitespace().map(str::to_owned).collect()
}

/// Reads `u8`, `(list u8 4)`, `(variant - string)`, ...; `-` is no type.
pub fn read_type(
    types: &mut Types,
    tokens: &mut dyn Iterator<Item = String>,
) -> Option<InterfaceType> {
    read(types, tokens).expect("a type, not `)`")
}

/// As above; `None` at the closing bracket.
fn read(
    types: &mut Types,
    tokens: &mut dyn Iterator<Item = String>,
) -> Option<Option<InterfaceType>> {
    use InterfaceType::*;
    let word = tokens.next().expect("a type");
    let resource = helve_abi::ResourceTypeId::from_u32(0);
    let ty = match word.as_str() {
        ")" => return None,
        "-" => return Some(None),
        "bool" => Bool,
        "s8" => S8,
        "u8" => U8,
        "s16" => S16,
        "u16" => U16,
        "s32" => S32,
        "u32" => U32,
        "s64" => S64,
        "u64" => U64,
        "f32" => F32,
        "f64" => F64,
        "char" => Char,
        "string" => String,
        "own" => Own(resource),
        "borrow" => Borrow(resource),
        "error-context" => ErrorContext,
        "(" => return Some(Some(compound(types, tokens))),
        number => panic!("no type: {number}"),
    };
    Some(Some(ty))
}

fn compound(types: &mut Types, tokens: &mut dyn Iterator<Item = String>) -> InterfaceType {
    let kind = tokens.next().expect("a kind of type");
    if kind == "flags" || kind == "enum" {
        let count: u32 = tokens.next().and_then(|n| n.parse().ok()).expect("a count");
        tokens.next();
        let names = (0..count).map(|i| format!("c{i}"));
        let made = if kind == "flags" {
            types.flags(names)
        } else {
            types.enum_(names)
        };
        return made.expect("a valid type");
    }
    if kind == "list" {
        let element = read_type(types, tokens).expect("an element type");
        let length = tokens.next().expect("a length or `)`");
        if length == ")" {
            return types.list(element).expect("a valid type");
        }
        tokens.next();
        return types
            .fixed_list(element, length.parse().unwrap())
            .expect("a valid type");
    }
    let mut parts = Vec::new();
    while let Some(part) = read(types, tokens) {
        parts.push(part);
    }
    let all = || parts.iter().map(|part| part.expect("a type"));
    let made = match kind.as_str() {
        "record" => types.record(all().enumerate().map(|(i, ty)| (format!("f{i}"), ty))),
        "tuple" => types.tuple(all()),
        "variant" => types.variant(
            parts
                .iter()
                .enumerate()
                .map(|(i, ty)| (format!("c{i}"), *ty)),
        ),
        "option" => types.option(all().next().unwrap()),
        "result" => types.result(parts[0], parts[1]),
        "map" => types.map(all().next().unwrap(), all().nth(1).unwrap()),
        "stream" => types.stream(parts[0]),
        "future" => types.future(parts[0]),
        other => panic!("no kind of type: {other}"),
    };
    made.expect("a valid type")
}

/// A value of any type.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Numbers (floats by their bits), booleans, characters, flags and enums.
    Int(i128),
    /// Strings.
    Text(String),
    /// Lists, maps, records and tuples.
    Many(Vec<Value>),
    /// Variants.
    Case(u32, Option<Box<Value>>),
}

/// Reads `5`, `s6869`, `(1 2)`, `[1 5]`; `None` at a closing bracket.
pub fn read_value(tokens: &mut dyn Iterator<Item = String>) -> Option<Value> {
    let word = tokens.next().expect("a value");
    Some(match word.as_str() {
        ")" | "]" => return None,
        "(" => {
            let mut many = Vec::new();
            while let Some(value) = read_value(tokens) {
                many.push(value);
            }
            Value::Many(many)
        }
        "[" => {
            let case = tokens.next().and_then(|n| n.parse().ok()).expect("a case");
            let payload = read_value(tokens);
            if payload.is_some() {
                tokens.next();
            }
            Value::Case(case, payload.map(Box::new))
        }
        text if text.starts_with('s') => {
            Value::Text(String::from_utf8(hex(&text[1..])).expect("UTF-8"))
        }
        number => Value::Int(number.parse().expect("a number")),
    })
}

/// Bytes from hexadecimal digits.
pub fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("hex digits"))
        .collect()
}

/// A guest: its memory, its encoding and width, and how far its allocator is.
pub struct Guest {
    pub memory: Vec<u8>,
    pub next: u64,
    pub encoding: StringEncoding,
    pub width: PointerWidth,
    /// What `realloc` was called with.
    pub reallocs: Vec<(u64, u32, u32, u32)>,
}

impl Guest {
    pub fn new(encoding: StringEncoding, width: PointerWidth) -> Guest {
        Guest {
            memory: vec![0; 4096],
            next: 16,
            encoding,
            width,
            reallocs: Vec::new(),
        }
    }

    fn realloc(&mut self, old: u64, old_bytes: u32, align: u32, bytes: u32) -> u64 {
        self.reallocs.push((old, old_bytes, align, bytes));
        let at = self.next.next_multiple_of(align.into());
        self.next = at + u64::from(bytes);
        let kept = old_bytes.min(bytes) as usize;
        self.memory
            .copy_within(old as usize..old as usize + kept, at as usize);
        at
    }

    fn load(&self, at: u64, bytes: u32) -> u64 {
        let mut word = [0; 8];
        let at = at as usize;
        word[..bytes as usize].copy_from_slice(&self.memory[at..at + bytes as usize]);
        u64::from_le_bytes(word)
    }

    fn store(&mut self, at: u64, bytes: u32, bits: u64) {
        let at = at as usize;
        self.memory[at..at + bytes as usize].copy_from_slice(&bits.to_le_bytes()[..bytes as usize]);
    }
}

/// A string of the host on its way into a guest.
struct Lowering<'a>(&'a mut Guest, &'a str);

impl Transcoder for Lowering<'_> {
    type Error = AbiError;

    fn realloc(
        &mut self,
        old: u64,
        old_bytes: u32,
        align: u32,
        bytes: u32,
    ) -> Result<u64, AbiError> {
        Ok(self.0.realloc(old, old_bytes, align, bytes))
    }

    fn target_len(&mut self) -> u64 {
        self.0.memory.len() as u64
    }

    fn step<R>(
        &mut self,
        ptr: u64,
        bytes: u32,
        step: impl FnOnce(&[u8], &mut [u8]) -> R,
    ) -> Result<R, AbiError> {
        let range = ptr as usize..ptr as usize + bytes as usize;
        Ok(step(self.1.as_bytes(), &mut self.0.memory[range]))
    }
}

/// Where a program's value starts: an address, or a core value's number.
#[derive(Clone, Copy)]
enum Base {
    Memory(u64),
    Flat(u32),
}

/// Runs programs over a guest and core values of 64 zero-extended bits.
pub struct Machine<'a> {
    pub programs: &'a Programs,
    pub guest: Guest,
    pub flat: Vec<u64>,
}

impl Machine<'_> {
    /// Lowers `values` as `passed` says; through memory, the address is core value 0.
    pub fn lower_all(&mut self, passed: &Passed, values: &[Value]) {
        self.flat = vec![0; 32];
        let base = match passed.passing.is_memory() {
            true => {
                self.flat[0] = self.guest.realloc(0, 0, passed.align, passed.size);
                Base::Memory(self.flat[0])
            }
            false => Base::Flat(0),
        };
        for (&(at, program), value) in passed.parts.iter().zip(values) {
            self.lower_program(program, moved(base, at), value);
        }
    }

    /// The reverse.
    pub fn lift_all(&mut self, passed: &Passed) -> Vec<Value> {
        let base = match passed.passing.is_memory() {
            true => Base::Memory(self.flat[0]),
            false => Base::Flat(0),
        };
        let lift = |&(at, program): &(u32, ProgramId)| self.lift_program(program, moved(base, at));
        passed.parts.iter().map(lift).collect()
    }

    fn read(&self, base: Base, at: u32, bytes: u32) -> u64 {
        match base {
            Base::Memory(address) => self.guest.load(address + u64::from(at), bytes),
            Base::Flat(first) => self.flat[(first + at) as usize],
        }
    }

    fn write(&mut self, base: Base, at: u32, bytes: u32, bits: u64) {
        match base {
            Base::Memory(address) => self.guest.store(address + u64::from(at), bytes, bits),
            Base::Flat(first) => self.flat[(first + at) as usize] = bits,
        }
    }

    fn pointer(&self) -> u32 {
        self.guest.width.bytes()
    }

    /// Writes a pointer and a length.
    fn write_pair(&mut self, base: Base, at: u32, pair: (u64, u64)) {
        let bytes = self.pointer();
        let second = if matches!(base, Base::Memory(_)) {
            bytes
        } else {
            1
        };
        self.write(base, at, bytes, pair.0);
        self.write(base, at + second, bytes, pair.1);
    }

    fn read_pair(&self, base: Base, at: u32) -> (u64, u64) {
        let bytes = self.pointer();
        let second = if matches!(base, Base::Memory(_)) {
            bytes
        } else {
            1
        };
        (
            self.read(base, at, bytes),
            self.read(base, at + second, bytes),
        )
    }

    fn lower_program(&mut self, program: ProgramId, base: Base, value: &Value) {
        let programs = self.programs;
        let mut ops = programs[program].ops.iter();
        self.lower(&mut ops, base, value);
        assert!(ops.next().is_none(), "operations left over");
    }

    fn lower<'o>(&mut self, ops: &mut impl Iterator<Item = &'o Op>, base: Base, value: &Value) {
        match (*ops.next().expect("an operation"), value) {
            (Op::Scalar { at, scalar }, &Value::Int(int)) => {
                let bits = match scalar {
                    Scalar::S64 | Scalar::U64 | Scalar::F64 => int as u64,
                    _ => u64::from(int as u32),
                };
                self.write(base, at, scalar.bytes(), bits);
            }
            (Op::Flags { at, bytes, .. } | Op::Enum { at, bytes, .. }, &Value::Int(int)) => {
                self.write(base, at, bytes.into(), int as u64);
            }
            (Op::String { at }, Value::Text(text)) => {
                let pair = self.lower_string(text);
                self.write_pair(base, at, pair);
            }
            (
                Op::List { at, element, .. }
                | Op::Map {
                    at, entry: element, ..
                },
                Value::Many(items),
            ) => {
                let pair = self.lower_list(element, items);
                self.write_pair(base, at, pair);
            }
            (
                Op::FixedList {
                    at,
                    element,
                    stride,
                    length,
                    ..
                },
                Value::Many(items),
            ) => {
                assert_eq!(length as usize, items.len());
                for (i, item) in (0..).zip(items) {
                    self.lower_program(element, moved(base, at + i * stride), item);
                }
            }
            (
                Op::Variant {
                    at,
                    bytes,
                    payload,
                    cases,
                    ..
                },
                Value::Case(case, value),
            ) => {
                self.write(base, at, bytes.into(), u64::from(*case));
                if let Some(program) = self.programs.cases(cases)[*case as usize] {
                    let value = value.as_ref().expect("a payload");
                    self.lower_program(program, moved(base, payload), value);
                }
            }
            (Op::Record { fields, .. }, Value::Many(values)) => {
                assert_eq!(fields as usize, values.len());
                for value in values {
                    self.lower(ops, base, value);
                }
            }
            (Op::Call { at, program }, value) => {
                self.lower_program(program, moved(base, at), value);
            }
            (op, value) => panic!("{op:?} cannot lower {value:?}"),
        }
    }

    fn lower_string(&mut self, text: &str) -> (u64, u64) {
        let (encoding, width) = (self.guest.encoding, self.guest.width);
        let source = strings::SourceEncoding::Utf8;
        let mut job = Lowering(&mut self.guest, text);
        strings::transcode(source, text.len() as u32, encoding, width, &mut job)
            .expect("a string that fits")
    }

    fn lower_list(&mut self, element: ProgramId, items: &[Value]) -> (u64, u64) {
        let (size, align) = (self.programs[element].size, self.programs[element].align);
        let start = self.guest.realloc(0, 0, align, size * items.len() as u32);
        for (i, item) in items.iter().enumerate() {
            let address = start + i as u64 * u64::from(size);
            self.lower_program(element, Base::Memory(address), item);
        }
        (start, items.len() as u64)
    }

    fn lift_program(&self, program: ProgramId, base: Base) -> Value {
        let mut ops = self.programs[program].ops.iter();
        let value = self.lift(&mut ops, base);
        assert!(ops.next().is_none(), "operations left over");
        value
    }

    fn lift<'o>(&self, ops: &mut impl Iterator<Item = &'o Op>, base: Base) -> Value {
        match *ops.next().expect("an operation") {
            Op::Scalar { at, scalar } => {
                let bits = self.read(base, at, scalar.bytes());
                Value::Int(match scalar {
                    Scalar::S8 => i128::from(bits as i8),
                    Scalar::S16 => i128::from(bits as i16),
                    Scalar::S32 => i128::from(bits as i32),
                    Scalar::S64 => i128::from(bits as i64),
                    _ => i128::from(bits),
                })
            }
            Op::Flags { at, bytes, .. } | Op::Enum { at, bytes, .. } => {
                Value::Int(self.read(base, at, bytes.into()).into())
            }
            Op::String { at } => {
                let (ptr, length) = self.read_pair(base, at);
                let memory = &self.guest.memory;
                let (encoding, width) = (self.guest.encoding, self.guest.width);
                let range = strings::range(encoding, width, ptr, length, memory.len() as u64)
                    .expect("a string in memory");
                let bytes = &memory[ptr as usize..][..range.bytes as usize];
                Value::Text(strings::decode(range.encoding, bytes).expect("a string"))
            }
            Op::List { at, element, .. }
            | Op::Map {
                at, entry: element, ..
            } => {
                let (ptr, length) = self.read_pair(base, at);
                let element = &self.programs[element];
                strings::list_bytes(ptr, length, element.size, element.align, 4096)
                    .expect("a list in memory");
                let lift = |i| {
                    let address = ptr + i * u64::from(element.size);
                    self.lift(&mut element.ops.iter(), Base::Memory(address))
                };
                Value::Many((0..length).map(lift).collect())
            }
            Op::FixedList {
                at,
                element,
                stride,
                length,
                ..
            } => {
                let lift = |i| self.lift_program(element, moved(base, at + i * stride));
                Value::Many((0..length).map(lift).collect())
            }
            Op::Variant {
                at,
                bytes,
                payload,
                cases,
                ..
            } => {
                let case = self.read(base, at, bytes.into()) as u32;
                let program = self.programs.cases(cases)[case as usize];
                let lift = |program| Box::new(self.lift_program(program, moved(base, payload)));
                Value::Case(case, program.map(lift))
            }
            Op::Record { fields, .. } => {
                Value::Many((0..fields).map(|_| self.lift(ops, base)).collect())
            }
            Op::Call { at, program } => self.lift_program(program, moved(base, at)),
            op => panic!("{op:?} cannot be lifted here"),
        }
    }
}

fn moved(base: Base, by: u32) -> Base {
    match base {
        Base::Memory(address) => Base::Memory(address + u64::from(by)),
        Base::Flat(first) => Base::Flat(first + by),
    }
}
