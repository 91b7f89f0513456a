//! What became of handles: optional, so that an error about a handle tells its story.
//!
//! ```text
//!  HotStorage::set --> History (a ring of the store's last events) --> Part::refused
//!    slot before, slot after           when an error is made: those of its index
//! ```
//!
//! With [`Config::handle_history`](crate::Config::handle_history) everything that changes a
//! handle table goes through the host: nothing of a table is generated code then, so that
//! each change passes here. Without it there is no recorder, and nothing is asked. Not here:
//! what the tables hold now (`inspect`).
//!
//! # Safety
//!
//! Tables change in host calls of their store, or while no guest runs: then its stack can be
//! walked.

use crate::component::drive::call::Origin;
use crate::core::backtrace::Backtrace;
use crate::core::store::StorePtr;
use helve_model::handles::{Kind, Slot};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

/// Frames of a guest's stack that an event keeps.
const FRAMES: usize = 8;

/// What happened to an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// It stands for something from now on.
    Taken,
    /// It was lent: so many loans are there now.
    Lent(u32),
    /// It is free.
    Freed,
}

struct Event {
    table: u32,
    index: u32,
    what: What,
    slot: Slot,
    /// The built-in that did it; else a call did, or the host.
    by: Option<&'static str>,
    trace: Backtrace,
}

/// The last events of all tables of a store.
pub(crate) struct History {
    store: StorePtr,
    most: usize,
    events: RefCell<VecDeque<Event>>,
    /// Whether events were left out to keep within bounds.
    forgotten: Cell<bool>,
    /// Where the call was made whose values are being moved.
    called: RefCell<Option<Backtrace>>,
    /// The built-in that runs.
    by: Cell<Option<&'static str>>,
    tables: Cell<u32>,
}

/// Records one table's events.
pub(crate) struct Recorder {
    history: Rc<History>,
    table: u32,
}

/// While a built-in runs.
pub(crate) struct During<'a>(Option<&'a History>, Option<&'static str>);

impl Drop for During<'_> {
    fn drop(&mut self) {
        if let Some(history) = self.0 {
            history.by.set(self.1);
        }
    }
}

/// While values of a call are moved.
pub(crate) struct Called<'a>(Option<&'a History>);

impl Drop for Called<'_> {
    fn drop(&mut self) {
        if let Some(history) = self.0 {
            history.called.take();
        }
    }
}

impl History {
    /// Of a store, with at most so many events.
    pub fn new(store: StorePtr, most: usize) -> Rc<History> {
        Rc::new(History {
            store,
            most,
            events: RefCell::default(),
            forgotten: Cell::new(false),
            called: RefCell::default(),
            by: Cell::new(None),
            tables: Cell::new(0),
        })
    }

    /// For one more table.
    pub fn recorder(self: &Rc<Self>) -> Recorder {
        let table = self.tables.get();
        self.tables.set(table.wrapping_add(1));
        Recorder {
            history: self.clone(),
            table,
        }
    }

    /// Until the result is dropped, the built-in `name` does what is done.
    pub fn during<'a>(history: Option<&'a History>, name: &'static str) -> During<'a> {
        During(history, history.and_then(|it| it.by.replace(Some(name))))
    }

    /// Until the result is dropped, what is moved belongs to a call from there.
    pub fn called_at<'a>(history: Option<&'a History>, origin: Option<&Origin>) -> Called<'a> {
        let known = history.zip(origin);
        if let Some((history, origin)) = known {
            history.called.replace(Some(origin.trace.clone()));
        }
        Called(known.map(|(history, _)| history))
    }

    /// The guest's functions that run.
    pub fn trace(&self) -> Backtrace {
        // SAFETY: see the head of this file.
        let mut raw = unsafe { helve_vm::backtrace::capture(self.store.vm()) };
        raw.truncated |= raw.frames.len() > FRAMES;
        raw.frames.truncate(FRAMES);
        Backtrace::new(&raw)
    }

    fn record(&self, table: u32, index: u32, what: What, slot: Slot) {
        let called = self.called.borrow().clone();
        let event = Event {
            table,
            index,
            what,
            slot,
            by: self.by.get(),
            trace: called.unwrap_or_else(|| self.trace()),
        };
        let mut events = self.events.borrow_mut();
        if events.len() >= self.most {
            events.pop_front();
            self.forgotten.set(true);
        }
        events.push_back(event);
    }
}

