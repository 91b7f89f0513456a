//! Value types and function types of the Component Model, interned.
//!
//! ```text
//!  InterfaceType (Copy, 8 bytes)          Types (one per plan)
//!  +------+----------+                    +-- records:  RecordId  -> RecordType
//!  | kind | id       |---- types[id] ---> +-- variants: VariantId -> VariantType
//!  +------+----------+                    +-- ...
//! ```
//!
//! Equal types get equal ids, so within one [`Types`] comparing two types is comparing
//! two words; types of different interners are compared by [`Types::equal`]. A type can
//! only be made from types that exist already: there are no cycles. What the interner
//! refuses ([`TypeError`]) is what the spec forbids or what would let a file make our
//! walks deep: whoever holds an [`InterfaceType`] may recurse over it.
//!
//! Not here: sizes and flattening (`layout`, `flat`), text (`display`), resource
//! types themselves (their owner, defining instance and destructor are `decode`'s).

use crate::facts::{Facts, MakeFacts};
use helve_base::{PrimaryMap, SecondaryMap, entity_impl};
use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Index;

/// Most levels of types inside types. `wasmparser` stops at 100 itself.
pub const MAX_DEPTH: u8 = 128;

/// The size of every value in memory, with 64-bit pointers, is below this.
pub const MAX_VALUE_BYTES: u32 = 1 << 28;

/// The size of a tuple that no file wrote down (a map's entry, a function's parameters) is
/// at most this.
const MAX_IMPLIED_BYTES: u32 = 1 << 31;

/// Most labels of a `flags` type.
pub const MAX_FLAGS: usize = 32;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u32);
        entity_impl!($name, $prefix);
    )*};
}

ids! {
    /// A resource type: one per resource type *instance* of a plan, given out by
    /// whoever makes the plan.
    ResourceTypeId = "resource";
    /// A [`RecordType`].
    RecordId = "record";
    /// A [`VariantType`].
    VariantId = "variant";
    /// A [`ListType`].
    ListId = "list";
    /// A [`FixedListType`].
    FixedListId = "fixed_list";
    /// A [`MapType`].
    MapId = "map";
    /// A [`TupleType`].
    TupleId = "tuple";
    /// A [`FlagsType`].
    FlagsId = "flags";
    /// An [`EnumType`].
    EnumId = "enum";
    /// An [`OptionType`].
    OptionId = "option";
    /// A [`ResultType`].
    ResultId = "result";
    /// A [`FutureType`].
    FutureId = "future";
    /// A [`StreamType`].
    StreamId = "stream";
    /// A [`FuncType`].
    FuncTypeId = "func_type";
}

/// A value type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InterfaceType {
    /// `bool`.
    Bool,
    /// `s8`.
    S8,
    /// `u8`.
    U8,
    /// `s16`.
    S16,
    /// `u16`.
    U16,
    /// `s32`.
    S32,
    /// `u32`.
    U32,
    /// `s64`.
    S64,
    /// `u64`.
    U64,
    /// `f32`.
    F32,
    /// `f64`.
    F64,
    /// `char`.
    Char,
    /// `string`.
    String,
    /// `error-context`.
    ErrorContext,
    /// `record { .. }`.
    Record(RecordId),
    /// `variant { .. }`.
    Variant(VariantId),
    /// `list<T>`.
    List(ListId),
    /// `list<T, N>`.
    FixedList(FixedListId),
    /// `map<K, V>`.
    Map(MapId),
    /// `tuple<..>`.
    Tuple(TupleId),
    /// `flags { .. }`.
    Flags(FlagsId),
    /// `enum { .. }`.
    Enum(EnumId),
    /// `option<T>`.
    Option(OptionId),
    /// `result<T, E>`.
    Result(ResultId),
    /// `own<R>`.
    Own(ResourceTypeId),
    /// `borrow<R>`.
    Borrow(ResourceTypeId),
    /// `future<T>`.
    Future(FutureId),
    /// `stream<T>`.
    Stream(StreamId),
}

/// A named part of a record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Field {
    /// Its label.
    pub name: Box<str>,
    /// Its type.
    pub ty: InterfaceType,
}

