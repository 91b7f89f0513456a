//! How host functions of ours end early: with an error that the guest is told, with a trap,
//! or with the guest's wish to exit.

use helve::component::ResourceTableError;
use helve::{Error, Result};
use std::fmt;

/// The guest called `exit`. Found by `error.downcast_ref::<I32Exit>()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct I32Exit(
    /// The exit code; 0 is success.
    pub i32,
);

impl fmt::Display for I32Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exited with code {}", self.0)
    }
}

impl std::error::Error for I32Exit {}

/// What host functions of WASI fail with whose WIT has an error of its own: the macro's
/// `trappable_error_type`. Both kinds come by `?`.
///
/// ```
/// use helve::component::{Resource, ResourceTable};
/// use helve_wasi::Fault;
/// use helve_wasi::host::fs::{Descriptor, ErrorCode, Stat};
///
/// fn stat(table: &ResourceTable, of: &Resource<Descriptor>) -> Result<Stat, Fault<ErrorCode>> {
///     // No such resource: a trap. No such file: the guest's to know.
///     Ok(table.get(of)?.stat()?)
/// }
/// assert!(matches!(stat(&ResourceTable::new(), &Resource::new_own(0)), Err(Fault::Trap(_))));
/// ```
#[derive(Debug)]
pub enum Fault<E> {
    /// The guest is told this.
    Told(E),
    /// The guest traps with this.
    Trap(Error),
}

/// An error of a host's that WIT has a name for: what makes a [`Fault`] by `?`.
pub trait Tellable: Send + 'static {}

impl Tellable for crate::host::fs::ErrorCode {}
impl Tellable for crate::host::net::NetError {}
impl Tellable for crate::host::stream::StreamError {}

impl<E: Tellable> Fault<E> {
    /// What the guest is told, as `C`.
    ///
    /// # Errors
    ///
    /// What it traps with.
    pub fn told<C: From<E>>(self) -> Result<C> {
        match self {
            Fault::Told(error) => Ok(error.into()),
            Fault::Trap(error) => Err(error),
        }
    }
}

impl<E: Tellable> From<E> for Fault<E> {
    fn from(error: E) -> Fault<E> {
        Fault::Told(error)
    }
}

impl<E: Tellable> From<Error> for Fault<E> {
    fn from(error: Error) -> Fault<E> {
        Fault::Trap(error)
    }
}

impl<E: Tellable> From<ResourceTableError> for Fault<E> {
    fn from(error: ResourceTableError) -> Fault<E> {
        Fault::Trap(error.into())
    }
}
