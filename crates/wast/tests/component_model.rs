//! The Component Model's official scripts, where they are there: in `../shared/suites`
//! from the project's root, or where `HELVE_SUITES` points.
//!
//! `component_model.txt` beside this file lists the scripts that do not pass yet; each
//! must fail, and an unexpected pass is an error. All run compiled ahead, and lazily with
//! memories that are mapped for each instance.

use helve::{CompileMode, Config, InstanceAllocationStrategy};
use helve_wast::Options;
use std::path::{Path, PathBuf};

/// What the text parser says of things that it refuses in other words than the scripts.
const OTHER_WORDS: &[&str] = &[
    "unexpected token: duplicate `implements` attribute",
    "unexpected token: duplicate `external-id` attribute",
];

fn suites() -> Option<PathBuf> {
    let given = std::env::var_os("HELVE_SUITES").map(PathBuf::from);
    let root = given
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/suites"));
    let suites = root.join("component-model");
    suites.is_dir().then_some(suites)
}

fn scripts(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            scripts(&path, into);
        } else if path.extension().is_some_and(|e| e == "wast") {
            into.push(path);
        }
    }
}

#[test]
fn official_scripts() {
    run(Options::default().config);
}

#[test]
fn official_scripts_lazily() {
    let mut config = Options::default().config;
    config
        .compile(CompileMode::Lazy)
        .eager_loops(true)
        .allocation_strategy(InstanceAllocationStrategy::OnDemand);
    run(config);
}

fn run(config: Config) {
    let Some(suites) = suites() else {
        println!(
            "SKIPPED: no official scripts in ../shared/suites; HELVE_SUITES can say where they are"
        );
        return;
    };
    let failing: Vec<&str> = include_str!("component_model.txt")
        .lines()
        .filter(|l| !l.starts_with('#'))
        .collect();
    let mut paths = Vec::new();
    scripts(&suites, &mut paths);
    paths.sort();
    let options = Options {
        words: true,
        config,
    };
    // Calls between components by generated code, and by way of the host.
    let mut twin = options.clone();
    twin.config.fused_adapters(false).inline_handles(false);
    let (mut passed, mut held, mut wrong) = (0, 0, Vec::new());
    for path in &paths {
        let name = path.strip_prefix(&suites).unwrap().display().to_string();
        let text = std::fs::read_to_string(path).unwrap();
        let report = helve_wast::run(&name, &text, &options);
        let other = helve_wast::run(&name, &text, &twin);
        if other.held != report.held {
            wrong.push(format!("{name}: other results by way of the host"));
            wrong.extend(other.failures.iter().map(ToString::to_string));
        }
        held += report.held;
        passed += usize::from(report.is_success());
        match (failing.contains(&name.as_str()), report.is_success()) {
            (true, true) => wrong.push(format!("{name}: listed as failing, but passes")),
            (false, false) => wrong.extend(
                report
                    .failures
                    .iter()
                    .map(ToString::to_string)
                    .filter(|failure| !OTHER_WORDS.iter().any(|words| failure.contains(words))),
            ),
            _ => {}
        }
    }
    println!(
        "component-model: {passed} of {} scripts pass, {held} directives hold",
        paths.len()
    );
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// Scripts that count on threads to run in the order they became ready in, which the spec
/// leaves open: this one looks at who of two callers was let in first.
const IN_ORDER: &[&str] = &["async/async-calls-sync.wast"];

/// The scripts about concurrency, by seeds: as many as `HELVE_SEEDS` says.
#[test]
fn official_scripts_by_seeds() {
    let Some(suites) = suites() else {
        return;
    };
    let seeds = std::env::var("HELVE_SEEDS").ok();
    let seeds: u64 = seeds.and_then(|seeds| seeds.parse().ok()).unwrap_or(2);
    let mut paths = Vec::new();
    scripts(&suites.join("async"), &mut paths);
    paths.sort();
    let mut wrong = Vec::new();
    for path in &paths {
        let name = path.strip_prefix(&suites).unwrap().display().to_string();
        if IN_ORDER.contains(&name.as_str()) {
            continue;
        }
        let text = std::fs::read_to_string(path).unwrap();
        for seed in 0..seeds {
            let mut options = Options::default();
            options.config.schedule(helve::Schedule::Seed(seed));
            let report = helve_wast::run(&name, &text, &options);
            let failures = report.failures.iter();
            wrong.extend(failures.map(|failure| format!("seed {seed}: {failure}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
