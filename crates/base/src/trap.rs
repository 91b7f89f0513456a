//! One table of everything a guest can trap with: code and text.
//!
//! The texts are those that the official scripts quote. Compiled code carries the
//! code (a byte beside the trapping pc), the VM reports it, the embedder sees it.
//! Not here: backtraces and handle stories (`helve::Error` carries those).

macro_rules! traps {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// Why a guest stopped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Trap {
            $($(#[$doc])* $name = $code,)*
        }

        impl Trap {
            /// Every trap there is, in code order.
            pub const ALL: &'static [Trap] = &[$(Trap::$name),*];

            /// The text that scripts and people see.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Trap::$name => $text,)*
                }
            }

            /// The trap whose code is `code`, if there is one.
            pub const fn from_code(code: u8) -> Option<Trap> {
                match code {
                    $($code => Some(Trap::$name),)*
                    _ => None,
                }
            }

            /// The byte that stands for this trap in compiled code's tables (1 to 200).
            pub const fn code(self) -> u8 {
                self as u8
            }
        }
    };
}

traps! {
    /// An `unreachable` instruction ran.
    Unreachable = 1, "wasm `unreachable` instruction executed";
    /// A load, store or bulk operation outside of its memory.
    MemoryOutOfBounds = 2, "out of bounds memory access";
    /// A table access or bulk operation outside of its table.
    TableOutOfBounds = 3, "out of bounds table access";
    /// `call_indirect` with an index outside of the table.
    UndefinedElement = 4, "undefined element";
    /// `call_indirect` of an empty table element.
    UninitializedElement = 5, "uninitialized element";
    /// `call_indirect` of a function of another type.
    IndirectCallTypeMismatch = 6, "indirect call type mismatch";
    /// The result of an integer division does not fit.
    IntegerOverflow = 7, "integer overflow";
    /// An integer division by zero.
    IntegerDivisionByZero = 8, "integer divide by zero";
    /// A float with no integer of the wanted type.
    InvalidConversionToInteger = 9, "invalid conversion to integer";
    /// The guest used up its stack.
    StackOverflow = 10, "call stack exhausted";
    /// A null reference where none may be.
    NullReference = 11, "null reference";
    /// A null function reference was called.
    NullFunctionReference = 12, "null function reference";
    /// An atomic access at an address that is not a multiple of its size.
    UnalignedAtomic = 13, "unaligned atomic";
    /// `memory.atomic.wait` on a memory that is not shared.
    AtomicWaitNonShared = 14, "expected shared memory";
    /// The fuel ran out.
    OutOfFuel = 15, "all fuel consumed";
    /// The epoch deadline passed.
    Interrupt = 16, "interrupted";
    /// An exception that nothing caught.
    UncaughtException = 17, "unhandled exception";
    /// A component instance was entered while it could not be.
    CannotEnterComponent = 18, "cannot enter component instance";
    /// A component instance was left while it could not be.
    CannotLeaveComponent = 19, "cannot leave component instance";
    /// A rule of the Canonical ABI was broken; the message says which.
    CanonicalAbi = 20, "canonical ABI violation";
    /// A handle operation that the table refused; the message says why.
    Handle = 21, "handle error";
    /// A limit that the embedder set was reached; the message says which.
    LimitExceeded = 22, "limit exceeded";
    /// Every task waits for another.
    Deadlock = 23, "deadlock detected";
    /// A null exception reference was thrown.
    NullExceptionReference = 24, "null exception reference";
}

impl std::fmt::Display for Trap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "wasm trap: {}", self.text())
    }
}

impl std::error::Error for Trap {}

#[cfg(test)]
mod tests {
    use super::Trap;

    #[test]
    fn codes_round_trip_and_texts_differ() {
        for (i, &trap) in Trap::ALL.iter().enumerate() {
            assert_eq!(Trap::from_code(trap.code()), Some(trap));
            assert!(
                Trap::ALL[..i].iter().all(|t| t.text() != trap.text()),
                "{trap}"
            );
        }
        assert_eq!(Trap::from_code(0), None);
    }
}
