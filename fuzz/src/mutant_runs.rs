//! Mutants by seed: seed `n` is a mutant of base `n % bases`. One in eight also runs with
//! slow adapters, one in sixteen with the better tier of the compiler, which must agree.

use crate::mutants::bases;
use crate::mutants::harness::{Case, Engines, Outcome};
use crate::mutants::rng::Rng;
use crate::watch::State;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

fn cases(engines: &Engines) -> Vec<Case> {
    let mut cases = bases::own(engines, 120);
    let own = cases.len();
    if let Some(suites) = std::env::var_os("HELVE_SUITES") {
        let folder = PathBuf::from(suites).join("component-model");
        bases::scripts(engines, &folder, &mut cases);
    }
    eprintln!(
        "{own} own bases, {} of the official scripts",
        cases.len() - own
    );
    cases
}

pub fn worker(from: u64, to: u64, mut state: State) {
    let engines = Engines::new();
    let cases = cases(&engines);
    for n in from..to {
        state.start(n);
        let case = &cases[(n % cases.len() as u64) as usize];
        let bytes = case.base.mutant(&mut Rng::new(n));
        let outcome = check(&engines, case, &bytes, n);
        let Some(outcome) = outcome else { continue };
        let counts = [
            1,
            u64::from(outcome.valid),
            u64::from(outcome.instantiated),
            u64::from(outcome.calls > 0),
            outcome.calls as u64,
            outcome.returned as u64,
        ];
        state.numbers[1..]
            .iter_mut()
            .zip(counts)
            .for_each(|(sum, n)| *sum += n);
    }
    state.write();
}

/// Runs and compares; findings are printed.
fn check(engines: &Engines, case: &Case, bytes: &[u8], n: u64) -> Option<Outcome> {
    let run = |which| catch_unwind(AssertUnwindSafe(|| engines.run(case, bytes, which, n)));
    let Ok(outcome) = run(0) else {
        println!("FINDING mutants {n} ({}): a panic", case.name);
        return None;
    };
    for bug in &outcome.bugs {
        println!("FINDING mutants {n} ({}): {bug}", case.name);
    }
    let others: &[usize] = match n / 7 % 16 {
        3 => &[1, 2],
        11 => &[1],
        _ => &[],
    };
    for &which in others {
        match run(which) {
            Err(_) => println!("FINDING mutants {n} ({}): a panic in {which}", case.name),
            Ok(other) if !other.bugs.is_empty() => {
                println!("FINDING mutants {n} ({}): {:?}", case.name, other.bugs);
            }
            // The slow adapters ask `realloc` for other sizes, which mutants notice.
            Ok(other) if which != 1 && other != outcome => {
                println!(
                    "FINDING mutants {n} ({}): engine {which} differs",
                    case.name
                );
                println!("  {:?}\n  {:?}", short(&outcome), short(&other));
            }
            Ok(_) => {}
        }
    }
    Some(outcome)
}

fn short(outcome: &Outcome) -> String {
    format!("{outcome:?}").chars().take(1500).collect()
}

/// One mutant, aloud.
pub fn one(n: u64, file: Option<&str>) {
    let engines = Engines::new();
    let cases = cases(&engines);
    let case = &cases[(n % cases.len() as u64) as usize];
    let bytes = case.base.mutant(&mut Rng::new(n));
    println!("mutant {n} of {}", case.name);
    if let Some(file) = file {
        std::fs::write(file, &bytes).expect("writing the mutant");
    }
    for which in 0..3 {
        println!("engine {which}: {:#?}", engines.run(case, &bytes, which, n));
    }
}
