//! Prints the plan of a component: `cargo run -p helve-decode --example plan FILE`.

use helve_decode::{Features, Options};

fn main() {
    for path in std::env::args().skip(1) {
        let bytes = std::fs::read(&path).expect("a readable file");
        let bytes = match wat::parse_bytes(&bytes) {
            Ok(bytes) => bytes,
            Err(error) => {
                println!("{path}: {error}");
                continue;
            }
        };
        let mut options = Options::default();
        options.features = Features::all(options.features.core);
        let start = std::time::Instant::now();
        match helve_decode::decode(&bytes, &options) {
            Ok(plan) => print!("{}", plan.to_text()),
            Err(error) => println!("{path}: {error:?}"),
        }
        eprintln!("{path}: {} bytes in {:?}", bytes.len(), start.elapsed());
    }
}
