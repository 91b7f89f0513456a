//! The world of a component, as WIT.
//!
//! Reading and printing is wit-component's. Packages that `helve run` supplies are left
//! out of what people see first: their interfaces are long, and the same everywhere.

use helve::{Context as _, Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use wit_component::{DecodedWasm, WitPrinter};
use wit_parser::{PackageId, Resolve};

/// WIT of a component or a WIT package.
pub struct Wit {
    /// The main package, and others but those of WASI.
    pub own: String,
    /// All packages.
    pub all: String,
    /// The packages that `own` leaves out.
    pub left_out: Vec<String>,
    /// Whether it comes from a WIT package: there is no component around it.
    pub is_package: bool,
}

/// The WIT of what `bytes` holds.
///
/// # Errors
///
/// Where the component has imports or exports that WIT cannot express: core modules,
/// components, plain instances.
pub fn of(bytes: &[u8]) -> Result<Wit> {
    // The decoder is not ours, and the file is anybody's: a panic in it is an error like
    // another, without the lines about the thread.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let decoded = catch_unwind(AssertUnwindSafe(|| print(bytes)));
    std::panic::set_hook(hook);
    let decoded = decoded.unwrap_or_else(|_| Err(Error::msg("the WIT decoder gave up")));
    decoded.context("it has parts that WIT does not express")
}

fn print(bytes: &[u8]) -> Result<Wit> {
    let wrong = |e: anyhow::Error| Error::msg(format!("{e:#}"));
    let decoded = wit_component::decode(bytes).map_err(wrong)?;
    let (resolve, main) = (decoded.resolve(), decoded.package());
    let others: Vec<PackageId> = resolve
        .package_names
        .values()
        .copied()
        .filter(|id| *id != main)
        .collect();
    let is_wasi = |id: &PackageId| {
        resolve
            .packages
            .get(*id)
            .is_some_and(|package| package.name.namespace == "wasi")
    };
    let (wasi, ours): (Vec<PackageId>, Vec<PackageId>) = others.iter().partition(|id| is_wasi(id));
    let name = |id: &PackageId| {
        resolve
            .packages
            .get(*id)
            .map(|package| package.name.to_string())
    };
    Ok(Wit {
        own: text(resolve, main, &ours).map_err(wrong)?,
        all: text(resolve, main, &others).map_err(wrong)?,
        left_out: wasi.iter().filter_map(name).collect(),
        is_package: matches!(decoded, DecodedWasm::WitPackage(..)),
    })
}

fn text(resolve: &Resolve, main: PackageId, nested: &[PackageId]) -> anyhow::Result<String> {
    let mut printer = WitPrinter::default();
    printer.print(resolve, main, nested)?;
    let mut text = printer.output.to_string();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}
