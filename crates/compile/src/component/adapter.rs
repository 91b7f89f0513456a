//! One adapter: the frame around moving arguments and results.
//!
//! ```text
//!  may_leave of the caller?  may_enter of those entered?      else trap
//!  may_enter = 0, context slots = 0
//!    scope of loans begins      (only where the type has a borrow)
//!    arguments: caller --> callee         (callee's realloc: its may_leave = 0 meanwhile)
//!    the callee's core function
//!    result: callee --> caller            (caller's realloc: the same)
//!    scope ends
//!    post-return, its may_leave = 0 meanwhile
//!  context slots as before, may_enter = 1
//! ```
//!
//! A trap anywhere leaves the flags as they are: the whole tree of instances is locked by
//! whoever entered it. Not here: how values move (`walk`).

use super::emit::Emit;
use super::place::Place;
use super::set::{Pair, Shared};
use super::shape::{AdapterShape, ContextSlots, LiftAbi, Tasks};
use super::task::Noted;
use crate::env::load_fixed;
use crate::func::{bug, check_stack_at_entry, zero};
use crate::signature::WasmSignature;
use crate::trampoline::entry_block;
use crate::trap_code;
use crate::types::{POINTER, clif};
use cranelift_codegen::ir::{Function, InstBuilder, MemFlagsData, Signature, Value, types};
use cranelift_codegen::isa::TargetFrontendConfig;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use helve_abi::flat::{FlatTypes, Passing};
use helve_abi::program::{CallPrograms, Passed};
use helve_abi::types::Types;
use helve_base::adapter::{AdapterSide, ComponentBuiltin, Guard, offset};
use helve_base::{Error, Trap};

/// Operations beyond which core values are moved by way of the frame, so that parts of
/// them can be subprograms.
const MANY: u32 = 400;

/// Where an adapter keeps what the callee's context slots were.
enum Kept {
    Here([Value; 2]),
    Noted,
}

/// Builds the adapter of a shape.
pub(super) fn adapter(
    shape: AdapterShape,
    types: &Types,
    shared: &mut Shared,
    into: &mut Function,
    context: &mut FunctionBuilderContext,
    target: TargetFrontendConfig,
) -> Result<(), Error> {
    let sides = [AdapterSide::Caller, AdapterSide::Callee];
    let [caller, callee] =
        sides.map(|side| shared.programs.call(types, shape.ty, shape.signature(side)));
    let own = WasmSignature::new(&caller.signature.core());
    into.signature = own.clif.clone();
    check_stack_at_entry(into);
    let mut b = FunctionBuilder::new(into, context);
    let params = entry_block(&mut b);
    let [context, values @ ..] = &*params else {
        return Err(bug("an adapter without a context".into()));
    };
    let lends = shape.lends(types);
    let mut emit = Emit::new(b, shared, shape, AdapterSide::Caller, *context, target);
    let flags = emit.enter(values, &own.clif);
    let kept = emit.fresh_slots();
    if lends && !shape.lends_directly(types) {
        emit.scope = Some(emit.call_fallible(ComponentBuiltin::BeginScope, &[]));
    }
    let noted = matches!(shape.tasks, Tasks::Noted | Tasks::Forked).then(|| {
        let to = match caller.result.passing {
            Passing::Memory => values.last().copied(),
            Passing::Flat(_) => None,
        };
        emit.note(to)
    });
    let kept = kept.map(|kept| emit.keep_slots(noted.as_ref(), kept));
    let (packed, mut returned) = emit.call(&caller, &callee, values, noted.as_ref());
    match &noted {
        Some(noted) => returned = emit.unnote(noted, packed, returned, &caller.result),
        None if shape.caller_async => returned = vec![emit.b.ins().iconst(types::I32, 2)],
        None => {}
    }
    emit.leave_slots(kept, noted.as_ref());
    for flag in flags {
        emit.set_flag(flag, true);
    }
    emit.b.ins().return_(&returned);
    emit.finish()
}

