//! Recorded runs of random programs: who runs next, with what, and every trap.
//!
//! A file holds runs, each after a `#` line. `w` names each component instance's parent
//! (`-`: none); `l` after it the highest index of their tables. Then actions and what came of them, line by line:
//!
//! | line | action |
//! | --- | --- |
//! | `i` instance kind param result post | the host calls a function |
//! | `k` n | the host asks its nth call to cancel |
//! | `t` | the event loop's turn |
//! | `a` thread .. | the thread does something: a built-in, a call, a return |
//! | `c` .. | a free choice made next: `t` thread of n, `e` index of n, `k` goes on at once |
//!
//! and then one of: `r` thread value, `s` thread starts (with its argument), `b` thread's
//! callback and its event, `q` thread's post-return, `h` back to the host, `e` nobody can
//! run, `x` trap, which ends the run. Threads have serial numbers. Kinds: `s` a function
//! that is not async, `a` async but synchronously lifted, `w` stackful, `c` callback.
//! Values: `n` none, `o1` an owned, `b1` a borrowed resource of type 1, `s1` a stream,
//! `f1` a future, `e` an error context. `fuzz/programs.py` records such runs; `HELVE_VECTORS` names another file
//! to replay.

use helve_model::stream::Buffer;
use helve_model::*;
use std::collections::{HashMap, VecDeque};

type Done<T = Effect> = Result<T, Trap>;

/// What a task is called with and returns.
#[derive(Clone, Debug)]
struct Call {
    param: String,
    argument: u32,
    result: String,
    post: bool,
}

struct World {
    store: Store,
    instances: Vec<InstanceId>,
    calls: HashMap<TaskId, Call>,
    results: HashMap<WaitableId, u32>,
    /// The call that is being made.
    next: Option<Call>,
    host: Vec<Option<TaskId>>,
    /// A post-return function is to be called now.
    post_return: bool,
}

fn number(word: &str) -> u32 {
    word.parse().unwrap_or_else(|_| panic!("number: {word}"))
}

fn flag(word: &str) -> bool {
    number(word) != 0
}

/// `s1` -> the kind, and type 1.
fn code(code: &str) -> (&str, TypeId) {
    let (kind, ty) = code.split_at(1);
    (kind, TypeId::new(ty.parse().unwrap_or(0)).unwrap())
}

fn shape(kind: &str) -> Shape {
    if kind == "s" {
        Shape::Stream
    } else {
        Shape::Future
    }
}

fn plain(ty: TypeId) -> bool {
    ty.get() != 2
}

fn end(words: &[&str]) -> EndType {
    EndType {
        shape: shape(words[0]),
        direction: if words[1] == "r" {
            Direction::Readable
        } else {
            Direction::Writable
        },
        ty: TypeId::new(number(words[2])).unwrap(),
    }
}

impl World {
    fn new(parents: &str) -> World {
        let mut store = Store::default();
        store.set_schedule(Schedule::Replay(VecDeque::new()));
        let mut instances = Vec::new();
        for parent in parents.split_whitespace() {
            let parent = (parent != "-").then(|| instances[number(parent) as usize]);
            instances.push(store.add_instance(parent).unwrap());
        }
        World {
            store,
            instances,
            calls: HashMap::new(),
            results: HashMap::new(),
            next: None,
            host: Vec::new(),
            post_return: false,
        }
    }

    /// Tables with a lower limit.
    fn limit(&mut self, limit: u32) {
        for instance in &self.instances {
            let short = Table::with_storage(VecStorage::new(), limit);
            self.store.tables.with(*instance, |table| *table = short);
        }
    }

    fn instance(&self) -> InstanceId {
        self.store
            .instance_of(self.store.current_thread().unwrap())
            .unwrap()
    }

    fn callee(&self, instance: &str, kind: &str) -> Callee {
        Callee {
            instance: self.instances[number(instance) as usize],
            is_async: kind != "s",
            abi: match kind {
                "w" => Abi::Stackful,
                "c" => Abi::Callback,
                _ => Abi::Sync,
            },
        }
    }

