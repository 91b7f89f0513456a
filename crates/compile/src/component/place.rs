//! Where a value is, and moving numbers in and out of there.
//!
//! ```text
//!  Memory   address + offset in bytes                        a guest's memory, checked
//!  Lanes    core values in registers, joined as the          parameters and results
//!           signature says
//!  Frame    core values as 64 zero-extended bits each,       the same, where a type is too
//!           8 bytes apart, in the adapter's frame            big to be written out at once
//! ```
//!
//! A number in hand is an `I32` (everything up to 32 bits, extended as its type is
//! signed), `I64`, `F32` or `F64`. NaNs keep their bits. Not here: what the numbers mean.

use super::emit::Emit;
use crate::env::{Region, trusted};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Endianness, InstBuilder, MemFlagsData, Type, Value, types};
use helve_abi::layout::PointerWidth;
use helve_abi::program::Scalar;
use helve_base::adapter::Guard;

/// Where a value starts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// In memory: an address and an offset in bytes.
    Memory(Value, u32),
    /// In core values, from this one on.
    Lanes(u32),
    /// In core values in the frame: an address, and the number of the first one.
    Frame(Value, u32),
}

impl Place {
    /// The place of a part: bytes or core values further on.
    pub(super) fn part(self, at: u32) -> Place {
        match self {
            Place::Memory(base, start) => Place::Memory(base, start.saturating_add(at)),
            Place::Lanes(start) => Place::Lanes(start.saturating_add(at)),
            Place::Frame(base, start) => Place::Frame(base, start.saturating_add(at)),
        }
    }

    /// The place of the length behind a pointer.
    pub(super) fn second(self, width: PointerWidth) -> Place {
        match self {
            Place::Memory(..) => self.part(width.bytes()),
            _ => self.part(1),
        }
    }

    /// Whether it has an address.
    pub(super) fn has_address(self) -> bool {
        !matches!(self, Place::Lanes(_))
    }
}

/// What holds a scalar in hand.
fn in_hand(scalar: Scalar) -> Type {
    match scalar {
        Scalar::S64 | Scalar::U64 => types::I64,
        Scalar::F32 => types::F32,
        Scalar::F64 => types::F64,
        _ => types::I32,
    }
}

fn pointer_scalar(width: PointerWidth) -> Scalar {
    match width {
        PointerWidth::P32 => Scalar::U32,
        PointerWidth::P64 => Scalar::U64,
    }
}

/// The unsigned scalar of this many bytes.
fn unsigned(bytes: u8) -> Scalar {
    match bytes {
        1 => Scalar::U8,
        2 => Scalar::U16,
        _ => Scalar::U32,
    }
}

impl Emit<'_, '_> {
    fn heap(&mut self) -> MemFlagsData {
        trusted(&mut self.b, Region::Heap).with_endianness(Endianness::Little)
    }

    /// The address of a place that has one.
    pub(super) fn place_address(&mut self, place: Place) -> Value {
        match place {
            Place::Memory(base, 0) | Place::Frame(base, 0) => base,
            Place::Memory(base, at) => self.b.ins().iadd_imm_u(base, i64::from(at)),
            Place::Frame(base, lane) => self.b.ins().iadd_imm_u(base, i64::from(lane) * 8),
            Place::Lanes(_) => {
                self.impossible("the address of a register");
                self.context
            }
        }
    }

    /// An address and an offset that fits an instruction.
    fn reach(&mut self, base: Value, at: u32) -> (Value, i32) {
        match i32::try_from(at) {
            Ok(at) => (base, at),
            Err(_) => (self.b.ins().iadd_imm_u(base, i64::from(at)), 0),
        }
    }

    /// The core value of a place as `want`, which shares it with other types.
    pub(super) fn read_lane(&mut self, place: Place, want: Type) -> Value {
        match place {
            Place::Lanes(lane) => match self.lanes.get(lane as usize) {
                Some(&value) => self.split(value, want),
                None => {
                    self.impossible("a core value that the signature does not have");
                    self.b.ins().iconst(types::I64, 0)
                }
            },
            Place::Frame(base, lane) => {
                let at = lane.saturating_mul(8) as i32;
                self.b.ins().load(want, MemFlagsData::trusted(), base, at)
            }
            Place::Memory(base, at) => {
                let (base, at) = self.reach(base, at);
                let flags = self.heap();
                self.b.ins().load(want, flags, base, at)
            }
        }
    }

    /// What a joined core value holds.
    fn split(&mut self, value: Value, want: Type) -> Value {
        let have = self.b.func.dfg.value_type(value);
        let plain = MemFlagsData::new();
        match (have, want) {
            (have, want) if have == want => value,
            (types::I64, types::I32) => self.b.ins().ireduce(types::I32, value),
            (types::I32, types::F32) | (types::I64, types::F64) => {
                self.b.ins().bitcast(want, plain, value)
            }
            (types::I64, types::F32) => {
                let low = self.b.ins().ireduce(types::I32, value);
                self.b.ins().bitcast(want, plain, low)
            }
            _ => {
                self.impossible("core values that do not join");
                value
            }
        }
    }

    /// A value as the joined core value `want`.
    fn join(&mut self, value: Value, want: Type) -> Value {
        let have = self.b.func.dfg.value_type(value);
        let plain = MemFlagsData::new();
        match (have, want) {
            (have, want) if have == want => value,
            (types::I32, types::I64) => self.b.ins().uextend(types::I64, value),
            (types::F32, types::I32) | (types::F64, types::I64) => {
                self.b.ins().bitcast(want, plain, value)
            }
            (types::F32, types::I64) => {
                let bits = self.b.ins().bitcast(types::I32, plain, value);
                self.b.ins().uextend(types::I64, bits)
            }
            _ => {
                self.impossible("core values that do not join");
                value
            }
        }
    }

