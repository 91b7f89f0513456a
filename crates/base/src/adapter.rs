//! What generated adapters (calls between components) share with who instantiates them:
//! their context, the routines they call, and what they may find wrong with a guest.
//!
//! ```text
//!  VMAdapterContext (one per lowered function of an instance)
//!  +--------------------------+
//!  | store                    |  as in every context
//!  | builtins ----------------+--> [CodePtr; ComponentBuiltin::ALL]
//!  | subprograms -------------+--> [CodePtr], of the component's adapter code
//!  | callee, post_return      |  core functions: slot and context
//!  | sides[caller, callee]    |  memory, realloc, may_leave, context slots, hot block
//!  | entering ----------------+--> [*mut flag; as many as the adapter was made for]
//!  | tags --------------------+--> [u32; the component's resource types]
//!  | calls -------------------+--> u32
//!  | copied                   |  bytes, counted up
//!  +--------------------------+
//! ```
//!
//! **Records.** In a component with tasks an adapter notes its call on its own stack, in a
//! list whose head is in the store context. As long as nobody looks, that is all there is
//! of the callee's task: whoever has to know tasks makes the noted ones known first.
//!
//! ```text
//!  store.calls --> VMCallRecord (innermost call) --previous--> VMCallRecord ... null
//!                    thread: 0, or 1 more than the number of the model's thread: then
//!                    that, and all before it, are known
//! ```
//!
//! Flags are bytes, 1 or 0; they are the component layer's, which reads them too. An
//! adapter is called like any wasm function, through a slot, with this context.
//!
//! A routine that fails has recorded why (as a host function's failure is recorded) and
//! returns `u64::MAX`; the adapter then calls the built-in `Raise`. Before it calls one
//! that can fail it notes its caller's frame in the store context, as trampolines do.
//!
//! Not here: the code (`helve_compile::component`), the routines (helve's component
//! layer, because the VM knows no components).

use crate::builtin::{BuiltinSignature, BuiltinType};
use crate::vmctx::{CodePtr, VMFunctionImport, VMMemory, VMStoreContext};
use std::cell::Cell;

/// What an adapter's code reads: see the module.
#[derive(Debug)]
#[repr(C)]
pub struct VMAdapterContext {
    /// The store it belongs to.
    pub store: *mut VMStoreContext,
    /// The routines, in the order of [`ComponentBuiltin::ALL`].
    pub builtins: *const CodePtr,
    /// Code of the outlined parts that adapters of the component share.
    pub subprograms: *const CodePtr,
    /// The core function that was lifted.
    pub callee: VMFunctionImport,
    /// The callee's post-return function, where the adapter calls one.
    pub post_return: VMFunctionImport,
    /// The caller's side, then the callee's.
    pub sides: [VMAdapterSide; 2],
    /// The `may_enter` flags of the instances that the call enters.
    pub entering: *const *mut u8,
    /// The tag of a slot that owns such a resource, by the component's resource types.
    pub tags: *const u32,
    /// Counts the calls that lend without a scope of the store's.
    pub calls: *mut u32,
    /// The whole call as a host function of the caller's core type, for calls that can't
    /// start at once.
    pub slow: VMFunctionImport,
    /// Not 0 while a call must not start at once.
    pub gate: *const u32,
    /// Where the caller wants the result that `task.return` is about to give: an address in
    /// its memory, or of 8 bytes of the host's for a core value.
    pub to: Cell<u64>,
    /// The code that moves a result: core values of the callee's `task.return`, or of its
    /// results, to `to`.
    pub move_result: CodePtr,
    /// The code that moves parameters: core values of the caller to those of the callee.
    pub move_params: CodePtr,
    /// Bytes of strings, lists and spilled values that its calls have copied.
    pub copied: Cell<u64>,
    /// Which `task.return` gives this function's result; 0: it is none of generated code.
    pub task_return: u32,
}

/// A call that an adapter has noted on its stack.
#[derive(Debug)]
#[repr(C)]
pub struct VMCallRecord {
    /// The call around it.
    pub previous: *mut VMCallRecord,
    /// The adapter's context.
    pub context: *mut VMAdapterContext,
    /// 0 while nobody but the adapter knows of the call; else 1 more than its thread.
    pub thread: u32,
    /// 1 once `task.return` has given the result.
    pub returned: u32,
    /// As [`VMAdapterContext::to`].
    pub to: u64,
    /// Of a known call: the number of the thread that made it.
    pub caller: u32,
    /// What the context slots of the callee's instance were, where the adapter keeps that.
    pub kept: [u64; 2],
}

