//! Which of the network a guest may use: rules, and the one check that every bind,
//! connect, datagram, name lookup and HTTP request goes through.
//!
//! ```text
//!   rule   = [ kind ":" ] host [ ":" port ]
//!   kind   = "tcp" | "udp" | "dns" | "http" | "listen"      all but listen, if not given
//!   host   = "*" | address | address "/" bits | name | "*." name
//! ```
//!
//! A guest that may look a name up may reach the addresses that the lookup gave, at the
//! ports of the rule that allowed it.

use crate::host::denied::{Denials, Denied};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

/// What a guest wants to do with the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetUse {
    /// Connect a TCP socket.
    Tcp,
    /// Exchange datagrams with a peer.
    Udp,
    /// Resolve a name.
    Dns,
    /// Send an HTTP request.
    Http,
    /// Accept connections or datagrams from anyone, at a local address.
    Listen,
}

impl NetUse {
    const ALL: [(NetUse, &'static str); 5] = [
        (NetUse::Tcp, "tcp"),
        (NetUse::Udp, "udp"),
        (NetUse::Dns, "dns"),
        (NetUse::Http, "http"),
        (NetUse::Listen, "listen"),
    ];

    fn word(self) -> &'static str {
        let found = Self::ALL.iter().find(|(kind, _)| *kind == self);
        found.map_or("", |(_, word)| word)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Any,
    Subnet(IpAddr, u8),
    Name(String),
    /// Every name that ends in this, which starts with a dot.
    Below(String),
}

/// One rule; parsed from the text that the head of this file describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetRule {
    /// `None`: every use but listening.
    kind: Option<NetUse>,
    host: Host,
    port: Option<u16>,
}

impl std::str::FromStr for NetRule {
    type Err = String;

    fn from_str(text: &str) -> Result<NetRule, String> {
        let kinds = NetUse::ALL.iter();
        let kind = kinds.clone().find_map(|(kind, word)| {
            let rest = text.strip_prefix(word)?.strip_prefix(':')?;
            Some((*kind, rest))
        });
        let (kind, rest) = match kind {
            Some((kind, rest)) => (Some(kind), rest),
            None => (None, text),
        };
        let (host, port) = split_port(rest)?;
        Ok(NetRule {
            kind,
            host: parse_host(host).ok_or_else(|| wrong(text))?,
            port,
        })
    }
}

fn wrong(text: &str) -> String {
    format!(
        "`{text}` names no part of the network: expected [tcp:|udp:|dns:|http:|listen:]HOST[:PORT], \
         with an address, ADDRESS/BITS, a name, *.NAME or * as HOST"
    )
}

fn split_port(text: &str) -> Result<(&str, Option<u16>), String> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or_else(|| wrong(text))?;
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port.parse().map_err(|_| wrong(text))?))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(wrong(text)),
        };
    }
    match text.split_once(':') {
        // More than one colon: an IPv6 address without brackets, which has no port.
        Some((_, rest)) if rest.contains(':') => Ok((text, None)),
        Some((host, "*")) => Ok((host, None)),
        Some((host, port)) => Ok((host, Some(port.parse().map_err(|_| wrong(text))?))),
        None => Ok((text, None)),
    }
}

fn parse_host(text: &str) -> Option<Host> {
    if text == "*" {
        return Some(Host::Any);
    }
    if let Some((ip, bits)) = text.split_once('/') {
        let (ip, bits): (IpAddr, u8) = (ip.parse().ok()?, bits.parse().ok()?);
        return (bits <= width(&ip)).then_some(Host::Subnet(ip, bits));
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(Host::Subnet(ip, width(&ip)));
    }
    let (name, below) = match text.strip_prefix("*.") {
        Some(name) => (name, true),
        None => (text, false),
    };
    let letters = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if name.is_empty() || !name.chars().all(letters) {
        return None;
    }
    let name = name.to_ascii_lowercase();
    Some(if below {
        Host::Below(format!(".{name}"))
    } else {
        Host::Name(name)
    })
}

