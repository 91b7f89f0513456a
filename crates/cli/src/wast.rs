//! `helve wast`: scripts of the official test suites.

use clap::Args;
use helve::{Context as _, Result, bail};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Run WebAssembly scripts
///
/// Runs every directive of every FILE, with all features on, and lists those that do not
/// hold, as FILE:LINE:COLUMN. Of a folder, all scripts in it and below it are run. Exits
/// with 0 if all directives hold, else with 1.
#[derive(Args)]
pub struct Wast {
    /// The scripts, or folders of them
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

impl Wast {
    /// Runs them.
    pub fn main(&self) -> ExitCode {
        let (mut held, mut failed) = (0, 0);
        let mut files = Vec::new();
        for path in &self.files {
            if let Err(e) = scripts(path, &mut files) {
                eprintln!("error: {e:#}");
                failed += 1;
            }
        }
        for file in &files {
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

/// Adds `path`, or the scripts in the folder that it is, in the order of their names.
fn scripts(path: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    if !path.is_dir() {
        into.push(path.to_path_buf());
        return Ok(());
    }
    let place = || format!("cannot read the folder `{}`", path.display());
    let before = into.len();
    let mut folders = vec![path.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().with_context(place)? {
            let entry = entry.with_context(place)?;
            // A link to a folder could lead back here.
            if entry.file_type().with_context(place)?.is_dir() {
                folders.push(entry.path());
            } else if entry.path().extension().is_some_and(|e| e == "wast") {
                into.push(entry.path());
            }
        }
    }
    if into.len() == before {
        bail!("no script (`.wast`) is in the folder `{}`", path.display());
    }
    into[before..].sort();
    Ok(())
}
