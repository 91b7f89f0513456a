//! Definitions of the types that WIT names: structs, enums, flags, aliases, resources.

use crate::Generator;
use crate::docs;
use crate::module::allow;
use crate::name;
use crate::place::{Scope, Side};
use crate::refer::Mode;
use anyhow::Result;
use proc_macro2::{Ident, TokenStream};
use quote::quote;
use wit_parser::{Enum, Record, Type, TypeDefKind, TypeId, Variant};

/// A type that is being defined.
struct Definition<'d> {
    scope: Scope,
    id: TypeId,
    /// As WIT calls it.
    wit_name: &'d str,
    name: Ident,
    docs: TokenStream,
}

impl Generator<'_> {
    /// The definition of a named type in the module of `scope`.
    pub(crate) fn define(&self, scope: &Scope, id: TypeId) -> Result<TokenStream> {
        let scope = *scope;
        let def = &self.resolve.types[id];
        let wit_name = def.name.as_deref().unwrap_or("type");
        let name = self.type_name(def.owner, wit_name);
        let docs = docs::or(&def.docs, || {
            format!("The {} `{wit_name}`.", noun(&def.kind))
        });
        let allow = scope.interface.is_none().then(allow);
        let docs = quote!(#docs #allow);
        let resource = matches!(def.kind, TypeDefKind::Resource);
        if let Some(path) = self.places.with_type(scope, id)
            && !(resource && scope.side == Side::Export)
        {
            return Ok(quote!(#docs pub type #name = #path;));
        }
        let definition = Definition {
            scope,
            id,
            wit_name,
            name: name.clone(),
            docs: docs.clone(),
        };
        match &def.kind {
            TypeDefKind::Record(record) => self.record(&definition, record),
            TypeDefKind::Variant(variant) => self.variant(&definition, variant),
            TypeDefKind::Enum(cases) => Ok(self.enumeration(&definition, cases)),
            TypeDefKind::Flags(flags) => {
                let derived = [
                    "Clone",
                    "Copy",
                    "Debug",
                    "Default",
                    "PartialEq",
                    "Eq",
                    "Hash",
                ];
                let additional = self.additional(&derived);
                let labels = flags.flags.iter().map(|flag| {
                    let (name, wit) = (name::shouting(&flag.name), &flag.name);
                    let docs = docs::or(&flag.docs, || format!("The flag `{wit}`."));
                    quote!(#docs #[component(name = #wit)] const #name;)
                });
                Ok(quote! {
                    ::helve::component::flags! {
                        #docs
                        #[derive(#(#additional),*)]
                        pub #name { #(#labels)* }
                    }
                })
            }
            TypeDefKind::Resource if scope.side == Side::Export => {
                Ok(quote!(#docs pub type #name = ::helve::component::ResourceAny;))
            }
            TypeDefKind::Resource => Ok(quote!(#docs pub enum #name {})),
            kind => {
                let ty = self.anonymous(scope, kind, Mode::Owned)?;
                Ok(quote!(#docs pub type #name = #ty;))
            }
        }
    }

    fn record(&self, ty: &Definition<'_>, record: &Record) -> Result<TokenStream> {
        let fields = record.fields.iter().map(|field| {
            let (name, wit) = (name::snake(&field.name), &field.name);
            let docs = docs::or(&field.docs, || format!("The field `{wit}`."));
            let ty = self.ty(ty.scope, field.ty, Mode::Owned)?;
            Ok(quote!(#docs #[component(name = #wit)] pub #name: #ty,))
        });
        let fields = fields.collect::<Result<Vec<_>>>()?;
        let (docs, name) = (&ty.docs, &ty.name);
        let derives = self.value_derives(ty);
        let error = self.error(ty);
        Ok(quote! {
            #docs
            #derives
            #[component(record)]
            pub struct #name { #(#fields)* }
            #error
        })
    }

    fn variant(&self, ty: &Definition<'_>, variant: &Variant) -> Result<TokenStream> {
        let cases = variant.cases.iter().map(|case| {
            let (name, wit) = (name::camel(&case.name), &case.name);
            let docs = docs::or(&case.docs, || format!("The case `{wit}`."));
            let payload = case
                .ty
                .map(|payload| self.ty(ty.scope, payload, Mode::Owned));
            let payload = payload.transpose()?.map(|payload| quote!((#payload)));
            Ok(quote!(#docs #[component(name = #wit)] #name #payload,))
        });
        let cases = cases.collect::<Result<Vec<_>>>()?;
        let (docs, name) = (&ty.docs, &ty.name);
        let derives = self.value_derives(ty);
        let error = self.error(ty);
        Ok(quote! {
            #docs
            #derives
            #[component(variant)]
            pub enum #name { #(#cases)* }
            #error
        })
    }

    fn enumeration(&self, ty: &Definition<'_>, cases: &Enum) -> TokenStream {
        let (docs, name) = (&ty.docs, &ty.name);
        let idents: Vec<_> = cases
            .cases
            .iter()
            .map(|case| name::camel(&case.name))
            .collect();
        let wit: Vec<_> = cases.cases.iter().map(|case| &case.name).collect();
        let case_docs = cases
            .cases
            .iter()
            .map(|case| docs::or(&case.docs, || format!("The case `{}`.", case.name)));
        let messages = cases.cases.iter().map(|case| {
            let text = case.docs.contents.as_deref().unwrap_or_default();
            text.trim()
        });
        let derives = self.derives(
            &["ComponentType", "Lift", "Lower"],
            &["Clone", "Copy", "Debug", "PartialEq", "Eq"],
        );
        let error = self.facts.is_error(ty.id).then(|| {
            quote! {
                impl ::core::fmt::Display for #name {
                    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                        ::core::write!(f, "{} (error {})", self.name(), *self as i32)
                    }
                }

                impl ::std::error::Error for #name {}
            }
        });
        quote! {
            #docs
            #derives
            #[component(enum)]
            pub enum #name { #(#case_docs #[component(name = #wit)] #idents,)* }

            impl #name {
                /// The case as WIT calls it.
                pub fn name(&self) -> &'static str {
                    match self { #(Self::#idents => #wit,)* }
                }

                /// What WIT's documentation says about the case.
                pub fn message(&self) -> &'static str {
                    match self { #(Self::#idents => #messages,)* }
                }
            }

            #error
        }
    }

    /// Derives of a record or a variant.
    fn value_derives(&self, ty: &Definition<'_>) -> TokenStream {
        let fact = self.facts.of(Type::Id(ty.id));
        let mut plain = vec!["Debug"];
        if !fact.handle {
            plain.push("Clone");
            if !fact.owns_memory {
                plain.push("Copy");
            }
        }
        self.derives(&["ComponentType", "Lift", "Lower"], &plain)
    }

    /// `#[derive(..)]` of traits of Helve's, of Rust's, and those that options add.
    fn derives(&self, ours: &[&str], plain: &[&str]) -> TokenStream {
        let additional = self.additional(&[ours, plain].concat());
        let ours = ours.iter().map(|name| name::ident(name));
        let plain = plain.iter().map(|name| match *name {
            "Debug" => quote!(::core::fmt::Debug),
            "Hash" => quote!(::core::hash::Hash),
            "Clone" => quote!(::core::clone::Clone),
            "Copy" => quote!(::core::marker::Copy),
            name => {
                let name = name::ident(name);
                quote!(::core::cmp::#name)
            }
        });
        quote!(#[derive(#(::helve::component::#ours,)* #(#plain,)* #(#additional,)*)])
    }

    /// The derives that options add to what a type has already.
    fn additional(&self, has: &[&str]) -> Vec<&TokenStream> {
        let additional = self.options.additional_derives.iter();
        let missing = additional.filter(|derive| {
            let text = derive.to_string();
            let last = text.rsplit("::").next().unwrap_or_default().trim();
            !has.contains(&last)
        });
        missing.collect()
    }

    /// `Error`, for a type that functions fail with.
    fn error(&self, ty: &Definition<'_>) -> TokenStream {
        if !self.facts.is_error(ty.id) {
            return TokenStream::new();
        }
        let (name, wit_name) = (&ty.name, ty.wit_name);
        quote! {
            impl ::core::fmt::Display for #name {
                fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    ::core::write!(f, "{}: {:?}", #wit_name, self)
                }
            }

            impl ::std::error::Error for #name {}
        }
    }
}

/// What kind of type it is.
fn noun(kind: &TypeDefKind) -> &'static str {
    match kind {
        TypeDefKind::Record(_)
        | TypeDefKind::Variant(_)
        | TypeDefKind::Enum(_)
        | TypeDefKind::Flags(_)
        | TypeDefKind::Resource => kind.as_str(),
        _ => "type",
    }
}
