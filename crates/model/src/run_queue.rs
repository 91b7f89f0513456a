//! Which threads can run, and which of them is next.
//!
//! ```text
//!   root --+-- plain(instance) --+-- held: threads that exclude others, but could go on
//!          |    (open: no stack  |-- enter, enter_exclusive: tasks not started yet
//!          |     of it waits in  |-- held(set): threads that exclude others, and wait for it
//!          |     the host)       |-- own: threads                              (inner)
//!          |                     +-- plain(set): threads that wait for the set (inner)
//!          +-- gated(instance) --+-- gate: tasks between two calls of their callbacks
//!               (open: and nobody +-- gated(set): the same, and they wait for the set
//!                excludes others)
//! ```
//!
//! Threads are in lists, lists in groups, groups in the root: a list while it is open and
//! has something in it, a group likewise. So a condition on which many threads wait (the
//! instance is free to be entered, a set has an event) is one flag, and a change of it O(1)
//! however many wait. *Inner* lists are what a call of a function that is not async may let
//! run before it has its result.
//!
//! Most of the time one list is all there is. That one, *alone*, is in nothing; it is put into
//! its group, and that into the root, when a second one comes. (Where a seed or a recording
//! chooses, none is alone: the twin of this.)
//!
//! In order: each of these is a queue, and a list that was picked from goes behind its
//! siblings, so whoever can run does within a bounded number of picks. Seeded: any member
//! can be picked, and every [`FAIR`]th pick is in order. Not here: what threads wait for
//! (`thread`), who asks (`store`).

use crate::error::HandleError;
use crate::thread::ThreadId;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// In a seeded schedule, how often a pick is in order.
pub const FAIR: u32 = 16;

/// How often in a row a thread may go on, where it could make place for others.
const KEEP: u32 = 64;

/// A list of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListId(u32);

/// A group of lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupId(u32);

/// Below whom a thread is picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Among {
    /// All threads that can run.
    All,
    /// Those in inner lists of these groups.
    Inner([GroupId; 2]),
}

/// No member of anything.
const NONE: u32 = u32::MAX;

/// The place of a thread in a list, of a list in a group, or of a group in the root.
#[derive(Clone, Copy, Debug)]
struct Link {
    /// What it is in, or `NONE`.
    owner: u32,
    previous: u32,
    next: u32,
    /// Its place in `RunQueue::members`, where a seed picks.
    place: u32,
}

impl Link {
    const OUT: Link = Link {
        owner: NONE,
        previous: NONE,
        next: NONE,
        place: 0,
    };
}

/// Members in their order, linked by `Link`s.
#[derive(Clone, Copy, Debug)]
struct Ring {
    first: u32,
    last: u32,
    count: u32,
}

impl Ring {
    const EMPTY: Ring = Ring {
        first: NONE,
        last: NONE,
        count: 0,
    };

    /// At the end. (`NONE` is the number of no link.)
    #[inline(always)]
    fn push(&mut self, links: &mut [Link], id: u32, owner: u32) {
        let previous = core::mem::replace(&mut self.last, id);
        if let Some(link) = links.get_mut(id as usize) {
            (link.owner, link.previous, link.next) = (owner, previous, NONE);
        }
        match links.get_mut(previous as usize) {
            Some(previous) => previous.next = id,
            None => self.first = id,
        }
        self.count += 1;
    }

    /// Out of it.
    #[inline(always)]
    fn take(&mut self, links: &mut [Link], id: u32) {
        let Some(link) = links.get_mut(id as usize) else {
            return;
        };
        let (previous, next) = (link.previous, link.next);
        link.owner = NONE;
        match links.get_mut(previous as usize) {
            Some(previous) => previous.next = next,
            None => self.first = next,
        }
        match links.get_mut(next as usize) {
            Some(next) => next.previous = previous,
            None => self.last = previous,
        }
        self.count -= 1;
    }
}

#[derive(Clone, Debug)]
struct List {
    ring: Ring,
    group: u32,
    open: bool,
    inner: bool,
}

#[derive(Clone, Debug)]
struct Group {
    ring: Ring,
    open: bool,
}

