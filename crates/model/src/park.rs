//! Stacks that wait in the host: what was entered on them stays entered, everything else
//! goes on.
//!
//! ```text
//!   frames                         park                      unpark
//!   thread 9 of B | Call   --------------------> parked 4 --------------> frames again,
//!   thread 8 of A | Call   the trees of A and B             thread 9 is the current one
//!   ------------------- the host's   are closed: nobody enters, no thread of them runs
//! ```
//!
//! Why: a function of a non-async type must not be seen to block. A host that answers one
//! later keeps the whole stack, as if no time had passed for the trees on it; other trees
//! can't tell. Not here: calls of async functions, which block in the open (`canon_lower`).

use crate::instance::{FlagStorage, InstanceId};
use crate::store::{Frame, Store, Then};
use crate::tables::Tables;
use crate::thread::ThreadId;
use crate::trap::Trap;
use alloc::vec::Vec;

/// A stack that waits in the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ParkedId(pub(crate) u32);

impl<T: Tables, F: FlagStorage> Store<T, F> {
    /// The current stack, up to where the host is, waits.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn park(&mut self) -> Result<ParkedId, Trap> {
        let mut frames = self.unwind();
        frames.reverse();
        let hosts = frames.first().is_some_and(|frame| frame.then.is_hosts());
        if !hosts {
            self.frames.append(&mut frames);
            return Err(Trap::Misuse("a stack that the host has not made"));
        }
        for root in self.roots_of(&frames) {
            self.set_closed(root, true);
        }
        Ok(ParkedId(self.parked.insert(frames)?))
    }

    /// It goes on: the thread that was the current one.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn unpark(&mut self, id: ParkedId) -> Result<ThreadId, Trap> {
        let gone = Trap::Misuse("a parked stack that is gone");
        let mut frames = self.parked.remove(id.0).ok_or(gone)?;
        let thread = frames.last().ok_or(gone)?.thread;
        for root in self.roots_of(&frames) {
            self.set_closed(root, false);
        }
        self.frames.append(&mut frames);
        Ok(thread)
    }

    /// Whether a stack still waits: its trees may have been locked down.
    pub fn is_parked(&self, id: ParkedId) -> bool {
        self.parked.get(id.0).is_some()
    }

    /// Whether a stack that waits in the host runs through an instance's tree.
    pub fn is_closed(&self, instance: InstanceId) -> bool {
        self.component(instance)
            .is_ok_and(|component| component.is_closed())
    }

    /// The parked stack that runs through a tree, if one does.
    pub(crate) fn parked_in(&self, root: InstanceId) -> Option<ParkedId> {
        let within = |frames: &Vec<Frame>| self.roots_of(frames).contains(&root);
        let mut parked = self.parked.iter();
        parked
            .find(|(_, frames)| within(frames))
            .map(|(id, _)| ParkedId(id))
    }

    /// The trees that were entered on a stack.
    pub(crate) fn roots_of(&self, frames: &[Frame]) -> Vec<InstanceId> {
        let mut roots = Vec::new();
        for frame in frames {
            let mut add = |instance: Option<InstanceId>| {
                let root = instance.map(|instance| self.instances.root(instance));
                if let Some(root) = root.filter(|root| !roots.contains(root)) {
                    roots.push(root);
                }
            };
            add(self.instance_of(frame.thread));
            match frame.then {
                Then::Tick(instance) => add(Some(instance)),
                Then::Call { callee, .. } => add(Some(callee.instance)),
                Then::Cancel { entered, .. } => add(entered),
            }
        }
        roots
    }

    /// Lets no thread of a tree run, or lets them again.
    fn set_closed(&mut self, root: InstanceId, closed: bool) {
        for number in 0..self.components.len() {
            if self.instances.root(InstanceId::from_number(number)) == root
                && let Some(component) = self.components.get_mut(number)
            {
                component.set_closed(&mut self.queue, closed);
            }
        }
    }
}
