//! CLIF to machine code, for one function or all of a module in parallel.
//!
//! The same input and options give the same bytes, whatever the number of threads: each
//! function is compiled on its own and the results are put in order.
//!
//! Not here: what the CLIF is (`func`, `trampoline`).

use crate::artifact::{CallForm, CompiledFunction, CompiledModule, DirectCall};
use crate::env::ITSELF;
use crate::func::{Direct, Tuning, bug, translate_body};
use crate::ops::simd::relaxed::Relaxed;
use crate::osr::Entry;
use crate::trampoline;
use crate::translate::Translation;
use crate::trap::trap_of;
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{ExternalName, Function};
use cranelift_codegen::isa::{OwnedTargetIsa, TargetFrontendConfig, TargetIsa};
use cranelift_codegen::settings::{self, Configurable, Flags};
use cranelift_codegen::{
    CodegenError, CompiledCode, Context, FinalizedMachExceptionHandler, FinalizedMachReloc,
    FinalizedRelocTarget,
};
use cranelift_frontend::FunctionBuilderContext;
use helve_base::core_type::FuncType;
use helve_base::id::DefinedFuncIndex;
use helve_base::{Error, Handler, Result, bail, ensure};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How hard to try.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OptLevel {
    /// Compile fast.
    None,
    /// Make code that runs fast.
    #[default]
    Speed,
}

/// How registers are given to values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RegisterAllocator {
    /// Slower to compile, better code.
    #[default]
    Backtracking,
    /// One pass: quick, with many spills.
    SinglePass,
}

/// What code to make.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CompilerOptions {
    /// How hard to try.
    pub optimize: OptLevel,
    /// How registers are given to values.
    pub registers: RegisterAllocator,
    /// Whether Cranelift checks the CLIF it is given: slow, for tests.
    pub verifier: bool,
    /// Whether every NaN that an operation makes is the same one.
    pub canonical_nans: bool,
    /// Whether relaxed vector instructions compute the same on all machines, and not
    /// whatever is fastest on this one.
    pub deterministic_simd: bool,
    /// Whether functions count, at their start and at every turn of a loop, in an array of
    /// `u32` that stands behind the module's slots; and ask, at some of these turns, for
    /// better code to go on in ([`Compiler::compile_loop`]): each time that these bits of the
    /// count are zero.
    pub counters: Option<u32>,
    /// Whether functions use up the store's fuel, and ask for more where there is none.
    pub fuel: bool,
    /// Whether functions ask whether they may go on once the epoch's deadline has passed.
    pub epoch: bool,
}

impl Default for CompilerOptions {
    fn default() -> CompilerOptions {
        CompilerOptions {
            optimize: OptLevel::Speed,
            registers: RegisterAllocator::Backtracking,
            verifier: false,
            canonical_nans: false,
            deterministic_simd: false,
            counters: None,
            fuel: false,
            epoch: false,
        }
    }
}

impl CompilerOptions {
    /// What compiles fastest, for functions that may never be hot.
    pub fn quick() -> CompilerOptions {
        CompilerOptions {
            optimize: OptLevel::None,
            registers: RegisterAllocator::SinglePass,
            ..CompilerOptions::default()
        }
    }
}

/// Makes machine code for the CPU it runs on.
pub struct Compiler {
    isa: OwnedTargetIsa,
    /// The same with an allocator that can do calls with exception handlers.
    catching: Option<OwnedTargetIsa>,
    options: CompilerOptions,
    scratch: Mutex<Vec<Box<Scratch>>>,
}

/// What one compilation needs for a while; reused, because it holds on to its memory.
pub(crate) struct Scratch {
    pub(crate) context: Context,
    pub(crate) builder: FunctionBuilderContext,
}

impl Compiler {
    /// A compiler for this machine.
    ///
    /// # Errors
    ///
    /// Where the CPU is one that Cranelift does not know, or lacks SSE4.2.
    pub fn new(options: &CompilerOptions) -> Result<Compiler> {
        let isa = machine(options)?;
        check_cpu(&*isa)?;
        let catching = match options.registers {
            RegisterAllocator::Backtracking => None,
            RegisterAllocator::SinglePass => Some(machine(&CompilerOptions {
                registers: RegisterAllocator::Backtracking,
                ..options.clone()
            })?),
        };
        Ok(Compiler {
            isa,
            catching,
            options: options.clone(),
            scratch: Mutex::default(),
        })
    }

