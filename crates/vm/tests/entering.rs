//! Entering, leaving and trapping, with functions of hand-written machine code.
//!
//! # Safety
//!
//! See `guest`.
#![cfg(target_arch = "x86_64")]

mod guest;

use guest::*;
use helve_base::limits::Limits;
use helve_base::vmctx::MEMORY32_RESERVATION;
use helve_base::{Error, Trap};
use helve_vm::backtrace::{MAX_FRAMES, capture};
use helve_vm::memory::Memory;
use helve_vm::traps::{Exit, host_call};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

#[test]
fn returns() {
    let guest = Guest::plain();
    let mut args = [int(0)];
    guest.enter(At::helve_test_answer, &mut args).unwrap();
    assert_eq!(as_int(args[0]), 42);
    assert!(guest.store.activation.is_null());
}

#[test]
fn hardware_faults_are_traps() {
    let guest = Guest::plain();
    let memory = helve_base::core_type::MemoryType {
        minimum: 1,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: 16,
    };
    let memory = Memory::new(&memory, 1 << 32).unwrap();
    let base = memory.base().addr() as i64;
    let entry_frame = At::helve_test_entry.offset();
    let load = |at: i64| guest.enter(At::helve_test_load, &mut [int(at)]);
    load(base + 65528).unwrap();
    for at in [
        65536,
        1 << 31,
        (1 << 32) - 8,
        MEMORY32_RESERVATION as i64 - 8,
    ] {
        let (trap, address, frames) = trap_of(load(base + at));
        assert_eq!(trap, Trap::MemoryOutOfBounds);
        assert_eq!(address, Some((base + at) as usize));
        assert_eq!(frames[0], At::helve_test_load_trap.offset());
        assert!(frames.len() == 2 && frames[1] > entry_frame && frames[1] < entry_frame + 32);
    }
    // Growing makes the same address good.
    memory.grow(1, None).unwrap();
    load(base + 65536).unwrap();

    let (trap, address, _) = trap_of(guest.enter(At::helve_test_unreachable, &mut []));
    assert_eq!((trap, address), (Trap::Unreachable, None));
    let (trap, address, _) = trap_of(guest.enter(At::helve_test_divide, &mut [int(1), int(0)]));
    assert_eq!((trap, address), (Trap::IntegerDivisionByZero, None));
    let mut args = [int(84), int(2)];
    guest.enter(At::helve_test_divide, &mut args).unwrap();
    assert_eq!(as_int(args[0]), 42);
    assert!(guest.store.activation.is_null());
}

