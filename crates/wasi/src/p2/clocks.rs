//! `wasi:clocks`: `wall-clock` and `monotonic-clock`.

use super::bindings::wasi::clocks::{monotonic_clock, wall_clock};
use super::io::Pollable;
use crate::host::clock;
use crate::{HasWasi, WasiCtxView};
use helve::Result;
use helve::component::{Access, Resource};
use std::time::{Duration, SystemTime};
use wall_clock::Datetime;

impl From<SystemTime> for Datetime {
    fn from(time: SystemTime) -> Datetime {
        let (seconds, nanoseconds) = clock::split(time);
        Datetime {
            seconds,
            nanoseconds,
        }
    }
}

impl wall_clock::Host for WasiCtxView<'_> {
    fn now(&mut self) -> Result<Datetime> {
        Ok(SystemTime::now().into())
    }

    fn resolution(&mut self) -> Result<Datetime> {
        Ok(Datetime {
            seconds: 0,
            nanoseconds: 1,
        })
    }
}

impl monotonic_clock::Host for WasiCtxView<'_> {
    fn resolution(&mut self) -> Result<u64> {
        Ok(1)
    }

    fn subscribe_instant(&mut self, when: u64) -> Result<Resource<Pollable>> {
        Ok(self.table.push(Pollable::at(Duration::from_nanos(when)))?)
    }
}

/// What the store's clock is asked for.
impl monotonic_clock::HostWithStore for HasWasi {
    fn now<T: 'static>(mut host: Access<'_, T, Self>) -> Result<u64> {
        Ok(clock::nanos(host.now()))
    }

    fn subscribe_duration<T: 'static>(
        mut host: Access<'_, T, Self>,
        span: u64,
    ) -> Result<Resource<Pollable>> {
        let when = host.now().saturating_add(Duration::from_nanos(span));
        Ok(host.get().table.push(Pollable::at(when))?)
    }
}
