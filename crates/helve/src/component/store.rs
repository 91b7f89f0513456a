//! What components keep in a store.

/// Per-store state of the component half.
#[derive(Debug, Default)]
pub(crate) struct ComponentStore {}