impl Emit<'_, '_> {
    /// Checks the flags and claims the instances that the call enters.
    fn enter(&mut self, params: &[Value], signature: &Signature) -> Vec<Value> {
        let may_leave = self.field(offset::side(AdapterSide::Caller) + offset::SIDE_MAY_LEAVE);
        self.need_flag(may_leave, Trap::CannotLeaveComponent);
        self.need_gate(params, signature);
        if self.shape.entering == 0 {
            return Vec::new();
        }
        let array = self.field(offset::ENTERING);
        let flags: Vec<Value> = (0..self.shape.entering)
            .map(|i| load_fixed(&mut self.b, POINTER, array, i.saturating_mul(8)))
            .collect();
        for &flag in &flags {
            self.need_flag(flag, Trap::CannotEnterComponent);
        }
        for &flag in &flags {
            self.set_flag(flag, false);
        }
        flags
    }

    fn need_flag(&mut self, flag: Value, trap: Trap) {
        let may = self
            .b
            .ins()
            .load(types::I8, MemFlagsData::trusted(), flag, 0);
        self.b.ins().trapz(may, trap_code(trap));
    }

    /// Makes the callee's context slots zero; what they were, where that matters.
    fn fresh_slots(&mut self) -> Option<[Value; 2]> {
        match self.shape.slots {
            ContextSlots::Unused => None,
            ContextSlots::Zeroed => {
                let zero = self.b.ins().iconst(types::I64, 0);
                self.put_slots(AdapterSide::Callee, [zero; 2]);
                None
            }
            ContextSlots::Saved => Some(self.swap_slots(AdapterSide::Callee)),
        }
    }

    /// Where what the slots were is until the call is over: with the note, where there is one,
    /// so that they can be as they were while a forked callee waits.
    fn keep_slots(&mut self, noted: Option<&Noted>, values: [Value; 2]) -> Kept {
        let Some(noted) = noted else {
            return Kept::Here(values);
        };
        self.keep_in_note(noted, values);
        Kept::Noted
    }

    fn leave_slots(&mut self, kept: Option<Kept>, noted: Option<&Noted>) {
        let values = match (kept, noted) {
            (Some(Kept::Here(values)), _) => values,
            (Some(Kept::Noted), Some(noted)) => self.kept_in_note(noted),
            _ => return,
        };
        self.put_slots(AdapterSide::Callee, values);
    }

    /// From the caller's core parameters to its core results; what a function with a
    /// callback has returned.
    fn call(
        &mut self,
        caller: &CallPrograms,
        callee: &CallPrograms,
        params: &[Value],
        noted: Option<&Noted>,
    ) -> (Option<Value>, Vec<Value>) {
        let args = self.passed(&caller.params, params, &callee.params, None);
        let inner = callee.signature.core();
        let results = match noted {
            Some(noted) if self.shape.tasks == Tasks::Forked => self.fork(noted, &inner, &args),
            _ => self.call_import(offset::CALLEE, WasmSignature::new(&inner).clif, &args),
        };
        if self.shape.abi != LiftAbi::Sync {
            return (results.first().copied(), Vec::new());
        }
        self.from = AdapterSide::Callee;
        // The address for the result is the last parameter, where it goes through memory.
        let at = match caller.result.passing {
            Passing::Memory => params.last().copied(),
            Passing::Flat(_) => None,
        };
        let returned = self.passed(&callee.result, &results, &caller.result, at);
        self.end_lent();
        if let Some(scope) = self.scope {
            self.call_fallible(ComponentBuiltin::EndScope, &[scope]);
        }
        if self.shape.post_return {
            self.post_return(callee, &results);
        }
        match caller.result.passing {
            Passing::Memory => (None, Vec::new()),
            Passing::Flat(_) => (None, returned),
        }
    }

    fn post_return(&mut self, callee: &CallPrograms, results: &[Value]) {
        let ty = helve_base::core_type::FuncType::new(callee.signature.results.core(), []);
        let sig: Signature = WasmSignature::new(&ty).clif;
        self.set_may_leave(AdapterSide::Callee, false);
        self.call_import(offset::POST_RETURN, sig, results);
        self.set_may_leave(AdapterSide::Callee, true);
    }

