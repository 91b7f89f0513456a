//! Streaming transform: a stream of records goes into a guest, a stream of records comes
//! out, neither of them ever in memory as a whole; the host's ends are typed.
//!
//! ```sh
//! cargo run --package helve --example streaming_transform
//! ```

mod support;

use helve::component::{
    Component, Destination, Linker, StreamProducer, StreamReader, StreamState, stream,
};
use helve::{Config, Engine, Result, Store};
use std::pin::Pin;
use std::task::{Context, Poll};
use support::block_on;

helve::bindgen!({
    inline: "package demo:transform;
        world transform {
            record reading { sensor: u32, value: f32 }
            /// Each reading, smoothed with the one before it.
            export smooth: async func(readings: stream<reading>) -> stream<reading>;
        }",
    additional_derives: [PartialEq],
});

/// It has returned its stream before it reads: a task goes on after its result.
const GUEST: &str = r#"(component
    (type $reading' (record (field "sensor" u32) (field "value" f32)))
    (import "reading" (type $reading (eq $reading')))
    (type $readings (stream $reading))
    (core module $libc (memory (export "memory") 1))
    (core instance $libc (instantiate $libc))
    (core func $return (canon task.return (result $readings)))
    (core func $new (canon stream.new $readings))
    (core func $read (canon stream.read $readings (memory (core memory $libc "memory"))))
    (core func $write (canon stream.write $readings (memory (core memory $libc "memory"))))
    (core func $close-in (canon stream.drop-readable $readings))
    (core func $close-out (canon stream.drop-writable $readings))
    (core module $m
        (import "libc" "memory" (memory 1))
        (import "" "return" (func $return (param i32)))
        (import "" "new" (func $new (result i64)))
        (import "" "read" (func $read (param i32 i32 i32) (result i32)))
        (import "" "write" (func $write (param i32 i32 i32) (result i32)))
        (import "" "close-in" (func $close-in (param i32)))
        (import "" "close-out" (func $close-out (param i32)))
        (func (export "smooth") (param $in i32)
            (local $ends i64) (local $out i32) (local $got i32) (local $put i32)
            (local $count i32) (local $i i32) (local $last f32)
            (local.set $ends (call $new))
            (local.set $out (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))))
            (call $return (i32.wrap_i64 (local.get $ends)))
            (block $end (loop $more
                ;; At most 100 readings at address 0; the low four bits say how it ended.
                (local.set $got (call $read (local.get $in) (i32.const 0) (i32.const 100)))
                (local.set $count (i32.shr_u (local.get $got) (i32.const 4)))
                (local.set $i (i32.const 0))
                (block $smooth (loop $next
                    (br_if $smooth (i32.ge_u (local.get $i) (local.get $count)))
                    (local.set $last (f32.mul (f32.const 0.5) (f32.add (local.get $last)
                        (f32.load offset=4 (i32.shl (local.get $i) (i32.const 3))))))
                    (f32.store offset=4 (i32.shl (local.get $i) (i32.const 3))
                        (local.get $last))
                    (local.set $i (i32.add (local.get $i) (i32.const 1)))
                    (br $next)))
                (local.set $i (i32.const 0))
                (block $written (loop $next
                    (br_if $written (i32.ge_u (local.get $i) (local.get $count)))
                    (local.set $put (call $write (local.get $out)
                        (i32.shl (local.get $i) (i32.const 3))
                        (i32.sub (local.get $count) (local.get $i))))
                    (local.set $i (i32.add (local.get $i)
                        (i32.shr_u (local.get $put) (i32.const 4))))
                    ;; Nobody reads any more?
                    (br_if $end (i32.and (local.get $put) (i32.const 15)))
                    (br $next)))
                (br_if $more (i32.eqz (i32.and (local.get $got) (i32.const 15))))))
            (call $close-in (local.get $in))
            (call $close-out (local.get $out))))
    (core instance $m (instantiate $m (with "libc" (instance $libc)) (with "" (instance
        (export "return" (func $return)) (export "new" (func $new))
        (export "read" (func $read)) (export "write" (func $write))
        (export "close-in" (func $close-in)) (export "close-out" (func $close-out))))))
    (func (export "smooth") async (param "readings" $readings) (result $readings)
        (canon lift (core func $m "smooth") async)))"#;

/// Readings of a sensor, made as they are asked for.
struct Sensor {
    made: u32,
    most: u32,
}

impl StreamProducer<Reading> for Sensor {
    fn poll_produce(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        to: &mut Destination<'_, Reading>,
    ) -> Poll<Result<StreamState>> {
        let room = u32::try_from(to.remaining()).unwrap_or(u32::MAX);
        let until = self.made.saturating_add(room).min(self.most);
        let mut readings = (self.made..until)
            .map(|n| Reading {
                sensor: n % 3,
                value: n as f32,
            })
            .collect();
        to.put(&mut readings)?;
        self.made = until;
        Poll::Ready(Ok(match until == self.most {
            true => StreamState::Closed,
            false => StreamState::Open,
        }))
    }
}

fn main() -> Result<()> {
    let engine = Engine::new(Config::new().all_features(true))?;
    let component = Component::new(&engine, GUEST)?;
    let linker: Linker<()> = Linker::new(&engine);
    let mut store = Store::new(&engine, ());
    let guest = Transform::instantiate(&mut store, &component, &linker)?;

    // A source that is asked for more as the guest reads.
    let sensor = Sensor {
        made: 0,
        most: 100_000,
    };
    let readings = StreamReader::new(&mut store, sensor)?;
    let (count, last) = block_on(store.run_concurrent(async |accessor| {
        let mut smoothed = guest.call_smooth(accessor, readings).await?;
        let (mut count, mut last) = (0, None);
        while let Some(some) = smoothed.read(accessor, 512).await? {
            count += some.len();
            last = some.last().cloned();
        }
        Result::<_>::Ok((count, last))
    }))??;
    println!("{count} readings came out, the last is {last:?}");
    assert_eq!(count, 100_000);
    assert_eq!(last.map(|reading| reading.sensor), Some(99_999 % 3));

    // The same with a writer of the host's own, beside which the result is read.
    let few = block_on(store.run_concurrent(async |accessor| {
        let (mut writer, readings) = accessor.with(|store| stream::<Reading>(store))??;
        let feeder = accessor.clone();
        accessor.spawn(async move {
            for value in [8.0, 8.0, 0.0] {
                let reading = Reading { sensor: 1, value };
                writer.write(&feeder, vec![reading]).await?;
            }
            Ok(()) // the writer is dropped: the stream's end
        })?;
        let mut smoothed = guest.call_smooth(accessor, readings).await?;
        smoothed.read_all(accessor).await
    }))??;
    let values: Vec<f32> = few.iter().map(|reading| reading.value).collect();
    println!("smoothed: {values:?}");
    assert_eq!(values, [4.0, 6.0, 3.0]);
    block_on(store.run_until_idle())
}

#[test]
fn it_runs() -> Result<()> {
    main()
}
