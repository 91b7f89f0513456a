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

use crate::drafts::wasi::keyvalue0_2_0_draft as draft1;
use crate::drafts::wasi::keyvalue0_2_0_draft2 as draft2;
use crate::host::denied::Denied;
use crate::host::executor;
use crate::host::keyvalue::{Bucket, BucketError, From as Start, Page};
use crate::{Fault, HasWasi, Tellable, WasiCtxView, WasiView};
use draft1::store::Error;
use draft2::atomics::CasError;
use helve::Result;
use helve::component::{Accessor, Linker, Resource};
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

/// What a function on buckets fails with.
pub type KeyFault = Fault<Error>;

impl Tellable for Error {}

impl From<BucketError> for KeyFault {
    fn from(error: BucketError) -> KeyFault {
        Fault::Told(Error::Other(error.0))
    }
}

/// `store.bucket`: an open handle of a guest.
pub struct Open {
    bucket: Bucket,
    /// One of the context's: it counts them by this.
    _count: Arc<()>,
}

/// `atomics.cas`: an entry as it was.
pub struct Cas {
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
    fn count(&self) -> Result<Arc<()>, Error> {
        let most = self.most_open;
        if Arc::strong_count(&self.open) > most {
            let text = format!("the guest has {most} buckets and `cas` open, and may have no more");
            return Err(Error::Other(text));
        }
        Ok(self.open.clone())
    }
}

type Handle = Resource<Open>;

/// Adds `wasi:keyvalue`. What a guest can open are the buckets that
/// [`crate::WasiCtxBuilder::bucket`] gave it.
///
/// # Errors
/// Where `linker` already has one of the names and does not allow shadowing.
pub fn add_to_linker<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    draft1::store::add_to_linker::<T, HasWasi>(linker, T::wasi)?;
    draft1::atomics::add_to_linker::<T, HasWasi>(linker, T::wasi)?;
    draft2::store::add_to_linker::<T, HasWasi>(linker, T::wasi)?;
    draft2::atomics::add_to_linker::<T, HasWasi>(linker, T::wasi)?;
    // The same in both.
    for name in [
        "wasi:keyvalue/batch@0.2.0-draft",
        "wasi:keyvalue/batch@0.2.0-draft2",
    ] {
        draft1::batch::add_to_linker_as::<T, HasWasi>(linker, name, T::wasi)?;
    }
    Ok(())
}

/// What is the same in both drafts of `store`.
macro_rules! store {
    ($store:path, $cursor:ty) => {
        const _: () = {
            use $store as store;

            impl store::Host for WasiCtxView<'_> {
                fn convert_error(&mut self, fault: KeyFault) -> Result<Error> {
                    fault.told()
                }

                fn open(&mut self, name: String) -> Result<Handle, KeyFault> {
                    self.open_bucket(name)
                }
            }

            impl store::HostBucket for WasiCtxView<'_> {
                fn drop(&mut self, bucket: Handle) -> Result<()> {
                    self.discard(bucket)
                }
            }

            impl store::HostBucketWithStore for HasWasi {
                async fn get<T: Send + 'static>(
                    cx: &Accessor<T, Self>,
                    bucket: Handle,
                    key: String,
                ) -> Result<Option<Vec<u8>>, KeyFault> {
                    on(cx, &bucket, move |bucket| bucket.get(&key)).await
                }

                async fn set<T: Send + 'static>(
                    cx: &Accessor<T, Self>,
                    bucket: Handle,
                    key: String,
                    value: Vec<u8>,
                ) -> Result<(), KeyFault> {
                    on(cx, &bucket, move |bucket| bucket.set(&key, &value)).await
                }

                async fn delete<T: Send + 'static>(
                    cx: &Accessor<T, Self>,
                    bucket: Handle,
                    key: String,
                ) -> Result<(), KeyFault> {
                    on(cx, &bucket, move |bucket| bucket.delete(&[key])).await
                }

                async fn exists<T: Send + 'static>(
                    cx: &Accessor<T, Self>,
                    bucket: Handle,
                    key: String,
                ) -> Result<bool, KeyFault> {
                    on(cx, &bucket, move |bucket| bucket.exists(&key)).await
                }

                async fn list_keys<T: Send + 'static>(
                    cx: &Accessor<T, Self>,
                    bucket: Handle,
                    cursor: Option<$cursor>,
                ) -> Result<store::KeyResponse, KeyFault> {
                    list(cx, &bucket, cursor).await
                }
            }
        };
    };
}

