//! Which threads can run, and which of them is next.
//!
//! ```text
//!   root -- outer(instance) --+-- thread that excludes others, but could go on
//!                             |-- held(set): the same, waits for the set
//!                             |-- enter, enter_exclusive: tasks not started yet
//!                             +-- inner(instance) --+-- thread
//!                                                   |-- plain(set): threads that wait
//!                                                   +-- gate(instance) --+-- thread
//!                                                                        +-- gated(set)
//! ```
//!
//! A list is in its parent while it is open and has something in it. So a condition on
//! which many threads wait (the instance is free to be entered, a set has an event) is one
//! flag of a list, and a change of it O(1) however many wait. `inner` is what a call of a
//! function that is not async may let run before it has its result.
//!
//! In order: each list is a queue, and a list that was picked from goes behind its
//! siblings, so whoever can run does within a bounded number of picks. Seeded: any member
//! can be picked, and every [`FAIR`]th pick is in order. Not here: what threads wait for
//! (`thread`), who asks (`store`).

use crate::error::HandleError;
use crate::slab::Slab;
use crate::thread::ThreadId;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// In a seeded schedule, how often a pick is in order.
pub const FAIR: u32 = 16;

/// How often in a row a thread may go on, where it could make place for others.
const KEEP: u32 = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListId(u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeId(u32);

impl NodeId {
    /// No place.
    const NONE: NodeId = NodeId(u32::MAX);
}

impl ListId {
    /// No list: the root is in none.
    const NONE: ListId = ListId(u32::MAX);
}

#[derive(Clone, Copy, Debug)]
enum Item {
    Thread(ThreadId),
    List(ListId),
}

/// A place in a list, or of a list that is in none.
#[derive(Clone, Debug)]
struct Node {
    item: Item,
    list: ListId,
    previous: NodeId,
    next: NodeId,
    /// Its place in `RunQueue::members`, where a seed picks.
    place: u32,
}

#[derive(Clone, Debug)]
struct List {
    parent: ListId,
    /// Its place in the parent; linked while `attached`.
    node: NodeId,
    attached: bool,
    open: bool,
    first: NodeId,
    last: NodeId,
    /// How many members it has.
    count: u32,
}

impl List {
    fn should_be_attached(&self) -> bool {
        self.open && self.count > 0 && self.parent != ListId::NONE
    }
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

/// The ready lists of a store.
#[derive(Clone, Debug)]
pub(crate) struct RunQueue {
    nodes: Slab<Node>,
    lists: Slab<List>,
    root: ListId,
    schedule: Schedule,
    /// By list, all members in any order: for a seed to pick from, else nothing.
    members: Vec<Vec<NodeId>>,
    picks: u32,
    kept: u32,
}

impl RunQueue {
    pub fn new() -> RunQueue {
        let mut queue = RunQueue {
            nodes: Slab::new(),
            lists: Slab::new(),
            root: ListId(0),
            schedule: Schedule::InOrder,
            members: Vec::new(),
            picks: 0,
            kept: 0,
        };
        // The first insert into an empty slab only fails without memory for one node.
        if let Ok(root) = queue.add_list(None, true) {
            queue.root = root;
        }
        queue
    }

    pub fn root(&self) -> ListId {
        self.root
    }

    /// How choices are made.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// The same, to take recorded choices out.
    pub fn schedule_mut(&mut self) -> &mut Schedule {
        &mut self.schedule
    }

    /// How choices are made from now on.
    pub fn set_schedule(&mut self, schedule: Schedule) {
        self.schedule = schedule;
        self.members = Vec::new();
        if !self.is_seeded() {
            return;
        }
        let firsts: Vec<_> = self.lists.iter().map(|(n, list)| (n, list.first)).collect();
        for (list, first) in firsts {
            let mut at = first;
            while at != NodeId::NONE {
                self.add_member(ListId(list), at);
                at = self.nodes.get(at.0).map_or(NodeId::NONE, |node| node.next);
            }
        }
    }

    fn is_seeded(&self) -> bool {
        matches!(self.schedule, Schedule::Seeded(_))
    }

    /// A new empty list.
    pub fn add_list(&mut self, parent: Option<ListId>, open: bool) -> Result<ListId, HandleError> {
        let parent = parent.unwrap_or(ListId::NONE);
        let node = NodeId(self.nodes.insert(Node {
            item: Item::List(ListId::NONE),
            list: parent,
            previous: NodeId::NONE,
            next: NodeId::NONE,
            place: 0,
        })?);
        let id = ListId(self.lists.insert(List {
            parent,
            node,
            attached: false,
            open,
            first: NodeId::NONE,
            last: NodeId::NONE,
            count: 0,
        })?);
        if let Some(node) = self.nodes.get_mut(node.0) {
            node.item = Item::List(id);
        }
        Ok(id)
    }

    /// Frees a list, which is empty.
    pub fn remove_list(&mut self, id: ListId) {
        if let Some(list) = self.lists.remove(id.0) {
            self.nodes.remove(list.node.0);
        }
    }

    /// Puts a thread at the end of a list.
    #[inline]
    pub fn insert(&mut self, list: ListId, thread: ThreadId) -> Result<NodeId, HandleError> {
        let node = NodeId(self.nodes.insert(Node {
            item: Item::Thread(thread),
            list,
            previous: NodeId::NONE,
            next: NodeId::NONE,
            place: 0,
        })?);
        self.link(node);
        Ok(node)
    }

    /// Takes a thread out.
    #[inline]
    pub fn remove(&mut self, node: NodeId) {
        self.unlink(node);
        self.nodes.discard(node.0);
    }

    /// Opens or closes a list.
    #[inline]
    pub fn set_open(&mut self, id: ListId, open: bool) {
        let Some(list) = self.lists.get_mut(id.0) else {
            return;
        };
        if list.open == open {
            return;
        }
        list.open = open;
        let (should, node) = (list.should_be_attached(), list.node);
        if should == list.attached {
            return;
        }
        list.attached = should;
        match should {
            true => self.link(node),
            false => self.unlink(node),
        }
    }

    /// Puts a place at the end of its list, and that list into its parent if it was empty,
    /// and so on.
    #[inline]
    fn link(&mut self, id: NodeId) {
        let mut id = id;
        loop {
            let Some(node) = self.nodes.get_mut(id.0) else {
                return;
            };
            let list_id = node.list;
            let Some(list) = self.lists.get_mut(list_id.0) else {
                return;
            };
            let previous = core::mem::replace(&mut list.last, id);
            (node.previous, node.next) = (previous, NodeId::NONE);
            list.count += 1;
            let attach = list.count == 1 && !list.attached && list.should_be_attached();
            list.attached |= attach;
            let own = list.node;
            if previous == NodeId::NONE {
                list.first = id;
            } else if let Some(previous) = self.nodes.get_mut(previous.0) {
                previous.next = id;
            }
            if self.is_seeded() {
                self.add_member(list_id, id);
            }
            if !attach {
                return;
            }
            id = own;
        }
    }

    /// Takes a place out of its list, and that list out of its parent if it is empty then,
    /// and so on.
    #[inline]
    fn unlink(&mut self, id: NodeId) {
        let mut id = id;
        loop {
            let Some(node) = self.nodes.get(id.0) else {
                return;
            };
            let (list_id, previous, next) = (node.list, node.previous, node.next);
            let Some(list) = self.lists.get_mut(list_id.0) else {
                return;
            };
            if previous == NodeId::NONE && list.first != id {
                return;
            }
            list.count -= 1;
            let detach = list.count == 0 && list.attached;
            list.attached &= !detach;
            let own = list.node;
            if previous == NodeId::NONE {
                list.first = next;
            }
            if next == NodeId::NONE {
                list.last = previous;
            }
            if let Some(previous) = self.nodes.get_mut(previous.0) {
                previous.next = next;
            }
            if let Some(next) = self.nodes.get_mut(next.0) {
                next.previous = previous;
            }
            if self.is_seeded() {
                self.remove_member(list_id, id);
            }
            if !detach {
                return;
            }
            id = own;
        }
    }

    #[cold]
    fn add_member(&mut self, list: ListId, id: NodeId) {
        let at = list.0 as usize;
        if at >= self.members.len() {
            self.members.resize(at + 1, Vec::new());
        }
        if let (Some(members), Some(node)) = (self.members.get_mut(at), self.nodes.get_mut(id.0)) {
            node.place = u32::try_from(members.len()).unwrap_or(u32::MAX);
            members.push(id);
        }
    }

    #[cold]
    fn remove_member(&mut self, list: ListId, id: NodeId) {
        let place = self.nodes.get(id.0).map_or(u32::MAX, |node| node.place);
        let Some(members) = self.members.get_mut(list.0 as usize) else {
            return;
        };
        if members.get(place as usize) != Some(&id) {
            return;
        }
        members.swap_remove(place as usize);
        if let Some(moved) = members.get(place as usize)
            && let Some(moved) = self.nodes.get_mut(moved.0)
        {
            moved.place = place;
        }
    }

    /// Whether something below a list can run.
    #[inline]
    pub fn is_ready_list(&self, list: ListId) -> bool {
        let list = self.lists.get(list.0);
        list.is_some_and(|list| list.open && list.count > 0)
    }

    /// Whether a thread in this place can run.
    pub fn is_ready(&self, node: NodeId) -> bool {
        let mut list = self.nodes.get(node.0).map(|node| node.list);
        while let Some(at) = list {
            match self.lists.get(at.0) {
                Some(found) if found.open => {
                    list = (found.parent != ListId::NONE).then_some(found.parent);
                }
                _ => return false,
            }
        }
        true
    }

    /// The thread to run next, of those in a list; it stays where it is.
    #[inline]
    pub fn pick(&mut self, list: ListId) -> Option<ThreadId> {
        self.picks = self.picks.wrapping_add(1);
        let in_order = self.picks.is_multiple_of(FAIR);
        let mut at = list;
        loop {
            let found = self.lists.get(at.0)?;
            let (alone, mut node) = (found.count <= 1, found.first);
            if let Schedule::Seeded(state) = &mut self.schedule
                && !in_order
                && !alone
            {
                let members = self.members.get(at.0 as usize).map_or(&[][..], |all| all);
                let any = random(state) % members.len().max(1) as u64;
                node = members.get(any as usize).copied().unwrap_or(node);
            }
            match self.nodes.get(node.0)?.item {
                Item::Thread(thread) => return Some(thread),
                Item::List(inside) => {
                    if !alone {
                        // Behind its siblings, so that these have their turn.
                        self.unlink(node);
                        self.link(node);
                    }
                    at = inside;
                }
            }
        }
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

    /// All threads below a list that can run. Slow: for replays and audits.
    pub fn ready(&self, list: ListId, into: &mut Vec<ThreadId>) {
        let mut next = self
            .lists
            .get(list.0)
            .map_or(NodeId::NONE, |list| list.first);
        while let Some(node) = self.nodes.get(next.0) {
            match node.item {
                Item::Thread(thread) => into.push(thread),
                Item::List(inside) => self.ready(inside, into),
            }
            next = node.next;
        }
    }

    /// Whether links, places and attachments agree.
    pub fn audit(&self) -> Result<(), &'static str> {
        for (number, list) in self.lists.iter() {
            if list.attached != list.should_be_attached() {
                return Err("list that should be in its parent and is not, or is and should not");
            }
            let members = self.members.get(number as usize);
            let (mut at, mut count, mut before) = (list.first, 0, NodeId::NONE);
            while at != NodeId::NONE {
                let node = self.nodes.get(at.0).ok_or("place that is gone")?;
                let here = |members: &Vec<NodeId>| members.get(node.place as usize) == Some(&at);
                let known = !self.is_seeded() || members.is_some_and(here);
                if node.list != ListId(number) || node.previous != before || !known {
                    return Err("place in a list that is not its own");
                }
                count += 1;
                (before, at) = (at, node.next);
            }
            if count != list.count || list.last != before {
                return Err("list that is longer one way than the other");
            }
            let picked_from = members.map_or(0, Vec::len);
            if self.is_seeded() && picked_from != count as usize {
                return Err("list that a seed picks other members from");
            }
        }
        Ok(())
    }

    /// Lists and places in use, for leak tests.
    pub fn counts(&self) -> [usize; 2] {
        [self.lists.len(), self.nodes.len()]
    }
}

/// The next number of a generator.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}
