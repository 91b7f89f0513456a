//! Timing: thread CPU time per operation, median and best of several runs.

use std::time::Duration;

/// Nanoseconds of thread CPU time per operation.
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

fn thread_cpu() -> Duration {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is a valid place for the answer.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut t) };
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}

fn time(operation: &mut dyn FnMut(u32), count: u32) -> Duration {
    let start = thread_cpu();
    operation(count);
    thread_cpu() - start
}

/// The number of operations that takes about `effort.run`.
pub fn calibrate(operation: &mut dyn FnMut(u32), effort: Effort) -> u32 {
    let mut count = 16u32;
    loop {
        let took = time(operation, count);
        if took >= effort.run || count >= 1 << 28 {
            return count;
        }
        let wanted = effort.run.as_secs_f64() * 1.1 / (took.as_secs_f64() / f64::from(count)).max(1e-10);
        count = (wanted as u64).clamp(u64::from(count) + 1, u64::from(count) * 16).min(1 << 28) as u32;
    }
}

/// Measures both operations in turns, so that both see the same machine.
pub fn compare(one: &mut dyn FnMut(u32), other: &mut dyn FnMut(u32), effort: Effort) -> (Sample, Sample) {
    let counts = (calibrate(one, effort), calibrate(other, effort));
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..effort.repeats {
        a.push(time(one, counts.0).as_nanos() as f64 / f64::from(counts.0));
        b.push(time(other, counts.1).as_nanos() as f64 / f64::from(counts.1));
    }
    (sample(a), sample(b))
}

fn sample(mut times: Vec<f64>) -> Sample {
    times.sort_by(f64::total_cmp);
    Sample { median: times[times.len() / 2], best: times[0] }
}
