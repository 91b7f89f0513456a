//! A few functions of machine code that stand in for compiled ones, and what it takes to
//! enter them: so that the VM is tested without a compiler.
//!
//! Their convention, simpler than the compiler's: context in `rdi`, argument array in
//! `rsi`. They keep frame pointers and check the stack limit as compiled code does.
//!
//! ```text
//!   Context { store, target } -- call_host --> host trampoline --> HostCall
//! ```
//!
//! # Safety
//!
//! Test code: the bytes between `helve_test_start` and `helve_test_end` are position
//! independent and copied into code memory before they run.

#![allow(dead_code)] // each test binary uses some of it

use helve_base::builtin::Builtin;
use helve_base::limits::Limits;
use helve_base::vmctx::{
    CodePtr, EntryTrampoline, HostCall, VMHostContext, VMStoreContext, ValRaw, offset,
};
use helve_base::{Result, Trap};
use helve_vm::code::{CodeMemory, Tables};
use helve_vm::traps::{Exit, enter, host_call, store_context};
use std::ptr::null_mut;
use std::sync::{Arc, LazyLock};

core::arch::global_asm!(
    ".globl helve_test_start",
    "helve_test_start:",
    // The entry trampoline: (code, callee, args).
    "helve_test_entry:",
    "push rbp",
    "mov rbp, rsp",
    "mov rax, rdi",
    "mov rdi, rsi",
    "mov rsi, rdx",
    // Registers that `enter` must keep, spoilt.
    "call rax",
    "pop rbp",
    "ret",
    // args[0] = 42
    "helve_test_answer:",
    "push rbp",
    "mov rbp, rsp",
    "mov qword ptr [rsi], 42",
    "pop rbp",
    "ret",
    // args[0] = *args[0]
    "helve_test_load:",
    "push rbp",
    "mov rbp, rsp",
    "mov rax, [rsi]",
    "helve_test_load_trap:",
    "mov rax, [rax]",
    "mov [rsi], rax",
    "pop rbp",
    "ret",
    // Traps, having spoilt every callee-saved register.
    "helve_test_unreachable:",
    "push rbp",
    "mov rbp, rsp",
    "mov rbx, 1",
    "mov r12, 2",
    "mov r13, 3",
    "mov r14, 4",
    "mov r15, 5",
    "helve_test_unreachable_trap:",
    "ud2",
    // args[0] /= args[1]
    "helve_test_divide:",
    "push rbp",
    "mov rbp, rsp",
    "mov eax, [rsi]",
    "cdq",
    "helve_test_divide_trap:",
    "idiv dword ptr [rsi + 16]",
    "mov [rsi], eax",
    "pop rbp",
    "ret",
    // Calls itself until the limit; counts in args[0].
    "helve_test_recurse:",
    "push rbp",
    "mov rbp, rsp",
    "mov rax, [rdi]",
    "cmp rsp, [rax + {limit}]",
    "jb helve_test_recurse_trap",
    "sub rsp, 48",
    "inc qword ptr [rsi]",
    "call helve_test_recurse",
    "add rsp, 48",
    "pop rbp",
    "ret",
    "helve_test_recurse_trap:",
    "ud2",
    // An access that no trap is known for.
    "helve_test_wild:",
    "push rbp",
    "mov rbp, rsp",
    "xor eax, eax",
    "mov rax, [rax]",
    "pop rbp",
    "ret",
    // Calls the host function at context.target, twice nested: outer, inner.
    "helve_test_outer:",
    "push rbp",
    "mov rbp, rsp",
    "call helve_test_call_host",
    "helve_test_outer_return:",
    "pop rbp",
    "ret",
    "helve_test_call_host:",
    "push rbp",
    "mov rbp, rsp",
    "push rbx",
    "push r12",
    "mov rbx, 77",
    "mov rdi, [rdi + 8]",
    "call [rdi + {slot}]",
    "helve_test_call_host_return:",
    "pop r12",
    "pop rbx",
    "pop rbp",
    "ret",
    // memory.grow of memory 0 by args[0], or whatever: context.target is a function of
    // (context, 0, args[0]).
    "helve_test_builtin:",
    "push rbp",
    "mov rbp, rsp",
    "push rbx",
    "push rbx",
    "mov rbx, rsi",
    "mov rax, [rdi + {builtins}]",
    "mov rdx, [rsi]",
    "xor esi, esi",
    "call [rax + {grow}]",
    "mov [rbx], rax",
    "pop rbx",
    "pop rbx",
    "pop rbp",
    "ret",
    // The host trampoline: VMHostContext in rdi, arguments in rsi.
    "helve_test_host:",
    "push rbp",
    "mov rbp, rsp",
    "push rbx",
    "sub rsp, 8",
    "mov rbx, rdi",
    "mov rax, [rdi]",
    "mov rcx, [rbp]",
    "mov [rax + {exit_fp}], rcx",
    "mov rcx, [rbp + 8]",
    "mov [rax + {exit_pc}], rcx",
    "call [rdi + {call}]",
    "3:",
    "test eax, eax",
    "je 5f",
    "cmp eax, 2",
    "je 4f",
    "mov rdi, [rbx]",
    "mov rax, [rdi + {store_builtins}]",
    "call [rax + {raise}]",
    "ud2",
    "4:",
    "mov rdi, [rbx]",
    "mov rax, [rdi + {store_builtins}]",
    "call [rax + {suspend}]",
    "jmp 3b",
    "5:",
    "add rsp, 8",
    "pop rbx",
    "pop rbp",
    "ret",
    ".globl helve_test_end",
    "helve_test_end:",
    limit = const offset::STORE_STACK_LIMIT,
    slot = const offset::HOST_SLOT,
    builtins = const offset::VMCONTEXT_BUILTINS,
    grow = const Builtin::MemoryGrow.index() * 8,
    exit_fp = const offset::STORE_EXIT_FP,
    exit_pc = const offset::STORE_EXIT_PC,
    call = const offset::HOST_CALL,
    store_builtins = const offset::STORE_BUILTINS,
    raise = const Builtin::Raise.index() * 8,
    suspend = const Builtin::Suspend.index() * 8,
);

