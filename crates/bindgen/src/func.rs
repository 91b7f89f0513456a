//! A function on either side: its Rust name, its parameters, how it is called.
//!
//! ```text
//! f: func(a: u32) -> string                  f        call_f
//! resource r { constructor(); m: func(); }   new, m   call_constructor, call_m
//! prop: get() -> u32; prop: set(v: u32)      prop, set_prop
//! ```

use crate::facts::dealias;
use crate::options::Flags;
use crate::place::{Scope, interface_names, item_names, package_names};
use crate::refer::Mode;
use crate::{Generator, docs, name};
use anyhow::{Result, ensure};
use proc_macro2::{Ident, TokenStream};
use quote::quote;
use wit_parser::{Function, FunctionKind, Type, TypeDefKind, TypeId, TypeOwner, WorldKey};

/// Most parameters of a function: as long as tuples are that are component types.
const MOST_PARAMS: usize = 24;

/// A function as bindings have it.
pub(crate) struct Func<'f> {
    pub(crate) function: &'f Function,
    /// Its name in Rust, without `call_`.
    pub(crate) name: Ident,
    pub(crate) flags: Flags,
    pub(crate) params: Vec<(Ident, TokenStream)>,
    /// Its result; `()` if it has none.
    pub(crate) result: TokenStream,
}

/// How a host function's result becomes WIT's.
pub(crate) enum Returned {
    /// It is the result.
    Plain,
    /// It is the result, or the guest traps.
    Trappable,
    /// It fails with a Rust type of the host's, which this trait's method converts.
    Converted { by: TokenStream, method: Ident },
}

