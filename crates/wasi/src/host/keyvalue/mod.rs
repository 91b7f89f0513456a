//! Buckets of keys and values, bounded, in memory or in a file: what `wasi:keyvalue` is
//! about, whatever its draft.
//!
//! ```text
//!   guest --> Bucket: limits, versions, batches --+--> Memory  a map, gone with its last owner
//!                                                 +--> Disk    a redb file, a transaction
//!                                                              for each change
//! ```
//!
//! Each write gives its entry a version that no other entry of the bucket has or had:
//! compare-and-swap compares those. Not here: names and types of the interfaces
//! (`crate::keyvalue`), and who may open what ([`crate::WasiCtxBuilder::bucket`]).

mod disk;
mod memory;

use disk::Disk;
use helve::Context as _;
use memory::Memory;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Upper bounds of one bucket. What would go beyond them is refused, with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketLimits {
    /// Entries (default 100,000).
    pub keys: u64,
    /// Bytes of one key (default 1 KiB).
    pub key_bytes: usize,
    /// Bytes of one value (default 1 MiB).
    pub value_bytes: usize,
    /// Bytes of all keys and values together (default 256 MiB).
    pub bytes: u64,
}

impl Default for BucketLimits {
    fn default() -> BucketLimits {
        BucketLimits {
            keys: 100_000,
            key_bytes: 1 << 10,
            value_bytes: 1 << 20,
            bytes: 256 << 20,
        }
    }
}

/// Why an operation on a bucket failed, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketError(pub String);

impl fmt::Display for BucketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BucketError {}

fn refused<R>(text: impl fmt::Display) -> Result<R, BucketError> {
    Err(BucketError(text.to_string()))
}

/// A bucket; clones are the same one.
///
/// ```
/// use helve_wasi::{Bucket, BucketLimits};
///
/// let bucket = Bucket::memory(BucketLimits::default());
/// bucket.set("greeting", b"hello")?;
/// assert_eq!(bucket.clone().get("greeting")?.as_deref(), Some(&b"hello"[..]));
/// # Ok::<(), helve_wasi::host::keyvalue::BucketError>(())
/// ```
#[derive(Clone)]
pub struct Bucket(Arc<Inner>);

struct Inner {
    limits: BucketLimits,
    place: Place,
}

enum Place {
    Memory(Mutex<Memory>),
    Disk(Disk),
}

/// A value and the version of its entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// Different for each write to the bucket.
    pub version: u64,
    /// The value.
    pub value: Vec<u8>,
}

/// A key and its value.
pub type Pair = (String, Vec<u8>);

/// How full a bucket is.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    keys: u64,
    bytes: u64,
}

/// The entries of a place, while they may be changed.
trait Entries {
    fn totals(&self) -> Result<Totals, BucketError>;
    fn get(&self, key: &str) -> Result<Option<Versioned>, BucketError>;
    /// The size of the value, without reading it.
    fn value_bytes(&self, key: &str) -> Result<Option<u64>, BucketError>;
    /// Puts an entry in, with a new version.
    fn put(&mut self, key: &str, value: &[u8]) -> Result<(), BucketError>;
    fn remove(&mut self, key: &str) -> Result<(), BucketError>;
}

/// Where a page of keys starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// At the first.
    Start,
    /// After this key, there or not.
    After(String),
    /// After so many keys.
    Skipping(u64),
}

/// Keys in order, and whether more follow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The keys.
    pub keys: Vec<String>,
    /// Whether more follow.
    pub more: bool,
}

/// Most keys of a page, and most of their bytes.
const PAGE_KEYS: usize = 10_000;
const PAGE_BYTES: usize = 1 << 20;

impl Page {
    /// As much of `keys` as makes a page.
    fn of(keys: impl Iterator<Item = Result<String, BucketError>>) -> Result<Page, BucketError> {
        let mut page = Page::default();
        let mut bytes = 0usize;
        for key in keys {
            let key = key?;
            bytes = bytes.saturating_add(key.len());
            let full = page.keys.len() >= PAGE_KEYS || bytes > PAGE_BYTES;
            if full && !page.keys.is_empty() {
                page.more = true;
                break;
            }
            page.keys.push(key);
        }
        Ok(page)
    }
}

/// Most bytes of values that one batch returns.
pub const BATCH_BYTES: usize = 64 << 20;

impl Bucket {
    /// An empty bucket in memory.
    pub fn memory(limits: BucketLimits) -> Bucket {
        let place = Place::Memory(Mutex::default());
        Bucket(Arc::new(Inner { limits, place }))
    }

    /// A bucket in a file of the database `redb`, made where there is none. What was there
    /// stays, also where it is beyond the limits. One process at a time can have it open.
    ///
    /// # Errors
    /// Where the file cannot be made or read, is open already, or is something else.
    pub fn file(path: impl AsRef<Path>, limits: BucketLimits) -> helve::Result<Bucket> {
        let path = path.as_ref();
        let disk = Disk::open(path)
            .with_context(|| format!("cannot open the bucket `{}`", path.display()))?;
        let place = Place::Disk(disk);
        Ok(Bucket(Arc::new(Inner { limits, place })))
    }

    /// Whether operations may keep their thread waiting for a disk.
    pub fn blocks(&self) -> bool {
        matches!(self.0.place, Place::Disk(_))
    }

