//! Compiled components as bytes: made by one process, run by another.
//!
//! ```text
//!  Component --serialize--> bytes --deserialize--> Component
//!                             |  the component as it was (decoded again: the plan)
//!                             |  each module's code, tables of traps and of locations
//!                             |  the adapters' code
//! ```
//!
//! Nothing is compiled and no function body is validated when they come back. What does
//! not come from exactly this build, this kind of machine and these settings is refused,
//! and so is what has been changed since, by accident.
//!
//! Not here: the layout (`helve_compile::artifact_file`), single modules
//! (`core::artifact`).
//!
//! # Safety
//!
//! Machine code can do anything. Whoever loads it vouches for where it comes from; no
//! check of ours stops a forger.

use crate::component::component::{Component, decode};
use crate::component::linked::Source;
use crate::core::Module;
use crate::core::engine::Engine;
use helve_base::{Bug, Error, PrimaryMap, Result, error::Context};
use helve_compile::artifact_file::{Artifact, ArtifactBuilder, ArtifactError, Locations, Part};
use helve_compile::{Bytes, FunctionRange, Translation, translate_validated};
use helve_decode::plan::{Plan, StaticModuleId};
use rayon::prelude::*;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// The number of the module that the adapters are.
const ADAPTERS: u32 = u32::MAX;

impl Component {
    /// The compiled component as bytes, for [`Component::deserialize`].
    ///
    /// They serve this build of Helve, on machines whose CPUs have the same features, with
    /// the same settings. The wasm they were made from is in them.
    ///
    /// # Errors
    ///
    /// Where an instance exports it: serialize the component that it is a part of.
    pub fn serialize(&self) -> Result<Vec<u8>> {
        let source = self.source().whole().ok_or_else(|| {
            Error::msg("an instance exports this component: serialize the one that it is a part of")
        })?;
        let mut artifact = ArtifactBuilder::new();
        artifact.part(Part::Source, 0, source.to_vec());
        for (id, module) in self.modules().iter() {
            module.add_to(&mut artifact, id.as_u32())?;
        }
        if let Some(code) = self.fused().code() {
            let range = |&(start, len): &(u32, u32)| FunctionRange { start, len };
            let functions: PrimaryMap<_, _> = code.functions().iter().map(range).collect();
            artifact.module(
                ADAPTERS,
                code.bytes(),
                &functions,
                code.traps(),
                code.handlers(),
                &Locations::default(),
            );
        }
        Ok(artifact.finish(&self.engine().fingerprint()))
    }

    /// Whether bytes start as [`Component::serialize`] makes them: then they are no wasm.
    pub fn is_serialized(bytes: &[u8]) -> bool {
        Artifact::looks_like(bytes)
    }

    /// The component whose [`Component::serialize`] made `bytes`.
    ///
    /// # Errors
    ///
    /// Where bytes are missing or have changed, or another build of Helve, another kind of
    /// machine or an engine with other settings made them.
    ///
    /// # Safety
    ///
    /// The bytes are what `serialize` made: they hold machine code, which runs with all
    /// the rights of the process. A hash finds accidents; it doesn't stop anyone who means
    /// harm, so the bytes must come from where nobody else can write.
    pub unsafe fn deserialize(engine: &Engine, bytes: &[u8]) -> Result<Component> {
        // SAFETY: the caller vouches for the bytes.
        unsafe { load(engine, bytes.into()) }
    }

    /// As [`Component::deserialize`], out of a file.
    ///
    /// # Safety
    ///
    /// As there. The file may change once this has returned.
    pub unsafe fn deserialize_file(engine: &Engine, path: impl AsRef<Path>) -> Result<Component> {
        let path = path.as_ref();
        let bytes = read(path).with_context(|| format!("reading {}", path.display()))?;
        // SAFETY: the caller vouches for the file.
        let component = unsafe { load(engine, bytes) };
        component.with_context(|| format!("loading {}", path.display()))
    }

