//! Bodies: pipes between a guest and a connection, bounded, one way each.
//!
//! ```text
//!   connection --frames--> IncomingBody --chunks--> guest      (pull: no task of ours)
//!   guest --chunks--> OutgoingBody | OutgoingFrames --frames--> connection
//! ```
//!
//! A guest that writes faster than its peer reads finds no room; one that goes without
//! finishing its body ends it with an error, so that nobody takes a part for the whole.

use super::error::ErrorCode;
use bytes::{Buf, Bytes};
use helve_wasi::host::poll::Flag;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// A body of a connection, of whatever kind.
pub type BoxBody = http_body_util::combinators::UnsyncBoxBody<Bytes, ErrorCode>;

/// Most bytes that wait between a guest and a connection.
pub const ROOM: usize = 64 << 10;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A body that a guest reads.
pub struct IncomingBody {
    body: Option<BoxBody>,
    chunk: Bytes,
    trailers: Option<HeaderMap>,
    error: Option<ErrorCode>,
    ready: Flag,
    waker: Waker,
}

/// What reading a body gave.
#[derive(Debug)]
pub enum Chunk {
    /// Bytes.
    Data(Bytes),
    /// Nothing yet: its flag goes up when it is worth asking again.
    Wait,
    /// The body is complete, or failed.
    End,
}

struct Raise(Flag);

impl Wake for Raise {
    fn wake(self: Arc<Self>) {
        self.0.set(true);
    }
}

impl IncomingBody {
    /// Takes a body over.
    pub fn new(body: BoxBody) -> IncomingBody {
        let ready = Flag::new(true);
        IncomingBody {
            body: Some(body),
            chunk: Bytes::new(),
            trailers: None,
            error: None,
            waker: Arc::new(Raise(ready.clone())).into(),
            ready,
        }
    }

    /// Up when reading may give something.
    pub fn ready(&self) -> &Flag {
        &self.ready
    }

    /// Reads up to `max` bytes without waiting.
    pub fn read(&mut self, max: usize) -> Chunk {
        self.ready.set(false);
        let waker = self.waker.clone();
        match self.poll_read(&mut Context::from_waker(&waker), max) {
            Poll::Ready(Some(data)) => {
                self.ready.set(true);
                Chunk::Data(data)
            }
            Poll::Ready(None) => {
                self.ready.set(true);
                Chunk::End
            }
            Poll::Pending => Chunk::Wait,
        }
    }

    /// Reads up to `max` bytes; `None` at the end, after which [`IncomingBody::outcome`]
    /// says how it went.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<Option<Bytes>> {
        while self.chunk.is_empty() {
            let Some(body) = &mut self.body else {
                return Poll::Ready(None);
            };
            match Pin::new(body).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => self.body = None,
                Poll::Ready(Some(Err(e))) => {
                    self.error = Some(e);
                    self.body = None;
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.chunk = data,
                    Err(frame) => {
                        self.trailers = frame.into_trailers().ok();
                        self.body = None;
                    }
                },
            }
        }
        let count = max.min(self.chunk.len());
        Poll::Ready(Some(self.chunk.split_to(count)))
    }

    /// Reads without waiting and throws away; whether the end was reached.
    pub fn skip_to_end(&mut self) -> bool {
        loop {
            match self.read(usize::MAX) {
                Chunk::Data(_) => {}
                Chunk::Wait => return false,
                Chunk::End => return true,
            }
        }
    }

    /// Why it failed, if it did.
    pub fn failure(&self) -> Option<ErrorCode> {
        self.error.clone()
    }

    /// How the body ended: with trailers, without, or with an error. Once.
    ///
    /// # Errors
    ///
    /// Why it failed.
    pub fn outcome(&mut self) -> Result<Option<HeaderMap>, ErrorCode> {
        match self.error.take() {
            Some(e) => Err(e),
            None => Ok(self.trailers.take()),
        }
    }
}

/// A body that is passed on as it is.
impl Body for IncomingBody {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        match std::task::ready!(self.poll_read(cx, usize::MAX)) {
            Some(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
            None => Poll::Ready(match self.outcome() {
                Ok(trailers) => trailers.map(|map| Ok(Frame::trailers(map))),
                Err(code) => Some(Err(code)),
            }),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) if self.chunk.is_empty() => body.size_hint(),
            Some(_) => SizeHint::default(),
            None => SizeHint::with_exact(self.chunk.len() as u64),
        }
    }
}

/// Which message a body belongs to, for the errors it can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A request's.
    Request,
    /// A response's.
    Response,
}

impl Side {
    fn size_error(self, size: u64) -> ErrorCode {
        match self {
            Side::Request => ErrorCode::HttpRequestBodySize(Some(size)),
            Side::Response => ErrorCode::HttpResponseBodySize(Some(size)),
        }
    }
}

/// A body that a guest writes; [`OutgoingFrames`] is its other end.
pub struct OutgoingBody {
    pipe: Arc<Mutex<Pipe>>,
    room: Flag,
    side: Side,
}

