//! Why nothing goes on: who waits for whom.
//!
//! ```text
//!   deadlock detected: event loop cannot make further progress
//!     root / a `run`, called by the host: thread 1 waits for set 3 with
//!       subtask 2, a call of root / b `get`                            <- cycle
//!     root / b `get`, called by root / a: thread 1 waits for
//!       the readable end 4 of a stream, whose other end root / a holds <- cycle
//! ```
//!
//! The model knows the graph (`helve_model`'s `wait_graph`); here it gets names. Not here:
//! when a store is stalled (`event_loop`, `run`).
//!
//! # Safety
//!
//! Instances are followed with their store at hand.

use crate::component::store::StoreShared;
use helve_base::error::GuestTrap;
use helve_base::{Error, Trap};
use helve_model::wait_graph::{Holder, Waiter, WaitsOn};
use helve_model::{Direction, InstanceId, Shape, TaskId, WaitsFor};
use std::collections::HashSet;
use std::fmt::{self, Display, Formatter};

/// A store in which nothing can go on: every task that waits, and for what. Found in a
/// deadlock's error with `downcast_ref`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stall {
    /// The tasks that wait.
    pub tasks: Vec<StalledTask>,
}

/// A task that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StalledTask {
    /// The component instance that was called: `root`, `root / child`.
    pub instance: String,
    /// The export that was called, where it has a name.
    pub function: Option<String>,
    /// Who called: a component instance; none for the host.
    pub caller: Option<String>,
    /// Its threads.
    pub threads: Vec<StalledThread>,
    /// Whether it waits, over others, for itself.
    pub in_cycle: bool,
}

/// A thread that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StalledThread {
    /// Its index in the table of threads; 0: it has none.
    pub index: u32,
    /// What it waits for.
    pub waits_for: Option<WaitsFor>,
    /// The waitable set that it waits for.
    pub set: Option<u32>,
    /// What could end that, in words, and the places in [`Stall::tasks`] of the tasks
    /// that could do it.
    pub on: Vec<(String, Vec<usize>)>,
}

impl Display for Stall {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.tasks.is_empty() {
            return f.write_str("no task waits: the host's call can't begin");
        }
        f.write_str("who waits for whom:")?;
        for task in &self.tasks {
            write!(f, "\n  {task}")?;
        }
        Ok(())
    }
}

impl Display for StalledTask {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.instance)?;
        if let Some(function) = &self.function {
            write!(f, " `{function}`")?;
        }
        let caller = self.caller.as_deref().unwrap_or("the host");
        write!(f, ", called by {caller}:")?;
        for thread in &self.threads {
            write!(f, " {thread}")?;
        }
        if self.in_cycle {
            f.write_str("  <- cycle")?;
        }
        Ok(())
    }
}

