//! Names of imports and exports: their forms, and which version serves which.
//!
//! ```text
//!  plain:      label   [constructor]r   [method]r.m   [static]r.m   (and [async ..])
//!  interface:  ns:pkg/iface   ns:pkg/iface@1.2.3   ns:pkg/iface@0.2
//!  dependency: url=<..>  integrity=<..>  locked-dep=<..>  unlocked-dep=<..>
//! ```
//!
//! Two versions of an interface serve each other if they are on the same [`Track`]: the
//! major version, or where that is 0 the minor one, or where that is 0 too the patch. A
//! pre-release is on a track of its own. Which functions are really there is then for
//! type checking to say. [`NameMap`] is a map with that rule built in.

use semver::Version;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// The name of an import or export, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExternName<'a> {
    /// A name that says nothing about where its meaning is defined.
    Plain(PlainName<'a>),
    /// The name of an interface of a package.
    Interface(InterfaceName<'a>),
    /// What another component is found by.
    Dependency(Dependency<'a>),
}

/// A plain name: `label`, or an annotated function of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainName<'a> {
    /// What the function is to its resource.
    pub role: Role<'a>,
    /// The label; of a constructor, the resource's.
    pub label: &'a str,
    /// Whether the annotation says `async`.
    pub is_async: bool,
}

/// What a named function is to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role<'a> {
    /// Nothing; or not a function.
    Free,
    /// `[constructor]r`.
    Constructor,
    /// `[method]r.m` of resource `r`.
    Method(&'a str),
    /// `[static]r.m` of resource `r`.
    Static(&'a str),
}

/// `namespace:package/interface@version`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceName<'a> {
    /// All before the version: `wasi:io/streams`.
    pub base: &'a str,
    /// `wasi`; nested ones with their colons.
    pub namespace: &'a str,
    /// `io`.
    pub package: &'a str,
    /// `streams`; nested ones with their slashes.
    pub interface: &'a str,
    /// The text of the version, without `@`.
    pub version: Option<&'a str>,
    /// Which versions it serves.
    pub track: Option<Track>,
}

/// How a dependency is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependency<'a> {
    /// `url=<..>`, perhaps with an integrity.
    Url(&'a str, Option<&'a str>),
    /// `integrity=<..>`: a hash.
    Hash(&'a str),
    /// `locked-dep=<..>`, perhaps with an integrity.
    Locked(&'a str, Option<&'a str>),
    /// `unlocked-dep=<..>`.
    Unlocked(&'a str),
}

/// The versions that serve each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Track {
    /// `1.2.3` is on track `1`.
    Major(u64),
    /// `0.2.6` is on track `0.2`.
    Minor(u64),
    /// `0.0.3` is on track `0.0.3`.
    Patch(u64),
    /// A pre-release serves only itself.
    Exactly(Version),
}

impl Track {
    /// The track of a version: `1.2.3` or, as canonical names write it, the track itself
    /// (`1`, `0.2`, `0.0.3`).
    pub fn parse(version: &str) -> Option<Track> {
        if let Ok(version) = Version::parse(version) {
            return Some(Track::of(&version));
        }
        let number = |text: &str| match text.as_bytes() {
            [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit) => {
                text.parse::<u64>().ok()
            }
            _ => None,
        };
        match version.strip_prefix("0.") {
            Some(minor) => number(minor).map(Track::Minor),
            None => number(version).map(Track::Major),
        }
    }

    /// The track of a version.
    pub fn of(version: &Version) -> Track {
        match (version.major, version.minor) {
            _ if !version.pre.is_empty() => Track::Exactly(version.clone()),
            (0, 0) => Track::Patch(version.patch),
            (0, minor) => Track::Minor(minor),
            (major, _) => Track::Major(major),
        }
    }
}

impl fmt::Display for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Track::Major(major) => write!(f, "{major}"),
            Track::Minor(minor) => write!(f, "0.{minor}"),
            Track::Patch(patch) => write!(f, "0.0.{patch}"),
            Track::Exactly(version) => write!(f, "{version}"),
        }
    }
}

/// Why a text is no name of an import or export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameError {
    name: String,
    what: &'static str,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not a valid name: {}",
            self.name.escape_debug(),
            self.what
        )
    }
}

impl std::error::Error for NameError {}

/// Whether `text` is a label in kebab case: words of lower-case letters or acronyms of
/// upper-case ones, digits in both, joined by single hyphens, starting with a letter.
pub fn is_label(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.split('-').all(is_fragment)
}

fn is_fragment(text: &str) -> bool {
    let lower = text
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let upper = text
        .bytes()
        .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    !text.is_empty() && (lower || upper)
}

