//! What is known about a type once it is interned: layout, flat forms, depth, and what
//! it contains. Computed from its parts' facts when the type is made, so asking is a
//! table look-up and no question ever walks a type (whose tree may be exponentially
//! larger than its graph).

use crate::flat::{FlatType, FlatTypes};
use crate::layout::{Layout, PointerWidth, RecordBuilder, VariantBuilder};
use crate::types::*;

/// The facts about one type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub layout: Layout,
    flat32: Option<FlatTypes>,
    flat64: Option<FlatTypes>,
    pub depth: u8,
    contains: u8,
}

/// Somewhere in a value there may be a `borrow`.
const BORROW: u8 = 1;
/// A handle of any kind, error contexts included.
const HANDLE: u8 = 2;
/// A stream or future.
const ASYNC: u8 = 4;
/// A string, list or map: what points to more memory.
const POINTER: u8 = 8;
/// In memory it has no padding, and every bit pattern is a value that stands for itself
/// in any memory.
const BULK: u8 = 16;

impl Facts {
    fn new(layout: Layout, flat32: Option<FlatTypes>, flat64: Option<FlatTypes>) -> Facts {
        Facts {
            layout,
            flat32,
            flat64,
            depth: 0,
            contains: 0,
        }
    }

    fn scalar(layout: Layout, flat: FlatType, contains: u8) -> Facts {
        let flat = Some(FlatTypes::of(&[flat]));
        Facts {
            contains,
            ..Facts::new(layout, flat, flat)
        }
    }

    fn pointer_pair() -> Facts {
        let flat = |width| Some(FlatTypes::of(&[FlatType::pointer(width); 2]));
        Facts {
            contains: POINTER,
            ..Facts::new(
                Layout::POINTER_PAIR,
                flat(PointerWidth::P32),
                flat(PointerWidth::P64),
            )
        }
    }

    /// The same with what parts bring: their depth, and what they contain.
    fn with_parts(mut self, parts: impl IntoIterator<Item = Facts>) -> Facts {
        for part in parts {
            self.depth = self.depth.max(part.depth);
            self.contains |= part.contains & (BORROW | HANDLE | ASYNC | POINTER);
        }
        self.depth = self.depth.saturating_add(1);
        self
    }

    fn flat(&self, width: PointerWidth) -> Option<FlatTypes> {
        match width {
            PointerWidth::P32 => self.flat32,
            PointerWidth::P64 => self.flat64,
        }
    }

    fn record(fields: impl Iterator<Item = Facts> + Clone) -> Facts {
        let mut layout = RecordBuilder::new();
        let mut bytes = 0u32;
        let mut bulk = BULK;
        for field in fields.clone() {
            layout.field(&field.layout);
            bytes = bytes.saturating_add(field.layout.size32);
            bulk &= field.contains;
        }
        let layout = layout.finish();
        let flat = |width| {
            fields
                .clone()
                .try_fold(FlatTypes::EMPTY, |flat, field| flat.and(field.flat(width)?))
        };
        let (flat32, flat64) = (flat(PointerWidth::P32), flat(PointerWidth::P64));
        if bytes != layout.size32 {
            bulk = 0; // padding
        }
        Facts {
            contains: bulk,
            ..Facts::new(layout, flat32, flat64)
        }
        .with_parts(fields)
    }

    fn variant(cases: impl Iterator<Item = Option<Facts>> + Clone) -> Facts {
        let mut layout = VariantBuilder::new();
        for case in cases.clone() {
            layout.case(case.as_ref().map(|case| &case.layout));
        }
        let layout = layout.finish().layout;
        let flat = |width| {
            let tag = FlatTypes::of(&[FlatType::I32]);
            cases
                .clone()
                .flatten()
                .try_fold(FlatTypes::EMPTY, |flat, case| {
                    Some(flat.join(case.flat(width)?))
                })
                .and_then(|payload| tag.and(payload))
        };
        let (flat32, flat64) = (flat(PointerWidth::P32), flat(PointerWidth::P64));
        Facts::new(layout, flat32, flat64).with_parts(cases.flatten())
    }
}

/// Facts of one kind of type, from those of its parts.
pub(crate) trait MakeFacts {
    fn facts(&self, types: &Types) -> Facts;
}

impl MakeFacts for RecordType {
    fn facts(&self, types: &Types) -> Facts {
        Facts::record(self.fields.iter().map(|field| types.facts(field.ty)))
    }
}

impl MakeFacts for TupleType {
    fn facts(&self, types: &Types) -> Facts {
        Facts::record(self.types.iter().map(|ty| types.facts(*ty)))
    }
}

impl MakeFacts for VariantType {
    fn facts(&self, types: &Types) -> Facts {
        Facts::variant(
            self.cases
                .iter()
                .map(|case| case.ty.map(|ty| types.facts(ty))),
        )
    }
}

impl MakeFacts for OptionType {
    fn facts(&self, types: &Types) -> Facts {
        Facts::variant([None, Some(types.facts(self.some))].into_iter())
    }
}

impl MakeFacts for ResultType {
    fn facts(&self, types: &Types) -> Facts {
        let facts = |ty: Option<InterfaceType>| ty.map(|ty| types.facts(ty));
        Facts::variant([facts(self.ok), facts(self.err)].into_iter())
    }
}

