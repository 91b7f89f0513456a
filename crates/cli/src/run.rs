//! `helve run`: a command, or one call of any other export.

use crate::bounds::{Bounds, bytes};
use crate::grants::{Granted, Grants};
use crate::load::{self, Host};
use crate::numbers::Numbers;
use clap::Args;
use helve::component::{Component, Invocation, Linker};
use helve::{
    CompileMode, Context as _, Engine, Error, ErrorKind, ProfilingStrategy, Result, Schedule,
    Store, bail,
};
use helve_wasi::host::executor;
use helve_wasi::{I32Exit, WasiCtxBuilder, p2, p3};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Run a command
///
/// FILE is a component that exports `wasi:cli/run`, or a core module that imports WASI
/// 0.1, in the binary or the text format; or what `helve compile` made of one. Exits with
/// the guest's own code; with 1 where it reports failure or cannot be run; with 134 and a
/// backtrace where it traps.
#[derive(Args)]
pub struct Run {
    #[command(flatten)]
    grants: Grants,

    #[command(flatten)]
    bounds: Bounds,

    #[command(flatten)]
    numbers: Numbers,

    /// Call this export instead, with arguments in WAVE: 'add(1, 2)'
    ///
    /// The function is named as the component exports it, `ns:pkg/iface@1.0.0#func`, or by
    /// any end of that which only one function has: `iface.func`, `func`, `counter.get`.
    /// `helve inspect` lists them. Arguments are values as the Component Model writes them:
    /// 7, -1.5, true, 'c', "text", [1, 2], (1, "two"), {name: "x", age: 3}, some(1), none,
    /// ok(1), err("why"), {read, write}. Options at the end may be left out. The result is
    /// printed to stdout in the same form; `err` makes helve exit with 1.
    #[arg(long, value_name = "CALL")]
    invoke: Option<String>,

    /// When to compile: each function when it is first called, or all of them at the start
    #[arg(long, value_enum, default_value = "lazy", value_name = "WHEN")]
    compile: When,

    /// Compile everything anew, and keep nothing for later runs
    ///
    /// Without this, functions that were compiled are kept in the folder `helve` of
    /// $XDG_CACHE_HOME, or ~/.cache.
    #[arg(long)]
    no_cache: bool,

    /// Keep at most so many bytes of compiled functions: 64M, 2G (default 512M)
    ///
    /// Those of programs that were not run for longest go first. The environment variable
    /// HELVE_CACHE_SIZE says the same for all runs; 0 keeps nothing.
    #[arg(long, value_name = "BYTES", value_parser = bytes, conflicts_with = "no_cache")]
    cache_size: Option<u64>,

    /// Tell `perf` what compiled functions are called
    ///
    /// perfmap writes /tmp/perf-PID.map: `perf record helve run --profile=perfmap ...`, then
    /// `perf report`. jitdump writes jit-PID.dump to the current folder, with which `perf
    /// record -k 1` and `perf inject --jit` show instructions too.
    #[arg(long, value_enum, value_name = "HOW")]
    profile: Option<Profile>,

    /// Where the guest traps, write its memories, globals and stack to PATH
    ///
    /// In WebAssembly's coredump format, which debuggers for it read.
    #[arg(long, value_name = "PATH")]
    coredump: Option<PathBuf>,

    /// How choices are made that the Component Model leaves open: in order, or seed:N
    ///
    /// A seed decides which of several threads runs, which event comes first and whose
    /// host call is answered first, on a clock that does not wait, and the guest's random
    /// numbers: the same seed makes the same choices again. `helve explore` tries many.
    #[arg(long, default_value = "in-order", value_name = "HOW")]
    schedule: Order,

    /// Print each turn of the event loop to stderr
    #[arg(long)]
    trace: bool,

    /// The component
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// The guest's arguments
    #[arg(
        value_name = "ARGS",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    args: Vec<String>,
}

/// The values of `--compile`.
#[derive(Clone, Copy, clap::ValueEnum)]
enum When {
    Lazy,
    Ahead,
}

impl From<When> for CompileMode {
    fn from(when: When) -> CompileMode {
        match when {
            When::Lazy => CompileMode::Lazy,
            When::Ahead => CompileMode::Ahead,
        }
    }
}

/// The values of `--schedule`.
#[derive(Clone, Copy)]
struct Order(Schedule);

impl std::str::FromStr for Order {
    type Err = String;

    fn from_str(s: &str) -> Result<Order, String> {
        if s == "in-order" {
            return Ok(Order(Schedule::InOrder));
        }
        let seed = s.strip_prefix("seed:").and_then(|seed| seed.parse().ok());
        let seed = seed.ok_or("expected in-order, or seed:N with a whole number N")?;
        Ok(Order(Schedule::Seed(seed)))
    }
}

/// The values of `--profile`.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Profile {
    Perfmap,
    Jitdump,
}

impl From<Profile> for ProfilingStrategy {
    fn from(profile: Profile) -> ProfilingStrategy {
        match profile {
            Profile::Perfmap => ProfilingStrategy::PerfMap,
            Profile::Jitdump => ProfilingStrategy::JitDump,
        }
    }
}

