//! Documentation in generated code: WIT's own, or a sentence where it has none.
//!
//! WIT's comments are not written for rustdoc: what would become a test or a warning there
//! is made plain text. Not here: deciding what an item is called.

use proc_macro2::TokenStream;
use quote::quote;
use wit_parser::Docs;

/// `#[doc = ".."]` with what WIT says, or with `other`.
pub(crate) fn or(docs: &Docs, other: impl FnOnce() -> String) -> TokenStream {
    match &docs.contents {
        Some(text) if !text.trim().is_empty() => lines(&plain(text)),
        _ => lines(&other()),
    }
}

/// `#[doc = ".."]` for each line.
pub(crate) fn lines(text: &str) -> TokenStream {
    let lines = text.trim_end().lines().map(|line| match line {
        "" => String::new(),
        line => format!(" {line}"),
    });
    quote!(#(#[doc = #lines])*)
}

/// The text with code blocks that no one runs.
fn plain(text: &str) -> String {
    let mut in_fence = false;
    let mut plain = String::new();
    for line in text.lines() {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        if trimmed.starts_with("```") {
            in_fence = !in_fence;
            let rest = trimmed.trim_start_matches('`').trim();
            let word = if in_fence && rest.is_empty() {
                "text"
            } else {
                rest
            };
            plain.push_str("```");
            plain.push_str(match word {
                "rust" | "should_panic" | "no_run" | "ignore" | "compile_fail" => "text",
                word => word,
            });
        } else if in_fence || indent < 4 {
            plain.push_str(line);
        } else {
            // Four spaces would make a code block, which rustdoc would run.
            plain.push_str("   ");
            plain.push_str(trimmed);
        }
        plain.push('\n');
    }
    if in_fence {
        plain.push_str("```\n");
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_becomes_a_test() {
        for (text, expected) in [
            ("a\n    b", "a\n   b\n"),
            ("```\nx\n```", "```text\nx\n```\n"),
            ("```rust\nx\n```", "```text\nx\n```\n"),
            ("```wit\nx", "```wit\nx\n```\n"),
        ] {
            assert_eq!(plain(text), expected);
        }
    }
}
