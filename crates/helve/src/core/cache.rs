//! Compiled functions on disk, for the next run.
//!
//! ```text
//!   folder/<environment, fingerprint>.fn     one file for all modules that declare the same
//!      read when such a module is loaded --> functions taken out as they are called
//!      locked, what this run compiled added at its end <-- now and then, and at the end
//! ```
//!
//! Processes may do all of this at once. What a process was adding when it was killed is
//! half an entry at the end: readers pass over it, the next one who adds cuts it off. Whatever
//! fails here costs time only, so nothing is reported. The folder must be the user's own, and
//! writable by nobody else.
//!
//! Not here: the file's layout and what keys are made of (`helve_compile::function_cache`).

use helve_base::id::DefinedFuncIndex;
use helve_compile::function_cache::{
    CacheKey, Environment, FunctionCache, add_entry, encode, encode_piece, head,
};
use helve_compile::{CompiledFunction, Translation};
use std::fs::File;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Most bytes of one file; what more is compiled is not kept.
const MOST_FILE: u64 = 64 << 20;

/// How long what was compiled may wait to be written.
const WAIT: Duration = Duration::from_millis(250);

/// How often to try, at the end, to get a file that another process is writing to, and how
/// long to wait in between.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(5);

/// A folder of compiled functions.
pub(crate) struct Cache {
    folder: PathBuf,
    /// Bytes of all files together.
    most: u64,
    fingerprint: String,
}

impl Cache {
    /// The cache in a folder, which is made if it isn't there; `None` where it cannot be used.
    pub fn open(folder: &Path, most: u64, fingerprint: String) -> Option<Arc<Cache>> {
        let made = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder);
        made.ok()?;
        let about = std::fs::metadata(folder).ok()?;
        let me = std::fs::metadata("/proc/self").ok()?.uid();
        let private = about.uid() == me && about.mode() & 0o022 == 0;
        (about.is_dir() && private).then(|| {
            Arc::new(Cache {
                folder: folder.to_owned(),
                most,
                fingerprint,
            })
        })
    }

    /// What is kept for modules like this one.
    pub fn module(self: &Arc<Cache>, translation: &Translation) -> ModuleCache {
        self.kept_for(translation.environment())
    }

    /// What is kept for this environment.
    pub fn kept_for(self: &Arc<Cache>, environment: Environment) -> ModuleCache {
        let path = self
            .folder
            .join(format!("{}.fn", environment.name(&self.fingerprint)));
        let known = read(&path, &self.fingerprint);
        ModuleCache {
            cache: self.clone(),
            environment,
            path,
            known,
            fresh: Mutex::new(Fresh {
                entries: Vec::new(),
                written: Instant::now(),
            }),
        }
    }

    /// Removes the files that were not used for longest, until there is room.
    fn prune(&self) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else {
            return;
        };
        let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let about = entry.metadata().ok()?;
                let file = about.is_file();
                file.then(|| Some((about.modified().ok()?, about.len(), entry.path())))?
            })
            .collect();
        let mut total: u64 = files.iter().map(|(_, len, _)| len).sum();
        files.sort();
        for (_, len, path) in files {
            if total <= self.most {
                return;
            }
            if std::fs::remove_file(path).is_ok() {
                total = total.saturating_sub(len);
            }
        }
    }
}

/// What is kept for modules that declare the same.
pub(crate) struct ModuleCache {
    cache: Arc<Cache>,
    environment: Environment,
    path: PathBuf,
    known: FunctionCache,
    fresh: Mutex<Fresh>,
}

/// What was compiled and is not written yet.
struct Fresh {
    entries: Vec<(CacheKey, Vec<u8>)>,
    /// When something was written last.
    written: Instant,
}

impl ModuleCache {
    /// Whether the module with this [`Translation::validity_key`] was found valid before.
    pub fn is_valid(&self, key: &CacheKey) -> bool {
        self.known.payload(key).is_some()
    }

    /// Notes that it is valid.
    pub fn set_valid(&self, key: CacheKey) {
        self.keep(key, Vec::new());
    }

    /// A function's code, as a compiler of this description makes it.
    pub fn get(
        &self,
        translation: &Translation,
        func: DefinedFuncIndex,
        compiler: &str,
    ) -> Option<CompiledFunction> {
        let key = translation.function_key(&self.environment, func, compiler)?;
        self.known.function(&key, translation, func)
    }

