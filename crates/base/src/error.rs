//! One error type for the embedder, three kinds that are never mixed.
//!
//! ```text
//!                    +-- guest trap      (a `Trap`, a message, a wasm backtrace)
//! helve::Error ------+-- host misuse     (any other error: wrong types, bad files, i/o)
//!                    +-- a bug of ours   (a `Bug`, which asks for a report)
//! ```
//!
//! Inside the floors small enums per concept are used; at the edge they become
//! [`Error`], which keeps them as sources to downcast to.

use crate::trap::Trap;
use std::fmt;

/// `Result` with Helve's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Anything that went wrong, with the places it went through.
///
/// Any `std::error::Error` becomes one with `?`; [`Error::downcast_ref`] finds it
/// again. Like `anyhow::Error` it does not itself implement `std::error::Error`.
pub struct Error(anyhow::Error);

/// Which of the three kinds an [`Error`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The guest trapped.
    Trap,
    /// The host, or a file it gave us, did something wrong.
    Host,
    /// Helve did something wrong.
    Bug,
}

impl Error {
    /// An error with this message.
    pub fn msg(message: impl fmt::Display + fmt::Debug + Send + Sync + 'static) -> Error {
        Error(anyhow::Error::msg(message))
    }

    /// An error with this source, to be found by [`Error::downcast_ref`].
    pub fn new(source: impl std::error::Error + Send + Sync + 'static) -> Error {
        Error(anyhow::Error::new(source))
    }

    /// The same error, with where or in what it happened.
    pub fn context(self, context: impl fmt::Display + Send + Sync + 'static) -> Error {
        Error(self.0.context(context))
    }

    /// Which of the three kinds this is.
    pub fn kind(&self) -> ErrorKind {
        if self.0.is::<Bug>() {
            ErrorKind::Bug
        } else if self.trap().is_some() {
            ErrorKind::Trap
        } else {
            ErrorKind::Host
        }
    }

    /// The trap, where the guest trapped.
    pub fn trap(&self) -> Option<Trap> {
        if let Some(guest) = self.0.downcast_ref::<GuestTrap>() {
            return Some(guest.trap);
        }
        self.0.downcast_ref::<Trap>().copied()
    }

    /// The source of type `E`, wherever in the chain it stands.
    pub fn downcast_ref<E: fmt::Display + fmt::Debug + Send + Sync + 'static>(&self) -> Option<&E> {
        self.0.downcast_ref::<E>()
    }

    /// The source of type `E` by value, or the error unchanged.
    pub fn downcast<E: fmt::Display + fmt::Debug + Send + Sync + 'static>(
        self,
    ) -> Result<E, Error> {
        self.0.downcast::<E>().map_err(Error)
    }

    /// Whether a source of type `E` is in the chain.
    pub fn is<E: fmt::Display + fmt::Debug + Send + Sync + 'static>(&self) -> bool {
        self.0.is::<E>()
    }

    /// The messages from the outermost to the root cause.
    pub fn chain(&self) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
        self.0.chain()
    }

    /// The innermost source.
    pub fn root_cause(&self) -> &(dyn std::error::Error + 'static) {
        self.0.root_cause()
    }

    /// As an `anyhow::Error`, for hosts that use it; `?` does the same.
    pub fn into_anyhow(self) -> anyhow::Error {
        self.0
    }

    /// Of an `anyhow::Error`, with all that it has.
    pub fn from_anyhow(error: anyhow::Error) -> Error {
        Error(error)
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Error {
    fn from(source: E) -> Error {
        Error::new(source)
    }
}

impl From<Error> for anyhow::Error {
    fn from(error: Error) -> anyhow::Error {
        error.0
    }
}

/// So that it can be the source of an error of the host's own.
/// For functions that return a `Box<dyn Error>`, with its causes.
impl From<Error> for Box<dyn std::error::Error + Send + Sync> {
    fn from(error: Error) -> Self {
        error.0.into()
    }
}

impl From<Error> for Box<dyn std::error::Error + Send> {
    fn from(error: Error) -> Self {
        Box::<dyn std::error::Error + Send + Sync>::from(error)
    }
}

impl From<Error> for Box<dyn std::error::Error> {
    fn from(error: Error) -> Self {
        Box::<dyn std::error::Error + Send + Sync>::from(error)
    }
}

impl std::ops::Deref for Error {
    type Target = dyn std::error::Error + Send + Sync + 'static;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl AsRef<dyn std::error::Error + Send + Sync> for Error {
    fn as_ref(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        &*self.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Adds where something happened to a failed `Result`.
pub trait Context<T> {
    /// Adds `context`.
    fn context(self, context: impl fmt::Display + Send + Sync + 'static) -> Result<T>;
    /// Adds what `context` returns; it only runs on failure.
    fn with_context<C: fmt::Display + Send + Sync + 'static>(
        self,
        context: impl FnOnce() -> C,
    ) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, context: impl fmt::Display + Send + Sync + 'static) -> Result<T> {
        self.map_err(|e| e.into().context(context))
    }

    fn with_context<C: fmt::Display + Send + Sync + 'static>(
        self,
        context: impl FnOnce() -> C,
    ) -> Result<T> {
        self.map_err(|e| e.into().context(context()))
    }
}

/// Of what is not there: the context is the error.
impl<T> Context<T> for Option<T> {
    fn context(self, context: impl fmt::Display + Send + Sync + 'static) -> Result<T> {
        self.with_context(|| context)
    }

    fn with_context<C: fmt::Display + Send + Sync + 'static>(
        self,
        context: impl FnOnce() -> C,
    ) -> Result<T> {
        self.ok_or_else(|| Error::msg(context().to_string()))
    }
}

