//! `wasi:keyvalue`: `store`, `atomics` and `batch`, over [`crate::host::keyvalue`].
//!
//! Two drafts are in use, and guests of either WASI version import either:
//!
//! ```text
//!   0.2.0-draft    a page of keys goes on at a number     increment: u64
//!   0.2.0-draft2   ... at a text, here the last key       increment: s64, compare-and-swap
//! ```
//!
//! Not here: `watcher`, by which guests would be told of changes.

use crate::host::denied::Denied;
use crate::host::executor;
use crate::host::keyvalue::{Bucket, BucketError, From, Page};
use crate::p2::bind::{func, resource};
use crate::{WasiCtxView, WasiView};
use helve::component::{
    Accessor, ComponentNamedList, ComponentType, Lift, Linker, LinkerInstance, Lower, Resource,
};
use helve::{Error, Result};
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

/// `store.error`.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
enum StoreError {
    NoSuchStore,
    AccessDenied,
    Other(String),
}

impl std::convert::From<BucketError> for StoreError {
    fn from(error: BucketError) -> StoreError {
        StoreError::Other(error.0)
    }
}

/// `atomics.cas-error` of draft 2.
#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum CasError {
    StoreError(StoreError),
    CasFailed(Resource<Cas>),
}

/// `store.key-response` of the first draft.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
struct NumberedKeys {
    keys: Vec<String>,
    cursor: Option<u64>,
}

/// `store.key-response` of draft 2.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
struct NamedKeys {
    keys: Vec<String>,
    cursor: Option<String>,
}

/// `store.bucket`: an open handle of a guest.
struct Open {
    bucket: Bucket,
    /// One of the context's: it counts them by this.
    _count: Arc<()>,
}

/// `atomics.cas`: an entry as it was.
struct Cas {
    bucket: Bucket,
    key: String,
    /// Its version; `None`: it was not there.
    version: Option<u64>,
    _count: Arc<()>,
}

/// Buckets that a guest may open, and handles that it has open.
#[derive(Default)]
pub(crate) struct Granted {
    pub buckets: Vec<(String, Bucket)>,
    pub most_open: usize,
    pub open: Arc<()>,
}

impl Granted {
    /// Counts one more handle, if there may be one.
    fn count(&self) -> Result<Arc<()>, StoreError> {
        let most = self.most_open;
        if Arc::strong_count(&self.open) > most {
            let text = format!("the guest has {most} buckets and `cas` open, and may have no more");
            return Err(StoreError::Other(text));
        }
        Ok(self.open.clone())
    }
}

type Handle = Resource<Open>;
type Outcome<R> = Result<R, StoreError>;

/// Adds `wasi:keyvalue`. What a guest can open are the buckets that
/// [`crate::WasiCtxBuilder::bucket`] gave it.
///
/// # Errors
/// Where `linker` already has one of the names and does not allow shadowing.
pub fn add_to_linker<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    let mut store = linker.instance("wasi:keyvalue/store@0.2.0-draft")?;
    self::store(&mut store)?;
    on_bucket(
        &mut store,
        "[method]bucket.list-keys",
        |bucket, (_, cursor): (Handle, Option<u64>)| {
            let page = bucket.keys(&cursor.map_or(From::Start, From::Skipping))?;
            Ok(numbered(page, cursor.unwrap_or(0)))
        },
    )?;
    let mut atomics = linker.instance("wasi:keyvalue/atomics@0.2.0-draft")?;
    increment(&mut atomics, u64::checked_add)?;
    batch(&mut linker.instance("wasi:keyvalue/batch@0.2.0-draft")?)?;

    let mut store = linker.instance("wasi:keyvalue/store@0.2.0-draft2")?;
    self::store(&mut store)?;
    on_bucket(
        &mut store,
        "[method]bucket.list-keys",
        |bucket, (_, cursor): (Handle, Option<String>)| {
            let page = bucket.keys(&cursor.map_or(From::Start, From::After))?;
            Ok(named(page))
        },
    )?;
    let mut atomics = linker.instance("wasi:keyvalue/atomics@0.2.0-draft2")?;
    increment(&mut atomics, i64::checked_add)?;
    compare_and_swap(&mut atomics)?;
    batch(&mut linker.instance("wasi:keyvalue/batch@0.2.0-draft2")?)
}

