//! Sockets without a guest: what is granted works, what is not is refused, and told.

use helve_wasi::host::denied::{Denials, Denied};
use helve_wasi::host::net::{
    IpAddressFamily, NetError, NetGrants, Network, TcpInput, TcpOutput, TcpSocket, UdpSocket,
};
use helve_wasi::host::stream::{InputStream, OutputStream};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

const V4: IpAddressFamily = IpAddressFamily::Ipv4;

fn network(rules: &[&str]) -> Network {
    let rules = rules.iter().map(|rule| rule.parse().unwrap()).collect();
    Network::new(NetGrants::new(rules, Denials::default()), 100)
}

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn listener(network: &Network) -> TcpSocket {
    let mut socket = TcpSocket::create(network, V4).unwrap();
    socket.start_bind(any_port()).unwrap();
    socket.finish_bind().unwrap();
    socket.start_listen(false).unwrap();
    socket.finish_listen().unwrap();
    socket
}

#[tokio::test]
async fn bytes_go_both_ways_and_end() {
    let network = network(&["*", "listen:*"]);
    let server = listener(&network);
    let mut client = TcpSocket::create(&network, V4).unwrap();
    client
        .start_connect(server.local_address().unwrap())
        .unwrap();
    client.descriptor().writable().await;
    let near = client.finish_connect().unwrap();
    server.descriptor().readable().await;
    let accepted = server.accept().unwrap();
    let far = accepted.connection().unwrap().clone();

    // More than any buffer of the system: what it does not take waits with us.
    let sent: Vec<u8> = (0..3_000_000u32).map(|i| i as u8).collect();
    let expected = sent.clone();
    let writing = tokio::spawn(async move {
        let mut output = TcpOutput(near.clone());
        let mut rest = sent.as_slice();
        while !rest.is_empty() {
            let room = output.check_write().unwrap().min(rest.len());
            if room == 0 {
                output.readiness().wait().await;
                continue;
            }
            let (now, later) = rest.split_at(room);
            output.write(now).unwrap();
            rest = later;
        }
        near.shutdown_send().unwrap();
        assert!(output.check_write().is_err());
    });
    let mut input = TcpInput(far.clone());
    let mut got = Vec::new();
    loop {
        match input.read(100_000) {
            Ok(bytes) if bytes.is_empty() => input.readiness().wait().await,
            Ok(bytes) => got.extend(bytes),
            Err(_) => break,
        }
    }
    writing.await.unwrap();
    assert!(got == expected, "{} bytes came", got.len());
    far.shutdown_receive().unwrap();
    assert_eq!(far.receive(&mut [0; 10]), Ok(0));
}

#[test]
fn what_no_rule_allows_is_denied_and_told() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let to = told.clone();
    let denials = Denials::new(move |denied: &Denied| to.lock().unwrap().push(denied.clone()));
    let network = Network::new(NetGrants::new(Vec::new(), denials), 100);
    let address: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let tcp = || TcpSocket::create(&network, V4).unwrap();
    let udp = || UdpSocket::create(&network, V4).unwrap();
    let denied = Err(NetError::AccessDenied);
    assert_eq!(tcp().start_connect(address), denied);
    assert_eq!(tcp().start_bind(any_port()), denied);
    // Binds that nobody asked for are binds.
    assert_eq!(tcp().start_listen(true), denied);
    assert_eq!(udp().start_bind(any_port()), denied);
    assert_eq!(udp().connect(address), denied);
    assert_eq!(udp().send(b"x", Some(address)), denied);
    let told = told.lock().unwrap();
    assert!(told.contains(&Denied::Network("tcp:127.0.0.1:9".into())));
    assert!(told.contains(&Denied::Network("udp:127.0.0.1:9".into())));
    assert!(told.contains(&Denied::Network("listen:0.0.0.0:0".into())));
}

#[test]
fn whoever_may_only_connect_may_not_listen() {
    let network = network(&["tcp:127.0.0.1"]);
    let mut socket = TcpSocket::create(&network, V4).unwrap();
    socket.start_bind(any_port()).unwrap();
    socket.finish_bind().unwrap();
    assert_eq!(socket.start_listen(false), Err(NetError::AccessDenied));
    let mut socket = TcpSocket::create(&network, V4).unwrap();
    assert_eq!(socket.start_listen(true), Err(NetError::AccessDenied));
}

#[tokio::test]
async fn datagrams_come_only_from_granted_peers() {
    let all = network(&["*", "listen:*"]);
    let bound = |network: &Network| {
        let mut socket = UdpSocket::create(network, V4).unwrap();
        socket.start_bind(any_port()).unwrap();
        socket.finish_bind().unwrap();
        socket
    };
    let (mut friend, mut stranger) = (bound(&all), bound(&all));
    let rule = format!("udp:{}", friend.local_address().unwrap());
    let guest = bound(&network(&[&rule]));
    let address = guest.local_address().unwrap();
    stranger.send(b"stranger", Some(address)).unwrap();
    friend.send(b"friend", Some(address)).unwrap();
    guest.descriptor().readable().await;
    assert_eq!(guest.receive().unwrap().0, b"friend");
    assert_eq!(guest.receive(), Err(NetError::WouldBlock));
}

#[test]
fn sockets_are_bounded_in_number() {
    let network = Network::new(NetGrants::default(), 3);
    let open: Vec<_> = (0..3)
        .map(|_| TcpSocket::create(&network, V4).unwrap())
        .collect();
    let refused = UdpSocket::create(&network, V4).err();
    assert_eq!(refused, Some(NetError::NewSocketLimit));
    drop(open);
    assert!(UdpSocket::create(&network, V4).is_ok());
}

#[test]
fn states_are_kept() {
    let network = network(&["*", "listen:*"]);
    let mut socket = TcpSocket::create(&network, V4).unwrap();
    assert_eq!(socket.finish_bind(), Err(NetError::NotInProgress));
    assert_eq!(socket.start_listen(false), Err(NetError::InvalidState));
    assert_eq!(socket.local_address(), Err(NetError::InvalidState));
    socket.start_bind(any_port()).unwrap();
    assert_eq!(
        socket.start_bind(any_port()),
        Err(NetError::ConcurrencyConflict)
    );
    socket.finish_bind().unwrap();
    assert_eq!(socket.start_bind(any_port()), Err(NetError::InvalidState));
    assert!(socket.local_address().unwrap().port() != 0);
    assert!(socket.remote_address().is_err() && socket.accept().is_err());
    let rows = [
        ("224.0.0.1:80", NetError::InvalidArgument),
        ("255.255.255.255:80", NetError::InvalidArgument),
        ("0.0.0.0:80", NetError::InvalidArgument),
        ("127.0.0.1:0", NetError::InvalidArgument),
        ("[::1]:80", NetError::InvalidArgument),
    ];
    for (address, error) in rows {
        let mut socket = TcpSocket::create(&network, V4).unwrap();
        assert_eq!(
            socket.start_connect(address.parse().unwrap()),
            Err(error),
            "{address}"
        );
    }
    let mut socket = TcpSocket::create(&network, IpAddressFamily::Ipv6).unwrap();
    let in_disguise = "[::ffff:127.0.0.1]:80".parse().unwrap();
    assert_eq!(
        socket.start_connect(in_disguise),
        Err(NetError::InvalidArgument)
    );
}
