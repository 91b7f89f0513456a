//! Components as values: imports that a linker supplies, exports that an instance hands out.
//!
//! A component closes over what stands around its definition: core modules, components and
//! types, never anything that was instantiated. So it can be named by a file and the steps
//! that lead into it, and is found again by running the definitions around it once more:
//!
//! ```text
//!  Origin { file: 0, levels: [] }                    the root of file 0
//!  Origin { file: 0, levels: [ { given, "c" } ] }    the export `c` of an instance of it
//!                                                    whose component and module imports were
//!                                                    `given`
//! ```
//!
//! What a component is given must have the type that the import says. Validation has not
//! seen the two together, so the given one is instantiated here with imports of that type,
//! its exports are looked at as that type shows them, and all of it is thrown away.

use crate::Options;
use crate::error::bug;
use crate::plan::*;
use crate::reader;
use crate::resolve::{ComponentValue, Entry, Resolver, Target};
use helve_base::Result;
use helve_base::error::Context;
use std::collections::HashMap;
use std::sync::Arc;

/// Where a component is to be found.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// Which of the files it stands in.
    pub file: usize,
    /// The way from the file's root component to it, outermost first.
    pub levels: Vec<Level>,
}

/// From a component to one that an instance of it exports.
#[derive(Clone, Debug)]
pub struct Level {
    /// The components and core modules that the instance imports.
    pub given: Vec<(ImportPath, Given)>,
    /// Where the instance exports it.
    pub export: ImportPath,
}

/// What an import is given.
#[derive(Clone, Debug)]
pub enum Given {
    /// A component.
    Component(Origin),
    /// One of the caller's core modules, by a number of its own.
    Module(usize),
}

impl Origin {
    /// The same where the files and modules have got numbers that are higher by this much.
    pub fn moved(&self, files: usize, modules: usize) -> Origin {
        let given = |(path, given): &(ImportPath, Given)| {
            let given = match given {
                Given::Component(origin) => Given::Component(origin.moved(files, modules)),
                Given::Module(number) => Given::Module(number + modules),
            };
            (path.clone(), given)
        };
        Origin {
            file: self.file + files,
            levels: self
                .levels
                .iter()
                .map(|level| Level {
                    given: level.given.iter().map(given).collect(),
                    export: level.export.clone(),
                })
                .collect(),
        }
    }
}

/// A given thing as the resolver has it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum GivenItem {
    Component(ComponentId),
    Module(usize),
}

/// The plan of the component at `origin`, whose component imports are `given`. All files
/// were decoded before, with the same options; the plan's modules are those of all of them.
pub(crate) fn resolve(
    files: &[&[u8]],
    origin: &Origin,
    given: &[(ImportPath, Given)],
    options: &Options,
) -> Result<Plan> {
    let (bytes, roots) = reader::read_again(files, options)?;
    let mut resolver = Resolver::new(&bytes, options);
    resolver.is_linked = true;
    let component = resolver.locate(&roots, origin)?;
    let given = resolver.give(&roots, given)?;
    resolver.run_as_root(component, given)?;
    Ok(resolver.finish())
}

impl<'a> Resolver<'a> {
    fn locate(&mut self, roots: &[reader::ComponentDefId], origin: &Origin) -> Result<ComponentId> {
        let root = roots.get(origin.file);
        let root = *root.ok_or_else(|| bug("a component in a file that is not there"))?;
        let mut id = self.component(ComponentValue::Defined(root, None));
        for level in &origin.levels {
            let given = self.give(roots, &level.given)?;
            self.run_as_root(id, given)?;
            let path: Vec<&str> = level.export.0.iter().map(|name| &**name).collect();
            id = match self.plan.export_item(&path) {
                Some(Item::Component(id)) => *id,
                _ => {
                    return Err(bug(format!(
                        "no component is exported as `{}`",
                        level.export
                    )));
                }
            };
            self.forget_instances();
        }
        Ok(id)
    }

    fn give(
        &mut self,
        roots: &[reader::ComponentDefId],
        given: &[(ImportPath, Given)],
    ) -> Result<HashMap<ImportPath, GivenItem>> {
        let mut items = HashMap::new();
        for (path, given) in given {
            let item = match given {
                Given::Component(origin) => GivenItem::Component(self.locate(roots, origin)?),
                Given::Module(number) => GivenItem::Module(*number),
            };
            items.insert(path.clone(), item);
        }
        Ok(items)
    }

    fn run_as_root(
        &mut self,
        component: ComponentId,
        given: HashMap<ImportPath, GivenItem>,
    ) -> Result<()> {
        self.given = given;
        let (Target::Defined(def, outer), _) = self.target(component)? else {
            return Err(bug("a component that nobody gave, as the root"));
        };
        let def = &self.bytes.components[def];
        let entry = Entry {
            outer,
            ..Entry::default()
        };
        self.enter(def, entry, "root".into())?;
        self.run(0)?;
        self.given.clear();
        Ok(())
    }

    /// Keeps what a component closes over: types, modules, other components.
    fn forget_instances(&mut self) {
        let plan = std::mem::take(&mut self.plan);
        self.option_ids.clear();
        self.plan = Plan {
            types: plan.types,
            modules: plan.modules,
            imported_modules: plan.imported_modules,
            module_checks: plan.module_checks,
            resources: plan.resources,
            ..Plan::default()
        };
    }

    /// That the component `id` is one of type `ty`, for the import `path`.
    pub fn check_component(
        &mut self,
        id: ComponentId,
        ty: TypeTemplateId,
        path: &ImportPath,
    ) -> Result<()> {
        let kept = self.plan.clone();
        let kept_options = self.option_ids.clone();
        let given = std::mem::take(&mut self.given);
        let checked = self.try_component(id, ty, path);
        let checks = std::mem::take(&mut self.plan.module_checks);
        self.plan = kept;
        self.option_ids = kept_options;
        self.given = given;
        self.plan.module_checks = checks;
        checked.with_context(|| format!("the component supplied for import `{path}`"))
    }

    fn try_component(
        &mut self,
        id: ComponentId,
        ty: TypeTemplateId,
        path: &ImportPath,
    ) -> Result<()> {
        let (args, _) = self.show(ty, None, None, path)?;
        let (target, seen_as) = self.target(id)?;
        let made = match target {
            Target::Defined(def, outer) => {
                let depth = self.frames();
                let def = &self.bytes.components[def];
                let entry = Entry {
                    outer,
                    args: Some(args.clone()),
                    seen_as,
                    is_trial: true,
                };
                self.enter(def, entry, path.to_string().into())?;
                self.run(depth)?;
                let made = self.tried.take();
                made.ok_or_else(|| bug("a component that was tried has no exports"))?
            }
            Target::Imported(inner, _) => {
                let (_, made) = self.show(inner, Some(&args), None, path)?;
                self.seen(made.into(), seen_as, &args)?
            }
        };
        self.show(ty, Some(&args), Some(made), path)?;
        Ok(())
    }

    /// That a module which was given has a type.
    pub fn check_module(&mut self, module: ModuleRef, ty: Arc<ModuleType>, path: &ImportPath) {
        let module = match module {
            ModuleRef::Static(id) => GivenModule::Static(id),
            ModuleRef::Imported(id) => {
                GivenModule::Typed(self.plan.imported_modules[id].ty.clone())
            }
        };
        let path = path.clone();
        self.plan
            .module_checks
            .push(ModuleCheck { path, module, ty });
    }
}
