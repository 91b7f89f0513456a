//! `helve wast`: scripts of the official test suites.

use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Run WebAssembly scripts
///
/// Runs every directive of every FILE, with all features on, and lists those that do not
/// hold, as FILE:LINE:COLUMN. Exits with 0 if all of them hold, else with 1.
#[derive(Args)]
pub struct Wast {
    /// The scripts
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

impl Wast {
    /// Runs them.
    pub fn main(&self) -> ExitCode {
        let (mut held, mut failed) = (0, 0);
        for file in &self.files {
            let name = file.display().to_string();
            let text = match std::fs::read_to_string(file) {
                Ok(text) => text,
                Err(e) => {
                    eprintln!("{name}: cannot be read: {e}");
                    failed += 1;
                    continue;
                }
            };
            let report = helve_wast::run(&name, &text, &helve_wast::Options::default());
            for failure in &report.failures {
                eprintln!("{failure}");
            }
            held += report.held;
            failed += report.failures.len();
        }
        println!("{held} directives hold, {failed} do not");
        if failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}
