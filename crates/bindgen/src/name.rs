//! Rust identifiers from WIT's names.
//!
//! ```text
//! input-stream -> InputStream | input_stream | INPUT_STREAM     HTTP-url -> HttpUrl
//! type         -> type_ (a keyword gets an underscore)
//! ```

use proc_macro2::{Ident, Span};

/// Words that are no identifiers.
const KEYWORDS: &[&str] = &[
    "as", "async", "await", "break", "const", "continue", "crate", "dyn", "else", "enum", "extern",
    "false", "fn", "for", "if", "impl", "in", "let", "loop", "match", "mod", "move", "mut", "pub",
    "ref", "return", "self", "Self", "static", "struct", "super", "trait", "true", "type",
    "unsafe", "use", "where", "while", "abstract", "become", "box", "do", "final", "gen", "macro",
    "override", "priv", "try", "typeof", "unsized", "virtual", "yield",
];

/// An identifier; a keyword gets an underscore.
pub(crate) fn ident(name: &str) -> Ident {
    if KEYWORDS.contains(&name) {
        Ident::new(&format!("{name}_"), Span::call_site())
    } else {
        Ident::new(name, Span::call_site())
    }
}

/// `input_stream`, as text, keywords left alone.
pub(crate) fn snake_text(name: &str) -> String {
    name.replace(['-', '.', ':', '/', '@', '+'], "_")
        .to_lowercase()
}

/// `input_stream`.
pub(crate) fn snake(name: &str) -> Ident {
    ident(&snake_text(name))
}

/// `INPUT_STREAM`.
pub(crate) fn shouting(name: &str) -> Ident {
    ident(&snake_text(name).to_uppercase())
}

/// `InputStream`, as text, keywords left alone.
pub(crate) fn camel_text(name: &str) -> String {
    let mut camel = String::new();
    for word in name.split(['-', '_']) {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        camel.extend(first);
        camel.push_str(&letters.as_str().to_lowercase());
    }
    camel
}

/// `InputStream`.
pub(crate) fn camel(name: &str) -> Ident {
    ident(&camel_text(name))
}

/// `camel` unless that is one of `taken`: then with an underscore.
pub(crate) fn camel_beside(name: &str, taken: &[String]) -> Ident {
    let text = camel_text(name);
    if taken.contains(&text) {
        ident(&format!("{text}_"))
    } else {
        ident(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (wit, snake_name, camel_name) in [
            ("a", "a", "A"),
            ("input-stream", "input_stream", "InputStream"),
            ("HTTP-url2", "http_url2", "HttpUrl2"),
            ("a-1b", "a_1b", "A1b"),
            ("type", "type_", "Type"),
            ("self", "self_", "Self_"),
        ] {
            assert_eq!(snake(wit), snake_name);
            assert_eq!(camel(wit), camel_name);
        }
        assert_eq!(shouting("read-only"), "READ_ONLY");
        assert_eq!(camel_beside("host", &["Host".into()]), "Host_");
    }
}
