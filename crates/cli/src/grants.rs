//! What the command line grants to a guest, and what is said when a grant was missing.
//!
//! `run` and `serve` share it.

use crate::buckets::{Buckets, Opened};
use clap::Args;
use helve::{Context as _, Result, bail};
use helve_wasi::{Denied, DirPerms, FilePerms, NetRule, WasiCtx, WasiCtxBuilder};
use helve_wasi_http::host::client::{Client, ClientSettings, Roots};
use std::path::{Path, PathBuf};

/// Options that grant something.
#[derive(Args, Clone)]
pub struct Grants {
    /// Let the guest use the folder HOST, under the name GUEST (HOST itself if not given);
    /// with :ro, only to read
    #[arg(long = "dir", value_name = "HOST[::GUEST][:ro]")]
    dirs: Vec<Folder>,

    /// Set an environment variable for the guest
    #[arg(long = "env", value_name = "K=V", value_parser = parse_env)]
    env: Vec<(String, String)>,

    /// Let the guest see all environment variables of helve itself
    #[arg(long)]
    inherit_env: bool,

    /// Let the guest use the network: all of it, or what PATTERN says
    ///
    /// PATTERN is `[KIND:]HOST[:PORT]`. KIND is tcp, udp, dns or http (all four if not
    /// given), or listen, for a local address to accept connections at. HOST is an address,
    /// ADDRESS/BITS, a name, *.NAME or *. May be given several times, or with commas. A
    /// name can be looked up, and the addresses found can be reached.
    #[arg(
        long,
        value_name = "PATTERN",
        num_args = 0..=1,
        require_equals = true,
        value_delimiter = ',',
        default_missing_value = "all"
    )]
    net: Vec<Net>,

    /// Give the guest a value of `wasi:config`
    #[arg(long = "config", value_name = "KEY=VALUE", value_parser = parse_env)]
    config: Vec<(String, String)>,

    /// Give the guest the values of `wasi:config` that FILE has: a KEY=VALUE on each line
    ///
    /// Empty lines and lines that start with # say nothing. What --config says counts more.
    #[arg(long, value_name = "FILE")]
    config_file: Option<PathBuf>,

    #[command(flatten)]
    buckets: Buckets,

    /// Whose word on the name of an HTTPS server counts: platform, bundled (a list that
    /// helve has), auto (bundled where the platform trusts nobody), or a FILE of PEM
    #[arg(long, default_value = "auto", value_name = "WHOSE", value_parser = parse_roots)]
    tls_roots: Roots,
}

fn parse_roots(s: &str) -> Result<Roots, std::convert::Infallible> {
    Ok(match s {
        "auto" => Roots::Auto,
        "platform" => Roots::Platform,
        "bundled" => Roots::Bundled,
        file => Roots::File(file.into()),
    })
}

/// What was granted, opened: what the guests of one command share.
#[derive(Clone)]
pub struct Granted {
    grants: Grants,
    config: Vec<(String, String)>,
    buckets: Opened,
    client: Client,
}

/// A folder of the host and its name for the guest.
#[derive(Clone)]
struct Folder {
    host: PathBuf,
    guest: String,
    read_only: bool,
}

impl std::str::FromStr for Folder {
    type Err = String;

    fn from_str(s: &str) -> Result<Folder, String> {
        let (names, read_only) = match s.strip_suffix(":ro") {
            // `HOST::ro` is the folder HOST under the name `ro`.
            Some(names) if !names.ends_with(':') => (names, true),
            _ => (s, false),
        };
        let (host, guest) = names.split_once("::").unwrap_or((names, names));
        if host.is_empty() || guest.is_empty() {
            return Err("expected HOST or HOST::GUEST, neither of them empty".into());
        }
        Ok(Folder {
            host: host.into(),
            guest: guest.into(),
            read_only,
        })
    }
}

/// A value of `--net`.
#[derive(Clone)]
enum Net {
    All,
    Rule(NetRule),
}

impl std::str::FromStr for Net {
    type Err = String;

    fn from_str(s: &str) -> Result<Net, String> {
        Ok(match s {
            "all" => Net::All,
            rule => Net::Rule(rule.parse()?),
        })
    }
}

