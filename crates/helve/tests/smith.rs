//! Modules of wasm-smith give what wasmi makes of them: a short run of what `fuzz/` does for
//! hours. The seeds in `smith/seeds.txt` are those whose modules were the first to have an
//! instruction in them, of 20,000.

#[allow(dead_code, reason = "the mutants use all of it")]
#[path = "mutants/rng.rs"]
mod rng;
#[path = "smith/mod.rs"]
mod smith;

/// A seed's module: whether both engines ran it.
fn run(engines: &[helve::Engine], seed: u64) -> bool {
    match smith::compare(engines, seed) {
        None => false,
        Some((_, Some(finding))) => panic!("module {seed}: {finding}"),
        Some((both, None)) => both,
    }
}

#[test]
fn modules_agree() {
    // Each instruction that wasmi runs is a frame where its own calls are not optimised away.
    let thread = std::thread::Builder::new().stack_size(64 << 20);
    let ran = thread.spawn(all_agree).map(|thread| thread.join());
    assert!(matches!(ran, Ok(Ok(()))), "see above");
}

fn all_agree() {
    let engines = smith::engines();
    let kept = include_str!("smith/seeds.txt").lines();
    let kept = kept.filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    let seeds: Vec<u64> = kept.chain(0..200).collect();
    let ran = seeds.iter().filter(|seed| run(&engines, **seed)).count();
    assert!(ran * 10 >= seeds.len() * 9, "{ran} of {}", seeds.len());
}
