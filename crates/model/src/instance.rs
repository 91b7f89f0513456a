//! Component instances: who may be entered and left, and who is held back.
//!
//! ```text
//!     root                 a call from D to B enters B, and A (which D is not inside
//!     |-- A                of), but not the root, which D is inside of:
//!     |   |-- B            entering_set = {B, A, root} - {D, C, root}
//!     |-- C
//!         |-- D            Every instance in it must be enterable, and none of them is
//!                          until the call leaves them again.
//! ```
//!
//! The flags can live in memory that compiled code shares ([`FlagStorage`]). A trap
//! locks a whole root tree down, for good. Not here: tasks.

use crate::error::HandleError;
use alloc::vec::Vec;

/// A component instance of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceId(u32);

impl InstanceId {
    /// The one with this number; there can be no more than 2^32.
    pub(crate) fn from_number(number: usize) -> InstanceId {
        InstanceId(u32::try_from(number).unwrap_or(u32::MAX))
    }

    /// Its number, counted from 0 in the order of [`Instances::add`].
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// What changes about one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags {
    /// Whether it may call out: not from `realloc` and `post-return`.
    pub may_leave: bool,
    /// Whether it may be called: not while it is in a call already.
    pub may_enter: bool,
    /// Times `backpressure.inc` is ahead of `backpressure.dec`.
    pub backpressure: u32,
}

impl Default for Flags {
    fn default() -> Flags {
        Flags {
            may_leave: true,
            may_enter: true,
            backpressure: 0,
        }
    }
}

/// Where the flags of instances are.
pub trait FlagStorage {
    /// Those of an instance.
    fn get(&self, instance: InstanceId) -> Flags;
    /// Changes those of an instance.
    fn set(&mut self, instance: InstanceId, flags: Flags);
    /// Makes place for a new instance's flags, which are the default ones.
    fn add(&mut self, instance: InstanceId);
    /// One of them: [`Flags::may_enter`].
    #[inline]
    fn may_enter(&self, instance: InstanceId) -> bool {
        self.get(instance).may_enter
    }
    /// Changes it.
    #[inline]
    fn set_may_enter(&mut self, instance: InstanceId, may_enter: bool) {
        let flags = self.get(instance);
        self.set(instance, Flags { may_enter, ..flags });
    }
    /// One of them: [`Flags::may_leave`].
    #[inline]
    fn may_leave(&self, instance: InstanceId) -> bool {
        self.get(instance).may_leave
    }
    /// One of them: [`Flags::backpressure`].
    #[inline]
    fn backpressure(&self, instance: InstanceId) -> u32 {
        self.get(instance).backpressure
    }
    /// Calls of async functions that exclude others can start at once, or can't: for
    /// whoever calls such without asking, and makes that known later
    /// ([`Store::adopt`](crate::Store::adopt)).
    fn set_gate(&mut self, _: InstanceId, _shut: bool) {}
}

/// Flags in a `Vec`.
#[derive(Clone, Debug, Default)]
pub struct VecFlags(Vec<Flags>);

impl FlagStorage for VecFlags {
    fn get(&self, instance: InstanceId) -> Flags {
        self.0.get(instance.0 as usize).copied().unwrap_or_default()
    }

    fn set(&mut self, instance: InstanceId, flags: Flags) {
        if let Some(place) = self.0.get_mut(instance.0 as usize) {
            *place = flags;
        }
    }

    fn add(&mut self, _: InstanceId) {
        self.0.push(Flags::default());
    }
}

/// Why an instance cannot be entered, left or changed so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceError {
    /// It, or one it is inside of, is in a call already, or a trap locked its tree down.
    CannotEnter {
        /// The innermost such one.
        instance: InstanceId,
        /// Whether a trap is the reason.
        locked_down: bool,
    },
    /// It calls out where it may not.
    CannotLeave,
    /// `backpressure.inc` 2^16 times ahead.
    BackpressureOverflow,
    /// `backpressure.dec` without an `inc`.
    BackpressureUnderflow,
}

impl core::fmt::Display for InstanceError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            InstanceError::CannotEnter {
                locked_down: false, ..
            } => "cannot enter component instance",
            InstanceError::CannotEnter {
                locked_down: true, ..
            } => "cannot enter component instance: it, or one linked with it, has trapped before",
            InstanceError::CannotLeave => "cannot leave component instance",
            InstanceError::BackpressureOverflow => "backpressure counter overflow",
            InstanceError::BackpressureUnderflow => "backpressure counter underflow",
        })
    }
}

