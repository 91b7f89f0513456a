//! Which wasm functions were running when a guest failed: pcs made readable.
//!
//! A [`Backtrace`] is a part of the error that `Func::call` returns: under a trap's
//! message in its chain, around a host function's own error. `downcast_ref` finds it.
//! Not here: the walk over the stack (helve-vm).

use crate::core::lazy::FunctionCode;
use crate::core::module::ModuleCode;
use crate::core::symbols::{FrameSymbol, Symbolizer};
use helve_base::error::GuestTrap;
use helve_base::id::FuncIndex;
use helve_base::{Error, Trap};
use helve_vm::traps::Exit;
use std::fmt;
use std::sync::Arc;

/// The wasm frames that were live, innermost first.
///
/// ```
/// use helve::{Backtrace, Config, Engine, Store, core::{Instance, Module}};
/// let engine = Engine::new(&Config::new())?;
/// let module = Module::new(&engine, r#"(module $m (func $f (export "f") unreachable))"#)?;
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let f = instance.get_typed_func::<(), ()>(&store, "f")?;
/// let error = f.call(&mut store, ()).unwrap_err();
/// let backtrace = error.downcast_ref::<Backtrace>().expect("a guest has failed");
/// let frame = &backtrace.frames()[0];
/// assert_eq!((frame.module_name(), frame.func_name()), (Some("m"), Some("f")));
/// assert!(frame.symbols().is_empty(), "the module has no DWARF");
/// # Ok::<(), helve::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Backtrace {
    frames: Vec<Frame>,
    truncated: bool,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct Frame {
    module: Option<String>,
    func: FuncIndex,
    name: Option<String>,
    offset: Option<u32>,
    info: Arc<helve_compile::Module>,
}

impl Frame {
    /// What the module calls itself.
    pub fn module_name(&self) -> Option<&str> {
        self.module.as_deref()
    }

    /// Its module.
    pub(crate) fn info(&self) -> &Arc<helve_compile::Module> {
        &self.info
    }

    /// The function's index in its module.
    pub fn func_index(&self) -> u32 {
        self.func.as_u32()
    }

    /// The function's name, readable (Rust's are demangled).
    pub fn func_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Where the instruction stands in the source: the function there, then the functions
    /// that it was inlined into. Empty unless the module has DWARF that tells.
    pub fn symbols(&self) -> Vec<FrameSymbol> {
        let symbolizer = self.info.debug.as_ref().and_then(Symbolizer::new);
        let offset = self.offset.and_then(|at| Some(symbolizer?.at(at)));
        offset.unwrap_or_default()
    }

    /// Where in the module's bytes the instruction stands.
    pub fn module_offset(&self) -> Option<u32> {
        self.offset
    }
}

