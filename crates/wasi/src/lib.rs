//! WASI hosts: what a component gets from the world outside, and only what it was
//! granted.
//!
//! ```text
//!   p2/*, p3/*   thin faces: WASI 0.2's and 0.3's  ---+
//!                names and types                       +--> host/*  one implementation of
//!   preview1  core modules of WASI 0.1, by the         |    each thing, one permission check
//!             published adapter --> 0.2             ---+
//! ```
//!
//! ```no_run
//! use helve::component::{Component, Linker, ResourceTable};
//! use helve::{Config, Engine, Store};
//! use helve_wasi::{WasiCtx, WasiCtxView, WasiView};
//!
//! struct Host { ctx: WasiCtx, table: ResourceTable }
//! impl WasiView for Host {
//!     fn wasi(&mut self) -> WasiCtxView<'_> {
//!         WasiCtxView { ctx: &mut self.ctx, table: &mut self.table }
//!     }
//! }
//!
//! # fn main() -> helve::Result<()> {
//! let engine = Engine::new(&Config::new())?;
//! let component = Component::from_file(&engine, "app.wasm")?;
//! let mut linker = Linker::new(&engine);
//! helve_wasi::p2::add_to_linker(&mut linker)?;
//! let ctx = WasiCtx::builder().args(["app"]).inherit_stdio().build();
//! let mut store = Store::new(&engine, Host { ctx, table: ResourceTable::new() });
//! helve_wasi::p2::Command::instantiate(&mut store, &component, &linker)?.run(&mut store)?;
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod both;
pub mod config;
mod ctx;
mod drafts;
mod error;
pub mod host;
pub mod keyvalue;
pub mod p2;
pub mod p3;
pub mod preview1;

pub use ctx::{HasWasi, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
pub use error::{Fault, I32Exit, Tellable};
pub use host::denied::Denied;
pub use host::fs::{DirPerms, FilePerms};
pub use host::keyvalue::{Bucket, BucketLimits};
pub use host::net::NetRule;
