//! Bytes to [`Translation`]: one walk over the sections, validating as it goes.
//!
//! `wasmparser` validates; function bodies are validated in parallel once the sections
//! before them are known. What comes out is valid, so whatever reads it later may rely
//! on the rules of validation, though not panic if they were broken.
//!
//! Not here: the machine code of bodies (`func`).

use crate::bytes::Bytes;
use crate::debug::DebugSections;
use crate::features::Features;
use crate::module::*;
use crate::names::FunctionNames;
use crate::types;
use helve_base::id::*;
use helve_base::vmctx::VMOffsets;
use helve_base::{Error, PrimaryMap, Result, ensure};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;
use wasmparser::{
    BinaryReader, ElementItems, ElementKind, Encoding, FuncToValidate, FuncValidatorAllocations,
    FunctionBody, KnownCustom, Name, Operator, Parser, Payload, TableInit, TypeRef, ValidPayload,
    Validator, ValidatorResources,
};

/// A validated module: what it is, and where its function bodies are.
#[derive(Clone, Debug)]
pub struct Translation {
    module: Arc<Module>,
    bytes: Bytes,
    bodies: Arc<PrimaryMap<DefinedFuncIndex, Range<usize>>>,
    features: Features,
}

impl Translation {
    /// What the module is.
    pub fn module(&self) -> &Arc<Module> {
        &self.module
    }

    /// The bytes it was read from.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Where each function's body is in the bytes.
    pub fn bodies(&self) -> &PrimaryMap<DefinedFuncIndex, Range<usize>> {
        &self.bodies
    }

    /// One function's body, to be read again.
    pub(crate) fn body(&self, func: DefinedFuncIndex) -> Option<FunctionBody<'_>> {
        let range = self.bodies.get(func)?.clone();
        let start = range.start as u64;
        let bytes = self.bytes.get(range)?;
        let features = self.features.as_wasmparser();
        Some(FunctionBody::new(BinaryReader::new_features(
            bytes, start, features,
        )))
    }
}

/// Reads and validates a core module.
///
/// # Errors
///
/// Where the bytes are not a module, or one that uses a feature that is not enabled.
pub fn translate(wasm: impl Into<Bytes>, features: Features) -> Result<Translation> {
    translate_bytes(wasm.into(), features, Some(validator(features)))
}

/// Reads a core module that was validated before: it is not validated again. What comes out
/// of bytes that are none is good for nothing, but does no harm.
///
/// # Errors
///
/// Where the bytes cannot be read as a module.
pub fn translate_validated(wasm: impl Into<Bytes>, features: Features) -> Result<Translation> {
    translate_bytes(wasm.into(), features, None)
}

fn validator(features: Features) -> Validator {
    Validator::new_with_features(features.as_wasmparser())
}

fn translate_bytes(
    bytes: Bytes,
    features: Features,
    validator: Option<Validator>,
) -> Result<Translation> {
    ensure!(
        u32::try_from(bytes.len()).is_ok_and(|len| len < u32::MAX),
        "the module is {} bytes long, the limit is 4 GiB",
        bytes.len()
    );
    let mut reader = Reader {
        module: Module::empty(),
        bodies: PrimaryMap::new(),
        to_validate: Vec::new(),
        validator,
        code_start: 0,
        debug: Vec::new(),
        names: None,
    };
    let mut parser = Parser::new(0);
    parser.set_features(features.as_wasmparser());
    for payload in parser.parse_all(&bytes) {
        reader.payload(payload?)?;
    }
    validate_bodies(std::mem::take(&mut reader.to_validate), features)?;
    let Reader {
        mut module,
        bodies,
        code_start,
        debug,
        names,
        ..
    } = reader;
    if let Some(section) = names.and_then(|range| bytes.slice(range)) {
        module.names = FunctionNames::new(section);
    }
    module.debug = DebugSections::new(&bytes, code_start, debug);
    finish(&mut module);
    Ok(Translation {
        module: Arc::new(module),
        bytes,
        bodies: Arc::new(bodies),
        features,
    })
}

