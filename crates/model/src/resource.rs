//! Resources: handles that own or borrow, loans, and the scopes borrows end with.
//!
//! ```text
//!  caller's table              the call                    callee's table
//!  own or borrow  --- lend --> Loans [index, ..]
//!  (lends + 1)                 the resource's rep -------> borrow, of a scope
//!                                                          (the scope counts it)
//!       <------- end_loans --- the call returns:
//!                              Scopes::end refuses while the count is not 0
//! ```
//!
//! A handle with loans outstanding can neither be dropped nor given away, so a loan's
//! index means the same handle until the loan ends. Where the callee defines the
//! resource type, it gets the rep itself and no handle. Not here: running destructors;
//! [`Table::drop_resource`] says when one is due.

use crate::error::{Found, HandleError};
use crate::handles::{Kind, Slot, Storage, Table, TypeId};
use crate::layout::UNCOUNTED_SCOPE;
use alloc::vec::Vec;
use core::num::NonZeroU32;

/// What a handle that was dropped leaves to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The resource itself is no more: run its destructor on this representation.
    Own {
        /// The representation.
        rep: u32,
    },
    /// It was only borrowed: nothing is to be done.
    Borrow,
}

/// A resource that a call has the loan of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lent {
    /// The representation.
    pub rep: u32,
    /// Whether the lender owns it, or has borrowed it itself.
    pub own: bool,
}

/// The indices a call has loans of, in the table of the caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loans {
    /// The first, which most calls have no second beside; 0 where there are none.
    first: u32,
    more: Vec<u32>,
}

impl Loans {
    /// None.
    pub const fn new() -> Loans {
        Loans {
            first: 0,
            more: Vec::new(),
        }
    }

    /// Whether there are none.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.first == 0
    }

    /// The indices, one for each loan.
    pub fn indices(&self) -> impl Iterator<Item = u32> + '_ {
        let first = (self.first != 0).then_some(self.first);
        first.into_iter().chain(self.more.iter().copied())
    }

    /// The index of the only loan, if there is just one.
    #[inline]
    pub fn only(&self) -> Option<u32> {
        (self.first != 0 && self.more.is_empty()).then_some(self.first)
    }

    /// One more: of a handle that whoever keeps the slots has lent already.
    ///
    /// # Errors
    ///
    /// Where there is no room for one more, or no such one; nothing has changed then.
    #[inline]
    pub fn add(&mut self, index: u32) -> Result<(), HandleError> {
        if self.first == 0 {
            self.first = index;
            return Ok(());
        }
        let room = self.more.try_reserve(1);
        room.map_err(|_| HandleError::OutOfMemory)?;
        self.more.push(index);
        Ok(())
    }

    /// The only loan has ended.
    #[inline]
    pub fn end_only(&mut self) {
        self.first = 0;
    }
}

/// What borrowed handles end with: one for each task that was lent something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ScopeId(NonZeroU32);

impl ScopeId {
    /// As the number in a slot or hot block; never 0.
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// From such a number.
    pub const fn new(number: u32) -> Option<ScopeId> {
        match NonZeroU32::new(number) {
            Some(number) => Some(ScopeId(number)),
            None => None,
        }
    }
}

/// The borrow scopes of a store, each with the number of its borrowed handles.
#[derive(Clone, Debug, Default)]
pub struct Scopes {
    /// Of scope n at n - 1: how many borrows, or `None` when free.
    counts: Vec<Option<u32>>,
    free: Vec<u32>,
}