/// A trap with more to say than its code's text.
#[derive(Clone, Debug)]
pub struct GuestTrap {
    /// Which trap.
    pub trap: Trap,
    /// The whole message but for the "wasm trap: " that it is shown with; the official
    /// scripts compare both by substring.
    pub message: String,
}

impl GuestTrap {
    /// A trap with this message.
    pub fn new(trap: Trap, message: impl Into<String>) -> GuestTrap {
        GuestTrap {
            trap,
            message: message.into(),
        }
    }
}

impl fmt::Display for GuestTrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wasm trap: {}", self.message)
    }
}

impl std::error::Error for GuestTrap {}

/// Something that Helve's own code promised and did not keep.
#[derive(Clone, Debug)]
pub struct Bug(pub String);

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bug in Helve, please report it: {}", self.0)
    }
}

impl std::error::Error for Bug {}

/// An [`Error`] with a message as `format!` makes it, or of an error that there is.
///
/// ```
/// use helve_base::{Error, format_err};
/// let number = 7;
/// let error: Error = format_err!("{number} is too many");
/// assert_eq!(error.to_string(), "7 is too many");
/// assert!(format_err!(std::fmt::Error).is::<std::fmt::Error>());
/// ```
#[macro_export]
macro_rules! format_err {
    ($($arg:tt)*) => { $crate::Error::from_anyhow($crate::__anyhow::anyhow!($($arg)*)) };
}

/// Returns early with an [`Error`] made as by [`format_err!`](crate::format_err).
#[macro_export]
macro_rules! bail {
    ($($arg:tt)*) => { return Err($crate::format_err!($($arg)*).into()) };
}

/// Returns early with an [`Error`] made as by [`format_err!`](crate::format_err) unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($cond:expr, $($arg:tt)*) => { if !$cond { $crate::bail!($($arg)*) } };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_hold_messages_and_causes() {
        type Sent = Box<dyn std::error::Error + Send + Sync>;
        fn plain() -> Result<(), Box<dyn std::error::Error>> {
            Err(Error::new(fmt::Error).context("outside"))?
        }
        fn sent() -> Result<(), Sent> {
            Err(Error::new(fmt::Error).context("outside"))?
        }
        let boxes = [plain().unwrap_err(), sent().unwrap_err()];
        for error in boxes {
            assert_eq!(error.to_string(), "outside");
            let cause = error.source().map(ToString::to_string);
            assert_eq!(cause, Some(fmt::Error.to_string()));
        }
    }
}
