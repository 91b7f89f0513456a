//! `wasi:io`: errors, pollables, byte streams.
//!
//! A stream that failed once stays closed, as the interface asks; the error it failed
//! with is a resource of its own.
//!
//! A function that may wait is an attempt, made again whenever what it waits for may have
//! come:
//!
//! ```text
//!   attempt ---Done(result)---> the guest goes on
//!      ^ |
//!      | +------Wait(source)---> the guest's stack is suspended until that is ready
//!      +--------------------------+
//! ```

use super::bindings::wasi::io::{error, poll, streams};
use crate::host::errno::ErrorCode;
use crate::host::poll::{Readiness, first_of};
use crate::host::stream::{InputStream, MAX_TRANSFER, OutputStream, StreamError as HostError};
use crate::{HasWasi, WasiCtxView};
use helve::component::{Access, Accessor, Resource, ResourceTable};
use helve::{Result, ensure};
use std::future::Ready;
use std::time::Duration;

/// What a function on streams fails with.
pub type StreamFault = crate::Fault<HostError>;

/// What one attempt came to.
enum Attempt<R> {
    /// The result.
    Done(R),
    /// Nothing yet: to be made again when this is ready.
    Wait(Readiness),
}

/// Why a stream failed (`wasi:io/error.error`).
pub struct IoError(pub std::io::Error);

impl IoError {
    /// The filesystem's name for it.
    pub fn code(&self) -> ErrorCode {
        (&self.0).into()
    }
}

/// Something to wait for (`wasi:io/poll.pollable`).
pub struct Pollable(Source);

enum Source {
    /// This late, on the store's clock.
    At(Duration),
    Fixed(Readiness),
    /// Asked anew each time.
    Asking(Box<dyn Fn() -> Readiness + Send>),
    Input(Resource<Input>),
    Output(Resource<Output>),
}

impl Pollable {
    /// One that does not depend on a stream.
    pub fn fixed(readiness: Readiness) -> Pollable {
        Pollable(Source::Fixed(readiness))
    }

    /// One that asks anew after each wait: for what can be up too early.
    pub fn asking(readiness: impl Fn() -> Readiness + Send + 'static) -> Pollable {
        Pollable(Source::Asking(Box::new(readiness)))
    }

    /// One for a moment on the store's clock.
    pub(crate) fn at(moment: Duration) -> Pollable {
        Pollable(Source::At(moment))
    }

    fn awaited(&self, table: &ResourceTable) -> Result<Awaited> {
        Ok(Awaited::Ready(match &self.0 {
            Source::At(moment) => return Ok(Awaited::At(*moment)),
            Source::Fixed(readiness) => readiness.clone(),
            Source::Asking(ask) => ask(),
            Source::Input(stream) => table.get(stream)?.readiness(),
            Source::Output(stream) => table.get(stream)?.readiness(),
        }))
    }
}

/// What a pollable waits for, at the time it is asked.
enum Awaited {
    At(Duration),
    Ready(Readiness),
}

impl Awaited {
    fn is_ready(&self, now: Duration) -> bool {
        match self {
            Awaited::At(moment) => *moment <= now,
            Awaited::Ready(readiness) => readiness.is_ready(),
        }
    }
}

/// `wasi:io/streams.input-stream`.
pub struct Input {
    stream: Box<dyn InputStream>,
    closed: bool,
}

impl Input {
    /// A stream for the guest that reads `stream`.
    pub fn new(stream: impl InputStream) -> Input {
        Input {
            stream: Box::new(stream),
            closed: false,
        }
    }

    fn readiness(&self) -> Readiness {
        if self.closed {
            Readiness::Now
        } else {
            self.stream.readiness()
        }
    }

    fn read(&mut self, len: u64) -> Result<Vec<u8>, HostError> {
        if self.closed {
            return Err(HostError::Closed);
        }
        let max = usize::try_from(len).unwrap_or(usize::MAX).min(MAX_TRANSFER);
        let read = self.stream.read(max);
        self.closed = read.is_err();
        read
    }

    /// As [`Input::read`]; waits where nothing is there yet.
    fn attempt_read(&mut self, len: u64) -> Result<Attempt<Vec<u8>>, HostError> {
        let bytes = self.read(len)?;
        Ok(match bytes.is_empty() && len != 0 {
            true => Attempt::Wait(self.readiness()),
            false => Attempt::Done(bytes),
        })
    }
}