/// A label without acronyms, as namespaces and packages are named.
fn is_words(text: &str) -> bool {
    is_label(text) && !text.bytes().any(|b| b.is_ascii_uppercase())
}

/// Whether two names of one scope conflict: equal without regard to case, and without
/// annotations but `[constructor]`; a member that is called as its resource counts as the
/// resource. The spec says the opposite: whether they are *strongly unique*.
pub fn strongly_equal(a: &str, b: &str) -> bool {
    canonical(a) == canonical(b)
}

fn canonical(name: &str) -> String {
    let (name, version) = name.split_at(name.find('@').unwrap_or(name.len()));
    let name = name.to_ascii_lowercase() + version;
    let Some((annotation, rest)) = name.split_once(']') else {
        return name;
    };
    match rest.split_once('.') {
        Some((resource, member)) if resource == member => resource.into(),
        _ if annotation == "[constructor" => name,
        _ => rest.into(),
    }
}

/// Whether this is a version as Semantic Versioning 2.0 has it.
pub fn is_semver(version: &str) -> bool {
    Version::parse(version).is_ok()
}

/// That the version in an interface's name is one: semantic, or a canonical version, which
/// a suffix makes a semantic one.
pub fn check_version(version: &str, suffix: Option<&str>) -> Result<(), String> {
    let semver = |version: &str| match Version::parse(version) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("`{version}` is no semantic version: {error}")),
    };
    match suffix {
        None if is_canonical_version(version) => Ok(()),
        None => semver(version),
        Some(_) if !is_canonical_version(version) => {
            Err("only a canonical version can have a suffix".into())
        }
        Some(suffix) => semver(&format!("{version}{suffix}")),
    }
}

/// `1`, `0.2`, `0.0.3` or `0.0.0`: the part of a version that says what it is compatible
/// with.
pub fn is_canonical_version(version: &str) -> bool {
    let number = |text: &str| {
        text.starts_with(|c: char| matches!(c, '1'..='9'))
            && text.bytes().all(|b| b.is_ascii_digit())
    };
    let patch = version.strip_prefix("0.0.");
    match version.strip_prefix("0.") {
        Some(minor) => number(minor) || patch.is_some_and(|p| p == "0" || number(p)),
        None => number(version),
    }
}

impl<'a> ExternName<'a> {
    /// Takes a name apart.
    pub fn parse(name: &'a str) -> Result<ExternName<'a>, NameError> {
        let parsed = if name.starts_with('[') {
            plain(name).map(ExternName::Plain)
        } else if name.contains("=<") {
            dependency(name).map(ExternName::Dependency)
        } else if name.contains(':') {
            interface(name).map(ExternName::Interface)
        } else {
            label(name)
                .map(|label| PlainName {
                    role: Role::Free,
                    label,
                    is_async: false,
                })
                .map(ExternName::Plain)
        };
        parsed.map_err(|what| NameError {
            name: name.into(),
            what,
        })
    }
}

fn label(text: &str) -> Result<&str, &'static str> {
    if is_label(text) {
        Ok(text)
    } else {
        Err("it is not in kebab case")
    }
}

fn plain(name: &str) -> Result<PlainName<'_>, &'static str> {
    let (annotation, rest) = name[1..].split_once(']').ok_or("`[` without `]`")?;
    let (is_async, role) = match annotation.strip_prefix("async") {
        Some(role) => (true, role.trim_start()),
        None => (false, annotation),
    };
    let member = || -> Result<_, &'static str> {
        let (resource, member) = rest
            .split_once('.')
            .ok_or("it needs a resource, a dot and a function")?;
        Ok((label(resource)?, label(member)?))
    };
    let (role, label) = match role {
        "" if is_async => (Role::Free, label(rest)?),
        "constructor" if !is_async => (Role::Constructor, label(rest)?),
        "method" => member().map(|(resource, label)| (Role::Method(resource), label))?,
        "static" => member().map(|(resource, label)| (Role::Static(resource), label))?,
        _ => return Err("the annotation is unknown"),
    };
    Ok(PlainName {
        role,
        label,
        is_async,
    })
}

fn interface(name: &str) -> Result<InterfaceName<'_>, &'static str> {
    let (base, version) = match name.split_once('@') {
        Some((base, version)) => (base, Some(version)),
        None => (name, None),
    };
    let (path, interface) = base
        .split_once('/')
        .ok_or("it names no interface after a `/`")?;
    let (namespace, package) = path.rsplit_once(':').ok_or("it names no namespace")?;
    if !namespace.split(':').all(is_words) || !is_words(package) {
        return Err("namespace and package must be in lower kebab case");
    }
    if !interface.split('/').all(is_label) {
        return Err("the interface is not in kebab case");
    }
    let track = match version {
        None => None,
        Some(version) => Some(Track::parse(version).ok_or("the version is not a semantic one")?),
    };
    Ok(InterfaceName {
        base,
        namespace,
        package,
        interface,
        version,
        track,
    })
}

