//! A guest that passes on what it is called with: made of WIT alone, for any world whose
//! exported interfaces are imported too and whose values hold no handles.
//!
//! ```text
//! (func (export "a:b/i#f") params -> call (import "a:b/i" "f") params -> the results)
//! ```
//! Where a result goes through memory, the export hands on the place that it gave the import.

use std::path::Path;
use wasm_encoder::{
    CodeSection, ConstExpr, EntityType, ExportKind, ExportSection, Function, FunctionSection,
    GlobalSection, GlobalType, ImportSection, Instruction, MemorySection, MemoryType, Module,
    TypeSection, ValType,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::abi::{AbiVariant, WasmType};
use wit_parser::{Resolve, WorldItem};

/// Where results go; allocations start behind it.
const RESULTS: i32 = 16;
const FIRST_FREE: i32 = 4096;

/// The component of a world of the WIT file `path`.
pub fn forwarder(path: &str, world: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(path).expect("WIT");
    let world = resolve
        .select_world(&[package], Some(world))
        .expect("a world");
    let mut parts = Parts::default();
    for (key, item) in &resolve.worlds[world].exports {
        let WorldItem::Interface { id, .. } = item else {
            continue;
        };
        let interface = resolve.name_world_key(key);
        for (name, func) in &resolve.interfaces[*id].functions {
            let import = resolve.wasm_signature(AbiVariant::GuestImport, func);
            let export = resolve.wasm_signature(AbiVariant::GuestExport, func);
            assert_eq!(
                import.retptr, export.retptr,
                "{name}: results go the same way"
            );
            let import_type = parts.func_type(&import.params, &import.results);
            let export_type = parts.func_type(&export.params, &export.results);
            parts
                .imports
                .import(&interface, name, EntityType::Function(import_type));
            parts.count += 1;
            parts.forwards.push((
                export_type,
                export.params.len(),
                import.retptr,
                format!("{interface}#{name}"),
            ));
        }
    }
    let mut module = parts.finish();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)
        .expect("metadata");
    let mut encoder = ComponentEncoder::default();
    let encoder = encoder.validate(true).module(&module);
    encoder.expect("a module").encode().expect("a component")
}

/// The module while it grows.
#[derive(Default)]
struct Parts {
    types: TypeSection,
    type_count: u32,
    imports: ImportSection,
    count: u32,
    /// Type, number of parameters, whether the import gets a place for results, name.
    forwards: Vec<(u32, usize, bool, String)>,
}

impl Parts {
    fn func_type(&mut self, params: &[WasmType], results: &[WasmType]) -> u32 {
        let core = |types: &[WasmType]| types.iter().map(core_type).collect::<Vec<_>>();
        self.types.ty().function(core(params), core(results));
        self.type_count += 1;
        self.type_count - 1
    }

    fn finish(mut self) -> Vec<u8> {
        let realloc = self.func_type(&[WasmType::I32; 4], &[WasmType::I32]);
        let mut functions = FunctionSection::new();
        let mut code = CodeSection::new();
        let mut exports = ExportSection::new();
        for (at, (ty, params, retptr, name)) in self.forwards.iter().enumerate() {
            functions.function(*ty);
            exports.export(name, ExportKind::Func, self.count + at as u32);
            let mut body = Function::new([]);
            for param in 0..*params {
                body.instruction(&Instruction::LocalGet(param as u32));
            }
            if *retptr {
                body.instruction(&Instruction::I32Const(RESULTS));
            }
            body.instruction(&Instruction::Call(at as u32));
            if *retptr {
                body.instruction(&Instruction::I32Const(RESULTS));
            }
            body.instruction(&Instruction::End);
            code.function(&body);
        }
        functions.function(realloc);
        let realloc_index = self.count + self.forwards.len() as u32;
        exports.export("cabi_realloc", ExportKind::Func, realloc_index);
        exports.export("memory", ExportKind::Memory, 0);
        code.function(&bump_allocator());
        let mut memories = MemorySection::new();
        memories.memory(MemoryType {
            minimum: 64,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        let mut globals = GlobalSection::new();
        let ty = GlobalType {
            val_type: ValType::I32,
            mutable: true,
            shared: false,
        };
        globals.global(ty, &ConstExpr::i32_const(FIRST_FREE));
        let mut module = Module::new();
        module
            .section(&self.types)
            .section(&self.imports)
            .section(&functions)
            .section(&memories)
            .section(&globals)
            .section(&exports)
            .section(&code);
        module.finish()
    }
}

/// `realloc` that never frees: the next multiple of 16, after copying nothing, as nothing
/// here grows but what was just made.
fn bump_allocator() -> Function {
    let mut body = Function::new([(1, ValType::I32)]);
    let at = 4;
    for instruction in [
        Instruction::GlobalGet(0),
        Instruction::I32Const(15),
        Instruction::I32Add,
        Instruction::I32Const(-16),
        Instruction::I32And,
        Instruction::LocalTee(at),
        Instruction::LocalGet(3),
        Instruction::I32Add,
        Instruction::GlobalSet(0),
        Instruction::LocalGet(at),
        Instruction::End,
    ] {
        body.instruction(&instruction);
    }
    body
}

fn core_type(ty: &WasmType) -> ValType {
    match ty {
        WasmType::I32 | WasmType::Pointer | WasmType::Length => ValType::I32,
        WasmType::I64 | WasmType::PointerOrI64 => ValType::I64,
        WasmType::F32 => ValType::F32,
        WasmType::F64 => ValType::F64,
    }
}
