//! Strings whose encoding changes on the way from one component to another.
//!
//! `helve_abi::strings` knows the steps and the order of the reallocs; this gives it both
//! memories and the destination's `realloc`.
//!
//! # Safety
//!
//! Slices of guest memory are alive during one step only, in which no guest runs; the two
//! memories are never one.

use super::context::AdapterContext;
use crate::component::call::lane::Lane;
use crate::component::call::options::CallOptions;
use crate::component::state::InstanceData;
use helve_abi::layout::PointerWidth;
use helve_abi::strings::{self, StringRange, Transcoder};
use helve_base::{Bug, Error, Result};

/// Moves a string from side `from` to the other one: its new pointer and length.
pub(super) fn string(
    context: &AdapterContext,
    from: u32,
    pointer: u64,
    length: u64,
) -> Result<(u64, u64)> {
    let [caller, callee] = &context.sides;
    let (source, target) = if from == 0 {
        (caller, callee)
    } else {
        (callee, caller)
    };
    // SAFETY: no guest runs until the slice's last use.
    let memory = source
        .memory
        .map_or(&[][..], |memory| unsafe { memory.bytes() });
    let range = strings::range(
        source.encoding,
        source.width,
        pointer,
        length,
        memory.len() as u64,
    )?;
    strings::validate(range.encoding, slice(memory, &range))?;
    let copied = &context.vm.copied;
    copied.set(copied.get().wrapping_add(u64::from(range.bytes)));
    let mut mover = Mover {
        instance: context.instance(),
        source,
        target,
        range,
    };
    strings::transcode(
        range.encoding,
        range.bytes,
        target.encoding,
        target.width,
        &mut mover,
    )
}

/// The bytes of a range that was checked against this memory.
fn slice<'a>(memory: &'a [u8], range: &StringRange) -> &'a [u8] {
    let start = range.ptr as usize;
    memory
        .get(start..start.saturating_add(range.bytes as usize))
        .unwrap_or(&[])
}

struct Mover<'a> {
    instance: &'a InstanceData,
    source: &'a CallOptions,
    target: &'a CallOptions,
    range: StringRange,
}

impl Transcoder for Mover<'_> {
    type Error = Error;

    fn realloc(&mut self, old: u64, old_bytes: u32, align: u32, bytes: u32) -> Result<u64> {
        let Some(realloc) = self.target.realloc else {
            return Err(Error::new(Bug(
                "lowering needs a realloc that validation did not ask for".into(),
            )));
        };
        let mut lanes = [old, old_bytes.into(), align.into(), bytes.into()].map(Lane::from_u64);
        let part = self.instance.part(self.target.owner);
        let slots = part.context.replace([0; 2]);
        part.may_leave.set(false);
        realloc.call(self.instance.store(), &mut lanes)?;
        part.may_leave.set(true);
        part.context.set(slots);
        let [pointer, ..] = lanes;
        Ok(match self.target.width {
            PointerWidth::P32 => pointer.u32().into(),
            PointerWidth::P64 => pointer.u64(),
        })
    }

    fn target_len(&mut self) -> u64 {
        // SAFETY: no guest runs while the slice is alive.
        let memory = self.target.memory.map(|memory| unsafe { memory.bytes() });
        memory.map_or(0, |memory| memory.len() as u64)
    }

    fn step<R>(
        &mut self,
        ptr: u64,
        bytes: u32,
        step: impl FnOnce(&[u8], &mut [u8]) -> R,
    ) -> Result<R> {
        let (Some(source), Some(target)) = (self.source.memory, self.target.memory) else {
            return Err(Error::new(Bug("a string without a memory".into())));
        };
        // SAFETY: two memories, and no guest runs during the step.
        let (from, to) = unsafe { (source.bytes(), target.bytes_mut()) };
        let start = ptr as usize;
        let to = to.get_mut(start..start.saturating_add(bytes as usize));
        let to = to.ok_or_else(|| Error::new(Bug("an unchecked range of a string".into())))?;
        Ok(step(slice(from, &self.range), to))
    }
}
