//! `wasi:http` 0.3 as `helve::bindgen!` writes it: types, and the traits that this crate
//! implements for [`WasiHttpCtxView`](crate::WasiHttpCtxView).
//!
//! Not here: what it uses of other packages ([`helve_wasi::p3::bindings`]).

helve::bindgen!({
    path: "wit/p3",
    world: "http",
    imports: {
        default: trappable,
        "wasi:http/types.[static]*.new": store | trappable,
        "wasi:http/types.*.consume-body": async | store | trappable,
    },
    trappable_error_type: {
        "wasi:http/types.error-code" => crate::host::error::Fault,
        "wasi:http/types.header-error" => crate::host::fields::Fault,
    },
    with: {
        "wasi:clocks": helve_wasi::p3::bindings::wasi::clocks,
        "wasi:http/types.method": crate::host::message::Method,
        "wasi:http/types.scheme": crate::host::message::Scheme,
        "wasi:http/types.error-code": crate::host::error::ErrorCode,
        "wasi:http/types.DNS-error-payload": crate::host::error::DnsErrorPayload,
        "wasi:http/types.TLS-alert-received-payload": crate::host::error::TlsAlertReceivedPayload,
        "wasi:http/types.field-size-payload": crate::host::error::FieldSizePayload,
        "wasi:http/types.fields": crate::host::fields::Fields,
        "wasi:http/types.request-options": crate::p3::options::Options,
        "wasi:http/types.request": crate::p3::request::Request,
        "wasi:http/types.response": crate::p3::response::Response,
    },
});
