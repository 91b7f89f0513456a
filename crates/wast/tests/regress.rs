//! Our own scripts, in `regress/`: one thing each that went wrong once, or could, and that
//! the official scripts do not look at. Every script runs in both tiers of the compiler, and
//! lazily, where every loop changes tiers, without fuel and with it; and with calls between components by way of the host.
//! Those in `regress/spec/` read the spec as its executable form has it, the others as the
//! official scripts do, where these differ.

use helve::component::Readings;
use helve::{CompileMode, Config, OptLevel};
use helve_wast::Options;
use std::path::Path;

#[test]
fn regress() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/regress");
    run(&folder, Readings::SCRIPTS);
    run(&folder.join("spec"), Readings::SPEC);
}

fn run(folder: &Path, readings: Readings) {
    let mut count = 0;
    let mut wrong = Vec::new();
    for entry in folder.read_dir().expect("a folder of scripts") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a script");
        let name = path
            .file_name()
            .expect("a file")
            .to_string_lossy()
            .into_owned();
        for (level, mode, fused, fuel) in [
            (OptLevel::Speed, CompileMode::Ahead, true, false),
            (OptLevel::None, CompileMode::Ahead, true, false),
            (OptLevel::Speed, CompileMode::Lazy, true, false),
            (OptLevel::Speed, CompileMode::Lazy, true, true),
            (OptLevel::Speed, CompileMode::Ahead, false, false),
        ] {
            let mut config = Config::new();
            config.compile(mode).eager_loops(true);
            config.fused_adapters(fused).consume_fuel(fuel);
            config.all_features(true).verifier(true).optimize(level);
            config.readings(readings);
            let report = helve_wast::run(
                &name,
                &text,
                &Options {
                    config,
                    words: true,
                },
            );
            count += 1;
            wrong.extend(report.failures.iter().map(|failure| {
                format!("{level:?} {mode:?}, adapters {fused}, fuel {fuel}: {failure}")
            }));
        }
    }
    assert!(count > 0, "no scripts");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
