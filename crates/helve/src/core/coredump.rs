//! A store after a trap as a file that debuggers read: WebAssembly's coredump format.
//!
//! ```text
//!   a module:  core (what ran) | coremodules | coreinstances | memories, globals
//!              | data: what is not zero | corestack: the frames
//! ```
//!
//! Frames say function and instruction. Locals and operands are in registers by then and are
//! told as missing. A frame's instance is the first one of its module: code does not tell
//! instances of one module apart.
//!
//! Not here: which frames there were (`backtrace`).
//!
//! # Safety
//!
//! The store is borrowed, so no guest runs while its memories and globals are read; they
//! live as long as it does.

use crate::core::backtrace::Backtrace;
use crate::core::context::AsContext;
use crate::core::module::Module;
use crate::core::store::{Store, StoreOpaque};
use helve_base::core_type::{GlobalType, MemoryType, ValType};
use helve_base::id::*;
use helve_base::{EntityRef, Error};
use std::collections::HashMap;
use std::sync::Arc;
use wasm_encoder as encoder;

/// Bytes of memory that are kept or left out together.
const PAGE: usize = 4096;

impl<T: 'static> Store<T> {
    /// The store's instances, their memories and globals, and the frames that `error` tells,
    /// in WebAssembly's coredump format. `name` says what ran, mostly its file.
    ///
    /// Meant for after a trap; at any other time there are no frames in it. Pages of memory
    /// that are all zero take no room.
    pub fn coredump(&self, name: &str, error: &Error) -> Vec<u8> {
        let context = self.as_context();
        Dump::new(context.opaque()).finish(name, error.downcast_ref())
    }
}

/// What is collected of a store.
struct Dump {
    modules: Vec<Module>,
    /// By address of a module's description: its first instance.
    first: HashMap<*const helve_compile::Module, u32>,
    instances: encoder::CoreDumpInstancesSection,
    memories: encoder::MemorySection,
    globals: encoder::GlobalSection,
    data: encoder::DataSection,
}

impl Dump {
    fn new(store: &StoreOpaque) -> Dump {
        let mut dump = Dump {
            modules: Vec::new(),
            first: HashMap::new(),
            instances: encoder::CoreDumpInstancesSection::new(),
            memories: encoder::MemorySection::new(),
            globals: encoder::GlobalSection::new(),
            data: encoder::DataSection::new(),
        };
        let (mut memories, mut globals) = (HashMap::new(), HashMap::new());
        for (number, instance) in (0u32..).zip(store.instances.values()) {
            let info = &instance.module.inner().info;
            let same = |module: &Module| Arc::ptr_eq(&module.inner().info, info);
            let module = dump.modules.iter().position(same).unwrap_or_else(|| {
                dump.modules.push(instance.module.clone());
                dump.modules.len() - 1
            });
            dump.first.entry(Arc::as_ptr(info)).or_insert(number);
            let mut own_memories = Vec::new();
            for (i, ty) in info.memories.iter() {
                let at = instance.vm.memory(i);
                let next = memories.len() as u32;
                let known = *memories.entry(at).or_insert(next);
                if known == next {
                    dump.memory(ty, at, known);
                }
                own_memories.push(known);
            }
            let mut own_globals = Vec::new();
            for (i, ty) in info.globals.iter() {
                let at = instance.vm.global(i);
                let next = globals.len() as u32;
                let known = *globals.entry(at).or_insert(next);
                if known == next {
                    dump.global(ty, at);
                }
                own_globals.push(known);
            }
            dump.instances
                .instance(module as u32, own_memories, own_globals);
        }
        dump
    }