/// How free choices are made.
#[derive(Clone, Debug, Default)]
pub enum Schedule {
    /// First come, first served.
    #[default]
    InOrder,
    /// By a generator that starts with this seed.
    Seeded(u64),
    /// As told, choice by choice: for replaying traces. A choice that is not possible, or
    /// is of another number of candidates, is an error.
    Replay(VecDeque<Told>),
}

/// A choice of a recorded trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The thread with this serial number, of so many candidates.
    Thread {
        /// See [`Store::serial`](crate::Store::serial).
        serial: u64,
        /// How many there were to choose from.
        of: usize,
    },
    /// The event of the waitable with this index, of so many.
    Event {
        /// Its handle index.
        index: u32,
        /// How many there were to choose from.
        of: usize,
    },
    /// Whether a thread that could wait goes on at once.
    Keep(bool),
}

/// What is in what.
const GROUPS: usize = 0;
const LISTS: usize = 1;
const THREADS: usize = 2;

/// The ready lists of a store.
#[derive(Clone, Debug)]
pub(crate) struct RunQueue {
    /// Places of groups, of lists, of threads, by number.
    links: [Vec<Link>; 3],
    root: Ring,
    /// The only list that can be picked from, while the root is empty; or `NONE`.
    alone: u32,
    groups: Vec<Group>,
    lists: Vec<List>,
    free_groups: Vec<u32>,
    free_lists: Vec<u32>,
    schedule: Schedule,
    /// Of the root, of each group, of each list: all members in any order, for a seed to
    /// pick from, else nothing.
    members: [Vec<Vec<u32>>; 3],
    picks: u32,
    inner_picks: usize,
    kept: u32,
}

impl RunQueue {
    pub fn new() -> RunQueue {
        RunQueue {
            links: [Vec::new(), Vec::new(), Vec::new()],
            root: Ring::EMPTY,
            alone: NONE,
            groups: Vec::new(),
            lists: Vec::new(),
            free_groups: Vec::new(),
            free_lists: Vec::new(),
            schedule: Schedule::InOrder,
            members: [Vec::new(), Vec::new(), Vec::new()],
            picks: 0,
            inner_picks: 0,
            kept: 0,
        }
    }

    /// How choices are made.
    #[inline]
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// The same, to take recorded choices out.
    #[inline]
    pub fn schedule_mut(&mut self) -> &mut Schedule {
        &mut self.schedule
    }

    /// How choices are made from now on.
    pub fn set_schedule(&mut self, schedule: Schedule) {
        self.join_others();
        self.schedule = schedule;
        self.members = [Vec::new(), Vec::new(), Vec::new()];
        if !self.is_seeded() {
            return;
        }
        let mut all = Vec::new();
        for level in [GROUPS, LISTS, THREADS] {
            let links = (0..).zip(&self.links[level]);
            let linked = links.filter(|(_, link)| link.owner != NONE);
            all.extend(linked.map(|(id, link)| (level, link.owner, id)));
        }
        for (level, owner, id) in all {
            self.add_member(level, owner, id);
        }
    }

    #[inline]
    fn is_seeded(&self) -> bool {
        matches!(self.schedule, Schedule::Seeded(_))
    }

    /// A new empty group.
    pub fn add_group(&mut self) -> Result<GroupId, HandleError> {
        let group = Group {
            ring: Ring::EMPTY,
            open: true,
        };
        let free = self.free_groups.pop();
        let number = place(&mut self.groups, &mut self.free_groups, group, free)?;
        make_room(&mut self.links[GROUPS], number)?;
        Ok(GroupId(number))
    }

    /// A new empty list.
    pub fn add_list(
        &mut self,
        group: GroupId,
        open: bool,
        inner: bool,
    ) -> Result<ListId, HandleError> {
        let list = List {
            ring: Ring::EMPTY,
            group: group.0,
            open,
            inner,
        };
        let free = self.free_lists.pop();
        let number = place(&mut self.lists, &mut self.free_lists, list, free)?;
        make_room(&mut self.links[LISTS], number)?;
        Ok(ListId(number))
    }

    /// Frees a list, which is empty.
    pub fn remove_list(&mut self, id: ListId) {
        self.free_lists.push(id.0);
    }

