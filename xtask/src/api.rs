//! The public API of the crates that embedders use, as a listing that is recorded: a change
//! of it shows in the same change as the code.
//!
//! ```text
//! cargo xtask api            what differs from crates/*/api.txt; fails if anything does
//! cargo xtask api --write    records what there is
//! ```
//!
//! One line for each public item, without bodies: functions with their signatures, types
//! with their public fields and variants, methods below their type. Items are listed where
//! they stand, so a moved file shows too. Not here: whether a change breaks anybody.

use crate::house::House;
use anyhow::{Context, Result};
use quote::ToTokens;
use std::path::Path;
use syn::{ImplItem, Item, TraitItem, Visibility};

/// Crates whose API is recorded.
const CRATES: &[&str] = &["helve", "bindgen", "macros", "model", "wasi"];

/// Compares the recorded listings with what there is, or records it.
pub fn run(root: &Path, house: &House, write: bool) -> Result<Vec<String>> {
    let mut differences = Vec::new();
    for name in CRATES {
        let path = root.join("crates").join(name).join("api.txt");
        let found = listing(house, name);
        if write {
            std::fs::write(&path, &found).with_context(|| format!("writing {}", path.display()))?;
            continue;
        }
        let recorded = std::fs::read_to_string(&path).unwrap_or_default();
        differences.extend(compare(name, &recorded, &found));
    }
    Ok(differences)
}

fn compare(name: &str, recorded: &str, found: &str) -> Vec<String> {
    let recorded: std::collections::BTreeSet<&str> = recorded.lines().collect();
    let found: std::collections::BTreeSet<&str> = found.lines().collect();
    let gone = recorded
        .difference(&found)
        .map(|line| format!("{name}: - {line}"));
    let new = found
        .difference(&recorded)
        .map(|line| format!("{name}: + {line}"));
    gone.chain(new).collect()
}

fn listing(house: &House, name: &str) -> String {
    let prefix = format!("crates/{name}/src/");
    let mut lines = Vec::new();
    for file in &house.files {
        if let Some(short) = file.path.strip_prefix(&prefix) {
            let short = short.trim_end_matches(".rs");
            items(short, &file.syntax.items, &mut lines);
        }
    }
    lines.sort();
    lines.dedup();
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn items(file: &str, items: &[Item], lines: &mut Vec<String>) {
    for item in items {
        if is_test(item) {
            continue;
        }
        match item {
            Item::Impl(block) => impl_block(file, block, lines),
            Item::Mod(module) => {
                if let Some((_, inner)) = &module.content
                    && is_public(&module.vis)
                {
                    self::items(&format!("{file}::{}", module.ident), inner, lines);
                }
            }
            item => lines.extend(line(item).map(|text| format!("{file}: {text}"))),
        }
    }
}

/// A public item in a line, without its body.
fn line(item: &Item) -> Option<String> {
    Some(match item {
        Item::Fn(item) if is_public(&item.vis) => format!("fn {}", signature(&item.sig)),
        Item::Const(item) if is_public(&item.vis) => {
            format!("const {}: {}", item.ident, text(&item.ty))
        }
        Item::Type(item) if is_public(&item.vis) => {
            format!(
                "type {}{} = {}",
                item.ident,
                text(&item.generics),
                text(&item.ty)
            )
        }
        Item::Use(item) if is_public(&item.vis) => format!("use {}", text(&item.tree)),
        Item::Macro(item) => format!("macro {}", item.ident.as_ref()?),
        Item::Struct(item) if is_public(&item.vis) => {
            let fields = item.fields.iter().filter(|field| is_public(&field.vis));
            let fields = fields.map(|field| match &field.ident {
                Some(name) => format!("{name}: {}", text(&field.ty)),
                None => text(&field.ty),
            });
            let fields = fields.collect::<Vec<_>>().join(", ");
            format!(
                "struct {}{} {{ {fields} }}",
                item.ident,
                text(&item.generics)
            )
        }
        Item::Enum(item) if is_public(&item.vis) => {
            let variants = item
                .variants
                .iter()
                .map(|variant| format!("{}{}", variant.ident, text(&variant.fields)));
            let variants = variants.collect::<Vec<_>>().join(", ");
            format!(
                "enum {}{} {{ {variants} }}",
                item.ident,
                text(&item.generics)
            )
        }
        Item::Trait(item) if is_public(&item.vis) => {
            let functions = item.items.iter().filter_map(|inner| match inner {
                TraitItem::Fn(function) => Some(format!("fn {}", signature(&function.sig))),
                TraitItem::Const(item) => Some(format!("const {}: {}", item.ident, text(&item.ty))),
                TraitItem::Type(item) => Some(format!("type {}", item.ident)),
                _ => None,
            });
            let functions = functions.collect::<Vec<_>>().join("; ");
            let supers = text(&item.supertraits);
            format!(
                "trait {}{}: {supers} {{ {functions} }}",
                item.ident,
                text(&item.generics)
            )
        }
        _ => return None,
    })
}

fn impl_block(file: &str, block: &syn::ItemImpl, lines: &mut Vec<String>) {
    let ty = text(&block.self_ty);
    if let Some((_, path, _)) = &block.trait_ {
        lines.push(format!("{file}: impl {} for {ty}", text(path)));
        return;
    }
    for item in &block.items {
        match item {
            ImplItem::Fn(function) if is_public(&function.vis) => {
                lines.push(format!("{file}: {ty}::fn {}", signature(&function.sig)));
            }
            ImplItem::Const(item) if is_public(&item.vis) => {
                lines.push(format!(
                    "{file}: {ty}::const {}: {}",
                    item.ident,
                    text(&item.ty)
                ));
            }
            _ => {}
        }
    }
}

fn signature(signature: &syn::Signature) -> String {
    let text = text(signature);
    text.strip_prefix("fn ").unwrap_or(&text).to_owned()
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn is_test(item: &Item) -> bool {
    let Item::Mod(module) = item else {
        return false;
    };
    module.attrs.iter().any(|attr| text(attr).contains("test"))
}

/// The tokens, with as few spaces as can be read.
fn text(tokens: &impl ToTokens) -> String {
    let text = tokens.to_token_stream().to_string();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    [
        (" :: ", "::"),
        (":: ", "::"),
        (" < ", "<"),
        ("< ", "<"),
        (" >", ">"),
        (" ,", ","),
        (" :", ":"),
        ("& ", "&"),
        (" (", "("),
        ("( ", "("),
        (" )", ")"),
        ("' ", "'"),
    ]
    .into_iter()
    .fold(text, |text, (from, to)| text.replace(from, to))
}
