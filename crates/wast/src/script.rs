//! The walk over a script's directives.
//!
//! One store for the whole script, as the directives share instances. A name (`$id`)
//! means the newest module or instance of that name; no name means the newest of all.
//! Not here: how values are written and compared (`core_value.rs`, `component_value.rs`).

use crate::cancellable::Blanked;
use crate::host::{self, Host};
use crate::report::Report;
use crate::thread::{self, Script, Shared};
use crate::{component_value, core_value, spectest};
use helve::{Engine, Error, Result, Store, Trap, component, core};
use std::collections::HashMap;
use std::ops::Range;
use wast::token::Id;
use wast::{QuoteWat, Wast, WastArg, WastDirective, WastExecute, WastInvoke, WastRet, Wat, parser};

/// How to run a script.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration of the engine; by default every feature is on, and the spec is
    /// read as the official scripts do.
    pub config: helve::Config,
    /// Whether what is refused or does not link must say so in the script's words. Off by
    /// default: the words of the core scripts are the reference interpreter's.
    pub words: bool,
}

impl Default for Options {
    fn default() -> Options {
        let mut config = helve::Config::new();
        // The official scripts expect that nested names are refused.
        config
            .all_features(true)
            .wasm_component_model_nested_names(false);
        config.readings(component::Readings::SCRIPTS);
        Options {
            config,
            words: false,
        }
    }
}

/// Runs the script `text`; `name` is what failures call it.
///
/// A script that cannot be parsed is one failure, at the place of the error.
pub fn run(name: &str, text: &str, options: &Options) -> Report {
    let mut report = Report::default();
    let script = Script { name, text };
    let blanked = Blanked::new(text);
    let mut lexer = wast::lexer::Lexer::new(&blanked.text);
    lexer.allow_confusing_unicode(true);
    let buffer = match parser::ParseBuffer::new_with_lexer(lexer) {
        Ok(buffer) => buffer,
        Err(e) => {
            report.failures.push(script.failure(e.span(), e.message()));
            return report;
        }
    };
    let parsed = match parser::parse::<Wast<'_>>(&buffer) {
        Ok(parsed) => parsed,
        Err(e) => {
            report.failures.push(script.failure(e.span(), e.message()));
            return report;
        }
    };
    match Context::new(options, script, &blanked) {
        Ok(mut context) => thread::run(&mut context, parsed.directives, text.len()),
        Err(e) => {
            let start = wast::token::Span::from_offset(0);
            report
                .failures
                .push(script.failure(start, format!("{e:#}")));
            report
        }
    }
}

/// A module or a component, not yet instantiated.
#[derive(Clone)]
enum Definition {
    Core(core::Module),
    Component(component::Component),
}

/// An instance of one.
#[derive(Clone, Copy)]
enum Instance {
    Core(core::Instance),
    Component(component::Instance),
}

/// The results of an invocation.
enum Values {
    Core(Vec<core::Val>),
    Component(Vec<component::Val>),
}

impl std::fmt::Display for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Values::Core(v) => write!(f, "{v:?}"),
            Values::Component(v) => write!(f, "{v:?}"),
        }
    }
}

/// What directives of one thread share.
pub struct Context<'a> {
    pub script: Script<'a>,
    blanked: &'a Blanked,
    /// Where the directive's text is.
    pub place: Range<usize>,
    words: bool,
    engine: Engine,
    store: Store<()>,
    core_linker: core::Linker<()>,
    definitions: HashMap<String, Definition>,
    last_definition: Option<Definition>,
    instances: HashMap<String, Instance>,
    last_instance: Option<Instance>,
    host: Host,
    /// What a thread was handed of its script's instances.
    shared: HashMap<String, Shared>,
}