    /// Takes an argument or result out of a table, or out of nowhere where the host
    /// gives it.
    fn lift(&mut self, what: &str, from: Caller, task: TaskId, index: u32) -> Done<Lifted> {
        let (kind, ty) = code(what);
        let Caller::Guest { instance, .. } = from else {
            return Ok(match kind {
                "s" | "f" => Lifted::End(self.store.arena.copy_ends(shape(kind), ty, plain(ty))?.0),
                "o" | "b" => Lifted::Number(7),
                _ => Lifted::Number(0),
            });
        };
        match kind {
            "b" => self.store.lift_borrow(task, index, ty).map(Lifted::Number),
            "n" => Ok(Lifted::Number(0)),
            "r" => Ok(Lifted::Number(index)),
            _ => self.lift_out(what, instance, index),
        }
    }

    fn lift_out(&mut self, what: &str, instance: InstanceId, index: u32) -> Done<Lifted> {
        let (kind, ty) = code(what);
        let (tables, arena) = (&mut self.store.tables, &mut self.store.arena);
        let lifted = tables.with(instance, |table| match kind {
            "o" => table.take_own(index, ty).map(Lifted::Number),
            "n" => Ok(Lifted::Number(0)),
            "e" => table.context_lift(arena, index).map(Lifted::Context),
            _ => table
                .take_readable(arena, index, shape(kind), ty)
                .map(Lifted::End),
        });
        Ok(lifted.unwrap()?)
    }

    fn lower(
        &mut self,
        what: &str,
        task: Option<TaskId>,
        to: InstanceId,
        value: Lifted,
    ) -> Done<u32> {
        let (kind, ty) = code(what);
        let (tables, arena) = (&mut self.store.tables, &mut self.store.arena);
        match (kind, value) {
            ("n" | "r", Lifted::Number(value)) => Ok(value),
            ("b", Lifted::Number(rep)) if self.instances[ty.get() as usize - 1] == to => Ok(rep),
            ("b", Lifted::Number(rep)) => self.store.lower_borrow(task.unwrap(), ty, rep),
            ("o", Lifted::Number(rep)) => {
                Ok(tables.with(to, |table| table.new_own(ty, rep)).unwrap()?)
            }
            (_, Lifted::Context(id)) => {
                Ok(tables.with(to, |table| table.context_insert(id)).unwrap()?)
            }
            (_, Lifted::End(end)) => Ok(tables
                .with(to, |table| table.insert_readable(arena, end))
                .unwrap()?),
            _ => panic!("{what}"),
        }
    }

    /// A task starts: its argument.
    fn start(&mut self, task: TaskId) -> Done<u32> {
        let call = self.next.take().filter(|_| !self.calls.contains_key(&task));
        if let Some(call) = call {
            self.calls.insert(task, call);
        }
        let call = self.calls[&task].clone();
        let callee = self.instance();
        let caller = self.store.caller_of(task).unwrap();
        let lifted = self.lift(&call.param, caller, task, call.argument)?;
        self.lower(&call.param, Some(task), callee, lifted)
    }

    /// A task's result goes to its caller.
    fn give(&mut self, returning: Returning, index: u32) -> Done {
        let call = self.calls[&returning.task].clone();
        let from = self.instance();
        let lifted = self.lift_out(&call.result, from, index)?;
        if let Caller::Guest { instance, subtask } = returning.to {
            let value = self.lower(&call.result, None, instance, lifted)?;
            self.results.insert(subtask, value);
        }
        self.store.finish_return(returning)
    }

    fn call(&mut self, callee: Callee, is_async: bool, call: Call) -> Done {
        self.next = Some(call);
        let before = self.store.last_task();
        let effect = self.store.call(callee, is_async)?;
        self.keep(before);
        Ok(effect)
    }

