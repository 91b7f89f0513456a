//! `helve run --invoke`: one table of calls and what they print, one of calls that fail.

mod common;

use common::{example, expect, guest};

#[test]
fn values_of_every_type_go_in_and_come_out() {
    let file = guest("values.wat");
    let cases: &[(&str, &str)] = &[
        ("bool(true)", "true"),
        ("u8(255)", "255"),
        ("s8(-128)", "-128"),
        ("u16(65535)", "65535"),
        ("s16(-32768)", "-32768"),
        ("u32(4294967295)", "4294967295"),
        ("s32(-2147483648)", "-2147483648"),
        ("u64(18446744073709551615)", "18446744073709551615"),
        ("s64(-9223372036854775808)", "-9223372036854775808"),
        ("f32(1.5)", "1.5"),
        ("f32(nan)", "nan"),
        ("f64(-inf)", "-inf"),
        ("f64(0.1)", "0.1"),
        ("f64(-0.0)", "-0"),
        ("char('ä')", "'ä'"),
        (r"char('\u{1F600}')", "'😀'"),
        (r#"string("")"#, r#""""#),
        (
            r#"string("zwei\n\"Zeilen\" 😀")"#,
            r#""zwei\n\"Zeilen\" 😀""#,
        ),
        ("verdict(ok)", "ok"),
        ("maybe(5, some(7))", "517"),
        ("maybe(5, 7)", "517"),
        ("maybe(5, none)", "500"),
        ("maybe(5)", "500"),
        ("nothing()", ""),
        ("nothing", ""),
        ("points([])", "[]"),
        (
            "points([{x: 1.5, y: -2}, {y: 3, x: 4}])",
            "[{x: 1.5, y: -2}, {x: 4, y: 3}]",
        ),
        (
            r#"shapes([empty, circle(0.5), at({x: 1, y: 2}), %none("x")])"#,
            r#"[empty, circle(0.5), at({x: 1, y: 2}), %none("x")]"#,
        ),
        ("colors([red, %err, green])", "[red, %err, green]"),
        (
            "rights-of([{}, {exec, read}, {write}])",
            "[{}, {read, exec}, {write}]",
        ),
        (r#"tuples([(1, "a", 'b')])"#, r#"[(1, "a", 'b')]"#),
        (
            "options([none, some(none), some(some(3))])",
            "[none, some(none), some(some(3))]",
        ),
        (r#"results([ok(1), err("why")])"#, r#"[ok(1), err("why")]"#),
        (
            r#"lists([[], ["a", "b"], [""]])"#,
            r#"[[], ["a", "b"], [""]]"#,
        ),
        (r#"map({"a": 1, "b": 2})"#, r#"{"a": 1, "b": 2}"#),
        // Functions of interfaces, by any name that only they have.
        ("acme:kit/first@1.2.0#number(7)", "7"),
        ("acme:kit/first@1.0.0#number(7)", "7"),
        ("acme:kit/first#number(7)", "7"),
        ("first.number(7)", "7"),
        ("second.number(8)", "8"),
        ("only(9)", "9"),
    ];
    for (call, result) in cases {
        let stdout = if result.is_empty() {
            String::new()
        } else {
            format!("{result}\n")
        };
        expect(&["run", "--invoke", call, &file], 0, &stdout, &[]);
    }
}

#[test]
fn what_cannot_be_called_is_said() {
    let file = guest("values.wat");
    let cases: &[(&str, i32, &str, &[&str])] = &[
        ("verdict(err)", 1, "err\n", &[]),
        ("fail()", 134, "", &["unreachable"]),
        (
            "number(1)",
            1,
            "",
            &[
                "`number` may mean any of",
                "acme:kit/first@1.2.0#number",
                "acme:kit/second@0.2.3#number",
            ],
        ),
        (
            "acme:kit/first@2.0.0#number(1)",
            1,
            "",
            &["exports no function `acme:kit/first@2.0.0#number`"],
        ),
        (
            "what()",
            1,
            "",
            &[
                "exports no function `what`",
                "nothing",
                "acme:kit/first@1.2.0#only",
            ],
        ),
        ("u8()", 1, "", &["argument `v`, u8", "missing"]),
        ("u8(1, 2)", 1, "", &["2 arguments for 1 parameters"]),
        ("u8(256)", 1, "", &["argument `v`, u8", "256"]),
        ("u8(-1)", 1, "", &["argument `v`", "-1"]),
        ("u8(\"a\")", 1, "", &["argument `v`", "\"a\""]),
        ("u8(1", 1, "", &["must end with `)`"]),
        ("u8(1,,)", 1, "", &["`,`"]),
        ("points([{x: 1}])", 1, "", &["missing field \"y\""]),
        ("points([{x: 1, y: 2, z: 3}])", 1, "", &["argument `v`"]),
        ("colors([blue])", 1, "", &["unknown case \"blue\""]),
        ("rights-of([{fly}])", 1, "", &["fly"]),
        ("shapes([circle])", 1, "", &["circle"]),
        ("made(7)", 0, "<resource thing #7>\n", &[]),
        (
            "thing.number(1)",
            1,
            "",
            &["parameter `self`", "borrow<thing>", "no text form"],
        ),
        ("()", 1, "", &["no function is named"]),
        ("", 1, "", &["no function is named"]),
    ];
    for (call, code, stdout, stderr) in cases {
        expect(&["run", "--invoke", call, &file], *code, stdout, stderr);
    }
}

/// WASI is there, and what the guest prints comes before the result.
#[test]
fn exports_of_commands() {
    let hello = example("hello.wasm");
    for name in [
        "run",
        "wasi:cli/run#run",
        "wasi:cli/run@0.2.0#run",
        "run.run",
    ] {
        let call = format!("{name}()");
        expect(
            &["run", "--invoke", &call, &hello, "you"],
            0,
            "Hello, you!\nok\n",
            &[],
        );
    }
}
