//! A component's text with a memory of 64 bits in place of one of 32.
//!
//! Its core code goes on with addresses of 32 bits, which are widened at every load and
//! store; what comes from outside or goes there is converted by functions around. Not here:
//! the text (`text`).

use std::fmt::Write;

/// What a core signature has: an `i32`, or a pointer.
fn wide_type(kind: char) -> &'static str {
    match kind {
        'p' => "i64",
        _ => "i32",
    }
}

/// An operand as the other side of a conversion wants it.
fn converted(kind: char, operand: &str, to: &str) -> String {
    match (kind, to) {
        ('p', "i32") => format!("(i32.wrap_i64 {operand})"),
        ('p', _) => format!("(i64.extend_i32_u {operand})"),
        _ => operand.into(),
    }
}

fn signature(params: &str, result: Option<char>, ty: impl Fn(char) -> &'static str) -> String {
    let mut text = String::new();
    for kind in params.chars() {
        let _ = write!(text, " (param {})", ty(kind));
    }
    if let Some(kind) = result {
        let _ = write!(text, " (result {})", ty(kind));
    }
    text
}

/// A function that calls `inner`, which is narrow or wide; it is the other.
fn around(head: &str, inner: &str, (params, result): (&str, Option<char>), to: &str) -> String {
    let own = |kind| if to == "i64" { "i32" } else { wide_type(kind) };
    let operands: Vec<String> = params
        .chars()
        .enumerate()
        .map(|(at, kind)| converted(kind, &format!("(local.get {at})"), to))
        .collect();
    let call = format!("(call {inner} {})", operands.join(" "));
    let back = if to == "i64" { "i32" } else { "i64" };
    let call = result.map_or(call.clone(), |kind| converted(kind, &call, back));
    format!("({head}{} {call})\n", signature(params, result, own))
}

/// The end of the expression that starts at `at`, behind white space.
fn end_of(text: &str, at: usize) -> usize {
    let mut depth = 0;
    for (i, byte) in text.bytes().enumerate().skip(at) {
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return i + 1;
        }
    }
    text.len()
}

/// Widens the addresses of loads, stores and copies.
fn addresses(text: &str) -> String {
    const HEADS: [(&str, usize); 3] = [("(i32.load", 1), ("(i32.store", 1), ("(memory.copy", 3)];
    let next = HEADS.iter().filter_map(|(head, operands)| {
        let at = text.find(head)?;
        Some((at, head.len(), *operands))
    });
    let Some((at, len, operands)) = next.min() else {
        return text.into();
    };
    let mut place = at + len;
    let mut out = String::from(&text[..place]);
    for _ in 0..operands {
        let start = place + text[place..].find('(').expect("an operand");
        let end = end_of(text, start);
        out += &text[place..start];
        let _ = write!(out, "(i64.extend_i32_u {})", addresses(&text[start..end]));
        place = end;
    }
    out + &addresses(&text[place..])
}

/// `imports` and `exports` are the functions whose signatures have pointers.
pub fn component(
    text: &str,
    imports: &[(String, &str, Option<char>)],
    exports: &[(String, &str, Option<char>)],
) -> String {
    let mut text = text
        .replace(
            "(memory (export \"mem\") 80)",
            "(memory (export \"mem\") i64 80)",
        )
        .replace("(memory 80)", "(memory i64 80)")
        .replace("(import \"m\" \"realloc\"", "(import \"m\" \"narrow\"")
        .replace(
            "(func (export \"realloc\")",
            "(func $realloc (export \"narrow\")",
        );
    // The log's list: pointer and length are wide.
    text = text
        .replace(
            "(i32.store (i32.const 1008) (i32.const 1024))",
            "(i64.store (i64.const 992) (i64.const 1024))",
        )
        .replace(
            "(i32.store (i32.const 1012) (i32.load (i32.const 1020)))",
            "(i64.store (i64.const 1000) (i64.load32_u (i64.const 1020)))",
        )
        .replace("(i32.const 1008))", "(i32.const 992))");
    text = addresses(&text);
    let realloc = around(
        "func (export \"realloc\")",
        "$realloc",
        ("pppp", Some('p')),
        "i32",
    );
    text = text.replacen("(global $at", &format!("{realloc}(global $at"), 1);
    let mut wrappers = String::new();
    for (name, params, result) in imports {
        let start = text
            .find(&format!("(import \"\" \"{name}\" "))
            .expect("an import");
        let end = end_of(&text, start);
        let ty = signature(params, *result, wide_type);
        let import = format!("(import \"\" \"{name}\" (func $wide-{name}{ty}))");
        text.replace_range(start..end, &import);
        let inner = format!("$wide-{name}");
        wrappers += &around(&format!("func ${name}"), &inner, (params, *result), "i64");
    }
    for (name, params, result) in exports {
        let narrow = format!("(func $narrow-{name} (export \"narrow-{name}\")");
        text = text.replacen(&format!("(func (export \"{name}\")"), &narrow, 1);
        let inner = format!("$narrow-{name}");
        let head = format!("func (export \"{name}\")");
        wrappers += &around(&head, &inner, (params, *result), "i32");
    }
    text.replacen(";; functions", &wrappers, 1)
}
