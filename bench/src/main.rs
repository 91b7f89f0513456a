//! `cargo run --release` here: every row on Helve and on Wasmtime, in one run, with the
//! ratio beside its target. `--quick` for a first look, `--check` to exit with 1 where a
//! target is missed; other words pick rows by name.
//!
//! Wasmtime runs with its defaults (which include concurrency support) and, in the last
//! column, without concurrency support.

mod helve_side;
mod measure;
mod rows;
mod wasmtime_side;

use measure::Effort;
use std::time::Duration;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| args.iter().any(|a| a == flag);
    let effort = if has("--quick") {
        Effort { run: Duration::from_millis(50), repeats: 5 }
    } else {
        Effort { run: Duration::from_millis(500), repeats: 7 }
    };
    let picked: Vec<&String> = args.iter().filter(|a| !a.starts_with("--")).collect();
    println!("ns of thread CPU time per operation: median (best)");
    println!(
        "{:<22} {:>16} {:>18} {:>8} {:>8} {:>6} {:>20}",
        "row", "helve", "wasmtime", "ratio", "target", "", "without concurrency"
    );
    let mut missed = 0;
    for row in rows::ROWS.iter().filter(|r| picked.is_empty() || picked.iter().any(|p| *p == r.name)) {
        let mut ours = helve_side::workload(row);
        let mut theirs = wasmtime_side::workload(row, true);
        let (us, them) = measure::compare(&mut *ours, &mut *theirs, effort);
        let mut plain = wasmtime_side::workload(row, false);
        let (_, bare) = measure::compare(&mut *ours, &mut *plain, effort);
        let ratio = (us.median / them.median).max(us.best / them.best);
        let reached = ratio <= row.target;
        missed += usize::from(!reached);
        println!(
            "{:<22} {:>8.1} ({:>5.1}) {:>9.1} ({:>6.1}) {:>8} {:>8} {:>6} {:>11.1} ({:>6.1})",
            row.name,
            us.median,
            us.best,
            them.median,
            them.best,
            fraction(ratio),
            fraction(row.target),
            if reached { "ok" } else { "missed" },
            bare.median,
            bare.best,
        );
    }
    if missed > 0 && has("--check") {
        std::process::exit(1);
    }
}

fn fraction(ratio: f64) -> String {
    if ratio < 0.5 { format!("1/{:.1}", 1.0 / ratio) } else { format!("{ratio:.2}") }
}
