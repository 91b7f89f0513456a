//! Runs components as a host that knows nothing of them: decode, compile, link,
//! instantiate, call every export with random values.
//!
//! A run ends with results or errors; what it met is in [`Outcome`], and two engines must
//! meet the same. Panics and errors that call themselves bugs of Helve's are findings.
//! Not here: what is run (`generate`, `mutate`), how often (the caller).

use super::mutate::Base;
use super::rng::Rng;
use super::values::{self, Handles};
use helve::component::{Component, Instance, Linker, Resource, ResourceType, Val};
use helve::{
    AsContextMut, CompileMode, Config, Engine, Error, ErrorKind, Limits, OptLevel,
    PoolingAllocationConfig, Result, Store,
};
use helve_decode::plan::{Plan, ResourceOrigin};
use std::sync::Arc;

/// What the host's resources stand for.
enum Thing {}

/// A component to mutate, and linkers with what it imports, one for each engine.
pub struct Case {
    pub name: String,
    pub base: Base,
    linkers: Vec<Linker<Rng>>,
}

/// What one run came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    pub valid: bool,
    pub instantiated: bool,
    /// Calls that got as far as lowering arguments.
    pub calls: usize,
    pub returned: usize,
    /// Results and errors, to compare two engines by.
    pub log: Vec<String>,
    /// What Helve must not do.
    pub bugs: Vec<String>,
}

/// Engines to run on: adapters as code, adapters by way of the host, the better tier; and
/// lazy compilation, where every loop changes tiers, with memories that keep nothing. And
/// the fuel that a store of them gets: guests that yield for ever are to end.
pub struct Engines(pub Vec<Engine>, Option<u64>);

impl Engines {
    pub fn new(fuel: Option<u64>) -> Engines {
        let mut limits = Limits::default();
        limits.memory_bytes = 16 << 20;
        limits.store_memory_bytes = 64 << 20;
        limits.table_elements = 100_000;
        limits.instances = 500;
        limits.handles = 10_000;
        limits.guest_stack_bytes = 256 << 10;
        limits.component_instances = 500;
        limits.lifted_bytes = 32 << 20;
        let mut pool = PoolingAllocationConfig::new();
        pool.linear_memory_keep_resident(0);
        let engine = |fused, level, mode| {
            let mut config = Config::new();
            if mode == CompileMode::Lazy {
                config.allocation_strategy(pool.clone());
            }
            config
                .compile(mode)
                .eager_loops(true)
                .all_features(true)
                .limits(limits.clone())
                .consume_fuel(fuel.is_some())
                .fused_adapters(fused)
                .optimize(level);
            Engine::new(&config).expect("an engine")
        };
        Engines(
            vec![
                engine(true, OptLevel::None, CompileMode::Ahead),
                engine(false, OptLevel::None, CompileMode::Ahead),
                engine(true, OptLevel::Speed, CompileMode::Ahead),
                engine(true, OptLevel::Speed, CompileMode::Lazy),
            ],
            fuel,
        )
    }

    fn store(&self, which: usize, data: Rng) -> Store<Rng> {
        let mut store = Store::new(&self.0[which], data);
        if let Some(fuel) = self.1 {
            store.set_fuel(fuel).expect("an engine that counts fuel");
        }
        store
    }

    /// `None` where `bytes` can't be mutated.
    pub fn case(&self, name: &str, bytes: &[u8]) -> Option<Case> {
        let base = Base::new(bytes)?;
        let options = helve_decode::Options {
            features: helve_decode::Features::all(helve::CoreFeatures::SUPPORTED.as_wasmparser()),
            ..Default::default()
        };
        let plan = Arc::new(helve_decode::decode(&base.bytes, &options).ok()?);
        let linkers = self.0.iter().map(|engine| linker(engine, &plan));
        let linkers = linkers.collect::<Result<Vec<_>>>().ok()?;
        Some(Case {
            name: name.to_owned(),
            base,
            linkers,
        })
    }

    /// Runs `bytes`, mutant or not, of `case`.
    pub fn run(&self, case: &Case, bytes: &[u8], which: usize, seed: u64) -> Outcome {
        let mut outcome = Outcome::default();
        let engine = &self.0[which];
        let component = match Component::from_binary(engine, bytes) {
            Ok(component) => component,
            Err(error) => {
                // The code generator may refuse what is valid, but must say so.
                outcome.fail("compile", &error);
                return outcome;
            }
        };
        outcome.valid = true;
        let exports: Vec<String> = component.exports().map(str::to_owned).collect();
        let mut rng = Rng::new(seed);
        let linker = &case.linkers[which];
        let mut store = self.store(which, Rng::new(seed));
        let mut instance = match instantiate(linker, &mut store, &component) {
            Ok(instance) => instance,
            Err(error) => {
                outcome.fail("instantiate", &error);
                return outcome;
            }
        };
        outcome.instantiated = true;
        let mut own = Vec::new();
        for name in exports.iter().take(12) {
            let parent = instance.get_export(&mut store, None, name);
            let inner = instance.export_names(&store, parent.as_ref());
            let names = match instance.get_func(&mut store, name) {
                Some(_) => vec![name.clone()],
                None => inner
                    .iter()
                    .take(8)
                    .map(|inner| format!("{name}#{inner}"))
                    .collect(),
            };
            for name in names {
                if !call(
                    &instance,
                    &mut store,
                    &name,
                    &mut rng,
                    &mut own,
                    &mut outcome,
                ) {
                    // After a trap the instance is closed: the next export gets a new one.
                    let data = store.data().clone();
                    store = self.store(which, data);
                    own.clear();
                    match instantiate(linker, &mut store, &component) {
                        Ok(made) => instance = made,
                        Err(_) => return outcome,
                    }
                }
            }
        }
        for val in own {
            if let Val::Resource(resource) = val
                && let Err(error) = resource.resource_drop(&mut store)
            {
                outcome.fail("drop", &error);
            }
        }
        outcome
    }
}

