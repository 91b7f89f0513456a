//! Memory rows: what a live task, a stream, a handle, an idle fiber and an instance take.
//!
//! Each figure is the growth of the resident set of a process of its own (`--memory`), over
//! the number of things. Not here: time (`measure`).

use crate::rows::{Drive, Row};
use crate::{helve_side, rows, wasmtime_side};
use helve_fiber::{Fiber, PoolConfig, StackPool, Step, Suspender};
use std::process::{Command, ExitCode};

/// What is made, and how many at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Thing {
    Task,
    Stream,
    Handle,
    Fiber,
    Instance,
}

/// What a row has to reach.
#[derive(Clone, Copy)]
pub enum Goal {
    /// Helve's bytes over Wasmtime's, at most.
    Ratio(f64),
    /// Helve's bytes, at most.
    Bytes(f64),
}

/// One row of the table of memory.
#[derive(Clone, Copy)]
pub struct MemoryRow {
    pub name: &'static str,
    pub what: &'static str,
    pub goal: Goal,
    pub count: u32,
    thing: Thing,
}

/// Bytes for each thing.
pub struct Measured {
    pub ours: f64,
    pub theirs: Option<f64>,
}

impl Measured {
    pub fn reached(&self, goal: Goal) -> bool {
        match goal {
            Goal::Bytes(most) => self.ours <= most,
            Goal::Ratio(most) => self.theirs.is_some_and(|theirs| self.ours / theirs <= most),
        }
    }
}

const fn row(
    name: &'static str,
    what: &'static str,
    thing: Thing,
    count: u32,
    goal: Goal,
) -> MemoryRow {
    MemoryRow {
        name,
        what,
        goal,
        count,
        thing,
    }
}

pub const ROWS: &[MemoryRow] = &[
    row(
        "memory-task",
        "a task that waits for the host",
        Thing::Task,
        10_000,
        Goal::Ratio(0.25),
    ),
    row(
        "memory-stream",
        "a stream, both ends",
        Thing::Stream,
        10_000,
        Goal::Ratio(0.25),
    ),
    row(
        "memory-handle",
        "a handle",
        Thing::Handle,
        1_000_000,
        Goal::Bytes(16.0),
    ),
    row(
        "memory-fiber",
        "an idle fiber",
        Thing::Fiber,
        10_000,
        Goal::Bytes(4096.0 + 256.0),
    ),
    row(
        "memory-instance",
        "an instance, in one store",
        Thing::Instance,
        1_000,
        Goal::Ratio(0.5),
    ),
];

/// Bytes of this process that are in memory now (`VmRSS`) or were at most (`VmHWM`).
fn resident(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status
        .lines()
        .find(|line| line.starts_with(field))
        .expect("Linux has this field");
    let kib = line
        .split_whitespace()
        .nth(1)
        .and_then(|word| word.parse::<u64>().ok());
    kib.expect("a number of KiB") * 1024
}

/// The row that `many-tasks` is, with another number of tasks.
fn many_tasks(count: u32) -> Row {
    let row = rows::find("many-tasks").expect("it is a row");
    Row {
        drive: Drive::ManyTasks(count),
        ..row
    }
}

unsafe extern "C" fn idle(_: *mut u8, suspender: &Suspender, word: usize) -> usize {
    suspender.suspend() + word
}

fn fibers(count: u32) -> u64 {
    let pool = StackPool::new(PoolConfig::default());
    let make = |_| {
        let stack = pool
            .take()
            .expect("there are fewer fibers than the pool may have");
        // SAFETY: `idle` owns nothing.
        let mut fiber = unsafe { Fiber::new(stack, idle, std::ptr::null_mut()) };
        // SAFETY: it has not finished.
        assert!(unsafe { fiber.resume(1) } == Step::Suspended);
        fiber
    };
    let mut fibers: Vec<Fiber> = Vec::with_capacity(count as usize);
    fibers.extend((0..8).map(make));
    let before = resident("VmRSS:");
    fibers.extend((8..count).map(make));
    resident("VmRSS:") - before
}

/// In the process of a figure's own: prints bytes for each of the things.
pub fn child(name: &str, engine: &str) {
    let row = ROWS
        .iter()
        .find(|row| row.name == name)
        .expect("a memory row");
    let count = row.count;
    let before;
    let after;
    if row.thing == Thing::Fiber {
        println!("{}", fibers(count) as f64 / f64::from(count - 8));
        return;
    }
    if row.thing == Thing::Task {
        let row = many_tasks(count);
        let mut work = if engine == "helve" {
            helve_side::drive::workload(&row, true)
        } else {
            wasmtime_side::drive::workload(&row, true)
        };
        before = resident("VmRSS:");
        work(1);
        after = resident("VmHWM:");
    } else {
        let mut hold = if engine == "helve" {
            helve_side::drive::holder(row.thing)
        } else {
            wasmtime_side::drive::holder(row.thing)
        };
        hold(8);
        before = resident("VmRSS:");
        hold(count);
        after = resident("VmRSS:");
        std::mem::forget(hold);
    }
    println!("{}", after.saturating_sub(before) as f64 / f64::from(count));
}

/// Bytes by which a process may grow while it makes any number of instances.
const FLAT: u64 = 4 << 20;

/// Makes and frees instances: of one module, of twenty nested, with an image that is written
/// to; says how much memory the process has before and after.
pub fn many(count: u32) -> ExitCode {
    let mut flat = true;
    for name in ["inst-small-pool", "inst-20-pool", "inst-image-pool-16"] {
        let row = rows::find(name).expect("it is a row");
        let mut work = helve_side::drive::workload(&row, true);
        work(1000);
        let before = resident("VmRSS:");
        work(count / 3);
        let after = resident("VmRSS:");
        println!(
            "{name}: {} instances, {before} bytes, then {after}",
            count / 3
        );
        flat &= after < before + FLAT;
    }
    if flat {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn ask(row: &MemoryRow, engine: &str) -> f64 {
    let me = std::env::current_exe().expect("Linux has it");
    let out = Command::new(me)
        .args(["--memory", row.name, engine])
        .output()
        .expect("it can be started");
    let text = String::from_utf8_lossy(&out.stdout);
    let said = || String::from_utf8_lossy(&out.stderr).into_owned();
    text.trim()
        .parse()
        .unwrap_or_else(|_| panic!("{} on {engine}: {}", row.name, said()))
}

/// Measures a row, each engine in a process of its own.
pub fn measure(row: &MemoryRow) -> Measured {
    let theirs = matches!(row.goal, Goal::Ratio(_)).then(|| ask(row, "wasmtime"));
    Measured {
        ours: ask(row, "helve"),
        theirs,
    }
}
