//! Faults that are not the guest's: they go where they went before us, in processes of
//! their own.
//!
//! # Safety
//!
//! See `guest`.
#![cfg(target_arch = "x86_64")]

mod guest;

use guest::*;
use helve_base::Trap;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

const ROLE: &str = "HELVE_TEST_ROLE";

/// Runs this very test again, in a process where `role` is set.
fn run(role: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "faults_that_are_not_traps", "--nocapture"])
        .env(ROLE, role)
        .output()
        .unwrap()
}

#[test]
fn faults_that_are_not_traps() {
    if let Ok(role) = std::env::var(ROLE) {
        return play(&role);
    }
    // (role, signal that ends it, exit code, text on stderr)
    let cases = [
        (
            "unknown access in guest code",
            Some(libc::SIGSEGV),
            None,
            "",
        ),
        ("fault in host code", Some(libc::SIGILL), None, ""),
        (
            "fault in host code, after a trap",
            Some(libc::SIGILL),
            None,
            "",
        ),
        ("signal from elsewhere", Some(libc::SIGFPE), None, ""),
        (
            "host stack overflow",
            Some(libc::SIGABRT),
            None,
            "overflowed its stack",
        ),
        ("handler of someone else", None, Some(33), ""),
        ("handler without info", None, Some(34), ""),
        ("ignored signal from elsewhere", None, Some(0), ""),
    ];
    for (role, signal, code, text) in cases {
        let output = run(role);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), signal, "{role}: {stderr}");
        assert_eq!(output.status.code(), code, "{role}: {stderr}");
        assert!(stderr.contains(text), "{role}: {stderr}");
    }
}

fn trap_once() {
    let guest = Guest::plain();
    let (trap, ..) = trap_of(guest.enter(At::helve_test_unreachable, &mut []));
    assert_eq!(trap, Trap::Unreachable);
}

extern "C" fn with_info(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: ends the process; the kernel passes a valid pointer.
    unsafe { libc::_exit(if (*info).si_code > 0 { 33 } else { 35 }) }
}

extern "C" fn without_info(_: i32) {
    // SAFETY: ends the process.
    unsafe { libc::_exit(34) }
}

fn install(signal: i32, handler: usize, flags: i32) {
    // SAFETY: a valid action.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        assert_eq!(libc::sigaction(signal, &action, std::ptr::null_mut()), 0);
    }
}

fn play(role: &str) {
    let guest = Guest::new(|_, _| {
        // SAFETY: raises SIGILL in host code.
        unsafe { core::arch::asm!("ud2") };
        Ok(())
    });
    match role {
        "unknown access in guest code" => drop(guest.enter(At::helve_test_wild, &mut [])),
        "fault in host code" => drop(guest.enter(At::helve_test_outer, &mut [])),
        "fault in host code, after a trap" => {
            trap_once();
            // SAFETY: raises SIGILL in host code.
            unsafe { core::arch::asm!("ud2") };
        }
        "signal from elsewhere" => {
            trap_once();
            // SAFETY: sends a signal to this thread.
            unsafe { libc::raise(libc::SIGFPE) };
        }
        "host stack overflow" => {
            #[inline(never)]
            fn recurse(n: u64) -> u64 {
                if std::hint::black_box(n) == u64::MAX {
                    n
                } else {
                    recurse(n + 1) + std::hint::black_box(n)
                }
            }
            trap_once();
            let overflow = std::thread::spawn(|| {
                trap_once();
                recurse(0)
            });
            drop(overflow.join());
        }
        "handler of someone else" => {
            install(
                libc::SIGSEGV,
                with_info as *const () as usize,
                libc::SA_SIGINFO,
            );
            trap_once();
            drop(guest.enter(At::helve_test_wild, &mut []));
        }
        "handler without info" => {
            install(libc::SIGILL, without_info as *const () as usize, 0);
            trap_once();
            drop(guest.enter(At::helve_test_outer, &mut []));
        }
        "ignored signal from elsewhere" => {
            install(libc::SIGFPE, libc::SIG_IGN, 0);
            trap_once();
            // SAFETY: sends a signal to this thread.
            unsafe { libc::raise(libc::SIGFPE) };
            trap_once();
        }
        _ => panic!("unknown role {role}"),
    }
}
