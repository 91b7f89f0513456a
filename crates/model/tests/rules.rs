//! Single rules: texts of errors, waiting, error contexts, threads, instances.

use helve_model::error::Names;
use helve_model::stream::Buffer;
use helve_model::*;

fn ty(number: u32) -> TypeId {
    TypeId::new(number).unwrap()
}

struct Named;

impl Names for Named {
    fn resource(&self, ty: TypeId) -> Option<String> {
        Some(format!("r{}", ty.get()))
    }
    fn is_host(&self, ty: TypeId) -> bool {
        ty.get() >= 8
    }
    fn payload(&self, _: TypeId) -> Option<String> {
        Some("stream<u8>".into())
    }
    fn instance(&self) -> Option<String> {
        Some("root.child".into())
    }
}

/// What the texts of the errors below start with, and what they hold with names.
const TEXTS: &[(&str, &str)] = &[
    ("unknown handle index 9", "`root.child`"),
    ("unknown handle index 4294967295", ""),
    ("unknown handle index 0", ""),
    (
        "handle index 1 used with the wrong type, expected guest-defined resource but found a \
         different guest-defined resource",
        "(expected `r2`, found `r1`)",
    ),
    (
        "handle index 1 used with the wrong type",
        "expected host-defined resource but found a guest-defined resource",
    ),
    (
        "handle index 2 used with the wrong type, expected guest-defined resource but found a \
         readable end of a stream",
        "found `stream<u8>`",
    ),
    (
        "handle index 3 used with the wrong type, expected waitable set but found a writable end \
         of a stream",
        "",
    ),
    (
        "handle index 1 is not a waitable but a guest-defined resource",
        "",
    ),
    ("cannot remove borrowed resource while borrowed", ""),
    ("borrow handles still remain at the end of the call", ""),
];

#[test]
fn texts() {
    let mut table = Table::new();
    let mut arena = Arena::new();
    let mut scopes = Scopes::new();
    let mut loans = Loans::new();
    let scope = scopes.begin().unwrap();
    table.new_own(ty(1), 100).unwrap();
    table
        .copy_new(&mut arena, Shape::Stream, ty(1), true)
        .unwrap();
    table.waitable_set_new(&mut arena).unwrap();
    table.new_borrow(&mut scopes, ty(2), 5, scope).unwrap();
    table.lend(&mut loans, 5, ty(2)).unwrap();
    let errors = [
        table.rep(9, ty(1)).unwrap_err(),
        table.rep(u32::MAX, ty(1)).unwrap_err(),
        table.rep(0, ty(1)).unwrap_err(),
        table.rep(1, ty(2)).unwrap_err(),
        table.rep(1, ty(9)).unwrap_err(),
        table.rep(2, ty(1)).unwrap_err(),
        table.waitable_set(3).unwrap_err(),
        table.waitable_join(&mut arena, 1, 0).unwrap_err(),
        table.drop_resource(&mut scopes, 5, ty(2)).unwrap_err(),
        scopes.end(scope).unwrap_err(),
    ];
    assert_eq!(errors.len(), TEXTS.len());
    for (error, (text, named)) in errors.iter().zip(TEXTS) {
        assert!(error.to_string().starts_with(text), "{error} / {text}");
        let shown = error.display(&Named).to_string();
        assert!(shown.contains(named), "{shown} / {named}");
    }
    table.end_loans(&mut loans).unwrap();
    table.lend(&mut loans, 1, ty(1)).unwrap();
    let text = table.take_own(1, ty(1)).unwrap_err().to_string();
    assert!(
        text.starts_with("cannot remove owned resource while borrowed"),
        "{text}"
    );
}

/// One stream with both its ends in one table.
struct World {
    arena: Arena,
    table: Table<VecStorage>,
    here: InstanceId,
    reader: u32,
    writer: u32,
}

impl World {
    fn new() -> World {
        let mut arena = Arena::new();
        let mut table = Table::new();
        let mut instances: Instances = Instances::default();
        let here = instances.add(None).unwrap();
        let (reader, writer) = table
            .copy_new(&mut arena, Shape::Stream, ty(1), true)
            .unwrap();
        World {
            arena,
            table,
            here,
            reader,
            writer,
        }
    }
}

fn end(direction: Direction) -> EndType {
    EndType {
        shape: Shape::Stream,
        direction,
        ty: ty(1),
    }
}