store!(crate::drafts::wasi::keyvalue0_2_0_draft::store, u64);
store!(crate::drafts::wasi::keyvalue0_2_0_draft2::store, String);

impl WasiCtxView<'_> {
    fn open_bucket(&mut self, name: String) -> Result<Handle, KeyFault> {
        let granted = &self.ctx.keyvalue;
        let found = granted.buckets.iter().find(|(own, _)| *own == name);
        let Some((_, bucket)) = found else {
            self.ctx.denials.tell(Denied::Bucket(name));
            return Err(Error::NoSuchStore.into());
        };
        let open = Open {
            bucket: bucket.clone(),
            _count: granted.count()?,
        };
        Ok(self.table.push(open)?)
    }
}

/// A draft's `key-response`.
trait Keys: Sized {
    /// What says where the next page starts.
    type Cursor: Clone;

    /// Where a page starts.
    fn start(cursor: Self::Cursor) -> Start;

    /// The response, given where it started.
    fn of(page: Page, cursor: Option<Self::Cursor>) -> Self;
}

impl Keys for draft1::store::KeyResponse {
    type Cursor = u64;

    fn start(cursor: u64) -> Start {
        Start::Skipping(cursor)
    }

    fn of(page: Page, cursor: Option<u64>) -> Self {
        let next = cursor.unwrap_or(0).saturating_add(page.keys.len() as u64);
        draft1::store::KeyResponse {
            cursor: page.more.then_some(next),
            keys: page.keys,
        }
    }
}

impl Keys for draft2::store::KeyResponse {
    type Cursor = String;

    fn start(cursor: String) -> Start {
        Start::After(cursor)
    }

    fn of(page: Page, _: Option<String>) -> Self {
        let last = page.keys.last().filter(|_| page.more);
        draft2::store::KeyResponse {
            cursor: last.cloned(),
            keys: page.keys,
        }
    }
}

async fn list<T: 'static, K: Keys>(
    cx: &Accessor<T, HasWasi>,
    bucket: &Handle,
    cursor: Option<K::Cursor>,
) -> Result<K, KeyFault> {
    let start = cursor.clone().map_or(Start::Start, K::start);
    let page = on(cx, bucket, move |bucket| bucket.keys(&start)).await?;
    Ok(K::of(page, cursor))
}

/// Works on the bucket of a handle.
async fn on<T: 'static, R: Send + 'static>(
    cx: &Accessor<T, HasWasi>,
    handle: &Handle,
    work: impl FnOnce(&Bucket) -> Result<R, BucketError> + Send + 'static,
) -> Result<R, KeyFault> {
    let bucket = cx.with(|mut host| -> Result<Bucket> {
        Ok(host.get().table.get(handle)?.bucket.clone())
    })??;
    Ok(at(bucket, work).await??)
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
    Ok(working.await?)
}

/// Adds to a number, which is kept as decimal text: 0 where there is none.
async fn increment<T: 'static, N>(
    cx: &Accessor<T, HasWasi>,
    handle: &Handle,
    key: String,
    add: impl FnOnce(N) -> Option<N> + Send + 'static,
) -> Result<N, KeyFault>
where
    N: FromStr + Display + Default + Send + 'static,
{
    let work = move |bucket: &Bucket| {
        bucket.update(&key, |value| {
            let present = value.map_or(Ok(N::default()), |value| number(&key, value))?;
            let sum = add(present)
                .ok_or_else(|| BucketError(format!("`{key}` would be more than its type holds")))?;
            Ok((sum.to_string().into_bytes(), sum))
        })
    };
    on(cx, handle, work).await
}

fn number<N: FromStr>(key: &str, value: &[u8]) -> Result<N, BucketError> {
    let text = std::str::from_utf8(value).ok();
    let number = text.and_then(|text| text.parse().ok());
    number.ok_or_else(|| BucketError(format!("the value of `{key}` is no number")))
}

impl draft1::atomics::Host for WasiCtxView<'_> {}
impl draft1::atomics::HostWithStore for HasWasi {
    async fn increment<T: Send + 'static>(
        cx: &Accessor<T, Self>,
        bucket: Handle,
        key: String,
        delta: u64,
    ) -> Result<u64, KeyFault> {
        increment(cx, &bucket, key, move |n| delta.checked_add(n)).await
    }
}

