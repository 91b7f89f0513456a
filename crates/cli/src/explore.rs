//! `helve explore`: runs a component by many schedules, and finds one by which it fails.

use crate::load;
use crate::run::{Run, report};
use clap::Args;
use helve::Result;
use helve_wasi::I32Exit;
use std::process::ExitCode;

/// Run a component by many schedules
///
/// Each run is one of `helve run --schedule seed:N`, in a new store, without input and
/// output. Stops at the first that fails: by a trap, a stall, an error, or an exit code
/// other than 0; prints its seed and exits with 1.
#[derive(Args)]
pub struct Explore {
    /// How many schedules to try
    #[arg(long, default_value_t = 100, value_name = "K")]
    runs: u64,

    /// The first seed
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    first: u64,

    #[command(flatten)]
    run: Run,
}

impl Explore {
    /// Tries them and says how they ended.
    pub fn main(&self) -> ExitCode {
        match self.explore() {
            Ok(code) => code,
            Err(error) => report(&error),
        }
    }

    fn explore(&self) -> Result<ExitCode> {
        let engine = self.run.engine()?;
        let component = load::component(&engine, &self.run.file)?;
        let linker = load::hosts(&engine)?;
        for seed in (self.first..).take(usize::try_from(self.runs).unwrap_or(usize::MAX)) {
            let why = match self.run.run_seeded((&component, &linker), seed) {
                Ok(Ok(())) => continue,
                Ok(Err(())) => "the guest reports failure".to_owned(),
                Err(error) => match error.downcast_ref() {
                    Some(I32Exit(0)) => continue,
                    _ => format!("{error:#}"),
                },
            };
            println!(
                "seed {seed} fails: {why}\nsee it again: helve run --schedule seed:{seed} {}",
                self.run.file.display()
            );
            return Ok(ExitCode::FAILURE);
        }
        println!("{} schedules, none fails", self.runs);
        Ok(ExitCode::SUCCESS)
    }
}
