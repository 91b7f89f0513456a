//! Where an exception goes on: what the compiler leaves about calls inside a `try_table`
//! and the VM looks up when one is thrown.
//!
//! ```text
//!   frame of the catching function      | caller's frame |
//!                             fp -----> | saved fp       |
//!                                       | spilled values |
//!                        fp - frame --> |                | <- sp when `landing` runs
//! ```
//!
//! Not here: which tags match: the code at `landing` compares them itself.

/// One call that an exception may come out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handler {
    /// Offset of the address that the call returns to.
    pub returns: u32,
    /// Offset of the code that takes the exception.
    pub landing: u32,
    /// Bytes from the frame pointer down to the stack pointer.
    pub frame: u32,
}

impl Handler {
    /// The same in code that starts `by` bytes later.
    pub fn moved(self, by: u32) -> Handler {
        Handler {
            returns: self.returns.saturating_add(by),
            landing: self.landing.saturating_add(by),
            frame: self.frame,
        }
    }
}

/// The handler of the call that returns to `offset`, among `handlers` sorted by that.
pub fn find(handlers: &[Handler], offset: u32) -> Option<Handler> {
    let i = handlers.binary_search_by_key(&offset, |handler| handler.returns);
    handlers.get(i.ok()?).copied()
}
