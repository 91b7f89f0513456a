//! A component of the world `wasi:cli/command`: instantiate it, run it.

use super::bindings::exports::wasi::cli::run::{Guest, GuestIndices};
use helve::component::{Component, Instance, Linker};
use helve::{AsContextMut, Context as _, Result};

/// An instantiated command; any 0.2 version of `wasi:cli/run` makes it one.
pub struct Command {
    run: Guest,
    instance: Instance,
}

impl Command {
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
            .context("the component is not a command: it exports no `wasi:cli/run@0.2`")?;
        let instance = linker.instantiate(&mut store, component)?;
        let run = run.load(&mut store, &instance)?;
        Ok(Command { run, instance })
    }

    /// Runs it to the end; the inner result is the guest's own verdict.
    ///
    /// # Errors
    /// A trap, or [`crate::I32Exit`] where the guest exited.
    pub async fn run_async<T: Send + 'static>(
        &self,
        mut store: impl AsContextMut<Data = T>,
    ) -> Result<Result<(), ()>> {
        self.run.call_run(&mut store).await
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
