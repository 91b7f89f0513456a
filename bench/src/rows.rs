//! The workloads: name, component text, and the ratio Helve / Wasmtime to reach.

/// A row of the table.
pub struct Row {
    pub name: &'static str,
    pub text: &'static str,
    /// Helve's time over Wasmtime's, at most.
    pub target: f64,
}

const SCALAR: &str = include_str!("../wat/scalar.wat");
const GUEST_HOST: &str = include_str!("../wat/guest_host.wat");
const RESOURCE_HOST: &str = include_str!("../wat/resource_host.wat");

pub const ROWS: &[Row] = &[
    Row { name: "host-guest-typed", text: SCALAR, target: 1.0 / 25.0 },
    Row { name: "host-guest-dynamic", text: SCALAR, target: 1.0 / 10.0 },
    Row { name: "guest-host", text: GUEST_HOST, target: 1.0 / 20.0 },
    Row { name: "guest-host-dynamic", text: GUEST_HOST, target: 1.0 / 8.0 },
    Row { name: "host-res-method", text: RESOURCE_HOST, target: 1.0 / 12.0 },
    Row { name: "host-res-life", text: RESOURCE_HOST, target: 1.0 / 10.0 },
];
