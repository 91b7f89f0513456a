//! What decides an adapter's code.
//!
//! Two pairs of lower and lift that agree in all of this share one adapter.

use helve_abi::flat::{Passing, Side, SignatureOptions};
use helve_abi::layout::PointerWidth;
use helve_abi::options::StringEncoding;
use helve_abi::types::{FuncTypeId, InterfaceType, Types};
use helve_base::adapter::AdapterSide;
use helve_base::core_type::FuncType;

/// One side of an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SideShape {
    /// The width of its memory's addresses.
    pub width: PointerWidth,
    /// How its strings are encoded.
    pub encoding: StringEncoding,
    /// Whether its instance has built-ins that see context slots: then its `realloc` gets
    /// fresh ones.
    pub context: bool,
}

/// What a call does with the context slots of the instance that it enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContextSlots {
    /// The instance has no built-in that could see them.
    Unused,
    /// They become zero; nothing else of the instance is running that could miss them.
    Zeroed,
    /// They become zero and are what they were when the call is over.
    Saved,
}

/// How the callee was lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LiftAbi {
    /// Without `async`: it returns its result.
    Sync,
    /// With `async`: it calls `task.return`.
    Stackful,
    /// With `async` and `callback`.
    Callback,
}

/// What an adapter does about its call's being a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tasks {
    /// Nothing: nobody can see that it is one.
    Unseen,
    /// It notes the call on its stack, where the callee runs too.
    Noted,
    /// The same, but the callee runs on a stack of its own: it could block there.
    Forked,
    /// There is no adapter, only code that moves values.
    Moved,
}

/// A function of a shape's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Piece {
    /// The adapter.
    Adapter,
    /// `VMAdapterContext::move_result`.
    MoveResult,
    /// `VMAdapterContext::move_params`.
    MoveParams,
}

/// What decides an adapter's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AdapterShape {
    /// The function's type.
    pub ty: FuncTypeId,
    /// The caller's side.
    pub caller: SideShape,
    /// The callee's side.
    pub callee: SideShape,
    /// How many `may_enter` flags the context has.
    pub entering: u32,
    /// Whether there is a post-return function.
    pub post_return: bool,
    /// What happens to the callee's context slots.
    pub slots: ContextSlots,
    /// Bit n: parameter n is a borrow of a resource type that the callee defines, so that
    /// it gets the representation and no handle of its own.
    pub defines: u32,
    /// Whether the caller lowered the function with `async`.
    pub caller_async: bool,
    /// How the callee was lifted.
    pub abi: LiftAbi,
    /// What is done about the call's being a task.
    pub tasks: Tasks,
    /// Whether the callee's instance can hold the call back.
    pub gate: bool,
}

impl AdapterShape {
    /// One of its sides.
    pub fn side(&self, side: AdapterSide) -> SideShape {
        match side {
            AdapterSide::Caller => self.caller,
            AdapterSide::Callee => self.callee,
        }
    }

    /// The core signature's options of one of its sides.
    pub(super) fn signature(&self, side: AdapterSide) -> SignatureOptions {
        SignatureOptions {
            side: match side {
                AdapterSide::Caller => Side::Lower,
                AdapterSide::Callee => Side::Lift,
            },
            width: self.side(side).width,
            is_async: match side {
                AdapterSide::Caller => self.caller_async,
                AdapterSide::Callee => self.abi != LiftAbi::Sync,
            },
            callback: side == AdapterSide::Callee && self.abi == LiftAbi::Callback,
        }
    }

    /// The functions of its code, in order.
    pub fn pieces(&self) -> &'static [Piece] {
        match self.tasks {
            Tasks::Unseen => &[Piece::Adapter],
            Tasks::Noted | Tasks::Forked => &[Piece::Adapter, Piece::MoveResult, Piece::MoveParams],
            Tasks::Moved => &[Piece::MoveResult, Piece::MoveParams],
        }
    }

    /// The core type of `move_result`.
    pub fn result_type(&self, types: &Types) -> FuncType {
        let callee = types.core_signature(self.ty, self.signature(AdapterSide::Callee));
        let given = match self.abi {
            LiftAbi::Sync => callee.results,
            _ => {
                types
                    .task_return_params(types[self.ty].result, self.callee.width)
                    .0
            }
        };
        FuncType::new(given.core(), [])
    }

    /// The core type of `move_params`.
    pub fn params_type(&self, types: &Types) -> FuncType {
        let [caller, callee] = [AdapterSide::Caller, AdapterSide::Callee]
            .map(|side| types.core_signature(self.ty, self.signature(side)));
        FuncType::new(caller.params.core(), callee.params.core())
    }

    /// Whether the caller gets the result through its memory.
    pub fn result_in_memory(&self, types: &Types) -> bool {
        let caller = types.core_signature(self.ty, self.signature(AdapterSide::Caller));
        matches!(caller.result_passing, Passing::Memory)
    }

    /// Whether the function borrows anything from its caller.
    pub(super) fn lends(&self, types: &Types) -> bool {
        let mut params = types[self.ty].params.iter();
        params.any(|(_, ty)| types.contains_borrow(*ty))
    }

    /// Whether all that the function lends are parameters of their own: then the adapter
    /// itself keeps account of the loans.
    pub(super) fn lends_directly(&self, types: &Types) -> bool {
        let params = &types[self.ty].params;
        let direct = |ty: InterfaceType| {
            matches!(ty, InterfaceType::Borrow(_)) || !types.contains_borrow(ty)
        };
        params.len() <= 32 && params.iter().all(|(_, ty)| direct(*ty))
    }
}
