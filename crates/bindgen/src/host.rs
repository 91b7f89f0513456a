//! The host's side of imports: traits to implement, and functions that put them in a linker.
//!
//! ```text
//! interface i { f: func(); resource r { m: func(); } }
//!   trait HostR { fn m(&mut self, self_: Resource<R>); fn drop(&mut self, rep: Resource<R>) -> Result<()>; }
//!   trait Host: HostR { fn f(&mut self); }
//!   fn add_to_linker::<T, D: HasData>(linker, fn(&mut T) -> D::Data<'_>)
//!   fn add_to_linker_as::<T, D: HasData>(linker, "i", fn(&mut T) -> D::Data<'_>)
//! ```
//!
//! | flags            | function of                                                        |
//! | ---------------- | ------------------------------------------------------------------ |
//! | none             | `Host`: `fn f(&mut self, ..)`                                      |
//! | `store`          | `HostWithStore`: `fn f<T>(host: Access<T, Self>, ..)`              |
//! | `async`          | `Host`: `async fn f(&mut self, ..)`                                |
//! | `async`, `store` | `HostWithStore`: `async fn f<T>(accessor: &Accessor<T, Self>, ..)` |
//!
//! With `async` alone the host's data is the function's while it waits, so nothing else of
//! the store runs. With `store` other guests run meanwhile; that is what `async` in the WIT
//! means.

use crate::func::{Func, Returned};
use crate::module::allow;
use crate::place::Scope;
use crate::{Generator, docs, name};
use anyhow::Result;
use proc_macro2::{Ident, TokenStream};
use quote::quote;
use wit_parser::{Function, TypeId, WorldKey};

/// What the host's side of one interface, or of the world itself, is called.
pub(crate) struct HostNames {
    /// The interface in the linker; none for the world's own functions.
    instance: Option<String>,
    /// The trait of free functions.
    trait_name: String,
    add_to_linker: Ident,
    /// The module, from the root.
    path: Vec<Ident>,
}

impl HostNames {
    pub(crate) fn interface(instance: String, path: Vec<Ident>) -> HostNames {
        HostNames {
            instance: Some(instance),
            trait_name: "Host".to_owned(),
            add_to_linker: name::ident("add_to_linker"),
            path,
        }
    }

    pub(crate) fn world(world: &str) -> HostNames {
        HostNames {
            instance: None,
            trait_name: format!("{}Imports", name::camel_text(world)),
            add_to_linker: name::ident("add_to_linker_imports"),
            path: Vec::new(),
        }
    }
}

/// An `add_to_linker`, for the world's to call.
pub(crate) struct Linked {
    /// From the root.
    pub(crate) call: TokenStream,
    /// Traits that the host's data must have, and those that its marker must have.
    pub(crate) data: Vec<TokenStream>,
    pub(crate) marker: Vec<TokenStream>,
    /// Whether the store's data must be `Send`.
    pub(crate) send: bool,
    /// Whether the host's part of it must be `Send`.
    pub(crate) exclusive: bool,
}

/// Functions that share a trait: free ones, or a resource's.
struct Group<'f> {
    name: String,
    docs: TokenStream,
    /// The resource, with its WIT name.
    resource: Option<(TypeId, &'f str)>,
    functions: Vec<Func<'f>>,
}

impl Group<'_> {
    fn trait_name(&self) -> Ident {
        name::ident(&self.name)
    }

    fn with_store_name(&self) -> Ident {
        name::ident(&format!("{}WithStore", self.name))
    }

    fn has_store(&self) -> bool {
        self.functions.iter().any(|func| func.flags.store)
    }

    fn is_async(&self) -> bool {
        self.functions.iter().any(|func| func.flags.asynchronous)
    }

    /// Whether a function keeps the host's data while it waits.
    fn is_exclusive(&self) -> bool {
        let mut functions = self.functions.iter();
        functions.any(|func| func.flags.asynchronous && !func.flags.store)
    }
}

