//! `wasi:clocks` 0.3: `system-clock` and `monotonic-clock`.

use crate::WasiView;
use crate::host::clock;
use crate::p2::bind::func;
use helve::component::{Accessor, ComponentType, Lift, Linker, Lower};
use helve::{Result, StoreContextMut};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `system-clock.instant`: seconds and nanoseconds since 1970, seconds rounded down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Instant {
    pub seconds: i64,
    pub nanoseconds: u32,
}

impl From<SystemTime> for Instant {
    fn from(time: SystemTime) -> Instant {
        match time.duration_since(UNIX_EPOCH) {
            Ok(since) => Instant {
                seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
                nanoseconds: since.subsec_nanos(),
            },
            Err(before) => {
                let before = before.duration();
                let seconds = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
                match before.subsec_nanos() {
                    0 => Instant {
                        seconds: -seconds,
                        nanoseconds: 0,
                    },
                    nanos => Instant {
                        seconds: (-seconds).saturating_sub(1),
                        nanoseconds: 1_000_000_000 - nanos,
                    },
                }
            }
        }
    }
}

pub fn add_to_linker<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    linker.instance("wasi:clocks/types@0.3.0")?;
    let mut system = linker.instance("wasi:clocks/system-clock@0.3.0")?;
    func(&mut system, "now", |_, (): ()| {
        Ok(Instant::from(SystemTime::now()))
    })?;
    func(&mut system, "get-resolution", |_, (): ()| Ok(1u64))?;

    let mut monotonic = linker.instance("wasi:clocks/monotonic-clock@0.3.0")?;
    monotonic.func_wrap("now", |mut cx: StoreContextMut<'_, T>, (): ()| {
        Ok((clock::nanos(cx.now()),))
    })?;
    func(&mut monotonic, "get-resolution", |_, (): ()| Ok(1u64))?;
    monotonic.func_wrap_async(
        "wait-until",
        |cx: Accessor<T>, (when,): (u64,)| async move {
            let span = Duration::from_nanos(when).saturating_sub(cx.now()?);
            cx.sleep(span).await
        },
    )?;
    monotonic.func_wrap_async("wait-for", |cx: Accessor<T>, (span,): (u64,)| async move {
        cx.sleep(Duration::from_nanos(span)).await
    })
}
