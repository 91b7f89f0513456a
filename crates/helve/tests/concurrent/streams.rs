//! Streams and futures that the host has an end of.

use crate::support::{block_on, instantiate, wait};
use helve::component::{
    Accessor, Destination, FutureReader, Instance, Linker, Source, StreamConsumer, StreamProducer,
    StreamReader, StreamState, TypedFunc, Val, future, stream,
};
use helve::{Result, Store};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

/// A component that copies a stream of `element`, `chunk` elements of `size` bytes at a
/// time, until it ends: `copy` returns the new stream before it starts. And `sum`-like
/// things for futures: `pass` awaits a future and returns a future of the same value.
fn copier(element: &str, size: u32, chunk: u32) -> String {
    format!(
        r#"(component
    (core module $libc
        (memory (export "memory") 4)
        (global $next (mut i32) (i32.const 4096))
        (func (export "realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
            (global.set $next (i32.add (local.get $at) (local.get $new)))
            (if (i32.gt_u (global.get $next) (i32.const 200000))
                (then (global.set $next (i32.const 4096)) (local.set $at (i32.const 4096))
                    (global.set $next (i32.add (local.get $at) (local.get $new)))))
            (local.get $at)))
    (core instance $libc (instantiate $libc))
    (alias core export $libc "memory" (core memory $memory))
    (alias core export $libc "realloc" (core func $realloc))
    (type $s (stream {element}))
    (type $f (future {element}))
    (core func $new (canon stream.new $s))
    (core func $read (canon stream.read $s (memory $memory) (realloc $realloc)))
    (core func $write (canon stream.write $s (memory $memory)))
    (core func $drop-r (canon stream.drop-readable $s))
    (core func $drop-w (canon stream.drop-writable $s))
    (core func $fnew (canon future.new $f))
    (core func $fread (canon future.read $f (memory $memory) (realloc $realloc)))
    (core func $fwrite (canon future.write $f (memory $memory)))
    (core func $fdrop-r (canon future.drop-readable $f))
    (core func $fdrop-w (canon future.drop-writable $f))
    (core func $return (canon task.return (result $s)))
    (core func $freturn (canon task.return (result $f)))
    (core module $m
        (import "libc" "memory" (memory 4))
        (import "" "new" (func $new (result i64)))
        (import "" "read" (func $read (param i32 i32 i32) (result i32)))
        (import "" "write" (func $write (param i32 i32 i32) (result i32)))
        (import "" "drop-r" (func $drop-r (param i32)))
        (import "" "drop-w" (func $drop-w (param i32)))
        (import "" "fnew" (func $fnew (result i64)))
        (import "" "fread" (func $fread (param i32 i32) (result i32)))
        (import "" "fwrite" (func $fwrite (param i32 i32) (result i32)))
        (import "" "fdrop-r" (func $fdrop-r (param i32)))
        (import "" "fdrop-w" (func $fdrop-w (param i32)))
        (import "" "return" (func $return (param i32)))
        (import "" "freturn" (func $freturn (param i32)))
        (global $at (mut i32) (i32.const 1024))
        (func (export "copy") (param $in i32)
            (local $pair i64) (local $out i32) (local $got i32) (local $sent i32) (local $count i32)
            (local $buf i32)
            ;; A buffer of its own for each call, up to 8.
            (local.set $buf (global.get $at))
            (global.set $at (i32.add (local.get $buf) (i32.const {bytes})))
            (local.set $pair (call $new))
            (local.set $out (i32.wrap_i64 (i64.shr_u (local.get $pair) (i64.const 32))))
            (call $return (i32.wrap_i64 (local.get $pair)))
            (block $done
                (loop $more
                    (local.set $got (call $read (local.get $in) (local.get $buf) (i32.const {chunk})))
                    (local.set $count (i32.shr_u (local.get $got) (i32.const 4)))
                    (local.set $sent (i32.const 0))
                    (block $sent-all
                        (loop $send
                            (br_if $sent-all (i32.eq (local.get $sent) (local.get $count)))
                            (local.set $pair (i64.extend_i32_u (call $write (local.get $out)
                                (i32.add (local.get $buf) (i32.mul (local.get $sent) (i32.const {size})))
                                (i32.sub (local.get $count) (local.get $sent)))))
                            (local.set $sent (i32.add (local.get $sent)
                                (i32.shr_u (i32.wrap_i64 (local.get $pair)) (i32.const 4))))
                            (br_if $done (i32.and (i32.wrap_i64 (local.get $pair)) (i32.const 15)))
                            (br $send)))
                    (br_if $more (i32.eqz (i32.and (local.get $got) (i32.const 15))))))
            (call $drop-r (local.get $in))
            (call $drop-w (local.get $out)))
        (func (export "pass") (param $in i32)
            (local $pair i64) (local $out i32)
            (local.set $pair (call $fnew))
            (local.set $out (i32.wrap_i64 (i64.shr_u (local.get $pair) (i64.const 32))))
            (call $freturn (i32.wrap_i64 (local.get $pair)))
            (if (call $fread (local.get $in) (i32.const 512)) (then unreachable))
            (drop (call $fwrite (local.get $out) (i32.const 512)))
            (call $fdrop-r (local.get $in))
            (call $fdrop-w (local.get $out))))
    (core instance $i (instantiate $m
        (with "libc" (instance $libc))
        (with "" (instance
            (export "new" (func $new)) (export "read" (func $read)) (export "write" (func $write))
            (export "drop-r" (func $drop-r)) (export "drop-w" (func $drop-w))
            (export "fnew" (func $fnew)) (export "fread" (func $fread)) (export "fwrite" (func $fwrite))
            (export "fdrop-r" (func $fdrop-r)) (export "fdrop-w" (func $fdrop-w))
            (export "return" (func $return)) (export "freturn" (func $freturn))))))
    (func (export "copy") async (param "in" $s) (result $s) (canon lift (core func $i "copy") async))
    (func (export "pass") async (param "in" $f) (result $f) (canon lift (core func $i "pass") async)))"#,
        bytes = (size * chunk).next_multiple_of(16),
    )
}

