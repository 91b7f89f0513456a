//! The `flags!` macro: a set type with one bit per label.
//!
//! The canonical ABI allows 1 to 32 labels, in the smallest of 1, 2 or 4 bytes that has
//! a bit for each; as lanes they are one. Bits without a label are dropped on the way in,
//! so a value never has any. Not here: parsing of names (`attr`).

use crate::variant::{lift_impl, lower_impl};
use crate::{attr, rt};
use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Ident, Token, Visibility, braced};

/// Most labels that one type may have.
const MAX_LABELS: usize = 32;

/// What stands in the macro.
struct FlagsItem {
    attrs: Vec<Attribute>,
    visibility: Visibility,
    name: Ident,
    labels: Vec<Label>,
}

/// One flag.
struct Label {
    /// Its attributes but ours.
    attrs: Vec<Attribute>,
    ident: Ident,
    name: String,
}

impl Parse for FlagsItem {
    fn parse(input: ParseStream<'_>) -> syn::Result<FlagsItem> {
        let attrs = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let name: Ident = input.parse()?;
        let body;
        braced!(body in input);
        let mut labels = Vec::new();
        while !body.is_empty() {
            labels.push(body.parse::<Label>()?);
        }
        if labels.is_empty() || labels.len() > MAX_LABELS {
            let message = format!("flags have 1 to {MAX_LABELS} labels, not {}", labels.len());
            return Err(syn::Error::new(name.span(), message));
        }
        attr::distinct(labels.iter().map(|l| (l.name.as_str(), l.ident.span())))?;
        Ok(FlagsItem {
            attrs,
            visibility,
            name,
            labels,
        })
    }
}

impl Parse for Label {
    fn parse(input: ParseStream<'_>) -> syn::Result<Label> {
        let mut attrs = input.call(Attribute::parse_outer)?;
        input.parse::<Token![const]>()?;
        let ident: Ident = input.parse()?;
        input.parse::<Token![;]>()?;
        let name = attr::part_name(&attrs, Some(&ident), ident.span())?;
        attrs.retain(|attr| !attr.path().is_ident("component"));
        Ok(Label { attrs, ident, name })
    }
}

/// The type and its implementations.
pub(crate) fn expand(input: TokenStream) -> syn::Result<TokenStream> {
    let item: FlagsItem = syn::parse2(input)?;
    let parts = [
        definition(&item),
        set(&item),
        operators(&item),
        traits(&item),
    ];
    Ok(parts.into_iter().collect())
}

/// The struct, its constants and its `Debug`.
fn definition(item: &FlagsItem) -> TokenStream {
    let FlagsItem {
        attrs,
        visibility,
        name,
        labels,
    } = item;
    let idents: Vec<_> = labels.iter().map(|label| &label.ident).collect();
    let names: Vec<_> = labels.iter().map(|label| &label.name).collect();
    let label_attrs = labels.iter().map(|label| {
        let attrs = &label.attrs;
        let documented = attrs.iter().any(|attr| attr.path().is_ident("doc"));
        let doc = (!documented).then(|| format!("The flag `{}`.", label.name));
        let doc = doc.into_iter();
        quote!(#(#attrs)* #(#[doc = #doc])*)
    });
    let bits = (0..labels.len()).map(|i| 1u32 << i);
    quote! {
        #(#attrs)*
        #[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
        #visibility struct #name {
            bits: u32,
        }

        #[allow(dead_code)]
        impl #name {
            #(#label_attrs pub const #idents: #name = #name { bits: #bits };)*
        }

        impl ::core::fmt::Debug for #name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                let mut set = f.debug_set();
                for (flag, label) in [#((#name::#idents, #names)),*] {
                    if self.contains(flag) {
                        set.entry(&::core::format_args!("{label}"));
                    }
                }
                set.finish()
            }
        }
    }
}

