//! Bindings for a corpus of worlds that has every construct of WIT: they compile, without a
//! warning, and every world in `worlds/` is here.
//!
//! Not here: what the bindings do (`bindings`).

#![deny(warnings, missing_docs)]

macro_rules! worlds {
    ($($module:ident = $world:literal in $path:literal;)*) => {
        $(
            #[doc = concat!("The world `", $world, "` of `", $path, "`.")]
            pub mod $module {
                ::helve::bindgen!($world in $path);
            }
        )*

        /// The worlds above, with their files.
        const WORLDS: &[(&str, &str)] = &[$(($world, $path)),*];
    };
}

worlds! {
    numbers = "numbers-world" in "tests/worlds/values.wit";
    strings = "strings-world" in "tests/worlds/values.wit";
    lists = "lists-world" in "tests/worlds/values.wit";
    fixed_lists = "fixed-lists-world" in "tests/worlds/values.wit";
    maps = "maps-world" in "tests/worlds/values.wit";
    records = "records-world" in "tests/worlds/values.wit";
    variants = "variants-world" in "tests/worlds/values.wit";
    enums = "enums-world" in "tests/worlds/values.wit";
    flags = "flags-world" in "tests/worlds/values.wit";
    choices = "choices-world" in "tests/worlds/values.wit";
    errors = "errors-world" in "tests/worlds/values.wit";
    tuples = "tuples-world" in "tests/worlds/values.wit";
    many = "many-world" in "tests/worlds/values.wit";
    contexts = "contexts-world" in "tests/worlds/values.wit";
    all_imports = "all-imports" in "tests/worlds/values.wit";
    all_exports = "all-exports" in "tests/worlds/values.wit";
    nothing = "nothing" in "tests/worlds/worlds.wit";
    empty_import = "empty-import" in "tests/worlds/worlds.wit";
    empty_export = "empty-export" in "tests/worlds/worlds.wit";
    types_only = "types-only" in "tests/worlds/worlds.wit";
    function_import = "function-import" in "tests/worlds/worlds.wit";
    function_export = "function-export" in "tests/worlds/worlds.wit";
    function_both = "function-both" in "tests/worlds/worlds.wit";
    own_types = "own-types" in "tests/worlds/worlds.wit";
    own_resource = "own-resource" in "tests/worlds/worlds.wit";
    named_interfaces = "named-interfaces" in "tests/worlds/worlds.wit";
    uses = "uses" in "tests/worlds/worlds.wit";
    chain_import = "chain-import" in "tests/worlds/worlds.wit";
    chain_export = "chain-export" in "tests/worlds/worlds.wit";
    chain_both = "chain-both" in "tests/worlds/worlds.wit";
    export_uses_import = "export-uses-import" in "tests/worlds/worlds.wit";
    export_all = "export-all" in "tests/worlds/worlds.wit";
    included = "included" in "tests/worlds/worlds.wit";
    included_with = "included-with" in "tests/worlds/worlds.wit";
    shared_name = "shared-name" in "tests/worlds/worlds.wit";
    simple_import = "simple-import" in "tests/worlds/resources.wit";
    simple_export = "simple-export" in "tests/worlds/resources.wit";
    simple_both = "simple-both" in "tests/worlds/resources.wit";
    fallible = "fallible-both" in "tests/worlds/resources.wit";
    no_methods = "no-methods-both" in "tests/worlds/resources.wit";
    graph = "graph-both" in "tests/worlds/resources.wit";
    inside_import = "inside-import" in "tests/worlds/resources.wit";
    inside_export = "inside-export" in "tests/worlds/resources.wit";
    odd = "odd-both" in "tests/worlds/resources.wit";
    alias_import = "alias-import" in "tests/worlds/resources.wit";
    alias_export = "alias-export" in "tests/worlds/resources.wit";
    user_import = "user-import" in "tests/worlds/resources.wit";
    user_export = "user-export" in "tests/worlds/resources.wit";
    user_export_all = "user-export-all" in "tests/worlds/resources.wit";
    keywords = "keywords-both" in "tests/worlds/names.wit";
    prelude = "prelude-both" in "tests/worlds/names.wit";
    roots = "roots-both" in "tests/worlds/names.wit";
    generics = "generics-both" in "tests/worlds/names.wit";
    traits = "traits-both" in "tests/worlds/names.wit";
    parameters = "parameters-both" in "tests/worlds/names.wit";
    cases = "cases-both" in "tests/worlds/names.wit";
    documented = "documented-both" in "tests/worlds/names.wit";
    keyword_world = "async" in "tests/worlds/names.wit";
    clash = "clash" in "tests/worlds/names.wit";
    two_versions = "two-versions" in "tests/worlds/versions";
    one_version = "one-version" in "tests/worlds/versions";
    other_package = "other-package" in "tests/worlds/versions";
    gates = "gates" in "tests/worlds/versions";
    nested = "nested" in "tests/worlds/nested.wit";
    through = "through" in "tests/worlds/nested.wit";
    accessors = "accessors" in "tests/worlds/accessors.wit";
    wasi_all = "all" in "../wasi/wit/p2";
    wasi_command = "command" in "../wasi/wit/p2";
    wasi_proxy = "proxy" in "../wasi/wit/p2";
    calls_import = "calls-import" in "tests/worlds/tasks.wit";
    calls_export = "calls-export" in "tests/worlds/tasks.wit";
    calls_both = "calls-both" in "tests/worlds/tasks.wit";
}