type Copy<T> = TypedFunc<(StreamReader<T>,), (StreamReader<T>,)>;
type Pass<T> = TypedFunc<(FutureReader<T>,), (FutureReader<T>,)>;

pub fn set_up(element: &str, size: u32, chunk: u32) -> (Store<()>, Instance) {
    instantiate(&copier(element, size, chunk), (), |_: &mut Linker<()>| {})
}

pub fn copy<T>(store: &mut Store<()>, instance: &Instance) -> Copy<T>
where
    T: helve::component::Lift + helve::component::Lower + 'static,
{
    instance.get_typed_func(store, "copy").unwrap()
}

/// Writes `all` in pieces, reads it back through the guest.
fn through<T>(element: &str, size: u32, all: Vec<T>)
where
    T: helve::component::Lift
        + helve::component::Lower
        + Clone
        + PartialEq
        + std::fmt::Debug
        + Send
        + 'static,
{
    for chunk in [1, 3, 8] {
        for (write, read) in [(1, 100), (5, 2), (100, 3)] {
            let (mut store, instance) = set_up(element, size, chunk);
            let copy = copy::<T>(&mut store, &instance);
            let (mut writer, reader) = stream::<T>(&mut store).unwrap();
            let pieces: Vec<Vec<T>> = all.chunks(write).map(<[T]>::to_vec).collect();
            let got = block_on(store.run_concurrent(async move |accessor| {
                let (mut copied,) = copy.call_concurrent(accessor, (reader,)).await.unwrap();
                let inner = accessor.clone();
                accessor
                    .spawn(async move {
                        for piece in pieces {
                            assert!(writer.write(&inner, piece).await?.is_empty());
                        }
                        Ok(())
                    })
                    .unwrap();
                let mut got = Vec::new();
                while let Some(some) = copied.read(accessor, read).await.unwrap() {
                    assert!(!some.is_empty() && some.len() <= read);
                    got.extend(some);
                }
                got
            }))
            .unwrap();
            assert_eq!(got, all, "{element}, {chunk} at a time, {write}, {read}");
            block_on(store.run_until_idle()).unwrap();
            store.audit_tasks().unwrap();
            assert_eq!(store.task_counts(), [0; 8], "{element}");
        }
    }
}

