//! Guests on fibers: suspending, resuming, abandoning, moving between threads.
//!
//! # Safety
//!
//! See `guest`.
#![cfg(target_arch = "x86_64")]

mod guest;

use guest::*;
use helve_base::vmctx::ValRaw;
use helve_base::{Error, Trap};
use helve_fiber::{PoolConfig, StackPool};
use helve_vm::fibers::{FiberResult, Resume, Suspended, enter_on_fiber};
use helve_vm::traps::{Exit, host_call_async};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

/// A guest whose host function is ready at once if `args[0]` is not 0.
fn waiting() -> Box<Guest> {
    Guest::raw(|guest, args| {
        // SAFETY: in a host call of this store; the caller's array.
        unsafe {
            host_call_async(guest.store_ptr(), || {
                Ok(if as_int(*args) == 0 {
                    Poll::Pending
                } else {
                    Poll::Ready(())
                })
            })
        }
    })
}

fn start(guest: &Guest, pool: &Arc<StackPool>, at: At, args: &mut [ValRaw]) -> FiberResult {
    let stack = pool.take().unwrap();
    let (code, callee) = (address(at), guest.callee());
    // SAFETY: as in `Guest::enter`; callers keep `args` until the guest is done.
    unsafe {
        enter_on_fiber(
            guest.store_ptr(),
            stack,
            entry(),
            code,
            callee,
            args.as_mut_ptr(),
            std::ptr::null_mut(),
        )
    }
}

fn suspended(result: FiberResult) -> Suspended {
    match result {
        FiberResult::Suspended(suspended) => suspended,
        FiberResult::Done(result, _) => panic!("not suspended: {result:?}"),
    }
}

fn done(result: FiberResult) -> Result<(), Exit> {
    match result {
        FiberResult::Suspended(_) => panic!("suspended"),
        FiberResult::Done(result, _) => result,
    }
}

#[test]
fn a_guest_that_never_waits_is_done() {
    let pool = StackPool::new(PoolConfig::default());
    let guest = waiting();
    let mut args = [int(1)];
    done(start(&guest, &pool, At::helve_test_outer, &mut args)).unwrap();
    done(start(&guest, &pool, At::helve_test_answer, &mut args)).unwrap();
    assert_eq!(as_int(args[0]), 42);
    assert_eq!((pool.used(), pool.idle()), (0, 1));
    assert!(guest.store.activation.is_null());
}

#[test]
fn a_suspended_guest_goes_on_each_way() {
    let pool = StackPool::new(PoolConfig::default());
    let guest = waiting();
    let resume = |how| {
        let mut args = [int(0)];
        let waits = suspended(start(&guest, &pool, At::helve_test_outer, &mut args));
        assert!(guest.store.activation.is_null());
        let frames = offsets(&waits.backtrace());
        assert_eq!(frames.len(), 3);
        assert_eq!(frames[0], At::helve_test_call_host_return.offset());
        assert_eq!(frames[1], At::helve_test_outer_return.offset());
        // Others run in between, on this stack and on another fiber.
        guest.enter(At::helve_test_answer, &mut [int(0)]).unwrap();
        trap_of(guest.enter(At::helve_test_recurse, &mut [int(0)]));
        let other = done(start(&guest, &pool, At::helve_test_recurse, &mut [int(0)]));
        assert_eq!(trap_of(other).0, Trap::StackOverflow);
        // SAFETY: the store is ours, nothing of it runs.
        done(unsafe { waits.resume(how) })
    };
    resume(Resume::Return).unwrap();
    match resume(Resume::Fail(Error::msg("late"))) {
        Err(Exit::Host(error, trace)) => {
            assert_eq!(error.to_string(), "late");
            assert_eq!(trace.frames.len(), 3);
        }
        other => panic!("{other:?}"),
    }
    match resume(Resume::Panic(Box::new(3u8))) {
        Err(Exit::Panic(panic)) => assert!(panic.is::<u8>()),
        other => panic!("{other:?}"),
    }
    assert_eq!(pool.used(), 0);
}

