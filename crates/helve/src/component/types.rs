//! Component types as the embedder sees them: of components, of functions, or built at run
//! time.
//!
//! ```text
//! Component::component_type() --> Component --imports(), exports()--> ComponentItem
//!                                                 ComponentFunc --params(), result()--> Type
//! Func::ty(&store)            --> ComponentFunc, with the resource types of its instance
//! Type::record([("a", Type::U32), ..])           a type of no component
//! ```
//!
//! Two types are equal where the spec says so: by structure, resource types by identity.
//!
//! Not here: how types are interned and laid out (`helve_abi`), text forms of values
//! (`wave`, `json`), building types (`build`).

mod build;

use crate::component::component::Component as Compiled;
use crate::component::resource::{Kind, ResourceType};
use helve_abi::types::{
    EnumId, FixedListId, FlagsId, FuncTypeId, FutureId, InterfaceType, ListId, MapId, OptionId,
    RecordId, ResourceTypeId, ResultId, StreamId, TupleId, Types, VariantId,
};
use helve_decode::NamedList;
use helve_decode::plan::{InstanceItem, Item, TypeItem};
use std::fmt::{Debug, Display, Formatter};
use std::sync::Arc;

/// Where types are kept.
#[derive(Clone)]
pub(crate) enum Home {
    /// In a component's plan.
    Component(Compiled),
    /// In a component's plan, with the resource types of one instance.
    Instance(Compiled, Arc<[ResourceType]>),
    /// By themselves.
    Built(Arc<Types>),
}

impl Home {
    fn types(&self) -> &Types {
        match self {
            Home::Component(component) | Home::Instance(component, _) => &component.plan().types,
            Home::Built(types) => types,
        }
    }

    fn resource(&self, id: ResourceTypeId) -> ResourceType {
        match self {
            Home::Instance(_, resources) => {
                let found = resources.get(id.as_u32() as usize).copied();
                found.unwrap_or(ResourceType(Kind::Uninstantiated(id)))
            }
            _ => ResourceType(Kind::Uninstantiated(id)),
        }
    }

    fn wrap(&self, ty: InterfaceType) -> Type {
        use InterfaceType as T;
        let home = self.clone();
        match ty {
            T::Bool => Type::Bool,
            T::S8 => Type::S8,
            T::U8 => Type::U8,
            T::S16 => Type::S16,
            T::U16 => Type::U16,
            T::S32 => Type::S32,
            T::U32 => Type::U32,
            T::S64 => Type::S64,
            T::U64 => Type::U64,
            T::F32 => Type::Float32,
            T::F64 => Type::Float64,
            T::Char => Type::Char,
            T::String => Type::String,
            T::ErrorContext => Type::ErrorContext,
            T::Record(id) => Type::Record(Record { home, id }),
            T::Variant(id) => Type::Variant(Variant { home, id }),
            T::List(id) => Type::List(List { home, id }),
            T::FixedList(id) => Type::FixedLengthList(FixedLengthList { home, id }),
            T::Map(id) => Type::Map(Map { home, id }),
            T::Tuple(id) => Type::Tuple(Tuple { home, id }),
            T::Flags(id) => Type::Flags(Flags { home, id }),
            T::Enum(id) => Type::Enum(Enum { home, id }),
            T::Option(id) => Type::Option(OptionType { home, id }),
            T::Result(id) => Type::Result(ResultType { home, id }),
            T::Future(id) => Type::Future(FutureType { home, id }),
            T::Stream(id) => Type::Stream(StreamType { home, id }),
            T::Own(id) => Type::Own(self.resource(id)),
            T::Borrow(id) => Type::Borrow(self.resource(id)),
        }
    }

    fn wrap_optional(&self, ty: Option<InterfaceType>) -> Option<Type> {
        ty.map(|ty| self.wrap(ty))
    }
}

