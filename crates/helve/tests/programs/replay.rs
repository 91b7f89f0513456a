//! Replays a run: the host tells the puppets what to do, and compares what they saw.

#[path = "faults.rs"]
pub mod faults;
#[path = "script.rs"]
mod script;
#[path = "text.rs"]
mod text;

use helve::component::{Accessor, Call, Component, Func, Instance, Linker, Val, steps};
use helve::{Engine, Error, Result, Store, StoreContextMut};
use script::{Script, func, op};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

/// The script and how far it is.
pub struct Run {
    script: Script,
    at: usize,
    /// Calls are made known as the recording counts them.
    known: bool,
    /// Steps of puppets up to now.
    pub steps: u32,
    pub fault: Option<(u32, faults::Fault)>,
    /// The fault was, or is due at the host's next turn: puppets no longer follow the script.
    pub astray: bool,
    pub bystander: faults::Bystander,
}

type Reply = (
    u32,
    u32,
    u32,
    u32,
    u32,
    u32,
    u32,
    u32,
    u32,
    u32,
    u32,
    u32,
    u32,
    u32,
    u32,
    u32,
);
type Seen = (u32, u32, u32, u32, u32, u32, u64);

fn number<T: std::str::FromStr + Default>(word: Option<&&str>) -> T {
    word.and_then(|word| word.parse().ok()).unwrap_or_default()
}

impl Run {
    pub fn new(script: Script) -> Run {
        Run {
            script,
            at: 0,
            known: false,
            steps: 0,
            fault: None,
            astray: false,
            bystander: faults::Bystander::default(),
        }
    }

    fn line(&self) -> &str {
        self.script
            .lines
            .get(self.at)
            .map_or("the end", String::as_str)
    }

    fn wrong(&self, what: &str) -> Error {
        Error::msg(format!(
            "line {}: want `{}`, got {what}",
            self.at,
            self.line()
        ))
    }

    /// What a puppet tells must be what the line says; then the next line is what it does.
    fn step(&mut self, seen: Seen) -> Result<Reply> {
        let told = self.script.lines.get(self.at).cloned().unwrap_or_default();
        let words: Vec<&str> = told.split(' ').collect();
        self.compare(&words, seen)?;
        let id: u32 = number(words.get(1));
        self.at += 1;
        self.action(id)
    }

    fn compare(&self, words: &[&str], seen: Seen) -> Result<()> {
        let (kind, id, part, a, b, c, sum) = seen;
        let at = words
            .iter()
            .position(|word| *word == "@")
            .unwrap_or(words.len());
        let fits = match (words[0], kind) {
            ("s", 0) => words[2] == "t" && words[3] == a.to_string(),
            ("s", 3) => words[2] == "f",
            ("b", 1) => {
                words[1] == id.to_string()
                    && words[2..5] == [a.to_string(), b.to_string(), c.to_string()]
            }
            ("r", 2) => words[1] == id.to_string() && result(words[2], a, b, c),
            _ => false,
        };
        let place = words
            .get(at + 1)
            .is_some_and(|word| *word == part.to_string());
        let sums = words
            .get(at + 2)
            .is_some_and(|word| *word == format!("{sum:016x}"));
        if fits && place && sums {
            return Ok(());
        }
        Err(self.wrong(&format!("{kind} {id} {a} {b} {c} @ {part} {sum:016x}")))
    }

