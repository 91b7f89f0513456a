//! Mutations of a component that know its structure.
//!
//! ```text
//!  bytes --Walk counts the places of each kind--> a kind, a place --Walk again--> mutant
//! ```
//!
//! The component is decoded and encoded again; at the chosen places something else of the
//! same kind is written, so lengths and counts always fit. A few mutants are then cut,
//! their sections moved, or a byte of theirs flipped. Not here: running them (`harness`).

use super::rng::Rng;
use std::convert::Infallible;
use wasm_encoder::reencode::{Error, Reencode, ReencodeComponent, component_utils, utils};
use wasm_encoder::{
    CanonicalFunctionSection, CanonicalOption, Component, ComponentDefinedTypeEncoder,
    ComponentFuncTypeEncoder, ComponentValType, DataSection, Instruction, MemArg, MemoryType,
    Module, PrimitiveValType, ValType,
};
use wasmparser::{CanonicalFunction, ComponentDefinedType};

/// What kind of place is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Const,
    Data,
    Options,
    Option,
    Type,
    TypeShape,
    Func,
    Operator,
    MemArg,
    Memory,
    CoreIndex,
    Index,
    CoreType,
}

/// How often each kind is chosen, of their sum.
const WEIGHTS: &[(Kind, usize)] = &[
    (Kind::Const, 34),
    (Kind::Data, 18),
    (Kind::Options, 4),
    (Kind::Option, 12),
    (Kind::Type, 7),
    (Kind::TypeShape, 5),
    (Kind::Func, 2),
    (Kind::Operator, 10),
    (Kind::MemArg, 3),
    (Kind::Memory, 3),
    (Kind::CoreIndex, 4),
    (Kind::Index, 2),
    (Kind::CoreType, 1),
];

const KINDS: usize = 13;

/// A component with the places where it can change.
#[derive(Clone, Debug)]
pub struct Base {
    pub bytes: Vec<u8>,
    places: [usize; KINDS],
}

impl Base {
    /// `None` where the bytes can't be decoded, or hold a loop: then a mutant might not end.
    pub fn new(bytes: &[u8]) -> Option<Base> {
        let mut walk = Walk::new(Rng::new(0), Vec::new());
        let bytes = walk.run(bytes)?;
        let places = walk.seen;
        (!walk.loops).then_some(Base { bytes, places })
    }

    /// The mutant of this seed.
    pub fn mutant(&self, rng: &mut Rng) -> Vec<u8> {
        let mut targets = Vec::new();
        for _ in 0..*rng.pick(&[1, 1, 1, 2, 2, 3, 5]) {
            let all: usize = WEIGHTS.iter().map(|(_, weight)| weight).sum();
            let mut at = rng.below(all);
            for &(kind, weight) in WEIGHTS {
                if at < weight {
                    if self.places[kind as usize] > 0 {
                        targets.push((kind, rng.below(self.places[kind as usize])));
                    }
                    break;
                }
                at -= weight;
            }
        }
        let mut walk = Walk::new(rng.clone(), targets);
        let mut bytes = walk.run(&self.bytes).unwrap_or_else(|| self.bytes.clone());
        *rng = walk.rng;
        match rng.below(60) {
            0 => bytes.truncate(rng.below(bytes.len().max(1))),
            1 | 2 => {
                let at = rng.below(bytes.len());
                bytes[at] ^= 1 << rng.below(8);
            }
            3 => {
                let at = rng.below(bytes.len());
                bytes[at] = rng.next() as u8;
            }
            4 => bytes = move_sections(&bytes, rng),
            _ => {}
        }
        bytes
    }
}

/// Two neighbouring sections change places, one is left out, or stands twice.
fn move_sections(bytes: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut sections = Vec::new();
    let mut at = 8;
    while at < bytes.len() {
        let start = at;
        at += 1;
        let (mut len, mut shift) = (0usize, 0);
        while let Some(&byte) = bytes.get(at) {
            len |= usize::from(byte & 0x7f) << shift;
            (at, shift) = (at + 1, shift + 7);
            if byte < 0x80 || shift > 28 {
                break;
            }
        }
        at = (at + len).min(bytes.len());
        sections.push(&bytes[start..at]);
    }
    if sections.len() > 1 {
        let at = rng.below(sections.len() - 1);
        match rng.below(4) {
            0 => drop(sections.remove(at)),
            1 => sections.insert(at, sections[at]),
            _ => sections.swap(at, at + 1),
        }
    }
    let mut out = bytes[..8].to_vec();
    sections.into_iter().for_each(|section| out.extend(section));
    out
}

struct Walk {
    rng: Rng,
    targets: Vec<(Kind, usize)>,
    seen: [usize; KINDS],
    loops: bool,
}