struct Pipe {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    end: End,
    /// Bytes that the guest wrote, and that its content-length says.
    written: u64,
    length: Option<u64>,
    reader: Option<Waker>,
    reader_gone: bool,
}

enum End {
    /// More may come.
    Open,
    /// It is complete; trailers are still to be read, or none.
    Finished(Option<HeaderMap>),
    /// It failed; the error is still to be read, or was.
    Failed(Option<ErrorCode>),
}

/// What writing a body gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// Nobody reads it any more, or it was ended.
    Closed,
    /// More than its content-length.
    TooLong(ErrorCode),
}

impl OutgoingBody {
    /// A body of this length, where it is known, and its other end.
    pub fn new(length: Option<u64>, side: Side) -> (OutgoingBody, OutgoingFrames) {
        let room = Flag::new(true);
        let pipe = Arc::new(Mutex::new(Pipe {
            chunks: VecDeque::new(),
            bytes: 0,
            end: End::Open,
            written: 0,
            length,
            reader: None,
            reader_gone: false,
        }));
        let frames = OutgoingFrames {
            pipe: pipe.clone(),
            room: room.clone(),
        };
        (OutgoingBody { pipe, room, side }, frames)
    }

    /// Up when there is room, or nobody reads any more.
    pub fn room_flag(&self) -> &Flag {
        &self.room
    }

    /// How many bytes it takes now.
    ///
    /// # Errors
    ///
    /// Where nobody reads it any more.
    pub fn room(&self) -> Result<usize, WriteError> {
        let pipe = lock(&self.pipe);
        if pipe.reader_gone || !matches!(pipe.end, End::Open) {
            return Err(WriteError::Closed);
        }
        Ok(ROOM.saturating_sub(pipe.bytes))
    }

    /// Whether all that was written was read.
    ///
    /// # Errors
    ///
    /// Where nobody reads it any more.
    pub fn is_drained(&self) -> Result<bool, WriteError> {
        let pipe = lock(&self.pipe);
        if pipe.reader_gone {
            return Err(WriteError::Closed);
        }
        Ok(pipe.bytes == 0)
    }

    /// Writes all of `data`, which should be no more than there is room for.
    ///
    /// # Errors
    ///
    /// Where nobody reads it any more, or it is more than its `content-length`.
    pub fn write(&self, data: Bytes) -> Result<(), WriteError> {
        let mut pipe = lock(&self.pipe);
        if pipe.reader_gone || !matches!(pipe.end, End::Open) {
            return Err(WriteError::Closed);
        }
        if data.is_empty() {
            return Ok(());
        }
        let written = pipe.written.saturating_add(data.len() as u64);
        if pipe.length.is_some_and(|length| written > length) {
            let error = self.side.size_error(written);
            pipe.end = End::Failed(Some(error.clone()));
            pipe.wake();
            return Err(WriteError::TooLong(error));
        }
        pipe.written = written;
        pipe.bytes += data.len();
        pipe.chunks.push_back(data);
        if pipe.bytes >= ROOM {
            self.room.set(false);
        }
        pipe.wake();
        Ok(())
    }

    /// Says that it is complete.
    ///
    /// # Errors
    /// Where that is not what its content-length says.
    pub fn finish(self, trailers: Option<HeaderMap>) -> Result<(), ErrorCode> {
        let mut pipe = lock(&self.pipe);
        if let End::Failed(error) = &pipe.end {
            return Err(error.clone().unwrap_or(ErrorCode::HttpProtocolError));
        }
        let missing = pipe.length.is_some_and(|length| length != pipe.written);
        if missing && !pipe.reader_gone {
            let error = self.side.size_error(pipe.written);
            pipe.end = End::Failed(Some(error.clone()));
            pipe.wake();
            return Err(error);
        }
        pipe.end = End::Finished(trailers);
        pipe.wake();
        Ok(())
    }

    /// Says that it will not be complete.
    pub fn fail(self, error: ErrorCode) {
        let mut pipe = lock(&self.pipe);
        if matches!(pipe.end, End::Open) {
            pipe.end = End::Failed(Some(error));
        }
        pipe.wake();
    }
}

impl Drop for OutgoingBody {
    fn drop(&mut self) {
        let mut pipe = lock(&self.pipe);
        if matches!(pipe.end, End::Open) {
            pipe.end = End::Failed(Some(match self.side {
                Side::Request => ErrorCode::HttpProtocolError,
                Side::Response => ErrorCode::HttpResponseIncomplete,
            }));
            pipe.wake();
        }
    }
}

