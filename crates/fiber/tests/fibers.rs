//! Fibers: switching, forgetting, pooling, ten thousand of them.
//!
//! # Safety
//!
//! The entries below own nothing while they are suspended.

use helve_fiber::{Fiber, PoolConfig, StackPool, Step, Suspender};
use std::ptr::null_mut;

/// Suspends until it is resumed with 0; returns the sum of what it got.
unsafe extern "C" fn sum(_: *mut u8, suspender: &Suspender, first: usize) -> usize {
    let mut sum = first;
    loop {
        match suspender.suspend() {
            0 => return sum,
            word => sum += word,
        }
    }
}

/// Writes to every page of `data` bytes of its stack.
unsafe extern "C" fn use_stack(data: *mut u8, suspender: &Suspender, _: usize) -> usize {
    #[inline(never)]
    fn recurse(bytes: usize) -> usize {
        let block = std::hint::black_box([3u8; 1024]);
        if bytes <= 1024 {
            block[0].into()
        } else {
            recurse(bytes - 1024) + usize::from(block[9])
        }
    }
    let used = recurse(data.addr());
    suspender.suspend() + used
}

fn config() -> PoolConfig {
    PoolConfig {
        stack_bytes: 64 << 10,
        ..PoolConfig::default()
    }
}

#[test]
fn words_go_in_and_out() {
    let pool = StackPool::new(config());
    // SAFETY: `sum` owns nothing.
    let mut fiber = unsafe { Fiber::new(pool.take().unwrap(), sum, null_mut()) };
    // SAFETY: it has not finished.
    unsafe {
        assert_eq!(fiber.resume(1), Step::Suspended);
        assert_eq!(fiber.resume(20), Step::Suspended);
        assert_eq!(fiber.resume(300), Step::Suspended);
        assert_eq!(fiber.resume(0), Step::Finished(321));
    }
    assert_eq!(pool.used(), 1);
    drop(fiber.into_stack());
    assert_eq!((pool.used(), pool.idle()), (0, 1));
}

#[test]
fn fibers_may_be_dropped_in_any_state() {
    let pool = StackPool::new(config());
    for resumes in 0..4 {
        // SAFETY: `sum` owns nothing.
        let mut fiber = unsafe { Fiber::new(pool.take().unwrap(), sum, null_mut()) };
        for i in 0..resumes {
            // SAFETY: it has not finished.
            unsafe { fiber.resume(if i == 2 { 0 } else { 1 }) };
        }
        if resumes % 2 == 0 {
            drop(fiber)
        } else {
            drop(fiber.into_stack())
        }
        assert_eq!((pool.used(), pool.idle()), (0, 1));
    }
}

#[test]
fn pools_are_bounded_and_reuse() {
    for trim in [None, Some(4096)] {
        let pool = StackPool::new(PoolConfig {
            most: 3,
            keep: 2,
            trim,
            ..config()
        });
        let stacks: Vec<_> = (0..3).map(|_| pool.take().unwrap()).collect();
        let bases: Vec<_> = stacks.iter().map(|s| s.base()).collect();
        let error = pool.take().err().unwrap().to_string();
        assert!(error.contains("all 3 fiber stacks"), "{error}");
        drop(stacks);
        assert_eq!((pool.used(), pool.idle()), (0, 2));
        let again = pool.take().unwrap();
        assert!(bases.contains(&again.base()));
        // SAFETY: `use_stack` owns nothing.
        let mut fiber =
            unsafe { Fiber::new(again, use_stack, std::ptr::without_provenance_mut(40_000)) };
        // SAFETY: it has not finished.
        assert_eq!(unsafe { fiber.resume(0) }, Step::Suspended);
        // SAFETY: it has not finished.
        assert!(matches!(unsafe { fiber.resume(1) }, Step::Finished(n) if n > 100));
    }
}

#[test]
fn ten_thousand_at_once_in_turn_and_across_threads() {
    const MANY: usize = 10_000;
    let pool = StackPool::new(PoolConfig {
        most: MANY,
        keep: MANY,
        ..config()
    });
    for _ in 0..2 {
        let mut fibers: Vec<Fiber> = (0..MANY)
            // SAFETY: `sum` owns nothing.
            .map(|_| unsafe { Fiber::new(pool.take().unwrap(), sum, null_mut()) })
            .collect();
        for turn in 1..4 {
            for (i, fiber) in fibers.iter_mut().enumerate() {
                // SAFETY: it has not finished.
                assert_eq!(unsafe { fiber.resume(turn * (i + 1)) }, Step::Suspended);
            }
        }
        let elsewhere = std::thread::spawn(move || {
            for (i, mut fiber) in fibers.into_iter().enumerate() {
                // SAFETY: it has not finished.
                assert_eq!(unsafe { fiber.resume(0) }, Step::Finished(6 * (i + 1)));
            }
        });
        elsewhere.join().unwrap();
        assert_eq!((pool.used(), pool.idle()), (0, MANY));
    }
}
