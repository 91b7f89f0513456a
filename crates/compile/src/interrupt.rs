//! Where a guest that runs for long can be stopped: fuel and epochs.
//!
//! ```text
//!   each basic block     store.fuel -= instructions in it          (with fuel)
//!   bulk operations      store.fuel -= bytes / 64, then the check  (with fuel; 0 for what is
//!                                                         more than there is: it traps)
//!   function's start,    store.fuel < 0?               OutOfFuel   (with fuel)
//!   loop's header        epoch >= store.epoch_deadline? EpochPassed (with epochs)
//! ```
//!
//! A block is charged for as a whole where it starts: the number is put in as the block
//! grows. So the same instructions cost the same in every tier, and nothing stops between
//! two checks: no bulk operation is ever left half done. The routines that are called
//! where something has run out decide: more of it, others first, or a trap.
//!
//! Neither costs anything where it is off. Not here: the routines (the VM).

use crate::bounds::{memory_len, table_len};
use crate::env::{Region, load_fixed, trusted};
use crate::func::FuncTranslator;
use crate::types::POINTER;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{
    Block, Inst, InstBuilder, InstructionData, MemFlagsData, Value, immediates::Imm64,
};
use helve_base::builtin::Builtin;
use helve_base::id::{MemoryIndex, TableIndex};
use helve_base::vmctx::offset;
use wasmparser::Operator;

/// What a function does so that it can be stopped.
#[derive(Default)]
pub(crate) struct Interrupts {
    fuel: bool,
    epoch: bool,
    /// The block that is being charged for: the constant that says how much, and what it
    /// says.
    charge: Option<(Block, Inst, i64)>,
}

impl Interrupts {
    pub(crate) fn new(fuel: bool, epoch: bool) -> Interrupts {
        Interrupts {
            fuel,
            epoch,
            charge: None,
        }
    }
}

/// Bytes (of a memory, or eight for an element of a table) that cost one unit of fuel in a
/// bulk operation: a power of two, by its logarithm.
const BULK_BYTES_LOG2: i64 = 6;
const ELEMENTS_LOG2: i64 = BULK_BYTES_LOG2 - 3;

/// Units of fuel for one instruction: those that leave nothing in machine code are free.
fn cost(op: &Operator<'_>) -> i64 {
    match op {
        Operator::Nop
        | Operator::Drop
        | Operator::Block { .. }
        | Operator::Loop { .. }
        | Operator::TryTable { .. }
        | Operator::Else
        | Operator::End
        | Operator::LocalGet { .. }
        | Operator::LocalSet { .. }
        | Operator::LocalTee { .. } => 0,
        _ => 1,
    }
}

