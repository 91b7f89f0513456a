//! The world's own items: the struct with its exports, what makes one, and `add_to_linker`.
//!
//! ```text
//! W::add_to_linker::<_, HasSelf<_>>(&mut linker, |data| data)?;
//! let pre = WPre::new(linker.instantiate_pre(&component)?)?;   once per component
//! let w = pre.instantiate(&mut store)?;                        once per instance
//! w.call_run(&mut store)?;
//! w.wasi_cli_run().call_run(&mut store)?;
//! ```

use crate::func::Func;
use crate::guest::{call, field, load, load_method, new_method};
use crate::module::allow;
use crate::place::Scope;
use crate::{Generator, docs, name};
use anyhow::Result;
use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use wit_parser::Function;

/// The world's names and exports, while its items are written.
struct World<'f> {
    wit_name: String,
    name: Ident,
    pre: Ident,
    indices: Ident,
    functions: Vec<Func<'f>>,
    interface_fields: Vec<Ident>,
    interface_paths: Vec<TokenStream>,
}

impl Generator<'_> {
    /// The items at the root, given the functions that the world exports itself.
    pub(crate) fn world_items(&mut self, functions: &[&Function]) -> Result<()> {
        let wit_name = self.resolve.worlds[self.world].name.clone();
        let camel = name::camel_text(&wit_name);
        let functions =
            self.functions(Scope::root(), None, functions.iter().copied(), (false, &[]))?;
        let world = World {
            name: name::ident(&camel),
            pre: format_ident!("{camel}Pre"),
            indices: format_ident!("{camel}Indices"),
            functions,
            interface_fields: (0..self.guests.len())
                .map(|number| format_ident!("interface{number}"))
                .collect(),
            interface_paths: self
                .guests
                .iter()
                .map(|guest| {
                    let path = &guest.path;
                    quote!(#(#path::)*)
                })
                .collect(),
            wit_name,
        };
        let items = [
            self.places.root_items(&self.options.with),
            self.world_struct(&world),
            world_indices(&world),
            world_pre(&world),
            self.world_add_to_linker(&world),
        ];
        items
            .into_iter()
            .for_each(|items| self.modules.add_root(items));
        Ok(())
    }

    fn world_struct(&self, world: &World<'_>) -> TokenStream {
        let World {
            wit_name,
            name,
            functions,
            interface_fields,
            interface_paths,
            ..
        } = world;
        let fields: Vec<_> = (0..functions.len()).map(field).collect();
        let calls = functions
            .iter()
            .zip(&fields)
            .map(|(func, field)| call(func, field, &quote!(self)));
        let accessors = self
            .guests
            .iter()
            .zip(interface_fields)
            .zip(interface_paths);
        let accessors = accessors.map(|((guest, field), path)| {
            let accessor = &guest.accessor;
            let docs = docs::lines(&format!("What the guest exports as `{}`.", guest.export));
            quote! {
                #docs
                pub fn #accessor(&self) -> &#path Guest {
                    &self.#field
                }
            }
        });
        let docs = docs::or(&self.resolve.worlds[self.world].docs, || {
            format!("An instance of a component of the world `{wit_name}`.")
        });
        let allow = allow();
        let constructors = constructors(world);
        quote! {
            #docs
            #allow
            #[derive(::core::clone::Clone, ::core::fmt::Debug)]
            pub struct #name {
                #(#interface_fields: #interface_paths Guest,)*
                #(#fields: ::helve::component::Func,)*
            }

            #allow
            impl #name {
                #constructors
                #(#accessors)*
                #(#calls)*
            }
        }
    }

    fn world_add_to_linker(&self, world: &World<'_>) -> TokenStream {
        if self.linked.is_empty() {
            return TokenStream::new();
        }
        let mut data: Vec<_> = self.linked.iter().flat_map(|linked| &linked.data).collect();
        let sent = quote!(::core::marker::Send);
        if self.linked.iter().any(|linked| linked.exclusive) {
            data.push(&sent);
        }
        let marker: Vec<_> = self
            .linked
            .iter()
            .flat_map(|linked| &linked.marker)
            .collect();
        let calls = self.linked.iter().map(|linked| &linked.call);
        let send = self.linked.iter().any(|linked| linked.send);
        let send = send.then(|| quote!(+ ::core::marker::Send));
        let (name, allow) = (&world.name, allow());
        let docs = docs::lines(&format!(
            "Puts all that the world `{}` imports into `linker`, but for what `with` says is \
             made elsewhere.\n\n`host_getter` finds the host's part in the store's data; with \
             `D` as `HasSelf<T>` that is the data itself.\n\n# Errors\n\nWhere something has \
             one of the names already.",
            world.wit_name
        ));
        quote! {
            #allow
            impl #name {
                #docs
                pub fn add_to_linker<_T, _D>(
                    linker: &mut ::helve::component::Linker<_T>,
                    host_getter: fn(&mut _T) -> <_D as ::helve::component::HasData>::Data<'_>,
                ) -> ::helve::Result<()>
                where
                    _T: 'static #send,
                    _D: ::helve::component::HasData #(+ #marker)*,
                    for<'a> <_D as ::helve::component::HasData>::Data<'a>: #(#data +)*,
                {
                    #(#calls::<_T, _D>(linker, host_getter)?;)*
                    ::core::result::Result::Ok(())
                }
            }
        }
    }
}

