//! Where generated items are: the module of each interface, and paths between them.
//!
//! ```text
//! import wasi:io/streams            wasi::io::streams
//! export wasi:cli/run               exports::wasi::cli::run
//! import foo: interface { .. }      foo
//! two versions of wasi:io           wasi::io0_2_0::streams
//! with "wasi:io": crate::io         __with_name0::streams
//! import a: io; import b: io        a, b: each with items of its own
//! ```
//!
//! What uses an interface that goes by several names uses the items of the one by its own
//! name, which the world then has too.
//!
//! An exported interface's types are its own, also where it is imported too; what it uses
//! of another interface is that one's export if it is exported, else its import.

use crate::name;
use crate::options::Chosen;
use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use std::collections::{BTreeSet, HashMap};
use wit_parser::{
    InterfaceId, PackageId, Resolve, TypeId, TypeOwner, WorldId, WorldItem, WorldKey,
};

/// Whether items are for imports or for exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Import,
    Export,
}

/// The module that items are being written for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope {
    /// Its interface; none at the root.
    pub(crate) interface: Option<InterfaceId>,
    pub(crate) side: Side,
    /// How many modules it is below the root.
    depth: usize,
}

impl Scope {
    pub(crate) fn root() -> Scope {
        Scope {
            interface: None,
            side: Side::Import,
            depth: 0,
        }
    }

    pub(crate) fn import(interface: InterfaceId, depth: usize) -> Scope {
        Scope {
            interface: Some(interface),
            side: Side::Import,
            depth,
        }
    }

    pub(crate) fn export(interface: InterfaceId, depth: usize) -> Scope {
        Scope {
            interface: Some(interface),
            side: Side::Export,
            depth,
        }
    }

    /// The path from here to the root: `super::super::`, or nothing.
    pub(crate) fn to_root(self) -> TokenStream {
        let supers = std::iter::repeat_n(quote!(super::), self.depth);
        quote!(#(#supers)*)
    }
}

/// Where an imported interface's items are.
#[derive(Clone, Debug)]
enum Place {
    /// In a module that is generated.
    Own(Vec<Ident>),
    /// In what a `with` entry names, and modules below that.
    With(usize, Vec<Ident>),
}

/// Where an import's interface was before that import was written.
pub(crate) struct ImportBefore(Option<Place>);

/// Where everything is.
#[derive(Default)]
pub(crate) struct Places {
    imports: HashMap<InterfaceId, Place>,
    exports: HashMap<InterfaceId, Vec<Ident>>,
    /// The same for each name that the world has, as several may stand for one interface.
    named_imports: HashMap<WorldKey, Place>,
    named_exports: HashMap<WorldKey, Vec<Ident>>,
    /// Types and resources that `with` names.
    types: HashMap<TypeId, usize>,
    /// Types that a trappable error stands for.
    errors: HashMap<TypeId, usize>,
    error_types: Vec<TokenStream>,
    /// The `with` entries that something refers to.
    used: BTreeSet<usize>,
}

impl Places {
    pub(crate) fn new(resolve: &Resolve, world: WorldId, chosen: &mut Chosen) -> Places {
        let mut places = Places::default();
        let world = &resolve.worlds[world];
        for (key, item) in &world.imports {
            match item {
                WorldItem::Interface { id, .. } => {
                    let names = interface_names(resolve, key);
                    let place = places.import_place(resolve, key, &names, chosen);
                    places.named_imports.insert(key.clone(), place.clone());
                    match key {
                        WorldKey::Interface(_) => drop(places.imports.insert(*id, place)),
                        WorldKey::Name(_) => drop(places.imports.entry(*id).or_insert(place)),
                    }
                    places.choose_types(resolve, *id, &names, chosen);
                }
                WorldItem::Type { id, .. } => {
                    let name = resolve.types[*id].name.clone();
                    places.choose_type(*id, &name.into_iter().collect::<Vec<_>>(), chosen);
                }
                WorldItem::Function(_) => {}
            }
        }
        for (key, item) in &world.exports {
            if let WorldItem::Interface { id, .. } = item {
                let mut path = vec![name::ident("exports")];
                path.extend(own_path(resolve, key));
                places.named_exports.insert(key.clone(), path.clone());
                match key {
                    WorldKey::Interface(_) => drop(places.exports.insert(*id, path)),
                    WorldKey::Name(_) => drop(places.exports.entry(*id).or_insert(path)),
                }
                let names = interface_names(resolve, key);
                places.choose_types(resolve, *id, &names, chosen);
            }
        }
        places
    }

