//! What an embedder decides before the first module is compiled.
//!
//! Why a builder: an [`Engine`](crate::Engine) is shared by threads and never changes.
//! Not here: what is decided per store (`Store::limiter`).

use crate::core::allocation::InstanceAllocationStrategy;
use helve_base::limits::Limits;
use helve_compile::Features;
use helve_compile::features::WasmFeatures;
use helve_model::Readings;
use std::path::PathBuf;
use std::time::Duration;

/// How hard the compiler tries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OptLevel {
    /// Compile fast.
    None,
    /// Make fast code.
    #[default]
    Speed,
}

/// When functions are compiled. Guests behave the same either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CompileMode {
    /// All of them, when the module is made, by the optimising compiler.
    #[default]
    Ahead,
    /// Each when it is first called, fast; hot ones are optimised while the guest runs.
    Lazy,
}

/// How a store's event loop makes the choices that the Component Model leaves open: which
/// of several threads runs, which event comes first, which host future is polled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Schedule {
    /// First come, first served.
    #[default]
    InOrder,
    /// By a generator that starts with this number, on a virtual clock
    /// ([`Accessor::sleep`](crate::component::Accessor::sleep)): the same number makes the
    /// same choices again. Fair: whoever can run does so after a bounded number of turns.
    Seed(u64),
}

/// How profilers learn what compiled functions are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProfilingStrategy {
    /// They don't.
    #[default]
    None,
    /// A file `/tmp/perf-PID.map`, for `perf report`.
    PerfMap,
    /// A file `jit-PID.dump` in the current folder, for `perf record -k 1` and
    /// `perf inject --jit`: instructions too.
    JitDump,
}

/// Settings of an [`Engine`](crate::Engine). The defaults suit guests that nobody trusts.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) optimize: OptLevel,
    pub(crate) verifier: bool,
    pub(crate) compile: CompileMode,
    /// Where lazily compiled functions are kept, and how many bytes of them.
    pub(crate) cache: Option<(PathBuf, u64)>,
    pub(crate) allocation: InstanceAllocationStrategy,
    /// Whether instances share the first contents of their memories.
    pub(crate) images: bool,
    pub(crate) limits: Limits,
    pub(crate) features: Features,
    /// What components may use beside what is on by default; its `core` is not looked at.
    pub(crate) component: helve_decode::Features,
    /// Whether compiled code counts fuel, and looks at epochs.
    pub(crate) consume_fuel: bool,
    pub(crate) epoch_interruption: bool,
    /// Whether numbers come out the same on all machines.
    pub(crate) deterministic_simd: bool,
    pub(crate) canonical_nans: bool,
    /// Calls between components by way of the host.
    pub(crate) slow_calls: bool,
    /// Built-ins of resources by way of the host.
    pub(crate) slow_handles: bool,
    pub(crate) handle_history: usize,
    pub(crate) trace_calls: bool,
    pub(crate) meter_instances: bool,
    pub(crate) readings: Readings,
    pub(crate) schedule: Schedule,
    /// CPU time that lazily compiled guests use before functions are compiled again.
    pub(crate) background_after: Duration,
    /// Loops of quick code are left at their first turn.
    pub(crate) eager_loops: bool,
    /// What perf is told.
    pub(crate) profiler: ProfilingStrategy,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            optimize: OptLevel::default(),
            verifier: false,
            compile: CompileMode::default(),
            cache: None,
            allocation: InstanceAllocationStrategy::default(),
            images: true,
            limits: Limits::default(),
            features: Features::default(),
            component: Default::default(),
            consume_fuel: false,
            epoch_interruption: false,
            deterministic_simd: false,
            canonical_nans: false,
            slow_calls: false,
            slow_handles: false,
            handle_history: 0,
            trace_calls: false,
            meter_instances: false,
            readings: Readings::SPEC,
            schedule: Schedule::InOrder,
            background_after: Duration::from_secs(1),
            eager_loops: false,
            profiler: ProfilingStrategy::None,
        }
    }
}

