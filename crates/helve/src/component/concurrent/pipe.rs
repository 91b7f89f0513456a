//! Streams that the host fills or empties as the guest asks, straight in guest memory.
//!
//! ```text
//!   StreamProducer: the loop waits for a reader, then lets it fill a Destination
//!   StreamConsumer: the loop waits for a writer, then lets it empty a Source
//!                   either works in the guest's own buffer, no copy in between
//! ```
//!
//! A task of the store's loop does the waiting (by reads and writes of no elements, which
//! end when the other side has come); a guest that comes while it waits is served at once,
//! where the producer or consumer can (`piped`). The store is not at hand while a producer or
//! consumer runs: it may hold a slice of a guest's memory. Not here: one read or write at
//! a time (`stream_host`).
//!
//! # Safety
//!
//! A slice of guest memory is given out for one call of a producer or consumer, in which
//! no guest runs and nothing else can reach the store.

use super::Accessor;
use super::buffer::{
    Elements, HostBuffer, IN_PLACE, Reading, Writing, load_elements, out_of_bounds, place,
};
use super::host_end::{HostEnd, copy};
use super::mailbox::Mailbox;
use super::piped::{Piped, Waited, Work};
use super::slots::Key;
use super::stream_host::{StreamReader, StreamWriter, stream};
use crate::component::drive::copy::Place;
use crate::component::lift::LiftContext;
use crate::component::lower::LowerContext;
use crate::component::store::StoreShared;
use crate::component::typed::{Lift, Lower};
use crate::core::context::{AsContextMut, StoreContextMut};
use helve_abi::types::InterfaceType;
use helve_base::{Bug, Error, Result};
use helve_model::{Buffer, Shape};
use std::any::Any;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Whether a producer or consumer goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamState {
    /// It is to be asked again.
    Open,
    /// It has come to its end: the stream is closed once what it did is done.
    Closed,
}

/// Fills a stream as its reader asks for elements.
///
/// ```
/// use helve::component::{Destination, StreamProducer, StreamReader, StreamState};
/// # use helve::{Config, Engine, Result, Store};
/// # use std::{pin::Pin, task::{Context, Poll}};
/// /// Counts down.
/// struct Countdown(Vec<u8>);
///
/// impl StreamProducer<u8> for Countdown {
///     fn poll_produce(
///         mut self: Pin<&mut Self>,
///         _: &mut Context<'_>,
///         to: &mut Destination<'_, u8>,
///     ) -> Poll<Result<StreamState>> {
///         to.put(&mut self.0)?;
///         Poll::Ready(Ok(if self.0.is_empty() { StreamState::Closed } else { StreamState::Open }))
///     }
/// }
///
/// # async fn example() -> Result<()> {
/// # let engine = Engine::new(&Config::new())?;
/// # let mut store = Store::new(&engine, ());
/// let mut reader = StreamReader::new(&mut store, Countdown(vec![3, 2, 1]))?; // goes to a guest
/// # let work = store.run_concurrent(async move |accessor| reader.read_all(accessor).await);
/// # assert_eq!(work.await??, [3, 2, 1]);
/// # Ok(())
/// # }
/// ```
pub trait StreamProducer<T>: Send + 'static {
    /// Puts elements into `to`, as many as there are and fit, at least one. `Pending`:
    /// there are none now, and `cx`'s waker will be woken when there are; nothing may have
    /// been put.
    fn poll_produce(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut Destination<'_, T>,
    ) -> Poll<Result<StreamState>>;
}

