//! Questions about a plan: what it imports and exports, by path, in words.
//!
//! For the linker (what is missing), the command line's messages and `inspect`. The
//! trees may share instances, so every walk here stops at a bound.

use crate::named_list::NamedList;
use crate::plan::*;
use helve_abi::CanonBuiltin;
use helve_abi::types::{InterfaceType, ResourceTypeId};
use std::fmt::Write;
use std::sync::Arc;

/// Most leaves that a walk over imports or exports returns.
const MOST_LEAVES: usize = 100_000;

/// A thing at the end of a path of names.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// The names, outermost first.
    pub path: ImportPath,
    /// What it is; never an instance.
    pub item: Item,
}

impl Plan {
    /// Everything that the root imports, instances taken apart, in the file's order.
    pub fn import_leaves(&self) -> Vec<Leaf> {
        leaves(self.imports.iter().map(|(name, i)| (name, &i.item)))
    }

    /// Everything that the root exports, instances taken apart, in the file's order.
    pub fn export_leaves(&self) -> Vec<Leaf> {
        leaves(self.exports.iter().map(|(name, e)| (name, &e.item)))
    }

    /// The export at the end of a path of names: `["wasi:cli/run@0.2.6", "run"]`.
    pub fn export_item(&self, path: &[&str]) -> Option<&Item> {
        let (first, rest) = path.split_first()?;
        descend(&self.exports.get(first)?.item, rest)
    }

    /// The import at the end of a path of names.
    pub fn import_item(&self, path: &[&str]) -> Option<&Item> {
        let (first, rest) = path.split_first()?;
        descend(&self.imports.get(first)?.item, rest)
    }

    /// A resource type in words: "resource `input-stream` of import
    /// wasi:io/streams@0.2.12", "resource `r` of root / child".
    pub fn describe_resource(&self, id: ResourceTypeId) -> String {
        let Some(def) = self.resources.get(id) else {
            return format!("resource {}", id.as_u32());
        };
        let name = match &def.name {
            Some(name) => format!("resource `{name}`"),
            None => format!("resource {}", id.as_u32()),
        };
        match &def.origin {
            ResourceOrigin::Imported { path } if path.0.len() < 2 => format!("imported {name}"),
            ResourceOrigin::Imported { path } => {
                let around = path.0.len().saturating_sub(1);
                let around = ImportPath(path.0.iter().take(around).cloned().collect());
                format!("{name} of import {around}")
            }
            ResourceOrigin::Defined { owner, .. } => {
                format!("{name} of {}", self.component_instances[*owner].path)
            }
        }
    }

    /// An item in words: "func(a: u32) -> string", "resource `r` of ..", "instance".
    pub fn describe(&self, item: &Item) -> String {
        match item {
            Item::Func(func) => self.types.display_func(func.ty).to_string(),
            Item::Instance(instance) => {
                format!("instance with {} exports", instance.exports.len())
            }
            Item::Module(_) => "core module".to_string(),
            Item::Component(_) => "component".to_string(),
            Item::Type(TypeItem::Resource(id)) => self.describe_resource(*id),
            Item::Type(TypeItem::Value(ty)) => format!("type {}", self.types.display(*ty)),
            Item::Type(TypeItem::Func(ty)) => format!("type {}", self.types.display_func(*ty)),
            Item::Type(TypeItem::Instance(_)) => "instance type".to_string(),
            Item::Type(TypeItem::Component(_)) => "component type".to_string(),
        }
    }