fn width(ip: &IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

fn bits_of(ip: &IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()) << 96,
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

impl Host {
    fn has_address(&self, ip: &IpAddr) -> bool {
        match self {
            Host::Any => true,
            Host::Subnet(net, bits) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(*bits)).unwrap_or(0);
                net.is_ipv4() == ip.is_ipv4() && (bits_of(net) ^ bits_of(ip)) & mask == 0
            }
            Host::Name(_) | Host::Below(_) => false,
        }
    }

    fn has_name(&self, name: &str) -> bool {
        match self {
            Host::Any => true,
            Host::Subnet(..) => false,
            Host::Name(own) => own == name,
            Host::Below(end) => name.ends_with(end.as_str()),
        }
    }
}

impl NetRule {
    /// The whole network, to reach and to listen in: two rules.
    pub fn everything() -> [NetRule; 2] {
        [None, Some(NetUse::Listen)].map(|kind| NetRule {
            kind,
            host: Host::Any,
            port: None,
        })
    }

    fn is_for(&self, what: NetUse) -> bool {
        match self.kind {
            None => what != NetUse::Listen,
            // Whoever may connect to a name may look it up.
            Some(kind) => kind == what || (what == NetUse::Dns && kind != NetUse::Listen),
        }
    }
}

/// What one guest may use of the network, and what its lookups found.
#[derive(Clone, Default)]
pub struct NetGrants {
    rules: Arc<Vec<NetRule>>,
    /// Address to the rules (their places) under which a lookup gave it.
    looked_up: Arc<Mutex<HashMap<IpAddr, Vec<usize>>>>,
    denials: Denials,
}

/// Addresses that are remembered from lookups; later ones are not reachable by name rules.
const MOST_LOOKED_UP: usize = 10_000;

impl NetGrants {
    /// These rules; whatever they do not allow is told to `denials`.
    pub fn new(rules: Vec<NetRule>, denials: Denials) -> NetGrants {
        NetGrants {
            rules: Arc::new(rules),
            looked_up: Arc::default(),
            denials,
        }
    }

    /// Whether anything at all of this kind may be done.
    pub fn allows_any(&self, what: NetUse) -> bool {
        self.rules.iter().any(|rule| rule.is_for(what))
    }

    /// Whether this may be done with `address`, without telling anybody.
    pub fn allows(&self, what: NetUse, address: &SocketAddr) -> bool {
        let looked_up = self
            .looked_up
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let by_name = looked_up.get(&address.ip());
        self.rules.iter().enumerate().any(|(place, rule)| {
            let host = rule.host.has_address(&address.ip())
                || by_name.is_some_and(|places| places.contains(&place));
            rule.is_for(what) && host && rule.port.is_none_or(|port| port == address.port())
        })
    }

    /// Whether this may be done with `address`; where not, which grant is missing is told.
    pub fn check(&self, what: NetUse, address: &SocketAddr) -> bool {
        let allowed = self.allows(what, address);
        if !allowed {
            self.denials
                .tell(Denied::Network(format!("{}:{address}", what.word())));
        }
        allowed
    }

    /// Whether `name` may be looked up.
    pub fn check_lookup(&self, name: &str) -> bool {
        self.check_name(NetUse::Dns, name, None)
    }

