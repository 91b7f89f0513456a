//! Options of sockets: values that guests may set freely are clamped to what the system
//! takes, and zero is refused, as the interfaces ask.

use super::{IpAddressFamily, NetError, NetResult};
use crate::host::poll::Descriptor;
use socket2::{SockRef, TcpKeepalive};
use std::time::Duration;

/// A socket's options.
pub struct Options<'a> {
    socket: SockRef<'a>,
    family: IpAddressFamily,
}

/// Most seconds and probes that Linux takes for keep-alive.
const MOST_SECONDS: u64 = 32_767;
const MOST_PROBES: u32 = 127;
/// Most bytes of a buffer asked for; the system has a bound of its own below.
const MOST_BUFFER: u64 = i32::MAX as u64 / 2;

/// A duration in nanoseconds as whole seconds that the system takes.
fn seconds(nanos: u64) -> NetResult<Duration> {
    if nanos == 0 {
        return Err(NetError::InvalidArgument);
    }
    let seconds = nanos.div_ceil(1_000_000_000).clamp(1, MOST_SECONDS);
    Ok(Duration::from_secs(seconds))
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[allow(missing_docs, reason = "the names are WASI's own")]
impl<'a> Options<'a> {
    pub(super) fn new(fd: &'a Descriptor, family: IpAddressFamily) -> Options<'a> {
        Options {
            socket: SockRef::from(fd),
            family,
        }
    }

    pub fn keep_alive(&self) -> NetResult<bool> {
        Ok(self.socket.keepalive()?)
    }

    pub fn set_keep_alive(&self, on: bool) -> NetResult<()> {
        Ok(self.socket.set_keepalive(on)?)
    }

    /// In nanoseconds.
    pub fn keep_alive_idle(&self) -> NetResult<u64> {
        Ok(nanos(self.socket.tcp_keepalive_time()?))
    }

    /// In nanoseconds.
    pub fn set_keep_alive_idle(&self, value: u64) -> NetResult<()> {
        self.tune(TcpKeepalive::new().with_time(seconds(value)?))
    }

    /// In nanoseconds.
    pub fn keep_alive_interval(&self) -> NetResult<u64> {
        Ok(nanos(self.socket.tcp_keepalive_interval()?))
    }

    /// In nanoseconds.
    pub fn set_keep_alive_interval(&self, value: u64) -> NetResult<()> {
        self.tune(TcpKeepalive::new().with_interval(seconds(value)?))
    }

    pub fn keep_alive_count(&self) -> NetResult<u32> {
        Ok(self.socket.tcp_keepalive_retries()?)
    }

    pub fn set_keep_alive_count(&self, value: u32) -> NetResult<()> {
        if value == 0 {
            return Err(NetError::InvalidArgument);
        }
        self.tune(TcpKeepalive::new().with_retries(value.min(MOST_PROBES)))
    }

    /// Sets times of keep-alive without turning it on, which `socket2` does beside.
    fn tune(&self, keep_alive: TcpKeepalive) -> NetResult<()> {
        let on = self.socket.keepalive()?;
        self.socket.set_tcp_keepalive(&keep_alive)?;
        Ok(self.socket.set_keepalive(on)?)
    }

    pub fn hop_limit(&self) -> NetResult<u8> {
        let hops = match self.family {
            IpAddressFamily::Ipv4 => self.socket.ttl_v4()?,
            IpAddressFamily::Ipv6 => self.socket.unicast_hops_v6()?,
        };
        Ok(u8::try_from(hops).unwrap_or(u8::MAX))
    }

    pub fn set_hop_limit(&self, value: u8) -> NetResult<()> {
        if value == 0 {
            return Err(NetError::InvalidArgument);
        }
        match self.family {
            IpAddressFamily::Ipv4 => self.socket.set_ttl_v4(value.into())?,
            IpAddressFamily::Ipv6 => self.socket.set_unicast_hops_v6(value.into())?,
        }
        Ok(())
    }

    /// Linux reserves twice what was asked for, and says so.
    pub fn receive_buffer(&self) -> NetResult<u64> {
        Ok(self.socket.recv_buffer_size()? as u64 / 2)
    }

    pub fn set_receive_buffer(&self, value: u64) -> NetResult<()> {
        Ok(self.socket.set_recv_buffer_size(buffer(value)?)?)
    }

    pub fn send_buffer(&self) -> NetResult<u64> {
        Ok(self.socket.send_buffer_size()? as u64 / 2)
    }

    pub fn set_send_buffer(&self, value: u64) -> NetResult<()> {
        Ok(self.socket.set_send_buffer_size(buffer(value)?)?)
    }
}

fn buffer(value: u64) -> NetResult<usize> {
    if value == 0 {
        return Err(NetError::InvalidArgument);
    }
    Ok(usize::try_from(value.min(MOST_BUFFER)).unwrap_or(usize::MAX))
}
