//! The same things in other shapes: no row above is reached by its text alone.

use super::data::data;
use super::{Drive, Host, Row, guest, guest_async, row};

const WIDE: &str = include_str!("../../wat/wide.wat");
const CAPABLE: &str = include_str!("../../wat/sync_capable.wat");
const ENCODINGS: &str = include_str!("../../wat/encodings.wat");
const DEEP: &str = include_str!("../../wat/deep.wat");
const HOST_DATA: &str = include_str!("../../wat/host_data.wat");
const CHAIN: &str = include_str!("../../wat/async_chain3.wat");
const STREAMS: &str = include_str!("../../wat/streams_many.wat");
const STREAM_G2G: &str = include_str!("../../wat/stream_g2g.wat");

const fn encoding(name: &'static str, export: &'static str, target: f64) -> Row {
    guest(name, ENCODINGS, export, target).args(&[1000], |_, args| args[0].into())
}

const fn streams(name: &'static str, args: &'static [u32]) -> Row {
    let bytes = |n: u64, args: &[u32]| 16 * n * u64::from(args[0]);
    guest_async(name, STREAMS, "run", 1.0 / 15.0)
        .args(args, bytes)
        .per(args[0])
}

pub const ROWS: &[Row] = &[
    guest("wide-flat", WIDE, "run-flat", 0.7).what("10 parameters of 10 types"),
    guest("wide-spilled", WIDE, "run-spilled", 0.7).what("20 parameters, through memory"),
    guest_async("capable-add", CAPABLE, "run-add", 0.7)
        .what("g2g-scalar, callee could block elsewhere")
        .host(Host::Nap),
    guest_async("capable-method", CAPABLE, "run-method", 1.0 / 25.0)
        .what("res-method, callee could block elsewhere")
        .host(Host::Nap),
    encoding("string-utf8-utf16", "utf8-utf16", 0.7).what("1,000 letters, utf8 to utf16"),
    encoding("string-utf16-utf8", "utf16-utf8", 0.7).what("utf16 to utf8"),
    encoding("string-utf16-utf16", "utf16-utf16", 0.7).what("utf16 to utf16"),
    encoding("string-latin1-utf8", "latin1-utf8", 0.7).what("latin1+utf16 to utf8"),
    encoding("string-utf8-latin1", "utf8-latin1", 0.7).what("utf8 to latin1+utf16"),
    guest("deep-50", DEEP, "run", 0.6)
        .args(&[50], |_, args| args[0].into())
        .what("50 records of options, variants, lists, results"),
    data("records-1", "run-records", &[1], 0.6).what("g2g-records with one record"),
    row(
        "host-guest-data",
        HOST_DATA,
        Drive::HostData {
            string: 64,
            list: 16,
        },
        1.0 / 5.0,
    )
    .what("string of 64 B and 16 numbers to a guest"),
    guest("guest-host-data", HOST_DATA, "give", 1.0 / 2.0)
        .args(&[64, 16], |_, args| u64::from(args[0] + args[1]))
        .what("the same to the host, as String and Vec"),
    guest_async("chain3-async-now", CHAIN, "now", 1.0 / 40.0)
        .what("A, B, C, async, a string of 32 B"),
    guest_async("chain3-async-later", CHAIN, "later", 1.0 / 30.0)
        .what("the same, C yields, A and B wait"),
    streams("streams-2", &[2]).what("a write of 16 B to each of 2 streams"),
    streams("streams-32", &[32]).what("a write of 16 B to each of 32 streams"),
    guest_async("stream-100-small-read", STREAM_G2G, "run", 1.0 / 15.0)
        .args(&[100, 7], |n, args| n * u64::from(args[0]))
        .what("100 B writes, 7 B reads"),
];
