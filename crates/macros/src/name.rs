//! Component names from Rust identifiers, and the check of given ones.
//!
//! ```text
//! user_id, UserId, r#UserId -> user-id     HTTPServer -> http-server     Utf8 -> utf8
//! ```
//! A word ends before an underscore, before a capital that follows a small letter or a
//! digit, and before the last of several capitals if a small letter follows it. Not here:
//! whole import names (interfaces, versions).

use syn::ext::IdentExt;

/// The kebab-case of `ident`.
pub(crate) fn kebab(ident: &syn::Ident) -> String {
    let text: Vec<char> = ident.unraw().to_string().chars().collect();
    let mut kebab = String::new();
    for (i, &c) in text.iter().enumerate() {
        if c == '_' {
            continue;
        }
        let before = i.checked_sub(1).and_then(|i| text.get(i)).copied();
        let after = text.get(i + 1).copied();
        let starts_word = match before {
            None => false,
            Some('_') => true,
            Some(b) if c.is_uppercase() => {
                !b.is_uppercase() || after.is_some_and(char::is_lowercase)
            }
            Some(_) => false,
        };
        if starts_word && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.extend(c.to_lowercase());
    }
    kebab
}

/// What is wrong with `name` as the name of a field, case or flag, if anything is.
pub(crate) fn fault(name: &str) -> Option<&'static str> {
    if !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return Some("does not start with an ASCII letter");
    }
    let word_fault = |word: &str| {
        let mut chars = word.chars();
        match chars.next() {
            None => Some("has an empty word"),
            Some(first) if !first.is_ascii_alphanumeric() => {
                Some("has something else than ASCII letters, digits and `-`")
            }
            Some(_) if !chars.all(|c| c.is_ascii_alphanumeric()) => {
                Some("has something else than ASCII letters, digits and `-`")
            }
            Some(_) => {
                let small = word.chars().any(|c| c.is_ascii_lowercase());
                let large = word.chars().any(|c| c.is_ascii_uppercase());
                (small && large).then_some("mixes small letters and capitals in one word")
            }
        }
    };
    name.split('-').find_map(word_fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_become_kebab_case() {
        for (rust, component) in [
            ("a", "a"),
            ("user_id", "user-id"),
            ("UserId", "user-id"),
            ("SYMLINK_FOLLOW", "symlink-follow"),
            ("HTTPServer", "http-server"),
            ("Utf8", "utf8"),
            ("Utf8String", "utf8-string"),
            ("ipv4_address", "ipv4-address"),
            ("IpV4", "ip-v4"),
            ("_hidden", "hidden"),
            ("trailing_", "trailing"),
            ("double__bar", "double-bar"),
            ("A1B", "a1-b"),
        ] {
            let ident: syn::Ident = syn::parse_str(rust).expect("an identifier");
            assert_eq!(kebab(&ident), component, "{rust}");
            assert_eq!(fault(component), None, "{component}");
        }
        let raw: syn::Ident = syn::parse_str("r#type").expect("an identifier");
        assert_eq!(kebab(&raw), "type");
    }

    #[test]
    fn names_that_no_component_can_have_are_refused() {
        for name in ["", "-", "a-", "-a", "a--b", "a_b", "1a", "aB", "ä", "a b"] {
            assert!(fault(name).is_some(), "{name}");
        }
        for name in ["a", "A", "URL-parser", "x2", "a-1", "a-b2-C"] {
            assert_eq!(fault(name), None, "{name}");
        }
    }
}
