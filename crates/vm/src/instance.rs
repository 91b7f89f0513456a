//! A core instance: its `VMContext`, and what belongs to it.
//!
//! ```text
//!   Instance (boxed, stable)  <----- VMContext.instance
//!     context ---------------------> VMContext (layout: base::vmctx)
//!     memories, tables               their definitions stand in the VMContext
//!     data, elems + drop flags
//!     keep                           whatever slots, type ids and code live in
//! ```
//!
//! [`Instance::new`] fills the fixed fields and the definitions; the embedder then
//! writes imports, globals and func refs, and runs the active segments.
//!
//! Not here: constant expressions, linking, lifetimes across instances (a store keeps
//! all its instances alive).
//!
//! # Safety
//!
//! The `VMContext` is one allocation of `offsets.size()` bytes, zeroed, so that every
//! field is a valid null, 0 or empty from the start. All fields are reached through raw
//! pointers derived from the allocation. Indices are asserted against the counts that
//! the allocation was made for; validated modules cannot fail that.

use crate::lazy::LazyCode;
use crate::limiter::Limiter;
use crate::memory::Memory;
use crate::shared_memory::MemoryOwner;
use crate::table::Table;
use helve_base::id::*;
use helve_base::vmctx::{
    CodePtr, Counts, VMFuncRef, VMFunctionImport, VMGlobal, VMMemory, VMOffsets, VMStoreContext,
    VMTable, VMTag, offset,
};
use helve_base::{EntityRef, Result, Trap, ensure};
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;

/// What an instance is made of.
pub struct InstanceParts {
    /// The layout of its `VMContext`.
    pub offsets: VMOffsets,
    /// Its store.
    pub store: *mut VMStoreContext,
    /// The module's slots, one for each defined function.
    pub slots: *const CodePtr,
    /// The engine-wide id of each of the module's types.
    pub type_ids: *const u32,
    /// The memories it defines.
    pub memories: Vec<MemoryOwner>,
    /// The tables it defines.
    pub tables: Vec<Box<Table>>,
    /// The engine-wide function type ids of the tags it defines.
    pub tags: Vec<u32>,
    /// The bytes that data segments are ranges of.
    pub data_bytes: Arc<[u8]>,
    /// The data segments.
    pub data: Vec<Range<usize>>,
    /// Asked before its memories and tables grow; outlives the instance.
    pub limiter: Option<NonNull<dyn Limiter>>,
    /// Kept alive with the instance: what `slots`, `type_ids` and the code live in.
    pub keep: Arc<dyn Any + Send + Sync>,
    /// Compiles functions whose slots hold stubs (see [`crate::lazy`]), if any do.
    pub lazy: Option<Arc<dyn LazyCode>>,
}

/// A core instance. Its address ([`Box`]) is stable for its life.
#[expect(
    clippy::vec_box,
    reason = "their addresses are held by definitions and importers"
)]
pub struct Instance {
    context: NonNull<u8>,
    offsets: VMOffsets,
    memories: Vec<MemoryOwner>,
    tables: Vec<Box<Table>>,
    data_bytes: Arc<[u8]>,
    data: Vec<Cell<Option<(usize, usize)>>>,
    elems: RefCell<Vec<Box<[*mut u8]>>>,
    limiter: Option<NonNull<dyn Limiter>>,
    keep: Arc<dyn Any + Send + Sync>,
    lazy: Option<Arc<dyn LazyCode>>,
}

// SAFETY: it owns what it points to, or its store does, with which it moves; it is used
// by one thread at a time.
unsafe impl Send for Instance {}

