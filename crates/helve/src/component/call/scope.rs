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
    /// Handles of the host that are lent.
    pub host_lends: SmallVec<[HostHandle; 2]>,
    /// Handles of the host that end with the call.
    pub host_borrows: SmallVec<[HostHandle; 2]>,
}

impl CallScope {
    /// Whether nothing is lent: leaving is free.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.task.is_none()
            && self.loans.is_empty()
            && self.host_lends.is_empty()
            && self.host_borrows.is_empty()
    }
}