/// Empties a stream as its writer gives elements.
///
/// ```
/// use helve::component::{Source, StreamConsumer, StreamState};
/// # use helve::{Config, Engine, Result, Store, component::stream};
/// # use std::{pin::Pin, sync::mpsc, task::{Context, Poll}};
/// struct Collect(mpsc::Sender<u8>);
///
/// impl StreamConsumer<u8> for Collect {
///     fn poll_consume(
///         self: Pin<&mut Self>,
///         _: &mut Context<'_>,
///         from: &mut Source<'_, u8>,
///     ) -> Poll<Result<StreamState>> {
///         from.take(usize::MAX)?.into_iter().try_for_each(|byte| self.0.send(byte))?;
///         Poll::Ready(Ok(StreamState::Open))
///     }
/// }
///
/// # async fn example() -> Result<()> {
/// # let engine = Engine::new(&Config::new())?;
/// # let mut store = Store::new(&engine, ());
/// # let (mut writer, reader) = stream::<u8>(&mut store)?;
/// let (sender, receiver) = mpsc::channel();
/// reader.pipe(&mut store, Collect(sender))?; // a reader that came from a guest
/// # let work = store.run_concurrent(async move |accessor| writer.write(accessor, vec![1, 2]).await);
/// # assert!(work.await??.is_empty());
/// # assert_eq!(receiver.try_iter().collect::<Vec<u8>>(), [1, 2]);
/// # Ok(())
/// # }
/// ```
pub trait StreamConsumer<T>: Send + 'static {
    /// Takes elements out of `from`, at least one. `Pending`: it can't take any now, and
    /// `cx`'s waker will be woken when it can; nothing may have been taken.
    fn poll_consume(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &mut Source<'_, T>,
    ) -> Poll<Result<StreamState>>;

    /// The writer is gone, and everything was taken.
    fn end(self: Pin<&mut Self>) {}
}

/// Element types whose bytes are the same on both sides: numbers.
///
/// # Safety
///
/// Every bit pattern must be a value, and the size that of the component's type.
pub unsafe trait Flat: Lift + Lower + Copy + Send + 'static {}

macro_rules! flat {
    ($($ty:ty)*) => {$(
        // SAFETY: a number of this size; guests are little-endian as this host is.
        #[cfg(target_endian = "little")]
        unsafe impl Flat for $ty {}
    )*};
}
flat!(u8 u16 u32 u64 i8 i16 i32 i64);

/// Where the other side of a stream is.
pub(crate) enum Side {
    Guest(Place),
    Host(Arc<dyn HostBuffer>),
}

impl Side {
    /// Counts elements that were moved, where it is a guest.
    pub fn count_copied(&self, elements: usize) {
        if let Side::Guest(place) = self {
            place.count_copied(elements);
        }
    }
}

fn side(shared: &StoreShared, buffer: &Buffer, guest: bool) -> Result<Side> {
    if guest {
        return Ok(Side::Guest(place(shared, buffer)?));
    }
    let mut state = shared.concurrent.state.borrow_mut();
    let host = state.buffers.get_mut(Key::from_bits(buffer.address));
    let host = host.ok_or_else(|| Error::new(Bug("a buffer of the host that is gone".into())))?;
    Ok(Side::Host(host.clone()))
}

/// Room for elements, in the reader's buffer.
pub struct Destination<'a, T> {
    side: &'a Side,
    room: usize,
    used: usize,
    element: PhantomData<fn(T)>,
}

impl<T: Lower + Send + 'static> Destination<'_, T> {
    /// How many elements still fit.
    pub fn remaining(&self) -> usize {
        self.room - self.used
    }

    /// Puts as many of `elements` as fit, and takes those out.
    ///
    /// # Errors
    ///
    /// Where an element can't be lowered into the guest's memory, which is the guest's fault.
    pub fn put(&mut self, elements: &mut Vec<T>) -> Result<()> {
        let count = elements.len().min(self.remaining());
        let rest = elements.split_off(count);
        let some = std::mem::replace(elements, rest);
        match self.side {
            Side::Guest(place) => {
                let at = self.used * place.size as usize;
                place.lower(|cx, ty, start| T::store_slice(&some, cx, ty, start + at))?;
            }
            Side::Host(buffer) => {
                let from = Writing(Elements::new(some));
                buffer.pour(&from, count)?;
            }
        }
        self.used += count;
        Ok(())
    }
}