/// What a set of flags can do.
fn set(item: &FlagsItem) -> TokenStream {
    let name = &item.name;
    let all = u32::MAX >> (MAX_LABELS - item.labels.len());
    quote! {
        #[allow(dead_code)]
        impl #name {
            /// No flag.
            pub const fn empty() -> #name {
                #name { bits: 0 }
            }

            /// Every flag.
            pub const fn all() -> #name {
                #name { bits: #all }
            }

            /// One bit per flag, the first one lowest.
            pub const fn bits(self) -> u32 {
                self.bits
            }

            /// The flags of these bits; bits without a flag are dropped.
            pub const fn from_bits_truncate(bits: u32) -> #name {
                #name { bits: bits & #all }
            }

            /// Whether no flag is in it.
            pub const fn is_empty(self) -> bool {
                self.bits == 0
            }

            /// Whether all flags of `other` are in it.
            pub const fn contains(self, other: #name) -> bool {
                self.bits & other.bits == other.bits
            }

            /// Whether any flag of `other` is in it.
            pub const fn intersects(self, other: #name) -> bool {
                self.bits & other.bits != 0
            }

            /// The flags of either.
            pub const fn union(self, other: #name) -> #name {
                #name { bits: self.bits | other.bits }
            }

            /// Adds the flags of `other`.
            pub fn insert(&mut self, other: #name) {
                self.bits |= other.bits;
            }

            /// Takes the flags of `other` out.
            pub fn remove(&mut self, other: #name) {
                self.bits &= !other.bits;
            }

            /// Adds the flags of `other`, or takes them out.
            pub fn set(&mut self, other: #name, value: bool) {
                if value {
                    self.insert(other);
                } else {
                    self.remove(other);
                }
            }
        }
    }
}

/// `|`, `&`, `^`, `-`, `!` and their assigning forms.
fn operators(item: &FlagsItem) -> TokenStream {
    let name = &item.name;
    let binary = [
        ("BitOr", "bitor", quote!(self.bits | other.bits)),
        ("BitAnd", "bitand", quote!(self.bits & other.bits)),
        ("BitXor", "bitxor", quote!(self.bits ^ other.bits)),
        ("Sub", "sub", quote!(self.bits & !other.bits)),
    ];
    let binary = binary.into_iter().map(|(op, method, bits)| {
        let ident = |text: &str| Ident::new(text, proc_macro2::Span::call_site());
        let (op, op_assign) = (ident(op), ident(&format!("{op}Assign")));
        let (method, method_assign) = (ident(method), ident(&format!("{method}_assign")));
        quote! {
            impl ::core::ops::#op for #name {
                type Output = #name;

                fn #method(self, other: #name) -> #name {
                    #name { bits: #bits }
                }
            }

            impl ::core::ops::#op_assign for #name {
                fn #method_assign(&mut self, other: #name) {
                    *self = ::core::ops::#op::#method(*self, other);
                }
            }
        }
    });
    quote! {
        #(#binary)*

        impl ::core::ops::Not for #name {
            type Output = #name;

            fn not(self) -> #name {
                #name::from_bits_truncate(!self.bits)
            }
        }
    }
}

/// The component traits.
fn traits(item: &FlagsItem) -> TokenStream {
    let rt = rt();
    let name = &item.name;
    let names = item.labels.iter().map(|label| &label.name);
    let count = item.labels.len();
    let lower = lower_impl(
        quote! {
            #rt::payload_lanes::<()>(dst)?;
            dst[0] = #rt::Lane::from_u32(self.bits);
            ::core::result::Result::Ok(())
        },
        quote! {
            let size = <Self as #rt::ComponentType>::LAYOUT.size32;
            cx.put_discriminant(at, size, self.bits)
        },
        Some(quote!(#rt::put_flat(to, &self.bits.to_le_bytes());)),
    );
    let lift = lift_impl(
        quote! {
            #rt::payload_of::<()>(src)?;
            ::core::result::Result::Ok(#name::from_bits_truncate(src[0].u32()))
        },
        quote! {
            let size = <Self as #rt::ComponentType>::LAYOUT.size32;
            ::core::result::Result::Ok(#name::from_bits_truncate(cx.discriminant(bytes, size)?))
        },
        Some(quote! {
            ::core::result::Result::Ok(#name::from_bits_truncate(#rt::flat_number(bytes)?))
        }),
    );
    quote! {
        impl #rt::ComponentType for #name {
            const LAYOUT: #rt::Layout = #rt::Layout::flags(#count);
            const FLAT: bool = true;

            fn typecheck(ty: #rt::InterfaceType, cx: &#rt::TypeCheck<'_>) -> ::helve::Result<()> {
                cx.flags(ty, &[#(#names),*])
            }
        }

        #[allow(unused_variables)]
        impl #rt::Lower for #name {
            #lower
        }

        #[allow(unused_variables)]
        impl #rt::Lift for #name {
            #lift
        }
    }
}
