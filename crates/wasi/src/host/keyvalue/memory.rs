//! A bucket's entries in memory: a map.

use super::{BucketError, Entries, From, Page, Totals, Versioned, size};
use std::collections::BTreeMap;
use std::ops::Bound;

/// The entries.
#[derive(Default)]
pub(super) struct Memory {
    entries: BTreeMap<String, Versioned>,
    bytes: u64,
    /// The latest version given out.
    version: u64,
}

impl Memory {
    pub fn keys(&self, from: &From) -> Result<Page, BucketError> {
        let (start, skip) = match from {
            From::Start => (Bound::Unbounded, 0),
            From::After(key) => (Bound::Excluded(key.as_str()), 0),
            From::Skipping(count) => (Bound::Unbounded, *count),
        };
        let keys = self.entries.range::<str, _>((start, Bound::Unbounded));
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        Page::of(keys.skip(skip).map(|(key, _)| Ok(key.clone())))
    }
}

impl Entries for Memory {
    fn totals(&self) -> Result<Totals, BucketError> {
        Ok(Totals {
            keys: self.entries.len() as u64,
            bytes: self.bytes,
        })
    }

    fn get(&self, key: &str) -> Result<Option<Versioned>, BucketError> {
        Ok(self.entries.get(key).cloned())
    }

    fn value_bytes(&self, key: &str) -> Result<Option<u64>, BucketError> {
        let entry = self.entries.get(key);
        Ok(entry.map(|entry| entry.value.len() as u64))
    }

    fn put(&mut self, key: &str, value: &[u8]) -> Result<(), BucketError> {
        self.remove(key)?;
        self.version += 1;
        let entry = Versioned {
            version: self.version,
            value: value.to_vec(),
        };
        self.bytes += size(key, value.len() as u64);
        self.entries.insert(key.to_owned(), entry);
        Ok(())
    }

    fn remove(&mut self, key: &str) -> Result<(), BucketError> {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= size(key, entry.value.len() as u64);
        }
        Ok(())
    }
}
