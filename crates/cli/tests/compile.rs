//! `helve compile`, and `helve run` of what it made: the same as from the source, or
//! refused.

mod common;

use common::{example, expect, guest, helve};
use std::path::Path;

/// Compiles `file` to `name` in `folder`; the path.
fn compiled(folder: &Path, file: &str, name: &str) -> String {
    let out = folder.join(name).display().to_string();
    expect(&["compile", file, "-o", &out], 0, "", &[]);
    out
}

#[test]
fn compiled_components_run_as_their_sources_do() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(guest("print_then.wat")).unwrap();
    let mut files = vec![
        (example("hello.wasm"), vec!["you"]),
        (example("files.wasm"), vec!["/nowhere"]),
        (guest("preview1.wat"), vec![]),
    ];
    for (i, body) in [
        "unreachable",
        "(i32.const 1)",
        "(i32.load (i32.const -4))",
        "(i32.div_u (i32.const 1) (i32.const 0))",
        "(i32.wrap_i64 (call $for-ever (i64.const 0)))",
    ]
    .into_iter()
    .enumerate()
    {
        let file = folder.path().join(format!("guest{i}.wat"));
        std::fs::write(&file, text.replace("BODY", body)).unwrap();
        files.push((file.display().to_string(), vec![]));
    }
    for (i, (file, args)) in files.iter().enumerate() {
        let out = compiled(folder.path(), file, &format!("{i}.helve"));
        let run = |file| {
            let args: Vec<&str> = ["run", file]
                .into_iter()
                .chain(args.iter().copied())
                .collect();
            helve(&args)
        };
        let (expected, found) = (run(file), run(&out));
        let parts = |output: &std::process::Output| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (
                output.status.code(),
                text(&output.stdout),
                text(&output.stderr),
            )
        };
        assert_eq!(parts(&found), parts(&expected), "{file}");
    }
}

#[test]
fn calls_between_components_are_compiled_too() {
    let folder = tempfile::tempdir().unwrap();
    let out = compiled(folder.path(), &guest("calls.wat"), "calls.helve");
    expect(
        &["run", "--invoke", r#"measure("äöü€")"#, &out],
        0,
        "9\n",
        &[],
    );
    expect(
        &["run", "--invoke", r#"fail("")"#, &out],
        134,
        "",
        &["unreachable", "pass-on"],
    );
}

#[test]
fn damaged_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let good = std::fs::read(compiled(folder.path(), &guest("calls.wat"), "good.helve")).unwrap();
    let bad = folder.path().join("bad.helve");
    let refused = |bytes: &[u8], what: &str| {
        std::fs::write(&bad, bytes).unwrap();
        let output = helve(&[
            "run",
            "--invoke",
            "measure(\"\")",
            &bad.display().to_string(),
        ]);
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{what}: {err}");
        assert!(
            err.contains("bad.helve") && !err.contains("panicked"),
            "{what}: {err}"
        );
        assert!(output.stdout.is_empty(), "{what}");
    };
    let lengths = (0..good.len()).step_by(good.len() / 40 + 1);
    for len in lengths.chain([1, 7, 8, 9, 31, 32, 33, 63, good.len() - 1]) {
        refused(&good[..len], &format!("cut to {len} bytes"));
    }
    let mut longer = good.clone();
    longer.push(0);
    refused(&longer, "one byte more");
    for (i, at) in (0..good.len())
        .step_by(good.len() / 60 + 1)
        .chain(0..32)
        .enumerate()
    {
        let mut flipped = good.clone();
        flipped[at] ^= 1 << (i % 8);
        refused(&flipped, &format!("bit {} of byte {at} flipped", i % 8));
    }
}

#[test]
fn files_of_others_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let good = std::fs::read(compiled(folder.path(), &guest("calls.wat"), "good.helve")).unwrap();
    let bad = folder.path().join("bad.helve").display().to_string();
    let replaced = |from: &[u8], to: &[u8]| {
        let mut bytes = good.clone();
        let at = bytes
            .windows(from.len())
            .position(|part| part == from)
            .expect("is there");
        bytes[at..at + from.len()].copy_from_slice(to);
        let content = bytes.len() - 32;
        let hash = blake3::hash(&bytes[..content]);
        bytes[content..].copy_from_slice(hash.as_bytes());
        std::fs::write(&bad, bytes).unwrap();
    };
    let refused = |why: &[&str]| expect(&["run", &bad], 1, "", why);
    replaced(b", build ", b", BUILD ");
    refused(&[
        "does not fit this Helve",
        ", BUILD ",
        "this is `helve ",
        "compile it again",
    ]);
    replaced(b"cranelift ", b"cranelifT ");
    refused(&["made for `cranelifT "]);
    replaced(b"opt_level = \"speed\"", b"opt_level = \"spEEd\"");
    refused(&["spEEd"]);
    // The byte after the magic is the format's number.
    let format = good[8];
    let (ours, next) = (format, format + 1);
    replaced(
        &[b"helve\r\n".as_slice(), &[ours]].concat(),
        &[b"helve\r\n".as_slice(), &[next]].concat(),
    );
    refused(&[&format!("format {next}, this Helve reads {ours}")]);
}

