//! Rust bindings for hosts, from WIT: what `helve::bindgen!` and `helve bindgen` generate.
//!
//! ```text
//!  paths, inline text --wit--> Resolve, world
//!                                 |  facts    what each type contains
//!                                 |  place    where each interface's module is
//!                                 v
//!  imports: types (define, refer) + Host traits + add_to_linker  (host)
//!  exports: types + Guest accessors                              (guest)
//!  world:   struct, Pre, Indices, instantiate                    (world)
//!                                 |
//!                                 v
//!                      Modules --> one TokenStream
//! ```
//!
//! Names and shapes follow what users of Wasmtime's macro know. Generated code needs
//! nothing but the crate `helve`, names everything by absolute paths, has no unsafe code
//! and gives no warning. Not here: parsing of the macro's own syntax (`helve-macros`).

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod define;
mod docs;
mod facts;
mod func;
mod guest;
mod host;
mod module;
mod name;
mod options;
mod place;
mod refer;
mod wit;
mod world;

pub use options::{Flags, Options, Rules};

use anyhow::Result;
use facts::Facts;
use host::HostNames;
use module::Modules;
use options::Chosen;
use place::{Places, Scope};
use proc_macro2::TokenStream;
use std::path::{Path, PathBuf};
use wit_parser::{
    Function, InterfaceId, Resolve, TypeDefKind, TypeId, WorldId, WorldItem, WorldKey,
};

/// What was generated.
#[derive(Debug)]
pub struct Output {
    /// Items for one module.
    pub tokens: TokenStream,
    /// Every WIT file that was read: generate again when one of them changes.
    pub files: Vec<PathBuf>,
    /// The world's name.
    pub world: String,
}

/// Generates the bindings that `options` ask for; relative paths start at `base`.
///
/// # Errors
///
/// Where the WIT is not found or not valid, has no such world, or has what Helve has no
/// values for; and where an option names nothing of the world.
pub fn generate(options: &Options, base: &Path) -> Result<Output> {
    let wit = wit::load(options, base)?;
    let mut generator = Generator::new(&wit.resolve, wit.world, options)?;
    generator.run()?;
    generator.chosen.check_all_used()?;
    let world = wit.resolve.worlds[wit.world].name.clone();
    Ok(Output {
        tokens: generator.modules.into_tokens(),
        files: wit.files,
        world,
    })
}

/// Everything known while one world's bindings are written.
struct Generator<'a> {
    resolve: &'a Resolve,
    world: WorldId,
    options: &'a Options,
    chosen: Chosen,
    facts: Facts,
    places: Places,
    modules: Modules,
    /// What the world's `add_to_linker` passes on to.
    linked: Vec<host::Linked>,
    /// The exported interfaces, for the world's struct.
    guests: Vec<guest::Guest>,
}

