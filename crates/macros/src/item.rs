//! The type that a derive stands on, reduced to what the generated code needs.
//!
//! All refusals with a reason are here, so that the generators need none. Not here:
//! flags, which are not derived.

use crate::attr::{self, KindWord};
use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Fields, Generics, Ident, Member, Path, Type};

/// A struct or enum to derive for.
pub(crate) struct Item {
    /// Its Rust name.
    pub(crate) name: Ident,
    /// Its generics as written.
    pub(crate) generics: Generics,
    /// What it is.
    pub(crate) kind: Kind,
}

/// What component type it stands for.
pub(crate) enum Kind {
    /// A record of these fields.
    Record(Vec<Field>),
    /// A variant of these cases.
    Variant(Vec<Case>),
    /// An enum of these cases, none of which has a payload.
    Enum(Vec<Case>),
}

/// A field of a record.
pub(crate) struct Field {
    /// How Rust reaches it.
    pub(crate) member: Member,
    /// What components call it.
    pub(crate) name: String,
    /// Its type.
    pub(crate) ty: Type,
}

/// A case of a variant or enum.
pub(crate) struct Case {
    /// What Rust calls it.
    pub(crate) ident: Ident,
    /// What components call it.
    pub(crate) name: String,
    /// Its payload.
    pub(crate) payload: Option<Payload>,
}

/// A case's payload.
pub(crate) struct Payload {
    /// How Rust reaches it.
    pub(crate) member: Member,
    /// Its type.
    pub(crate) ty: Type,
}

impl Item {
    /// Reads and checks the type.
    pub(crate) fn parse(input: DeriveInput) -> syn::Result<Item> {
        let said = attr::kind(&input.attrs)?;
        let wrong = |span: Span, message: &str| Err(syn::Error::new(span, message));
        let kind = match (&input.data, said) {
            (Data::Struct(data), None | Some((KindWord::Record, _))) => {
                Kind::Record(fields(&data.fields, &input.ident)?)
            }
            (Data::Struct(_), Some((_, span))) => {
                return wrong(span, "a struct stands for a record");
            }
            (Data::Enum(_), Some((KindWord::Record, span))) => {
                return wrong(span, "a Rust enum stands for a variant or an enum");
            }
            (Data::Enum(data), None | Some((KindWord::Variant, _))) => {
                Kind::Variant(cases(data, &input.ident)?)
            }
            (Data::Enum(data), Some((KindWord::Enum, _))) => {
                let cases = cases(data, &input.ident)?;
                if let Some(case) = cases.iter().find(|case| case.payload.is_some()) {
                    return wrong(
                        case.ident.span(),
                        "a case of an enum has no payload: `#[component(variant)]` allows one",
                    );
                }
                Kind::Enum(cases)
            }
            (Data::Union(data), _) => {
                return wrong(
                    data.union_token.span(),
                    "a union stands for no component type",
                );
            }
        };
        Ok(Item {
            name: input.ident,
            generics: input.generics,
            kind,
        })
    }

    /// The generics with every type parameter bound by `path`.
    pub(crate) fn generics_bound_by(&self, path: &Path) -> Generics {
        let mut generics = self.generics.clone();
        for param in generics.type_params_mut() {
            param.bounds.push(syn::parse_quote!(#path));
        }
        generics
    }
}

fn fields(fields: &Fields, owner: &Ident) -> syn::Result<Vec<Field>> {
    let parsed = fields
        .members()
        .zip(fields)
        .map(|(member, field)| {
            let name = attr::part_name(&field.attrs, field.ident.as_ref(), field.ty.span())?;
            Ok(Field {
                member,
                name,
                ty: field.ty.clone(),
            })
        })
        .collect::<syn::Result<Vec<Field>>>()?;
    if parsed.is_empty() {
        return Err(syn::Error::new(
            owner.span(),
            "a record has at least one field",
        ));
    }
    attr::distinct(parsed.iter().map(|f| (f.name.as_str(), f.member.span())))?;
    Ok(parsed)
}

fn cases(data: &syn::DataEnum, owner: &Ident) -> syn::Result<Vec<Case>> {
    let parsed = data
        .variants
        .iter()
        .map(|variant| {
            let name = attr::part_name(&variant.attrs, Some(&variant.ident), variant.span())?;
            let mut parts = variant.fields.members().zip(&variant.fields);
            let payload = parts.next().map(|(member, field)| Payload {
                member,
                ty: field.ty.clone(),
            });
            if parts.next().is_some() {
                return Err(syn::Error::new(
                    variant.fields.span(),
                    "a case has at most one payload: make it a tuple `((A, B))` or a record",
                ));
            }
            Ok(Case {
                ident: variant.ident.clone(),
                name,
                payload,
            })
        })
        .collect::<syn::Result<Vec<Case>>>()?;
    if parsed.is_empty() {
        return Err(syn::Error::new(owner.span(), "there is no case"));
    }
    attr::distinct(parsed.iter().map(|c| (c.name.as_str(), c.ident.span())))?;
    Ok(parsed)
}