/// What [`ComponentBuiltin::Fork`] returns for a call whose function has returned.
pub const FORK_OVER: u64 = 3;

/// What the generated `task.return` of an instance reads.
#[derive(Debug)]
#[repr(C)]
pub struct VMTaskReturn {
    /// The store it belongs to.
    pub store: *mut VMStoreContext,
    /// Whether its instance may call out.
    pub may_leave: *const u8,
    /// The same built-in as a host function.
    pub slow: VMFunctionImport,
    /// See [`VMAdapterContext::task_return`].
    pub key: u32,
}

/// What the generated `context.get` and `context.set` of an instance read.
#[derive(Debug)]
#[repr(C)]
pub struct VMContextSlots {
    /// The store they belong to.
    pub store: *mut VMStoreContext,
    /// The two context slots.
    pub slots: *mut u64,
}

/// One side of a call; pointers that the adapter does not use are null.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct VMAdapterSide {
    /// The memory of its canonical options.
    pub memory: *mut VMMemory,
    /// The `realloc` of its canonical options.
    pub realloc: VMFunctionImport,
    /// Whether its instance may call out.
    pub may_leave: *mut u8,
    /// The two context slots of its instance.
    pub context: *mut u64,
    /// The hot block of its instance, which leads to its handles.
    pub hot: *mut u8,
}

/// Which side of a call: the index into [`VMAdapterContext::sides`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum AdapterSide {
    /// It lowers the function.
    Caller = 0,
    /// It lifts the function.
    Callee = 1,
}

impl AdapterSide {
    /// The one that is not this one.
    pub const fn other(self) -> AdapterSide {
        match self {
            AdapterSide::Caller => AdapterSide::Callee,
            AdapterSide::Callee => AdapterSide::Caller,
        }
    }
}

/// Offsets of the fields, for the compiler.
pub mod offset {
    use super::*;
    use std::mem::offset_of;

    /// `VMAdapterContext.store`.
    pub const STORE: u32 = offset_of!(VMAdapterContext, store) as u32;
    /// `VMAdapterContext.builtins`.
    pub const BUILTINS: u32 = offset_of!(VMAdapterContext, builtins) as u32;
    /// `VMAdapterContext.subprograms`.
    pub const SUBPROGRAMS: u32 = offset_of!(VMAdapterContext, subprograms) as u32;
    /// `VMAdapterContext.callee`.
    pub const CALLEE: u32 = offset_of!(VMAdapterContext, callee) as u32;
    /// `VMAdapterContext.post_return`.
    pub const POST_RETURN: u32 = offset_of!(VMAdapterContext, post_return) as u32;
    /// `VMAdapterContext.entering`.
    pub const ENTERING: u32 = offset_of!(VMAdapterContext, entering) as u32;
    /// `VMAdapterContext.calls`.
    pub const CALLS: u32 = offset_of!(VMAdapterContext, calls) as u32;
    /// `VMAdapterContext.tags`.
    pub const TAGS: u32 = offset_of!(VMAdapterContext, tags) as u32;
    /// `VMAdapterContext.slow`.
    pub const SLOW: u32 = offset_of!(VMAdapterContext, slow) as u32;
    /// `VMAdapterContext.gate`.
    pub const GATE: u32 = offset_of!(VMAdapterContext, gate) as u32;
    /// `VMAdapterContext.to`.
    pub const TO: u32 = offset_of!(VMAdapterContext, to) as u32;
    /// `VMAdapterContext.copied`.
    pub const COPIED: u32 = offset_of!(VMAdapterContext, copied) as u32;
    /// `VMAdapterContext.move_result`.
    pub const MOVE_RESULT: u32 = offset_of!(VMAdapterContext, move_result) as u32;
    /// `VMAdapterContext.task_return`.
    pub const TASK_RETURN: u32 = offset_of!(VMAdapterContext, task_return) as u32;
    /// `VMCallRecord.previous`.
    pub const RECORD_PREVIOUS: u32 = offset_of!(VMCallRecord, previous) as u32;
    /// `VMCallRecord.context`.
    pub const RECORD_CONTEXT: u32 = offset_of!(VMCallRecord, context) as u32;
    /// `VMCallRecord.thread`.
    pub const RECORD_THREAD: u32 = offset_of!(VMCallRecord, thread) as u32;
    /// `VMCallRecord.returned`.
    pub const RECORD_RETURNED: u32 = offset_of!(VMCallRecord, returned) as u32;
    /// `VMCallRecord.to`.
    pub const RECORD_TO: u32 = offset_of!(VMCallRecord, to) as u32;
    /// `VMCallRecord.kept`.
    pub const RECORD_KEPT: u32 = offset_of!(VMCallRecord, kept) as u32;
    /// Bytes of a `VMCallRecord`.
    pub const RECORD_SIZE: u32 = size_of::<VMCallRecord>() as u32;
    /// `VMTaskReturn.may_leave`.
    pub const RETURN_MAY_LEAVE: u32 = offset_of!(VMTaskReturn, may_leave) as u32;
    /// `VMTaskReturn.slow`.
    pub const RETURN_SLOW: u32 = offset_of!(VMTaskReturn, slow) as u32;
    /// `VMTaskReturn.key`.
    pub const RETURN_KEY: u32 = offset_of!(VMTaskReturn, key) as u32;
    /// `VMContextSlots.slots`.
    pub const CONTEXT_SLOTS: u32 = offset_of!(VMContextSlots, slots) as u32;
    /// `VMAdapterSide.memory`.
    pub const SIDE_MEMORY: u32 = offset_of!(VMAdapterSide, memory) as u32;
    /// `VMAdapterSide.realloc`.
    pub const SIDE_REALLOC: u32 = offset_of!(VMAdapterSide, realloc) as u32;
    /// `VMAdapterSide.may_leave`.
    pub const SIDE_MAY_LEAVE: u32 = offset_of!(VMAdapterSide, may_leave) as u32;
    /// `VMAdapterSide.context`.
    pub const SIDE_CONTEXT: u32 = offset_of!(VMAdapterSide, context) as u32;
    /// `VMAdapterSide.hot`.
    pub const SIDE_HOT: u32 = offset_of!(VMAdapterSide, hot) as u32;

