//! Compiled functions as bytes that can be kept, found by what they were made from.
//!
//! ```text
//!  file    | magic | fingerprint's hash (32) | entry | entry | ...
//!  entry   | key (16) | length of payload (u32) | checksum of key and payload (16) | payload |
//!  payload | alignment | counts of what follows | code | traps | handlers | locations |
//! ```
//!
//! A function's key is a hash of all that its code depends on: the *environment* (what the
//! module declares), its index, its body, the tier. What is not in the key, like names, data
//! and the values of elements, may differ. Locations count from the body's start, because a
//! body may move.
//!
//! Entries are only ever added at the end; of several with one key the last counts. An entry
//! whose checksum is wrong is as good as absent, and one that reaches beyond the end of the
//! file ends it: a file may be cut or damaged anywhere. Checksums find accidents,
//! not forgers: who can write the file can run code as the user anyway.
//!
//! Not here: where files are, how they are written (the embedder's).

use crate::artifact::CompiledFunction;
use crate::translate::Translation;
use helve_base::id::DefinedFuncIndex;
use helve_base::{Handler, Trap};
use std::collections::HashMap;
use std::ops::Range;

const MAGIC: &[u8; 8] = b"helvefn2";
const HEAD: usize = MAGIC.len() + 32;
const ENTRY_HEAD: usize = 16 + 4 + 16;

/// What an entry is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CacheKey([u8; 16]);

/// What a module declares, as a hash: functions of modules that agree in it can share code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Environment([u8; 32]);

impl Environment {
    /// That of code which belongs to no module: all that matters beside what is in its key is
    /// `what` it is.
    pub fn of(what: &str) -> Environment {
        Environment(blake3::hash(what.as_bytes()).into())
    }

    /// The key of a piece of code that these words and bytes tell from all others of this
    /// environment.
    pub fn key(&self, what: &str, about: &[u8]) -> CacheKey {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"piece");
        hasher.update(&self.0);
        hasher.update(&(what.len() as u64).to_le_bytes());
        hasher.update(what.as_bytes());
        hasher.update(about);
        short(&hasher)
    }

    /// A name for the file that holds code made with this fingerprint.
    pub fn name(&self, fingerprint: &str) -> String {
        let hash = blake3::hash(fingerprint.as_bytes());
        let bytes = self.0.iter().take(16).chain(hash.as_bytes().iter().take(8));
        bytes.map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Translation {
    /// What code of this module's functions depends on besides their bodies.
    pub fn environment(&self) -> Environment {
        let module = self.module();
        let mut hasher = blake3::Hasher::new();
        let mut part = |name: &str, bytes: &[u8]| {
            hasher.update(name.as_bytes());
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        let words = |words: &mut dyn Iterator<Item = u32>| -> Vec<u8> {
            words.flat_map(u32::to_le_bytes).collect()
        };
        part("types", format!("{:?}", module.types).as_bytes());
        part(
            "functions",
            &words(&mut module.functions.values().map(|ty| ty.as_u32())),
        );
        part(
            "func refs",
            &words(&mut module.func_refs.values().map(|func| func.as_u32())),
        );
        part("tables", format!("{:?}", module.tables).as_bytes());
        part("memories", format!("{:?}", module.memories).as_bytes());
        part("globals", format!("{:?}", module.globals).as_bytes());
        part(
            "tags",
            &words(&mut module.tags.values().map(|ty| ty.as_u32())),
        );
        part("counts", format!("{:?}", module.counts).as_bytes());
        // Code has the values of constants in it.
        let constants = module.global_inits.iter().filter(|(defined, _)| {
            let ty = module.globals.get(module.global_index(*defined));
            ty.is_some_and(|ty| !ty.mutable)
        });
        let constants: Vec<_> = constants.collect();
        part("constants", format!("{constants:?}").as_bytes());
        Environment(hasher.finalize().into())
    }

    /// The key of a function's code, made by a compiler of this description.
    pub fn function_key(
        &self,
        environment: &Environment,
        func: DefinedFuncIndex,
        compiler: &str,
    ) -> Option<CacheKey> {
        let body = self.bytes().get(self.bodies().get(func)?.clone())?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"function");
        hasher.update(&environment.0);
        hasher.update(&func.as_u32().to_le_bytes());
        hasher.update(&(compiler.len() as u64).to_le_bytes());
        hasher.update(compiler.as_bytes());
        hasher.update(body);
        Some(short(&hasher))
    }

    /// The key that says that these very bytes are a valid module.
    pub fn validity_key(&self) -> CacheKey {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"valid");
        hasher.update_rayon(self.bytes());
        short(&hasher)
    }

    /// Where a function's body starts in the module.
    fn body_start(&self, func: DefinedFuncIndex) -> u32 {
        let start = self.bodies().get(func).map_or(0, |range| range.start);
        u32::try_from(start).unwrap_or(0)
    }
}

