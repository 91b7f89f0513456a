//! The free choices that the spec leaves open, made in order, by a seed, or as told.
//!
//! Four kinds: which ready thread runs, which thread learns that its task is to cancel,
//! which event of a set comes first, and whether a thread that need not wait does.

use crate::instance::{FlagStorage, InstanceId};
use crate::run_queue::{Among, Schedule, Told};
use crate::store::Store;
use crate::tables::Tables;
use crate::task::TaskId;
use crate::thread::ThreadId;
use crate::trap::Trap;
use crate::waitable::{Event, SetId};
use alloc::vec::Vec;

const STRAYED: Trap = Trap::Misuse("a recorded choice that is not possible here");

impl<T: Tables, F: FlagStorage> Store<T, F> {
    /// The next recorded choice; `None` where choices are not told.
    fn told(&mut self) -> Result<Option<Told>, Trap> {
        match self.queue.schedule_mut() {
            Schedule::Replay(told) => told.pop_front().ok_or(STRAYED).map(Some),
            _ => Ok(None),
        }
    }

    fn is_told(&self) -> bool {
        matches!(self.queue.schedule(), Schedule::Replay(_))
    }

    fn told_thread(&mut self, among: &[ThreadId]) -> Result<ThreadId, Trap> {
        let Some(Told::Thread { serial, of }) = self.told()? else {
            return Err(STRAYED);
        };
        let found = among.iter().find(|id| self.serial(**id) == Some(serial));
        match found {
            Some(found) if of == among.len() => Ok(*found),
            _ => Err(STRAYED),
        }
    }

    /// Which thread runs next.
    #[inline(always)]
    pub(crate) fn choose_thread(&mut self, among: Among) -> Result<Option<ThreadId>, Trap> {
        match self.is_told() {
            false => Ok(self.queue.pick(among)),
            true => self.told_among(among),
        }
    }

    #[cold]
    fn told_among(&mut self, among: Among) -> Result<Option<ThreadId>, Trap> {
        let among = self.queue.ready(among);
        match among.is_empty() {
            true => Ok(None),
            false => self.told_thread(&among).map(Some),
        }
    }

    /// Which thread of a task is told that it is to cancel.
    pub(crate) fn choose_cancelled(
        &mut self,
        task: TaskId,
        but: Option<ThreadId>,
    ) -> Result<Option<ThreadId>, Trap> {
        let members = &self.task(task)?.cancellable;
        let excluded = but.and_then(|but| {
            let place = self.threads.get(but.0)?.cancellable?;
            let place = place as usize;
            (members.get(place) == Some(&but)).then_some(place)
        });
        let count = members.len() - usize::from(excluded.is_some());
        if count == 0 {
            return Ok(None);
        }
        if self.is_told() {
            let among: Vec<_> = members
                .iter()
                .copied()
                .filter(|id| Some(*id) != but)
                .collect();
            return self.told_thread(&among).map(Some);
        }
        let mut chosen = self.queue.pick_of(count, 0);
        if excluded.is_some_and(|place| chosen >= place) {
            chosen += 1;
        }
        Ok(self.task(task)?.cancellable.get(chosen).copied())
    }

    /// Takes one event of a set, which has one.
    #[inline(always)]
    pub(crate) fn choose_event(
        &mut self,
        instance: InstanceId,
        set: SetId,
    ) -> Result<Option<Event>, Trap> {
        let mut chosen = None;
        if !matches!(self.queue.schedule(), Schedule::InOrder) {
            chosen = self.chosen_member(set)?;
        }
        self.with_table(instance, |table, arena| match chosen {
            Some(chosen) => table.poll_set(arena, set, Some(&mut |_| chosen)),
            None => table.poll_set(arena, set, None),
        })
    }

    /// The place of the member of a set that a seed or a recording chooses.
    #[cold]
    fn chosen_member(&mut self, set: SetId) -> Result<Option<usize>, Trap> {
        let ready = self.arena.ready_members(set);
        let mut chosen = None;
        if self.is_told() && !ready.is_empty() {
            let Some(Told::Event { index, of }) = self.told()? else {
                return Err(STRAYED);
            };
            let ready = self.arena.ready_members(set);
            let place = ready.iter().position(|id| {
                let waitable = self.arena.waitable(*id);
                waitable.is_ok_and(|waitable| waitable.index == index)
            });
            if place.is_none() || of != ready.len() {
                return Err(STRAYED);
            }
            chosen = place;
        } else if matches!(self.queue.schedule(), Schedule::Seeded(_)) && ready.len() > 1 {
            let count = ready.len();
            chosen = Some(self.queue.pick_of(count, 0));
        }
        Ok(chosen)
    }

    /// Whether a seed decides.
    pub fn is_seeded(&self) -> bool {
        matches!(self.queue.schedule(), Schedule::Seeded(_))
    }

    /// One of `n` things that the user of the model can do next: the first, or by the seed
    /// any.
    pub fn choose(&mut self, n: usize) -> usize {
        self.queue.pick_of(n, 0)
    }

    /// Whether a thread that need not wait goes on at once.
    pub(crate) fn choose_keep(&mut self, by_default: bool) -> Result<bool, Trap> {
        match self.told()? {
            None => Ok(self.queue.keep(by_default)),
            Some(Told::Keep(keep)) => Ok(keep),
            Some(_) => Err(STRAYED),
        }
    }
}
