//! Types as text, as WIT writes them: for messages and for people.
//!
//! Named types have no name any more once they are flattened, so their parts are
//! written out, down to a few levels and items: a type of ten thousand cases must not
//! fill a screen. Not here: reading such text (that is a WIT parser's work).

use crate::types::{FuncTypeId, InterfaceType, ResourceTypeId, Types};
use std::fmt::{self, Display, Formatter};

/// Levels of types inside types that are written; deeper ones become `..`.
const LEVELS: u8 = 6;

/// Fields, cases or labels of one type that are written before `..`.
const ITEMS: usize = 12;

/// See [`Types::display`].
#[derive(Clone, Copy)]
pub struct DisplayType<'a> {
    types: &'a Types,
    ty: InterfaceType,
    level: u8,
}

/// See [`Types::display_func`].
#[derive(Clone, Copy)]
pub struct DisplayFunc<'a> {
    types: &'a Types,
    id: FuncTypeId,
}

/// See [`Types::display_resource`].
#[derive(Clone, Copy)]
pub struct DisplayResource<'a> {
    types: &'a Types,
    id: ResourceTypeId,
}

impl Types {
    /// The type as WIT would write it: `list<u8>`, `record { a: u32 }`.
    pub fn display(&self, ty: InterfaceType) -> DisplayType<'_> {
        DisplayType {
            types: self,
            ty,
            level: 0,
        }
    }

    /// The function type as WIT would write it: `func(a: u32) -> string`.
    pub fn display_func(&self, id: FuncTypeId) -> DisplayFunc<'_> {
        DisplayFunc { types: self, id }
    }

    /// The resource type's name, or its number.
    pub fn display_resource(&self, id: ResourceTypeId) -> DisplayResource<'_> {
        DisplayResource { types: self, id }
    }
}

/// Writes at most [`ITEMS`] items with commas between.
fn list<T>(
    f: &mut Formatter<'_>,
    items: &[T],
    mut write: impl FnMut(&mut Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        if i == ITEMS {
            return f.write_str("..");
        }
        write(f, item)?;
    }
    Ok(())
}

impl DisplayType<'_> {
    fn part(&self, ty: InterfaceType) -> Self {
        DisplayType {
            ty,
            level: self.level + 1,
            ..*self
        }
    }

    fn payload(&self, f: &mut Formatter<'_>, kind: &str, ty: Option<InterfaceType>) -> fmt::Result {
        match ty {
            Some(ty) => write!(f, "{kind}<{}>", self.part(ty)),
            None => f.write_str(kind),
        }
    }
}

impl Display for DisplayType<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.level == LEVELS {
            return f.write_str("..");
        }
        let types = self.types;
        match self.ty {
            InterfaceType::Record(id) => {
                f.write_str("record { ")?;
                list(f, &types[id].fields, |f, field| {
                    write!(f, "{}: {}", field.name, self.part(field.ty))
                })?;
                f.write_str(" }")
            }
            InterfaceType::Variant(id) => {
                f.write_str("variant { ")?;
                list(f, &types[id].cases, |f, case| match case.ty {
                    Some(ty) => write!(f, "{}({})", case.name, self.part(ty)),
                    None => f.write_str(&case.name),
                })?;
                f.write_str(" }")
            }
            InterfaceType::Flags(id) => {
                f.write_str("flags { ")?;
                list(f, &types[id].names, |f, name| f.write_str(name))?;
                f.write_str(" }")
            }
            InterfaceType::Enum(id) => {
                f.write_str("enum { ")?;
                list(f, &types[id].names, |f, name| f.write_str(name))?;
                f.write_str(" }")
            }
            InterfaceType::Tuple(id) => {
                f.write_str("tuple<")?;
                list(f, &types[id].types, |f, &ty| write!(f, "{}", self.part(ty)))?;
                f.write_str(">")
            }
            InterfaceType::List(id) => write!(f, "list<{}>", self.part(types[id].element)),
            InterfaceType::FixedList(id) => {
                write!(
                    f,
                    "list<{}, {}>",
                    self.part(types[id].element),
                    types[id].length
                )
            }
            InterfaceType::Map(id) => {
                write!(
                    f,
                    "map<{}, {}>",
                    self.part(types[id].key),
                    self.part(types[id].value)
                )
            }
            InterfaceType::Option(id) => write!(f, "option<{}>", self.part(types[id].some)),
            InterfaceType::Result(id) => match (types[id].ok, types[id].err) {
                (None, None) => f.write_str("result"),
                (Some(ok), None) => write!(f, "result<{}>", self.part(ok)),
                (None, Some(err)) => write!(f, "result<_, {}>", self.part(err)),
                (Some(ok), Some(err)) => {
                    write!(f, "result<{}, {}>", self.part(ok), self.part(err))
                }
            },
            InterfaceType::Own(id) => write!(f, "own<{}>", types.display_resource(id)),
            InterfaceType::Borrow(id) => write!(f, "borrow<{}>", types.display_resource(id)),
            InterfaceType::Future(id) => self.payload(f, "future", types[id].payload),
            InterfaceType::Stream(id) => self.payload(f, "stream", types[id].element),
            simple => f.write_str(simple.kind()),
        }
    }
}

impl Display for DisplayFunc<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let ty = &self.types[self.id];
        f.write_str(if ty.is_async { "async func(" } else { "func(" })?;
        list(f, &ty.params, |f, (name, ty)| {
            write!(f, "{name}: {}", self.types.display(*ty))
        })?;
        f.write_str(")")?;
        match ty.result {
            Some(result) => write!(f, " -> {}", self.types.display(result)),
            None => Ok(()),
        }
    }
}

impl Display for DisplayResource<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.types.resource_name(self.id) {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.id),
        }
    }
}
