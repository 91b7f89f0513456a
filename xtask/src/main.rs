//! `cargo xtask tidy`: the rules of the house, checked by a machine; `cargo xtask map`:
//! the lines that ARCHITECTURE.md lacks, to be finished by a person; `cargo xtask api`: what
//! changed in the public API.
//!
//! Why: floors, unsafe code, file sizes and the map rot one harmless commit at a time.
//! The checks run as a test too. Not here: formatting and lints (`cargo fmt`, clippy).

#![forbid(unsafe_code)]

mod api;
mod docs;
mod house;
mod tidy;

use anyhow::{Result, bail};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            // Without the backtrace: the findings say where to look.
            eprintln!("{e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let house = house::House::read(&house::root())?;
    match std::env::args().nth(1).as_deref() {
        Some("tidy") => {
            let mut findings = tidy::check(&house);
            findings.extend(docs::check(&house));
            for finding in &findings {
                eprintln!("{finding}");
            }
            if !findings.is_empty() {
                bail!("{} finding(s)", findings.len());
            }
            println!("tidy: {} files, nothing to mend", house.files.len());
            Ok(())
        }
        Some("map") => {
            for line in tidy::missing_from_map(&house) {
                println!("{line}");
            }
            Ok(())
        }
        Some("api") => {
            let write = std::env::args().nth(2).as_deref() == Some("--write");
            let differences = api::run(&house::root(), &house, write)?;
            for difference in &differences {
                eprintln!("{difference}");
            }
            if !differences.is_empty() {
                bail!(
                    "the public API differs in {} line(s) from what is recorded: if that is meant, \
                     `cargo xtask api --write`, and say so in CHANGELOG.md",
                    differences.len()
                );
            }
            Ok(())
        }
        _ => bail!("usage: cargo xtask tidy | map | api [--write]"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_house_is_tidy() {
        let house = crate::house::House::read(&crate::house::root()).unwrap();
        let findings = crate::tidy::check(&house);
        assert!(findings.is_empty(), "\n{}", findings.join("\n"));
    }
}