    /// Whether an HTTP request may go to `host`, a name or an address, at `port`.
    pub fn check_http(&self, host: &str, port: u16) -> bool {
        match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(ip) => self.check(NetUse::Http, &(ip, port).into()),
            Err(_) => self.check_name(NetUse::Http, host, Some(port)),
        }
    }

    fn check_name(&self, what: NetUse, name: &str, port: Option<u16>) -> bool {
        let name = canonical(name);
        let allowed = self.rules.iter().any(|rule| {
            let at_port = port.is_none() || rule.port.is_none() || rule.port == port;
            rule.is_for(what) && rule.host.has_name(&name) && at_port
        });
        if !allowed {
            let port = port.map(|port| format!(":{port}")).unwrap_or_default();
            self.denials
                .tell(Denied::Network(format!("{}:{name}{port}", what.word())));
        }
        allowed
    }

    /// Remembers what a lookup of `name` gave.
    pub fn remember(&self, name: &str, addresses: &[IpAddr]) {
        let name = canonical(name);
        let matching = self.rules.iter().enumerate().filter(|(_, rule)| {
            matches!(rule.host, Host::Name(_) | Host::Below(_)) && rule.host.has_name(&name)
        });
        let places: Vec<usize> = matching.map(|(place, _)| place).collect();
        if places.is_empty() {
            return;
        }
        let mut looked_up = self
            .looked_up
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for ip in addresses {
            if looked_up.len() >= MOST_LOOKED_UP && !looked_up.contains_key(ip) {
                return;
            }
            let known = looked_up.entry(*ip).or_default();
            let new = places.iter().filter(|place| !known.contains(place));
            let new: Vec<usize> = new.copied().collect();
            known.extend(new);
        }
    }
}

fn canonical(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(rules: &[&str]) -> NetGrants {
        let rules = rules.iter().map(|r| r.parse().unwrap()).collect();
        NetGrants::new(rules, Denials::default())
    }

    #[test]
    fn rules_allow_what_they_say() {
        use NetUse::{Http, Listen, Tcp, Udp};
        let rows: &[(&str, NetUse, &str, bool)] = &[
            ("*", Tcp, "1.2.3.4:80", true),
            ("*", Listen, "1.2.3.4:80", false),
            ("listen:*", Listen, "0.0.0.0:80", true),
            ("listen:127.0.0.1:8080", Listen, "127.0.0.1:8080", true),
            ("listen:127.0.0.1:8080", Listen, "127.0.0.1:8081", false),
            ("listen:127.0.0.1:8080", Tcp, "127.0.0.1:8080", false),
            ("10.0.0.0/8", Udp, "10.255.0.1:9", true),
            ("10.0.0.0/8", Udp, "11.0.0.1:9", false),
            ("0.0.0.0/0", Udp, "11.0.0.1:9", true),
            ("0.0.0.0/0", Udp, "[::1]:9", false),
            ("tcp:[::1]:443", Tcp, "[::1]:443", true),
            ("tcp:[::1]:443", Tcp, "[::1]:80", false),
            ("tcp:[::1]:443", Http, "[::1]:443", false),
            ("2001:db8::/32", Tcp, "[2001:db8:1::1]:1", true),
            ("2001:db8::/32", Tcp, "[2001:db9::1]:1", false),
            ("example.com", Tcp, "1.2.3.4:80", false),
        ];
        for (rule, what, address, expected) in rows {
            let allowed = grants(&[rule]).allows(*what, &address.parse().unwrap());
            assert_eq!(allowed, *expected, "{rule} {what:?} {address}");
        }
    }

    #[test]
    fn names_open_the_addresses_that_they_have() {
        let grants = grants(&["example.com:443", "*.example.org"]);
        let ip: IpAddr = "9.9.9.9".parse().unwrap();
        assert!(grants.check_lookup("Example.COM."));
        assert!(!grants.check_lookup("www.example.com"));
        assert!(grants.check_lookup("www.example.org"));
        assert!(!grants.check_lookup("badexample.org"));
        assert!(!grants.allows(NetUse::Tcp, &(ip, 443).into()));
        grants.remember("example.com", &[ip]);
        assert!(grants.allows(NetUse::Tcp, &(ip, 443).into()));
        assert!(!grants.allows(NetUse::Tcp, &(ip, 80).into()));
        assert!(grants.check_http("example.com", 443));
        assert!(!grants.check_http("example.com", 80));
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in [
            "",
            ":80",
            "a b",
            "1.2.3.4/33",
            "host:port",
            "tcp:",
            "[::1",
            "*.*",
        ] {
            assert!(text.parse::<NetRule>().is_err(), "{text}");
        }
    }
}
