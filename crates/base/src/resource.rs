//! What the generated built-ins of resources (`resource.new`, `.rep`, `.drop`) read.
//!
//! One code serves every resource type of every instance; the context says which. It
//! handles the common case and tail-calls `slow`, the host function that knows them all,
//! for everything else: so errors have one source.
//!
//! Not here: the layout of tables (`helve_model::layout`), which the code goes by; the
//! code (`helve_compile::component`).

use crate::vmctx::{VMFunctionImport, VMStoreContext};

/// The context of one built-in of one component instance for one resource type.
#[derive(Debug)]
#[repr(C)]
pub struct VMResourceContext {
    /// The store it belongs to.
    pub store: *mut VMStoreContext,
    /// The instance's hot block.
    pub hot: *mut u8,
    /// Whether the instance may call out: a byte.
    pub may_leave: *mut u8,
    /// The same built-in as a host function.
    pub slow: VMFunctionImport,
    /// The destructor, for [`OnDrop::Call`].
    pub dtor: VMFunctionImport,
    /// The tag of a slot that owns such a resource.
    pub tag: u32,
    /// What dropping an owned resource takes: an [`OnDrop`].
    pub on_drop: u32,
}

/// What dropping an owned resource takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum OnDrop {
    /// More than generated code knows.
    Slow = 0,
    /// Nothing: there is no destructor.
    Nothing = 1,
    /// A call of the destructor, with no flags to be checked.
    Call = 2,
}

/// Offsets of the fields, for the compiler.
pub mod offset {
    use super::VMResourceContext;
    use std::mem::offset_of;

    /// `VMResourceContext.hot`.
    pub const HOT: u32 = offset_of!(VMResourceContext, hot) as u32;
    /// `VMResourceContext.may_leave`.
    pub const MAY_LEAVE: u32 = offset_of!(VMResourceContext, may_leave) as u32;
    /// `VMResourceContext.slow`.
    pub const SLOW: u32 = offset_of!(VMResourceContext, slow) as u32;
    /// `VMResourceContext.dtor`.
    pub const DTOR: u32 = offset_of!(VMResourceContext, dtor) as u32;
    /// `VMResourceContext.tag`.
    pub const TAG: u32 = offset_of!(VMResourceContext, tag) as u32;
    /// `VMResourceContext.on_drop`.
    pub const ON_DROP: u32 = offset_of!(VMResourceContext, on_drop) as u32;

    const _: () = assert!(offset_of!(VMResourceContext, store) == 0);
}