/// One method of [`Config`] for each proposal of core WebAssembly.
macro_rules! core_features {
    ($($(#[$doc:meta])* $method:ident = $flag:ident;)*) => {
        impl Config {$(
            $(#[$doc])*
            pub fn $method(&mut self, on: bool) -> &mut Config {
                let mut features = self.features.proposals();
                features.set(WasmFeatures::$flag, on);
                self.features = Features::new(features);
                self
            }
        )*}
    };
}

core_features! {
    /// Whether modules may use the proposal: vectors of 128 bits (on by default).
    wasm_simd = SIMD;
    /// Whether modules may use the proposal: vector instructions whose results may depend
    /// on the machine (on by default).
    wasm_relaxed_simd = RELAXED_SIMD;
    /// Whether modules may use the proposal: bulk operations (on by default).
    wasm_bulk_memory = BULK_MEMORY;
    /// Whether modules may use the proposal: reference types (on by default).
    wasm_reference_types = REFERENCE_TYPES;
    /// Whether modules may use the proposal: several results (on by default).
    wasm_multi_value = MULTI_VALUE;
    /// Whether modules may use the proposal: several memories (on by default).
    wasm_multi_memory = MULTI_MEMORY;
    /// Whether modules may use the proposal: memories and tables of 64 bits (on by default).
    wasm_memory64 = MEMORY64;
    /// Whether modules may use the proposal: tail calls (on by default).
    wasm_tail_call = TAIL_CALL;
    /// Whether modules may use the proposal: more in constants (on by default).
    wasm_extended_const = EXTENDED_CONST;
    /// Whether modules may use the proposal: exceptions (on by default).
    wasm_exceptions = EXCEPTIONS;
    /// Whether modules may use the proposal: typed function references (on by default).
    wasm_function_references = FUNCTION_REFERENCES;
    /// Whether modules may use the proposal: threads, which are atomic accesses and shared
    /// memories (off by default). See [`SharedMemory`](crate::core::SharedMemory).
    wasm_threads = THREADS;
    /// Whether modules may use the proposal: arithmetic of 128 bits (off by default).
    wasm_wide_arithmetic = WIDE_ARITHMETIC;
    /// Whether modules may use the proposal: pages of other sizes (off by default).
    wasm_custom_page_sizes = CUSTOM_PAGE_SIZES;
}

/// One method of [`Config`] for each feature of the Component Model that is gated.
macro_rules! component_features {
    ($($(#[$doc:meta])* $method:ident = $field:ident;)*) => {$(
        $(#[$doc])*
        pub fn $method(&mut self, on: bool) -> &mut Config {
            self.component.$field = on;
            self
        }
    )*};
}

impl Config {
    /// The defaults.
    pub fn new() -> Config {
        Config::default()
    }

    /// Where memories and stacks come from (default: a pool with default settings).
    pub fn allocation_strategy(
        &mut self,
        strategy: impl Into<InstanceAllocationStrategy>,
    ) -> &mut Config {
        self.allocation = strategy.into();
        self
    }

    /// Whether instances of a module share the pages that its data segments fill, each page
    /// until it is written (the default), or each gets a copy.
    pub fn memory_init_cow(&mut self, enable: bool) -> &mut Config {
        self.images = enable;
        self
    }

    /// How hard the compiler tries.
    pub fn optimize(&mut self, level: OptLevel) -> &mut Config {
        self.optimize = level;
        self
    }

    /// Keeps lazily compiled functions in this folder, at most so many bytes of them, for
    /// later runs and other processes. Off by default.
    ///
    /// The folder is made if it isn't there. It must belong to the user and be writable by
    /// nobody else: whoever can write to it decides what code runs. A folder that cannot be
    /// used is left alone.
    pub fn cache(&mut self, folder: impl Into<PathBuf>, most_bytes: u64) -> &mut Config {
        self.cache = Some((folder.into(), most_bytes));
        self
    }

    /// How stores make the choices that the Component Model leaves open;
    /// [`Store::set_schedule`](crate::Store::set_schedule) for one store.
    pub fn schedule(&mut self, schedule: Schedule) -> &mut Config {
        self.schedule = schedule;
        self
    }

    /// When functions are compiled.
    pub fn compile(&mut self, mode: CompileMode) -> &mut Config {
        self.compile = mode;
        self
    }

    /// Whether guests use up fuel as they run, so that they can be stopped at an exact
    /// point: see [`Store::set_fuel`](crate::Store::set_fuel). Off by default; costs nothing
    /// then.
    pub fn consume_fuel(&mut self, on: bool) -> &mut Config {
        self.consume_fuel = on;
        self
    }

    /// Whether the fuel that each component instance has used up is counted, nested ones too
    /// ([`component::inspect::Usage::fuel`](crate::component::inspect::Usage::fuel)), where fuel
    /// is consumed at all. Off by default; on, calls between components go the slow way
    /// through the host, so that it knows whose code runs.
    pub fn meter_instances(&mut self, on: bool) -> &mut Config {
        self.meter_instances = on;
        self
    }

    /// Whether guests can be stopped by the clock: see
    /// [`Store::set_epoch_deadline`](crate::Store::set_epoch_deadline) and
    /// [`Engine::increment_epoch`](crate::Engine::increment_epoch). Off by default; costs
    /// nothing then.
    pub fn epoch_interruption(&mut self, on: bool) -> &mut Config {
        self.epoch_interruption = on;
        self
    }

    /// Whether vector instructions of the relaxed kind compute the same on every machine. Off
    /// by default: they are what the CPU does fastest, within what WebAssembly allows (a
    /// multiply-add is rounded once where the CPU has one, for example). On one machine, their
    /// results are the same in all functions and at all times, either way.
    pub fn relaxed_simd_deterministic(&mut self, on: bool) -> &mut Config {
        self.deterministic_simd = on;
        self
    }

    /// Whether instructions on floats that make a NaN make always the same one, on every
    /// machine. Off by default: which bits a NaN has WebAssembly leaves open, and making them
    /// equal costs an instruction or two each time.
    pub fn cranelift_nan_canonicalization(&mut self, on: bool) -> &mut Config {
        self.canonical_nans = on;
        self
    }

    /// CPU time that guests use, with [`CompileMode::Lazy`], before a thread beside them compiles
    /// their hot functions again, better. Short runs end before that. Default: one second.
    pub fn background_after(&mut self, delay: Duration) -> &mut Config {
        self.background_after = delay;
        self
    }

    /// Whether loops of quickly compiled code go on in optimised code from their first turn
    /// on, and not only when they have run for long: slow, for tests of just that.
    pub fn eager_loops(&mut self, on: bool) -> &mut Config {
        self.eager_loops = on;
        self
    }

    /// The turns of a loop at which quick code asks for better code: those that have none of
    /// these bits.
    pub(crate) fn loop_mask(&self) -> u32 {
        match self.eager_loops {
            true => 0,
            false => (1 << 20) - 1,
        }
    }

    /// Writes a file that tells `perf` what compiled functions are called (default: none).
    pub fn profiler(&mut self, strategy: ProfilingStrategy) -> &mut Config {
        self.profiler = strategy;
        self
    }

    /// Whether the compiler checks its own intermediate code: slower, for tests.
    pub fn verifier(&mut self, on: bool) -> &mut Config {
        self.verifier = on;
        self
    }

    /// Whether `resource.new`, `.rep` and `.drop` are generated code (the default), or
    /// host functions: for tests, which compare the two.
    pub fn inline_handles(&mut self, on: bool) -> &mut Config {
        self.slow_handles = !on;
        self
    }

    /// Whether calls between components are generated code (the default), or go the slow
    /// way through the host: for tests, which compare the two.
    pub fn fused_adapters(&mut self, on: bool) -> &mut Config {
        self.slow_calls = !on;
        self
    }

    /// Keeps what became of handles, so that an error about one tells where it was made,
    /// lent and dropped, each with the guest's functions: of each store the last `events`
    /// such events, of about a kilobyte each. 0, the default, keeps nothing and costs
    /// nothing; else calls between components and all that changes handles go the slow way
    /// through the host.
    ///
    /// ```
    /// # use helve::{Config, Engine};
    /// let engine = Engine::new(Config::new().handle_history(10_000))?;
    /// # Ok::<(), helve::Error>(())
    /// ```
    pub fn handle_history(&mut self, events: usize) -> &mut Config {
        self.handle_history = events;
        self
    }

    /// Whether all that changes handles goes through the host.
    pub(crate) fn has_slow_handles(&self) -> bool {
        self.slow_handles || self.handle_history > 0
    }

    /// Whether calls between components go through the host.
    pub(crate) fn has_slow_calls(&self) -> bool {
        self.slow_calls || self.watches_calls()
    }

    /// Whether the host is to see calls between components.
    pub(crate) fn watches_calls(&self) -> bool {
        self.handle_history > 0 || self.trace_calls || self.is_metered()
    }

    /// Whether the fuel of each component instance is counted.
    pub(crate) fn is_metered(&self) -> bool {
        self.meter_instances && self.consume_fuel
    }

    /// Whether each call that crosses a border (from the host to a guest, to the host, from
    /// one component instance to another) is a span of the crate `tracing`, with the target
    /// `helve` and the level `INFO`, and each instantiation too. Off by default; on, calls
    /// between components go the slow way through the host.
    ///
    /// With a subscriber of one's own they show in logs, or go to OpenTelemetry:
    ///
    /// ```
    /// # use helve::{Config, Engine};
    /// let engine = Engine::new(Config::new().trace_calls(true))?;
    /// # Ok::<(), helve::Error>(())
    /// ```
    #[cfg(feature = "tracing")]
    pub fn trace_calls(&mut self, on: bool) -> &mut Config {
        self.trace_calls = on;
        self
    }

    /// How to read what the executable spec of the Component Model and its official scripts
    /// disagree about, point by point. The default is the executable spec's reading.
    pub fn readings(&mut self, readings: Readings) -> &mut Config {
        self.readings = readings;
        self
    }

    /// Every proposal that Helve knows, or only those that are on by default; those of the
    /// Component Model too.
    pub fn all_features(&mut self, on: bool) -> &mut Config {
        (self.features, self.component) = match on {
            true => (
                Features::SUPPORTED,
                helve_decode::Features::all(Features::SUPPORTED.as_wasmparser()),
            ),
            false => Default::default(),
        };
        self
    }

    /// Exactly these proposals.
    pub fn core_features(&mut self, features: Features) -> &mut Config {
        self.features = features;
        self
    }

    component_features! {
        /// `async` functions, streams and futures. On by default.
        wasm_component_model_async = component_async;
        /// The `map` type. On by default.
        wasm_component_model_map = map;
        /// `implements` and `external-id` of imports and exports. On by default.
        wasm_component_model_implements = implements;
        /// Asynchronous forms of more built-ins.
        wasm_component_model_more_async_builtins = more_async_builtins;
        /// `async` lifts without a callback.
        wasm_component_model_async_stackful = async_stackful;
        /// The built-ins of threads.
        wasm_component_model_threading = threading;
        /// The `error-context` type.
        wasm_component_model_error_context = error_context;
        /// Lists whose length is part of their type.
        wasm_component_model_fixed_length_lists = fixed_length_lists;
        /// Names of interfaces with canonical versions, and `versionsuffix`.
        wasm_component_model_canonical_names = canonical_names;
        /// Nested namespaces and packages in names.
        wasm_component_model_nested_names = nested_names;
        /// 64-bit memories in canonical options, and 64-bit representations of resources.
        wasm_component_model_memory64 = memory64;
        /// Values as imports and exports, and start functions. Such components are
        /// validated and then refused: Helve can't run them.
        wasm_component_model_values = values;
    }

    /// All upper bounds at once.
    pub fn limits(&mut self, limits: Limits) -> &mut Config {
        self.limits = limits;
        self
    }

    /// Bytes of one linear memory.
    pub fn max_memory_bytes(&mut self, bytes: u64) -> &mut Config {
        self.limits.memory_bytes = bytes;
        self
    }

    /// Bytes of all linear memories of one store.
    pub fn max_store_memory_bytes(&mut self, bytes: u64) -> &mut Config {
        self.limits.store_memory_bytes = bytes;
        self
    }

    /// Elements of one table.
    pub fn max_table_elements(&mut self, elements: u64) -> &mut Config {
        self.limits.table_elements = elements;
        self
    }

    /// Core instances in one store.
    pub fn max_instances(&mut self, count: usize) -> &mut Config {
        self.limits.instances = count;
        self
    }

    /// Linear memories in one store.
    pub fn max_memories(&mut self, count: usize) -> &mut Config {
        self.limits.memories = count;
        self
    }

    /// Tables in one store.
    pub fn max_tables(&mut self, count: usize) -> &mut Config {
        self.limits.tables = count;
        self
    }

    /// Handles in the table of one component instance: resources, streams, futures, calls
    /// and the like. At most 2^28 - 1, the spec's own bound.
    pub fn max_handles(&mut self, count: u32) -> &mut Config {
        self.limits.handles = count;
        self
    }

    /// Calls of one component instance's async functions that are not over, whoever made
    /// them: from its caller's call until its last thread is done, beyond its result too.
    pub fn max_tasks(&mut self, count: u32) -> &mut Config {
        self.limits.tasks = count;
        self
    }

    /// Bytes of all linear memories of one component instance.
    pub fn max_instance_memory_bytes(&mut self, bytes: u64) -> &mut Config {
        self.limits.instance_memory_bytes = bytes;
        self
    }

    /// Bytes of stack that guests may use. The thread that calls must have them, and
    /// [`Limits::host_stack_bytes`] more.
    pub fn max_guest_stack(&mut self, bytes: usize) -> &mut Config {
        self.limits.guest_stack_bytes = bytes;
        self
    }
}
