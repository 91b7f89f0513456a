//! The host's ends of streams: [`StreamReader`], [`StreamWriter`].
//!
//! Dropping one closes it. A read or write whose future is dropped is cancelled; elements
//! that it had received by then come with the next read. Not here: what the ends do
//! (`host_end`), futures (`future_host`), callbacks (`pipe`).

use super::Accessor;
use super::buffer::{Elements, Reading, Writing};
use super::host_end::{Ended, HostEnd, new_ends};
use crate::component::has_data::HasData;
use crate::component::lift::LiftContext;
use crate::component::lower::LowerContext;
use crate::component::typed::{ComponentType, Lane, Layout, Lift, Lower, TypeCheck};
use crate::component::typed::{get_lane, set_lane};
use crate::core::context::AsContextMut;
use helve_abi::types::InterfaceType;
use helve_base::{Error, Result};
use helve_model::{CopyResult, Shape};
use std::future::poll_fn;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::Poll;

/// A new stream, both of whose ends the host has.
///
/// # Errors
///
/// Where the store can't hold more streams and futures.
///
/// ```
/// # use helve::component::stream;
/// # use helve::{Config, Engine, Result, Store};
/// # fn main() -> Result<()> {
/// # let engine = Engine::new(&Config::new())?;
/// let mut store = Store::new(&engine, ());
/// let (writer, reader) = stream::<u8>(&mut store)?;
/// // `reader` goes to a guest, as an argument or in a result; `writer` stays here.
/// # drop((writer, reader));
/// # Ok(())
/// # }
/// ```
pub fn stream<T>(mut store: impl AsContextMut) -> Result<(StreamWriter<T>, StreamReader<T>)> {
    let mut store = store.as_context_mut();
    let (readable, writable) = new_ends(store.opaque(), Shape::Stream)?;
    let reader = StreamReader::hold(readable);
    let writer = StreamWriter {
        end: writable,
        element: PhantomData,
        over: false,
    };
    Ok((writer, reader))
}

/// The readable end of a `stream<T>`.
///
/// As a parameter, result or part of one it goes to the guest, and is of no use here any
/// more. (Spec: `stream<T>`, `stream.read`.)
///
/// ```
/// # use helve::{Config, Engine, Result, Store, component::stream};
/// # async fn example() -> Result<()> {
/// # let engine = Engine::new(&Config::new())?;
/// # let mut store = Store::new(&engine, ());
/// let (mut writer, mut reader) = stream::<u8>(&mut store)?;
/// let got = store.run_concurrent(async move |accessor| {
///     let inner = accessor.clone();
///     accessor.spawn(async move {
///         writer.write(&inner, vec![1, 2, 3]).await?; // what was not read comes back
///         Ok(()) // the writer is dropped: the stream ends
///     })?;
///     reader.read_all(accessor).await
/// }).await??;
/// assert_eq!(got, [1, 2, 3]);
/// # Ok(())
/// # }
/// ```
pub struct StreamReader<T> {
    pub(super) end: HostEnd,
    /// Elements that a cancelled read had received.
    got: Option<Arc<Elements<T>>>,
    over: bool,
}

/// The writable end of a `stream<T>`. (Spec: `stream.write`.)
pub struct StreamWriter<T> {
    end: HostEnd,
    element: PhantomData<fn(T)>,
    over: bool,
}

impl<T> std::fmt::Debug for StreamReader<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("StreamReader").field(&self.end).finish()
    }
}

impl<T> std::fmt::Debug for StreamWriter<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("StreamWriter").field(&self.end).finish()
    }
}

/// Asks to cancel the copy under way, unless it came to its end.
pub(super) struct CancelOnDrop<'a>(pub Option<&'a HostEnd>);

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(end) = self.0 {
            end.cancel_later();
        }
    }
}

/// Waits until the read or write of an end that has begun is over.
pub(super) async fn until_over<D: 'static, X: HasData + ?Sized>(
    accessor: &Accessor<D, X>,
    end: &HostEnd,
    shape: Shape,
    begun: Poll<Ended>,
) -> Result<Ended> {
    if let Poll::Ready(ended) = begun {
        return Ok(ended);
    }
    let mut guard = CancelOnDrop(Some(end));
    let ended = poll_fn(|cx| {
        let polled = accessor.with(|mut store| end.poll(store.opaque(), shape, cx));
        match polled.and_then(|polled| polled) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(ended)) => Poll::Ready(Ok(ended)),
            Err(error) => Poll::Ready(Err(error)),
        }
    })
    .await;
    guard.0 = None;
    ended
}

impl<T> StreamReader<T> {
    pub(crate) fn end(&self) -> &HostEnd {
        &self.end
    }

    pub(crate) fn hold(end: HostEnd) -> StreamReader<T> {
        StreamReader {
            end,
            got: None,
            over: false,
        }
    }
}

