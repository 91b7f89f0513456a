//! `wasi:clocks` 0.3: `system-clock` and `monotonic-clock`.

use super::bindings::wasi::clocks::system_clock::{self, Instant};
use super::bindings::wasi::clocks::{monotonic_clock, types};
use crate::host::clock;
use crate::{HasWasi, WasiCtxView};
use helve::Result;
use helve::component::{Access, Accessor};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

impl types::Host for WasiCtxView<'_> {}

impl system_clock::Host for WasiCtxView<'_> {
    fn now(&mut self) -> Result<Instant> {
        Ok(SystemTime::now().into())
    }

    fn get_resolution(&mut self) -> Result<u64> {
        Ok(1)
    }
}

impl monotonic_clock::Host for WasiCtxView<'_> {
    fn get_resolution(&mut self) -> Result<u64> {
        Ok(1)
    }
}

impl monotonic_clock::HostWithStore for HasWasi {
    fn now<T: 'static>(mut host: Access<'_, T, Self>) -> Result<u64> {
        Ok(clock::nanos(host.now()))
    }

    async fn wait_until<T: Send + 'static>(cx: &Accessor<T, Self>, when: u64) -> Result<()> {
        let span = Duration::from_nanos(when).saturating_sub(cx.now()?);
        cx.sleep(span).await
    }

    async fn wait_for<T: Send + 'static>(cx: &Accessor<T, Self>, span: u64) -> Result<()> {
        cx.sleep(Duration::from_nanos(span)).await
    }
}
