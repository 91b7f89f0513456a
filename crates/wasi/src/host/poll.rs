//! Waiting: for a file descriptor, for a flag, for the first of several or a moment.
//!
//! A source says how it would become ready ([`Readiness`]); [`first_of`] is a future that
//! ends when one may be. Whether a descriptor is ready is always asked of the kernel, with
//! `poll(2)`; the executor's reactor (tokio's) only says when it is worth asking again.
//!
//! ```text
//!   is_ready ----some----> done
//!      |  ^
//!     none +----------------------------+
//!      v                                |
//!   sleep: one timer, one waker per descriptor and flag, whichever is first
//! ```
//!
//! Not here: what is waited for (`stdio.rs`, `net/`, `stream.rs`), and the clock, which is
//! the store's.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A file descriptor that can be waited for.
pub struct Descriptor {
    fd: Arc<OwnedFd>,
    /// Its registration with the reactor, from the first wait on; `None` where the kernel
    /// cannot wait for it, as for a regular file, which is always ready.
    reactor: OnceLock<Option<AsyncFd<Arc<OwnedFd>>>>,
}

impl Descriptor {
    /// Takes a descriptor over.
    pub fn new(fd: OwnedFd) -> Arc<Descriptor> {
        Arc::new(Descriptor {
            fd: Arc::new(fd),
            reactor: OnceLock::new(),
        })
    }

    fn is(&self, flags: PollFlags) -> bool {
        let mut fds = [PollFd::new(&*self.fd, flags)];
        // Errors and hang-ups count: the operation that follows reports them.
        poll(&mut fds, Some(&NO_TIME)).is_ok_and(|_| !fds[0].revents().is_empty())
    }

    /// Whether it can be read without blocking.
    pub fn is_readable(&self) -> bool {
        self.is(PollFlags::IN)
    }

    /// Whether it can be written without blocking.
    pub fn is_writable(&self) -> bool {
        self.is(PollFlags::OUT)
    }

    /// Waits until it can be read.
    pub async fn readable(&self) {
        self.wait(PollFlags::IN, Interest::READABLE).await;
    }

    /// Waits until it can be written.
    pub async fn writable(&self) {
        self.wait(PollFlags::OUT, Interest::WRITABLE).await;
    }

    async fn wait(&self, flags: PollFlags, interest: Interest) {
        #[allow(
            deprecated,
            reason = "its successor is unsafe; this descriptor is open as long as the registration"
        )]
        let register = || AsyncFd::new(self.fd.clone()).ok();
        let registered = self.reactor.get_or_init(register);
        let Some(reactor) = registered else { return };
        while !self.is(flags) {
            // An error here means that the reactor is gone: nobody waits any more then.
            let Ok(mut guard) = reactor.ready(interest).await else {
                return;
            };
            if self.is(flags) {
                return;
            }
            guard.clear_ready();
        }
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

const NO_TIME: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// Something that is so or is not so, and can be waited for; clones share it.
#[derive(Clone, Default)]
pub struct Flag(Arc<Mutex<FlagState>>);

#[derive(Default)]
struct FlagState {
    up: bool,
    waiting: Vec<Waker>,
}

impl Flag {
    /// A flag that is up or down.
    pub fn new(up: bool) -> Flag {
        let flag = Flag::default();
        flag.set(up);
        flag
    }

    /// Puts it up, which ends all waits, or down.
    pub fn set(&self, up: bool) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.up = up;
        let waiting = if up {
            std::mem::take(&mut state.waiting)
        } else {
            Vec::new()
        };
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Whether it is up.
    pub fn is_up(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).up
    }

    /// Ready while it is up.
    pub fn poll_up(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.up {
            return Poll::Ready(());
        }
        if !state.waiting.iter().any(|w| w.will_wake(cx.waker())) {
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Waits until it is up.
    pub async fn wait(&self) {
        std::future::poll_fn(|cx| self.poll_up(cx)).await;
    }
}

/// How something becomes ready.
#[derive(Clone)]
pub enum Readiness {
    /// It is.
    Now,
    /// When this descriptor can be read without blocking.
    Readable(Arc<Descriptor>),
    /// When this descriptor can be written without blocking.
    Writable(Arc<Descriptor>),
    /// When this flag is up.
    Flag(Flag),
    /// Never.
    Never,
}

impl Readiness {
    /// Whether it is ready at this moment.
    pub fn is_ready(&self) -> bool {
        match self {
            Readiness::Now => true,
            Readiness::Readable(fd) => fd.is_readable(),
            Readiness::Writable(fd) => fd.is_writable(),
            Readiness::Flag(flag) => flag.is_up(),
            Readiness::Never => false,
        }
    }

    /// Waits until it is ready.
    pub async fn wait(&self) {
        match self {
            Readiness::Now => {}
            Readiness::Readable(fd) => fd.readable().await,
            Readiness::Writable(fd) => fd.writable().await,
            Readiness::Flag(flag) => flag.wait().await,
            Readiness::Never => std::future::pending().await,
        }
    }
}

/// Waits until one of `sources` may be ready, or the moment that `timer` waits for is
/// there.
///
/// Without any this waits for ever: so do the rules of `wasi:io/poll`.
pub async fn first_of<S>(sources: &[Readiness], timer: Option<S>)
where
    S: Future + Send,
{
    let mut timer = pin!(timer);
    let mut waits: Vec<Pin<Box<dyn Future<Output = ()> + Send + '_>>> = sources
        .iter()
        .filter(|source| !matches!(source, Readiness::Never))
        .map(|source| Box::pin(source.wait()) as _)
        .collect();
    std::future::poll_fn(|cx| {
        let late = timer.as_mut().as_pin_mut();
        let late = late.is_some_and(|timer| timer.poll(cx).is_ready());
        if late || waits.iter_mut().any(|w| w.as_mut().poll(cx).is_ready()) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// Waits on this thread, without an executor, until `fd` can be written; for output that
/// must be complete before its writer goes on.
pub fn block_until_writable(fd: impl AsFd) -> io::Result<()> {
    let mut fds = [PollFd::new(&fd, PollFlags::OUT)];
    poll(&mut fds, None)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_of_several_ends_the_wait() {
        let never = std::future::pending::<()>;
        let sources = [Readiness::Never, Readiness::Now];
        first_of(&sources, Some(never())).await;
        first_of(&[Readiness::Never], Some(std::future::ready(()))).await;
        let flag = Flag::new(false);
        let sources = [Readiness::Never, Readiness::Flag(flag.clone())];
        let task = tokio::spawn(async move { first_of(&sources, Some(never())).await });
        tokio::task::yield_now().await;
        assert!(!task.is_finished());
        flag.set(true);
        task.await.unwrap();
    }

    #[tokio::test]
    async fn a_pipe_is_readable_once_written() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let reader = Readiness::Readable(Descriptor::new(reader.into()));
        assert!(!reader.is_ready());
        let task = tokio::spawn(async move { reader.wait().await });
        tokio::task::yield_now().await;
        std::io::Write::write_all(&mut writer, b"x").unwrap();
        task.await.unwrap();
    }

    #[tokio::test]
    async fn a_flag_ends_the_wait_and_a_file_is_always_ready() {
        let flag = Flag::new(false);
        let source = Readiness::Flag(flag.clone());
        let task = tokio::spawn(async move { source.wait().await });
        tokio::task::yield_now().await;
        flag.set(true);
        task.await.unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        Descriptor::new(file.into()).readable().await;
    }
}
