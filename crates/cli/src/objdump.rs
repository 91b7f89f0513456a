//! `helve objdump`: the machine code of a component's functions.

use crate::load;
use crate::run::report;
use clap::Args;
use helve::{CompileMode, Engine, Result, ensure};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Show the machine code that functions are compiled to
///
/// For each function: its instructions as the code generator writes them, and where it may
/// trap. FILE is what `helve run` takes; of what `helve compile` made, give the source.
#[derive(Args)]
pub struct Objdump {
    /// Only functions whose name contains this, or that have this index; may be repeated
    #[arg(long = "function", short = 'f', value_name = "NAME")]
    functions: Vec<String>,

    /// As they are compiled when first called, and not as hot ones are
    #[arg(long)]
    quick: bool,

    /// The component, or core module
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Objdump {
    /// Prints it.
    pub fn main(&self) -> ExitCode {
        match self.print() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => report(&error),
        }
    }

    fn print(&self) -> Result<()> {
        ensure!(
            !load::is_compiled(&self.file)?,
            "`{}` is compiled: give the WebAssembly file it was made from",
            self.file.display()
        );
        let engine = Engine::new(&load::config(CompileMode::Ahead))?;
        let bytes = load::read(&self.file)?;
        let wanted = |index: u32, name: &str| {
            let is_it = |wanted: &String| name.contains(wanted) || wanted.parse() == Ok(index);
            self.functions.is_empty() || self.functions.iter().any(is_it)
        };
        let found = engine.disassemble(&bytes, self.quick, wanted)?;
        ensure!(
            !found.is_empty(),
            "`{}` has no such function; `helve inspect` says what it has",
            self.file.display()
        );
        let mut out = std::io::stdout().lock();
        for function in found {
            writeln!(out, "{function}")?;
        }
        Ok(())
    }
}
