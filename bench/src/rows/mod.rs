//! The workloads as data: which text, how it is driven, and the ratio Helve / Wasmtime to reach.
//!
//! Not here: driving one (`drive`, compiled once for each engine), memory (`memory`).

mod calls;
mod concurrent;
mod data;
mod instances;
mod resources;
mod streams;
mod variants;

/// A row of the table.
#[derive(Clone, Copy)]
pub struct Row {
    pub name: &'static str,
    /// What one operation is, in a few words.
    pub what: &'static str,
    pub text: Text,
    pub drive: Drive,
    pub host: Host,
    pub setting: Setting,
    /// Helve's time over Wasmtime's, at most.
    pub target: f64,
    /// Operations in each of the rounds that `drive` counts.
    pub per: u32,
    /// Whether Wasmtime can run it without its concurrency support.
    pub synchronous: bool,
}

/// Where a row's component comes from.
#[derive(Clone, Copy)]
pub enum Text {
    Wat(&'static str),
    /// 5,001 functions, about 1 MB.
    Big,
    /// A data image of 1 MiB.
    Image,
}

/// How a row is driven.
#[derive(Clone, Copy)]
pub enum Drive {
    /// The host calls `add: func(a: u32, b: u32) -> u32`.
    Typed,
    Dynamic,
    CallAsync,
    /// The host calls `now`, async, from one `run_concurrent`.
    Concurrent,
    /// The host calls `run` with a string of 64 bytes and a resource that `make` has made.
    Chain,
    /// The host calls `run: func(s: string, l: list<u32>) -> u32` with lengths.
    HostData {
        string: usize,
        list: usize,
    },
    /// A guest's loop: `export(n, args..)`, whose result must be `result(n, args)`.
    Guest {
        export: &'static str,
        args: &'static [u32],
        result: fn(u64, &[u32]) -> u64,
        asynchronous: bool,
    },
    /// The host writes chunks of so many bytes, a guest reads.
    StreamToGuest(u32),
    /// A guest writes chunks of so many bytes, the host reads.
    StreamToHost(u32),
    /// Tasks that all wait for the host at once.
    ManyTasks(u32),
    /// A store, an instance in it, and their end.
    Instance {
        check: u32,
    },
    /// The same with so many pages written.
    InstanceTouch(u32),
    Compile,
}

/// The host functions that differ from row to row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Host {
    Plain,
    /// `host-add` works with `Val`s.
    Dynamic,
    /// `host-add` is an async function, ready at once.
    Ready,
    /// `nap`: an async function that waits once.
    Nap,
}

/// How the engine is set up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    Default,
    OnDemand,
    Pool,
    /// A pool that keeps 1 MiB of each memory's pages, and asks which were written.
    PoolKeep,
}

fn count(n: u64, _: &[u32]) -> u64 {
    n
}

const fn row(name: &'static str, text: &'static str, drive: Drive, target: f64) -> Row {
    Row {
        name,
        what: "",
        text: Text::Wat(text),
        drive,
        host: Host::Plain,
        setting: Setting::Default,
        target,
        per: 1,
        synchronous: true,
    }
}

/// A guest's loop `export(n) -> n`.
const fn guest(name: &'static str, text: &'static str, export: &'static str, target: f64) -> Row {
    row(
        name,
        text,
        Drive::Guest {
            export,
            args: &[],
            result: count,
            asynchronous: false,
        },
        target,
    )
}

/// The same, of an async type.
const fn guest_async(
    name: &'static str,
    text: &'static str,
    export: &'static str,
    target: f64,
) -> Row {
    let drive = Drive::Guest {
        export,
        args: &[],
        result: count,
        asynchronous: true,
    };
    row(name, text, drive, target).waits()
}

impl Row {
    const fn what(self, what: &'static str) -> Row {
        Row { what, ..self }
    }

    const fn host(self, host: Host) -> Row {
        Row { host, ..self }
    }

    const fn setting(self, setting: Setting) -> Row {
        Row { setting, ..self }
    }

    const fn per(self, per: u32) -> Row {
        Row { per, ..self }
    }

    /// It is asynchronous: nothing to compare with where Wasmtime has no concurrency support.
    const fn waits(self) -> Row {
        Row {
            synchronous: false,
            ..self
        }
    }

    const fn args(self, args: &'static [u32], result: fn(u64, &[u32]) -> u64) -> Row {
        let drive = match self.drive {
            Drive::Guest {
                export,
                asynchronous,
                ..
            } => Drive::Guest {
                export,
                args,
                result,
                asynchronous,
            },
            other => other,
        };
        Row { drive, ..self }
    }

    /// Operations of the first run when it is found out how many to run.
    pub fn first(&self) -> u32 {
        match self.drive {
            Drive::Compile => 1,
            _ => 16u32.div_ceil(self.per),
        }
    }
}

/// All rows, in groups with a title.
pub fn groups() -> Vec<(&'static str, Vec<Row>)> {
    vec![
        ("Calls", calls::ROWS.to_vec()),
        ("Resources", resources::ROWS.to_vec()),
        ("Async calls", concurrent::ROWS.to_vec()),
        ("Streams and futures", streams::ROWS.to_vec()),
        ("Data", data::ROWS.to_vec()),
        ("Instances and compiling", instances::ROWS.to_vec()),
        ("Other shapes", variants::ROWS.to_vec()),
    ]
}

pub fn find(name: &str) -> Option<Row> {
    groups()
        .into_iter()
        .flat_map(|(_, rows)| rows)
        .find(|row| row.name == name)
}