/// One alternative of a variant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Case {
    /// Its label.
    pub name: Box<str>,
    /// Its payload's type, where it has one.
    pub ty: Option<InterfaceType>,
}

/// `record { a: T, .. }`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RecordType {
    /// In order; at least one.
    pub fields: Box<[Field]>,
}

/// `variant { a(T), b, .. }`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VariantType {
    /// In order; at least one.
    pub cases: Box<[Case]>,
}

/// `list<T>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListType {
    /// Its elements' type.
    pub element: InterfaceType,
}

/// `list<T, N>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FixedListType {
    /// Its elements' type.
    pub element: InterfaceType,
    /// How many there are; at least one.
    pub length: u32,
}

/// `map<K, V>`: in memory a list of pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MapType {
    /// A type that keys may have ([`InterfaceType::is_key`]).
    pub key: InterfaceType,
    /// Its values' type.
    pub value: InterfaceType,
    /// `tuple<K, V>`: what the list in memory holds. Set by the interner.
    pub entry: TupleId,
}

/// `tuple<A, B, ..>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TupleType {
    /// In order; at least one.
    pub types: Box<[InterfaceType]>,
}

/// `flags { a, b, .. }`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FlagsType {
    /// In order, the first one is bit 0; 1 to 32 of them.
    pub names: Box<[Box<str>]>,
}

/// `enum { a, b, .. }`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EnumType {
    /// In order; at least one.
    pub names: Box<[Box<str>]>,
}

/// `option<T>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OptionType {
    /// The payload's type.
    pub some: InterfaceType,
}

/// `result<T, E>`, each of which may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ResultType {
    /// The type of `ok`'s payload.
    pub ok: Option<InterfaceType>,
    /// The type of `error`'s payload.
    pub err: Option<InterfaceType>,
}

/// `future<T>`; the type may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FutureType {
    /// The value's type.
    pub payload: Option<InterfaceType>,
}

/// `stream<T>`; the type may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamType {
    /// The elements' type.
    pub element: Option<InterfaceType>,
}

/// A function type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FuncType {
    /// Parameters: name and type, in order.
    pub params: Box<[(Box<str>, InterfaceType)]>,
    /// The tuple that the parameters are when they go through memory; `None` where
    /// there are none. Set by the interner.
    pub params_tuple: Option<TupleId>,
    /// The result's type, where there is one.
    pub result: Option<InterfaceType>,
    /// Whether the type says `async`: its callees may block.
    pub is_async: bool,
}

/// Why the interner refused a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeError {
    /// More than [`MAX_DEPTH`] levels of types inside types.
    TooDeep,
    /// A value would take [`MAX_VALUE_BYTES`] or more in memory.
    TooLarge,
    /// No field, case, label or element; holds the kind of type.
    Empty(&'static str),
    /// A `flags` type with this many labels, more than [`MAX_FLAGS`].
    TooManyFlags(usize),
    /// A map whose key type is none that keys may have.
    BadKey,
    /// A stream of `char`, a future or stream of a type that holds a `borrow`; holds
    /// the kind of type.
    BadPayload(&'static str),
    /// A function's result type holds a `borrow`.
    BorrowInResult,
}

impl std::fmt::Display for TypeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TypeError::TooDeep => write!(f, "type nested more than {MAX_DEPTH} levels deep"),
            TypeError::TooLarge => write!(
                f,
                "type exceeds maximum byte size: its values take {MAX_VALUE_BYTES} bytes or \
                 more (put a list in it)"
            ),
            TypeError::Empty(kind) => write!(f, "{kind} type must not be empty"),
            TypeError::TooManyFlags(n) => {
                write!(
                    f,
                    "flags type with {n} labels; at most {MAX_FLAGS} are allowed"
                )
            }
            TypeError::BadKey => {
                f.write_str("map whose key is not a bool, an integer, a char or a string")
            }
            TypeError::BadPayload(kind) => write!(f, "{kind} of a type that it cannot carry"),
            TypeError::BorrowInResult => f.write_str("function result that contains a borrow"),
        }
    }
}

impl std::error::Error for TypeError {}