/// `wasi:io/streams.output-stream`.
pub struct Output {
    stream: Box<dyn OutputStream>,
    closed: bool,
    /// What the last `check-write` allowed and no write has used yet.
    permit: usize,
}

impl Output {
    /// A stream for the guest that writes `stream`.
    pub fn new(stream: impl OutputStream) -> Output {
        Output {
            stream: Box::new(stream),
            closed: false,
            permit: 0,
        }
    }

    fn readiness(&self) -> Readiness {
        if self.closed {
            Readiness::Now
        } else {
            self.stream.readiness()
        }
    }

    fn attempt<R>(
        &mut self,
        operation: impl FnOnce(&mut dyn OutputStream) -> Result<R, HostError>,
    ) -> Result<R, HostError> {
        if self.closed {
            return Err(HostError::Closed);
        }
        let result = operation(&mut *self.stream);
        self.closed = result.is_err();
        result
    }

    fn check_write(&mut self) -> Result<u64, HostError> {
        self.permit = self.attempt(|s| s.check_write())?;
        Ok(self.permit as u64)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), HostError> {
        self.permit = self.permit.saturating_sub(bytes.len());
        self.attempt(|s| s.write(bytes))
    }

    /// That the guest has asked before it writes so much.
    fn check_permit(&self, len: usize) -> Result<()> {
        ensure!(
            self.closed || len <= self.permit,
            "a write of {len} bytes where `check-write` allowed {}",
            self.permit
        );
        Ok(())
    }

    /// Writes all of `bytes`, taking out what it has written, and hands them on.
    fn attempt_write(&mut self, bytes: &mut Vec<u8>) -> Result<Attempt<()>, HostError> {
        while !bytes.is_empty() {
            let room = self.check_write()?;
            let room = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
            if room == 0 {
                return Ok(Attempt::Wait(self.readiness()));
            }
            self.write(bytes.get(..room).unwrap_or_default())?;
            bytes.drain(..room);
        }
        self.attempt_flush()
    }

    fn attempt_flush(&mut self) -> Result<Attempt<()>, HostError> {
        Ok(match self.attempt(|s| s.flush())? {
            true => Attempt::Done(()),
            false => Attempt::Wait(self.readiness()),
        })
    }
}

/// Attempts until there is a result.
async fn until_done<T: 'static, R>(
    cx: &Accessor<T, HasWasi>,
    mut attempt: impl FnMut(&mut ResourceTable) -> Result<Attempt<R>, StreamFault>,
) -> Result<R, StreamFault> {
    let mut rounds = Rounds::default();
    loop {
        match cx.with(|mut host| attempt(host.get().table))?? {
            Attempt::Done(result) => return Ok(result),
            Attempt::Wait(source) => first_of(&[source], None::<Ready<()>>).await,
        }
        rounds.another().await;
    }
}

/// Counts attempts: who makes a source ready may need this thread to do so for good.
#[derive(Default)]
struct Rounds(u32);

impl Rounds {
    /// After a wait, before the next attempt.
    async fn another(&mut self) {
        self.0 = self.0.wrapping_add(1);
        if self.0.is_multiple_of(16) {
            tokio::task::yield_now().await;
        }
    }
}

impl error::Host for WasiCtxView<'_> {}
impl error::HostError for WasiCtxView<'_> {
    fn to_debug_string(&mut self, error: Resource<IoError>) -> Result<String> {
        Ok(self.table.get(&error)?.0.to_string())
    }

    fn drop(&mut self, error: Resource<IoError>) -> Result<()> {
        self.discard(error)
    }
}

impl poll::Host for WasiCtxView<'_> {}
impl poll::HostPollable for WasiCtxView<'_> {
    fn drop(&mut self, pollable: Resource<Pollable>) -> Result<()> {
        self.discard(pollable)
    }
}

impl poll::HostPollableWithStore for HasWasi {
    fn ready<T: 'static>(
        mut host: Access<'_, T, Self>,
        pollable: Resource<Pollable>,
    ) -> Result<bool> {
        let now = host.now();
        let table = host.get().table;
        Ok(table.get(&pollable)?.awaited(table)?.is_ready(now))
    }

    async fn block<T: Send + 'static>(
        cx: &Accessor<T, Self>,
        pollable: Resource<Pollable>,
    ) -> Result<()> {
        wait_any(cx, &[pollable]).await.map(drop)
    }
}