/// A synchronous read: the reader cannot join a set, nor be cancelled, meanwhile.
#[test]
fn waiting_for_one_end() {
    let World {
        mut arena,
        mut table,
        here,
        reader,
        writer,
    } = World::new();
    let (read, write) = (end(Direction::Readable), end(Direction::Writable));
    let set = table.waitable_set_new(&mut arena).unwrap();

    let blocked = table
        .copy(&mut arena, reader, read, here, Buffer::new(0, 4), false)
        .unwrap();
    let Copying::Blocked(id) = blocked else {
        panic!("{blocked:?}")
    };
    table.begin_sync_wait(&mut arena, id).unwrap();
    let refused = |why| Err(HandleError::Refused { index: reader, why });
    assert_eq!(
        table.waitable_join(&mut arena, reader, set),
        refused(Refusal::SyncAndSet)
    );
    let cancel = table.copy_cancel(&mut arena, reader, read, false);
    assert_eq!(cancel.map(|_| ()), refused(Refusal::NothingToCancel));
    assert_eq!(
        table.copy_drop(&mut arena, reader, read),
        refused(Refusal::DropBusy(Shape::Stream, Direction::Readable))
    );
    assert_eq!(arena.take_woken(), []);
    let begun = table
        .copy(&mut arena, writer, write, here, Buffer::new(64, 3), true)
        .unwrap();
    let Copying::Copy(job) = begun else {
        panic!("{begun:?}")
    };
    let sides = arena.copy_sides(&job).unwrap();
    assert_eq!(
        (sides.from.address, sides.to.address, job.count),
        (64, 0, 3)
    );
    assert_eq!(
        (sides.from_instance, sides.to_instance),
        (Some(here), Some(here))
    );
    assert_eq!(arena.finish_copy(job), Ok(3 << 4));
    assert_eq!(arena.take_woken(), [Woken::Waiter(id)]);
    let event = table.finish_sync_wait(&mut arena, id).unwrap();
    assert_eq!(
        event,
        Event {
            code: EventCode::StreamRead,
            index: reader,
            payload: 3 << 4
        }
    );
}

/// What a thread that waits for a set is told, and when.
#[test]
fn waiting_for_a_set() {
    let World {
        mut arena,
        mut table,
        here,
        reader,
        writer,
    } = World::new();
    let (read, write) = (end(Direction::Readable), end(Direction::Writable));
    let set = table.waitable_set_new(&mut arena).unwrap();
    table
        .copy(&mut arena, reader, read, here, Buffer::new(0, 4), true)
        .unwrap();
    table.waitable_join(&mut arena, reader, set).unwrap();
    let waited = table.begin_wait(&mut arena, set).unwrap();
    assert_eq!(table.finish_wait(&mut arena, waited, None), Ok(None));
    let refused = |why| Err(HandleError::Refused { index: set, why });
    assert_eq!(
        table.waitable_set_drop(&mut arena, set),
        refused(Refusal::DropSetWithMembers)
    );
    table.copy_drop(&mut arena, writer, write).unwrap();
    assert_eq!(arena.take_woken(), [Woken::Set(waited)]);
    let event = Event {
        code: EventCode::StreamRead,
        index: reader,
        payload: CopyResult::Dropped as u32,
    };
    assert_eq!(table.finish_wait(&mut arena, waited, None), Ok(Some(event)));
    table.copy_drop(&mut arena, reader, read).unwrap();
    table.begin_wait(&mut arena, set).unwrap();
    assert_eq!(
        table.waitable_set_drop(&mut arena, set),
        refused(Refusal::DropSetWithWaiters)
    );
    arena.end_wait(waited).unwrap();
    table.waitable_set_drop(&mut arena, set).unwrap();
    assert_eq!(arena.counts(), [0; 4]);
}

/// Members of a set with events take turns.
#[test]
fn no_member_waits_for_ever() {
    let mut arena = Arena::new();
    let mut table = Table::new();
    let mut instances: Instances = Instances::default();
    let here = instances.add(None).unwrap();
    let set = table.waitable_set_new(&mut arena).unwrap();
    let pairs: Vec<(u32, u32)> = (0..5)
        .map(|_| {
            table
                .copy_new(&mut arena, Shape::Stream, ty(1), true)
                .unwrap()
        })
        .collect();
    for (reader, _) in &pairs {
        table.waitable_join(&mut arena, *reader, set).unwrap();
    }
    let id = table.waitable_set(set).unwrap();
    let mut seen = [0; 5];
    for _ in 0..100 {
        for &(reader, writer) in &pairs {
            // Whoever has been picked since reads again, and is ready at once again.
            let read = table.copy(
                &mut arena,
                reader,
                end(Direction::Readable),
                here,
                Buffer::new(0, 1),
                true,
            );
            if let Ok(Copying::Blocked(_)) = read {
                let write = table.copy(
                    &mut arena,
                    writer,
                    end(Direction::Writable),
                    here,
                    Buffer::new(0, 1),
                    true,
                );
                let Ok(Copying::Copy(job)) = write else {
                    panic!("{write:?}")
                };
                arena.finish_copy(job).unwrap();
            }
        }
        let event = table.poll_set(&mut arena, id, None).unwrap().unwrap();
        let place = pairs
            .iter()
            .position(|(reader, _)| *reader == event.index)
            .unwrap();
        seen[place] += 1;
        assert_eq!(arena.audit(), Ok(()));
    }
    assert!(seen.iter().all(|&n| n >= 5), "{seen:?}");
}

