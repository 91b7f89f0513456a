//! `helve run` as a user sees it: exit code, stdout, stderr. One table, one function.
//!
//! The components are `examples/hello` (built from C) and texts under `tests/guests`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn helve(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_helve"))
        .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"))
        .args(args)
        .output()
        .expect("helve starts")
}

fn example(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples/hello")
        .join(name)
        .display()
        .to_string()
}

fn guest(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/guests")
        .join(name)
}

/// Exit code, all of stdout, and what stderr must have in it.
fn expect(args: &[&str], code: i32, stdout: &str, stderr: &[&str]) {
    let output = helve(args);
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(
        output.status.code(),
        Some(code),
        "{args:?}\nstdout: {out}\nstderr: {err}"
    );
    assert_eq!(out, stdout, "{args:?}\nstderr: {err}");
    for part in stderr {
        assert!(
            err.contains(part),
            "{args:?}: `{part}` is not in stderr: {err}"
        );
    }
    assert!(!err.contains("panicked"), "{args:?}: {err}");
}

#[test]
fn components_of_c_programs() {
    let hello = example("hello.wasm");
    expect(&["run", &hello], 0, "Hello, world!\n", &[]);
    expect(
        &["run", "--env", "GREETING=Hi", &hello, "you"],
        0,
        "Hi, you!\n",
        &[],
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hello.txt"), "a text\n").unwrap();
    std::fs::create_dir(folder.path().join("b")).unwrap();
    let grant = format!("{}::/data", folder.path().display());
    let listed =
        "Hello, you!\n2 entries in /data:\n  b\n  hello.txt\n/data/hello.txt says: a text\n";
    expect(
        &["run", "--dir", &grant, &hello, "you", "/data"],
        0,
        listed,
        &[],
    );
    let refused = "Hello, you!\ncannot open /data: No such file or directory\n";
    expect(&["run", &hello, "you", "/data"], 1, refused, &[]);
}

#[test]
fn a_component_that_writes_files() {
    let folder = tempfile::tempdir().unwrap();
    let grant = format!("{}::/data", folder.path().display());
    let expected = std::fs::read_to_string(example("files.expected")).unwrap();
    expect(
        &["run", "--dir", &grant, &example("files.wasm"), "/data"],
        0,
        &expected,
        &[],
    );
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "the guest tidies up"
    );
}

