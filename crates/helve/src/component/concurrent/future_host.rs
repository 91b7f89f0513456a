//! The host's ends of futures: [`FutureReader`], [`FutureWriter`].
//!
//! Not here: what the ends do (`host_end`), streams (`stream_host`).

use super::Accessor;
use super::buffer::{Elements, Reading, Writing};
use super::host_end::{HostEnd, new_ends};
use super::stream_host::until_over;
use crate::component::has_data::HasData;
use crate::component::lift::LiftContext;
use crate::component::lower::LowerContext;
use crate::component::typed::{ComponentType, Lane, Layout, Lift, Lower, TypeCheck};
use crate::component::typed::{get_lane, set_lane};
use crate::core::context::AsContextMut;
use helve_abi::types::InterfaceType;
use helve_base::{Error, Result};
use helve_model::{CopyResult, Shape};
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

/// A new future, both of whose ends the host has.
pub fn future<T>(mut store: impl AsContextMut) -> Result<(FutureWriter<T>, FutureReader<T>)> {
    let mut store = store.as_context_mut();
    let (readable, writable) = new_ends(store.opaque(), Shape::Future)?;
    let reader = FutureReader::hold(readable);
    let writer = FutureWriter {
        end: writable,
        value: PhantomData,
    };
    Ok((writer, reader))
}

/// The readable end of a `future<T>`. (Spec: `future<T>`, `future.read`.)
///
/// ```
/// # use helve::{Config, Engine, Result, Store, component::FutureReader};
/// # async fn example() -> Result<()> {
/// # let engine = Engine::new(&Config::new())?;
/// # let mut store = Store::new(&engine, ());
/// let mut reader = FutureReader::new(&mut store, async { Ok(7) })?; // or it is a guest's
/// let work = store.run_concurrent(async move |accessor| reader.read(accessor).await);
/// assert_eq!(work.await??, Some(7));
/// # Ok(())
/// # }
/// ```
pub struct FutureReader<T> {
    pub(super) end: HostEnd,
    got: Option<Arc<Elements<T>>>,
    over: bool,
}

/// The writable end of a `future<T>`.
///
/// Dropping it without a value closes the future: its reader is told that there will be
/// none, which most guests treat as a trap. (Spec: `future.write`.)
///
/// ```
/// # use helve::{Config, Engine, Result, Store, component::future};
/// # async fn example() -> Result<()> {
/// # let engine = Engine::new(&Config::new())?;
/// # let mut store = Store::new(&engine, ());
/// let (writer, mut reader) = future::<u32>(&mut store)?; // `reader` mostly goes to a guest
/// let work = store.run_concurrent(async move |accessor| {
///     let inner = accessor.clone();
///     accessor.spawn(async move { writer.write(&inner, 7).await.map(drop) })?;
///     reader.read(accessor).await
/// });
/// assert_eq!(work.await??, Some(7));
/// # Ok(())
/// # }
/// ```
pub struct FutureWriter<T> {
    end: HostEnd,
    value: PhantomData<fn(T)>,
}

impl<T> std::fmt::Debug for FutureReader<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("FutureReader").field(&self.end).finish()
    }
}

impl<T> std::fmt::Debug for FutureWriter<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("FutureWriter").field(&self.end).finish()
    }
}

impl<T> FutureReader<T> {
    pub(crate) fn end(&self) -> &HostEnd {
        &self.end
    }

    pub(crate) fn hold(end: HostEnd) -> FutureReader<T> {
        FutureReader {
            end,
            got: None,
            over: false,
        }
    }
}

impl<T: Lower + Send + 'static> FutureReader<T> {
    /// A future whose value is that of a Rust future, which the store's event loop runs.
    ///
    /// An error closes it without a value, and is one of
    /// [`Store::run_until_idle`](crate::Store::run_until_idle).
    ///
    /// # Errors
    ///
    /// Where the store has no room for one more.
    pub fn new<D: 'static>(
        mut store: impl AsContextMut<Data = D>,
        value: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<FutureReader<T>> {
        let mut store = store.as_context_mut();
        let (writer, reader) = future::<T>(&mut store)?;
        let accessor = Accessor::new(store.as_context_mut());
        let task = async move {
            let value = value.await?;
            // Nobody wants it where the reader is gone.
            writer.write(&accessor, value).await.map(drop)
        };
        super::host_task::spawn(store.opaque(), Box::pin(task))?;
        Ok(reader)
    }
}

