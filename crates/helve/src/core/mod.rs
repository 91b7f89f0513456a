//! Core WebAssembly: modules, instances and what they export.
//!
//! The component half stands on this one and is all that most embedders need.
//!
//! ```
//! use helve::core::{Linker, Module};
//! use helve::{Config, Engine, Result, Store};
//!
//! # fn main() -> Result<()> {
//! let engine = Engine::new(&Config::new())?;
//! let module = Module::new(&engine, r#"(module
//!     (import "host" "double" (func $double (param i32) (result i32)))
//!     (func (export "run") (param i32) (result i32)
//!         (i32.add (call $double (local.get 0)) (i32.const 1))))"#)?;
//! let mut linker = Linker::new(&engine);
//! linker.func_wrap("host", "double", |x: i32| x * 2)?;
//! let mut store = Store::new(&engine, ());
//! let instance = linker.instantiate(&mut store, &module)?;
//! let run = instance.get_typed_func::<i32, i32>(&store, "run")?;
//! assert_eq!(run.call(&mut store, 20)?, 41);
//! # Ok(())
//! # }
//! ```

pub(crate) mod allocation;
pub(crate) mod artifact;
pub(crate) mod asynchronous;
pub(crate) mod backtrace;
pub(crate) mod cache;
pub(crate) mod config;
pub(crate) mod const_expr;
pub(crate) mod context;
pub(crate) mod coredump;
pub(crate) mod disassemble;
pub(crate) mod engine;
pub(crate) mod exception;
pub(crate) mod externs;
pub(crate) mod func;
pub(crate) mod global;
pub(crate) mod host;
pub(crate) mod image;
pub(crate) mod instance;
pub(crate) mod instances;
pub(crate) mod instantiate;
pub(crate) mod interrupt;
pub(crate) mod lazy;
pub(crate) mod limits;
pub(crate) mod linker;
pub(crate) mod memory;
pub(crate) mod module;
pub(crate) mod shared_memory;
pub(crate) mod slots;
pub(crate) mod store;
pub(crate) mod symbols;
pub(crate) mod table;
pub(crate) mod tier;
pub(crate) mod trampolines;
pub(crate) mod typed;
pub(crate) mod types;
pub(crate) mod value;
pub(crate) mod wrap;

pub use exception::ExnRef;
pub use externs::Extern;
pub use func::Func;
pub use global::{Global, Tag};
pub use helve_base::core_type::{
    ExternType, FuncType, GlobalType, HeapType, MemoryType, RefType, TableType, ValType,
};
pub use instance::Instance;
pub use linker::Linker;
pub use memory::Memory;
pub use module::Module;
pub use shared_memory::{SharedMemory, WaitResult};
pub use table::Table;
pub use typed::{TypedFunc, WasmParams, WasmResults, WasmTy};
pub use value::{ExternRef, Ref, Val};
pub use wrap::{Caller, IntoFunc, WasmRet};
