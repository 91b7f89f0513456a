//! Every operation on every kind of handle in every state it can be in: what comes of it,
//! and that nothing has changed where it fails. `data/operations.txt` is the table, a line
//! for each thing that an index may stand for; a run with `HELVE_RECORD` set writes what is
//! found in its place, for a person to compare with the spec. Not here: what operations
//! that succeed do (`rules`, `traces`).

use helve_model::*;
use std::fmt::Write;

fn ty(number: u32) -> TypeId {
    TypeId::new(number).unwrap()
}

/// A table, and the index that is looked at.
#[derive(Clone)]
struct World {
    arena: Arena,
    table: Table<VecStorage>,
    scopes: Scopes,
    loans: Loans,
    here: InstanceId,
    index: u32,
}

impl World {
    fn new() -> World {
        let mut instances: Instances = Instances::default();
        World {
            arena: Arena::new(),
            table: Table::new(),
            scopes: Scopes::new(),
            loans: Loans::new(),
            here: instances.add(None).unwrap(),
            index: 0,
        }
    }

    /// Everything there is to see.
    fn seen(&self) -> String {
        let slots: Vec<_> = self.table.iter().collect();
        let World {
            arena,
            scopes,
            loans,
            ..
        } = self;
        format!("{slots:?} {arena:?} {scopes:?} {loans:?}")
    }

    /// Both ends of a stream or future; the index is that of one of them.
    fn ends(shape: Shape, direction: Direction) -> (World, u32) {
        let mut world = World::new();
        let made = world.table.copy_new(&mut world.arena, shape, ty(1), true);
        let (readable, writable) = made.unwrap();
        let (index, other) = match direction {
            Direction::Readable => (readable, writable),
            Direction::Writable => (writable, readable),
        };
        world.index = index;
        (world, other)
    }

    fn end(&self, shape: Shape, direction: Direction) -> EndType {
        EndType {
            shape,
            direction,
            ty: ty(1),
        }
    }

    fn copy(&mut self, index: u32, end: EndType, is_async: bool) -> Result<Copying, HandleError> {
        let buffer = stream::Buffer::new(64, if end.shape == Shape::Future { 1 } else { 4 });
        self.table
            .copy(&mut self.arena, index, end, self.here, buffer, is_async)
    }

    fn join(&mut self) {
        let set = self.table.waitable_set_new(&mut self.arena).unwrap();
        let joined = self.table.waitable_join(&mut self.arena, self.index, set);
        joined.unwrap();
    }

    fn wait_alone(&mut self) {
        let id = self.table.waitable(self.index).unwrap();
        self.table.begin_sync_wait(&mut self.arena, id).unwrap();
    }

    fn subtask(states: &[SubtaskState]) -> World {
        let mut world = World::new();
        let id = world.arena.subtask_new().unwrap();
        world.index = world.table.subtask_insert(&mut world.arena, id).unwrap();
        for state in states {
            world.arena.subtask_advance(id, *state).unwrap();
        }
        world
    }
}

/// The states of an end, each made from the one before it in the list or from nothing.
fn end_states(shape: Shape, direction: Direction) -> Vec<(&'static str, World)> {
    let (idle, other) = World::ends(shape, direction);
    let mine = idle.end(shape, direction);
    let theirs = idle.end(
        shape,
        match direction {
            Direction::Readable => Direction::Writable,
            Direction::Writable => Direction::Readable,
        },
    );
    let with = |world: &World, change: &dyn Fn(&mut World)| {
        let mut world = world.clone();
        change(&mut world);
        world
    };
    let start = |world: &mut World| {
        let index = world.index;
        assert!(matches!(
            world.copy(index, mine, true),
            Ok(Copying::Blocked(_))
        ));
    };
    let meet = |world: &mut World| {
        let Ok(Copying::Copy(job)) = world.copy(other, theirs, true) else {
            panic!("the ends do not meet")
        };
        world.arena.finish_copy(job).unwrap();
    };
    let deliver = |world: &mut World| {
        let id = world.table.waitable(world.index).unwrap();
        world.table.take_event(&mut world.arena, id).unwrap();
    };
    let copying = with(&idle, &start);
    let finished = with(&copying, &meet);
    let mut states = vec![
        ("idle", idle.clone()),
        ("idle, in a set", with(&idle, &World::join)),
        ("copying", copying.clone()),
        ("copying, in a set", with(&copying, &World::join)),
        ("copying, waited for", with(&copying, &World::wait_alone)),
        ("copied, event pending", finished.clone()),
    ];
    if shape == Shape::Future {
        states.push(("done", with(&finished, &deliver)));
    } else {
        let dropped = with(&idle, &|world| {
            let end = theirs;
            world.table.copy_drop(&mut world.arena, other, end).unwrap();
            start_dropped(world, mine);
        });
        states.push(("done", dropped));
    }
    states
}

/// A read or write that finds the other end dropped.
fn start_dropped(world: &mut World, end: EndType) {
    let index = world.index;
    assert!(matches!(world.copy(index, end, true), Ok(Copying::Done(_))));
}

