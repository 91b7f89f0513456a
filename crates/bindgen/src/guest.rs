//! The host's way to what a guest exports: one `Guest` for each exported interface.
//!
//! ```text
//! export i { f: func(s: string) -> u32; resource r { m: func(); } }
//!   GuestIndices::new(&pre)?            where the exports are, found once per component
//!     .load(&mut store, &instance)?     their types checked, once per instance
//!   Guest::call_f(&mut store, "s")?     -> u32
//!   Guest::r().call_m(&mut store, r)?
//! ```

use crate::func::Func;
use crate::place::Scope;
use crate::{Generator, docs, name};
use anyhow::Result;
use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use wit_parser::{Function, InterfaceId, TypeId, WorldKey};

/// An exported interface, for the world.
pub(crate) struct Guest {
    /// Its module, from the root.
    pub(crate) path: Vec<Ident>,
    /// What the world's method for it is called.
    pub(crate) accessor: Ident,
    /// Its name in the component.
    pub(crate) export: String,
}

impl Generator<'_> {
    /// The module of an exported interface.
    pub(crate) fn export_interface(&mut self, key: &WorldKey, id: InterfaceId) -> Result<()> {
        let path = self.places.export(id).to_vec();
        let scope = Scope::export(id, path.len());
        let interface = &self.resolve.interfaces[id];
        let mut items = TokenStream::new();
        for ty in interface.types.values() {
            items.extend(self.define(&scope, *ty)?);
        }
        let export = self.resolve.name_world_key(key);
        let mut groups = vec![(None, self.exported(scope, key, None)?)];
        for resource in self.resources(id) {
            groups.push((Some(resource), self.exported(scope, key, Some(resource))?));
        }
        let all: Vec<&Func<'_>> = groups.iter().flat_map(|(_, functions)| functions).collect();
        items.extend(guest_struct(&export, &all));
        let mut first = 0;
        for (resource, functions) in &groups {
            items.extend(match resource {
                None => calls(functions, first),
                Some(id) => self.resource_calls(*id, functions, first),
            });
            first += functions.len();
        }
        let doc = docs::or(&interface.docs, || {
            format!("The exported interface `{export}`.")
        });
        self.modules.add(&path, items, doc);
        let accessor = path[1..].iter().map(|part| part.to_string());
        let accessor = accessor.collect::<Vec<_>>().join("_");
        self.guests.push(Guest {
            path,
            accessor: name::ident(&accessor),
            export,
        });
        Ok(())
    }

    fn exported(
        &self,
        scope: Scope,
        key: &WorldKey,
        resource: Option<TypeId>,
    ) -> Result<Vec<Func<'_>>> {
        let functions: Vec<&Function> = match scope.interface {
            Some(id) => self.resolve.interfaces[id].functions.values().collect(),
            None => Vec::new(),
        };
        let functions = functions
            .into_iter()
            .filter(|f| f.kind.resource() == resource);
        self.functions(scope, Some(key), functions, (false, &[]))
    }

    fn resource_calls(&self, id: TypeId, functions: &[Func<'_>], first: usize) -> TokenStream {
        let wit = self.resolve.types[id].name.as_deref().unwrap_or("resource");
        let name = format_ident!("Guest{}", name::camel_text(wit));
        let accessor = name::snake(wit);
        let docs = docs::lines(&format!("The functions of the guest's resource `{wit}`."));
        let calls = functions
            .iter()
            .enumerate()
            .map(|(i, func)| call(func, &field(first + i), &quote!(self.guest)));
        quote! {
            #docs
            #[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
            pub struct #name<'a> {
                guest: &'a Guest,
            }

            impl Guest {
                #docs
                pub fn #accessor(&self) -> #name<'_> {
                    #name { guest: self }
                }
            }

            impl #name<'_> {
                #(#calls)*
            }
        }
    }
}

/// The field of a function, by number.
pub(crate) fn field(number: usize) -> Ident {
    format_ident!("func{number}")
}

