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
    one_twice = "one-twice" in "tests/worlds/worlds.wit";
    twice_and_itself = "twice-and-itself" in "tests/worlds/worlds.wit";
    exported_twice = "exported-twice" in "tests/worlds/worlds.wit";
    twice_everywhere = "twice-everywhere" in "tests/worlds/worlds.wit";
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
    wasi3_all = "all" in "../wasi/wit/p3";
    wasi3_command = "command" in "../wasi/wit/p3";
    wasi3_service = "service" in "../wasi/wit/p3";
    calls_import = "calls-import" in "tests/worlds/tasks.wit";
    calls_export = "calls-export" in "tests/worlds/tasks.wit";
    calls_both = "calls-both" in "tests/worlds/tasks.wit";
    streams_import = "streams-import" in "tests/worlds/tasks.wit";
    streams_export = "streams-export" in "tests/worlds/tasks.wit";
    types_import = "types-import" in "tests/worlds/tasks.wit";
    types_export = "types-export" in "tests/worlds/tasks.wit";
    elements_import = "elements-import" in "tests/worlds/streams.wit";
    elements_export = "elements-export" in "tests/worlds/streams.wit";
    handles_import = "handles-import" in "tests/worlds/streams.wit";
    handles_export = "handles-export" in "tests/worlds/streams.wit";
    streams_inside_import = "inside-import" in "tests/worlds/streams.wit";
    streams_inside_export = "inside-export" in "tests/worlds/streams.wit";
    users_import = "users-import" in "tests/worlds/streams.wit";
    users_export = "users-export" in "tests/worlds/streams.wit";
    users_export_all = "users-export-all" in "tests/worlds/streams.wit";
    failing_both = "failing-both" in "tests/worlds/streams.wit";
    waits_import = "waits-import" in "tests/worlds/streams.wit";
    waits_export = "waits-export" in "tests/worlds/streams.wit";
    waits_both = "waits-both" in "tests/worlds/streams.wit";
    streams_all = "streams-all" in "tests/worlds/streams.wit";
    own_streams = "own-streams" in "tests/worlds/streams.wit";
    transform = "transform" in "tests/worlds/streams.wit";
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

/// All of WASI 0.3 with what hosts of it ask for: errors and resources of their own, every
/// kind of function.
pub mod wasi3 {
    /// What a descriptor is.
    #[derive(Debug)]
    pub struct Descriptor;

    /// What a socket is.
    #[derive(Debug)]
    pub struct Socket;

    /// Errors of the host's own.
    #[derive(Debug)]
    pub struct SocketError(pub helve::Error);

    /// Errors of the host's own.
    #[derive(Debug)]
    pub struct FileError(pub helve::Error);

    helve::bindgen!({
        path: "../wasi/wit/p3",
        world: "all",
        with: {
            "wasi:filesystem/types.descriptor": Descriptor,
            "wasi:sockets/types.tcp-socket": Socket,
        },
        trappable_error_type: {
            "wasi:sockets/types/error-code" => SocketError,
            "wasi:filesystem/types/error-code" => FileError,
        },
        imports: {
            default: trappable,
            "wasi:sockets/types.*": store | trappable,
            "wasi:filesystem/types.*": async | store | trappable,
            "wasi:http/types.*": async | trappable,
            "wasi:clocks": ignore_wit,
        },
    });
}

/// Async in the WIT and beside it, on both sides, in every way.
pub mod waits {
    macro_rules! ways {
        ($($module:ident: { $($imports:tt)* }, { $($exports:tt)* };)*) => {$(
            /// One of them.
            pub mod $module {
                helve::bindgen!({
                    path: "tests/worlds/streams.wit",
                    inline: "package corpus:ways;
                        world ways {
                            import corpus:streams/waits@0.1.0;
                            import corpus:streams/inside@0.1.0;
                            import plain: func(a: string) -> result<u32, string>;
                            export corpus:streams/waits@0.1.0;
                            export corpus:streams/inside@0.1.0;
                            export run: func(a: string, b: list<u8>) -> string;
                        }",
                    imports: { $($imports)* },
                    exports: { $($exports)* },
                });
            }
        )*};
    }

    ways! {
        nothing: {}, {};
        ignored: { default: ignore_wit }, { default: ignore_wit };
        exclusive: { default: async }, { default: async };
        shared: { default: async | store }, { default: async | store };
        ignored_async: { default: async | ignore_wit }, { default: async | ignore_wit };
        trappable: { default: async | trappable }, { default: async };
        stored: { default: store | trappable }, { default: store };
        mixed: {
            "plain": async,
            "corpus:streams/waits.[method]job.run": async | ignore_wit | trappable,
            "corpus:streams/*.of-*": store,
        }, {
            "run": async | store,
            "corpus:streams/inside": async,
        };
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
    assert!(found >= 80, "{found} worlds");
}