impl Display for StalledThread {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.index {
            0 => f.write_str("it")?,
            index => write!(f, "thread {index}")?,
        }
        match (self.waits_for, self.set) {
            (None, _) => f.write_str(" is suspended, and nobody resumes it")?,
            (Some(WaitsFor::Enter), _) => f.write_str(" waits to enter its instance")?,
            (Some(WaitsFor::Exclusive), _) => f.write_str(" waits for its turn")?,
            (Some(_), Some(set)) if self.on.is_empty() => {
                write!(f, " waits for set {set}, which is empty")?;
            }
            (Some(_), Some(set)) => write!(f, " waits for set {set} with")?,
            (Some(_), None) => f.write_str(" waits for")?,
        }
        for (what, _) in &self.on {
            write!(f, "\n      {what}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Stall {}

/// Nothing of the store can go on, and someone waits.
pub(crate) fn error(shared: &StoreShared) -> Error {
    let trap = GuestTrap::new(
        Trap::Deadlock,
        "deadlock detected: event loop cannot make further progress",
    );
    Error::new(explain(shared)).context(trap)
}

/// Who waits for whom now.
pub(crate) fn explain(shared: &StoreShared) -> Stall {
    let mut drive = shared.drive.state();
    let waiters = drive.model.waiters();
    let mut ids: Vec<TaskId> = Vec::new();
    for waiter in &waiters {
        if !ids.contains(&waiter.task) {
            ids.push(waiter.task);
        }
    }
    let names = Names {
        instance: &|id| drive.path(id).unwrap_or_default(),
        function: &|task| drive.function_name(task),
        instance_of: &|task| drive.model.instance_of_task(task),
        ids: &ids,
    };
    let mut tasks: Vec<StalledTask> = ids.iter().map(|id| names.task(*id, &waiters)).collect();
    for (task, id) in tasks.iter_mut().zip(&ids) {
        let caller = drive
            .model
            .caller_of(*id)
            .and_then(|caller| caller.instance());
        task.caller = caller.map(|id| drive.path(id).unwrap_or_default());
    }
    mark_cycles(&mut tasks);
    Stall { tasks }
}

struct Names<'a> {
    instance: &'a dyn Fn(InstanceId) -> String,
    function: &'a dyn Fn(TaskId) -> Option<String>,
    instance_of: &'a dyn Fn(TaskId) -> Option<InstanceId>,
    ids: &'a [TaskId],
}

impl Names<'_> {
    fn task(&self, id: TaskId, waiters: &[Waiter]) -> StalledTask {
        let threads = waiters.iter().filter(|waiter| waiter.task == id);
        StalledTask {
            instance: (self.instance_of)(id).map_or_else(String::new, self.instance),
            function: (self.function)(id),
            caller: None,
            threads: threads
                .map(|waiter| StalledThread {
                    index: waiter.index,
                    waits_for: waiter.what,
                    set: waiter.set,
                    on: waiter.on.iter().map(|on| self.on(*on)).collect(),
                })
                .collect(),
            in_cycle: false,
        }
    }

    /// The name of a task's function and its place.
    fn callee(&self, task: TaskId) -> (String, Vec<usize>) {
        let instance = (self.instance_of)(task).map_or_else(String::new, self.instance);
        let at = self.ids.iter().position(|id| *id == task);
        let name = match (self.function)(task) {
            Some(function) => format!("{instance} `{function}`"),
            None => instance,
        };
        (name, at.into_iter().collect())
    }

    fn on(&self, on: WaitsOn) -> (String, Vec<usize>) {
        let subtask = |index: u32| match index {
            0 => "a call".to_owned(),
            index => format!("subtask {index}, a call"),
        };
        match on {
            WaitsOn::Task { index, task } => {
                let (name, at) = self.callee(task);
                (format!("{} of {name}", subtask(index)), at)
            }
            WaitsOn::Host { index } => {
                (format!("{} of a host function", subtask(index)), Vec::new())
            }
            WaitsOn::Gone { index } => (
                format!("{} whose callee is gone", subtask(index)),
                Vec::new(),
            ),
            WaitsOn::Excluded(task) => {
                let (name, at) = self.callee(task);
                (format!("{name} to make place in the instance"), at)
            }
            WaitsOn::Backpressure => (
                "the instance to take calls again (`backpressure.dec`)".to_owned(),
                Vec::new(),
            ),
            WaitsOn::End {
                index,
                shape,
                direction,
                busy,
                other,
            } => self.end(index, (shape, direction), busy, other),
        }
    }

    fn end(
        &self,
        index: u32,
        (shape, direction): (Shape, Direction),
        busy: bool,
        other: Holder,
    ) -> (String, Vec<usize>) {
        let shape = match shape {
            Shape::Stream => "stream",
            Shape::Future => "future",
        };
        let (end, verb) = match direction {
            Direction::Readable => ("readable", "read"),
            Direction::Writable => ("writable", "written"),
        };
        let idle = match busy {
            true => "",
            false => " (it is not being {verb})",
        };
        let idle = idle.replace("{verb}", verb);
        let (holder, at) = match other {
            Holder::Host => ("the host holds".to_owned(), Vec::new()),
            Holder::Nobody => ("is dropped".to_owned(), Vec::new()),
            Holder::Instance(instance, index) => {
                let name = (self.instance)(instance);
                let there = |id: &TaskId| (self.instance_of)(*id) == Some(instance);
                let at = (0..).zip(self.ids).filter(|(_, id)| there(id));
                (
                    format!("{name} holds at {index}"),
                    at.map(|(at, _)| at).collect(),
                )
            }
        };
        (
            format!("the {end} end {index} of a {shape}{idle}, whose other end {holder}"),
            at,
        )
    }
}

/// Marks those that wait, over others, for themselves.
fn mark_cycles(tasks: &mut [StalledTask]) {
    let edges: Vec<HashSet<usize>> = tasks
        .iter()
        .map(|task| {
            let on = task.threads.iter().flat_map(|thread| &thread.on);
            on.flat_map(|(_, at)| at.iter().copied()).collect()
        })
        .collect();
    for (at, task) in tasks.iter_mut().enumerate() {
        let mut seen = HashSet::new();
        let mut next: Vec<usize> = edges[at].iter().copied().collect();
        while let Some(found) = next.pop() {
            if seen.insert(found) {
                next.extend(edges.get(found).into_iter().flatten());
            }
        }
        task.in_cycle = seen.contains(&at);
    }
}
