//! Which lift meets which lower.
//!
//! Every `canon lower` of the plan ends at an import of the root (what meets it, only
//! the linker knows) or at a `canon lift` of some component instance; in the second
//! case both sides' options and the function's type are known when code is generated,
//! and so is how the two instances are related, which decides which checks a call
//! between them needs.
//!
//! Not here: the adapter's code (`helve-compile`).

use crate::plan::*;

/// What a lowered function meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Meeting {
    /// An import of the root.
    Host(ImportedFuncId),
    /// A function of a component instance of this plan.
    Lift {
        /// The function.
        lifted: LiftedId,
        /// What its instance is to the caller's.
        relation: Relation,
    },
}

/// What the callee's component instance is to the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Relation {
    /// The same instance.
    Same,
    /// One that the caller's instantiated, directly or not.
    Descendant,
    /// One that instantiated the caller's, directly or not.
    Ancestor,
    /// None of these: a sibling, or further away.
    Apart,
}

impl Plan {
    /// What a lowered function meets.
    pub fn meeting(&self, lowered: LoweredId) -> Meeting {
        let lowered = &self.lowered[lowered];
        match lowered.callee {
            FuncRef::Imported(func) => Meeting::Host(func),
            FuncRef::Lifted(lifted) => Meeting::Lift {
                lifted,
                relation: self.relation(lowered.owner, self.lifted[lifted].owner),
            },
        }
    }

    /// What `callee` is to `caller`.
    pub fn relation(&self, caller: ComponentInstanceId, callee: ComponentInstanceId) -> Relation {
        if caller == callee {
            Relation::Same
        } else if self.ancestors(callee).any(|id| id == caller) {
            Relation::Descendant
        } else if self.ancestors(caller).any(|id| id == callee) {
            Relation::Ancestor
        } else {
            Relation::Apart
        }
    }

    /// The instances around `id`, innermost first, without itself.
    pub fn ancestors(
        &self,
        id: ComponentInstanceId,
    ) -> impl Iterator<Item = ComponentInstanceId> + '_ {
        let parent = move |id: ComponentInstanceId| self.component_instances[id].parent;
        std::iter::successors(parent(id), move |id| parent(*id))
    }
}
