//! Which features a component may use, one knob each.
//!
//! Why ours and not `wasmparser`'s bit set: that one's defaults follow its own users.
//! Here what the Component Model has released is on, and everything that its explainer
//! still gates is off until the embedder asks for it. Core WebAssembly's proposals are
//! the compiler's business: whoever decodes passes the set that the compiler takes.

use wasmparser::WasmFeatures;

/// What the validator knows and the spec that Helve follows does not have.
const LATER: WasmFeatures = WasmFeatures::CM_ACCESSORS
    .union(WasmFeatures::CM_FORWARD)
    .union(WasmFeatures::CM_GC);

macro_rules! features {
    ($($(#[$doc:meta])* $field:ident = $flag:ident, $default:literal;)*) => {
        /// What validation accepts beyond WASI 0.2's Component Model.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub struct Features {
            /// What core modules (and core types in components) may use. Component
            /// flags in it are ignored: the knobs below decide.
            pub core: WasmFeatures,
            $($(#[$doc])* pub $field: bool,)*
        }

        impl Default for Features {
            fn default() -> Features {
                Features { core: default_core(), $($field: $default,)* }
            }
        }

        impl Features {
            /// As `wasmparser` wants it.
            pub(crate) fn to_wasmparser(self) -> WasmFeatures {
                let mut features = self.core | WasmFeatures::COMPONENT_MODEL;
                $(features.set(WasmFeatures::$flag, self.$field);)*
                features.remove(LATER);
                features
            }

            /// The knob that turns a feature of `wasmparser`'s on, for messages.
            pub(crate) fn knob(missing: WasmFeatures) -> Option<&'static str> {
                $(if missing.intersects(WasmFeatures::$flag) {
                    return Some(stringify!($field));
                })*
                None
            }

            /// Everything that this version knows of, over these core features.
            pub fn all(core: WasmFeatures) -> Features {
                Features { core, $($field: true,)* }
            }
        }
    };
}

features! {
    /// Native concurrency: `async` functions, streams, futures (released).
    component_async = CM_ASYNC, true;
    /// The `map` type (released).
    map = CM_MAP, true;
    /// `implements` and `external-id` of imports and exports (released).
    implements = CM_IMPLEMENTS, true;
    /// Asynchronous options on more built-ins.
    more_async_builtins = CM_MORE_ASYNC_BUILTINS, false;
    /// `async` lifts without a callback.
    async_stackful = CM_ASYNC_STACKFUL, false;
    /// Threads of one component instance.
    threading = CM_THREADING, false;
    /// The `error-context` type.
    error_context = CM_ERROR_CONTEXT, false;
    /// Lists whose length is part of the type.
    fixed_length_lists = CM_FIXED_LENGTH_LISTS, false;
    /// Canonical interface names with version suffixes.
    canonical_names = CM_CANON_NAMES, false;
    /// Nested namespaces and packages in names.
    nested_names = CM_NESTED_NAMES, false;
    /// 64-bit memories in components.
    memory64 = CM64, false;
    /// Values and start functions. Validated; making a plan of it is refused.
    values = CM_VALUES, false;
}

/// WebAssembly 2.0, multiple memories, tail calls, extended constants.
fn default_core() -> WasmFeatures {
    WasmFeatures::WASM2
        | WasmFeatures::MULTI_MEMORY
        | WasmFeatures::TAIL_CALL
        | WasmFeatures::EXTENDED_CONST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gated_features_are_off_and_have_a_knob() {
        let off = Features::default().to_wasmparser();
        let on = Features::all(default_core()).to_wasmparser();
        for flag in (on - off).iter() {
            assert!(Features::knob(flag).is_some(), "{flag:?}");
        }
        assert!(off.cm_async() && !off.cm_threading() && on.cm_threading());
        assert_eq!(
            Features::knob(WasmFeatures::CM_THREADING),
            Some("threading")
        );
    }
}
