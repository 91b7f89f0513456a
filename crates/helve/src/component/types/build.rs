//! Types that are built at run time, of parts that may belong to components.
//!
//! ```text
//!   parts of any home --copied, each once--> an interner of the new type's own
//! ```
//!
//! Not here: types that components have (`types`).

use super::{Home, Type};
use crate::component::value::Val;
use helve_abi::types::{InterfaceType, TypeError, Types};
use helve_base::{Error, Result, bail, ensure, format_err};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use wasmparser::names::KebabStr;

/// Building types. Each fails where the spec allows no such type, or where a part has a
/// handle, stream or future, which only a component's types have.
///
/// ```
/// use helve::component::{Val, types::Type};
/// let point = Type::record([("x", Type::S32), ("y", Type::S32)])?;
/// let path = Type::list(&point)?;
/// assert_eq!(path.to_string(), "list<record { x: s32, y: s32 }>");
/// let val = Val::from_wave(&path, "[{x: 1, y: 2}]")?;
/// path.check(&val)?;
/// # Ok::<(), helve::Error>(())
/// ```
impl Type {
    /// `list<element>`.
    ///
    /// # Errors
    ///
    /// Where the type is nested too deeply, too large, or has handles, streams or futures in it.
    pub fn list(element: &Type) -> Result<Type> {
        build(&[element], |types, parts| types.list(parts[0]))
    }

    /// `list<element, length>`.
    ///
    /// # Errors
    ///
    /// Where the type is nested too deeply, too large, empty, or has handles, streams or futures in it.
    pub fn fixed_length_list(element: &Type, length: u32) -> Result<Type> {
        build(&[element], |types, parts| {
            types.fixed_list(parts[0], length)
        })
    }

    /// `map<key, value>`.
    ///
    /// # Errors
    ///
    /// Where the type is nested too deeply, too large, the key is no
    /// number, `bool`, `char` or `string`, or it has handles, streams or futures in it.
    pub fn map(key: &Type, value: &Type) -> Result<Type> {
        build(&[key, value], |types, parts| types.map(parts[0], parts[1]))
    }

    /// `record { .. }`.
    ///
    /// # Errors
    ///
    /// Where the type is nested too deeply, too large, without fields, or has handles, streams or futures in it.
    /// And where a name is no label (words of letters and digits with `-` between), or is there twice.
    pub fn record<N: Into<Box<str>>>(fields: impl IntoIterator<Item = (N, Type)>) -> Result<Type> {
        let (names, parts): (Vec<N>, Vec<Type>) = fields.into_iter().unzip();
        let names = labels(names)?;
        let parts: Vec<&Type> = parts.iter().collect();
        build(&parts, |types, parts| {
            types.record(names.into_iter().zip(parts.iter().copied()))
        })
    }

    /// `tuple<..>`.
    ///
    /// # Errors
    ///
    /// Where the type is nested too deeply, too large, without parts, or has handles, streams or futures in it.
    pub fn tuple(parts: impl IntoIterator<Item = Type>) -> Result<Type> {
        let parts: Vec<Type> = parts.into_iter().collect();
        let parts: Vec<&Type> = parts.iter().collect();
        build(&parts, |types, parts| types.tuple(parts.iter().copied()))
    }

    /// `variant { .. }`.
    ///
    /// # Errors
    ///
    /// Where the type is nested too deeply, too large, without cases, or has handles, streams or futures in it.
    /// And where a name is no label (words of letters and digits with `-` between), or is there twice.
    pub fn variant<N: Into<Box<str>>>(
        cases: impl IntoIterator<Item = (N, Option<Type>)>,
    ) -> Result<Type> {
        let (names, payloads): (Vec<N>, Vec<Option<Type>>) = cases.into_iter().unzip();
        let names = labels(names)?;
        let parts: Vec<&Type> = payloads.iter().flatten().collect();
        build(&parts, |types, parts| {
            let mut parts = parts.iter().copied();
            let payloads = payloads
                .iter()
                .map(|ty| ty.as_ref().and_then(|_| parts.next()));
            types.variant(names.into_iter().zip(payloads.collect::<Vec<_>>()))
        })
    }

