//! Tells the library which build it is, for the fingerprint of compiled code.
//!
//! Compiled code and the library agree on layouts and conventions that no version number
//! stands for. So the fingerprint has a hash of every source file of the crates that take
//! part in that agreement, and of the Rust compiler's version.

use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Crates whose code is in, or is called by, compiled code.
const CRATES: &[&str] = &[
    "base", "abi", "model", "decode", "compile", "fiber", "vm", "helve",
];

fn main() {
    let mut hasher = DefaultHasher::new();
    for name in CRATES {
        // Where the crates don't stand side by side their versions must do.
        let source = Path::new("..").join(name).join("src");
        if source.is_dir() {
            println!("cargo::rerun-if-changed={}", source.display());
            let mut files = Vec::new();
            collect(&source, &mut files);
            files.sort();
            for file in files {
                hasher.write(file.as_os_str().as_encoded_bytes());
                hasher.write(&std::fs::read(&file).unwrap_or_default());
            }
        }
    }
    println!("cargo::rerun-if-changed=build.rs");
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    if let Ok(output) = Command::new(rustc).arg("--version").output() {
        hasher.write(&output.stdout);
    }
    println!("cargo::rustc-env=HELVE_BUILD={:016x}", hasher.finish());
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}