    /// Keeps a function's code.
    pub fn put(
        &self,
        translation: &Translation,
        func: DefinedFuncIndex,
        compiler: &str,
        code: &CompiledFunction,
    ) {
        if let Some(key) = translation.function_key(&self.environment, func, compiler) {
            self.keep(key, encode(code, translation, func));
        }
    }

    /// A piece of code that belongs to no module.
    pub fn get_piece(&self, key: &CacheKey) -> Option<CompiledFunction> {
        self.known.piece(key)
    }

    /// Keeps a piece of code that belongs to no module.
    pub fn put_piece(&self, key: CacheKey, code: &CompiledFunction) {
        self.keep(key, encode_piece(code));
    }

    fn keep(&self, key: CacheKey, payload: Vec<u8>) {
        self.fresh().entries.push((key, payload));
        self.flush();
    }

    fn fresh(&self) -> MutexGuard<'_, Fresh> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is new, if that is due. Where another process is writing, later.
    pub fn flush(&self) {
        let mut fresh = self.fresh();
        if fresh.entries.is_empty() || fresh.written.elapsed() < WAIT {
            return;
        }
        fresh.written = Instant::now();
        // What cannot be kept is compiled again.
        if let Ok(true) = self.add(&fresh.entries) {
            fresh.entries.clear();
        }
    }

    /// Writes what is new, due or not. Where another process is writing, waits for a while.
    pub fn write(&self) {
        let mut fresh = self.fresh();
        if fresh.entries.is_empty() {
            return;
        }
        let entries = std::mem::take(&mut fresh.entries);
        for _ in 0..TRIES {
            match self.add(&entries) {
                Ok(false) => std::thread::sleep(PAUSE),
                _ => break,
            }
        }
        self.cache.prune();
    }

    /// Adds entries to the file; `false` where another process is doing that.
    fn add(&self, entries: &[(CacheKey, Vec<u8>)]) -> io::Result<bool> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&self.path)?;
        if file.try_lock().is_err() {
            return Ok(false);
        }
        let about = file.metadata()?;
        // Removed meanwhile, to make room.
        if std::fs::metadata(&self.path).map_or(0, |path| path.ino()) != about.ino() {
            return Ok(false);
        }
        let len = about.len();
        let head = head(&self.cache.fingerprint);
        let mut start = vec![0; head.len().min(usize::try_from(len).unwrap_or(0))];
        file.read_exact_at(&mut start, 0)?;
        // What others added since it was read; all of it where it isn't what was read.
        let known = self.known.end() as u64;
        let from = match start == head {
            true if head.len() as u64 <= known && known <= len => known,
            true => head.len() as u64,
            false => 0,
        };
        let mut bytes = Vec::new();
        if from == 0 {
            file.set_len(0)?;
            bytes.extend_from_slice(&head);
        }
        let others = match from {
            0 => FunctionCache::default(),
            _ => {
                let mut tail = vec![0; usize::try_from(len - from).unwrap_or(0)];
                file.read_exact_at(&mut tail, from)?;
                FunctionCache::parse_entries(tail, 0)
            }
        };
        for (key, payload) in entries {
            let is_there = from == known && self.known.payload(key).is_some();
            if !is_there && others.payload(key).is_none() {
                add_entry(&mut bytes, key, payload);
            }
        }
        let end = from + others.end() as u64;
        let whole = end.saturating_add(bytes.len() as u64);
        if whole > MOST_FILE.min(self.cache.most) {
            return Ok(true);
        }
        // Half an entry, of somebody who was killed.
        if end < len && from != 0 {
            file.set_len(end)?;
        }
        file.write_all_at(&bytes, end)?;
        Ok(true)
    }
}

impl Drop for ModuleCache {
    fn drop(&mut self) {
        self.write();
    }
}

/// A file's contents; empty where it isn't there. Says that it was used.
fn read(path: &Path, fingerprint: &str) -> FunctionCache {
    let Ok(bytes) = std::fs::read(path) else {
        return FunctionCache::default();
    };
    let file = File::options().append(true).open(path);
    let _ = file.and_then(|file| file.set_modified(SystemTime::now()));
    FunctionCache::parse(bytes, fingerprint)
}