impl Backtrace {
    /// The frames, innermost first.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// The DWARF of the printed frames' modules, each opened once.
    fn symbolizers(&self) -> Vec<(*const helve_compile::Module, Symbolizer<'_>)> {
        let mut opened: Vec<(*const helve_compile::Module, Symbolizer<'_>)> = Vec::new();
        for frame in self.frames.iter().take(PRINTED_FRAMES) {
            let module = Arc::as_ptr(&frame.info);
            if let Some(debug) = &frame.info.debug
                && !opened.iter().any(|(known, _)| *known == module)
            {
                opened.extend(Symbolizer::new(debug).map(|symbolizer| (module, symbolizer)));
            }
        }
        opened
    }

    /// Looks every pc up, while the code is surely alive.
    pub(crate) fn new(raw: &helve_vm::backtrace::Backtrace) -> Backtrace {
        let frames = raw.frames.iter().filter_map(|frame| {
            let (tag, offset) = helve_vm::code::find(frame.lookup_pc())?;
            let exact = offset.saturating_add(u32::from(frame.returns));
            let (info, func, wasm) = match tag.downcast_ref::<ModuleCode>() {
                Some(code) => (
                    &code.info,
                    code.function_at(offset)?,
                    code.wasm_offset(exact),
                ),
                None => {
                    let code = tag.downcast_ref::<FunctionCode>()?;
                    (&code.info, code.func, code.wasm_offset(exact))
                }
            };
            let name = info
                .names
                .get(func)
                .map(|n| format!("{:#}", rustc_demangle::demangle(n)));
            Some(Frame {
                module: info.module_name.clone(),
                func,
                name,
                offset: wasm,
                info: info.clone(),
            })
        });
        Backtrace {
            frames: frames.collect(),
            truncated: raw.truncated,
        }
    }
}

/// Deeper stacks, mostly runaway recursions, are not printed to their end.
const PRINTED_FRAMES: usize = 32;

impl fmt::Display for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("wasm backtrace:")?;
        let symbolizers = self.symbolizers();
        for (i, frame) in self.frames.iter().enumerate().take(PRINTED_FRAMES) {
            write!(f, "\n  {i:>3}: ")?;
            if let Some(offset) = frame.offset {
                write!(f, "{offset:#8x} - ")?;
            }
            write!(f, "{}!", frame.module.as_deref().unwrap_or("<unnamed>"))?;
            match &frame.name {
                Some(name) => f.write_str(name)?,
                None => write!(f, "<function {}>", frame.func.as_u32())?,
            }
            write_symbols(f, frame, &symbolizers)?;
        }
        let more = self.frames.len().saturating_sub(PRINTED_FRAMES);
        match (more, self.truncated) {
            (0, false) => {}
            (more, false) => write!(f, "\n  ... and {more} more")?,
            (more, true) => write!(f, "\n  ... and more than {more} more")?,
        }
        Ok(())
    }
}

/// Where a frame is in the source, one line for each inlined function.
fn write_symbols(
    f: &mut fmt::Formatter<'_>,
    frame: &Frame,
    symbolizers: &[(*const helve_compile::Module, Symbolizer<'_>)],
) -> fmt::Result {
    let module = Arc::as_ptr(&frame.info);
    let found = symbolizers.iter().find(|(known, _)| *known == module);
    let (Some((_, symbolizer)), Some(offset)) = (found, frame.offset) else {
        return Ok(());
    };
    for symbol in symbolizer.at(offset) {
        f.write_str("\n                  ")?;
        if let Some(name) = symbol
            .name()
            .filter(|name| Some(*name) != frame.func_name())
        {
            write!(f, "{name} ")?;
        }
        write!(f, "at {symbol}")?;
    }
    Ok(())
}

impl std::error::Error for Backtrace {}

/// A way out of compiled code as an error; a host's panic goes on here.
#[cold]
pub(crate) fn exit_error(exit: Exit) -> Error {
    match exit {
        Exit::Trap {
            trap, backtrace, ..
        } => Error::new(Backtrace::new(&backtrace)).context(trap),
        Exit::Host(error, backtrace) => host_error(error, &backtrace),
        // The exception stays in the chain: a host function that fails with this error
        // throws it on.
        Exit::Exception(thrown, backtrace) => Error::new(thrown)
            .context(Backtrace::new(&backtrace))
            .context(Trap::UncaughtException),
        Exit::Panic(payload) => std::panic::resume_unwind(payload),
    }
}

/// As [`exit_error`], where a component ends: an exception does not get beyond it.
#[cold]
pub(crate) fn component_exit_error(exit: Exit) -> Error {
    match exit {
        Exit::Exception(_, backtrace) => {
            Error::new(Backtrace::new(&backtrace)).context(Trap::UncaughtException)
        }
        other => exit_error(other),
    }
}

/// A host function's error with the frames that called it, unless an inner call has
/// recorded some already.
fn host_error(error: Error, backtrace: &helve_vm::backtrace::Backtrace) -> Error {
    if error.is::<Backtrace>() || backtrace.frames.is_empty() {
        return error;
    }
    let backtrace = Backtrace::new(backtrace);
    // A trap that the host raised reads like one of the guest's own.
    if error.chain().count() == 1 {
        return match error.downcast::<GuestTrap>() {
            Ok(trap) => Error::new(backtrace).context(trap),
            Err(error) => match error.downcast::<Trap>() {
                Ok(trap) => Error::new(backtrace).context(trap),
                Err(error) => error.context(backtrace),
            },
        };
    }
    error.context(backtrace)
}
