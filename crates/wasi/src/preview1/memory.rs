//! Core modules of toolchains that the adapter was not made with: their memory and their
//! empty writes.
//!
//! The adapter keeps its state in pages that it adds to the guest's memory. Allocators of
//! the LLVM family live with pages that others have added; some (AssemblyScript's) count
//! every page as theirs, and overwrite it. For these, `memory.size` and `memory.grow` are
//! sent to two functions that are added to the module:
//!
//! ```text
//!   0          what the guest believes in         FAR      the adapter's pages
//!   |--------------------------|..................|--------|
//!                    a global says where it ends
//! ```
//!
//! And the adapter says that a write of nothing went well, whatever the descriptor is;
//! `fd_write` without buffers asks `fd_datasync` first, which knows.
//!
//! The memory is `FAR` long from the beginning; pages that nobody touches cost nothing.
//! Where a module has no memory, global or code of its own, it stays as it is.

use helve::{Error, Result};
use std::convert::Infallible;
use wasm_encoder::reencode::{self, Reencode, utils};
use wasm_encoder::{ConstExpr, Function, GlobalType, Instruction, MemoryType, ValType};
use wasmparser::{Operator, Parser, Payload};

/// Pages that the guest can have: 2 GiB.
const FAR: u32 = 32_768;

const MODULE: &str = "wasi_snapshot_preview1";

/// `errno.badf`.
const BADF: i32 = 8;

/// What a module's added parts are numbered with.
#[derive(Default)]
struct Counts {
    types: u32,
    functions: u32,
    globals: u32,
    memories: u32,
    own_memory: Option<wasmparser::MemoryType>,
    has_code: bool,
    own_globals: bool,
    /// Imports of `fd_write`, and their types.
    fd_write: Vec<(u32, u32)>,
    imported_functions: u32,
}

impl Counts {
    fn of(module: &[u8]) -> Option<Counts> {
        let mut counts = Counts::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload.ok()? {
                Payload::TypeSection(types) => {
                    for group in types {
                        counts.types += u32::try_from(group.ok()?.types().len()).ok()?;
                    }
                }
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        let import = import.ok()?;
                        match import.ty {
                            wasmparser::TypeRef::Func(ty) => {
                                if import.module == MODULE && import.name == "fd_write" {
                                    counts.fd_write.push((counts.functions, ty));
                                }
                                counts.functions += 1;
                                counts.imported_functions += 1;
                            }
                            wasmparser::TypeRef::Global(_) => counts.globals += 1,
                            wasmparser::TypeRef::Memory(_) => counts.memories += 1,
                            _ => {}
                        }
                    }
                }
                Payload::FunctionSection(functions) => counts.functions += functions.count(),
                Payload::GlobalSection(globals) => {
                    counts.globals += globals.count();
                    counts.own_globals = true;
                }
                Payload::MemorySection(memories) => {
                    counts.memories += memories.count();
                    counts.own_memory = memories.into_iter().next()?.ok();
                }
                Payload::CodeSectionStart { .. } => counts.has_code = true,
                _ => {}
            }
        }
        Some(counts)
    }
}

/// Writes a module again, with sizes of its own.
struct Own {
    first_type: u32,
    first_function: u32,
    end: u32,
    /// Pages at first, and at most.
    least: u32,
    most: u32,
    /// Imports of `fd_write` and their types.
    fd_write: Vec<(u32, u32)>,
    /// Functions that are imported, `fd_datasync` for us not counted.
    imported: u32,
}

type Done = Result<(), reencode::Error<Infallible>>;

impl Reencode for Own {
    type Error = Infallible;

