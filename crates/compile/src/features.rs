//! Which WebAssembly proposals a module may use.
//!
//! A wrapper, so that what Helve supports is said in one place: validation refuses the
//! rest, and translation never meets an instruction it does not know.

pub use wasmparser::WasmFeatures;

/// The proposals that validation lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Features(WasmFeatures);

impl Features {
    /// WebAssembly 1.0 and nothing more.
    pub const WASM1: Features = Features(WasmFeatures::MVP.union(WasmFeatures::MUTABLE_GLOBAL));

    /// WebAssembly 2.0 and nothing more.
    pub const WASM2: Features = Features(
        Features::WASM1
            .0
            .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
            .union(WasmFeatures::SIGN_EXTENSION)
            .union(WasmFeatures::REFERENCE_TYPES)
            .union(WasmFeatures::MULTI_VALUE)
            .union(WasmFeatures::BULK_MEMORY)
            .union(WasmFeatures::SIMD),
    );

    /// What modules may use unless the embedder says otherwise: WebAssembly 3.0 without
    /// garbage-collected types.
    pub const DEFAULT: Features = Features(
        Features::WASM2
            .0
            .union(WasmFeatures::MULTI_MEMORY)
            .union(WasmFeatures::TAIL_CALL)
            .union(WasmFeatures::EXTENDED_CONST)
            .union(WasmFeatures::EXCEPTIONS)
            .union(WasmFeatures::FUNCTION_REFERENCES)
            .union(WasmFeatures::MEMORY64)
            .union(WasmFeatures::RELAXED_SIMD),
    );

    /// Everything that this compiler translates.
    pub const SUPPORTED: Features = Features(
        Features::DEFAULT
            .0
            .union(WasmFeatures::WIDE_ARITHMETIC)
            .union(WasmFeatures::CUSTOM_PAGE_SIZES)
            .union(WasmFeatures::THREADS),
    );

    /// The features in `wanted` that this compiler translates.
    pub fn new(wanted: WasmFeatures) -> Features {
        Features(wanted.intersection(Features::SUPPORTED.0))
    }

    /// As `wasmparser` takes them, for all of a module but its function bodies.
    ///
    /// Groups of recursive types, and constants made of a module's own globals, are part of
    /// the proposal of garbage-collected types. So that proposal is on where function
    /// references are; types that need a collector are refused when they are read.
    pub fn as_wasmparser(self) -> WasmFeatures {
        let collector = self.0.contains(WasmFeatures::FUNCTION_REFERENCES);
        let more = if collector {
            WasmFeatures::GC
        } else {
            WasmFeatures::empty()
        };
        self.0.union(more)
    }

    /// As `wasmparser` takes them, without the collector's: what validation of function
    /// bodies goes by, so that no instruction on garbage-collected values gets by.
    pub fn proposals(self) -> WasmFeatures {
        self.0
    }
}

impl Default for Features {
    fn default() -> Features {
        Features::DEFAULT
    }
}
