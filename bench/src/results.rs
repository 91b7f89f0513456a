//! The results as files: a table for people, a plot.

use crate::measure::Sample;
use crate::memory::{Goal, Measured, MemoryRow};
use crate::rows::Row;
use std::fmt::Write;
use std::path::PathBuf;

/// A row as it was measured.
pub struct Line {
    pub row: Row,
    pub ours: Sample,
    pub theirs: Sample,
    /// Wasmtime without concurrency support, where the row is synchronous.
    pub bare: Option<Sample>,
}

impl Line {
    /// Helve over Wasmtime: of medians or of the best runs, whichever is worse for Helve.
    pub fn ratio(&self) -> f64 {
        (self.ours.median / self.theirs.median).max(self.ours.best / self.theirs.best)
    }

    pub fn reached(&self) -> bool {
        self.ratio() <= self.row.target
    }
}

/// Everything that was measured.
#[derive(Default)]
pub struct Results {
    pub groups: Vec<(&'static str, Vec<Line>)>,
    pub memory: Vec<(MemoryRow, Measured)>,
}

/// Where the results are kept.
pub fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/results"))
}

/// A ratio as people say it: a third is `1/3.0`.
pub fn fraction(ratio: f64) -> String {
    if ratio < 0.5 {
        format!("1/{:.1}", 1.0 / ratio)
    } else {
        format!("{ratio:.2}")
    }
}

/// Nanoseconds with as many digits as mean something.
pub fn time(ns: f64) -> String {
    match ns {
        ns if ns < 100.0 => format!("{ns:.1}"),
        ns if ns < 100_000.0 => format!("{ns:.0}"),
        ns if ns < 1e8 => format!("{:.0} us", ns / 1e3),
        ns => format!("{:.2} s", ns / 1e9),
    }
}

fn sample(sample: Sample) -> String {
    format!("{} ({})", time(sample.median), time(sample.best))
}

/// The processor and the number of cores.
fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let system = std::env::consts::OS;
    format!("{model}, {cores} cores, {system}")
}

/// The table, as Markdown.
pub fn table(results: &Results) -> String {
    let mut out = String::new();
    // Writing to a String never fails.
    let _ = writeln!(
        out,
        "# The border, measured\n\nHelve {} beside Wasmtime 48.0.8 on: {}.\n",
        env!("CARGO_PKG_VERSION"),
        machine()
    );
    out.push_str(
        "Nanoseconds of CPU time for each operation, median (best); both engines in turns in one\n\
         run. The ratio is that of the medians or that of the best runs, whichever is worse for\n\
         Helve. The last column is Wasmtime without its concurrency support.\n",
    );
    for (title, lines) in &results.groups {
        let _ = writeln!(out, "\n## {title}\n");
        out.push_str(
            "| row | operation | Helve | Wasmtime | ratio | target | | without concurrency |\n",
        );
        out.push_str("| --- | --- | ---: | ---: | ---: | ---: | --- | ---: |\n");
        for line in lines {
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} | {} | {} |",
                line.row.name,
                line.row.what,
                sample(line.ours),
                sample(line.theirs),
                fraction(line.ratio()),
                fraction(line.row.target),
                if line.reached() { "" } else { "missed" },
                line.bare.map(sample).unwrap_or_default(),
            );
        }
    }
    if !results.memory.is_empty() {
        out.push_str("\n## Memory\n\nBytes of resident memory for each.\n\n");
        out.push_str("| row | thing | at once | Helve | Wasmtime | ratio | target | |\n");
        out.push_str("| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |\n");
        for (row, measured) in &results.memory {
            let _ = writeln!(out, "{}", memory_line(row, measured));
        }
    }
    out
}

fn memory_line(row: &MemoryRow, measured: &Measured) -> String {
    let theirs = measured
        .theirs
        .map(|bytes| format!("{bytes:.0}"))
        .unwrap_or_default();
    let ratio = measured
        .theirs
        .map(|bytes| fraction(measured.ours / bytes))
        .unwrap_or_default();
    let target = match row.goal {
        Goal::Ratio(most) => fraction(most),
        Goal::Bytes(most) => format!("{most:.0} B"),
    };
    let missed = if measured.reached(row.goal) {
        ""
    } else {
        "missed"
    };
    format!(
        "| {} | {} | {} | {:.0} | {theirs} | {ratio} | {target} | {missed} |",
        row.name, row.what, row.count, measured.ours
    )
}

const LEFT: f64 = 210.0;
const WIDTH: f64 = 620.0;
const STEP: f64 = 16.0;
/// The right end of the scale: so many times faster.
const MOST: f64 = 1000.0;
const LEAST: f64 = 0.5;

/// Where a factor is on the scale, which is logarithmic.
fn x(factor: f64) -> f64 {
    LEFT + WIDTH * (factor.clamp(LEAST, MOST) / LEAST).ln() / (MOST / LEAST).ln()
}

/// How many times faster Helve is, a bar for each row, with a mark at its target.
pub fn plot(results: &Results) -> String {
    let lines: usize = results
        .groups
        .iter()
        .map(|(_, lines)| lines.len() + 1)
        .sum();
    let height = 50.0 + STEP * lines as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{height}\" viewBox=\"0 0 {0} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"8\" y=\"18\" font-size=\"13\">How many times less CPU time than Wasmtime 48 (line: target)</text>\n",
        LEFT + WIDTH + 60.0
    );
    for factor in [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0] {
        let at = x(factor);
        let _ = writeln!(
            out,
            "<path d=\"M{at:.1} 34V{height}\" stroke=\"#dddddd\"/><text x=\"{at:.1}\" y=\"32\" text-anchor=\"middle\" fill=\"#666666\">{factor}</text>"
        );
    }
    let mut y = 48.0;
    for (title, lines) in &results.groups {
        let _ = writeln!(
            out,
            "<text x=\"8\" y=\"{y:.0}\" font-weight=\"bold\">{title}</text>"
        );
        y += STEP;
        for line in lines {
            bar(&mut out, line, y);
            y += STEP;
        }
    }
    out.push_str("</svg>\n");
    out
}

fn bar(out: &mut String, line: &Line, y: f64) {
    let factor = 1.0 / line.ratio();
    let (from, to, goal) = (x(LEAST), x(factor), x(1.0 / line.row.target));
    let fill = if line.reached() { "#2a7f62" } else { "#d08020" };
    let _ = writeln!(
        out,
        "<text x=\"{:.0}\" y=\"{y:.0}\" text-anchor=\"end\">{}</text>\
         <rect x=\"{from:.1}\" y=\"{:.0}\" width=\"{:.1}\" height=\"11\" fill=\"{fill}\"/>\
         <path d=\"M{goal:.1} {:.0}v13\" stroke=\"#000000\" stroke-width=\"2\"/>\
         <text x=\"{:.1}\" y=\"{y:.0}\">{factor:.1}</text>",
        LEFT - 6.0,
        line.row.name,
        y - 9.0,
        (to - from).max(1.0),
        y - 10.0,
        to.max(goal) + 4.0,
    );
}

/// Writes both files.
pub fn write(results: &Results, name: &str) -> std::io::Result<()> {
    let folder = folder();
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(format!("{name}.md")), table(results))?;
    std::fs::write(folder.join(format!("{name}.svg")), plot(results))
}