impl Generator<'_> {
    /// Traits and `add_to_linker` for an interface, or for the world's own functions.
    pub(crate) fn host(
        &mut self,
        scope: &Scope,
        names: HostNames,
        (key, functions): (Option<&WorldKey>, &[&Function]),
        resources: &[TypeId],
    ) -> Result<TokenStream> {
        let scope = *scope;
        let groups = self.groups(scope, &names, (key, functions), resources)?;
        let mut items = TokenStream::new();
        let all_resources: Vec<Ident> = groups[1..].iter().map(Group::trait_name).collect();
        for group in &groups {
            let supers = match group.resource {
                None => &all_resources[..],
                Some(_) => &[],
            };
            items.extend(self.host_trait(scope, group, supers)?);
            if group.has_store() {
                items.extend(self.with_store_trait(scope, group)?);
            }
        }
        items.extend(self.add_to_linker(scope, &names, &groups)?);
        let path = &names.path;
        let to = quote!(#(#path::)*);
        let trait_name = groups[0].trait_name();
        let with_store = groups.iter().filter(|group| group.has_store());
        let add = &names.add_to_linker;
        let marker = with_store.map(|group| {
            let name = group.with_store_name();
            quote!(#to #name)
        });
        self.linked.push(Linked {
            call: match names.instance {
                Some(_) => quote!(#to #add),
                None => quote!(Self::#add),
            },
            data: vec![quote!(#to #trait_name)],
            marker: marker.collect(),
            send: groups.iter().any(Group::is_async),
            exclusive: groups.iter().any(Group::is_exclusive),
        });
        Ok(items)
    }

    fn groups<'f>(
        &self,
        scope: Scope,
        names: &HostNames,
        (key, functions): (Option<&WorldKey>, &[&'f Function]),
        resources: &[TypeId],
    ) -> Result<Vec<Group<'f>>>
    where
        Self: 'f,
    {
        let of = |resource: Option<TypeId>| {
            functions
                .iter()
                .copied()
                .filter(move |function| function.kind.resource() == resource)
        };
        let what = match &names.instance {
            Some(instance) => format!("the interface `{instance}`"),
            None => "the world's own imports".to_owned(),
        };
        let mut groups = vec![Group {
            name: names.trait_name.clone(),
            docs: docs::lines(&format!("What the host does for {what}.")),
            resource: None,
            functions: self.functions(scope, key, of(None), (true, &[]))?,
        }];
        for id in resources {
            let wit = self.resolve.types[*id]
                .name
                .as_deref()
                .unwrap_or("resource");
            groups.push(Group {
                name: format!("Host{}", name::camel_text(wit)),
                docs: docs::lines(&format!(
                    "What the host does for the resource `{wit}` of {what}."
                )),
                resource: Some((*id, wit)),
                functions: self.functions(scope, key, of(Some(*id)), (true, &["drop"]))?,
            });
        }
        Ok(groups)
    }

    /// `trait Host`, and its implementation for references.
    fn host_trait(&self, scope: Scope, group: &Group<'_>, supers: &[Ident]) -> Result<TokenStream> {
        let name = group.trait_name();
        let own = group.functions.iter().filter(|func| !func.flags.store);
        let mut methods = Vec::new();
        let mut forwards = Vec::new();
        for func in own {
            let (returns, _) = self.returned(scope, func)?;
            let (method, docs) = (&func.name, func.docs());
            let (params, types): (Vec<_>, Vec<_>) = func.params.iter().cloned().unzip();
            let returns = match func.flags.asynchronous {
                true => quote! {
                    impl ::core::future::Future<Output = #returns> + ::core::marker::Send
                },
                false => returns,
            };
            methods.push(quote!(#docs fn #method(&mut self, #(#params: #types),*) -> #returns;));
            forwards.push(quote! {
                fn #method(&mut self, #(#params: #types),*) -> #returns {
                    <_T as #name>::#method(*self, #(#params),*)
                }
            });
        }
        if let Some((id, wit)) = group.resource {
            let path = self.resource_path(scope, id);
            let docs = docs::lines(&format!(
                "Drops the resource `{wit}` that a guest owned and has dropped."
            ));
            let signature = quote!(
                fn drop(&mut self, rep: ::helve::component::Resource<#path>) -> ::helve::Result<()>
            );
            methods.push(quote!(#docs #signature;));
            forwards.push(quote!(#signature { <_T as #name>::drop(*self, rep) }));
        } else {
            for (method, host, wit) in self.conversions(scope) {
                let docs = docs::lines(&format!(
                    "Makes `{wit}` of an error of the host's, or fails with what the guest traps with."
                ));
                let signature =
                    quote!(fn #method(&mut self, error: #host) -> ::helve::Result<#wit>);
                methods.push(quote!(#docs #signature;));
                forwards.push(quote!(#signature { <_T as #name>::#method(*self, error) }));
            }
        }
        let (docs, allow) = (&group.docs, scope.interface.is_none().then(allow));
        Ok(quote! {
            #docs
            #allow
            pub trait #name: #(#supers +)* {
                #(#methods)*
            }

            #allow
            impl<_T: #name + ?::core::marker::Sized> #name for &mut _T {
                #(#forwards)*
            }
        })
    }

    /// `trait HostWithStore`.
    fn with_store_trait(&self, scope: Scope, group: &Group<'_>) -> Result<TokenStream> {
        let name = group.with_store_name();
        let mut methods = Vec::new();
        for func in group.functions.iter().filter(|func| func.flags.store) {
            let (returns, _) = self.returned(scope, func)?;
            let (method, docs) = (&func.name, func.docs());
            let (params, types): (Vec<_>, Vec<_>) = func.params.iter().cloned().unzip();
            methods.push(match func.flags.asynchronous {
                true => quote! {
                    #docs
                    fn #method<_T: ::core::marker::Send + 'static>(
                        accessor: &::helve::component::Accessor<_T, Self>,
                        #(#params: #types),*
                    ) -> impl ::core::future::Future<Output = #returns> + ::core::marker::Send;
                },
                false => quote! {
                    #docs
                    fn #method<_T: 'static>(
                        host: ::helve::component::Access<'_, _T, Self>,
                        #(#params: #types),*
                    ) -> #returns;
                },
            });
        }
        let (docs, allow) = (&group.docs, scope.interface.is_none().then(allow));
        Ok(quote! {
            #docs
            ///
            /// These functions get at the store.
            #allow
            pub trait #name: ::helve::component::HasData + ::core::marker::Send + ::core::marker::Sized {
                #(#methods)*
            }
        })
    }

    fn add_to_linker(
        &self,
        scope: Scope,
        names: &HostNames,
        groups: &[Group<'_>],
    ) -> Result<TokenStream> {
        let mut definitions = Vec::new();
        // Owners of errors in other interfaces convert for this one.
        let mut others: Vec<String> = Vec::new();
        let own = groups[0].trait_name();
        let mut data = vec![quote!(#own)];
        if groups.iter().any(Group::is_exclusive) {
            data.push(quote!(::core::marker::Send));
        }
        for group in groups {
            if let Some((id, wit)) = group.resource {
                definitions.push(self.define_resource(scope, group, id, wit));
            }
            for func in &group.functions {
                let (_, returned) = self.returned(scope, func)?;
                if let Returned::Converted { by, .. } = &returned
                    && by.to_string() != groups[0].name
                    && !others.contains(&by.to_string())
                {
                    others.push(by.to_string());
                    data.push(by.clone());
                }
                definitions.push(define_function(group, func, &returned));
            }
        }
        let marker = groups.iter().filter(|group| group.has_store());
        let marker = marker.map(Group::with_store_name);
        let send = groups.iter().any(Group::is_async);
        let send = send.then(|| quote!(+ ::core::marker::Send));
        let bounds = quote! {
            where
                _T: 'static #send,
                _D: ::helve::component::HasData #(+ #marker)*,
                for<'a> <_D as ::helve::component::HasData>::Data<'a>: #(#data +)*,
        };
        Ok(match &names.instance {
            Some(name) => interface_linker(name, &bounds, &definitions),
            None => {
                let world = name::camel(&self.resolve.worlds[self.world].name);
                world_linker(&world, &names.add_to_linker, &bounds, &definitions)
            }
        })
    }

    fn define_resource(
        &self,
        scope: Scope,
        group: &Group<'_>,
        id: TypeId,
        wit: &str,
    ) -> TokenStream {
        let path = self.resource_path(scope, id);
        let name = group.trait_name();
        quote! {
            instance.resource(
                #wit,
                ::helve::component::ResourceType::host::<#path>(),
                move |mut store, rep| {
                    let mut host = host_getter(store.data_mut());
                    #name::drop(&mut host, ::helve::component::Resource::new_own(rep))
                },
            )?;
        }
    }
}

/// `add_to_linker` of an interface, and the same under a name that the host gives.
fn interface_linker(name: &str, bounds: &TokenStream, definitions: &[TokenStream]) -> TokenStream {
    let docs = add_to_linker_docs(&format!("Puts the interface `{name}` into `linker`."));
    let docs_as = add_to_linker_docs(&format!(
        "Puts the interface into `linker` as `name`, which is `{name}` in `add_to_linker`: for \
         one that goes by several names, like those of its drafts."
    ));
    quote! {
        #docs
        pub fn add_to_linker<_T, _D>(
            linker: &mut ::helve::component::Linker<_T>,
            host_getter: fn(&mut _T) -> <_D as ::helve::component::HasData>::Data<'_>,
        ) -> ::helve::Result<()>
        #bounds
        {
            add_to_linker_as::<_T, _D>(linker, #name, host_getter)
        }

        #docs_as
        pub fn add_to_linker_as<_T, _D>(
            linker: &mut ::helve::component::Linker<_T>,
            name: &str,
            host_getter: fn(&mut _T) -> <_D as ::helve::component::HasData>::Data<'_>,
        ) -> ::helve::Result<()>
        #bounds
        {
            let mut instance = linker.instance(name)?;
            #(#definitions)*
            ::core::result::Result::Ok(())
        }
    }
}

/// `add_to_linker_imports` of a world.
fn world_linker(
    world: &Ident,
    add: &Ident,
    bounds: &TokenStream,
    definitions: &[TokenStream],
) -> TokenStream {
    let docs = add_to_linker_docs("Puts the world's own imports into `linker`.");
    let allow = allow();
    quote! {
        #allow
        impl #world {
            #docs
            pub fn #add<_T, _D>(
                linker: &mut ::helve::component::Linker<_T>,
                host_getter: fn(&mut _T) -> <_D as ::helve::component::HasData>::Data<'_>,
            ) -> ::helve::Result<()>
            #bounds
            {
                let mut instance = linker.root();
                #(#definitions)*
                ::core::result::Result::Ok(())
            }
        }
    }
}

fn add_to_linker_docs(what: &str) -> TokenStream {
    docs::lines(&format!(
        "{what}\n\n`host_getter` finds the host's part in the store's data; \
         with `D` as `HasSelf<T>` that is the data itself.\n\n# Errors\n\n\
         Where something has one of the names already."
    ))
}

/// One function's entry in the linker.
fn define_function(group: &Group<'_>, func: &Func<'_>, returned: &Returned) -> TokenStream {
    let (wit, method) = (&func.function.name, &func.name);
    let names: Vec<_> = func.param_names().collect();
    let types = func.param_types();
    let params = quote!((#(#names,)*): (#(#types,)*));
    let finish = |host: TokenStream| finish(func, returned, &host);
    let (own, with_store) = (group.trait_name(), group.with_store_name());
    match (func.flags.asynchronous, func.flags.store) {
        (false, false) => {
            let finish = finish(quote!(&mut host));
            quote! {
                instance.func_wrap(
                    #wit,
                    move |mut store: ::helve::StoreContextMut<'_, _T>, #params| {
                        let mut host = host_getter(store.data_mut());
                        let result = #own::#method(&mut host, #(#names),*);
                        #finish
                    },
                )?;
            }
        }
        (false, true) => {
            let finish = finish(quote!(&mut host_getter(store.data_mut())));
            quote! {
                instance.func_wrap(
                    #wit,
                    move |mut store: ::helve::StoreContextMut<'_, _T>, #params| {
                        let host = ::helve::component::Access::new(
                            ::helve::AsContextMut::as_context_mut(&mut store),
                            host_getter,
                        );
                        let result = <_D as #with_store>::#method(host, #(#names),*);
                        #finish
                    },
                )?;
            }
        }
        (true, false) => {
            let finish = finish(quote!(&mut host));
            quote! {
                instance.func_wrap_async_exclusive(
                    #wit,
                    move |mut store: ::helve::StoreContextMut<'_, _T>, #params| {
                        ::std::boxed::Box::new(async move {
                            let mut host = host_getter(store.data_mut());
                            let result = #own::#method(&mut host, #(#names),*).await;
                            #finish
                        })
                    },
                )?;
            }
        }
        (true, true) => {
            let finish = finish_async(func, returned);
            quote! {
                instance.func_wrap_async(
                    #wit,
                    move |accessor: ::helve::component::Accessor<_T>, #params| {
                        let accessor = accessor.with_getter::<_D>(host_getter);
                        async move {
                            let result = <_D as #with_store>::#method(&accessor, #(#names),*).await;
                            #finish
                        }
                    },
                )?;
            }
        }
    }
}

/// From what the host's function returned to what the linker's closure returns; `host` is
/// the host's data.
fn finish(func: &Func<'_>, returned: &Returned, host: &TokenStream) -> TokenStream {
    let result = match returned {
        Returned::Plain => quote!(result),
        Returned::Trappable => quote!(result?),
        Returned::Converted { by, method } => quote!(match result {
            ::core::result::Result::Ok(value) => ::core::result::Result::Ok(value),
            ::core::result::Result::Err(error) => {
                ::core::result::Result::Err(#by::#method(#host, error)?)
            }
        }),
    };
    finished(func, result)
}

fn finished(func: &Func<'_>, result: TokenStream) -> TokenStream {
    match func.has_result() {
        true => quote!(::helve::Result::Ok((#result,))),
        false => quote! {
            let () = #result;
            ::helve::Result::Ok(())
        },
    }
}

/// The same in a future, which gets at the host's data through its accessor.
fn finish_async(func: &Func<'_>, returned: &Returned) -> TokenStream {
    match returned {
        Returned::Converted { by, method } => finished(
            func,
            quote!(match result {
                ::core::result::Result::Ok(value) => ::core::result::Result::Ok(value),
                ::core::result::Result::Err(error) => ::core::result::Result::Err(
                    accessor.with(|mut access| #by::#method(&mut access.get(), error))??
                ),
            }),
        ),
        _ => finish(func, returned, &TokenStream::new()),
    }
}
