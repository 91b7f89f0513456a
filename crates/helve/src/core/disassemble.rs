//! Machine code as text: what functions are compiled to, and what is known of it.
//!
//! Compiles anew, just what is asked for. Not here: whom it is shown to (the command).

use crate::component::component::decode;
use crate::core::engine::Engine;
use helve_base::{Result, Trap};
use helve_compile::{Bytes, Translation};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// One function's machine code.
///
/// ```
/// # use helve::{Engine, Config};
/// let engine = Engine::new(&Config::new())?;
/// let bytes = wat::parse_str(r#"(module $m (func $f (export "f")))"#)?;
/// for function in engine.disassemble(&bytes, false, |_, name| name.ends_with("f"))? {
///     println!("{} bytes\n{}", function.code_bytes(), function.text());
/// }
/// # Ok::<(), helve::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Disassembly {
    name: String,
    module: usize,
    func: u32,
    wasm: Range<usize>,
    bytes: usize,
    text: String,
    /// Where it may trap: offset, why, instruction in the module.
    traps: Vec<(u32, Trap, Option<u32>)>,
}

impl Disassembly {
    /// `module!function`, readable.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The function's index in its module.
    pub fn func_index(&self) -> u32 {
        self.func
    }

    /// Bytes of machine code, constants included.
    pub fn code_bytes(&self) -> usize {
        self.bytes
    }

    /// The instructions, one a line, as Cranelift writes them.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Disassembly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} (function {} of module {}): {} bytes of code from wasm {:#x}..{:#x}",
            self.name, self.func, self.module, self.bytes, self.wasm.start, self.wasm.end
        )?;
        for line in self.text.lines() {
            writeln!(f, "    {line}")?;
        }
        for (at, trap, wasm) in &self.traps {
            write!(f, "    trap at +{at:#x}: {trap}")?;
            match wasm {
                Some(wasm) => writeln!(f, " (wasm {wasm:#x})")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

impl Engine {
    /// The machine code of those functions of a binary component or core module that
    /// `wanted` picks by index and name (`module!function`), by this engine's compiler; or,
    /// if `quick`, by the one for functions that are called for the first time.
    ///
    /// # Errors
    ///
    /// Where the bytes are invalid, or a function cannot be compiled.
    pub fn disassemble(
        &self,
        bytes: &[u8],
        quick: bool,
        wanted: impl Fn(u32, &str) -> bool,
    ) -> Result<Vec<Disassembly>> {
        let whole = Bytes::from(&Arc::<[u8]>::from(bytes));
        let ranges: Vec<Range<usize>> = match wasmparser::Parser::is_component(bytes) {
            true => {
                let plan = decode(self, bytes)?;
                plan.modules
                    .values()
                    .map(|module| module.range.clone())
                    .collect()
            }
            false => std::iter::once(0..bytes.len()).collect(),
        };
        let mut found = Vec::new();
        for (number, range) in ranges.into_iter().enumerate() {
            let Some(part) = whole.slice(range) else {
                continue;
            };
            let translation = helve_compile::translate(part, self.config().features)?;
            self.disassemble_module(&translation, number, quick, &wanted, &mut found)?;
        }
        Ok(found)
    }

    fn disassemble_module(
        &self,
        translation: &Translation,
        number: usize,
        quick: bool,
        wanted: &dyn Fn(u32, &str) -> bool,
        into: &mut Vec<Disassembly>,
    ) -> Result<()> {
        let info = translation.module();
        let compiler = match quick {
            true => self.quick_compiler()?,
            false => self.compiler(),
        };
        for (defined, wasm) in translation.bodies().iter() {
            let func = info.func_index(defined);
            let name = crate::core::module::profile_name(info, func);
            if !wanted(func.as_u32(), &name) {
                continue;
            }
            let (function, text) = compiler.disassemble(translation, defined)?;
            let place = |at: u32| {
                let known = &function.locations;
                let i = known.binary_search_by_key(&at, |&(at, _)| at).ok()?;
                known.get(i).map(|&(_, wasm)| wasm)
            };
            into.push(Disassembly {
                name,
                module: number,
                func: func.as_u32(),
                wasm: wasm.clone(),
                bytes: function.code.len(),
                text,
                traps: function
                    .traps
                    .iter()
                    .map(|&(at, trap)| (at, trap, place(at)))
                    .collect(),
            });
        }
        Ok(())
    }
}
