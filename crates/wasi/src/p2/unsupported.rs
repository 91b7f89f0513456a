//! `wasi:sockets` and `wasi:http`, which link and answer "not supported" for now.
//!
//! Programs import them because their toolchain's library does, and mostly never call
//! them. Whoever asks for a socket, a name or a request's answer gets the error that the
//! interface has for it; what can only be called on a socket that nobody got traps.

use super::bind::func;
use crate::WasiView;
use helve::Result;
use helve::component::{Linker, LinkerInstance, Resource, ResourceType, Val};
use helve::{StoreContextMut, bail};

/// Stands for every resource of the two packages.
struct Unsupported;

/// How a function answers.
#[derive(Clone, Copy)]
enum Answer {
    /// `err(not-supported)`, an enumeration's case.
    NotSupported,
    /// `err(internal-error(some(text)))`, a variant's case.
    InternalError,
    /// `ok`: a setting that nothing will look at.
    Ignored,
    /// Nothing leads here.
    Trap,
}

use Answer::{Ignored, InternalError, NotSupported, Trap};

struct Interface {
    name: &'static str,
    resources: &'static [&'static str],
    functions: &'static [(Answer, &'static [&'static str])],
}

const SOCKETS: &[Interface] = &[
    Interface {
        name: "wasi:sockets/network@0.2.12",
        resources: &["network"],
        functions: &[(Trap, &["network-error-code"])],
    },
    Interface {
        name: "wasi:sockets/ip-name-lookup@0.2.12",
        resources: &["resolve-address-stream"],
        functions: &[
            (NotSupported, &["resolve-addresses"]),
            (
                Trap,
                &[
                    "[method]resolve-address-stream.resolve-next-address",
                    "[method]resolve-address-stream.subscribe",
                ],
            ),
        ],
    },
    Interface {
        name: "wasi:sockets/tcp-create-socket@0.2.12",
        resources: &[],
        functions: &[(NotSupported, &["create-tcp-socket"])],
    },
    Interface {
        name: "wasi:sockets/udp-create-socket@0.2.12",
        resources: &[],
        functions: &[(NotSupported, &["create-udp-socket"])],
    },
    Interface {
        name: "wasi:sockets/tcp@0.2.12",
        resources: &["tcp-socket"],
        functions: &[(
            Trap,
            &[
                "[method]tcp-socket.start-bind",
                "[method]tcp-socket.finish-bind",
                "[method]tcp-socket.start-connect",
                "[method]tcp-socket.finish-connect",
                "[method]tcp-socket.start-listen",
                "[method]tcp-socket.finish-listen",
                "[method]tcp-socket.accept",
                "[method]tcp-socket.local-address",
                "[method]tcp-socket.remote-address",
                "[method]tcp-socket.is-listening",
                "[method]tcp-socket.address-family",
                "[method]tcp-socket.set-listen-backlog-size",
                "[method]tcp-socket.keep-alive-enabled",
                "[method]tcp-socket.set-keep-alive-enabled",
                "[method]tcp-socket.keep-alive-idle-time",
                "[method]tcp-socket.set-keep-alive-idle-time",
                "[method]tcp-socket.keep-alive-interval",
                "[method]tcp-socket.set-keep-alive-interval",
                "[method]tcp-socket.keep-alive-count",
                "[method]tcp-socket.set-keep-alive-count",
                "[method]tcp-socket.hop-limit",
                "[method]tcp-socket.set-hop-limit",
                "[method]tcp-socket.receive-buffer-size",
                "[method]tcp-socket.set-receive-buffer-size",
                "[method]tcp-socket.send-buffer-size",
                "[method]tcp-socket.set-send-buffer-size",
                "[method]tcp-socket.subscribe",
                "[method]tcp-socket.shutdown",
            ],
        )],
    },
    Interface {
        name: "wasi:sockets/udp@0.2.12",
        resources: &[
            "udp-socket",
            "incoming-datagram-stream",
            "outgoing-datagram-stream",
        ],
        functions: &[(
            Trap,
            &[
                "[method]udp-socket.start-bind",
                "[method]udp-socket.finish-bind",
                "[method]udp-socket.stream",
                "[method]udp-socket.local-address",
                "[method]udp-socket.remote-address",
                "[method]udp-socket.address-family",
                "[method]udp-socket.unicast-hop-limit",
                "[method]udp-socket.set-unicast-hop-limit",
                "[method]udp-socket.receive-buffer-size",
                "[method]udp-socket.set-receive-buffer-size",
                "[method]udp-socket.send-buffer-size",
                "[method]udp-socket.set-send-buffer-size",
                "[method]udp-socket.subscribe",
                "[method]incoming-datagram-stream.receive",
                "[method]incoming-datagram-stream.subscribe",
                "[method]outgoing-datagram-stream.check-send",
                "[method]outgoing-datagram-stream.send",
                "[method]outgoing-datagram-stream.subscribe",
            ],
        )],
    },
];