    /// `enum { .. }`.
    ///
    /// # Errors
    ///
    /// Where there are no cases.
    /// And where a name is no label (words of letters and digits with `-` between), or is there twice.
    pub fn enumeration<N: Into<Box<str>>>(names: impl IntoIterator<Item = N>) -> Result<Type> {
        let names = labels(names)?;
        build(&[], |types, _| types.enum_(names))
    }

    /// `flags { .. }`.
    ///
    /// # Errors
    ///
    /// Where there are no labels, or more than 32.
    /// And where a name is no label (words of letters and digits with `-` between), or is there twice.
    pub fn flags<N: Into<Box<str>>>(names: impl IntoIterator<Item = N>) -> Result<Type> {
        let names = labels(names)?;
        build(&[], |types, _| types.flags(names))
    }

    /// `option<some>`.
    ///
    /// # Errors
    ///
    /// Where the type is nested too deeply, too large, or has handles, streams or futures in it.
    pub fn option(some: &Type) -> Result<Type> {
        build(&[some], |types, parts| types.option(parts[0]))
    }

    /// `result<ok, err>`.
    ///
    /// # Errors
    ///
    /// Where the type is nested too deeply, too large, or has handles, streams or futures in it.
    pub fn result(ok: Option<&Type>, err: Option<&Type>) -> Result<Type> {
        let parts: Vec<&Type> = ok.into_iter().chain(err).collect();
        build(&parts, |types, parts| {
            let mut parts = parts.iter().copied();
            let ok = ok.and_then(|_| parts.next());
            types.result(ok, err.and_then(|_| parts.next()))
        })
    }

    /// Whether `val` is a value of it; the error names the place inside the value. What a
    /// resource, stream or future is of shows when it is passed.
    ///
    /// # Errors
    ///
    /// `in field `tags`, item 3: type mismatch: expected `string`, found a u32`.
    pub fn check(&self, val: &Val) -> Result<()> {
        match (self, val, self.scalar()) {
            (Type::Own(_) | Type::Borrow(_), Val::Resource(_), _) => Ok(()),
            (Type::Own(_) | Type::Borrow(_), ..) => {
                bail!("expected a resource, found a {}", val.kind())
            }
            (_, _, Some(ty)) => val.check(&Types::new(), ty),
            _ => match self.home() {
                Some((home, ty)) => val.check(home.types(), ty),
                None => bail!("a type without a home"),
            },
        }
    }

    /// Its types and itself, for walks over values.
    pub(crate) fn interned(&self) -> Result<(Arc<Types>, InterfaceType)> {
        if let Some((Home::Built(types), ty)) = self.home() {
            return Ok((types.clone(), ty));
        }
        let mut types = Types::new();
        let ty = copy(&mut types, self)?;
        Ok((Arc::new(types), ty))
    }

    pub(super) fn scalar(&self) -> Option<InterfaceType> {
        use InterfaceType as T;
        Some(match self {
            Type::Bool => T::Bool,
            Type::S8 => T::S8,
            Type::U8 => T::U8,
            Type::S16 => T::S16,
            Type::U16 => T::U16,
            Type::S32 => T::S32,
            Type::U32 => T::U32,
            Type::S64 => T::S64,
            Type::U64 => T::U64,
            Type::Float32 => T::F32,
            Type::Float64 => T::F64,
            Type::Char => T::Char,
            Type::String => T::String,
            Type::ErrorContext => T::ErrorContext,
            _ => return None,
        })
    }
}

/// Names of fields, cases or flags, which must be labels, and differ by more than by case.
fn labels<N: Into<Box<str>>>(names: impl IntoIterator<Item = N>) -> Result<Vec<Box<str>>> {
    let mut seen = HashSet::new();
    let names = names.into_iter().map(|name| {
        let name: Box<str> = name.into();
        let label = KebabStr::new(&name);
        let label = label.ok_or_else(|| format_err!("`{name}` is no name for a part of a type"))?;
        ensure!(
            seen.insert(label.to_ascii_lowercase()),
            "two parts of a type are called `{name}`"
        );
        Ok(name)
    });
    names.collect()
}

