//! What one guest was granted: arguments, environment, standard streams, folders,
//! clocks, randomness.
//!
//! Nothing of the host is visible unless a builder method granted it: without one a
//! guest sees no arguments, no environment, no folder, no network, an empty stdin and an
//! stdout that swallows. Clocks and randomness are always there.

use crate::host::denied::{Denials, Denied};
use crate::host::fs::{Descriptor, DirGrant, DirPerms, FilePerms};
use crate::host::keyvalue::Bucket;
use crate::host::net::{NetGrants, NetRule, Network};
use crate::host::random::Random;
use crate::host::stdio::{Stdin, Stdout};
use crate::keyvalue::Granted;
use helve::component::{HasData, Resource, ResourceTable};
use helve::{Context as _, Result, bail};
use std::collections::BTreeMap;
use std::path::Path;

/// What one guest was granted; made by [`WasiCtx::builder`].
pub struct WasiCtx {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) stdin: Stdin,
    pub(crate) stdout: Stdout,
    pub(crate) stderr: Stdout,
    pub(crate) preopens: Vec<(Descriptor, String)>,
    pub(crate) random: Random,
    pub(crate) max_random_bytes: u64,
    pub(crate) network: Network,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) keyvalue: Granted,
    pub(crate) denials: Denials,
    /// The guest's insecure seed, once it was asked for.
    insecure_seed: Option<(u64, u64)>,
}

/// Open buckets of one guest, unless [`WasiCtxBuilder::max_open_buckets`] says otherwise.
const MOST_BUCKETS: usize = 1000;

/// Open sockets of one guest, unless [`WasiCtxBuilder::max_sockets`] says otherwise.
const MOST_SOCKETS: usize = 1000;

impl WasiCtx {
    /// A builder that has granted nothing yet.
    pub fn builder() -> WasiCtxBuilder {
        WasiCtxBuilder {
            ctx: WasiCtx {
                args: Vec::new(),
                env: Vec::new(),
                stdin: Stdin::empty(),
                stdout: Stdout::sink(),
                stderr: Stdout::sink(),
                preopens: Vec::new(),
                random: Random::new(),
                max_random_bytes: 64 << 20,
                network: Network::new(NetGrants::default(), MOST_SOCKETS),
                config: BTreeMap::new(),
                keyvalue: Granted {
                    most_open: MOST_BUCKETS,
                    ..Granted::default()
                },
                denials: Denials::default(),
                insecure_seed: None,
            },
            folders: Vec::new(),
            net: Vec::new(),
            max_sockets: MOST_SOCKETS,
        }
    }

    /// The same each time, as guests that hash with it expect.
    pub(crate) fn insecure_seed(&mut self) -> Result<(u64, u64)> {
        if self.insecure_seed.is_none() {
            self.insecure_seed = Some((self.random.u64()?, self.random.u64()?));
        }
        Ok(self.insecure_seed.unwrap_or_default())
    }

    /// So many random bytes; the caller has bounded `len`.
    pub(crate) fn random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        match usize::try_from(len) {
            Ok(len) => self.random.bytes(len),
            Err(_) => {
                bail!("the guest asked for {len} random bytes, more than this machine can address")
            }
        }
    }

    /// What this guest may use of the network.
    pub fn network(&self) -> &Network {
        &self.network
    }
}

/// Grants, one by one. Methods may be called in any order; the last word counts.
pub struct WasiCtxBuilder {
    ctx: WasiCtx,
    folders: Vec<(cap_std::fs::Dir, String, DirPerms, FilePerms)>,
    net: Vec<NetRule>,
    max_sockets: usize,
}

impl Default for WasiCtxBuilder {
    fn default() -> WasiCtxBuilder {
        WasiCtx::builder()
    }
}

impl WasiCtxBuilder {
    /// One that has granted nothing yet: [`WasiCtx::builder`].
    pub fn new() -> WasiCtxBuilder {
        WasiCtx::builder()
    }

