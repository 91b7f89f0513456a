//! Where the official scripts and the executable spec of the same revision say different
//! things: one switch each, and the check that only one of the readings has.
//!
//! Not here: what both agree on, which is everything else.

use crate::instance::FlagStorage;
use crate::store::{Frame, Store, Then};
use crate::tables::Tables;
use crate::trap::Trap;

/// How to read what the spec's two sources disagree about. The default is the executable
/// spec's reading of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readings {
    /// A call between a component instance and one that it is inside of, or itself, traps.
    /// (Else it is allowed, as long as the callee is not running.)
    pub no_donuts: bool,
    /// During a call of a function that is not async, whatever could block traps at once,
    /// unless another thread of the instance could run. (Else it traps when it blocks.)
    pub block_early: bool,
    /// Cancelling a read or write that has moved some elements, and has room for more,
    /// reports "cancelled". (Else "completed".)
    pub cancel_partial: bool,
    /// An async call whose callee's instance is held by a thread that could go on lets that
    /// thread run first. (Else the call waits to start.)
    pub holder_first: bool,
    /// Callbacks of async tasks are not called while a function of their instance that is
    /// not async has no result yet. (Else they are.)
    pub park_callbacks: bool,
    /// A thread that yields always makes place, and one that waits for what is there already
    /// never does. (Else both are free choices.)
    pub settled_waits: bool,
}

impl Readings {
    /// The executable spec's.
    pub const SPEC: Readings = Readings {
        no_donuts: false,
        block_early: false,
        cancel_partial: false,
        holder_first: false,
        park_callbacks: false,
        settled_waits: false,
    };
    /// The official scripts'.
    pub const SCRIPTS: Readings = Readings {
        no_donuts: true,
        block_early: true,
        cancel_partial: true,
        holder_first: true,
        park_callbacks: true,
        settled_waits: true,
    };
}

impl<T: Tables, F: FlagStorage> Store<T, F> {
    /// How the spec is read from now on. `park_callbacks` counts for instances that are
    /// added later; `no_donuts` is for whoever links calls: see
    /// [`Instances::related`](crate::Instances::related).
    pub fn set_readings(&mut self, readings: Readings) {
        self.readings = readings;
        self.arena.cancel_partial = readings.cancel_partial;
    }

    /// How the spec is read.
    pub fn readings(&self) -> Readings {
        self.readings
    }

    /// Fails where the current thread must not try what could block. Built-ins and calls
    /// ask by themselves; this is for whoever checks more before them.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn check_may_block(&self) -> Result<(), Trap> {
        if !self.readings.block_early {
            return Ok(());
        }
        let Some(&Frame {
            then: Then::Call { task, callee, .. },
            ..
        }) = self.frames.last()
        else {
            return Ok(());
        };
        if callee.is_async || self.is_resolved(task) {
            return Ok(());
        }
        let lists = self.component(callee.instance)?.lists;
        match self.queue.is_inner_ready([lists.plain, lists.gated]) {
            true => Ok(()),
            false => Err(Trap::BlockSync),
        }
    }
}
