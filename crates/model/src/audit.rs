//! Whether everything in an [`Arena`] fits together: for tests and fuzzing.
//!
//! What is checked is what operations rely on: places in sets, zones, who waits at a
//! stream, counts of ends. It looks at everything, so it is slow.

use crate::copy_end::{CopyState, Direction};
use crate::stream::Shared;
use crate::waitable::{Arena, SharedId, Waitable, WaitableId};

impl Arena {
    /// The first thing that does not fit.
    ///
    /// # Errors
    ///
    /// With what does not fit together.
    pub fn audit(&self) -> Result<(), &'static str> {
        for (number, subtask) in self.subtasks.iter() {
            let id = WaitableId::of_subtask(number).map_err(|_| "subtask without a number")?;
            self.audit_waitable(id, &subtask.waitable)?;
        }
        for (number, set) in self.sets.iter() {
            if set.ready > set.members.len() {
                return Err("set with more events than members");
            }
            for (place, member) in set.members.iter().enumerate() {
                let member = self.waitable(*member);
                let member = member.map_err(|_| "member that is gone")?;
                if member
                    .set()
                    .is_none_or(|(set, at)| set.0 != number || at as usize != place)
                {
                    return Err("member that is elsewhere");
                }
                if member.pending != (place < set.ready) {
                    return Err("member in the wrong zone");
                }
            }
        }
        for (number, shared) in self.shared.iter() {
            self.audit_shared(SharedId(number), shared)?;
        }
        Ok(())
    }

    fn audit_shared(&self, id: SharedId, shared: &Shared) -> Result<(), &'static str> {
        if shared.ends_alive() == 0 {
            return Err("stream without ends");
        }
        if shared.pending.is_some() && shared.ends_alive() == 1 {
            return Err("a dropped end that nobody noticed");
        }
        let ends = WaitableId::of_ends(id).ok_or("stream without a number")?;
        for (id, direction) in [(ends.0, Direction::Readable), (ends.1, Direction::Writable)] {
            let waits = shared.pending == Some(direction);
            let Some(end) = shared.end(direction) else {
                if waits {
                    return Err("nobody waits where someone should");
                }
                continue;
            };
            self.audit_waitable(id, &end.waitable)?;
            let idle = matches!(end.state, CopyState::Idle | CopyState::Done);
            if idle && end.waitable.pending {
                return Err("event of an end that does nothing");
            }
            if waits && end.state != CopyState::Copying {
                return Err("nobody waits where someone should");
            }
            if !idle && !waits && !end.waitable.pending {
                return Err("copy that nobody will end");
            }
            let buffer = shared.pending_buffer(direction);
            if buffer.is_some_and(|buffer| buffer.progress > buffer.length) {
                return Err("more progress than there are elements");
            }
        }
        Ok(())
    }

    fn audit_waitable(&self, id: WaitableId, waitable: &Waitable) -> Result<(), &'static str> {
        if let Some((set, place)) = waitable.set() {
            let set = self.sets.get(set.0).ok_or("set that is gone")?;
            if set.members.get(place as usize) != Some(&id) {
                return Err("place in a set that another has");
            }
            if waitable.sync_waiter {
                return Err("waited for by itself and in a set");
            }
        }
        Ok(())
    }
}
