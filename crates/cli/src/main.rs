//! The command `helve`: one file of this crate for each subcommand.
//!
//! ```text
//! helve run app.wasm       run.rs
//! helve serve app.wasm     serve.rs      over load.rs, grants.rs
//! helve explore app.wasm   explore.rs
//! helve compile app.wasm   compile.rs
//! helve inspect app.wasm   inspect/
//! helve bindgen wit/       bindgen.rs
//! helve objdump app.wasm   objdump.rs
//! helve wast a.wast        wast.rs
//! ```
//!
//! Exit codes: the guest's own where it ran; 1 where it failed or could not be run, 2 for
//! a wrong command line, 134 for a trap.

#![forbid(unsafe_code)]

mod bindgen;
mod bounds;
mod buckets;
mod compile;
mod explore;
mod grants;
mod inspect;
mod load;
mod numbers;
mod objdump;
mod progress;
mod run;
mod serve;
mod wast;

use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;

/// Run WebAssembly components.
///
/// A component sees nothing of this machine but what an option grants: no files, no
/// environment, no network. Its arguments and the standard streams are passed on.
#[derive(Parser)]
#[command(name = "helve", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  helve run hello.wasm                       run a command
  helve run --dir . app.wasm notes.txt       ... that may use the current folder
  helve run --dir /srv/data::/data app.wasm  ... that sees /srv/data as /data
  helve run --env LANG=de app.wasm           ... with one environment variable
  helve run --net=example.com:443 app.wasm   ... that may talk to one server
  helve run --invoke 'add(1, 2)' calc.wasm   call an export, print its result
  helve serve --addr 127.0.0.1:8080 web.wasm answer HTTP requests
  helve run --schedule seed:7 app.wasm       make free choices by a seed, the same again
  helve explore --runs 1000 app.wasm         find a seed by which it fails
  helve compile app.wasm -o app.helve        compile once ...
  helve run app.helve                        ... and start at once, every time
  helve inspect app.wasm                     what it is, needs and offers
  helve bindgen wit/ --world my-world        a host's Rust bindings for a WIT world
  helve objdump -f main app.wasm             the machine code of a function
  helve wast test.wast                       run a script of the official test suites";

#[derive(Subcommand)]
enum Command {
    Run(run::Run),
    Explore(explore::Explore),
    Serve(serve::Serve),
    Compile(compile::Compile),
    Inspect(inspect::Inspect),
    Bindgen(bindgen::Bindgen),
    Objdump(objdump::Objdump),
    Wast(wast::Wast),
}

/// Has texts in the spelling that references had before `(core func ..)` accepted too. The
/// text parser asks the environment about that, so the command starts itself again with it.
fn accept_older_texts() {
    const KNOB: &str = "WAST_STRICT_COMPONENT_INDICES";
    let is_text = |arg: OsString| {
        let arg = arg.to_string_lossy();
        arg.ends_with(".wast") || arg.ends_with(".wat")
    };
    if std::env::var_os(KNOB).is_some() || !std::env::args_os().skip(1).any(is_text) {
        return;
    }
    let mut args = std::env::args_os();
    if let (Ok(this), Some(name)) = (std::env::current_exe(), args.next()) {
        // It only returns where it failed; then only the newer spelling is accepted.
        let _failed = std::process::Command::new(this)
            .arg0(name)
            .args(args)
            .env(KNOB, "0")
            .exec();
    }
}

fn main() -> ExitCode {
    accept_older_texts();
    match Cli::parse().command {
        Command::Run(run) => run.main(),
        Command::Explore(explore) => explore.main(),
        Command::Serve(serve) => serve.main(),
        Command::Compile(compile) => compile.main(),
        Command::Inspect(inspect) => inspect.main(),
        Command::Bindgen(bindgen) => bindgen.main(),
        Command::Objdump(objdump) => objdump.main(),
        Command::Wast(wast) => wast.main(),
    }
}