    /// Adds one argument; the first is the program's name by custom.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.ctx.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.ctx.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable; a second value for one name replaces the first.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let (name, value) = (name.into(), value.into());
        match self.ctx.env.iter_mut().find(|(n, _)| *n == name) {
            Some(entry) => entry.1 = value,
            None => self.ctx.env.push((name, value)),
        }
        self
    }

    /// Lets the guest see the process's whole environment (names and values that are not
    /// Unicode are left out).
    pub fn inherit_env(mut self) -> Self {
        for (name, value) in std::env::vars_os() {
            if let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) {
                self = self.env(name, value);
            }
        }
        self
    }

    /// Connects the process's stdin, stdout and stderr.
    pub fn inherit_stdio(self) -> Self {
        self.stdin(Stdin::inherit())
            .stdout(Stdout::inherit_stdout())
            .stderr(Stdout::inherit_stderr())
    }

    /// Sets what the guest reads as stdin.
    pub fn stdin(mut self, stdin: Stdin) -> Self {
        self.ctx.stdin = stdin;
        self
    }

    /// Sets where the guest's stdout goes.
    pub fn stdout(mut self, stdout: Stdout) -> Self {
        self.ctx.stdout = stdout;
        self
    }

    /// Sets where the guest's stderr goes.
    pub fn stderr(mut self, stderr: Stdout) -> Self {
        self.ctx.stderr = stderr;
        self
    }

    /// Lets the guest see the folder `host` under the name `guest`, with what is in it.
    ///
    /// # Errors
    /// Where `host` cannot be opened as a folder.
    pub fn preopened_dir(
        mut self,
        host: impl AsRef<Path>,
        guest: impl Into<String>,
        dir_perms: DirPerms,
        file_perms: FilePerms,
    ) -> Result<Self> {
        let host = host.as_ref();
        let dir = cap_std::fs::Dir::open_ambient_dir(host, cap_std::ambient_authority())
            .with_context(|| {
                format!(
                    "cannot grant the folder `{}`: is it there, and a folder?",
                    host.display()
                )
            })?;
        self.folders
            .push((dir, guest.into(), dir_perms, file_perms));
        Ok(self)
    }

    /// Lets the guest use a part of the network; see [`NetRule`] for how to say which.
    pub fn net(mut self, rules: impl IntoIterator<Item = NetRule>) -> Self {
        self.net.extend(rules);
        self
    }

    /// Lets the guest use the whole network, to reach and to listen.
    pub fn inherit_network(self) -> Self {
        self.net(NetRule::everything())
    }

    /// Bounds the sockets that the guest has open at a time (default 1000).
    pub fn max_sockets(mut self, sockets: usize) -> Self {
        self.max_sockets = sockets;
        self
    }

    /// Sets a value of `wasi:config`; a second value for one key replaces the first.
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.ctx.config.insert(key.into(), value.into());
        self
    }

    /// Lets the guest open a bucket of `wasi:keyvalue` by a name; a second bucket of one name
    /// replaces the first.
    pub fn bucket(mut self, name: impl Into<String>, bucket: Bucket) -> Self {
        let name = name.into();
        let buckets = &mut self.ctx.keyvalue.buckets;
        buckets.retain(|(own, _)| *own != name);
        buckets.push((name, bucket));
        self
    }

    /// Bounds the handles of `wasi:keyvalue`, buckets and `cas`, that the guest has open at
    /// a time (default 1000).
    pub fn max_open_buckets(mut self, handles: usize) -> Self {
        self.ctx.keyvalue.most_open = handles;
        self
    }

    /// Calls `listener` when the guest is denied something: once for each grant that was
    /// missing, at most 20 times.
    pub fn on_denied(mut self, listener: impl Fn(&Denied) + Send + Sync + 'static) -> Self {
        self.ctx.denials = Denials::new(listener);
        self
    }

    /// Makes the guest's random numbers a fixed sequence, for replays.
    pub fn seeded_random(mut self, seed: u64) -> Self {
        self.ctx.random = Random::seeded(seed);
        self
    }

    /// Bounds the bytes of one request for random bytes (default 64 MiB); more traps.
    pub fn max_random_bytes(mut self, bytes: u64) -> Self {
        self.ctx.max_random_bytes = bytes;
        self
    }

    /// The finished context.
    pub fn build(self) -> WasiCtx {
        let mut ctx = self.ctx;
        let grants = NetGrants::new(self.net, ctx.denials.clone());
        ctx.network = Network::new(grants, self.max_sockets);
        for (dir, name, dir_perms, file_perms) in self.folders {
            let grant = DirGrant::new(&name, ctx.denials.clone());
            let descriptor = Descriptor::dir(dir, dir_perms, file_perms, grant);
            ctx.preopens.push((descriptor, name));
        }
        ctx
    }
}

/// A store's [`WasiCtx`] and the table of the resources it handed out.
pub struct WasiCtxView<'a> {
    /// The grants.
    pub ctx: &'a mut WasiCtx,
    /// The resources.
    pub table: &'a mut ResourceTable,
}

impl WasiCtxView<'_> {
    /// Takes a resource that a guest has dropped out of the table, for good.
    pub(crate) fn discard<U: 'static>(&mut self, own: Resource<U>) -> Result<()> {
        self.table.delete(own)?;
        Ok(())
    }
}

/// Names [`WasiCtxView`] as what WASI's traits are implemented for, where
/// `helve::bindgen!` asks for it: `add_to_linker::<T, HasWasi>(linker, T::wasi)`.
pub struct HasWasi;

impl HasData for HasWasi {
    type Data<'a> = WasiCtxView<'a>;
}

/// What a store's data must offer for WASI to be linked.
pub trait WasiView: Send + 'static {
    /// Its context and table.
    fn wasi(&mut self) -> WasiCtxView<'_>;
}