/// A value type.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // each is WIT's type of that name
pub enum Type {
    Bool,
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
    Float32,
    Float64,
    Char,
    String,
    ErrorContext,
    List(List),
    FixedLengthList(FixedLengthList),
    Record(Record),
    Variant(Variant),
    Map(Map),
    Tuple(Tuple),
    Flags(Flags),
    Enum(Enum),
    Option(OptionType),
    Result(ResultType),
    Borrow(ResourceType),
    Own(ResourceType),
    Stream(StreamType),
    Future(FutureType),
}

macro_rules! compound {
    ($($(#[$doc:meta])* $name:ident($id:ident) = $kind:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone)]
            pub struct $name {
                home: Home,
                id: $id,
            }

            impl PartialEq for $name {
                fn eq(&self, other: &$name) -> bool {
                    let (a, b) = (InterfaceType::$kind(self.id), InterfaceType::$kind(other.id));
                    self.home.types().equal(a, other.home.types(), b, &mut |a, b| {
                        self.home.resource(a) == other.home.resource(b)
                    })
                }
            }

            impl Display for $name {
                fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
                    Display::fmt(&self.home.types().display(InterfaceType::$kind(self.id)), f)
                }
            }

            impl Debug for $name {
                fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
                    write!(f, "{}({self})", stringify!($name))
                }
            }
        )*

        impl Type {
            /// Where it is kept, if it has parts.
            fn home(&self) -> Option<(&Home, InterfaceType)> {
                match self {
                    $(Type::$kind($name { home, id }) => Some((home, InterfaceType::$kind(*id))),)*
                    Type::FixedLengthList(FixedLengthList { home, id }) => {
                        Some((home, InterfaceType::FixedList(*id)))
                    }
                    _ => None,
                }
            }
        }
    };
}

compound! {
    /// `list<T>`.
    List(ListId) = List;
    /// `map<K, V>`.
    Map(MapId) = Map;
    /// `record { .. }`.
    Record(RecordId) = Record;
    /// `tuple<..>`.
    Tuple(TupleId) = Tuple;
    /// `variant { .. }`.
    Variant(VariantId) = Variant;
    /// `enum { .. }`.
    Enum(EnumId) = Enum;
    /// `option<T>`.
    OptionType(OptionId) = Option;
    /// `result<T, E>`.
    ResultType(ResultId) = Result;
    /// `flags { .. }`.
    Flags(FlagsId) = Flags;
    /// `future<T>`.
    FutureType(FutureId) = Future;
    /// `stream<T>`.
    StreamType(StreamId) = Stream;
}

/// `list<T, N>`.
#[derive(Clone)]
pub struct FixedLengthList {
    home: Home,
    id: FixedListId,
}

impl PartialEq for FixedLengthList {
    fn eq(&self, other: &FixedLengthList) -> bool {
        self.len() == other.len() && self.ty() == other.ty()
    }
}

impl Display for FixedLengthList {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        Display::fmt(
            &self.home.types().display(InterfaceType::FixedList(self.id)),
            f,
        )
    }
}

impl Debug for FixedLengthList {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "FixedLengthList({self})")
    }
}

/// A field of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Field<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its type.
    pub ty: Type,
}

/// A case of a variant.
#[derive(Clone, Debug, PartialEq)]
pub struct Case<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its payload.
    pub ty: Option<Type>,
}

impl List {
    /// The type of its items.
    pub fn ty(&self) -> Type {
        self.home.wrap(self.home.types()[self.id].element)
    }
}

impl FixedLengthList {
    /// The type of its items.
    pub fn ty(&self) -> Type {
        self.home.wrap(self.home.types()[self.id].element)
    }

    /// How many items it has: at least one.
    #[allow(clippy::len_without_is_empty)] // never empty
    pub fn len(&self) -> u32 {
        self.home.types()[self.id].length
    }
}

impl Map {
    /// The type of its keys.
    pub fn key(&self) -> Type {
        self.home.wrap(self.home.types()[self.id].key)
    }