impl Walk {
    fn new(rng: Rng, targets: Vec<(Kind, usize)>) -> Walk {
        Walk {
            rng,
            targets,
            seen: [0; KINDS],
            loops: false,
        }
    }

    fn run(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut component = Component::new();
        let parser = wasmparser::Parser::new(0);
        self.parse_component(&mut component, parser, bytes).ok()?;
        Some(component.finish())
    }

    /// Whether this place is to be changed.
    fn hit(&mut self, kind: Kind) -> bool {
        let n = self.seen[kind as usize];
        self.seen[kind as usize] += 1;
        self.targets.contains(&(kind, n))
    }

    fn near(&mut self, kind: Kind, index: u32) -> u32 {
        if !self.hit(kind) {
            return index;
        }
        match self.rng.below(5) {
            0 => index.wrapping_add(1),
            1 => index.saturating_sub(1),
            2 => self.rng.below(4) as u32,
            3 => self.rng.below(20) as u32,
            _ => index.wrapping_add(2),
        }
    }

    fn number(&mut self, old: u64) -> u64 {
        match self.rng.below(4) {
            0 => old.wrapping_add(self.rng.below(9) as u64).wrapping_sub(4),
            1 => old ^ (1 << self.rng.below(32)),
            _ => self.rng.number(),
        }
    }

    fn prim(&mut self) -> PrimitiveValType {
        use PrimitiveValType::*;
        *self.rng.pick(&[
            Bool, S8, U8, S16, U16, S32, U32, S64, U64, F32, F64, Char, String,
        ])
    }

    fn operator(&mut self, old: &Instruction<'_>) -> Option<Instruction<'static>> {
        use Instruction::*;
        let binary = [
            I32Add, I32Sub, I32Mul, I32And, I32Or, I32Xor, I32Shl, I32ShrU, I32DivU, I32RemS,
            I32Rotl, I32LtU, I32GtS, I32Eq,
        ];
        let binary64 = [
            I64Add, I64Sub, I64Mul, I64And, I64Or, I64Xor, I64Shl, I64DivS,
        ];
        let name = format!("{old:?}");
        for family in [&binary[..], &binary64[..]] {
            if family.iter().any(|op| format!("{op:?}") == name) {
                return Some(self.rng.pick(family).clone());
            }
        }
        None
    }
}

fn is_binary(instruction: &Instruction<'_>) -> bool {
    use Instruction::*;
    matches!(
        instruction,
        I32Add
            | I32Sub
            | I32Mul
            | I32And
            | I32Or
            | I32Xor
            | I32Shl
            | I32ShrU
            | I32DivU
            | I32RemS
            | I32Rotl
            | I32LtU
            | I32GtS
            | I32Eq
            | I64Add
            | I64Sub
            | I64Mul
            | I64And
            | I64Or
            | I64Xor
            | I64Shl
            | I64DivS
    )
}

impl Reencode for Walk {
    type Error = Infallible;

