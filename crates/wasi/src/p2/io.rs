//! `wasi:io`: errors, pollables, byte streams.
//!
//! A stream that failed once stays closed, as the interface asks; the error it failed
//! with is a resource of its own. Functions that wait are attempts (`bind.rs`).

use super::bind::{Attempt, Rounds, func, resource, waiting};
use crate::host::errno::ErrorCode;
use crate::host::poll::{Readiness, first_of};
use crate::host::stream::{InputStream, MAX_TRANSFER, OutputStream, StreamError as HostError};
use crate::{WasiCtxView, WasiView};
use helve::component::{
    Accessor, ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceTable,
};
use helve::{Result, StoreContextMut, ensure};
use std::time::Duration;

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
    fn attempt_read(&mut self, len: u64) -> Attempt<Result<Vec<u8>, HostError>> {
        match self.read(len) {
            Ok(bytes) if bytes.is_empty() && len != 0 => Attempt::Wait(vec![self.readiness()]),
            read => Attempt::Done(read),
        }
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

    /// Writes all of `bytes`, taking out what it has written, and hands them on.
    fn attempt_write(&mut self, bytes: &mut Vec<u8>) -> Attempt<Result<(), HostError>> {
        while !bytes.is_empty() {
            let room = match self.check_write() {
                Ok(room) => usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len()),
                Err(e) => return Attempt::Done(Err(e)),
            };
            if room == 0 {
                return Attempt::Wait(vec![self.readiness()]);
            }
            if let Err(e) = self.write(bytes.get(..room).unwrap_or_default()) {
                return Attempt::Done(Err(e));
            }
            bytes.drain(..room);
        }
        self.attempt_flush()
    }

    fn attempt_flush(&mut self) -> Attempt<Result<(), HostError>> {
        match self.attempt(|s| s.flush()) {
            Ok(true) => Attempt::Done(Ok(())),
            Ok(false) => Attempt::Wait(vec![self.readiness()]),
            Err(e) => Attempt::Done(Err(e)),
        }
    }
}

/// Why a guest's stream operation failed (`stream-error`).
#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
pub enum StreamError {
    /// With this error.
    LastOperationFailed(Resource<IoError>),
    /// It ended, or had failed before.
    Closed,
}

type StreamResult<R> = Result<R, StreamError>;

/// The guest's form of a host's result.
fn outcome<R>(result: Result<R, HostError>, table: &mut ResourceTable) -> Result<StreamResult<R>> {
    Ok(match result {
        Ok(value) => Ok(value),
        Err(HostError::Closed) => Err(StreamError::Closed),
        Err(HostError::Failed(error)) => Err(StreamError::LastOperationFailed(
            table.push(IoError(error))?,
        )),
    })
}

/// The same of an attempt's result.
fn attempted<R>(
    attempt: Attempt<Result<R, HostError>>,
    table: &mut ResourceTable,
) -> Result<Attempt<StreamResult<R>>> {
    Ok(match attempt {
        Attempt::Done(result) => Attempt::Done(outcome(result, table)?),
        Attempt::Wait(sources) => Attempt::Wait(sources),
    })
}

pub(super) fn add_to_linker<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    let mut error = linker.instance("wasi:io/error@0.2.12")?;
    resource::<T, IoError>(&mut error, "error")?;
    func(
        &mut error,
        "[method]error.to-debug-string",
        |host, (error,): (Resource<IoError>,)| Ok(host.table.get(&error)?.0.to_string()),
    )?;
    poll(&mut linker.instance("wasi:io/poll@0.2.12")?)?;
    let mut streams = linker.instance("wasi:io/streams@0.2.12")?;
    input_stream(&mut streams)?;
    output_stream(&mut streams)?;
    splice(&mut streams)
}