impl<T: Flat> Destination<'_, T> {
    /// Lets `fill` write elements straight into the reader's memory, as bytes: it says how
    /// many elements it has written.
    ///
    /// # Errors
    ///
    /// Where the reader's buffer is not in its memory.
    pub fn fill(&mut self, fill: impl FnOnce(&mut [u8]) -> usize) -> Result<()> {
        let (size, room) = (size_of::<T>(), self.remaining());
        let count = match self.side {
            Side::Guest(place) => {
                let memory = place.options.memory.ok_or_else(out_of_bounds)?;
                let start = place.at as usize + self.used * size;
                // SAFETY: no guest runs, and nothing else looks at the memory now.
                let bytes = unsafe { memory.bytes_mut() };
                let bytes = bytes.get_mut(start..start.saturating_add(room * size));
                fill(bytes.ok_or_else(out_of_bounds)?).min(room)
            }
            Side::Host(buffer) => {
                let mut bytes = vec![0; room * size];
                let count = fill(&mut bytes).min(room);
                let from = Writing(Elements::new(from_bytes::<T>(&bytes[..count * size])));
                buffer.pour(&from, count)?;
                count
            }
        };
        self.used += count;
        Ok(())
    }
}

/// Elements in the writer's buffer.
pub struct Source<'a, T> {
    side: &'a Side,
    there: usize,
    used: usize,
    element: PhantomData<fn(T)>,
}

impl<T: Lift + Send + 'static> Source<'_, T> {
    /// How many elements there are.
    pub fn remaining(&self) -> usize {
        self.there - self.used
    }

    /// Takes at most `max` elements.
    ///
    /// # Errors
    ///
    /// Where an element in the guest's memory is none of the type.
    pub fn take(&mut self, max: usize) -> Result<Vec<T>> {
        let count = max.min(self.remaining());
        let taken = match self.side {
            Side::Guest(place) => {
                let at = self.used as u64 * u64::from(place.size);
                let place = Place {
                    at: place.at + at,
                    ..*place
                };
                place.lift(count as u32, |cx, ty, bytes| {
                    load_elements::<T>(cx, ty, bytes, count)
                })?
            }
            Side::Host(buffer) => {
                let into = Elements::new(Vec::new());
                Reading(into.clone()).pour(&**buffer, count)?;
                into.take(count)
            }
        };
        self.used += count;
        Ok(taken)
    }
}

impl<T: Flat> Source<'_, T> {
    /// Lets `look` read elements straight in the writer's memory, as bytes: it says how
    /// many elements it has taken.
    ///
    /// # Errors
    ///
    /// Where the writer's buffer is not in its memory.
    pub fn drain(&mut self, look: impl FnOnce(&[u8]) -> usize) -> Result<()> {
        let (size, there) = (size_of::<T>(), self.remaining());
        match self.side {
            Side::Guest(place) => {
                let memory = place.options.memory.ok_or_else(out_of_bounds)?;
                let start = place.at as usize + self.used * size;
                // SAFETY: no guest runs, and nobody writes to the memory now.
                let bytes = unsafe { memory.bytes() };
                let bytes = bytes.get(start..start.saturating_add(there * size));
                self.used += look(bytes.ok_or_else(out_of_bounds)?).min(there);
            }
            Side::Host(buffer) => {
                let elements = buffer.elements().downcast_ref::<Arc<Elements<T>>>();
                let elements = elements.ok_or_else(other_type::<T>)?;
                let mut elements = elements.lock();
                let count = {
                    let there = elements.make_contiguous().get(..there).unwrap_or(&[]);
                    look(to_bytes(there)).min(there.len())
                };
                drop(elements.drain(..count));
                self.used += count;
            }
        }
        Ok(())
    }
}

fn other_type<T>() -> Error {
    Error::msg(format!(
        "the host reads `{}` from a stream that it writes as another type",
        std::any::type_name::<T>()
    ))
}

fn from_bytes<T: Flat>(bytes: &[u8]) -> Vec<T> {
    let each = bytes.chunks_exact(size_of::<T>());
    // SAFETY: as long as a `T`, of which every bit pattern is one.
    each.map(|bytes| unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
        .collect()
}

fn to_bytes<T: Flat>(elements: &[T]) -> &[u8] {
    // SAFETY: numbers without padding.
    unsafe { std::slice::from_raw_parts(elements.as_ptr().cast(), size_of_val(elements)) }
}

/// One turn of a producer or consumer.
enum Turn {
    State(StreamState),
    /// The other side has gone back.
    Again,
    /// The other side only waits until there is something.
    Asked,
}

/// Most elements that are made before the reader has said where it wants them.
const AHEAD: usize = 1024;

/// Room for elements before there is a reader's buffer.
struct Ahead<T>(Arc<Elements<T>>);

impl<T: Send + 'static> HostBuffer for Ahead<T> {
    fn load(&self, _: &mut LiftContext<'_>, _: InterfaceType, _: &[u8], _: usize) -> Result<()> {
        Err(other_type::<T>())
    }

    fn store(&self, _: &mut LowerContext<'_>, _: InterfaceType, _: usize, _: usize) -> Result<()> {
        Err(other_type::<T>())
    }

    fn elements(&self) -> &dyn Any {
        &self.0
    }

    fn pour(&self, from: &dyn HostBuffer, count: usize) -> Result<()> {
        let from = from.elements().downcast_ref::<Arc<Elements<T>>>();
        let taken = from.ok_or_else(other_type::<T>)?.take(count);
        self.0.lock().extend(taken);
        Ok(())
    }
}