fn numbered(page: Page, start: u64) -> NumberedKeys {
    let next = start.saturating_add(page.keys.len() as u64);
    NumberedKeys {
        cursor: page.more.then_some(next),
        keys: page.keys,
    }
}

fn named(page: Page) -> NamedKeys {
    let last = page.keys.last().filter(|_| page.more);
    NamedKeys {
        cursor: last.cloned(),
        keys: page.keys,
    }
}

/// What is the same in both drafts of `store`.
fn store<T: WasiView>(store: &mut LinkerInstance<'_, T>) -> Result<()> {
    resource::<T, Open>(store, "bucket")?;
    func(store, "open", open)?;
    on_bucket(
        store,
        "[method]bucket.get",
        |bucket, (_, key): (Handle, String)| Ok(bucket.get(&key)?),
    )?;
    on_bucket(
        store,
        "[method]bucket.set",
        |bucket, (_, key, value): (Handle, String, Vec<u8>)| Ok(bucket.set(&key, &value)?),
    )?;
    on_bucket(
        store,
        "[method]bucket.delete",
        |bucket, (_, key): (Handle, String)| Ok(bucket.delete(&[key])?),
    )?;
    on_bucket(
        store,
        "[method]bucket.exists",
        |bucket, (_, key): (Handle, String)| Ok(bucket.exists(&key)?),
    )
}

fn open(host: WasiCtxView<'_>, (name,): (String,)) -> Result<Outcome<Handle>> {
    let granted = &host.ctx.keyvalue;
    let found = granted.buckets.iter().find(|(own, _)| *own == name);
    let Some((_, bucket)) = found else {
        host.ctx.denials.tell(Denied::Bucket(name));
        return Ok(Err(StoreError::NoSuchStore));
    };
    let count = match granted.count() {
        Ok(count) => count,
        Err(refused) => return Ok(Err(refused)),
    };
    let open = Open {
        bucket: bucket.clone(),
        _count: count,
    };
    Ok(Ok(host.table.push(open)?))
}

/// Parameters of a function on a bucket.
trait OnBucket {
    fn handle(&self) -> &Handle;
}

impl<A> OnBucket for (Handle, A) {
    fn handle(&self) -> &Handle {
        &self.0
    }
}

impl<A, B> OnBucket for (Handle, A, B) {
    fn handle(&self) -> &Handle {
        &self.0
    }
}

/// Defines a function on a bucket.
fn on_bucket<T, P, R>(
    interface: &mut LinkerInstance<'_, T>,
    name: &str,
    work: fn(&Bucket, P) -> Outcome<R>,
) -> Result<()>
where
    T: WasiView,
    P: OnBucket + ComponentNamedList + Lift + Send + 'static,
    R: Lower + Send + 'static,
{
    interface.func_wrap_async(name, move |cx: Accessor<T>, params: P| async move {
        let bucket = cx.with(|mut store| -> Result<Bucket> {
            let table = store.data_mut().wasi().table;
            Ok(table.get(params.handle())?.bucket.clone())
        })??;
        Ok((at(bucket, move |bucket| work(bucket, params)).await?,))
    })
}

/// Works on a bucket; where that may take a while, on a thread for such things.
async fn at<R: Send + 'static>(
    bucket: Bucket,
    work: impl FnOnce(&Bucket) -> R + Send + 'static,
) -> Result<R> {
    if !bucket.blocks() {
        return Ok(work(&bucket));
    }
    let working = executor::spawn_blocking(move || work(&bucket))?;
    working.await.map_err(Error::new)
}

/// Adds to a number, which is kept as decimal text: 0 where there is none.
fn increment<T: WasiView, N>(
    atomics: &mut LinkerInstance<'_, T>,
    add: fn(N, N) -> Option<N>,
) -> Result<()>
where
    N: FromStr + Display + Default + Copy + Lift + Lower + Send + 'static,
{
    atomics.func_wrap_async(
        "increment",
        move |cx: Accessor<T>, (handle, key, delta): (Handle, String, N)| async move {
            let bucket = cx.with(|mut store| -> Result<Bucket> {
                let table = store.data_mut().wasi().table;
                Ok(table.get(&handle)?.bucket.clone())
            })??;
            let done = at(bucket, move |bucket| {
                bucket.update(&key, |value| {
                    let present = value.map_or(Ok(N::default()), |value| number(&key, value))?;
                    let sum = add(present, delta).ok_or_else(|| {
                        BucketError(format!("`{key}` would be more than its type holds"))
                    })?;
                    Ok((sum.to_string().into_bytes(), sum))
                })
            });
            Ok((done.await?.map_err(StoreError::from),))
        },
    )
}

