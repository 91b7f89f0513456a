//! How much CPU time was used: what says that a guest has run for long, whatever else the
//! machine does.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// CPU time of all threads of this process.
pub fn process() -> Duration {
    read(ClockId::ProcessCPUTime)
}

/// CPU time of this thread.
pub fn thread() -> Duration {
    read(ClockId::ThreadCPUTime)
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}