    /// Moves parameters or a result: the core values they are on the other side. What goes
    /// through memory is the one value that is its address; `at` is where the caller wants
    /// it, else it is allocated.
    pub(super) fn passed(
        &mut self,
        source: &Passed,
        values: &[Value],
        target: &Passed,
        at: Option<Value>,
    ) -> Vec<Value> {
        let cost = source.parts.iter().fold(0u32, |cost, &(_, id)| {
            cost.saturating_add(self.shared.cost(id))
        });
        let through_frame = cost > MANY;
        let from = match source.passing {
            Passing::Flat(flat) => self.source_lanes(flat, values, through_frame),
            Passing::Memory => self.source_memory(source, values),
        };
        let to = match target.passing {
            Passing::Flat(flat) => self.target_lanes(flat, through_frame),
            Passing::Memory => self.target_memory(target, at),
        };
        let parts = source.parts.iter().zip(&*target.parts);
        for (param, (&(from_at, one), &(to_at, other))) in (0..).zip(parts) {
            self.param = param;
            self.pair(
                Pair::new(one, other),
                from.part(from_at),
                to.place.part(to_at),
            );
        }
        match target.passing {
            Passing::Flat(flat) => self.target_values(flat, to.place),
            Passing::Memory => to.pointer.into_iter().collect(),
        }
    }

    fn source_lanes(&mut self, flat: FlatTypes, values: &[Value], frame: bool) -> Place {
        let values = values.get(..flat.len()).unwrap_or(values);
        if !frame {
            self.lanes = values.to_vec();
            return Place::Lanes(0);
        }
        let base = self.frame_bytes(flat.len().max(1) as u32 * 8);
        for (lane, &value) in (0..).zip(values) {
            self.write_lane(Place::Frame(base, lane), value);
        }
        Place::Frame(base, 0)
    }

    fn source_memory(&mut self, passed: &Passed, values: &[Value]) -> Place {
        let Some(&pointer) = values.first() else {
            self.impossible("values in memory without an address");
            return Place::Lanes(0);
        };
        let pointer = self.widen(pointer);
        self.guard_values(self.from, passed, pointer);
        Place::Memory(self.address(self.from, pointer), 0)
    }

    fn guard_values(&mut self, side: AdapterSide, passed: &Passed, pointer: Value) {
        let bytes = self.b.ins().iconst(types::I64, i64::from(passed.size));
        self.guard_aligned(pointer, passed.align, Guard::Unaligned);
        self.guard_range(side, pointer, bytes, Guard::ValuesOutOfBounds);
    }

    fn target_lanes(&mut self, flat: FlatTypes, frame: bool) -> Target {
        if !frame {
            self.targets = flat
                .core()
                .map(|ty| {
                    let variable = self.b.declare_var(clif(ty));
                    // What no part of the value reaches is zero.
                    let zero = zero(&mut self.b, clif(ty));
                    self.b.def_var(variable, zero);
                    variable
                })
                .collect();
            return Target::at(Place::Lanes(0));
        }
        let base = self.frame_bytes(flat.len().max(1) as u32 * 8);
        let zero = self.b.ins().iconst(types::I64, 0);
        for lane in 0..flat.len() as u32 {
            self.write_lane(Place::Frame(base, lane), zero);
        }
        Target::at(Place::Frame(base, 0))
    }

    fn target_memory(&mut self, passed: &Passed, at: Option<Value>) -> Target {
        let side = self.to();
        let pointer = match at {
            Some(pointer) => {
                let pointer = self.widen(pointer);
                self.guard_values(side, passed, pointer);
                pointer
            }
            None => {
                let bytes = self.b.ins().iconst(types::I64, i64::from(passed.size));
                self.allocate(passed.align, bytes, Guard::ReallocValuesOutOfBounds)
            }
        };
        let place = Place::Memory(self.address(side, pointer), 0);
        let width = self.side(side).width;
        Target {
            place,
            pointer: Some(self.narrow(pointer, width)),
        }
    }

    fn target_values(&mut self, flat: FlatTypes, place: Place) -> Vec<Value> {
        match place {
            Place::Lanes(_) => {
                let targets = std::mem::take(&mut self.targets);
                targets.iter().map(|&lane| self.b.use_var(lane)).collect()
            }
            _ => (0..)
                .zip(flat.core())
                .map(|(lane, ty)| self.read_lane(place.part(lane), clif(ty)))
                .collect(),
        }
    }
}

/// Where values go.
struct Target {
    place: Place,
    /// Its address as a core value, where it is in memory.
    pointer: Option<Value>,
}

impl Target {
    fn at(place: Place) -> Target {
        Target {
            place,
            pointer: None,
        }
    }
}