#[test]
fn a_host_error_comes_back_with_the_frames() {
    let guest = Guest::new(|_, _| Err(Error::msg("no")));
    for (at, frames) in [(At::helve_test_outer, 3), (At::helve_test_answer, 0)] {
        match guest.enter(at, &mut [int(0)]) {
            Err(Exit::Host(error, trace)) => {
                assert_eq!(error.to_string(), "no");
                let offsets = offsets(&trace);
                assert_eq!(offsets.len(), frames);
                assert_eq!(offsets[0], At::helve_test_call_host_return.offset());
                assert_eq!(offsets[1], At::helve_test_outer_return.offset());
                assert!(
                    trace
                        .frames
                        .iter()
                        .all(|f| f.returns && f.lookup_pc() == f.pc - 1)
                );
            }
            Ok(()) => assert_eq!(frames, 0),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_host_panic_comes_back() {
    let guest = Guest::new(|_, _| std::panic::resume_unwind(Box::new(7u8)));
    for _ in 0..3 {
        match guest.enter(At::helve_test_outer, &mut []) {
            Err(Exit::Panic(panic)) => assert_eq!(panic.downcast_ref::<u8>(), Some(&7)),
            other => panic!("{other:?}"),
        }
        assert!(guest.store.activation.is_null());
    }
}

#[test]
fn a_panic_whose_hook_walks_the_stack_comes_back_too() {
    // Compiled frames have no unwind tables: a walk ends there.
    let guest = Guest::new(|_, _| {
        let trace = std::backtrace::Backtrace::force_capture();
        panic!("on purpose: {:?}", trace.status())
    });
    match guest.enter(At::helve_test_outer, &mut []) {
        Err(Exit::Panic(panic)) => {
            let message = panic.downcast_ref::<String>();
            assert_eq!(message.map(String::as_str), Some("on purpose: Captured"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_failure_without_a_reason_is_a_bug() {
    let guest = Guest::raw(|_, _| helve_base::builtin::status::FAILED);
    match guest.enter(At::helve_test_outer, &mut []) {
        Err(Exit::Host(error, _)) => assert_eq!(error.kind(), helve_base::error::ErrorKind::Bug),
        other => panic!("{other:?}"),
    }
}

#[test]
fn suspending_off_a_fiber_is_an_error() {
    let guest = Guest::raw(|_, _| helve_base::builtin::status::SUSPEND);
    match guest.enter(At::helve_test_outer, &mut []) {
        Err(Exit::Host(error, trace)) => {
            assert!(error.to_string().contains("cannot wait"));
            assert_eq!(trace.frames.len(), 3);
        }
        other => panic!("{other:?}"),
    }
}

/// A local that notes that it was dropped, to see that host frames unwind properly.
struct Noted(Rc<Cell<u32>>);
impl Drop for Noted {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn nested_enters_trap_one_by_one() {
    // The host function enters the guest again, which traps; the host sees that, with the
    // frames of both, and goes on or fails in turn.
    for goes_on in [true, false] {
        let drops = Rc::new(Cell::new(0));
        let inner_frames = Rc::new(RefCell::new(Vec::new()));
        let (drops2, inner_frames2) = (drops.clone(), inner_frames.clone());
        let guest = Guest::new(move |guest, args| {
            let _noted = Noted(drops2.clone());
            let outer = guest.store.activation;
            let result = guest.enter(At::helve_test_unreachable, &mut []);
            assert_eq!(guest.store.activation, outer);
            let (trap, _, frames) = trap_of(result);
            assert_eq!(trap, Trap::Unreachable);
            *inner_frames2.borrow_mut() = frames;
            // SAFETY: in a host call of this store.
            let here = unsafe { capture(guest.store_ptr()) };
            assert_eq!(offsets(&here)[0], At::helve_test_call_host_return.offset());
            assert_eq!(here.frames.len(), 3);
            // SAFETY: the array has a place.
            unsafe { (*args).i64 = 5 };
            if goes_on {
                Ok(())
            } else {
                Err(Error::msg("inner trapped"))
            }
        });
        let mut args = [int(0)];
        let result = guest.enter(At::helve_test_outer, &mut args);
        assert_eq!(drops.get(), 1);
        assert_eq!(as_int(args[0]), 5);
        let frames = inner_frames.borrow();
        assert_eq!(frames.len(), 5, "two inner frames, then three outer ones");
        assert_eq!(frames[0], At::helve_test_unreachable_trap.offset());
        assert_eq!(frames[2], At::helve_test_call_host_return.offset());
        assert_eq!(frames[3], At::helve_test_outer_return.offset());
        match result {
            Ok(()) => assert!(goes_on),
            Err(Exit::Host(error, _)) => assert_eq!(error.to_string(), "inner trapped"),
            other => panic!("{other:?}"),
        }
        assert!(guest.store.activation.is_null());
    }
}

#[test]
fn two_stores_on_one_stack() {
    let other = Guest::new(|_, _| Err(Error::msg("other")));
    let guest = Guest::new(move |guest, _| {
        let (trap, ..) = trap_of(other.enter(At::helve_test_unreachable, &mut []));
        assert_eq!(trap, Trap::Unreachable);
        // The current store is this one again.
        let (trap, _, frames) = trap_of(guest.enter(At::helve_test_unreachable, &mut []));
        assert_eq!((trap, frames.len()), (Trap::Unreachable, 5));
        assert!(matches!(
            other.enter(At::helve_test_outer, &mut []),
            Err(Exit::Host(..))
        ));
        Ok(())
    });
    guest.enter(At::helve_test_outer, &mut []).unwrap();
    trap_of(guest.enter(At::helve_test_unreachable, &mut []));
}

/// Runs `f` on a thread with exactly `bytes` of stack (std's builder may give more: libc
/// reuses stacks).
fn on_stack_of<T: Send>(bytes: usize, f: impl FnOnce() -> T + Send) -> T {
    struct Job<T, F> {
        run: Option<F>,
        result: Option<std::thread::Result<T>>,
    }
    extern "C" fn start<T, F: FnOnce() -> T>(job: *mut libc::c_void) -> *mut libc::c_void {
        // SAFETY: the spawner's, which waits for us.
        let job = unsafe { &mut *job.cast::<Job<T, F>>() };
        let run = job.run.take().unwrap();
        job.result = Some(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)));
        std::ptr::null_mut()
    }
    fn start_of<T, F: FnOnce() -> T>(
        _: &Job<T, F>,
    ) -> extern "C" fn(*mut libc::c_void) -> *mut libc::c_void {
        start::<T, F>
    }
    let mut job = Job {
        run: Some(f),
        result: None,
    };
    // SAFETY: the stack is ours until the thread is joined.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let stack = libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0);
        assert_ne!(stack, libc::MAP_FAILED);
        let mut attributes = std::mem::zeroed();
        assert_eq!(libc::pthread_attr_init(&mut attributes), 0);
        assert_eq!(
            libc::pthread_attr_setstack(&mut attributes, stack, bytes),
            0
        );
        let mut thread = std::mem::zeroed();
        let start = start_of(&job);
        let made = libc::pthread_create(&mut thread, &attributes, start, (&raw mut job).cast());
        assert_eq!(made, 0);
        assert_eq!(libc::pthread_join(thread, std::ptr::null_mut()), 0);
        libc::pthread_attr_destroy(&mut attributes);
        libc::munmap(stack, bytes);
    }
    job.result
        .unwrap()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Recurses on a thread with `stack` bytes; how many bytes it used.
fn recursion(stack: usize, limits: Limits) -> i64 {
    on_stack_of(stack, move || {
        let guest = Guest::with_limits(&limits, |_, _| 0);
        let mut args = [int(0)];
        let (trap, _, frames) = trap_of(guest.enter(At::helve_test_recurse, &mut args));
        assert_eq!(trap, Trap::StackOverflow);
        assert!(frames.len() == MAX_FRAMES || (frames.len() as i64) < as_int(args[0]) + 3);
        assert_eq!(frames[0], At::helve_test_recurse_trap.offset());
        // And again: the same depth, nothing lost.
        let mut again = [int(0)];
        trap_of(guest.enter(At::helve_test_recurse, &mut again));
        assert_eq!(as_int(args[0]), as_int(again[0]));
        as_int(args[0]) * 64
    })
}

#[test]
fn stack_overflow_is_a_trap_on_any_thread() {
    const MIB: usize = 1 << 20;
    const KIB: usize = 1 << 10;
    let of = |guest_stack_bytes| {
        let mut limits = Limits::default();
        limits.guest_stack_bytes = guest_stack_bytes;
        limits
    };
    // (stack of the thread, bytes that guests may use, those they get)
    let cases = [
        // Room for all they may use: they get it.
        (8 * MIB, MIB, MIB - 256..=MIB),
        (2 * MIB, MIB, MIB - 256..=MIB),
        // Less: what is left above the host's part (256 KiB).
        (512 * KIB, MIB, 200 * KIB..=256 * KIB),
        (4 * MIB, usize::MAX, 3 * MIB..=4 * MIB - 256 * KIB),
        // Not even that: a trap at once.
        (128 * KIB, MIB, 0..=0),
    ];
    for (stack, guest, used) in cases {
        let got = recursion(stack, of(guest)) as usize;
        assert!(used.contains(&got), "{stack} {guest}: {got}");
    }
}

#[test]
fn the_host_has_headroom_below_the_guests_limit() {
    #[inline(never)]
    fn use_stack(bytes: usize) -> usize {
        let block = std::hint::black_box([1u8; 4096]);
        if bytes <= block.len() {
            block[0] as usize
        } else {
            use_stack(bytes - 4096) + block[1] as usize
        }
    }
    // The guest recurses to its limit by way of the host, each time from a lower stack;
    // at the bottom the guest traps, while the host still has its part.
    on_stack_of(600 << 10, || {
        let deepest = Rc::new(Cell::new(0));
        let deepest2 = deepest.clone();
        let guest = Guest::new(move |guest, args| {
            deepest2.set(deepest2.get() + 1);
            let result = guest.enter(At::helve_test_recurse, &mut [int(0)]);
            assert_eq!(trap_of(result).0, Trap::StackOverflow);
            assert!(use_stack(200 << 10) > 0);
            // SAFETY: the caller's array.
            let left = as_int(unsafe { *args });
            if left == 0 {
                return Ok(());
            }
            let result = guest.enter(At::helve_test_outer, &mut [int(left - 1)]);
            result.map_err(|exit| Error::msg(format!("{exit:?}")))
        });
        guest.enter(At::helve_test_outer, &mut [int(10)]).unwrap();
        assert_eq!(deepest.get(), 11);
    });
}

#[test]
fn many_threads_trap_at_the_same_time() {
    let threads: Vec<_> = (0..16)
        .map(|n| {
            std::thread::spawn(move || {
                let guest = Guest::new(|guest, _| {
                    let (trap, _, frames) =
                        trap_of(guest.enter(At::helve_test_load, &mut [int(16)]));
                    assert_eq!((trap, frames.len()), (Trap::MemoryOutOfBounds, 5));
                    Err(Error::msg("done"))
                });
                for i in 0..300 {
                    match (i + n) % 4 {
                        0 => assert_eq!(
                            trap_of(guest.enter(At::helve_test_load, &mut [int(8)])).1,
                            Some(8)
                        ),
                        1 => assert_eq!(
                            trap_of(guest.enter(At::helve_test_unreachable, &mut [])).0,
                            Trap::Unreachable
                        ),
                        2 => assert_eq!(
                            trap_of(guest.enter(At::helve_test_recurse, &mut [int(0)])).0,
                            Trap::StackOverflow
                        ),
                        _ => assert!(matches!(
                            guest.enter(At::helve_test_outer, &mut []),
                            Err(Exit::Host(..))
                        )),
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn threads_that_std_did_not_make() {
    extern "C" fn run(_: *mut libc::c_void) -> *mut libc::c_void {
        let guest = Guest::plain();
        assert_eq!(
            trap_of(guest.enter(At::helve_test_recurse, &mut [int(0)])).0,
            Trap::StackOverflow
        );
        assert_eq!(
            trap_of(guest.enter(At::helve_test_load, &mut [int(8)])).1,
            Some(8)
        );
        std::ptr::null_mut()
    }
    for _ in 0..20 {
        // SAFETY: a thread of libc's, joined below.
        unsafe {
            let mut thread = std::mem::zeroed();
            let made =
                libc::pthread_create(&mut thread, std::ptr::null(), run, std::ptr::null_mut());
            assert_eq!(made, 0);
            assert_eq!(libc::pthread_join(thread, std::ptr::null_mut()), 0);
        }
    }
}

#[test]
fn host_call_statuses() {
    let guest = Guest::raw(|guest, _| {
        // SAFETY: in a host call of this store.
        unsafe { host_call(guest.store_ptr(), || Ok(())) }
    });
    guest.enter(At::helve_test_outer, &mut []).unwrap();
}