fn short(hasher: &blake3::Hasher) -> CacheKey {
    let mut key = [0; 16];
    hasher.finalize_xof().fill(&mut key);
    CacheKey(key)
}

fn checksum(key: &CacheKey, payload: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&key.0);
    hasher.update(payload);
    short(&hasher).0
}

/// The contents of one file.
#[derive(Debug, Default)]
pub struct FunctionCache {
    bytes: Vec<u8>,
    payloads: HashMap<CacheKey, Range<usize>>,
    end: usize,
}

impl FunctionCache {
    /// Reads a file's bytes. What was made by another build, for another machine or with
    /// other settings (all of which `fingerprint` says) counts as empty.
    pub fn parse(bytes: Vec<u8>, fingerprint: &str) -> FunctionCache {
        match bytes.starts_with(&head(fingerprint)) {
            true => FunctionCache::parse_entries(bytes, HEAD),
            false => FunctionCache::default(),
        }
    }

    /// Reads what stands in a file from some entry on, the first of which is at `start` in
    /// `bytes`.
    pub fn parse_entries(bytes: Vec<u8>, start: usize) -> FunctionCache {
        let mut payloads = HashMap::new();
        let mut at = start;
        while let Some(entry) = bytes.get(at..).and_then(|rest| rest.get(..ENTRY_HEAD)) {
            let mut key = [0; 16];
            key.copy_from_slice(&entry[..16]);
            let len = entry.get(16..20).and_then(word).unwrap_or(u32::MAX);
            let start = at + ENTRY_HEAD;
            let end = start.saturating_add(len as usize);
            if end > bytes.len() {
                break;
            }
            payloads.insert(CacheKey(key), start..end);
            at = end;
        }
        FunctionCache {
            bytes,
            payloads,
            end: at,
        }
    }

    /// Where the last entry ends; what is behind it is half an entry. 0 where the file is
    /// not ours.
    pub fn end(&self) -> usize {
        self.end
    }

    /// The payload under a key, if it is there and whole.
    pub fn payload(&self, key: &CacheKey) -> Option<&[u8]> {
        let range = self.payloads.get(key)?.clone();
        let sum = self.bytes.get(range.start.checked_sub(16)?..range.start)?;
        let payload = self.bytes.get(range)?;
        (checksum(key, payload) == sum).then_some(payload)
    }

    /// The function under a key, as part of this module.
    pub fn function(
        &self,
        key: &CacheKey,
        translation: &Translation,
        func: DefinedFuncIndex,
    ) -> Option<CompiledFunction> {
        decode(self.payload(key)?, translation.body_start(func))
    }

    /// The piece of code under a key, which belongs to no module.
    pub fn piece(&self, key: &CacheKey) -> Option<CompiledFunction> {
        decode(self.payload(key)?, 0)
    }
}

/// What a file begins with.
pub fn head(fingerprint: &str) -> Vec<u8> {
    let hash = blake3::hash(fingerprint.as_bytes());
    [&MAGIC[..], hash.as_bytes()].concat()
}

/// Adds an entry to what is to be appended to a file.
pub fn add_entry(entries: &mut Vec<u8>, key: &CacheKey, payload: &[u8]) {
    let Ok(len) = u32::try_from(payload.len()) else {
        return;
    };
    entries.extend_from_slice(&key.0);
    entries.extend_from_slice(&len.to_le_bytes());
    entries.extend_from_slice(&checksum(key, payload));
    entries.extend_from_slice(payload);
}

fn word(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?))
}

/// A function's payload.
pub fn encode(
    function: &CompiledFunction,
    translation: &Translation,
    func: DefinedFuncIndex,
) -> Vec<u8> {
    encode_at(function, translation.body_start(func))
}

/// The payload of a piece of code that belongs to no module.
pub fn encode_piece(code: &CompiledFunction) -> Vec<u8> {
    encode_at(code, 0)
}

fn encode_at(function: &CompiledFunction, base: u32) -> Vec<u8> {
    let mut payload = Vec::with_capacity(20 + function.code.len());
    let counts = [
        function.code.len(),
        function.traps.len(),
        function.handlers.len(),
        function.locations.len(),
    ];
    payload.extend_from_slice(&function.alignment.to_le_bytes());
    for count in counts {
        payload.extend_from_slice(&(count as u32).to_le_bytes());
    }
    payload.extend_from_slice(&function.code);
    for &(at, trap) in &function.traps {
        payload.extend_from_slice(&at.to_le_bytes());
        payload.push(trap.code());
    }
    for handler in &function.handlers {
        for word in [handler.returns, handler.landing, handler.frame] {
            payload.extend_from_slice(&word.to_le_bytes());
        }
    }
    for &(at, wasm) in &function.locations {
        payload.extend_from_slice(&at.to_le_bytes());
        payload.extend_from_slice(&wasm.wrapping_sub(base).to_le_bytes());
    }
    payload
}

