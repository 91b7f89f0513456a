//! Byte streams of the host as streams of the Component Model, and how they ended as a
//! future beside them.
//!
//! ```text
//!   InputStream --Produce--> stream<u8>     the guest reads, straight into its memory
//!               --ended----> future<result>
//!   stream<u8> --Consume--> OutputStream    the guest writes, straight out of its memory
//!              --ended----> future<result>
//! ```

use crate::host::poll::Readiness;
use crate::host::stream::{InputStream, MAX_TRANSFER, OutputStream, StreamError};
use helve::component::{
    Destination, FutureReader, Lower, Source, StreamConsumer, StreamProducer, StreamReader,
    StreamState,
};
use helve::{Result, StoreContextMut};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;

/// How a stream ended, in the guest's terms.
pub type Ended<E> = Result<(), E>;

/// A wait that is kept between two polls.
#[derive(Default)]
struct Wait(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Wait {
    fn poll(&mut self, cx: &mut Context<'_>, readiness: impl FnOnce() -> Readiness) -> Poll<()> {
        let wait = self.0.get_or_insert_with(|| {
            let readiness = readiness();
            Box::pin(async move { readiness.wait().await })
        });
        ready!(wait.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(())
    }
}

/// Says how something ended, and the future that hears it.
pub type Ending<E> = (oneshot::Sender<Ended<E>>, FutureReader<Ended<E>>);

/// A future of how something ended, and who says so. Where nobody does, it went well.
///
/// # Errors
///
/// Where the store has no room for one more.
pub fn ended<T: 'static, E: Lower + Send + 'static>(
    cx: &mut StoreContextMut<'_, T>,
) -> Result<Ending<E>>
where
    Ended<E>: Lower,
{
    let (sender, receiver) = oneshot::channel();
    let future = FutureReader::new(cx, async move { Ok(receiver.await.unwrap_or(Ok(()))) })?;
    Ok((sender, future))
}

/// A future that has its value.
///
/// # Errors
///
/// Where the store has no room for one more.
pub fn settled<T: 'static, V: Lower + Send + 'static>(
    cx: &mut StoreContextMut<'_, T>,
    value: V,
) -> Result<FutureReader<V>> {
    FutureReader::new(cx, std::future::ready(Ok(value)))
}

/// A stream that is at its end.
///
/// # Errors
///
/// Where the store has no room for one more.
pub fn closed<T: 'static, V: Lower + Send + 'static>(
    cx: &mut StoreContextMut<'_, T>,
) -> Result<StreamReader<V>> {
    let (_, reader) = helve::component::stream::<V>(cx)?;
    Ok(reader)
}

/// A stream that is at its end, and a future that says why.
///
/// # Errors
///
/// Where the store has no room for one more.
pub fn failed<T: 'static, V: Lower + Send + 'static, E: Send + 'static>(
    cx: &mut StoreContextMut<'_, T>,
    error: E,
) -> Result<(StreamReader<V>, FutureReader<Ended<E>>)>
where
    Ended<E>: Lower,
{
    Ok((closed(cx)?, settled(cx, Err(error))?))
}

/// What `input` reads as a stream, and how it ends.
///
/// # Errors
///
/// Where the store has no room for one more.
pub fn from_input<T: 'static, E: Lower + Send + 'static>(
    cx: &mut StoreContextMut<'_, T>,
    input: impl InputStream,
    code: fn(std::io::Error) -> E,
) -> Result<(StreamReader<u8>, FutureReader<Ended<E>>)>
where
    Ended<E>: Lower,
{
    let (end, future) = ended(cx)?;
    let producer = Produce {
        input: Box::new(input),
        end: Some(end),
        code,
        wait: Wait::default(),
    };
    Ok((StreamReader::new(cx, producer)?, future))
}

struct Produce<E> {
    input: Box<dyn InputStream>,
    end: Option<oneshot::Sender<Ended<E>>>,
    code: fn(std::io::Error) -> E,
    wait: Wait,
}

impl<E: Send + 'static> StreamProducer<u8> for Produce<E> {
    fn poll_produce(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut Destination<'_, u8>,
    ) -> Poll<Result<StreamState>> {
        let this = &mut *self;
        loop {
            match this.input.read(to.remaining().min(MAX_TRANSFER)) {
                Ok(bytes) if bytes.is_empty() => {
                    ready!(this.wait.poll(cx, || this.input.readiness()));
                }
                Ok(mut bytes) => {
                    to.put(&mut bytes)?;
                    return Poll::Ready(Ok(StreamState::Open));
                }
                Err(error) => {
                    this.end(error);
                    return Poll::Ready(Ok(StreamState::Closed));
                }
            }
        }
    }
}