fn parse_env(s: &str) -> Result<(String, String), String> {
    match s.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("expected NAME=VALUE".into()),
    }
}

/// The values of a `--config-file`.
fn config_file(path: &Path) -> Result<Vec<(String, String)>> {
    let place = || format!("cannot read the configuration `{}`", path.display());
    let text = std::fs::read_to_string(path).with_context(place)?;
    let mut values = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match parse_env(line) {
            Ok(value) => values.push(value),
            Err(_) => bail!("`{}`, line {number}: expected KEY=VALUE", path.display()),
        }
    }
    Ok(values)
}

impl Grants {
    /// Opens what guests share.
    ///
    /// # Errors
    /// Where a file of it cannot be read or opened.
    pub fn open(&self) -> Result<Granted> {
        let mut config = match &self.config_file {
            Some(path) => config_file(path)?,
            None => Vec::new(),
        };
        config.extend(self.config.iter().cloned());
        Ok(Granted {
            grants: self.clone(),
            config,
            buckets: self.buckets.open()?,
            client: Client::new(ClientSettings {
                roots: self.tls_roots.clone(),
                ..ClientSettings::default()
            }),
        })
    }
}

impl Granted {
    /// The HTTP client that all guests share.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// A context with all of it.
    pub fn builder(&self) -> Result<WasiCtxBuilder> {
        let grants = &self.grants;
        let mut ctx = WasiCtx::builder().on_denied(say);
        if grants.inherit_env {
            ctx = ctx.inherit_env();
        }
        for (name, value) in &grants.env {
            ctx = ctx.env(name, value);
        }
        for (key, value) in &self.config {
            ctx = ctx.config(key, value);
        }
        ctx = self.buckets.grant(ctx);
        for folder in &grants.dirs {
            let (dirs, files) = if folder.read_only {
                (DirPerms::READ, FilePerms::READ)
            } else {
                (DirPerms::ALL, FilePerms::ALL)
            };
            ctx = ctx.preopened_dir(&folder.host, &folder.guest, dirs, files)?;
        }
        for net in &grants.net {
            ctx = match net {
                Net::All => ctx.inherit_network(),
                Net::Rule(rule) => ctx.net([rule.clone()]),
            };
        }
        Ok(ctx)
    }
}

/// Says which grant was missing.
fn say(denied: &Denied) {
    let remedy = match denied {
        Denied::Network(rule) => format!("`--net={rule}` would grant it"),
        Denied::ReadOnly(_) => "`--dir` without `:ro` would grant it".into(),
        Denied::Config => "`--config KEY=VALUE` would give it one".into(),
        Denied::Bucket(name) => format!("`--keyvalue {name}=memory` would grant it"),
        Denied::Outside(_) => "another `--dir` would grant it".into(),
        _ => "no option grants it".into(),
    };
    eprintln!("helve: the guest was denied {denied}; {remedy}");
}

#[cfg(test)]
mod tests {
    use super::{Folder, config_file};

    #[test]
    fn files_of_values_are_lines() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "# one\n\na=1\n b = c=d \n").unwrap();
        let values = config_file(file.path()).unwrap();
        assert_eq!(
            values,
            [("a".into(), "1".into()), ("b ".into(), " c=d".into())]
        );
        std::fs::write(&file, "a=1\nb\n").unwrap();
        let error = config_file(file.path()).unwrap_err().to_string();
        assert!(error.ends_with("line 2: expected KEY=VALUE"), "{error}");
    }

    #[test]
    fn folders_have_two_names_and_a_mode() {
        let rows = [
            ("a", Some(("a", "a", false))),
            ("a:ro", Some(("a", "a", true))),
            ("a::b", Some(("a", "b", false))),
            ("a::b:ro", Some(("a", "b", true))),
            ("a::ro", Some(("a", "ro", false))),
            ("a::", None),
            ("::b", None),
            ("", None),
        ];
        for (text, expected) in rows {
            let parsed = text.parse::<Folder>().ok();
            let parsed = parsed
                .as_ref()
                .map(|f| (f.host.to_str().unwrap(), f.guest.as_str(), f.read_only));
            assert_eq!(parsed, expected, "{text}");
        }
    }
}
