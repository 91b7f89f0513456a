//! What all stores share: the compiler, the settings, function types and trampolines.
//!
//! Trampolines (host to wasm and wasm to host) depend on a function type only, so each
//! is compiled once, when first asked for, and kept for the engine's life.

use crate::core::config::Config;
use crate::core::types::TypeRegistry;
use helve_base::Result;
use helve_base::limits::Limits;
use std::sync::Arc;

/// The compiler and everything else that stores and threads share. Cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    config: Config,
    types: TypeRegistry,
}

impl Engine {
    /// An engine with these settings.
    pub fn new(config: &Config) -> Result<Engine> {
        Ok(Engine(Arc::new(Inner { config: config.clone(), types: TypeRegistry::default() })))
    }

    /// Whether both are the same engine. Modules, components and stores only go
    /// together within one.
    pub fn same(a: &Engine, b: &Engine) -> bool {
        Arc::ptr_eq(&a.0, &b.0)
    }

    /// The settings it was made with.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.config.limits
    }

    pub(crate) fn types(&self) -> &TypeRegistry {
        &self.0.types
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("config", &self.0.config).finish_non_exhaustive()
    }
}
