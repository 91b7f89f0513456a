//! Clocks: wall time since 1970 and monotonic time since the context was made.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds and nanoseconds since 1970-01-01T00:00:00Z; 0 where the clock is before that.
pub fn wall_now() -> (u64, u32) {
    split(SystemTime::now())
}

/// A time as seconds and nanoseconds since 1970; times before that are 0.
pub fn split(time: SystemTime) -> (u64, u32) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    (since.as_secs(), since.subsec_nanos())
}

/// Nanoseconds since `start`, saturating after 584 years.
pub fn monotonic_now(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// The instant `nanos` after `start`; `None` where the platform cannot say it, which is
/// so far off that no wait for it ends.
pub fn instant_at(start: Instant, nanos: u64) -> Option<Instant> {
    start.checked_add(Duration::from_nanos(nanos))
}