impl FuncTranslator<'_> {
    /// Charges for `op`, which is translated next.
    pub(crate) fn charge(&mut self, op: &Operator<'_>) {
        if !self.interrupts.fuel {
            return;
        }
        let more = cost(op);
        if more == 0 {
            return;
        }
        let here = self.b.current_block();
        match &mut self.interrupts.charge {
            Some((block, inst, total)) if Some(*block) == here => {
                *total += more;
                if let InstructionData::UnaryImm { imm, .. } = &mut self.b.func.dfg.insts[*inst] {
                    *imm = Imm64::new(*total);
                }
            }
            _ => {
                let amount = self.b.ins().iconst(I64, more);
                self.spend(amount);
                let inst = self.b.func.dfg.value_def(amount).inst();
                self.interrupts.charge = here.zip(inst).map(|(block, inst)| (block, inst, more));
            }
        }
    }

    /// Charges for a bulk operation on this many bytes (a 64-bit value) of a memory, and asks
    /// at once where that is too much. What can only trap is free: the memory has no room.
    pub(crate) fn charge_bulk(&mut self, bytes: Value, memory: MemoryIndex) {
        if !self.interrupts.fuel {
            return;
        }
        let most = memory_len(self, memory);
        self.charge_up_to(bytes, most, BULK_BYTES_LOG2);
    }

    /// As [`charge_bulk`](Self::charge_bulk), for this many elements of a table.
    pub(crate) fn charge_elements(&mut self, elements: Value, table: TableIndex) {
        if !self.interrupts.fuel {
            return;
        }
        let most = table_len(self, table);
        self.charge_up_to(elements, most, ELEMENTS_LOG2);
    }

    /// Charges for elements that a table has got more of, of which `before` tells the number
    /// there were: -1 where it could not grow, which is free.
    pub(crate) fn charge_grown(&mut self, elements: Value, before: Value) {
        if !self.interrupts.fuel {
            return;
        }
        let amount = self.b.ins().ushr_imm_u(elements, ELEMENTS_LOG2);
        let zero = self.b.ins().iconst(I64, 0);
        let failed = self.b.ins().icmp_imm_s(IntCC::Equal, before, -1);
        let amount = self.b.ins().select(failed, zero, amount);
        self.spend(amount);
        self.check_fuel();
    }

    fn charge_up_to(&mut self, count: Value, most: Value, units_log2: i64) {
        let amount = self.b.ins().ushr_imm_u(count, units_log2);
        let zero = self.b.ins().iconst(I64, 0);
        let traps = self.b.ins().icmp(IntCC::UnsignedGreaterThan, count, most);
        let amount = self.b.ins().select(traps, zero, amount);
        self.spend(amount);
        self.check_fuel();
    }

    /// At a function's start and at the header of a loop: goes on, or asks.
    pub(crate) fn check_interrupts(&mut self) {
        if self.interrupts.fuel {
            self.check_fuel();
        }
        if self.interrupts.epoch {
            self.check_epoch();
        }
    }

    fn store(&mut self) -> Value {
        load_fixed(
            &mut self.b,
            POINTER,
            self.env.vmctx,
            offset::VMCONTEXT_STORE,
        )
    }

    fn spend(&mut self, amount: Value) {
        let store = self.store();
        let flags = trusted(&mut self.b, Region::Fuel);
        let at = offset::STORE_FUEL as i32;
        let fuel = self.b.ins().load(I64, flags, store, at);
        let fuel = self.b.ins().isub(fuel, amount);
        self.b.ins().store(flags, fuel, store, at);
    }

    fn check_fuel(&mut self) {
        let store = self.store();
        let flags = trusted(&mut self.b, Region::Fuel);
        let fuel = self
            .b
            .ins()
            .load(I64, flags, store, offset::STORE_FUEL as i32);
        let out = self.b.ins().icmp_imm_s(IntCC::SignedLessThan, fuel, 0);
        self.ask(out, Builtin::OutOfFuel);
    }

    fn check_epoch(&mut self) {
        let store = self.store();
        let epoch = load_fixed(&mut self.b, POINTER, store, offset::STORE_EPOCH);
        // Atomic: other threads write it, so no earlier load will do.
        let epoch = self
            .b
            .ins()
            .atomic_load(I64, MemFlagsData::trusted(), epoch);
        let flags = trusted(&mut self.b, Region::Fuel);
        let at = offset::STORE_EPOCH_DEADLINE as i32;
        let deadline = self.b.ins().load(I64, flags, store, at);
        let passed = self
            .b
            .ins()
            .icmp(IntCC::UnsignedGreaterThanOrEqual, epoch, deadline);
        self.ask(passed, Builtin::EpochPassed);
    }

    /// Calls `builtin` where `condition` holds.
    fn ask(&mut self, condition: Value, builtin: Builtin) {
        let (asks, goes_on) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(asks);
        self.b.ins().brif(condition, asks, &[], goes_on, &[]);
        self.b.seal_block(asks);
        self.b.switch_to_block(asks);
        self.env.call_builtin(&mut self.b, builtin, &[]);
        self.b.ins().jump(goes_on, &[]);
        self.b.seal_block(goes_on);
        self.b.switch_to_block(goes_on);
    }
}