/// `Guest` and `GuestIndices`.
fn guest_struct(export: &str, functions: &[&Func<'_>]) -> TokenStream {
    let fields: Vec<_> = (0..functions.len()).map(field).collect();
    let names: Vec<_> = functions.iter().map(|func| &func.function.name).collect();
    let loads = functions
        .iter()
        .zip(&fields)
        .map(|(func, field)| load(func, field));
    let docs = docs::lines(&format!("What a guest exports as `{export}`."));
    let indices_docs = docs::lines(&format!(
        "Where a component has what it exports as `{export}`."
    ));
    let new = new_method(&quote!(GuestIndices));
    let load = load_method(&quote!(Guest), &quote!(#(#fields: #loads,)*));
    let missing = format!("the component does not export the interface `{export}`");
    let missing_func = format!("the component's export `{export}` has no function `{{}}`");
    quote! {
        #docs
        #[derive(::core::clone::Clone, ::core::fmt::Debug)]
        pub struct Guest {
            #(#fields: ::helve::component::Func,)*
        }

        #indices_docs
        #[derive(::core::clone::Clone, ::core::fmt::Debug)]
        pub struct GuestIndices {
            #(#fields: ::helve::component::ExportIndex,)*
        }

        impl GuestIndices {
            #new

            /// Finds the exports of a component.
            ///
            /// # Errors
            ///
            /// Where one is missing.
            pub fn of(component: &::helve::component::Component) -> ::helve::Result<GuestIndices> {
                let interface = component
                    .get_export_index(::core::option::Option::None, #export)
                    .ok_or_else(|| ::helve::Error::msg(#missing))?;
                let find = |name: &str| {
                    component
                        .get_export_index(::core::option::Option::Some(&interface), name)
                        .ok_or_else(|| ::helve::Error::msg(::std::format!(#missing_func, name)))
                };
                ::core::result::Result::Ok(GuestIndices {
                    #(#fields: find(#names)?,)*
                })
            }

            #load
        }
    }
}

/// `new` of indices.
pub(crate) fn new_method(indices: &TokenStream) -> TokenStream {
    quote! {
        /// Finds the exports of a component.
        ///
        /// # Errors
        ///
        /// Where one is missing.
        pub fn new<_T: 'static>(
            pre: &::helve::component::InstancePre<_T>,
        ) -> ::helve::Result<#indices> {
            #indices::of(pre.component())
        }
    }
}

/// `load` of indices: what makes `made` of the exports' places.
pub(crate) fn load_method(made: &TokenStream, fields: &TokenStream) -> TokenStream {
    quote! {
        /// Gets at the exports of an instance.
        ///
        /// # Errors
        ///
        /// Where one has another type than this world says.
        pub fn load(
            &self,
            mut store: impl ::helve::AsContextMut,
            instance: &::helve::component::Instance,
        ) -> ::helve::Result<#made> {
            ::core::result::Result::Ok(#made { #fields })
        }
    }
}

/// The expression that gets at the function in `field`, from `store` and `instance`.
pub(crate) fn load(func: &Func<'_>, field: &Ident) -> TokenStream {
    let types = func.param_types();
    let results = func.result_list();
    quote! {
        *instance
            .get_typed_func::<(#(#types,)*), #results>(&mut store, &self.#field)?
            .func()
    }
}

/// The methods of `Guest` for free functions.
fn calls(functions: &[Func<'_>], first: usize) -> TokenStream {
    let calls = functions
        .iter()
        .enumerate()
        .map(|(i, func)| call(func, &field(first + i), &quote!(self)));
    quote! {
        impl Guest {
            #(#calls)*
        }
    }
}

/// The method that calls a function, which is in `field` of `guest`.
pub(crate) fn call(func: &Func<'_>, field: &Ident, guest: &TokenStream) -> TokenStream {
    let name = &func.name;
    let docs = func.docs();
    let (names, types): (Vec<_>, Vec<_>) = func.params.iter().cloned().unzip();
    let (result, results) = (&func.result, func.result_list());
    let callee = quote! {
        let callee = #guest.#field.assume_typed::<(#(#types,)*), #results>();
    };
    let result_of = |call: TokenStream| match func.has_result() {
        true => quote! {
            let (result,) = #call?;
            ::core::result::Result::Ok(result)
        },
        false => call,
    };
    match (func.flags.asynchronous, func.flags.store) {
        (false, _) => {
            let body = result_of(quote!(callee.call(&mut store, (#(#names,)*))));
            quote! {
                #docs
                pub fn #name<_S: ::helve::AsContextMut>(
                    &self,
                    mut store: _S,
                    #(#names: #types),*
                ) -> ::helve::Result<#result> {
                    #callee
                    #body
                }
            }
        }
        (true, false) => {
            let body = result_of(quote!(callee.call_async(&mut store, (#(#names,)*)).await));
            quote! {
                #docs
                pub async fn #name<_S: ::helve::AsContextMut>(
                    &self,
                    mut store: _S,
                    #(#names: #types),*
                ) -> ::helve::Result<#result>
                where
                    <_S as ::helve::AsContext>::Data: ::core::marker::Send,
                {
                    #callee
                    #body
                }
            }
        }
        (true, true) => {
            let body = result_of(quote!(callee.call_concurrent(accessor, (#(#names,)*)).await));
            quote! {
                #docs
                pub async fn #name<_T, _D>(
                    &self,
                    accessor: &::helve::component::Accessor<_T, _D>,
                    #(#names: #types),*
                ) -> ::helve::Result<#result>
                where
                    _T: ::core::marker::Send + 'static,
                    _D: ::helve::component::HasData,
                {
                    #callee
                    #body
                }
            }
        }
    }
}