    /// Compiles all functions of a module, on all cores.
    ///
    /// # Errors
    ///
    /// Where a function is too large for Cranelift; it is named.
    pub fn compile_module(&self, translation: &Translation) -> Result<CompiledModule> {
        let funcs: Vec<DefinedFuncIndex> = translation.bodies().keys().collect();
        let size = |func: &DefinedFuncIndex| translation.bodies()[*func].len();
        let mut order = funcs.clone();
        // Big ones first: else the last one to start may keep a single core busy for long.
        order.sort_by_key(|func| std::cmp::Reverse(size(func)));
        let bytes: usize = funcs.iter().map(size).sum();
        let direct = match self.options.counters {
            None if bytes <= MOST_DIRECT => Direct::Module,
            _ => Direct::Never,
        };
        let next = AtomicUsize::new(0);
        let results = Mutex::new(Vec::with_capacity(order.len()));
        let work = || {
            let mut mine = Vec::new();
            while let Some(&func) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                let code = self.compile_entry(translation, func, (Entry::Start, direct), None);
                mine.push((func, code));
            }
            lock(&results).append(&mut mine);
        };
        let threads = if bytes < SMALL_MODULE {
            1
        } else {
            rayon::current_num_threads()
        };
        if threads <= 1 {
            work();
        } else {
            rayon::scope(|scope| {
                for _ in 0..threads.min(order.len()) {
                    scope.spawn(|_| work());
                }
            });
        }
        let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        results.sort_by_key(|(func, _)| *func);
        let compiled: Result<Vec<_>> = results.into_iter().map(|(_, result)| result).collect();
        CompiledModule::link(compiled?)
    }

    /// Compiles one function of a module.
    ///
    /// # Errors
    ///
    /// Where it is too large for Cranelift.
    pub fn compile_function(
        &self,
        translation: &Translation,
        func: DefinedFuncIndex,
    ) -> Result<CompiledFunction> {
        let direct = match self.options.counters {
            None => Direct::Itself,
            Some(_) => Direct::Never,
        };
        self.compile_entry(translation, func, (Entry::Start, direct), None)
    }

    /// Compiles a function entered at the head of its loop `number`, counted from the first
    /// `loop` of its body on. It is called with the function's context, its result area if
    /// it has one, and the values of all its locals; the operand stack is empty there.
    ///
    /// # Errors
    ///
    /// As above, and where there is no such loop.
    pub fn compile_loop(
        &self,
        translation: &Translation,
        func: DefinedFuncIndex,
        number: u32,
    ) -> Result<CompiledFunction> {
        let entry = (Entry::Loop(number), Direct::Never);
        self.compile_entry(translation, func, entry, None)
    }

    /// Compiles one function of a module: its code, and its instructions as text.
    ///
    /// # Errors
    ///
    /// As [`Compiler::compile_function`].
    pub fn disassemble(
        &self,
        translation: &Translation,
        func: DefinedFuncIndex,
    ) -> Result<(CompiledFunction, String)> {
        let mut text = String::new();
        let entry = (Entry::Start, Direct::Never);
        let code = self.compile_entry(translation, func, entry, Some(&mut text))?;
        Ok((code, text))
    }

    /// Compiles a function from an entry on; `text` takes its instructions.
    fn compile_entry(
        &self,
        translation: &Translation,
        func: DefinedFuncIndex,
        (entry, direct): (Entry, Direct),
        text: Option<&mut String>,
    ) -> Result<CompiledFunction> {
        let module = translation.module();
        let index = module.func_index(func);
        let name = || format!("function `{}` ({index})", module.func_display_name(index));
        let Some(body) = translation.body(func) else {
            bail!("the module defines no {func}");
        };
        let start = u32::try_from(body.range().start).ok();
        let target = self.isa.frontend_config();
        self.compile_at(&name, start, text, |function, builder| {
            let tuning = Tuning {
                target,
                counters: self.options.counters,
                fuel: self.options.fuel,
                epoch: self.options.epoch,
                relaxed: match self.options.deterministic_simd {
                    true => Relaxed::PORTABLE,
                    false => Relaxed::fastest(&*self.isa),
                },
                entry,
                direct,
            };
            translate_body(module, func, &body, function, builder, tuning)
        })
    }

    /// The code by which the host calls functions of a type: a
    /// [`helve_base::vmctx::EntryTrampoline`].
    pub fn entry_trampoline(&self, ty: &FuncType) -> Result<CompiledFunction> {
        let target = self.isa.frontend_config();
        self.compile(
            &|| format!("entry trampoline of {ty}"),
            |function, builder| {
                trampoline::entry(ty, function, builder, target);
                Ok(())
            },
        )
    }

    /// The code by which wasm calls a host function of a type: it calls the
    /// [`helve_base::vmctx::HostCall`] in the `VMHostContext` that is its context.
    pub fn host_trampoline(&self, ty: &FuncType) -> Result<CompiledFunction> {
        let target = self.isa.frontend_config();
        self.compile(
            &|| format!("host trampoline of {ty}"),
            |function, builder| {
                trampoline::host(ty, function, builder, target);
                Ok(())
            },
        )
    }

    /// What CLIF must know of the machine.
    pub(crate) fn target(&self) -> TargetFrontendConfig {
        self.isa.frontend_config()
    }

    /// What code depends on besides wasm and this program's version: a cache must not
    /// mix code of different descriptions.
    pub fn description(&self) -> String {
        let flags: Vec<String> = self
            .isa
            .isa_flags()
            .iter()
            .map(|flag| flag.to_string())
            .collect();
        let CompilerOptions {
            fuel,
            epoch,
            deterministic_simd,
            ..
        } = self.options;
        format!(
            "cranelift {}\n{}\n{}{}\nconsume_fuel = {fuel}\nepoch_interruption = {epoch}\n\
             relaxed_simd_deterministic = {deterministic_simd}",
            cranelift_codegen::VERSION,
            self.isa.triple(),
            self.isa.flags(),
            flags.join("\n")
        )
    }

    /// As [`Compiler::compile_at`], for code that does not come from wasm.
    pub(crate) fn compile(
        &self,
        name: &dyn Fn() -> String,
        build: impl FnOnce(&mut Function, &mut FunctionBuilderContext) -> Result<()>,
    ) -> Result<CompiledFunction> {
        self.compile_at(name, None, None, build)
    }

    /// Builds a function's CLIF by `build`, then its machine code. A panic in Cranelift is
    /// a bug, but not one that may take the host down. `start` is where the body starts in
    /// the module; `text` takes the instructions.
    fn compile_at(
        &self,
        name: &dyn Fn() -> String,
        start: Option<u32>,
        text: Option<&mut String>,
        build: impl FnOnce(&mut Function, &mut FunctionBuilderContext) -> Result<()>,
    ) -> Result<CompiledFunction> {
        let mut scratch = lock(&self.scratch).pop().unwrap_or_else(Scratch::new);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            build(&mut scratch.context.func, &mut scratch.builder)?;
            scratch.context.set_disasm(text.is_some());
            let catches = !scratch.context.func.dfg.exception_tables.is_empty();
            let isa = match &self.catching {
                Some(catching) if catches => catching,
                _ => &self.isa,
            };
            let compiled = scratch
                .context
                .compile(&**isa, &mut ControlPlane::default())
                .map_err(|failure| codegen_error(failure.inner))?;
            if let (Some(text), Some(vcode)) = (text, &compiled.vcode) {
                text.clone_from(vcode);
            }
            let compiled = scratch.context.compiled_code();
            let compiled = compiled.ok_or_else(|| bug("no code".into()))?;
            finish(compiled, &scratch.context.func, start)
        }));
        match outcome {
            Ok(Ok(function)) => {
                scratch.context.clear();
                lock(&self.scratch).push(scratch);
                Ok(function)
            }
            // Whatever went wrong, the scratch space may be in any state: it is dropped.
            Ok(Err(error)) => Err(error.context(format!("cannot compile {}", name()))),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                let text = text.unwrap_or("a panic");
                Err(bug(format!("compiling {}: {text}", name())))
            }
        }
    }
}

