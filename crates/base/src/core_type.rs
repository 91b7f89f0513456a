//! Core WebAssembly's types as Helve's floors pass them to each other.
//!
//! Why not `wasmparser`'s: those need the module they came from to be understood
//! (type indices), and the VM must not depend on a parser. Not here: component
//! types (`helve_abi::types`).

use crate::id::SharedTypeId;

/// What a reference may point to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeapType {
    /// Any function.
    Func,
    /// Any host value.
    Extern,
    /// A function of exactly this engine-wide type.
    ConcreteFunc(SharedTypeId),
    /// No function: the bottom of the function hierarchy.
    NoFunc,
    /// No host value: the bottom of the extern hierarchy.
    NoExtern,
    /// An exception.
    Exn,
    /// No exception: the bottom of the exception hierarchy.
    NoExn,
}

impl HeapType {
    /// Whether references to it are `VMFuncRef` pointers.
    pub fn is_func(self) -> bool {
        matches!(
            self,
            HeapType::Func | HeapType::ConcreteFunc(_) | HeapType::NoFunc
        )
    }

    /// Whether references to it are `VMException` pointers.
    pub fn is_exception(self) -> bool {
        matches!(self, HeapType::Exn | HeapType::NoExn)
    }

    /// Whether every reference to `self` is one to `wider` too.
    pub fn is_subtype_of(self, wider: HeapType) -> bool {
        use HeapType::*;
        match (self, wider) {
            (a, b) if a == b => true,
            (NoFunc | ConcreteFunc(_), Func) | (NoFunc, ConcreteFunc(_)) => true,
            (NoExtern, Extern) | (NoExn, Exn) => true,
            _ => false,
        }
    }
}

/// A reference type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RefType {
    /// Whether null is among its values.
    pub nullable: bool,
    /// What it points to.
    pub heap: HeapType,
}

impl RefType {
    /// `funcref`.
    pub const FUNCREF: RefType = RefType {
        nullable: true,
        heap: HeapType::Func,
    };
    /// `externref`.
    pub const EXTERNREF: RefType = RefType {
        nullable: true,
        heap: HeapType::Extern,
    };

    /// Whether every value of `self` is one of `wider` too.
    pub fn is_subtype_of(self, wider: RefType) -> bool {
        (!self.nullable || wider.nullable) && self.heap.is_subtype_of(wider.heap)
    }
}

/// A value type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValType {
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// 128-bit vector.
    V128,
    /// Reference.
    Ref(RefType),
}

impl ValType {
    /// Whether every value of `self` is one of `wider` too.
    pub fn is_subtype_of(self, wider: ValType) -> bool {
        match (self, wider) {
            (ValType::Ref(a), ValType::Ref(b)) => a.is_subtype_of(b),
            (a, b) => a == b,
        }
    }
}

impl std::fmt::Display for HeapType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            HeapType::Func => f.write_str("func"),
            HeapType::Extern => f.write_str("extern"),
            HeapType::ConcreteFunc(id) => write!(f, "{id}"),
            HeapType::NoFunc => f.write_str("nofunc"),
            HeapType::NoExtern => f.write_str("noextern"),
            HeapType::Exn => f.write_str("exn"),
            HeapType::NoExn => f.write_str("noexn"),
        }
    }
}

impl std::fmt::Display for ValType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ValType::I32 => f.write_str("i32"),
            ValType::I64 => f.write_str("i64"),
            ValType::F32 => f.write_str("f32"),
            ValType::F64 => f.write_str("f64"),
            ValType::V128 => f.write_str("v128"),
            ValType::Ref(r) if *r == RefType::FUNCREF => f.write_str("funcref"),
            ValType::Ref(r) if *r == RefType::EXTERNREF => f.write_str("externref"),
            ValType::Ref(r) => {
                write!(
                    f,
                    "(ref {}{})",
                    if r.nullable { "null " } else { "" },
                    r.heap
                )
            }
        }
    }
}

/// A function type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FuncType {
    /// Parameters, in order.
    pub params: Box<[ValType]>,
    /// Results, in order.
    pub results: Box<[ValType]>,
}

impl FuncType {
    /// The type from `params` to `results`.
    pub fn new(
        params: impl IntoIterator<Item = ValType>,
        results: impl IntoIterator<Item = ValType>,
    ) -> FuncType {
        FuncType {
            params: params.into_iter().collect(),
            results: results.into_iter().collect(),
        }
    }
}

impl FuncType {
    /// What the references among its parameters and results may point to.
    pub fn heap_types(&self) -> impl Iterator<Item = HeapType> + '_ {
        let all = self.params.iter().chain(&self.results);
        all.filter_map(|ty| match ty {
            ValType::Ref(ty) => Some(ty.heap),
            _ => None,
        })
    }

    /// The same type with others instead of those.
    ///
    /// # Errors
    ///
    /// Where `map` fails.
    pub fn map_heap_types<E>(
        &self,
        map: impl Fn(HeapType) -> Result<HeapType, E>,
    ) -> Result<FuncType, E> {
        let one = |ty: &ValType| match *ty {
            ValType::Ref(ty) => Ok(ValType::Ref(RefType {
                heap: map(ty.heap)?,
                ..ty
            })),
            other => Ok(other),
        };
        Ok(FuncType {
            params: self.params.iter().map(one).collect::<Result<_, E>>()?,
            results: self.results.iter().map(one).collect::<Result<_, E>>()?,
        })
    }
}

impl std::fmt::Display for FuncType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |f: &mut std::fmt::Formatter<'_>, types: &[ValType]| {
            f.write_str("[")?;
            for (i, ty) in types.iter().enumerate() {
                write!(f, "{}{ty}", if i == 0 { "" } else { " " })?;
            }
            f.write_str("]")
        };
        list(f, &self.params)?;
        f.write_str(" -> ")?;
        list(f, &self.results)
    }
}

/// The type of a linear memory. Sizes are in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemoryType {
    /// Pages at the start.
    pub minimum: u64,
    /// Most pages it may grow to, if it says so.
    pub maximum: Option<u64>,
    /// Whether addresses are 64 bits wide.
    pub memory64: bool,
    /// Whether several threads may share it.
    pub shared: bool,
    /// log2 of the page size in bytes; 16 unless custom page sizes are in use.
    pub page_size_log2: u8,
}

impl MemoryType {
    /// Bytes of one page.
    pub fn page_size(&self) -> u64 {
        1 << self.page_size_log2
    }
}

/// The type of a table. Sizes are in elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TableType {
    /// What the elements are.
    pub element: RefType,
    /// Elements at the start.
    pub minimum: u64,
    /// Most elements it may grow to, if it says so.
    pub maximum: Option<u64>,
    /// Whether indices are 64 bits wide.
    pub table64: bool,
}

/// The type of a global.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GlobalType {
    /// What it holds.
    pub content: ValType,
    /// Whether it can be set.
    pub mutable: bool,
}

/// The type of anything a module imports or exports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExternType {
    /// A function.
    Func(FuncType),
    /// A table.
    Table(TableType),
    /// A memory.
    Memory(MemoryType),
    /// A global.
    Global(GlobalType),
    /// A tag: an exception's payload as the parameters of a function type.
    Tag(FuncType),
}

impl ExternType {
    /// The noun for messages: "function", "table", ...
    pub fn noun(&self) -> &'static str {
        match self {
            ExternType::Func(_) => "function",
            ExternType::Table(_) => "table",
            ExternType::Memory(_) => "memory",
            ExternType::Global(_) => "global",
            ExternType::Tag(_) => "tag",
        }
    }
}
