//! Compiled modules as parts of an artifact, and back.
//!
//! What an artifact must have in common with the engine that loads it is the engine's
//! *fingerprint*. Not here: the file's layout (`helve_compile::artifact_file`), whole
//! components (`component::artifact`).
//!
//! # Safety
//!
//! Code out of an artifact is published as it stands: whoever loads one vouches for it.

use crate::core::engine::Engine;
use crate::core::module::{Module, ModuleCode, ModuleImage, ModuleMemory};
use helve_base::{Bug, Error, Result};
use helve_compile::Translation;
use helve_compile::artifact_file::{Artifact, ArtifactBuilder};
use std::sync::Arc;

impl Engine {
    /// What decides whether this engine can run code that another one compiled: the build
    /// of Helve, the machine, the settings.
    pub(crate) fn fingerprint(&self) -> String {
        format!(
            "helve {}, build {}\n{}\n{:?}\n",
            env!("CARGO_PKG_VERSION"),
            env!("HELVE_BUILD"),
            self.compiler().description(),
            self.config().features,
        )
    }
}

impl Module {
    /// Adds the module to an artifact, under this number.
    pub(crate) fn add_to(&self, artifact: &mut ArtifactBuilder, number: u32) -> Result<()> {
        let code = match &self.inner().code {
            ModuleMemory::Image(code) => code,
            ModuleMemory::Lazy(lazy) => {
                let all = self
                    .engine()
                    .compiler()
                    .compile_module(lazy.translation())?;
                let locations = all.locations.into();
                let (traps, handlers) = (&all.traps, &all.handlers);
                artifact.module(
                    number,
                    &all.image,
                    &all.functions,
                    traps,
                    handlers,
                    &locations,
                );
                return Ok(());
            }
        };
        let Some(known) = code.tag().downcast_ref::<ModuleCode>() else {
            return Err(Error::new(Bug("a module's code without its tag".into())));
        };
        artifact.module(
            number,
            code.bytes(),
            &known.functions,
            code.traps(),
            code.handlers(),
            &known.locations,
        );
        Ok(())
    }

    /// The module under this number in an artifact. Its wasm bytes start at `start` of
    /// `bytes`, and have been read again.
    ///
    /// # Safety
    ///
    /// The artifact is what a builder made with [`Module::add_to`] for these bytes.
    pub(crate) unsafe fn from_artifact(
        engine: &Engine,
        artifact: &Artifact,
        number: u32,
        translation: &Translation,
        bytes: &Arc<[u8]>,
        start: usize,
    ) -> Result<Module> {
        let stored = artifact.module(number)?;
        let info = translation.module().clone();
        if stored.functions.len() != info.defined_funcs() {
            return Err(Error::msg("compiled code of another module"));
        }
        let image = ModuleImage {
            image: &stored.code,
            functions: stored.functions,
            traps: stored.traps,
            handlers: stored.handlers,
            locations: stored.locations,
        };
        Module::publish(engine, info, bytes.clone(), start, image)
    }
}