impl draft1::batch::Host for WasiCtxView<'_> {}
impl draft1::batch::HostWithStore for HasWasi {
    async fn get_many<T: Send + 'static>(
        cx: &Accessor<T, Self>,
        bucket: Handle,
        keys: Vec<String>,
    ) -> Result<Vec<Option<(String, Vec<u8>)>>, KeyFault> {
        on(cx, &bucket, move |bucket| bucket.get_many(keys)).await
    }

    async fn set_many<T: Send + 'static>(
        cx: &Accessor<T, Self>,
        bucket: Handle,
        values: Vec<(String, Vec<u8>)>,
    ) -> Result<(), KeyFault> {
        on(cx, &bucket, move |bucket| bucket.set_many(&values)).await
    }

    async fn delete_many<T: Send + 'static>(
        cx: &Accessor<T, Self>,
        bucket: Handle,
        keys: Vec<String>,
    ) -> Result<(), KeyFault> {
        on(cx, &bucket, move |bucket| bucket.delete(&keys)).await
    }
}

impl draft2::atomics::Host for WasiCtxView<'_> {}
impl draft2::atomics::HostWithStore for HasWasi {
    async fn increment<T: Send + 'static>(
        cx: &Accessor<T, Self>,
        bucket: Handle,
        key: String,
        delta: i64,
    ) -> Result<i64, KeyFault> {
        increment(cx, &bucket, key, move |n| delta.checked_add(n)).await
    }

    async fn swap<T: Send + 'static>(
        cx: &Accessor<T, Self>,
        cas: Resource<Cas>,
        value: Vec<u8>,
    ) -> Result<Result<(), CasError>> {
        let cas = cx.with(|mut host| host.get().table.delete(cas))??;
        let swapped = at(cas.bucket.clone(), {
            let (key, version) = (cas.key.clone(), cas.version);
            move |bucket| bucket.swap(&key, version, &value)
        });
        Ok(match swapped.await? {
            Ok(Ok(())) => Ok(()),
            Ok(Err(entry)) => {
                let version = entry.map(|entry| entry.version);
                let again = cx.with(|mut host| host.get().table.push(Cas { version, ..cas }))??;
                Err(CasError::CasFailed(again))
            }
            Err(error) => Err(CasError::StoreError(Error::Other(error.0))),
        })
    }
}

impl draft2::atomics::HostCas for WasiCtxView<'_> {
    fn drop(&mut self, cas: Resource<Cas>) -> Result<()> {
        self.discard(cas)
    }
}

impl draft2::atomics::HostCasWithStore for HasWasi {
    async fn new<T: Send + 'static>(
        cx: &Accessor<T, Self>,
        bucket: Handle,
        key: String,
    ) -> Result<Resource<Cas>, KeyFault> {
        let (bucket, count) = cx.with(|mut host| -> Result<_, KeyFault> {
            let host = host.get();
            let bucket = host.table.get(&bucket)?.bucket.clone();
            Ok((bucket, host.ctx.keyvalue.count()?))
        })??;
        let looked = at(bucket.clone(), {
            let key = key.clone();
            move |bucket| bucket.get_versioned(&key)
        });
        let cas = Cas {
            version: looked.await??.map(|entry| entry.version),
            bucket,
            key,
            _count: count,
        };
        Ok(cx.with(|mut host| host.get().table.push(cas))??)
    }

    /// Reads the value anew: what the guest computes with is what `swap` then compares with.
    async fn current<T: Send + 'static>(
        cx: &Accessor<T, Self>,
        cas: Resource<Cas>,
    ) -> Result<Option<Vec<u8>>, KeyFault> {
        let (bucket, key) = cx.with(|mut host| -> Result<_> {
            let cas = host.get().table.get(&cas)?;
            Ok((cas.bucket.clone(), cas.key.clone()))
        })??;
        let entry = at(bucket, move |bucket| bucket.get_versioned(&key)).await??;
        cx.with(|mut host| -> Result<()> {
            let cas = host.get().table.get_mut(&cas)?;
            cas.version = entry.as_ref().map(|entry| entry.version);
            Ok(())
        })??;
        Ok(entry.map(|entry| entry.value))
    }
}
