//! `incoming-body`, `outgoing-body` and `future-trailers`: bodies as streams.
//!
//! ```text
//!   incoming-body --stream--> input-stream (once, a child)
//!                 --finish--> future-trailers: reads to the end, then says how it went
//!   outgoing-body --write---> output-stream (once, a child)
//!                 --finish--> complete, with trailers; dropped instead: it failed
//! ```

use super::bindings::wasi::http::types;
use crate::WasiHttpCtxView;
use crate::host::body::{Chunk, IncomingBody, OutgoingBody, WriteError};
use crate::host::error::{ErrorCode, Fault};
use crate::host::fields::Fields;
use bytes::Bytes;
use helve::Result;
use helve::component::Resource;
use helve_wasi::host::poll::Readiness;
use helve_wasi::host::stream::{InputStream, OutputStream, StreamError};
use helve_wasi::p2::io::{Input, Output, Pollable};
use std::sync::{Arc, Mutex, PoisonError};

/// A stream's error as HTTP knows it.
fn stream_error(code: ErrorCode) -> std::io::Error {
    std::io::Error::other(code)
}

/// A body that its handle and its stream share.
type Shared<B> = Arc<Mutex<B>>;

/// `incoming-body`.
pub struct Incoming {
    body: Shared<IncomingBody>,
    streamed: bool,
}

impl Incoming {
    pub fn new(body: IncomingBody) -> Incoming {
        Incoming {
            body: Arc::new(Mutex::new(body)),
            streamed: false,
        }
    }
}

/// `future-trailers`.
pub struct FutureTrailers {
    body: Shared<IncomingBody>,
    taken: bool,
}

/// `outgoing-body`.
pub struct Outgoing {
    body: Shared<Option<OutgoingBody>>,
    streamed: bool,
}

impl Outgoing {
    pub fn new(body: OutgoingBody) -> Outgoing {
        Outgoing {
            body: Arc::new(Mutex::new(Some(body))),
            streamed: false,
        }
    }
}

fn lock<B>(shared: &Shared<B>) -> std::sync::MutexGuard<'_, B> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

struct BodyInput(Shared<IncomingBody>);

impl InputStream for BodyInput {
    fn read(&mut self, max: usize) -> Result<Vec<u8>, StreamError> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let mut body = lock(&self.0);
        match body.read(max) {
            Chunk::Data(data) => Ok(data.into()),
            Chunk::Wait => Ok(Vec::new()),
            Chunk::End => match body.failure() {
                Some(code) => Err(StreamError::Failed(stream_error(code))),
                None => Err(StreamError::Closed),
            },
        }
    }

    fn readiness(&self) -> Readiness {
        Readiness::Flag(lock(&self.0).ready().clone())
    }
}

struct BodyOutput(Shared<Option<OutgoingBody>>);

impl BodyOutput {
    fn with<R>(
        &self,
        work: impl FnOnce(&OutgoingBody) -> Result<R, WriteError>,
    ) -> Result<R, StreamError> {
        let body = lock(&self.0);
        let Some(body) = &*body else {
            return Err(StreamError::Closed);
        };
        work(body).map_err(|e| match e {
            WriteError::Closed => StreamError::Closed,
            WriteError::TooLong(code) => StreamError::Failed(stream_error(code)),
        })
    }
}

impl OutputStream for BodyOutput {
    fn check_write(&mut self) -> Result<usize, StreamError> {
        self.with(OutgoingBody::room)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        self.with(|body| body.write(Bytes::copy_from_slice(bytes)))
    }

    fn readiness(&self) -> Readiness {
        match &*lock(&self.0) {
            Some(body) => Readiness::Flag(body.room_flag().clone()),
            None => Readiness::Now,
        }
    }
}

type Trailers = Result<Result<Option<Resource<Fields>>, ErrorCode>, ()>;

impl types::HostIncomingBody for WasiHttpCtxView<'_> {
    fn stream(&mut self, body: Resource<Incoming>) -> Result<Result<Resource<Input>, ()>> {
        let incoming = self.table.get_mut(&body)?;
        if std::mem::replace(&mut incoming.streamed, true) {
            return Ok(Err(()));
        }
        let input = Input::new(BodyInput(incoming.body.clone()));
        Ok(Ok(self.table.push_child(input, &body)?))
    }

    fn finish(&mut self, body: Resource<Incoming>) -> Result<Resource<FutureTrailers>> {
        let incoming = self.table.delete(body)?;
        Ok(self.table.push(FutureTrailers {
            body: incoming.body,
            taken: false,
        })?)
    }

    fn drop(&mut self, body: Resource<Incoming>) -> Result<()> {
        self.discard(body)
    }
}

impl types::HostFutureTrailers for WasiHttpCtxView<'_> {
    fn subscribe(&mut self, future: Resource<FutureTrailers>) -> Result<Resource<Pollable>> {
        let body = self.table.get(&future)?.body.clone();
        // A piece of the body is not the trailers yet.
        let readiness = move || {
            let mut body = lock(&body);
            match body.skip_to_end() {
                true => Readiness::Now,
                false => Readiness::Flag(body.ready().clone()),
            }
        };
        Ok(self
            .table
            .push_child(Pollable::asking(readiness), &future)?)
    }

    fn get(&mut self, future: Resource<FutureTrailers>) -> Result<Option<Trailers>> {
        let limits = self.http.field_limits;
        let state = self.table.get_mut(&future)?;
        if state.taken {
            return Ok(Some(Err(())));
        }
        let outcome = {
            let mut body = lock(&state.body);
            if !body.skip_to_end() {
                return Ok(None);
            }
            body.outcome()
        };
        state.taken = true;
        Ok(Some(Ok(match outcome {
            Ok(Some(map)) => Ok(Some(self.table.push(Fields::received(map, limits))?)),
            Ok(None) => Ok(None),
            Err(code) => Err(code),
        })))
    }

    fn drop(&mut self, future: Resource<FutureTrailers>) -> Result<()> {
        self.discard(future)
    }
}

impl types::HostOutgoingBody for WasiHttpCtxView<'_> {
    fn write(&mut self, body: Resource<Outgoing>) -> Result<Result<Resource<Output>, ()>> {
        let outgoing = self.table.get_mut(&body)?;
        if std::mem::replace(&mut outgoing.streamed, true) {
            return Ok(Err(()));
        }
        let output = Output::new(BodyOutput(outgoing.body.clone()));
        Ok(Ok(self.table.push_child(output, &body)?))
    }

    fn finish(
        &mut self,
        body: Resource<Outgoing>,
        trailers: Option<Resource<Fields>>,
    ) -> Result<(), Fault> {
        let outgoing = self.table.delete(body)?;
        let trailers = match trailers {
            Some(trailers) => Some(self.table.delete(trailers)?.into_map()),
            None => None,
        };
        let body = lock(&outgoing.body).take();
        match body {
            Some(body) => Ok(body.finish(trailers)?),
            None => Ok(()),
        }
    }

    fn drop(&mut self, body: Resource<Outgoing>) -> Result<()> {
        self.discard(body)
    }
}