impl core::error::Error for InstanceError {}

/// What is fixed about one instance.
#[derive(Clone, Copy, Debug)]
struct Place {
    parent: Option<InstanceId>,
    root: InstanceId,
    /// How many it is inside of.
    depth: u32,
    /// Of a root: whether a trap locked its tree down.
    locked_down: bool,
}

/// The component instances of a store: a forest.
#[derive(Clone, Debug, Default)]
pub struct Instances<F = VecFlags> {
    places: Vec<Place>,
    flags: F,
}

impl<F: FlagStorage> Instances<F> {
    /// No instances.
    pub const fn with_flags(flags: F) -> Instances<F> {
        Instances {
            places: Vec::new(),
            flags,
        }
    }

    /// The flags, wherever they are.
    pub fn flags(&self) -> &F {
        &self.flags
    }

    /// The flags, to tell them where they are.
    pub fn flags_mut(&mut self) -> &mut F {
        &mut self.flags
    }

    /// A new instance, inside `parent` or a root.
    ///
    /// # Errors
    ///
    /// Where there is no room for one more, or no such parent.
    pub fn add(&mut self, parent: Option<InstanceId>) -> Result<InstanceId, HandleError> {
        let gone = HandleError::Misuse {
            what: "parent instance",
        };
        let id = u32::try_from(self.places.len()).map(InstanceId);
        let id = id.map_err(|_| HandleError::TooMany {
            what: "component instances",
        })?;
        let (root, depth) = match parent {
            None => (id, 0),
            Some(parent) => {
                let place = self.place(parent).ok_or(gone)?;
                (place.root, place.depth + 1)
            }
        };
        self.places.push(Place {
            parent,
            root,
            depth,
            locked_down: false,
        });
        self.flags.add(id);
        Ok(id)
    }

    /// It is as new, in its place.
    pub fn reset(&mut self, id: InstanceId) {
        if let Some(place) = self.places.get_mut(id.0 as usize) {
            place.locked_down = false;
        }
        self.flags.set(id, Flags::default());
    }

    #[inline]
    fn place(&self, id: InstanceId) -> Option<&Place> {
        self.places.get(id.0 as usize)
    }

    /// The instance it is directly inside of.
    pub fn parent(&self, id: InstanceId) -> Option<InstanceId> {
        self.place(id)?.parent
    }

    /// The outermost instance it is inside of, or itself.
    #[inline]
    pub fn root(&self, id: InstanceId) -> InstanceId {
        self.place(id).map_or(id, |place| place.root)
    }

