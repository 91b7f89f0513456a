//! All adapters of a component as one image, and the parts that they share.
//!
//! ```text
//!  image:  pieces of shape 0 | of shape 1 | ... | subprogram 0 | subprogram 1 | ...
//!  subprogram = one type, both sides' forms and options, one direction
//! ```
//!
//! A pair of programs that is big becomes a subprogram, once, however many adapters and
//! other subprograms use it: the code is linear in the size of the types' graph. They
//! call each other through the context's array, so the code needs no relocations; calls
//! nest at most as deep as types do, and each checks the stack.
//!
//! Not here: what is in an adapter (`adapter`).

use super::adapter::adapter;
use super::emit::Emit;
use super::place::Place;
use super::shape::{AdapterShape, Piece, SideShape};
use super::task::{move_params, move_result};
use crate::artifact::{CompiledFunction, CompiledModule};
use crate::compiler::Compiler;
use crate::func::check_stack_at_entry;
use crate::types::POINTER;
use cranelift_codegen::ir::{AbiParam, ArgumentPurpose, Function, InstBuilder, Signature};
use cranelift_codegen::isa::{CallConv, TargetFrontendConfig};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use helve_abi::program::{Form, Op, ProgramId, Programs};
use helve_abi::types::Types;
use helve_base::adapter::AdapterSide;
use helve_base::id::DefinedFuncIndex;
use helve_base::{EntityRef, Error, Result};
use std::collections::HashMap;

/// Operations up to which a program is always written out in place.
pub(super) const SMALL: u32 = 48;

/// One type's programs on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pair {
    /// The source's.
    pub(super) from: ProgramId,
    /// The destination's.
    pub(super) to: ProgramId,
}

impl Pair {
    pub(super) fn new(from: ProgramId, to: ProgramId) -> Pair {
        Pair { from, to }
    }
}

/// What decides a subprogram's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    programs: Pair,
    from: AdapterSide,
    sides: [SideShape; 2],
}

/// What the functions of one image have in common.
pub(super) struct Shared {
    /// The programs of the component's types.
    pub(super) programs: Programs,
    costs: HashMap<ProgramId, u32>,
    subprograms: HashMap<Key, u32>,
    /// In order of their numbers; those from `built` on are still to be built.
    queue: Vec<(Key, AdapterShape)>,
}

impl Shared {
    fn new() -> Shared {
        Shared {
            programs: Programs::new(),
            costs: HashMap::new(),
            subprograms: HashMap::new(),
            queue: Vec::new(),
        }
    }

    /// The number of the function for a pair of programs.
    pub(super) fn subprogram(
        &mut self,
        shape: AdapterShape,
        from: AdapterSide,
        programs: Pair,
    ) -> u32 {
        let sides = [shape.caller, shape.callee];
        let key = Key {
            programs,
            from,
            sides,
        };
        *self.subprograms.entry(key).or_insert_with(|| {
            self.queue.push((key, shape));
            self.queue.len() as u32 - 1
        })
    }

    /// About how many operations writing a program out takes, its subprograms not counted.
    pub(super) fn cost(&mut self, id: ProgramId) -> u32 {
        if let Some(&cost) = self.costs.get(&id) {
            return cost;
        }
        let ops = self.programs[id].ops.clone();
        let flat = matches!(self.programs[id].form, Form::Flat(_));
        let mut total = 0u32;
        for op in &ops {
            let parts: Vec<ProgramId> = match *op {
                Op::List { element, .. } | Op::Map { entry: element, .. } => vec![element],
                Op::FixedList { element, .. } => vec![element],
                Op::Variant { cases, .. } => {
                    let mut cases: Vec<_> = self.programs.cases(cases).iter().flatten().collect();
                    cases.sort_unstable();
                    cases.dedup();
                    cases.into_iter().copied().collect()
                }
                Op::Call { program, .. } => vec![program],
                _ => Vec::new(),
            };
            // In memory, a big part is a call; and so is everything behind a pointer.
            let behind = matches!(op, Op::List { .. } | Op::Map { .. });
            let times = match *op {
                Op::FixedList { length, .. } if flat => length,
                _ => 1,
            };
            let own = match op {
                Op::String { .. } | Op::List { .. } | Op::Map { .. } => 8,
                Op::Variant { cases, .. } => 3 + cases.len() / 4,
                _ => 1,
            };
            total = total.saturating_add(own);
            for part in parts {
                let cost = self.cost(part);
                let called = (behind || !flat) && cost > SMALL;
                let cost = if called { 4 } else { cost };
                total = total.saturating_add(cost.saturating_mul(times));
            }
        }
        self.costs.insert(id, total);
        total
    }
}