type Unvalidated<'a> = (FuncToValidate<ValidatorResources>, FunctionBody<'a>);

fn validate_bodies(bodies: Vec<Unvalidated<'_>>, features: Features) -> Result<()> {
    let validate = |allocs: &mut FuncValidatorAllocations, (mut func, body): Unvalidated<'_>| {
        func.features = features.proposals();
        let mut validator = func.into_validator(std::mem::take(allocs));
        let result = validator.validate(&body);
        *allocs = validator.into_allocations();
        result.map_err(Error::from)
    };
    // Where several bodies are invalid, the first one in the file is reported.
    let failures: Vec<(u64, Error)> = bodies
        .into_par_iter()
        .with_min_len(64)
        .map_init(FuncValidatorAllocations::default, |allocs, one| {
            let start = one.1.range().start;
            validate(allocs, one).err().map(|e| (start, e))
        })
        .flatten_iter()
        .collect();
    match failures.into_iter().min_by_key(|(start, _)| *start) {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}

/// The walk over the sections.
struct Reader<'a> {
    module: Module,
    bodies: PrimaryMap<DefinedFuncIndex, Range<usize>>,
    to_validate: Vec<Unvalidated<'a>>,
    /// `None` where what is read is known to be valid.
    validator: Option<Validator>,
    /// Where the code section's contents start.
    code_start: u32,
    /// Where the DWARF is.
    debug: Vec<(Box<str>, Range<usize>)>,
    /// Where the names are.
    names: Option<Range<usize>>,
}

impl<'a> Reader<'a> {
    fn payload(&mut self, payload: Payload<'a>) -> Result<()> {
        if let Payload::Version {
            encoding: Encoding::Component,
            ..
        } = payload
        {
            helve_base::bail!("this is a component; a core module was expected");
        }
        if let Some(validator) = &mut self.validator
            && let ValidPayload::Func(func, body) = validator.payload(&payload)?
        {
            self.to_validate.push((func, body));
        }
        if let Payload::CodeSectionEntry(body) = &payload {
            let range = body.range();
            self.bodies.push(range.start as usize..range.end as usize);
            return Ok(());
        }
        self.section(payload)
    }

    /// The sections that declare what there is.
    fn section(&mut self, payload: Payload<'a>) -> Result<()> {
        match payload {
            Payload::TypeSection(section) => {
                for group in section {
                    let before = self.module.types.len();
                    for ty in group?.into_types() {
                        self.module.types.push(types::func_type(&ty)?);
                    }
                    let count = self.module.types.len() - before;
                    self.module.type_groups.push(count as u32);
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    self.import(import?)?;
                }
            }
            Payload::FunctionSection(section) => {
                self.module.functions.reserve(expected(section.count()));
                self.bodies.reserve(expected(section.count()));
                for ty in section {
                    self.module.functions.push(TypeIndex::from_u32(ty?));
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    let table = table?;
                    self.module.tables.push(types::table_type(&table.ty)?);
                    self.module.table_inits.push(match table.init {
                        TableInit::RefNull => None,
                        TableInit::Expr(expr) => Some(const_expr(&expr)?),
                    });
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    self.module.memories.push(types::memory_type(&memory?));
                    self.module.counts.defined_memories += 1;
                }
            }
            Payload::TagSection(section) => {
                for tag in section {
                    self.module
                        .tags
                        .push(TypeIndex::from_u32(tag?.func_type_idx));
                    self.module.counts.defined_tags += 1;
                }
            }
            Payload::GlobalSection(section) => {
                for global in section {
                    let global = global?;
                    self.module.globals.push(types::global_type(&global.ty)?);
                    self.module
                        .global_inits
                        .push(const_expr(&global.init_expr)?);
                }
            }
            Payload::StartSection { func, .. } => {
                self.module.start = Some(FuncIndex::from_u32(func))
            }
            other => self.late_section(other)?,
        }
        Ok(())
    }