impl InterfaceType {
    /// Whether keys of maps may have this type.
    pub fn is_key(self) -> bool {
        use InterfaceType::*;
        matches!(
            self,
            Bool | S8 | U8 | S16 | U16 | S32 | U32 | S64 | U64 | Char | String
        )
    }

    /// Whether this is an integer or float type.
    pub fn is_number(self) -> bool {
        use InterfaceType::*;
        matches!(
            self,
            S8 | U8 | S16 | U16 | S32 | U32 | S64 | U64 | F32 | F64
        )
    }

    /// The kind, for messages: "record", "u32", ...
    pub fn kind(self) -> &'static str {
        use InterfaceType::*;
        match self {
            Bool => "bool",
            S8 => "s8",
            U8 => "u8",
            S16 => "s16",
            U16 => "u16",
            S32 => "s32",
            U32 => "u32",
            S64 => "s64",
            U64 => "u64",
            F32 => "f32",
            F64 => "f64",
            Char => "char",
            String => "string",
            ErrorContext => "error-context",
            Record(_) => "record",
            Variant(_) => "variant",
            List(_) | FixedList(_) => "list",
            Map(_) => "map",
            Tuple(_) => "tuple",
            Flags(_) => "flags",
            Enum(_) => "enum",
            Option(_) => "option",
            Result(_) => "result",
            Own(_) => "own",
            Borrow(_) => "borrow",
            Future(_) => "future",
            Stream(_) => "stream",
        }
    }
}

/// Interned items of one kind.
#[derive(Clone, Debug)]
struct Interned<K: helve_base::EntityRef, T> {
    items: PrimaryMap<K, T>,
    facts: PrimaryMap<K, Facts>,
    ids: HashMap<T, K>,
}

impl<K: helve_base::EntityRef, T> Default for Interned<K, T> {
    fn default() -> Self {
        Interned {
            items: PrimaryMap::new(),
            facts: PrimaryMap::new(),
            ids: HashMap::new(),
        }
    }
}

impl<K: helve_base::EntityRef, T: Clone + Eq + Hash> Interned<K, T> {
    fn add(&mut self, item: T, facts: Facts) -> K {
        let id = self.items.push(item.clone());
        self.facts.push(facts);
        self.ids.insert(item, id);
        id
    }
}

macro_rules! interner {
    ($($field:ident: $id:ident -> $ty:ident, $variant:ident;)*) => {
        /// Every type of one plan; see the module's documentation.
        #[derive(Clone, Debug, Default)]
        pub struct Types {
            $($field: Interned<$id, $ty>,)*
            funcs: PrimaryMap<FuncTypeId, FuncType>,
            func_ids: HashMap<FuncType, FuncTypeId>,
            resource_names: SecondaryMap<ResourceTypeId, Option<Box<str>>>,
        }

        $(impl Index<$id> for Types {
            type Output = $ty;
            #[inline]
            fn index(&self, id: $id) -> &$ty {
                &self.$field.items[id]
            }
        })*

        impl Types {
            $(fn $field(&mut self, item: $ty) -> Result<InterfaceType, TypeError> {
                let known = self.$field.ids.get(&item).copied();
                let facts = match known {
                    Some(id) => self.$field.facts[id],
                    None => item.facts(self),
                };
                if facts.depth > MAX_DEPTH {
                    return Err(TypeError::TooDeep);
                }
                // One that is known may be implied by another type, and larger than this.
                if facts.layout.size32.max(facts.layout.size64) >= MAX_VALUE_BYTES {
                    return Err(TypeError::TooLarge);
                }
                let id = known.unwrap_or_else(|| self.$field.add(item, facts));
                Ok(InterfaceType::$variant(id))
            })*

            /// The facts of a type that is not built in.
            pub(crate) fn made_facts(&self, ty: InterfaceType) -> Option<&Facts> {
                match ty {
                    $(InterfaceType::$variant(id) => self.$field.facts.get(id),)*
                    _ => None,
                }
            }

            /// Calls `each` with every type that `ty` is directly made of, in order.
            pub fn each_part(&self, ty: InterfaceType, each: &mut dyn FnMut(InterfaceType)) {
                match ty {
                    $(InterfaceType::$variant(id) => self[id].each_part(each),)*
                    _ => {}
                }
            }
        }
    };
}

