//! Instances: made and dropped, with and without a pool, with an image; and compiling.

use super::{Drive, Row, Setting, Text, row};

const SMALL: &str = include_str!("../../wat/inst_small.wat");
const TWENTY: &str = include_str!("../../wat/inst_20.wat");

const fn image(name: &'static str, pages: u32, setting: Setting, target: f64) -> Row {
    let row = row(name, "", Drive::InstanceTouch(pages), target).setting(setting);
    Row {
        text: Text::Image,
        ..row
    }
}

pub const ROWS: &[Row] = &[
    row(
        "inst-small-pool",
        SMALL,
        Drive::Instance { check: 1 },
        1.0 / 2.0,
    )
    .what("one module, a pool")
    .setting(Setting::Pool),
    row(
        "inst-small-ondemand",
        SMALL,
        Drive::Instance { check: 1 },
        2.0 / 3.0,
    )
    .what("the same, on demand")
    .setting(Setting::OnDemand),
    row(
        "inst-20-pool",
        TWENTY,
        Drive::Instance { check: 20 },
        1.0 / 4.0,
    )
    .what("20 nested, a pool")
    .setting(Setting::Pool),
    image("inst-image-pool-4", 4, Setting::PoolKeep, 1.0 / 2.0)
        .what("image of 1 MiB, 4 pages written"),
    image("inst-image-pool-16", 16, Setting::PoolKeep, 1.0 / 2.0)
        .what("image of 1 MiB, 16 pages written"),
    image("inst-image-ondemand-4", 4, Setting::OnDemand, 2.0 / 3.0)
        .what("the same on demand, 4 pages"),
    Row {
        text: Text::Big,
        ..row("compile", "", Drive::Compile, 1.05)
    }
    .what("1 MB, 5,001 functions, ahead of time; all threads"),
];
