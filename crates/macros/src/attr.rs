//! The `#[component(...)]` attributes: on a type its kind, on a part its name.
//!
//! Several of them, or several words in one, add up; the same twice is an error, and so
//! is a word that has no meaning where it stands. Not here: default names (`name`).

use crate::name;
use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::{Attribute, Ident, LitStr, Token};

/// What kind of type an attribute says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum KindWord {
    Record,
    Variant,
    Enum,
}

/// The kind that a type's attributes say, and where.
pub(crate) fn kind(attrs: &[Attribute]) -> syn::Result<Option<(KindWord, Span)>> {
    let mut kind = None;
    for_each_word(attrs, |word, input| {
        let said = if word == "record" {
            KindWord::Record
        } else if word == "variant" {
            KindWord::Variant
        } else if word == "enum" {
            KindWord::Enum
        } else {
            return Err(syn::Error::new(
                word.span(),
                format!("`{word}` means nothing on a type: say `record`, `variant` or `enum`"),
            ));
        };
        if !input.is_empty() && !input.peek(Token![,]) {
            return Err(input.error(format!("`{word}` takes no value")));
        }
        match kind.replace((said, word.span())) {
            None => Ok(()),
            Some(_) => Err(syn::Error::new(
                word.span(),
                "the kind of a type is said once",
            )),
        }
    })?;
    Ok(kind)
}

/// The component name of a part: what its attributes say, else its Rust name's kebab-case.
/// Parts without a Rust name (`ident` is `None`) need an attribute.
pub(crate) fn part_name(
    attrs: &[Attribute],
    ident: Option<&Ident>,
    part: Span,
) -> syn::Result<String> {
    let mut given: Option<LitStr> = None;
    for_each_word(attrs, |word, input| {
        if word != "name" {
            return Err(syn::Error::new(
                word.span(),
                format!("`{word}` means nothing here: say `name = \"...\"`"),
            ));
        }
        input.parse::<Token![=]>()?;
        match given.replace(input.parse()?) {
            None => Ok(()),
            Some(_) => Err(syn::Error::new(word.span(), "the name is said once")),
        }
    })?;
    let (text, span) = match (given, ident) {
        (Some(given), _) => (given.value(), given.span()),
        (None, Some(ident)) => (name::kebab(ident), ident.span()),
        (None, None) => {
            return Err(syn::Error::new(
                part,
                "a field of a record has a name: name it, or say `#[component(name = \"...\")]`",
            ));
        }
    };
    match name::fault(&text) {
        None => Ok(text),
        Some(fault) => Err(syn::Error::new(
            span,
            format!(
                "`{text}` is no component name: it {fault}; say `#[component(name = \"...\")]`"
            ),
        )),
    }
}

/// That no two names are the same but for the case of letters, as components want it.
pub(crate) fn distinct<'a>(names: impl Iterator<Item = (&'a str, Span)>) -> syn::Result<()> {
    let mut seen = std::collections::HashSet::new();
    for (name, span) in names {
        if !seen.insert(name.to_ascii_lowercase()) {
            return Err(syn::Error::new(
                span,
                format!("there are two named `{name}`"),
            ));
        }
    }
    Ok(())
}

/// Calls `each` with every word in the attributes and the input behind it.
fn for_each_word(
    attrs: &[Attribute],
    mut each: impl FnMut(Ident, syn::parse::ParseStream<'_>) -> syn::Result<()>,
) -> syn::Result<()> {
    for attr in attrs
        .iter()
        .filter(|attr| attr.path().is_ident("component"))
    {
        attr.parse_args_with(|input: syn::parse::ParseStream<'_>| {
            while !input.is_empty() {
                // `enum` is a keyword.
                each(input.call(Ident::parse_any)?, input)?;
                if !input.is_empty() {
                    input.parse::<Token![,]>()?;
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}