    fn instruction<'a>(
        &mut self,
        arg: wasmparser::Operator<'a>,
    ) -> Result<Instruction<'a>, Error<Infallible>> {
        let new = utils::instruction(self, arg)?;
        Ok(match new {
            Instruction::I32Const(old) if self.hit(Kind::Const) => {
                Instruction::I32Const(self.number(old as u64) as i32)
            }
            Instruction::I64Const(old) if self.hit(Kind::Const) => {
                Instruction::I64Const(self.number(old as u64) as i64)
            }
            Instruction::F32Const(_) if self.hit(Kind::Const) => {
                Instruction::F32Const(f32::from_bits(self.rng.next() as u32).into())
            }
            Instruction::F64Const(_) if self.hit(Kind::Const) => {
                Instruction::F64Const(f64::from_bits(self.rng.next()).into())
            }
            Instruction::Loop(_) => {
                self.loops = true;
                new
            }
            Instruction::LocalGet(i) => Instruction::LocalGet(self.near(Kind::Operator, i)),
            _ if is_binary(&new) && self.hit(Kind::Operator) => self.operator(&new).unwrap_or(new),
            _ => new,
        })
    }

    fn mem_arg(&mut self, arg: wasmparser::MemArg) -> Result<MemArg, Error<Infallible>> {
        let mut arg = utils::mem_arg(self, arg)?;
        if self.hit(Kind::MemArg) {
            match self.rng.below(5) {
                0 => arg.align = self.rng.below(4) as u32,
                _ => arg.offset = u64::from(self.number(arg.offset) as u32),
            }
        }
        Ok(arg)
    }

    fn memory_type(&mut self, ty: wasmparser::MemoryType) -> Result<MemoryType, Error<Infallible>> {
        let mut ty = utils::memory_type(self, ty);
        if self.hit(Kind::Memory) {
            match self.rng.below(6) {
                0 => ty.minimum = 0,
                1 => ty.minimum = self.rng.number() % 300,
                2 => ty.minimum = self.rng.number() % 70_000,
                3 => ty.maximum = Some(self.rng.number() % 300),
                4 => ty.memory64 = !ty.memory64,
                _ => ty.maximum = None,
            }
        }
        Ok(ty)
    }

    fn parse_data(
        &mut self,
        data: &mut DataSection,
        datum: wasmparser::Data<'_>,
    ) -> Result<(), Error<Infallible>> {
        let mut bytes = datum.data.to_vec();
        for chunk in bytes.chunks_mut(8) {
            if self.hit(Kind::Data) {
                let number = self.rng.number();
                match self.rng.below(4) {
                    0 => chunk[0] ^= 1 << self.rng.below(8),
                    1 => chunk[0] = number as u8,
                    2 => chunk
                        .iter_mut()
                        .zip(number.to_le_bytes())
                        .for_each(|(b, n)| *b = n),
                    _ => {
                        let number = number as u32;
                        chunk
                            .iter_mut()
                            .zip(number.to_le_bytes())
                            .for_each(|(b, n)| *b = n);
                    }
                }
            }
        }
        match datum.kind {
            wasmparser::DataKind::Active {
                memory_index,
                offset_expr,
            } => {
                let memory = self.memory_index(memory_index)?;
                let offset = self.const_expr(offset_expr)?;
                data.active(memory, &offset, bytes);
            }
            wasmparser::DataKind::Passive => {
                data.passive(bytes);
            }
        }
        Ok(())
    }

    fn val_type(&mut self, ty: wasmparser::ValType) -> Result<ValType, Error<Infallible>> {
        let ty = utils::val_type(self, ty)?;
        if self.hit(Kind::CoreType) {
            return Ok(*self.rng.pick(&[
                ValType::I32,
                ValType::I64,
                ValType::F32,
                ValType::F64,
                ValType::FUNCREF,
                ValType::EXTERNREF,
                ValType::V128,
            ]));
        }
        Ok(ty)
    }

    fn function_index(&mut self, func: u32) -> Result<u32, Error<Infallible>> {
        Ok(self.near(Kind::CoreIndex, func))
    }

    fn global_index(&mut self, global: u32) -> Result<u32, Error<Infallible>> {
        Ok(self.near(Kind::CoreIndex, global))
    }

    fn memory_index(&mut self, memory: u32) -> Result<u32, Error<Infallible>> {
        Ok(self.near(Kind::CoreIndex, memory))
    }

    fn table_index(&mut self, table: u32) -> Result<u32, Error<Infallible>> {
        Ok(self.near(Kind::CoreIndex, table))
    }

    fn type_index(&mut self, ty: u32) -> Result<u32, Error<Infallible>> {
        Ok(self.near(Kind::CoreIndex, ty))
    }

    fn parse_custom_section(
        &mut self,
        _: &mut Module,
        _: wasmparser::CustomSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        Ok(())
    }
}

impl ReencodeComponent for Walk {
    fn component_type_index(&mut self, ty: u32) -> u32 {
        self.near(Kind::Index, ty)
    }

    fn component_instance_index(&mut self, ty: u32) -> u32 {
        self.near(Kind::Index, ty)
    }

    fn component_func_index(&mut self, ty: u32) -> u32 {
        self.near(Kind::Index, ty)
    }

    fn component_index(&mut self, ty: u32) -> u32 {
        self.near(Kind::Index, ty)
    }

    fn module_index(&mut self, ty: u32) -> u32 {
        self.near(Kind::Index, ty)
    }

    fn instance_index(&mut self, ty: u32) -> u32 {
        self.near(Kind::Index, ty)
    }

    fn component_val_type(&mut self, ty: wasmparser::ComponentValType) -> ComponentValType {
        let ty = component_utils::component_val_type(self, ty);
        match self.hit(Kind::Type) {
            true => ComponentValType::Primitive(self.prim()),
            false => ty,
        }
    }

    fn canonical_option(
        &mut self,
        option: wasmparser::CanonicalOption,
    ) -> Result<CanonicalOption, Error<Infallible>> {
        use CanonicalOption::*;
        let option = component_utils::canonical_option(self, option)?;
        if !self.hit(Kind::Option) {
            return Ok(option);
        }
        Ok(match (self.rng.below(12), &option) {
            (0, _) => Async,
            (1, Realloc(i)) => PostReturn(*i),
            (2, Memory(i)) => Memory(i + 1),
            (3, PostReturn(i)) => Realloc(*i),
            (_, UTF8 | UTF16 | CompactUTF16) => *self.rng.pick(&[UTF8, UTF16, CompactUTF16]),
            _ => option,
        })
    }

