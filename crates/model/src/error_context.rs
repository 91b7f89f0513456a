//! Error contexts: messages that components pass on, counted by how many handles there
//! are to each.

use crate::error::HandleError;
use crate::handles::{Kind, Slot, Storage, Table, TypeId};
use crate::waitable::{Arena, ContextId};
use alloc::boxed::Box;

/// An error context.
#[derive(Clone, Debug)]
pub(crate) struct ErrorContext {
    message: Box<str>,
    /// Handles in all tables, and holders outside of them.
    holders: u32,
}

const GONE: HandleError = HandleError::Misuse {
    what: "error context",
};

impl Arena {
    /// An error context that the caller holds.
    ///
    /// # Errors
    ///
    /// Where there is no such one, or it is in no state for that; nothing has changed then.
    pub fn context_new(&mut self, message: &str) -> Result<ContextId, HandleError> {
        let context = ErrorContext {
            message: message.into(),
            holders: 1,
        };
        self.contexts.insert(context).map(ContextId)
    }

    /// Its message.
    ///
    /// # Errors
    ///
    /// Where there is no such one, or it is in no state for that; nothing has changed then.
    pub fn context_message(&self, id: ContextId) -> Result<&str, HandleError> {
        Ok(&self.contexts.get(id.0).ok_or(GONE)?.message)
    }

    fn context_hold(&mut self, id: ContextId) -> Result<(), HandleError> {
        let context = self.contexts.get_mut(id.0).ok_or(GONE)?;
        let more = context.holders.checked_add(1);
        context.holders = more.ok_or(HandleError::TooMany {
            what: "error context handles",
        })?;
        Ok(())
    }

    /// The caller holds it no more.
    ///
    /// # Errors
    ///
    /// Where there is no such one, or it is in no state for that; nothing has changed then.
    pub fn context_release(&mut self, id: ContextId) -> Result<(), HandleError> {
        let context = self.contexts.get_mut(id.0).ok_or(GONE)?;
        context.holders -= 1;
        if context.holders == 0 {
            self.contexts.remove(id.0);
        }
        Ok(())
    }
}

impl<S: Storage> Table<S> {
    /// A handle to an error context, of which the caller gives its hold.
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    pub fn context_insert(&mut self, id: ContextId) -> Result<u32, HandleError> {
        self.insert(Slot::new(Kind::ErrorContext, TypeId::NONE, id.0))
    }

    /// The error context at `index`, without a hold.
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    pub fn context(&self, index: u32) -> Result<ContextId, HandleError> {
        Ok(ContextId(
            self.expect(index, Kind::ErrorContext, TypeId::NONE)?.rep(),
        ))
    }

    /// The error context at `index` passes the border: it stays here, and the caller has
    /// a hold of it too.
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    pub fn context_lift(&self, arena: &mut Arena, index: u32) -> Result<ContextId, HandleError> {
        let id = self.context(index)?;
        arena.context_hold(id)?;
        Ok(id)
    }

    /// `error-context.drop`.
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    pub fn context_drop(&mut self, arena: &mut Arena, index: u32) -> Result<(), HandleError> {
        let id = self.context(index)?;
        arena.context_release(id)?;
        self.free(index);
        Ok(())
    }
}