fn poll<T: WasiView>(poll: &mut LinkerInstance<'_, T>) -> Result<()> {
    resource::<T, Pollable>(poll, "pollable")?;
    poll.func_wrap(
        "[method]pollable.ready",
        |mut cx: StoreContextMut<'_, T>, (pollable,): (Resource<Pollable>,)| {
            let now = cx.now();
            let table = cx.data_mut().wasi().table;
            Ok((table.get(&pollable)?.awaited(table)?.is_ready(now),))
        },
    )?;
    poll.func_wrap_async(
        "[method]pollable.block",
        |cx: Accessor<T>, (pollable,): (Resource<Pollable>,)| async move {
            wait_any(&cx, &[pollable]).await.map(drop)
        },
    )?;
    poll.func_wrap_async(
        "poll",
        |cx: Accessor<T>, (pollables,): (Vec<Resource<Pollable>>,)| async move {
            ensure!(
                !pollables.is_empty(),
                "`wasi:io/poll.poll` was called with an empty list"
            );
            Ok((wait_any(&cx, &pollables).await?,))
        },
    )
}

/// The places of all that are ready, once one is.
async fn wait_any<T: WasiView>(
    cx: &Accessor<T>,
    pollables: &[Resource<Pollable>],
) -> Result<Vec<u32>> {
    let mut rounds = Rounds::default();
    loop {
        let (now, awaited) = cx.with(|mut store| -> Result<_> {
            let now = store.now();
            let table = store.data_mut().wasi().table;
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

fn input_stream<T: WasiView>(streams: &mut LinkerInstance<'_, T>) -> Result<()> {
    resource::<T, Input>(streams, "input-stream")?;
    func(
        streams,
        "[method]input-stream.read",
        |host, (stream, len): (Resource<Input>, u64)| {
            let result = host.table.get_mut(&stream)?.read(len);
            outcome(result, host.table)
        },
    )?;
    func(
        streams,
        "[method]input-stream.skip",
        |host, (stream, len): (Resource<Input>, u64)| {
            let result = host.table.get_mut(&stream)?.read(len);
            outcome(result.map(|bytes| bytes.len() as u64), host.table)
        },
    )?;
    waiting(
        streams,
        "[method]input-stream.blocking-read",
        |host, (stream, len): &mut (Resource<Input>, u64)| {
            let attempt = host.table.get_mut(stream)?.attempt_read(*len);
            attempted(attempt, host.table)
        },
    )?;
    waiting(
        streams,
        "[method]input-stream.blocking-skip",
        |host, (stream, len): &mut (Resource<Input>, u64)| {
            let attempt = match host.table.get_mut(stream)?.attempt_read(*len) {
                Attempt::Done(result) => Attempt::Done(result.map(|bytes| bytes.len() as u64)),
                Attempt::Wait(sources) => Attempt::Wait(sources),
            };
            attempted(attempt, host.table)
        },
    )?;
    func(
        streams,
        "[method]input-stream.subscribe",
        |host, (stream,): (Resource<Input>,)| {
            let source = Source::Input(Resource::new_borrow(stream.rep()));
            Ok(host.table.push_child(Pollable(source), &stream)?)
        },
    )
}

/// The most bytes that the `blocking-write-*` functions may be called with.
const MAX_BLOCKING_WRITE: u64 = 4096;

fn output_stream<T: WasiView>(streams: &mut LinkerInstance<'_, T>) -> Result<()> {
    resource::<T, Output>(streams, "output-stream")?;
    func(
        streams,
        "[method]output-stream.check-write",
        |host, (stream,): (Resource<Output>,)| {
            let result = host.table.get_mut(&stream)?.check_write();
            outcome(result, host.table)
        },
    )?;
    func(
        streams,
        "[method]output-stream.write",
        |host, (stream, bytes): (Resource<Output>, Vec<u8>)| permitted_write(host, &stream, &bytes),
    )?;
    func(
        streams,
        "[method]output-stream.write-zeroes",
        |host, (stream, len): (Resource<Output>, u64)| {
            ensure!(
                len <= MAX_TRANSFER as u64,
                "`write-zeroes` of {len} bytes, more than `check-write` allowed"
            );
            permitted_write(host, &stream, &vec![0; usize::try_from(len).unwrap_or(0)])
        },
    )?;
    func(
        streams,
        "[method]output-stream.flush",
        |host, (stream,): (Resource<Output>,)| {
            let result = host.table.get_mut(&stream)?.attempt(|s| s.flush());
            outcome(result.map(|_| ()), host.table)
        },
    )?;
    func(
        streams,
        "[method]output-stream.subscribe",
        |host, (stream,): (Resource<Output>,)| {
            let source = Source::Output(Resource::new_borrow(stream.rep()));
            Ok(host.table.push_child(Pollable(source), &stream)?)
        },
    )?;
    blocking_writes(streams)
}

fn blocking_writes<T: WasiView>(streams: &mut LinkerInstance<'_, T>) -> Result<()> {
    waiting(
        streams,
        "[method]output-stream.blocking-write-and-flush",
        |host, (stream, bytes): &mut (Resource<Output>, Vec<u8>)| {
            ensure!(
                bytes.len() as u64 <= MAX_BLOCKING_WRITE,
                "`blocking-write-and-flush` of {} bytes; at most {MAX_BLOCKING_WRITE}",
                bytes.len()
            );
            let attempt = host.table.get_mut(stream)?.attempt_write(bytes);
            attempted(attempt, host.table)
        },
    )?;
    waiting(
        streams,
        "[method]output-stream.blocking-write-zeroes-and-flush",
        |host, (stream, len): &mut (Resource<Output>, u64)| {
            ensure!(
                *len <= MAX_BLOCKING_WRITE,
                "`blocking-write-zeroes-and-flush` of {len} bytes; at most {MAX_BLOCKING_WRITE}"
            );
            let mut zeroes = vec![0; usize::try_from(*len).unwrap_or(0)];
            let attempt = host.table.get_mut(stream)?.attempt_write(&mut zeroes);
            *len = zeroes.len() as u64;
            attempted(attempt, host.table)
        },
    )?;
    waiting(
        streams,
        "[method]output-stream.blocking-flush",
        |host, (stream,): &mut (Resource<Output>,)| {
            let attempt = host.table.get_mut(stream)?.attempt_flush();
            attempted(attempt, host.table)
        },
    )
}

fn permitted_write(
    host: WasiCtxView<'_>,
    stream: &Resource<Output>,
    bytes: &[u8],
) -> Result<StreamResult<()>> {
    let output = host.table.get_mut(stream)?;
    ensure!(
        output.closed || bytes.len() <= output.permit,
        "a write of {} bytes where `check-write` allowed {}",
        bytes.len(),
        output.permit
    );
    let result = output.write(bytes);
    outcome(result, host.table)
}

fn splice<T: WasiView>(streams: &mut LinkerInstance<'_, T>) -> Result<()> {
    type Args = (Resource<Output>, Resource<Input>, u64);
    func(
        streams,
        "[method]output-stream.splice",
        |host, (to, from, len): Args| match splice_once(host.table, &to, &from, len)? {
            Attempt::Done(result) => outcome(result, host.table),
            Attempt::Wait(_) => Ok(Ok(0)),
        },
    )?;
    waiting(
        streams,
        "[method]output-stream.blocking-splice",
        |host, (to, from, len): &mut Args| {
            let attempt = splice_once(host.table, to, from, *len)?;
            attempted(attempt, host.table)
        },
    )
}

/// Moves what is there and fits; where that is nothing, says what to wait for.
fn splice_once(
    table: &mut ResourceTable,
    to: &Resource<Output>,
    from: &Resource<Input>,
    len: u64,
) -> Result<Attempt<Result<u64, HostError>>> {
    let output = table.get_mut(to)?;
    let room = match output.check_write() {
        Ok(room) => room.min(len),
        Err(e) => return Ok(Attempt::Done(Err(e))),
    };
    if len == 0 {
        return Ok(Attempt::Done(Ok(0)));
    }
    if room == 0 {
        return Ok(Attempt::Wait(vec![output.readiness()]));
    }
    let bytes = match table.get_mut(from)?.attempt_read(room) {
        Attempt::Done(Ok(bytes)) => bytes,
        Attempt::Done(Err(e)) => return Ok(Attempt::Done(Err(e))),
        Attempt::Wait(sources) => return Ok(Attempt::Wait(sources)),
    };
    let written = table.get_mut(to)?.write(&bytes);
    Ok(Attempt::Done(written.map(|()| bytes.len() as u64)))
}
