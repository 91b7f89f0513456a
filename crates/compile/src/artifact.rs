//! What compilation leaves: position-independent code and what to know about it.
//!
//! ```text
//!  CompiledFunction   code | traps (offset, Trap) | handlers | locations (offset, wasm offset)
//!                     calls (offset, function): to be linked
//!  CompiledModule     image = function 0, padding, function 1, padding, ...
//!                     functions[i] = where function i is in the image
//!                     traps, handlers, locations: offsets in the image, sorted
//! ```
//!
//! An image has no relocations: functions of one module that are compiled together call each
//! other relative to where they stand, which linking fills in, and all else is reached
//! through contexts. A *location* says which wasm instruction an address belongs to; there is one
//! for each instruction that may trap and for each return address, both exact.
//!
//! Not here: executable memory (the VM's), files on disk.

use helve_base::id::DefinedFuncIndex;
use helve_base::{Error, Handler, PrimaryMap, Result, Trap};

/// The machine code of one function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompiledFunction {
    /// Its instructions, and constants behind them.
    pub code: Vec<u8>,
    /// What its address must be a multiple of; a power of two.
    pub alignment: u32,
    /// (offset of an instruction that may trap, why), sorted.
    pub traps: Vec<(u32, Trap)>,
    /// Calls that exceptions are caught from, sorted by return address.
    pub handlers: Vec<Handler>,
    /// (offset of such an instruction or of a return address, offset of the wasm
    /// instruction in the module), sorted.
    pub locations: Vec<(u32, u32)>,
    /// Calls of other functions of the module that wait for an image to be linked; none in
    /// functions that are compiled on their own.
    pub calls: Vec<DirectCall>,
}

/// A call, in machine code, of a function whose address was not known then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectCall {
    /// Offset of what says how far away it is.
    pub at: u32,
    /// What that looks like.
    pub form: CallForm,
    /// Whom it calls.
    pub callee: DefinedFuncIndex,
}

/// How an instruction says how far away its target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallForm {
    /// x86-64: 32 bits, counted from their end.
    Relative32,
    /// aarch64: 26 bits of the instruction, which count instructions.
    Branch26,
}

impl DirectCall {
    /// Makes a call in `code`, which it is in the `at`-th byte of, one of what starts at
    /// `target` there.
    pub(crate) fn resolve(self, code: &mut [u8], at: usize, target: usize) -> Result<()> {
        let far = || Error::msg("the module's machine code is too large for its calls");
        let distance =
            i64::try_from(target).map_err(|_| far())? - i64::try_from(at).map_err(|_| far())?;
        let place = code.get_mut(at..).and_then(|rest| rest.first_chunk_mut());
        let place: &mut [u8; 4] = place.ok_or_else(far)?;
        let bytes = match self.form {
            CallForm::Relative32 => i32::try_from(distance - 4)
                .map_err(|_| far())?
                .to_le_bytes(),
            CallForm::Branch26 => {
                const REACH: i64 = 1 << 27;
                if !(-REACH..REACH).contains(&distance) {
                    return Err(far());
                }
                let count = ((distance >> 2) & 0x3ff_ffff) as u32;
                (u32::from_le_bytes(*place) & !0x3ff_ffff | count).to_le_bytes()
            }
        };
        *place = bytes;
        Ok(())
    }
}

/// Where a function is in an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionRange {
    /// Offset of its first byte.
    pub start: u32,
    /// Its length in bytes.
    pub len: u32,
}

/// The machine code of all functions of a module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompiledModule {
    /// The code.
    pub image: Vec<u8>,
    /// What the image's address must be a multiple of; a power of two.
    pub alignment: u32,
    /// Where each function is.
    pub functions: PrimaryMap<DefinedFuncIndex, FunctionRange>,
    /// (offset in the image of an instruction that may trap, why), sorted.
    pub traps: Vec<(u32, Trap)>,
    /// Calls that exceptions are caught from, sorted by return address.
    pub handlers: Vec<Handler>,
    /// (offset in the image, offset in the wasm module), sorted.
    pub locations: Vec<(u32, u32)>,
}