#[test]
fn error_contexts_live_as_long_as_their_holders() {
    let mut arena = Arena::new();
    let (mut a, mut b) = (Table::new(), Table::new());
    let id = arena.context_new("it broke").unwrap();
    let in_a = a.context_insert(id).unwrap();
    let lifted = a.context_lift(&mut arena, in_a).unwrap();
    let in_b = b.context_insert(lifted).unwrap();
    a.context_drop(&mut arena, in_a).unwrap();
    assert_eq!(
        a.context_drop(&mut arena, in_a),
        Err(HandleError::Unknown { index: in_a })
    );
    let id = b.context(in_b).unwrap();
    assert_eq!(arena.context_message(id), Ok("it broke"));
    b.context_drop(&mut arena, in_b).unwrap();
    assert_eq!(arena.counts(), [0; 4]);
}

#[test]
fn threads_have_a_table_of_their_own() {
    let mut threads: Threads = Threads::default();
    let first = threads.insert(ThreadId(7)).unwrap();
    let second = threads.insert(ThreadId(8)).unwrap();
    assert_eq!((first, second), (1, 2));
    assert_eq!(threads.remove(first), Ok(ThreadId(7)));
    assert_eq!(
        threads.get(first),
        Err(HandleError::Unknown { index: first })
    );
    assert_eq!(threads.insert(ThreadId(9)), Ok(first));
    assert_eq!(
        threads.iter().collect::<Vec<_>>(),
        [(1, ThreadId(9)), (2, ThreadId(8))]
    );
    assert_eq!(threads.audit(), Ok(()));
}

/// root { a { b } c { d } }, other: who enters whom from where.
#[test]
fn entering_and_leaving() {
    let mut instances: Instances = Instances::default();
    let root = instances.add(None).unwrap();
    let a = instances.add(Some(root)).unwrap();
    let b = instances.add(Some(a)).unwrap();
    let c = instances.add(Some(root)).unwrap();
    let d = instances.add(Some(c)).unwrap();
    let other = instances.add(None).unwrap();
    let cannot = |instance| {
        Err(InstanceError::CannotEnter {
            instance,
            locked_down: false,
        })
    };

    instances.enter_from(d, None).unwrap(); // d, c, root
    assert_eq!(instances.check_enter(d, None), cannot(d));
    assert_eq!(instances.check_enter(b, None), cannot(root));
    assert_eq!(instances.check_enter(other, None), Ok(()));
    instances.enter_from(b, Some(d)).unwrap(); // b, a
    assert_eq!(instances.check_enter(d, Some(b)), cannot(d));
    assert_eq!(instances.check_enter(a, Some(b)), Ok(()));
    instances.leave_to(b, Some(d));
    assert_eq!(instances.check_enter(b, Some(d)), Ok(()));
    instances.leave_to(d, None);
    assert_eq!(instances.check_enter(b, None), Ok(()));

    assert!(instances.set_may_leave(a, false));
    assert_eq!(instances.check_leave(a), Err(InstanceError::CannotLeave));
    assert!(!instances.set_may_leave(a, true));
    assert_eq!(instances.check_leave(a), Ok(()));

    assert_eq!(
        instances.backpressure_dec(a),
        Err(InstanceError::BackpressureUnderflow)
    );
    for _ in 1..1 << 16 {
        instances.backpressure_inc(a).unwrap();
    }
    assert_eq!(
        instances.backpressure_inc(a),
        Err(InstanceError::BackpressureOverflow)
    );
    instances.backpressure_dec(a).unwrap();

    instances.lock_down(b);
    let locked = |instance| {
        Err(InstanceError::CannotEnter {
            instance,
            locked_down: true,
        })
    };
    assert_eq!(instances.check_enter(d, None), locked(d));
    assert_eq!(instances.check_enter(other, None), Ok(()));
}

/// A synchronous `subtask.cancel` waits through "started" until the call is over.
#[test]
fn cancelling_synchronously() {
    let mut arena = Arena::new();
    let mut table = Table::new();
    let id = arena.subtask_new().unwrap();
    let index = table.subtask_insert(&mut arena, id).unwrap();
    assert_eq!(
        table.begin_subtask_cancel(&mut arena, index, false),
        Ok(Cancelling::Request(id))
    );
    assert_eq!(
        table.finish_subtask_cancel(&mut arena, id),
        Ok(Cancelling::Blocked(id))
    );
    table.begin_sync_wait(&mut arena, id).unwrap();
    arena.subtask_advance(id, SubtaskState::Started).unwrap();
    assert_eq!(arena.take_woken(), [Woken::Waiter(id)]);
    assert_eq!(
        table.finish_subtask_cancel(&mut arena, id),
        Ok(Cancelling::Blocked(id))
    );
    arena.subtask_advance(id, SubtaskState::Returned).unwrap();
    assert_eq!(arena.take_woken(), [Woken::Waiter(id)]);
    let done = Cancelling::Done(SubtaskState::Returned);
    assert_eq!(table.finish_subtask_cancel(&mut arena, id), Ok(done));
    table.subtask_drop(&mut arena, index).unwrap();
    assert_eq!(arena.counts(), [0; 4]);
}
