//! What the checks look at: every Rust file of the workspace, parsed, the manifests'
//! dependency edges, and the two documents that must keep up with them.
//!
//! Not here: the rules themselves (`tidy.rs`).

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A Rust source file.
pub struct SourceFile {
    /// Its path from the root, with `/`.
    pub path: String,
    pub text: String,
    pub syntax: syn::File,
}

impl SourceFile {
    /// The folder under `crates/`, or the first folder of the path.
    pub fn crate_folder(&self) -> &str {
        let mut parts = self.path.split('/');
        match parts.next() {
            Some("crates") => parts.next().unwrap_or(""),
            first => first.unwrap_or(""),
        }
    }

    /// Whether its free functions can be public: it is no part of a crate's inside.
    pub fn is_open(&self) -> bool {
        !self.path.starts_with("crates/helve/")
    }

    /// The text of the `//!` lines that open the file.
    pub fn head(&self) -> String {
        let lines = self.text.lines().take_while(|l| l.starts_with("//!"));
        lines
            .map(|l| l[3..].trim_start())
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// The workspace as the checks see it.
pub struct House {
    pub files: Vec<SourceFile>,
    /// Folder under `crates/` (or `xtask`) -> its direct dependencies, dev ones left out.
    pub dependencies: BTreeMap<String, Vec<String>>,
    pub architecture: String,
    pub rationale: String,
}

/// The workspace's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
        .to_path_buf()
}

impl House {
    pub fn read(root: &Path) -> Result<House> {
        let mut files = Vec::new();
        let mut dependencies = BTreeMap::new();
        for top in ["crates", "xtask", "tests", "examples"] {
            rust_files(root, &root.join(top), &mut files)?;
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        for entry in std::fs::read_dir(root.join("crates"))? {
            let folder = entry?.path();
            let name = folder
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            dependencies.insert(name, manifest_dependencies(&folder.join("Cargo.toml"))?);
        }
        dependencies.insert(
            "xtask".into(),
            manifest_dependencies(&root.join("xtask/Cargo.toml"))?,
        );
        let document = |name: &str| {
            std::fs::read_to_string(root.join(name)).with_context(|| format!("reading {name}"))
        };
        Ok(House {
            files,
            dependencies,
            architecture: document("ARCHITECTURE.md")?,
            rationale: document("RATIONALE.md")?,
        })
    }
}

fn rust_files(root: &Path, folder: &Path, into: &mut Vec<SourceFile>) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|n| n != "target") {
                rust_files(root, &path, into)?;
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path)?;
            let syntax =
                syn::parse_file(&text).with_context(|| format!("parsing {}", path.display()))?;
            let path = path
                .strip_prefix(root)?
                .to_string_lossy()
                .replace('\\', "/");
            into.push(SourceFile { path, text, syntax });
        }
    }
    Ok(())
}

fn manifest_dependencies(path: &Path) -> Result<Vec<String>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let manifest: toml::Table = text
        .parse()
        .with_context(|| format!("parsing {}", path.display()))?;
    let mut names = Vec::new();
    let mut add = |table: Option<&toml::Value>| {
        if let Some(toml::Value::Table(t)) = table {
            names.extend(t.keys().cloned());
        }
    };
    add(manifest.get("dependencies"));
    add(manifest.get("build-dependencies"));
    if let Some(toml::Value::Table(targets)) = manifest.get("target") {
        for target in targets.values() {
            add(target.get("dependencies"));
        }
    }
    Ok(names)
}
