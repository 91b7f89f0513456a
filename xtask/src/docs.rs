//! What the documentation of public items must have, as far as a machine can tell.
//!
//! ```text
//!   a function that returns a Result     says when it fails: `# Errors`, or whom it is like,
//!                                        or its block says so of all functions in it
//!   a type with methods, a trait         an example: its own, a method's, or its module's;
//!                                        else a line below that says why it needs none
//! ```
//!
//! That public items have documentation at all is the compiler's lint. Not here: whether it is
//! true.

use crate::house::{House, SourceFile};
use quote::ToTokens;
use std::collections::{BTreeMap, BTreeSet};
use syn::{Attribute, ImplItem, Item, ReturnType, Signature, TraitItem, Visibility};

/// Crates that embedders and authors of other engines use.
const CRATES: &[&str] = &["helve", "model", "wasi", "wasi-http"];

/// Public types and traits without an example, and why.
const WITHOUT_EXAMPLE: &[(&str, &str)] = &[
    ("FixedLengthList", "what `Type` has inside: shown there"),
    ("Frame", "shown at `Backtrace`"),
    ("FrameSymbol", "shown at `Backtrace`"),
    ("ComponentFunc", "shown at `types::Component`"),
    ("ComponentInstance", "shown at `types::Component`"),
    ("Destination", "shown at `StreamProducer`"),
    ("Source", "shown at `StreamConsumer`"),
    ("StreamWriter", "shown at `StreamReader`"),
    ("ExportLookup", "names and indices: every look-up shows it"),
    ("FieldCursor", "for derives"),
    ("Lane", "for derives"),
    ("LaneCursor", "for derives"),
    ("LaneReader", "for derives"),
    ("LiftContext", "for derives"),
    ("LowerContext", "for derives"),
    ("TypeCheck", "for derives"),
    ("IntoFunc", "sealed: what `Func::wrap` takes"),
    ("WasmParams", "sealed: what `TypedFunc` takes"),
    ("WasmResults", "sealed: what `TypedFunc` gives"),
    ("WasmRet", "sealed: what closures return"),
    ("WasmTy", "sealed: core values"),
    ("Command", "shown at the head of `helve-wasi`"),
    ("WasiCtx", "shown at the head of `helve-wasi`"),
    ("WasiCtxBuilder", "shown at the head of `helve-wasi`"),
    ("WasiView", "shown at the head of `helve-wasi`"),
    ("Connection", "what guests hold: made by their calls"),
    ("Dir", "what guests hold: made by their calls"),
    ("Entries", "what guests hold: made by their calls"),
    ("File", "what guests hold: made by their calls"),
    ("Input", "what guests hold: made by their calls"),
    ("IoError", "what guests hold: made by their calls"),
    ("Lookup", "what guests hold: made by their calls"),
    ("Network", "what guests hold: made by their calls"),
    ("Output", "what guests hold: made by their calls"),
    ("Pollable", "what guests hold: made by their calls"),
    ("Socket", "what guests hold: made by their calls"),
    ("TcpSocket", "what guests hold: made by their calls"),
    ("UdpSocket", "what guests hold: made by their calls"),
    ("Body", "what guests hold: made by their calls"),
    ("Fields", "what guests hold: made by their calls"),
    ("Incoming", "what guests hold: made by their calls"),
    ("IncomingBody", "what guests hold: made by their calls"),
    ("Outgoing", "what guests hold: made by their calls"),
    ("OutgoingAnswer", "what guests hold: made by their calls"),
    ("OutgoingBody", "what guests hold: made by their calls"),
    ("OutgoingFrames", "what guests hold: made by their calls"),
    ("Transmission", "what guests hold: made by their calls"),
    (
        "Descriptor",
        "what hosts' own streams and waits are made of: the standard streams show it",
    ),
    (
        "Flag",
        "what hosts' own streams and waits are made of: the standard streams show it",
    ),
    (
        "InputStream",
        "what hosts' own streams and waits are made of: the standard streams show it",
    ),
    (
        "OutputStream",
        "what hosts' own streams and waits are made of: the standard streams show it",
    ),
    (
        "Options",
        "what hosts' own streams and waits are made of: the standard streams show it",
    ),
    (
        "Random",
        "what hosts' own streams and waits are made of: the standard streams show it",
    ),
    (
        "Readiness",
        "what hosts' own streams and waits are made of: the standard streams show it",
    ),
    (
        "IpAddressFamily",
        "what hosts' own streams and waits are made of: the standard streams show it",
    ),
    ("Denials", "an argument of `WasiCtxBuilder`"),
    ("DirGrant", "an argument of `WasiCtxBuilder`"),
    ("MemoryOutput", "an argument of `WasiCtxBuilder`"),
    ("NetGrants", "an argument of `WasiCtxBuilder`"),
    ("NetRule", "an argument of `WasiCtxBuilder`"),
    ("Stdin", "an argument of `WasiCtxBuilder`"),
    ("Stdout", "an argument of `WasiCtxBuilder`"),
    ("AccessLog", "shown at the head of `helve-wasi-http`"),
    ("App", "shown at the head of `helve-wasi-http`"),
    ("Metrics", "shown at the head of `helve-wasi-http`"),
    ("Proxy", "shown at the head of `helve-wasi-http`"),
    ("ProxyApp", "shown at the head of `helve-wasi-http`"),
    ("ProxyIndex", "shown at the head of `helve-wasi-http`"),
    ("Server", "shown at the head of `helve-wasi-http`"),
    ("Service", "shown at the head of `helve-wasi-http`"),
    ("ServiceApp", "shown at the head of `helve-wasi-http`"),
    ("WasiHttpCtx", "shown at the head of `helve-wasi-http`"),
    ("WasiHttpView", "shown at the head of `helve-wasi-http`"),
    ("Client", "the enums and client of `wasi:http`"),
    ("ErrorCode", "the enums and client of `wasi:http`"),
    ("Method", "the enums and client of `wasi:http`"),
    ("Scheme", "the enums and client of `wasi:http`"),
    ("Arena", "shown in the model's README"),
    ("Instances", "shown in the model's README"),
    ("Loans", "shown in the model's README"),
    ("Names", "shown in the model's README"),
    ("Scopes", "shown in the model's README"),
    ("Slot", "shown in the model's README"),
    ("Storage", "shown in the model's README"),
    ("Store", "shown in the model's README"),
    ("Table", "shown in the model's README"),
    ("Tables", "shown in the model's README"),
    ("Threads", "shown in the model's README"),
    ("TypeId", "shown in the model's README"),
    ("VecStorage", "shown in the model's README"),
    ("FlagStorage", "shown in the model's README"),
    (
        "Caller",
        "of the model: what a function of its `Store` gives",
    ),
    (
        "Buffer",
        "a number, or what a function of the model's `Store` takes or gives",
    ),
    (
        "CopyJob",
        "a number, or what a function of the model's `Store` takes or gives",
    ),
    (
        "HandleError",
        "a number, or what a function of the model's `Store` takes or gives",
    ),
    (
        "InstanceId",
        "a number, or what a function of the model's `Store` takes or gives",
    ),
    (
        "Kind",
        "a number, or what a function of the model's `Store` takes or gives",
    ),
    (
        "ScopeId",
        "a number, or what a function of the model's `Store` takes or gives",
    ),
    (
        "SubtaskState",
        "a number, or what a function of the model's `Store` takes or gives",
    ),
    (
        "TaskId",
        "a number, or what a function of the model's `Store` takes or gives",
    ),
];