/// Shows the other side's buffer to `work`, which says how many elements it has moved.
fn with_side<D: 'static, R>(
    accessor: &Accessor<D>,
    end: &HostEnd,
    cx: &mut Context<'_>,
    work: impl FnOnce(&Side, usize, &mut Context<'_>) -> (usize, Poll<Result<R>>),
) -> Poll<Result<Result<R, Turn>>> {
    let done = accessor.with(|mut store| {
        let shared: Rc<StoreShared> = store.opaque().components.shared();
        let other = {
            let drive = shared.drive.state();
            drive.model.arena.other_buffer(end.id())?
        };
        let Some((buffer, instance)) = other else {
            return Ok(Poll::Ready(Ok(Err(Turn::Again))));
        };
        if buffer.remain() == 0 {
            return Ok(Poll::Ready(Ok(Err(Turn::Asked))));
        }
        let side = side(&shared, &buffer, instance.is_some())?;
        let (moved, polled) = work(&side, buffer.remain() as usize, cx);
        let moved = u32::try_from(moved).unwrap_or(u32::MAX);
        if moved > 0 {
            side.count_copied(moved as usize);
            let buffer = Buffer::new(IN_PLACE, moved);
            let _ = copy(&shared, end.id(), Shape::Stream, buffer)?;
        }
        if moved == 0 && polled.is_pending() {
            end.watch(&shared, cx);
        }
        Ok(polled.map(|done| done.map(Ok)))
    });
    match done.and_then(|done| done) {
        Ok(polled) => polled,
        Err(error) => Poll::Ready(Err(error)),
    }
}

fn turn(polled: Poll<Result<Result<StreamState, Turn>>>) -> Poll<Result<Turn>> {
    polled.map(|done| done.map(|state| state.map_or_else(|turn| turn, Turn::State)))
}

impl<T: Lower + Send + 'static> StreamReader<T> {
    /// A stream that `producer` fills as its reader asks.
    ///
    /// An error of the producer closes the stream, and is one of
    /// [`Store::run_until_idle`](crate::Store::run_until_idle).
    ///
    /// # Errors
    ///
    /// Where the store has no room for one more.
    pub fn new<D: 'static>(
        mut store: impl AsContextMut<Data = D>,
        producer: impl StreamProducer<T>,
    ) -> Result<StreamReader<T>> {
        let mut store = store.as_context_mut();
        let (writer, reader) = stream::<T>(&mut store)?;
        let accessor = Accessor::new(store.as_context_mut());
        let producer = Producing(Box::pin(producer), PhantomData);
        let producer = Piped::new(&mailbox(&mut store), Box::new(producer));
        let task = produce(accessor, writer, producer);
        super::host_task::spawn(store.opaque(), Box::pin(task))?;
        Ok(reader)
    }
}

/// A producer at work.
struct Producing<T, P>(Pin<Box<P>>, PhantomData<fn(T)>);

impl<T: Lower + Send + 'static, P: StreamProducer<T>> Work for Producing<T, P> {
    fn work(
        &mut self,
        side: &Side,
        room: usize,
        cx: &mut Context<'_>,
    ) -> (usize, Poll<Result<StreamState>>) {
        let mut to = Destination {
            side,
            room,
            used: 0,
            element: PhantomData,
        };
        let polled = self.0.as_mut().poll_produce(cx, &mut to);
        (to.used, polled)
    }

    fn end(&mut self) {}
}