impl CompiledModule {
    /// One image out of functions in the order of their indices.
    pub(crate) fn link(
        functions: impl IntoIterator<Item = CompiledFunction>,
    ) -> Result<CompiledModule> {
        let mut module = CompiledModule {
            alignment: 1,
            ..CompiledModule::default()
        };
        let mut calls = Vec::new();
        for function in functions {
            let alignment = function.alignment.max(1);
            module.alignment = module.alignment.max(alignment);
            module
                .image
                .resize(module.image.len().next_multiple_of(alignment as usize), 0);
            let end = module.image.len() + function.code.len();
            if i32::try_from(end).is_err() {
                return Err(Error::msg("the module's machine code exceeds 2 GiB"));
            }
            let start = module.image.len() as u32;
            module.image.extend_from_slice(&function.code);
            module.functions.push(FunctionRange {
                start,
                len: function.code.len() as u32,
            });
            calls.extend(function.calls.iter().map(|&call| (start + call.at, call)));
            module
                .traps
                .extend(function.traps.iter().map(|&(at, trap)| (start + at, trap)));
            module
                .handlers
                .extend(function.handlers.iter().map(|handler| handler.moved(start)));
            module.locations.extend(
                function
                    .locations
                    .iter()
                    .map(|&(at, wasm)| (start + at, wasm)),
            );
        }
        for (at, call) in calls {
            let target = module.functions.get(call.callee);
            let target = target.ok_or_else(|| Error::msg("a call of no function"))?;
            call.resolve(&mut module.image, at as usize, target.start as usize)?;
        }
        Ok(module)
    }

    /// Which function the byte at `offset` belongs to.
    pub fn function_at(&self, offset: u32) -> Option<DefinedFuncIndex> {
        let ranges = self.functions.as_values_slice();
        let after = ranges.partition_point(|range| range.start <= offset);
        let index = after.checked_sub(1)?;
        let range = ranges.get(index)?;
        (offset - range.start < range.len).then(|| DefinedFuncIndex::from_u32(index as u32))
    }

    /// The offset in the wasm module of the instruction that may trap at `offset`, or
    /// whose call returns to `offset`.
    pub fn location_at(&self, offset: u32) -> Option<u32> {
        location(&self.locations, offset)
    }
}

impl CompiledFunction {
    /// As [`CompiledModule::location_at`], counted from the function's first byte.
    pub fn location_at(&self, offset: u32) -> Option<u32> {
        location(&self.locations, offset)
    }
}

fn location(locations: &[(u32, u32)], offset: u32) -> Option<u32> {
    let i = locations
        .binary_search_by_key(&offset, |&(at, _)| at)
        .ok()?;
    locations.get(i).map(|&(_, wasm)| wasm)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(len: usize, alignment: u32) -> CompiledFunction {
        let code = vec![0xcc; len];
        let traps = vec![(1, Trap::Unreachable)];
        CompiledFunction {
            code,
            alignment,
            traps,
            handlers: vec![Handler {
                returns: 2,
                landing: 1,
                frame: 16,
            }],
            locations: vec![(1, 77)],
            calls: Vec::new(),
        }
    }

    #[test]
    fn functions_are_aligned_and_found_again() {
        let module = CompiledModule::link([function(5, 16), function(0, 4), function(3, 32)]);
        let module = module.expect("links");
        let starts: Vec<u32> = module.functions.values().map(|range| range.start).collect();
        assert_eq!(starts, [0, 8, 32]);
        assert_eq!((module.alignment, module.image.len()), (32, 35));
        let found: Vec<_> = [0, 4, 5, 8, 31, 32, 34, 35]
            .map(|at| module.function_at(at).map(DefinedFuncIndex::as_u32))
            .into();
        assert_eq!(
            found,
            [Some(0), Some(0), None, None, None, Some(2), Some(2), None]
        );
        assert_eq!(module.traps[2], (33, Trap::Unreachable));
        assert_eq!(
            (module.handlers[2].returns, module.handlers[2].landing),
            (34, 33)
        );
        assert_eq!(module.location_at(33), Some(77));
        assert_eq!(module.location_at(32), None);
    }

    #[test]
    fn calls_are_linked() {
        let call = |at, form, callee| DirectCall {
            at,
            form,
            callee: DefinedFuncIndex::from_u32(callee),
        };
        let mut functions = [function(8, 16), function(8, 16)];
        functions[0].calls = vec![call(1, CallForm::Relative32, 1)];
        functions[1].code = 0x9400_0000u32.to_le_bytes().into();
        functions[1].calls = vec![call(0, CallForm::Branch26, 0)];
        let module = CompiledModule::link(functions.clone()).expect("links");
        assert_eq!(module.image[1..5], 11i32.to_le_bytes());
        assert_eq!(module.image[16..20], 0x97ff_fffcu32.to_le_bytes());
        functions[0].calls[0].callee = DefinedFuncIndex::from_u32(2);
        assert!(CompiledModule::link(functions.clone()).is_err());
        functions[0].calls[0] = call(5, CallForm::Relative32, 0);
        assert!(CompiledModule::link([functions[0].clone()]).is_err());
        let far = call(0, CallForm::Branch26, 0);
        assert!(far.resolve(&mut [0; 4], 0, 1 << 27).is_err());
    }
}
