//! Buckets of `wasi:keyvalue` on the command line: `--keyvalue` and their bounds.
//!
//! Opened once: the guests of a server share them, whatever instance they run in.

use clap::Args;
use helve::{Result, bail};
use helve_wasi::{Bucket, BucketLimits, WasiCtxBuilder};
use std::collections::HashMap;
use std::path::PathBuf;

/// Options that grant buckets.
#[derive(Args, Clone)]
pub struct Buckets {
    /// Let the guest open a bucket of `wasi:keyvalue` by NAME, which may be empty
    ///
    /// WHERE is `memory`, which ends with helve, or `redb:FILE`, a database that is made
    /// where there is none. Several names may have the same FILE.
    #[arg(long = "keyvalue", value_name = "NAME=WHERE")]
    buckets: Vec<Named>,

    /// Bytes of all keys and values of one bucket
    #[arg(long, default_value_t = BucketLimits::default().bytes, value_name = "BYTES")]
    max_bucket_bytes: u64,

    /// Keys of one bucket
    #[arg(long, default_value_t = BucketLimits::default().keys, value_name = "N")]
    max_bucket_keys: u64,

    /// Bytes of one value of a bucket
    #[arg(long, default_value_t = BucketLimits::default().value_bytes, value_name = "BYTES")]
    max_bucket_value: usize,
}

/// A value of `--keyvalue`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    name: String,
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Memory,
    File(PathBuf),
}

impl std::str::FromStr for Named {
    type Err = String;

    fn from_str(s: &str) -> Result<Named, String> {
        // A name may have `=` in it, `memory` and `redb:` have not.
        let (name, place) = match s.strip_suffix("=memory") {
            Some(name) => (name, Place::Memory),
            None => match s.split_once("=redb:") {
                Some((name, file)) if !file.is_empty() => (name, Place::File(file.into())),
                _ => return Err("expected NAME=memory or NAME=redb:FILE".into()),
            },
        };
        Ok(Named {
            name: name.into(),
            place,
        })
    }
}

/// Buckets that are open.
#[derive(Clone)]
pub struct Opened(Vec<(String, Bucket)>);

impl Buckets {
    /// Opens them.
    ///
    /// # Errors
    /// Where a file cannot be, or two buckets have one name.
    pub fn open(&self) -> Result<Opened> {
        let limits = BucketLimits {
            keys: self.max_bucket_keys,
            value_bytes: self.max_bucket_value,
            bytes: self.max_bucket_bytes,
            ..BucketLimits::default()
        };
        let mut files: HashMap<&PathBuf, Bucket> = HashMap::new();
        let mut opened: Vec<(String, Bucket)> = Vec::new();
        for Named { name, place } in &self.buckets {
            if opened.iter().any(|(own, _)| own == name) {
                bail!("two buckets are called `{name}`");
            }
            let bucket = match place {
                Place::Memory => Bucket::memory(limits),
                Place::File(path) => match files.get(path) {
                    Some(bucket) => bucket.clone(),
                    None => Bucket::file(path, limits)?,
                },
            };
            if let Place::File(path) = place {
                files.insert(path, bucket.clone());
            }
            opened.push((name.clone(), bucket));
        }
        Ok(Opened(opened))
    }
}

impl Opened {
    /// Lets a guest open them.
    pub fn grant(&self, ctx: WasiCtxBuilder) -> WasiCtxBuilder {
        let buckets = self.0.iter();
        buckets.fold(ctx, |ctx, (name, bucket)| ctx.bucket(name, bucket.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Named, Place};

    #[test]
    fn a_bucket_has_a_name_and_a_place() {
        let file = |path: &str| Place::File(path.into());
        let rows = [
            ("a=memory", Some(("a", Place::Memory))),
            ("=memory", Some(("", Place::Memory))),
            ("a=b=memory", Some(("a=b", Place::Memory))),
            ("a=redb:x.db", Some(("a", file("x.db")))),
            ("a=redb:/x=redb:y", Some(("a", file("/x=redb:y")))),
            ("a=redb:", None),
            ("memory", None),
            ("a", None),
            ("", None),
        ];
        for (text, expected) in rows {
            let parsed = text.parse::<Named>().ok();
            let parsed = parsed.as_ref().map(|n| (n.name.as_str(), n.place.clone()));
            assert_eq!(parsed, expected, "{text}");
        }
    }
}
