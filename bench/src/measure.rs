//! Timing: CPU time per operation, median and best of several runs.

use std::time::Duration;

/// Nanoseconds of CPU time per operation.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub median: f64,
    pub best: f64,
}

/// How long and how often to measure.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// The shortest run.
    pub run: Duration,
    pub repeats: usize,
}

/// Whose time counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    Thread,
    /// For what works on several threads.
    Process,
}

impl Clock {
    fn now(self) -> Duration {
        let clock = match self {
            Clock::Thread => libc::CLOCK_THREAD_CPUTIME_ID,
            Clock::Process => libc::CLOCK_PROCESS_CPUTIME_ID,
        };
        let mut t = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: `t` is a valid place for the answer.
        unsafe { libc::clock_gettime(clock, &mut t) };
        Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
    }
}

/// A workload: runs so many rounds.
pub type Operation = Box<dyn FnMut(u32)>;

fn time(operation: &mut dyn FnMut(u32), count: u32, clock: Clock) -> Duration {
    let start = clock.now();
    operation(count);
    clock.now() - start
}

/// The number of rounds that takes about `effort.run`.
fn calibrate(operation: &mut dyn FnMut(u32), first: u32, effort: Effort, clock: Clock) -> u32 {
    let mut count = first;
    loop {
        let took = time(operation, count, clock);
        if took >= effort.run || count >= 1 << 28 {
            return count;
        }
        let wanted =
            effort.run.as_secs_f64() * 1.1 / (took.as_secs_f64() / f64::from(count)).max(1e-10);
        count = (wanted as u64)
            .clamp(u64::from(count) + 1, u64::from(count) * 16)
            .min(1 << 28) as u32;
    }
}

/// Measures all the operations in turns, so that they see the same machine: nanoseconds per
/// round.
pub fn compare(
    operations: &mut [Operation],
    first: u32,
    effort: Effort,
    clock: Clock,
) -> Vec<Sample> {
    let counts: Vec<u32> = operations
        .iter_mut()
        .map(|operation| calibrate(operation, first, effort, clock))
        .collect();
    let mut times = vec![Vec::new(); operations.len()];
    for _ in 0..effort.repeats {
        for (at, operation) in operations.iter_mut().enumerate() {
            let took = time(operation, counts[at], clock);
            times[at].push(took.as_nanos() as f64 / f64::from(counts[at]));
        }
    }
    times.into_iter().map(sample).collect()
}

fn sample(mut times: Vec<f64>) -> Sample {
    times.sort_by(f64::total_cmp);
    Sample {
        median: times[times.len() / 2],
        best: times[0],
    }
}
