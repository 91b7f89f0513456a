//! Values whose type is only known at run time.
//!
//! A [`Val`] is checked against a type before it is lowered, so that a host's mistake
//! leaves the guest as it was. Not here: the walk that lifts and lowers (`value::lift`,
//! `value::lower`, over `helve_abi::program`), values with Rust types (`typed`).

mod lift;
mod lower;

pub(crate) use lift::{lift_elements, lift_into, lift_passed, lift_result};
pub(crate) use lower::{check_result, lower_checked, lower_elements, lower_passed, lower_result};

use crate::component::drive::ends::{FutureAny, StreamAny};
use crate::component::drive::error_context::ErrorContext;
use crate::component::resource::ResourceAny;
use helve_abi::types::{InterfaceType, Types};
use helve_base::{Error, Result, bail, ensure, error::Context};
use smallvec::SmallVec;

/// The values of one call: mostly few, so kept in place.
pub(crate) type Vals = SmallVec<[Val; 4]>;

/// A component value.
#[derive(Clone, Debug)]
pub enum Val {
    /// `bool`.
    Bool(bool),
    /// `s8`.
    S8(i8),
    /// `u8`.
    U8(u8),
    /// `s16`.
    S16(i16),
    /// `u16`.
    U16(u16),
    /// `s32`.
    S32(i32),
    /// `u32`.
    U32(u32),
    /// `s64`.
    S64(i64),
    /// `u64`.
    U64(u64),
    /// `f32`.
    Float32(f32),
    /// `f64`.
    Float64(f64),
    /// `char`.
    Char(char),
    /// `string`.
    String(String),
    /// `list<T>`, also of fixed length.
    List(Vec<Val>),
    /// `record { .. }`: every field, in order.
    Record(Vec<(String, Val)>),
    /// `tuple<..>`.
    Tuple(Vec<Val>),
    /// `variant { .. }`: the case, and its payload if it has one.
    Variant(String, Option<Box<Val>>),
    /// `enum { .. }`: the case.
    Enum(String),
    /// `option<T>`.
    Option(Option<Box<Val>>),
    /// `result<T, E>`.
    Result(Result<Option<Box<Val>>, Option<Box<Val>>>),
    /// `flags { .. }`: those that are set, in any order.
    Flags(Vec<String>),
    /// `map<K, V>`: in order; a key may stand there more than once.
    Map(Vec<(Val, Val)>),
    /// `own<R>` or `borrow<R>`.
    Resource(ResourceAny),
    /// `stream<T>`: its readable end.
    Stream(StreamAny),
    /// `future<T>`: its readable end.
    Future(FutureAny),
    /// `error-context`: its message.
    ErrorContext(ErrorContext),
}

