//! Strings.
//!
//! ```text
//!  utf8 -> utf8, utf16 -> utf16    range check, realloc, then one routine that checks and
//!                                  copies at once
//!  everything else                 one routine, in the order of the spec's reallocs
//! ```
//!
//! Not here: transcoding itself (`helve_abi::strings`, by way of the routines).

use super::emit::Emit;
use super::place::Place;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, types};
use helve_abi::options::StringEncoding;
use helve_abi::strings::MAX_BYTES;
use helve_base::adapter::{ComponentBuiltin, Guard};

impl Emit<'_, '_> {
    /// Moves a string: `from` and `to` are where pointer and length are.
    pub(super) fn string(&mut self, from: Place, to: Place) {
        let (source, target) = (self.side(self.from), self.side(self.to()));
        let pointer = self.read_pointer(from);
        let length = self.read_pointer(from.second(source.width));
        let (new, length) = match (source.encoding, target.encoding) {
            (StringEncoding::Utf8, StringEncoding::Utf8) => {
                (self.copy_utf8(pointer, length), length)
            }
            (StringEncoding::Utf16, StringEncoding::Utf16) => {
                (self.copy_utf16(pointer, length), length)
            }
            _ => self.transcode(pointer, length),
        };
        self.write_pointer(to, new);
        self.write_pointer(to.second(target.width), length);
    }

    fn copy_utf8(&mut self, pointer: Value, length: Value) -> Value {
        let (new, end) = self.copied(pointer, length, 1, ComponentBuiltin::CopyUtf8);
        // Twice the number of the byte, and whether it only ends there.
        let wrong = self.b.ins().icmp_imm_s(IntCC::NotEqual, end, -1);
        let at = self.b.ins().ushr_imm_u(end, 1);
        let ends = self.b.ins().band_imm_u(end, 1);
        let incomplete = self.b.ins().icmp_imm_u(IntCC::NotEqual, ends, 0);
        let incomplete = self.b.ins().band(wrong, incomplete);
        // Both in one branch while all is well.
        let next = self.b.create_block();
        let cold = self.b.create_block();
        self.b.set_cold_block(cold);
        self.b.ins().brif(wrong, cold, &[], next, &[]);
        self.b.switch_to_block(cold);
        self.b.seal_block(cold);
        self.guard_with(incomplete, Guard::IncompleteUtf8, [Some(at), None]);
        self.guard_with(wrong, Guard::InvalidUtf8, [Some(at), None]);
        self.b.ins().jump(next, &[]);
        self.b.switch_to_block(next);
        self.b.seal_block(next);
        new
    }

    fn copy_utf16(&mut self, pointer: Value, length: Value) -> Value {
        let (new, end) = self.copied(pointer, length, 2, ComponentBuiltin::CopyUtf16);
        let wrong = self.b.ins().icmp_imm_s(IntCC::NotEqual, end, -1);
        self.guard_with(wrong, Guard::InvalidUtf16, [Some(end), None]);
        new
    }

    /// A string of code units of `unit` bytes, copied by `routine`: its new pointer, and
    /// what the routine said.
    fn copied(
        &mut self,
        pointer: Value,
        length: Value,
        unit: u32,
        routine: ComponentBuiltin,
    ) -> (Value, Value) {
        let most = (MAX_BYTES / u64::from(unit)) as i64;
        let bad = self
            .b
            .ins()
            .icmp_imm_u(IntCC::UnsignedGreaterThan, length, most);
        self.guard(bad, Guard::StringTooLong);
        let bytes = match unit {
            1 => length,
            unit => self.b.ins().imul_imm_u(length, i64::from(unit)),
        };
        self.guard_aligned(pointer, unit, Guard::Unaligned);
        self.guard_range(self.from, pointer, bytes, Guard::StringOutOfBounds);
        let new = self.allocate(unit, bytes, Guard::ReallocStringOutOfBounds);
        let source = self.address(self.from, pointer);
        let target = self.address(self.to(), new);
        (new, self.call_routine(routine, &[target, source, bytes]))
    }

    fn transcode(&mut self, pointer: Value, length: Value) -> (Value, Value) {
        let out = self.frame_bytes(16);
        let side = self.source_number();
        self.call_fallible(ComponentBuiltin::Transcode, &[side, pointer, length, out]);
        let flags = MemFlagsData::trusted();
        let new = self.b.ins().load(types::I64, flags, out, 0);
        let length = self.b.ins().load(types::I64, flags, out, 8);
        (new, length)
    }
}
