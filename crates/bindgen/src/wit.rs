//! Reading WIT: files, folders with their `deps/`, inline text; and choosing the world.

use crate::options::Options;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use wit_parser::{PackageId, Resolve, WorldId};

/// What inline text is called in messages.
const INLINE: &str = "inline.wit";

/// Packages, the chosen world, and the files they came from.
pub(crate) struct Wit {
    pub(crate) resolve: Resolve,
    pub(crate) world: WorldId,
    pub(crate) files: Vec<PathBuf>,
}

/// Reads what `options` name; relative paths start at `base`.
pub(crate) fn load(options: &Options, base: &Path) -> Result<Wit> {
    let mut resolve = Resolve {
        all_features: options.all_features,
        ..Resolve::default()
    };
    resolve.features.extend(options.features.iter().cloned());
    let default = [PathBuf::from("wit")];
    let paths = match (&options.paths[..], &options.inline, &options.interfaces) {
        ([], None, None) => &default[..],
        ([], None, Some(_)) if base.join("wit").exists() => &default[..],
        (paths, ..) => paths,
    };
    let mut main = None;
    let mut files = Vec::new();
    for path in paths {
        let path = base.join(path);
        let read = resolve.push_path(&path);
        let (package, sources) = read
            .map_err(|error| located(&resolve, error))
            .with_context(|| format!("reading WIT from {}", path.display()))?;
        files.extend(sources.paths().map(Path::to_path_buf));
        main = Some(package);
    }
    let inline = match (&options.inline, &options.interfaces) {
        (_, Some(items)) => Some(format!(
            "package helve:bindgen; world interfaces {{ {items} }}"
        )),
        (inline, None) => inline.clone(),
    };
    if let Some(text) = inline {
        let read = resolve.push_source(INLINE, &text);
        main = Some(
            read.map_err(|error| located(&resolve, error))
                .context("reading the inline WIT")?,
        );
    }
    let main = main.context("there is no WIT: name a path or write some inline")?;
    let world = match options.interfaces {
        Some(_) => Some("interfaces"),
        None => options.world.as_deref(),
    };
    let world = choose(&resolve, main, world).context("choosing the world (option `world`)")?;
    Ok(Wit {
        resolve,
        world,
        files,
    })
}

/// The world of this name, or the only one. A name may be a keyword of WIT.
fn choose(resolve: &Resolve, main: PackageId, name: Option<&str>) -> Result<WorldId> {
    let named = name.and_then(|name| resolve.packages[main].worlds.get(name));
    match named {
        Some(world) => Ok(*world),
        None => resolve.select_world(&[main], name),
    }
}

/// The error with the place in the text, where it has one.
fn located(resolve: &Resolve, error: anyhow::Error) -> anyhow::Error {
    let text = resolve.render_error(&error);
    anyhow::anyhow!("{text}")
}