#[test]
fn options_that_are_in_the_code_must_be_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let guest = guest("bounds.wat");
    let call = ["--invoke", "deep(100)"];
    // What is compiled how, and by which options it then runs.
    let ways: [(&[&str], &[&str]); 5] = [
        (&[], &[]),
        (&["--fuel"], &["--fuel", "1000000"]),
        (&["--interruptible"], &["--timeout", "1h"]),
        (
            &["--fuel", "--interruptible", "--nan-canonicalization"],
            &[
                "--fuel",
                "1000000",
                "--timeout",
                "1h",
                "--nan-canonicalization",
            ],
        ),
        (
            &["--relaxed-simd-deterministic"],
            &["--relaxed-simd-deterministic"],
        ),
    ];
    let outs: Vec<String> = (0..ways.len())
        .map(|i| {
            folder
                .path()
                .join(format!("{i}.helve"))
                .display()
                .to_string()
        })
        .collect();
    for ((compile, _), out) in ways.iter().zip(&outs) {
        let args = [&["compile", &guest, "-o", out], *compile].concat();
        expect(&args, 0, "", &[]);
    }
    for (i, out) in outs.iter().enumerate() {
        for (j, (_, run)) in ways.iter().enumerate() {
            let args = [&["run"], *run, &call, &[out.as_str()]].concat();
            match i == j {
                true => expect(&args, 0, "100\n", &[]),
                false => expect(&args, 1, "", &["does not fit this Helve", "compile"]),
            }
        }
    }
    let remedies: [(usize, &[&str], &str); 4] = [
        (0, &["--fuel", "7"], "compiled with `helve compile --fuel`"),
        (1, &[], "compiled with `--fuel`: run it with `--fuel`"),
        (
            0,
            &["--timeout", "1s"],
            "compiled with `helve compile --interruptible`",
        ),
        (4, &[], "compiled with `--relaxed-simd-deterministic`"),
    ];
    for (i, options, remedy) in remedies {
        let args = [&["run"], options, &call, &[outs[i].as_str()]].concat();
        expect(&args, 1, "", &[remedy]);
    }
    // And they do what they are for.
    let spin = ["--invoke", "spin()"];
    let args = [&["run", "--fuel", "100000"], &spin[..], &[&outs[1]]].concat();
    expect(&args, 134, "", &["all fuel consumed"]);
    let args = [&["run", "--timeout", "200ms"], &spin[..], &[&outs[2]]].concat();
    expect(&args, 134, "", &["interrupted"]);
}

#[test]
fn what_cannot_be_compiled() {
    let folder = tempfile::tempdir().unwrap();
    let hello = example("hello.wasm");
    let out = compiled(folder.path(), &hello, "hello.helve");
    let other = folder.path().join("other.helve").display().to_string();
    let nowhere = folder.path().join("no/where.helve").display().to_string();
    let broken = folder.path().join("broken.wasm").display().to_string();
    std::fs::write(&broken, &std::fs::read(&hello).unwrap()[..9000]).unwrap();
    expect(
        &["compile", &out, "-o", &other],
        1,
        "",
        &["compiled already"],
    );
    expect(
        &["compile", &hello, "-o", &nowhere],
        1,
        "",
        &["cannot write", "no/where.helve"],
    );
    expect(&["compile", &broken, "-o", &other], 1, "", &["broken.wasm"]);
    expect(
        &["compile", "missing.wasm", "-o", &other],
        1,
        "",
        &["missing.wasm"],
    );
    expect(&["compile", &hello], 2, "", &["--output"]);
    assert!(!Path::new(&other).exists());
    // What is there is replaced, and nothing is left beside it.
    std::fs::write(&other, "old").unwrap();
    expect(&["compile", &hello, "-o", &other], 0, "", &[]);
    expect(&["run", &other], 0, "Hello, world!\n", &[]);
    let names = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(names, 3, "hello.helve, other.helve, broken.wasm");
}
