//! Recorded traces of random operations on two component instances: results and traps
//! must be the same.
//!
//! `data/traces.txt`: one operation per line, `=>`, what it returned or `trap`; `#` starts
//! a new trace. Instances are 0 and 1; a type 1 is of numbers, 2 of something else, 3 of
//! nothing. An operation that traps must leave everything as it was: the trace goes on.
//! `fuzz/handles.py` records such traces; `HELVE_TRACES` names another file to replay.

use helve_model::stream::Buffer;
use helve_model::*;
use std::collections::HashMap;

type Result<T = String> = std::result::Result<T, HandleError>;

#[derive(Default)]
struct World {
    tables: [Table<VecStorage>; 2],
    instances: Vec<InstanceId>,
    arena: Arena,
    scopes: Scopes,
    scope_ids: HashMap<u32, ScopeId>,
    calls: HashMap<u32, (usize, WaitableId)>,
}

const BLOCKED: u32 = u32::MAX;

fn ty(number: u32) -> TypeId {
    TypeId::new(number).unwrap()
}

/// A line's words as numbers or letters.
struct Words<'a>(Vec<&'a str>);

impl Words<'_> {
    fn n(&self, i: usize) -> u32 {
        self.0[i].parse().unwrap()
    }

    fn shape(&self, i: usize) -> Shape {
        if self.0[i] == "stream" {
            Shape::Stream
        } else {
            Shape::Future
        }
    }

    fn end(&self) -> EndType {
        let direction = if self.0[3] == "r" {
            Direction::Readable
        } else {
            Direction::Writable
        };
        EndType {
            shape: self.shape(2),
            direction,
            ty: ty(self.n(4)),
        }
    }
}

impl World {
    fn new() -> World {
        let mut world = World::default();
        let mut instances: Instances = Instances::default();
        for _ in 0..2 {
            world.instances.push(instances.add(None).unwrap());
        }
        world
    }

    fn resources(&mut self, words: &Words<'_>, name: &str) -> Option<Result> {
        let table = |words: &Words<'_>| words.n(1) as usize;
        Some(match name {
            "new" => {
                let made = self.tables[table(words)].new_own(ty(words.n(2)), words.n(3));
                made.map(|index| index.to_string())
            }
            "rep" => {
                let rep = self.tables[table(words)].rep(words.n(3), ty(words.n(2)));
                rep.map(|rep| rep.to_string())
            }
            "drop" => {
                let table = &mut self.tables[table(words)];
                let dropped = table.drop_resource(&mut self.scopes, words.n(3), ty(words.n(2)));
                dropped.map(|dropped| match dropped {
                    Dropped::Own { rep } => format!("own:{rep}"),
                    Dropped::Borrow => "borrow".into(),
                })
            }
            "take" => {
                let rep = self.tables[table(words)].take_own(words.n(3), ty(words.n(2)));
                rep.map(|rep| rep.to_string())
            }
            "scope" => self.scopes.begin().map(|id| {
                self.scope_ids.insert(words.n(1), id);
                "ok".into()
            }),
            "borrow" => {
                let scope = self.scope_ids[&words.n(4)];
                let table = &mut self.tables[table(words)];
                let index = table.new_borrow(&mut self.scopes, ty(words.n(2)), words.n(3), scope);
                index.map(|index| index.to_string())
            }
            "endscope" => self
                .scopes
                .end(self.scope_ids[&words.n(1)])
                .map(|()| "ok".into()),
            _ => return None,
        })
    }

    fn subtasks(&mut self, words: &Words<'_>, name: &str) -> Option<Result> {
        Some(match name {
            "call" => self.arena.subtask_new().map(|id| {
                self.calls.insert(words.n(1), (words.n(2) as usize, id));
                "ok".into()
            }),
            "lend" => {
                let (table, id) = self.calls[&words.n(1)];
                self.lend(table, id, words).map(|lent| lent.rep.to_string())
            }
            "sinsert" => {
                let (table, id) = self.calls[&words.n(1)];
                let index = self.tables[table].subtask_insert(&mut self.arena, id);
                index.map(|index| index.to_string())
            }
            "advance" => {
                let (_, id) = self.calls[&words.n(1)];
                self.arena
                    .subtask_advance(id, state(words.n(2)))
                    .map(|()| "ok".into())
            }
            "scancel" => self.cancel_subtask(words).map(|code| code.to_string()),
            "sdrop" => {
                let table = &mut self.tables[words.n(1) as usize];
                table
                    .subtask_drop(&mut self.arena, words.n(2))
                    .map(|()| "ok".into())
            }
            _ => return None,
        })
    }

    fn lend(&mut self, table: usize, id: WaitableId, words: &Words<'_>) -> Result<Lent> {
        let loans = self.arena.subtask_loans(id)?;
        self.tables[table].lend(loans, words.n(3), ty(words.n(2)))
    }

    fn cancel_subtask(&mut self, words: &Words<'_>) -> Result<u32> {
        let table = &mut self.tables[words.n(1) as usize];
        let id = match table.begin_subtask_cancel(&mut self.arena, words.n(2), true)? {
            Cancelling::Done(state) => return Ok(state as u32),
            Cancelling::Request(id) => id,
            Cancelling::Blocked(_) => panic!("not asked yet"),
        };
        if words.n(3) == 1 {
            let next = match self.arena.subtask_state(id)? {
                SubtaskState::Starting => SubtaskState::CancelledBeforeStarted,
                _ => SubtaskState::CancelledBeforeReturned,
            };
            self.arena.subtask_advance(id, next)?;
        }
        match table.finish_subtask_cancel(&mut self.arena, id)? {
            Cancelling::Done(state) => Ok(state as u32),
            _ => Ok(BLOCKED),
        }
    }

