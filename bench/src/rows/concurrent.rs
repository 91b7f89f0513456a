//! Async calls: callback and stackful callees, many at once.

use super::{Drive, Host, Row, guest_async, row};

const CALL: &str = include_str!("../../wat/async_call.wat");
const BLOCKING: &str = include_str!("../../wat/async_blocking_callee.wat");
const STACKFUL: &str = include_str!("../../wat/async_stackful.wat");
const FANOUT: &str = include_str!("../../wat/fanout.wat");
const MANY: &str = include_str!("../../wat/many_tasks.wat");

const fn blocking(name: &'static str, export: &'static str, target: f64) -> Row {
    guest_async(name, BLOCKING, export, target)
        .args(&[1], super::count)
        .host(Host::Nap)
}

const fn fanout(name: &'static str, export: &'static str, args: &'static [u32]) -> Row {
    let sum = |n: u64, args: &[u32]| n * u64::from(args[0]) * (u64::from(args[0]) + 1) / 2;
    guest_async(name, FANOUT, export, 1.0 / 30.0)
        .args(args, sum)
        .per(args[0])
}

pub const ROWS: &[Row] = &[
    guest_async("async-now", CALL, "async-now", 1.0 / 60.0)
        .what("async lower, callback, returns at once"),
    guest_async("async-later", CALL, "async-later", 1.0 / 30.0)
        .what("async lower, callback, yields"),
    guest_async("async-plain", CALL, "async-plain", 1.0 / 60.0)
        .what("async lower, sync-lifted async func"),
    guest_async("sync-now", CALL, "sync-now", 1.0 / 50.0)
        .what("sync lower, callback, returns at once"),
    guest_async("sync-later", CALL, "sync-later", 1.0 / 30.0).what("sync lower, callback, yields"),
    guest_async("stackful-async-now", STACKFUL, "async-now", 1.0 / 40.0)
        .what("async lower, stackful"),
    guest_async("stackful-async-later", STACKFUL, "async-later", 1.0 / 30.0)
        .what("the same, yields"),
    guest_async("stackful-sync-now", STACKFUL, "sync-now", 1.0 / 40.0).what("sync lower, stackful"),
    guest_async("stackful-sync-later", STACKFUL, "sync-later", 1.0 / 30.0).what("the same, yields"),
    blocking("blocking-capable-async-now", "async-now", 1.0 / 40.0)
        .what("async-now, callee could block"),
    blocking("blocking-capable-async-later", "async-later", 1.0 / 30.0)
        .what("async-later, callee could block"),
    blocking("blocking-capable-sync-now", "sync-now", 1.0 / 40.0)
        .what("sync-now, callee could block"),
    fanout("fanout-64", "wait", &[64]).what("a subtask of 64 that wait, one set"),
    fanout("fanout-4096", "wait", &[4096]).what("a subtask of 4096 that wait, one set"),
    fanout("fanout-yield-64", "yield", &[64]).what("a subtask of 64 that yield"),
    fanout("fanout-yield-4096", "yield", &[4096]).what("a subtask of 4096 that yield"),
    row("many-tasks", MANY, Drive::ManyTasks(10_000), 1.0 / 20.0)
        .what("a task of 10,000 that wait for the host")
        .per(10_000)
        .waits(),
];
