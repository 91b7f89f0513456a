//! Producers and consumers: guests that are served at once, and those that wait, come to the
//! same. A table of what both do, one function, in order and by seeds.

use crate::streams::{copy, set_up};
use crate::support::{block_on, instantiate};
use helve::component::{
    Destination, Linker, Source, StreamConsumer, StreamProducer, StreamReader, StreamState,
};
use helve::{Error, Result, Schedule};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

/// What a producer or consumer does when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Moves at most this many.
    Some(usize),
    /// The same, and is at its end.
    Last(usize),
    /// Is not ready, and wakes at once.
    Later,
    Fail,
}
use Step::{Fail, Last, Later, Some as Few};

/// The steps of one side; the last is repeated.
struct Steps(VecDeque<Step>);

impl Steps {
    fn new(steps: &[Step]) -> Steps {
        Steps(steps.iter().copied().collect())
    }

    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Result<(usize, StreamState)>> {
        let step = match self.0.len() {
            1 => self.0.front().copied(),
            _ => self.0.pop_front(),
        };
        match step.unwrap_or(Fail) {
            Few(count) => Poll::Ready(Ok((count, StreamState::Open))),
            Last(count) => Poll::Ready(Ok((count, StreamState::Closed))),
            Fail => Poll::Ready(Err(Error::msg("no more"))),
            Later => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

struct Makes {
    steps: Steps,
    made: u8,
}

impl StreamProducer<u8> for Makes {
    fn poll_produce(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut Destination<'_, u8>,
    ) -> Poll<Result<StreamState>> {
        let Poll::Ready(next) = self.steps.next(cx) else {
            return Poll::Pending;
        };
        let (most, state) = next?;
        to.fill(|bytes| {
            let count = most.min(bytes.len());
            for byte in &mut bytes[..count] {
                *byte = self.made;
                self.made = self.made.wrapping_add(1);
            }
            count
        })?;
        Poll::Ready(Ok(state))
    }
}

/// What came, and whether the other side was seen to go.
type Kept = Arc<Mutex<(Vec<u8>, bool)>>;

struct Takes {
    steps: Steps,
    kept: Kept,
}

impl StreamConsumer<u8> for Takes {
    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &mut Source<'_, u8>,
    ) -> Poll<Result<StreamState>> {
        let Poll::Ready(next) = self.steps.next(cx) else {
            return Poll::Pending;
        };
        let (most, state) = next?;
        let kept = self.kept.clone();
        from.drain(|bytes| {
            let count = most.min(bytes.len());
            kept.lock().unwrap().0.extend(&bytes[..count]);
            count
        })?;
        Poll::Ready(Ok(state))
    }

    fn end(self: Pin<&mut Self>) {
        self.kept.lock().unwrap().1 = true;
    }
}

/// A guest copies from one to the other: what came, whether the end was seen, what failed,
/// and how many turns the loop had.
fn run(makes: &[Step], takes: &[Step], schedule: Schedule) -> (Vec<u8>, bool, String, usize) {
    let (mut store, instance) = set_up("u8", 1, 8);
    store.set_schedule(schedule);
    let turns = Arc::new(Mutex::new(0));
    let counter = turns.clone();
    store.trace_schedule(move |_| *counter.lock().unwrap() += 1);
    let copy = copy::<u8>(&mut store, &instance);
    let kept = Kept::default();
    let (steps, made) = (Steps::new(makes), 0);
    let reader = StreamReader::new(&mut store, Makes { steps, made }).unwrap();
    let consumer = Takes {
        steps: Steps::new(takes),
        kept: kept.clone(),
    };
    block_on(store.run_concurrent(async move |accessor| {
        let (copied,) = copy.call_concurrent(accessor, (reader,)).await.unwrap();
        let piped = accessor.with(|store| copied.pipe(store, consumer));
        piped.unwrap().unwrap();
    }))
    .unwrap();
    let mut failed = String::new();
    while let Err(error) = block_on(store.run_until_idle()) {
        failed += &format!("{error};");
    }
    store.audit_tasks().unwrap();
    assert_eq!(store.task_counts(), [0; 8]);
    let (bytes, ended) = kept.lock().unwrap().clone();
    let turns = *turns.lock().unwrap();
    (bytes, ended, failed, turns)
}

#[test]
fn served_at_once_or_later() {
    let many = [vec![Few(8); 400], vec![Last(0)]].concat();
    // What is made, what is taken, how many bytes come, whether the consumer sees the end.
    let table: &[(&[Step], &[Step], usize, bool)] = &[
        (&[Few(3), Last(5)], &[Few(9)], 8, true),
        (&[Last(0)], &[Few(9)], 0, true),
        (&[Few(8), Few(8), Later, Last(8)], &[Few(9)], 24, true),
        (
            &[Later, Later, Few(1), Later, Last(1)],
            &[Later, Few(1)],
            2,
            true,
        ),
        (&[Few(4), Fail], &[Few(9)], 4, true),
        (&[Fail], &[Few(9)], 0, true),
        (&[Few(8)], &[Few(3), Later, Last(4)], 7, false),
        (&[Few(8)], &[Few(3), Fail], 3, false),
        (&many, &[Few(8)], 3200, true),
        (&many, &[Few(5), Later, Few(8)], 3200, true),
    ];
    for (makes, takes, count, end) in table {
        let expected: Vec<u8> = (0..*count).map(|n| n as u8).collect();
        let fails = makes.contains(&Fail) || takes.contains(&Fail);
        let mut schedules = vec![Schedule::InOrder];
        schedules.extend((0..8).map(Schedule::Seed));
        for schedule in schedules {
            let (bytes, ended, failed, turns) = run(makes, takes, schedule);
            let what = format!("{} makes, {} takes, {schedule:?}", makes.len(), takes.len());
            assert_eq!(bytes, expected, "{what}");
            assert_eq!(ended, *end, "{what}");
            assert_eq!(failed.contains("no more"), fails, "{what}: {failed}");
            if schedule == Schedule::InOrder && makes.len() > 100 {
                assert!(turns < makes.len() / 4, "{what}: {turns} turns of the loop");
            }
        }
    }
}

/// A guest that reads no element, to see whether there are some, then at most `take`, and
/// goes.
fn peek(take: u32) -> String {
    let read = match take {
        0 => String::new(),
        take => format!("(drop (call $read (local.get $in) (i32.const 512) (i32.const {take})))"),
    };
    format!(
        r#"(component
    (core module $libc (memory (export "memory") 1))
    (core instance $libc (instantiate $libc))
    (alias core export $libc "memory" (core memory $memory))
    (type $s (stream u8))
    (core func $read (canon stream.read $s (memory $memory)))
    (core func $drop (canon stream.drop-readable $s))
    (core func $return (canon task.return))
    (core module $m
        (import "" "read" (func $read (param i32 i32 i32) (result i32)))
        (import "" "drop" (func $drop (param i32)))
        (import "" "return" (func $return))
        (func (export "peek") (param $in i32)
            (drop (call $read (local.get $in) (i32.const 512) (i32.const 0)))
            {read}
            (call $drop (local.get $in))
            (call $return)))
    (core instance $i (instantiate $m (with "" (instance
        (export "read" (func $read)) (export "drop" (func $drop))
        (export "return" (func $return))))))
    (func (export "peek") async (param "in" $s) (canon lift (core func $i "peek") async)))"#
    )
}

#[test]
fn what_a_guest_looked_at_only_is_dropped_with_its_end() {
    for take in [0, 1, 3] {
        let steps: [&[Step]; 3] = [&[Few(8)], &[Later, Few(2), Later], &[Last(3)]];
        for steps in steps {
            let (mut store, instance) = instantiate(&peek(take), (), |_: &mut Linker<()>| {});
            let peek = instance
                .get_typed_func::<(StreamReader<u8>,), ()>(&mut store, "peek")
                .unwrap();
            let makes = Makes {
                steps: Steps::new(steps),
                made: 0,
            };
            let reader = StreamReader::new(&mut store, makes).unwrap();
            block_on(peek.call_async(&mut store, (reader,))).unwrap();
            block_on(store.run_until_idle()).unwrap();
            store.audit_tasks().unwrap();
            assert_eq!(store.task_counts(), [0; 8], "{take} of {steps:?}");
        }
    }
}
