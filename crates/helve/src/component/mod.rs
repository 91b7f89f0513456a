//! The Component Model: components, their linker, instances, functions and values.
//!
//! ```
//! use helve::component::{Component, Linker};
//! use helve::{Config, Engine, Result, Store};
//!
//! # fn main() -> Result<()> {
//! let engine = Engine::new(&Config::new())?;
//! let component = Component::new(&engine, r#"(component
//!     (import "double" (func $double (param "x" u32) (result u32)))
//!     (core func $lowered (canon lower (func $double)))
//!     (core module $m
//!         (import "" "double" (func $double (param i32) (result i32)))
//!         (func (export "run") (param i32) (result i32)
//!             (i32.add (call $double (local.get 0)) (i32.const 1))))
//!     (core instance $i (instantiate $m (with "" (instance (export "double" (func $lowered))))))
//!     (func (export "run") (param "x" u32) (result u32) (canon lift (core func $i "run"))))"#)?;
//! let mut linker = Linker::new(&engine);
//! linker.root().func_wrap("double", |_cx, (x,): (u32,)| Ok((x * 2,)))?;
//! let mut store = Store::new(&engine, ());
//! let instance = linker.instantiate(&mut store, &component)?;
//! let run = instance.get_typed_func::<(u32,), (u32,)>(&mut store, "run")?;
//! assert_eq!(run.call(&mut store, (20,))?, (41,));
//! # Ok(())
//! # }
//! ```

mod artifact;
mod builtins;
mod call;
#[allow(clippy::module_inception)]
pub(crate) mod component;
pub(crate) mod concurrent;
mod drive;
mod ending;
mod func;
mod fused;
mod handles;
mod has_data;
mod history;
mod hook;
mod hot;
pub mod inspect;
mod instance;
mod instance_pre;
mod json;
mod late;
mod lift;
mod link;
mod linked;
mod linker;
mod lower;
mod making;
mod meter;
mod part;
mod reexport;
mod resource;
mod resource_table;
mod span;
mod state;
pub(crate) mod store;
pub mod typed;
pub mod types;
mod value;
mod wave;
mod wave_handles;
mod wide_reps;

pub use component::Component;
#[doc(hidden)]
pub use concurrent::steps;
pub use concurrent::{
    Accessor, Call, Cancelled, Destination, Flat, FutureReader, FutureWriter, Source, Stall,
    StalledTask, StalledThread, StreamConsumer, StreamProducer, StreamReader, StreamState,
    StreamWriter, future, stream,
};
pub use drive::ends::{FutureAny, StreamAny};
pub use drive::error_context::ErrorContext;
pub use ending::LeakReport;
pub use func::{Func, TypedFunc};
pub use has_data::{Access, HasData, HasSelf};
pub use helve_decode::plan::NameAttributes;
pub use helve_macros::{ComponentType, Lift, Lower, bindgen, flags};
pub use helve_model::Readings;
pub use hook::{CallHook, Crossing};
pub use instance::{ExportIndex, ExportLookup, Instance};
pub use instance_pre::InstancePre;
pub use linker::{Linker, LinkerInstance};
pub use resource::{Resource, ResourceAny, ResourceType};
pub use resource_table::{ResourceTable, ResourceTableError};
pub use typed::{ComponentNamedList, ComponentType, Lift, Lower, WasmList, WasmStr};
pub use types::Type;
pub use value::Val;
pub use wave::Invocation;
