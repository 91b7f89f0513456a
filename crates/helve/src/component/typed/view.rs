//! Strings and lists that stay in guest memory: [`WasmStr`] and [`WasmList`].
//!
//! ```text
//! host function's parameter --lift--> address, length, whose memory    (range checked)
//!        .to_str(&store), .as_slice(&store)  --> a slice of guest memory (checked again)
//! ```
//!
//! Nothing is copied or allocated, so a host function that looks at a part, or copies to a
//! place of its own, touches each byte once. A view is good while its call lasts: what the
//! guest does afterwards to that memory shows in it. Not here: owned forms (`list`, `string`).
//!
//! # Safety
//!
//! A view's memory is only looked at with its store borrowed and its instance in it, so no
//! guest runs and the memory is there; its range is checked against the memory as it is.

use super::string::pair;
use super::*;
use crate::component::call::options::CallOptions;
use crate::component::call::scope::CallScope;
use crate::component::state::InstanceKey;
use crate::core::context::StoreContext;
use crate::core::store::StoreId;
use helve_abi::strings;
use helve_base::{Bug, Error, Result};
use std::borrow::Cow;
use std::marker::PhantomData;

/// Whose memory a view is of.
#[derive(Clone, Copy, Debug)]
struct Place {
    store: StoreId,
    instance: InstanceKey,
    options: CallOptions,
}

impl Place {
    fn new(cx: &LiftContext<'_>) -> Place {
        Place {
            store: cx.instance.store_id(),
            instance: cx.instance.key(),
            options: *cx.options,
        }
    }

    /// The memory as it is now.
    fn memory<'a, T: 'static>(&self, store: StoreContext<'a, T>) -> Result<&'a [u8]> {
        let opaque = store.opaque();
        opaque.check(self.store)?;
        opaque.components.live(self.instance)?;
        // SAFETY: the store is borrowed for `'a`, so no guest runs; its instance is there.
        let memory = self.options.memory.map(|memory| unsafe { memory.bytes() });
        Ok(memory.unwrap_or_default())
    }
}

/// A string in guest memory: a parameter of a host function that is looked at in place.
///
/// ```
/// # use helve::component::{Linker, WasmStr};
/// # use helve::{Config, Engine, Result};
/// # fn main() -> Result<()> {
/// # let engine = Engine::new(&Config::new())?;
/// let mut linker: Linker<usize> = Linker::new(&engine);
/// linker.root().func_wrap("log", |mut cx, (line,): (WasmStr,)| {
///     let words = line.to_str(&cx)?.split(' ').count();
///     *cx.data_mut() += words;
///     Ok(())
/// })?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct WasmStr {
    place: Place,
    at: u64,
    length: u64,
}

impl WasmStr {
    fn new(cx: &LiftContext<'_>, (at, length): (u64, u64)) -> Result<WasmStr> {
        let memory = cx.memory().len() as u64;
        strings::range(cx.options.encoding, cx.width(), at, length, memory)?;
        Ok(WasmStr {
            place: Place::new(cx),
            at,
            length,
        })
    }

    /// The string: borrowed from guest memory where that is UTF-8, else transcoded.
    ///
    /// # Errors
    ///
    /// Where it is malformed, or `store` is not the one that it came from.
    pub fn to_str<'a, T: 'static>(
        &self,
        store: impl Into<StoreContext<'a, T>>,
    ) -> Result<Cow<'a, str>> {
        let memory = self.place.memory(store.into())?;
        let options = &self.place.options;
        let range = strings::range(
            options.encoding,
            options.width,
            self.at,
            self.length,
            memory.len() as u64,
        )?;
        let bytes = &memory[range.ptr as usize..][..range.bytes as usize];
        if range.encoding == strings::SourceEncoding::Utf8 {
            return strings::utf8(bytes).map(Cow::Borrowed).map_err(Into::into);
        }
        Ok(Cow::Owned(strings::decode(range.encoding, bytes)?))
    }
}

impl ComponentType for WasmStr {
    const LAYOUT: Layout = <str as ComponentType>::LAYOUT;

    fn typecheck(ty: InterfaceType, cx: &TypeCheck<'_>) -> Result<()> {
        <str as ComponentType>::typecheck(ty, cx)
    }
}

impl Lift for WasmStr {
    fn lift(cx: &mut LiftContext<'_>, _: InterfaceType, src: &[Lane]) -> Result<WasmStr> {
        let pair = pair(cx, src)?;
        WasmStr::new(cx, pair)
    }

    fn load(cx: &mut LiftContext<'_>, _: InterfaceType, bytes: &[u8]) -> Result<WasmStr> {
        let pair = cx.pair(bytes)?;
        WasmStr::new(cx, pair)
    }
}

/// A list in guest memory: a parameter of a host function that is looked at in place.
///
/// Items without handles are read one by one with [`WasmList::get`] and
/// [`WasmList::iter`]; lists of numbers are slices with [`WasmList::as_slice`].
///
/// ```
/// # use helve::{AsContext, Engine, Config, Result, component::{Linker, WasmList}};
/// # fn main() -> Result<()> {
/// # let engine = Engine::new(&Config::new())?;
/// let mut linker: Linker<u64> = Linker::new(&engine);
/// linker.root().func_wrap("add", |mut store, (numbers,): (WasmList<u64>,)| {
///     let numbers = numbers.iter(store.as_context())?;
///     let sum = numbers.sum::<Result<u64>>()?;
///     *store.data_mut() += sum;
///     Ok(())
/// })?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct WasmList<T> {
    place: Place,
    at: usize,
    length: usize,
    items: PhantomData<fn() -> T>,
}