#[test]
fn elements_of_every_type() {
    through::<u8>("u8", 1, (0..200).collect());
    through::<u64>("u64", 8, (0..50).map(|n| n << 40).collect());
    through::<String>("string", 8, (0..30).map(|n| "x".repeat(n)).collect());
    through::<Vec<u16>>(
        "(list u16)",
        8,
        (0..30).map(|n| vec![n as u16; n]).collect(),
    );
    through::<(u8, String)>(
        "(tuple u8 string)",
        12,
        (0..30).map(|n| (n, n.to_string())).collect(),
    );
    through::<Option<u32>>("(option u32)", 8, vec![None, Some(1), Some(2), None]);
}

#[test]
fn futures_pass() {
    let (mut store, instance) = set_up("string", 8, 1);
    let pass: Pass<String> = instance.get_typed_func(&mut store, "pass").unwrap();
    let value = FutureReader::new(&mut store, async {
        wait(5).await;
        Ok("later".to_string())
    })
    .unwrap();
    let got = block_on(store.run_concurrent(async |accessor| {
        let (mut passed,) = pass.call_concurrent(accessor, (value,)).await.unwrap();
        passed.read(accessor).await.unwrap()
    }))
    .unwrap();
    assert_eq!(got.as_deref(), Some("later"));
    block_on(store.run_until_idle()).unwrap();
    store.audit_tasks().unwrap();
    assert_eq!(store.task_counts(), [0; 8]);
}

/// A read that is cancelled leaves the future as it was: it can be read again, or kept.
#[test]
fn a_cancelled_read_keeps_the_future() {
    let (mut store, instance) = set_up("u32", 4, 1);
    let pass: Pass<u32> = instance.get_typed_func(&mut store, "pass").unwrap();
    let (writer, reader) = future::<u32>(&mut store).unwrap();
    let got = block_on(store.run_concurrent(async |accessor| {
        let (mut passed,) = pass.call_concurrent(accessor, (reader,)).await.unwrap();
        for _ in 0..3 {
            let mut read = Box::pin(passed.read(accessor));
            let first = std::future::poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx))).await;
            assert!(first.is_pending());
        }
        assert_eq!(writer.write(accessor, 7).await.unwrap(), None);
        passed.read(accessor).await.unwrap()
    }))
    .unwrap();
    assert_eq!(got, Some(7));
}

/// Counts up to `last`, and is not ready every other time.
struct Count {
    next: u8,
    last: u8,
    ready: bool,
}

impl StreamProducer<u8> for Count {
    fn poll_produce(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut Destination<'_, u8>,
    ) -> Poll<Result<StreamState>> {
        self.ready = !self.ready;
        if !self.ready {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        to.fill(|bytes| {
            let count = bytes.len().min(usize::from(self.last - self.next));
            for byte in &mut bytes[..count] {
                *byte = self.next;
                self.next += 1;
            }
            count
        })?;
        Poll::Ready(Ok(match self.next == self.last {
            true => StreamState::Closed,
            false => StreamState::Open,
        }))
    }
}

/// Keeps what comes, straight from the guest's memory.
struct Keep(Arc<Mutex<(Vec<u8>, bool)>>);

impl StreamConsumer<u8> for Keep {
    fn poll_consume(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        from: &mut Source<'_, u8>,
    ) -> Poll<Result<StreamState>> {
        from.drain(|bytes| {
            let some = bytes.len().min(5);
            self.0.lock().unwrap().0.extend(&bytes[..some]);
            some
        })?;
        Poll::Ready(Ok(StreamState::Open))
    }

