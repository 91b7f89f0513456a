//! `wasi:io`: errors, pollables, byte streams.
//!
//! A stream that failed once stays closed, as the interface asks; the error it failed
//! with is a resource of its own. Blocking functions wait in `host::poll`.

use super::bind::{func, proc, resource};
use crate::host::errno::ErrorCode;
use crate::host::poll::{Readiness, wait_any};
use crate::host::stream::{InputStream, MAX_TRANSFER, OutputStream, StreamError as HostError};
use crate::{WasiCtxView, WasiView};
use helve::component::{
    ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceTable,
};
use helve::{Result, ensure};

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
    Fixed(Readiness),
    Input(Resource<Input>),
    Output(Resource<Output>),
}

impl Pollable {
    /// One that does not depend on a stream.
    pub fn fixed(readiness: Readiness) -> Pollable {
        Pollable(Source::Fixed(readiness))
    }

    fn readiness(&self, table: &ResourceTable) -> Result<Readiness> {
        Ok(match &self.0 {
            Source::Fixed(readiness) => readiness.clone(),
            Source::Input(stream) => table.get(stream)?.readiness(),
            Source::Output(stream) => table.get(stream)?.readiness(),
        })
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

    fn blocking_read(&mut self, len: u64) -> Result<Vec<u8>, HostError> {
        loop {
            let bytes = self.read(len)?;
            if !bytes.is_empty() || len == 0 {
                return Ok(bytes);
            }
            wait_any(&[self.readiness()]);
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

    fn blocking_write(&mut self, mut bytes: &[u8]) -> Result<(), HostError> {
        while !bytes.is_empty() {
            let room = usize::try_from(self.check_write()?)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            if room == 0 {
                wait_any(&[self.readiness()]);
                continue;
            }
            let (now, later) = bytes.split_at(room);
            self.write(now)?;
            bytes = later;
        }
        self.attempt(|s| s.flush())
    }
}

/// Why a guest's stream operation failed (`stream-error`).
#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
pub enum StreamError {
    LastOperationFailed(Resource<IoError>),
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

pub fn add_to_linker<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
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
    func(
        poll,
        "[method]pollable.ready",
        |host, (pollable,): (Resource<Pollable>,)| {
            Ok(host.table.get(&pollable)?.readiness(host.table)?.is_ready())
        },
    )?;
    proc(
        poll,
        "[method]pollable.block",
        |host, (pollable,): (Resource<Pollable>,)| {
            let readiness = host.table.get(&pollable)?.readiness(host.table)?;
            wait_any(&[readiness]);
            Ok(())
        },
    )?;
    func(
        poll,
        "poll",
        |host, (pollables,): (Vec<Resource<Pollable>>,)| {
            ensure!(
                !pollables.is_empty(),
                "`wasi:io/poll.poll` was called with an empty list"
            );
            let mut sources = Vec::with_capacity(pollables.len());
            for pollable in &pollables {
                sources.push(host.table.get(pollable)?.readiness(host.table)?);
            }
            Ok(wait_any(&sources))
        },
    )
}

fn input_stream<T: WasiView>(streams: &mut LinkerInstance<'_, T>) -> Result<()> {
    type Read = fn(&mut Input, u64) -> Result<Vec<u8>, HostError>;
    resource::<T, Input>(streams, "input-stream")?;
    let reads: [(&str, &str, Read); 2] = [
        (
            "[method]input-stream.read",
            "[method]input-stream.skip",
            Input::read,
        ),
        (
            "[method]input-stream.blocking-read",
            "[method]input-stream.blocking-skip",
            Input::blocking_read,
        ),
    ];
    for (read_name, skip_name, read) in reads {
        func(
            streams,
            read_name,
            move |host, (stream, len): (Resource<Input>, u64)| {
                let result = read(host.table.get_mut(&stream)?, len);
                outcome(result, host.table)
            },
        )?;
        func(
            streams,
            skip_name,
            move |host, (stream, len): (Resource<Input>, u64)| {
                let result =
                    read(host.table.get_mut(&stream)?, len).map(|bytes| bytes.len() as u64);
                outcome(result, host.table)
            },
        )?;
    }
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
        "[method]output-stream.blocking-write-and-flush",
        |host, (stream, bytes): (Resource<Output>, Vec<u8>)| {
            ensure!(
                bytes.len() as u64 <= MAX_BLOCKING_WRITE,
                "`blocking-write-and-flush` of {} bytes; at most {MAX_BLOCKING_WRITE}",
                bytes.len()
            );
            let result = host.table.get_mut(&stream)?.blocking_write(&bytes);
            outcome(result, host.table)
        },
    )?;
    func(
        streams,
        "[method]output-stream.blocking-write-zeroes-and-flush",
        |host, (stream, len): (Resource<Output>, u64)| {
            ensure!(
                len <= MAX_BLOCKING_WRITE,
                "`blocking-write-zeroes-and-flush` of {len} bytes; at most {MAX_BLOCKING_WRITE}"
            );
            let zeroes = vec![0; usize::try_from(len).unwrap_or(0)];
            let result = host.table.get_mut(&stream)?.blocking_write(&zeroes);
            outcome(result, host.table)
        },
    )?;
    for name in [
        "[method]output-stream.flush",
        "[method]output-stream.blocking-flush",
    ] {
        func(streams, name, |host, (stream,): (Resource<Output>,)| {
            let result = host.table.get_mut(&stream)?.attempt(|s| s.flush());
            outcome(result, host.table)
        })?;
    }
    func(
        streams,
        "[method]output-stream.subscribe",
        |host, (stream,): (Resource<Output>,)| {
            let source = Source::Output(Resource::new_borrow(stream.rep()));
            Ok(host.table.push_child(Pollable(source), &stream)?)
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
    for (name, blocking) in [
        ("[method]output-stream.splice", false),
        ("[method]output-stream.blocking-splice", true),
    ] {
        func(
            streams,
            name,
            move |host, (to, from, len): (Resource<Output>, Resource<Input>, u64)| {
                let result = splice_once(host.table, &to, &from, len, blocking)?;
                outcome(result, host.table)
            },
        )?;
    }
    Ok(())
}

fn splice_once(
    table: &mut ResourceTable,
    to: &Resource<Output>,
    from: &Resource<Input>,
    len: u64,
    blocking: bool,
) -> Result<Result<u64, HostError>> {
    if blocking {
        let readiness = table.get(to)?.readiness();
        wait_any(&[readiness]);
    }
    let room = match table.get_mut(to)?.check_write() {
        Ok(room) => room.min(len),
        Err(e) => return Ok(Err(e)),
    };
    let input = table.get_mut(from)?;
    let bytes = match if blocking {
        input.blocking_read(room)
    } else {
        input.read(room)
    } {
        Ok(bytes) => bytes,
        Err(e) => return Ok(Err(e)),
    };
    let written = table.get_mut(to)?.write(&bytes);
    Ok(written.map(|()| bytes.len() as u64))
}
