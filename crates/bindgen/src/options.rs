//! What the bindings should be like: the macro's options, and which of them apply to an
//! interface, a type or a function.
//!
//! Items are named as WIT names them, with or without the version:
//!
//! ```text
//! wasi:io                         every interface of the package
//! wasi:io/streams                 the interface
//! wasi:io/streams.input-stream    a type       (also `wasi:io/streams/input-stream`)
//! wasi:io/streams.[method]input-stream.read    a function (also with `/` or `#`)
//! run                             an item of the world itself
//! wasi:*/streams.*read*           `*` stands for any characters, in rules
//! ```
//!
//! The most exact name counts: function before interface before package, a name before a
//! pattern, a longer pattern before a shorter one. Not here: syntax (`helve-macros`).

use anyhow::{Result, bail};
use proc_macro2::TokenStream;
use std::cell::Cell;
use std::path::PathBuf;

/// What to generate.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// WIT files or folders; the last one has the world. None: `wit`, unless there is
    /// inline text.
    pub paths: Vec<PathBuf>,
    /// WIT text; the world is looked for here if there is any.
    pub inline: Option<String>,
    /// The world: its name, or `package:name/world`, with or without a version.
    pub world: Option<String>,
    /// Items of a world made up for this: `import wasi:io/streams@0.2.0; ...`.
    pub interfaces: Option<String>,
    /// Features that turn on what is `@unstable(feature = ..)`.
    pub features: Vec<String>,
    /// Whether everything unstable is turned on.
    pub all_features: bool,
    /// Packages, interfaces, types and resources whose Rust side is written elsewhere.
    pub with: Vec<(String, TokenStream)>,
    /// Error types of WIT, and the Rust types that stand for them in results of host
    /// functions, which may then trap.
    pub trappable_error_types: Vec<(String, TokenStream)>,
    /// Derives for every type that is generated.
    pub additional_derives: Vec<TokenStream>,
    /// How imported functions are.
    pub imports: Rules,
    /// How exported functions are.
    pub exports: Rules,
}

/// How functions are: the first that fits, most exact first.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// For functions that no rule names.
    pub default: Flags,
    /// Names or patterns, and how what they name is.
    pub rules: Vec<(String, Flags)>,
}

/// How a function is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// The host's side is a Rust `async fn`: one that keeps the host's data while it waits, or
    /// with `store` one that does not.
    pub asynchronous: bool,
    /// It gets at the store; an async one gets an `Accessor`, and lets other guests run while
    /// it waits.
    pub store: bool,
    /// The host's function may trap: it returns `helve::Result`.
    pub trappable: bool,
    /// `async` in the WIT is not looked at.
    pub ignore_wit: bool,
    /// It is left out; whoever needs it defines it in the linker by hand.
    pub skip: bool,
}

impl Flags {
    /// Turns on what `word` says; whether there is such a word.
    pub fn set(&mut self, word: &str) -> bool {
        match word {
            "async" => self.asynchronous = true,
            "store" => self.store = true,
            "trappable" => self.trappable = true,
            "ignore_wit" => self.ignore_wit = true,
            "skip" => self.skip = true,
            // Wasmtime's: here `Config::trace_calls` makes spans of all calls.
            "tracing" | "verbose_tracing" => {}
            _ => return false,
        }
        true
    }

    /// The words that [`Flags::set`] knows, for messages.
    pub const WORDS: &'static str = "`async`, `store`, `trappable`, `ignore_wit`, `skip`";
}

/// Names and what they say, with a note of which were used.
struct Keyed<V> {
    entries: Vec<(String, V, Cell<bool>)>,
}

impl<V: Clone> Keyed<V> {
    fn new(entries: &[(String, V)]) -> Keyed<V> {
        Keyed {
            entries: entries
                .iter()
                .map(|(key, value)| (key.clone(), value.clone(), Cell::new(false)))
                .collect(),
        }
    }

    fn get(&self, names: &[String]) -> Option<(usize, V)> {
        names.iter().find_map(|name| {
            let at = self.entries.iter().position(|(key, ..)| key == name)?;
            let (_, value, used) = &self.entries[at];
            used.set(true);
            Some((at, value.clone()))
        })
    }

