//! Resources: a guest's own, across components, the host's.

use super::{Row, guest};

const OWN: &str = include_str!("../../wat/resource_own.wat");
const G2G: &str = include_str!("../../wat/resource_g2g.wat");
const HOST: &str = include_str!("../../wat/resource_host.wat");

pub const ROWS: &[Row] = &[
    guest("res-own-trio", OWN, "run", 1.0 / 25.0).what("new + rep + drop"),
    guest("res-own-rep", OWN, "run-rep", 1.0 / 20.0).what("rep"),
    guest("res-method", G2G, "run-method", 1.0 / 25.0).what("borrow to the definer"),
    guest("res-third", G2G, "run-third", 1.0 / 20.0)
        .what("borrow to a third component, dropped there"),
    guest("res-transfer", G2G, "run-own", 1.0 / 20.0).what("own there and back"),
    guest("res-life", G2G, "run-life", 1.0 / 20.0).what("make and drop across"),
    guest("host-res-method", HOST, "run", 1.0 / 12.0).what("method of the host's resource"),
    guest("host-res-life", HOST, "run-life", 1.0 / 10.0).what("constructor + drop of the host's"),
];
