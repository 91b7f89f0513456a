//! Functions that are compiled when they are first called.
//!
//! ```text
//!   caller --*slot--> stub i -> arch::fill_stub   (argument registers saved)
//!                                 -> fill(context, i)           on the guest's stack
//!                                     -> LazyCode::fill(i)      on a stack for compiling
//!                                 <- code's address             (slot patched meanwhile)
//!                     code  <------ jumps there                 (registers as they were)
//! ```
//!
//! A stub knows its function's index only; which module that is of, its argument (the
//! callee's context) tells. So the stubs are the same for all modules: blocks of them are
//! made once per process, when a module is that big.
//!
//! **Stacks.** A guest may be near the end of its stack, or on a small fiber, when it calls
//! a new function; compilers want a lot of stack. `fill` itself needs little, of what host
//! functions can count on (`Limits::host_stack_bytes`), and runs the compiler on a stack
//! of [`STACK_BYTES`], from a pool. Nothing is suspended meanwhile.
//!
//! **Failure.** What cannot be compiled, or a panic in the compiler, leaves the activation
//! as a failing host function does.
//!
//! Not here: compiling, patching slots (the embedder's [`LazyCode`]).
//!
//! # Safety
//!
//! `fill` is called by the stub only, with the context that compiled code passed: that of
//! a live instance, on whose store an activation is live.

use crate::arch::{self, STUB_BYTES};
use crate::backtrace;
use crate::code::{CodeMemory, Tables};
use crate::instance::Instance;
use crate::traps::{self, Exit};
use helve_base::id::DefinedFuncIndex;
use helve_base::vmctx::CodePtr;
use helve_base::{Bug, Error, Result};
use helve_fiber::{PoolConfig, StackPool};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null;
use std::sync::{Arc, OnceLock};

/// Bytes of a stack for compiling; as much as Rust gives threads. Only pages that are
/// used take memory.
pub const STACK_BYTES: usize = 2 << 20;

/// Compiles functions of one module.
pub trait LazyCode: Send + Sync {
    /// The code of this function: now in its slot, and in memory that lives as long as
    /// the instances of the module. May be called by several threads at once, for the
    /// same function too.
    ///
    /// # Errors
    ///
    /// Where it cannot be compiled; the guest that calls it is stopped.
    fn fill(&self, func: DefinedFuncIndex) -> Result<CodePtr>;

    /// Code for a running call of this function to go on in at the head of loop `number`,
    /// if it is there by now. Asked for again and again while the loop runs.
    fn hot_loop(&self, func: DefinedFuncIndex, number: u32) -> Option<CodePtr>;
}

const BLOCK: u32 = 4096;
/// Modules have at most 1,000,000 functions.
const BLOCKS: usize = 256;

/// What a slot holds until the function is compiled. Instances of the module must have an
/// [`InstanceParts::lazy`](crate::instance::InstanceParts).
///
/// # Errors
///
/// Where the index is too big, or executable memory cannot be had.
pub fn stub(func: DefinedFuncIndex) -> Result<CodePtr> {
    static STUBS: [OnceLock<Arc<CodeMemory>>; BLOCKS] = [const { OnceLock::new() }; BLOCKS];
    let index = func.as_u32();
    let Some(block) = STUBS.get((index / BLOCK) as usize) else {
        helve_base::bail!("function {index} of one module is too many");
    };
    let code = match block.get() {
        Some(code) => code,
        None => {
            let image = arch::stub_block(index / BLOCK * BLOCK, BLOCK);
            let code = CodeMemory::publish(&image, Tables::default(), Arc::new(()))?;
            block.get_or_init(|| code)
        }
    };
    Ok(code.address((index % BLOCK + 1) * STUB_BYTES as u32))
}

/// Runs `f` on a stack of [`STACK_BYTES`].
pub(crate) fn on_big_stack<R>(f: impl FnOnce() -> R) -> Result<R> {
    static STACKS: OnceLock<Arc<StackPool>> = OnceLock::new();
    let stacks = STACKS.get_or_init(|| {
        StackPool::new(PoolConfig {
            stack_bytes: STACK_BYTES,
            keep: 4,
            ..PoolConfig::default()
        })
    });
    struct Call<F, R> {
        f: Option<F>,
        result: Option<std::thread::Result<R>>,
    }
    unsafe extern "C" fn run<F: FnOnce() -> R, R>(data: *mut u8) {
        // SAFETY: the call below, which nobody else uses meanwhile.
        let call = unsafe { &mut *data.cast::<Call<F, R>>() };
        if let Some(f) = call.f.take() {
            // The frames above have no unwind information: a panic must end here.
            call.result = Some(catch_unwind(AssertUnwindSafe(f)));
        }
    }
    fn runner<F: FnOnce() -> R, R>(_: &Call<F, R>) -> unsafe extern "C" fn(*mut u8) {
        run::<F, R>
    }
    let stack = stacks.take()?;
    let mut call = Call {
        f: Some(f),
        result: None,
    };
    let run = runner(&call);
    // SAFETY: the stack is ours and unused, its base is aligned; `call` outlives the call
    // and is of the type that `run` takes it for.
    unsafe { arch::call_on(stack.base() & !15, run, (&raw mut call).cast()) };
    match call.result {
        Some(Ok(result)) => Ok(result),
        Some(Err(panic)) => std::panic::resume_unwind(panic),
        None => Err(Error::new(Bug("a call on a stack did not run".into()))),
    }
}

/// [`Builtin::LoopHot`](helve_base::builtin::Builtin::LoopHot). A panic only means that
/// the loop stays where it is.
///
/// # Safety
///
/// See the head of this file.
pub(crate) unsafe extern "C" fn loop_hot(context: *mut u8, func: u32, number: u32) -> *mut u8 {
    // SAFETY: by contract.
    let instance = unsafe { Instance::of(context) };
    let ask = || {
        let lazy = instance.lazy()?;
        on_big_stack(|| lazy.hot_loop(DefinedFuncIndex::from_u32(func), number)).ok()?
    };
    let code = catch_unwind(AssertUnwindSafe(ask)).ok().flatten();
    code.map_or(std::ptr::null_mut(), |code| code.cast_mut())
}

/// The code of a function that was called and isn't compiled, or null where that failed;
/// then the reason is recorded. `fp` and `pc` are the calling frame.
///
/// # Safety
///
/// See the head of this file.
pub(crate) unsafe extern "C" fn fill(
    context: *mut u8,
    index: u32,
    fp: usize,
    pc: usize,
) -> CodePtr {
    // SAFETY: by contract.
    let instance = unsafe { Instance::of(context) };
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let Some(lazy) = instance.lazy() else {
            return Err(Error::new(Bug("a stub in a module compiled ahead".into())));
        };
        on_big_stack(|| lazy.fill(DefinedFuncIndex::from_u32(index)))?
    }));
    let store = instance.store();
    let exit = match outcome {
        Ok(Ok(code)) => return code,
        Ok(Err(error)) => {
            // SAFETY: the frame that called is live, as is everything above it.
            let trace = unsafe {
                (*store).exit_fp = fp;
                (*store).exit_pc = pc;
                backtrace::capture(store)
            };
            Exit::Host(error, trace)
        }
        Err(panic) => Exit::Panic(panic),
    };
    // SAFETY: compiled code runs, so there is an activation.
    unsafe { traps::record(store, exit) };
    null()
}
