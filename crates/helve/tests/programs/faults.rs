//! Faults at every step: a recorded program is replayed up to its nth step, and there the
//! host fails or panics, the guest traps, or the host drops, cancels or abandons a call, or
//! drops the store. Calls of another tree, which wait meanwhile, lose nothing; the tables
//! fit together; and once the program's own tree is ended nothing of it is left.
//!
//! A puppet asks the host before each thing it does, so the steps are all the places where
//! something can happen. After a fault puppets just return. Not here: which programs.

use super::script::func;
use super::text::{RETURN, UNREACHABLE};
use super::{Reply, Run, Script, Waiting, follow, step, text};
use crate::support::{TASKS, block_on};
use helve::component::{Accessor, Call, Component, Instance, Linker, TypedFunc, steps};
use helve::{Engine, Error, Result, Store, StoreContextMut};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Poll, Waker};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Error,
    Panic,
    Trap,
    Drop,
    Cancel,
    Abandon,
    DropStore,
}

pub const FAULTS: [Fault; 7] = [
    Fault::Error,
    Fault::Panic,
    Fault::Trap,
    Fault::Drop,
    Fault::Cancel,
    Fault::Abandon,
    Fault::DropStore,
];

/// The host functions that calls of the other tree wait for.
#[derive(Default)]
pub struct Bystander {
    released: bool,
    wakers: Vec<Waker>,
    /// Whoever has the other one sees whether the store's data is gone.
    alive: Arc<()>,
}

