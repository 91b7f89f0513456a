//! `wasi:http` 0.2 as `helve::bindgen!` writes it: types, and the traits that this crate
//! implements for [`WasiHttpCtxView`](crate::WasiHttpCtxView).
//!
//! Not here: what it uses of other packages ([`helve_wasi::p2::bindings`]).

helve::bindgen!({
    path: "wit/p2",
    world: "http",
    features: ["informational-outbound-responses"],
    imports: { default: trappable },
    exports: { default: async },
    trappable_error_type: {
        "wasi:http/types.error-code" => crate::host::error::Fault,
        "wasi:http/types.header-error" => crate::host::fields::Fault,
    },
    with: {
        "wasi:io": helve_wasi::p2::bindings::wasi::io,
        "wasi:clocks": helve_wasi::p2::bindings::wasi::clocks,
        "wasi:http/types.method": crate::host::message::Method,
        "wasi:http/types.scheme": crate::host::message::Scheme,
        "wasi:http/types.error-code": crate::host::error::ErrorCode,
        "wasi:http/types.DNS-error-payload": crate::host::error::DnsErrorPayload,
        "wasi:http/types.TLS-alert-received-payload": crate::host::error::TlsAlertReceivedPayload,
        "wasi:http/types.field-size-payload": crate::host::error::FieldSizePayload,
        "wasi:http/types.fields": crate::host::fields::Fields,
        "wasi:http/types.request-options": crate::host::message::RequestOptions,
        "wasi:http/types.incoming-request": crate::p2::incoming::IncomingRequest,
        "wasi:http/types.incoming-response": crate::p2::incoming::IncomingResponse,
        "wasi:http/types.incoming-body": crate::p2::body::Incoming,
        "wasi:http/types.future-trailers": crate::p2::body::FutureTrailers,
        "wasi:http/types.outgoing-request": crate::p2::outgoing::OutgoingRequest,
        "wasi:http/types.outgoing-response": crate::p2::outgoing::OutgoingResponse,
        "wasi:http/types.outgoing-body": crate::p2::body::Outgoing,
        "wasi:http/types.future-incoming-response": crate::p2::outgoing::FutureResponse,
        "wasi:http/types.response-outparam": crate::p2::proxy::ResponseOutparam,
    },
});