impl Instance {
    /// An instance with no imports, null func refs, zero globals, and its segments not
    /// yet applied.
    ///
    /// # Safety
    ///
    /// `offsets` are those of the module that `slots` and `type_ids` belong to; these
    /// two, the store and the limiter live as long as the instance. All imports are set
    /// before its memories and tables are used or its code runs.
    pub unsafe fn new(parts: InstanceParts) -> Result<Box<Instance>> {
        let counts = parts.offsets.counts();
        let fits = parts.memories.len() == counts.defined_memories as usize
            && parts.tables.len() == counts.defined_tables as usize
            && parts.tags.len() == counts.defined_tags as usize;
        ensure!(fits, "instance parts that do not fit their module");
        let mut data = Vec::with_capacity(parts.data.len());
        for range in &parts.data {
            ensure!(
                range.start <= range.end && range.end <= parts.data_bytes.len(),
                "data segment {range:?} outside of its module"
            );
            data.push(Cell::new(Some((range.start, range.end))));
        }
        let layout = context_layout(&parts.offsets)?;
        // SAFETY: the layout is not empty: the fixed fields.
        let context = NonNull::new(unsafe { alloc_zeroed(layout) });
        let Some(context) = context else {
            helve_base::bail!("cannot allocate {} bytes for an instance", layout.size());
        };
        let instance = Box::new(Instance {
            context,
            offsets: parts.offsets,
            memories: parts.memories,
            tables: parts.tables,
            data_bytes: parts.data_bytes,
            data,
            elems: RefCell::default(),
            limiter: parts.limiter,
            keep: parts.keep,
            lazy: parts.lazy,
        });
        // SAFETY: each place is within the allocation, by its layout, and of that type.
        unsafe {
            instance
                .at(offset::VMCONTEXT_STORE)
                .cast::<*mut VMStoreContext>()
                .write(parts.store);
            let builtins = crate::builtins::array();
            instance
                .at(offset::VMCONTEXT_BUILTINS)
                .cast::<*const CodePtr>()
                .write(builtins);
            instance
                .at(offset::VMCONTEXT_SLOTS)
                .cast::<*const CodePtr>()
                .write(parts.slots);
            instance
                .at(offset::VMCONTEXT_TYPE_IDS)
                .cast::<*const u32>()
                .write(parts.type_ids);
            let this: *const Instance = &raw const *instance;
            instance
                .at(offset::VMCONTEXT_INSTANCE)
                .cast::<*const Instance>()
                .write(this);
            for (i, memory) in instance.memories.iter().enumerate() {
                let place = instance.offsets.defined_memory(DefinedMemoryIndex::new(i));
                memory.bind(instance.at(place).cast());
            }
            for (i, table) in instance.tables.iter().enumerate() {
                let place = instance.offsets.defined_table(DefinedTableIndex::new(i));
                table.bind(instance.at(place).cast());
            }
            for (i, &type_id) in parts.tags.iter().enumerate() {
                let place = instance.offsets.defined_tag(DefinedTagIndex::new(i));
                instance.at(place).cast::<VMTag>().write(VMTag { type_id });
            }
        }
        Ok(instance)
    }

    /// The instance whose `VMContext` is at `context`.
    ///
    /// # Safety
    ///
    /// `context` is the context of an instance that lives for `'a`.
    #[inline]
    pub unsafe fn of<'a>(context: *const u8) -> &'a Instance {
        // SAFETY: by contract; the field was written by `new`.
        unsafe {
            &**context
                .add(offset::VMCONTEXT_INSTANCE as usize)
                .cast::<*const Instance>()
        }
    }

    /// Its `VMContext`.
    pub fn context(&self) -> *mut u8 {
        self.context.as_ptr()
    }

    /// The layout of its `VMContext`.
    pub fn offsets(&self) -> &VMOffsets {
        &self.offsets
    }

    /// Its store.
    pub fn store(&self) -> *mut VMStoreContext {
        // SAFETY: written by `new`.
        unsafe {
            self.at(offset::VMCONTEXT_STORE)
                .cast::<*mut VMStoreContext>()
                .read()
        }
    }

    /// Nothing has been written to the memories that it defines since they were made, so that
    /// they need not be cleaned; but whoever may do so from now on says [`Instance::touch`]
    /// first. `memory_init` does by itself.
    pub fn set_untouched(&self) {
        for memory in &self.memories {
            memory.set_untouched();
        }
    }

    /// Code that can write to its memories is about to run, or the host to write there.
    pub fn touch(&self) {
        for memory in &self.memories {
            memory.touch();
        }
    }

    /// What it keeps alive.
    pub fn keep(&self) -> &Arc<dyn Any + Send + Sync> {
        &self.keep
    }

    /// What compiles its functions when they are first called.
    pub(crate) fn lazy(&self) -> Option<&Arc<dyn LazyCode>> {
        self.lazy.as_ref()
    }

    /// Sets the component instance's hot block.
    ///
    /// # Safety
    ///
    /// It lives as long as this instance, and is what the module's code takes it for.
    pub unsafe fn set_hot(&self, hot: *mut u8) {
        // SAFETY: a pointer field of the context.
        unsafe { self.at(offset::VMCONTEXT_HOT).cast::<*mut u8>().write(hot) }
    }

