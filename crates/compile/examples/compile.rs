//! Compiles every core module in files given as arguments (modules or components,
//! binary or text) and says how long it took: `compile [--quick] [--verify] FILE...`.

use helve_compile::{Bytes, Compiler, CompilerOptions, Features, translate};
use std::time::Instant;
use wasmparser::{Parser, Payload};

fn main() -> helve_base::Result<()> {
    let (flags, files): (Vec<_>, Vec<_>) = std::env::args()
        .skip(1)
        .partition(|arg| arg.starts_with("--"));
    let has = |name: &str| flags.iter().any(|flag| flag == name);
    let tier = if has("--quick") {
        CompilerOptions::quick()
    } else {
        CompilerOptions::default()
    };
    let compiler = Compiler::new(&CompilerOptions {
        verifier: has("--verify"),
        ..tier
    })?;
    for file in files {
        let bytes = Bytes::from(wat::parse_file(&file)?);
        for (i, module) in modules(&bytes)?.into_iter().enumerate() {
            let start = Instant::now();
            let translation = translate(&module, Features::default())?;
            let validated = start.elapsed();
            let compiled = compiler.compile_module(&translation)?;
            let took = start.elapsed() - validated;
            let code: usize = translation.bodies().values().map(|body| body.len()).sum();
            println!(
                "{file} module {i}: {} functions, {code} bytes of bodies; validated in {validated:.1?}, \
                 compiled in {took:.1?} ({:.2} MB/s) to {} bytes, {} traps, {} locations",
                compiled.functions.len(),
                code as f64 / 1e6 / took.as_secs_f64(),
                compiled.image.len(),
                compiled.traps.len(),
                compiled.locations.len(),
            );
        }
    }
    Ok(())
}

/// The modules in a file: itself, or those inside of a component.
fn modules(bytes: &Bytes) -> helve_base::Result<Vec<Bytes>> {
    let mut found = Vec::new();
    let mut is_component = false;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::Version {
                encoding, range, ..
            } if range.start == 0 => {
                is_component = encoding == wasmparser::Encoding::Component;
            }
            Payload::ModuleSection {
                unchecked_range: range,
                ..
            } => {
                found.extend(bytes.slice(range.start as usize..range.end as usize));
            }
            _ => {}
        }
    }
    Ok(if is_component {
        found
    } else {
        vec![bytes.clone()]
    })
}