/// What makes the world's struct.
fn constructors(world: &World<'_>) -> TokenStream {
    let World {
        name, pre, indices, ..
    } = world;
    quote! {
        /// Instantiates `component` with what `linker` has, and finds its exports.
        ///
        /// # Errors
        ///
        /// Where an import is missing, an export is missing or has another type, or
        /// the component traps while it starts.
        pub fn instantiate<_T: 'static>(
            mut store: impl ::helve::AsContextMut<Data = _T>,
            component: &::helve::component::Component,
            linker: &::helve::component::Linker<_T>,
        ) -> ::helve::Result<#name> {
            let pre = linker.instantiate_pre(component)?;
            #pre::new(pre)?.instantiate(&mut store)
        }

        /// As `instantiate`, in a future.
        ///
        /// # Errors
        ///
        /// As `instantiate`.
        pub async fn instantiate_async<_T: ::core::marker::Send + 'static>(
            mut store: impl ::helve::AsContextMut<Data = _T>,
            component: &::helve::component::Component,
            linker: &::helve::component::Linker<_T>,
        ) -> ::helve::Result<#name> {
            let pre = linker.instantiate_pre(component)?;
            #pre::new(pre)?.instantiate_async(&mut store).await
        }

        /// Finds the exports of an instance that exists already.
        ///
        /// # Errors
        ///
        /// Where an export is missing or has another type.
        pub fn new(
            mut store: impl ::helve::AsContextMut,
            instance: &::helve::component::Instance,
        ) -> ::helve::Result<#name> {
            let component = instance.component(&store)?;
            #indices::of(&component)?.load(&mut store, instance)
        }
    }
}

/// Where a component has the world's exports.
fn world_indices(world: &World<'_>) -> TokenStream {
    let World {
        wit_name,
        name,
        indices,
        functions,
        interface_fields,
        interface_paths,
        ..
    } = world;
    let fields: Vec<_> = (0..functions.len()).map(field).collect();
    let names = functions.iter().map(|func| &func.function.name);
    let loads = functions
        .iter()
        .zip(&fields)
        .map(|(func, field)| load(func, field));
    let new = new_method(&quote!(#indices));
    let load = load_method(
        &quote!(#name),
        &quote! {
            #(#interface_fields: self.#interface_fields.load(&mut store, instance)?,)*
            #(#fields: #loads,)*
        },
    );
    let docs = docs::lines(&format!(
        "Where a component has what the world `{wit_name}` exports."
    ));
    let allow = allow();
    quote! {
        #docs
        #allow
        #[derive(::core::clone::Clone, ::core::fmt::Debug)]
        pub struct #indices {
            #(#interface_fields: #interface_paths GuestIndices,)*
            #(#fields: ::helve::component::ExportIndex,)*
        }

        #allow
        impl #indices {
            #new

            /// Finds the exports of a component.
            ///
            /// # Errors
            ///
            /// Where one is missing.
            pub fn of(component: &::helve::component::Component) -> ::helve::Result<#indices> {
                let find = |name: &str| {
                    component
                        .get_export_index(::core::option::Option::None, name)
                        .ok_or_else(|| {
                            ::helve::Error::msg(::std::format!(
                                "the component does not export the function `{}`",
                                name
                            ))
                        })
                };
                let _ = &find;
                ::core::result::Result::Ok(#indices {
                    #(#interface_fields: #interface_paths GuestIndices::of(component)?,)*
                    #(#fields: find(#names)?,)*
                })
            }

            #load
        }
    }
}

/// A component that is linked and ready to be instantiated.
fn world_pre(world: &World<'_>) -> TokenStream {
    let World {
        wit_name,
        pre,
        indices,
        ..
    } = world;
    let docs = docs::lines(&format!(
        "A component of the world `{wit_name}`, linked: instances of it are made fast."
    ));
    let (allow, methods) = (allow(), pre_methods(world));
    quote! {
        #docs
        #allow
        pub struct #pre<_T: 'static> {
            instance_pre: ::helve::component::InstancePre<_T>,
            indices: #indices,
        }

        #allow
        impl<_T: 'static> ::core::clone::Clone for #pre<_T> {
            fn clone(&self) -> Self {
                #pre {
                    instance_pre: self.instance_pre.clone(),
                    indices: self.indices.clone(),
                }
            }
        }

        #allow
        impl<_T: 'static> #pre<_T> {
            #methods
        }
    }
}

/// What can be done with a linked component.
fn pre_methods(world: &World<'_>) -> TokenStream {
    let World {
        name, pre, indices, ..
    } = world;
    quote! {
        /// Finds the exports of a linked component.
        ///
        /// # Errors
        ///
        /// Where one is missing.
        pub fn new(
            instance_pre: ::helve::component::InstancePre<_T>,
        ) -> ::helve::Result<Self> {
            let indices = #indices::new(&instance_pre)?;
            ::core::result::Result::Ok(#pre { instance_pre, indices })
        }

        /// The engine it was compiled with.
        pub fn engine(&self) -> &::helve::Engine {
            self.instance_pre.component().engine()
        }

        /// The linked component.
        pub fn instance_pre(&self) -> &::helve::component::InstancePre<_T> {
            &self.instance_pre
        }

        /// Makes an instance.
        ///
        /// # Errors
        ///
        /// Where an export has another type than the world says, or the component traps
        /// while it starts.
        pub fn instantiate(
            &self,
            mut store: impl ::helve::AsContextMut<Data = _T>,
        ) -> ::helve::Result<#name> {
            let instance = self.instance_pre.instantiate(&mut store)?;
            self.indices.load(&mut store, &instance)
        }

        /// As `instantiate`, in a future.
        ///
        /// # Errors
        ///
        /// As `instantiate`.
        pub async fn instantiate_async(
            &self,
            mut store: impl ::helve::AsContextMut<Data = _T>,
        ) -> ::helve::Result<#name>
        where
            _T: ::core::marker::Send,
        {
            let instance = self.instance_pre.instantiate_async(&mut store).await?;
            self.indices.load(&mut store, &instance)
        }
    }
}
