//! A request's body as a guest gets it: no longer than allowed, and no piece later.

use crate::host::body::BoxBody;
use crate::host::error::ErrorCode;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// A body of the network.
struct RequestBody {
    body: Incoming,
    /// Bytes that may still come.
    left: u64,
    most: u64,
    idle: Duration,
    /// Only once a piece was waited for.
    sleep: Option<Pin<Box<Sleep>>>,
}

/// The body, bounded.
pub fn bounded(body: Incoming, most: u64, idle: Duration) -> BoxBody {
    if body.is_end_stream() {
        return crate::host::body::empty();
    }
    BoxBody::new(RequestBody {
        body,
        left: most,
        most,
        idle,
        sleep: None,
    })
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            let idle = this.idle;
            let sleep = this
                .sleep
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
            return match sleep.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(Some(Err(ErrorCode::ConnectionReadTimeout))),
                Poll::Pending => Poll::Pending,
            };
        };
        if let Some(sleep) = &mut this.sleep {
            sleep.as_mut().reset(Instant::now() + this.idle);
        }
        Poll::Ready(match frame {
            None => None,
            Some(Err(e)) => Some(Err(e.into())),
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                match this.left.checked_sub(bytes) {
                    Some(left) => {
                        this.left = left;
                        Some(Ok(frame))
                    }
                    None => Some(Err(ErrorCode::HttpRequestBodySize(Some(this.most)))),
                }
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