#[test]
fn traps_on_a_fiber_use_the_fibers_own_limit() {
    let pool = StackPool::new(PoolConfig {
        stack_bytes: 512 << 10,
        ..PoolConfig::default()
    });
    let guest = waiting();
    for _ in 0..3 {
        let mut args = [int(0)];
        let result = done(start(&guest, &pool, At::helve_test_recurse, &mut args));
        assert_eq!(trap_of(result).0, Trap::StackOverflow);
        let used = as_int(args[0]) * 64;
        assert!((240 << 10..=264 << 10).contains(&used), "{used}");
        let result = done(start(&guest, &pool, At::helve_test_load, &mut [int(8)]));
        assert_eq!(
            trap_of(result),
            (Trap::MemoryOutOfBounds, Some(8), trap_frames())
        );
    }
    // What runs on the native stack afterwards has its own again.
    let mut args = [int(0)];
    trap_of(guest.enter(At::helve_test_recurse, &mut args));
    assert!(as_int(args[0]) * 64 > 900 << 10);
}

/// The frames of a trapping load that was entered directly.
fn trap_frames() -> Vec<u32> {
    let guest = Guest::plain();
    trap_of(guest.enter(At::helve_test_load, &mut [int(8)])).2
}

#[test]
fn a_fiber_started_by_a_host_function_sees_the_frames_below() {
    let pool = StackPool::new(PoolConfig::default());
    let kept: Rc<Cell<Option<Suspended>>> = Rc::default();
    let (pool2, kept2) = (pool.clone(), kept.clone());
    let guest = Guest::raw(move |guest, args| {
        // SAFETY: in a host call of this store; the caller's array.
        unsafe {
            host_call_async(guest.store_ptr(), || match as_int(*args) {
                0 => Ok(Poll::Pending),
                1 => {
                    // A fiber that traps: five frames. Then one that suspends.
                    let at = At::helve_test_unreachable;
                    let result = done(start(guest, &pool2, at, &mut [int(0)]));
                    assert_eq!(trap_of(result).2.len(), 5);
                    let args = Box::leak(Box::new([int(0)]));
                    kept2.set(Some(suspended(start(
                        guest,
                        &pool2,
                        At::helve_test_outer,
                        args,
                    ))));
                    Ok(Poll::Ready(()))
                }
                _ => {
                    // Here on a fiber, as is the guest that this enters: it can't wait.
                    let result = guest.enter(At::helve_test_outer, &mut [int(0)]);
                    assert!(matches!(result, Err(Exit::Host(..))));
                    Ok(Poll::Ready(()))
                }
            })
        }
    });
    guest.enter(At::helve_test_outer, &mut [int(1)]).unwrap();
    // Resumed from elsewhere than where it was started.
    let waits = kept.take().unwrap();
    assert_eq!(waits.backtrace().frames.len(), 3);
    // SAFETY: the store is ours, nothing of it runs.
    done(unsafe { waits.resume(Resume::Return) }).unwrap();
    done(start(&guest, &pool, At::helve_test_outer, &mut [int(2)])).unwrap();
    assert!(guest.store.activation.is_null());
}

#[test]
fn suspended_guests_move_between_threads() {
    let pool = StackPool::new(PoolConfig::default());
    let mut guest = waiting();
    for _ in 0..50 {
        let mut args = Box::new([int(0)]);
        let waits = suspended(start(&guest, &pool, At::helve_test_outer, &mut *args));
        struct Moved(Box<Guest>, Suspended, Box<[ValRaw; 1]>);
        // SAFETY: nothing of the store runs.
        unsafe impl Send for Moved {}
        let moved = Moved(guest, waits, args);
        let pool = pool.clone();
        let other = std::thread::spawn(move || {
            let Moved(guest, waits, args) = { moved };
            // SAFETY: nothing of the store runs.
            done(unsafe { waits.resume(Resume::Return) }).unwrap();
            // Traps work here too.
            let result = done(start(&guest, &pool, At::helve_test_load, &mut [int(8)]));
            assert_eq!(trap_of(result).0, Trap::MemoryOutOfBounds);
            drop(args);
            guest
        });
        guest = other.join().unwrap();
    }
}

#[test]
fn ten_thousand_suspended_guests() {
    const MANY: usize = 10_000;
    let pool = StackPool::new(PoolConfig::default());
    let guest = waiting();
    let mut args = vec![[int(0)]; MANY];
    let mut waits: Vec<_> = args
        .iter_mut()
        .map(|args| suspended(start(&guest, &pool, At::helve_test_outer, args)))
        .collect();
    assert_eq!(pool.used(), MANY);
    // Half go on, in another order; half are abandoned.
    for i in (0..MANY / 2).rev() {
        let wait = waits.swap_remove(i);
        // SAFETY: nothing of the store runs.
        done(unsafe { wait.resume(Resume::Return) }).unwrap();
    }
    drop(waits);
    assert_eq!((pool.used(), pool.idle()), (0, 1000));
    assert!(guest.store.activation.is_null());
}
