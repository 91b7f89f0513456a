//! Mutants by seed: seed `n` is a mutant of base `n % bases`. One in eight also runs with
//! slow adapters, one in sixteen with the better tier of the compiler, which must agree.

use crate::mutants::bases;
use crate::mutants::harness::{Case, Engines, Outcome};
use crate::mutants::rng::Rng;
use crate::watch::State;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

/// The bases, and what they run on: guests of the scripts may yield for ever, so they get
/// fuel.
struct Bases {
    plain: Engines,
    fuelled: Engines,
    own: usize,
    cases: Vec<Case>,
}

impl Bases {
    fn new() -> Bases {
        let (plain, fuelled) = (Engines::new(None), Engines::new(Some(20_000_000)));
        let mut cases = bases::own(&plain, 120);
        let own = cases.len();
        if let Some(suites) = std::env::var_os("HELVE_SUITES") {
            let folder = PathBuf::from(suites).join("component-model");
            bases::scripts(&fuelled, &folder, &mut cases);
        }
        eprintln!(
            "{own} own bases, {} of the official scripts",
            cases.len() - own
        );
        Bases {
            plain,
            fuelled,
            own,
            cases,
        }
    }

    fn of(&self, n: u64) -> (&Engines, &Case) {
        let at = (n % self.cases.len() as u64) as usize;
        let engines = match at < self.own {
            true => &self.plain,
            false => &self.fuelled,
        };
        (engines, &self.cases[at])
    }
}

pub fn worker(from: u64, to: u64, mut state: State) {
    let bases = Bases::new();
    for n in from..to {
        state.start(n);
        let (engines, case) = bases.of(n);
        let bytes = case.base.mutant(&mut Rng::new(n));
        let outcome = check(engines, case, &bytes, n);
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
            Ok(other) if which != 1 && other != outcome && !spent(&other, &outcome) => {
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

/// Whether fuel ran out: not at the same place in both tiers.
fn spent(one: &Outcome, other: &Outcome) -> bool {
    let logs = one.log.iter().chain(&other.log);
    logs.into_iter().any(|line| line.ends_with("OutOfFuel"))
}

fn short(outcome: &Outcome) -> String {
    format!("{outcome:?}").chars().take(1500).collect()
}

/// One mutant, aloud.
pub fn one(n: u64, file: Option<&str>) {
    let bases = Bases::new();
    let (engines, case) = bases.of(n);
    let bytes = case.base.mutant(&mut Rng::new(n));
    println!("mutant {n} of {}", case.name);
    if let Some(file) = file {
        std::fs::write(file, &bytes).expect("writing the mutant");
    }
    for which in 0..3 {
        println!("engine {which}: {:#?}", engines.run(case, &bytes, which, n));
    }
}
