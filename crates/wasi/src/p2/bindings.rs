//! WASI 0.2 as `helve::bindgen!` writes it: types, and the traits that this crate implements
//! for [`WasiCtxView`](crate::WasiCtxView).
//!
//! For hosts whose own WIT uses WASI's resources:
//!
//! ```text
//! helve::bindgen!({ with: { "wasi:io": helve_wasi::p2::bindings::wasi::io } });
//! ```
//!
//! Not here: what the functions do (the files beside this one, over `host/`).

helve::bindgen!({
    path: "wit/p2",
    world: "command",
    features: ["network-error-code"],
    imports: {
        default: trappable,
        "wasi:clocks/monotonic-clock.now": store | trappable,
        "wasi:clocks/monotonic-clock.subscribe-duration": store | trappable,
        "wasi:io/poll.[method]pollable.ready": store | trappable,
        "wasi:io/poll.[method]pollable.block": async | store | trappable,
        "wasi:io/poll.poll": async | store | trappable,
        "wasi:io/streams.*.blocking-*": async | store | trappable,
    },
    exports: { default: async },
    trappable_error_type: {
        "wasi:io/streams.stream-error" => crate::p2::io::StreamFault,
        "wasi:filesystem/types.error-code" => crate::host::fs::Fault,
        "wasi:sockets/network.error-code" => crate::host::net::Fault,
    },
    with: {
        "wasi:io/error.error": crate::p2::io::IoError,
        "wasi:io/poll.pollable": crate::p2::io::Pollable,
        "wasi:io/streams.input-stream": crate::p2::io::Input,
        "wasi:io/streams.output-stream": crate::p2::io::Output,
        "wasi:cli/terminal-input.terminal-input": crate::p2::cli::TerminalInput,
        "wasi:cli/terminal-output.terminal-output": crate::p2::cli::TerminalOutput,
        "wasi:filesystem/types.descriptor": crate::host::fs::Descriptor,
        "wasi:filesystem/types.directory-entry-stream": crate::host::fs::Entries,
        "wasi:filesystem/types.error-code": crate::host::fs::ErrorCode,
        "wasi:filesystem/types.descriptor-type": crate::host::fs::FileKind,
        "wasi:filesystem/types.advice": crate::host::fs::Advice,
        "wasi:sockets/network.network": crate::p2::sockets::Network,
        "wasi:sockets/network.ip-address-family": crate::host::net::IpAddressFamily,
        "wasi:sockets/network.ip-address": crate::host::net::IpAddress,
        "wasi:sockets/network.ipv4-socket-address": crate::host::net::Ipv4SocketAddress,
        "wasi:sockets/network.ipv6-socket-address": crate::host::net::Ipv6SocketAddress,
        "wasi:sockets/network.ip-socket-address": crate::host::net::IpSocketAddress,
        "wasi:sockets/ip-name-lookup.resolve-address-stream": crate::p2::sockets::Addresses,
        "wasi:sockets/tcp.tcp-socket": crate::host::net::TcpSocket,
        "wasi:sockets/udp.udp-socket": crate::p2::sockets::udp::Socket,
        "wasi:sockets/udp.incoming-datagram-stream": crate::p2::sockets::udp::Incoming,
        "wasi:sockets/udp.outgoing-datagram-stream": crate::p2::sockets::udp::Outgoing,
    },
});
