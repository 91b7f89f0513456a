//! What a module is, apart from its code: all that an embedder needs to link and
//! instantiate it. Owned data, no reference to the bytes it came from.
//!
//! ```text
//!   types
//!   imports ----> functions, tables, memories, globals, tags   (imports first)
//!   exports ----> EntityIndex into those
//!   global_inits, table_inits, elems, data, start              (what instantiation does)
//!   func_refs     FuncIndex -> place of its VMFuncRef
//! ```
//!
//! Types inside a module are the module's own: a `HeapType::ConcreteFunc` in it holds
//! the number of a [`TypeIndex`], which the embedder maps to an engine-wide id.
//!
//! Not here: reading it from bytes (`translate`).

use crate::debug::DebugSections;
use crate::names::FunctionNames;
use helve_base::PrimaryMap;
use helve_base::core_type::*;
use helve_base::id::*;
use helve_base::vmctx::{Counts, VMOffsets};
use std::collections::HashMap;
use std::ops::Range;

/// One core module.
#[derive(Clone, Debug)]
pub struct Module {
    /// Function types, by their index in the module.
    pub types: PrimaryMap<TypeIndex, FuncType>,
    /// How many of them each group of recursive types has, in order; most have one.
    pub type_groups: Vec<u32>,
    /// What it imports, in order.
    pub imports: Vec<Import>,
    /// What it exports, in order.
    pub exports: Vec<Export>,
    /// The type of each function, imported ones first.
    pub functions: PrimaryMap<FuncIndex, TypeIndex>,
    /// Tables, imported ones first.
    pub tables: PrimaryMap<TableIndex, TableType>,
    /// Memories, imported ones first.
    pub memories: PrimaryMap<MemoryIndex, MemoryType>,
    /// Globals, imported ones first.
    pub globals: PrimaryMap<GlobalIndex, GlobalType>,
    /// Tags with the type of their payload, imported ones first.
    pub tags: PrimaryMap<TagIndex, TypeIndex>,
    /// First values of the globals it defines.
    pub global_inits: PrimaryMap<DefinedGlobalIndex, ConstExpr>,
    /// What the tables it defines are filled with at first; `None` is null.
    pub table_inits: PrimaryMap<DefinedTableIndex, Option<ConstExpr>>,
    /// Element segments.
    pub elems: PrimaryMap<ElemIndex, ElemSegment>,
    /// Data segments.
    pub data: PrimaryMap<DataIndex, DataSegment>,
    /// The start function.
    pub start: Option<FuncIndex>,
    /// Every function that may need a `VMFuncRef` (exported, in an element segment,
    /// named by `ref.func`, the start function), in the order of their places.
    pub func_refs: PrimaryMap<FuncRefIndex, FuncIndex>,
    /// How many of each thing there are.
    pub counts: Counts,
    /// The layout of its instances' contexts.
    pub offsets: VMOffsets,
    /// Names of functions, for backtraces.
    pub names: FunctionNames,
    /// What the module calls itself, if anything.
    pub module_name: Option<String>,
    /// Its DWARF, if it has any.
    pub debug: Option<DebugSections>,
    pub(crate) func_ref_of: HashMap<FuncIndex, FuncRefIndex>,
    pub(crate) export_of: HashMap<String, usize>,
}

/// One import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The module half of its name.
    pub module: String,
    /// The field half of its name.
    pub name: String,
    /// Where it stands in the index spaces.
    pub entity: EntityIndex,
}

/// One export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Its name.
    pub name: String,
    /// What is exported.
    pub entity: EntityIndex,
}

/// Anything with an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntityIndex {
    /// A function.
    Func(FuncIndex),
    /// A table.
    Table(TableIndex),
    /// A memory.
    Memory(MemoryIndex),
    /// A global.
    Global(GlobalIndex),
    /// A tag.
    Tag(TagIndex),
}

/// A constant expression: a program for a small stack machine that leaves one value.
/// Valid by construction; whoever evaluates it only needs the stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConstExpr {
    /// Its instructions, in order.
    pub ops: Box<[ConstOp]>,
}

/// One instruction of a [`ConstExpr`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConstOp {
    /// Pushes an i32.
    I32Const(i32),
    /// Pushes an i64.
    I64Const(i64),
    /// Pushes an f32, given by its bits.
    F32Const(u32),
    /// Pushes an f64, given by its bits.
    F64Const(u64),
    /// Pushes a v128, little-endian.
    V128Const([u8; 16]),
    /// Pushes the value of a global.
    GlobalGet(GlobalIndex),
    /// Pushes a null reference.
    RefNull(HeapType),
    /// Pushes a reference to a function.
    RefFunc(FuncIndex),
    /// Pops two i32, pushes their sum, wrapping.
    I32Add,
    /// Pops two i32, pushes their difference, wrapping.
    I32Sub,
    /// Pops two i32, pushes their product, wrapping.
    I32Mul,
    /// Pops two i64, pushes their sum, wrapping.
    I64Add,
    /// Pops two i64, pushes their difference, wrapping.
    I64Sub,
    /// Pops two i64, pushes their product, wrapping.
    I64Mul,
}

/// What becomes of a segment at instantiation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ElemMode {
    /// It waits for `table.init`.
    Passive,
    /// It only declares functions for `ref.func`: dropped at once.
    Declared,
    /// It is copied into a table, then dropped.
    Active {
        /// Which table.
        table: TableIndex,
        /// Where to.
        offset: ConstExpr,
    },
}

/// What an element segment holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ElemItems {
    /// References to these functions.
    Funcs(Box<[FuncIndex]>),
    /// The values of these expressions.
    Exprs(Box<[ConstExpr]>),
}