/// Everything that an index may stand for.
fn things() -> Vec<(String, World)> {
    let mut things: Vec<(String, World)> = Vec::new();
    let mut add = |name: &str, world: World| things.push((name.to_string(), world));
    let mut nothing = World::new();
    add("index 0", nothing.clone());
    nothing.index = nothing.table.new_own(ty(1), 7).unwrap();
    let owned = nothing.clone();
    let index = nothing.index;
    nothing.table.take_own(index, ty(1)).unwrap();
    add("freed index", nothing.clone());
    nothing.index = u32::MAX;
    add("index out of range", nothing);
    add("owned resource", owned.clone());
    let lend = |mut world: World| {
        let World {
            table,
            loans,
            index,
            ..
        } = &mut world;
        table.lend(loans, *index, ty(1)).unwrap();
        world
    };
    add("owned resource, lent", lend(owned));
    let mut other = World::new();
    other.index = other.table.new_own(ty(2), 7).unwrap();
    add("owned resource of another type", other);
    let mut borrowed = World::new();
    let scope = borrowed.scopes.begin().unwrap();
    borrowed.index = borrowed
        .table
        .new_borrow(&mut borrowed.scopes, ty(1), 7, scope)
        .unwrap();
    add("borrowed resource", borrowed.clone());
    add("borrowed resource, lent", lend(borrowed));
    for (shape, noun) in [(Shape::Stream, "stream"), (Shape::Future, "future")] {
        for (direction, which) in [
            (Direction::Readable, "readable"),
            (Direction::Writable, "writable"),
        ] {
            for (state, world) in end_states(shape, direction) {
                add(&format!("{which} end of a {noun}, {state}"), world);
            }
        }
    }
    subtasks(&mut add);
    let mut set = World::new();
    set.index = set.table.waitable_set_new(&mut set.arena).unwrap();
    add("empty waitable set", set.clone());
    let mut waited = set.clone();
    waited
        .table
        .begin_wait(&mut waited.arena, set.index)
        .unwrap();
    add("waitable set, waited for", waited);
    let (mut member, _) = World::ends(Shape::Stream, Direction::Readable);
    member.join();
    member.index = 3;
    add("waitable set with a member", member);
    let mut context = World::new();
    let id = context.arena.context_new("no").unwrap();
    context.index = context.table.context_insert(id).unwrap();
    add("error context", context);
    things
}

fn subtasks(add: &mut dyn FnMut(&str, World)) {
    use SubtaskState::*;
    add("subtask, starting", World::subtask(&[]));
    let started = World::subtask(&[Started]);
    add("subtask, started", started.clone());
    let mut joined = started.clone();
    joined.join();
    add("subtask, started, in a set", joined);
    let mut waited = started.clone();
    waited.wait_alone();
    add("subtask, started, waited for", waited);
    let mut asked = started;
    let World {
        table,
        arena,
        index,
        ..
    } = &mut asked;
    table.begin_subtask_cancel(arena, *index, true).unwrap();
    add("subtask, asked to cancel", asked);
    let mut returned = World::subtask(&[Started, Returned]);
    add("subtask, returned, not delivered", returned.clone());
    let id = returned.table.waitable(returned.index).unwrap();
    returned.table.take_event(&mut returned.arena, id).unwrap();
    add("subtask, delivered", returned);
}