impl Recorder {
    /// A slot was one thing and is another.
    pub fn changed(&self, index: u32, before: Slot, after: Slot) {
        let history = &self.history;
        match (before.kind(), after.kind()) {
            (Kind::Free, Kind::Free) => {}
            (Kind::Free, _) => history.record(self.table, index, What::Taken, after),
            (_, Kind::Free) => history.record(self.table, index, What::Freed, before),
            (kind, _) if kind.is_resource() && after.lends() > before.lends() => {
                history.record(self.table, index, What::Lent(after.lends()), after);
            }
            _ => {}
        }
    }

    /// What became of an index, for an error about it: from when it was last taken.
    /// `name` says what a slot holds.
    pub fn story(&self, index: u32, name: impl Fn(Slot) -> String) -> String {
        let events = self.history.events.borrow();
        let of_index = |event: &&Event| event.table == self.table && event.index == index;
        let mut last = Vec::new();
        for event in events.iter().rev().filter(of_index) {
            last.push(event);
            if event.what == What::Taken {
                break;
            }
        }
        if last.is_empty() {
            let text = match self.history.forgotten.get() {
                true => "nothing is known of it any more: raise Config::handle_history",
                false => "it was never in use",
            };
            return format!("\n  index {index}: {text}");
        }
        let mut story = String::new();
        for event in last.into_iter().rev() {
            story += &format!("\n  index {index} {}", event.tell(&name));
        }
        story
    }
}

impl Event {
    fn tell(&self, name: impl Fn(Slot) -> String) -> String {
        let what = match (self.what, self.by) {
            (What::Taken, Some(by)) if by.ends_with("new") => {
                format!("was made by `{by}`: {}", name(self.slot))
            }
            (What::Taken, Some(by)) => format!("came in by `{by}`: {}", name(self.slot)),
            (What::Taken, None) => format!("came in with a call: {}", name(self.slot)),
            (What::Lent(loans), _) => format!("was lent to a call (loans: {loans})"),
            (What::Freed, Some(by)) if by.contains("drop") => format!("was dropped by `{by}`"),
            (What::Freed, Some(by)) => format!("was given away by `{by}`"),
            (What::Freed, None) => "was given away in a call".to_owned(),
        };
        let frames: Vec<String> = self.trace.frames().iter().map(place).collect();
        match frames.is_empty() {
            true => format!("{what}, by the host"),
            false => format!("{what}\n      at {}", frames.join("\n      at ")),
        }
    }
}

/// `module!function+offset`, the offset from the module's start.
fn place(frame: &crate::core::backtrace::Frame) -> String {
    let module = frame.module_name().unwrap_or("<unnamed>");
    let name = match frame.func_name() {
        Some(name) => name.to_owned(),
        None => format!("<function {}>", frame.func_index()),
    };
    match frame.module_offset() {
        Some(offset) => format!("{module}!{name} ({offset:#x})"),
        None => format!("{module}!{name}"),
    }
}

/// A store's history, if it keeps one.
#[derive(Default)]
pub(crate) struct HistoryCell(std::cell::OnceCell<Option<Rc<History>>>);

impl HistoryCell {
    /// The history of the store, kept from its first component instance on.
    pub fn get(&self, store: StorePtr, most: usize) -> Option<&Rc<History>> {
        let made = || (most > 0).then(|| History::new(store, most));
        self.0.get_or_init(made).as_ref()
    }

    /// The same, of a store that has instances.
    pub fn known(&self) -> Option<&History> {
        self.0.get()?.as_deref()
    }
}

impl std::fmt::Debug for HistoryCell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let events = self.known().map(|history| history.events.borrow().len());
        f.debug_tuple("History").field(&events).finish()
    }
}
