//! `wasi:clocks`: `wall-clock` and `monotonic-clock`.

use super::bind::func;
use super::io::Pollable;
use crate::WasiView;
use crate::host::clock;
use helve::component::{ComponentType, Lift, Linker, Lower};
use helve::{Result, StoreContextMut};
use std::time::Duration;

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
    monotonic.func_wrap("now", |mut cx: StoreContextMut<'_, T>, (): ()| {
        Ok((clock::nanos(cx.now()),))
    })?;
    func(&mut monotonic, "resolution", |_, (): ()| Ok(1u64))?;
    func(
        &mut monotonic,
        "subscribe-instant",
        |host, (when,): (u64,)| {
            let pollable = Pollable::at(Duration::from_nanos(when));
            Ok(host.table.push(pollable)?)
        },
    )?;
    monotonic.func_wrap(
        "subscribe-duration",
        |mut cx: StoreContextMut<'_, T>, (span,): (u64,)| {
            let when = cx.now().saturating_add(Duration::from_nanos(span));
            let table = cx.data_mut().wasi().table;
            Ok((table.push(Pollable::at(when))?,))
        },
    )
}
