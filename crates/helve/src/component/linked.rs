//! Components that are given components, and components that instances export.
//!
//! A plan has every nested component flattened away, so a component that imports another
//! one has its plan made again, once it is known which: from the bytes of both, and with
//! the code of both, which was compiled before. Only adapters between the two are compiled
//! now. The same goes for a component that an instance exports: its plan is made from the
//! bytes it stands in.
//!
//! ```text
//!  Component A (imports component `c`)  +  Component C   --->  Component A' (no such import)
//!    Source { files: [a] }                                      Source { files: [a, c],
//!                                                                        given: c is root of 1 }
//! ```
//!
//! Not here: finding the definitions around a component (`helve_decode::origin`).

use crate::component::component::{Component, options};
use crate::component::link::check_module_type;
use crate::core::Module;
use helve_base::{Bug, EntityRef, Error, Result, error::Context};
use helve_compile::Bytes;
use helve_decode::origin::{Given, Level, Origin};
use helve_decode::plan::*;
use std::sync::{Mutex, PoisonError};

/// What a component was made from.
#[derive(Clone)]
pub(crate) struct Source {
    /// The bytes of every component that took part; their modules are the component's, in
    /// this order.
    files: Vec<Bytes>,
    /// Where the component stands in them.
    origin: Origin,
    /// What its component imports are.
    given: Vec<(ImportPath, Given)>,
    /// Core modules that instances were given which export the component or one of those.
    captured: Vec<Module>,
}

impl Source {
    /// A component that is all of one file.
    pub fn file(bytes: Bytes) -> Source {
        Source {
            files: vec![bytes],
            origin: Origin::default(),
            given: Vec::new(),
            captured: Vec::new(),
        }
    }

    /// The bytes, if the component is all of one file.
    pub fn whole(&self) -> Option<&Bytes> {
        match self.files.as_slice() {
            [one] if self.origin.levels.is_empty() => Some(one),
            _ => None,
        }
    }

    /// A captured module.
    pub fn captured(&self, number: usize) -> Option<&Module> {
        self.captured.get(number)
    }
}

/// Components that were made with others, the latest last: a linker instantiates the same
/// pair again and again.
#[derive(Default)]
pub(crate) struct Made(Mutex<Vec<(Vec<Component>, Component)>>);

/// How many of them are kept.
const MOST_MADE: usize = 4;

impl Made {
    fn find(&self, with: &[Component]) -> Option<Component> {
        let made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = made.iter().find(|(given, _)| {
            given.len() == with.len() && given.iter().zip(with).all(|(a, b)| a.is_same(b))
        });
        found.map(|(_, component)| component.clone())
    }

    fn keep(&self, with: Vec<Component>, component: &Component) {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if made.len() >= MOST_MADE {
            made.remove(0);
        }
        made.push((with, component.clone()));
    }
}

impl Component {
    /// This component with its component imports given.
    pub(crate) fn with_components(&self, given: Vec<(ImportPath, Component)>) -> Result<Component> {
        let with: Vec<Component> = given.iter().map(|(_, given)| given.clone()).collect();
        if let Some(made) = self.made().find(&with) {
            return Ok(made);
        }
        let mut source = self.source().clone();
        let mut modules: Vec<Module> = self.modules().values().cloned().collect();
        for (path, component) in given {
            let other = component.source();
            let origin = other
                .origin
                .moved(source.files.len(), source.captured.len());
            source.files.extend(other.files.iter().cloned());
            source.captured.extend(other.captured.iter().cloned());
            modules.extend(component.modules().values().cloned());
            source.given.push((path, Given::Component(origin)));
        }
        let made = self.remade(source, modules)?;
        if !with.iter().any(|given| given.is_same(self)) {
            self.made().keep(with, &made);
        }
        Ok(made)
    }

    /// The component that an instance of this one, which was given `modules`, exports.
    pub(crate) fn exported(
        &self,
        export: ImportPath,
        imported: impl Iterator<Item = (ImportPath, Module)>,
    ) -> Result<Component> {
        let mut source = self.source().clone();
        let mut given = std::mem::take(&mut source.given);
        for (path, module) in imported {
            given.push((path, Given::Module(source.captured.len())));
            source.captured.push(module);
        }
        source.origin.levels.push(Level { given, export });
        self.remade(source, self.modules().values().cloned().collect())
    }

    fn remade(&self, source: Source, modules: Vec<Module>) -> Result<Component> {
        let files: Vec<&[u8]> = source.files.iter().map(|bytes| &**bytes).collect();
        let options = options(self.engine());
        let plan = helve_decode::decode_linked(&files, &source.origin, &source.given, &options)?;
        if plan.modules.len() != modules.len() {
            return Err(Error::new(Bug(
                "as many modules as before were expected".into()
            )));
        }
        for check in &plan.module_checks {
            let found = match &check.module {
                GivenModule::Typed(found) => check_module_type(&check.ty, &**found),
                GivenModule::Static(id) => match modules.get(id.index()) {
                    Some(module) => check_module_type(&check.ty, module),
                    None => Err(Error::new(Bug("a module that is not there".into()))),
                },
            };
            found.with_context(|| format!("core module `{}`", check.path))?;
        }
        let modules = modules.into_iter().collect();
        Component::from_parts(self.engine(), source, plan, modules, None)
    }
}
