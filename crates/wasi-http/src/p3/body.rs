//! Bodies of requests and responses: a guest's, as stream and future, or a connection's.
//!
//! ```text
//!   new(contents, trailers) --> Body::Guest --consume-body--> the same stream and future
//!                                           --sent----------> pump --> OutgoingBody
//!   a connection's body ------> Body::Host ---consume-body--> stream<u8>, future<trailers>
//!                                           --sent----------> as it is
//! ```

use crate::HasWasiHttp;
use crate::host::body::{BoxBody, IncomingBody, OutgoingBody, Side, WriteError, empty};
use crate::host::error::ErrorCode;
use crate::host::fields::Fields;
use crate::host::message::content_length;
use bytes::Bytes;
use helve::component::{
    Accessor, Destination, FutureReader, Resource, StreamProducer, StreamReader, StreamState,
};
use helve::{Result, StoreContextMut};
use helve_wasi::p3::pipe;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;

/// What a message's trailers come to.
pub type Trailers = Result<Option<Resource<Fields>>, ErrorCode>;
/// Whether a message was sent, or handled.
pub type Sent = Result<(), ErrorCode>;

/// A message's body.
pub enum Body {
    /// A guest made it.
    Guest {
        contents: Option<StreamReader<u8>>,
        trailers: FutureReader<Trailers>,
        sent: oneshot::Sender<Sent>,
    },
    /// It comes from a connection.
    Host(IncomingBody),
}

/// Most bytes taken from a guest at once.
const CHUNK: usize = 64 << 10;

impl Body {
    /// A guest's body, and the future of its having been sent.
    ///
    /// # Errors
    ///
    /// Where the store has no room for one more.
    pub fn guest<T: 'static>(
        cx: &mut StoreContextMut<'_, T>,
        contents: Option<StreamReader<u8>>,
        trailers: FutureReader<Trailers>,
    ) -> Result<(Body, FutureReader<Sent>)> {
        let (sent, future) = pipe::ended(cx)?;
        let body = Body::Guest {
            contents,
            trailers,
            sent,
        };
        Ok((body, future))
    }

    /// The body as stream and future for a guest, which will say by `handled` how it got on.
    ///
    /// # Errors
    ///
    /// Where the store has no room for one more.
    pub fn consume<T: Send + 'static>(
        self,
        cx: &Accessor<T, HasWasiHttp>,
        handled: FutureReader<Sent>,
    ) -> Result<(StreamReader<u8>, FutureReader<Trailers>)> {
        cx.with(|mut store| match self {
            Body::Guest {
                contents,
                trailers,
                sent,
            } => {
                let contents = match contents {
                    Some(contents) => contents,
                    None => pipe::closed(&mut store)?,
                };
                handled.pipe(&mut store, move |handled| {
                    // Nobody listens where the guest dropped the future.
                    let _ = sent.send(handled.unwrap_or(Ok(())));
                    Ok(())
                })?;
                Ok((contents, trailers))
            }
            Body::Host(body) => {
                drop(handled);
                let (end, outcome) = oneshot::channel();
                let produce = Produce {
                    body,
                    end: Some(end),
                };
                let contents = StreamReader::new(&mut store, produce)?;
                let accessor = cx.clone();
                let trailers = FutureReader::new(&mut store, async move {
                    let map = match outcome.await {
                        Ok(Ok(Some(map))) => map,
                        // Not read to its end: nobody knows.
                        Ok(Ok(None)) | Err(_) => return Ok(Ok(None)),
                        Ok(Err(code)) => return Ok(Err(code)),
                    };
                    let fields = accessor.with(|mut host| {
                        let view = host.get();
                        let fields = Fields::received(map, view.http.field_limits);
                        view.table.push(fields)
                    })??;
                    Ok(Ok(Some(fields)))
                })?;
                Ok((contents, trailers))
            }
        })?
    }

    /// The body for a connection; a guest's goes there from now on.
    ///
    /// # Errors
    ///
    /// Outside the store's event loop; inside, what the guest's headers have wrong.
    pub fn send<T: Send + 'static>(
        self,
        cx: &Accessor<T, HasWasiHttp>,
        headers: &http::HeaderMap,
        side: Side,
    ) -> Result<Result<(BoxBody, Transmission), ErrorCode>> {
        let (contents, trailers, sent) = match self {
            Body::Host(body) => return Ok(Ok((BoxBody::new(body), Transmission::default()))),
            Body::Guest {
                contents,
                trailers,
                sent,
            } => (contents, trailers, sent),
        };
        let Ok(length) = content_length(headers) else {
            let _ = sent.send(Err(ErrorCode::HttpProtocolError));
            return Ok(Err(ErrorCode::HttpProtocolError));
        };
        let (failed, transmission) = oneshot::channel();
        let transmission_handle = Transmission(Some(failed));
        let Some(contents) = contents else {
            if length.is_some_and(|length| length != 0) && side == Side::Request {
                let code = ErrorCode::HttpRequestBodySize(length);
                let _ = sent.send(Err(code.clone()));
                return Ok(Err(code));
            }
            let accessor = cx.clone();
            cx.spawn(async move {
                let ended = read_trailers(&accessor, trailers).await?;
                tell(sent, transmission, ended.map(drop)).await;
                Ok(())
            })?;
            return Ok(Ok((empty(), transmission_handle)));
        };
        let (body, frames) = OutgoingBody::new(length, side);
        let accessor = cx.clone();
        cx.spawn(async move {
            let ended = pump(&accessor, contents, trailers, body).await?;
            tell(sent, transmission, ended).await;
            Ok(())
        })?;
        Ok(Ok((BoxBody::new(frames), transmission_handle)))
    }
}

