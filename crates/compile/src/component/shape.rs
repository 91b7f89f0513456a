//! What decides an adapter's code.
//!
//! Two pairs of lower and lift that agree in all of this share one adapter.

use helve_abi::flat::{Side, SignatureOptions};
use helve_abi::layout::PointerWidth;
use helve_abi::options::StringEncoding;
use helve_abi::types::{FuncTypeId, InterfaceType, Types};
use helve_base::adapter::AdapterSide;
use std::collections::HashSet;

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
            is_async: false,
            callback: false,
        }
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

    /// Whether functions of this type can have adapters: those that can neither block nor
    /// carry what only the host can move.
    pub fn supports(types: &Types, ty: FuncTypeId) -> bool {
        let func = &types[ty];
        let parts = func.params.iter().map(|(_, ty)| *ty).chain(func.result);
        let mut seen = HashSet::new();
        !func.is_async && parts.into_iter().all(|ty| movable(types, ty, &mut seen))
    }
}

fn movable(types: &Types, ty: InterfaceType, seen: &mut HashSet<InterfaceType>) -> bool {
    if !types.contains_handle(ty) || !seen.insert(ty) {
        return true;
    }
    match ty {
        InterfaceType::Stream(_) | InterfaceType::Future(_) | InterfaceType::ErrorContext => false,
        ty => {
            let mut all = true;
            types.each_part(ty, &mut |part| all &= movable(types, part, seen));
            all
        }
    }
}
