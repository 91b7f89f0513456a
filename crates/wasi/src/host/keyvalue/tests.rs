//! The same rows in memory and in a file.

use super::*;

const LIMITS: BucketLimits = BucketLimits {
    keys: 3,
    key_bytes: 4,
    value_bytes: 8,
    bytes: 20,
};

/// Runs `row` on an empty bucket of each kind.
fn on_each(limits: BucketLimits, row: impl Fn(&Bucket)) {
    row(&Bucket::memory(limits));
    let folder = tempfile::tempdir().unwrap();
    row(&Bucket::file(folder.path().join("bucket"), limits).unwrap());
}

fn text(result: Result<impl fmt::Debug, BucketError>) -> String {
    result.unwrap_err().0
}

#[test]
fn values_are_set_read_and_deleted() {
    on_each(LIMITS, |bucket| {
        assert_eq!(bucket.get("a"), Ok(None));
        bucket.set("a", b"1").unwrap();
        bucket.set("b", b"").unwrap();
        bucket.set("a", b"2").unwrap();
        assert_eq!(bucket.get("a"), Ok(Some(b"2".to_vec())));
        assert_eq!(bucket.exists("b"), Ok(true));
        let found = bucket.get_many(vec!["b".into(), "c".into()]);
        assert_eq!(found, Ok(vec![Some(("b".into(), vec![])), None]));
        bucket.delete(&["a".into(), "c".into()]).unwrap();
        assert_eq!(bucket.exists("a"), Ok(false));
        assert_eq!(bucket.keys(&From::Start).unwrap().keys, ["b"]);
    });
}

#[test]
fn each_limit_has_two_sides() {
    on_each(LIMITS, |bucket| {
        bucket.set("1234", b"12345678").unwrap();
        assert_eq!(
            text(bucket.set("12345", b"")),
            "a key may have 4 bytes, not 5"
        );
        let long = text(bucket.set("a", b"123456789"));
        assert_eq!(long, "a value may have 8 bytes, not 9");
        bucket.set("a", b"1234567").unwrap();
        let full = "the bucket is full: it may have 20 bytes";
        assert_eq!(text(bucket.set("b", b"")), full);
        assert_eq!(text(bucket.set("a", b"12345678")), full);
        bucket.set("1234", b"").unwrap();
        bucket.set("b", b"").unwrap();
        let full = "the bucket is full: it may have 3 keys";
        assert_eq!(text(bucket.set("c", b"")), full);
        assert_eq!(text(bucket.set_many(&[("c".into(), vec![])])), full);
        // One that is there may change, and one that goes makes room.
        bucket.set("b", b"123").unwrap();
        bucket.delete(&["b".into()]).unwrap();
        bucket.set("c", b"1234567").unwrap();
    });
}

#[test]
fn batches_return_so_much_and_no_more() {
    let limits = BucketLimits {
        value_bytes: BATCH_BYTES,
        ..BucketLimits::default()
    };
    let bucket = Bucket::memory(limits);
    bucket.set("a", &vec![0; BATCH_BYTES - 1]).unwrap();
    bucket.set("b", b"1").unwrap();
    let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect();
    assert!(bucket.get_many(keys(&["a", "b"])).is_ok());
    assert!(text(bucket.get_many(keys(&["a", "b", "b"]))).contains("fewer keys"));
}

#[test]
fn a_swap_needs_the_latest_version() {
    on_each(LIMITS, |bucket| {
        assert_eq!(bucket.swap("a", None, b"1"), Ok(Ok(())));
        let seen = bucket.get_versioned("a").unwrap();
        let lost = bucket.swap("a", None, b"2").unwrap();
        assert_eq!(lost, Err(seen.clone()));
        // Written again with the same value, deleted, made anew: all of it is noticed.
        let version = seen.map(|entry| entry.version);
        bucket.set("a", b"1").unwrap();
        assert!(bucket.swap("a", version, b"2").unwrap().is_err());
        let version = bucket.get_versioned("a").unwrap().map(|e| e.version);
        bucket.delete(&["a".into()]).unwrap();
        assert_eq!(bucket.swap("a", version, b"2"), Ok(Err(None)));
        bucket.set("a", b"1").unwrap();
        assert!(bucket.swap("a", version, b"2").unwrap().is_err());
        let version = bucket.get_versioned("a").unwrap().map(|e| e.version);
        assert_eq!(bucket.swap("a", version, b"2"), Ok(Ok(())));
    });
}

#[test]
fn keys_come_in_pages() {
    let limits = BucketLimits {
        key_bytes: 400,
        ..BucketLimits::default()
    };
    on_each(limits, |bucket| {
        let values: Vec<(String, Vec<u8>)> = (0..12_000)
            .map(|i| (format!("{i:05}"), Vec::new()))
            .collect();
        bucket.set_many(&values).unwrap();
        let first = bucket.keys(&From::Start).unwrap();
        assert_eq!((first.keys.len(), first.more), (10_000, true));
        let after = From::After(first.keys.last().unwrap().clone());
        for from in [after, From::Skipping(10_000)] {
            let page = bucket.keys(&from).unwrap();
            assert_eq!((page.keys.len(), page.more), (2000, false));
            assert_eq!(page.keys.first().map(String::as_str), Some("10000"));
        }
        assert_eq!(
            bucket.keys(&From::Skipping(u64::MAX)).unwrap(),
            Page::default()
        );
        // Long keys make short pages.
        let values: Vec<(String, Vec<u8>)> = (0..4000)
            .map(|i| (format!("{i:0400}"), Vec::new()))
            .collect();
        bucket.set_many(&values).unwrap();
        let page = bucket.keys(&From::Start).unwrap();
        assert_eq!((page.keys.len(), page.more), (PAGE_BYTES / 400 + 1, true));
    });
}

#[test]
fn many_threads_count_together() {
    on_each(LIMITS, |bucket| {
        let count = |value: Option<&[u8]>| {
            let present = value.map_or(0, |value| value[0]);
            Ok((vec![present + 1], ()))
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..20).for_each(|_| bucket.update("n", count).unwrap()));
            }
        });
        assert_eq!(bucket.get("n"), Ok(Some(vec![80])));
    });
}

#[test]
fn a_file_keeps_what_was_set_and_is_open_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bucket");
    let bucket = Bucket::file(&path, LIMITS).unwrap();
    bucket.set("a", b"1").unwrap();
    // All of a batch that fails is undone.
    let batch = [("b".into(), vec![]), ("toolong".into(), vec![])];
    assert!(bucket.set_many(&batch).is_err());
    let again = Bucket::file(&path, LIMITS).err().unwrap();
    assert!(
        format!("{again:#}").contains("cannot open the bucket"),
        "{again:#}"
    );
    drop(bucket);
    let bucket = Bucket::file(&path, LIMITS).unwrap();
    assert_eq!(bucket.get("a"), Ok(Some(b"1".to_vec())));
    assert_eq!(bucket.exists("b"), Ok(false));
    bucket.set("c", b"12345678").unwrap();
    // What was there counts: 2 and 9 bytes.
    assert!(text(bucket.set("d", b"123456789")).contains("8 bytes"));
    bucket.set("d", b"12345678").unwrap();
    assert!(text(bucket.set("a", b"12")).contains("20 bytes"));
}

#[test]
fn what_is_no_bucket_is_not_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text");
    std::fs::write(
        &path,
        "no database, but long enough to be looked at".repeat(100),
    )
    .unwrap();
    for path in [path, folder.path().join("missing/bucket")] {
        assert!(Bucket::file(&path, LIMITS).is_err(), "{}", path.display());
    }
}