/// What a connection knows of a message's way: dropped, all went well.
#[derive(Default)]
pub struct Transmission(Option<oneshot::Sender<ErrorCode>>);

impl Transmission {
    /// It went wrong.
    pub fn failed(self, code: &ErrorCode) {
        if let Some(sender) = self.0 {
            let _ = sender.send(code.clone());
        }
    }
}

/// Tells the guest how its message got on, once the connection has said so.
async fn tell(
    sent: oneshot::Sender<Sent>,
    transmission: oneshot::Receiver<ErrorCode>,
    ended: Sent,
) {
    let result = match transmission.await {
        Ok(code) => Err(code),
        Err(_) => ended,
    };
    let _ = sent.send(result);
}

type TrailerMap = Result<Option<http::HeaderMap>, ErrorCode>;

async fn read_trailers<T: Send + 'static>(
    cx: &Accessor<T, HasWasiHttp>,
    mut trailers: FutureReader<Trailers>,
) -> Result<TrailerMap> {
    Ok(match trailers.read(cx).await? {
        None | Some(Ok(None)) => Ok(None),
        Some(Err(code)) => Err(code),
        Some(Ok(Some(fields))) => {
            let fields = cx.with(|mut host| host.get().table.delete(fields))??;
            Ok(Some(fields.into_map()))
        }
    })
}

/// Moves a guest's body to where a connection reads it.
async fn pump<T: Send + 'static>(
    cx: &Accessor<T, HasWasiHttp>,
    mut contents: StreamReader<u8>,
    trailers: FutureReader<Trailers>,
    body: OutgoingBody,
) -> Result<Sent> {
    loop {
        // Asked for only where there is room: the guest waits for the connection.
        body.room_flag().wait().await;
        if body.room() == Err(WriteError::Closed) {
            return Ok(Err(ErrorCode::ConnectionTerminated));
        }
        let Some(chunk) = contents.read(cx, CHUNK).await? else {
            break;
        };
        match body.write(Bytes::from(chunk)) {
            Ok(()) => {}
            Err(WriteError::Closed) => return Ok(Err(ErrorCode::ConnectionTerminated)),
            Err(WriteError::TooLong(code)) => return Ok(Err(code)),
        }
    }
    drop(contents);
    match read_trailers(cx, trailers).await? {
        Ok(map) => Ok(body.finish(map)),
        Err(code) => {
            body.fail(code.clone());
            Ok(Err(code))
        }
    }
}

type Outcome = Result<Option<http::HeaderMap>, ErrorCode>;

/// A connection's body as a stream.
struct Produce {
    body: IncomingBody,
    end: Option<oneshot::Sender<Outcome>>,
}

impl StreamProducer<u8> for Produce {
    fn poll_produce(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut Destination<'_, u8>,
    ) -> Poll<Result<StreamState>> {
        match ready!(self.body.poll_read(cx, to.remaining())) {
            Some(chunk) => {
                to.fill(|bytes| {
                    let count = chunk.len().min(bytes.len());
                    if let (Some(to), Some(from)) = (bytes.get_mut(..count), chunk.get(..count)) {
                        to.copy_from_slice(from);
                    }
                    count
                })?;
                Poll::Ready(Ok(StreamState::Open))
            }
            None => {
                let outcome = self.body.outcome();
                if let Some(end) = self.end.take() {
                    let _ = end.send(outcome);
                }
                Poll::Ready(Ok(StreamState::Closed))
            }
        }
    }
}