    fn end(self: Pin<&mut Self>) {
        self.0.lock().unwrap().1 = true;
    }
}

#[test]
fn producers_and_consumers_in_place() {
    let (mut store, instance) = set_up("u8", 1, 8);
    let copy = copy::<u8>(&mut store, &instance);
    let kept = Arc::new(Mutex::new((Vec::new(), false)));
    let reader = StreamReader::new(
        &mut store,
        Count {
            next: 0,
            last: 200,
            ready: true,
        },
    )
    .unwrap();
    let consumer = Keep(kept.clone());
    block_on(store.run_concurrent(async move |accessor| {
        let (copied,) = copy.call_concurrent(accessor, (reader,)).await.unwrap();
        accessor
            .with(|store| copied.pipe(store, consumer))
            .unwrap()
            .unwrap();
    }))
    .unwrap();
    block_on(store.run_until_idle()).unwrap();
    let (bytes, ended) = &*kept.lock().unwrap();
    assert_eq!(*bytes, (0..200).collect::<Vec<u8>>());
    assert!(ended);
    store.audit_tasks().unwrap();
    assert_eq!(store.task_counts(), [0; 8]);
}

/// Streams from the host by way of two guests back to the host: each guest has copied every
/// element in and out, whichever way the host writes and reads.
#[test]
fn what_streams_copy_is_counted_at_every_guest() {
    fn copied(store: &mut Store<()>, instances: &[Instance; 2]) -> [u64; 2] {
        instances.map(|one| one.usage(&mut *store).unwrap()[0].copied_bytes)
    }
    let (mut store, first) = set_up("u8", 1, 8);
    let component = helve::component::Component::new(store.engine(), copier("u8", 1, 8)).unwrap();
    let second = Linker::new(store.engine());
    let second = second.instantiate(&mut store, &component).unwrap();
    let instances = [first, second];
    let copies = instances.map(|one| copy::<u8>(&mut store, &one));
    for (times, piped) in [(1, false), (2, true)] {
        let kept = Arc::new(Mutex::new((Vec::new(), false)));
        let (reader, consumer) = (
            StreamReader::new(
                &mut store,
                Count {
                    next: 0,
                    last: 200,
                    ready: true,
                },
            ),
            Keep(kept.clone()),
        );
        let got = block_on(store.run_concurrent(async move |accessor| {
            let mut reader = reader.unwrap();
            for copy in copies {
                (reader,) = copy.call_concurrent(accessor, (reader,)).await.unwrap();
            }
            if !piped {
                return reader.read_all(accessor).await.unwrap().len();
            }
            accessor
                .with(|store| reader.pipe(store, consumer))
                .unwrap()
                .unwrap();
            200
        }));
        assert_eq!(got.unwrap(), 200);
        block_on(store.run_until_idle()).unwrap();
        assert_eq!(copied(&mut store, &instances), [400 * times; 2], "{piped}");
    }
}

/// A stream of what has to be lifted and lowered, between guests: the elements and the
/// strings in them.
#[test]
fn elements_that_are_no_bytes_are_counted_too() {
    let (mut store, first) = set_up("string", 8, 3);
    let text = copier("string", 8, 2);
    let component = helve::component::Component::new(store.engine(), text).unwrap();
    let second = Linker::new(store.engine());
    let second = second.instantiate(&mut store, &component).unwrap();
    let instances = [first, second];
    let copies = instances.map(|one| copy::<String>(&mut store, &one));
    let all: Vec<String> = (0..7).map(|at| "x".repeat(at)).collect();
    let (mut writer, reader) = stream::<String>(&mut store).unwrap();
    let got = block_on(store.run_concurrent(async move |accessor| {
        let mut reader = reader;
        for copy in copies {
            (reader,) = copy.call_concurrent(accessor, (reader,)).await.unwrap();
        }
        let inner = accessor.clone();
        let written = async move { writer.write(&inner, all).await.map(|_| ()) };
        accessor.spawn(written).unwrap();
        reader.read_all(accessor).await.unwrap().len()
    }));
    assert_eq!(got.unwrap(), 7);
    let copied = instances.map(|one| one.usage(&mut store).unwrap()[0].copied_bytes);
    assert_eq!(copied, [2 * (7 * 8 + 21); 2]);
}

/// The host at both ends, no guest between them.
#[test]
fn from_host_to_host() {
    let (mut store, _) = set_up("u8", 1, 8);
    let kept = Arc::new(Mutex::new((Vec::new(), false)));
    let count = Count {
        next: 0,
        last: 100,
        ready: true,
    };
    let reader = StreamReader::new(&mut store, count).unwrap();
    reader.pipe(&mut store, Keep(kept.clone())).unwrap();
    block_on(store.run_until_idle()).unwrap();
    assert_eq!(kept.lock().unwrap().0.len(), 100);
    let (mut writer, mut reader) = stream::<String>(&mut store).unwrap();
    block_on(store.run_concurrent(async move |accessor: &Accessor<()>| {
        let inner = accessor.clone();
        accessor
            .spawn(async move {
                let left = writer
                    .write(&inner, vec!["a".into(), "b".into(), "c".into()])
                    .await?;
                assert_eq!(left, ["c"]);
                Ok(())
            })
            .unwrap();
        let got = reader.read(accessor, 2).await.unwrap();
        assert_eq!(got.unwrap(), ["a", "b"]);
    }))
    .unwrap();
    block_on(store.run_until_idle()).unwrap();
    assert_eq!(store.task_counts(), [0; 8]);
}

/// Ends dropped at every point: the guest sees it, nothing is left.
#[test]
fn dropped_ends() {
    for when in 0..6 {
        let (mut store, instance) = set_up("u8", 1, 8);
        let copy = copy::<u8>(&mut store, &instance);
        let (writer, reader) = stream::<u8>(&mut store).unwrap();
        let mut writer = Some(writer);
        if when == 0 {
            writer = None;
        }
        block_on(store.run_concurrent(async move |accessor| {
            let call = copy.call_concurrent(accessor, (reader,));
            if when == 1 {
                writer = None;
            }
            let (copied,) = call.await.unwrap();
            let mut copied = Some(copied);
            match when {
                2 => writer = None,
                3 => copied = None,
                _ => {}
            }
            if let Some(writer) = &mut writer {
                let left = writer.write(accessor, vec![1, 2, 3]).await.unwrap();
                assert!(left.is_empty());
                if when == 4 {
                    copied = None;
                }
            }
            if when == 5 {
                writer = None;
            }
            if let Some(copied) = &mut copied {
                if writer.is_some() && when != 5 {
                    return;
                }
                let got = copied.read_all(accessor).await.unwrap();
                assert_eq!(got.len(), if when == 5 { 3 } else { 0 });
            }
            drop(writer);
        }))
        .unwrap();
        block_on(store.run_until_idle()).unwrap();
        store.audit_tasks().unwrap();
        assert_eq!(store.task_counts(), [0; 8], "{when}");
    }
}

/// A store that is dropped in the middle of everything.
#[test]
fn dropped_stores() {
    for polls in 0..12 {
        let (mut store, instance) = set_up("string", 8, 2);
        let copy = copy::<String>(&mut store, &instance);
        let (mut writer, reader) = stream::<String>(&mut store).unwrap();
        let mut work = Box::pin(async move {
            store
                .run_concurrent(async move |accessor| {
                    let (mut copied,) = copy.call_concurrent(accessor, (reader,)).await.unwrap();
                    let inner = accessor.clone();
                    accessor
                        .spawn(async move {
                            for n in 0..20 {
                                writer.write(&inner, vec![n.to_string(); 3]).await?;
                                wait(1).await;
                            }
                            Ok(())
                        })
                        .unwrap();
                    loop {
                        copied.read(accessor, 2).await.unwrap();
                        helve_yield().await;
                    }
                })
                .await
        });
        let mut cx = Context::from_waker(std::task::Waker::noop());
        for _ in 0..polls {
            assert!(work.as_mut().poll(&mut cx).is_pending());
        }
    }
}

/// Lets the executor have its turn.
async fn helve_yield() {
    let mut yielded = false;
    std::future::poll_fn(move |_| match std::mem::replace(&mut yielded, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

/// Untyped values hold streams too.
#[test]
fn untyped() {
    let (mut store, instance) = set_up("u8", 1, 8);
    let copy = instance.get_func(&mut store, "copy").unwrap();
    let (mut writer, reader) = stream::<u8>(&mut store).unwrap();
    block_on(store.run_concurrent(async move |accessor| {
        let any = accessor
            .with(|store| reader.into_any(store))
            .unwrap()
            .unwrap();
        let vals = copy
            .call_concurrent(accessor, vec![Val::Stream(any)])
            .await
            .unwrap();
        let [Val::Stream(copied)] = vals[..] else {
            panic!("{vals:?}");
        };
        let wrong = accessor
            .with(|store| copied.try_into_reader::<String>(store))
            .unwrap();
        assert!(wrong.is_err());
        let copied = accessor
            .with(|store| copied.try_into_reader::<u8>(store))
            .unwrap();
        writer.write(accessor, vec![5]).await.unwrap();
        drop(writer);
        assert_eq!(copied.unwrap().read_all(accessor).await.unwrap(), [5]);
    }))
    .unwrap();
    block_on(store.run_until_idle()).unwrap();
    assert_eq!(store.task_counts(), [0; 8]);
}
