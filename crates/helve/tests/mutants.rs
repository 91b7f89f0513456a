//! Mutated components: a result or a clean error, no panic, and the same from both tiers
//! of the compiler. A short run of what `fuzz/` does for hours.

#[path = "mutants/mod.rs"]
mod mutants;

use mutants::bases;
use mutants::harness::Engines;
use mutants::rng::Rng;

#[test]
fn bases_run() {
    let engines = Engines::new(None);
    let cases = bases::own(&engines, 60);
    for case in &cases {
        let fused = engines.run(case, &case.base.bytes, 0, 1);
        let slow = engines.run(case, &case.base.bytes, 1, 1);
        assert!(fused.calls > 0, "{}: no call: {:?}", case.name, fused.log);
        assert_eq!(fused, slow, "{}", case.name);
        let lazy = engines.run(case, &case.base.bytes, 3, 1);
        assert_eq!(fused, lazy, "{}", case.name);
        assert!(fused.bugs.is_empty(), "{}: {:?}", case.name, fused.bugs);
    }
}

#[test]
fn mutants_end_well() {
    let engines = Engines::new(None);
    let cases = bases::own(&engines, 60);
    let (mut valid, mut called) = (0, 0);
    const MUTANTS: u64 = 600;
    for n in 0..MUTANTS {
        let case = &cases[n as usize % cases.len()];
        let bytes = case.base.mutant(&mut Rng::new(n));
        let outcome = engines.run(case, &bytes, 0, n);
        assert!(
            outcome.bugs.is_empty(),
            "mutant {n} of {}: {:?}",
            case.name,
            outcome.bugs
        );
        valid += u64::from(outcome.valid);
        called += u64::from(outcome.calls > 0);
        if n % 4 == 0 {
            // The better tier, or lazily.
            let other = engines.run(case, &bytes, 2 + n as usize / 4 % 2, n);
            assert_eq!(outcome, other, "mutant {n} of {}", case.name);
        }
    }
    assert!(valid * 2 >= MUTANTS, "{valid} of {MUTANTS} are valid");
    assert!(called * 5 >= MUTANTS, "{called} of {MUTANTS} reach a call");
}