    fn action(&mut self, id: u32) -> Result<Reply> {
        if self.at >= self.script.lines.len() {
            return Err(Error::msg(CUT_OFF));
        }
        let words: Vec<&str> = self.line().split(' ').collect();
        if words[0] != "a" || words[1] != id.to_string() {
            return Err(self.wrong(&format!("thread {id}, which is to do something")));
        }
        let instance = self.script.instances[&id];
        let op = op(&words[2..], self.script.counts[self.at]);
        let slot = self.script.parts.slot(instance, &op);
        let is_end = words[2] == "sret";
        let mut post = [0_u32; 10];
        self.at += 1;
        if is_end && self.line() == format!("q {id}") {
            self.post(id, instance, &mut post)?;
        }
        let [a, b, c] = op.args;
        let [n, p @ ..] = post;
        Ok((
            id, op.class, slot, a, b, c, n, p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8],
        ))
    }

    /// What a post-return function does, all of it at once: it can't ask.
    fn post(&mut self, id: u32, instance: usize, post: &mut [u32; 10]) -> Result<()> {
        self.at += 1;
        loop {
            let words: Vec<&str> = self.line().split(' ').collect();
            if words[0] != "a" || words[1] != id.to_string() {
                return Err(self.wrong("a post-return function"));
            }
            let op = op(&words[2..], self.script.counts[self.at]);
            self.at += 1;
            if op.callee == text::Callee::Return {
                return Ok(());
            }
            let n = post[0] as usize;
            post[1 + 3 * n] = op.class;
            post[2 + 3 * n] = self.script.parts.slot(instance, &op);
            post[3 + 3 * n] = op.args[0];
            post[0] += 1;
            if self.line() == "x" {
                return Ok(());
            }
            self.at += 1;
        }
    }
}

fn result(want: &str, a: u32, b: u32, c: u32) -> bool {
    match want.split_once(',') {
        Some(_) => want == format!("{a},{b},{c}"),
        None if want == "-" => true,
        None => want.parse() == Ok(u64::from(a) | u64::from(b) << 32),
    }
}

/// What became of the runs of a file.
#[derive(Debug, Default)]
pub struct Report {
    pub programs: u32,
    pub actions: u32,
    /// Programs with calls that had to be made known.
    pub again: u32,
    /// Those of them that did something else before: to be looked at, as no choice was missing.
    pub strayed: Vec<String>,
    pub wrong: Vec<String>,
}

/// Replays all runs of a recording.
pub fn replay_all(engine: &Engine, recorded: &str) -> Report {
    let mut report = Report::default();
    for run in recorded.split("# ").filter(|run| !run.is_empty()) {
        let n = run.lines().next().unwrap_or_default();
        report.programs += 1;
        // Calls that nobody looks at have no threads, which a recording counts: later ones
        // that it names are not found then, or others are taken for them.
        let tried = || match replay(engine, run, false) {
            Err(strayed) => {
                report.again += 1;
                let again = replay(engine, run, true);
                if again.is_ok() && !strayed.contains("a recorded choice") {
                    report.strayed.push(format!("program {n}: {strayed}"));
                }
                again
            }
            done => done,
        };
        match catch_unwind(AssertUnwindSafe(tried)) {
            Ok(Ok(count)) => report.actions += count,
            Ok(Err(what)) => report.wrong.push(format!("program {n}: {what}")),
            Err(_) => report.wrong.push(format!("program {n}: a panic")),
        }
    }
    report
}

/// A call of the host, until it has a result; and that, which the host keeps: dropping it
/// would be a step.
struct Waiting(Option<Call<Vec<Val>>>, Vec<Val>);

/// Replays a run; how many actions it had.
fn replay(engine: &Engine, run: &str, known: bool) -> std::result::Result<u32, String> {
    let script = Script::parse(run);
    let bytes = text::binary(&script.parts)?;
    let show = |error: Error| format!("{error:#}");
    let component = Component::new(engine, bytes).map_err(show)?;
    let mut linker: Linker<Run> = Linker::new(engine);
    linker.root().func_wrap("step", step).map_err(show)?;
    let choices = script.choices.clone();
    let actions = script.counts.last().copied().unwrap_or(0);
    let mut store = Store::new(engine, Run::new(script));
    store.data_mut().known = known;
    let instance = linker.instantiate(&mut store, &component).map_err(show)?;
    steps::tell(&mut store, choices);
    let work = pin!(store.run_concurrent(async |cx: &Accessor<Run>| host(cx, instance)));
    match work.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(Ok(()))) => Ok(actions),
        Poll::Ready(Ok(Err(error)) | Err(error)) => Err(show(error)),
        Poll::Pending => Err("the host waits".into()),
    }
}

/// The recording ends where a puppet would do more.
const CUT_OFF: &str = "cut off";

/// What a puppet asks.
fn step(mut cx: StoreContextMut<'_, Run>, seen: Seen) -> Result<(Reply,)> {
    if let Some(reply) = faults::due(&mut cx)? {
        return Ok((reply,));
    }
    if cx.data().known {
        steps::know(&mut cx)?;
    }
    cx.data_mut().step(seen).map(|reply| (reply,))
}