    fn parse_component_canonical(
        &mut self,
        section: &mut CanonicalFunctionSection,
        mut func: CanonicalFunction,
    ) -> Result<(), Error<Infallible>> {
        use wasmparser::CanonicalOption as Option;
        if let CanonicalFunction::Lift { options, .. } | CanonicalFunction::Lower { options, .. } =
            &mut func
            && self.hit(Kind::Options)
        {
            let mut list = options.to_vec();
            match self.rng.below(4) {
                0 if !list.is_empty() => drop(list.remove(self.rng.below(list.len()))),
                1 => list.push(*self.rng.pick(&[
                    Option::UTF16,
                    Option::CompactUTF16,
                    Option::Async,
                    Option::PostReturn(0),
                    Option::Callback(1),
                    Option::Gc,
                ])),
                2 => list.push(Option::PostReturn(self.rng.below(6) as u32)),
                _ => list.reverse(),
            }
            *options = list.into();
        }
        component_utils::parse_component_canonical(self, section, func)
    }

    fn parse_component_func_type(
        &mut self,
        func: ComponentFuncTypeEncoder<'_>,
        mut ty: wasmparser::ComponentFuncType<'_>,
    ) -> Result<(), Error<Infallible>> {
        if self.hit(Kind::Func) {
            let mut params = ty.params.to_vec();
            match self.rng.below(4) {
                0 => ty.result = None,
                1 if params.len() > 1 => {
                    let last = params.len() - 1;
                    let (a, b) = (params[0].1, params[last].1);
                    (params[0].1, params[last].1) = (b, a);
                }
                2 if !params.is_empty() => ty.result = Some(params[0].1),
                _ => drop(params.pop()),
            }
            ty.params = params.into();
        }
        component_utils::parse_component_func_type(self, func, ty)
    }

    fn parse_component_defined_type(
        &mut self,
        defined: ComponentDefinedTypeEncoder<'_>,
        mut ty: ComponentDefinedType<'_>,
    ) -> Result<(), Error<Infallible>> {
        if self.hit(Kind::TypeShape) {
            ty = self.shape(ty);
        }
        component_utils::parse_component_defined_type(self, defined, ty)
    }

    fn parse_component_custom_section(
        &mut self,
        _: &mut Component,
        _: wasmparser::CustomSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        Ok(())
    }
}

impl Walk {
    fn shape<'a>(&mut self, ty: ComponentDefinedType<'a>) -> ComponentDefinedType<'a> {
        use ComponentDefinedType as T;
        match ty {
            T::List(ty) => match self.rng.below(3) {
                0 => T::Option(ty),
                1 => T::FixedLengthList(ty, self.rng.number() as u32 % 0x2000),
                _ => T::Result {
                    ok: Some(ty),
                    err: None,
                },
            },
            T::Option(ty) => match self.rng.below(3) {
                0 => T::List(ty),
                1 => T::Result {
                    ok: None,
                    err: Some(ty),
                },
                _ => T::Tuple(vec![ty; 1 + self.rng.below(20)].into()),
            },
            T::FixedLengthList(ty, n) => {
                T::FixedLengthList(ty, (n ^ self.rng.number() as u32) % 0x10000)
            }
            T::Record(fields) => {
                let mut fields = fields.to_vec();
                fields.reverse();
                if self.rng.chance(1, 2) {
                    fields.pop();
                }
                T::Record(fields.into())
            }
            T::Tuple(types) => {
                let mut types = types.to_vec();
                match self.rng.below(3) {
                    0 => types.reverse(),
                    1 => types.extend(types.clone()),
                    _ => drop(types.pop()),
                }
                T::Tuple(types.into())
            }
            T::Variant(cases) => {
                let mut cases = cases.to_vec();
                match self.rng.below(3) {
                    0 => cases.reverse(),
                    1 => drop(cases.pop()),
                    _ => cases[0].ty = None,
                }
                T::Variant(cases.into())
            }
            T::Flags(names) => {
                let keep = self.rng.below(names.len() + 1);
                T::Flags(names.iter().copied().take(keep).collect())
            }
            T::Enum(names) => {
                let keep = self.rng.below(names.len() + 1);
                T::Enum(names.iter().copied().take(keep).collect())
            }
            T::Result { ok, err } => T::Result { ok: err, err: ok },
            T::Own(i) => T::Borrow(i),
            T::Borrow(i) => T::Own(i),
            other => other,
        }
    }
}
