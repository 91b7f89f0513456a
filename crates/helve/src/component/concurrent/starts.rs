//! Calls that have not begun yet, in the order in which they were made.
//!
//! ```text
//!   made --> open --begins--> (a task, or a fiber)
//!             |  ^
//!    its tree |  | found open again, or the call is off
//!   is closed v  |
//!            held back, beside others of the same tree
//! ```
//!
//! A turn of the loop looks at the oldest call of each closed tree, however many wait there:
//! whatever the host enters it enters from the root, so one stands for all. Where a seed
//! picks, nothing is held back: any call can be the next. Not here: whether a call may begin,
//! and beginning (`call`).

use super::call::{Enter, Start};
use crate::component::state::InstanceData;
use std::collections::VecDeque;
use std::ptr::NonNull;

/// A call and its number: they count up.
type Numbered = (u64, Start);

/// See the head of this file.
#[derive(Default)]
pub(super) struct Starts {
    made: u64,
    open: VecDeque<Numbered>,
    held: Vec<Held>,
}

struct Held {
    tree: NonNull<InstanceData>,
    calls: VecDeque<Numbered>,
}

/// Where a call is that can begin, or end without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Open(usize),
    Held(usize, usize),
}

impl Starts {
    pub fn push(&mut self, start: Start) {
        self.made += 1;
        self.open.push_back((self.made, start));
    }

    pub fn len(&self) -> usize {
        self.open.len() + self.held.iter().map(|held| held.calls.len()).sum::<usize>()
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_empty() && self.held.is_empty()
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Start> {
        let held = self.held.iter().flat_map(|held| &held.calls);
        self.open.iter().chain(held).map(|(_, start)| start)
    }

    /// The one that was made first.
    pub fn first(&self) -> Option<Place> {
        let open = self
            .open
            .front()
            .map(|(number, _)| (*number, Place::Open(0)));
        let held = (0..).zip(&self.held).filter_map(|(at, held)| {
            let (number, _) = held.calls.front()?;
            Some((*number, Place::Held(at, 0)))
        });
        open.into_iter()
            .chain(held)
            .min_by_key(|(number, _)| *number)
            .map(|(_, place)| place)
    }

    pub fn take(&mut self, place: Place) -> Option<Start> {
        match place {
            Place::Open(at) => self.open.remove(at),
            Place::Held(tree, at) => {
                let held = self.held.get_mut(tree)?;
                let taken = held.calls.remove(at);
                if held.calls.is_empty() {
                    self.held.remove(tree);
                }
                taken
            }
        }
        .map(|(_, start)| start)
    }

    /// The first one that can begin, or end without; `off`: some may be off since this was
    /// last asked.
    pub fn startable(&mut self, off: bool, may_enter: impl Fn(&Start) -> Enter) -> Option<Place> {
        let off = off.then(|| self.off()).flatten();
        let later = |start: &Start| matches!(may_enter(start), Enter::Later);
        let held = (0..).zip(&self.held).filter_map(|(at, held)| {
            let (number, start) = held.calls.front()?;
            (!later(start)).then_some((*number, Place::Held(at, 0)))
        });
        let first = held.chain(off).min_by_key(|(number, _)| *number);
        while let Some((number, start)) = self.open.front() {
            if first.is_some_and(|(other, _)| other <= *number) {
                break;
            }
            if !later(start) {
                return Some(Place::Open(0));
            }
            self.hold_back();
        }
        match (first, off) {
            // What was held back meanwhile came before it.
            (Some((number, Place::Open(_))), Some(_)) => {
                let at = self.open.iter().position(|(other, _)| *other == number);
                at.map(Place::Open)
            }
            (first, _) => first.map(|(_, place)| place),
        }
    }

    /// The first one that is not to begin at all.
    fn off(&self) -> Option<(u64, Place)> {
        let open = (0..).zip(&self.open);
        let open = open.map(|(at, (number, start))| (*number, Place::Open(at), start));
        let held = (0..).zip(&self.held).flat_map(|(tree, held)| {
            let calls = (0..).zip(&held.calls);
            calls.map(move |(at, (number, start))| (*number, Place::Held(tree, at), start))
        });
        let off = open.chain(held).filter(|(_, _, start)| start.is_off());
        let first = off.min_by_key(|(number, ..)| *number);
        first.map(|(number, place, _)| (number, place))
    }

    /// The first open one waits beside those of its tree.
    fn hold_back(&mut self) {
        let Some(call) = self.open.pop_front() else {
            return;
        };
        let tree = call.1.instance();
        match self.held.iter_mut().find(|held| held.tree == tree) {
            Some(held) => held.calls.push_back(call),
            None => self.held.push(Held {
                tree,
                calls: VecDeque::from([call]),
            }),
        }
    }

    /// The first one from a place on, and then from the start, that can begin or end
    /// without: for a seed to pick.
    pub fn startable_from(
        &mut self,
        first: usize,
        may_enter: impl Fn(&Start) -> Enter,
    ) -> Option<Place> {
        if !self.held.is_empty() {
            let held = self.held.drain(..).flat_map(|held| held.calls);
            self.open.extend(held);
            self.open
                .make_contiguous()
                .sort_by_key(|(number, _)| *number);
        }
        let mut places = (first..self.open.len()).chain(0..first);
        let found = places.find(|at| {
            let start = self.open.get(*at).map(|(_, start)| start);
            start.is_some_and(|start| start.is_off() || !matches!(may_enter(start), Enter::Later))
        });
        found.map(Place::Open)
    }
}