impl<T> Clone for WasmList<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for WasmList<T> {}

impl<T: Lift> WasmList<T> {
    fn new(cx: &LiftContext<'_>, (at, length): (u64, u64)) -> Result<WasmList<T>> {
        let (size, align) = (T::LAYOUT.size(cx.width()), T::LAYOUT.align(cx.width()));
        cx.list_bytes((at, length), size, align)?;
        Ok(WasmList {
            place: Place::new(cx),
            at: at as usize,
            length: length as usize,
            items: PhantomData,
        })
    }

    /// How many items it has.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    fn size(&self) -> usize {
        T::LAYOUT.size(self.place.options.width) as usize
    }

    /// The bytes of all items, as the guest has them.
    ///
    /// # Errors
    ///
    /// Where `store` is not the one that it came from, or its instance is gone.
    pub fn as_bytes<'a, U: 'static>(
        &self,
        store: impl Into<StoreContext<'a, U>>,
    ) -> Result<&'a [u8]> {
        let memory = self.place.memory(store.into())?;
        let end = self
            .at
            .saturating_add(self.length.saturating_mul(self.size()));
        memory
            .get(self.at..end)
            .ok_or_else(|| Error::new(Bug("a list beyond the end of its memory".into())))
    }

    /// Item `index`, if there are that many.
    ///
    /// # Errors
    ///
    /// Where the item is malformed; as [`WasmList::as_bytes`].
    pub fn get<'a, U: 'static>(
        &self,
        store: impl Into<StoreContext<'a, U>>,
        index: usize,
    ) -> Result<Option<T>> {
        let store = store.into();
        let bytes = self.as_bytes(store)?;
        let size = self.size().max(1);
        let Some(item) = bytes.chunks_exact(size).nth(index) else {
            return Ok(None);
        };
        self.read(store, item).map(Some)
    }

    /// All items, one after the other.
    ///
    /// # Errors
    ///
    /// As [`WasmList::get`], for each.
    pub fn iter<'a, U: 'static>(
        &self,
        store: StoreContext<'a, U>,
    ) -> Result<impl Iterator<Item = Result<T>> + use<'a, T, U>> {
        let list = *self;
        let bytes = list.as_bytes(store)?;
        let items = bytes.chunks_exact(list.size().max(1));
        Ok(items.map(move |item| list.read(store, item)))
    }

    fn read<U: 'static>(&self, store: StoreContext<'_, U>, item: &[u8]) -> Result<T> {
        let memory = self.place.memory(store)?;
        let instance = store.opaque().components.live(self.place.instance)?;
        // SAFETY: the store is borrowed, and has it.
        let instance = unsafe { instance.get() };
        let mut scope = CallScope::default();
        let mut cx = LiftContext::new(memory, &self.place.options, instance, &mut scope);
        T::load(&mut cx, InterfaceType::Bool, item)
    }
}

impl<T: Lift> ComponentType for WasmList<T> {
    const LAYOUT: Layout = <[T] as ComponentType>::LAYOUT;

    fn typecheck(ty: InterfaceType, cx: &TypeCheck<'_>) -> Result<()> {
        if T::NEEDS_TYPE {
            return Err(cx.mismatch_type("list without handles, to look at in place", ty));
        }
        <[T] as ComponentType>::typecheck(ty, cx)
    }
}

impl<T: Lift> Lift for WasmList<T> {
    fn lift(cx: &mut LiftContext<'_>, _: InterfaceType, src: &[Lane]) -> Result<WasmList<T>> {
        let pair = pair(cx, src)?;
        WasmList::new(cx, pair)
    }

    fn load(cx: &mut LiftContext<'_>, _: InterfaceType, bytes: &[u8]) -> Result<WasmList<T>> {
        let pair = cx.pair(bytes)?;
        WasmList::new(cx, pair)
    }
}

macro_rules! slices {
    ($($ty:ty),*) => {$(
        impl WasmList<$ty> {
            /// The items as a slice of guest memory.
            ///
            /// # Errors
            ///
            /// As [`WasmList::as_bytes`].
            #[cfg(target_endian = "little")]
            pub fn as_slice<'a, U: 'static>(
                &self,
                store: impl Into<StoreContext<'a, U>>,
            ) -> Result<&'a [$ty]> {
                let bytes = self.as_bytes(store)?;
                // SAFETY: every bit pattern is a number.
                let (before, items, after) = unsafe { bytes.align_to::<$ty>() };
                if before.is_empty() && after.is_empty() {
                    return Ok(items);
                }
                // Addresses of lists are aligned, and memories begin at a page.
                Err(Error::new(Bug("an unaligned list".into())))
            }
        }
    )*};
}

slices!(u8, i8, u16, i16, u32, i32, u64, i64, f32, f64);
