//! `helve bindgen`: what `helve::bindgen!` makes of a world, formatted, to read or to keep.
//!
//! The same generator as the macro's, with the macro's options as arguments.

use clap::Args;
use helve::{Context as _, Error, Result};
use helve_bindgen::{Flags, Options, Rules};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Print the Rust bindings of a host for a WIT world.
///
/// The result needs the crate `helve` and nothing else. It is what `helve::bindgen!`
/// generates; put it into a module of its own.
#[derive(Args)]
pub struct Bindgen {
    /// WIT files or folders (with their `deps`); the last one has the world.
    #[arg(value_name = "WIT", required = true)]
    paths: Vec<PathBuf>,
    /// The world: its name, or package:name/world@version. Not needed where there is one.
    #[arg(long)]
    world: Option<String>,
    /// Turn on what is unstable in the WIT under this feature.
    #[arg(long, value_name = "NAME")]
    feature: Vec<String>,
    /// Use what is written elsewhere: `wasi:io=crate::io`, `a:b/c.my-type=crate::MyType`.
    #[arg(long, value_name = "NAME=PATH")]
    with: Vec<String>,
    /// Errors of host functions: `a:b/c.error=crate::Error`.
    #[arg(long, value_name = "NAME=PATH")]
    trappable_error_type: Vec<String>,
    /// A derive for every type.
    #[arg(long, value_name = "PATH")]
    derive: Vec<String>,
    /// How imported functions are: `default=async|store`, `a:b/c.f=trappable`.
    #[arg(long, value_name = "NAME=FLAGS")]
    imports: Vec<String>,
    /// How exported functions are: `default=async`.
    #[arg(long, value_name = "NAME=FLAGS")]
    exports: Vec<String>,
    /// Where to write; standard output if left out.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Bindgen {
    /// Runs the subcommand.
    pub fn main(self) -> ExitCode {
        match self.run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("helve bindgen: {error:#}");
                ExitCode::FAILURE
            }
        }
    }

    fn run(self) -> Result<()> {
        let options = Options {
            paths: self.paths.clone(),
            world: self.world.clone(),
            features: self.feature.clone(),
            with: pairs(&self.with, "--with")?,
            trappable_error_types: pairs(&self.trappable_error_type, "--trappable-error-type")?,
            additional_derives: self
                .derive
                .iter()
                .map(|path| tokens(path, "--derive"))
                .collect::<Result<_>>()?,
            imports: rules(&self.imports, "--imports")?,
            exports: rules(&self.exports, "--exports")?,
            ..Options::default()
        };
        let output = helve_bindgen::generate(&options, Path::new("."))
            .map_err(|error| Error::msg(format!("{error:#}")))?;
        let file = syn::parse2(output.tokens).context("reading what was generated")?;
        let text = prettyplease::unparse(&file);
        match &self.output {
            Some(path) => {
                std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
            }
            None => {
                use std::io::Write;
                let written = std::io::stdout().write_all(text.as_bytes());
                written.context("writing to standard output")
            }
        }
    }
}

/// `NAME=VALUE`.
fn split<'a>(text: &'a str, option: &str) -> Result<(&'a str, &'a str)> {
    text.split_once('=')
        .ok_or_else(|| Error::msg(format!("`{option} {text}`: write it as NAME=VALUE")))
}

fn tokens(text: &str, option: &str) -> Result<proc_macro2::TokenStream> {
    let path = syn::parse_str::<syn::Path>(text)
        .map_err(|_| Error::msg(format!("`{option} {text}`: `{text}` is no path of Rust's")))?;
    Ok(quote::ToTokens::to_token_stream(&path))
}

fn pairs(texts: &[String], option: &str) -> Result<Vec<(String, proc_macro2::TokenStream)>> {
    let pairs = texts.iter().map(|text| {
        let (name, path) = split(text, option)?;
        Ok((name.to_owned(), tokens(path, option)?))
    });
    pairs.collect()
}

fn rules(texts: &[String], option: &str) -> Result<Rules> {
    let mut rules = Rules::default();
    for text in texts {
        let (name, words) = split(text, option)?;
        let mut flags = Flags::default();
        for word in words.split(['|', ',']).map(str::trim) {
            if !flags.set(word) {
                let known = Flags::WORDS;
                return Err(Error::msg(format!(
                    "`{option} {text}`: `{word}` says nothing about a function: say {known}"
                )));
            }
        }
        match name {
            "default" => rules.default = flags,
            name => rules.rules.push((name.to_owned(), flags)),
        }
    }
    Ok(rules)
}