impl Val {
    /// The kind, for messages: "record", "u32", ...
    pub fn kind(&self) -> &'static str {
        match self {
            Val::Bool(_) => "bool",
            Val::S8(_) => "s8",
            Val::U8(_) => "u8",
            Val::S16(_) => "s16",
            Val::U16(_) => "u16",
            Val::S32(_) => "s32",
            Val::U32(_) => "u32",
            Val::S64(_) => "s64",
            Val::U64(_) => "u64",
            Val::Float32(_) => "f32",
            Val::Float64(_) => "f64",
            Val::Char(_) => "char",
            Val::String(_) => "string",
            Val::List(_) => "list",
            Val::Record(_) => "record",
            Val::Tuple(_) => "tuple",
            Val::Variant(..) => "variant",
            Val::Enum(_) => "enum",
            Val::Option(_) => "option",
            Val::Result(_) => "result",
            Val::Flags(_) => "flags",
            Val::Map(_) => "map",
            Val::Resource(_) => "resource",
            Val::Stream(_) => "stream",
            Val::Future(_) => "future",
            Val::ErrorContext(_) => "error-context",
        }
    }

    /// Whether it is a value of `ty`; the error says where it is not. What a resource is
    /// shows only when it is lowered.
    #[inline]
    pub(crate) fn check(&self, types: &Types, ty: InterfaceType) -> Result<()> {
        if self.is_scalar_of(ty) {
            return Ok(());
        }
        self.check_parts(types, ty)
    }

    fn check_parts(&self, types: &Types, ty: InterfaceType) -> Result<()> {
        let all = |vals: &[Val], ty| {
            vals.iter().enumerate().try_for_each(|(i, val)| {
                val.check(types, ty)
                    .with_context(|| format!("in item {i} of a list"))
            })
        };
        match (self, ty) {
            (Val::Record(fields), InterfaceType::Record(id)) => {
                let expected = &types[id].fields;
                count("fields", fields.len(), expected.len())?;
                for ((name, val), field) in fields.iter().zip(expected) {
                    let expected = &field.name;
                    ensure!(
                        *name == **expected,
                        "expected field `{expected}`, found `{name}`"
                    );
                    val.check(types, field.ty)
                        .with_context(|| format!("in field `{name}`"))?;
                }
                Ok(())
            }
            (Val::Tuple(vals), InterfaceType::Tuple(id)) => {
                let expected = &types[id].types;
                count("parts of a tuple", vals.len(), expected.len())?;
                let mut parts = vals.iter().zip(expected).enumerate();
                parts.try_for_each(|(i, (val, ty))| {
                    val.check(types, *ty)
                        .with_context(|| format!("in part {i} of a tuple"))
                })
            }
            (Val::List(vals), InterfaceType::List(id)) => all(vals, types[id].element),
            (Val::List(vals), InterfaceType::FixedList(id)) => {
                count("items", vals.len(), types[id].length as usize)?;
                all(vals, types[id].element)
            }
            (Val::Map(pairs), InterfaceType::Map(id)) => {
                let mut pairs = pairs.iter().enumerate();
                pairs.try_for_each(|(i, (key, val))| {
                    let place = |what: &str| format!("in the {what} of entry {i} of a map");
                    key.check(types, types[id].key)
                        .with_context(|| place("key"))?;
                    val.check(types, types[id].value)
                        .with_context(|| place("value"))
                })
            }
            _ => self.check_choice(types, ty),
        }
    }

    /// The same for what is one of several things, or has no parts.
    fn check_choice(&self, types: &Types, ty: InterfaceType) -> Result<()> {
        let no_case = |name: &str| format!("`{name}` is no case of {}", types.display(ty));
        match (self, ty) {
            (Val::Variant(name, payload), InterfaceType::Variant(id)) => {
                let case = types[id].cases.iter().find(|case| *case.name == **name);
                let Some(case) = case else {
                    bail!("{}", no_case(name));
                };
                check_payload(payload.as_deref(), types, case.ty)
                    .with_context(|| format!("in case `{name}`"))
            }
            (Val::Option(payload), InterfaceType::Option(id)) => match payload {
                Some(val) => val.check(types, types[id].some).context("in an option"),
                None => Ok(()),
            },
            (Val::Result(Ok(payload)), InterfaceType::Result(id)) => {
                check_payload(payload.as_deref(), types, types[id].ok).context("in a result's ok")
            }
            (Val::Result(Err(payload)), InterfaceType::Result(id)) => {
                check_payload(payload.as_deref(), types, types[id].err)
                    .context("in a result's error")
            }
            (Val::Enum(name), InterfaceType::Enum(id)) => {
                ensure!(label(&types[id].names, name).is_some(), "{}", no_case(name));
                Ok(())
            }
            (Val::Flags(set), InterfaceType::Flags(id)) => {
                let names = &types[id].names;
                let unknown = set.iter().find(|name| label(names, name).is_none());
                ensure!(
                    unknown.is_none(),
                    "{unknown:?} is no flag of {}",
                    types.display(ty)
                );
                Ok(())
            }
            _ => Err(self.mismatch(types, ty)),
        }
    }

    #[inline]
    fn is_scalar_of(&self, ty: InterfaceType) -> bool {
        use InterfaceType as T;
        matches!(
            (self, ty),
            (Val::Bool(_), T::Bool)
                | (Val::S8(_), T::S8)
                | (Val::U8(_), T::U8)
                | (Val::S16(_), T::S16)
                | (Val::U16(_), T::U16)
                | (Val::S32(_), T::S32)
                | (Val::U32(_), T::U32)
                | (Val::S64(_), T::S64)
                | (Val::U64(_), T::U64)
                | (Val::Float32(_), T::F32)
                | (Val::Float64(_), T::F64)
                | (Val::Char(_), T::Char)
                | (Val::String(_), T::String)
                | (Val::Resource(_), T::Own(_) | T::Borrow(_))
                | (Val::Stream(_), T::Stream(_))
                | (Val::Future(_), T::Future(_))
                | (Val::ErrorContext(_), T::ErrorContext)
        )
    }

    fn mismatch(&self, types: &Types, ty: InterfaceType) -> Error {
        Error::msg(format!(
            "type mismatch: expected `{}`, found a {}",
            types.display(ty),
            self.kind()
        ))
    }
}