fn number<N: FromStr>(key: &str, value: &[u8]) -> Result<N, BucketError> {
    let text = std::str::from_utf8(value).ok();
    let number = text.and_then(|text| text.parse().ok());
    number.ok_or_else(|| BucketError(format!("the value of `{key}` is no number")))
}

fn batch<T: WasiView>(batch: &mut LinkerInstance<'_, T>) -> Result<()> {
    on_bucket(
        batch,
        "get-many",
        |bucket, (_, keys): (Handle, Vec<String>)| Ok(bucket.get_many(keys)?),
    )?;
    on_bucket(
        batch,
        "set-many",
        |bucket, (_, values): (Handle, Vec<(String, Vec<u8>)>)| Ok(bucket.set_many(&values)?),
    )?;
    on_bucket(
        batch,
        "delete-many",
        |bucket, (_, keys): (Handle, Vec<String>)| Ok(bucket.delete(&keys)?),
    )
}

/// `cas` and `swap`, which only draft 2 has.
fn compare_and_swap<T: WasiView>(atomics: &mut LinkerInstance<'_, T>) -> Result<()> {
    resource::<T, Cas>(atomics, "cas")?;
    atomics.func_wrap_async(
        "[static]cas.new",
        |cx: Accessor<T>, (handle, key): (Handle, String)| async move {
            let got = cx.with(|mut store| -> Result<_> {
                let host = store.data_mut().wasi();
                let bucket = host.table.get(&handle)?.bucket.clone();
                Ok(host.ctx.keyvalue.count().map(|count| (bucket, count)))
            })??;
            let (bucket, count) = match got {
                Ok(got) => got,
                Err(refused) => return Ok((Err(refused),)),
            };
            let looked = at(bucket.clone(), {
                let key = key.clone();
                move |bucket| bucket.get_versioned(&key)
            });
            let version = match looked.await? {
                Ok(entry) => entry.map(|entry| entry.version),
                Err(error) => return Ok((Err(error.into()),)),
            };
            let cas = Cas {
                bucket,
                key,
                version,
                _count: count,
            };
            Ok((Ok(push(&cx, cas)?),))
        },
    )?;
    atomics.func_wrap_async("[method]cas.current", current)?;
    atomics.func_wrap_async("swap", swap)
}

fn push<T: WasiView>(cx: &Accessor<T>, cas: Cas) -> Result<Resource<Cas>> {
    Ok(cx.with(|mut store| store.data_mut().wasi().table.push(cas))??)
}

/// Reads the value anew: what the guest computes with is what `swap` then compares with.
async fn current<T: WasiView>(
    cx: Accessor<T>,
    (handle,): (Resource<Cas>,),
) -> Result<(Outcome<Option<Vec<u8>>>,)> {
    let (bucket, key) = cx.with(|mut store| -> Result<_> {
        let cas = store.data_mut().wasi().table.get(&handle)?;
        Ok((cas.bucket.clone(), cas.key.clone()))
    })??;
    let entry = match at(bucket, move |bucket| bucket.get_versioned(&key)).await? {
        Ok(entry) => entry,
        Err(error) => return Ok((Err(error.into()),)),
    };
    cx.with(|mut store| -> Result<()> {
        let cas = store.data_mut().wasi().table.get_mut(&handle)?;
        cas.version = entry.as_ref().map(|entry| entry.version);
        Ok(())
    })??;
    Ok((Ok(entry.map(|entry| entry.value)),))
}

async fn swap<T: WasiView>(
    cx: Accessor<T>,
    (handle, value): (Resource<Cas>, Vec<u8>),
) -> Result<(Result<(), CasError>,)> {
    let cas = cx.with(|mut store| store.data_mut().wasi().table.delete(handle))??;
    let swapped = at(cas.bucket.clone(), {
        let (key, version) = (cas.key.clone(), cas.version);
        move |bucket| bucket.swap(&key, version, &value)
    });
    Ok((match swapped.await? {
        Ok(Ok(())) => Ok(()),
        Ok(Err(entry)) => {
            let version = entry.map(|entry| entry.version);
            let again = push(&cx, Cas { version, ..cas })?;
            Err(CasError::CasFailed(again))
        }
        Err(error) => Err(CasError::StoreError(error.into())),
    },))
}
