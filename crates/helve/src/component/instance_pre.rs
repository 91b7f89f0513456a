//! A component that is linked, but in no store yet.
//!
//! Not here: matching imports (`link`), making instances (`instance`).

use crate::component::component::Component;
use crate::component::instance::Instance;
use crate::component::link::Bindings;
use crate::core::context::AsContextMut;
use crate::core::engine::Engine;
use helve_base::{Result, ensure};
use std::marker::PhantomData;
use std::sync::Arc;

/// A component with its imports bound, ready to be instantiated in any number of stores.
/// Cheap to clone.
///
/// ```
/// use helve::component::{Component, Linker};
/// use helve::{Config, Engine, Store};
///
/// let engine = Engine::new(&Config::new())?;
/// let component = Component::new(&engine, "(component)")?;
/// let pre = Linker::<u32>::new(&engine).instantiate_pre(&component)?;
/// for request in 0..3 {
///     let mut store = Store::new(&engine, request);
///     let instance = pre.instantiate(&mut store)?;
/// }
/// # Ok::<(), helve::Error>(())
/// ```
pub struct InstancePre<T: 'static>(Arc<Linked<T>>);

struct Linked<T> {
    component: Component,
    bindings: Bindings,
    data: PhantomData<fn(T)>,
}

impl<T: 'static> Clone for InstancePre<T> {
    fn clone(&self) -> Self {
        InstancePre(self.0.clone())
    }
}

impl<T: 'static> InstancePre<T> {
    pub(crate) fn new(component: &Component, bindings: Bindings) -> InstancePre<T> {
        InstancePre(Arc::new(Linked {
            component: component.clone(),
            bindings,
            data: PhantomData,
        }))
    }

    /// Makes an instance, as [`Linker::instantiate`](crate::component::Linker::instantiate) does.
    ///
    /// # Errors
    ///
    /// Those of [`Linker::instantiate`](crate::component::Linker::instantiate).
    pub fn instantiate(&self, mut store: impl AsContextMut<Data = T>) -> Result<Instance> {
        let mut store = store.as_context_mut();
        ensure!(
            Engine::same(store.engine(), self.engine()),
            "the store was made with another engine than the component: use one engine for both"
        );
        Instance::new(&mut store, &self.0.component, &self.0.bindings)
    }

    /// As [`InstancePre::instantiate`], in a future, as embedders have it whose calls are
    /// async. A start function runs to its end at once: one that has to wait is an error.
    pub async fn instantiate_async(&self, store: impl AsContextMut<Data = T>) -> Result<Instance> {
        self.instantiate(store)
    }

    /// The component.
    pub fn component(&self) -> &Component {
        &self.0.component
    }

    /// The engine it was made for.
    pub fn engine(&self) -> &Engine {
        self.0.component.engine()
    }
}

impl<T: 'static> std::fmt::Debug for InstancePre<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InstancePre")
            .field("component", &self.0.component)
            .finish_non_exhaustive()
    }
}