    fn unused(&self) -> Option<&str> {
        let unused = self.entries.iter().find(|(.., used)| !used.get());
        unused.map(|(key, ..)| key.as_str())
    }
}

/// The options that name items, while they are being looked up.
pub(crate) struct Chosen {
    with: Keyed<TokenStream>,
    errors: Keyed<TokenStream>,
    imports: Keyed<Flags>,
    exports: Keyed<Flags>,
    defaults: [Flags; 2],
}

impl Chosen {
    pub(crate) fn new(options: &Options) -> Chosen {
        Chosen {
            with: Keyed::new(&options.with),
            errors: Keyed::new(&options.trappable_error_types),
            imports: Keyed::new(&options.imports.rules),
            exports: Keyed::new(&options.exports.rules),
            defaults: [options.imports.default, options.exports.default],
        }
    }

    /// The number of the `with` entry that one of `names` has.
    pub(crate) fn with(&self, names: &[String]) -> Option<usize> {
        self.with.get(names).map(|(at, _)| at)
    }

    /// The Rust type that stands for an error type with one of these names.
    pub(crate) fn error_type(&self, names: &[String]) -> Option<TokenStream> {
        self.errors.get(names).map(|(_, ty)| ty)
    }

    /// How the function is that has these names, the most exact ones first.
    pub(crate) fn flags(&self, imported: bool, names: &[String]) -> Flags {
        let (rules, default) = match imported {
            true => (&self.imports, self.defaults[0]),
            false => (&self.exports, self.defaults[1]),
        };
        let plain = rules.get(names).map(|(_, flags)| flags);
        // Every pattern that fits counts as used, so that none is called a typo.
        let mut best: Option<(usize, Flags)> = None;
        for (pattern, flags, used) in &rules.entries {
            if pattern.contains('*') && names.iter().any(|name| matches(pattern, name)) {
                used.set(true);
                if best.is_none_or(|(len, _)| pattern.len() > len) {
                    best = Some((pattern.len(), *flags));
                }
            }
        }
        plain.or(best.map(|(_, flags)| flags)).unwrap_or(default)
    }

    /// That every name in the options is one of the world's.
    pub(crate) fn check_all_used(&self) -> Result<()> {
        for (option, unused) in [
            ("with", self.with.unused()),
            ("trappable_error_type", self.errors.unused()),
            ("imports", self.imports.unused()),
            ("exports", self.exports.unused()),
        ] {
            if let Some(name) = unused {
                bail!(
                    "`{option}` names `{name}`, which the world has not: \
                     write it as `package:name/interface.item`, or take it out"
                );
            }
        }
        Ok(())
    }
}

/// Whether `name` is what `pattern` says, `*` being any characters.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(name) = name.strip_prefix(first) else {
        return false;
    };
    (0..=name.len())
        .filter(|at| name.is_char_boundary(*at))
        .any(|at| matches(rest, &name[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b", "ab", true),
            ("*", "", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abcd", false),
            ("wasi:*/streams.*", "wasi:io/streams.f", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn the_most_exact_rule_counts() {
        let skip = Flags {
            skip: true,
            ..Flags::default()
        };
        let store = Flags {
            store: true,
            ..Flags::default()
        };
        let names = ["a:b/c.d", "a:b/c", "a:b"].map(str::to_owned);
        let chosen = |rules: &[(&str, Flags)]| {
            let rules = rules.iter().map(|(name, flags)| (name.to_string(), *flags));
            Chosen::new(&Options {
                imports: Rules {
                    default: Flags::default(),
                    rules: rules.collect(),
                },
                ..Options::default()
            })
        };
        for (rules, expected) in [
            (&[("a:b", store), ("a:b/c.d", skip)][..], skip),
            (&[("a:*", skip), ("a:b", store)], store),
            (&[("*", skip), ("a:b/c.*", store)], store),
            (&[("x", skip)], Flags::default()),
        ] {
            assert_eq!(chosen(rules).flags(true, &names), expected);
        }
    }
}
