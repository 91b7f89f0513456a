//! `bindgen!`: from the macro's syntax to the generator's options.
//!
//! ```text
//! bindgen!()                        the only world of `wit/`
//! bindgen!("world" in "path")
//! bindgen!({ path: .., world: .., inline: .., with: { .. }, imports: { .. }, .. })
//! ```
//!
//! Not here: what is generated (`helve-bindgen`).

use helve_bindgen::{Flags, Options, Rules};
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use std::path::PathBuf;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Ident, LitBool, LitStr, Token, braced, bracketed};

/// Options as the macro was given them.
struct Input(Options);

/// The bindings that `input` asks for.
pub(crate) fn expand(input: TokenStream) -> syn::Result<TokenStream> {
    let Input(options) = syn::parse2(input)?;
    let base = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(PathBuf::new, PathBuf::from);
    let output = helve_bindgen::generate(&options, &base)
        .map_err(|error| syn::Error::new(Span::call_site(), format!("{error:#}")))?;
    let tokens = output.tokens;
    // So that the crate is compiled again when a file changes.
    let files = output.files.iter().filter(|file| file.is_file());
    let files = files.map(|file| file.display().to_string());
    Ok(quote! {
        #tokens
        const _: &[&[u8]] = &[#(::core::include_bytes!(#files)),*];
    })
}

impl Parse for Input {
    fn parse(input: ParseStream<'_>) -> syn::Result<Input> {
        let mut options = Options::default();
        if input.is_empty() {
            return Ok(Input(options));
        }
        if input.peek(LitStr) {
            options.world = Some(input.parse::<LitStr>()?.value());
            if input.parse::<Option<Token![in]>>()?.is_some() {
                options.paths.push(input.parse::<LitStr>()?.value().into());
            }
            return Ok(Input(options));
        }
        let body;
        braced!(body in input);
        let mut seen: Vec<Ident> = Vec::new();
        while !body.is_empty() {
            let key = body.call(Ident::parse_any)?;
            body.parse::<Token![:]>()?;
            if seen.contains(&key) {
                return Err(syn::Error::new(key.span(), format!("`{key}` is said once")));
            }
            option(&mut options, &key, &body)?;
            seen.push(key);
            if !body.is_empty() {
                body.parse::<Token![,]>()?;
            }
        }
        Ok(Input(options))
    }
}

/// The value of option `key`.
fn option(options: &mut Options, key: &Ident, input: ParseStream<'_>) -> syn::Result<()> {
    let text = |input: ParseStream<'_>| Ok::<_, syn::Error>(input.parse::<LitStr>()?.value());
    match &*key.to_string() {
        "path" if input.peek(LitStr) => options.paths.push(text(input)?.into()),
        "path" => options.paths = list(input, |input| Ok(text(input)?.into()))?,
        "inline" => options.inline = Some(text(input)?),
        "world" => options.world = Some(text(input)?),
        "interfaces" => options.interfaces = Some(text(input)?),
        "features" => options.features = list(input, text)?,
        "all_features" => options.all_features = input.parse::<LitBool>()?.value,
        "with" => options.with = map(input)?,
        "trappable_error_type" | "trappable_error_types" => {
            options.trappable_error_types = map(input)?;
        }
        "additional_derives" => {
            options.additional_derives = list(input, |input| {
                Ok(input.parse::<syn::Path>()?.into_token_stream())
            })?;
        }
        "imports" => options.imports = rules(input)?,
        "exports" => options.exports = rules(input)?,
        "async" => {
            let asynchronous = input.parse::<LitBool>()?.value;
            options.imports.default.asynchronous = asynchronous;
            options.exports.default.asynchronous = asynchronous;
        }
        // Wasmtime's, and how it is here anyway.
        "require_store_data_send" => {
            input.parse::<LitBool>()?;
        }
        _ => {
            return Err(syn::Error::new(
                key.span(),
                format!(
                    "there is no option `{key}`: the options are `path`, `inline`, `world`, \
                     `interfaces`, `features`, `all_features`, `with`, `trappable_error_type`, \
                     `additional_derives`, `imports`, `exports` and `async`"
                ),
            ));
        }
    }
    Ok(())
}

/// `[a, b]`.
fn list<T>(
    input: ParseStream<'_>,
    each: impl Fn(ParseStream<'_>) -> syn::Result<T>,
) -> syn::Result<Vec<T>> {
    let body;
    bracketed!(body in input);
    let mut items = Vec::new();
    while !body.is_empty() {
        items.push(each(&body)?);
        if !body.is_empty() {
            body.parse::<Token![,]>()?;
        }
    }
    Ok(items)
}

/// `{ "name": path, "name" => path }`.
fn map(input: ParseStream<'_>) -> syn::Result<Vec<(String, TokenStream)>> {
    let body;
    braced!(body in input);
    let mut entries = Vec::new();
    while !body.is_empty() {
        let key = body.parse::<LitStr>()?.value();
        if body.peek(Token![=>]) {
            body.parse::<Token![=>]>()?;
        } else {
            body.parse::<Token![:]>()?;
        }
        entries.push((key, body.parse::<syn::Path>()?.into_token_stream()));
        if !body.is_empty() {
            body.parse::<Token![,]>()?;
        }
    }
    Ok(entries)
}

/// `{ default: async | store, "name": trappable }`.
fn rules(input: ParseStream<'_>) -> syn::Result<Rules> {
    let body;
    braced!(body in input);
    let mut rules = Rules::default();
    while !body.is_empty() {
        if body.peek(LitStr) {
            let name = body.parse::<LitStr>()?.value();
            body.parse::<Token![:]>()?;
            rules.rules.push((name, flags(&body)?));
        } else {
            let key = body.call(Ident::parse_any)?;
            if key != "default" {
                let message = format!("`{key}` is no rule: say `default`, or a name in quotes");
                return Err(syn::Error::new(key.span(), message));
            }
            body.parse::<Token![:]>()?;
            rules.default = flags(&body)?;
        }
        if !body.is_empty() {
            body.parse::<Token![,]>()?;
        }
    }
    Ok(rules)
}

/// `async | store`.
fn flags(input: ParseStream<'_>) -> syn::Result<Flags> {
    let words = Punctuated::<Word, Token![|]>::parse_separated_nonempty(input)?;
    let mut flags = Flags::default();
    for Word(word) in words {
        if !flags.set(&word.to_string()) {
            let message = format!(
                "`{word}` says nothing about a function: say {}",
                Flags::WORDS
            );
            return Err(syn::Error::new(word.span(), message));
        }
    }
    Ok(flags)
}

/// A word that may be a keyword.
struct Word(Ident);

impl Parse for Word {
    fn parse(input: ParseStream<'_>) -> syn::Result<Word> {
        input.call(Ident::parse_any).map(Word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> syn::Result<Options> {
        syn::parse_str::<Input>(text).map(|input| input.0)
    }

    #[test]
    fn every_option_is_read() {
        let options = parse(
            r#"{
                path: ["a", "b"], inline: "c", world: "d", features: ["e"], all_features: true,
                with: { "f:g/h": crate::h, "f:g/i.j" => J },
                trappable_error_type: { "f:g/i.k" => crate::K },
                additional_derives: [PartialEq, serde::Serialize],
                imports: { default: async | store | tracing, "l": trappable, "m*": skip | ignore_wit },
                exports: { default: async }, require_store_data_send: true,
            }"#,
        )
        .expect("it is right");
        assert_eq!(options.paths, [PathBuf::from("a"), PathBuf::from("b")]);
        assert_eq!(options.inline.as_deref(), Some("c"));
        assert_eq!(options.world.as_deref(), Some("d"));
        assert_eq!(options.features, ["e"]);
        assert!(options.all_features);
        assert_eq!(options.with.len(), 2);
        assert_eq!(options.trappable_error_types.len(), 1);
        assert_eq!(options.additional_derives.len(), 2);
        assert!(options.imports.default.asynchronous && options.imports.default.store);
        assert!(options.imports.rules[0].1.trappable);
        assert!(options.imports.rules[1].1.skip && options.imports.rules[1].1.ignore_wit);
        assert!(options.exports.default.asynchronous && !options.exports.default.store);
        let options = parse(r#""w" in "p""#).expect("it is right");
        assert_eq!(
            (options.world.as_deref(), options.paths.len()),
            (Some("w"), 1)
        );
        assert!(parse("").expect("it is right").paths.is_empty());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, expected) in [
            ("{ paths: \"a\" }", "no option `paths`"),
            ("{ path: \"a\", path: \"b\" }", "`path` is said once"),
            ("{ imports: { defaults: async } }", "`defaults` is no rule"),
            ("{ imports: { default: asink } }", "`asink` says nothing"),
            ("{ with: { a: b } }", "expected string literal"),
        ] {
            match parse(text) {
                Ok(_) => panic!("accepted: {text}"),
                Err(error) => assert!(error.to_string().contains(expected), "{text}: {error}"),
            }
        }
    }
}