interner! {
    records: RecordId -> RecordType, Record;
    variants: VariantId -> VariantType, Variant;
    lists: ListId -> ListType, List;
    fixed_lists: FixedListId -> FixedListType, FixedList;
    maps: MapId -> MapType, Map;
    tuples: TupleId -> TupleType, Tuple;
    flags_types: FlagsId -> FlagsType, Flags;
    enums: EnumId -> EnumType, Enum;
    options: OptionId -> OptionType, Option;
    results: ResultId -> ResultType, Result;
    futures: FutureId -> FutureType, Future;
    streams: StreamId -> StreamType, Stream;
}

impl Index<FuncTypeId> for Types {
    type Output = FuncType;
    #[inline]
    fn index(&self, id: FuncTypeId) -> &FuncType {
        &self.funcs[id]
    }
}

macro_rules! parts {
    ($($ty:ident($self:ident, $each:ident) $body:block)*) => {$(
        impl $ty {
            fn each_part(&$self, $each: &mut dyn FnMut(InterfaceType)) $body
        }
    )*};
}

parts! {
    RecordType(self, each) { self.fields.iter().for_each(|field| each(field.ty)) }
    VariantType(self, each) { self.cases.iter().filter_map(|case| case.ty).for_each(each) }
    ListType(self, each) { each(self.element) }
    FixedListType(self, each) { each(self.element) }
    MapType(self, each) { each(InterfaceType::Tuple(self.entry)) }
    TupleType(self, each) { self.types.iter().copied().for_each(each) }
    FlagsType(self, _each) {}
    EnumType(self, _each) {}
    OptionType(self, each) { each(self.some) }
    ResultType(self, each) { self.ok.into_iter().chain(self.err).for_each(each) }
    FutureType(self, each) { self.payload.into_iter().for_each(each) }
    StreamType(self, each) { self.element.into_iter().for_each(each) }
}

/// Making types. Each returns the one id of the type, new or not.
impl Types {
    /// No types.
    pub fn new() -> Types {
        Types::default()
    }

    /// `record { .. }`.
    pub fn record<N: Into<Box<str>>>(
        &mut self,
        fields: impl IntoIterator<Item = (N, InterfaceType)>,
    ) -> Result<InterfaceType, TypeError> {
        let fields: Box<[Field]> = fields
            .into_iter()
            .map(|(name, ty)| Field {
                name: name.into(),
                ty,
            })
            .collect();
        not_empty("record", fields.len())?;
        self.records(RecordType { fields })
    }

    /// `variant { .. }`.
    pub fn variant<N: Into<Box<str>>>(
        &mut self,
        cases: impl IntoIterator<Item = (N, Option<InterfaceType>)>,
    ) -> Result<InterfaceType, TypeError> {
        let cases: Box<[Case]> = cases
            .into_iter()
            .map(|(name, ty)| Case {
                name: name.into(),
                ty,
            })
            .collect();
        not_empty("variant", cases.len())?;
        self.variants(VariantType { cases })
    }

    /// `list<element>`.
    pub fn list(&mut self, element: InterfaceType) -> Result<InterfaceType, TypeError> {
        self.lists(ListType { element })
    }

    /// `list<element, length>`.
    pub fn fixed_list(
        &mut self,
        element: InterfaceType,
        length: u32,
    ) -> Result<InterfaceType, TypeError> {
        not_empty("fixed-length list", length as usize)?;
        self.fixed_lists(FixedListType { element, length })
    }

    /// `map<key, value>`.
    pub fn map(
        &mut self,
        key: InterfaceType,
        value: InterfaceType,
    ) -> Result<InterfaceType, TypeError> {
        if !key.is_key() {
            return Err(TypeError::BadKey);
        }
        let entry = self.implied_tuple([key, value].into())?;
        self.maps(MapType { key, value, entry })
    }

    /// `tuple<..>`.
    pub fn tuple(
        &mut self,
        types: impl IntoIterator<Item = InterfaceType>,
    ) -> Result<InterfaceType, TypeError> {
        let types: Box<[InterfaceType]> = types.into_iter().collect();
        not_empty("tuple", types.len())?;
        self.tuples(TupleType { types })
    }

