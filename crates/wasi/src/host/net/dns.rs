//! Names to addresses, by the system's resolver.

use super::{NetError, NetGrants, NetResult};
use std::net::IpAddr;

/// Longest name that DNS has.
const MOST_NAME: usize = 253;

/// A name that is fit to be looked up, by who may do so.
pub enum Lookup {
    /// An address as text: nothing to look up.
    Literal(IpAddr),
    /// A name, and the grants that the addresses found open.
    Name(String, NetGrants),
}

impl Lookup {
    /// Checks name and grants.
    ///
    /// # Errors
    /// `InvalidArgument` for what is no name, `AccessDenied` without a grant.
    pub fn new(grants: &NetGrants, name: &str) -> NetResult<Lookup> {
        let literal = name.trim_start_matches('[').trim_end_matches(']');
        if let Ok(ip) = literal.parse::<IpAddr>() {
            return Ok(Lookup::Literal(ip));
        }
        let name = ascii(name)?;
        if !grants.check_lookup(&name) {
            return Err(NetError::AccessDenied);
        }
        Ok(Lookup::Name(name, grants.clone()))
    }

    /// The addresses.
    ///
    /// # Errors
    /// What the resolver said.
    pub async fn addresses(self) -> NetResult<Vec<IpAddr>> {
        let (name, grants) = match self {
            Lookup::Literal(ip) => return Ok(vec![ip]),
            Lookup::Name(name, grants) => (name, grants),
        };
        let found = tokio::net::lookup_host((name.as_str(), 0)).await;
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in found.map_err(|e| why(&e))? {
            let ip = address.ip().to_canonical();
            if !addresses.contains(&ip) {
                addresses.push(ip);
            }
        }
        if addresses.is_empty() {
            return Err(NetError::NameUnresolvable);
        }
        grants.remember(&name, &addresses);
        Ok(addresses)
    }
}

/// The name as DNS has it: letters of other scripts go by their ASCII form.
fn ascii(name: &str) -> NetResult<String> {
    let ascii = idna::domain_to_ascii(name).map_err(|_| NetError::InvalidArgument)?;
    let bare = ascii.strip_suffix('.').unwrap_or(&ascii);
    let labels = bare.split('.').all(|label| {
        let letters = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !label.is_empty() && label.len() <= 63 && label.chars().all(letters)
    });
    if bare.len() > MOST_NAME || !labels {
        return Err(NetError::InvalidArgument);
    }
    Ok(ascii)
}

/// The resolver's answers have no codes in Rust's standard library, only texts.
fn why(error: &std::io::Error) -> NetError {
    if error.raw_os_error().is_some() {
        return NetError::TemporaryResolverFailure;
    }
    let text = error.to_string();
    if text.contains("Temporary failure") {
        NetError::TemporaryResolverFailure
    } else if text.contains("Non-recoverable") {
        NetError::PermanentResolverFailure
    } else {
        NetError::NameUnresolvable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_ascii_or_refused() {
        assert_eq!(ascii("Example.com"), Ok("example.com".into()));
        assert_eq!(ascii("bücher.example"), Ok("xn--bcher-kva.example".into()));
        let long = "a.".repeat(200);
        for bad in ["", ".", "a..b", "a b", "a/b", "exa$mple.com", long.as_str()] {
            assert_eq!(ascii(bad), Err(NetError::InvalidArgument), "{bad}");
        }
    }

    #[tokio::test]
    async fn addresses_need_no_lookup_and_names_a_grant() {
        let none = NetGrants::default();
        let ip: IpAddr = "::1".parse().unwrap();
        let literal = Lookup::new(&none, "[::1]").unwrap();
        assert_eq!(literal.addresses().await, Ok(vec![ip]));
        let denied = Lookup::new(&none, "localhost");
        assert!(matches!(denied, Err(NetError::AccessDenied)));
        let rules = vec!["dns:localhost".parse().unwrap()];
        let grants = NetGrants::new(rules, Default::default());
        let lookup = Lookup::new(&grants, "localhost").unwrap();
        let found = lookup.addresses().await.unwrap();
        assert!(found.iter().all(IpAddr::is_loopback));
        let other = Lookup::new(&grants, "missing.localhost");
        assert!(matches!(other, Err(NetError::AccessDenied)));
    }
}
