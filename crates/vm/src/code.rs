//! Published machine code: an image in executable memory, known by pc.
//!
//! ```text
//!   image bytes + traps + functions --publish--> Arc<CodeMemory> --drop--> unknown, unmapped
//! ```
//!
//! Whoever may run code of an image holds its `Arc`. A whole image is published at once;
//! functions compiled one by one go to a `region`.
//!
//! Not here: what the functions are called (the embedder's `tag`), the mapping
//! (`executable`).
//!
//! # Safety
//!
//! The image is readable where it runs, as long as the mapping lives, and nobody writes
//! to a whole image once it is published.

use crate::executable::{Executable, Views};
use crate::registry::{self, Found};
use helve_base::vmctx::CodePtr;
use helve_base::{Handler, Result, Trap, ensure};
use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

/// What is to be known about an image. None of it need be sorted.
#[derive(Debug, Default)]
pub struct Tables {
    /// Offsets of instructions that trap.
    pub traps: Vec<(u32, Trap)>,
    /// Calls that exceptions are caught from.
    pub handlers: Vec<Handler>,
    /// Where functions are: (start, length).
    pub functions: Vec<(u32, u32)>,
    /// Whether no exception may leave a function of it: it traps there instead.
    pub ends_exceptions: bool,
}

/// One image of code. Dropping it takes it away.
pub struct CodeMemory {
    memory: Executable,
    bytes: usize,
    tables: Tables,
    tag: Arc<dyn Any + Send + Sync>,
}

impl CodeMemory {
    /// Publishes `image`, which is position independent. `tag` is for the embedder, who
    /// gets it back from [`lookup`].
    pub fn publish(
        image: &[u8],
        tables: Tables,
        tag: Arc<dyn Any + Send + Sync>,
    ) -> Result<Arc<CodeMemory>> {
        CodeMemory::publish_in(image, tables, tag, Views::Preferred)
    }

    fn publish_in(
        image: &[u8],
        mut tables: Tables,
        tag: Arc<dyn Any + Send + Sync>,
        views: Views,
    ) -> Result<Arc<CodeMemory>> {
        ensure!(
            u32::try_from(image.len()).is_ok(),
            "{} bytes of code in one image; at most 4 GiB are possible",
            image.len()
        );
        tables.traps.sort_unstable_by_key(|&(at, _)| at);
        tables
            .handlers
            .sort_unstable_by_key(|handler| handler.returns);
        tables.functions.sort_unstable();
        let mut memory = Executable::new(image.len(), views)?;
        memory.write(0, image)?;
        memory.seal()?;
        let code = Arc::new(CodeMemory {
            memory,
            bytes: image.len(),
            tables,
            tag,
        });
        registry::register(&code);
        Ok(code)
    }

    /// Where the code at `offset` runs.
    pub fn address(&self, offset: u32) -> CodePtr {
        self.memory.run().as_ptr().wrapping_add(offset as usize)
    }

    /// The addresses of the image.
    pub fn range(&self) -> Range<usize> {
        let start = self.memory.run().addr().get();
        start..start + self.bytes
    }

    /// The image.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: see the module: `bytes` long, readable, unchanging while `self` lives.
        unsafe { std::slice::from_raw_parts(self.memory.run().as_ptr(), self.bytes) }
    }

    /// Where its functions are: (start, length), by start.
    pub fn functions(&self) -> &[(u32, u32)] {
        &self.tables.functions
    }

    /// Its traps, by offset.
    pub fn traps(&self) -> &[(u32, Trap)] {
        &self.tables.traps
    }

    /// Calls that exceptions are caught from, by return address.
    pub fn handlers(&self) -> &[Handler] {
        &self.tables.handlers
    }

    /// Whether no exception may leave its functions.
    pub fn ends_exceptions(&self) -> bool {
        self.tables.ends_exceptions
    }

    /// Which function (by place in the order of starts) `offset` is in, and its range.
    pub fn function_at(&self, offset: u32) -> Option<(usize, Range<u32>)> {
        let functions = self.functions();
        let i = functions
            .partition_point(|&(start, _)| start <= offset)
            .checked_sub(1)?;
        let &(start, len) = functions.get(i)?;
        let end = start.saturating_add(len);
        (offset < end).then_some((i, start..end))
    }

    /// What the embedder published it with.
    pub fn tag(&self) -> &Arc<dyn Any + Send + Sync> {
        &self.tag
    }
}