    /// Sets imported function `i`.
    ///
    /// # Safety
    ///
    /// It is of the type that the module asks for, and lives as long as this instance.
    pub unsafe fn set_imported_function(&self, i: FuncIndex, import: VMFunctionImport) {
        check(i.index(), self.counts().imported_functions);
        // SAFETY: checked; a `VMFunctionImport` stands there.
        unsafe {
            self.at(self.offsets.imported_function(i))
                .cast::<VMFunctionImport>()
                .write(import)
        }
    }

    /// Imported function `i`.
    pub fn imported_function(&self, i: FuncIndex) -> VMFunctionImport {
        check(i.index(), self.counts().imported_functions);
        // SAFETY: checked; a `VMFunctionImport` stands there.
        unsafe {
            self.at(self.offsets.imported_function(i))
                .cast::<VMFunctionImport>()
                .read()
        }
    }

    /// Sets imported table `i`.
    ///
    /// # Safety
    ///
    /// It is of the type that the module asks for, and lives as long as this instance.
    pub unsafe fn set_imported_table(&self, i: TableIndex, table: *mut VMTable) {
        check(i.index(), self.counts().imported_tables);
        // SAFETY: checked; a pointer stands there.
        unsafe {
            self.at(self.offsets.imported_table(i))
                .cast::<*mut VMTable>()
                .write(table)
        }
    }

    /// Sets imported memory `i`.
    ///
    /// # Safety
    ///
    /// It is of the type that the module asks for, and lives as long as this instance.
    pub unsafe fn set_imported_memory(&self, i: MemoryIndex, memory: *mut VMMemory) {
        check(i.index(), self.counts().imported_memories);
        // SAFETY: checked; a pointer stands there.
        unsafe {
            self.at(self.offsets.imported_memory(i))
                .cast::<*mut VMMemory>()
                .write(memory)
        }
    }

    /// Sets imported global `i`.
    ///
    /// # Safety
    ///
    /// It is of the type that the module asks for, and lives as long as this instance.
    pub unsafe fn set_imported_global(&self, i: GlobalIndex, global: *mut VMGlobal) {
        check(i.index(), self.counts().imported_globals);
        // SAFETY: checked; a pointer stands there.
        unsafe {
            self.at(self.offsets.imported_global(i))
                .cast::<*mut VMGlobal>()
                .write(global)
        }
    }

    /// Sets imported tag `i`.
    ///
    /// # Safety
    ///
    /// It is of the type that the module asks for, and lives as long as this instance.
    pub unsafe fn set_imported_tag(&self, i: TagIndex, tag: *mut VMTag) {
        check(i.index(), self.counts().imported_tags);
        // SAFETY: checked; a pointer stands there.
        unsafe {
            self.at(self.offsets.imported_tag(i))
                .cast::<*mut VMTag>()
                .write(tag)
        }
    }

    /// The table with index `i`, imported (null until set) or defined.
    pub fn table(&self, i: TableIndex) -> *mut VMTable {
        let imported = self.counts().imported_tables as usize;
        match i.index().checked_sub(imported) {
            // SAFETY: an imported index; a pointer stands there.
            None => unsafe {
                self.at(self.offsets.imported_table(i))
                    .cast::<*mut VMTable>()
                    .read()
            },
            Some(defined) => {
                check(defined, self.counts().defined_tables);
                self.at(self.offsets.defined_table(DefinedTableIndex::new(defined)))
                    .cast()
            }
        }
    }

    /// The memory with index `i`, imported (null until set) or defined.
    pub fn memory(&self, i: MemoryIndex) -> *mut VMMemory {
        let imported = self.counts().imported_memories as usize;
        match i.index().checked_sub(imported) {
            // SAFETY: an imported index; a pointer stands there.
            None => unsafe {
                self.at(self.offsets.imported_memory(i))
                    .cast::<*mut VMMemory>()
                    .read()
            },
            Some(defined) => {
                check(defined, self.counts().defined_memories);
                self.at(self
                    .offsets
                    .defined_memory(DefinedMemoryIndex::new(defined)))
                    .cast()
            }
        }
    }

    /// The global with index `i`, imported (null until set) or defined.
    pub fn global(&self, i: GlobalIndex) -> *mut VMGlobal {
        let imported = self.counts().imported_globals as usize;
        match i.index().checked_sub(imported) {
            // SAFETY: an imported index; a pointer stands there.
            None => unsafe {
                self.at(self.offsets.imported_global(i))
                    .cast::<*mut VMGlobal>()
                    .read()
            },
            Some(defined) => {
                check(defined, self.counts().defined_globals);
                self.at(self
                    .offsets
                    .defined_global(DefinedGlobalIndex::new(defined)))
                    .cast()
            }
        }
    }