    /// It and those it is inside of, outwards, up to (without) `end`.
    fn path(
        &self,
        id: InstanceId,
        end: Option<InstanceId>,
    ) -> impl Iterator<Item = InstanceId> + '_ {
        let mut next = Some(id);
        core::iter::from_fn(move || {
            let id = next.filter(|id| Some(*id) != end)?;
            next = self.parent(id);
            Some(id)
        })
    }

    /// Whether one of two instances is inside of the other, or they are one.
    pub fn related(&self, a: InstanceId, b: InstanceId) -> bool {
        self.common(a, b)
            .is_some_and(|common| common == a || common == b)
    }

    /// The innermost instance that both are inside of.
    #[inline]
    fn common(&self, a: InstanceId, b: InstanceId) -> Option<InstanceId> {
        let (mut a, mut b) = (a, b);
        if self.place(a)?.root != self.place(b)?.root {
            return None;
        }
        while a != b {
            let (depth_a, depth_b) = (self.place(a)?.depth, self.place(b)?.depth);
            if depth_a >= depth_b {
                a = self.parent(a)?;
            } else {
                b = self.parent(b)?;
            }
        }
        Some(a)
    }

    /// What a call from `caller` (`None`: the host) enters, from the callee outwards.
    fn entering(
        &self,
        callee: InstanceId,
        caller: Option<InstanceId>,
    ) -> impl Iterator<Item = InstanceId> + '_ {
        let end = caller.and_then(|caller| self.common(callee, caller));
        self.path(callee, end)
    }

    /// Whether a call from `caller` may enter `callee`.
    ///
    /// # Errors
    ///
    /// Where the spec traps; nothing has changed then.
    #[inline]
    pub fn check_enter(
        &self,
        callee: InstanceId,
        caller: Option<InstanceId>,
    ) -> Result<(), InstanceError> {
        if self.is_locked_down(callee) {
            return Err(InstanceError::CannotEnter {
                instance: callee,
                locked_down: true,
            });
        }
        match self
            .entering(callee, caller)
            .find(|id| !self.flags.may_enter(*id))
        {
            Some(instance) => Err(InstanceError::CannotEnter {
                instance,
                locked_down: false,
            }),
            None => Ok(()),
        }
    }

    /// A call from `caller` enters `callee`.
    ///
    /// # Errors
    ///
    /// Where the spec traps; nothing has changed then.
    #[inline]
    pub fn enter_from(
        &mut self,
        callee: InstanceId,
        caller: Option<InstanceId>,
    ) -> Result<(), InstanceError> {
        let locked = self.is_locked_down(callee);
        let end = caller.and_then(|caller| self.common(callee, caller));
        let mut next = Some(callee);
        while let Some(id) = next.filter(|id| Some(*id) != end) {
            if locked || !self.flags.may_enter(id) {
                return self.cannot_enter(callee, caller, id);
            }
            self.flags.set_may_enter(id, false);
            next = self.parent(id);
        }
        match locked {
            false => Ok(()),
            true => self.check_enter(callee, caller),
        }
    }

    /// It can't enter `at`, and so leaves again what it has entered before.
    #[cold]
    fn cannot_enter(
        &mut self,
        callee: InstanceId,
        caller: Option<InstanceId>,
        at: InstanceId,
    ) -> Result<(), InstanceError> {
        let mut next = Some(callee);
        while let Some(id) = next.filter(|id| *id != at) {
            self.flags.set_may_enter(id, true);
            next = self.parent(id);
        }
        self.check_enter(callee, caller)
    }

    /// The call leaves `callee`, back to `caller`.
    #[inline]
    pub fn leave_to(&mut self, callee: InstanceId, caller: Option<InstanceId>) {
        self.set_may_enter(callee, caller, true);
    }

    #[inline]
    fn set_may_enter(&mut self, callee: InstanceId, caller: Option<InstanceId>, may_enter: bool) {
        let end = caller.and_then(|caller| self.common(callee, caller));
        let mut next = Some(callee);
        while let Some(id) = next.filter(|id| Some(*id) != end) {
            self.flags.set_may_enter(id, may_enter);
            next = self.parent(id);
        }
    }

    /// Whether `instance` may call out, or use a built-in that counts as that.
    ///
    /// # Errors
    ///
    /// Where the spec traps; nothing has changed then.
    #[inline]
    pub fn check_leave(&self, instance: InstanceId) -> Result<(), InstanceError> {
        match self.flags.may_leave(instance) {
            true => Ok(()),
            false => Err(InstanceError::CannotLeave),
        }
    }

    /// Forbids or allows calling out; what it was before.
    pub fn set_may_leave(&mut self, instance: InstanceId, may_leave: bool) -> bool {
        let flags = self.flags.get(instance);
        self.flags.set(instance, Flags { may_leave, ..flags });
        flags.may_leave
    }

    /// `backpressure.inc`.
    ///
    /// # Errors
    ///
    /// Where the spec traps; nothing has changed then.
    pub fn backpressure_inc(&mut self, instance: InstanceId) -> Result<(), InstanceError> {
        let flags = self.flags.get(instance);
        if flags.backpressure >= (1 << 16) - 1 {
            return Err(InstanceError::BackpressureOverflow);
        }
        self.flags.set(
            instance,
            Flags {
                backpressure: flags.backpressure + 1,
                ..flags
            },
        );
        Ok(())
    }

    /// `backpressure.dec`.
    ///
    /// # Errors
    ///
    /// Where the spec traps; nothing has changed then.
    pub fn backpressure_dec(&mut self, instance: InstanceId) -> Result<(), InstanceError> {
        let flags = self.flags.get(instance);
        let fewer = flags.backpressure.checked_sub(1);
        let backpressure = fewer.ok_or(InstanceError::BackpressureUnderflow)?;
        self.flags.set(
            instance,
            Flags {
                backpressure,
                ..flags
            },
        );
        Ok(())
    }

    /// A trap: no instance of the whole tree that `instance` is in is entered again.
    pub fn lock_down(&mut self, instance: InstanceId) {
        let root = self.root(instance);
        if let Some(place) = self.places.get_mut(root.0 as usize) {
            place.locked_down = true;
        }
    }

    /// Whether a trap locked its tree down.
    #[inline]
    pub fn is_locked_down(&self, instance: InstanceId) -> bool {
        self.place(self.root(instance))
            .is_some_and(|place| place.locked_down)
    }
}
