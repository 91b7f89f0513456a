//! Addresses as WASI's sockets write them, the same in 0.2 and 0.3, and what makes one fit
//! for an operation.

use super::NetError;
use helve::component::{ComponentType, Lift, Lower};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// `ip-address-family`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[allow(missing_docs, reason = "the names are WASI's own")]
pub enum IpAddressFamily {
    Ipv4,
    Ipv6,
}

/// `ipv4-address`.
pub type Ipv4Address = (u8, u8, u8, u8);
/// `ipv6-address`.
pub type Ipv6Address = (u16, u16, u16, u16, u16, u16, u16, u16);

/// `ip-address`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
#[allow(missing_docs, reason = "the names are WASI's own")]
pub enum IpAddress {
    Ipv4(Ipv4Address),
    Ipv6(Ipv6Address),
}

/// `ipv4-socket-address`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
#[allow(missing_docs, reason = "the names are WASI's own")]
pub struct Ipv4SocketAddress {
    pub port: u16,
    pub address: Ipv4Address,
}

/// `ipv6-socket-address`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
#[allow(missing_docs, reason = "the names are WASI's own")]
pub struct Ipv6SocketAddress {
    pub port: u16,
    pub flow_info: u32,
    pub address: Ipv6Address,
    pub scope_id: u32,
}

/// `ip-socket-address`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
#[allow(missing_docs, reason = "the names are WASI's own")]
pub enum IpSocketAddress {
    Ipv4(Ipv4SocketAddress),
    Ipv6(Ipv6SocketAddress),
}

impl From<IpAddr> for IpAddress {
    fn from(ip: IpAddr) -> IpAddress {
        match ip {
            IpAddr::V4(ip) => IpAddress::Ipv4(v4_parts(ip)),
            IpAddr::V6(ip) => IpAddress::Ipv6(v6_parts(ip)),
        }
    }
}

fn v4_parts(ip: Ipv4Addr) -> Ipv4Address {
    let [a, b, c, d] = ip.octets();
    (a, b, c, d)
}

fn v6_parts(ip: Ipv6Addr) -> Ipv6Address {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    (a, b, c, d, e, f, g, h)
}

impl From<SocketAddr> for IpSocketAddress {
    fn from(address: SocketAddr) -> IpSocketAddress {
        match address {
            SocketAddr::V4(v4) => IpSocketAddress::Ipv4(Ipv4SocketAddress {
                port: v4.port(),
                address: v4_parts(*v4.ip()),
            }),
            SocketAddr::V6(v6) => IpSocketAddress::Ipv6(Ipv6SocketAddress {
                port: v6.port(),
                flow_info: v6.flowinfo(),
                address: v6_parts(*v6.ip()),
                scope_id: v6.scope_id(),
            }),
        }
    }
}

impl From<IpSocketAddress> for SocketAddr {
    fn from(address: IpSocketAddress) -> SocketAddr {
        match address {
            IpSocketAddress::Ipv4(v4) => {
                let (a, b, c, d) = v4.address;
                SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), v4.port).into()
            }
            IpSocketAddress::Ipv6(v6) => {
                let (a, b, c, d, e, f, g, h) = v6.address;
                let ip = Ipv6Addr::new(a, b, c, d, e, f, g, h);
                SocketAddrV6::new(ip, v6.port, v6.flow_info, v6.scope_id).into()
            }
        }
    }
}

impl IpAddressFamily {
    /// The family of an address.
    pub fn of(address: &SocketAddr) -> IpAddressFamily {
        match address {
            SocketAddr::V4(_) => IpAddressFamily::Ipv4,
            SocketAddr::V6(_) => IpAddressFamily::Ipv6,
        }
    }

    /// The address that a socket of this family is bound to where nobody names one.
    pub fn unspecified(self) -> SocketAddr {
        match self {
            IpAddressFamily::Ipv4 => (Ipv4Addr::UNSPECIFIED, 0).into(),
            IpAddressFamily::Ipv6 => (Ipv6Addr::UNSPECIFIED, 0).into(),
        }
    }

    /// `InvalidArgument` unless `address` is of this family and no IPv4 address in disguise:
    /// IPv6 sockets are for IPv6 only.
    ///
    /// # Errors
    ///
    /// As said.
    pub fn check(self, address: &SocketAddr) -> Result<(), NetError> {
        let in_disguise = matches!(address.ip(), IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some());
        if IpAddressFamily::of(address) != self || in_disguise {
            return Err(NetError::InvalidArgument);
        }
        Ok(())
    }
}

/// `InvalidArgument` unless `address` is one machine's.
///
/// # Errors
///
/// As said.
pub fn check_unicast(address: &SocketAddr) -> Result<(), NetError> {
    let broadcast = matches!(address.ip(), IpAddr::V4(ip) if ip.is_broadcast());
    if address.ip().is_multicast() || broadcast {
        return Err(NetError::InvalidArgument);
    }
    Ok(())
}

/// `InvalidArgument` unless `address` names a machine and a port.
///
/// # Errors
///
/// As said.
pub fn check_remote(address: &SocketAddr) -> Result<(), NetError> {
    if address.ip().is_unspecified() || address.port() == 0 {
        return Err(NetError::InvalidArgument);
    }
    Ok(())
}
