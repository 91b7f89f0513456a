//! Derives that make Rust types component values, and the `flags!` macro.
//!
//! ```text
//! tokens --attr, item--> Item (kind, parts, component names) --record|variant--> impls
//!        --flags-------> FlagsItem ------------------------------------------> type + impls
//!        --bindgen-----> Options ---------------helve-bindgen---------------> a world's bindings
//! ```
//!
//! What the generated code relies on stands in `helve::component::typed`, whose
//! documentation says how an implementation looks; every path in generated code is
//! absolute. Not here: what `bindgen!` generates (`helve-bindgen`).

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod attr;
mod bindgen;
mod flags;
mod item;
mod name;
mod record;
mod variant;

use item::{Item, Kind};
use proc_macro::TokenStream;
use quote::quote;

/// Which of the three traits to implement.
#[derive(Clone, Copy)]
enum Trait {
    ComponentType,
    Lift,
    Lower,
}

/// Says which component type a Rust type stands for.
///
/// A struct is a record, an enum a variant; `#[component(enum)]` on an enum without
/// payloads makes it an enum (`#[component(record)]` and `#[component(variant)]` may be
/// said too). The name of a field or case is the Rust name in kebab-case unless
/// `#[component(name = "...")]` gives another. Fields and cases stand in the order of the
/// component's type.
///
/// ```text
/// #[derive(ComponentType, Lift, Lower)]
/// #[component(record)]
/// struct Stat {
///     #[component(name = "type")]
///     kind: Kind,
///     link_count: u64, // "link-count"
/// }
/// ```
#[proc_macro_derive(ComponentType, attributes(component))]
pub fn derive_component_type(input: TokenStream) -> TokenStream {
    derive(input, Trait::ComponentType)
}

/// Makes a host value from a guest's; see the derive of `ComponentType`.
#[proc_macro_derive(Lift, attributes(component))]
pub fn derive_lift(input: TokenStream) -> TokenStream {
    derive(input, Trait::Lift)
}

/// Gives a host value to a guest; see the derive of `ComponentType`.
#[proc_macro_derive(Lower, attributes(component))]
pub fn derive_lower(input: TokenStream) -> TokenStream {
    derive(input, Trait::Lower)
}

/// Defines a type for a component's flags, at most 32 of them.
///
/// ```text
/// flags! {
///     /// How to open a file.
///     pub OpenFlags {
///         /// Make it.
///         const CREATE;                          // "create"
///         #[component(name = "excl")]
///         const EXCLUSIVE;
///     }
/// }
/// let both = OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
/// assert!(both.contains(OpenFlags::CREATE));
/// ```
///
/// The type is a set: `empty`, `all`, `bits`, `from_bits_truncate`, `is_empty`, `contains`,
/// `intersects`, `insert`, `remove`, `set`, and the operators `|`, `&`, `^`, `-`, `!`. It is
/// `ComponentType`, `Lift` and `Lower`. The order of the constants is that of the
/// component's labels, the first one is bit 0.
#[proc_macro]
pub fn flags(input: TokenStream) -> TokenStream {
    match flags::expand(input.into()) {
        Ok(tokens) => tokens.into(),
        Err(error) => error.into_compile_error().into(),
    }
}

/// Generates a host's bindings for a world, from its WIT.
///
/// ```text
/// bindgen!();                              // the only world in `wit/`
/// bindgen!("my-world" in "path/to/wit");
/// bindgen!({
///     path: "wit",                         // from the folder of Cargo.toml; a list is read in order
///     inline: "package a:b; world w {}",   // instead of a path, or with what the paths have
///     world: "my-world",                   // not needed where there is one world
///     interfaces: "import wasi:io/streams@0.2.0;", // instead of a world
///     with: {
///         "wasi:io": my_crate::io,         // a module like the ones that are generated
///         "a:b/c.my-resource": MyResource, // what `Resource<..>` is of
///         "a:b/c.my-record": MyRecord,     // a type with `ComponentType`, `Lift`, `Lower`
///     },
///     trappable_error_type: { "a:b/c.error" => MyError },
///     additional_derives: [PartialEq],
///     imports: { default: trappable, "a:b/c.f": async | store, "x:*": skip },
///     exports: { default: async },
/// });
/// ```
///
/// Of a world `my-world` that imports `a:b/c` and exports `a:b/d` it makes:
///
/// - the types of `a:b/c`, and the traits `Host` and `HostMyResource` to implement, in `a::b::c`;
/// - the types of `a:b/d`, and `Guest` with a `call_..` for each function, in `exports::a::b::d`;
/// - `MyWorld`: `add_to_linker`, `instantiate`, `instantiate_async`, `new`, `a_b_d()` and a
///   `call_..` for each function of the world itself; `MyWorldPre` for many instances;
///   `MyWorldImports`, where the world itself imports functions.
///
/// A function's flags: `async` (an `async fn` that has the host's data to itself while it
/// waits), `store` (it gets at the store; with `async`, by an `Accessor`, and other guests run
/// meanwhile), `trappable` (it returns `helve::Result`), `ignore_wit` (`async` in the
/// WIT is not looked at, which is `async | store` else), `skip` (left out). The guide's page
/// on `bindgen!` has all of it with examples; `helve bindgen` prints what is generated.
#[proc_macro]
pub fn bindgen(input: TokenStream) -> TokenStream {
    match bindgen::expand(input.into()) {
        Ok(tokens) => tokens.into(),
        Err(error) => error.into_compile_error().into(),
    }
}

