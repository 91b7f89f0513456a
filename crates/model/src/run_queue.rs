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
    previous: Option<NodeId>,
    next: Option<NodeId>,
    /// Its place in `List::members`.
    place: usize,
}

#[derive(Clone, Debug)]
struct List {
    parent: Option<ListId>,
    /// Its place in the parent; linked while `attached`.
    node: NodeId,
    attached: bool,
    open: bool,
    first: Option<NodeId>,
    last: Option<NodeId>,
    /// All members in any order, to pick from.
    members: Vec<NodeId>,
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
    pub schedule: Schedule,
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

    /// A new empty list.
    pub fn add_list(&mut self, parent: Option<ListId>, open: bool) -> Result<ListId, HandleError> {
        let node = NodeId(self.nodes.insert(Node {
            item: Item::List(ListId(0)),
            list: parent.unwrap_or(ListId(0)),
            previous: None,
            next: None,
            place: 0,
        })?);
        let id = ListId(self.lists.insert(List {
            parent,
            node,
            attached: false,
            open,
            first: None,
            last: None,
            members: Vec::new(),
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
    pub fn insert(&mut self, list: ListId, thread: ThreadId) -> Result<NodeId, HandleError> {
        let node = NodeId(self.nodes.insert(Node {
            item: Item::Thread(thread),
            list,
            previous: None,
            next: None,
            place: 0,
        })?);
        self.link(node);
        Ok(node)
    }

    /// Takes a thread out.
    pub fn remove(&mut self, node: NodeId) {
        self.unlink(node);
        self.nodes.remove(node.0);
    }

    /// Opens or closes a list.
    pub fn set_open(&mut self, id: ListId, open: bool) {
        if let Some(list) = self.lists.get_mut(id.0) {
            list.open = open;
        }
        self.refresh(id);
    }

    /// Puts a list into its parent, or takes it out, as it should be.
    fn refresh(&mut self, id: ListId) {
        let Some(list) = self.lists.get_mut(id.0) else {
            return;
        };
        let should = list.open && !list.members.is_empty() && list.parent.is_some();
        if should == list.attached {
            return;
        }
        list.attached = should;
        let node = list.node;
        if should {
            self.link(node);
        } else {
            self.unlink(node);
        }
    }

    fn link(&mut self, id: NodeId) {
        let Some(list_id) = self.nodes.get(id.0).map(|node| node.list) else {
            return;
        };
        let Some(list) = self.lists.get_mut(list_id.0) else {
            return;
        };
        let (previous, place) = (list.last, list.members.len());
        list.members.push(id);
        list.last = Some(id);
        if list.first.is_none() {
            list.first = Some(id);
        }
        if let Some(node) = self.nodes.get_mut(id.0) {
            (node.previous, node.next, node.place) = (previous, None, place);
        }
        if let Some(previous) = previous.and_then(|previous| self.nodes.get_mut(previous.0)) {
            previous.next = Some(id);
        }
        self.refresh(list_id);
    }

    fn unlink(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get(id.0) else {
            return;
        };
        let (list_id, previous, next, place) = (node.list, node.previous, node.next, node.place);
        let Some(list) = self.lists.get_mut(list_id.0) else {
            return;
        };
        if list.members.get(place) != Some(&id) {
            return;
        }
        list.members.swap_remove(place);
        let moved = list.members.get(place).copied();
        if previous.is_none() {
            list.first = next;
        }
        if next.is_none() {
            list.last = previous;
        }
        if let Some(moved) = moved.and_then(|moved| self.nodes.get_mut(moved.0)) {
            moved.place = place;
        }
        if let Some(previous) = previous.and_then(|previous| self.nodes.get_mut(previous.0)) {
            previous.next = next;
        }
        if let Some(next) = next.and_then(|next| self.nodes.get_mut(next.0)) {
            next.previous = previous;
        }
        self.refresh(list_id);
    }

    /// Whether something below a list can run.
    pub fn is_ready_list(&self, list: ListId) -> bool {
        let list = self.lists.get(list.0);
        list.is_some_and(|list| list.open && !list.members.is_empty())
    }

    /// Whether a thread in this place can run.
    pub fn is_ready(&self, node: NodeId) -> bool {
        let mut list = self.nodes.get(node.0).map(|node| node.list);
        while let Some(at) = list {
            match self.lists.get(at.0) {
                Some(found) if found.open => list = found.parent,
                _ => return false,
            }
        }
        true
    }

    /// The thread to run next, of those in a list; it stays where it is.
    pub fn pick(&mut self, list: ListId) -> Option<ThreadId> {
        self.picks = self.picks.wrapping_add(1);
        let in_order = self.picks.is_multiple_of(FAIR);
        let mut at = list;
        loop {
            let found = self.lists.get(at.0)?;
            let node = match &mut self.schedule {
                Schedule::Seeded(state) if !in_order && found.members.len() > 1 => {
                    let any = random(state) % found.members.len() as u64;
                    found.members.get(any as usize).copied()
                }
                _ => found.first,
            }?;
            match self.nodes.get(node.0)?.item {
                Item::Thread(thread) => return Some(thread),
                Item::List(inside) => {
                    // Behind its siblings, so that these have their turn.
                    self.unlink(node);
                    self.link(node);
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
        let mut next = self.lists.get(list.0).and_then(|list| list.first);
        while let Some(node) = next.and_then(|node| self.nodes.get(node.0)) {
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
            let should = list.open && !list.members.is_empty() && list.parent.is_some();
            if list.attached != should {
                return Err("list that should be in its parent and is not, or is and should not");
            }
            let (mut at, mut count, mut before) = (list.first, 0, None);
            while let Some(id) = at {
                let node = self.nodes.get(id.0).ok_or("place that is gone")?;
                let here = list.members.get(node.place) == Some(&id);
                if node.list != ListId(number) || node.previous != before || !here {
                    return Err("place in a list that is not its own");
                }
                count += 1;
                (before, at) = (at, node.next);
            }
            if count != list.members.len() || list.last != before {
                return Err("list that is longer one way than the other");
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
