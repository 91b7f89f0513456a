//! `helve compile`: compiled ahead, to a file that `helve run` starts from at once.

use crate::load;
use crate::numbers::Numbers;
use crate::run::report;
use clap::Args;
use helve::{Context as _, Engine, Error, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Compile a component, to be run later
///
/// FILE is what `helve run` takes: a component, or a core module that imports WASI 0.1. The
/// result is run by `helve run OUT`, which then starts without compiling anything.
///
/// OUT serves the same build of helve, on machines whose CPUs have the same features; others
/// refuse it, and so they do when it has been damaged. It holds machine code, which nothing
/// confines: run only files that you compiled, or that come from whom you would take a
/// program from.
#[derive(Args)]
pub struct Compile {
    /// The component
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Make code that counts fuel: for `helve run --fuel`, and only that
    #[arg(long)]
    fuel: bool,

    /// Make code that can be stopped by the clock: for `helve run --timeout` and `helve
    /// serve`, and only those
    #[arg(long)]
    interruptible: bool,

    #[command(flatten)]
    numbers: Numbers,

    /// Where to write the compiled component; replaced if it exists
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
}

impl Compile {
    /// Compiles it.
    pub fn main(&self) -> ExitCode {
        match self.compile() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => report(&error),
        }
    }

    fn compile(&self) -> Result<()> {
        ensure!(
            !load::is_compiled(&self.file)?,
            "`{}` is compiled already: compile the WebAssembly file it was made from",
            self.file.display()
        );
        let mut config = load::config(helve::CompileMode::Ahead);
        config.consume_fuel(self.fuel);
        config.epoch_interruption(self.interruptible);
        self.numbers.configure(&mut config);
        let engine = Engine::new(&config)?;
        let component = load::component(&engine, &self.file)?;
        let bytes = component.serialize()?;
        write(&self.output, &bytes)
            .with_context(|| format!("cannot write `{}`", self.output.display()))
    }
}

/// Writes a file so that nobody ever sees half of it: under another name beside it, then
/// renamed. What is no file (a pipe, a terminal) is just written to.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        std::fs::write(path, bytes)?;
        return Ok(());
    }
    let Some(name) = path.file_name() else {
        return Err(Error::msg("it is no name of a file"));
    };
    let mut other = name.to_os_string();
    other.push(format!(".{}.part", std::process::id()));
    let other = path.with_file_name(other);
    let written = std::fs::write(&other, bytes).and_then(|()| std::fs::rename(&other, path));
    if written.is_err() {
        // Whatever of it there is is of no use; if it can't go either, it stays.
        let _ = std::fs::remove_file(&other);
    }
    Ok(written?)
}