#[test]
fn nothing_is_lost_however_it_ends() {
    let text = std::fs::read_to_string(guest("print_then.wat")).unwrap();
    let cases: &[(&str, i32, &[&str])] = &[
        ("(i32.const 0)", 0, &[]),
        ("(i32.const 1)", 1, &[]),
        ("unreachable", 134, &["unreachable", "body", "run"]),
        (
            "(i32.wrap_i64 (call $for-ever (i64.const 0)))",
            134,
            &["call stack exhausted", "for-ever"],
        ),
        (
            "(i32.load (i32.const -4))",
            134,
            &["out of bounds memory access"],
        ),
        (
            "(i32.div_u (i32.const 1) (i32.const 0))",
            134,
            &["integer divide by zero"],
        ),
        (
            "(i32.ne (i32.const -1) (memory.grow (i32.const 65000)))",
            0,
            &[],
        ),
        ("(i32.const 5)", 134, &["discriminant"]),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (body, code, stderr) in cases {
        let file = folder.path().join("guest.wat");
        std::fs::write(&file, text.replace("BODY", body)).unwrap();
        expect(
            &["run", &file.display().to_string()],
            *code,
            "before\n",
            stderr,
        );
    }
}

#[test]
fn core_modules_of_wasi_0_1() {
    let file = guest("preview1.wat").display().to_string();
    expect(&["run", &file], 7, "one\n", &[]);
    let file = guest("renumber.wat").display().to_string();
    expect(&["run", &file], 0, "ok\nok\n", &[]);
}

#[test]
fn files_that_cannot_run() {
    let hello = std::fs::read(example("hello.wasm")).unwrap();
    let mut flipped = hello.clone();
    for byte in flipped.iter_mut().skip(5000).step_by(997) {
        *byte ^= 0x55;
    }
    let needs = br#"(component (import "acme:robot/arm@1.0.0" (instance (export "wave" (func)))))"#;
    let no_run = br#"(component (core module))"#;
    let cases: &[(&str, &[u8], &[&str])] = &[
        ("empty.wasm", b"", &["empty.wasm", "not WebAssembly"]),
        ("text.wasm", b"hello", &["not WebAssembly"]),
        ("short.wasm", &hello[..hello.len() / 2], &["short.wasm"]),
        ("flipped.wasm", &flipped, &["flipped.wasm"]),
        ("version.wasm", b"\0asm\x0e\0\x01\0", &["version.wasm"]),
        ("syntax.wat", b"(component (nonsense))", &["nonsense"]),
        ("import.wat", needs, &["acme:robot/arm@1.0.0"]),
        ("no_run.wat", no_run, &["wasi:cli/run"]),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes, stderr) in cases {
        let file = folder.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        expect(&["run", &file.display().to_string()], 1, "", stderr);
    }
    expect(&["run", "no-such-file.wasm"], 1, "", &["no-such-file.wasm"]);
    expect(
        &["run", "--dir", "no-such-folder", &example("hello.wasm")],
        1,
        "",
        &["no-such-folder"],
    );
}

#[test]
fn the_command_line() {
    let help = helve(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&help.stdout).contains("helve run --dir"));
    let version = helve(&["--version"]);
    assert_eq!(
        String::from_utf8_lossy(&version.stdout),
        format!("helve {}\n", env!("CARGO_PKG_VERSION"))
    );
    for wrong in [
        &["run"][..],
        &["run", "--env", "X", "a.wasm"],
        &["run", "--dir", "", "a.wasm"],
        &["fly"],
    ] {
        assert_eq!(helve(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn scripts() {
    let folder = tempfile::tempdir().unwrap();
    let run = |text: &str| {
        let file = folder.path().join("script.wast");
        std::fs::write(&file, text).unwrap();
        helve(&["wast", &file.display().to_string()])
    };
    let one = r#"(module (func (export "one") (result i32) i32.const 1))"#;
    let good = run(&format!(
        r#"{one} (assert_return (invoke "one") (i32.const 1))"#
    ));
    assert_eq!(
        good.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&good.stderr)
    );
    assert_eq!(
        String::from_utf8_lossy(&good.stdout),
        "2 directives hold, 0 do not\n"
    );
    let bad = run(&format!(
        "{one}\n  (assert_return (invoke \"one\") (i32.const 2))"
    ));
    assert_eq!(bad.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&bad.stderr).contains("script.wast:2:4: "),
        "{bad:?}"
    );
}

/// What is no command is refused with what can be done instead.
#[test]
fn what_is_no_command() {
    let folder = tempfile::tempdir().unwrap();
    for (export, instead) in [
        ("wasi:http/handler@0.3.0", "`helve serve` runs it"),
        ("wasi:http/incoming-handler@0.2.0", "`helve serve` runs it"),
        ("acme:kit/first@2.0.0", "`--invoke 'name(args)'` calls"),
    ] {
        let file = folder.path().join("other.wat");
        let text = format!(r#"(component (instance $i) (export "{export}" (instance $i)))"#);
        std::fs::write(&file, text).unwrap();
        let said = ["is not a command", instead];
        expect(&["run", &file.display().to_string()], 1, "", &said);
    }
    let file = folder.path().join("empty.wat");
    std::fs::write(&file, "(component)").unwrap();
    let said = ["`wasi:cli/run`, nor anything else"];
    expect(&["run", &file.display().to_string()], 1, "", &said);
}

/// `helve wast` takes folders, and says what it could not read.
#[test]
fn folders_of_scripts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    let said = ["no script (`.wast`) is in the folder"];
    expect(&["wast", &path], 1, "0 directives hold, 1 do not\n", &said);
    std::fs::create_dir(folder.path().join("inner")).unwrap();
    for (name, text) in [
        ("a.wast", "(module)"),
        ("inner/b.wast", "(component)"),
        ("no.txt", "?"),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    expect(&["wast", &path], 0, "2 directives hold, 0 do not\n", &[]);
}