impl Func<'_> {
    /// Whether it has a result.
    pub(crate) fn has_result(&self) -> bool {
        self.function.result.is_some()
    }

    pub(crate) fn docs(&self) -> TokenStream {
        docs::or(&self.function.docs, || {
            format!("The function `{}`.", self.function.name)
        })
    }

    pub(crate) fn param_types(&self) -> impl Iterator<Item = &TokenStream> {
        self.params.iter().map(|(_, ty)| ty)
    }

    pub(crate) fn param_names(&self) -> impl Iterator<Item = &Ident> {
        self.params.iter().map(|(name, _)| name)
    }

    /// `(T,)`, or `()`.
    pub(crate) fn result_list(&self) -> TokenStream {
        let result = &self.result;
        match self.has_result() {
            true => quote!((#result,)),
            false => quote!(()),
        }
    }
}

impl Generator<'_> {
    /// The functions that are not left out, with names that differ from each other and
    /// from those in `taken`.
    pub(crate) fn functions<'f>(
        &self,
        scope: Scope,
        key: Option<&WorldKey>,
        functions: impl IntoIterator<Item = &'f Function>,
        (imported, taken): (bool, &[&str]),
    ) -> Result<Vec<Func<'f>>> {
        let mut taken: Vec<String> = taken.iter().map(|name| name.to_string()).collect();
        let mut found = Vec::new();
        for function in functions {
            let flags = self.flags(key, function, imported);
            if flags.skip {
                continue;
            }
            ensure!(
                function.params.len() <= MOST_PARAMS,
                "function `{}` has {} parameters, and Rust's tuples stand for at most {MOST_PARAMS}: \
                 put some into a record, or leave it out by `skip`",
                function.name,
                function.params.len()
            );
            let mut name = rust_name(function, imported);
            while taken.contains(&name) {
                name.push('_');
            }
            taken.push(name.clone());
            let mode = match imported || flags.asynchronous && flags.store {
                true => Mode::Owned,
                false => Mode::Lent,
            };
            found.push(Func {
                function,
                name: match imported {
                    true => name::ident(&name),
                    false => name::ident(&format!("call_{name}")),
                },
                flags,
                params: self.params(scope, function, mode)?,
                result: self.optional(scope, function.result, Mode::Owned)?,
            });
        }
        Ok(found)
    }

    fn params(
        &self,
        scope: Scope,
        function: &Function,
        mode: Mode,
    ) -> Result<Vec<(Ident, TokenStream)>> {
        // What generated bodies have as names of their own.
        const OWN: [&str; 6] = ["store", "host", "accessor", "callee", "result", "linker"];
        let mut names: Vec<String> = Vec::new();
        let params = function.params.iter().map(|param| {
            let mut text = name::snake_text(&param.name);
            while OWN.contains(&&*text) || names.contains(&text) {
                text.push('_');
            }
            names.push(text.clone());
            Ok((name::ident(&text), self.ty(scope, param.ty, mode)?))
        });
        params.collect()
    }

    fn flags(&self, key: Option<&WorldKey>, function: &Function, imported: bool) -> Flags {
        let mut names = Vec::new();
        match key {
            None => names.push(function.name.clone()),
            Some(key) => {
                let interface = interface_names(self.resolve, key);
                names.extend(item_names(&interface, &function.name));
                names.extend(interface);
                if let WorldKey::Interface(id) = key
                    && let Some(package) = self.resolve.interfaces[*id].package
                {
                    let (namespace, package) = package_names(self.resolve, package);
                    names.extend(package);
                    names.extend(namespace);
                }
            }
        }
        let mut flags = self.chosen.flags(imported, &names);
        if function.kind.is_async() && !flags.ignore_wit {
            flags.asynchronous = true;
            flags.store = true;
        }
        flags
    }

    /// What a host's function returns, and how that becomes the result.
    pub(crate) fn returned(
        &self,
        scope: Scope,
        func: &Func<'_>,
    ) -> Result<(TokenStream, Returned)> {
        if let Some((ok, error)) = self.trappable_error(func.function) {
            let def = &self.resolve.types[error];
            let ok = self.optional(scope, ok, Mode::Owned)?;
            let host = self.places.error_type(scope, error);
            let trait_name = match def.owner {
                TypeOwner::World(_) => {
                    let world = name::camel_text(&self.resolve.worlds[self.world].name);
                    name::ident(&format!("{world}Imports"))
                }
                _ => name::ident("Host"),
            };
            let prefix = self.places.prefix(scope, def.owner);
            let returned = Returned::Converted {
                by: quote!(#prefix #trait_name),
                method: convert_name(def.name.as_deref().unwrap_or_default()),
            };
            return Ok((quote!(::core::result::Result<#ok, #host>), returned));
        }
        let result = &func.result;
        Ok(match func.flags.trappable {
            true => (quote!(::helve::Result<#result>), Returned::Trappable),
            false => (result.clone(), Returned::Plain),
        })
    }

    /// The ok type and the error type, if a Rust type of the host's stands for that.
    fn trappable_error(&self, function: &Function) -> Option<(Option<Type>, TypeId)> {
        let Some(Type::Id(id)) = function.result else {
            return None;
        };
        let TypeDefKind::Result(result) = &self.resolve.types[dealias(self.resolve, id)].kind
        else {
            return None;
        };
        let Some(Type::Id(error)) = result.err else {
            return None;
        };
        let error = dealias(self.resolve, error);
        self.places.error_type(Scope::root(), error)?;
        Some((result.ok, error))
    }

    /// The methods that convert errors of the host's, for the trait of the types' owner.
    pub(crate) fn conversions(&self, scope: Scope) -> Vec<(Ident, TokenStream, TokenStream)> {
        let types = match scope.interface {
            Some(id) => &self.resolve.interfaces[id].types,
            None => return Vec::new(),
        };
        let conversions = types.iter().filter_map(|(name, id)| {
            let host = self.places.error_type(scope, *id)?;
            let wit = self.resource_path(scope, *id);
            Some((convert_name(name), host, wit))
        });
        conversions.collect()
    }
}

fn convert_name(ty: &str) -> Ident {
    name::ident(&format!("convert_{}", name::snake_text(ty)))
}

fn rust_name(function: &Function, imported: bool) -> String {
    let item = name::snake_text(function.item_name());
    match function.kind {
        FunctionKind::Constructor(_) if imported => "new".to_owned(),
        FunctionKind::Constructor(_) => "constructor".to_owned(),
        FunctionKind::Setter | FunctionKind::MethodSetter(_) | FunctionKind::StaticSetter(_) => {
            format!("set_{item}")
        }
        _ => item,
    }
}