impl Outcome {
    fn fail(&mut self, what: &str, error: &Error) {
        if error.kind() == ErrorKind::Bug {
            self.bugs.push(format!("{what}: {error:#}"));
        }
        let trap = error.trap();
        self.log.push(match trap {
            Some(trap) => format!("{what}: {trap:?}"),
            None => format!("{what}: an error"),
        });
    }
}

fn instantiate(
    linker: &Linker<Rng>,
    store: &mut Store<Rng>,
    component: &Component,
) -> Result<Instance> {
    if linker.check(component).is_ok() {
        return linker.instantiate(store, component);
    }
    let mut linker = linker.clone();
    linker.define_unknown_imports_as_traps(component)?;
    linker.instantiate(store, component)
}

/// Calls one export; false if the instance can't be used any more.
fn call(
    instance: &Instance,
    store: &mut Store<Rng>,
    name: &str,
    rng: &mut Rng,
    own: &mut Vec<Val>,
    outcome: &mut Outcome,
) -> bool {
    let Some(func) = instance.get_func(&mut *store, name) else {
        return true;
    };
    for _ in 0..2 {
        let mut pool = Pool {
            own: std::mem::take(own),
            borrow: Vec::new(),
        };
        while pool.own.len() < 3 {
            let rep = rng.number() as u32;
            match Resource::<Thing>::new_own(rep).try_into_resource_any(&mut *store) {
                Ok(any) => pool.own.push(Val::Resource(any)),
                Err(_) => break,
            }
        }
        pool.borrow.clone_from(&pool.own);
        let params = func.with_type(&*store, |types, ty| {
            let params = ty.params.iter();
            params
                .map(|(_, ty)| values::random(rng, types, *ty, &mut pool))
                .collect()
        });
        *own = pool.own;
        let Ok(Some(params)) = params else {
            return true;
        };
        let params: Vec<Val> = params;
        let Ok(count) = func.result_count(&*store) else {
            return true;
        };
        let mut results = vec![Val::Bool(false); count];
        outcome.calls += 1;
        match func.call(&mut *store, &params, &mut results) {
            Ok(()) => {
                outcome.returned += 1;
                outcome.log.push(shown(&results));
                for result in &results {
                    keep(result, own);
                }
            }
            Err(error) => {
                outcome.fail(name, &error);
                return error.kind() == ErrorKind::Host;
            }
        }
    }
    true
}

/// Handles differ from run to run, all else must not.
fn shown(results: &[Val]) -> String {
    let text = format!("{results:?}");
    match text.contains("Resource") {
        true => "with handles".to_owned(),
        false => text,
    }
}

fn keep(val: &Val, own: &mut Vec<Val>) {
    match val {
        Val::Resource(any) if any.owned() => own.push(val.clone()),
        Val::List(vals) | Val::Tuple(vals) => vals.iter().for_each(|val| keep(val, own)),
        Val::Option(Some(val)) => keep(val, own),
        _ => {}
    }
}

struct Pool {
    own: Vec<Val>,
    borrow: Vec<Val>,
}

impl Handles for Pool {
    fn own(&mut self) -> Option<Val> {
        self.own.pop()
    }

    fn borrow(&mut self) -> Option<Val> {
        self.borrow.last().cloned()
    }
}

/// Makes handles while a host function runs.
struct Made<C>(C);

impl<C: AsContextMut> Handles for Made<C> {
    fn own(&mut self) -> Option<Val> {
        let any = Resource::<Thing>::new_own(7)
            .try_into_resource_any(&mut self.0)
            .ok()?;
        Some(Val::Resource(any))
    }

    fn borrow(&mut self) -> Option<Val> {
        self.own()
    }
}

/// Supplies what the base imports: functions that return random values or their argument,
/// resources of the host.
fn linker(engine: &Engine, plan: &Arc<Plan>) -> Result<Linker<Rng>> {
    let mut linker = Linker::new(engine);
    linker.allow_shadowing(true);
    for (_, def) in plan.resources.iter() {
        let ResourceOrigin::Imported { path } = &def.origin else {
            continue;
        };
        let (mut at, name) = place(&mut linker, &path.0)?;
        at.resource(name, ResourceType::host::<Thing>(), |_, _| Ok(()))?;
    }
    for (_, func) in plan.imported_funcs.iter() {
        let (plan, ty) = (plan.clone(), func.ty);
        let (mut at, name) = place(&mut linker, &func.path.0)?;
        at.func_new(name, move |mut cx, params, results| {
            let ty = &plan.types[ty];
            if ty.params.len() == 1 && ty.result == Some(ty.params[0].1) && !results.is_empty() {
                results[0] = params[0].clone();
                return Ok(());
            }
            let mut rng = cx.data().clone();
            if let (Some(result), Some(ty)) = (results.first_mut(), ty.result) {
                let mut made = Made(&mut cx);
                if let Some(val) = values::random(&mut rng, &plan.types, ty, &mut made) {
                    *result = val;
                }
            }
            *cx.data_mut() = rng;
            Ok(())
        })?;
    }
    Ok(linker)
}

/// Where in the linker the import of this path is defined.
fn place<'a, 'b>(
    linker: &'a mut Linker<Rng>,
    path: &'b [Arc<str>],
) -> Result<(helve::component::LinkerInstance<'a, Rng>, &'b str)> {
    let (name, instances) = path.split_last().ok_or_else(|| Error::msg("no name"))?;
    let mut at = linker.root();
    for instance in instances {
        at = at.into_instance(instance)?;
    }
    Ok((at, name))
}
