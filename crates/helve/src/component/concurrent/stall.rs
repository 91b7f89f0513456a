//! Why nothing goes on: who waits for whom.

use crate::component::store::StoreShared;
use helve_base::error::GuestTrap;
use helve_base::{Error, Trap};

/// Nothing of the store can go on, and someone waits.
pub(crate) fn error(_: &StoreShared) -> Error {
    Error::new(GuestTrap::new(
        Trap::Deadlock,
        "deadlock detected: event loop cannot make further progress",
    ))
}
