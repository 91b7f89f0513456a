//! WIT's types as Rust writes them where values are passed.
//!
//! ```text
//!             owned            lent (arguments of guest functions)
//! string      String           &str
//! list<u8>    Vec<u8>          &[u8]
//! record r    R                &R, or R where it owns no memory
//! own<x>      Resource<X>      Resource<X>; of a guest's resource: ResourceAny
//! ```

use crate::Generator;
use crate::facts::dealias;
use crate::name;
use crate::place::Scope;
use anyhow::{Result, bail};
use proc_macro2::{Ident, TokenStream};
use quote::quote;
use wit_parser::{Handle, Type, TypeDefKind, TypeId, TypeOwner};

/// Whether a value is passed or lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Owned,
    Lent,
}

impl Generator<'_> {
    /// `ty` as Rust writes it in `scope`.
    pub(crate) fn ty(&self, scope: Scope, ty: Type, mode: Mode) -> Result<TokenStream> {
        Ok(match ty {
            Type::Bool => quote!(bool),
            Type::U8 => quote!(u8),
            Type::U16 => quote!(u16),
            Type::U32 => quote!(u32),
            Type::U64 => quote!(u64),
            Type::S8 => quote!(i8),
            Type::S16 => quote!(i16),
            Type::S32 => quote!(i32),
            Type::S64 => quote!(i64),
            Type::F32 => quote!(f32),
            Type::F64 => quote!(f64),
            Type::Char => quote!(char),
            Type::String if mode == Mode::Lent => quote!(&str),
            Type::String => quote!(::std::string::String),
            Type::ErrorContext => quote!(::helve::component::ErrorContext),
            Type::Id(id) => self.type_id(scope, id, mode)?,
        })
    }

    fn type_id(&self, scope: Scope, id: TypeId, mode: Mode) -> Result<TokenStream> {
        let def = &self.resolve.types[id];
        let Some(name) = &def.name else {
            return self.anonymous(scope, &def.kind, mode);
        };
        let prefix = self.places.prefix(scope, def.owner);
        let name = self.type_name(def.owner, name);
        let lent = mode == Mode::Lent && self.facts.of(Type::Id(id)).owns_memory;
        let reference = lent.then(|| quote!(&));
        Ok(quote!(#reference #prefix #name))
    }

    /// A type without a name of its own.
    pub(crate) fn anonymous(
        &self,
        scope: Scope,
        kind: &TypeDefKind,
        mode: Mode,
    ) -> Result<TokenStream> {
        let component = quote!(::helve::component);
        let owned = |ty: &Type| self.ty(scope, *ty, Mode::Owned);
        Ok(match kind {
            TypeDefKind::Type(ty) => self.ty(scope, *ty, mode)?,
            TypeDefKind::Option(ty) => {
                let ty = self.ty(scope, *ty, mode)?;
                quote!(::core::option::Option<#ty>)
            }
            TypeDefKind::Result(result) => {
                let ok = self.optional(scope, result.ok, mode)?;
                let err = self.optional(scope, result.err, mode)?;
                quote!(::core::result::Result<#ok, #err>)
            }
            TypeDefKind::Tuple(tuple) => {
                let types = tuple.types.iter().map(|ty| self.ty(scope, *ty, mode));
                let types = types.collect::<Result<Vec<_>>>()?;
                quote!((#(#types,)*))
            }
            TypeDefKind::List(ty) => {
                let ty = owned(ty)?;
                list(&ty, mode)
            }
            TypeDefKind::Map(key, value) => {
                let (key, value) = (owned(key)?, owned(value)?);
                list(&quote!((#key, #value)), mode)
            }
            TypeDefKind::FixedLengthList(ty, length) => {
                let ty = self.ty(scope, *ty, mode)?;
                let length = *length as usize;
                quote!([#ty; #length])
            }
            TypeDefKind::Handle(Handle::Own(id) | Handle::Borrow(id)) => self.handle(scope, *id),
            TypeDefKind::Stream(ty) => {
                let ty = self.optional(scope, *ty, Mode::Owned)?;
                quote!(#component::StreamReader<#ty>)
            }
            TypeDefKind::Future(ty) => {
                let ty = self.optional(scope, *ty, Mode::Owned)?;
                quote!(#component::FutureReader<#ty>)
            }
            TypeDefKind::Record(_)
            | TypeDefKind::Variant(_)
            | TypeDefKind::Enum(_)
            | TypeDefKind::Flags(_)
            | TypeDefKind::Resource
            | TypeDefKind::Unknown => bail!("a {} without a name", kind.as_str()),
        })
    }

    /// What may be missing; `()` then.
    pub(crate) fn optional(
        &self,
        scope: Scope,
        ty: Option<Type>,
        mode: Mode,
    ) -> Result<TokenStream> {
        match ty {
            Some(ty) => self.ty(scope, ty, mode),
            None => Ok(quote!(())),
        }
    }

    fn handle(&self, scope: Scope, id: TypeId) -> TokenStream {
        let resource = &self.resolve.types[dealias(self.resolve, id)];
        if self.places.is_guests(scope, resource.owner) {
            return quote!(::helve::component::ResourceAny);
        }
        let path = self.resource_path(scope, id);
        quote!(::helve::component::Resource<#path>)
    }

    /// The Rust type that stands for a resource.
    pub(crate) fn resource_path(&self, scope: Scope, id: TypeId) -> TokenStream {
        let def = &self.resolve.types[id];
        let prefix = self.places.prefix(scope, def.owner);
        let name = self.type_name(def.owner, def.name.as_deref().unwrap_or("resource"));
        quote!(#prefix #name)
    }

    /// A type's name in its module, where traits have names too.
    pub(crate) fn type_name(&self, owner: TypeOwner, name: &str) -> Ident {
        let camel = name::camel_text(name);
        let taken = match owner {
            TypeOwner::Interface(id) => {
                let types = &self.resolve.interfaces[id].types;
                let of_resource = |prefix: &str| {
                    let rest = camel.strip_prefix(prefix);
                    rest.is_some_and(|rest| {
                        let rest = ["WithStore", "Indices"]
                            .iter()
                            .find_map(|suffix| rest.strip_suffix(suffix))
                            .unwrap_or(rest);
                        rest.is_empty()
                            || types.iter().any(|(name, id)| {
                                let kind = &self.resolve.types[*id].kind;
                                matches!(kind, TypeDefKind::Resource)
                                    && name::camel_text(name) == rest
                            })
                    })
                };
                of_resource("Host") || of_resource("Guest")
            }
            _ => {
                let world = name::camel_text(&self.resolve.worlds[self.world].name);
                let rest = camel.strip_prefix(&*world);
                let suffixes = ["", "Pre", "Indices", "Imports", "ImportsWithStore"];
                rest.is_some_and(|rest| suffixes.contains(&rest)) || camel.starts_with("Host")
            }
        };
        match taken {
            true => name::camel_beside(name, &[camel]),
            false => name::camel(name),
        }
    }
}

fn list(element: &TokenStream, mode: Mode) -> TokenStream {
    match mode {
        Mode::Owned => quote!(::std::vec::Vec<#element>),
        Mode::Lent => quote!(&[#element]),
    }
}