/// That there is something to run; else what can be done with the component instead.
fn is_command(component: &Component) -> Result<()> {
    let exports = |start: &str| component.exports().any(|name| name.starts_with(start));
    let instead = if exports("wasi:cli/run@") {
        return Ok(());
    } else if exports("wasi:http/") {
        "; it answers HTTP requests: `helve serve` runs it"
    } else if component.exports().next().is_some() {
        "; `--invoke 'name(args)'` calls an export, `helve inspect` lists them"
    } else {
        ", nor anything else"
    };
    bail!("the component is not a command: it exports no `wasi:cli/run`{instead}")
}

const FAILED: u8 = 1;
const TRAPPED: u8 = 134;

impl Run {
    /// Runs it and says how it ended.
    pub fn main(&self) -> ExitCode {
        match self.run() {
            Ok(Ok(())) => ExitCode::SUCCESS,
            Ok(Err(())) => ExitCode::from(FAILED),
            Err(error) => report(&error),
        }
    }

    fn run(&self) -> Result<Result<(), ()>> {
        let granted = self.grants.open()?;
        let mut ctx = self.context(&granted)?.inherit_stdio();
        if let Schedule::Seed(seed) = self.schedule.0 {
            ctx = ctx.seeded_random(seed);
        }
        let ctx = ctx.build();
        let engine = self.engine()?;
        let component = load::component(&engine, &self.file)?;
        let linker = load::hosts(&engine)?;
        let mut store = Store::new(&engine, Host::new(ctx, granted.client()));
        self.bounds.start(&mut store, || {
            eprintln!("error: the guest was still waiting for something when its time was up");
            std::process::exit(TRAPPED.into());
        })?;
        store.set_schedule(self.schedule.0);
        if self.trace {
            store.trace_schedule(|line| eprintln!("helve: {line}"));
        }
        let done = self.run_in(&mut store, (&component, &linker), &mut std::io::stdout());
        done.map_err(|error| self.dump(&store, error))
    }

    /// Runs it in a store of its own, silently, by the choices of a seed.
    pub fn run_seeded(
        &self,
        (component, linker): (&Component, &Linker<Host>),
        seed: u64,
    ) -> Result<Result<(), ()>> {
        let granted = self.grants.open()?;
        let ctx = self.context(&granted)?.seeded_random(seed).build();
        let mut store = Store::new(component.engine(), Host::new(ctx, granted.client()));
        store.set_schedule(Schedule::Seed(seed));
        self.run_in(&mut store, (component, linker), &mut std::io::sink())
    }

    fn run_in(
        &self,
        store: &mut Store<Host>,
        (component, linker): (&Component, &Linker<Host>),
        out: &mut dyn Write,
    ) -> Result<Result<(), ()>> {
        let place = || format!("cannot run `{}`", self.file.display());
        let Some(text) = &self.invoke else {
            if p3::Command::is_one(component) {
                let command = p3::Command::instantiate(&mut *store, component, linker);
                return command.with_context(place)?.run(store);
            }
            // A missing import says more than what is done with the component then.
            linker.check(component).with_context(place)?;
            is_command(component).with_context(place)?;
            let command = p2::Command::instantiate(&mut *store, component, linker);
            return command.with_context(place)?.run(store);
        };
        let call = Invocation::parse(component, text).with_context(place)?;
        let instance = linker.instantiate(&mut *store, component);
        let instance = instance.with_context(place)?;
        let result = executor::on(call.call_async(store, &instance))??;
        let Some(result) = result else {
            return Ok(Ok(()));
        };
        writeln!(out, "{result}").context("cannot write the result")?;
        // `err` and `err(..)` are the only values that start so.
        let failed = result == "err" || result.starts_with("err(");
        Ok(if failed { Err(()) } else { Ok(()) })
    }

    pub fn engine(&self) -> Result<Engine> {
        let mut config = load::config(self.compile.into());
        if matches!(self.compile, When::Lazy) && !self.no_cache {
            load::use_cache(&mut config, self.cache_size)?;
        }
        self.bounds.configure(&mut config);
        self.numbers.configure(&mut config);
        if let Some(profile) = self.profile {
            config.profiler(profile.into());
        }
        Engine::new(&config)
    }

    /// Writes the coredump that was asked for, if the guest trapped.
    fn dump(&self, store: &Store<Host>, error: Error) -> Error {
        let Some(path) = self
            .coredump
            .as_ref()
            .filter(|_| error.kind() == ErrorKind::Trap)
        else {
            return error;
        };
        let dump = store.coredump(&self.file.display().to_string(), &error);
        if let Err(failed) = std::fs::write(path, dump) {
            eprintln!("warning: cannot write `{}`: {failed}", path.display());
        }
        error
    }

    fn context(&self, granted: &Granted) -> Result<WasiCtxBuilder> {
        let name = self
            .file
            .file_name()
            .unwrap_or(self.file.as_os_str())
            .to_string_lossy();
        let ctx = granted.builder()?;
        Ok(ctx.arg(name).args(&self.args))
    }
}

/// Says on stderr what went wrong, unless the guest just exited; the code to exit with.
pub fn report(error: &Error) -> ExitCode {
    if let Some(I32Exit(code)) = error.downcast_ref() {
        return ExitCode::from(u8::try_from(*code).unwrap_or(FAILED));
    }
    match error.kind() {
        ErrorKind::Trap => {
            eprintln!("error: the guest trapped: {error:#}");
            ExitCode::from(TRAPPED)
        }
        ErrorKind::Host | ErrorKind::Bug => {
            eprintln!("error: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}