impl<T: Lift + Send + 'static> StreamReader<T> {
    /// Reads at least one and at most `max` elements (at most 2^28 - 1 at once); `None`
    /// when the writer is gone and everything was read. A `max` of 0 waits until the
    /// writer has something, or is gone.
    ///
    /// Dropping the future cancels the read; nothing is lost.
    ///
    /// # Errors
    ///
    /// Outside the store's event loop, and where the writer gives what is no `T`.
    pub async fn read<D: 'static, X: HasData + ?Sized>(
        &mut self,
        accessor: &Accessor<D, X>,
        max: usize,
    ) -> Result<Option<Vec<T>>> {
        if max > 0
            && let Some(got) = &self.got
        {
            let got = got.take(max);
            if !got.is_empty() {
                return Ok(Some(got));
            }
        }
        if self.over {
            return Ok(None);
        }
        let got = self.got.insert(Elements::new(Vec::new())).clone();
        let buffer = Arc::new(Reading(got.clone()));
        let begun = accessor
            .with(|mut store| self.end.begin(store.opaque(), Shape::Stream, buffer, max))??;
        let ended = until_over(accessor, &self.end, Shape::Stream, begun).await?;
        self.over = ended.result == CopyResult::Dropped;
        let got = got.take(max);
        match got.is_empty() && self.over {
            true => Ok(None),
            false => Ok(Some(got)),
        }
    }

    /// Reads to the end.
    ///
    /// # Errors
    ///
    /// Outside the store's event loop, and where an element can't be had from the guest.
    pub async fn read_all<D: 'static, X: HasData + ?Sized>(
        &mut self,
        accessor: &Accessor<D, X>,
    ) -> Result<Vec<T>> {
        let mut all = Vec::new();
        while let Some(some) = self.read(accessor, 1 << 16).await? {
            all.extend(some);
        }
        Ok(all)
    }
}

impl<T> StreamWriter<T> {
    pub(super) fn end(&self) -> &HostEnd {
        &self.end
    }

    /// Whether the reader is known to be gone: nothing may be written then.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }
}

impl<T: Lower + Send + 'static> StreamWriter<T> {
    /// Writes all elements; what is left where the reader is gone before.
    ///
    /// Dropping the future cancels the write; elements that were taken by then are gone,
    /// the others are dropped.
    ///
    /// # Errors
    ///
    /// Outside the store's event loop, and where an element can't be given to the reader.
    pub async fn write<D: 'static, X: HasData + ?Sized>(
        &mut self,
        accessor: &Accessor<D, X>,
        elements: Vec<T>,
    ) -> Result<Vec<T>> {
        let elements = Elements::new(elements);
        loop {
            let left = elements.lock().len();
            if left == 0 || self.over {
                return Ok(elements.take(left));
            }
            let buffer = Arc::new(Writing(elements.clone()));
            let begun = accessor
                .with(|mut store| self.end.begin(store.opaque(), Shape::Stream, buffer, left))??;
            let ended = until_over(accessor, &self.end, Shape::Stream, begun).await?;
            self.over = ended.result == CopyResult::Dropped;
        }
    }

    /// Waits until the reader wants something; `false`: it is gone.
    ///
    /// # Errors
    ///
    /// Outside the store's event loop, and where an element can't be had from the guest.
    pub async fn ready<D: 'static, X: HasData + ?Sized>(
        &mut self,
        accessor: &Accessor<D, X>,
    ) -> Result<bool> {
        if self.over {
            return Ok(false);
        }
        let buffer = Arc::new(Writing(Elements::<T>::new(Vec::new())));
        let begun = accessor
            .with(|mut store| self.end.begin(store.opaque(), Shape::Stream, buffer, 0))??;
        let ended = until_over(accessor, &self.end, Shape::Stream, begun).await?;
        self.over = ended.result == CopyResult::Dropped;
        Ok(!self.over)
    }
}

impl<T: ComponentType> ComponentType for StreamReader<T> {
    const LAYOUT: Layout = Layout::BYTES4;
    const NEEDS_TYPE: bool = true;

    fn typecheck(ty: InterfaceType, cx: &TypeCheck<'_>) -> Result<()> {
        match ty {
            InterfaceType::Stream(id) => T::typecheck_optional(cx.types()[id].element, cx),
            _ => Err(cx.mismatch_type("stream", ty)),
        }
    }
}

fn not_a_stream() -> Error {
    Error::new(helve_base::Bug("a stream whose type is none".into()))
}

impl<T: ComponentType> StreamReader<T> {
    fn index(&self, cx: &mut LowerContext<'_>, ty: InterfaceType) -> Result<u32> {
        if self.got.as_ref().is_some_and(|got| !got.lock().is_empty()) {
            return Err(Error::msg(
                "a stream from which a cancelled read has received elements can't be given away \
                 before they are read",
            ));
        }
        let InterfaceType::Stream(id) = ty else {
            return Err(not_a_stream());
        };
        let ty = super::element_type(cx.instance, cx.types()[id].element);
        self.end.lower(cx.instance, cx.options.owner, ty)
    }

    fn from_index(cx: &mut LiftContext<'_>, ty: InterfaceType, index: u32) -> Result<Self> {
        let InterfaceType::Stream(id) = ty else {
            return Err(not_a_stream());
        };
        let (ty, _) = super::element_type(cx.instance, cx.types()[id].element);
        let (instance, part) = (cx.instance, cx.options.owner);
        HostEnd::lift(instance, part, (Shape::Stream, ty), index).map(StreamReader::hold)
    }
}

impl<T: ComponentType> Lower for StreamReader<T> {
    fn lower(&self, cx: &mut LowerContext<'_>, ty: InterfaceType, dst: &mut [Lane]) -> Result<()> {
        let index = self.index(cx, ty)?;
        set_lane(dst, Lane::from_u32(index))
    }

    fn store(&self, cx: &mut LowerContext<'_>, ty: InterfaceType, at: usize) -> Result<()> {
        let index = self.index(cx, ty)?;
        cx.put(at, &index.to_le_bytes())
    }
}

impl<T: ComponentType> Lift for StreamReader<T> {
    fn lift(cx: &mut LiftContext<'_>, ty: InterfaceType, src: &[Lane]) -> Result<Self> {
        let index = get_lane(src)?.u32();
        StreamReader::from_index(cx, ty, index)
    }

    fn load(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> Result<Self> {
        let index = cx.discriminant(bytes, 4)?;
        StreamReader::from_index(cx, ty, index)
    }
}