impl Scopes {
    /// None.
    pub const fn new() -> Scopes {
        Scopes {
            counts: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Opens a scope.
    ///
    /// # Errors
    ///
    /// Where there is no room for one more, or no such one; nothing has changed then.
    pub fn begin(&mut self) -> Result<ScopeId, HandleError> {
        if let Some(number) = self.free.pop() {
            let id = ScopeId::new(number).ok_or(HandleError::Misuse {
                what: "borrow scope",
            })?;
            if let Some(count) = self.counts.get_mut(number as usize - 1) {
                *count = Some(0);
            }
            return Ok(id);
        }
        let number = u32::try_from(self.counts.len() + 1);
        let number = number.ok().filter(|number| *number < UNCOUNTED_SCOPE);
        let number = number.ok_or(HandleError::TooMany {
            what: "borrow scopes",
        })?;
        self.counts.push(Some(0));
        ScopeId::new(number).ok_or(HandleError::Misuse {
            what: "borrow scope",
        })
    }

    /// How many borrowed handles it has.
    ///
    /// # Errors
    ///
    /// Where there is no room for one more, or no such one; nothing has changed then.
    pub fn borrows(&self, id: ScopeId) -> Result<u32, HandleError> {
        let count = self.counts.get(id.get() as usize - 1).copied().flatten();
        count.ok_or(HandleError::Misuse {
            what: "borrow scope",
        })
    }

    /// Fails while borrowed handles remain: the check that a task's return makes.
    ///
    /// # Errors
    ///
    /// Where there is no room for one more, or no such one; nothing has changed then.
    pub fn check(&self, id: ScopeId) -> Result<(), HandleError> {
        match self.borrows(id)? {
            0 => Ok(()),
            count => Err(HandleError::BorrowsRemain { count }),
        }
    }

    /// Closes a scope; refused while borrowed handles remain.
    ///
    /// # Errors
    ///
    /// Where there is no room for one more, or no such one; nothing has changed then.
    pub fn end(&mut self, id: ScopeId) -> Result<(), HandleError> {
        self.check(id)?;
        self.discard(id);
        Ok(())
    }

    /// Closes a scope whatever remains: its task's instance is gone.
    pub fn discard(&mut self, id: ScopeId) {
        if let Some(count @ Some(_)) = self.counts.get_mut(id.get() as usize - 1) {
            *count = None;
            self.free.push(id.get());
        }
    }

    fn change(&mut self, id: ScopeId, to: u32) {
        if let Some(Some(count)) = self.counts.get_mut(id.get() as usize - 1) {
            *count = to;
        }
    }
}

impl<S: Storage> Table<S> {
    /// `resource.new`, or an owned resource that arrives: a handle that owns it.
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    pub fn new_own(&mut self, ty: TypeId, rep: u32) -> Result<u32, HandleError> {
        self.insert(Slot::new(Kind::Own, ty, rep))
    }

    /// [`Table::new_own`] for each of `reps`, one after the other: `give` gets their indices.
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    #[inline]
    pub fn new_owns(
        &mut self,
        ty: TypeId,
        reps: &[u32],
        mut give: impl FnMut(u32),
    ) -> Result<(), HandleError> {
        let mut header = self.storage().header();
        for &rep in reps {
            let index = header.free;
            if index == 0 {
                self.storage_mut().set_header(header);
                give(self.new_own(ty, rep)?);
                header = self.storage().header();
                continue;
            }
            header.free = self.storage().get(index).rep;
            self.storage_mut().set(index, Slot::new(Kind::Own, ty, rep));
            give(index);
        }
        self.storage_mut().set_header(header);
        Ok(())
    }

    /// A resource that a call lends to this instance: a handle that `scope` counts.
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    pub fn new_borrow(
        &mut self,
        scopes: &mut Scopes,
        ty: TypeId,
        rep: u32,
        scope: ScopeId,
    ) -> Result<u32, HandleError> {
        let count = scopes.borrows(scope)?;
        let more = count.checked_add(1).ok_or(HandleError::TooMany {
            what: "borrowed handles",
        })?;
        let slot = Slot {
            scope: scope.get(),
            ..Slot::new(Kind::Borrow, ty, rep)
        };
        let index = self.insert(slot)?;
        scopes.change(scope, more);
        Ok(index)
    }

    /// A resource of this type, owned or borrowed.
    fn resource(&self, index: u32, ty: TypeId) -> Result<Slot, HandleError> {
        let slot = self.get(index)?;
        if !slot.kind().is_resource() || slot.ty() != ty {
            let expected = Found {
                kind: Kind::Own,
                ty,
            };
            return Err(HandleError::Wrong {
                index,
                expected,
                found: slot.found(),
            });
        }
        Ok(slot)
    }

    /// A resource of this type that is not lent out.
    fn unlent(&self, index: u32, ty: TypeId) -> Result<Slot, HandleError> {
        let slot = self.resource(index, ty)?;
        if slot.lends != 0 {
            let own = slot.kind() == Kind::Own;
            return Err(HandleError::Lent {
                index,
                lends: slot.lends,
                own,
            });
        }
        Ok(slot)
    }

    /// `resource.rep`: what an owned or borrowed handle stands for.
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    pub fn rep(&self, index: u32, ty: TypeId) -> Result<u32, HandleError> {
        Ok(self.resource(index, ty)?.rep)
    }

    /// Gives an owned resource away: the handle is gone, the representation remains.
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    pub fn take_own(&mut self, index: u32, ty: TypeId) -> Result<u32, HandleError> {
        let slot = self.unlent(index, ty)?;
        if slot.kind() != Kind::Own {
            return Err(HandleError::NotOwned { index });
        }
        self.free(index);
        Ok(slot.rep)
    }

    /// [`Table::take_own`] of many, one after the other, up to the first that can't be taken:
    /// their representations are added to `reps`.
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    #[inline]
    pub fn take_owns(
        &mut self,
        ty: TypeId,
        indices: impl ExactSizeIterator<Item = u32>,
        reps: &mut Vec<u32>,
    ) -> Result<(), HandleError> {
        let mut header = self.storage().header();
        // There are no more to take, however often a guest names them.
        let most = indices.len().min(header.len as usize);
        let room = reps.try_reserve(most);
        room.map_err(|_| HandleError::OutOfMemory)?;
        let tag = crate::layout::resource_tag(ty);
        for index in indices {
            let slot = match index < header.len {
                true => self.storage().get(index),
                false => Slot::default(),
            };
            if slot.tag != tag || slot.lends != 0 {
                self.storage_mut().set_header(header);
                return self.take_own(index, ty).map(|rep| reps.push(rep));
            }
            let free = Slot {
                rep: header.free,
                ..Slot::default()
            };
            self.storage_mut().set(index, free);
            header.free = index;
            reps.push(slot.rep);
        }
        self.storage_mut().set_header(header);
        Ok(())
    }

    /// `resource.drop`: the handle is gone; the result says what is left to do.
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    pub fn drop_resource(
        &mut self,
        scopes: &mut Scopes,
        index: u32,
        ty: TypeId,
    ) -> Result<Dropped, HandleError> {
        let slot = self.unlent(index, ty)?;
        if slot.kind() == Kind::Own {
            self.free(index);
            return Ok(Dropped::Own { rep: slot.rep });
        }
        if slot.scope & UNCOUNTED_SCOPE != 0 {
            self.free(index);
            return Ok(Dropped::Borrow);
        }
        let gone = HandleError::Misuse {
            what: "borrow scope",
        };
        let scope = ScopeId::new(slot.scope).ok_or(gone)?;
        let fewer = scopes.borrows(scope)?.checked_sub(1).ok_or(gone)?;
        scopes.change(scope, fewer);
        self.free(index);
        Ok(Dropped::Borrow)
    }

    /// Lends a resource, owned or borrowed, for as long as the call of `loans` lasts.
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    pub fn lend(&mut self, loans: &mut Loans, index: u32, ty: TypeId) -> Result<Lent, HandleError> {
        let mut slot = self.resource(index, ty)?;
        slot.lends = slot
            .lends
            .checked_add(1)
            .ok_or(HandleError::TooMany { what: "loans" })?;
        loans.add(index)?;
        self.update(index, slot);
        Ok(Lent {
            rep: slot.rep,
            own: slot.kind() == Kind::Own,
        })
    }

    /// Ends the loans of a call; `loans` is empty afterwards.
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    pub fn end_loans(&mut self, loans: &mut Loans) -> Result<(), HandleError> {
        // A lent handle stays where it is, so these are what they were when lent.
        let first = core::mem::take(&mut loans.first);
        let first = (first != 0).then_some(first);
        for index in first.into_iter().chain(loans.more.drain(..)) {
            let mut slot = self.get(index)?;
            let ended = slot
                .lends
                .checked_sub(1)
                .filter(|_| slot.kind().is_resource());
            slot.lends = ended.ok_or(HandleError::Misuse { what: "loan" })?;
            self.update(index, slot);
        }
        Ok(())
    }
}