    /// The whole plan as text, a line for each thing: for tests and for looking at.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        self.write_text(&mut text);
        text
    }

    fn write_text(&self, out: &mut String) {
        let mut line = |text: String| {
            out.push_str(&text);
            out.push('\n');
        };
        for leaf in self.import_leaves() {
            line(format!(
                "import {}: {}",
                leaf.path,
                self.describe(&leaf.item)
            ));
        }
        for (id, info) in self.component_instances.iter() {
            line(format!("{id}: {}", info.path));
        }
        for step in &self.steps {
            line(match step {
                Step::Instantiate(id) => self.core_instance_text(*id),
                Step::DefineResource(id) => self.resource_text(*id),
            });
        }
        for (id, lowered) in self.lowered.iter() {
            let (callee, owner) = (self.func_text(lowered.callee), lowered.owner);
            let options = self.options_text(lowered.options);
            line(format!("{id}: lower {callee}{options} in {owner}"));
        }
        for (id, lifted) in self.lifted.iter() {
            let core = self.core_text(&lifted.core);
            let options = self.options_text(lifted.options);
            let ty = self.types.display_func(lifted.ty);
            line(format!(
                "{id}: lift {core} as {ty}{options} in {}",
                lifted.owner
            ));
        }
        for (id, builtin) in self.builtins.iter() {
            let options = self.options_text(builtin.options);
            let op = self.builtin_text(&builtin.op);
            line(format!("{id}: {op}{options} in {}", builtin.owner));
        }
        for leaf in self.export_leaves() {
            let what = match &leaf.item {
                Item::Func(func) => self.func_text(func.func),
                item => self.describe(item),
            };
            line(format!("export {}: {what}", leaf.path));
        }
    }

    fn core_instance_text(&self, id: CoreInstanceId) -> String {
        let instance = &self.core_instances[id];
        let module = match instance.module {
            ModuleRef::Static(id) => id.to_string(),
            ModuleRef::Imported(id) => id.to_string(),
        };
        let mut text = format!("{id}: {module} in {}", instance.owner);
        for (i, def) in instance.args.iter().enumerate() {
            let sep = if i == 0 { " with" } else { "," };
            let _ = write!(text, "{sep} {}", self.core_text(def));
        }
        text
    }

    fn resource_text(&self, id: ResourceTypeId) -> String {
        let mut text = format!("{id}: {}", self.describe_resource(id));
        if let ResourceOrigin::Defined {
            dtor: Some(dtor), ..
        } = &self.resources[id].origin
        {
            let _ = write!(text, " dtor {}", self.core_text(dtor));
        }
        text
    }

    /// A built-in with its types.
    fn builtin_text(&self, op: &CanonBuiltin) -> String {
        use CanonBuiltin::*;
        let name = op.name();
        let of = |ty| format!("{name} {}", self.types.display(ty));
        match *op {
            ResourceNew { resource } | ResourceDrop { resource } | ResourceRep { resource } => {
                format!("{name} {resource}")
            }
            TaskReturn { result: Some(ty) } => of(ty),
            StreamNew { ty }
            | StreamRead { ty }
            | StreamWrite { ty }
            | StreamCancelRead { ty, .. }
            | StreamCancelWrite { ty, .. }
            | StreamDropReadable { ty }
            | StreamDropWritable { ty } => of(InterfaceType::Stream(ty)),
            FutureNew { ty }
            | FutureRead { ty }
            | FutureWrite { ty }
            | FutureCancelRead { ty, .. }
            | FutureCancelWrite { ty, .. }
            | FutureDropReadable { ty }
            | FutureDropWritable { ty } => of(InterfaceType::Future(ty)),
            _ => name.to_string(),
        }
    }

    fn func_text(&self, func: FuncRef) -> String {
        match func {
            FuncRef::Imported(id) => format!("import {}", self.imported_funcs[id].path),
            FuncRef::Lifted(id) => id.to_string(),
        }
    }

    fn core_text(&self, def: &CoreDef) -> String {
        match def {
            CoreDef::Export { instance, name, .. } => format!("{instance}.{name}"),
            CoreDef::Lowered(id) => id.to_string(),
            CoreDef::Builtin(id) => id.to_string(),
        }
    }

    fn options_text(&self, id: OptionsId) -> String {
        let options = &self.options[id];
        let mut text = String::new();
        if options.string_encoding != Default::default() {
            let _ = write!(text, " {}", options.string_encoding);
        }
        let parts = [
            ("memory", &options.memory),
            ("realloc", &options.realloc),
            ("post-return", &options.post_return),
            ("callback", &options.callback),
        ];
        for (name, def) in parts {
            if let Some(def) = def {
                let _ = write!(text, " {name}={}", self.core_text(def));
            }
        }
        if options.is_async {
            text.push_str(" async");
        }
        text
    }
}

fn descend<'p>(mut item: &'p Item, path: &[&str]) -> Option<&'p Item> {
    for name in path {
        let Item::Instance(instance) = item else {
            return None;
        };
        item = instance.exports.get(name)?;
    }
    Some(item)
}

/// Takes instances apart, with a stack of its own and up to a bound.
fn leaves<'p>(roots: impl DoubleEndedIterator<Item = (&'p Arc<str>, &'p Item)>) -> Vec<Leaf> {
    let mut found = Vec::new();
    let mut stack: Vec<(ImportPath, &Item)> = roots
        .rev()
        .map(|(name, item)| (ImportPath([name.clone()].into()), item))
        .collect();
    let mut steps = 0;
    while let Some((path, item)) = stack.pop() {
        steps += 1;
        if steps > MOST_LEAVES {
            break;
        }
        match item {
            Item::Instance(instance) => {
                let exports: &NamedList<Item> = &instance.exports;
                let inner = exports.iter().rev();
                stack.extend(inner.map(|(name, item)| (path.join(name), item)));
            }
            item => found.push(Leaf {
                path,
                item: item.clone(),
            }),
        }
    }
    found
}
