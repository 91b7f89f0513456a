//! Ways out of a granted folder, and into what was granted for reading only: each is a row.
//!
//! Every row is tried on a fresh tree; afterwards nothing outside and nothing read-only may
//! have changed.

use helve_wasi::host::fs::{
    Descriptor, Dir, DirGrant, DirPerms, ErrorCode, FilePerms, NewTime, OpenFor, OpenHow,
};
use helve_wasi::host::stream::MAX_TRANSFER;
use std::path::Path;

/// `root/granted` with ways out, `root/secret` outside, `root/read` for reading only.
struct Tree {
    root: tempfile::TempDir,
    granted: Descriptor,
    read: Descriptor,
}

fn open(path: &Path, dirs: DirPerms, files: FilePerms) -> Descriptor {
    let dir = cap_std::fs::Dir::open_ambient_dir(path, cap_std::ambient_authority()).unwrap();
    Descriptor::dir(dir, dirs, files, DirGrant::new("/", Default::default()))
}

impl Tree {
    fn new() -> Tree {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        for folder in ["granted/folder", "outside", "read/folder"] {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        for file in ["secret", "outside/secret", "granted/file", "read/file"] {
            std::fs::write(at(file), file).unwrap();
        }
        for (target, link) in [
            ("../secret", "granted/out"),
            ("../outside", "granted/outdir"),
            ("folder/../../secret", "granted/around"),
            ("loop", "granted/loop"),
            ("file", "granted/in"),
        ] {
            std::os::unix::fs::symlink(target, at(link)).unwrap();
        }
        std::os::unix::fs::symlink(at("secret"), at("granted/absolute")).unwrap();
        Tree {
            granted: open(&at("granted"), DirPerms::ALL, FilePerms::ALL),
            read: open(&at("read"), DirPerms::READ, FilePerms::READ),
            root,
        }
    }

    fn granted(&self) -> &Dir {
        self.granted.as_dir().unwrap()
    }

    fn read(&self) -> &Dir {
        self.read.as_dir().unwrap()
    }

    /// What must never change.
    fn check(&self, row: &str) {
        for file in ["secret", "outside/secret", "read/file"] {
            let now = std::fs::read_to_string(self.root.path().join(file)).unwrap();
            assert_eq!(now, file, "{row}");
        }
        for (folder, count) in [("outside", 1), ("read", 2), (".", 4), ("read/folder", 0)] {
            let now = std::fs::read_dir(self.root.path().join(folder)).unwrap();
            assert_eq!(now.count(), count, "{row}: {folder}");
        }
    }
}

const FOLLOW: OpenHow = OpenHow {
    follow: true,
    create: false,
    directory: false,
    exclusive: false,
    truncate: false,
};

fn writing() -> OpenFor {
    OpenFor {
        read: true,
        write: true,
        ..OpenFor::default()
    }
}

fn reading() -> OpenFor {
    OpenFor {
        read: true,
        ..OpenFor::default()
    }
}

/// Paths that lead out of a granted folder.
const OUT: &[&str] = &[
    "..",
    "../secret",
    "../outside/secret",
    "./../secret",
    "folder/../../secret",
    "folder/../../outside/secret",
    "/etc/passwd",
    "/",
    "out",
    "outdir/secret",
    "outdir/../secret",
    "around",
    "absolute",
    "../granted/file",
];

#[test]
fn no_path_leads_out() {
    type Try = fn(&Dir, &str) -> Result<(), ErrorCode>;
    let tries: &[(&str, Try)] = &[
        ("open to read", |d, p| {
            d.open_at(p, FOLLOW, reading()).map(drop)
        }),
        ("open to write", |d, p| {
            d.open_at(p, FOLLOW, writing()).map(drop)
        }),
        ("create", |d, p| {
            let how = OpenHow {
                create: true,
                ..FOLLOW
            };
            d.open_at(p, how, writing()).map(drop)
        }),
        ("truncate", |d, p| {
            let how = OpenHow {
                truncate: true,
                ..FOLLOW
            };
            d.open_at(p, how, writing()).map(drop)
        }),
        ("stat", |d, p| d.stat_at(p, true).map(drop)),
        ("set times", |d, p| {
            d.set_times_at(p, true, NewTime::Now, NewTime::Now)
        }),
        ("rename from", |d, p| {
            d.rename_at(&format!("{p}/x"), d, "new")
        }),
        ("rename to", |d, p| {
            d.rename_at("file", d, &format!("{p}/x"))
        }),
        ("link to", |d, p| {
            d.link_at("file", false, d, &format!("{p}/x"))
        }),
        ("make folder", |d, p| {
            d.create_directory_at(&format!("{p}/x"))
        }),
        ("make link", |d, p| d.symlink_at("file", &format!("{p}/x"))),
        ("remove folder", |d, p| {
            d.remove_directory_at(&format!("{p}/x"))
        }),
    ];
    for path in OUT {
        for (name, attempt) in tries {
            let tree = Tree::new();
            let row = format!("{name} {path}");
            assert!(attempt(tree.granted(), path).is_err(), "{row} succeeded");
            tree.check(&row);
        }
    }
}

#[test]
fn paths_that_name_something_outside_are_not_permitted() {
    let tree = Tree::new();
    for path in [
        "..",
        "../secret",
        "/etc/passwd",
        "out",
        "absolute",
        "outdir/secret",
    ] {
        let error = tree.granted().open_at(path, FOLLOW, reading()).err();
        assert_eq!(error, Some(ErrorCode::NotPermitted), "{path}");
        for from in [path.to_owned(), format!("{path}/")] {
            let linked = tree.granted().link_at(&from, true, tree.granted(), "x");
            assert!(linked.is_err(), "{from}");
        }
    }
    let link = tree
        .granted()
        .link_at("../secret", false, tree.granted(), "x");
    assert_eq!(link, Err(ErrorCode::NotPermitted));
    let looped = tree.granted().open_at("loop", FOLLOW, reading()).err();
    assert_eq!(looped, Some(ErrorCode::Loop));
    // What stays inside works.
    assert!(tree.granted().open_at("in", FOLLOW, writing()).is_ok());
    assert!(
        tree.granted()
            .open_at("folder/../file", FOLLOW, writing())
            .is_ok()
    );
}

#[test]
fn nothing_changes_what_is_read_only() {
    type Try = fn(&Dir, &Dir) -> Result<(), ErrorCode>;
    let tries: &[(&str, Try)] = &[
        ("open to write", |r, _| {
            r.open_at("file", FOLLOW, writing()).map(drop)
        }),
        ("open to write only", |r, _| {
            let only = OpenFor {
                write: true,
                ..OpenFor::default()
            };
            r.open_at("file", FOLLOW, only).map(drop)
        }),
        ("truncate", |r, _| {
            let how = OpenHow {
                truncate: true,
                ..FOLLOW
            };
            r.open_at("file", how, reading()).map(drop)
        }),
        ("create", |r, _| {
            let how = OpenHow {
                create: true,
                ..FOLLOW
            };
            r.open_at("new", how, reading()).map(drop)
        }),
        ("open a folder to change it", |r, _| {
            let mutate = OpenFor {
                read: true,
                mutate_directory: true,
                ..OpenFor::default()
            };
            r.open_at("folder", FOLLOW, mutate).map(drop)
        }),
        ("make folder", |r, _| r.create_directory_at("new")),
        ("remove folder", |r, _| r.remove_directory_at("folder")),
        ("unlink", |r, _| r.unlink_file_at("file")),
        ("make link", |r, _| r.symlink_at("file", "new")),
        ("rename inside", |r, _| r.rename_at("file", r, "new")),
        ("rename out of it", |r, g| r.rename_at("file", g, "new")),
        ("rename into it", |r, g| g.rename_at("file", r, "new")),
        ("link inside", |r, _| r.link_at("file", false, r, "new")),
        ("link out of it", |r, g| r.link_at("file", false, g, "new")),
        ("link into it", |r, g| g.link_at("file", false, r, "new")),
        ("set times", |r, _| {
            r.set_times_at("file", true, NewTime::Now, NewTime::Now)
        }),
    ];
    for (name, attempt) in tries {
        let tree = Tree::new();
        let result = attempt(tree.read(), tree.granted());
        assert_eq!(result, Err(ErrorCode::NotPermitted), "{name}");
        tree.check(name);
        // A folder that was opened below a read-only one is no better.
        let below = tree.read().open_at(".", FOLLOW, reading()).unwrap();
        let result = attempt(below.as_dir().unwrap(), tree.granted());
        assert_eq!(result, Err(ErrorCode::NotPermitted), "{name} below");
        tree.check(name);
    }
}

#[test]
fn files_without_the_right_to_write_are_not_written() {
    let tree = Tree::new();
    let dir = open(
        &tree.root.path().join("granted"),
        DirPerms::ALL,
        FilePerms::READ,
    );
    let dir = dir.as_dir().unwrap();
    for (how, open_for) in [
        (FOLLOW, writing()),
        (
            OpenHow {
                truncate: true,
                ..FOLLOW
            },
            reading(),
        ),
    ] {
        let refused = dir.open_at("file", how, open_for).err();
        assert_eq!(refused, Some(ErrorCode::NotPermitted));
    }
    // A second name in a folder with more rights would give the file those rights.
    let linked = dir.link_at("file", false, tree.granted(), "more");
    assert_eq!(linked, Err(ErrorCode::NotPermitted));
    let file = dir.open_at("file", FOLLOW, reading()).unwrap();
    let file = file.as_file().unwrap();
    assert_eq!(file.write(b"x", 0), Err(ErrorCode::BadDescriptor));
    assert_eq!(file.set_size(0), Err(ErrorCode::BadDescriptor));
    assert!(file.write_stream(None).is_err());
    let kept = std::fs::read_to_string(tree.root.path().join("granted/file")).unwrap();
    assert_eq!(kept, "granted/file");
}

#[test]
fn trailing_slashes_mean_folders() {
    let tree = Tree::new();
    let dir = tree.granted();
    for error in [
        dir.open_at("file/", FOLLOW, reading()).err(),
        dir.stat_at("file/", true).err(),
        dir.unlink_file_at("file/").err(),
        dir.rename_at("file/", dir, "new").err(),
        dir.link_at("file/", false, dir, "new").err(),
        dir.symlink_at("file", "new/").err(),
    ] {
        assert!(error.is_some());
    }
    assert!(dir.open_at("folder/", FOLLOW, reading()).is_ok());
    dir.create_directory_at("made/").unwrap();
    dir.remove_directory_at("made/").unwrap();
    tree.check("trailing slashes");
}

#[test]
fn sizes_and_times_that_guests_choose_are_bounded() {
    let tree = Tree::new();
    let file = tree.granted().open_at("file", FOLLOW, writing()).unwrap();
    let file = file.as_file().unwrap();
    assert_eq!(file.read(u64::MAX, 0).unwrap().0, b"granted/file");
    file.set_size(10 * MAX_TRANSFER as u64).unwrap();
    assert_eq!(file.read(u64::MAX, 0).unwrap().0.len(), MAX_TRANSFER);
    assert!(file.set_size(u64::MAX).is_err());
    assert!(file.read(1, u64::MAX).is_err());
    assert!(file.write(b"x", u64::MAX).is_err());
    for time in [
        NewTime::At(i128::from(u64::MAX), 0),
        NewTime::At(i128::from(i64::MAX), 999_999_999),
        NewTime::At(i128::MIN, 0),
        NewTime::At(0, 1_000_000_000),
        NewTime::At(0, u32::MAX),
    ] {
        for follow in [true, false] {
            // Refused, or clamped by the file system; never a panic.
            let _ = tree.granted().set_times_at("file", follow, time, time);
        }
        let _ = tree.granted.set_times(time, time);
    }
    let wrong = NewTime::At(0, 1_000_000_000);
    assert_eq!(
        tree.granted()
            .set_times_at("file", true, wrong, NewTime::Keep),
        Err(ErrorCode::Invalid)
    );
    let far = NewTime::At(i128::from(u64::MAX), 0);
    assert_eq!(
        tree.granted()
            .set_times_at("file", true, far, NewTime::Keep),
        Err(ErrorCode::Overflow)
    );
}
