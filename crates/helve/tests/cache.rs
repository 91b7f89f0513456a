//! The cache of compiled functions: found again, shared, damaged, full, used by many at once.

use helve::core::{Linker, Module};
use helve::{CompileMode, Config, Engine, OptLevel, Store};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A folder that is gone when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("helve-cache-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Folder(path)
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.0).into_iter().flatten();
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A module with a number of its own, which makes its declarations its own too.
fn text(number: u32) -> String {
    format!(
        "(module (global i32 (i32.const {number}))
          (func $twice (param i32) (result i32) (i32.shl (local.get 0) (i32.const 1)))
          (func (export \"run\") (param i32) (result i32)
            (i32.add (i32.const {number}) (call $twice (local.get 0)))))"
    )
}

fn run(config: &Config, number: u32) {
    let engine = Engine::new(config).unwrap();
    let module = Module::new(&engine, text(number)).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine)
        .instantiate(&mut store, &module)
        .unwrap();
    let run = instance.get_typed_func::<i32, i32>(&store, "run").unwrap();
    assert_eq!(run.call(&mut store, 20).unwrap(), 40 + number as i32);
}

fn config(folder: &Folder) -> Config {
    let mut config = Config::new();
    config.compile(CompileMode::Lazy).cache(&folder.0, 1 << 20);
    config
}

/// Which file it is: a new one after each write.
fn identity(path: &Path) -> (u64, u64) {
    let about = std::fs::metadata(path).unwrap();
    (about.ino(), about.len())
}

#[test]
fn a_second_run_finds_all_it_needs() {
    let folder = Folder::new("again");
    run(&config(&folder), 1);
    // One for the module, one for the engine's trampolines.
    let files = folder.files();
    assert_eq!(files.len(), 2, "{files:?}");
    let identities = || files.iter().map(|file| identity(file)).collect::<Vec<_>>();
    let first = identities();
    run(&config(&folder), 1);
    assert_eq!(identities(), first, "something was compiled again");
    // Other settings, and other modules, have their own files.
    let mut other = config(&folder);
    run(other.optimize(OptLevel::None), 1);
    assert_eq!(identities(), first);
    assert_eq!(folder.files().len(), 4);
    run(&config(&folder), 2);
    assert_eq!(folder.files().len(), 5);
}

/// The thread that compiles beside guests has the module for moments: what was compiled is kept
/// when its users are done, not when that thread is.
#[test]
fn what_was_compiled_is_there_when_its_module_goes() {
    let folder = Folder::new("beside");
    for number in 0..60 {
        run(&config(&folder), 1000 + number);
        // And one for trampolines.
        assert_eq!(folder.files().len(), number as usize + 2, "{number}");
    }
}

/// A guest that is killed while it waits leaves what was compiled for it by then.
#[test]
fn nothing_has_to_end_well() {
    let folder = Folder::new("killed");
    let engine = Engine::new(&config(&folder)).unwrap();
    let module = Module::new(&engine, text(4)).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine)
        .instantiate(&mut store, &module)
        .unwrap();
    let run_it = instance.get_typed_func::<i32, i32>(&store, "run").unwrap();
    run_it.call(&mut store, 1).unwrap();
    let is_written = || {
        folder
            .files()
            .first()
            .is_some_and(|file| identity(file).1 > 100)
    };
    for _ in 0..200 {
        if is_written() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    // Neither of these will be dropped.
    std::mem::forget((store, module, engine));
    let file = folder.files().remove(0);
    let first = identity(&file);
    // What a process wrote of an entry when it was killed.
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.extend([7; 50]);
    std::fs::write(&file, &bytes).unwrap();
    run(&config(&folder), 4);
    assert!(identity(&file).1 <= first.1 + 50);
}

#[test]
fn damage_is_noticed_and_mended() {
    let folder = Folder::new("damage");
    run(&config(&folder), 3);
    let file = folder.files().remove(0);
    let whole = std::fs::read(&file).unwrap();
    let mut damages: Vec<Vec<u8>> = vec![
        Vec::new(),
        whole[..whole.len() / 2].to_vec(),
        vec![0xff; 5000],
    ];
    for i in (0..whole.len()).step_by(7) {
        let mut damaged = whole.clone();
        damaged[i] = !damaged[i];
        damages.push(damaged);
    }
    for damaged in damages {
        std::fs::write(&file, &damaged).unwrap();
        run(&config(&folder), 3);
        assert_ne!(std::fs::read(&file).unwrap(), damaged, "not mended");
        let mended = identity(&file);
        run(&config(&folder), 3);
        assert_eq!(identity(&file), mended);
    }
}

#[test]
fn many_at_once() {
    let folder = Folder::new("many");
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let folder = &folder;
            scope.spawn(move || (0..20).for_each(|i| run(&config(folder), 10 + (thread + i) % 4)));
        }
    });
    let files = folder.files();
    // And one for trampolines.
    assert_eq!(files.len(), 5, "{files:?}");
}

#[test]
fn the_folder_keeps_within_its_size() {
    let folder = Folder::new("full");
    let mut config = config(&folder);
    config.cache(&folder.0, 5000);
    for number in 0..30 {
        run(&config, 100 + number);
    }
    let total: u64 = folder.files().iter().map(|file| identity(file).1).sum();
    assert!(0 < total && total <= 5000, "{total}");
}

#[test]
fn a_folder_that_others_can_write_to_is_left_alone() {
    let folder = Folder::new("open");
    std::fs::create_dir(&folder.0).unwrap();
    std::fs::set_permissions(&folder.0, std::fs::Permissions::from_mode(0o777)).unwrap();
    run(&config(&folder), 5);
    assert!(folder.files().is_empty());
    let nowhere = Config::new().cache("/dev/null/helve", 1).clone();
    run(&nowhere, 5);
}
