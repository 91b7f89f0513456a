//! Variants and enums: a case number, then the payload of that case.
//!
//! ```text
//! lanes    | case number | payload, the lanes it does not use zero |
//! memory   | case number (1, 2 or 4 bytes) | padding | payload     |
//! ```
//! An enum is laid out like a variant none of whose cases has a payload; its component
//! type is another, and its code shorter. Not here: checks of the input (`item`).

use crate::item::{Case, Payload};
use crate::{Trait, rt};
use proc_macro2::TokenStream;
use quote::quote;

/// What stands in the impl of `which` for a variant.
pub(crate) fn body(cases: &[Case], which: Trait) -> TokenStream {
    match which {
        Trait::ComponentType => component_type(cases),
        Trait::Lift => lift(cases),
        Trait::Lower => lower(cases),
    }
}

/// What stands in the impl of `which` for an enum.
pub(crate) fn enum_body(cases: &[Case], which: Trait) -> TokenStream {
    match which {
        Trait::ComponentType => enum_component_type(cases),
        Trait::Lift => enum_lift(cases),
        Trait::Lower => enum_lower(cases),
    }
}

/// The `VariantLayout`, as an expression for constants.
fn layout(cases: &[Case]) -> TokenStream {
    let rt = rt();
    let payloads = cases.iter().map(|case| match &case.payload {
        None => quote!(::core::option::Option::None),
        Some(payload) => {
            let ty = &payload.ty;
            quote!(::core::option::Option::Some(
                <#ty as #rt::ComponentType>::LAYOUT
            ))
        }
    });
    quote!(#rt::VariantLayout::new(&[#(#payloads),*]))
}

/// The case numbers, as literals of `u32`.
fn numbers(cases: &[Case]) -> impl Iterator<Item = u32> {
    (0u32..).zip(cases).map(|(number, _)| number)
}

/// How many cases there are.
fn count(cases: &[Case]) -> u32 {
    numbers(cases).last().map_or(0, |last| last + 1)
}

fn component_type(cases: &[Case]) -> TokenStream {
    let rt = rt();
    let layout = layout(cases);
    let payloads: Vec<_> = cases
        .iter()
        .filter_map(|case| case.payload.as_ref())
        .collect();
    let types = payloads.iter().map(|payload| &payload.ty);
    let rows = cases.iter().map(|case| {
        let name = &case.name;
        match &case.payload {
            None => quote!((#name, ::core::option::Option::None)),
            Some(payload) => {
                let ty = &payload.ty;
                quote!((#name, ::core::option::Option::Some(
                    <#ty as #rt::ComponentType>::typecheck
                        as #rt::CheckFn
                )))
            }
        }
    });
    quote! {
        const LAYOUT: #rt::Layout = #layout.layout;
        const NEEDS_TYPE: bool =
            false #(|| <#types as #rt::ComponentType>::NEEDS_TYPE)*;

        fn typecheck(
            ty: #rt::InterfaceType,
            cx: &#rt::TypeCheck<'_>,
        ) -> ::helve::Result<()> {
            cx.variant(ty, &[#(#rows),*])
        }
    }
}

fn lower(cases: &[Case]) -> TokenStream {
    let rt = rt();
    let layout = layout(cases);
    let to_lanes = arms(cases, |number, payload| match payload {
        None => quote! {{
            #rt::payload_lanes::<()>(dst)?;
            #number
        }},
        Some(Payload { ty, .. }) => {
            let part = part(ty, number);
            quote! {{
                #part
                let lanes = #rt::payload_lanes::<#ty>(dst)?;
                <#ty as #rt::Lower>::lower(payload, cx, part, lanes)?;
                #number
            }}
        }
    });
    let to_memory = arms(cases, |number, payload| match payload {
        None => quote!(cx.put_discriminant(at, cases.discriminant_size, #number)),
        Some(Payload { ty, .. }) => {
            let part = part(ty, number);
            quote! {{
                cx.put_discriminant(at, cases.discriminant_size, #number)?;
                #part
                let at = at + cases.payload(cx.width()) as usize;
                <#ty as #rt::Lower>::store(payload, cx, part, at)
            }}
        }
    });
    lower_impl(
        quote! {
            let number: u32 = match self { #to_lanes };
            dst[0] = #rt::Lane::from_u32(number);
            ::core::result::Result::Ok(())
        },
        quote! {
            let cases = const { #layout };
            match self { #to_memory }
        },
        None,
    )
}

/// `Self::Case { member: payload } => value,` for each case, by number and payload.
fn arms(cases: &[Case], value: impl Fn(u32, Option<&Payload>) -> TokenStream) -> TokenStream {
    numbers(cases)
        .zip(cases)
        .map(|(number, case)| {
            let ident = &case.ident;
            let value = value(number, case.payload.as_ref());
            match &case.payload {
                None => quote!(Self::#ident { .. } => #value,),
                Some(Payload { member, .. }) => {
                    quote!(Self::#ident { #member: payload } => #value,)
                }
            }
        })
        .collect()
}

/// Sets `part` to the type of the payload, a `ty`, of case `number`.
fn part(ty: &syn::Type, number: u32) -> TokenStream {
    let rt = rt();
    quote!(let part = #rt::part::<#ty>(cx.types(), ty, #number as usize);)
}

fn lift(cases: &[Case]) -> TokenStream {
    let rt = rt();
    let layout = layout(cases);
    let from_lanes = makers(cases, |Payload { ty, .. }| {
        quote! {
            let src = #rt::payload_of::<#ty>(src)?;
            <#ty as #rt::Lift>::lift(cx, part, src)?
        }
    });
    let from_memory = makers(cases, |Payload { ty, .. }| {
        quote! {
            let at = cases.payload(cx.width()) as usize;
            let bytes = #rt::sub_slice::<#ty>(bytes, at, cx.width())?;
            <#ty as #rt::Lift>::load(cx, part, bytes)?
        }
    });
    lift_impl(
        quote! {
            #rt::payload_of::<()>(src)?;
            match src[0].u32() { #from_lanes }
        },
        quote! {
            let cases = const { #layout };
            match cx.discriminant(bytes, cases.discriminant_size)? { #from_memory }
        },
        None,
    )
}

/// `number => Ok(Self::Case { member: value }),` for each case; other numbers fail.
fn makers(cases: &[Case], value: impl Fn(&Payload) -> TokenStream) -> TokenStream {
    let rt = rt();
    let count = count(cases);
    let makers = numbers(cases).zip(cases).map(|(number, case)| {
        let ident = &case.ident;
        match &case.payload {
            None => quote!(#number => ::core::result::Result::Ok(Self::#ident {}),),
            Some(payload) => {
                let (member, value) = (&payload.member, value(payload));
                let part = part(&payload.ty, number);
                quote! {
                    #number => ::core::result::Result::Ok(Self::#ident {
                        #member: { #part #value },
                    }),
                }
            }
        }
    });
    quote! {
        #(#makers)*
        found => ::core::result::Result::Err(#rt::invalid_discriminant(found, #count)),
    }
}

fn enum_component_type(cases: &[Case]) -> TokenStream {
    let rt = rt();
    let names = cases.iter().map(|case| &case.name);
    let count = cases.len();
    quote! {
        const LAYOUT: #rt::Layout =
            #rt::Layout::enumeration(#count);
        const FLAT: bool = true;

        fn typecheck(
            ty: #rt::InterfaceType,
            cx: &#rt::TypeCheck<'_>,
        ) -> ::helve::Result<()> {
            cx.enumeration(ty, &[#(#names),*])
        }
    }
}

fn enum_lower(cases: &[Case]) -> TokenStream {
    let rt = rt();
    let numbers: Vec<_> = numbers(cases).collect();
    let idents = cases.iter().map(|case| &case.ident);
    let number = quote! {
        let number: u32 = match self { #(Self::#idents { .. } => #numbers,)* };
    };
    lower_impl(
        quote! {
            #number
            #rt::payload_lanes::<()>(dst)?;
            dst[0] = #rt::Lane::from_u32(number);
            ::core::result::Result::Ok(())
        },
        quote! {
            #number
            let size = <Self as #rt::ComponentType>::LAYOUT.size32;
            cx.put_discriminant(at, size, number)
        },
        Some(quote! {
            #number
            #rt::put_flat(to, &number.to_le_bytes());
        }),
    )
}

fn enum_lift(cases: &[Case]) -> TokenStream {
    let rt = rt();
    let count = count(cases);
    let numbers: Vec<_> = numbers(cases).collect();
    let idents: Vec<_> = cases.iter().map(|case| &case.ident).collect();
    let value = quote! {
        match number {
            #(#numbers => ::core::result::Result::Ok(Self::#idents {}),)*
            found => ::core::result::Result::Err(#rt::invalid_discriminant(found, #count)),
        }
    };
    lift_impl(
        quote! {
            #rt::payload_of::<()>(src)?;
            let number = src[0].u32();
            #value
        },
        quote! {
            let size = <Self as #rt::ComponentType>::LAYOUT.size32;
            let number = cx.discriminant(bytes, size)?;
            #value
        },
        Some(quote! {
            let number = #rt::flat_number(bytes)?;
            #value
        }),
    )
}

/// The methods of `Lower`: `flat` is that of what is flat.
pub(crate) fn lower_impl(
    lower: TokenStream,
    store: TokenStream,
    flat: Option<TokenStream>,
) -> TokenStream {
    let rt = rt();
    let flat = flat.map(|flat| {
        quote! {
            #[inline]
            fn store_flat(&self, to: &mut [u8]) {
                #flat
            }
        }
    });
    quote! {
        #[inline]
        fn lower(
            &self,
            cx: &mut #rt::LowerContext<'_>,
            ty: #rt::InterfaceType,
            dst: &mut [#rt::Lane],
        ) -> ::helve::Result<()> {
            #lower
        }

        #[inline]
        fn store(
            &self,
            cx: &mut #rt::LowerContext<'_>,
            ty: #rt::InterfaceType,
            at: usize,
        ) -> ::helve::Result<()> {
            #store
        }

        #flat
    }
}

/// The methods of `Lift`: `flat` is that of what is flat.
pub(crate) fn lift_impl(
    lift: TokenStream,
    load: TokenStream,
    flat: Option<TokenStream>,
) -> TokenStream {
    let rt = rt();
    let flat = flat.map(|flat| {
        quote! {
            #[inline]
            fn load_flat(bytes: &[u8]) -> ::helve::Result<Self> {
                #flat
            }
        }
    });
    quote! {
        #[inline]
        fn lift(
            cx: &mut #rt::LiftContext<'_>,
            ty: #rt::InterfaceType,
            src: &[#rt::Lane],
        ) -> ::helve::Result<Self> {
            #lift
        }

        #[inline]
        fn load(
            cx: &mut #rt::LiftContext<'_>,
            ty: #rt::InterfaceType,
            bytes: &[u8],
        ) -> ::helve::Result<Self> {
            #load
        }

        #flat
    }
}
