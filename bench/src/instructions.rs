//! How many instructions the hottest paths take, counted by `valgrind --tool=callgrind`: a
//! figure that does not depend on how busy the machine is.
//!
//! Each row runs in a process of its own (`--count`), which switches the counting on for the
//! rounds that count. Not here: time (`measure`).

use crate::rows::{Drive, Row};
use crate::{helve_side, results, rows};
use std::fmt::Write;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// The rows, and how many rounds are counted.
const PATHS: [(&str, u32); 12] = [
    ("host-guest-typed", 2000),
    ("guest-host", 2000),
    ("g2g-scalar", 2000),
    ("res-own-trio", 2000),
    ("res-method", 2000),
    ("g2g-string-16", 2000),
    ("async-now", 1000),
    ("async-later", 1000),
    ("blocking-capable-async-now", 1000),
    ("stream-1", 1000),
    ("future-local", 1000),
    ("inst-small-pool", 200),
];

/// What more than last time is a regression.
const TOLERANCE: f64 = 0.05;

/// Asks Valgrind, where this process runs in it, to switch counting on or off; does nothing
/// elsewhere.
#[cfg(target_arch = "x86_64")]
fn toggle() {
    const TOGGLE_COLLECT: usize = (('C' as usize) << 24) + (('T' as usize) << 16) + 2;
    let request = [TOGGLE_COLLECT, 0, 0, 0, 0, 0];
    // SAFETY: the rotations add up to 128 bits: they, and the exchange of a register with
    // itself, change nothing but flags. Valgrind knows the sequence.
    unsafe {
        std::arch::asm!(
            "rol rdi, 3", "rol rdi, 13", "rol rdi, 61", "rol rdi, 51", "xchg rbx, rbx",
            in("rax") request.as_ptr(), inout("rdx") 0usize => _, options(nostack),
        );
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn toggle() {}

fn counted(name: &str) -> (Row, u32) {
    let path = PATHS.iter().find(|(path, _)| *path == name);
    let rounds = path.map_or(1000, |(_, rounds)| *rounds);
    (rows::find(name).expect("hot paths are rows"), rounds)
}

/// In the process that is counted: runs the row once to warm up, and once for the count.
pub fn child(name: &str) {
    let (row, rounds) = counted(name);
    let mut work = helve_side::drive::workload(&row, true);
    work(rounds);
    toggle();
    work(rounds);
    toggle();
}

/// Instructions for each operation.
fn count(name: &str) -> Result<f64, String> {
    let (row, rounds) = counted(name);
    let out = std::env::temp_dir().join(format!("border-{}-{name}", std::process::id()));
    let me = std::env::current_exe().map_err(|e| e.to_string())?;
    let ran = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--collect-atstart=no",
            "--smc-check=all",
        ])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(me)
        .args(["--count", name])
        .output()
        .map_err(|e| {
            format!("valgrind can't be started ({e}): install it to count instructions")
        })?;
    if !ran.status.success() {
        return Err(format!("{name}: {}", String::from_utf8_lossy(&ran.stderr)));
    }
    let profile = std::fs::read_to_string(&out).map_err(|e| e.to_string())?;
    let _ = std::fs::remove_file(&out);
    let total = profile
        .lines()
        .find_map(|line| line.strip_prefix("totals: "));
    let total = total.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
    debug_assert!(!matches!(row.drive, Drive::Compile));
    Ok(total.ok_or_else(|| format!("{name}: valgrind has counted nothing"))? / f64::from(rounds))
}

fn file() -> PathBuf {
    results::folder().join("instructions.tsv")
}

fn recorded() -> Vec<(String, f64)> {
    let text = std::fs::read_to_string(file()).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            line.split_once('\t')
                .and_then(|(n, c)| Some((n.into(), c.parse().ok()?)))
        })
        .collect()
}

/// Counts all hot paths. With `write` the counts are recorded, otherwise compared with those
/// that are: it fails where one is more than 5 % above.
pub fn run(write: bool) -> ExitCode {
    let old = recorded();
    let mut text =
        String::from("# instructions for each operation on Helve: border --write-instructions\n");
    let mut worse = 0;
    for (name, _) in PATHS {
        let now = match count(name) {
            Ok(now) => now,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        };
        let before = old
            .iter()
            .find(|(path, _)| path == name)
            .map(|(_, count)| *count);
        let change = before.map(|before| now / before - 1.0);
        let regression = change.is_none_or(|change| change > TOLERANCE) && !write;
        worse += usize::from(regression);
        let change = change.map_or("not recorded".into(), |change| {
            format!("{:+.1} %", 100.0 * change)
        });
        println!(
            "{name:<28} {now:>10.1} {change:>14} {}",
            if regression { "REGRESSION" } else { "" }
        );
        writeln!(text, "{name}\t{now:.1}").expect("a String takes everything");
    }
    if write && let Err(error) = std::fs::write(file(), text) {
        eprintln!("{}: {error}", file().display());
        return ExitCode::FAILURE;
    }
    if worse > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
