//! Records: one field after the other, as lanes and in memory.
//!
//! Offsets are not computed here: the generated code asks a cursor, which compilers fold
//! to constants. Not here: checks of the input (`item`).

use crate::item::Field;
use crate::{Trait, rt};
use proc_macro2::TokenStream;
use quote::quote;

/// What stands in the impl of `which`.
pub(crate) fn body(fields: &[Field], which: Trait) -> TokenStream {
    match which {
        Trait::ComponentType => component_type(fields),
        Trait::Lift => lift(fields),
        Trait::Lower => lower(fields),
    }
}

fn component_type(fields: &[Field]) -> TokenStream {
    let rt = rt();
    let types: Vec<_> = fields.iter().map(|field| &field.ty).collect();
    let names = fields.iter().map(|field| &field.name);
    quote! {
        const LAYOUT: #rt::Layout = #rt::Layout::record(&[
            #(<#types as #rt::ComponentType>::LAYOUT),*
        ]);
        const NEEDS_TYPE: bool =
            false #(|| <#types as #rt::ComponentType>::NEEDS_TYPE)*;
        const FLAT: bool =
            true #(&& <#types as #rt::ComponentType>::FLAT)*;

        fn typecheck(
            ty: #rt::InterfaceType,
            cx: &#rt::TypeCheck<'_>,
        ) -> ::helve::Result<()> {
            cx.record(ty, &[
                #((
                    #names,
                    <#types as #rt::ComponentType>::typecheck
                        as #rt::CheckFn,
                )),*
            ])
        }
    }
}

fn lower(fields: &[Field]) -> TokenStream {
    let rt = rt();
    let types: Vec<_> = fields.iter().map(|field| &field.ty).collect();
    let members: Vec<_> = fields.iter().map(|field| &field.member).collect();
    let indices: Vec<_> = (0..fields.len()).collect();
    quote! {
        #[inline]
        fn lower(
            &self,
            cx: &mut #rt::LowerContext<'_>,
            ty: #rt::InterfaceType,
            dst: &mut [#rt::Lane],
        ) -> ::helve::Result<()> {
            let mut lanes = #rt::LaneCursor::new(dst);
            #(
                let part = #rt::part::<#types>(cx.types(), ty, #indices);
                let dst = lanes.next::<#types>()?;
                <#types as #rt::Lower>::lower(&self.#members, cx, part, dst)?;
            )*
            ::core::result::Result::Ok(())
        }

        #[inline]
        fn store(
            &self,
            cx: &mut #rt::LowerContext<'_>,
            ty: #rt::InterfaceType,
            at: usize,
        ) -> ::helve::Result<()> {
            let mut fields = #rt::FieldCursor::new();
            #(
                let part = #rt::part::<#types>(cx.types(), ty, #indices);
                let offset = fields.next::<#types>(cx.width());
                <#types as #rt::Lower>::store(
                    &self.#members, cx, part, at + offset,
                )?;
            )*
            ::core::result::Result::Ok(())
        }

        #[inline]
        fn store_flat(&self, to: &mut [u8]) {
            let mut fields = #rt::FieldCursor::new();
            #(
                let field = #rt::flat_field::<#types>(&mut fields, to);
                <#types as #rt::Lower>::store_flat(&self.#members, field);
            )*
        }
    }
}

fn lift(fields: &[Field]) -> TokenStream {
    let rt = rt();
    let types: Vec<_> = fields.iter().map(|field| &field.ty).collect();
    let members: Vec<_> = fields.iter().map(|field| &field.member).collect();
    let indices: Vec<_> = (0..fields.len()).collect();
    quote! {
        #[inline]
        fn lift(
            cx: &mut #rt::LiftContext<'_>,
            ty: #rt::InterfaceType,
            src: &[#rt::Lane],
        ) -> ::helve::Result<Self> {
            let mut lanes = #rt::LaneReader::new(src);
            ::core::result::Result::Ok(Self {
                #(#members: {
                    let part = #rt::part::<#types>(cx.types(), ty, #indices);
                    let src = lanes.next::<#types>()?;
                    <#types as #rt::Lift>::lift(cx, part, src)?
                }),*
            })
        }

        #[inline]
        fn load(
            cx: &mut #rt::LiftContext<'_>,
            ty: #rt::InterfaceType,
            bytes: &[u8],
        ) -> ::helve::Result<Self> {
            let mut fields = #rt::FieldCursor::new();
            ::core::result::Result::Ok(Self {
                #(#members: {
                    let part = #rt::part::<#types>(cx.types(), ty, #indices);
                    let bytes = fields.bytes::<#types>(cx.width(), bytes)?;
                    <#types as #rt::Lift>::load(cx, part, bytes)?
                }),*
            })
        }

        #[inline]
        fn load_flat(bytes: &[u8]) -> ::helve::Result<Self> {
            let mut fields = #rt::FieldCursor::new();
            ::core::result::Result::Ok(Self {
                #(#members: {
                    let bytes = #rt::flat_part::<#types>(&mut fields, bytes);
                    <#types as #rt::Lift>::load_flat(bytes)?
                }),*
            })
        }
    }
}
