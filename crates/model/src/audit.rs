//! Whether everything in an [`Arena`] fits together: for tests and fuzzing.
//!
//! What is checked is what operations rely on: places in sets, zones, who waits at a
//! stream, counts of ends. It looks at everything, so it is slow.

use crate::copy_end::{CopyEnd, CopyState};
use crate::waitable::{Arena, Waitable, WaitableId, What};

impl Arena {
    /// The first thing that does not fit.
    pub fn audit(&self) -> Result<(), &'static str> {
        for (number, waitable) in self.waitables.iter() {
            self.audit_waitable(WaitableId(number), waitable)?;
        }
        for (number, set) in self.sets.iter() {
            if set.ready > set.members.len() {
                return Err("set with more events than members");
            }
            for (place, member) in set.members.iter().enumerate() {
                let member = self.waitables.get(member.0).ok_or("member that is gone")?;
                if member
                    .set
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
            let ends = self
                .ends()
                .filter(|(_, end)| end.shared.0 == number)
                .count();
            if ends != usize::from(shared.ends) || ends == 0 {
                return Err("wrong count of ends");
            }
            if shared.dropped != (ends == 1) {
                return Err("a dropped end that nobody noticed");
            }
            let Some(pending) = shared.pending else {
                continue;
            };
            let waits = |(id, end): (WaitableId, &CopyEnd)| {
                id == pending.end && end.shared.0 == number && end.state == CopyState::Copying
            };
            if !self.ends().any(waits) {
                return Err("nobody waits where someone should");
            }
        }
        Ok(())
    }

    fn ends(&self) -> impl Iterator<Item = (WaitableId, &CopyEnd)> {
        self.waitables
            .iter()
            .filter_map(|(number, waitable)| match &waitable.what {
                What::End(end) => Some((WaitableId(number), end)),
                What::Subtask(_) => None,
            })
    }

    fn audit_waitable(&self, id: WaitableId, waitable: &Waitable) -> Result<(), &'static str> {
        if let Some((set, place)) = waitable.set {
            let set = self.sets.get(set.0).ok_or("set that is gone")?;
            if set.members.get(place as usize) != Some(&id) {
                return Err("place in a set that another has");
            }
            if waitable.sync_waiter {
                return Err("waited for by itself and in a set");
            }
        }
        if let What::End(end) = &waitable.what {
            let idle = matches!(end.state, CopyState::Idle | CopyState::Done);
            if idle && waitable.pending {
                return Err("event of an end that does nothing");
            }
            let shared = self.shared.get(end.shared.0).ok_or("end of nothing")?;
            let waits = shared.pending.is_some_and(|pending| pending.end == id);
            if !idle && !waits && !waitable.pending {
                return Err("copy that nobody will end");
            }
            if end.buffer.progress > end.buffer.length {
                return Err("more progress than there are elements");
            }
        }
        Ok(())
    }
}
