//! `helve bindgen`: what it prints is Rust, has what the world has, and errors say what to do.

mod common;

use common::{expect, helve};

/// A WIT file of the corpus.
fn wit(name: &str) -> String {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = here.join("../helve/tests/worlds").join(name);
    path.display().to_string()
}

#[test]
fn bindings_are_printed() {
    for (args, expected) in [
        (
            vec!["resources.wit", "--world", "graph-both"],
            vec![
                "pub struct GraphBoth",
                "pub trait HostNode",
                "pub fn call_constructor<_S: ::helve::AsContextMut>",
            ],
        ),
        (
            vec![
                "resources.wit",
                "--world=simple-import",
                "--with=corpus:resources/simple.blob=crate::Blob",
                "--imports=default=trappable",
                "--imports=corpus:resources/simple.inspect=skip",
                "--derive=PartialEq",
            ],
            vec![
                "pub type Blob",
                "-> ::helve::Result<u64>",
                "use crate::Blob",
            ],
        ),
    ] {
        let path = wit(args[0]);
        let mut all = vec!["bindgen", &path];
        all.extend(&args[1..]);
        let output = helve(&all);
        let text = String::from_utf8(output.stdout).expect("text");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {error}");
        syn::parse_file(&text).expect("Rust");
        for part in expected {
            assert!(text.contains(part), "{args:?}: no `{part}` in\n{text}");
        }
    }
}

#[test]
fn what_is_wrong_is_said() {
    let values = wit("values.wit");
    for (args, expected) in [
        (vec!["bindgen", &values], "choosing the world"),
        (vec!["bindgen", &values, "--world=no-such"], "no-such"),
        (vec!["bindgen", "no-such.wit"], "no-such.wit"),
        (vec!["bindgen", &values, "--with=a"], "NAME=VALUE"),
        (
            vec!["bindgen", &values, "--imports=a=b"],
            "`b` says nothing",
        ),
        (vec!["bindgen", &values, "--derive=1"], "no path of Rust's"),
        (
            vec!["bindgen", &values, "--world=numbers-world", "--with=x:y=z"],
            "`with` names `x:y`",
        ),
    ] {
        expect(&args, 1, "", &[expected]);
    }
}