/// Cranelift, set up for this machine and these options.
fn machine(options: &CompilerOptions) -> Result<OwnedTargetIsa> {
    let mut flags = settings::builder();
    let level = match options.optimize {
        OptLevel::None => "none",
        OptLevel::Speed => "speed",
    };
    let registers = match options.registers {
        RegisterAllocator::Backtracking => "backtracking",
        RegisterAllocator::SinglePass => "single_pass",
    };
    let switch = |on| if on { "true" } else { "false" };
    for (name, value) in [
        ("opt_level", level),
        ("regalloc_algorithm", registers),
        ("enable_verifier", switch(options.verifier)),
        (
            "enable_nan_canonicalization",
            switch(options.canonical_nans),
        ),
        ("preserve_frame_pointers", "true"),
        ("unwind_info", "false"),
        ("enable_probestack", "false"),
    ] {
        flags
            .set(name, value)
            .map_err(|e| bug(format!("setting {name}: {e}")))?;
    }
    let builder = cranelift_native::builder()
        .map_err(|why| Error::msg(format!("cannot compile for this machine: {why}")))?;
    builder
        .finish(Flags::new(flags))
        .map_err(|e| bug(format!("target: {e}")))
}

/// Bytes of function bodies up to which a module's functions call each other where they
/// stand. Instructions of aarch64 reach 128 MiB, those of x86-64 2 GiB.
const MOST_DIRECT: usize = match cfg!(target_arch = "aarch64") {
    true => 8 << 20,
    false => 1 << 30,
};

/// Bytes of function bodies below which starting threads costs more than it saves.
const SMALL_MODULE: usize = 4096;

