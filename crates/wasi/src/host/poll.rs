//! Waiting: for a moment, for a file descriptor, for the first of several.
//!
//! A source says how it would become ready ([`Readiness`]); [`wait_any`] sleeps in one
//! `poll(2)` until one is. No thread and no executor is needed for that.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How something becomes ready.
#[derive(Clone)]
pub enum Readiness {
    /// It is.
    Now,
    /// At this moment.
    At(Instant),
    /// When this descriptor can be read without blocking.
    Readable(Arc<OwnedFd>),
    /// When this descriptor can be written without blocking.
    Writable(Arc<OwnedFd>),
    /// Never.
    Never,
}

impl Readiness {
    /// Whether it is ready at this moment.
    pub fn is_ready(&self) -> bool {
        match self {
            Readiness::Now => true,
            Readiness::At(when) => *when <= Instant::now(),
            Readiness::Readable(_) | Readiness::Writable(_) => {
                !ready_now(std::slice::from_ref(self)).is_empty()
            }
            Readiness::Never => false,
        }
    }
}

/// Waits until one of `sources` is ready; returns the places of all that are.
///
/// Where none ever can be, this waits for ever: so do the rules of `wasi:io/poll`.
pub fn wait_any(sources: &[Readiness]) -> Vec<u32> {
    loop {
        let ready = ready_now(sources);
        if !ready.is_empty() || sources.is_empty() {
            return ready;
        }
        sleep(sources, deadline(sources));
    }
}

fn deadline(sources: &[Readiness]) -> Option<Instant> {
    let moments = sources.iter().filter_map(|s| match s {
        Readiness::At(when) => Some(*when),
        _ => None,
    });
    moments.min()
}

fn descriptors(sources: &[Readiness]) -> Vec<PollFd<'_>> {
    let descriptors = sources.iter().filter_map(|s| match s {
        Readiness::Readable(fd) => Some(PollFd::new(fd, PollFlags::IN)),
        Readiness::Writable(fd) => Some(PollFd::new(fd, PollFlags::OUT)),
        _ => None,
    });
    descriptors.collect()
}

fn ready_now(sources: &[Readiness]) -> Vec<u32> {
    let now = Instant::now();
    let mut fds = descriptors(sources);
    if !fds.is_empty()
        && poll(
            &mut fds,
            Some(&Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            }),
        )
        .is_err()
    {
        return Vec::new();
    }
    let mut fds = fds.iter();
    let mut ready = Vec::new();
    for (i, source) in (0u32..).zip(sources) {
        let is_ready = match source {
            Readiness::Now => true,
            Readiness::At(when) => *when <= now,
            // Errors and hang-ups count: the operation that follows reports them.
            Readiness::Readable(_) | Readiness::Writable(_) => {
                fds.next().is_some_and(|fd| !fd.revents().is_empty())
            }
            Readiness::Never => false,
        };
        if is_ready {
            ready.push(i);
        }
    }
    ready
}

fn sleep(sources: &[Readiness], until: Option<Instant>) {
    let mut fds = descriptors(sources);
    let timeout = until.map(|until| {
        // Rounded up to whole microseconds, so that the wait does not end a hair early
        // and spins; at most an hour, so that the cast below cannot overflow.
        let left = until.saturating_duration_since(Instant::now()) + Duration::from_micros(1);
        let left = left.min(Duration::from_secs(3600));
        Timespec {
            tv_sec: left.as_secs() as i64,
            tv_nsec: left.subsec_nanos().into(),
        }
    });
    // An interrupted or refused wait is no failure: the caller looks again.
    let _ = poll(&mut fds, timeout.as_ref());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_several_ends_the_wait() {
        let soon = Instant::now() + Duration::from_millis(20);
        let late = soon + Duration::from_secs(60);
        let ready = wait_any(&[Readiness::Never, Readiness::At(late), Readiness::At(soon)]);
        assert_eq!(ready, [2]);
        assert!(Instant::now() >= soon);
        assert_eq!(
            wait_any(&[Readiness::Now, Readiness::Never, Readiness::Now]),
            [0, 2]
        );
    }

    #[test]
    fn a_pipe_is_readable_once_written() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let reader = Readiness::Readable(Arc::new(reader.into()));
        assert!(!reader.is_ready());
        std::io::Write::write_all(&mut writer, b"x").unwrap();
        assert!(reader.is_ready());
        assert_eq!(wait_any(&[Readiness::Never, reader]), [1]);
    }
}
