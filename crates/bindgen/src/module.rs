//! The modules that generated items stand in, made into tokens at the end.
//!
//! ```text
//! (root)  wasi -- io -- streams { .. }
//!         exports -- wasi -- cli -- run { .. }
//! ```

use crate::docs;
use proc_macro2::{Ident, TokenStream};
use quote::quote;
use std::collections::BTreeMap;

/// A module and those in it.
#[derive(Default)]
pub(crate) struct Modules {
    root: TokenStream,
    inner: Module,
}

#[derive(Default)]
struct Module {
    docs: TokenStream,
    items: TokenStream,
    inner: BTreeMap<Ident, Module>,
}

/// What stands before generated items: nobody should be warned about what they did not
/// write, and what a host does not use of a world is no mistake.
pub(crate) fn allow() -> TokenStream {
    quote!(#[allow(
        dead_code,
        unused_imports,
        unused_variables,
        unused_mut,
        private_interfaces,
        async_fn_in_trait,
        rustdoc::all,
        clippy::all,
        clippy::pedantic,
        clippy::nursery,
        clippy::restriction
    )])
}

impl Modules {
    /// Adds items to the module at `path`, with `docs` as its documentation.
    pub(crate) fn add(&mut self, path: &[Ident], items: TokenStream, docs: TokenStream) {
        let mut module = &mut self.inner;
        for name in path {
            module = module.inner.entry(name.clone()).or_default();
        }
        module.items.extend(items);
        module.docs = docs;
    }

    /// Adds items beside the modules.
    pub(crate) fn add_root(&mut self, items: TokenStream) {
        self.root.extend(items);
    }

    pub(crate) fn into_tokens(self) -> TokenStream {
        let mut tokens = self.root;
        for (name, module) in self.inner.inner {
            tokens.extend(module.into_tokens(&name, true));
        }
        tokens
    }
}

impl Module {
    fn into_tokens(self, name: &Ident, outermost: bool) -> TokenStream {
        let inner = self.inner.into_iter();
        let inner = inner.map(|(name, module)| module.into_tokens(&name, false));
        let allow = outermost.then(allow);
        let items = self.items;
        let docs = match self.docs.is_empty() {
            true => docs::lines("Generated from WIT."),
            false => self.docs,
        };
        quote! {
            #docs
            #allow
            pub mod #name {
                #items
                #(#inner)*
            }
        }
    }
}