fn derive(input: TokenStream, which: Trait) -> TokenStream {
    match expand(input.into(), which) {
        Ok(tokens) => tokens.into(),
        Err(error) => error.into_compile_error().into(),
    }
}

fn expand(input: proc_macro2::TokenStream, which: Trait) -> syn::Result<proc_macro2::TokenStream> {
    let item = Item::parse(syn::parse2(input)?)?;
    let body = match &item.kind {
        Kind::Record(fields) => record::body(fields, which),
        Kind::Variant(cases) => variant::body(cases, which),
        Kind::Enum(cases) => variant::enum_body(cases, which),
    };
    let name = &item.name;
    let path = which.path();
    let generics = item.generics_bound_by(&path);
    let (impl_generics, _, where_clause) = generics.split_for_impl();
    let (_, ty_generics, _) = item.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        #[allow(unused_variables, clippy::all)]
        impl #impl_generics #path for #name #ty_generics #where_clause {
            #body
        }
    })
}

/// Where the traits and their helpers are, in generated code.
fn rt() -> proc_macro2::TokenStream {
    quote!(::helve::component::typed)
}

impl Trait {
    /// Its path in generated code.
    fn path(self) -> syn::Path {
        let rt = rt();
        match self {
            Trait::ComponentType => syn::parse_quote!(#rt::ComponentType),
            Trait::Lift => syn::parse_quote!(#rt::Lift),
            Trait::Lower => syn::parse_quote!(#rt::Lower),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with the input, as derives (for a type) or `flags!` (else) say it.
    fn fault(input: &str) -> Option<String> {
        let tokens: proc_macro2::TokenStream = input.parse().expect("tokens");
        let result =
            if input.contains("struct ") || input.contains("enum ") || input.contains("union ") {
                expand(tokens, Trait::ComponentType)
            } else {
                flags::expand(tokens)
            };
        result.err().map(|error| error.to_string())
    }

    #[test]
    fn what_stands_for_no_component_type_is_refused() {
        for (input, expected) in [
            ("struct A;", "at least one field"),
            ("struct A {}", "at least one field"),
            ("struct A(u32);", "has a name"),
            (
                "#[component(variant)] struct A { a: u8 }",
                "a struct stands for a record",
            ),
            ("#[component(record)] enum A { B }", "a variant or an enum"),
            (
                "#[component(enum)] enum A { B(u8) }",
                "a case of an enum has no payload",
            ),
            ("#[component(enum, variant)] enum A { B }", "said once"),
            (
                "#[component(tuple)] struct A { a: u8 }",
                "`tuple` means nothing",
            ),
            (
                "#[component(record = 1)] struct A { a: u8 }",
                "takes no value",
            ),
            ("enum A {}", "there is no case"),
            ("enum A { B(u8, u8) }", "at most one payload"),
            ("enum A { B { x: u8, y: u8 } }", "at most one payload"),
            ("union A { a: u8 }", "no component type"),
            (
                "struct A { #[component(name = \"a_b\")] a: u8 }",
                "`a_b` is no component name",
            ),
            (
                "struct A { #[component(rename = \"a\")] a: u8 }",
                "`rename` means nothing",
            ),
            (
                "struct A { #[component(name = \"x\", name = \"y\")] a: u8 }",
                "said once",
            ),
            ("struct A { _1: u8 }", "does not start with an ASCII letter"),
            (
                "struct A { a_b: u8, #[component(name = \"A-b\")] c: u8 }",
                "two named `A-b`",
            ),
            ("pub A { }", "1 to 32 labels, not 0"),
            ("A { const B; const B; }", "two named `b`"),
            ("A { const B = 1; }", "expected `;`"),
        ] {
            let fault = fault(input).unwrap_or_else(|| panic!("accepted: {input}"));
            assert!(fault.contains(expected), "{input}: {fault}");
        }
        let labels: String = (0..33).map(|i| format!("const A{i};")).collect();
        let fault = fault(&format!("A {{ {labels} }}")).expect("33 labels are too many");
        assert!(fault.contains("not 33"), "{fault}");
    }

    #[test]
    fn what_stands_for_a_component_type_is_accepted() {
        for input in [
            "struct A { a: u8 }",
            "#[component(record)] struct A { r#type: u8 }",
            "struct A(#[component(name = \"first\")] u8);",
            "struct A<'a, T: Clone, const N: usize> where T: Copy { a: &'a [T; N] }",
            "enum A { B, C(u8), D { inner: (u8, u8) }, E() }",
            "#[component(variant)] enum A { B }",
            "#[component(enum)] enum A { B, C }",
            "/// Documented.\n pub(crate) A { /// Too. \n const B; #[component(name = \"x\")] const C; }",
        ] {
            assert_eq!(fault(input), None, "{input}");
        }
        let labels: String = (0..32).map(|i| format!("const A{i};")).collect();
        assert_eq!(fault(&format!("A {{ {labels} }}")), None);
    }
}