    /// A call that did not start at once: it will be known by its task.
    fn keep(&mut self, before: Option<TaskId>) {
        let task = self.store.last_task().filter(|task| Some(*task) != before);
        if let (Some(call), Some(task)) = (self.next.take(), task) {
            self.calls.insert(task, call);
        }
    }

    fn action(&mut self, words: &[&str]) -> Done<Option<Effect>> {
        match words[0] {
            "t" => self.store.tick(),
            "k" => match self.host[number(words[1]) as usize] {
                Some(task) => self.store.cancel_from_host(task).map(Some),
                None => panic!("a call that trapped"),
            },
            "i" => {
                self.next = Some(Call {
                    param: words[3].into(),
                    argument: 0,
                    result: words[4].into(),
                    post: flag(words[5]),
                });
                let (task, effect) = self.store.call_from_host(self.callee(words[1], words[2]))?;
                self.host.push(Some(task));
                self.calls.insert(task, self.next.take().unwrap());
                Ok(Some(effect))
            }
            "a" => {
                let current = self
                    .store
                    .current_thread()
                    .and_then(|id| self.store.serial(id));
                assert_eq!(
                    current,
                    Some(number(words[1]).into()),
                    "another thread runs"
                );
                let mut effect = self.guest(&words[2..])?;
                if let Effect::Copy(job) = effect {
                    effect = self.store.finish_copy(job)?;
                }
                Ok(Some(effect))
            }
            other => panic!("action {other}"),
        }
    }

    fn guest(&mut self, words: &[&str]) -> Done {
        let n = |at: usize| number(words[at]);
        let store = &mut self.store;
        match words[0] {
            "call" => {
                let call = Call {
                    param: words[4].into(),
                    argument: n(5),
                    result: words[6].into(),
                    post: flag(words[7]),
                };
                self.call(self.callee(words[1], words[2]), flag(words[3]), call)
            }
            "ret" => store.returned(),
            "cb" => store.callback_returned(n(1)),
            "sret" => self.sync_return(n(1)),
            "post" => {
                let instance = self.instance();
                self.store.instances.set_may_leave(instance, true);
                self.store.returned()
            }
            "treturn" => {
                let returning = store.begin_task_return(flag(words[2]))?;
                self.give(returning, n(1))
            }
            "tcancel" => store.task_cancel(),
            "setnew" => store.waitable_set_new(),
            "wait" => store.waitable_set_wait(n(1), flag(words[2])),
            "poll" => store.waitable_set_poll(n(1), flag(words[2])),
            "setdrop" => store.waitable_set_drop(n(1)),
            "join" => store.waitable_join(n(1), n(2)),
            "scancel" => store.subtask_cancel(n(1), flag(words[2])),
            "sdrop" => store.subtask_drop(n(1)),
            "new" => {
                let ty = TypeId::new(n(2)).unwrap();
                store.copy_new(shape(words[1]), ty, plain(ty))
            }
            "copy" => store.copy(n(4), end(&words[1..]), Buffer::new(0, n(5)), flag(words[6])),
            "ccancel" => store.copy_cancel(n(4), end(&words[1..]), flag(words[5])),
            "cdrop" => store.copy_drop(n(4), end(&words[1..])),
            "binc" => store.backpressure_inc(),
            "bincs" => {
                for _ in 1..n(1) {
                    let _ = store.backpressure_inc()?;
                }
                store.backpressure_inc()
            }
            "bdec" => store.backpressure_dec(),
            "ecnew" => store.error_context_new("x"),
            "ecmsg" => {
                let _ = store.error_context(n(1))?;
                store.nothing_more()
            }
            "ecdrop" => store.error_context_drop(n(1)),
            "tindex" => store.thread_index(),
            "tnew" => store.thread_new_indirect(0),
            "tlater" => store.thread_resume_later(n(1)),
            "tsuspend" => store.thread_suspend(flag(words[1])),
            "tyield" => store.thread_yield(flag(words[1])),
            "tstr" => store.thread_suspend_then_resume(n(1), flag(words[2])),
            "tytr" => store.thread_yield_then_resume(n(1), flag(words[2])),
            "tstp" => store.thread_suspend_then_promote(n(1), flag(words[2])),
            "tytp" => store.thread_yield_then_promote(n(1), flag(words[2])),
            _ => self.resource(words),
        }
    }