impl<'a> Context<'a> {
    fn new(options: &Options, script: Script<'a>, blanked: &'a Blanked) -> Result<Context<'a>> {
        let engine = Engine::new(&options.config)?;
        Context::of_engine(engine, options.words, script, blanked)
    }

    fn of_engine(
        engine: Engine,
        words: bool,
        script: Script<'a>,
        blanked: &'a Blanked,
    ) -> Result<Context<'a>> {
        let mut store = Store::new(&engine, ());
        // Fails where fuel is not counted; then nobody needs any.
        let _ = store.set_fuel(u64::MAX);
        let mut core_linker = core::Linker::new(&engine);
        core_linker.allow_shadowing(true);
        spectest::define(&mut core_linker, &mut store)?;
        host::define_core(&mut core_linker)?;
        Ok(Context {
            words,
            script,
            blanked,
            place: 0..0,
            engine,
            store,
            core_linker,
            definitions: HashMap::new(),
            last_definition: None,
            instances: HashMap::new(),
            last_instance: None,
            host: Host::default(),
            shared: HashMap::new(),
        })
    }

    /// What a thread starts with: a store of its own, all definitions, and the shared
    /// memories of instance `shared`.
    pub fn child(&mut self, shared: Option<Id<'_>>) -> Result<Context<'a>> {
        let mut child =
            Context::of_engine(self.engine.clone(), self.words, self.script, self.blanked)?;
        child.definitions = self.definitions.clone();
        child.last_definition = self.last_definition.clone();
        if let Some(id) = shared {
            let mut memories = Shared::new();
            if let Instance::Core(instance) = self.instance(Some(id))? {
                for (name, item) in instance.exports(&self.store)? {
                    if let Some(memory) = item.into_memory()
                        && let Some(memory) = memory.as_shared(&self.store)?
                    {
                        memories.push((name, memory));
                    }
                }
            }
            child.shared.insert(id.name().to_string(), memories);
        }
        Ok(child)
    }

    pub fn directive(&mut self, directive: WastDirective<'_>) -> Result<()> {
        match directive {
            WastDirective::Module(mut wat) => {
                let name = wat.name();
                let definition = self.compile(&mut wat)?;
                self.define(name, definition.clone());
                let instance = self.instantiate(&definition)?;
                self.name(name, instance)
            }
            WastDirective::ModuleDefinition(mut wat) => {
                let name = wat.name();
                let definition = self.compile(&mut wat)?;
                self.define(name, definition);
                Ok(())
            }
            WastDirective::ModuleInstance {
                instance, module, ..
            } => {
                let definition = match module {
                    Some(id) => self.definitions.get(id.name()).cloned(),
                    None => self.last_definition.clone(),
                };
                let definition =
                    definition.ok_or_else(|| Error::msg("no such module definition"))?;
                let made = self.instantiate(&definition)?;
                self.name(instance, made)
            }
            WastDirective::AssertMalformed {
                module: mut wat,
                message,
                ..
            }
            | WastDirective::AssertInvalid {
                module: mut wat,
                message,
                ..
            } => match self.compile(&mut wat) {
                Ok(_) => Err(Error::msg(format!(
                    "accepted, but expected to be refused: {message}"
                ))),
                Err(e) => self.said(e, message),
            },
            // Custom sections are advice: a runtime may not refuse a module for them.
            WastDirective::AssertInvalidCustom { .. }
            | WastDirective::AssertMalformedCustom { .. } => Ok(()),
            WastDirective::Register { name, module, .. } => self.register(name, module),
            WastDirective::Invoke(invoke) => self.invoke(invoke).map(drop),
            WastDirective::AssertTrap { exec, message, .. } => {
                let result = self.execute(exec);
                trapped(result, message)
            }
            WastDirective::AssertReturn { exec, results, .. } => {
                let values = self.execute(exec)?;
                self.returned(&values, &results)
            }
            WastDirective::AssertExhaustion { call, message, .. } => {
                let result = self.invoke(call);
                trapped(result, message)
            }
            WastDirective::AssertUnlinkable {
                module, message, ..
            } => {
                let definition = self.compile(&mut QuoteWat::Wat(module))?;
                match self.instantiate(&definition) {
                    Ok(_) => Err(Error::msg(format!(
                        "linked, but expected not to be: {message}"
                    ))),
                    Err(e) if e.trap().is_some() => {
                        Err(e.context("trapped, but expected not to link"))
                    }
                    Err(e) => self.said(e, message),
                }
            }
            WastDirective::AssertException { exec, .. } => match self.execute(exec) {
                Ok(values) => Err(Error::msg(format!(
                    "returned {values}, but expected an exception"
                ))),
                Err(e) if e.trap() == Some(Trap::UncaughtException) => Ok(()),
                Err(e) => Err(e.context("expected an exception")),
            },
            WastDirective::AssertSuspension { .. } => {
                Err(Error::msg("stack switching is not supported"))
            }
            WastDirective::Thread(_) | WastDirective::Wait { .. } => {
                Err(Error::msg("a thread inside a directive"))
            }
        }
    }

    /// That an error says `message`, where that counts.
    fn said(&self, error: Error, message: &str) -> Result<()> {
        match !self.words || format!("{error:#}").contains(message) {
            true => Ok(()),
            false => Err(error.context(format!("refused in other words than: {message}"))),
        }
    }

    fn compile(&self, wat: &mut QuoteWat<'_>) -> Result<Definition> {
        let is_component = matches!(
            wat,
            QuoteWat::QuoteComponent(..) | QuoteWat::Wat(Wat::Component(_))
        );
        let mut bytes = wat.encode()?;
        if is_component {
            self.blanked.restore(self.place.clone(), &mut bytes);
        }
        Ok(if is_component {
            Definition::Component(component::Component::from_binary(&self.engine, &bytes)?)
        } else {
            Definition::Core(core::Module::from_binary(&self.engine, &bytes)?)
        })
    }

    fn define(&mut self, name: Option<Id<'_>>, definition: Definition) {
        if let Some(id) = name {
            self.definitions
                .insert(id.name().to_string(), definition.clone());
        }
        self.last_definition = Some(definition);
    }

    /// Names `instance`. Others can import it by that name, as if it had been registered.
    fn name(&mut self, name: Option<Id<'_>>, instance: Instance) -> Result<()> {
        if let Some(id) = name {
            self.instances.insert(id.name().to_string(), instance);
            if let Instance::Core(instance) = instance {
                self.core_linker
                    .instance(&mut self.store, id.name(), instance)?;
            }
        }
        self.last_instance = Some(instance);
        Ok(())
    }

    fn instantiate(&mut self, definition: &Definition) -> Result<Instance> {
        Ok(match definition {
            Definition::Core(m) => {
                Instance::Core(self.core_linker.instantiate(&mut self.store, m)?)
            }
            Definition::Component(c) => Instance::Component(self.instantiate_component(c)?),
        })
    }

    /// What a component imports by the name of a component instance of this script is what
    /// that exports.
    fn instantiate_component(
        &mut self,
        component: &component::Component,
    ) -> Result<component::Instance> {
        let mut linker = component::Linker::new(&self.engine);
        linker.allow_shadowing(true);
        self.host.define(&mut linker, component)?;
        for import in component.imports() {
            if let Some(Instance::Component(instance)) = self.instances.get(import) {
                linker
                    .instance(import)?
                    .exports(&mut self.store, instance)?;
            }
        }
        linker.instantiate(&mut self.store, component)
    }

    fn instance(&self, name: Option<Id<'_>>) -> Result<Instance> {
        match name {
            Some(id) => self.instances.get(id.name()).copied(),
            None => self.last_instance,
        }
        .ok_or_else(|| Error::msg("no such instance"))
    }

    fn register(&mut self, name: &str, module: Option<Id<'_>>) -> Result<()> {
        if let Some(memories) = module.and_then(|id| self.shared.get(id.name())) {
            for (export, memory) in memories.clone() {
                let memory = memory.in_store(&mut self.store)?;
                self.core_linker.define(name, &export, memory)?;
            }
            return Ok(());
        }
        match self.instance(module)? {
            Instance::Core(instance) => self.core_linker.instance(&mut self.store, name, instance),
            instance @ Instance::Component(_) => {
                self.instances.insert(name.to_string(), instance);
                Ok(())
            }
        }
    }

    fn execute(&mut self, execute: WastExecute<'_>) -> Result<Values> {
        match execute {
            WastExecute::Invoke(invoke) => self.invoke(invoke),
            WastExecute::Wat(wat) => {
                let definition = self.compile(&mut QuoteWat::Wat(wat))?;
                self.instantiate(&definition)?;
                Ok(Values::Core(Vec::new()))
            }
            WastExecute::Get { module, global, .. } => {
                let Instance::Core(instance) = self.instance(module)? else {
                    return Err(Error::msg("a component exports no globals"));
                };
                let found = instance.get_global(&mut self.store, global);
                let found =
                    found.ok_or_else(|| Error::msg(format!("no exported global `{global}`")))?;
                Ok(Values::Core(vec![found.get(&mut self.store)?]))
            }
        }
    }

    fn invoke(&mut self, invoke: WastInvoke<'_>) -> Result<Values> {
        match self.instance(invoke.module)? {
            Instance::Core(instance) => self.invoke_core(instance, &invoke),
            Instance::Component(instance) => self.invoke_component(instance, &invoke),
        }
    }

    fn invoke_core(&mut self, instance: core::Instance, invoke: &WastInvoke<'_>) -> Result<Values> {
        let func = instance.get_func(&mut self.store, invoke.name);
        let func =
            func.ok_or_else(|| Error::msg(format!("no exported function `{}`", invoke.name)))?;
        let mut args = Vec::new();
        for arg in &invoke.args {
            match arg {
                WastArg::Core(arg) => args.push(core_value::argument(arg, &mut self.store)?),
                _ => {
                    return Err(Error::msg(
                        "a component value as argument of a core function",
                    ));
                }
            }
        }
        let count = func.ty(&self.store)?.results.len();
        let mut results = vec![core::Val::I32(0); count];
        func.call(&mut self.store, &args, &mut results)?;
        Ok(Values::Core(results))
    }

    fn invoke_component(
        &mut self,
        instance: component::Instance,
        invoke: &WastInvoke<'_>,
    ) -> Result<Values> {
        let func = instance.get_func(&mut self.store, invoke.name);
        let func =
            func.ok_or_else(|| Error::msg(format!("no exported function `{}`", invoke.name)))?;
        let mut args = Vec::new();
        for arg in &invoke.args {
            args.push(match arg {
                WastArg::Component(arg) => component_value::value(arg),
                // Some scripts write numbers in the core form.
                WastArg::Core(arg) => component_value::of_core(arg)?,
                _ => return Err(Error::msg("an argument of no component type")),
            });
        }
        let mut results = vec![component::Val::Bool(false); func.result_count(&self.store)?];
        func.call(&mut self.store, &args, &mut results)?;
        Ok(Values::Component(results))
    }

    fn returned(&self, values: &Values, expected: &[WastRet<'_>]) -> Result<()> {
        let mismatch = || Error::msg(format!("returned {values}, but expected {expected:?}"));
        match values {
            Values::Core(actual) => {
                if actual.len() != expected.len() {
                    return Err(mismatch());
                }
                for (actual, expected) in actual.iter().zip(expected) {
                    let WastRet::Core(expected) = expected else {
                        return Err(mismatch());
                    };
                    if !core_value::matches(actual, expected, &self.store)? {
                        return Err(mismatch());
                    }
                }
            }
            Values::Component(actual) => {
                if actual.len() != expected.len() {
                    return Err(mismatch());
                }
                for (actual, expected) in actual.iter().zip(expected) {
                    let same = match expected {
                        WastRet::Component(expected) => {
                            component_value::matches(actual, &component_value::value(expected))
                        }
                        WastRet::Core(expected) => match component_value::as_core(actual) {
                            Some(actual) => core_value::matches(&actual, expected, &self.store)?,
                            None => false,
                        },
                        _ => false,
                    };
                    if !same {
                        return Err(mismatch());
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether `result` is a trap whose text has `message` in it.
fn trapped(result: Result<Values>, message: &str) -> Result<()> {
    match result {
        Ok(values) => Err(Error::msg(format!(
            "returned {values}, but expected a trap: {message}"
        ))),
        Err(e) if e.trap().is_none() => {
            Err(e.context(format!("failed, but expected a trap: {message}")))
        }
        Err(e) if format!("{e:#}").contains(message) => Ok(()),
        // Scripts may name the index of the empty element, which compiled code does not keep.
        Err(e)
            if e.trap() == Some(Trap::UninitializedElement)
                && message.starts_with(Trap::UninitializedElement.text()) =>
        {
            Ok(())
        }
        Err(e) => Err(e.context(format!("another trap than expected: {message}"))),
    }
}