fn host(cx: &Accessor<Run>, instance: Instance) -> Result<()> {
    follow(cx, instance, &mut Vec::new())
}

/// Does what the host does in the script, to its end or to a fault.
fn follow(cx: &Accessor<Run>, instance: Instance, calls: &mut Vec<Waiting>) -> Result<()> {
    loop {
        let line = cx.with(|cx| cx.data().script.lines.get(cx.data().at).cloned())?;
        let Some(line) = line else {
            return Ok(());
        };
        let words: Vec<&str> = line.split(' ').collect();
        cx.with(|mut cx| cx.data_mut().at += 1)?;
        let mut ran = true;
        match words[0] {
            "t" => {
                ran = cx
                    .with(|cx| faults::guarded(|| steps::tick(cx)))?
                    .unwrap_or(true)
            }
            "i" => {
                let func = export(cx, instance, &words)?;
                let call = func.call_concurrent(cx, Vec::new());
                calls.push(Waiting(Some(call), Vec::new()));
                cx.with(|cx| faults::guarded(|| steps::begin(cx)))?;
            }
            "k" => {
                let call = calls.get_mut(number::<usize>(words.get(1)));
                drop(call.and_then(|call| call.0.take()));
                cx.with(|cx| faults::guarded(|| steps::deliver(cx)))?;
            }
            _ => return cx.with(|cx| Err(cx.data().wrong("the host")))?,
        }
        if cx.with(|cx| cx.data().astray)? {
            return Ok(());
        }
        let failed = failure(cx, calls)?;
        let want = cx.with(|cx| cx.data().line().to_owned())?;
        match (want.as_str(), failed) {
            ("x", Some(error)) if error.downcast_ref::<helve::Bug>().is_none() => return Ok(()),
            // Nobody was left to be told, as the call was resolved or dropped: nothing can be
            // entered any more.
            ("x", None) if ran && locked(cx, instance)? => return Ok(()),
            ("h", None) if ran => {}
            ("e", None) if !ran => {}
            // The run was cut off here.
            ("the end", None) => return Ok(()),
            ("the end", Some(error)) if format!("{error:#}").contains(CUT_OFF) => return Ok(()),
            (_, Some(error)) => {
                return cx.with(|cx| Err(cx.data().wrong(&format!("{error:#}"))))?;
            }
            _ => return cx.with(|cx| Err(cx.data().wrong(&format!("host, ran: {ran}"))))?,
        }
        cx.with(|mut cx| {
            cx.data_mut().at += 1;
            steps::audit(&mut cx).map_err(|what| cx.data().wrong(what))
        })??;
    }
}

fn export(cx: &Accessor<Run>, instance: Instance, words: &[&str]) -> Result<Func> {
    cx.with(|mut cx| {
        let name = cx.data().script.parts.name(&func(&words[1..]));
        let found = instance.get_func(&mut cx, &name);
        found.ok_or_else(|| cx.data().wrong("no such export"))
    })?
}

/// Whether a new call of the host fails at once.
fn locked(cx: &Accessor<Run>, instance: Instance) -> Result<bool> {
    let func = cx.with(|mut cx| {
        let parts = &cx.data().script.parts;
        let name = parts.exported.iter().next().map(|func| parts.name(func));
        name.and_then(|name| instance.get_func(&mut cx, &name))
    })?;
    let Some(func) = func else { return Ok(false) };
    let call = func.call_concurrent(cx, Vec::new());
    let mut calls = vec![Waiting(Some(call), Vec::new())];
    cx.with(|cx| steps::begin(cx))?;
    failure(cx, &mut calls).map(|error| error.is_some())
}

/// What went wrong with a call, or with nobody's.
fn failure(cx: &Accessor<Run>, calls: &mut [Waiting]) -> Result<Option<Error>> {
    let mut found = None;
    for waiting in calls {
        let Some(call) = &mut waiting.0 else { continue };
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(result) = Pin::new(call).poll(&mut context) {
            waiting.0 = None;
            match result {
                Ok(values) => waiting.1 = values,
                Err(error) => found = found.or(Some(error)),
            }
        }
    }
    Ok(found.or(cx.with(|cx| steps::failure(cx))?))
}
