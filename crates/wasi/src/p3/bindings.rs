//! WASI 0.3 as `helve::bindgen!` writes it: types, and the traits that this crate implements
//! for [`WasiCtxView`](crate::WasiCtxView).
//!
//! Interfaces that are those of 0.2 but for their version are 0.2's. Not here: what the
//! functions do (the files beside this one, over `host/`).

helve::bindgen!({
    path: "wit/p3",
    world: "command",
    imports: {
        default: trappable,
        "wasi:cli/stdin": store | trappable,
        "wasi:cli/stdout": store | trappable,
        "wasi:cli/stderr": store | trappable,
        "wasi:clocks/monotonic-clock.now": store | trappable,
        "wasi:clocks/monotonic-clock.wait-*": async | store | trappable,
        // Operations on files do not wait for others: they are ready at once.
        "wasi:filesystem/types.*": ignore_wit | trappable,
        "wasi:filesystem/types.*-via-stream": store | trappable,
        "wasi:filesystem/types.[method]descriptor.read-directory": store | trappable,
        "wasi:sockets/types.[method]tcp-socket.bind": async | store | trappable,
        "wasi:sockets/types.[method]tcp-socket.listen": async | store | trappable,
        "wasi:sockets/types.[method]tcp-socket.send": store | trappable,
        "wasi:sockets/types.[method]tcp-socket.receive": store | trappable,
    },
    exports: { default: async | ignore_wit },
    trappable_error_type: {
        "wasi:filesystem/types.error-code" => crate::host::fs::Fault,
        "wasi:sockets/types.error-code" => crate::host::net::Fault,
        "wasi:sockets/ip-name-lookup.error-code" => crate::host::net::Fault,
    },
    with: {
        "wasi:cli/exit": crate::p2::bindings::wasi::cli::exit,
        "wasi:cli/terminal-input": crate::p2::bindings::wasi::cli::terminal_input,
        "wasi:cli/terminal-output": crate::p2::bindings::wasi::cli::terminal_output,
        "wasi:cli/terminal-stdin": crate::p2::bindings::wasi::cli::terminal_stdin,
        "wasi:cli/terminal-stdout": crate::p2::bindings::wasi::cli::terminal_stdout,
        "wasi:cli/terminal-stderr": crate::p2::bindings::wasi::cli::terminal_stderr,
        "wasi:filesystem/types.descriptor": crate::host::fs::Descriptor,
        "wasi:filesystem/types.advice": crate::host::fs::Advice,
        "wasi:filesystem/types.descriptor-flags": crate::p2::bindings::wasi::filesystem::types::DescriptorFlags,
        "wasi:filesystem/types.path-flags": crate::p2::bindings::wasi::filesystem::types::PathFlags,
        "wasi:filesystem/types.open-flags": crate::p2::bindings::wasi::filesystem::types::OpenFlags,
        "wasi:filesystem/types.metadata-hash-value": crate::p2::bindings::wasi::filesystem::types::MetadataHashValue,
        "wasi:sockets/types.ip-address-family": crate::host::net::IpAddressFamily,
        "wasi:sockets/types.ip-address": crate::host::net::IpAddress,
        "wasi:sockets/types.ipv4-socket-address": crate::host::net::Ipv4SocketAddress,
        "wasi:sockets/types.ipv6-socket-address": crate::host::net::Ipv6SocketAddress,
        "wasi:sockets/types.ip-socket-address": crate::host::net::IpSocketAddress,
        "wasi:sockets/types.tcp-socket": crate::host::net::TcpSocket,
        "wasi:sockets/types.udp-socket": crate::host::net::UdpSocket,
    },
});