impl<T: Lift + Send + 'static> FutureReader<T> {
    /// Waits for the value; `None`: the writer is gone without one, or it was read.
    ///
    /// Dropping this future cancels the read: the reader can be read again, kept, or
    /// given away.
    ///
    /// # Errors
    ///
    /// Outside the store's event loop, and where the writer gives what is no `T`.
    pub async fn read<D: 'static, X: HasData + ?Sized>(
        &mut self,
        accessor: &Accessor<D, X>,
    ) -> Result<Option<T>> {
        if let Some(got) = &self.got
            && let Some(value) = got.take(1).pop()
        {
            return Ok(Some(value));
        }
        if self.over {
            return Ok(None);
        }
        let got = self.got.insert(Elements::new(Vec::new())).clone();
        let buffer = Arc::new(Reading(got.clone()));
        let begun = accessor
            .with(|mut store| self.end.begin(store.opaque(), Shape::Future, buffer, 1))??;
        let ended = until_over(accessor, &self.end, Shape::Future, begun).await?;
        self.over = ended.result != CopyResult::Cancelled;
        Ok(got.take(1).pop())
    }

    /// Lets the store's event loop read the value, and give it to `consume`. What that
    /// fails with is an error of [`Store::run_until_idle`](crate::Store::run_until_idle).
    ///
    /// # Errors
    ///
    /// Where the future was given away already, or `store` is not its own.
    pub fn pipe<D: 'static>(
        mut self,
        mut store: impl AsContextMut<Data = D>,
        consume: impl FnOnce(Option<T>) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let mut store = store.as_context_mut();
        let accessor = Accessor::new(store.as_context_mut());
        let task = async move { consume(self.read(&accessor).await?) };
        super::host_task::spawn(store.opaque(), Box::pin(task))
    }
}

impl<T: Lower + Send + 'static> FutureWriter<T> {
    /// Writes the value, and waits until it is read; the value again, where the reader is
    /// gone.
    ///
    /// # Errors
    ///
    /// Outside the store's event loop, and where the value can't be given to the reader.
    pub async fn write<D: 'static, X: HasData + ?Sized>(
        self,
        accessor: &Accessor<D, X>,
        value: T,
    ) -> Result<Option<T>> {
        let value = Elements::new(vec![value]);
        let buffer = Arc::new(Writing(value.clone()));
        let begun = accessor
            .with(|mut store| self.end.begin(store.opaque(), Shape::Future, buffer, 1))??;
        until_over(accessor, &self.end, Shape::Future, begun).await?;
        Ok(value.take(1).pop())
    }
}

impl<T: ComponentType> ComponentType for FutureReader<T> {
    const LAYOUT: Layout = Layout::BYTES4;
    const NEEDS_TYPE: bool = true;

    fn typecheck(ty: InterfaceType, cx: &TypeCheck<'_>) -> Result<()> {
        match ty {
            InterfaceType::Future(id) => T::typecheck_optional(cx.types()[id].payload, cx),
            _ => Err(cx.mismatch_type("future", ty)),
        }
    }
}

fn not_a_future() -> Error {
    Error::new(helve_base::Bug("a future whose type is none".into()))
}

impl<T: ComponentType> FutureReader<T> {
    fn index(&self, cx: &mut LowerContext<'_>, ty: InterfaceType) -> Result<u32> {
        if self.got.as_ref().is_some_and(|got| !got.lock().is_empty()) {
            return Err(Error::msg(
                "a future whose value has come can't be given away: read it",
            ));
        }
        let InterfaceType::Future(id) = ty else {
            return Err(not_a_future());
        };
        let ty = super::element_type(cx.instance, cx.types()[id].payload);
        self.end.lower(cx.instance, cx.options.owner, ty)
    }

    fn from_index(cx: &mut LiftContext<'_>, ty: InterfaceType, index: u32) -> Result<Self> {
        let InterfaceType::Future(id) = ty else {
            return Err(not_a_future());
        };
        let (ty, _) = super::element_type(cx.instance, cx.types()[id].payload);
        let (instance, part) = (cx.instance, cx.options.owner);
        HostEnd::lift(instance, part, (Shape::Future, ty), index).map(FutureReader::hold)
    }
}

impl<T: ComponentType> Lower for FutureReader<T> {
    fn lower(&self, cx: &mut LowerContext<'_>, ty: InterfaceType, dst: &mut [Lane]) -> Result<()> {
        let index = self.index(cx, ty)?;
        set_lane(dst, Lane::from_u32(index))
    }

    fn store(&self, cx: &mut LowerContext<'_>, ty: InterfaceType, at: usize) -> Result<()> {
        let index = self.index(cx, ty)?;
        cx.put(at, &index.to_le_bytes())
    }
}

impl<T: ComponentType> Lift for FutureReader<T> {
    fn lift(cx: &mut LiftContext<'_>, ty: InterfaceType, src: &[Lane]) -> Result<Self> {
        let index = get_lane(src)?.u32();
        FutureReader::from_index(cx, ty, index)
    }

    fn load(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> Result<Self> {
        let index = cx.discriminant(bytes, 4)?;
        FutureReader::from_index(cx, ty, index)
    }
}
