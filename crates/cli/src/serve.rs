//! `helve serve`: a component that answers HTTP requests.
//!
//! ```text
//!   SIGINT, SIGTERM --> end: finish what runs, exit 0
//!   FILE changed -----> compile it beside, then swap; a file that will not do changes nothing
//! ```
//!
//! The server itself is `helve_wasi_http::server`.

use crate::grants::{Granted, Grants};
use crate::load::{self, Host};
use crate::numbers::Numbers;
use clap::Args;
use helve::component::Component;
use helve::{CompileMode, Config, Context as _, Engine, Error, Result, Store, bail};
use helve_wasi::{WasiCtx, host::stdio::Stdout};
use helve_wasi_http::server::{
    AccessLog, App, ProxyApp, Server, ServerLimits, ServiceApp, Ticks, listen,
};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::signal::unix::{SignalKind, signal};

/// Answer HTTP requests with a component
///
/// FILE is a component that exports `wasi:http/incoming-handler` (WASI 0.2) or
/// `wasi:http/handler` (0.3), or what `helve compile --interruptible` made of one. Speaks
/// HTTP/1.1 and HTTP/2 without encryption. On SIGINT and SIGTERM it finishes what runs and
/// exits with 0. When FILE changes, later requests go to the new one.
#[derive(Args)]
pub struct Serve {
    /// Where to listen; port 0 is any free one
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    addr: SocketAddr,

    /// Where to answer `GET /metrics`, for Prometheus
    #[arg(long, value_name = "ADDR")]
    metrics: Option<SocketAddr>,

    /// Write a line for each request to this file, or to stdout (-)
    #[arg(long, value_name = "FILE")]
    access_log: Option<PathBuf>,

    #[command(flatten)]
    grants: Grants,

    #[command(flatten)]
    limits: Limits,

    #[command(flatten)]
    numbers: Numbers,

    /// Keep serving the same code when FILE changes
    #[arg(long)]
    no_reload: bool,

    /// The component
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Options that bound something.
#[derive(Args, Clone)]
struct Limits {
    /// Requests that one instance serves before it is thrown away [default: 1 with WASI 0.2,
    /// 1000 with 0.3]
    ///
    /// Guests of WASI 0.2 need not expect more than one.
    #[arg(long, value_name = "N")]
    reuse: Option<usize>,

    /// Requests that one instance of WASI 0.3 serves at a time
    #[arg(long, default_value_t = 16, value_name = "N")]
    concurrency: usize,

    /// Requests that are answered at a time; others wait
    #[arg(long, default_value_t = 1000, value_name = "N")]
    max_requests: usize,

    /// Open connections; others wait
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    max_connections: usize,

    /// Bytes of a request's head
    #[arg(long, default_value_t = 64 << 10, value_name = "BYTES")]
    max_header_bytes: usize,

    /// Bytes of a request's body
    #[arg(long, default_value_t = 1 << 30, value_name = "BYTES")]
    max_body_bytes: u64,

    /// Bytes of memory of one instance
    #[arg(long, value_name = "BYTES")]
    max_memory: Option<u64>,

    /// Seconds that a request may take
    #[arg(long, default_value_t = 60.0, value_name = "SECONDS")]
    timeout: f64,

    /// Seconds that a silent client is waited for
    #[arg(long, default_value_t = 30.0, value_name = "SECONDS")]
    idle_timeout: f64,

    /// Seconds that requests may still take at the end
    #[arg(long, default_value_t = 30.0, value_name = "SECONDS")]
    grace: f64,
}

/// Seconds of an option, within reason.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.clamp(0.001, 1e6)).unwrap_or(Duration::from_secs(60))
}

impl Limits {
    fn of_server(&self) -> ServerLimits {
        ServerLimits {
            requests: self.max_requests.max(1),
            connections: self.max_connections.clamp(1, 1 << 20),
            header_bytes: self.max_header_bytes,
            body_bytes: self.max_body_bytes,
            request_time: seconds(self.timeout),
            idle_time: seconds(self.idle_timeout),
            grace: seconds(self.grace),
            ..ServerLimits::default()
        }
    }

    fn engine(&self, numbers: Numbers) -> Result<Engine> {
        let mut config = Config::new();
        config.compile(CompileMode::Ahead).epoch_interruption(true);
        numbers.configure(&mut config);
        if let Some(bytes) = self.max_memory {
            config.max_memory_bytes(bytes).max_store_memory_bytes(bytes);
        }
        Engine::new(&config)
    }
}

/// How often guests are looked after.
const TICKS: Ticks = Ticks {
    every: Duration::from_millis(10),
};

/// What makes an app of the file, again whenever it changes.
struct Maker {
    engine: Engine,
    file: PathBuf,
    grants: Granted,
    reuse: Option<usize>,
    concurrency: usize,
}