impl<'a> Generator<'a> {
    fn new(resolve: &'a Resolve, world: WorldId, options: &'a Options) -> Result<Generator<'a>> {
        let mut chosen = Chosen::new(options);
        let places = Places::new(resolve, world, &mut chosen);
        Ok(Generator {
            resolve,
            world,
            options,
            chosen,
            facts: Facts::new(resolve, world),
            places,
            modules: Modules::default(),
            linked: Vec::new(),
            guests: Vec::new(),
        })
    }

    fn run(&mut self) -> Result<()> {
        let world = &self.resolve.worlds[self.world];
        let mut types = Vec::new();
        let mut functions = Vec::new();
        for (key, item) in &world.imports {
            match item {
                WorldItem::Interface { id, .. } => {
                    let before = self.places.enter_import(key, *id);
                    self.import_interface(key, *id)?;
                    self.places.leave_import(*id, before);
                }
                WorldItem::Function(function) => functions.push(function),
                WorldItem::Type { id, .. } => types.push(*id),
            }
        }
        self.import_world(&types, &functions)?;
        let mut functions = Vec::new();
        for (key, item) in &world.exports {
            match item {
                WorldItem::Interface { id, .. } => {
                    let before = self.places.enter_export(key, *id);
                    self.export_interface(key, *id)?;
                    self.places.leave_export(*id, before);
                }
                WorldItem::Function(function) => functions.push(function),
                WorldItem::Type { .. } => {}
            }
        }
        self.world_items(&functions)
    }

    fn import_interface(&mut self, key: &WorldKey, id: InterfaceId) -> Result<()> {
        let Some(path) = self.places.own_import(id) else {
            return Ok(()); // made elsewhere, says `with`
        };
        let path = path.to_vec();
        let scope = Scope::import(id, path.len());
        let interface = &self.resolve.interfaces[id];
        let mut items = TokenStream::new();
        for ty in interface.types.values() {
            items.extend(self.define(&scope, *ty)?);
        }
        let full_name = self.resolve.name_world_key(key);
        let functions: Vec<&Function> = interface.functions.values().collect();
        let names = HostNames::interface(full_name, path.clone());
        items.extend(self.host(&scope, names, (Some(key), &functions), &self.resources(id))?);
        let doc = docs::or(&interface.docs, || {
            format!(
                "The imported interface `{}`.",
                self.resolve.name_world_key(key)
            )
        });
        self.modules.add(&path, items, doc);
        Ok(())
    }

    fn import_world(&mut self, types: &[TypeId], functions: &[&Function]) -> Result<()> {
        let scope = Scope::root();
        let mut items = TokenStream::new();
        for ty in types {
            items.extend(self.define(&scope, *ty)?);
        }
        let resources: Vec<TypeId> = types
            .iter()
            .copied()
            .filter(|id| matches!(self.resolve.types[*id].kind, TypeDefKind::Resource))
            .collect();
        if !functions.is_empty() || !resources.is_empty() {
            let world = &self.resolve.worlds[self.world].name;
            let names = HostNames::world(world);
            items.extend(self.host(&scope, names, (None, functions), &resources)?);
        }
        self.modules.add_root(items);
        Ok(())
    }

    /// The resources that an interface defines, not those it uses.
    fn resources(&self, id: InterfaceId) -> Vec<TypeId> {
        let types = self.resolve.interfaces[id].types.values();
        types
            .copied()
            .filter(|id| matches!(self.resolve.types[*id].kind, TypeDefKind::Resource))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(options: Options) -> String {
        match generate(&options, Path::new(".")) {
            Ok(_) => panic!("it was accepted"),
            Err(error) => format!("{error:#}"),
        }
    }

    fn inline(text: &str) -> Options {
        Options {
            inline: Some(text.to_owned()),
            ..Options::default()
        }
    }

    #[test]
    fn what_cannot_be_is_said_with_its_name() {
        let world = "package a:b; interface i { f: func(); } world w { import i; }";
        let mut unused_with = inline(world);
        unused_with
            .with
            .push(("a:b/j".into(), quote::quote!(crate::j)));
        let mut unused_error = inline(world);
        unused_error
            .trappable_error_types
            .push(("a:b/i.e".into(), quote::quote!(crate::E)));
        let mut unused_rule = inline(world);
        unused_rule
            .imports
            .rules
            .push(("a:b/i.g".into(), Flags::default()));
        let mut no_world = inline(world);
        no_world.world = Some("x".into());
        let mut two = inline("package a:b; world v {} world w {}");
        two.world = None;
        for (options, expected) in [
            (unused_with, "`with` names `a:b/j`"),
            (unused_error, "`trappable_error_type` names `a:b/i.e`"),
            (unused_rule, "`imports` names `a:b/i.g`"),
            (no_world, "x"),
            (two, "world"),
            (
                Options {
                    paths: vec!["no/such/folder".into()],
                    ..Options::default()
                },
                "no/such/folder",
            ),
        ] {
            let fault = fault(options);
            assert!(fault.contains(expected), "{fault}");
        }
    }
}
