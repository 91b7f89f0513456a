//! Every canonical built-in that a core module can import: one row each.
//!
//! A row says the built-in's name, what it carries beside its canonical options, and its
//! core signature. `decode` makes [`CanonBuiltin`]s, the component layer and the adapter
//! compiler act on them. Not here: `canon lift` and `canon lower`
//! ([`Types::core_signature`](crate::Types::core_signature)), and the shared-everything
//! threads' built-ins, which no toolchain emits yet.

use crate::flat::{FlatType, FlatTypes};
use crate::layout::PointerWidth;
use crate::types::{FutureId, InterfaceType, ResourceTypeId, StreamId, Types};

/// One slot of a row's signature.
#[derive(Clone, Copy)]
enum Slot {
    /// `i32`: a handle, an index, a status.
    I32,
    /// `i64`.
    I64,
    /// An address or a length of the options' memory.
    Pointer,
}

macro_rules! builtins {
    ($(
        $(#[$doc:meta])*
        $name:ident $({ $($(#[$fdoc:meta])* $field:ident: $fty:ty),* })? =
            $text:literal [$($param:ident),*] -> [$($result:ident),*];
    )*) => {
        /// A canonical built-in with what it carries beside its options.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum CanonBuiltin {
            $(
                $(#[$doc])*
                $name $({ $($(#[$fdoc])* $field: $fty,)* })?,
            )*
        }

        impl CanonBuiltin {
            /// The names of all built-ins, in the order of the enum.
            pub const NAMES: &'static [&'static str] = &[$($text),*];

            /// The name in the text format: `resource.new`, ...
            pub const fn name(&self) -> &'static str {
                match self {
                    $(CanonBuiltin::$name { .. } => $text,)*
                }
            }

            const fn slots(&self) -> (&'static [Slot], &'static [Slot]) {
                match self {
                    $(CanonBuiltin::$name { .. } => (&[$(Slot::$param),*], &[$(Slot::$result),*]),)*
                }
            }
        }
    };
}

builtins! {
    /// Makes an own handle of a representation.
    ResourceNew {
        /// Of this type.
        resource: ResourceTypeId
    } = "resource.new" [I32] -> [I32];
    /// Drops a handle, running the destructor of an owned resource.
    ResourceDrop {
        /// Of this type.
        resource: ResourceTypeId
    } = "resource.drop" [I32] -> [];
    /// The representation behind a handle.
    ResourceRep {
        /// Of this type.
        resource: ResourceTypeId
    } = "resource.rep" [I32] -> [I32];
    /// Reads a context slot of the thread. (Signature by `ty`.)
    ContextGet {
        /// `i32` or `i64`.
        ty: FlatType,
        /// Which slot.
        slot: u32
    } = "context.get" [] -> [];
    /// Writes a context slot of the thread. (Signature by `ty`.)
    ContextSet {
        /// `i32` or `i64`.
        ty: FlatType,
        /// Which slot.
        slot: u32
    } = "context.set" [] -> [];
    /// Holds new calls back.
    BackpressureInc = "backpressure.inc" [] -> [];
    /// Ends one `backpressure.inc`.
    BackpressureDec = "backpressure.dec" [] -> [];
    /// Gives the task's result. (Parameters are the result's core values.)
    TaskReturn {
        /// The result's type.
        result: Option<InterfaceType>
    } = "task.return" [] -> [];
    /// Acknowledges the task's cancellation.
    TaskCancel = "task.cancel" [] -> [];
    /// Asks a subtask to cancel.
    SubtaskCancel {
        /// Whether to return at once when it does not cancel at once.
        is_async: bool
    } = "subtask.cancel" [I32] -> [I32];
    /// Drops a subtask.
    SubtaskDrop = "subtask.drop" [I32] -> [];
    /// Makes a waitable set.
    WaitableSetNew = "waitable-set.new" [] -> [I32];
    /// Waits for an event of a set.
    WaitableSetWait {
        /// Whether cancellation ends the wait.
        cancellable: bool
    } = "waitable-set.wait" [I32, Pointer] -> [I32];
    /// Takes an event of a set, if there is one.
    WaitableSetPoll {
        /// Whether cancellation is reported.
        cancellable: bool
    } = "waitable-set.poll" [I32, Pointer] -> [I32];
    /// Drops a waitable set.
    WaitableSetDrop = "waitable-set.drop" [I32] -> [];
    /// Moves a waitable into a set, or (set 0) out of its set.
    WaitableJoin = "waitable.join" [I32, I32] -> [];
    /// Makes a stream: readable end | writable end << 32.
    StreamNew {
        /// The stream's type.
        ty: StreamId
    } = "stream.new" [] -> [I64];
    /// Reads from a stream.
    StreamRead {
        /// The stream's type.
        ty: StreamId
    } = "stream.read" [I32, Pointer, Pointer] -> [Pointer];
    /// Writes to a stream.
    StreamWrite {
        /// The stream's type.
        ty: StreamId
    } = "stream.write" [I32, Pointer, Pointer] -> [Pointer];
    /// Cancels a read.
    StreamCancelRead {
        /// The stream's type.
        ty: StreamId,
        /// Whether to return at once when it does not cancel at once.
        is_async: bool
    } = "stream.cancel-read" [I32] -> [I32];
    /// Cancels a write.
    StreamCancelWrite {
        /// The stream's type.
        ty: StreamId,
        /// Whether to return at once when it does not cancel at once.
        is_async: bool
    } = "stream.cancel-write" [I32] -> [I32];
    /// Drops a readable end.
    StreamDropReadable {
        /// The stream's type.
        ty: StreamId
    } = "stream.drop-readable" [I32] -> [];
    /// Drops a writable end.
    StreamDropWritable {
        /// The stream's type.
        ty: StreamId
    } = "stream.drop-writable" [I32] -> [];
    /// Makes a future: readable end | writable end << 32.
    FutureNew {
        /// The future's type.
        ty: FutureId
    } = "future.new" [] -> [I64];
    /// Reads a future.
    FutureRead {
        /// The future's type.
        ty: FutureId
    } = "future.read" [I32, Pointer] -> [I32];
    /// Writes a future.
    FutureWrite {
        /// The future's type.
        ty: FutureId
    } = "future.write" [I32, Pointer] -> [I32];
    /// Cancels a read.
    FutureCancelRead {
        /// The future's type.
        ty: FutureId,
        /// Whether to return at once when it does not cancel at once.
        is_async: bool
    } = "future.cancel-read" [I32] -> [I32];
    /// Cancels a write.
    FutureCancelWrite {
        /// The future's type.
        ty: FutureId,
        /// Whether to return at once when it does not cancel at once.
        is_async: bool
    } = "future.cancel-write" [I32] -> [I32];
    /// Drops a readable end.
    FutureDropReadable {
        /// The future's type.
        ty: FutureId
    } = "future.drop-readable" [I32] -> [];
    /// Drops a writable end.
    FutureDropWritable {
        /// The future's type.
        ty: FutureId
    } = "future.drop-writable" [I32] -> [];
    /// Makes an error context of a message.
    ErrorContextNew = "error-context.new" [Pointer, Pointer] -> [I32];
    /// Reads an error context's message.
    ErrorContextDebugMessage = "error-context.debug-message" [I32, Pointer] -> [];
    /// Drops an error context.
    ErrorContextDrop = "error-context.drop" [I32] -> [];
    /// The current thread's index.
    ThreadIndex = "thread.index" [] -> [I32];
    /// Makes a suspended thread that starts at a table's function. (Signature by both.)
    ThreadNewIndirect {
        /// What the function takes: `i32` or `i64`.
        argument: FlatType,
        /// What the table's indices are: `i32` or `i64`.
        index: FlatType
    } = "thread.new-indirect" [] -> [I32];
    /// Lets a suspended thread run later.
    ThreadResumeLater = "thread.resume-later" [I32] -> [];
    /// Suspends the current thread.
    ThreadSuspend {
        /// Whether cancellation resumes it.
        cancellable: bool
    } = "thread.suspend" [] -> [I32];
    /// Lets other threads run.
    ThreadYield {
        /// Whether cancellation is reported.
        cancellable: bool
    } = "thread.yield" [] -> [I32];
    /// Suspends the current thread and runs a suspended one.
    ThreadSuspendThenResume {
        /// Whether cancellation resumes it.
        cancellable: bool
    } = "thread.suspend-then-resume" [I32] -> [I32];
    /// Yields to a suspended thread.
    ThreadYieldThenResume {
        /// Whether cancellation is reported.
        cancellable: bool
    } = "thread.yield-then-resume" [I32] -> [I32];
    /// Suspends the current thread and runs another if it is ready.
    ThreadSuspendThenPromote {
        /// Whether cancellation resumes it.
        cancellable: bool
    } = "thread.suspend-then-promote" [I32] -> [I32];
    /// Yields to another thread if it is ready.
    ThreadYieldThenPromote {
        /// Whether cancellation is reported.
        cancellable: bool
    } = "thread.yield-then-promote" [I32] -> [I32];
}

impl CanonBuiltin {
    /// The core parameters and results, for a memory of this width.
    pub fn signature(&self, types: &Types, width: PointerWidth) -> (FlatTypes, FlatTypes) {
        let (params, results) = self.slots();
        let flat = |slots: &[Slot]| -> FlatTypes {
            slots
                .iter()
                .map(|slot| match slot {
                    Slot::I32 => FlatType::I32,
                    Slot::I64 => FlatType::I64,
                    Slot::Pointer => FlatType::pointer(width),
                })
                .collect()
        };
        match *self {
            CanonBuiltin::ContextGet { ty, .. } => (FlatTypes::EMPTY, FlatTypes::of(&[ty])),
            CanonBuiltin::ContextSet { ty, .. } => (FlatTypes::of(&[ty]), FlatTypes::EMPTY),
            CanonBuiltin::TaskReturn { result } => {
                (types.task_return_params(result, width).0, FlatTypes::EMPTY)
            }
            CanonBuiltin::ThreadNewIndirect { argument, index } => {
                (FlatTypes::of(&[index, argument]), flat(results))
            }
            _ => (flat(params), flat(results)),
        }
    }

    /// What its stream or future carries; none where that is nothing, or it has neither.
    pub fn element(&self, types: &Types) -> Option<InterfaceType> {
        use CanonBuiltin::*;
        match *self {
            StreamNew { ty }
            | StreamRead { ty }
            | StreamWrite { ty }
            | StreamCancelRead { ty, .. }
            | StreamCancelWrite { ty, .. }
            | StreamDropReadable { ty }
            | StreamDropWritable { ty } => types[ty].element,
            FutureNew { ty }
            | FutureRead { ty }
            | FutureWrite { ty }
            | FutureCancelRead { ty, .. }
            | FutureCancelWrite { ty, .. }
            | FutureDropReadable { ty }
            | FutureDropWritable { ty } => types[ty].payload,
            _ => None,
        }
    }

    /// Whether it may block its thread: what needs a stack that can be suspended.
    pub fn may_block(&self, options_async: bool) -> bool {
        use CanonBuiltin::*;
        match *self {
            SubtaskCancel { is_async }
            | StreamCancelRead { is_async, .. }
            | StreamCancelWrite { is_async, .. }
            | FutureCancelRead { is_async, .. }
            | FutureCancelWrite { is_async, .. } => !is_async,
            StreamRead { .. } | StreamWrite { .. } | FutureRead { .. } | FutureWrite { .. } => {
                !options_async
            }
            WaitableSetWait { .. }
            | ThreadSuspend { .. }
            | ThreadYield { .. }
            | ThreadSuspendThenResume { .. }
            | ThreadYieldThenResume { .. }
            | ThreadSuspendThenPromote { .. }
            | ThreadYieldThenPromote { .. } => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures() {
        let mut types = Types::new();
        let text = types.list(InterfaceType::String).unwrap();
        let InterfaceType::Stream(stream) = types.stream(Some(text)).unwrap() else {
            panic!()
        };
        let big = types.tuple([InterfaceType::F64; 17]).unwrap();
        let cases: &[(CanonBuiltin, PointerWidth, &str)] = &[
            (CanonBuiltin::SubtaskDrop, PointerWidth::P64, "[I32] -> []"),
            (
                CanonBuiltin::StreamNew { ty: stream },
                PointerWidth::P32,
                "[] -> [I64]",
            ),
            (
                CanonBuiltin::StreamRead { ty: stream },
                PointerWidth::P32,
                "[I32, I32, I32] -> [I32]",
            ),
            (
                CanonBuiltin::StreamRead { ty: stream },
                PointerWidth::P64,
                "[I32, I64, I64] -> [I64]",
            ),
            (
                CanonBuiltin::ContextSet {
                    ty: FlatType::I64,
                    slot: 1,
                },
                PointerWidth::P32,
                "[I64] -> []",
            ),
            (
                CanonBuiltin::TaskReturn { result: None },
                PointerWidth::P32,
                "[] -> []",
            ),
            (
                CanonBuiltin::TaskReturn { result: Some(text) },
                PointerWidth::P64,
                "[I64, I64] -> []",
            ),
            (
                CanonBuiltin::TaskReturn { result: Some(big) },
                PointerWidth::P32,
                "[I32] -> []",
            ),
            (
                CanonBuiltin::ThreadNewIndirect {
                    argument: FlatType::I64,
                    index: FlatType::I32,
                },
                PointerWidth::P32,
                "[I32, I64] -> [I32]",
            ),
        ];
        for (builtin, width, want) in cases {
            let (params, results) = builtin.signature(&types, *width);
            assert_eq!(
                format!("{params:?} -> {results:?}"),
                *want,
                "{}",
                builtin.name()
            );
        }
        let mut names = CanonBuiltin::NAMES.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CanonBuiltin::NAMES.len());
    }
}