    /// The sections that fill what the ones before them declared.
    fn late_section(&mut self, payload: Payload<'a>) -> Result<()> {
        match payload {
            Payload::ExportSection(section) => {
                self.module.exports.reserve(expected(section.count()));
                self.module.export_of.reserve(expected(section.count()));
                for export in section {
                    let export = export?;
                    let entity = types::entity(export.kind, export.index)?;
                    self.module
                        .export_of
                        .insert(export.name.to_string(), self.module.exports.len());
                    self.module.exports.push(Export {
                        name: export.name.to_string(),
                        entity,
                    });
                }
            }
            Payload::ElementSection(section) => {
                for elem in section {
                    let segment = elem_segment(elem?)?;
                    self.module.elems.push(segment);
                }
            }
            Payload::DataSection(section) => {
                self.module.data.reserve(expected(section.count()));
                for data in section {
                    let data = data?;
                    let end = data.range.end as usize;
                    let mode = match data.kind {
                        wasmparser::DataKind::Passive => DataMode::Passive,
                        wasmparser::DataKind::Active {
                            memory_index,
                            offset_expr,
                        } => DataMode::Active {
                            memory: MemoryIndex::from_u32(memory_index),
                            offset: const_expr(&offset_expr)?,
                        },
                    };
                    // A segment's bytes are the last thing in it.
                    let range = end.saturating_sub(data.data.len())..end;
                    self.module.data.push(DataSegment { mode, range });
                }
            }
            Payload::CustomSection(section) => {
                if let KnownCustom::Name(names) = section.as_known() {
                    let end = section.range().end as usize;
                    self.names = Some(end.saturating_sub(section.data().len())..end);
                    self.module_name(names);
                }
                if section.name().starts_with(".debug_") {
                    let end = section.range().end as usize;
                    let range = end.saturating_sub(section.data().len())..end;
                    self.debug.push((section.name().into(), range));
                }
            }
            Payload::CodeSectionStart {
                unchecked_range, ..
            } => self.code_start = unchecked_range.start as u32,
            _ => {}
        }
        Ok(())
    }

    fn import(&mut self, import: wasmparser::Import<'_>) -> Result<()> {
        let m = &mut self.module;
        let entity = match import.ty {
            TypeRef::Func(ty) | TypeRef::FuncExact(ty) => {
                m.counts.imported_functions += 1;
                EntityIndex::Func(m.functions.push(TypeIndex::from_u32(ty)))
            }
            TypeRef::Table(ty) => {
                m.counts.imported_tables += 1;
                EntityIndex::Table(m.tables.push(types::table_type(&ty)?))
            }
            TypeRef::Memory(ty) => {
                m.counts.imported_memories += 1;
                EntityIndex::Memory(m.memories.push(types::memory_type(&ty)))
            }
            TypeRef::Global(ty) => {
                m.counts.imported_globals += 1;
                EntityIndex::Global(m.globals.push(types::global_type(&ty)?))
            }
            TypeRef::Tag(ty) => {
                m.counts.imported_tags += 1;
                EntityIndex::Tag(m.tags.push(TypeIndex::from_u32(ty.func_type_idx)))
            }
        };
        let (module, name) = (import.module.to_string(), import.name.to_string());
        m.imports.push(Import {
            module,
            name,
            entity,
        });
        Ok(())
    }

    /// Malformed names do no harm: what cannot be read is left out.
    fn module_name(&mut self, section: wasmparser::NameSectionReader<'a>) {
        for part in section.into_iter().map_while(|part| part.ok()) {
            if let Name::Module { name, .. } = part {
                self.module.module_name = Some(name.to_string());
            }
        }
    }
}

/// What to make room for where a section says that so many items follow: it may lie.
fn expected(count: u32) -> usize {
    count.min(1 << 16) as usize
}

