//! Source lines of wasm instructions, from a module's DWARF.
//!
//! The DWARF is the guest's: whatever is wrong with it, the answer is that nothing is known.
//! Read only when a backtrace is looked at. Not here: which frames there are (`backtrace`).

use gimli::{EndianSlice, LittleEndian};
use helve_compile::debug::DebugSections;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A function of the source and a place in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameSymbol {
    file: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
    /// The function's, demangled.
    name: Option<String>,
}

impl FrameSymbol {
    /// The function's name, readable.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The source file, as its compiler was given it.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// The line, counted from 1.
    pub fn line(&self) -> Option<u32> {
        self.line
    }

    /// The column, counted from 1.
    pub fn column(&self) -> Option<u32> {
        self.column
    }
}

impl std::fmt::Display for FrameSymbol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.file.as_deref().unwrap_or("?"))?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(column) = self.column {
            write!(f, ":{column}")?;
        }
        Ok(())
    }
}

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// A module's DWARF, opened.
pub(crate) struct Symbolizer<'a> {
    sections: &'a DebugSections,
    context: addr2line::Context<Slice<'a>>,
}

impl<'a> Symbolizer<'a> {
    /// Opens it; `None` where it cannot be read.
    pub fn new(sections: &'a DebugSections) -> Option<Symbolizer<'a>> {
        let load = |id: gimli::SectionId| -> Result<Slice<'a>, gimli::Error> {
            Ok(EndianSlice::new(sections.section(id.name()), LittleEndian))
        };
        let open = || addr2line::Context::from_dwarf(gimli::Dwarf::load(load)?);
        let context = catch_unwind(AssertUnwindSafe(open)).ok()?.ok()?;
        Some(Symbolizer { sections, context })
    }

    /// The function at `offset` of the module and what it was inlined into, innermost first.
    pub fn at(&self, offset: u32) -> Vec<FrameSymbol> {
        let find = || {
            let address = self.sections.address(offset)?;
            let mut frames = self.context.find_frames(address).skip_all_loads().ok()?;
            let mut found = Vec::new();
            while let (Ok(Some(frame)), true) = (frames.next(), found.len() < MOST) {
                let name = frame
                    .function
                    .as_ref()
                    .and_then(|name| name.raw_name().ok());
                let name = name.map(|name| format!("{:#}", rustc_demangle::demangle(&name)));
                let place = frame.location.as_ref();
                found.push(FrameSymbol {
                    name,
                    file: place.and_then(|place| place.file).map(str::to_owned),
                    line: place.and_then(|place| place.line).filter(|line| *line > 0),
                    column: place
                        .and_then(|place| place.column)
                        .filter(|column| *column > 0),
                });
            }
            Some(found)
        };
        let found = catch_unwind(AssertUnwindSafe(find)).ok().flatten();
        found.unwrap_or_default()
    }
}

/// Inlined functions at one place that are told.
const MOST: usize = 64;