    /// The tag with index `i`, imported (null until set) or defined.
    pub fn tag(&self, i: TagIndex) -> *mut VMTag {
        let imported = self.counts().imported_tags as usize;
        match i.index().checked_sub(imported) {
            // SAFETY: an imported index; a pointer stands there.
            None => unsafe {
                self.at(self.offsets.imported_tag(i))
                    .cast::<*mut VMTag>()
                    .read()
            },
            Some(defined) => {
                check(defined, self.counts().defined_tags);
                self.at(self.offsets.defined_tag(DefinedTagIndex::new(defined)))
                    .cast()
            }
        }
    }

    /// The `VMFuncRef` at place `i`; its fields are null until the embedder writes them.
    pub fn func_ref(&self, i: FuncRefIndex) -> *mut VMFuncRef {
        check(i.index(), self.counts().func_refs);
        self.at(self.offsets.func_ref(i)).cast()
    }

    /// Sets the element segments, evaluated. All are empty before.
    pub fn set_elems(&self, elems: Vec<Box<[*mut u8]>>) {
        *self.elems.borrow_mut() = elems;
    }

    /// `memory.init`: copies `len` bytes at `from` of a data segment.
    pub fn memory_init(
        &self,
        memory: MemoryIndex,
        segment: DataIndex,
        to: u64,
        from: u32,
        len: u32,
    ) -> Result<(), Trap> {
        // SAFETY: a linked instance's memories are live.
        let memory = unsafe { Memory::of(self.memory(memory)) };
        let data = self.data(segment);
        let from = from as usize;
        let source = from
            .checked_add(len as usize)
            .and_then(|end| data.get(from..end));
        let target = memory.range(to, len.into());
        let (Some(source), Some(target)) = (source, target) else {
            return Err(Trap::MemoryOutOfBounds);
        };
        memory.touch();
        crate::pages::populate(target, source.len());
        // SAFETY: `range` says the target is within the memory; segments are the host's.
        unsafe { target.copy_from_nonoverlapping(source.as_ptr(), source.len()) };
        Ok(())
    }

    /// `data.drop`.
    pub fn data_drop(&self, segment: DataIndex) {
        if let Some(cell) = self.data.get(segment.index()) {
            cell.set(None);
        }
    }

    /// `table.init`: copies `len` elements at `from` of an element segment.
    pub fn table_init(
        &self,
        table: TableIndex,
        segment: ElemIndex,
        to: u64,
        from: u32,
        len: u32,
    ) -> Result<(), Trap> {
        // SAFETY: a linked instance's tables are live.
        let table = unsafe { Table::of(self.table(table)) };
        let elems = self.elems.borrow();
        let elems = elems.get(segment.index()).map_or(&[][..], |elems| elems);
        let from = from as usize;
        let source = from
            .checked_add(len as usize)
            .and_then(|end| elems.get(from..end));
        source
            .and_then(|source| table.init(to, source))
            .ok_or(Trap::TableOutOfBounds)
    }

    /// `elem.drop`.
    pub fn elem_drop(&self, segment: ElemIndex) {
        if let Some(elems) = self.elems.borrow_mut().get_mut(segment.index()) {
            *elems = Box::default();
        }
    }

    /// Asked before a memory or table grows.
    pub(crate) fn limiter(&self) -> Option<NonNull<dyn Limiter>> {
        self.limiter
    }

    /// What is left of a data segment: all or, once dropped, nothing.
    fn data(&self, segment: DataIndex) -> &[u8] {
        let range = self.data.get(segment.index()).and_then(Cell::get);
        range
            .and_then(|(start, end)| self.data_bytes.get(start..end))
            .unwrap_or(&[])
    }

    fn counts(&self) -> Counts {
        self.offsets.counts()
    }

    /// The place `offset` bytes into the context, which is one of its layout.
    fn at(&self, offset: u32) -> *mut u8 {
        // SAFETY: callers pass offsets of the layout that the context was allocated for.
        unsafe { self.context.as_ptr().add(offset as usize) }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Ok(layout) = context_layout(&self.offsets) {
            // SAFETY: allocated with this layout by `new`. Memories and tables do not
            // look at their definitions when they are dropped after this.
            unsafe { dealloc(self.context.as_ptr(), layout) };
        }
    }
}

fn context_layout(offsets: &VMOffsets) -> Result<Layout> {
    Ok(Layout::from_size_align(offsets.size() as usize, 16)?)
}

#[track_caller]
fn check(index: usize, count: u32) {
    assert!(index < count as usize, "index {index} of {count}");
}