    /// While the import `key` is written its interface is there: what it was before is for
    /// [`Places::leave_import`].
    pub(crate) fn enter_import(&mut self, key: &WorldKey, id: InterfaceId) -> ImportBefore {
        let here = self.named_imports.get(key).cloned();
        ImportBefore(here.and_then(|here| self.imports.insert(id, here)))
    }

    /// The import is written.
    pub(crate) fn leave_import(&mut self, id: InterfaceId, before: ImportBefore) {
        if let Some(place) = before.0 {
            self.imports.insert(id, place);
        }
    }

    /// As [`Places::enter_import`], of an export: where it was before.
    pub(crate) fn enter_export(&mut self, key: &WorldKey, id: InterfaceId) -> Option<Vec<Ident>> {
        let here = self.named_exports.get(key).cloned();
        here.and_then(|here| self.exports.insert(id, here))
    }

    /// The export is written.
    pub(crate) fn leave_export(&mut self, id: InterfaceId, before: Option<Vec<Ident>>) {
        if let Some(place) = before {
            self.exports.insert(id, place);
        }
    }

    fn import_place(
        &mut self,
        resolve: &Resolve,
        key: &WorldKey,
        names: &[String],
        chosen: &Chosen,
    ) -> Place {
        if let Some(at) = chosen.with(names) {
            self.used.insert(at);
            return Place::With(at, Vec::new());
        }
        if let WorldKey::Interface(id) = key
            && let Some(package) = resolve.interfaces[*id].package
        {
            let (around, inside) = package_names(resolve, package);
            let own = own_path(resolve, key);
            for (names, below) in [(around, 2), (inside, 1)] {
                if let Some(at) = chosen.with(&names) {
                    self.used.insert(at);
                    return Place::With(at, own[own.len().saturating_sub(below)..].to_vec());
                }
            }
        }
        Place::Own(own_path(resolve, key))
    }

    fn choose_types(
        &mut self,
        resolve: &Resolve,
        id: InterfaceId,
        names: &[String],
        chosen: &Chosen,
    ) {
        for (ty, id) in &resolve.interfaces[id].types {
            self.choose_type(*id, &item_names(names, ty), chosen);
        }
    }

    fn choose_type(&mut self, id: TypeId, names: &[String], chosen: &Chosen) {
        if let Some(at) = chosen.with(names) {
            self.used.insert(at);
            self.types.insert(id, at);
        }
        if let Some(ty) = chosen.error_type(names) {
            self.errors.insert(id, self.error_types.len());
            self.error_types.push(ty);
        }
    }

    /// The module of an imported interface, if it is generated.
    pub(crate) fn own_import(&self, id: InterfaceId) -> Option<&[Ident]> {
        match self.imports.get(&id)? {
            Place::Own(path) => Some(path),
            Place::With(..) => None,
        }
    }

    /// The module of an exported interface.
    pub(crate) fn export(&self, id: InterfaceId) -> &[Ident] {
        self.exports.get(&id).map_or(&[], |path| path)
    }

    /// Whether a resource of this owner is a guest's, seen from `scope`.
    pub(crate) fn is_guests(&self, scope: Scope, owner: TypeOwner) -> bool {
        scope.side == Side::Export
            && matches!(owner, TypeOwner::Interface(id) if self.exports.contains_key(&id))
    }

