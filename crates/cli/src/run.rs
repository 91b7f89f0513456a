//! `helve run`: a command component, or a core module of WASI 0.1 made into one.

use crate::progress::Progress;
use clap::Args;
use helve::component::{Component, Linker, ResourceTable};
use helve::{Config, Context as _, Engine, Error, ErrorKind, Result, Store, bail};
use helve_wasi::{DirPerms, FilePerms, I32Exit, WasiCtx, WasiCtxView, WasiView, p2, preview1};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Run a command
///
/// FILE is a component that exports `wasi:cli/run`, or a core module that imports WASI
/// 0.1, in the binary or the text format. Exits with the guest's own code; with 1 where it
/// reports failure or cannot be run; with 134 and a backtrace where it traps.
#[derive(Args)]
pub struct Run {
    /// Let the guest use the folder HOST, under the name GUEST (HOST itself if not given)
    #[arg(long = "dir", value_name = "HOST[::GUEST]")]
    dirs: Vec<Grant>,

    /// Set an environment variable for the guest
    #[arg(long = "env", value_name = "K=V", value_parser = parse_env)]
    env: Vec<(String, String)>,

    /// The component
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The guest's arguments
    #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// A folder of the host and its name for the guest.
#[derive(Clone)]
struct Grant {
    host: PathBuf,
    guest: String,
}

impl std::str::FromStr for Grant {
    type Err = String;

    fn from_str(s: &str) -> Result<Grant, String> {
        let (host, guest) = s.split_once("::").unwrap_or((s, s));
        if host.is_empty() || guest.is_empty() {
            return Err("expected HOST or HOST::GUEST, neither of them empty".into());
        }
        Ok(Grant { host: host.into(), guest: guest.into() })
    }
}

fn parse_env(s: &str) -> Result<(String, String), String> {
    match s.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("expected NAME=VALUE".into()),
    }
}

struct Host {
    ctx: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Host {
    fn wasi(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.ctx, table: &mut self.table }
    }
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
        let ctx = self.grants()?;
        let engine = Engine::new(&Config::new())?;
        let component = self.load(&engine)?;
        let mut linker = Linker::new(&engine);
        p2::add_to_linker(&mut linker)?;
        let mut store = Store::new(&engine, Host { ctx, table: ResourceTable::new() });
        let command = p2::Command::instantiate(&mut store, &component, &linker)
            .with_context(|| format!("cannot run `{}`", self.file.display()))?;
        command.run(&mut store)
    }

    fn grants(&self) -> Result<WasiCtx> {
        let name = self.file.file_name().unwrap_or(self.file.as_os_str()).to_string_lossy();
        let mut ctx = WasiCtx::builder().inherit_stdio().arg(name).args(&self.args);
        for (name, value) in &self.env {
            ctx = ctx.env(name, value);
        }
        for grant in &self.dirs {
            ctx = ctx.preopened_dir(&grant.host, &grant.guest, DirPerms::ALL, FilePerms::ALL)?;
        }
        Ok(ctx.build())
    }

    fn load(&self, engine: &Engine) -> Result<Component> {
        let bytes = read(&self.file)?;
        let bytes = if preview1::is_core_module(&bytes) {
            Cow::Owned(preview1::componentize(&bytes).with_context(|| format!("`{}` is a core module", self.file.display()))?)
        } else {
            bytes
        };
        let _progress = Progress::start(format!("compiling {}", self.file.display()));
        Component::from_binary(engine, &bytes).with_context(|| format!("cannot load `{}`", self.file.display()))
    }
}

/// The file's bytes, as the binary format.
fn read(path: &Path) -> Result<Cow<'static, [u8]>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    if bytes.starts_with(b"\0asm") {
        return Ok(bytes.into());
    }
    let is_text = path.extension().is_some_and(|e| e == "wat") || bytes.starts_with(b"(") || bytes.starts_with(b";;");
    if !is_text {
        bail!("`{}` is not WebAssembly: it starts with neither `\\0asm` nor text of the text format", path.display());
    }
    let binary = wat::Parser::new().parse_bytes(Some(path), &bytes).map_err(Error::new)?;
    Ok(binary.into_owned().into())
}

/// Says on stderr what went wrong, unless the guest just exited; the code to exit with.
fn report(error: &Error) -> ExitCode {
    if let Some(I32Exit(code)) = error.downcast_ref() {
        return ExitCode::from(u8::try_from(*code).unwrap_or(FAILED));
    }
    match error.kind() {
        ErrorKind::Trap => {
            eprintln!("error: the guest trapped: {error:#}");
            if let Some(backtrace) = error.downcast_ref::<helve::Backtrace>() {
                eprint!("{backtrace}");
            }
            ExitCode::from(TRAPPED)
        }
        ErrorKind::Host | ErrorKind::Bug => {
            eprintln!("error: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}