    /// Frees a group, whose lists are empty and go with it.
    pub fn remove_group(&mut self, id: GroupId) {
        self.free_groups.push(id.0);
    }

    /// Puts a thread at the end of a list.
    #[inline]
    pub fn insert(&mut self, list: ListId, thread: ThreadId) -> Result<(), HandleError> {
        if thread.0 as usize >= self.links[THREADS].len() {
            make_room(&mut self.links[THREADS], thread.0)?;
        }
        let Some(found) = self.lists.get_mut(list.0 as usize) else {
            return Ok(());
        };
        found.ring.push(&mut self.links[THREADS], thread.0, list.0);
        let first = found.ring.count == 1 && found.open;
        if self.is_seeded() {
            self.add_member(THREADS, list.0, thread.0);
        }
        if first {
            self.attach(list.0);
        }
        Ok(())
    }

    /// Takes a thread out of the list that it is in, if it is in one.
    #[inline]
    pub fn remove(&mut self, thread: ThreadId) {
        let link = self.links[THREADS].get(thread.0 as usize);
        let list = link.map_or(NONE, |link| link.owner);
        let Some(found) = self.lists.get_mut(list as usize) else {
            return;
        };
        found.ring.take(&mut self.links[THREADS], thread.0);
        let last = found.ring.count == 0 && found.open;
        if self.is_seeded() {
            self.remove_member(THREADS, list, thread.0);
        }
        if last {
            self.detach(list);
        }
    }

    /// Whether a thread is in a list.
    #[inline]
    pub fn contains(&self, thread: ThreadId) -> bool {
        let link = self.links[THREADS].get(thread.0 as usize);
        link.is_some_and(|link| link.owner != NONE)
    }

    /// Opens or closes a list.
    #[inline]
    pub fn set_open(&mut self, id: ListId, open: bool) {
        let Some(list) = self.lists.get_mut(id.0 as usize) else {
            return;
        };
        if list.open == open {
            return;
        }
        list.open = open;
        match open {
            _ if list.ring.count == 0 => {}
            true => self.attach(id.0),
            false => self.detach(id.0),
        }
    }

    /// Opens or closes a group.
    #[inline]
    pub fn set_group_open(&mut self, id: GroupId, open: bool) {
        let Some(group) = self.groups.get_mut(id.0 as usize) else {
            return;
        };
        if group.open == open {
            return;
        }
        group.open = open;
        self.join_others();
        self.fit_group(id.0);
    }

    /// A list can be picked from, once its group can.
    #[inline]
    fn attach(&mut self, id: u32) {
        if self.root.count == 0 && self.alone == NONE && matches!(self.schedule, Schedule::InOrder)
        {
            let group = self.lists.get(id as usize).map_or(NONE, |list| list.group);
            let group = self.groups.get(group as usize);
            if group.is_some_and(|group| group.open) {
                self.alone = id;
                return;
            }
        }
        self.join_others();
        self.put(id);
    }

    /// A list can't be picked from any more.
    #[inline]
    fn detach(&mut self, id: u32) {
        match self.alone == id {
            true => self.alone = NONE,
            false => self.take(id),
        }
    }

    /// No list is alone.
    #[inline]
    fn join_others(&mut self) {
        let alone = core::mem::replace(&mut self.alone, NONE);
        if alone != NONE {
            self.put(alone);
        }
    }

    /// Puts a list into its group.
    fn put(&mut self, id: u32) {
        let number = self.lists.get(id as usize).map_or(NONE, |list| list.group);
        let Some(group) = self.groups.get_mut(number as usize) else {
            return;
        };
        group.ring.push(&mut self.links[LISTS], id, number);
        let first = group.ring.count == 1;
        self.change_member(LISTS, number, id, true);
        if first {
            self.fit_group(number);
        }
    }

    /// Takes a list out of its group.
    fn take(&mut self, id: u32) {
        let number = self.lists.get(id as usize).map_or(NONE, |list| list.group);
        let Some(group) = self.groups.get_mut(number as usize) else {
            return;
        };
        group.ring.take(&mut self.links[LISTS], id);
        let last = group.ring.count == 0;
        self.change_member(LISTS, number, id, false);
        if last {
            self.fit_group(number);
        }
    }