macro_rules! symbols {
    ($($name:ident),*) => {
        unsafe extern "C" { $(static $name: u8;)* }

        /// Offsets in the image.
        #[derive(Clone, Copy, Debug)]
        #[allow(non_snake_case, non_camel_case_types)]
        pub enum At { $($name),* }

        impl At {
            pub fn offset(self) -> u32 {
                let at = match self { $(At::$name => (&raw const $name).addr()),* };
                (at - (&raw const helve_test_start).addr()) as u32
            }
        }
    };
}

symbols!(
    helve_test_start,
    helve_test_entry,
    helve_test_answer,
    helve_test_load,
    helve_test_load_trap,
    helve_test_unreachable,
    helve_test_unreachable_trap,
    helve_test_divide,
    helve_test_divide_trap,
    helve_test_recurse,
    helve_test_recurse_trap,
    helve_test_wild,
    helve_test_outer,
    helve_test_outer_return,
    helve_test_call_host_return,
    helve_test_builtin,
    helve_test_host,
    helve_test_end
);

/// The functions, published.
pub static CODE: LazyLock<Arc<CodeMemory>> = LazyLock::new(|| {
    let bytes = At::helve_test_end.offset() as usize;
    // SAFETY: the assembler put them there.
    let image = unsafe { std::slice::from_raw_parts(&raw const helve_test_start, bytes) };
    let traps = vec![
        (At::helve_test_load_trap.offset(), Trap::MemoryOutOfBounds),
        (At::helve_test_unreachable_trap.offset(), Trap::Unreachable),
        (
            At::helve_test_divide_trap.offset(),
            Trap::IntegerDivisionByZero,
        ),
        (At::helve_test_recurse_trap.offset(), Trap::StackOverflow),
    ];
    let tables = Tables {
        traps,
        ..Tables::default()
    };
    CodeMemory::publish(image, tables, Arc::new(())).unwrap()
});

pub fn address(at: At) -> CodePtr {
    CODE.address(at.offset())
}

