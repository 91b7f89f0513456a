//! What one call lends, to be given back when it ends.
//!
//! ```text
//!  lift borrow   (guest lends)   handle.lends += 1      leave: lends -= 1
//!  lower borrow  (guest gets)    new handle, scope += 1  leave: scope must be 0 again
//!  host lends a ResourceAny      host handle.lends += 1  leave: lends -= 1
//!  host gets a borrowed one      new host handle         leave: removed
//! ```
//!
//! Not here: the tables that handles stand in (`handles`).

use crate::component::handles::HostHandle;
use helve_model::resource::{Loans, ScopeId};
use smallvec::SmallVec;

/// The loans of one call.
#[derive(Debug, Default)]
pub(crate) struct CallScope {
    /// Whom borrowed handles of the callee count for; made when the first one is.
    pub task: Option<ScopeId>,
    /// Handles of the calling guest that are lent.
    pub loans: Loans,
    /// What the host is part of: in most calls nothing, which is then one word to set and
    /// to look at.
    pub host: Option<HostLoans>,
}

/// What one call lends of the host's handles, or to the host.
#[derive(Debug, Default)]
pub(crate) struct HostLoans {
    /// Handles of the host that are lent.
    pub lends: SmallVec<[HostHandle; 2]>,
    /// Handles of the host that end with the call.
    pub borrows: SmallVec<[HostHandle; 2]>,
}

impl CallScope {
    /// A handle of the host is lent.
    pub fn lend(&mut self, handle: HostHandle) {
        self.host.get_or_insert_default().lends.push(handle);
    }

    /// A handle of the host ends with the call.
    pub fn borrow(&mut self, handle: HostHandle) {
        self.host.get_or_insert_default().borrows.push(handle);
    }

    /// Whether nothing is lent: leaving is free.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.task.is_none() && self.loans.is_empty() && self.host.is_none()
    }
}

/// The loans of a call that goes on for a while: where there are none, as with most,
/// it takes no room.
#[derive(Debug, Default)]
pub(crate) struct KeptScope(Option<Box<CallScope>>);

impl KeptScope {
    /// Keeps what there is.
    pub fn new(scope: CallScope) -> KeptScope {
        KeptScope((!scope.is_empty()).then(|| Box::new(scope)))
    }

    /// All that was kept: none is any more.
    pub fn take(&mut self) -> CallScope {
        self.0
            .take()
            .map_or_else(CallScope::default, |scope| *scope)
    }
}
