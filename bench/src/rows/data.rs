//! Strings, lists and records from guest to guest.

use super::{Row, guest};

const DATA: &str = include_str!("../../wat/g2g_data.wat");

pub const fn data(
    name: &'static str,
    export: &'static str,
    args: &'static [u32],
    target: f64,
) -> Row {
    guest(name, DATA, export, target).args(args, |_, args| args[0].into())
}

pub const ROWS: &[Row] = &[
    data("g2g-string-16", "run-string", &[16], 0.7).what("utf8, 16 B"),
    data("g2g-string-1k", "run-string", &[1024], 0.7).what("utf8, 1 KiB"),
    data("g2g-string-64k", "run-string", &[65536], 0.8).what("utf8, 64 KiB"),
    data("g2g-list-u8-4k", "run-u8", &[4096], 1.0 / 15.0).what("list<u8>, 4 KiB"),
    data("g2g-list-u8-64k", "run-u8", &[65536], 1.0 / 15.0).what("list<u8>, 64 KiB"),
    data("g2g-list-u32-4k", "run-u32", &[1024], 1.0 / 5.0).what("list<u32>, 4 KiB"),
    data("g2g-records-100", "run-records", &[100], 0.6)
        .what("100 records of a number and a string"),
];