fn elem_segment(elem: wasmparser::Element<'_>) -> Result<ElemSegment> {
    let mode = match elem.kind {
        ElementKind::Passive => ElemMode::Passive,
        ElementKind::Declared => ElemMode::Declared,
        ElementKind::Active {
            table_index,
            offset_expr,
        } => ElemMode::Active {
            table: TableIndex::from_u32(table_index.unwrap_or(0)),
            offset: const_expr(&offset_expr)?,
        },
    };
    let (ty, items) = match elem.items {
        ElementItems::Functions(section) => {
            let funcs: Result<_, _> = section
                .into_iter()
                .map(|func| func.map(FuncIndex::from_u32))
                .collect();
            (
                helve_base::core_type::RefType::FUNCREF,
                ElemItems::Funcs(funcs?),
            )
        }
        ElementItems::Expressions(ty, section) => {
            let exprs: Result<_> = section.into_iter().map(|expr| const_expr(&expr?)).collect();
            (types::ref_type(ty)?, ElemItems::Exprs(exprs?))
        }
    };
    Ok(ElemSegment { mode, ty, items })
}

fn const_expr(expr: &wasmparser::ConstExpr<'_>) -> Result<ConstExpr> {
    // Nearly all are of one instruction, and a module may have tens of thousands.
    let mut ops = Vec::with_capacity(1);
    for op in expr.get_operators_reader() {
        ops.push(match op? {
            Operator::I32Const { value } => ConstOp::I32Const(value),
            Operator::I64Const { value } => ConstOp::I64Const(value),
            Operator::F32Const { value } => ConstOp::F32Const(value.bits()),
            Operator::F64Const { value } => ConstOp::F64Const(value.bits()),
            Operator::V128Const { value } => ConstOp::V128Const(*value.bytes()),
            Operator::GlobalGet { global_index } => {
                ConstOp::GlobalGet(GlobalIndex::from_u32(global_index))
            }
            Operator::RefNull { hty } => ConstOp::RefNull(types::heap_type(hty)?),
            Operator::RefFunc { function_index } => {
                ConstOp::RefFunc(FuncIndex::from_u32(function_index))
            }
            Operator::I32Add => ConstOp::I32Add,
            Operator::I32Sub => ConstOp::I32Sub,
            Operator::I32Mul => ConstOp::I32Mul,
            Operator::I64Add => ConstOp::I64Add,
            Operator::I64Sub => ConstOp::I64Sub,
            Operator::I64Mul => ConstOp::I64Mul,
            Operator::End => continue,
            other => {
                helve_base::bail!("unsupported instruction in a constant expression: {other:?}")
            }
        });
    }
    Ok(ConstExpr { ops: ops.into() })
}

/// What follows from everything else: counts, function references, layout.
fn finish(module: &mut Module) {
    module.counts.defined_tables = module.table_inits.len() as u32;
    module.counts.defined_globals = module.global_inits.len() as u32;
    let mut referenced = Vec::new();
    for export in &module.exports {
        if let EntityIndex::Func(func) = export.entity {
            referenced.push(func);
        }
    }
    let in_expr = |expr: &ConstExpr, to: &mut Vec<FuncIndex>| {
        to.extend(expr.ops.iter().filter_map(|op| match op {
            ConstOp::RefFunc(func) => Some(*func),
            _ => None,
        }));
    };
    for expr in module
        .global_inits
        .values()
        .chain(module.table_inits.values().flatten())
    {
        in_expr(expr, &mut referenced);
    }
    for elem in module.elems.values() {
        match &elem.items {
            ElemItems::Funcs(funcs) => referenced.extend_from_slice(funcs),
            ElemItems::Exprs(exprs) => exprs.iter().for_each(|e| in_expr(e, &mut referenced)),
        }
    }
    referenced.extend(module.start);
    for func in referenced {
        let next = FuncRefIndex::from_u32(module.func_refs.len() as u32);
        if *module.func_ref_of.entry(func).or_insert(next) == next {
            module.func_refs.push(func);
        }
    }
    module.counts.func_refs = module.func_refs.len() as u32;
    module.offsets = VMOffsets::new(module.counts);
}
