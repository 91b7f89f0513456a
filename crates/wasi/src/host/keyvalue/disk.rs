//! A bucket's entries in a file of `redb`: one table of entries, one of counters.
//!
//! ```text
//!   entries:  key --> (version, value)
//!   counters: "bytes" --> of all keys and values     "version" --> the latest given out
//! ```

use super::{BucketError, Entries, From, Page, Totals, Versioned, size};
use redb::{
    Database, ReadableDatabase as _, ReadableTable, ReadableTableMetadata as _, Table,
    TableDefinition,
};
use std::ops::Bound;
use std::path::Path;

const ENTRIES: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("entries");
const COUNTERS: TableDefinition<'_, &str, u64> = TableDefinition::new("counters");
const BYTES: &str = "bytes";
const VERSION: &str = "version";

/// Bytes of the file that are kept in memory.
const CACHE_BYTES: usize = 16 << 20;

/// The file.
pub(super) struct Disk(Database);

fn failed(error: impl Into<redb::Error>) -> BucketError {
    BucketError(error.into().to_string())
}

impl Disk {
    pub fn open(path: &Path) -> Result<Disk, BucketError> {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        let disk = Disk(builder.create(path).map_err(failed)?);
        // Made now, so that readers always find them.
        disk.change(|_| Ok(()))?;
        Ok(disk)
    }

    /// Looks at the entries as they are at this moment.
    fn look<R>(
        &self,
        work: impl FnOnce(&dyn Lookup) -> Result<R, BucketError>,
    ) -> Result<R, BucketError> {
        let transaction = self.0.begin_read().map_err(failed)?;
        let table = transaction.open_table(ENTRIES).map_err(failed)?;
        work(&table)
    }

    pub fn get(&self, key: &str) -> Result<Option<Versioned>, BucketError> {
        self.look(|entries| entries.find(key))
    }

    pub fn value_bytes(&self, key: &str) -> Result<Option<u64>, BucketError> {
        self.look(|entries| entries.bytes_of_value(key))
    }

    pub fn keys(&self, from: &From) -> Result<Page, BucketError> {
        self.look(|entries| entries.page(from))
    }

    /// Makes a change: all of it, or where `work` fails nothing.
    pub fn change<R>(
        &self,
        work: impl FnOnce(&mut dyn Entries) -> Result<R, BucketError>,
    ) -> Result<R, BucketError> {
        let transaction = self.0.begin_write().map_err(failed)?;
        let done = {
            let mut changing = Changing {
                entries: transaction.open_table(ENTRIES).map_err(failed)?,
                counters: transaction.open_table(COUNTERS).map_err(failed)?,
            };
            work(&mut changing)
        };
        match &done {
            Ok(_) => transaction.commit().map_err(failed)?,
            Err(_) => transaction.abort().map_err(failed)?,
        }
        done
    }
}

/// What readers and writers of the table both can.
trait Lookup {
    fn find(&self, key: &str) -> Result<Option<Versioned>, BucketError>;
    fn bytes_of_value(&self, key: &str) -> Result<Option<u64>, BucketError>;
    fn page(&self, from: &From) -> Result<Page, BucketError>;
}

impl<T: ReadableTable<&'static str, (u64, &'static [u8])>> Lookup for T {
    fn find(&self, key: &str) -> Result<Option<Versioned>, BucketError> {
        let found = self.get(key).map_err(failed)?;
        Ok(found.map(|entry| {
            let (version, value) = entry.value();
            Versioned {
                version,
                value: value.to_vec(),
            }
        }))
    }

    fn bytes_of_value(&self, key: &str) -> Result<Option<u64>, BucketError> {
        let found = self.get(key).map_err(failed)?;
        Ok(found.map(|entry| entry.value().1.len() as u64))
    }

    fn page(&self, from: &From) -> Result<Page, BucketError> {
        let (start, skip) = match from {
            From::Start => (Bound::Unbounded, 0),
            From::After(key) => (Bound::Excluded(key.as_str()), 0),
            From::Skipping(count) => (Bound::Unbounded, *count),
        };
        let range = self.range::<&str>((start, Bound::Unbounded));
        let keys = range.map_err(failed)?.map(|entry| {
            let (key, _) = entry.map_err(failed)?;
            Ok(key.value().to_owned())
        });
        Page::of(keys.skip(usize::try_from(skip).unwrap_or(usize::MAX)))
    }
}

/// The tables of a transaction that writes.
struct Changing<'t> {
    entries: Table<'t, &'static str, (u64, &'static [u8])>,
    counters: Table<'t, &'static str, u64>,
}

impl Changing<'_> {
    fn counter(&self, name: &str) -> Result<u64, BucketError> {
        let found = self.counters.get(name).map_err(failed)?;
        Ok(found.map_or(0, |value| value.value()))
    }

    fn set_counter(&mut self, name: &str, value: u64) -> Result<(), BucketError> {
        self.counters.insert(name, value).map_err(failed)?;
        Ok(())
    }
}

impl Entries for Changing<'_> {
    fn totals(&self) -> Result<Totals, BucketError> {
        Ok(Totals {
            keys: self.entries.len().map_err(failed)?,
            bytes: self.counter(BYTES)?,
        })
    }

    fn get(&self, key: &str) -> Result<Option<Versioned>, BucketError> {
        self.entries.find(key)
    }

    fn value_bytes(&self, key: &str) -> Result<Option<u64>, BucketError> {
        self.entries.bytes_of_value(key)
    }

    fn put(&mut self, key: &str, value: &[u8]) -> Result<(), BucketError> {
        self.remove(key)?;
        // A file can say what it likes: neither sum may overflow.
        let version = self.counter(VERSION)?.wrapping_add(1);
        self.set_counter(VERSION, version)?;
        let bytes = self.counter(BYTES)?;
        let bytes = bytes.saturating_add(size(key, value.len() as u64));
        self.set_counter(BYTES, bytes)?;
        self.entries.insert(key, (version, value)).map_err(failed)?;
        Ok(())
    }

    fn remove(&mut self, key: &str) -> Result<(), BucketError> {
        let removed = self.entries.remove(key).map_err(failed)?;
        let Some(bytes) = removed.map(|entry| entry.value().1.len() as u64) else {
            return Ok(());
        };
        let left = self.counter(BYTES)?.saturating_sub(size(key, bytes));
        self.set_counter(BYTES, left)
    }
}