    /// The type of its values.
    pub fn value(&self) -> Type {
        self.home.wrap(self.home.types()[self.id].value)
    }
}

impl Record {
    /// Its fields, in order.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = Field<'_>> {
        let fields = self.home.types()[self.id].fields.iter();
        fields.map(|field| Field {
            name: &field.name,
            ty: self.home.wrap(field.ty),
        })
    }
}

impl Tuple {
    /// The types of its parts, in order.
    pub fn types(&self) -> impl ExactSizeIterator<Item = Type> {
        let types = self.home.types()[self.id].types.iter();
        types.map(|ty| self.home.wrap(*ty))
    }
}

impl Variant {
    /// Its cases, in order.
    pub fn cases(&self) -> impl ExactSizeIterator<Item = Case<'_>> {
        let cases = self.home.types()[self.id].cases.iter();
        cases.map(|case| Case {
            name: &case.name,
            ty: self.home.wrap_optional(case.ty),
        })
    }
}

impl Enum {
    /// The names of its cases, in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.home.types()[self.id].names.iter().map(|name| &**name)
    }
}

impl Flags {
    /// The names of its flags, in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.home.types()[self.id].names.iter().map(|name| &**name)
    }
}

impl OptionType {
    /// The type of what it may hold.
    pub fn ty(&self) -> Type {
        self.home.wrap(self.home.types()[self.id].some)
    }
}

impl ResultType {
    /// The payload of `ok`.
    pub fn ok(&self) -> Option<Type> {
        self.home.wrap_optional(self.home.types()[self.id].ok)
    }

    /// The payload of `err`.
    pub fn err(&self) -> Option<Type> {
        self.home.wrap_optional(self.home.types()[self.id].err)
    }
}

impl FutureType {
    /// The type of its value.
    pub fn ty(&self) -> Option<Type> {
        self.home.wrap_optional(self.home.types()[self.id].payload)
    }
}

impl StreamType {
    /// The type of its elements.
    pub fn ty(&self) -> Option<Type> {
        self.home.wrap_optional(self.home.types()[self.id].element)
    }
}

impl Display for Type {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match (self.home(), self) {
            (Some((home, ty)), _) => Display::fmt(&home.types().display(ty), f),
            (None, Type::Own(_)) => f.write_str("own<resource>"),
            (None, Type::Borrow(_)) => f.write_str("borrow<resource>"),
            (None, scalar) => f.write_str(scalar.scalar().map_or("", InterfaceType::kind)),
        }
    }
}

/// A function's type.
#[derive(Clone)]
pub struct ComponentFunc {
    home: Home,
    id: FuncTypeId,
}

impl ComponentFunc {
    pub(crate) fn new(home: Home, id: FuncTypeId) -> ComponentFunc {
        ComponentFunc { home, id }
    }

    /// Its parameters, in order.
    pub fn params(&self) -> impl ExactSizeIterator<Item = (&str, Type)> {
        let params = self.home.types()[self.id].params.iter();
        params.map(|(name, ty)| (&**name, self.home.wrap(*ty)))
    }

    /// Its result.
    pub fn result(&self) -> Option<Type> {
        self.home.wrap_optional(self.home.types()[self.id].result)
    }

    /// Its results: none or one.
    pub fn results(&self) -> impl ExactSizeIterator<Item = Type> {
        self.result().into_iter()
    }

    /// Whether its type is `async`.
    pub fn is_async(&self) -> bool {
        self.home.types()[self.id].is_async
    }
}

impl Display for ComponentFunc {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        Display::fmt(&self.home.types().display_func(self.id), f)
    }
}

impl Debug for ComponentFunc {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "ComponentFunc({self})")
    }
}

