//! Calls of numbers: host to guest, guest to host, guest to guest.

use super::{Drive, Host, Row, guest, guest_async, row};

const SCALAR: &str = include_str!("../../wat/scalar.wat");
const GUEST_HOST: &str = include_str!("../../wat/guest_host.wat");
const GUEST_HOST_ASYNC: &str = include_str!("../../wat/guest_host_async.wat");
const G2G_SCALAR: &str = include_str!("../../wat/g2g_scalar.wat");
const ASYNC_CALL: &str = include_str!("../../wat/async_call.wat");
const CHAIN3: &str = include_str!("../../wat/chain3.wat");

pub const ROWS: &[Row] = &[
    row("host-guest-typed", SCALAR, Drive::Typed, 1.0 / 25.0).what("TypedFunc::call"),
    row("host-guest-dynamic", SCALAR, Drive::Dynamic, 1.0 / 10.0).what("Func::call with Val"),
    row(
        "host-guest-call-async",
        SCALAR,
        Drive::CallAsync,
        1.0 / 15.0,
    )
    .what("TypedFunc::call_async")
    .waits(),
    row(
        "host-guest-concurrent",
        ASYNC_CALL,
        Drive::Concurrent,
        1.0 / 15.0,
    )
    .what("call_concurrent, callback callee")
    .waits(),
    guest("guest-host", GUEST_HOST, "run", 1.0 / 20.0).what("func_wrap"),
    guest("guest-host-dynamic", GUEST_HOST, "run", 1.0 / 8.0)
        .what("func_new")
        .host(Host::Dynamic),
    guest_async(
        "guest-host-async-async",
        GUEST_HOST_ASYNC,
        "run-async",
        1.0 / 10.0,
    )
    .what("async host function, ready at once, async lower")
    .host(Host::Ready),
    guest_async(
        "guest-host-async-sync",
        GUEST_HOST_ASYNC,
        "run-sync",
        1.0 / 10.0,
    )
    .what("the same, sync lower")
    .host(Host::Ready),
    guest("g2g-scalar", G2G_SCALAR, "run", 0.7).what("sync lower, sync lift"),
    guest_async("sync-plain", ASYNC_CALL, "sync-plain", 0.85)
        .what("sync lower, sync-lifted async func"),
    row("chain3", CHAIN3, Drive::Chain, 1.0 / 15.0)
        .what("host, A, B, C: a string of 64 B and a borrow"),
];