impl Drop for CodeMemory {
    fn drop(&mut self) {
        registry::unregister(self.range().start);
    }
}

/// The published code at `pc`, and where in it. May lock: for backtraces, not for
/// signal handlers.
pub fn lookup(pc: usize) -> Option<(Arc<CodeMemory>, u32)> {
    let Found::Image(code) = registry::find(pc)? else {
        return None;
    };
    let offset = u32::try_from(pc - code.range().start).ok()?;
    Some((code, offset))
}

/// The tag of the published code at `pc`, and where in it: in the image, or in the
/// function of a [`CodeRegion`](crate::region::CodeRegion). May lock, as [`lookup`].
pub fn find(pc: usize) -> Option<(Arc<dyn Any + Send + Sync>, u32)> {
    match registry::find(pc)? {
        Found::Image(code) => {
            let offset = u32::try_from(pc - code.range().start).ok()?;
            Some((code.tag.clone(), offset))
        }
        Found::Region(region) => region.find(pc),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(image: &[u8], views: Views) -> Arc<CodeMemory> {
        let tables = Tables {
            traps: vec![(2, Trap::IntegerOverflow), (0, Trap::Unreachable)],
            functions: vec![(3, 1), (0, 2)],
            ..Tables::default()
        };
        CodeMemory::publish_in(image, tables, Arc::new(7u32), views).unwrap()
    }

    #[test]
    fn code_is_found_while_it_lives() {
        for views in [Views::Preferred, Views::One] {
            let code = publish(&[0x0f, 0x0b, 0x90, 0xc3], views);
            let start = code.address(0).addr();
            let (found, offset) = lookup(start + 3).unwrap();
            assert!(Arc::ptr_eq(&found, &code));
            assert_eq!(offset, 3);
            assert_eq!(found.tag().downcast_ref::<u32>(), Some(&7));
            drop(found);
            assert!(lookup(start + 4).is_none());
            assert_eq!(registry::trap_at(start), Some(Trap::Unreachable));
            assert_eq!(registry::trap_at(start + 1), None);
            assert_eq!(registry::trap_at(start + 2), Some(Trap::IntegerOverflow));
            assert_eq!(code.bytes(), [0x0f, 0x0b, 0x90, 0xc3]);
            assert_eq!(code.functions(), [(0, 2), (3, 1)]);
            assert_eq!(code.function_at(1), Some((0, 0..2)));
            assert_eq!(code.function_at(2), None);
            assert_eq!(code.function_at(3), Some((1, 3..4)));
            drop(code);
            assert!(lookup(start).is_none_or(|(code, _)| code.range().start == start));
        }
    }

    #[test]
    fn code_runs_from_either_kind_of_memory() {
        for views in [Views::Preferred, Views::One] {
            // mov eax, 42; ret
            let code = publish(&[0xb8, 42, 0, 0, 0, 0xc3], views);
            if cfg!(target_arch = "x86_64") {
                // SAFETY: the bytes are a function of this type.
                let f: extern "C" fn() -> u32 = unsafe { std::mem::transmute(code.address(0)) };
                assert_eq!(f(), 42);
            }
        }
    }

    #[test]
    fn many_threads_publish_look_up_and_drop() {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let code = publish(&[0x0f, 0x0b, 0xc3], Views::Preferred);
                        let start = code.address(0).addr();
                        assert_eq!(registry::trap_at(start), Some(Trap::Unreachable));
                        assert!(lookup(start + 1).is_some_and(|(c, _)| Arc::ptr_eq(&c, &code)));
                    }
                });
            }
        });
    }
}