impl ElemItems {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            ElemItems::Funcs(items) => items.len(),
            ElemItems::Exprs(items) => items.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An element segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElemSegment {
    /// What becomes of it.
    pub mode: ElemMode,
    /// The type of its items.
    pub ty: RefType,
    /// What it holds.
    pub items: ElemItems,
}

/// What becomes of a data segment at instantiation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataMode {
    /// It waits for `memory.init`.
    Passive,
    /// It is copied into a memory, then dropped.
    Active {
        /// Which memory.
        memory: MemoryIndex,
        /// Where to.
        offset: ConstExpr,
    },
}

/// A data segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSegment {
    /// What becomes of it.
    pub mode: DataMode,
    /// Where its bytes are, counted from the start of the module.
    pub range: Range<usize>,
}

impl Module {
    /// A module with nothing in it.
    pub(crate) fn empty() -> Module {
        Module {
            types: PrimaryMap::new(),
            type_groups: Vec::new(),
            imports: Vec::new(),
            exports: Vec::new(),
            functions: PrimaryMap::new(),
            tables: PrimaryMap::new(),
            memories: PrimaryMap::new(),
            globals: PrimaryMap::new(),
            tags: PrimaryMap::new(),
            global_inits: PrimaryMap::new(),
            table_inits: PrimaryMap::new(),
            elems: PrimaryMap::new(),
            data: PrimaryMap::new(),
            start: None,
            func_refs: PrimaryMap::new(),
            counts: Counts::default(),
            offsets: VMOffsets::new(Counts::default()),
            names: FunctionNames::default(),
            module_name: None,
            debug: None,
            func_ref_of: HashMap::new(),
            export_of: HashMap::new(),
        }
    }

    /// What is exported under `name`.
    pub fn export(&self, name: &str) -> Option<EntityIndex> {
        self.export_of.get(name).map(|&i| self.exports[i].entity)
    }

    /// The place of a function's `VMFuncRef`, if its reference can be taken.
    pub fn func_ref(&self, func: FuncIndex) -> Option<FuncRefIndex> {
        self.func_ref_of.get(&func).copied()
    }

    /// The type of a function.
    pub fn func_type(&self, func: FuncIndex) -> &FuncType {
        &self.types[self.functions[func]]
    }

    /// The type of anything with an index.
    pub fn entity_type(&self, entity: EntityIndex) -> ExternType {
        match entity {
            EntityIndex::Func(i) => ExternType::Func(self.func_type(i).clone()),
            EntityIndex::Table(i) => ExternType::Table(self.tables[i]),
            EntityIndex::Memory(i) => ExternType::Memory(self.memories[i]),
            EntityIndex::Global(i) => ExternType::Global(self.globals[i]),
            EntityIndex::Tag(i) => ExternType::Tag(self.types[self.tags[i]].clone()),
        }
    }

    /// Which of the module's own functions this is; `None` for an import.
    pub fn defined_func(&self, i: FuncIndex) -> Option<DefinedFuncIndex> {
        defined(
            i.as_u32(),
            self.counts.imported_functions,
            DefinedFuncIndex::from_u32,
        )
    }

    /// The index of one of the module's own functions.
    pub fn func_index(&self, i: DefinedFuncIndex) -> FuncIndex {
        FuncIndex::from_u32(self.counts.imported_functions.saturating_add(i.as_u32()))
    }

    /// How many functions the module defines.
    pub fn defined_funcs(&self) -> usize {
        self.functions
            .len()
            .saturating_sub(self.counts.imported_functions as usize)
    }

    /// Which of the module's own tables this is; `None` for an import.
    pub fn defined_table(&self, i: TableIndex) -> Option<DefinedTableIndex> {
        defined(
            i.as_u32(),
            self.counts.imported_tables,
            DefinedTableIndex::from_u32,
        )
    }

    /// The index of one of the module's own tables.
    pub fn table_index(&self, i: DefinedTableIndex) -> TableIndex {
        TableIndex::from_u32(self.counts.imported_tables.saturating_add(i.as_u32()))
    }

    /// Which of the module's own memories this is; `None` for an import.
    pub fn defined_memory(&self, i: MemoryIndex) -> Option<DefinedMemoryIndex> {
        defined(
            i.as_u32(),
            self.counts.imported_memories,
            DefinedMemoryIndex::from_u32,
        )
    }

    /// The index of one of the module's own memories.
    pub fn memory_index(&self, i: DefinedMemoryIndex) -> MemoryIndex {
        MemoryIndex::from_u32(self.counts.imported_memories.saturating_add(i.as_u32()))
    }

    /// Which of the module's own globals this is; `None` for an import.
    pub fn defined_global(&self, i: GlobalIndex) -> Option<DefinedGlobalIndex> {
        defined(
            i.as_u32(),
            self.counts.imported_globals,
            DefinedGlobalIndex::from_u32,
        )
    }

    /// The index of one of the module's own globals.
    pub fn global_index(&self, i: DefinedGlobalIndex) -> GlobalIndex {
        GlobalIndex::from_u32(self.counts.imported_globals.saturating_add(i.as_u32()))
    }

    /// Which of the module's own tags this is; `None` for an import.
    pub fn defined_tag(&self, i: TagIndex) -> Option<DefinedTagIndex> {
        defined(
            i.as_u32(),
            self.counts.imported_tags,
            DefinedTagIndex::from_u32,
        )
    }

    /// What to call a function in a message: its name, else `func N`.
    pub fn func_display_name(&self, func: FuncIndex) -> String {
        match self.names.get(func) {
            Some(name) => name.to_string(),
            None => format!("func {}", func.as_u32()),
        }
    }
}

fn defined<T>(index: u32, imported: u32, make: impl FnOnce(u32) -> T) -> Option<T> {
    index.checked_sub(imported).map(make)
}
