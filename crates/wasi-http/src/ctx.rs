//! What a store needs for HTTP beside what it needs for WASI.

use crate::host::client::Client;
use crate::host::fields::FieldLimits;
use helve::Result;
use helve::component::{HasData, Resource, ResourceTable};
use helve_wasi::{WasiCtx, WasiView};

/// Settings of HTTP for one store. What a guest may send where is in its
/// [`WasiCtx`]: [`helve_wasi::WasiCtxBuilder::net`].
#[derive(Clone, Debug, Default)]
pub struct WasiHttpCtx {
    /// Bounds of each set of fields.
    pub field_limits: FieldLimits,
    /// What sends requests. Contexts may have the same one: its connections are then kept
    /// for all of them.
    pub client: Client,
}

impl WasiHttpCtx {
    /// The defaults, and a client of its own.
    pub fn new() -> WasiHttpCtx {
        WasiHttpCtx::default()
    }

    /// The defaults, and this client.
    pub fn with_client(client: Client) -> WasiHttpCtx {
        WasiHttpCtx {
            field_limits: FieldLimits::default(),
            client,
        }
    }
}

/// A store's HTTP settings, grants and resources.
pub struct WasiHttpCtxView<'a> {
    /// The settings.
    pub http: &'a mut WasiHttpCtx,
    /// The grants.
    pub ctx: &'a mut WasiCtx,
    /// The resources.
    pub table: &'a mut ResourceTable,
}

impl WasiHttpCtxView<'_> {
    /// Takes a resource that a guest has dropped out of the table, for good.
    pub(crate) fn discard<U: 'static>(&mut self, own: Resource<U>) -> Result<()> {
        self.table.delete(own)?;
        Ok(())
    }
}

/// Names [`WasiHttpCtxView`] as what HTTP's traits are implemented for, where
/// `helve::bindgen!` asks for it: `add_to_linker::<T, HasWasiHttp>(linker, T::http)`.
pub struct HasWasiHttp;

impl HasData for HasWasiHttp {
    type Data<'a> = WasiHttpCtxView<'a>;
}

/// What a store's data must offer for HTTP to be linked.
pub trait WasiHttpView: WasiView {
    /// Its settings, context and table.
    fn http(&mut self) -> WasiHttpCtxView<'_>;
}