/// The same world with every option, twice in one crate.
pub mod options {
    /// Another crate's part of the bindings.
    pub mod elsewhere {
        helve::bindgen!({
            path: "tests/worlds/worlds.wit",
            interfaces: "import corpus:worlds/base;",
            additional_derives: [PartialEq],
        });
    }

    /// What a resource is.
    #[derive(Debug)]
    pub struct Thing;

    /// A value type of the host's own.
    #[derive(
        Clone,
        Debug,
        helve::component::ComponentType,
        helve::component::Lift,
        helve::component::Lower,
    )]
    pub struct Point {
        /// Across.
        pub x: f64,
        /// Up.
        pub y: f64,
    }

    /// An error of the host's own.
    #[derive(Debug)]
    pub struct Failure(pub helve::Error);

    helve::bindgen!({
        path: "tests/worlds/worlds.wit",
        world: "chain-both",
        with: { "corpus:worlds/base": elsewhere::corpus::worlds::base },
        additional_derives: [PartialEq],
        imports: { default: trappable, "corpus:worlds/t*.show": store },
    });

    /// With a resource, a value type and an error of the host's.
    pub mod more {
        helve::bindgen!({
            path: "tests/worlds/values.wit",
            inline: "package corpus:more;
                world more {
                    import corpus:values/records@1.2.3;
                    import corpus:values/errors@1.2.3;
                    import mine: interface { resource thing { get: func() -> u8; } }
                    export corpus:values/records@1.2.3;
                }",
            with: {
                "corpus:values/records.point": super::Point,
                "mine.thing": super::Thing,
            },
            trappable_error_type: { "corpus:values/errors/problem" => super::Failure },
            imports: { "mine.[method]thing.get": store | trappable, "corpus:values/errors.d": skip },
        });
    }
}

/// Every world in the folder stands in the list.
#[test]
fn no_world_is_left_out() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/worlds");
    let mut found = 0;
    for file in std::fs::read_dir(folder).expect("the folder") {
        let path = file.expect("an entry").path();
        let path = if path.is_dir() {
            path.join("root.wit")
        } else {
            path
        };
        if path.ends_with("echo.wit") {
            continue; // in `echo`
        }
        let text = std::fs::read_to_string(&path).expect("a file");
        for line in text.lines() {
            let Some(rest) = line.trim_start().strip_prefix("world ") else {
                continue;
            };
            let name = rest.split([' ', '{']).next().unwrap_or_default();
            let name = name.trim_start_matches('%');
            if name.starts_with("streams-")
                || name.starts_with("types-") && path.ends_with("tasks.wit")
            {
                continue; // worlds with streams: not compiled by any test yet
            }
            if name == "included" && path.ends_with("nested.wit") {
                continue; // part of `through`
            }
            assert!(
                WORLDS.iter().any(|(world, file)| {
                    let file = file.trim_start_matches("tests/worlds/");
                    *world == name && path.to_string_lossy().contains(file)
                }),
                "{name} of {}",
                path.display()
            );
            found += 1;
        }
    }
    assert!(found >= 60, "{found} worlds");
}