    /// As [`Component::deserialize_file`], for programs without unsafe code that are told
    /// by a person which file to run.
    ///
    /// # Trust
    ///
    /// To call this is to vouch for the file, as one does for a program that one starts or
    /// a library that one links: see the safety section of [`Component::deserialize`].
    /// Never call it with a file from somewhere else.
    pub fn from_trusted_file(engine: &Engine, path: impl AsRef<Path>) -> Result<Component> {
        // SAFETY: the caller vouches for the file, as this function's documentation asks.
        unsafe { Component::deserialize_file(engine, path) }
    }
}

/// A file's bytes, read to where they stay, by all cores.
pub(super) fn read(path: &Path) -> Result<Arc<[u8]>> {
    let file = std::fs::File::open(path)?;
    let len = usize::try_from(file.metadata()?.len())?;
    // SAFETY: zeros are bytes.
    let mut bytes: Arc<[u8]> = unsafe { Arc::new_zeroed_slice(len).assume_init() };
    let Some(room) = Arc::get_mut(&mut bytes) else {
        return Err(Error::new(Bug("bytes that are shared already".into())));
    };
    helve_vm::pages::prefer_large(room);
    let chunks = room.par_chunks_mut(READ_AT_ONCE).enumerate();
    chunks.try_for_each(|(i, chunk)| file.read_exact_at(chunk, (i * READ_AT_ONCE) as u64))?;
    Ok(bytes)
}

/// Bytes that one thread reads at once.
const READ_AT_ONCE: usize = 2 << 20;

/// # Safety
///
/// As [`Component::deserialize`].
unsafe fn load(engine: &Engine, bytes: Arc<[u8]>) -> Result<Component> {
    let artifact = Artifact::unverified(Bytes::from(&bytes))?;
    let fingerprint = engine.fingerprint();
    // Decoding can't be harmed by what is in a damaged file: both at the same time.
    let (verified, decoded) = rayon::join(
        || {
            artifact
                .verify()
                .and_then(|()| artifact.made_for(&fingerprint))
        },
        || Decoded::new(engine, &artifact, &bytes),
    );
    verified?;
    let decoded = decoded?;
    let modules: Vec<Module> = decoded
        .modules
        .par_iter()
        .map(|(id, start, translation)| {
            let number = id.as_u32();
            // SAFETY: the caller vouches for the artifact, whose source was decoded.
            unsafe { Module::from_artifact(engine, &artifact, number, translation, &bytes, *start) }
        })
        .collect::<Result<_>>()?;
    let adapters = match artifact.find(Part::Code, ADAPTERS) {
        Some(_) => Some(artifact.module(ADAPTERS)?),
        None => None,
    };
    let modules = modules.into_iter().collect();
    let source = Source::file(decoded.source);
    Component::from_parts(engine, source, decoded.plan, modules, adapters)
}

/// The component that an artifact was made from, read again.
struct Decoded {
    source: Bytes,
    plan: Plan,
    /// Each module, with where it starts in the artifact.
    modules: Vec<(StaticModuleId, usize, Translation)>,
}

impl Decoded {
    fn new(engine: &Engine, artifact: &Artifact, bytes: &Arc<[u8]>) -> Result<Decoded> {
        let place = artifact.find(Part::Source, 0);
        let place = place.ok_or(ArtifactError::Malformed("no source"))?;
        let source = Bytes::from(bytes).slice(place.clone());
        let source = source.ok_or(ArtifactError::Malformed("no source"))?;
        let plan = decode(engine, &source)?;
        let ranges: Vec<_> = plan
            .modules
            .iter()
            .map(|(id, module)| (id, module.range.clone()))
            .collect();
        let read = |(id, range): (StaticModuleId, Range<usize>)| {
            let start = place.start.saturating_add(range.start);
            let module = source.slice(range);
            let module = module.ok_or(ArtifactError::Malformed("a module outside of it"))?;
            let translation = translate_validated(module, engine.config().features)?;
            Ok((id, start, translation))
        };
        let modules = ranges.into_par_iter().map(read).collect::<Result<_>>()?;
        Ok(Decoded {
            source,
            plan,
            modules,
        })
    }
}