type Operation = (&'static str, fn(&mut World, u32) -> Result<(), HandleError>);

const STREAM_R: fn(&World) -> EndType = |w| w.end(Shape::Stream, Direction::Readable);
const STREAM_W: fn(&World) -> EndType = |w| w.end(Shape::Stream, Direction::Writable);
const FUTURE_R: fn(&World) -> EndType = |w| w.end(Shape::Future, Direction::Readable);
const FUTURE_W: fn(&World) -> EndType = |w| w.end(Shape::Future, Direction::Writable);

/// A built-in of streams or futures, for each of the four ends.
macro_rules! for_ends {
    ($($what:literal = $run:expr;)*) => {&[$(
        (concat!("stream.", $what, " readable"), |w, i| $run(w, i, STREAM_R(w))),
        (concat!("stream.", $what, " writable"), |w, i| $run(w, i, STREAM_W(w))),
        (concat!("future.", $what, " readable"), |w, i| $run(w, i, FUTURE_R(w))),
        (concat!("future.", $what, " writable"), |w, i| $run(w, i, FUTURE_W(w))),
    )*]};
}

fn copy(world: &mut World, index: u32, end: EndType) -> Result<(), HandleError> {
    world.copy(index, end, true).map(|_| ())
}

fn copy_sync(world: &mut World, index: u32, end: EndType) -> Result<(), HandleError> {
    world.copy(index, end, false).map(|_| ())
}

fn cancel(world: &mut World, index: u32, end: EndType) -> Result<(), HandleError> {
    let World { table, arena, .. } = world;
    table.copy_cancel(arena, index, end, true).map(|_| ())
}

fn cancel_sync(world: &mut World, index: u32, end: EndType) -> Result<(), HandleError> {
    let World { table, arena, .. } = world;
    table.copy_cancel(arena, index, end, false).map(|_| ())
}

fn drop_end(world: &mut World, index: u32, end: EndType) -> Result<(), HandleError> {
    world.table.copy_drop(&mut world.arena, index, end)
}

const OF_ENDS: &[Operation] = for_ends! {
    "copy async" = copy;
    "copy" = copy_sync;
    "cancel async" = cancel;
    "cancel" = cancel_sync;
    "drop" = drop_end;
};

const OTHERS: &[Operation] = &[
    ("resource.rep", |w, i| w.table.rep(i, ty(1)).map(|_| ())),
    ("resource.drop", |w, i| {
        w.table.drop_resource(&mut w.scopes, i, ty(1)).map(|_| ())
    }),
    ("lift own", |w, i| w.table.take_own(i, ty(1)).map(|_| ())),
    ("lift borrow", |w, i| {
        w.table.lend(&mut w.loans, i, ty(1)).map(|_| ())
    }),
    ("lift stream", |w, i| {
        let World { table, arena, .. } = w;
        table
            .take_readable(arena, i, Shape::Stream, ty(1))
            .map(|_| ())
    }),
    ("lift future", |w, i| {
        let World { table, arena, .. } = w;
        table
            .take_readable(arena, i, Shape::Future, ty(1))
            .map(|_| ())
    }),
    ("lift error-context", |w, i| {
        w.table.context_lift(&mut w.arena, i).map(|_| ())
    }),
    ("error-context.debug-message", |w, i| {
        w.table.context(i).map(|_| ())
    }),
    ("error-context.drop", |w, i| {
        w.table.context_drop(&mut w.arena, i)
    }),
    ("subtask.drop", |w, i| w.table.subtask_drop(&mut w.arena, i)),
    ("subtask.cancel async", |w, i| {
        w.table
            .begin_subtask_cancel(&mut w.arena, i, true)
            .map(|_| ())
    }),
    ("subtask.cancel", |w, i| {
        w.table
            .begin_subtask_cancel(&mut w.arena, i, false)
            .map(|_| ())
    }),
    ("waitable.join", |w, i| {
        let mut with_set = w.clone();
        let set = with_set.table.waitable_set_new(&mut with_set.arena)?;
        with_set.table.waitable_join(&mut with_set.arena, i, set)?;
        *w = with_set;
        Ok(())
    }),
    ("waitable.join 0", |w, i| {
        w.table.waitable_join(&mut w.arena, i, 0)
    }),
    ("waitable-set.wait", |w, i| {
        w.table.begin_wait(&mut w.arena, i).map(|_| ())
    }),
    ("waitable-set.poll", |w, i| {
        let set = w.table.waitable_set(i)?;
        w.table.poll_set(&mut w.arena, set, None).map(|_| ())
    }),
    ("waitable-set.drop", |w, i| {
        w.table.waitable_set_drop(&mut w.arena, i)
    }),
];

/// In a word.
fn outcome(result: &Result<(), HandleError>) -> String {
    match result {
        Ok(()) => "ok".into(),
        Err(HandleError::Unknown { .. }) => "unknown".into(),
        Err(HandleError::Wrong { .. }) => "wrong".into(),
        Err(HandleError::NotWaitable { .. }) => "no waitable".into(),
        Err(HandleError::Lent { .. }) => "lent".into(),
        Err(HandleError::NotOwned { .. }) => "not owned".into(),
        Err(HandleError::Refused { why, .. }) => format!("{why:?}"),
        Err(other) => panic!("{other:?}"),
    }
}

/// One thing: what most operations say of it, and the others, in order.
fn line(name: &str, world: &World) -> String {
    let operations = OTHERS.iter().chain(OF_ENDS);
    let mut line = format!("{name}:");
    for (operation, run) in operations {
        let mut tried = world.clone();
        let result = run(&mut tried, world.index);
        let outcome = outcome(&result);
        if result.is_err() {
            assert_eq!(tried.seen(), world.seen(), "{operation} on {name} failed");
            assert_eq!(tried.table.audit(), Ok(()));
        }
        // What is another kind of thing altogether goes without saying.
        if !matches!(&*outcome, "wrong" | "no waitable" | "unknown") {
            let _ = write!(line, "\n    {operation}: {outcome}");
        } else if name.contains("index") && *operation != "waitable.join" {
            // (For that one a set was made, which took the freed index.)
            assert_eq!(outcome, "unknown", "{operation} on {name}");
        }
    }
    line + "\n"
}

#[test]
fn every_operation_on_every_kind_and_state() {
    let found: String = things()
        .iter()
        .map(|(name, world)| line(name, world))
        .collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/operations.txt");
    if std::env::var_os("HELVE_RECORD").is_some() {
        std::fs::write(path, &found).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap();
    for (found, expected) in found.lines().zip(expected.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.lines().count(), expected.lines().count());
}
