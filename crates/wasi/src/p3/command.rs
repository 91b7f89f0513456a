//! A component of the world `wasi:cli/command` 0.3: instantiate it, run it.

use super::bindings::exports::wasi::cli::run::{Guest, GuestIndices};
use helve::component::{Accessor, Component, Instance, Linker};
use helve::{AsContextMut, Context as _, Result};
use std::time::Duration;

/// Runs a store until no task of its guests is left: whatever they still have to do is
/// done. Ends of streams that a guest has left open keep nobody waiting.
///
/// # Errors
/// What went wrong with nobody to tell.
pub async fn finish<T: Send + 'static>(mut store: impl AsContextMut<Data = T>) -> Result<()> {
    let mut store = store.as_context_mut();
    store
        .run_concurrent(async |cx: &Accessor<T>| -> Result<()> {
            // First what is ready now, then what takes time.
            let mut pause = Duration::ZERO;
            while !cx.with(|mut store| store.tasks().is_empty())? {
                cx.sleep(pause).await?;
                pause = (pause + Duration::from_millis(1)).min(Duration::from_millis(20));
            }
            Ok(())
        })
        .await??;
    match tokio::time::timeout(Duration::from_millis(1), store.run_until_idle()).await {
        Ok(done) => done,
        Err(_) => Ok(()),
    }
}

/// An instantiated command; any 0.3 version of `wasi:cli/run` makes it one.
pub struct Command {
    run: Guest,
    instance: Instance,
}

impl Command {
    /// Whether a component exports a `run` of 0.3.
    pub fn is_one(component: &Component) -> bool {
        component
            .exports()
            .any(|name| name.starts_with("wasi:cli/run@0.3."))
    }

    /// Instantiates `component` and finds its `run`.
    ///
    /// # Errors
    /// Where an import is missing, or the component exports no `wasi:cli/run`.
    pub fn instantiate<T: Send + 'static>(
        mut store: impl AsContextMut<Data = T>,
        component: &Component,
        linker: &Linker<T>,
    ) -> Result<Command> {
        let run = GuestIndices::of(component)
            .context("the component is not a command: it exports no `wasi:cli/run@0.3`")?;
        let instance = linker.instantiate(&mut store, component)?;
        let run = run.load(&mut store, &instance)?;
        Ok(Command { run, instance })
    }

    /// Runs it until `run` has returned and every task of the guest is over: what it still
    /// has to say after its verdict is said. The inner result is that verdict.
    ///
    /// # Errors
    /// A trap, or [`crate::I32Exit`] where the guest exited.
    pub async fn run_async<T: Send + 'static>(
        &self,
        mut store: impl AsContextMut<Data = T>,
    ) -> Result<Result<(), ()>> {
        let verdict = self.run.call_run(&mut store).await?;
        finish(&mut store).await?;
        Ok(verdict)
    }

    /// As [`Command::run_async`], with an executor of its own on this thread, for programs
    /// that have none. Not to be called from within one.
    ///
    /// # Errors
    /// As for [`Command::run_async`].
    pub fn run<T: Send + 'static>(
        &self,
        store: impl AsContextMut<Data = T>,
    ) -> Result<Result<(), ()>> {
        crate::host::executor::on(self.run_async(store))?
    }

    /// The instance.
    pub fn instance(&self) -> Instance {
        self.instance
    }
}