async fn produce<D: 'static, T: Lower + Send + 'static>(
    accessor: Accessor<D>,
    mut writer: StreamWriter<T>,
    producer: Arc<Piped>,
) -> Result<()> {
    while producer.wait(&accessor, writer.end()).await? == Waited::Met {
        let end = writer.end();
        let done = poll_fn(|cx| {
            let work = |side: &Side, room, cx: &mut Context<'_>| producer.work(side, room, cx);
            turn(with_side(&accessor, end, cx, work))
        });
        let state = match done.await? {
            Turn::State(state) => state,
            Turn::Again => StreamState::Open,
            Turn::Asked => ahead(&accessor, &mut writer, &producer).await?,
        };
        if state == StreamState::Closed {
            break;
        }
    }
    Ok(())
}

/// Makes some elements and writes them, for a reader that waits until there are some.
async fn ahead<D: 'static, T: Lower + Send + 'static>(
    accessor: &Accessor<D>,
    writer: &mut StreamWriter<T>,
    producer: &Piped,
) -> Result<StreamState> {
    let made = Elements::new(Vec::new());
    let side = Side::Host(Arc::new(Ahead(made.clone())));
    let end = writer.end();
    let state = poll_fn(|cx| {
        let (_, polled) = producer.work(&side, AHEAD, cx);
        if polled.is_pending() {
            let watched = accessor.with(|mut store| {
                let shared = store.opaque().components.shared();
                end.watch(&shared, cx)
            });
            match watched {
                Ok(true) => {}
                Ok(false) => return Poll::Ready(Ok(StreamState::Closed)),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        polled
    })
    .await?;
    writer.write(accessor, made.take(AHEAD)).await?;
    Ok(match writer.is_over() {
        // The reader has gone with what it had.
        true => StreamState::Closed,
        false => state,
    })
}

impl<T: Lift + Send + 'static> StreamReader<T> {
    /// Gives everything that comes to `consumer`.
    ///
    /// An error of the consumer closes the stream, and is one of
    /// [`Store::run_until_idle`](crate::Store::run_until_idle).
    ///
    /// # Errors
    ///
    /// Where the stream was given away already, or `store` is not its own.
    pub fn pipe<D: 'static>(
        self,
        mut store: impl AsContextMut<Data = D>,
        consumer: impl StreamConsumer<T>,
    ) -> Result<()> {
        let mut store = store.as_context_mut();
        let accessor = Accessor::new(store.as_context_mut());
        let consumer = Consuming(Box::pin(consumer), PhantomData);
        let consumer = Piped::new(&mailbox(&mut store), Box::new(consumer));
        let task = consume(accessor, self, consumer);
        super::host_task::spawn(store.opaque(), Box::pin(task))
    }
}

/// A consumer at work.
struct Consuming<T, C>(Pin<Box<C>>, PhantomData<fn(T)>);

impl<T: Lift + Send + 'static, C: StreamConsumer<T>> Work for Consuming<T, C> {
    fn work(
        &mut self,
        side: &Side,
        there: usize,
        cx: &mut Context<'_>,
    ) -> (usize, Poll<Result<StreamState>>) {
        let mut from = Source {
            side,
            there,
            used: 0,
            element: PhantomData,
        };
        let polled = self.0.as_mut().poll_consume(cx, &mut from);
        (from.used, polled)
    }

    fn end(&mut self) {
        self.0.as_mut().end();
    }
}

async fn consume<D: 'static, T: Lift + Send + 'static>(
    accessor: Accessor<D>,
    reader: StreamReader<T>,
    consumer: Arc<Piped>,
) -> Result<()> {
    loop {
        match consumer.wait(&accessor, &reader.end).await? {
            Waited::Met => {}
            Waited::Over => return Ok(()),
            Waited::Alone => break,
        }
        let done = poll_fn(|cx| {
            let work = |side: &Side, there, cx: &mut Context<'_>| consumer.work(side, there, cx);
            turn(with_side(&accessor, &reader.end, cx, work))
        });
        if let Turn::State(StreamState::Closed) = done.await? {
            return Ok(());
        }
    }
    consumer.end();
    Ok(())
}

fn mailbox<D: 'static>(store: &mut StoreContextMut<'_, D>) -> Arc<Mailbox> {
    let shared = store.opaque().components.shared();
    shared.concurrent.mailbox.clone()
}