impl MakeFacts for EnumType {
    fn facts(&self, _: &Types) -> Facts {
        Facts::scalar(Layout::enumeration(self.names.len()), FlatType::I32, 0)
    }
}

impl MakeFacts for FlagsType {
    fn facts(&self, _: &Types) -> Facts {
        let layout = Layout::flags(self.names.len());
        // Bits without a label are cleared on the way, so some must not exist.
        let bulk = if self.names.len() as u32 == layout.size32 * 8 {
            BULK
        } else {
            0
        };
        Facts::scalar(layout, FlatType::I32, bulk)
    }
}

impl MakeFacts for ListType {
    fn facts(&self, types: &Types) -> Facts {
        Facts::pointer_pair().with_parts([types.facts(self.element)])
    }
}

impl MakeFacts for MapType {
    fn facts(&self, types: &Types) -> Facts {
        Facts::pointer_pair().with_parts([types.facts(InterfaceType::Tuple(self.entry))])
    }
}

impl MakeFacts for FixedListType {
    fn facts(&self, types: &Types) -> Facts {
        let element = types.facts(self.element);
        let layout = Layout::fixed_list(&element.layout, self.length);
        let flat = |width| {
            layout.flat_count?;
            (0..self.length).try_fold(FlatTypes::EMPTY, |flat, _| flat.and(element.flat(width)?))
        };
        let (flat32, flat64) = (flat(PointerWidth::P32), flat(PointerWidth::P64));
        let contains = element.contains & BULK;
        Facts {
            contains,
            ..Facts::new(layout, flat32, flat64)
        }
        .with_parts([element])
    }
}

impl MakeFacts for FutureType {
    fn facts(&self, types: &Types) -> Facts {
        Facts::async_handle(self.payload.map(|ty| types.facts(ty)))
    }
}

impl MakeFacts for StreamType {
    fn facts(&self, types: &Types) -> Facts {
        Facts::async_handle(self.element.map(|ty| types.facts(ty)))
    }
}

impl Facts {
    fn async_handle(payload: Option<Facts>) -> Facts {
        let facts = Facts::scalar(Layout::BYTES4, FlatType::I32, HANDLE | ASYNC);
        // What the payload contains is not in the value itself.
        let depth = payload.map_or(0, |payload| payload.depth).saturating_add(1);
        Facts { depth, ..facts }
    }
}

/// What is known about a type; every answer is a look-up.
impl Types {
    pub(crate) fn facts(&self, ty: InterfaceType) -> Facts {
        use InterfaceType::*;
        let number = |layout, flat| Facts::scalar(layout, flat, BULK);
        match ty {
            Bool => Facts::scalar(Layout::BYTES1, FlatType::I32, 0),
            S8 | U8 => number(Layout::BYTES1, FlatType::I32),
            S16 | U16 => number(Layout::BYTES2, FlatType::I32),
            S32 | U32 => number(Layout::BYTES4, FlatType::I32),
            S64 | U64 => number(Layout::BYTES8, FlatType::I64),
            F32 => number(Layout::BYTES4, FlatType::F32),
            F64 => number(Layout::BYTES8, FlatType::F64),
            Char => Facts::scalar(Layout::BYTES4, FlatType::I32, 0),
            String => Facts::pointer_pair(),
            ErrorContext | Own(_) => Facts::scalar(Layout::BYTES4, FlatType::I32, HANDLE),
            Borrow(_) => Facts::scalar(Layout::BYTES4, FlatType::I32, HANDLE | BORROW),
            made => self
                .made_facts(made)
                .copied()
                .unwrap_or_else(Facts::pointer_pair),
        }
    }

    /// Size, alignment and flat count.
    pub fn layout(&self, ty: InterfaceType) -> Layout {
        self.facts(ty).layout
    }

    /// The core values it becomes; `None` when more than
    /// [`MAX_FLAT_PARAMS`](crate::flat::MAX_FLAT_PARAMS).
    pub fn flat(&self, ty: InterfaceType, width: PointerWidth) -> Option<FlatTypes> {
        self.facts(ty).flat(width)
    }

    /// Levels of types inside `ty`: 0 for primitives, handles and labels.
    pub fn depth(&self, ty: InterfaceType) -> u8 {
        self.facts(ty).depth
    }

    /// Whether a value of `ty` can hold a `borrow`.
    pub fn contains_borrow(&self, ty: InterfaceType) -> bool {
        self.facts(ty).contains & BORROW != 0
    }

    /// Whether a value of `ty` can hold an index of a handle table.
    pub fn contains_handle(&self, ty: InterfaceType) -> bool {
        self.facts(ty).contains & HANDLE != 0
    }

    /// Whether a value of `ty` can hold a stream or a future.
    pub fn contains_async_value(&self, ty: InterfaceType) -> bool {
        self.facts(ty).contains & ASYNC != 0
    }

    /// Whether a value of `ty` can point to more memory: a string, list or map is in
    /// it. Lowering such a value needs `realloc`.
    pub fn contains_pointer(&self, ty: InterfaceType) -> bool {
        self.facts(ty).contains & POINTER != 0
    }

    /// Whether values of `ty` may be moved from any memory to any other as raw bytes:
    /// numbers (NaNs keep their bits, as the spec lets them), flags without spare bits,
    /// and records, tuples and fixed-length lists of such without padding.
    pub fn is_bulk(&self, ty: InterfaceType) -> bool {
        self.facts(ty).contains & BULK != 0
    }
}
