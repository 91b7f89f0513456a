//! `helve inspect`: what must be in its text and its JSON, for files of every kind.

mod common;

use common::{example, expect, guest, helve};
use serde_json::Value;

/// All of stdout of an inspection that succeeds.
fn inspected(args: &[&str]) -> String {
    let args: Vec<&str> = ["inspect"].iter().chain(args).copied().collect();
    let output = helve(&args);
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*err), (Some(0), ""), "{args:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(file: &str) -> Value {
    serde_json::from_str(&inspected(&["--json", file])).unwrap()
}

fn check(file: &str, parts: &[&str]) {
    let text = inspected(&[file]);
    for part in parts {
        assert!(text.contains(part), "{file}: `{part}` is not in:\n{text}");
    }
}

fn written(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
    let file = folder.path().join(name);
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

#[test]
fn text_for_people() {
    let folder = tempfile::tempdir().unwrap();
    let needs = r#"(component
        (import "acme:robot/arm@1.0.0" (instance (export "wave" (func (param "times" u32)))))
        (import "wasi:cli/stdin@0.1.0" (instance (export "get" (func))))
        (import "wasi:random/random@0.2.1" (instance
            (export "get-random-u64" (func (result u64))) (export "get-luck" (func))))
        (import "acme:robot/types@1.0.0" (instance (type $t (enum "a")) (export "t" (type (eq $t))))))"#;
    let needs = written(&folder, "needs.wat", needs);
    let core = written(
        &folder,
        "core.wat",
        r#"(module $m (import "env" "f" (func)) (memory (export "memory") 2 9) (func (export "g")))"#,
    );
    let modules = r#"(component (import "m" (core module)) (export "n" (core module 0)))"#;
    let modules = written(&folder, "modules.wat", modules);
    let cases: &[(&str, &[&str])] = &[
        (
            &example("hello.wasm"),
            &[
                "a component, ",
                "export wasi:cli/run@0.2",
                "1 lift, ",
                "    core module, ",
                "a memory of ",
                "wasi:cli/stdin@0.2.12            `helve run` has it as wasi:cli/stdin@0.2",
                "wasi:clocks/wall-clock@0.2.12    types only",
                "`helve run` has it as wasi:cli/stdout@0.2",
                "#run: func() -> result",
                "left out (--wit prints all): wasi:io@0.2.12, wasi:cli@0.2",
            ],
        ),
        (
            &guest("values.wat"),
            &[
                "component `values`",
                "core module `echo`",
                "World: cannot be written as WIT",
                "point: type record { x: f64, y: s8 }",
                "Imports: none",
                "acme:kit/first@1.2.0#number: func(n: u32) -> u32",
                "a memory of 2 pages",
            ],
        ),
        (
            &guest("calls.wat"),
            &[
                "export measure: func(text: string) -> u32;",
                "component `calls`",
                "\n    component `inner`",
                "\n      core module `m`",
                "2 lifts, 2 lowers",
            ],
        ),
        (
            &needs,
            &[
                "acme:robot/arm@1.0.0      nothing known supplies it\n      wave: func(times: u32)",
                "wasi:cli/stdin@0.1.0      nothing known supplies it; `helve run` has wasi:cli/stdin@0.2",
                "without get-luck",
                "acme:robot/types@1.0.0    types only",
                "Exports: none",
            ],
        ),
        (
            &modules,
            &[
                "World: cannot be written as WIT",
                "m  nothing known supplies it",
                "n: core module",
            ],
        ),
        (
            &core,
            &[
                "a core module, not a component",
                "core module `m`",
                "a memory of 2 to 9 pages",
                "env#f",
                "g: core func",
                "imports more than WASI 0.1",
            ],
        ),
        (
            &guest("preview1.wat"),
            &[
                "a core module",
                "WASI 0.1: `helve run` adapts it",
                "`helve run` runs it as it is",
            ],
        ),
    ];
    for (file, parts) in cases {
        check(file, parts);
    }
}

#[test]
fn json_for_programs() {
    let hello = json(&example("hello.wasm"));
    assert_eq!(hello["kind"], "component");
    let size = std::fs::metadata(example("hello.wasm")).unwrap().len();
    assert_eq!(hello["bytes"], size);
    assert_eq!(hello["structure"]["bytes"], size);
    assert!(
        hello["wit"]
            .as_str()
            .unwrap()
            .contains("package wasi:io@0.2")
    );
    let imports = hello["imports"].as_array().unwrap();
    let stdout = imports
        .iter()
        .find(|i| i["name"].as_str().unwrap().starts_with("wasi:cli/stdout@"))
        .unwrap();
    assert_eq!(stdout["satisfied"]["by"], "helve run");
    assert!(
        stdout["satisfied"]["as"]
            .as_str()
            .unwrap()
            .starts_with("wasi:cli/stdout@0.2.")
    );
    let run = &hello["exports"].as_array().unwrap()[0];
    assert!(run["name"].as_str().unwrap().ends_with("#run"));
    assert_eq!(run["type"], "func() -> result");
    let main = &hello["structure"]["parts"][0];
    assert_eq!(main["kind"], "module");
    assert!(main["functions"].as_u64().unwrap() > 10);
    assert!(main["memories"][0]["initial_pages"].as_u64().unwrap() > 0);
    let values = json(&guest("values.wat"));
    assert_eq!(values["imports"].as_array().unwrap().len(), 0);
    assert_eq!(values["structure"]["parts"][0]["name"], "echo");
    let core = json(&guest("preview1.wat"));
    assert_eq!((&core["kind"], core.get("wit")), (&"module".into(), None));
}

#[test]
fn the_world_as_wit() {
    let wit = inspected(&["--wit", &example("hello.wasm")]);
    assert!(wit.starts_with("package root:component;"), "{wit}");
    for part in [
        "world root {",
        "package wasi:cli@0.2",
        "interface run {",
        "resource output-stream {",
    ] {
        assert!(wit.contains(part), "`{part}` is not in:\n{wit}");
    }
}

#[test]
fn compiled_files_show_what_they_were_made_from() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("calls.helve").display().to_string();
    expect(&["compile", &guest("calls.wat"), "-o", &out], 0, "", &[]);
    check(
        &out,
        &[
            "compiled by `helve compile`",
            "made by helve 0.1.0, build ",
            "component `inner`",
        ],
    );
    assert!(json(&out)["compiled_by"].as_array().unwrap().len() > 3);
    let mut bytes = std::fs::read(&out).unwrap();
    bytes[5000] ^= 1;
    std::fs::write(&out, bytes).unwrap();
    expect(
        &["inspect", &out],
        1,
        "",
        &["calls.helve", "has been changed"],
    );
}

#[test]
fn files_that_are_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let text = written(&folder, "text.wasm", "hello");
    let broken = written(&folder, "broken.wat", "(component (nonsense))");
    let cut = folder.path().join("cut.wasm");
    std::fs::write(
        &cut,
        &std::fs::read(example("hello.wasm")).unwrap()[..20_000],
    )
    .unwrap();
    let cut = cut.display().to_string();
    let cases: &[(&str, &[&str])] = &[
        (&text, &["text.wasm", "not WebAssembly"]),
        (&broken, &["nonsense"]),
        (&cut, &["cut.wasm", "truncated"]),
        ("missing.wasm", &["missing.wasm", "cannot read"]),
    ];
    for (file, stderr) in cases {
        expect(&["inspect", file], 1, "", stderr);
    }
}