/// Compares as the values do; floats by number, and any NaN equals any NaN.
impl PartialEq for Val {
    fn eq(&self, other: &Val) -> bool {
        use Val::*;
        match (self, other) {
            (Bool(a), Bool(b)) => a == b,
            (S8(a), S8(b)) => a == b,
            (U8(a), U8(b)) => a == b,
            (S16(a), S16(b)) => a == b,
            (U16(a), U16(b)) => a == b,
            (S32(a), S32(b)) => a == b,
            (U32(a), U32(b)) => a == b,
            (S64(a), S64(b)) => a == b,
            (U64(a), U64(b)) => a == b,
            (Float32(a), Float32(b)) => a == b || a.is_nan() && b.is_nan(),
            (Float64(a), Float64(b)) => a == b || a.is_nan() && b.is_nan(),
            (Char(a), Char(b)) => a == b,
            (String(a), String(b)) | (Enum(a), Enum(b)) => a == b,
            (List(a), List(b)) | (Tuple(a), Tuple(b)) => a == b,
            (Record(a), Record(b)) => a == b,
            (Variant(a, x), Variant(b, y)) => a == b && x == y,
            (Option(a), Option(b)) => a == b,
            (Result(Ok(a)), Result(Ok(b))) | (Result(Err(a)), Result(Err(b))) => a == b,
            (Flags(a), Flags(b)) => a.len() == b.len() && a.iter().all(|flag| b.contains(flag)),
            (Map(a), Map(b)) => a == b,
            (Resource(a), Resource(b)) => a == b,
            (Stream(a), Stream(b)) => a == b,
            (Future(a), Future(b)) => a == b,
            (ErrorContext(a), ErrorContext(b)) => a == b,
            _ => false,
        }
    }
}

fn check_payload(payload: Option<&Val>, types: &Types, ty: Option<InterfaceType>) -> Result<()> {
    match (payload, ty) {
        (Some(val), Some(ty)) => val.check(types, ty),
        (None, None) => Ok(()),
        (Some(val), None) => Err(Error::msg(format!(
            "expected no payload, found a {}",
            val.kind()
        ))),
        (None, Some(ty)) => Err(Error::msg(format!(
            "expected a payload `{}`, found none",
            types.display(ty)
        ))),
    }
}

fn count(what: &str, found: usize, expected: usize) -> Result<()> {
    ensure!(
        found == expected,
        "expected {expected} {what}, found {found}"
    );
    Ok(())
}

/// The number of a label.
fn label(names: &[Box<str>], name: &str) -> Option<u32> {
    names
        .iter()
        .position(|label| **label == *name)
        .and_then(|at| u32::try_from(at).ok())
}