fn dependency(name: &str) -> Result<Dependency<'_>, &'static str> {
    let bracketed = |text: &'_ str, key: &str| -> Option<(usize, usize)> {
        let start = key.len() + 2;
        let inner = text.strip_prefix(key)?.strip_prefix("=<")?;
        // A version range in braces may hold `>` itself.
        let skip = inner.find('}').unwrap_or(0);
        Some((start, start + skip + inner[skip..].find('>')?))
    };
    let part = |key: &str| -> Result<(&str, Option<&str>), &'static str> {
        let (start, end) = bracketed(name, key).ok_or("`<` without `>`")?;
        let rest = &name[end + 1..];
        if rest.is_empty() {
            return Ok((&name[start..end], None));
        }
        let rest = rest
            .strip_prefix(',')
            .ok_or("there is something after `>`")?;
        let (start2, end2) = bracketed(rest, "integrity").ok_or("no integrity after the comma")?;
        if end2 + 1 != rest.len() {
            return Err("there is something after `>`");
        }
        Ok((&name[start..end], Some(&rest[start2..end2])))
    };
    let alone = |key: &str| match part(key)? {
        (text, None) => Ok(text),
        _ => Err("there is something after `>`"),
    };
    match name.split_once('=').map(|(key, _)| key) {
        Some("url") => part("url").map(|(url, hash)| Dependency::Url(url, hash)),
        Some("locked-dep") => part("locked-dep").map(|(dep, hash)| Dependency::Locked(dep, hash)),
        Some("unlocked-dep") => alone("unlocked-dep").map(Dependency::Unlocked),
        Some("integrity") => alone("integrity").map(Dependency::Hash),
        _ => Err("the kind of dependency is unknown"),
    }
}

/// A map from names to values in which any version of an interface finds another one of
/// its track: `a:b/c@0.2.10` is served by `a:b/c@0.2.12` and the other way round.
///
/// An exact match wins; else the newest version of the track. Names that are not
/// interfaces with a version match exactly or not at all.
#[derive(Clone, Debug)]
pub struct NameMap<V> {
    values: HashMap<Box<str>, V>,
    /// Base and track to the versions there are.
    tracks: HashMap<(Box<str>, Track), Versions>,
}

/// Version to name, newest last; `None` for a name that has just the track.
type Versions = BTreeMap<Option<Version>, Box<str>>;

impl<V> Default for NameMap<V> {
    fn default() -> NameMap<V> {
        NameMap {
            values: HashMap::new(),
            tracks: HashMap::new(),
        }
    }
}

impl<V> NameMap<V> {
    /// An empty map.
    pub fn new() -> NameMap<V> {
        NameMap::default()
    }

    /// Sets what exactly this name stands for, and returns what it stood for before.
    pub fn insert(&mut self, name: &str, value: V) -> Option<V> {
        if let Some((base, version, track)) = versioned(name) {
            let newest = self.tracks.entry((base.into(), track)).or_default();
            newest.insert(version, name.into());
        }
        self.values.insert(name.into(), value)
    }

    /// What exactly this name stands for.
    pub fn get_exact(&self, name: &str) -> Option<&V> {
        self.values.get(name)
    }

    /// What exactly this name stands for.
    pub fn get_exact_mut(&mut self, name: &str) -> Option<&mut V> {
        self.values.get_mut(name)
    }

    /// What serves this name.
    pub fn get(&self, name: &str) -> Option<&V> {
        self.resolve(name).and_then(|name| self.values.get(name))
    }

    /// The name in the map that serves this one: itself or another version.
    pub fn resolve(&self, name: &str) -> Option<&str> {
        if let Some((name, _)) = self.values.get_key_value(name) {
            return Some(name);
        }
        let (base, _, track) = versioned(name)?;
        let versions = self.tracks.get(&(base.into(), track))?;
        versions.last_key_value().map(|(_, name)| &**name)
    }

    /// The names in the map with their values, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.values.iter().map(|(name, value)| (&**name, value))
    }

    /// Names in the map that are other, incompatible versions of this interface, oldest
    /// first: for messages.
    pub fn other_versions(&self, name: &str) -> Vec<&str> {
        let base = name.split_once('@').map_or(name, |(base, _)| base);
        let same = |other: &&str| other.split_once('@').map_or(*other, |(base, _)| base) == base;
        let mut names: Vec<&str> = self
            .values
            .keys()
            .map(|name| &**name)
            .filter(same)
            .filter(|o| *o != name)
            .collect();
        names.sort_unstable();
        names
    }
}

