//! Facts and options of sockets of either kind.

use crate::WasiView;
use crate::host::net::{
    IpAddressFamily, IpSocketAddress, NetError, NetResult, Options, TcpSocket, TcpState, UdpSocket,
};
use crate::p2::bind::func;
use helve::Result;
use helve::component::{Lift, LinkerInstance, Lower, Resource};
use std::net::SocketAddr;

/// A socket as a guest's resource.
pub trait Socket: Send + 'static {
    /// What the interfaces call the resource.
    const NAME: &str;

    fn local_address(&self) -> NetResult<SocketAddr>;
    fn remote_address(&self) -> NetResult<SocketAddr>;
    fn family(&self) -> IpAddressFamily;
    fn options(&self) -> NetResult<Options<'_>>;
}

impl Socket for TcpSocket {
    const NAME: &str = "tcp-socket";

    fn local_address(&self) -> NetResult<SocketAddr> {
        TcpSocket::local_address(self)
    }

    fn remote_address(&self) -> NetResult<SocketAddr> {
        TcpSocket::remote_address(self)
    }

    fn family(&self) -> IpAddressFamily {
        TcpSocket::family(self)
    }

    fn options(&self) -> NetResult<Options<'_>> {
        TcpSocket::options(self)
    }
}

impl Socket for UdpSocket {
    const NAME: &str = "udp-socket";

    fn local_address(&self) -> NetResult<SocketAddr> {
        UdpSocket::local_address(self)
    }

    fn remote_address(&self) -> NetResult<SocketAddr> {
        UdpSocket::remote_address(self)
    }

    fn family(&self) -> IpAddressFamily {
        UdpSocket::family(self)
    }

    fn options(&self) -> NetResult<Options<'_>> {
        Ok(UdpSocket::options(self))
    }
}

/// A version's `error-code`.
pub trait ErrorCode: From<NetError> + Lower + Send + 'static {}

impl<E: From<NetError> + Lower + Send + 'static> ErrorCode for E {}

/// Where functions are defined, and what getters there begin with.
pub struct Face<'a, 'l, T: 'static> {
    pub interface: &'a mut LinkerInstance<'l, T>,
    /// `""` or `"get-"`.
    pub get: &'static str,
}

/// Which of a socket's addresses a function is about.
type AddressOf<S> = fn(&S) -> NetResult<SocketAddr>;

impl<T: WasiView> Face<'_, '_, T> {
    /// Addresses and the family.
    pub fn facts<S: Socket, E: ErrorCode>(&mut self) -> Result<()> {
        let name = |fact: &str| format!("[method]{}.{}{fact}", S::NAME, self.get);
        let addresses: [(&str, AddressOf<S>); 2] = [
            ("local-address", S::local_address),
            ("remote-address", S::remote_address),
        ];
        for (fact, address) in addresses {
            func(
                self.interface,
                &name(fact),
                move |host, (socket,): (Resource<S>,)| {
                    let address = address(host.table.get(&socket)?);
                    Ok(address.map(IpSocketAddress::from).map_err(E::from))
                },
            )?;
        }
        func(
            self.interface,
            &name("address-family"),
            |host, (socket,): (Resource<S>,)| Ok(host.table.get(&socket)?.family()),
        )
    }

    /// What only TCP sockets have.
    pub fn listening<E: ErrorCode>(&mut self) -> Result<()> {
        func(
            self.interface,
            &format!("[method]tcp-socket.{}is-listening", self.get),
            |host, (socket,): (Resource<TcpSocket>,)| {
                Ok(host.table.get(&socket)?.state() == TcpState::Listening)
            },
        )?;
        func(
            self.interface,
            "[method]tcp-socket.set-listen-backlog-size",
            |host, (socket, value): (Resource<TcpSocket>, u64)| {
                let set = host.table.get_mut(&socket)?.set_backlog(value);
                Ok(set.map_err(E::from))
            },
        )
    }

    /// Defines the getter and the setter of an option.
    fn option<S: Socket, E: ErrorCode, V>(
        &mut self,
        name: &str,
        get: fn(&Options<'_>) -> NetResult<V>,
        set: fn(&Options<'_>, V) -> NetResult<()>,
    ) -> Result<()>
    where
        V: Lift + Lower + Send + 'static,
    {
        func(
            self.interface,
            &format!("[method]{}.{}{name}", S::NAME, self.get),
            move |host, (socket,): (Resource<S>,)| {
                let options = host.table.get(&socket)?.options();
                Ok(options.and_then(|o| get(&o)).map_err(E::from))
            },
        )?;
        func(
            self.interface,
            &format!("[method]{}.set-{name}", S::NAME),
            move |host, (socket, value): (Resource<S>, V)| {
                let options = host.table.get(&socket)?.options();
                Ok(options.and_then(|o| set(&o, value)).map_err(E::from))
            },
        )
    }

    fn buffers<S: Socket, E: ErrorCode>(&mut self) -> Result<()> {
        self.option::<S, E, _>(
            "receive-buffer-size",
            |o| o.receive_buffer(),
            |o, v| o.set_receive_buffer(v),
        )?;
        self.option::<S, E, _>(
            "send-buffer-size",
            |o| o.send_buffer(),
            |o, v| o.set_send_buffer(v),
        )
    }

    /// All options of TCP sockets.
    pub fn tcp_options<E: ErrorCode>(&mut self) -> Result<()> {
        self.option::<TcpSocket, E, _>(
            "keep-alive-enabled",
            |o| o.keep_alive(),
            |o, v| o.set_keep_alive(v),
        )?;
        self.option::<TcpSocket, E, _>(
            "keep-alive-idle-time",
            |o| o.keep_alive_idle(),
            |o, v| o.set_keep_alive_idle(v),
        )?;
        self.option::<TcpSocket, E, _>(
            "keep-alive-interval",
            |o| o.keep_alive_interval(),
            |o, v| o.set_keep_alive_interval(v),
        )?;
        self.option::<TcpSocket, E, _>(
            "keep-alive-count",
            |o| o.keep_alive_count(),
            |o, v| o.set_keep_alive_count(v),
        )?;
        self.option::<TcpSocket, E, _>("hop-limit", |o| o.hop_limit(), |o, v| o.set_hop_limit(v))?;
        self.buffers::<TcpSocket, E>()
    }

    /// All options of UDP sockets.
    pub fn udp_options<S: Socket, E: ErrorCode>(&mut self) -> Result<()> {
        self.option::<S, E, _>(
            "unicast-hop-limit",
            |o| o.hop_limit(),
            |o, v| o.set_hop_limit(v),
        )?;
        self.buffers::<S, E>()
    }
}