    fn copying(&mut self, copying: Copying) -> Result {
        Ok(match copying {
            Copying::Done(payload) => payload.to_string(),
            Copying::Blocked(_) => BLOCKED.to_string(),
            Copying::Copy(job) => self.arena.finish_copy(job)?.to_string(),
        })
    }

    fn streams(&mut self, words: &Words<'_>, name: &str) -> Option<Result> {
        let at = words
            .0
            .get(1)
            .and_then(|n| n.parse::<usize>().ok())
            .unwrap_or(0);
        let table = &mut self.tables[at & 1];
        let arena = &mut self.arena;
        Some(match name {
            "stream" | "future" => {
                let plain = words.n(2) != 2;
                let made = table.copy_new(arena, words.shape(0), ty(words.n(2)), plain);
                made.map(|(readable, writable)| format!("{readable}:{writable}"))
            }
            "copy" => {
                let buffer = Buffer::new(0, words.n(6));
                let (end, instance) = (words.end(), self.instances[at]);
                let begun = table.copy(arena, words.n(5), end, instance, buffer, words.n(7) == 1);
                begun.and_then(|copying| self.copying(copying))
            }
            "cancel" => {
                let begun = table.copy_cancel(arena, words.n(5), words.end(), true);
                begun.and_then(|copying| self.copying(copying))
            }
            "cdrop" => table
                .copy_drop(arena, words.n(5), words.end())
                .map(|()| "ok".into()),
            "transfer" => table
                .take_readable(arena, words.n(5), words.shape(3), ty(words.n(4)))
                .and_then(|id| self.tables[words.n(2) as usize].insert_readable(arena, id))
                .map(|index| index.to_string()),
            _ => return None,
        })
    }

    fn sets(&mut self, words: &Words<'_>, name: &str, want: &str) -> Option<Result> {
        let at = words
            .0
            .get(1)
            .and_then(|n| n.parse::<usize>().ok())
            .unwrap_or(0);
        let table = &mut self.tables[at & 1];
        let arena = &mut self.arena;
        let ok = |()| "ok".to_owned();
        Some(match name {
            "setnew" => table.waitable_set_new(arena).map(|index| index.to_string()),
            "setdrop" => table.waitable_set_drop(arena, words.n(2)).map(ok),
            "join" => table.waitable_join(arena, words.n(2), words.n(3)).map(ok),
            "waiting" => table.begin_wait(arena, words.n(2)).map(|_| "ok".into()),
            "unwaiting" => table
                .waitable_set(words.n(2))
                .and_then(|set| arena.end_wait(set))
                .map(ok),
            "poll" => table.waitable_set(words.n(2)).and_then(|set| {
                // Which of several events comes first is free: take the recorded one.
                let index = want.split(':').nth(1).and_then(|n| n.parse::<u32>().ok());
                let id = index.map(|index| table.waitable(index).expect("a waitable"));
                let ready = arena.ready_members(set).to_vec();
                let place = ready
                    .iter()
                    .position(|member| Some(*member) == id)
                    .unwrap_or(0);
                let event = table.poll_set(arena, set, Some(&mut |_| place))?;
                Ok(event.map_or("none".into(), |event| {
                    format!("{}:{}:{}", event.code as u32, event.index, event.payload)
                }))
            }),
            _ => return None,
        })
    }

    fn run(&mut self, words: &Words<'_>, want: &str) -> Result {
        let name = words.0[0];
        self.resources(words, name)
            .or_else(|| self.subtasks(words, name))
            .or_else(|| self.streams(words, name))
            .or_else(|| self.sets(words, name, want))
            .unwrap_or_else(|| panic!("no operation: {name}"))
    }
}

fn state(number: u32) -> SubtaskState {
    use SubtaskState::*;
    [
        Starting,
        Started,
        Returned,
        CancelledBeforeStarted,
        CancelledBeforeReturned,
    ][number as usize]
}

#[test]
fn traces() {
    let mut world = World::new();
    let mut trace = "";
    let text = match std::env::var("HELVE_TRACES") {
        Ok(path) => std::fs::read_to_string(path).unwrap(),
        Err(_) => concat!(
            include_str!("data/traces.txt"),
            include_str!("data/traces_more.txt")
        )
        .into(),
    };
    for line in text.lines() {
        if line.starts_with('#') {
            trace = line;
            world = World::new();
            continue;
        }
        let (words, want) = line.split_once(" => ").unwrap();
        let words = Words(words.split(' ').collect());
        let found = world.run(&words, want);
        if let Err(HandleError::Misuse { what }) = found {
            // Guests cannot cause it: the test itself would be wrong.
            panic!("{trace}: {line}: misuse of {what}");
        }
        let shown = found.as_deref().unwrap_or("trap");
        assert_eq!(shown, want, "{trace}: {line}: {found:?}");
        assert_eq!(world.arena.audit(), Ok(()), "{trace}: {line}");
        for table in &world.tables {
            assert_eq!(table.audit(), Ok(()), "{trace}: {line}");
        }
    }
}
