//! Streams and futures, between guests and with the host.

use super::{Drive, Row, guest_async, row};

const G2G: &str = include_str!("../../wat/stream_g2g.wat");
const HOST: &str = include_str!("../../wat/stream_host.wat");
const RESOURCES: &str = include_str!("../../wat/stream_resources.wat");
const FUTURE: &str = include_str!("../../wat/future.wat");

const fn stream(name: &'static str, args: &'static [u32], target: f64) -> Row {
    guest_async(name, G2G, "run", target).args(args, |n, args| n * u64::from(args[0]))
}

const fn resources(name: &'static str, args: &'static [u32], target: f64) -> Row {
    let handles = |n: u64, args: &[u32]| (n as u32).wrapping_mul(args[0]).into();
    guest_async(name, RESOURCES, "run", target).args(args, handles)
}

pub const ROWS: &[Row] = &[
    stream("stream-64k", &[65536, 65536], 0.6).what("64 KiB writes, 64 KiB reads"),
    stream("stream-1", &[1, 1], 1.0 / 15.0).what("1 B writes, 1 B reads"),
    stream("stream-1-big-read", &[1, 65536], 1.0 / 8.0).what("1 B writes into a read of 64 KiB"),
    row(
        "stream-host-guest-64k",
        HOST,
        Drive::StreamToGuest(65536),
        0.8,
    )
    .what("host to guest, a chunk")
    .waits(),
    row(
        "stream-host-guest-1",
        HOST,
        Drive::StreamToGuest(1),
        1.0 / 6.0,
    )
    .what("host to guest, 1 B")
    .waits(),
    row(
        "stream-guest-host-64k",
        HOST,
        Drive::StreamToHost(65536),
        0.8,
    )
    .what("guest to host, a chunk")
    .waits(),
    row(
        "stream-guest-host-1",
        HOST,
        Drive::StreamToHost(1),
        1.0 / 6.0,
    )
    .what("guest to host, 1 B")
    .waits(),
    resources("stream-resources-1", &[1], 1.0 / 15.0).what("a write of 1 handle"),
    resources("stream-resources-64", &[64], 1.0 / 25.0).what("a write of 64 handles"),
    guest_async("future-local", FUTURE, "run-local", 1.0 / 15.0).what("both ends in one component"),
    guest_async("future-cross", FUTURE, "run-cross", 1.0 / 30.0).what("with an async call"),
];
