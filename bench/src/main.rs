//! `cargo run --release` here: every row on Helve and on Wasmtime, in one run, with the
//! ratio beside its target; exits with 1 where a target is missed. What was measured is left
//! in `results/` as a table and a plot.
//!
//! Wasmtime runs with its defaults (which include concurrency support) and, where the row is
//! synchronous, without concurrency support in another column.

#![allow(
    clippy::duplicate_mod,
    reason = "the driver is compiled once for each engine"
)]

mod helve_side;
mod instructions;
mod measure;
mod memory;
mod results;
mod rows;
mod texts;
mod wasmtime_side;

use measure::{Clock, Effort, Operation, Sample};
use results::{Line, Results, fraction};
use rows::{Drive, Row};
use std::process::ExitCode;
use std::time::Duration;

const HELP: &str = "\
usage: border [OPTION...] [ROW...]      all rows, or those whose names begin with a ROW

  --quick      less precise: all rows in less than a minute on an idle machine
               (results/quick.*, else results/border.*)
  --only ROW   just the row of this name
  --ours       Helve only, no ratio: for profiles
  --list       what the rows are
  --many N     makes and frees N instances of three kinds: fails where memory grows
  --check-instructions   counts the hottest paths by valgrind: fails above the recorded counts
  --write-instructions   counts them, and records the counts
";

/// What the command line asks for.
struct Options {
    flags: Vec<String>,
    prefixes: Vec<String>,
    only: Option<String>,
}

impl Options {
    fn parse(args: Vec<String>) -> Options {
        let mut options = Options {
            flags: Vec::new(),
            prefixes: Vec::new(),
            only: None,
        };
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--only" => options.only = args.next(),
                flag if flag.starts_with("--") => options.flags.push(arg),
                _ => options.prefixes.push(arg),
            }
        }
        options
    }

    fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|f| f == flag)
    }

    fn all(&self) -> bool {
        self.prefixes.is_empty() && self.only.is_none()
    }

    fn picked(&self, name: &str) -> bool {
        match &self.only {
            Some(only) => name == only,
            None => {
                self.all()
                    || self
                        .prefixes
                        .iter()
                        .any(|prefix| name.starts_with(prefix.as_str()))
            }
        }
    }

    fn effort(&self) -> Effort {
        if self.has("--quick") {
            Effort {
                run: Duration::from_millis(15),
                repeats: 5,
            }
        } else {
            Effort {
                run: Duration::from_millis(60),
                repeats: 7,
            }
        }
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--memory", name, engine] => {
            memory::child(name, engine);
            return ExitCode::SUCCESS;
        }
        ["--many", count] => return memory::many(count.parse().unwrap_or(1_000_000)),
        ["--count", name] => {
            instructions::child(name);
            return ExitCode::SUCCESS;
        }
        ["--check-instructions"] => return instructions::run(false),
        ["--write-instructions"] => return instructions::run(true),
        ["--help"] => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => run(&Options::parse(args)),
    }
}

fn run(options: &Options) -> ExitCode {
    let mut results = Results::default();
    for (title, rows) in rows::groups() {
        let rows: Vec<Row> = rows
            .into_iter()
            .filter(|row| options.picked(row.name))
            .collect();
        if rows.is_empty() {
            continue;
        }
        println!("\n{title}");
        let lines = rows
            .into_iter()
            .filter_map(|row| one(options, row))
            .collect();
        results.groups.push((title, lines));
    }
    if !options.has("--list") && !options.has("--ours") {
        memory_rows(options, &mut results);
        return end(options, &results);
    }
    ExitCode::SUCCESS
}

fn one(options: &Options, row: Row) -> Option<Line> {
    if options.has("--list") {
        println!("  {:<28} {}", row.name, row.what);
        return None;
    }
    if options.has("--ours") {
        let us = measure(
            &row,
            vec![helve_side::drive::workload(&row, true)],
            options.effort(),
        )[0];
        println!("  {:<28} {:>9.1} ({:>9.1})", row.name, us.median, us.best);
        return None;
    }
    let line = both(row, options.effort());
    print(&line);
    Some(line)
}

fn clock(row: &Row) -> Clock {
    if matches!(row.drive, Drive::Compile) {
        Clock::Process
    } else {
        Clock::Thread
    }
}

fn measure(row: &Row, mut operations: Vec<Operation>, effort: Effort) -> Vec<Sample> {
    let per = f64::from(row.per);
    measure::compare(&mut operations, row.first(), effort, clock(row))
        .into_iter()
        .map(|s| Sample {
            median: s.median / per,
            best: s.best / per,
        })
        .collect()
}

fn both(row: Row, effort: Effort) -> Line {
    let mut operations = vec![
        helve_side::drive::workload(&row, true),
        wasmtime_side::drive::workload(&row, true),
    ];
    if row.synchronous && !matches!(row.drive, Drive::Compile) {
        operations.push(wasmtime_side::drive::workload(&row, false));
    }
    let samples = measure(&row, operations, effort);
    Line {
        row,
        ours: samples[0],
        theirs: samples[1],
        bare: samples.get(2).copied(),
    }
}

fn print(line: &Line) {
    let bare = line
        .bare
        .map(|s| format!("{:.1} ({:.1})", s.median, s.best))
        .unwrap_or_default();
    println!(
        "  {:<28} {:>9.1} ({:>9.1}) {:>11.1} ({:>11.1}) {:>8} {:>6} {:>6} {:>22}",
        line.row.name,
        line.ours.median,
        line.ours.best,
        line.theirs.median,
        line.theirs.best,
        fraction(line.ratio()),
        fraction(line.row.target),
        if line.reached() { "ok" } else { "MISSED" },
        bare,
    );
}

fn memory_rows(options: &Options, results: &mut Results) {
    for row in memory::ROWS.iter().filter(|row| options.picked(row.name)) {
        let measured = memory::measure(row);
        let theirs = measured
            .theirs
            .map(|bytes| format!("{bytes:.0} B"))
            .unwrap_or_default();
        let reached = if measured.reached(row.goal) {
            "ok"
        } else {
            "MISSED"
        };
        println!(
            "  {:<28} {:>9.0} B {theirs:>13} {reached:>6}",
            row.name, measured.ours
        );
        results.memory.push((*row, measured));
    }
}

fn end(options: &Options, results: &Results) -> ExitCode {
    if options.all() {
        let name = if options.has("--quick") {
            "quick"
        } else {
            "border"
        };
        if let Err(error) = results::write(results, name) {
            eprintln!("{}: {error}", results::folder().display());
            return ExitCode::FAILURE;
        }
    }
    let lines = results.groups.iter().flat_map(|(_, lines)| lines);
    let mut missed: Vec<&str> = lines
        .filter(|line| !line.reached())
        .map(|line| line.row.name)
        .collect();
    let memory = results
        .memory
        .iter()
        .filter(|(row, measured)| !measured.reached(row.goal));
    missed.extend(memory.map(|(row, _)| row.name));
    if missed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("\n{} missed: {}", missed.len(), missed.join(", "));
    ExitCode::FAILURE
}
