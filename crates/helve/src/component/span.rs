//! Spans of `tracing` for calls that cross a border, and for instantiation.
//!
//! ```text
//!  instantiate   component
//!  call          from = "the host" | "root / a"   instance   function
//! ```
//!
//! A call's span is entered whenever its guest, or its host function, runs, so that what is
//! called meanwhile stands inside of it, and closes when the call has its result. There are
//! spans with the Cargo feature `tracing` and
//! [`Config::trace_calls`](crate::Config::trace_calls); else a span is nothing at all. Not
//! here: the embedder's own hook (`hook`).

use crate::component::call::host::HostCall;
use crate::component::call::lane::Lane;
use crate::component::call::scope::CallScope;
use crate::component::concurrent::host_task::{HostWait, Waiting};
use crate::component::hook::Watch;
use helve_base::Result;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The instance that calls, or is called, where that is none.
pub(crate) const HOST: &str = "the host";

/// A span, if there is one.
#[derive(Clone, Default)]
pub(crate) struct Span(#[cfg(feature = "tracing")] Option<tracing::Span>);

impl Span {
    /// Of a call of the guest's function that `watch` is of.
    #[allow(unused_variables)]
    pub fn of_guest(watch: Option<&Watch>, from: &str) -> Span {
        #[cfg(feature = "tracing")]
        if let Some(watch) = watch.filter(|watch| watch.traces) {
            let (instance, function) = (&*watch.instance, &*watch.function);
            let span = tracing::info_span!(target: "helve", "call", from, instance, function);
            return Span(Some(span));
        }
        Span::default()
    }

    /// Of a call of the host's function that `watch` is of.
    #[allow(unused_variables)]
    pub fn of_host(watch: Option<&Watch>) -> Span {
        #[cfg(feature = "tracing")]
        if let Some(watch) = watch.filter(|watch| watch.traces) {
            let (from, function) = (&*watch.instance, &*watch.function);
            let span = tracing::info_span!(
                target: "helve", "call", from, instance = HOST, function
            );
            return Span(Some(span));
        }
        Span::default()
    }

    /// Of making an instance.
    #[allow(unused_variables)]
    pub fn of_instantiation(traces: bool, parts: usize) -> Span {
        #[cfg(feature = "tracing")]
        if traces {
            return Span(Some(
                tracing::info_span!(target: "helve", "instantiate", parts),
            ));
        }
        Span::default()
    }

    /// Whether there is one.
    pub fn is_some(&self) -> bool {
        #[cfg(feature = "tracing")]
        return self.0.is_some();
        #[cfg(not(feature = "tracing"))]
        false
    }

    /// Runs `work` in it.
    #[inline]
    pub fn within<R>(&self, work: impl FnOnce() -> R) -> R {
        #[cfg(feature = "tracing")]
        if let Some(span) = &self.0 {
            return span.in_scope(work);
        }
        work()
    }

    /// A host function at work in it.
    pub fn around(self, waiting: Waiting) -> Waiting {
        match self.is_some() {
            true => Box::pin(Spanned(waiting, self)),
            false => waiting,
        }
    }
}

impl std::fmt::Debug for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Span").field(&self.is_some()).finish()
    }
}

/// See [`Span::around`]. The function goes first, then its span.
struct Spanned(Waiting, Span);

impl HostWait for Spanned {
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Spanned(waiting, span) = &mut *self;
        span.within(|| waiting.as_mut().poll(cx))
    }

    fn lower(
        mut self: Pin<&mut Self>,
        call: HostCall<'_>,
        scope: &mut CallScope,
        to: Lane,
        lanes: &mut [Lane],
    ) -> Result<()> {
        self.0.as_mut().lower(call, scope, to, lanes)
    }
}
