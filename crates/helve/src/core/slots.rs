//! Where the code of a module's functions is: one slot each, shared by all instances.
//!
//! ```text
//!   | slot 0 | slot 1 | ... | slot n-1 | counters: n times u32 |
//!   ^ VMContext.slots
//! ```
//!
//! A slot is a code address. Compiled code reads slots with plain loads; lazy compilation
//! writes them with release stores of one word, after the code that they point to. The
//! counters behind them are counted up by quickly compiled code, and say which functions
//! are worth more effort.
//!
//! Not here: who fills slots (`module`, `lazy`).

use helve_base::EntityRef;
use helve_base::id::DefinedFuncIndex;
use helve_base::vmctx::CodePtr;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

/// The slots of one module.
pub(crate) struct Slots {
    words: Box<[AtomicPtr<u8>]>,
    functions: usize,
}

impl Slots {
    /// Slots that hold `code`, in order.
    pub fn new(code: impl ExactSizeIterator<Item = CodePtr>) -> Slots {
        let functions = code.len();
        let mut words: Vec<_> = code.map(|code| AtomicPtr::new(code.cast_mut())).collect();
        let counters = functions.div_ceil(2);
        words.extend(std::iter::repeat_with(|| AtomicPtr::new(null_mut())).take(counters));
        Slots {
            words: words.into(),
            functions,
        }
    }

    /// What contexts point to.
    pub fn as_ptr(&self) -> *const CodePtr {
        self.words.as_ptr().cast()
    }

    /// The address of a slot.
    pub fn slot(&self, func: DefinedFuncIndex) -> Option<*const CodePtr> {
        let slot = self.words.get(..self.functions)?.get(func.index())?;
        Some(std::ptr::from_ref(slot).cast())
    }

    /// The code in a slot.
    pub fn get(&self, func: DefinedFuncIndex) -> Option<CodePtr> {
        let slot = self.words.get(..self.functions)?.get(func.index())?;
        Some(slot.load(Ordering::Acquire).cast_const())
    }

    /// How often quickly compiled code of a function has counted it.
    pub fn count(&self, func: DefinedFuncIndex) -> u32 {
        let Some(word) = self.words.get(self.functions + func.index() / 2) else {
            return 0;
        };
        let both = word.load(Ordering::Relaxed).addr() as u64;
        // The machines we know are little-endian.
        (both >> (func.index() % 2 * 32)) as u32
    }

    /// Puts `new` into a slot that holds `old`; what the slot holds then.
    pub fn replace(&self, func: DefinedFuncIndex, old: CodePtr, new: CodePtr) -> Option<CodePtr> {
        let slot = self.words.get(..self.functions)?.get(func.index())?;
        let swapped = slot.compare_exchange(
            old.cast_mut(),
            new.cast_mut(),
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        Some(match swapped {
            Ok(_) => new,
            Err(other) => other.cast_const(),
        })
    }
}