/// A type that `make` makes of copies of `parts`.
fn build(
    parts: &[&Type],
    make: impl FnOnce(&mut Types, &[InterfaceType]) -> Result<InterfaceType, TypeError>,
) -> Result<Type> {
    let mut types = Types::new();
    let parts = parts.iter().map(|part| copy(&mut types, part));
    let parts = parts.collect::<Result<Vec<_>>>()?;
    let ty = make(&mut types, &parts)?;
    Ok(Home::Built(Arc::new(types)).wrap(ty))
}

fn copy(into: &mut Types, ty: &Type) -> Result<InterfaceType> {
    match (ty.scalar(), ty.home()) {
        (Some(scalar), _) => Ok(scalar),
        (None, Some((home, ty))) => Copy {
            from: home.types(),
            into,
            done: HashMap::new(),
        }
        .copy(ty),
        (None, None) => Err(no_handles()),
    }
}

fn no_handles() -> Error {
    Error::msg("handles, streams and futures belong to a component: a built type has none")
}

/// Copies types from one interner to another, each once.
struct Copy<'a> {
    from: &'a Types,
    into: &'a mut Types,
    done: HashMap<InterfaceType, InterfaceType>,
}

impl Copy<'_> {
    fn copy(&mut self, ty: InterfaceType) -> Result<InterfaceType> {
        if let Some(done) = self.done.get(&ty) {
            return Ok(*done);
        }
        let made = self.make(ty)?;
        self.done.insert(ty, made);
        Ok(made)
    }

    fn optional(&mut self, ty: Option<InterfaceType>) -> Result<Option<InterfaceType>> {
        ty.map(|ty| self.copy(ty)).transpose()
    }

    fn make(&mut self, ty: InterfaceType) -> Result<InterfaceType> {
        use InterfaceType as T;
        let from = self.from;
        Ok(match ty {
            T::Record(id) => {
                let fields = from[id].fields.iter();
                let fields = fields.map(|field| Ok((field.name.clone(), self.copy(field.ty)?)));
                let fields = fields.collect::<Result<Vec<_>>>()?;
                self.into.record(fields)?
            }
            T::Variant(id) => {
                let cases = from[id].cases.iter();
                let cases = cases.map(|case| Ok((case.name.clone(), self.optional(case.ty)?)));
                let cases = cases.collect::<Result<Vec<_>>>()?;
                self.into.variant(cases)?
            }
            T::List(id) => {
                let element = self.copy(from[id].element)?;
                self.into.list(element)?
            }
            T::FixedList(id) => {
                let element = self.copy(from[id].element)?;
                self.into.fixed_list(element, from[id].length)?
            }
            T::Map(id) => {
                let (key, value) = (self.copy(from[id].key)?, self.copy(from[id].value)?);
                self.into.map(key, value)?
            }
            T::Tuple(id) => {
                let types = from[id].types.iter().map(|ty| self.copy(*ty));
                let types = types.collect::<Result<Vec<_>>>()?;
                self.into.tuple(types)?
            }
            T::Flags(id) => self.into.flags(from[id].names.iter().cloned())?,
            T::Enum(id) => self.into.enum_(from[id].names.iter().cloned())?,
            T::Option(id) => {
                let some = self.copy(from[id].some)?;
                self.into.option(some)?
            }
            T::Result(id) => {
                let (ok, err) = (self.optional(from[id].ok)?, self.optional(from[id].err)?);
                self.into.result(ok, err)?
            }
            T::Own(_) | T::Borrow(_) | T::Future(_) | T::Stream(_) => return Err(no_handles()),
            scalar => scalar,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_labels_and_differ() {
        let record = |names: &[&'static str]| {
            let fields = names.iter().map(|name| (*name, Type::U8));
            Type::record(fields.collect::<Vec<_>>())
        };
        assert!(record(&["a", "b-2", "SIZE-c"]).is_ok());
        for (wrong, expected) in [
            (&["a", "a"][..], "two parts of a type are called `a`"),
            (&["a", "A"], "two parts of a type are called `A`"),
            (&["a b"], "`a b` is no name"),
            (&[""], "`` is no name"),
        ] {
            let error = record(wrong).expect_err("a name is wrong").to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(Type::flags(["x", "x"]).is_err());
        assert!(Type::enumeration(["x", "y_z"]).is_err());
        assert!(Type::variant([("x", None), ("X", Some(Type::U8))]).is_err());
    }
}