impl poll::HostWithStore for HasWasi {
    async fn poll<T: Send + 'static>(
        cx: &Accessor<T, Self>,
        pollables: Vec<Resource<Pollable>>,
    ) -> Result<Vec<u32>> {
        ensure!(
            !pollables.is_empty(),
            "`wasi:io/poll.poll` was called with an empty list"
        );
        wait_any(cx, &pollables).await
    }
}

/// The places of all that are ready, once one is.
async fn wait_any<T: 'static>(
    cx: &Accessor<T, HasWasi>,
    pollables: &[Resource<Pollable>],
) -> Result<Vec<u32>> {
    let mut rounds = Rounds::default();
    loop {
        let (now, awaited) = cx.with(|mut host| -> Result<_> {
            let now = host.now();
            let table = host.get().table;
            let awaited = pollables.iter().map(|p| table.get(p)?.awaited(table));
            Ok((now, awaited.collect::<Result<Vec<Awaited>>>()?))
        })??;
        let places = (0u32..).zip(&awaited);
        let ready = places.filter(|(_, awaited)| awaited.is_ready(now));
        let ready: Vec<u32> = ready.map(|(place, _)| place).collect();
        if !ready.is_empty() {
            return Ok(ready);
        }
        // One timer does for all moments.
        let mut earliest: Option<Duration> = None;
        let mut sources = Vec::with_capacity(awaited.len());
        for awaited in awaited {
            match awaited {
                Awaited::At(at) => earliest = Some(earliest.map_or(at, |first| first.min(at))),
                Awaited::Ready(readiness) => sources.push(readiness),
            }
        }
        let timer = earliest.map(|at| cx.sleep(at.saturating_sub(now)));
        first_of(&sources, timer).await;
        rounds.another().await;
    }
}

impl streams::Host for WasiCtxView<'_> {
    fn convert_stream_error(&mut self, fault: StreamFault) -> Result<streams::StreamError> {
        match fault {
            StreamFault::Told(HostError::Closed) => Ok(streams::StreamError::Closed),
            StreamFault::Told(HostError::Failed(error)) => Ok(
                streams::StreamError::LastOperationFailed(self.table.push(IoError(error))?),
            ),
            StreamFault::Trap(error) => Err(error),
        }
    }
}

impl streams::HostInputStream for WasiCtxView<'_> {
    fn read(&mut self, stream: Resource<Input>, len: u64) -> Result<Vec<u8>, StreamFault> {
        Ok(self.table.get_mut(&stream)?.read(len)?)
    }

    fn skip(&mut self, stream: Resource<Input>, len: u64) -> Result<u64, StreamFault> {
        Ok(self.table.get_mut(&stream)?.read(len)?.len() as u64)
    }

    fn subscribe(&mut self, stream: Resource<Input>) -> Result<Resource<Pollable>> {
        let source = Source::Input(Resource::new_borrow(stream.rep()));
        Ok(self.table.push_child(Pollable(source), &stream)?)
    }

    fn drop(&mut self, stream: Resource<Input>) -> Result<()> {
        self.discard(stream)
    }
}

impl streams::HostInputStreamWithStore for HasWasi {
    async fn blocking_read<T: Send + 'static>(
        cx: &Accessor<T, Self>,
        stream: Resource<Input>,
        len: u64,
    ) -> Result<Vec<u8>, StreamFault> {
        until_done(cx, |table| Ok(table.get_mut(&stream)?.attempt_read(len)?)).await
    }

    async fn blocking_skip<T: Send + 'static>(
        cx: &Accessor<T, Self>,
        stream: Resource<Input>,
        len: u64,
    ) -> Result<u64, StreamFault> {
        Ok(Self::blocking_read(cx, stream, len).await?.len() as u64)
    }
}

/// The most bytes that the `blocking-write-*` functions may be called with.
const MAX_BLOCKING_WRITE: u64 = 4096;

