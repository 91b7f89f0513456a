//! Compiled functions on disk, for the next run.
//!
//! ```text
//!   folder/<environment>.fn     one file for all modules that declare the same
//!      read when such a module is loaded --> functions taken out as they are called
//!      read again, merged, replaced as a whole (rename) <-- what this run compiled
//! ```
//!
//! Processes may do all of this at once: each file is always one that somebody wrote whole;
//! where two merge at once, one's functions are compiled again some day. Whatever fails
//! here costs time only, so nothing is reported. The folder must be the user's own, and
//! writable by nobody else.
//!
//! Not here: the file's layout and what keys are made of (`helve_compile::function_cache`).

use helve_base::id::DefinedFuncIndex;
use helve_compile::function_cache::{CacheKey, Environment, FunctionCache, encode};
use helve_compile::{CompiledFunction, Translation};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// Most bytes of one file; what more is compiled is not kept.
const MOST_FILE: u64 = 64 << 20;

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
        let environment = translation.environment();
        let path = self.folder.join(format!("{}.fn", environment.name()));
        let known = read(&path, &self.fingerprint);
        ModuleCache {
            cache: self.clone(),
            environment,
            path,
            known,
            fresh: Mutex::default(),
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
    fresh: Mutex<Vec<(CacheKey, Vec<u8>)>>,
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

    fn keep(&self, key: CacheKey, payload: Vec<u8>) {
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        fresh.push((key, payload));
    }

    /// Writes what is new.
    fn write(&mut self) -> std::io::Result<()> {
        let fresh = std::mem::take(&mut self.fresh).into_inner();
        let fresh = fresh.unwrap_or_else(PoisonError::into_inner);
        if fresh.is_empty() {
            return Ok(());
        }
        // Others may have written since it was read.
        let now = read(&self.path, &self.cache.fingerprint);
        let file = now.merged(&fresh, &self.cache.fingerprint);
        if file.len() as u64 > MOST_FILE.min(self.cache.most) {
            return Ok(());
        }
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mark = format!("{}-{number}.tmp", std::process::id());
        let temporary = self.path.with_extension(mark);
        let written = std::fs::write(&temporary, file);
        let placed = written.and_then(|()| std::fs::rename(&temporary, &self.path));
        if placed.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        self.cache.prune();
        placed
    }
}

impl Drop for ModuleCache {
    fn drop(&mut self) {
        // What cannot be kept is compiled again.
        let _ = self.write();
    }
}

/// A file's contents; empty where it isn't there. Says that it was used.
fn read(path: &Path, fingerprint: &str) -> FunctionCache {
    let Ok(bytes) = std::fs::read(path) else {
        return FunctionCache::default();
    };
    let file = std::fs::File::options().append(true).open(path);
    let _ = file.and_then(|file| file.set_modified(SystemTime::now()));
    FunctionCache::parse(bytes, fingerprint)
}
