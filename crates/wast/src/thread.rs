//! Threads of a script: `(thread $T (shared (module $M)) ...)` runs its directives at the same time as
//! those that follow, in a store of its own; `(wait $T)` is until it is done.
//!
//! ```text
//! script's store                      thread's store
//!   $M exports a shared memory  ---->   $M: that memory, to be registered and imported
//! ```
//! A thread sees the script's definitions, and of the instance that it shares the shared
//! memories alone: nothing else can be in two stores. Not here: what a directive does
//! (`script.rs`).

use crate::report::{Failure, Report};
use crate::script::Context;
use helve::core::SharedMemory;
use helve::{Error, Result};
use std::collections::HashMap;
use std::thread::{Scope, ScopedJoinHandle};
use wast::token::{Id, Span};
use wast::{WastDirective, WastThread};

/// The shared memories of an instance that a thread was handed, by the names of exports.
pub type Shared = Vec<(String, SharedMemory)>;

/// The text that all of a script's threads run.
#[derive(Clone, Copy)]
pub struct Script<'a> {
    pub name: &'a str,
    pub text: &'a str,
}

impl Script<'_> {
    pub fn failure(&self, span: Span, message: String) -> Failure {
        let (line, column) = span.linecol_in(self.text);
        Failure {
            script: self.name.to_string(),
            line: line + 1,
            column: column + 1,
            message,
        }
    }
}

/// Threads that nobody has waited for, by name.
type Running<'scope> = HashMap<String, ScopedJoinHandle<'scope, Report>>;

/// Runs `directives`, which end at offset `end` of the text, and waits for the threads that they started.
pub fn run<'a>(
    context: &mut Context<'a>,
    directives: Vec<WastDirective<'a>>,
    end: usize,
) -> Report {
    let mut starts: Vec<usize> = directives.iter().map(|d| d.span().offset()).collect();
    starts.push(end);
    std::thread::scope(|scope| {
        let mut report = Report::default();
        let mut running = Running::new();
        for (directive, place) in directives.into_iter().zip(starts.windows(2)) {
            let span = directive.span();
            context.place = place[0]..place[1];
            let done = match directive {
                WastDirective::Thread(thread) => start(context, scope, &mut running, thread),
                WastDirective::Wait { thread, .. } => join(&mut running, thread, &mut report),
                directive => context.directive(directive),
            };
            match done {
                Ok(()) => report.held += 1,
                Err(e) => {
                    let failure = context.script.failure(span, format!("{e:#}"));
                    report.failures.push(failure);
                }
            }
        }
        for (_, handle) in running {
            if let Ok(theirs) = handle.join() {
                report.add(theirs);
            }
        }
        report
    })
}

fn start<'scope, 'a: 'scope>(
    context: &mut Context<'a>,
    scope: &'scope Scope<'scope, '_>,
    running: &mut Running<'scope>,
    thread: WastThread<'a>,
) -> Result<()> {
    let end = context.place.end;
    let mut child = context.child(thread.shared_module)?;
    let handle = std::thread::Builder::new()
        .spawn_scoped(scope, move || run(&mut child, thread.directives, end))
        .map_err(|e| Error::msg(format!("no thread could be started: {e}")))?;
    running.insert(thread.name.name().to_string(), handle);
    Ok(())
}

fn join(running: &mut Running<'_>, name: Id<'_>, report: &mut Report) -> Result<()> {
    let handle = running
        .remove(name.name())
        .ok_or_else(|| Error::msg(format!("no thread `${}` runs", name.name())))?;
    let theirs = handle
        .join()
        .map_err(|_| Error::msg(format!("thread `${}` panicked", name.name())))?;
    report.add(theirs);
    Ok(())
}
