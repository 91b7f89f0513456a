//! Where a module's DWARF stands, for backtraces that show source lines.
//!
//! Only places are noted: reading it is for when somebody looks. Not here: reading it (the
//! embedder's).

use crate::bytes::Bytes;
use std::ops::Range;

/// A module's custom sections whose names start with `.debug_`.
#[derive(Clone, Debug)]
pub struct DebugSections {
    bytes: Bytes,
    /// Where the contents of the code section start: DWARF counts from there.
    code_start: u32,
    sections: Vec<(Box<str>, Range<usize>)>,
}

impl DebugSections {
    /// The sections in a module's bytes; none if there are none.
    pub(crate) fn new(
        bytes: &Bytes,
        code_start: u32,
        sections: Vec<(Box<str>, Range<usize>)>,
    ) -> Option<DebugSections> {
        (!sections.is_empty()).then(|| DebugSections {
            bytes: bytes.clone(),
            code_start,
            sections,
        })
    }

    /// The contents of a section; empty if it isn't there.
    pub fn section(&self, name: &str) -> &[u8] {
        let found = self.sections.iter().find(|(known, _)| **known == *name);
        let bytes = found.and_then(|(_, range)| self.bytes.get(range.clone()));
        bytes.unwrap_or(&[])
    }

    /// What DWARF calls the instruction at `offset` of the module.
    pub fn address(&self, offset: u32) -> Option<u64> {
        offset.checked_sub(self.code_start).map(u64::from)
    }
}
