//! The embedder's say in whether a guest may have more.
//!
//! Called for each growth, and by the embedder itself for what an instantiation makes.
//! Not here: fixed limits (`helve_base::limits`), checked where the thing is made.

/// Decides whether memories and tables may grow.
///
/// A panic in one of these is caught: the growth fails, and the panic resumes where the
/// host entered compiled code.
pub trait Limiter {
    /// Whether a memory of `current` bytes may have `desired`; `maximum` is its type's.
    fn memory_growing(&mut self, current: u64, desired: u64, maximum: Option<u64>) -> bool;

    /// Whether a table of `current` elements may have `desired`; `maximum` is its type's.
    fn table_growing(&mut self, current: u64, desired: u64, maximum: Option<u64>) -> bool;
}