    /// The path before an item of `owner`, seen from `scope`: nothing, or ending in `::`.
    pub(crate) fn prefix(&self, scope: Scope, owner: TypeOwner) -> TokenStream {
        let to_root = scope.to_root();
        let id = match owner {
            TypeOwner::Interface(id) if scope.interface == Some(id) => return TokenStream::new(),
            TypeOwner::Interface(id) => id,
            TypeOwner::World(_) | TypeOwner::None => return to_root,
        };
        let exported = self.exports.get(&id);
        if let (Side::Export, Some(path)) = (scope.side, exported) {
            return quote!(#to_root #(#path::)*);
        }
        match self.imports.get(&id) {
            Some(Place::Own(path)) => quote!(#to_root #(#path::)*),
            Some(Place::With(at, path)) => {
                let name = with_name(*at);
                quote!(#to_root #name:: #(#path::)*)
            }
            None => to_root,
        }
    }

    /// The Rust type that `with` gives for a type, seen from `scope`.
    pub(crate) fn with_type(&self, scope: Scope, id: TypeId) -> Option<TokenStream> {
        let name = with_name(*self.types.get(&id)?);
        let to_root = scope.to_root();
        Some(quote!(#to_root #name))
    }

    /// The Rust type of a trappable error that stands for `id`, seen from `scope`.
    pub(crate) fn error_type(&self, scope: Scope, id: TypeId) -> Option<TokenStream> {
        let name = error_name(*self.errors.get(&id)?);
        let to_root = scope.to_root();
        Some(quote!(#to_root #name))
    }

    /// What the root has for the paths that options gave.
    pub(crate) fn root_items(&self, with: &[(String, TokenStream)]) -> TokenStream {
        let used = self.used.iter().filter_map(|at| {
            let (_, path) = with.get(*at)?;
            let name = with_name(*at);
            Some(quote!(#[allow(unused_imports)] use #path as #name;))
        });
        let errors = self.error_types.iter().enumerate().map(|(at, path)| {
            let name = error_name(at);
            quote!(#[allow(unused_imports)] use #path as #name;)
        });
        quote!(#(#used)* #(#errors)*)
    }
}

fn with_name(at: usize) -> Ident {
    Ident::new(&format!("__with_name{at}"), Span::call_site())
}

fn error_name(at: usize) -> Ident {
    Ident::new(&format!("__trappable_error{at}"), Span::call_site())
}

/// What an interface is called in options.
pub(crate) fn interface_names(resolve: &Resolve, key: &WorldKey) -> Vec<String> {
    let full = resolve.name_world_key(key);
    match full.split_once('@') {
        Some((bare, _)) => vec![full.clone(), bare.to_owned()],
        None => vec![full],
    }
}

/// What an item of an interface with these names is called in options.
pub(crate) fn item_names(interface: &[String], item: &str) -> Vec<String> {
    let names = interface.iter().flat_map(|interface| {
        ['.', '/', '#'].map(|separator| format!("{interface}{separator}{item}"))
    });
    names.collect()
}

/// What stands for a package's namespace, and for the package, in options.
pub(crate) fn package_names(resolve: &Resolve, id: PackageId) -> (Vec<String>, Vec<String>) {
    let package = &resolve.packages[id].name;
    let bare = format!("{}:{}", package.namespace, package.name);
    let mut names = vec![package.to_string()];
    if names[0] != bare {
        names.push(bare);
    }
    (vec![package.namespace.clone()], names)
}

/// The module path of an interface, below the root or `exports`.
fn own_path(resolve: &Resolve, key: &WorldKey) -> Vec<Ident> {
    let WorldKey::Interface(id) = key else {
        return vec![name::snake(&resolve.name_world_key(key))];
    };
    let interface = &resolve.interfaces[*id];
    let name = interface.name.as_deref().unwrap_or("interface");
    let Some(package) = interface.package else {
        return vec![name::snake(name)];
    };
    let namespace = name::snake(&resolve.packages[package].name.namespace);
    let package = name::ident(&package_module(resolve, package));
    vec![namespace, package, name::snake(name)]
}

/// The module of a package: with the version where there are several in one world.
pub(crate) fn package_module(resolve: &Resolve, id: PackageId) -> String {
    let package = &resolve.packages[id].name;
    let base = name::snake_text(&package.name);
    let same = |other: &&wit_parser::Package| {
        other.name.namespace == package.namespace && other.name.name == package.name
    };
    let versions = resolve.packages.iter().map(|(_, other)| other).filter(same);
    match &package.version {
        Some(version) if versions.count() > 1 => {
            format!("{base}{}", name::snake_text(&version.to_string()))
        }
        _ => base,
    }
}
