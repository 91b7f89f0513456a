//! Handles at random: three components pass resources around by raw indices, right and
//! wrong ones, with everything generated, and with each part of it slow.
//!
//! ```text
//!  user --own, borrow--> provider (defines r)          user --borrow--> third --borrow--> provider
//! ```

use super::{Guest, types::Random};
use helve::component::Val;
use helve::{Config, Engine};

/// `op(kind, a, b)` in the user: what `Kind` says with the handles `a` and `b`.
const KINDS: u32 = 11;

fn component(dtor: &str) -> String {
    include_str!("resources.wat").replace("$DTOR", dtor)
}

#[test]
fn handles_at_random_are_answered_alike() {
    let engines: Vec<Engine> = (0..4)
        .map(|i| {
            let mut config = Config::new();
            config.all_features(true).verifier(true);
            config.fused_adapters(i & 1 == 0).inline_handles(i & 2 == 0);
            Engine::new(&config).expect("an engine")
        })
        .collect();
    let (mut answers, mut traps) = (0, 0);
    for dtor in ["", "(dtor (core func $libc \"dtor\"))"] {
        let text = component(dtor);
        let mut guests: Vec<Guest> = engines.iter().map(|e| Guest::new(e, &text)).collect();
        let mut r = Random(0x5eed_5eed_0000_0001);
        let mut story: Vec<[u32; 3]> = Vec::new();
        for _ in 0..6000 {
            // Two in five make something, so that there is something to use.
            let kind = r.below(KINDS as u64 * 5 / 3) as u32;
            let kind = if kind >= KINDS { 0 } else { kind };
            let index = |r: &mut Random| match r.below(20) {
                0 => r.bits() as u32,
                _ => r.below(9) as u32,
            };
            let op = [kind, index(&mut r), index(&mut r)];
            story.push(op);
            let args = op.map(Val::U32);
            let found: Vec<_> = guests.iter_mut().map(|g| g.call(0, "op", &args)).collect();
            for other in &found[1..] {
                assert_eq!(found[0], *other, "dtor {dtor:?}, the last of {story:?}");
            }
            match &found[0] {
                Ok(_) => answers += 1,
                Err(_) => {
                    traps += 1;
                    story.clear();
                }
            }
        }
    }
    assert!(
        answers > 3000 && traps > 1000,
        "{answers} answers, {traps} traps"
    );
}