/// Beginnings that refer to a function whose errors are told.
const LIKE: &[&str] = &["As ", "The same"];

/// What was found out about a type or trait.
#[derive(Default)]
struct Shown {
    place: String,
    methods: usize,
    example: bool,
}

/// Everything that lacks.
pub fn check(house: &House) -> Vec<String> {
    let mut findings = Vec::new();
    let mut excused: BTreeSet<&str> = WITHOUT_EXAMPLE.iter().map(|(name, _)| *name).collect();
    for name in CRATES {
        let prefix = format!("crates/{name}/src/");
        let files: Vec<_> = house
            .files
            .iter()
            .filter(|file| file.path.starts_with(&prefix))
            .collect();
        let mut shown = BTreeMap::new();
        files
            .iter()
            .for_each(|file| declared(file, &file.syntax.items, &mut shown));
        for file in &files {
            methods(file, &file.syntax.items, (&mut shown, &mut findings));
        }
        for (name, shown) in &shown {
            if shown.methods > 0 && !shown.example && !excused.remove(name.as_str()) {
                findings.push(format!(
                    "{}: `{name}` has no example: give it one, or a line in xtask/src/docs.rs",
                    shown.place
                ));
            }
        }
    }
    let stale = excused.iter();
    findings.extend(stale.map(|name| format!("xtask/src/docs.rs: `{name}` needs no excuse")));
    findings
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn docs(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| {
        let syn::Meta::NameValue(pair) = &attribute.meta else {
            return None;
        };
        let syn::Expr::Lit(literal) = &pair.value else {
            return None;
        };
        let syn::Lit::Str(text) = &literal.lit else {
            return None;
        };
        pair.path.is_ident("doc").then(|| text.value())
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn is_hidden(attributes: &[Attribute]) -> bool {
    let text = |attribute: &Attribute| attribute.to_token_stream().to_string();
    attributes.iter().map(text).any(|text| {
        text.contains("hidden") || text.contains("cfg (test)") || text.contains("cfg(test)")
    })
}

/// The public types and traits of a file.
fn declared(file: &SourceFile, items: &[Item], shown: &mut BTreeMap<String, Shown>) {
    let module = file.head().contains("```\n") && file.head().contains("use ");
    for item in items {
        let (visibility, attributes, name) = match item {
            Item::Struct(item) => (&item.vis, &item.attrs, &item.ident),
            Item::Enum(item) => (&item.vis, &item.attrs, &item.ident),
            Item::Trait(item) => (&item.vis, &item.attrs, &item.ident),
            Item::Mod(inner) => {
                if let (Some((_, items)), false) = (&inner.content, is_hidden(&inner.attrs)) {
                    declared(file, items, shown);
                }
                continue;
            }
            _ => continue,
        };
        if !is_public(visibility) || is_hidden(attributes) {
            continue;
        }
        let entry = shown.entry(name.to_string()).or_default();
        entry.place.clone_from(&file.path);
        entry.example |= module || docs(attributes).contains("```");
    }
}

type Found<'a> = (&'a mut BTreeMap<String, Shown>, &'a mut Vec<String>);

/// Looks at functions, and at the methods of the types that were found.
fn methods(file: &SourceFile, items: &[Item], (shown, findings): Found<'_>) {
    for item in items {
        match item {
            Item::Fn(function) if is_public(&function.vis) && file.is_open() => {
                findings.extend(function_lacks(file, &function.attrs, &function.sig, ""));
            }
            Item::Impl(block) if block.trait_.is_none() => {
                let ty = block.self_ty.to_token_stream().to_string();
                let ty = ty.split([' ', '<']).next().unwrap_or("").to_owned();
                let Some(entry) = shown.get_mut(&ty) else {
                    continue;
                };
                let of_all = docs(&block.attrs);
                entry.example |= of_all.contains("```");
                for item in &block.items {
                    if let ImplItem::Fn(function) = item
                        && is_public(&function.vis)
                        && !is_hidden(&function.attrs)
                    {
                        entry.methods += 1;
                        entry.example |= docs(&function.attrs).contains("```");
                        if of_all.contains("# Errors") {
                            continue;
                        }
                        let name = format!("{ty}::");
                        findings.extend(function_lacks(
                            file,
                            &function.attrs,
                            &function.sig,
                            &name,
                        ));
                    }
                }
            }
            Item::Trait(item) if shown.contains_key(&item.ident.to_string()) => {
                let entry = shown.entry(item.ident.to_string()).or_default();
                for inner in &item.items {
                    if let TraitItem::Fn(function) = inner {
                        entry.methods += 1;
                        entry.example |= docs(&function.attrs).contains("```");
                    }
                }
            }
            _ => {}
        }
    }
}

/// A function that may fail, and does not say when.
fn function_lacks(
    file: &SourceFile,
    attributes: &[Attribute],
    signature: &Signature,
    of: &str,
) -> Option<String> {
    let ReturnType::Type(_, ty) = &signature.output else {
        return None;
    };
    let ty = ty.to_token_stream().to_string();
    let docs = docs(attributes);
    let told =
        docs.contains("# Errors") || LIKE.iter().any(|like| docs.trim_start().starts_with(like));
    let fails = ty.starts_with("Result") || ty.starts_with("std :: result :: Result");
    (fails && !told && !is_hidden(attributes)).then(|| {
        format!(
            "{}: `{of}{}` does not say when it fails: `# Errors`",
            file.path, signature.ident
        )
    })
}
