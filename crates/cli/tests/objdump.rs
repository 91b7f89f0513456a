//! `helve objdump`: which functions are shown, and what of them.

mod common;

use common::{guest, helve};

#[test]
fn functions_are_picked_by_name_or_index() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("it.wat");
    let text = std::fs::read_to_string(guest("print_then.wat")).unwrap();
    std::fs::write(&file, text.replace("BODY", "(i32.const 0)")).unwrap();
    let file = file.display().to_string();
    let show = |args: &[&str]| {
        let args = [&["objdump"], args, &[file.as_str()]].concat();
        let output = helve(&args);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), text)
    };
    let count = |text: &str| {
        text.lines()
            .filter(|line| line.contains("bytes of code"))
            .count()
    };
    let (code, all) = show(&[]);
    assert_eq!(code, Some(0), "{all}");
    assert!(count(&all) > 2, "{all}");
    for args in [
        &["-f", "for-ever"][..],
        &["--quick", "--function", "for-ever"],
    ] {
        let (code, one) = show(args);
        assert_eq!((code, count(&one)), (Some(0), 1), "{one}");
        // The stack may be used up.
        assert!(
            one.contains("for-ever (function") && one.contains("call stack exhausted"),
            "{one}"
        );
    }
    assert_eq!(show(&["-f", "no such function"]).0, Some(1));
}