    /// A tuple that no file wrote down: the entries of a map, the parameters of a
    /// function. It may be larger than a type that one could write.
    fn implied_tuple(&mut self, types: Box<[InterfaceType]>) -> Result<TupleId, TypeError> {
        let item = TupleType { types };
        if let Some(&id) = self.tuples.ids.get(&item) {
            return Ok(id);
        }
        let facts = item.facts(self);
        if facts.layout.size64 > MAX_IMPLIED_BYTES {
            return Err(TypeError::TooLarge);
        }
        Ok(self.tuples.add(item, facts))
    }

    /// `flags { .. }`.
    pub fn flags<N: Into<Box<str>>>(
        &mut self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<InterfaceType, TypeError> {
        let names: Box<[Box<str>]> = names.into_iter().map(Into::into).collect();
        not_empty("flags", names.len())?;
        if names.len() > MAX_FLAGS {
            return Err(TypeError::TooManyFlags(names.len()));
        }
        self.flags_types(FlagsType { names })
    }

    /// `enum { .. }`.
    pub fn enum_<N: Into<Box<str>>>(
        &mut self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<InterfaceType, TypeError> {
        let names: Box<[Box<str>]> = names.into_iter().map(Into::into).collect();
        not_empty("enum", names.len())?;
        self.enums(EnumType { names })
    }

    /// `option<some>`.
    pub fn option(&mut self, some: InterfaceType) -> Result<InterfaceType, TypeError> {
        self.options(OptionType { some })
    }

    /// `result<ok, err>`.
    pub fn result(
        &mut self,
        ok: Option<InterfaceType>,
        err: Option<InterfaceType>,
    ) -> Result<InterfaceType, TypeError> {
        self.results(ResultType { ok, err })
    }

    /// `future<payload>`.
    pub fn future(&mut self, payload: Option<InterfaceType>) -> Result<InterfaceType, TypeError> {
        if payload.is_some_and(|ty| self.contains_borrow(ty)) {
            return Err(TypeError::BadPayload("future"));
        }
        self.futures(FutureType { payload })
    }

    /// `stream<element>`.
    pub fn stream(&mut self, element: Option<InterfaceType>) -> Result<InterfaceType, TypeError> {
        if element.is_some_and(|ty| ty == InterfaceType::Char || self.contains_borrow(ty)) {
            return Err(TypeError::BadPayload("stream"));
        }
        self.streams(StreamType { element })
    }

    /// A function type.
    pub fn func<N: Into<Box<str>>>(
        &mut self,
        params: impl IntoIterator<Item = (N, InterfaceType)>,
        result: Option<InterfaceType>,
        is_async: bool,
    ) -> Result<FuncTypeId, TypeError> {
        if result.is_some_and(|ty| self.contains_borrow(ty)) {
            return Err(TypeError::BorrowInResult);
        }
        let params: Box<[_]> = params
            .into_iter()
            .map(|(name, ty)| (name.into(), ty))
            .collect();
        let types: Box<[_]> = params.iter().map(|(_, ty)| *ty).collect();
        let params_tuple = match types.is_empty() {
            true => None,
            false => Some(self.implied_tuple(types)?),
        };
        let ty = FuncType {
            params,
            params_tuple,
            result,
            is_async,
        };
        if let Some(&id) = self.func_ids.get(&ty) {
            return Ok(id);
        }
        let id = self.funcs.push(ty.clone());
        self.func_ids.insert(ty, id);
        Ok(id)
    }

    /// Says what messages call a resource type; without, it is its number.
    pub fn name_resource(&mut self, id: ResourceTypeId, name: impl Into<Box<str>>) {
        self.resource_names[id] = Some(name.into());
    }
}

fn not_empty(kind: &'static str, len: usize) -> Result<(), TypeError> {
    if len == 0 {
        Err(TypeError::Empty(kind))
    } else {
        Ok(())
    }
}

/// Asking about types.
impl Types {
    /// The name that [`Types::name_resource`] gave.
    pub fn resource_name(&self, id: ResourceTypeId) -> Option<&str> {
        self.resource_names[id].as_deref()
    }
}
