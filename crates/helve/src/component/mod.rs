//! The Component Model: components, their linker, instances, functions and values.

pub(crate) mod store;
