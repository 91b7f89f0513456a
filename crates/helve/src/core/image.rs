//! The first contents of a module's memories as images, which instances share page by page
//! until they write.
//!
//! ```text
//!   1st instance    data segments are copied; most programs make no other
//!   2nd             images are made, and mapped from now on
//! ```
//!
//! A module has images if its active data segments all go to memories of its own, to places
//! that are written in the module and lie within the memory: then nothing that happens
//! while it is instantiated could make the first contents any others.
//!
//! Not here: mapping (`helve_vm`).

use crate::core::module::ModuleInner;
use helve_base::EntityRef;
use helve_base::id::*;
use helve_compile::module::{ConstOp, DataMode, Module};
use helve_vm::image::MemoryImage;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Segments of fewer bytes together are copied: they are worth no mapping.
const LEAST: usize = 16 << 10;

/// What lies between the first and the last byte may be this many times what the segments
/// hold.
const SPARSE: usize = 16;

/// A module's images, made when they are first worth it.
#[derive(Default)]
pub(crate) struct ModuleImages {
    used: AtomicBool,
    made: OnceLock<Option<Images>>,
}

/// One image, or none, for each memory that the module defines. They hold all that its
/// active segments do.
pub(crate) struct Images(Vec<Option<Arc<MemoryImage>>>);

impl Images {
    /// The image of a memory.
    pub fn get(&self, memory: DefinedMemoryIndex) -> Option<&Arc<MemoryImage>> {
        self.0.get(memory.index())?.as_ref()
    }

    /// Every image, with its memory.
    pub fn iter(&self) -> impl Iterator<Item = (DefinedMemoryIndex, Range<usize>)> {
        let images = self.0.iter().enumerate();
        images.filter_map(|(i, image)| Some((DefinedMemoryIndex::new(i), image.as_ref()?.range())))
    }
}

impl ModuleImages {
    /// The images for one more instance; none for the first one.
    pub fn next(&self, module: &ModuleInner) -> Option<&Images> {
        if !self.used.load(Ordering::Relaxed) && !self.used.swap(true, Ordering::Relaxed) {
            return None;
        }
        self.made.get_or_init(|| make(module)).as_ref()
    }
}

/// A memory's segments: where to, and what.
type Segments<'a> = Vec<(usize, &'a [u8])>;

fn make(module: &ModuleInner) -> Option<Images> {
    let info = &module.info;
    let mut memories: Vec<Segments<'_>> = vec![Vec::new(); info.counts.defined_memories as usize];
    for ((_, segment), range) in info.data.iter().zip(&module.data) {
        let DataMode::Active { memory, offset } = &segment.mode else {
            continue;
        };
        let memory = info.defined_memory(*memory)?;
        let to = match *offset.ops {
            [ConstOp::I32Const(to)] => u64::from(to as u32),
            [ConstOp::I64Const(to)] => to as u64,
            _ => return None,
        };
        let to = usize::try_from(to).ok()?;
        let bytes = module.bytes.get(range.clone())?;
        let end = to.checked_add(bytes.len())?;
        if end as u64 > least_bytes(info, memory)? {
            return None;
        }
        memories.get_mut(memory.index())?.push((to, bytes));
    }
    let all: usize = memories
        .iter()
        .flatten()
        .map(|(_, bytes)| bytes.len())
        .sum();
    if all < LEAST || !memories.iter().all(|segments| is_dense(segments)) {
        return None;
    }
    let images = memories.iter().map(|segments| match segments.as_slice() {
        [] => Some(None),
        segments if segments.iter().all(|(_, bytes)| bytes.is_empty()) => Some(None),
        segments => MemoryImage::new(segments).map(Some),
    });
    Some(Images(images.collect::<Option<_>>()?))
}

/// Bytes that a memory has at first.
fn least_bytes(info: &Module, memory: DefinedMemoryIndex) -> Option<u64> {
    let ty = info.memories.get(info.memory_index(memory))?;
    ty.minimum.checked_mul(ty.page_size())
}

fn is_dense(segments: &Segments<'_>) -> bool {
    let first = segments.iter().map(|&(to, _)| to).min().unwrap_or(0);
    let last = segments.iter().map(|&(to, bytes)| to + bytes.len()).max();
    let held: usize = segments.iter().map(|(_, bytes)| bytes.len()).sum();
    last.unwrap_or(0) - first <= held.saturating_mul(SPARSE)
}