impl streams::HostOutputStream for WasiCtxView<'_> {
    fn check_write(&mut self, stream: Resource<Output>) -> Result<u64, StreamFault> {
        Ok(self.table.get_mut(&stream)?.check_write()?)
    }

    fn write(&mut self, stream: Resource<Output>, bytes: Vec<u8>) -> Result<(), StreamFault> {
        let output = self.table.get_mut(&stream)?;
        output.check_permit(bytes.len())?;
        Ok(output.write(&bytes)?)
    }

    fn write_zeroes(&mut self, stream: Resource<Output>, len: u64) -> Result<(), StreamFault> {
        let output = self.table.get_mut(&stream)?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        output.check_permit(len)?;
        // Beyond the permit only where it is closed, and nothing is written.
        Ok(output.write(&vec![0; len.min(MAX_TRANSFER)])?)
    }

    fn flush(&mut self, stream: Resource<Output>) -> Result<(), StreamFault> {
        self.table.get_mut(&stream)?.attempt(|s| s.flush())?;
        Ok(())
    }

    fn splice(
        &mut self,
        to: Resource<Output>,
        from: Resource<Input>,
        len: u64,
    ) -> Result<u64, StreamFault> {
        match splice_once(self.table, &to, &from, len)? {
            Attempt::Done(count) => Ok(count),
            Attempt::Wait(_) => Ok(0),
        }
    }

    fn subscribe(&mut self, stream: Resource<Output>) -> Result<Resource<Pollable>> {
        let source = Source::Output(Resource::new_borrow(stream.rep()));
        Ok(self.table.push_child(Pollable(source), &stream)?)
    }

    fn drop(&mut self, stream: Resource<Output>) -> Result<()> {
        self.discard(stream)
    }
}

impl streams::HostOutputStreamWithStore for HasWasi {
    async fn blocking_write_and_flush<T: Send + 'static>(
        cx: &Accessor<T, Self>,
        stream: Resource<Output>,
        mut bytes: Vec<u8>,
    ) -> Result<(), StreamFault> {
        check_blocking("blocking-write-and-flush", bytes.len() as u64)?;
        until_done(cx, |table| {
            Ok(table.get_mut(&stream)?.attempt_write(&mut bytes)?)
        })
        .await
    }

    async fn blocking_write_zeroes_and_flush<T: Send + 'static>(
        cx: &Accessor<T, Self>,
        stream: Resource<Output>,
        len: u64,
    ) -> Result<(), StreamFault> {
        check_blocking("blocking-write-zeroes-and-flush", len)?;
        let mut zeroes = vec![0; usize::try_from(len).unwrap_or(0)];
        until_done(cx, |table| {
            Ok(table.get_mut(&stream)?.attempt_write(&mut zeroes)?)
        })
        .await
    }

    async fn blocking_flush<T: Send + 'static>(
        cx: &Accessor<T, Self>,
        stream: Resource<Output>,
    ) -> Result<(), StreamFault> {
        until_done(cx, |table| Ok(table.get_mut(&stream)?.attempt_flush()?)).await
    }

    async fn blocking_splice<T: Send + 'static>(
        cx: &Accessor<T, Self>,
        to: Resource<Output>,
        from: Resource<Input>,
        len: u64,
    ) -> Result<u64, StreamFault> {
        until_done(cx, |table| splice_once(table, &to, &from, len)).await
    }
}

fn check_blocking(name: &str, len: u64) -> Result<()> {
    ensure!(
        len <= MAX_BLOCKING_WRITE,
        "`{name}` of {len} bytes; at most {MAX_BLOCKING_WRITE}"
    );
    Ok(())
}

/// Moves what is there and fits; where that is nothing, says what to wait for.
fn splice_once(
    table: &mut ResourceTable,
    to: &Resource<Output>,
    from: &Resource<Input>,
    len: u64,
) -> Result<Attempt<u64>, StreamFault> {
    let output = table.get_mut(to)?;
    let room = output.check_write()?.min(len);
    if len == 0 {
        return Ok(Attempt::Done(0));
    }
    if room == 0 {
        return Ok(Attempt::Wait(output.readiness()));
    }
    let bytes = match table.get_mut(from)?.attempt_read(room)? {
        Attempt::Done(bytes) => bytes,
        Attempt::Wait(source) => return Ok(Attempt::Wait(source)),
    };
    table.get_mut(to)?.write(&bytes)?;
    Ok(Attempt::Done(bytes.len() as u64))
}