    /// Writes a core value.
    pub(super) fn write_lane(&mut self, place: Place, value: Value) {
        match place {
            Place::Lanes(lane) => {
                let Some(&variable) = self.targets.get(lane as usize) else {
                    return self.impossible("a core value that the signature does not have");
                };
                let zero = self.b.use_var(variable);
                let want = self.b.func.dfg.value_type(zero);
                let value = self.join(value, want);
                self.b.def_var(variable, value);
            }
            Place::Frame(base, lane) => {
                let value = self.join(value, types::I64);
                let at = lane.saturating_mul(8) as i32;
                self.b.ins().store(MemFlagsData::trusted(), value, base, at);
            }
            Place::Memory(base, at) => {
                let (base, at) = self.reach(base, at);
                let flags = self.heap();
                self.b.ins().store(flags, value, base, at);
            }
        }
    }

    /// Reads a scalar; a `char` is checked.
    pub(super) fn read(&mut self, place: Place, scalar: Scalar) -> Value {
        let value = match (place, scalar.bytes()) {
            (Place::Memory(base, at), 1 | 2) => {
                let (base, at) = self.reach(base, at);
                let flags = self.heap();
                let ins = self.b.ins();
                match scalar {
                    Scalar::S8 => ins.sload8(types::I32, flags, base, at),
                    Scalar::S16 => ins.sload16(types::I32, flags, base, at),
                    Scalar::U16 => ins.uload16(types::I32, flags, base, at),
                    _ => ins.uload8(types::I32, flags, base, at),
                }
            }
            (Place::Memory(..), _) => self.read_lane(place, in_hand(scalar)),
            _ => {
                let value = self.read_lane(place, in_hand(scalar));
                self.cut(value, scalar)
            }
        };
        match scalar {
            Scalar::Bool => {
                let truth = self.b.ins().icmp_imm_u(IntCC::NotEqual, value, 0);
                self.b.ins().uextend(types::I32, truth)
            }
            Scalar::Char => {
                self.guard_char(value);
                value
            }
            _ => value,
        }
    }

    /// A small number out of the core value that it is in.
    fn cut(&mut self, value: Value, scalar: Scalar) -> Value {
        match scalar {
            Scalar::U8 => self.b.ins().band_imm_u(value, 0xff),
            Scalar::U16 => self.b.ins().band_imm_u(value, 0xffff),
            Scalar::S8 => {
                let low = self.b.ins().ireduce(types::I8, value);
                self.b.ins().sextend(types::I32, low)
            }
            Scalar::S16 => {
                let low = self.b.ins().ireduce(types::I16, value);
                self.b.ins().sextend(types::I32, low)
            }
            _ => value,
        }
    }

    /// Traps where a number is no character: a surrogate, or above U+10FFFF. The exclusive
    /// or brings surrogates, and nothing else, below 0x800; so one comparison does.
    fn guard_char(&mut self, value: Value) {
        let moved = self.b.ins().bxor_imm_u(value, 0xd800);
        let moved = self.b.ins().iadd_imm_s(moved, -0x800);
        let most = 0x11_0000 - 0x800;
        let bad = self
            .b
            .ins()
            .icmp_imm_u(IntCC::UnsignedGreaterThanOrEqual, moved, most);
        self.guard_with(bad, Guard::InvalidChar, [Some(value), None]);
    }

    /// Writes a scalar in hand.
    pub(super) fn write(&mut self, place: Place, scalar: Scalar, value: Value) {
        match (place, scalar.bytes()) {
            (Place::Memory(base, at), bytes @ (1 | 2)) => {
                let (base, at) = self.reach(base, at);
                let flags = self.heap();
                match bytes {
                    1 => self.b.ins().istore8(flags, value, base, at),
                    _ => self.b.ins().istore16(flags, value, base, at),
                };
            }
            _ => self.write_lane(place, value),
        }
    }

    /// Reads a discriminant, of flags too: in memory it has `bytes` bytes.
    pub(super) fn read_tag(&mut self, place: Place, bytes: u8) -> Value {
        match place {
            Place::Memory(..) => self.read(place, unsigned(bytes)),
            _ => self.read_lane(place, types::I32),
        }
    }

    /// Writes a discriminant.
    pub(super) fn write_tag(&mut self, place: Place, bytes: u8, value: Value) {
        match place {
            Place::Memory(..) => self.write(place, unsigned(bytes), value),
            _ => self.write_lane(place, value),
        }
    }

    /// Reads an address or length of the source, as 64 bits.
    pub(super) fn read_pointer(&mut self, place: Place) -> Value {
        let width = self.side(self.from).width;
        let value = self.read(place, pointer_scalar(width));
        self.widen(value)
    }

    /// Writes an address or length for the destination.
    pub(super) fn write_pointer(&mut self, place: Place, value: Value) {
        let width = self.side(self.to()).width;
        let value = self.narrow(value, width);
        self.write(place, pointer_scalar(width), value);
    }

    /// Copies this many bytes as they are; both addresses are aligned to `align`.
    pub(super) fn copy_inline(&mut self, from: Place, to: Place, bytes: u32, align: u32) {
        let mut at = 0;
        while at < bytes {
            let left = bytes - at;
            let unit = [8, 4, 2]
                .into_iter()
                .find(|&unit| unit <= left && unit <= align);
            let (unit, scalar) = match unit {
                Some(8) => (8, Scalar::U64),
                Some(4) => (4, Scalar::U32),
                Some(_) => (2, Scalar::U16),
                None => (1, Scalar::U8),
            };
            let value = self.read(from.part(at), scalar);
            self.write(to.part(at), scalar, value);
            at += unit;
        }
    }
}