    fn sync_return(&mut self, index: u32) -> Done {
        let returning = self.store.begin_sync_return()?;
        let post = self.calls[&returning.task].post;
        let effect = self.give(returning, index)?;
        if post {
            let instance = self.instance();
            self.store.instances.set_may_leave(instance, false);
            self.post_return = true;
            return Ok(effect);
        }
        self.store.returned()
    }

    fn resource(&mut self, words: &[&str]) -> Done {
        let (ty, index) = (TypeId::new(number(words[1])).unwrap(), number(words[2]));
        let instance = self.instance();
        let thread = self.store.current_thread().unwrap();
        let value = |value| Effect::Continue { thread, value };
        if words[0] != "rrep" {
            self.store.instances.check_leave(instance)?;
        }
        let (tables, scopes) = (&mut self.store.tables, &mut self.store.scopes);
        match words[0] {
            "rnew" => {
                let made = tables.with(instance, |table| table.new_own(ty, index));
                Ok(value(Value::Number(made.unwrap()?)))
            }
            "rrep" => {
                let rep = tables
                    .with(instance, |table| table.rep(index, ty))
                    .unwrap()?;
                Ok(value(Value::Number(rep)))
            }
            "rdrop" => {
                let dropped = tables.with(instance, |table| table.drop_resource(scopes, index, ty));
                match dropped.unwrap()? {
                    Dropped::Borrow => Ok(value(Value::None)),
                    Dropped::Own { rep } => {
                        let instance = (ty.get() - 1).to_string();
                        let call = Call {
                            param: "r".into(),
                            argument: rep,
                            result: "n".into(),
                            post: false,
                        };
                        self.call(self.callee(&instance, "s"), false, call)
                    }
                }
            }
            other => panic!("action {other}"),
        }
    }

    /// What an effect looks like in a recording.
    fn show(&mut self, effect: Effect) -> Done<String> {
        let serial = |store: &Store, thread| store.serial(thread).unwrap();
        Ok(match effect {
            Effect::ToHost => "h".into(),
            Effect::Continue { thread, value } => {
                let value = match value {
                    Value::None => "-".into(),
                    Value::Number(number) => number.to_string(),
                    Value::Pair(first, second) => {
                        (u64::from(first) | u64::from(second) << 32).to_string()
                    }
                    Value::Event(event) => {
                        format!("{},{},{}", event.code as u32, event.index, event.payload)
                    }
                    Value::Results(subtask) => {
                        self.results.remove(&subtask).unwrap_or(0).to_string()
                    }
                };
                format!("r {} {value}", serial(&self.store, thread))
            }
            Effect::Start {
                thread,
                entry: Entry::Task(task),
            } => {
                let argument = self.start(task)?;
                format!("s {} t {argument}", serial(&self.store, thread))
            }
            Effect::Start { thread, .. } => format!("s {} f", serial(&self.store, thread)),
            Effect::Callback { thread, event, .. } => format!(
                "b {} {} {} {}",
                serial(&self.store, thread),
                event.code as u32,
                event.index,
                event.payload
            ),
            Effect::Copy(_) | Effect::CancelHost { .. } => panic!("{effect:?}"),
        })
    }

