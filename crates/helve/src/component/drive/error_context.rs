//! Error contexts as values: a message on its way from one table to another.
//!
//! Guests can't compare error contexts, so what crosses is the message; the one who gets
//! it gets a context of its own. Not here: tables and counts (`helve_model`).

use super::refused;
use crate::component::state::InstanceData;
use helve_base::{Bug, Error, Result};
use helve_decode::plan::ComponentInstanceId;
use helve_model::Tables;
use std::sync::Arc;

/// An `error-context`: why something failed, for people to read.
///
/// ```
/// use helve::component::ErrorContext;
/// let context = ErrorContext::new("the disk is full");
/// assert_eq!(context.debug_message(), "the disk is full");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorContext {
    message: Arc<str>,
}

impl ErrorContext {
    /// One with this message.
    pub fn new(message: impl Into<Arc<str>>) -> ErrorContext {
        ErrorContext {
            message: message.into(),
        }
    }

    /// The message.
    pub fn debug_message(&self) -> &str {
        &self.message
    }

    /// The one at an index of a guest's table, where it stays.
    pub(crate) fn lift(
        instance: &InstanceData,
        part: ComponentInstanceId,
        index: u32,
    ) -> Result<ErrorContext> {
        let mut state = instance.shared().drive.0.borrow_mut();
        let id = state.id(instance, part)?;
        let model = &mut state.model;
        let found = model.tables.with(id, |table| table.context(index));
        let found = found.ok_or_else(no_table)?;
        let refused = |error: helve_model::HandleError| refused(instance, part, error.into());
        let message = model.arena.context_message(found.map_err(refused)?);
        Ok(ErrorContext::new(message.map_err(refused)?))
    }

    /// A handle of a guest's to it.
    pub(crate) fn lower(&self, instance: &InstanceData, part: ComponentInstanceId) -> Result<u32> {
        let mut state = instance.shared().drive.0.borrow_mut();
        let id = state.id(instance, part)?;
        let model = &mut state.model;
        let refused = |error: helve_model::HandleError| refused(instance, part, error.into());
        let context = model.arena.context_new(&self.message).map_err(refused)?;
        let index = model.tables.with(id, |table| table.context_insert(context));
        index.ok_or_else(no_table)?.map_err(refused)
    }
}

fn no_table() -> Error {
    Error::new(Bug("an instance without a table".into()))
}