impl<E> Produce<E> {
    fn end(&mut self, error: StreamError) {
        if let Some(end) = self.end.take() {
            // Nobody listens where the guest dropped the future.
            let _ = end.send(match error {
                StreamError::Closed => Ok(()),
                StreamError::Failed(error) => Err((self.code)(error)),
            });
        }
    }
}

/// Writes what comes in `stream` to `output`; how it ended, once the stream is closed and
/// all of it was handed on.
///
/// # Errors
///
/// Where the store has no room for one more.
pub fn into_output<T: 'static, E: Lower + Send + 'static>(
    cx: &mut StoreContextMut<'_, T>,
    stream: StreamReader<u8>,
    output: impl OutputStream,
    code: fn(std::io::Error) -> E,
) -> Result<FutureReader<Ended<E>>>
where
    Ended<E>: Lower,
{
    let (end, future) = ended(cx)?;
    let consumer = Consume {
        output: Box::new(output),
        end: Some(end),
        code,
        wait: Wait::default(),
    };
    stream.pipe(cx, consumer)?;
    Ok(future)
}

struct Consume<E> {
    output: Box<dyn OutputStream>,
    end: Option<oneshot::Sender<Ended<E>>>,
    code: fn(std::io::Error) -> E,
    wait: Wait,
}

impl<E: Send + 'static> Consume<E> {
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Source<'_, u8>,
    ) -> Poll<Result<(), StreamError>> {
        let room = loop {
            match self.output.check_write() {
                Ok(0) => ready!(self.wait.poll(cx, || self.output.readiness())),
                Ok(room) => break room,
                Err(e) => return Poll::Ready(Err(e)),
            }
        };
        let mut written = Ok(());
        let drained = from.drain(|bytes| {
            let count = room.min(bytes.len());
            written = self.output.write(bytes.get(..count).unwrap_or_default());
            count
        });
        let failed = |e: helve::Error| StreamError::Failed(std::io::Error::other(e.to_string()));
        Poll::Ready(drained.map_err(failed).and(written))
    }

    fn finish(&mut self, result: Result<(), StreamError>) {
        let result = match result {
            Ok(()) => Ok(()),
            // The other side wants no more, and did not get all of this.
            Err(StreamError::Closed) => Err((self.code)(std::io::ErrorKind::BrokenPipe.into())),
            Err(StreamError::Failed(e)) => Err((self.code)(e)),
        };
        if let Some(end) = self.end.take() {
            let _ = end.send(result);
        }
    }
}

impl<E: Send + 'static> StreamConsumer<u8> for Consume<E> {
    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &mut Source<'_, u8>,
    ) -> Poll<Result<StreamState>> {
        let this = &mut *self;
        match ready!(this.poll_write(cx, from)) {
            Ok(()) => Poll::Ready(Ok(StreamState::Open)),
            Err(e) => {
                this.finish(Err(e));
                Poll::Ready(Ok(StreamState::Closed))
            }
        }
    }

    fn end(mut self: Pin<&mut Self>) {
        let flushed = self.output.flush().map(drop);
        self.finish(flushed);
    }
}