    /// One side's part of the context.
    pub const fn side(side: AdapterSide) -> u32 {
        (offset_of!(VMAdapterContext, sides) + side as usize * size_of::<VMAdapterSide>()) as u32
    }

    const _: () = assert!(STORE == crate::vmctx::offset::VMCONTEXT_STORE);
    const _: () = assert!(offset_of!(VMTaskReturn, store) as u32 == STORE);
    const _: () = assert!(offset_of!(VMContextSlots, store) as u32 == STORE);
}

/// Calls `$each!` with every row: `name(params) -> result;`. The component layer uses it
/// to check that it has a routine for each.
#[macro_export]
macro_rules! for_each_component_builtin {
    ($each:ident) => {
        $each! {
            /// Records that a guest broke a rule: ([`Guard`], two numbers for the message).
            /// Always fails.
            Refuse = refuse(VMContext, I32, I64, I64) -> I64;
            /// Copies bytes between memories that do not overlap: (to, from, length).
            CopyBytes = copy_bytes(Pointer, Pointer, I64);
            /// Copies UTF-8 while checking it: (to, from, bytes) -> `u64::MAX`, or where it
            /// is wrong: twice the number of the byte, and 1 more where it only ends there.
            CopyUtf8 = copy_utf8(Pointer, Pointer, I64) -> I64;
            /// Copies UTF-16 while checking it: (to, from, bytes) -> `u64::MAX`, or the
            /// number of the code unit that is wrong.
            CopyUtf16 = copy_utf16(Pointer, Pointer, I64) -> I64;
            /// Moves a string whose encoding changes: (source side, pointer, tagged length,
            /// where to put the new pointer and the new tagged length). May run `realloc`.
            Transcode = transcode(VMContext, I32, I64, I64, Pointer) -> I64;
            /// Moves an owned resource: (source side, resource type, index) -> new index.
            TransferOwn = transfer_own(VMContext, I32, I32, I32) -> I64;
            /// Opens the scope of what a call lends: its number.
            BeginScope = begin_scope(VMContext) -> I64;
            /// Lends a resource to the callee: (scope, resource type, index) -> new index,
            /// or the representation where the callee defines the type.
            TransferBorrow = transfer_borrow(VMContext, I64, I32, I32) -> I64;
            /// Makes room for one more handle: (side).
            GrowHandles = grow_handles(VMContext, I32) -> I64;
            /// The callee has kept this many handles that it borrowed: (how many). Always
            /// fails.
            BorrowsRemain = borrows_remain(VMContext, I64) -> I64;
            /// Ends a scope: (scope). Fails while the callee has borrowed handles.
            EndScope = end_scope(VMContext, I64) -> I64;
            /// Moves a readable end of a stream or future, or an error context: (source side,
            /// 0 for streams, 1 for futures, 2 for error contexts, its type, index) -> new
            /// index.
            TransferEnd = transfer_end(VMContext, I32, I32, I32, I32) -> I64;
            /// The callee's function has returned, and its task is known or not over: (its
            /// record, what it returned if it has a callback, where a core value for the
            /// caller goes) -> a status as of a host function.
            Settle = settle(VMContext, Pointer, I32, Pointer) -> I64;
            /// Runs the callee's function on a stack of its own: (its record, its arguments
            /// and then its results, where a core value for the caller goes) ->
            /// [`FORK_OVER`] once it has returned; else, where it waits, a status as of a
            /// host function that gave the caller that core value.
            Fork = fork(VMContext, Pointer, Pointer, Pointer) -> I64;
        }
    };
}

