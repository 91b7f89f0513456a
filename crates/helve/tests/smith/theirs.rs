//! The same module run by wasmi.

use super::{ELEMENTS, Log, MEMORY, arguments, bits, hash};
use crate::rng::Rng;
use wasmi::{TrapCode, Val, ValType};

fn show(val: &Val) -> String {
    match val {
        Val::I32(n) => bits('i', u128::from(*n as u32)),
        Val::I64(n) => bits('I', u128::from(*n as u64)),
        Val::F32(n) => bits('f', u128::from(n.to_bits())),
        Val::F64(n) => bits('F', u128::from(n.to_bits())),
        Val::V128(n) => bits('v', n.as_u128()),
        Val::FuncRef(r) => format!("r:{}", r.is_null()),
        Val::ExternRef(r) => format!("r:{}", r.is_null()),
    }
}

fn value(ty: ValType, number: u128) -> Val {
    match ty {
        ValType::I32 => Val::I32(number as i32),
        ValType::I64 => Val::I64(number as i64),
        ValType::F32 => Val::F32(wasmi::F32::from_bits(number as u32)),
        ValType::F64 => Val::F64(wasmi::F64::from_bits(number as u64)),
        ValType::V128 => Val::V128(wasmi::V128::from(number)),
        other => Val::default_for_ty(other),
    }
}

fn letter(ty: ValType) -> char {
    match ty {
        ValType::I32 => 'i',
        ValType::I64 => 'I',
        ValType::F32 => 'f',
        ValType::F64 => 'F',
        ValType::V128 => 'v',
        _ => 'r',
    }
}

fn trap(error: &wasmi::Error) -> String {
    match error.as_trap_code() {
        Some(TrapCode::StackOverflow) => "stack".into(),
        Some(code) => match code {
            TrapCode::UnreachableCodeReached => "Unreachable".into(),
            TrapCode::MemoryOutOfBounds => "MemoryOutOfBounds".into(),
            TrapCode::TableOutOfBounds => "TableOutOfBounds".into(),
            TrapCode::IndirectCallToNull => "UninitializedElement".into(),
            TrapCode::IntegerDivisionByZero => "IntegerDivisionByZero".into(),
            TrapCode::IntegerOverflow => "IntegerOverflow".into(),
            TrapCode::BadConversionToInteger => "InvalidConversionToInteger".into(),
            TrapCode::BadSignature => "IndirectCallTypeMismatch".into(),
            other => format!("{other:?}"),
        },
        None => match format!("{error}") {
            text if text.contains("out of bounds table access") => "TableOutOfBounds".into(),
            text if text.contains("out of bounds memory access") => "MemoryOutOfBounds".into(),
            text => format!("error {text}"),
        },
    }
}

pub fn run(wasm: &[u8], seed: u64) -> Result<Log, String> {
    let mut log = Log::new();
    let mut config = wasmi::Config::default();
    config
        .wasm_memory64(true)
        .wasm_multi_memory(true)
        .wasm_simd(true)
        .wasm_relaxed_simd(true)
        .wasm_wide_arithmetic(true)
        .wasm_custom_page_sizes(true)
        .wasm_tail_call(true);
    let engine = wasmi::Engine::new(&config);
    let module = wasmi::Module::new(&engine, wasm).map_err(|e| format!("theirs: {e}"))?;
    let limits = wasmi::StoreLimitsBuilder::new()
        .memory_size(MEMORY)
        .table_elements(ELEMENTS);
    let mut store = wasmi::Store::new(&engine, limits.build());
    store.limiter(|limits| limits);
    let linker = wasmi::Linker::new(&engine);
    let instance = match linker.instantiate_and_start(&mut store, &module) {
        Ok(instance) => instance,
        Err(error) => {
            log.push(trap(&error));
            return Ok(log);
        }
    };
    let mut names: Vec<String> = module.exports().map(|e| e.name().to_owned()).collect();
    names.sort();
    for round in 0..2 {
        for name in &names {
            let Some(func) = instance.get_func(&store, name) else {
                continue;
            };
            let ty = func.ty(&store);
            let letters: Vec<char> = ty.params().iter().map(|ty| letter(*ty)).collect();
            let mut rng = Rng::new(seed ^ round);
            let Some(numbers) = arguments(&mut rng, &letters) else {
                continue;
            };
            let params = ty.params().iter().zip(numbers);
            let params: Vec<Val> = params.map(|(ty, n)| value(*ty, n)).collect();
            let mut results: Vec<Val> = ty
                .results()
                .iter()
                .map(|ty| Val::default_for_ty(*ty))
                .collect();
            match func.call(&mut store, &params, &mut results) {
                Ok(()) => {
                    let texts: Vec<String> = results.iter().map(show).collect();
                    log.push(format!("{name} -> {}", texts.join(" ")));
                }
                Err(error) => {
                    let text = trap(&error);
                    log.push(format!("{name} -> {text}"));
                    if text == "stack" {
                        return Ok(log);
                    }
                }
            }
        }
    }
    for name in &names {
        if let Some(global) = instance.get_global(&store, name) {
            log.push(format!("{name} = {}", show(&global.get(&store))));
        } else if let Some(memory) = instance.get_memory(&store, name) {
            let bytes = memory.data(&store);
            log.push(format!("{name} = {} {:x}", bytes.len(), hash(bytes)));
        } else if let Some(table) = instance.get_table(&store, name) {
            log.push(format!("{name} = {} elements", table.size(&store)));
        }
    }
    Ok(log)
}