/// How a call returns that is not to do more.
fn reply(class: u32) -> Reply {
    (0, class, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
}

/// What a puppet is told in place of what the script says, if anything.
pub fn due(cx: &mut StoreContextMut<'_, Run>) -> Result<Option<Reply>> {
    if cx.data().astray {
        return Ok(Some(reply(RETURN)));
    }
    cx.data_mut().steps += 1;
    let now = cx.data().steps;
    let Some((_, fault)) = cx.data().fault.filter(|(at, _)| *at == now) else {
        return Ok(None);
    };
    cx.data_mut().astray = true;
    steps::stray(&mut *cx);
    match fault {
        Fault::Error => Err(Error::msg("injected")),
        Fault::Panic => panic!("injected"),
        Fault::Trap => Ok(Some(reply(UNREACHABLE))),
        _ => Ok(Some(reply(RETURN))),
    }
}

/// Runs a step of the event loop that may panic; `None` where it did.
pub fn guarded<R>(work: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => Some(result),
        Err(panic) if panic.downcast_ref::<&str>() == Some(&"injected") => None,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn define(linker: &mut Linker<Run>) -> Result<()> {
    let later = |cx: Accessor<Run>, (n,): (u32,)| async move {
        poll_fn(|context| {
            cx.with(|mut store| {
                let bystander = &mut store.data_mut().bystander;
                if bystander.released {
                    return Poll::Ready(Ok((n,)));
                }
                bystander.wakers.push(context.waker().clone());
                Poll::Pending
            })
            .unwrap_or_else(|error| Poll::Ready(Err(error)))
        })
        .await
    };
    linker.root().func_wrap_async("later", later)?;
    linker.root().func_wrap_async("wait", later)?;
    linker.root().func_wrap("step", step)
}

/// A program, compiled once for all its faults.
pub struct Program {
    script: Script,
    component: Component,
    other: Component,
    linker: Linker<Run>,
    engine: Engine,
}

type Func = TypedFunc<(u32,), (u32,)>;

impl Program {
    pub fn new(engine: &Engine, run: &str) -> Result<Program> {
        let script = Script::parse(run);
        let bytes = text::binary(&script.parts).map_err(Error::msg)?;
        let mut linker = Linker::new(engine);
        define(&mut linker)?;
        Ok(Program {
            script,
            component: Component::new(engine, bytes)?,
            other: Component::new(engine, TASKS)?,
            linker,
            engine: engine.clone(),
        })
    }

    /// Runs it without a fault; how many steps it has.
    pub fn steps(&self) -> Result<u32> {
        let mut store = Store::new(&self.engine, Run::new(self.script.clone()));
        let victim = self.linker.instantiate(&mut store, &self.component)?;
        steps::tell(&mut store, self.script.choices.clone());
        block_on(
            store.run_concurrent(async |cx: &Accessor<Run>| follow(cx, victim, &mut Vec::new())),
        )??;
        Ok(store.data().steps)
    }

    /// Runs it with a fault at a step; `which` call is dropped, cancelled or abandoned.
    pub fn fail(&self, at: u32, fault: Fault, which: usize) -> Result<()> {
        let mut run = Run::new(self.script.clone());
        run.fault = Some((at, fault));
        let alive = run.bystander.alive.clone();
        let mut store = Store::new(&self.engine, run);
        let victim = self.linker.instantiate(&mut store, &self.component)?;
        let other = self.linker.instantiate(&mut store, &self.other)?;
        let functions: Vec<Func> = ["start", "block", "plain"]
            .iter()
            .map(|name| other.get_typed_func(&mut store, name))
            .collect::<Result<_>>()?;
        let choices = self.script.choices.clone();
        block_on(store.run_concurrent(async |cx: &Accessor<Run>| {
            let mut waiting = Vec::new();
            for n in 0..6 {
                waiting.push(functions[n as usize % 2].call_concurrent(cx, (n,)));
                cx.with(|cx| steps::begin(cx))?;
            }
            cx.with(|cx| steps::tell(cx, choices))?;
            let mut calls = Vec::new();
            follow(cx, victim, &mut calls)?;
            cx.with(|cx| steps::stray(cx))?;
            if fault == Fault::DropStore {
                return Ok::<_, Error>(());
            }
            meddle(&mut calls, fault, which);
            release(cx)?;
            for (n, call) in (0..).zip(waiting) {
                helve::ensure!(call.await? == (n,), "the other tree lost call {n}");
            }
            Ok(())
        }))??;
        if fault == Fault::DropStore {
            drop(store);
            helve::ensure!(Arc::strong_count(&alive) == 1, "the store's data is left");
            return Ok(());
        }
        self.after(&mut store, victim, &functions)
    }

    /// Nothing is left, and the other tree is as good as new.
    fn after(&self, store: &mut Store<Run>, victim: Instance, functions: &[Func]) -> Result<()> {
        // Each error is told once; a stall is one each time.
        for _ in 0..10 {
            let Err(error) = block_on(store.run_until_idle()) else {
                break;
            };
            helve::ensure!(error.downcast_ref::<helve::Bug>().is_none(), "{error:?}");
        }
        store.audit_tasks().map_err(Error::msg)?;
        end(store, victim, &self.script)?;
        store.audit_tasks().map_err(Error::msg)?;
        let left = store.task_counts();
        helve::ensure!(left == [0; 8], "left: {left:?}");
        for function in functions {
            let result = block_on(function.call_async(&mut *store, (1003,)))?;
            helve::ensure!(result == (1003,), "the other tree: {result:?}");
        }
        Ok(())
    }
}

/// Does to a call, of those that wait, what the host is to do.
fn meddle(calls: &mut [Waiting], fault: Fault, which: usize) {
    let mut open: Vec<_> = calls.iter_mut().filter(|call| call.0.is_some()).collect();
    let count = open.len();
    let Some(call) = open.get_mut(which % count.max(1)) else {
        return;
    };
    match fault {
        Fault::Drop => drop(call.0.take()),
        Fault::Cancel => call.0.iter().for_each(Call::cancel),
        Fault::Abandon => call.0.take().into_iter().for_each(Call::abandon),
        _ => {}
    }
}

fn release(cx: &Accessor<Run>) -> Result<()> {
    cx.with(|mut cx| {
        let bystander = &mut cx.data_mut().bystander;
        bystander.released = true;
        bystander.wakers.drain(..).for_each(Waker::wake);
    })
}

/// Ends the program's tree, if it is not: nothing of it is to be left then.
fn end(store: &mut Store<Run>, victim: Instance, script: &Script) -> Result<()> {
    let words: Vec<&str> = script
        .lines
        .iter()
        .find(|line| line.starts_with("i "))
        .map(|line| line.split(' ').collect())
        .unwrap_or_default();
    if words.is_empty() {
        return Ok(());
    }
    let name = script.parts.name(&func(&words[1..]));
    let Some(function) = victim.get_func(&mut *store, &name) else {
        return Err(Error::msg("no such export"));
    };
    block_on(store.run_concurrent(async |cx: &Accessor<Run>| {
        // A call that is given up before it began ends its tree all the same.
        function.call_concurrent(cx, Vec::new()).abandon();
        cx.with(|cx| steps::begin(cx))
    }))??;
    Ok(())
}

/// Each fault at each step, up to `most` of them, of each program of a recording: how many
/// there were, and what went wrong.
pub fn everywhere(engine: &Engine, recorded: &str, most: u32) -> (u32, Vec<String>) {
    let (mut count, mut wrong) = (0, Vec::new());
    for run in recorded.split("# ").filter(|run| !run.is_empty()) {
        let name = run.lines().next().unwrap_or_default();
        let tried = || -> Result<(Program, u32)> {
            let program = Program::new(engine, run)?;
            let steps = program.steps()?;
            Ok((program, steps))
        };
        let (program, steps) = match tried() {
            Ok(found) => found,
            Err(error) => {
                wrong.push(format!("program {name}: {error:?}"));
                continue;
            }
        };
        for at in 1..=steps.min(most) {
            for (which, fault) in FAULTS.into_iter().enumerate() {
                count += 1;
                let which = at as usize + which;
                let failed = catch_unwind(AssertUnwindSafe(|| program.fail(at, fault, which)));
                let what = match failed {
                    Ok(Ok(())) => continue,
                    Ok(Err(error)) => format!("{error:?}"),
                    Err(_) => "a panic".into(),
                };
                wrong.push(format!("program {name}, {fault:?} at {at}: {what}"));
            }
        }
    }
    (count, wrong)
}