/// (context, source's address, destination's address, scope of loans).
pub(super) fn subprogram_signature() -> Signature {
    let mut signature = Signature::new(CallConv::Tail);
    signature
        .params
        .push(AbiParam::special(POINTER, ArgumentPurpose::VMContext));
    signature.params.extend([AbiParam::new(POINTER); 3]);
    signature
}

/// The code of adapters.
#[derive(Clone, Debug, Default)]
pub struct CompiledAdapters {
    /// The image. Its functions are the pieces of each shape in order, and behind them the
    /// subprograms, in the order of `VMAdapterContext::subprograms`.
    pub code: CompiledModule,
    /// How many of its functions are pieces of shapes.
    pub adapters: usize,
}

impl CompiledAdapters {
    /// Where each piece starts in the image.
    pub fn adapters(&self) -> impl Iterator<Item = u32> + '_ {
        self.starts().take(self.adapters)
    }

    /// Where each subprogram starts in the image.
    pub fn subprograms(&self) -> impl Iterator<Item = u32> + '_ {
        self.starts().skip(self.adapters)
    }

    fn starts(&self) -> impl Iterator<Item = u32> + '_ {
        self.code.functions.values().map(|range| range.start)
    }

    /// Whether the byte at `offset` belongs to an adapter rather than to a subprogram.
    pub fn is_adapter(&self, offset: u32) -> bool {
        let found = self.code.function_at(offset);
        found.is_some_and(|index: DefinedFuncIndex| index.index() < self.adapters)
    }
}

impl Compiler {
    /// Compiles the adapters of these shapes.
    ///
    /// # Errors
    ///
    /// Where a type is too large for Cranelift.
    pub fn compile_adapters(
        &self,
        types: &Types,
        shapes: &[AdapterShape],
    ) -> Result<CompiledAdapters> {
        let mut shared = Shared::new();
        let mut functions: Vec<CompiledFunction> = Vec::with_capacity(shapes.len());
        for shape in shapes {
            let name = || {
                format!(
                    "adapter of a function of type {}",
                    types.display_func(shape.ty)
                )
            };
            for piece in shape.pieces() {
                let build = match piece {
                    Piece::Adapter => adapter,
                    Piece::MoveResult => move_result,
                    Piece::MoveParams => move_params,
                };
                functions.push(self.compile(&name, |function, builder| {
                    build(*shape, types, &mut shared, function, builder, self.target())
                })?);
            }
        }
        let adapters = functions.len();
        let mut built = 0;
        while let Some(&(key, shape)) = shared.queue.get(built) {
            built += 1;
            let ty = shared.programs[key.programs.from].ty;
            let name = || format!("adapter's part for values of type {}", types.display(ty));
            functions.push(self.compile(&name, |function, builder| {
                subprogram(key, shape, &mut shared, function, builder, self.target())
            })?);
        }
        Ok(CompiledAdapters {
            code: CompiledModule::link(functions)?,
            adapters,
        })
    }
}

fn subprogram(
    key: Key,
    shape: AdapterShape,
    shared: &mut Shared,
    into: &mut Function,
    context: &mut FunctionBuilderContext,
    target: TargetFrontendConfig,
) -> Result<(), Error> {
    into.signature = subprogram_signature();
    check_stack_at_entry(into);
    let mut b = FunctionBuilder::new(into, context);
    let params = crate::trampoline::entry_block(&mut b);
    let &[context, from, to, scope] = &*params else {
        return Err(crate::func::bug("a subprogram without parameters".into()));
    };
    let forms = [key.programs.from, key.programs.to].map(|id| shared.programs[id].form);
    let place = |form, address| match form {
        Form::Memory(_) => Place::Memory(address, 0),
        Form::Flat(_) => Place::Frame(address, 0),
    };
    let mut emit = Emit::new(b, shared, shape, key.from, context, target);
    emit.scope = Some(scope);
    emit.steps(key.programs, place(forms[0], from), place(forms[1], to));
    emit.b.ins().return_(&[]);
    emit.finish()
}