impl Scratch {
    fn new() -> Box<Scratch> {
        Box::new(Scratch {
            context: Context::new(),
            builder: FunctionBuilderContext::new(),
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded is pushed to and popped from only: a panic leaves it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Without these Cranelift would call routines that we don't have.
fn check_cpu(isa: &dyn TargetIsa) -> Result<()> {
    if isa.triple().architecture != target_lexicon::Architecture::X86_64 {
        return Ok(());
    }
    for needed in ["has_ssse3", "has_sse41", "has_sse42"] {
        let has = isa
            .isa_flags()
            .iter()
            .any(|f| f.name == needed && f.as_bool() == Some(true));
        ensure!(
            has,
            "this CPU is too old: Helve needs SSE4.2 ({needed} is missing)"
        );
    }
    Ok(())
}

fn codegen_error(error: CodegenError) -> Error {
    match error {
        CodegenError::ImplLimitExceeded | CodegenError::CodeTooLarge => Error::msg(format!(
            "it is too large ({error}); split it into smaller functions"
        )),
        CodegenError::Verifier(errors) => bug(format!("invalid CLIF: {errors}")),
        other => bug(format!("code generation: {other}")),
    }
}

/// Takes what we keep out of what Cranelift made. What traps before the first instruction
/// (the stack is used up) is said to be at `start`.
fn finish(
    compiled: &CompiledCode,
    function: &Function,
    start: Option<u32>,
) -> Result<CompiledFunction> {
    let buffer = &compiled.buffer;
    let mut code = buffer.data().to_vec();
    let mut calls = Vec::new();
    for reloc in buffer.relocs() {
        let (call, itself) = direct_call(reloc, function)?;
        match itself {
            true => call.resolve(&mut code, call.at as usize, 0)?,
            false => calls.push(call),
        }
    }
    let mut traps = Vec::with_capacity(buffer.traps().len());
    for trap in buffer.traps() {
        let Some(why) = trap_of(trap.code) else {
            return Err(bug(format!("trap code {} is nobody's", trap.code)));
        };
        traps.push((trap.offset, why));
    }
    traps.sort_by_key(|&(at, _)| at);
    // A return address is the end of its call: the instruction is the byte before.
    let returns = buffer
        .call_sites()
        .map(|site| (site.ret_addr, site.ret_addr.saturating_sub(1)));
    let mut points: Vec<(u32, u32)> = traps.iter().map(|&(at, _)| (at, at)).collect();
    points.extend(returns);
    points.sort_unstable();
    let sources = buffer.get_srclocs_sorted();
    let source = |inside: u32| {
        let after = sources.partition_point(|source| source.start <= inside);
        let source = sources.get(after.checked_sub(1)?)?;
        let known = inside < source.end && !source.loc.is_default();
        known.then(|| source.loc.bits())
    };
    let locations = points
        .iter()
        .filter_map(|&(at, inside)| Some((at, source(inside).or(start)?)));
    Ok(CompiledFunction {
        code,
        calls,
        alignment: buffer.alignment.max(16),
        locations: locations.collect(),
        handlers: handlers(compiled)?,
        traps,
    })
}

/// A place in code that says where a function of the module is; and whether that is the
/// function that the code is of, which is as far away from there wherever it stands.
fn direct_call(reloc: &FinalizedMachReloc, function: &Function) -> Result<(DirectCall, bool)> {
    let name = match &reloc.target {
        FinalizedRelocTarget::ExternalName(ExternalName::User(name)) => {
            function.params.user_named_funcs().get(*name)
        }
        _ => None,
    };
    let form = match reloc.kind {
        Reloc::X86CallPCRel4 if reloc.addend == -4 => Some(CallForm::Relative32),
        Reloc::Arm64Call if reloc.addend == 0 => Some(CallForm::Branch26),
        _ => None,
    };
    let (Some(name), Some(form)) = (name, form) else {
        return Err(bug(format!(
            "code refers to {:?} outside of itself by {:?}",
            reloc.target, reloc.kind
        )));
    };
    let call = DirectCall {
        at: reloc.offset,
        form,
        callee: DefinedFuncIndex::from_u32(name.index),
    };
    Ok((call, name.namespace == ITSELF))
}

/// The calls that exceptions are caught from: each has one place where all of them land.
fn handlers(compiled: &CompiledCode) -> Result<Vec<Handler>> {
    let mut handlers = Vec::new();
    for site in compiled.buffer.call_sites() {
        match (site.exception_handlers, site.frame_offset) {
            ([], _) => {}
            (&[FinalizedMachExceptionHandler::Default(landing)], Some(frame)) => {
                handlers.push(Handler {
                    returns: site.ret_addr,
                    landing,
                    frame,
                })
            }
            (others, _) => return Err(bug(format!("exception handlers {others:?}"))),
        }
    }
    handlers.sort_unstable_by_key(|handler| handler.returns);
    Ok(handlers)
}
