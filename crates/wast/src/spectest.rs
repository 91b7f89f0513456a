//! The module `spectest` that the official core scripts import: functions that print
//! nothing, four globals, a table of 10 to 20 functions, a memory of 1 to 2 pages, and a
//! shared one.
//!
//! Not here: modules that a script registers itself.

use helve::core::{
    FuncType, Global, GlobalType, Linker, Memory, MemoryType, Ref, RefType, Table, TableType, Val,
    ValType,
};
use helve::{Result, Store};

/// Defines `spectest` in `linker`.
pub fn define(linker: &mut Linker<()>, store: &mut Store<()>) -> Result<()> {
    use ValType::{F32, F64, I32, I64};
    let prints: [(&str, &[ValType]); 7] = [
        ("print", &[]),
        ("print_i32", &[I32]),
        ("print_i64", &[I64]),
        ("print_f32", &[F32]),
        ("print_f64", &[F64]),
        ("print_i32_f32", &[I32, F32]),
        ("print_f64_f64", &[F64, F64]),
    ];
    for (name, params) in prints {
        let ty = FuncType::new(params.iter().copied(), []);
        linker.func_new("spectest", name, ty, |_caller, _params, _results| Ok(()))?;
    }
    let globals = [
        ("global_i32", I32, Val::I32(666)),
        ("global_i64", I64, Val::I64(666)),
        ("global_f32", F32, Val::F32(0x4426_a666)),
        ("global_f64", F64, Val::F64(0x4084_d4cc_cccc_cccd)),
    ];
    for (name, content, value) in globals {
        let global = Global::new(
            &mut *store,
            GlobalType {
                content,
                mutable: false,
            },
            value,
        )?;
        linker.define("spectest", name, global)?;
    }
    for (name, table64) in [("table", false), ("table64", true)] {
        let ty = TableType {
            element: RefType::FUNCREF,
            minimum: 10,
            maximum: Some(20),
            table64,
        };
        let table = Table::new(&mut *store, ty, Ref::Func(None))?;
        linker.define("spectest", name, table)?;
    }
    let ty = MemoryType {
        minimum: 1,
        maximum: Some(2),
        memory64: false,
        shared: false,
        page_size_log2: 16,
    };
    let memory = Memory::new(&mut *store, ty)?;
    linker.define("spectest", "memory", memory)?;
    let memory = Memory::new(&mut *store, MemoryType { shared: true, ..ty })?;
    linker.define("spectest", "shared_memory", memory)
}
