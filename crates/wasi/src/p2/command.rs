//! A component of the world `wasi:cli/command`: instantiate it, run it.

use helve::component::{Component, Instance, Linker, TypedFunc};
use helve::{AsContextMut, Error, Result};

/// The interface a command exports; any 0.2 version of it is found.
const RUN: &str = "wasi:cli/run@0.2.12";

/// An instantiated command.
pub struct Command {
    run: TypedFunc<(), (Result<(), ()>,)>,
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
        let instance = linker.instantiate(&mut store, component)?;
        let interface = instance.get_export(&mut store, None, RUN).ok_or_else(|| {
            Error::msg("the component is not a command: it exports no `wasi:cli/run@0.2`")
        })?;
        let run = instance
            .get_export(&mut store, Some(&interface), "run")
            .ok_or_else(|| Error::msg("the component's `wasi:cli/run` has no function `run`"))?;
        let run = instance.get_typed_func(&mut store, &run)?;
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
        let (verdict,) = self.run.call_async(&mut store, ()).await?;
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