    /// The value at a key.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, BucketError> {
        Ok(self.get_versioned(key)?.map(|entry| entry.value))
    }

    /// The value at a key with its version.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn get_versioned(&self, key: &str) -> Result<Option<Versioned>, BucketError> {
        match &self.0.place {
            Place::Memory(memory) => lock(memory).get(key),
            Place::Disk(disk) => disk.get(key),
        }
    }

    /// Whether there is a value at a key.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn exists(&self, key: &str) -> Result<bool, BucketError> {
        let bytes = match &self.0.place {
            Place::Memory(memory) => lock(memory).value_bytes(key),
            Place::Disk(disk) => disk.value_bytes(key),
        };
        Ok(bytes?.is_some())
    }

    /// A page of the bucket's keys, in order of their bytes.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn keys(&self, from: &From) -> Result<Page, BucketError> {
        match &self.0.place {
            Place::Memory(memory) => lock(memory).keys(from),
            Place::Disk(disk) => disk.keys(from),
        }
    }

    /// The values of several keys, each with its key, or `None` where there is none.
    ///
    /// # Errors
    /// Where the values have more than [`BATCH_BYTES`] together.
    pub fn get_many(&self, keys: Vec<String>) -> Result<Vec<Option<Pair>>, BucketError> {
        let mut bytes = 0usize;
        let mut found = Vec::new();
        for key in keys {
            let value = self.get(&key)?;
            bytes = bytes.saturating_add(value.as_ref().map_or(0, Vec::len));
            if bytes > BATCH_BYTES {
                return refused(format_args!(
                    "the values of one batch are more than {BATCH_BYTES} bytes: ask for fewer keys at a time"
                ));
            }
            found.push(value.map(|value| (key, value)));
        }
        Ok(found)
    }

    /// Sets a value.
    ///
    /// # Errors
    /// Where it is beyond the limits, or the file cannot be written.
    pub fn set(&self, key: &str, value: &[u8]) -> Result<(), BucketError> {
        self.change(|entries| self.put(entries, key, value))
    }

    /// Sets several values: all of them in a file, in memory those before the one that
    /// failed.
    ///
    /// # Errors
    /// As for [`Bucket::set`].
    pub fn set_many(&self, values: &[(String, Vec<u8>)]) -> Result<(), BucketError> {
        self.change(|entries| {
            let mut values = values.iter();
            values.try_for_each(|(key, value)| self.put(entries, key, value))
        })
    }

    /// Takes values out; keys that are not there are passed over.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn delete(&self, keys: &[String]) -> Result<(), BucketError> {
        self.change(|entries| keys.iter().try_for_each(|key| entries.remove(key)))
    }

    /// Sets a value to what `next` makes of the present one, with nothing in between.
    ///
    /// # Errors
    /// That of `next`, or as for [`Bucket::set`].
    pub fn update<R>(
        &self,
        key: &str,
        next: impl FnOnce(Option<&[u8]>) -> Result<(Vec<u8>, R), BucketError>,
    ) -> Result<R, BucketError> {
        self.change(|entries| {
            let present = entries.get(key)?;
            let (value, result) = next(present.as_ref().map(|entry| &*entry.value))?;
            self.put(entries, key, &value)?;
            Ok(result)
        })
    }

    /// Sets a value if its entry still has the version `seen` (`None`: is not there). The
    /// inner error is the entry as it is now.
    ///
    /// # Errors
    /// As for [`Bucket::set`].
    pub fn swap(
        &self,
        key: &str,
        seen: Option<u64>,
        value: &[u8],
    ) -> Result<Result<(), Option<Versioned>>, BucketError> {
        self.change(|entries| {
            let present = entries.get(key)?;
            if present.as_ref().map(|entry| entry.version) != seen {
                return Ok(Err(present));
            }
            self.put(entries, key, value).map(Ok)
        })
    }

    /// Puts an entry in, if the limits allow it.
    fn put(&self, entries: &mut dyn Entries, key: &str, value: &[u8]) -> Result<(), BucketError> {
        let limits = &self.0.limits;
        if key.len() > limits.key_bytes {
            let most = limits.key_bytes;
            return refused(format_args!(
                "a key may have {most} bytes, not {}",
                key.len()
            ));
        }
        if value.len() > limits.value_bytes {
            let most = limits.value_bytes;
            return refused(format_args!(
                "a value may have {most} bytes, not {}",
                value.len()
            ));
        }
        let totals = entries.totals()?;
        let (keys, freed) = match entries.value_bytes(key)? {
            Some(bytes) => (totals.keys, size(key, bytes)),
            None => (totals.keys.saturating_add(1), 0),
        };
        let bytes = totals.bytes.saturating_sub(freed);
        let bytes = bytes.saturating_add(size(key, value.len() as u64));
        if keys > limits.keys {
            return refused(format_args!(
                "the bucket is full: it may have {} keys",
                limits.keys
            ));
        }
        if bytes > limits.bytes {
            return refused(format_args!(
                "the bucket is full: it may have {} bytes",
                limits.bytes
            ));
        }
        entries.put(key, value)
    }

    fn change<R>(
        &self,
        work: impl FnOnce(&mut dyn Entries) -> Result<R, BucketError>,
    ) -> Result<R, BucketError> {
        match &self.0.place {
            Place::Memory(memory) => work(&mut *lock(memory)),
            Place::Disk(disk) => disk.change(work),
        }
    }
}

/// What an entry counts.
fn size(key: &str, value_bytes: u64) -> u64 {
    value_bytes.saturating_add(key.len() as u64)
}

fn lock(memory: &Mutex<Memory>) -> std::sync::MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