    fn memory(&mut self, ty: &MemoryType, at: *const helve_base::vmctx::VMMemory, number: u32) {
        // SAFETY: a memory of the store's; see the module.
        let memory = unsafe { helve_vm::memory::Memory::of(at) };
        self.memories.memory(encoder::MemoryType {
            minimum: memory.pages(),
            maximum: ty.maximum,
            memory64: ty.memory64,
            shared: ty.shared,
            page_size_log2: (ty.page_size_log2 != 16).then_some(ty.page_size_log2.into()),
        });
        // SAFETY: as above.
        let bytes = unsafe { &*memory.bytes() };
        let is_zero = |page: &[u8]| page.iter().all(|&byte| byte == 0);
        let mut at = 0;
        for run in bytes
            .chunks(PAGE)
            .collect::<Vec<_>>()
            .chunk_by(|a, b| is_zero(a) == is_zero(b))
        {
            let len = run.iter().map(|page| page.len()).sum::<usize>();
            if !run.first().is_none_or(|page| is_zero(page)) {
                let offset = match ty.memory64 {
                    true => encoder::ConstExpr::i64_const(at as i64),
                    false => encoder::ConstExpr::i32_const(at as u32 as i32),
                };
                let part = bytes.get(at..at + len).unwrap_or(&[]);
                self.data.active(number, &offset, part.iter().copied());
            }
            at += len;
        }
    }

    fn global(&mut self, ty: &GlobalType, at: *const helve_base::vmctx::VMGlobal) {
        use encoder::ConstExpr;
        // SAFETY: a global of the store's, and of this type.
        let value = unsafe { helve_vm::global::get(at) };
        // SAFETY: the field is that of the type.
        let (val_type, init) = unsafe {
            match ty.content {
                ValType::I32 => (encoder::ValType::I32, ConstExpr::i32_const(value.i32)),
                ValType::I64 => (encoder::ValType::I64, ConstExpr::i64_const(value.i64)),
                ValType::F32 => (
                    encoder::ValType::F32,
                    ConstExpr::f32_const(encoder::Ieee32::new(value.f32)),
                ),
                ValType::F64 => (
                    encoder::ValType::F64,
                    ConstExpr::f64_const(encoder::Ieee64::new(value.f64)),
                ),
                ValType::V128 => (
                    encoder::ValType::V128,
                    ConstExpr::v128_const(i128::from_le_bytes(value.v128)),
                ),
                // What a reference refers to has no place in the file.
                ValType::Ref(_) => (
                    encoder::ValType::EXTERNREF,
                    ConstExpr::ref_null(encoder::HeapType::EXTERN),
                ),
            }
        };
        let ty = encoder::GlobalType {
            val_type,
            mutable: ty.mutable,
            shared: false,
        };
        self.globals.global(ty, &init);
    }

    fn finish(self, name: &str, backtrace: Option<&Backtrace>) -> Vec<u8> {
        let mut modules = encoder::CoreDumpModulesSection::new();
        for module in &self.modules {
            modules.module(module.name().unwrap_or("<unnamed>"));
        }
        let mut stack = encoder::CoreDumpStackSection::new("main");
        for frame in backtrace.map_or(&[][..], Backtrace::frames) {
            let info = frame.info();
            let Some(&instance) = self.first.get(&Arc::as_ptr(info)) else {
                continue;
            };
            let module = self
                .modules
                .iter()
                .find(|m| Arc::ptr_eq(&m.inner().info, info));
            let start = module.and_then(|module| body_start(module, frame.func_index()));
            let offset = frame.module_offset().zip(start);
            let offset = offset.map_or(0, |(at, start)| at.saturating_sub(start));
            stack.frame(instance, frame.func_index(), offset, [], []);
        }
        let mut file = encoder::Module::new();
        file.section(&encoder::CoreDumpSection::new(name));
        file.section(&modules);
        file.section(&self.instances);
        file.section(&self.memories);
        file.section(&self.globals);
        file.section(&self.data);
        file.section(&stack);
        file.finish()
    }
}

/// Where a function's body starts in its module.
fn body_start(module: &Module, func: u32) -> Option<u32> {
    let inner = module.inner();
    let bytes = inner.bytes.get(inner.start..)?;
    let defined = inner.info.defined_func(FuncIndex::from_u32(func))?;
    let mut bodies =
        wasmparser::Parser::new(0)
            .parse_all(bytes)
            .filter_map(|payload| match payload.ok()? {
                wasmparser::Payload::CodeSectionEntry(body) => Some(body.range().start as u32),
                _ => None,
            });
    bodies.nth(defined.index())
}
