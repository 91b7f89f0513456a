//! Running the command `helve` as a user does, and looking at what it says.

#![allow(dead_code)] // no test uses all of it

use std::path::Path;
use std::process::{Command, Output};

/// Runs `helve` with these arguments.
pub fn helve(args: &[&str]) -> Output {
    let command = Command::new(env!("CARGO_BIN_EXE_helve"))
        .args(args)
        .output();
    command.expect("helve starts")
}

/// A file of `examples/hello`.
pub fn example(name: &str) -> String {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.join("../../examples/hello")
        .join(name)
        .display()
        .to_string()
}

/// A file of `tests/guests`.
pub fn guest(name: &str) -> String {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.join("tests/guests").join(name).display().to_string()
}

/// Checks exit code, all of stdout, and what stderr must have in it.
pub fn expect(args: &[&str], code: i32, stdout: &str, stderr: &[&str]) {
    let output = helve(args);
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{args:?}\nstdout: {out}\nstderr: {err}"
    );
    assert_eq!(out, stdout, "{args:?}\nstderr: {err}");
    for part in stderr {
        assert!(
            err.contains(part),
            "{args:?}: `{part}` is not in stderr: {err}"
        );
    }
    assert!(!err.contains("panicked"), "{args:?}: {err}");
}
