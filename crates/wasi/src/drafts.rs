//! `wasi:config` and `wasi:keyvalue` as `helve::bindgen!` writes them.
//!
//! An interface that is the same in several drafts is here once; those it is served as stand
//! where it is put into the linker.

helve::bindgen!({
    path: "wit/drafts.wit",
    imports: {
        default: trappable,
        "wasi:keyvalue/*": async | store | trappable,
        "wasi:keyvalue/store.open": trappable,
    },
    trappable_error_type: {
        "wasi:keyvalue/store.error" => crate::keyvalue::KeyFault,
    },
    with: {
        "wasi:keyvalue/store@0.2.0-draft2.error": wasi::keyvalue0_2_0_draft::store::Error,
        "wasi:keyvalue/store.bucket": crate::keyvalue::Open,
        "wasi:keyvalue/atomics.cas": crate::keyvalue::Cas,
    },
});
