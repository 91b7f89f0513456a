//! Lists and maps: one range check on each side, then bytes or elements.
//!
//! ```text
//!  pointer, length --> bytes = length * size: too many? aligned? in memory?
//!                  --> realloc: aligned? in memory?
//!                  --> plain data: one copy.  else: a loop over elements
//! ```
//!
//! Not here: how an element is moved (`walk`).

use super::emit::Emit;
use super::place::Place;
use super::set::Pair;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{BlockArg, InstBuilder, Value, types};
use helve_abi::program::Form;
use helve_abi::strings::MAX_BYTES;
use helve_base::adapter::{ComponentBuiltin, Guard};

impl Emit<'_, '_> {
    /// Moves a list: `from` and `to` are where pointer and length are.
    pub(super) fn list(&mut self, element: Pair, from: Place, to: Place) {
        let [source, target] = [element.from, element.to].map(|id| &self.shared.programs[id]);
        let (size, align, target_align) = (source.size.max(1), source.align, target.align);
        let target_size = target.size.max(1);
        let bulk = source.bulk && target.bulk && size == target_size;

        let [from_width, to_width] = [self.side(self.from).width, self.side(self.to()).width];
        let pointer = self.read_pointer(from);
        let length = self.read_pointer(from.second(from_width));
        let most = MAX_BYTES / u64::from(size);
        let bad = self
            .b
            .ins()
            .icmp_imm_u(IntCC::UnsignedGreaterThan, length, most as i64);
        self.guard(bad, Guard::ListTooLong);
        let bytes = self.times(length, size);
        self.guard_aligned(pointer, align, Guard::Unaligned);
        self.guard_range(self.from, pointer, bytes, Guard::ListOutOfBounds);

        let target_bytes = self.times(length, target_size);
        let new = self.allocate(target_align, target_bytes, Guard::ReallocListOutOfBounds);
        let source = self.address(self.from, pointer);
        let target = self.address(self.to(), new);
        if bulk {
            self.call_routine(ComponentBuiltin::CopyBytes, &[target, source, bytes]);
        } else {
            self.each(element, [source, target], [size, target_size], length);
        }
        self.write_pointer(to, new);
        self.write_pointer(to.second(to_width), length);
    }

    fn times(&mut self, length: Value, size: u32) -> Value {
        match size {
            1 => length,
            size => self.b.ins().imul_imm_u(length, i64::from(size)),
        }
    }

    /// The bytes from one element to the next, whose strides are in bytes in memory and in
    /// core values in flat form.
    pub(super) fn strides(&self, element: Pair, strides: [u32; 2]) -> [u32; 2] {
        let forms = [element.from, element.to].map(|id| self.shared.programs[id].form);
        let mut bytes = strides;
        for (bytes, form) in bytes.iter_mut().zip(forms) {
            if matches!(form, Form::Flat(_)) {
                *bytes = bytes.saturating_mul(8);
            }
        }
        bytes
    }

    /// Moves `count` elements, from one address to another, in a loop.
    pub(super) fn each(
        &mut self,
        element: Pair,
        start: [Value; 2],
        strides: [u32; 2],
        count: Value,
    ) {
        let body = self.block(&[types::I64; 3]);
        let done = self.b.create_block();
        let [from, to] = start.map(BlockArg::Value);
        let first = [from, to, BlockArg::Value(count)];
        self.b.ins().brif(count, body, &first, done, &[]);

        self.b.switch_to_block(body);
        let params: Vec<Value> = self.b.block_params(body).to_vec();
        let &[from, to, left] = &*params else {
            return self.impossible("a loop without parameters");
        };
        let forms = [element.from, element.to].map(|id| self.shared.programs[id].form);
        let [source, target] = [(from, forms[0]), (to, forms[1])].map(|(at, form)| match form {
            Form::Memory(_) => Place::Memory(at, 0),
            Form::Flat(_) => Place::Frame(at, 0),
        });
        self.pair(element, source, target);
        let from = self.b.ins().iadd_imm_u(from, i64::from(strides[0]));
        let to = self.b.ins().iadd_imm_u(to, i64::from(strides[1]));
        let left = self.b.ins().iadd_imm_s(left, -1);
        let next = [from, to, left].map(BlockArg::Value);
        self.b.ins().brif(left, body, &next, done, &[]);
        self.b.seal_block(body);
        self.b.switch_to_block(done);
        self.b.seal_block(done);
    }
}
