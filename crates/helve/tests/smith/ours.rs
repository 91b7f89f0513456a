//! A module run here: what shows, line by line.

use super::{Log, arguments, bits, hash};
use crate::rng::Rng;
use helve::core::{Extern, Instance, Linker, Module, Ref, Val, ValType};
use helve::{Engine, ErrorKind, Store, Trap};

fn letter(ty: ValType) -> char {
    match ty {
        ValType::I32 => 'i',
        ValType::I64 => 'I',
        ValType::F32 => 'f',
        ValType::F64 => 'F',
        ValType::V128 => 'v',
        ValType::Ref(_) => 'r',
    }
}

fn show(val: &Val) -> String {
    match val {
        Val::I32(n) => bits('i', u128::from(*n as u32)),
        Val::I64(n) => bits('I', u128::from(*n as u64)),
        Val::F32(n) => bits('f', u128::from(*n)),
        Val::F64(n) => bits('F', u128::from(*n)),
        Val::V128(n) => bits('v', *n),
        Val::Ref(r) => format!("r:{}", r.is_null()),
    }
}

fn value(ty: ValType, number: u128) -> Val {
    match ty {
        ValType::I32 => Val::I32(number as i32),
        ValType::I64 => Val::I64(number as i64),
        ValType::F32 => Val::F32(number as u32),
        ValType::F64 => Val::F64(number as u64),
        ValType::V128 => Val::V128(number),
        ValType::Ref(ty) => Val::Ref(match format!("{ty:?}").contains("xtern") {
            true => Ref::Extern(None),
            false => Ref::Func(None),
        }),
    }
}

pub fn run(engine: &Engine, wasm: &[u8], seed: u64) -> Result<Log, String> {
    let mut log = Log::new();
    let module = Module::from_binary(engine, wasm).map_err(|e| format!("compile: {e:#}"))?;
    let mut store = Store::new(engine, ());
    // An error where this engine does not count any.
    let _ = store.set_fuel(1 << 40);
    let linker = Linker::new(engine);
    let instance: Instance = match linker.instantiate(&mut store, &module) {
        Ok(instance) => instance,
        Err(error) => {
            log.push(trap(&error)?);
            return Ok(log);
        }
    };
    let mut names: Vec<String> = module.exports().map(|(name, _)| name.to_owned()).collect();
    names.sort();
    for round in 0..2 {
        for name in &names {
            let Some(Extern::Func(func)) = instance.get_export(&mut store, name) else {
                continue;
            };
            let ty = func.ty(&store).map_err(|e| e.to_string())?;
            let letters: Vec<char> = ty.params.iter().map(|ty| letter(*ty)).collect();
            let mut rng = Rng::new(seed ^ round);
            let Some(numbers) = arguments(&mut rng, &letters) else {
                continue;
            };
            let params = ty.params.iter().zip(numbers);
            let params: Vec<Val> = params.map(|(ty, n)| value(*ty, n)).collect();
            let mut results = vec![Val::I32(0); ty.results.len()];
            match func.call(&mut store, &params, &mut results) {
                Ok(()) => {
                    let texts: Vec<String> = results.iter().map(show).collect();
                    log.push(format!("{name} -> {}", texts.join(" ")));
                }
                Err(error) => {
                    let text = trap(&error)?;
                    log.push(format!("{name} -> {text}"));
                    if text == "stack" {
                        return Ok(log);
                    }
                }
            }
        }
    }
    for name in &names {
        match instance.get_export(&mut store, name) {
            Some(Extern::Global(global)) => {
                let val = global.get(&store).map_err(|e| e.to_string())?;
                log.push(format!("{name} = {}", show(&val)));
            }
            Some(Extern::Memory(memory)) => {
                let bytes = memory.data(&store).map_err(|e| e.to_string())?;
                log.push(format!("{name} = {} {:x}", bytes.len(), hash(bytes)));
            }
            Some(Extern::Table(table)) => {
                let len = table.size(&store).map_err(|e| e.to_string())?;
                log.push(format!("{name} = {len} elements"));
            }
            _ => {}
        }
    }
    Ok(log)
}

fn trap(error: &helve::Error) -> Result<String, String> {
    match (error.kind(), error.trap()) {
        (ErrorKind::Bug, _) => Err(format!("{error:#}")),
        (_, Some(Trap::StackOverflow)) => Ok("stack".into()),
        (_, Some(trap)) => Ok(format!("{trap:?}")),
        _ => Ok(format!("error {error:#}")),
    }
}
