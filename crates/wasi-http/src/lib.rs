//! `wasi:http` for Helve: the client, and what servers are made of.
//!
//! ```text
//!   p2/*  thin faces: WASI 0.2's names and types   --+
//!   p3/*  the same of WASI 0.3                     --+--> host/*  fields, bodies, client
//!   server  requests of a network to instances     --+
//! ```
//!
//! What a guest may send where is granted with the rest of the network, in
//! [`helve_wasi::WasiCtx`]; without a grant every request is denied.
//!
//! ```no_run
//! use helve::component::{Component, Linker, ResourceTable};
//! use helve::{Config, Engine, Store};
//! use helve_wasi::{WasiCtx, WasiCtxView, WasiView};
//! use helve_wasi_http::server::{AccessLog, ProxyApp, Server, ServerLimits, listen};
//! use helve_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};
//! use std::sync::Arc;
//!
//! struct Host { ctx: WasiCtx, http: WasiHttpCtx, table: ResourceTable }
//! impl WasiView for Host {
//!     fn wasi(&mut self) -> WasiCtxView<'_> {
//!         WasiCtxView { ctx: &mut self.ctx, table: &mut self.table }
//!     }
//! }
//! impl WasiHttpView for Host {
//!     fn http(&mut self) -> WasiHttpCtxView<'_> {
//!         WasiHttpCtxView { http: &mut self.http, ctx: &mut self.ctx, table: &mut self.table }
//!     }
//! }
//!
//! # async fn serve() -> helve::Result<()> {
//! let engine = Engine::new(&Config::new())?;
//! let mut linker = Linker::<Host>::new(&engine);
//! helve_wasi::p2::add_to_linker(&mut linker)?;
//! helve_wasi_http::p2::add_to_linker(&mut linker)?;
//! let component = Component::from_file(&engine, "proxy.wasm")?;
//! // A fresh instance for each request; `p3` and `ServiceApp` for services of WASI 0.3.
//! let app = ProxyApp::new(linker.instantiate_pre(&component)?, 1, move || {
//!     let (ctx, http) = (WasiCtx::builder().build(), WasiHttpCtx::new());
//!     Ok(Store::new(&engine, Host { ctx, http, table: ResourceTable::new() }))
//! })?;
//! let server = Server::new(Arc::new(app), ServerLimits::default(), AccessLog::default());
//! let (listener, local) = listen(([127, 0, 0, 1], 8080).into()).await?;
//! println!("http://{local}/");
//! server.serve(listener).await?;
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod ctx;
pub mod host;
pub mod p2;
pub mod p3;
pub mod server;

pub use ctx::{HasWasiHttp, WasiHttpCtx, WasiHttpCtxView, WasiHttpView};