    /// A trap ends the tree, and leaves all else as it should be; what is left can be
    /// ended too.
    fn after_trap(&mut self) -> Result<(), String> {
        let trapped = |trap: Trap| trap.to_string();
        self.store.set_schedule(Schedule::InOrder);
        self.store.trap().map_err(trapped)?;
        self.store.audit()?;
        let mut ended = Ended::default();
        for instance in self.instances.clone() {
            if !self.store.instances.is_locked_down(instance) {
                self.store
                    .lock_down(instance, &mut ended)
                    .map_err(trapped)?;
                self.store.audit()?;
            }
        }
        let [tasks, threads, ..] = self.store.counts();
        let [_, sets, ..] = self.store.arena.counts();
        match (tasks, threads, sets) {
            (0, 0, 0) => Ok(()),
            left => Err(format!("left: {left:?}")),
        }
    }

    fn step(&mut self, line: &str) -> Result<String, Trap> {
        let words: Vec<&str> = line.split(' ').collect();
        match self.action(&words)? {
            None => Ok("e".into()),
            Some(_) if std::mem::take(&mut self.post_return) => Ok(format!("q {}", words[1])),
            Some(effect) => self.show(effect),
        }
    }
}

enum Lifted {
    Number(u32),
    End(WaitableId),
    Context(ContextId),
}

fn told(words: &[&str]) -> Told {
    match words[1] {
        "t" => Told::Thread {
            serial: number(words[2]).into(),
            of: number(words[3]) as usize,
        },
        "e" => Told::Event {
            index: number(words[2]),
            of: number(words[3]) as usize,
        },
        _ => Told::Keep(flag(words[2])),
    }
}

/// Replays one run; how many actions it had.
fn replay(run: &str) -> Result<usize, String> {
    let mut lines = run.lines().enumerate().skip(1);
    let (_, parents) = lines.next().ok_or("no instances")?;
    let mut world = World::new(parents.strip_prefix("w ").ok_or("no instances")?);
    let mut actions = 0;
    while let Some((at, action)) = lines.next() {
        if let Some(limit) = action.strip_prefix("l ") {
            world.limit(number(limit));
            continue;
        }
        let mut choices = VecDeque::new();
        let want = loop {
            match lines.next() {
                Some((_, line)) if line.starts_with("c ") => {
                    choices.push_back(told(&line.split(' ').collect::<Vec<_>>()));
                }
                Some((_, line)) => break line,
                None => return Err(format!("{action}: nothing came of it")),
            }
        };
        let traps = want == "x";
        world.store.set_schedule(Schedule::Replay(choices));
        let got = world.step(action);
        actions += 1;
        let place = format!("line {}: {action}", at + 1);
        match got {
            Err(trap @ Trap::Misuse(_)) => return Err(format!("{place}: {trap}, want {want}")),
            Err(trap) if !traps => return Err(format!("{place}: traps ({trap}), want {want}")),
            Ok(got) if got != want => return Err(format!("{place}: got {got}, want {want}")),
            _ => {}
        }
        if traps {
            return world
                .after_trap()
                .map(|()| actions)
                .map_err(|what| format!("{place}: {what}"));
        }
        if let Schedule::Replay(left) = world.store.schedule_mut()
            && !left.is_empty()
        {
            return Err(format!("{place}: choices left: {left:?}"));
        }
        world
            .store
            .audit()
            .map_err(|what| format!("{place}: {what}"))?;
    }
    Ok(actions)
}

#[test]
fn recorded_programs() {
    let text = match std::env::var("HELVE_VECTORS") {
        Ok(path) => std::fs::read_to_string(path).unwrap(),
        Err(_) => concat!(
            include_str!("vectors/programs.txt"),
            include_str!("vectors/aimed.txt")
        )
        .into(),
    };
    let (mut runs, mut actions) = (0, 0);
    for run in text.split("# ").filter(|run| !run.is_empty()) {
        match replay(run) {
            Ok(count) => actions += count,
            Err(error) => panic!("run {}: {error}", run.lines().next().unwrap()),
        }
        runs += 1;
    }
    println!("{runs} runs, {actions} actions");
    assert!(runs > 100 && actions > 1000);
}
