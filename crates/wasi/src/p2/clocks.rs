//! `wasi:clocks`: `wall-clock` and `monotonic-clock`.

use super::bind::func;
use super::io::Pollable;
use crate::WasiView;
use crate::host::clock;
use crate::host::poll::Readiness;
use helve::Result;
use helve::component::{ComponentType, Lift, Linker, Lower};

/// A moment (`wall-clock.datetime`): seconds and nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Datetime {
    pub seconds: u64,
    pub nanoseconds: u32,
}

impl From<std::time::SystemTime> for Datetime {
    fn from(time: std::time::SystemTime) -> Datetime {
        let (seconds, nanoseconds) = clock::split(time);
        Datetime {
            seconds,
            nanoseconds,
        }
    }
}

pub fn add_to_linker<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    let mut wall = linker.instance("wasi:clocks/wall-clock@0.2.12")?;
    func(&mut wall, "now", |_, (): ()| {
        let (seconds, nanoseconds) = clock::wall_now();
        Ok(Datetime {
            seconds,
            nanoseconds,
        })
    })?;
    func(&mut wall, "resolution", |_, (): ()| {
        Ok(Datetime {
            seconds: 0,
            nanoseconds: 1,
        })
    })?;

    let mut monotonic = linker.instance("wasi:clocks/monotonic-clock@0.2.12")?;
    func(&mut monotonic, "now", |host, (): ()| {
        Ok(clock::monotonic_now(host.ctx.start))
    })?;
    func(&mut monotonic, "resolution", |_, (): ()| Ok(1u64))?;
    func(
        &mut monotonic,
        "subscribe-instant",
        |host, (when,): (u64,)| {
            let moment = clock::instant_at(host.ctx.start, when);
            Ok(host.table.push(Pollable::fixed(
                moment.map_or(Readiness::Never, Readiness::At),
            ))?)
        },
    )?;
    func(
        &mut monotonic,
        "subscribe-duration",
        |host, (span,): (u64,)| {
            let moment = clock::instant_at(std::time::Instant::now(), span);
            Ok(host.table.push(Pollable::fixed(
                moment.map_or(Readiness::Never, Readiness::At),
            ))?)
        },
    )
}