pub fn entry() -> EntryTrampoline {
    // SAFETY: the bytes there are such a function.
    unsafe { std::mem::transmute(address(At::helve_test_entry)) }
}

/// What the functions take for their context.
#[repr(C)]
pub struct Context {
    pub store: *mut VMStoreContext,
    pub target: *mut VMHostContext,
}

/// A closure as a host function's body.
pub type Body = dyn FnMut(&Guest, *mut ValRaw) -> u32;

/// A store with one host function.
pub struct Guest {
    pub store: Box<VMStoreContext>,
    pub context: Box<Context>,
    host: Box<VMHostContext>,
    body: Box<Box<Body>>,
}

// SAFETY: moved between threads by the tests that make sure nothing of it runs.
unsafe impl Send for Guest {}

impl Guest {
    pub fn with_limits(
        limits: &Limits,
        body: impl FnMut(&Guest, *mut ValRaw) -> u32 + 'static,
    ) -> Box<Guest> {
        let store = Box::new(store_context(limits, null_mut()));
        let store_ptr = (&raw const *store).cast_mut();
        let host = Box::new(VMHostContext {
            store: store_ptr,
            slot: address(At::helve_test_host),
            call: Guest::call_body as HostCall,
            data: null_mut(),
        });
        let context = Box::new(Context {
            store: store_ptr,
            target: (&raw const *host).cast_mut(),
        });
        let mut guest = Box::new(Guest {
            store,
            context,
            host,
            body: Box::new(Box::new(body)),
        });
        guest.host.data = (&raw mut *guest).cast();
        guest
    }

    pub fn raw(body: impl FnMut(&Guest, *mut ValRaw) -> u32 + 'static) -> Box<Guest> {
        Guest::with_limits(&Limits::default(), body)
    }

    pub fn new(mut body: impl FnMut(&Guest, *mut ValRaw) -> Result<()> + 'static) -> Box<Guest> {
        Guest::raw(move |guest, args| {
            // SAFETY: in a host call of this store.
            unsafe { host_call(guest.store_ptr(), || body(guest, args)) }
        })
    }

    pub fn plain() -> Box<Guest> {
        Guest::new(|_, _| Ok(()))
    }

    unsafe extern "C" fn call_body(host: *mut VMHostContext, args: *mut ValRaw) -> u32 {
        // SAFETY: `data` is the guest; the tests enter through shared references only.
        unsafe {
            let guest = (*host).data.cast::<Guest>();
            let body: *mut Box<Body> = (&raw const *(*guest).body).cast_mut();
            (*body)(&*guest, args)
        }
    }

    pub fn store_ptr(&self) -> *mut VMStoreContext {
        self.context.store
    }

    pub fn callee(&self) -> *mut u8 {
        (&raw const *self.context).cast_mut().cast()
    }

    /// Enters the function at `at`.
    pub fn enter(&self, at: At, args: &mut [ValRaw]) -> Result<(), Exit> {
        // SAFETY: the function's convention is the trampoline's; the store is ours.
        unsafe {
            enter(
                self.store_ptr(),
                entry(),
                address(at),
                self.callee(),
                args.as_mut_ptr(),
            )
        }
    }
}

pub fn int(value: i64) -> ValRaw {
    let mut raw = ValRaw { v128: [0; 16] };
    raw.i64 = value;
    raw
}

pub fn as_int(value: ValRaw) -> i64 {
    // SAFETY: any bits are an integer.
    unsafe { value.i64 }
}

/// The trap and its frames' offsets in the image.
pub fn trap_of(result: Result<(), Exit>) -> (Trap, Option<usize>, Vec<u32>) {
    match result {
        Err(Exit::Trap {
            trap,
            fault_address,
            backtrace,
            ..
        }) => (trap, fault_address, offsets(&backtrace)),
        other => panic!("expected a trap: {other:?}"),
    }
}

pub fn offsets(trace: &helve_vm::backtrace::Backtrace) -> Vec<u32> {
    let start = address(At::helve_test_start).addr();
    trace
        .frames
        .iter()
        .map(|frame| (frame.pc - start) as u32)
        .collect()
}
