//! Typed indices of core WebAssembly's index spaces.
//!
//! Why: a bare `u32` can be handed to the wrong table. Each id is a
//! [`cranelift_entity`] key, so `PrimaryMap<FuncIndex, _>` can only be indexed by
//! the ids it gave out. Component-level ids live with their owners (`helve-abi`,
//! `helve-decode`).

use cranelift_entity::entity_impl;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u32);
        entity_impl!($name, $prefix);
    )*};
}

ids! {
    /// A function of a module: imports first, then the functions it defines.
    FuncIndex = "func";
    /// A function the module defines; 0 is the first one that is not imported.
    DefinedFuncIndex = "defined_func";
    /// A type of a module's type section.
    TypeIndex = "type";
    /// A table of a module, imports first.
    TableIndex = "table";
    /// A table the module defines.
    DefinedTableIndex = "defined_table";
    /// A memory of a module, imports first.
    MemoryIndex = "memory";
    /// A memory the module defines.
    DefinedMemoryIndex = "defined_memory";
    /// A global of a module, imports first.
    GlobalIndex = "global";
    /// A global the module defines.
    DefinedGlobalIndex = "defined_global";
    /// A tag of a module, imports first.
    TagIndex = "tag";
    /// A tag the module defines.
    DefinedTagIndex = "defined_tag";
    /// A data segment.
    DataIndex = "data";
    /// An element segment.
    ElemIndex = "elem";
    /// The place of a function's `VMFuncRef` in its instance's context; only
    /// functions whose reference can be taken have one.
    FuncRefIndex = "func_ref";
    /// A function type, the same number in every module of one engine.
    SharedTypeId = "shared_type";
}
