//! Calls between components that are tasks: generated adapters against the slow way through
//! the store, for every way to lift and to lower a function, on types made at random.
//!
//! ```text
//!   host --run-(how it is lowered)-(how it is lifted)--> A --the same value--> B
//!                                                       log: every status and event
//! ```
//!
//! Values go as pointers to a tuple that is too big for core values, so no core code here
//! knows a type. B returns at once, waits before it returns or after, in its callback, on
//! its stack or for a set, fails, or is cancelled. Both twins get the same value, and must
//! give the same value, the same log or the same trap. `helve-fuzz tasks FROM TO` runs more
//! seeds. Not here: other types and calls without tasks (`fused`, `values`).

#[path = "tasks/mod.rs"]
mod tasks;

#[test]
fn the_twins_agree() {
    let mut report = tasks::Report::default();
    for seed in 0..12 {
        tasks::compare(seed, &mut report);
    }
    println!("{report:?}");
    assert!(report.wrong.is_empty(), "{:#?}", report.wrong);
    assert!(report.calls > 500 && report.traps > 20 && report.waited > 100);
}