impl Pipe {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// What a guest wrote, for a connection to send.
pub struct OutgoingFrames {
    pipe: Arc<Mutex<Pipe>>,
    room: Flag,
}

impl OutgoingFrames {
    /// All of it, where it is complete, short and without trailers: such a body can be sent
    /// with its length.
    pub fn complete(&self) -> Option<Bytes> {
        let mut pipe = lock(&self.pipe);
        if !matches!(pipe.end, End::Finished(None)) {
            return None;
        }
        if pipe.chunks.len() == 1 {
            pipe.bytes = 0;
            return pipe.chunks.pop_front();
        }
        let mut all = Vec::with_capacity(pipe.bytes);
        for chunk in pipe.chunks.drain(..) {
            all.extend_from_slice(chunk.chunk());
        }
        pipe.bytes = 0;
        Some(all.into())
    }
}

impl Drop for OutgoingFrames {
    fn drop(&mut self) {
        let mut pipe = lock(&self.pipe);
        pipe.reader_gone = true;
        pipe.chunks.clear();
        pipe.bytes = 0;
        self.room.set(true);
    }
}

impl Body for OutgoingFrames {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        let mut pipe = lock(&self.pipe);
        if let Some(chunk) = pipe.chunks.pop_front() {
            pipe.bytes -= chunk.len();
            // With the pipe held, so that the flag never says what is no longer so.
            self.room.set(pipe.bytes < ROOM);
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        match &mut pipe.end {
            End::Open => {
                pipe.reader = Some(cx.waker().clone());
                Poll::Pending
            }
            End::Finished(trailers) => {
                Poll::Ready(trailers.take().map(|map| Ok(Frame::trailers(map))))
            }
            End::Failed(error) => Poll::Ready(error.take().map(Err)),
        }
    }

    fn is_end_stream(&self) -> bool {
        let pipe = lock(&self.pipe);
        pipe.chunks.is_empty() && matches!(pipe.end, End::Finished(None))
    }

    fn size_hint(&self) -> SizeHint {
        let pipe = lock(&self.pipe);
        match (&pipe.end, pipe.length) {
            (End::Finished(None), _) => SizeHint::with_exact(pipe.bytes as u64),
            (_, Some(length)) => {
                SizeHint::with_exact(length.saturating_sub(pipe.written) + pipe.bytes as u64)
            }
            _ => SizeHint::default(),
        }
    }
}

/// An empty body.
pub fn empty() -> BoxBody {
    full(Bytes::new())
}

/// A body of these bytes.
pub fn full(bytes: Bytes) -> BoxBody {
    let full = http_body_util::Full::new(bytes);
    BoxBody::new(http_body_util::BodyExt::map_err(
        full,
        |never| match never {},
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    #[tokio::test]
    async fn what_is_written_is_read() {
        let (body, frames) = OutgoingBody::new(None, Side::Request);
        assert_eq!(body.room(), Ok(ROOM));
        body.write(Bytes::from_static(b"one")).unwrap();
        assert_eq!(body.room(), Ok(ROOM - 3));
        let mut trailers = HeaderMap::new();
        trailers.insert("x", http::HeaderValue::from_static("1"));
        body.finish(Some(trailers.clone())).unwrap();
        let collected = frames.collect().await.unwrap();
        assert_eq!(collected.trailers(), Some(&trailers));
        assert_eq!(collected.to_bytes(), "one");
    }

    #[tokio::test]
    async fn what_is_no_whole_body_fails() {
        let (body, frames) = OutgoingBody::new(None, Side::Response);
        body.write(Bytes::from_static(b"one")).unwrap();
        drop(body);
        let failed = frames.collect().await.unwrap_err();
        assert_eq!(failed, ErrorCode::HttpResponseIncomplete);

        let (body, _frames) = OutgoingBody::new(Some(2), Side::Response);
        let too_long = body.write(Bytes::from_static(b"one"));
        let error = ErrorCode::HttpResponseBodySize(Some(3));
        assert_eq!(too_long, Err(WriteError::TooLong(error)));

        let (body, _frames) = OutgoingBody::new(Some(2), Side::Request);
        body.write(Bytes::from_static(b"o")).unwrap();
        let error = ErrorCode::HttpRequestBodySize(Some(1));
        assert_eq!(body.finish(None), Err(error));
    }

    #[test]
    fn the_flag_says_what_is_so_whoever_is_faster() {
        let (body, mut frames) = OutgoingBody::new(None, Side::Request);
        let reader = std::thread::spawn(move || {
            let mut read = 0;
            while read < 500 {
                let mut cx = Context::from_waker(Waker::noop());
                if let Poll::Ready(Some(Ok(_))) = Pin::new(&mut frames).poll_frame(&mut cx) {
                    read += 1;
                } else {
                    std::thread::yield_now();
                }
            }
            frames
        });
        for _ in 0..500 {
            while body.room() == Ok(0) {
                std::thread::yield_now();
            }
            body.write(vec![0; ROOM].into()).unwrap();
        }
        let _frames = reader.join().unwrap();
        assert!(body.room_flag().is_up());
        body.write(vec![0; ROOM].into()).unwrap();
        assert!(!body.room_flag().is_up());
    }

    #[test]
    fn a_full_pipe_has_no_room_and_a_lost_reader_closes_it() {
        let (body, frames) = OutgoingBody::new(None, Side::Request);
        body.write(vec![0; ROOM].into()).unwrap();
        assert_eq!(body.room(), Ok(0));
        assert!(!body.room_flag().is_up());
        drop(frames);
        assert!(body.room_flag().is_up());
        assert_eq!(body.room(), Err(WriteError::Closed));
    }
}