    /// A group is in the root while it is open and not empty.
    #[inline]
    fn fit_group(&mut self, id: u32) {
        let [links, ..] = &mut self.links;
        let Some(group) = self.groups.get(id as usize) else {
            return;
        };
        let should = group.open && group.ring.count > 0;
        let is = links
            .get(id as usize)
            .is_some_and(|link| link.owner != NONE);
        if should == is {
            return;
        }
        match should {
            true => self.root.push(links, id, 0),
            false => self.root.take(links, id),
        }
        self.change_member(GROUPS, 0, id, should);
    }

    #[inline]
    fn change_member(&mut self, level: usize, owner: u32, id: u32, there: bool) {
        match (self.is_seeded(), there) {
            (false, _) => {}
            (true, true) => self.add_member(level, owner, id),
            (true, false) => self.remove_member(level, owner, id),
        }
    }

    /// A seed can pick it from now on.
    #[cold]
    fn add_member(&mut self, level: usize, owner: u32, id: u32) {
        let rings = &mut self.members[level];
        if rings.len() <= owner as usize {
            rings.resize_with(owner as usize + 1, Vec::new);
        }
        let members = &mut rings[owner as usize];
        members.push(id);
        if let Some(link) = self.links[level].get_mut(id as usize) {
            link.place = members.len() as u32 - 1;
        }
    }

    /// No more; the last one comes in its place.
    #[cold]
    fn remove_member(&mut self, level: usize, owner: u32, id: u32) {
        let links = &mut self.links[level];
        let place = links.get(id as usize).map_or(NONE, |link| link.place);
        let Some(members) = self.members[level].get_mut(owner as usize) else {
            return;
        };
        if members.get(place as usize) != Some(&id) {
            return;
        }
        members.swap_remove(place as usize);
        if let Some(moved) = members.get(place as usize)
            && let Some(moved) = links.get_mut(*moved as usize)
        {
            moved.place = place;
        }
    }

    /// Whether some thread can run.
    #[inline]
    pub fn is_any_ready(&self) -> bool {
        self.root.count > 0 || self.alone != NONE
    }

    /// Whether a thread in an inner list of these groups can run.
    pub fn is_inner_ready(&self, groups: [GroupId; 2]) -> bool {
        self.inner_lists(groups).next().is_some()
    }