    fn instruction<'a>(
        &mut self,
        operator: Operator<'a>,
    ) -> Result<Instruction<'a>, reencode::Error<Infallible>> {
        match operator {
            Operator::MemorySize { mem: 0 } => Ok(Instruction::Call(self.first_function)),
            Operator::MemoryGrow { mem: 0 } => Ok(Instruction::Call(self.first_function + 1)),
            Operator::Call { function_index }
                if self
                    .fd_write
                    .iter()
                    .any(|(write, _)| *write == function_index) =>
            {
                Ok(Instruction::Call(self.first_function + 2))
            }
            other => utils::instruction(self, other),
        }
    }

    fn parse_type_section(
        &mut self,
        types: &mut wasm_encoder::TypeSection,
        section: wasmparser::TypeSectionReader<'_>,
    ) -> Done {
        utils::parse_type_section(self, types, section)?;
        types.ty().function([], [ValType::I32]);
        types.ty().function([ValType::I32], [ValType::I32]);
        Ok(())
    }

    fn parse_import_section(
        &mut self,
        imports: &mut wasm_encoder::ImportSection,
        section: wasmparser::ImportSectionReader<'_>,
    ) -> Done {
        utils::parse_import_section(self, imports, section)?;
        if !self.fd_write.is_empty() {
            let ty = wasm_encoder::EntityType::Function(self.first_type + 1);
            imports.import(MODULE, "fd_datasync", ty);
        }
        Ok(())
    }

    /// Functions of the module's own come after one more import.
    fn function_index(&mut self, index: u32) -> Result<u32, reencode::Error<Infallible>> {
        let moved = !self.fd_write.is_empty() && index >= self.imported;
        Ok(index + u32::from(moved))
    }

    fn parse_function_section(
        &mut self,
        functions: &mut wasm_encoder::FunctionSection,
        section: wasmparser::FunctionSectionReader<'_>,
    ) -> Done {
        utils::parse_function_section(self, functions, section)?;
        functions.function(self.first_type);
        functions.function(self.first_type + 1);
        if let Some((_, ty)) = self.fd_write.first() {
            functions.function(*ty);
        }
        Ok(())
    }

    fn parse_global_section(
        &mut self,
        globals: &mut wasm_encoder::GlobalSection,
        section: wasmparser::GlobalSectionReader<'_>,
    ) -> Done {
        utils::parse_global_section(self, globals, section)?;
        let ty = GlobalType {
            val_type: ValType::I32,
            mutable: true,
            shared: false,
        };
        globals.global(ty, &ConstExpr::i32_const(self.least.cast_signed()));
        Ok(())
    }

    fn memory_type(
        &mut self,
        ty: wasmparser::MemoryType,
    ) -> Result<MemoryType, reencode::Error<Infallible>> {
        Ok(MemoryType {
            minimum: self.most.into(),
            maximum: None,
            ..utils::memory_type(self, ty)
        })
    }

    fn parse_code_section(
        &mut self,
        code: &mut wasm_encoder::CodeSection,
        section: wasmparser::CodeSectionReader<'_>,
    ) -> Done {
        utils::parse_code_section(self, code, section)?;
        code.function(&self.size());
        code.function(&self.grow());
        if let Some((write, _)) = self.fd_write.first() {
            code.function(&self.write(*write));
        }
        Ok(())
    }
}

impl Own {
    fn size(&self) -> Function {
        let mut function = Function::new([]);
        function.instructions().global_get(self.end).end();
        function
    }

    fn grow(&self) -> Function {
        let mut function = Function::new([]);
        function
            .instructions()
            .local_get(0)
            .i32_const(self.most.cast_signed())
            .global_get(self.end)
            .i32_sub()
            .i32_gt_u()
            .if_(wasm_encoder::BlockType::Result(ValType::I32))
            .i32_const(-1)
            .else_()
            .global_get(self.end)
            .global_get(self.end)
            .local_get(0)
            .i32_add()
            .global_set(self.end)
            .end()
            .end();
        function
    }
}

impl Own {
    fn write(&self, fd_write: u32) -> Function {
        let mut function = Function::new([]);
        function
            .instructions()
            // No buffer, and no such descriptor?
            .local_get(2)
            .i32_eqz()
            .if_(wasm_encoder::BlockType::Empty)
            .local_get(0)
            .call(self.imported)
            .i32_const(BADF)
            .i32_eq()
            .if_(wasm_encoder::BlockType::Empty)
            .i32_const(BADF)
            .return_()
            .end()
            .end()
            .local_get(0)
            .local_get(1)
            .local_get(2)
            .local_get(3)
            .call(fd_write)
            .end();
        function
    }
}

/// The module with a memory that it has for itself; `None` where nothing is to be done.
///
/// # Errors
/// Where the module is not valid.
pub fn own_memory(module: &[u8]) -> Result<Option<Vec<u8>>> {
    let Some(counts) = Counts::of(module) else {
        return Ok(None);
    };
    let Some(memory) = counts.own_memory.filter(|_| counts.memories == 1) else {
        return Ok(None);
    };
    let least = u32::try_from(memory.initial).unwrap_or(u32::MAX);
    let declared = memory.maximum.and_then(|most| u32::try_from(most).ok());
    let most = declared.unwrap_or(FAR).min(FAR);
    if !counts.has_code || !counts.own_globals || memory.memory64 || least > most {
        return Ok(None);
    }
    let mut own = Own {
        first_type: counts.types,
        first_function: counts.functions + u32::from(!counts.fd_write.is_empty()),
        end: counts.globals,
        least,
        most,
        fd_write: counts.fd_write,
        imported: counts.imported_functions,
    };
    let mut written = wasm_encoder::Module::new();
    own.parse_core_module(&mut written, Parser::new(0), module)
        .map_err(|e| Error::msg(format!("not a valid core module: {e}")))?;
    Ok(Some(written.finish()))
}
