//! From a file to a component: the engine, the formats that FILE may have, the hosts.
//!
//! ```text
//!  text --> binary --+--> component --------------------> Component (compiled now)
//!                    +--> module of WASI 0.1 --adapter--^
//!  artifact of `helve compile` -------------------------> Component (compiled before)
//! ```
//!
//! `run`, `compile` and `inspect` share it, so that what one accepts the others do.

use crate::bounds::bytes;
use crate::progress::Progress;
use helve::component::{Component, Linker, ResourceTable};
use helve::{
    CompileMode, Config, Context as _, Engine, Error, InstanceAllocationStrategy, Result, bail,
};
use helve_wasi::{WasiCtx, WasiCtxView, WasiView, config, keyvalue, p2, p3, preview1};
use helve_wasi_http::host::client::Client;
use helve_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// The data of a store.
pub struct Host {
    /// What the guest was granted.
    pub ctx: WasiCtx,
    /// Its settings of HTTP.
    pub http: WasiHttpCtx,
    /// What it was handed out.
    pub table: ResourceTable,
}

impl Host {
    /// The data of a store whose guest was granted this.
    pub fn new(ctx: WasiCtx, client: Client) -> Host {
        Host {
            ctx,
            http: WasiHttpCtx::with_client(client),
            table: ResourceTable::new(),
        }
    }
}

impl WasiHttpView for Host {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            http: &mut self.http,
            ctx: &mut self.ctx,
            table: &mut self.table,
        }
    }
}

impl WasiView for Host {
    fn wasi(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.ctx,
            table: &mut self.table,
        }
    }
}

/// What all engines here have: one guest comes, so nothing is kept for a next one.
pub fn config(mode: CompileMode) -> Config {
    let mut config = Config::new();
    config.compile(mode);
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    config
}

/// Most bytes of functions that are kept for later runs, unless the user says otherwise.
const CACHE_BYTES: u64 = 512 << 20;

/// The environment variable by which the user does.
const CACHE_SIZE: &str = "HELVE_CACHE_SIZE";

/// Keeps functions that are compiled when they are called for later runs: at most `size`
/// bytes of them, or what the environment says.
pub fn use_cache(config: &mut Config, size: Option<u64>) -> Result<()> {
    let size = match (size, std::env::var(CACHE_SIZE)) {
        (Some(size), _) => size,
        (None, Ok(text)) => bytes(&text)
            .map_err(Error::msg)
            .with_context(|| format!("cannot read {CACHE_SIZE}={text}"))?,
        (None, Err(_)) => CACHE_BYTES,
    };
    if let Some(folder) = cache_folder().filter(|_| size > 0) {
        config.cache(folder, size);
    }
    Ok(())
}

/// Where the user's programs keep what they can make again.
fn cache_folder() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let given = variable("XDG_CACHE_HOME").filter(|path| path.is_absolute());
    let caches = given.or_else(|| Some(variable("HOME")?.join(".cache")))?;
    caches.is_absolute().then(|| caches.join("helve"))
}

/// A linker with everything that guests of `helve run` and `helve serve` can import.
pub fn hosts(engine: &Engine) -> Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    p2::add_to_linker(&mut linker)?;
    helve_wasi_http::p2::add_to_linker(&mut linker)?;
    p3::add_to_linker(&mut linker)?;
    helve_wasi_http::p3::add_to_linker(&mut linker)?;
    config::add_to_linker(&mut linker)?;
    keyvalue::add_to_linker(&mut linker)?;
    Ok(linker)
}

/// The component in a file, compiled now unless the file is one of `helve compile`.
pub fn component(engine: &Engine, path: &Path) -> Result<Component> {
    if is_compiled(path)? {
        // The user names the file to be run, as a shell's user names a program.
        let component = Component::from_trusted_file(engine, path);
        return component
            .map_err(|error| match remedy(&format!("{error:#}")) {
                Some(remedy) => error.context(remedy),
                None => error,
            })
            .with_context(|| format!("cannot load `{}`", path.display()));
    }
    let _progress = Progress::start(format!("compiling {}", path.display()));
    let component = match head(path)?.starts_with(COMPONENT) {
        // As it stands: read to where it stays.
        true => Component::from_file(engine, path),
        false => Component::from_binary(engine, &componentized(path)?),
    };
    component.with_context(|| format!("cannot load `{}`", path.display()))
}

/// What to do about compiled code that was made for other options than it is run with: they
/// are in the code itself. `why` names the settings in which the two differ.
fn remedy(why: &str) -> Option<String> {
    let made_for = why.split("this is").next().unwrap_or_default();
    let (setting, option, uses) = [
        ("consume_fuel", "--fuel", "run it with `--fuel`"),
        (
            "epoch_interruption",
            "--interruptible",
            "run it with `--timeout`, or serve it",
        ),
        (
            "relaxed_simd_deterministic",
            "--relaxed-simd-deterministic",
            "run it with the same option",
        ),
        (
            "enable_nan_canonicalization",
            "--nan-canonicalization",
            "run it with the same option",
        ),
    ]
    .into_iter()
    .find(|(setting, ..)| made_for.contains(&format!("`{setting} = ")))?;
    Some(match made_for.contains(&format!("`{setting} = false`")) {
        true => format!("for these options it has to be compiled with `helve compile {option}`"),
        false => format!("it was compiled with `{option}`: {uses}, or compile it without"),
    })
}

/// What binary components start with.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// Whether a file is one of `helve compile`.
pub fn is_compiled(path: &Path) -> Result<bool> {
    Ok(Component::is_serialized(&head(path)?))
}

/// A file's first bytes.
fn head(path: &Path) -> Result<Vec<u8>> {
    use std::io::Read;
    let open = || -> Result<Vec<u8>> {
        let mut start = Vec::new();
        std::fs::File::open(path)?
            .take(16)
            .read_to_end(&mut start)?;
        Ok(start)
    };
    open().with_context(|| format!("cannot read `{}`", path.display()))
}

/// The file's bytes as a component: a core module is made one.
pub fn componentized(path: &Path) -> Result<Cow<'static, [u8]>> {
    let bytes = read(path)?;
    if !preview1::is_core_module(&bytes) {
        return Ok(bytes);
    }
    let component = preview1::componentize(&bytes);
    let component = component.with_context(|| format!("`{}` is a core module", path.display()))?;
    Ok(component.into())
}

/// The file's bytes, as the binary format.
pub fn read(path: &Path) -> Result<Cow<'static, [u8]>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    if bytes.starts_with(b"\0asm") {
        return Ok(bytes.into());
    }
    let is_text = path.extension().is_some_and(|e| e == "wat")
        || bytes.starts_with(b"(")
        || bytes.starts_with(b";;");
    if !is_text {
        bail!(
            "`{}` is not WebAssembly: it starts with neither `\\0asm` nor text of the text format",
            path.display()
        );
    }
    let parsed = wat::Parser::new().parse_bytes(Some(path), &bytes);
    Ok(parsed.map_err(Error::new)?.into_owned().into())
}