    /// Inner lists of these groups that threads can be picked from.
    fn inner_lists(&self, groups: [GroupId; 2]) -> impl Iterator<Item = u32> + '_ {
        let numbers = groups.map(|id| id.0);
        let groups = groups.into_iter();
        let groups = groups.filter_map(|id| self.groups.get(id.0 as usize));
        let open = groups.filter(|group| group.open);
        let lists = open.flat_map(|group| self.ring(LISTS, group.ring));
        let alone = self.lists.get(self.alone as usize);
        let alone = alone.filter(|list| numbers.contains(&list.group));
        let lists = lists.chain(alone.map(|_| self.alone));
        lists.filter(|id| self.lists.get(*id as usize).is_some_and(|list| list.inner))
    }

    /// The members of a ring, in order.
    fn ring(&self, level: usize, ring: Ring) -> impl Iterator<Item = u32> + '_ {
        let links = &self.links[level];
        let mut next = ring.first;
        core::iter::from_fn(move || {
            let at = next;
            next = links.get(at as usize)?.next;
            Some(at)
        })
    }

    /// Whether a thread is in a list, and could be picked.
    pub fn is_ready(&self, thread: ThreadId) -> bool {
        let link = self.links[THREADS].get(thread.0 as usize);
        let list = link.and_then(|link| self.lists.get(link.owner as usize));
        list.is_some_and(|list| {
            let group = self.groups.get(list.group as usize);
            list.open && group.is_some_and(|group| group.open)
        })
    }

    /// The thread to run next; it stays where it is.
    #[inline]
    pub fn pick(&mut self, among: Among) -> Option<ThreadId> {
        self.picks = self.picks.wrapping_add(1);
        let by_seed = self.is_seeded() && !self.picks.is_multiple_of(FAIR);
        match among {
            Among::All if by_seed => self.pick_by_seed(),
            Among::All => self.pick_in_order(),
            Among::Inner(groups) => self.pick_inner(groups, by_seed),
        }
    }

    #[inline]
    fn pick_in_order(&mut self) -> Option<ThreadId> {
        if let Some(list) = self.lists.get(self.alone as usize) {
            return Some(ThreadId(list.ring.first));
        }
        let group_id = self.root.first;
        let group = self.groups.get_mut(group_id as usize)?;
        let list_id = group.ring.first;
        if group.ring.count > 1 {
            // Behind its siblings, so that these have their turn.
            let links = &mut self.links[LISTS];
            group.ring.take(links, list_id);
            group.ring.push(links, list_id, group_id);
        }
        if self.root.count > 1 {
            let links = &mut self.links[GROUPS];
            self.root.take(links, group_id);
            self.root.push(links, group_id, 0);
        }
        let list = self.lists.get(list_id as usize)?;
        Some(ThreadId(list.ring.first)).filter(|_| list.ring.count > 0)
    }

    #[cold]
    fn pick_by_seed(&mut self) -> Option<ThreadId> {
        let mut at = 0;
        for level in [GROUPS, LISTS, THREADS] {
            at = self.any_member(level, at)?;
        }
        Some(ThreadId(at))
    }

    fn any_member(&mut self, level: usize, owner: u32) -> Option<u32> {
        let members = self.members[level].get(owner as usize)?;
        let Schedule::Seeded(state) = &mut self.schedule else {
            return members.first().copied();
        };
        let any = match members.len() {
            0 | 1 => 0,
            count => random(state) % count as u64,
        };
        members.get(any as usize).copied()
    }

    #[cold]
    fn pick_inner(&mut self, groups: [GroupId; 2], by_seed: bool) -> Option<ThreadId> {
        let lists: Vec<u32> = self.inner_lists(groups).collect();
        self.inner_picks = self.inner_picks.wrapping_add(1);
        let turn = self.inner_picks % lists.len().max(1);
        let turn = match by_seed {
            true => self.pick_of(lists.len(), turn),
            false => turn,
        };
        let list = *lists.get(turn)?;
        if by_seed {
            return self.any_member(THREADS, list).map(ThreadId);
        }
        let found = self.lists.get(list as usize)?;
        Some(ThreadId(found.ring.first)).filter(|_| found.ring.count > 0)
    }

    /// One of `n` equal things: the first, or any.
    pub fn pick_of(&mut self, n: usize, turn: usize) -> usize {
        match &mut self.schedule {
            Schedule::Seeded(state) if n > 1 => (random(state) % n as u64) as usize,
            _ => turn % n.max(1),
        }
    }

    /// Whether a thread that could make place for others goes on at once; `by_default`
    /// where nothing else decides.
    pub fn keep(&mut self, by_default: bool) -> bool {
        let keep = match &mut self.schedule {
            Schedule::Seeded(state) => random(state) & 1 == 1,
            _ => by_default,
        };
        self.kept = if keep { self.kept + 1 } else { 0 };
        if self.kept > KEEP {
            self.kept = 0;
            return false;
        }
        keep
    }

    /// The same of one that goes on by default, as long as neither a seed nor a replay
    /// decides; `false`: it is to be asked as usual, and nothing is changed.
    #[inline(always)]
    pub fn keeps_on(&mut self) -> bool {
        let keeps = matches!(self.schedule, Schedule::InOrder) && self.kept < KEEP;
        self.kept += u32::from(keeps);
        keeps
    }

    /// All threads that can run. Slow: for replays and audits.
    pub fn ready(&self, among: Among) -> Vec<ThreadId> {
        let lists: Vec<u32> = match among {
            Among::All => {
                let groups = self.ring(GROUPS, self.root);
                let groups = groups.filter_map(|id| self.groups.get(id as usize));
                let lists = groups.flat_map(|group| self.ring(LISTS, group.ring));
                lists
                    .chain((self.alone != NONE).then_some(self.alone))
                    .collect()
            }
            Among::Inner(groups) => self.inner_lists(groups).collect(),
        };
        let lists = lists.into_iter();
        let lists = lists.filter_map(|id| self.lists.get(id as usize));
        let threads = lists.flat_map(|list| self.ring(THREADS, list.ring));
        threads.map(ThreadId).collect()
    }

    /// Whether links, places and what is in what agree.
    pub fn audit(&self) -> Result<(), &'static str> {
        self.audit_ring(GROUPS, 0, self.root)?;
        if let Some(list) = self.lists.get(self.alone as usize) {
            let group = self.groups.get(list.group as usize);
            let open = group.is_some_and(|group| group.open) && list.open;
            if !open || list.ring.count == 0 || self.root.count > 0 {
                return Err("list that is alone and is not");
            }
        }
        for (number, group) in (0..).zip(&self.groups) {
            self.audit_ring(LISTS, number, group.ring)?;
            let should = group.open && group.ring.count > 0;
            self.audit_link(GROUPS, number, should)?;
        }
        for (number, list) in (0..).zip(&self.lists) {
            self.audit_ring(THREADS, number, list.ring)?;
            let should = list.open && list.ring.count > 0 && number != self.alone;
            self.audit_link(LISTS, number, should)?;
        }
        Ok(())
    }

    fn audit_link(&self, level: usize, number: u32, should: bool) -> Result<(), &'static str> {
        let link = self.links[level].get(number as usize);
        match link.is_some_and(|link| (link.owner != NONE) == should) {
            true => Ok(()),
            false => Err("list that should be picked from and is not, or is and should not"),
        }
    }

    fn audit_ring(&self, level: usize, owner: u32, ring: Ring) -> Result<(), &'static str> {
        let members = self.members[level].get(owner as usize);
        let (mut at, mut count, mut before) = (ring.first, 0, NONE);
        while at != NONE {
            let link = self.links[level].get(at as usize);
            let link = link.ok_or("place that is gone")?;
            let here = |members: &Vec<u32>| members.get(link.place as usize) == Some(&at);
            let known = !self.is_seeded() || members.is_some_and(here);
            if link.owner != owner || link.previous != before || !known {
                return Err("place in a list that is not its own");
            }
            count += 1;
            (before, at) = (at, link.next);
        }
        if count != ring.count || ring.last != before {
            return Err("list that is longer one way than the other");
        }
        let picked_from = members.map_or(0, Vec::len);
        match self.is_seeded() && picked_from != count as usize {
            true => Err("list that a seed picks other members from"),
            false => Ok(()),
        }
    }

    /// Lists, and threads in them, for leak tests.
    pub fn counts(&self) -> [usize; 2] {
        let threads = self.lists.iter().map(|list| list.ring.count as usize);
        [self.lists.len() - self.free_lists.len(), threads.sum()]
    }
}

/// Puts an item at a free place, or at the end.
fn place<T>(
    items: &mut Vec<T>,
    free: &mut Vec<u32>,
    item: T,
    at: Option<u32>,
) -> Result<u32, HandleError> {
    if let Some(number) = at
        && let Some(place) = items.get_mut(number as usize)
    {
        *place = item;
        return Ok(number);
    }
    let number = u32::try_from(items.len()).map_err(|_| HandleError::OutOfMemory)?;
    items.try_reserve(1).map_err(|_| HandleError::OutOfMemory)?;
    // So that giving a number back never needs memory.
    let wanted = items.len() + 1;
    let more = wanted.saturating_sub(free.len());
    free.try_reserve(more)
        .map_err(|_| HandleError::OutOfMemory)?;
    items.push(item);
    Ok(number)
}

/// Makes a link for the member with this number.
#[cold]
fn make_room(links: &mut Vec<Link>, number: u32) -> Result<(), HandleError> {
    let wanted = number as usize + 1;
    let more = wanted.saturating_sub(links.len());
    links
        .try_reserve(more)
        .map_err(|_| HandleError::OutOfMemory)?;
    if more > 0 {
        links.resize(wanted, Link::OUT);
    }
    Ok(())
}

/// The next number of a generator.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}