/// What a component imports or exports under one name.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ComponentItem {
    /// A function.
    ComponentFunc(ComponentFunc),
    /// An instance: more names.
    ComponentInstance(ComponentInstance),
    /// A core module.
    Module,
    /// A component.
    Component,
    /// A value type.
    Type(Type),
    /// A resource type.
    Resource(ResourceType),
    /// The type of a function, an instance or a component.
    OtherType,
}

/// What an imported or exported instance has.
#[derive(Clone)]
pub struct ComponentInstance {
    component: Compiled,
    item: Arc<InstanceItem>,
}

impl ComponentInstance {
    /// Its exports, in the file's order.
    pub fn exports(&self) -> impl Iterator<Item = (&str, ComponentItem)> {
        items(&self.component, &self.item.exports)
    }

    /// The export of this name.
    pub fn get_export(&self, name: &str) -> Option<ComponentItem> {
        let item = self.item.exports.get(name)?;
        Some(ComponentItem::new(&self.component, item))
    }
}

impl Debug for ComponentInstance {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.exports()).finish()
    }
}

fn items<'a>(
    component: &'a Compiled,
    list: &'a NamedList<Item>,
) -> impl Iterator<Item = (&'a str, ComponentItem)> {
    list.iter()
        .map(|(name, item)| (&**name, ComponentItem::new(component, item)))
}

impl ComponentItem {
    fn new(component: &Compiled, item: &Item) -> ComponentItem {
        let home = Home::Component(component.clone());
        match item {
            Item::Func(func) => ComponentItem::ComponentFunc(ComponentFunc::new(home, func.ty)),
            Item::Instance(item) => ComponentItem::ComponentInstance(ComponentInstance {
                component: component.clone(),
                item: item.clone(),
            }),
            Item::Module(_) => ComponentItem::Module,
            Item::Component(_) => ComponentItem::Component,
            Item::Type(TypeItem::Resource(id)) => ComponentItem::Resource(home.resource(*id)),
            Item::Type(TypeItem::Value(ty)) => ComponentItem::Type(home.wrap(*ty)),
            Item::Type(_) => ComponentItem::OtherType,
        }
    }
}

/// The type of a component: what it imports and exports.
///
/// ```
/// # use helve::{Engine, Config, component::Component};
/// use helve::component::types::ComponentItem;
/// # let engine = Engine::new(&Config::new())?;
/// let component = Component::new(&engine, r#"(component
///     (import "f" (func (param "a" (list u8)) (result string))))"#)?;
/// for (name, item) in component.component_type().imports() {
///     if let ComponentItem::ComponentFunc(func) = item {
///         assert_eq!((name, func.to_string().as_str()), ("f", "func(a: list<u8>) -> string"));
///     }
/// }
/// # Ok::<(), helve::Error>(())
/// ```
#[derive(Clone)]
pub struct Component(pub(crate) Compiled);

impl Component {
    /// What it imports, in the file's order.
    pub fn imports(&self) -> impl Iterator<Item = (&str, ComponentItem)> {
        let imports = self.0.plan().imports.iter();
        imports.map(|(name, import)| (&**name, ComponentItem::new(&self.0, &import.item)))
    }

    /// What it exports, in the file's order.
    pub fn exports(&self) -> impl Iterator<Item = (&str, ComponentItem)> {
        let exports = self.0.plan().exports.iter();
        exports.map(|(name, export)| (&**name, ComponentItem::new(&self.0, &export.item)))
    }

    /// The import of this name.
    pub fn get_import(&self, name: &str) -> Option<ComponentItem> {
        let import = self.0.plan().imports.get(name)?;
        Some(ComponentItem::new(&self.0, &import.item))
    }

    /// The export of this name.
    pub fn get_export(&self, name: &str) -> Option<ComponentItem> {
        let export = self.0.plan().exports.get(name)?;
        Some(ComponentItem::new(&self.0, &export.item))
    }
}

impl Debug for Component {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Component")
            .field("imports", &self.imports().collect::<Vec<_>>())
            .field("exports", &self.exports().collect::<Vec<_>>())
            .finish()
    }
}