macro_rules! define {
    ($($(#[$doc:meta])* $name:ident = $fn:ident($($param:ident),*) $(-> $result:ident)?;)*) => {
        /// A routine of the component layer that adapters call.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum ComponentBuiltin {
            $($(#[$doc])* $name,)*
        }

        impl ComponentBuiltin {
            /// Every one, in the order of the array.
            pub const ALL: &'static [ComponentBuiltin] = &[$(ComponentBuiltin::$name),*];

            /// Its row.
            pub const fn signature(self) -> BuiltinSignature {
                match self {
                    $(ComponentBuiltin::$name => BuiltinSignature {
                        name: stringify!($fn),
                        params: &[$(BuiltinType::$param),*],
                        result: define!(@result $($result)?),
                        trap: None,
                    },)*
                }
            }
        }
    };
    (@result) => { None };
    (@result $ty:ident) => { Some(BuiltinType::$ty) };
}

for_each_component_builtin!(define);

impl ComponentBuiltin {
    /// Its place in the array.
    pub const fn index(self) -> usize {
        self as usize
    }
}

macro_rules! guards {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What an adapter can find wrong; `helve_abi::AbiError` has the texts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum Guard {
            $($(#[$doc])* $name,)*
        }

        impl Guard {
            /// Every one, in the order of their numbers.
            pub const ALL: &'static [Guard] = &[$(Guard::$name),*];
        }
    };
}

guards! {
    /// A pointer that is not aligned.
    Unaligned,
    /// A string outside of its memory.
    StringOutOfBounds,
    /// A list outside of its memory.
    ListOutOfBounds,
    /// Parameters or results outside of their memory.
    ValuesOutOfBounds,
    /// A string of too many bytes.
    StringTooLong,
    /// A list of too many bytes.
    ListTooLong,
    /// `realloc` gave a pointer that is not aligned.
    ReallocUnaligned,
    /// `realloc` gave a place for a string outside of the memory.
    ReallocStringOutOfBounds,
    /// `realloc` gave a place for a list outside of the memory.
    ReallocListOutOfBounds,
    /// `realloc` gave a place for parameters outside of the memory.
    ReallocValuesOutOfBounds,
    /// Not UTF-8 from this byte on.
    InvalidUtf8,
    /// UTF-8 that ends in the middle of the character at this byte.
    IncompleteUtf8,
    /// A lone surrogate at this code unit.
    InvalidUtf16,
    /// Not a character: its number.
    InvalidChar,
    /// No case: the number, and how many cases there are.
    InvalidDiscriminant,
}

impl Guard {
    /// The one with this number.
    pub fn from_number(number: u32) -> Option<Guard> {
        Guard::ALL.get(number as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_places() {
        for (i, &guard) in Guard::ALL.iter().enumerate() {
            assert_eq!(guard as usize, i);
            assert_eq!(Guard::from_number(i as u32), Some(guard));
        }
        for (i, &builtin) in ComponentBuiltin::ALL.iter().enumerate() {
            assert_eq!(builtin.index(), i);
        }
        assert_eq!(Guard::from_number(Guard::ALL.len() as u32), None);
        assert_eq!(
            offset::side(AdapterSide::Callee) - offset::side(AdapterSide::Caller),
            48
        );
    }
}
