//! Wall time since 1970. Monotonic time is the store's: since it was made, or virtual where
//! a seed schedules.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds and nanoseconds since 1970-01-01T00:00:00Z; 0 where the clock is before that.
pub fn wall_now() -> (u64, u32) {
    split(SystemTime::now())
}

/// A time as seconds and nanoseconds since 1970; times before that are 0.
pub fn split(time: SystemTime) -> (u64, u32) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    (since.as_secs(), since.subsec_nanos())
}

/// A time of the store's clock in nanoseconds, saturating after 584 years.
pub fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
