//! What the command line grants to a guest, and what is said when a grant was missing.
//!
//! `run` and `serve` share it.

use clap::Args;
use helve::Result;
use helve_wasi::{Denied, DirPerms, FilePerms, NetRule, WasiCtx, WasiCtxBuilder};
use std::path::PathBuf;

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

impl Grants {
    /// A context with all of it.
    pub fn builder(&self) -> Result<WasiCtxBuilder> {
        let mut ctx = WasiCtx::builder().on_denied(say);
        if self.inherit_env {
            ctx = ctx.inherit_env();
        }
        for (name, value) in &self.env {
            ctx = ctx.env(name, value);
        }
        for folder in &self.dirs {
            let (dirs, files) = if folder.read_only {
                (DirPerms::READ, FilePerms::READ)
            } else {
                (DirPerms::ALL, FilePerms::ALL)
            };
            ctx = ctx.preopened_dir(&folder.host, &folder.guest, dirs, files)?;
        }
        for net in &self.net {
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
        Denied::Outside(_) => "another `--dir` would grant it".into(),
        _ => "no option grants it".into(),
    };
    eprintln!("helve: the guest was denied {denied}; {remedy}");
}

#[cfg(test)]
mod tests {
    use super::Folder;

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
