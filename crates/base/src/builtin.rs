//! The table of routines that compiled core code calls: one row each.
//!
//! Compiled code finds them in the array that `VMContext.builtins` points to, by
//! [`Builtin::index`]; `helve-vm` fills that array, `helve-compile` makes the
//! signatures from the rows. All use the platform's C convention.
//!
//! A routine that can fail returns non-zero in an `i32` ("trap") and *compiled code*
//! traps, with the one code that its row names: no Rust frame is ever jumped over.

use crate::trap::Trap;

/// The type of a parameter or result of a built-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuiltinType {
    /// The caller's `*mut VMContext`.
    VMContext,
    /// A pointer.
    Pointer,
    /// A 32-bit integer.
    I32,
    /// A 64-bit integer.
    I64,
}

/// The signature of a built-in.
#[derive(Clone, Copy, Debug)]
pub struct BuiltinSignature {
    /// Its name, for disassembly and messages.
    pub name: &'static str,
    /// Its parameters.
    pub params: &'static [BuiltinType],
    /// Its result.
    pub result: Option<BuiltinType>,
    /// What compiled code traps with where the (i32) result is not zero.
    pub trap: Option<Trap>,
}

/// Calls `$each!` with every row: `name(params) -> result, trap;`. `helve-vm` uses it
/// to check that it has a routine for each.
#[macro_export]
macro_rules! for_each_builtin {
    ($each:ident) => {
        $each! {
            /// `memory.grow`: (memory, pages) -> pages before, or -1.
            MemoryGrow = memory_grow(VMContext, I32, I64) -> I64;
            /// Sets bytes that have been checked: (to, byte, length).
            FillBytes = fill_bytes(Pointer, I32, I64);
            /// Copies bytes that have been checked and may overlap: (to, from, length).
            MoveBytes = move_bytes(Pointer, Pointer, I64);
            /// `memory.init`: (memory, segment, to, from, length).
            MemoryInit = memory_init(VMContext, I32, I32, I64, I32, I32) -> I32, MemoryOutOfBounds;
            /// `data.drop`: (segment).
            DataDrop = data_drop(VMContext, I32);
            /// `table.grow`: (table, elements, initial value) -> elements before, or -1.
            TableGrow = table_grow(VMContext, I32, I64, Pointer) -> I64;
            /// `table.fill`: (table, index, value, length).
            TableFill = table_fill(VMContext, I32, I64, Pointer, I64) -> I32, TableOutOfBounds;
            /// `table.copy`: (to table, from table, to, from, length).
            TableCopy = table_copy(VMContext, I32, I32, I64, I64, I64) -> I32, TableOutOfBounds;
            /// `table.init`: (table, segment, to, from, length).
            TableInit = table_init(VMContext, I32, I32, I64, I32, I32) -> I32, TableOutOfBounds;
            /// `elem.drop`: (segment).
            ElemDrop = elem_drop(VMContext, I32);
            /// Leaves compiled code by way of the innermost `enter`, which then returns
            /// the failure that the host recorded: (store context); never returns. Called
            /// by host-call trampolines whose host function did not return `RETURNED`. Where
            /// the failure is an exception, it goes on in a handler first, if there is one.
            Raise = raise(Pointer);
            /// Suspends the current fiber until the host resumes it: (store context).
            /// Called by host-call trampolines after status `SUSPEND`.
            Suspend = suspend(Pointer) -> I32;
            /// The exception of a `throw`, its payload still to be written: (tag, values of
            /// payload) -> exception, or null where the store's limit is reached.
            ExceptionNew = exception_new(VMContext, I32, I32) -> Pointer;
            /// Throws from the calling frame: (exception); never returns. Goes on in the
            /// innermost handler, or leaves by way of the innermost `enter`.
            Throw = throw(VMContext, Pointer);
            /// `memory.atomic.notify`: (memory, address, most) -> how many threads were woken.
            AtomicNotify = atomic_notify(VMContext, I32, I64, I32) -> I32;
            /// `memory.atomic.wait32` and `64`: (memory, address, bytes, expected value,
            /// nanoseconds or less than 0) -> one of [`wait`].
            AtomicWait = atomic_wait(VMContext, I32, I64, I32, I64, I64) -> I32;
            /// The fuel is used up: more of it, perhaps after others have run; or a trap.
            OutOfFuel = out_of_fuel(VMContext) -> I32, OutOfFuel;
            /// The epoch's deadline has passed: a later one, perhaps after others have run;
            /// or a trap.
            EpochPassed = epoch_passed(VMContext) -> I32, Interrupt;
            /// A loop that quick code runs is hot: (function, loop) -> code to go on in, or
            /// null.
            LoopHot = loop_hot(VMContext, I32, I32) -> Pointer;
        }
    };
}

macro_rules! define {
    ($($(#[$doc:meta])* $name:ident = $fn:ident($($param:ident),*) $(-> $result:ident $(, $trap:ident)?)?;)*) => {
        /// A routine that compiled code calls.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum Builtin {
            $($(#[$doc])* $name,)*
        }

        impl Builtin {
            /// Every built-in, in the order of the array.
            pub const ALL: &'static [Builtin] = &[$(Builtin::$name),*];

            /// Its row.
            pub const fn signature(self) -> BuiltinSignature {
                match self {
                    $(Builtin::$name => BuiltinSignature {
                        name: stringify!($fn),
                        params: &[$(BuiltinType::$param),*],
                        result: define!(@result $($result)?),
                        trap: define!(@trap $($($trap)?)?),
                    },)*
                }
            }
        }
    };
    (@result) => { None };
    (@result $ty:ident) => { Some(BuiltinType::$ty) };
    (@trap) => { None };
    (@trap $trap:ident) => { Some(Trap::$trap) };
}

for_each_builtin!(define);

impl Builtin {
    /// Its place in the array of built-ins.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// How `memory.atomic.wait` ends.
pub mod wait {
    /// Another thread notified.
    pub const WOKEN: u32 = 0;
    /// Another value than the expected one was there.
    pub const NOT_EQUAL: u32 = 1;
    /// Nobody notified in time.
    pub const TIMED_OUT: u32 = 2;
    /// The guest may not run any more: compiled code traps.
    pub const INTERRUPTED: u32 = 3;
}

/// What a host function tells the trampoline that called it.
pub mod status {
    /// Results are in the argument array.
    pub const RETURNED: u32 = 0;
    /// The failure is recorded in the store: raise it.
    pub const FAILED: u32 = 1;
    /// Suspend the fiber; when it is resumed, its result is one of the two above.
    pub const SUSPEND: u32 = 2;
}