impl Serve {
    /// Serves and says how it ended.
    pub fn main(&self) -> ExitCode {
        match self.serve() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => crate::run::report(&error),
        }
    }

    fn serve(&self) -> Result<()> {
        let maker = Maker {
            engine: self.limits.engine(self.numbers)?,
            file: self.file.clone(),
            grants: self.grants.open()?,
            reuse: self.limits.reuse,
            concurrency: self.limits.concurrency,
        };
        let changed = modified(&self.file);
        let app = maker.make()?;
        let server = Server::new(app, self.limits.of_server(), self.access_log()?);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("cannot start threads")?;
        let ended = runtime.block_on(self.run(server, maker, changed));
        // Guests that did not finish in their grace are left where they are.
        runtime.shutdown_background();
        ended
    }

    async fn run(&self, server: Server, maker: Maker, changed: Option<SystemTime>) -> Result<()> {
        let (listener, local) = listen(self.addr)
            .await
            .with_context(|| format!("cannot listen at {}", self.addr))?;
        eprintln!("Serving {} at http://{local}/", self.file.display());
        if let Some(address) = self.metrics {
            let (listener, local) = listen(address)
                .await
                .with_context(|| format!("cannot listen at {address}"))?;
            eprintln!("Metrics at http://{local}/metrics");
            let server = server.clone();
            tokio::spawn(async move { server.serve_metrics(listener).await });
        }
        let engine = maker.engine.clone();
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(TICKS.every);
                engine.increment_epoch();
            }
        });
        let signalled = server.clone();
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::new)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(Error::new)?;
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            signalled.end();
        });
        if !self.no_reload {
            tokio::spawn(reload(server.clone(), Arc::new(maker), changed));
        }
        server.serve(listener).await.context("cannot accept")
    }

    fn access_log(&self) -> Result<AccessLog> {
        let Some(path) = &self.access_log else {
            return Ok(AccessLog::off());
        };
        if path == Path::new("-") {
            return Ok(AccessLog::to(std::io::stdout()));
        }
        let file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .with_context(|| format!("cannot write the access log `{}`", path.display()))?;
        Ok(AccessLog::to(file))
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|m| m.modified()).ok()
}

/// Looks at the file each second, and makes a new app once it has changed and rests.
async fn reload(server: Server, maker: Arc<Maker>, mut known: Option<SystemTime>) {
    let mut seen = known;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = modified(&maker.file);
        // Twice the same: nobody is writing it any more.
        let settled = now == seen;
        seen = now;
        if now.is_none() || now == known || !settled {
            continue;
        }
        known = now;
        let making = maker.clone();
        match tokio::task::spawn_blocking(move || making.make()).await {
            Ok(Ok(app)) => {
                server.replace(app);
                eprintln!(
                    "helve: `{}` changed and is served now",
                    maker.file.display()
                );
            }
            Ok(Err(e)) => eprintln!("helve: the changed file is not served: {e:#}"),
            Err(e) => eprintln!("helve: the changed file is not served: {e}"),
        }
    }
}

impl Maker {
    fn make(&self) -> Result<Arc<dyn App>> {
        let component = load::component(&self.engine, &self.file)?;
        let linker = load::hosts(&self.engine)?;
        let place = || format!("cannot serve `{}`", self.file.display());
        let pre = linker.instantiate_pre(&component).with_context(place)?;
        let kind = Kind::of(&component).with_context(place)?;
        let engine = self.engine.clone();
        let contexts = Contexts::new(self.grants.clone());
        let store = move || {
            let host = Host::new(contexts.context()?, contexts.grants.client());
            Ok(Store::new(&engine, host))
        };
        Ok(match kind {
            Kind::Proxy => {
                let app = ProxyApp::new(pre, self.reuse.unwrap_or(1), store);
                Arc::new(app.with_context(place)?.ticks(TICKS))
            }
            Kind::Service => {
                let reuse = self.reuse.unwrap_or(1000);
                Arc::new(ServiceApp::new(pre, reuse, self.concurrency, store).ticks(TICKS))
            }
        })
    }
}

/// What a guest sees: the grants, and stdout and stderr to print to.
struct Contexts {
    grants: Granted,
    /// Opened once: guests come and go often.
    stdout: Stdout,
    stderr: Stdout,
}

impl Contexts {
    fn new(grants: Granted) -> Contexts {
        Contexts {
            grants,
            stdout: Stdout::inherit_stdout(),
            stderr: Stdout::inherit_stderr(),
        }
    }

    fn context(&self) -> Result<WasiCtx> {
        let ctx = self.grants.builder()?.stdout(self.stdout.clone());
        Ok(ctx.stderr(self.stderr.clone()).build())
    }
}

/// What a component is to a server.
enum Kind {
    /// It exports `wasi:http/incoming-handler` of WASI 0.2.
    Proxy,
    /// It exports `wasi:http/handler` of WASI 0.3.
    Service,
}

impl Kind {
    /// Known before the first request, so that the user is told at once.
    fn of(component: &Component) -> Result<Kind> {
        let exports = |start: &str| component.exports().any(|name| name.starts_with(start));
        if exports("wasi:http/handler@0.3") {
            Ok(Kind::Service)
        } else if exports("wasi:http/incoming-handler@0.2") {
            Ok(Kind::Proxy)
        } else {
            let instead = match exports("wasi:cli/run@") {
                true => "; it is a command: `helve run` runs it",
                false => "",
            };
            bail!(
                "it answers no requests: it exports neither `wasi:http/handler@0.3` nor \
                 `wasi:http/incoming-handler@0.2`{instead}"
            )
        }
    }
}