const HTTP: &[Interface] = &[
    Interface {
        name: "wasi:http/outgoing-handler@0.2.12",
        resources: &[],
        functions: &[(InternalError, &["handle"])],
    },
    Interface {
        name: "wasi:http/types@0.2.12",
        resources: &[
            "fields",
            "incoming-request",
            "outgoing-request",
            "request-options",
            "response-outparam",
            "incoming-response",
            "incoming-body",
            "future-trailers",
            "outgoing-response",
            "outgoing-body",
            "future-incoming-response",
        ],
        functions: &[
            (
                Ignored,
                &[
                    "[method]fields.set",
                    "[method]fields.delete",
                    "[method]fields.append",
                    "[method]outgoing-request.set-method",
                    "[method]outgoing-request.set-path-with-query",
                    "[method]outgoing-request.set-scheme",
                    "[method]outgoing-request.set-authority",
                    "[method]request-options.set-connect-timeout",
                    "[method]request-options.set-first-byte-timeout",
                    "[method]request-options.set-between-bytes-timeout",
                    "[method]outgoing-response.set-status-code",
                ],
            ),
            (
                Trap,
                &[
                    "http-error-code",
                    "[method]fields.get",
                    "[method]fields.has",
                    "[method]fields.entries",
                    "[method]fields.clone",
                    "[method]incoming-request.method",
                    "[method]incoming-request.path-with-query",
                    "[method]incoming-request.scheme",
                    "[method]incoming-request.authority",
                    "[method]incoming-request.headers",
                    "[method]incoming-request.consume",
                    "[method]outgoing-request.body",
                    "[method]outgoing-request.method",
                    "[method]outgoing-request.path-with-query",
                    "[method]outgoing-request.scheme",
                    "[method]outgoing-request.authority",
                    "[method]outgoing-request.headers",
                    "[method]request-options.connect-timeout",
                    "[method]request-options.first-byte-timeout",
                    "[method]request-options.between-bytes-timeout",
                    "[method]response-outparam.send-informational",
                    "[static]response-outparam.set",
                    "[method]incoming-response.status",
                    "[method]incoming-response.headers",
                    "[method]incoming-response.consume",
                    "[method]incoming-body.stream",
                    "[static]incoming-body.finish",
                    "[method]future-trailers.subscribe",
                    "[method]future-trailers.get",
                    "[method]outgoing-response.status-code",
                    "[method]outgoing-response.headers",
                    "[method]outgoing-response.body",
                    "[method]outgoing-body.write",
                    "[static]outgoing-body.finish",
                    "[method]future-incoming-response.subscribe",
                    "[method]future-incoming-response.get",
                ],
            ),
        ],
    },
];

pub fn add_to_linker<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    for interface in SOCKETS.iter().chain(HTTP) {
        let mut instance = linker.instance(interface.name)?;
        for resource in interface.resources {
            let ty = ResourceType::host::<Unsupported>();
            instance.resource(resource, ty, |_: StoreContextMut<'_, T>, _| Ok(()))?;
        }
        for (answer, names) in interface.functions {
            for name in *names {
                define(&mut instance, interface.name, name, *answer)?;
            }
        }
    }
    let made = || Resource::<Unsupported>::new_own(0);
    let mut instance_network = linker.instance("wasi:sockets/instance-network@0.2.12")?;
    func(
        &mut instance_network,
        "instance-network",
        move |_, (): ()| Ok(made()),
    )?;
    let mut types = linker.instance("wasi:http/types@0.2.12")?;
    func(&mut types, "[constructor]fields", move |_, (): ()| {
        Ok(made())
    })?;
    func(
        &mut types,
        "[static]fields.from-list",
        move |_, (_,): (Vec<(String, Vec<u8>)>,)| Ok(Result::<_, HeaderError>::Ok(made())),
    )?;
    func(
        &mut types,
        "[constructor]request-options",
        move |_, (): ()| Ok(made()),
    )?;
    for name in [
        "[constructor]outgoing-request",
        "[constructor]outgoing-response",
    ] {
        func(
            &mut types,
            name,
            move |_, (_,): (Resource<Unsupported>,)| Ok(made()),
        )?;
    }
    Ok(())
}

/// `wasi:http/types.header-error`.
#[derive(helve::component::ComponentType, helve::component::Lift, helve::component::Lower)]
#[component(variant)]
#[allow(
    dead_code,
    reason = "the type must be whole; no header is ever refused"
)]
enum HeaderError {
    InvalidSyntax,
    Forbidden,
    Immutable,
}

fn define<T: WasiView>(
    instance: &mut LinkerInstance<'_, T>,
    interface: &'static str,
    name: &'static str,
    answer: Answer,
) -> Result<()> {
    instance.func_new(name, move |_: StoreContextMut<'_, T>, _, results| {
        let value = match answer {
            NotSupported => Val::Result(Err(Some(Box::new(Val::Enum("not-supported".into()))))),
            InternalError => {
                let text = Val::String(format!("{interface} is not supported by this host"));
                let case = Val::Variant(
                    "internal-error".into(),
                    Some(Box::new(Val::Option(Some(Box::new(text))))),
                );
                Val::Result(Err(Some(Box::new(case))))
            }
            Ignored => Val::Result(Ok(None)),
            Trap => {
                bail!("the guest called `{name}` of {interface}, which this host does not support")
            }
        };
        if let Some(result) = results.first_mut() {
            *result = value;
        }
        Ok(())
    })
}