/// Base, version (unless it is just a track) and track of a versioned interface name.
fn versioned(name: &str) -> Option<(&str, Option<Version>, Track)> {
    let (base, version) = name.split_once('@')?;
    if !base.contains(':') {
        return None;
    }
    Some((base, Version::parse(version).ok(), Track::parse(version)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        for good in [
            "a",
            "a-b-c",
            "a1-2-3",
            "A",
            "A-B-C",
            "A1-2-3",
            "m1x3d-4CR0NYMS",
            "is-XML",
        ] {
            assert!(is_label(good), "{good}");
        }
        for bad in [
            "", "1", "-", "a-", "-a", "a--b", "aB", "a_b", "a.b", "1-2-3", "ä",
        ] {
            assert!(!is_label(bad), "{bad}");
        }
    }

    #[test]
    fn names_that_conflict() {
        // The spec's own examples.
        let unique = [
            "foo",
            "foo-bar",
            "[constructor]foo",
            "[method]foo.bar",
            "[static]foo.baz",
            "foo:bar/baz",
        ];
        for (i, a) in unique.iter().enumerate() {
            for (j, b) in unique.iter().enumerate() {
                assert_eq!(strongly_equal(a, b), i == j, "{a} {b}");
            }
        }
        for conflicting in [
            "FOO",
            "foo-BAR",
            "[constructor]FOO",
            "[method]foo.BAR",
            "[static]foo.bar",
            "[method]foo.baz",
            "[method]foo.foo",
            "[static]foo-BAR.FOO-bar",
            "foo:bar/BAZ",
        ] {
            let found = unique.iter().any(|name| strongly_equal(name, conflicting));
            assert!(found, "{conflicting}");
        }
        assert!(!strongly_equal("a1", "a-1"));
        assert!(!strongly_equal("a:b/c@1.0.0-A", "a:b/c@1.0.0-a"));
    }

    #[test]
    fn canonical_versions() {
        for good in ["1", "10", "0.2", "0.10", "0.0.0", "0.0.3"] {
            assert!(is_canonical_version(good), "{good}");
            assert_eq!(check_version(good, None), Ok(()));
        }
        for bad in [
            "", "0", "0.0", "01", "0.02", "0.0.03", "1.2", "1.2.3", "a", "0.2.1",
        ] {
            assert!(!is_canonical_version(bad), "{bad}");
        }
        // (version, suffix, whether they fit)
        for (version, suffix, fits) in [
            ("1", ".2.3", true),
            ("0.2", ".6-rc.1", true),
            ("0.0.1", "-alpha", true),
            ("0.0.1", "", true),
            ("1", "", false),
            ("1.2.3", "", false),
            ("0.2", ".x", false),
            ("1", ".2", false),
        ] {
            let found = check_version(version, Some(suffix)).is_ok();
            assert_eq!(found, fits, "{version} {suffix}");
        }
    }

    #[test]
    fn plain_names() {
        let cases: &[(&str, Role<'_>, &str, bool)] = &[
            ("get-JSON", Role::Free, "get-JSON", false),
            ("[constructor]thing", Role::Constructor, "thing", false),
            ("[method]a-b.c-d", Role::Method("a-b"), "c-d", false),
            ("[static]a.b", Role::Static("a"), "b", false),
            ("[async]run", Role::Free, "run", true),
            ("[async method]a.b", Role::Method("a"), "b", true),
            ("[async static]a.b", Role::Static("a"), "b", true),
        ];
        for &(text, role, label, is_async) in cases {
            let want = ExternName::Plain(PlainName {
                role,
                label,
                is_async,
            });
            assert_eq!(ExternName::parse(text), Ok(want), "{text}");
        }
        for bad in [
            "",
            "a b",
            "[method]a",
            "[method]a.",
            "[what]a",
            "[constructor]a.b",
            "[method",
            "[]a",
            "[async constructor]a",
            "a@1.0.0",
        ] {
            assert!(ExternName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn interface_names() {
        let Ok(ExternName::Interface(name)) = ExternName::parse("wasi:io/streams@0.2.10") else {
            panic!()
        };
        assert_eq!((name.base, name.namespace), ("wasi:io/streams", "wasi"));
        assert_eq!(
            (name.package, name.interface, name.version),
            ("io", "streams", Some("0.2.10"))
        );
        assert_eq!(name.track, Some(Track::Minor(2)));
        for good in [
            "a:b/c",
            "a:b:c/d/e@1.0.0-rc.1+x",
            "a:b/C-D@0.2",
            "a:b/c@7",
            "a1:b-2/c@0.0.0",
        ] {
            assert!(
                matches!(ExternName::parse(good), Ok(ExternName::Interface(_))),
                "{good}"
            );
        }
        for bad in [
            "a:b",
            "A:b/c",
            "a:b/",
            "a:/c",
            ":b/c",
            "a:b/c@",
            "a:b/c@1.2",
            "a:b/c@01",
            "a:b/c@x",
        ] {
            assert!(ExternName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn dependency_names() {
        let cases: &[(&str, Dependency<'_>)] = &[
            (
                "url=<https://a.b/c>",
                Dependency::Url("https://a.b/c", None),
            ),
            (
                "url=<x>,integrity=<sha256-y>",
                Dependency::Url("x", Some("sha256-y")),
            ),
            ("integrity=<sha256-y>", Dependency::Hash("sha256-y")),
            (
                "locked-dep=<a:b@1.2.3>",
                Dependency::Locked("a:b@1.2.3", None),
            ),
            (
                "locked-dep=<a:b>,integrity=<h>",
                Dependency::Locked("a:b", Some("h")),
            ),
            (
                "unlocked-dep=<a:b@{>=1.0.0 <2.0.0}>",
                Dependency::Unlocked("a:b@{>=1.0.0 <2.0.0}"),
            ),
        ];
        for (text, want) in cases {
            assert_eq!(
                ExternName::parse(text),
                Ok(ExternName::Dependency(*want)),
                "{text}"
            );
        }
        for bad in [
            "url=<x",
            "url=<x>y",
            "url=<x>,hash=<y>",
            "integrity=<x>,integrity=<y>",
            "x=<y>",
        ] {
            assert!(ExternName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tracks() {
        let cases: &[(&str, Option<&str>)] = &[
            ("1.2.3", Some("1")),
            ("1", Some("1")),
            ("0.2.12", Some("0.2")),
            ("0.2", Some("0.2")),
            ("0.0.3", Some("0.0.3")),
            ("0.0.0", Some("0.0.0")),
            ("10.0.0+build", Some("10")),
            ("0.3.0-rc.1", Some("0.3.0-rc.1")),
            ("0", None),
            ("0.0", None),
            ("1.2", None),
            ("01", None),
            ("", None),
            ("99999999999999999999", None),
        ];
        for (version, want) in cases {
            assert_eq!(
                Track::parse(version).map(|t| t.to_string()).as_deref(),
                *want,
                "{version}"
            );
        }
    }

    #[test]
    fn versions_find_each_other() {
        let mut map = NameMap::new();
        for name in [
            "a:b/c@0.2.3",
            "a:b/c@0.2.12",
            "a:b/c@0.2.9",
            "a:b/c@0.3.0-rc.1",
            "a:b/c@0.3.0",
            "a:b/c@1.5.0",
            "a:b/d",
            "plain",
            "a:b/c@0.0.1",
        ] {
            assert_eq!(map.insert(name, name), None);
        }
        let cases: &[(&str, Option<&str>)] = &[
            ("a:b/c@0.2.3", Some("a:b/c@0.2.3")),
            ("a:b/c@0.2.10", Some("a:b/c@0.2.12")),
            ("a:b/c@0.2.99", Some("a:b/c@0.2.12")),
            ("a:b/c@0.2", Some("a:b/c@0.2.12")),
            ("a:b/c@0.3.1", Some("a:b/c@0.3.0")),
            ("a:b/c@0.3.0-rc.1", Some("a:b/c@0.3.0-rc.1")),
            ("a:b/c@0.3.0-rc.2", None),
            ("a:b/c@1.0.0", Some("a:b/c@1.5.0")),
            ("a:b/c@2.0.0", None),
            ("a:b/c@0.0.2", None),
            ("a:b/c", None),
            ("a:b/d", Some("a:b/d")),
            ("a:b/d@1.0.0", None),
            ("plain", Some("plain")),
            ("other", None),
        ];
        for (name, want) in cases {
            assert_eq!(map.get(name).copied(), *want, "{name}");
            assert_eq!(map.resolve(name), *want, "{name}");
        }
        assert_eq!(map.insert("plain", "new"), Some("plain"));
        assert_eq!(map.get_exact("a:b/c@0.2.10"), None);
        assert_eq!(map.other_versions("a:b/d@1.0.0"), ["a:b/d"]);
    }
}