fn decode(payload: &[u8], base: u32) -> Option<CompiledFunction> {
    let alignment = word(payload)?;
    let code_len = word(payload.get(4..)?)? as usize;
    let traps_len = word(payload.get(8..)?)? as usize;
    let handlers_len = word(payload.get(12..)?)? as usize;
    let locations_len = word(payload.get(16..)?)? as usize;
    let rest = payload.get(20..)?;
    let (code, rest) = rest.split_at_checked(code_len)?;
    let (traps, rest) = rest.split_at_checked(traps_len.checked_mul(5)?)?;
    let (handlers, rest) = rest.split_at_checked(handlers_len.checked_mul(12)?)?;
    if rest.len() != locations_len.checked_mul(8)? || !alignment.is_power_of_two() {
        return None;
    }
    let traps: Option<Vec<_>> = traps
        .chunks_exact(5)
        .map(|trap| Some((word(trap)?, Trap::from_code(trap[4])?)))
        .collect();
    let handlers: Option<Vec<_>> = handlers
        .chunks_exact(12)
        .map(|words| {
            Some(Handler {
                returns: word(words)?,
                landing: word(&words[4..])?,
                frame: word(&words[8..])?,
            })
        })
        .collect();
    let locations: Option<Vec<_>> = rest
        .chunks_exact(8)
        .map(|pair| Some((word(pair)?, word(&pair[4..])?.wrapping_add(base))))
        .collect();
    Some(CompiledFunction {
        code: code.to_vec(),
        alignment,
        traps: traps?,
        handlers: handlers?,
        locations: locations?,
        calls: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Compiler, CompilerOptions, Features, translate};

    fn translation(text: &str) -> Translation {
        let wasm = wat::parse_str(text).expect("a module");
        translate(wasm, Features::DEFAULT).expect("a valid module")
    }

    const DIVIDES: &str = "(func (param i32) (result i32) (i32.div_u (i32.const 7) (local.get 0)))";

    #[test]
    fn a_function_comes_back_as_it_was_unless_damaged() {
        let translation = translation(&format!("(module {DIVIDES})"));
        let func = DefinedFuncIndex::from_u32(0);
        let compiler = Compiler::new(&CompilerOptions::quick()).expect("a compiler");
        let function = compiler
            .compile_function(&translation, func)
            .expect("compiles");
        let key = translation.function_key(&translation.environment(), func, "quick");
        let key = key.expect("a function");
        let fresh = [(key, encode(&function, &translation, func))];
        let mut file = head("here");
        for (key, payload) in &fresh {
            add_entry(&mut file, key, payload);
        }

        let get = |bytes: Vec<u8>, fingerprint: &str| {
            FunctionCache::parse(bytes, fingerprint).function(&key, &translation, func)
        };
        assert_eq!(get(file.clone(), "here").as_ref(), Some(&function));
        assert_eq!(get(file.clone(), "elsewhere"), None);
        let ends = |bytes: &[u8]| FunctionCache::parse(bytes.to_vec(), "here").end();
        assert_eq!(ends(&file), file.len());
        assert_eq!(ends(&file[..file.len() - 1]), HEAD);
        assert_eq!(ends(&file[..HEAD - 1]), 0);
        for i in 0..file.len() {
            let mut damaged = file.clone();
            damaged[i] ^= 0x10;
            assert_eq!(get(damaged, "here"), None, "byte {i} changed");
            assert_eq!(get(file[..i].to_vec(), "here"), None, "cut at {i}");
        }
    }

    #[test]
    fn keys_tell_apart_what_code_depends_on() {
        let func = DefinedFuncIndex::from_u32(0);
        let key = |text: &str| {
            let translation = translation(text);
            translation.function_key(&translation.environment(), func, "quick")
        };
        let base = key(&format!("(module {DIVIDES} (memory 1))"));
        let same = [
            format!("(module $named {DIVIDES} (memory 1))"),
            format!("(module {DIVIDES} (memory 1) (data (i32.const 0) \"x\"))"),
        ];
        for text in same {
            assert_eq!(key(&text), base, "{text}");
        }
        let other = [
            format!("(module {DIVIDES} (memory 2))"),
            format!("(module {DIVIDES} (memory 1) (global i32 (i32.const 1)))"),
            format!("(module {DIVIDES} (memory 1) (func))"),
            format!("(module (import \"\" \"\" (func)) {DIVIDES} (memory 1))"),
            format!("(module {} (memory 1))", DIVIDES.replace('7', "8")),
        ];
        for text in other {
            assert_ne!(key(&text), base, "{text}");
        }
    }
}
