//! A seed's component, and its calls by both twins. What is compared: see `tasks.rs`.

#[path = "../mutants/rng.rs"]
pub mod rng;
#[path = "../concurrent/support.rs"]
#[allow(dead_code, reason = "the tests of concurrency use all of it")]
mod support;
mod text;
#[path = "../mutants/types.rs"]
#[allow(dead_code, reason = "the mutants use all of it")]
mod types;
#[path = "../mutants/values.rs"]
mod values;
mod wide;

use helve::component::{Accessor, Component, Instance, Linker, Val};
use helve::{CompileMode, Config, Engine, Error, OptLevel, Result, Store};
use rng::Rng;
use support::{block_on, wait};
use text::{LIFTS, MODES};
use types::{Named, Ty};

/// What was done, and what the twins did not agree on.
#[derive(Debug, Default)]
pub struct Report {
    pub calls: u32,
    pub traps: u32,
    /// Calls whose callee was waited for.
    pub waited: u32,
    pub wrong: Vec<String>,
}

struct NoHandles;

impl values::Handles for NoHandles {
    fn own(&mut self) -> Option<Val> {
        None
    }

    fn borrow(&mut self) -> Option<Val> {
        None
    }
}

fn engines() -> [Engine; 3] {
    let modes = [
        (true, CompileMode::Ahead),
        (false, CompileMode::Ahead),
        (true, CompileMode::Lazy),
    ];
    modes.map(|(fused, mode)| {
        let mut config = Config::new();
        config.all_features(true).fused_adapters(fused);
        config.optimize(OptLevel::None).compile(mode);
        Engine::new(&config).expect("an engine")
    })
}

/// One twin: a store that lives until a trap.
struct Twin {
    component: Component,
    linker: Linker<()>,
    engine: Engine,
    live: Option<(Store<()>, Instance)>,
}

impl Twin {
    fn new(engine: &Engine, text: &str) -> Result<Twin> {
        let mut linker = Linker::new(engine);
        let later = |_: Accessor<()>, (n,): (u32,)| async move {
            wait(n).await;
            Ok((n,))
        };
        linker.root().func_wrap_async("later", later)?;
        let component = Component::new(engine, text)?;
        linker.define_unknown_imports_as_traps(&component)?;
        Ok(Twin {
            component,
            linker,
            engine: engine.clone(),
            live: None,
        })
    }

    fn take(&mut self) -> Result<(Store<()>, Instance)> {
        if let Some(live) = self.live.take() {
            return Ok(live);
        }
        let mut store = Store::new(&self.engine, ());
        let instance = self.linker.instantiate(&mut store, &self.component)?;
        Ok((store, instance))
    }

    /// A value of the functions' type.
    fn value(&mut self, rng: &mut Rng) -> Result<Val> {
        let (mut store, instance) = self.take()?;
        let func = instance.get_func(&mut store, "run-sync-s");
        let func = func.ok_or_else(|| Error::msg("no export"))?;
        let val = func.with_type(&store, |types, ty| {
            values::random(rng, types, ty.params[0].1, &mut NoHandles)
        })?;
        self.live = Some((store, instance));
        val.ok_or_else(|| Error::msg("no value"))
    }

    /// What the call gives, and the log; or how it trapped.
    fn call(&mut self, name: &str, mode: u32, value: &Val) -> Result<String> {
        let (mut store, instance) = self.take()?;
        let func = |store: &mut Store<()>, name: &str| {
            let found = instance.get_func(&mut *store, name);
            found.ok_or_else(|| Error::msg(format!("no export {name}")))
        };
        func(&mut store, "mode")?.call(&mut store, &[Val::U32(mode)], &mut [])?;
        let call = func(&mut store, name)?;
        let mut result = [Val::Bool(false)];
        let args = std::slice::from_ref(value);
        let done = block_on(call.call_async(&mut store, args, &mut result));
        let after = done.and_then(|()| block_on(store.run_until_idle()));
        if let Err(error) = after {
            return match error.trap() {
                Some(trap) => Ok(format!("{trap:?}")),
                None => Err(error),
            };
        }
        let mut log = [Val::Bool(false)];
        func(&mut store, "log")?.call(&mut store, &[], &mut log)?;
        store.audit_tasks().map_err(Error::msg)?;
        let counts = store.task_counts();
        helve::ensure!(counts == [0; 8], "left: {counts:?}");
        self.live = Some((store, instance));
        Ok(format!("{:?} {:?}", log[0], result[0]))
    }

    /// The same call three times at once, which gives the same three times.
    fn at_once(&mut self, name: &str, mode: u32, value: &Val) -> Result<String> {
        let (mut store, instance) = self.take()?;
        let set = instance.get_func(&mut store, "mode");
        let call = instance.get_func(&mut store, name);
        let (set, call) = set.zip(call).ok_or_else(|| Error::msg("no export"))?;
        set.call(&mut store, &[Val::U32(mode)], &mut [])?;
        let results = block_on(store.run_concurrent(async |cx: &Accessor<()>| {
            let calls = [(); 3].map(|()| call.call_concurrent(cx, vec![value.clone()]));
            let mut results = Vec::new();
            for call in calls {
                results.push(call.await);
            }
            results
        }))?;
        let idle = block_on(store.run_until_idle());
        let mut all = String::new();
        let mut trapped = idle.is_err();
        for result in results {
            match result {
                Ok(vals) => all += &format!("{vals:?}\n"),
                Err(error) if error.trap().is_some() => trapped = true,
                Err(error) => return Err(error),
            }
        }
        if trapped {
            return Ok("a trap".into());
        }
        store.audit_tasks().map_err(Error::msg)?;
        self.live = Some((store, instance));
        Ok(all)
    }
}

/// Makes a seed's component and compares its twins.
pub fn compare(seed: u64, report: &mut Report) {
    let mut rng = Rng::new(seed);
    let named = Named::random(&mut rng, 4);
    let ty = Ty::random(&mut rng, &named, 3, false);
    let text = text::component(&mut rng, &named, &ty);
    let twins = engines().map(|engine| Twin::new(&engine, &text));
    let mut twins = match twins.into_iter().collect::<Result<Vec<_>>>() {
        Ok(twins) => twins,
        Err(error) => return report.wrong.push(format!("seed {seed}: {error:#}\n{text}")),
    };
    for lowered in ["sync", "async", "callback", "cancel"] {
        for lifted in LIFTS {
            // A function that is not async can only be lowered synchronously.
            if lifted == "s" && lowered != "sync" {
                continue;
            }
            let name = format!("run-{lowered}-{lifted}");
            for mode in MODES {
                let Ok(value) = twins[0].value(&mut rng) else {
                    return report.wrong.push(format!("seed {seed}: no value"));
                };
                agree(
                    &mut twins,
                    &format!("seed {seed}"),
                    (&name, mode),
                    &value,
                    report,
                );
            }
        }
    }
}

fn agree(
    twins: &mut [Twin],
    seed: &str,
    (name, mode): (&str, u32),
    value: &Val,
    report: &mut Report,
) {
    let concurrent = name.contains("callback");
    let mut tried = |what: &str, call: &mut dyn FnMut(&mut Twin) -> Result<String>| {
        let found: Vec<_> = twins
            .iter_mut()
            .map(|twin| call(twin).map_err(|error| format!("{error:#}")))
            .collect();
        report.calls += 1;
        let first = &found[0];
        report.traps += u32::from(matches!(first, Ok(text) if !text.contains(' ')));
        report.waited += u32::from(matches!(first, Ok(text) if text.contains("U32(1)")));
        if first.is_err() || found.iter().any(|other| other != first) {
            let shown = found
                .iter()
                .map(|found| format!("\n    {found:?}").chars().take(600).collect());
            let shown: String = shown.collect::<Vec<String>>().concat();
            report
                .wrong
                .push(format!("{seed}, {what} {name} in mode {mode}: {shown}"));
        }
    };
    tried("one", &mut |twin| twin.call(name, mode, value));
    if concurrent {
        tried("three", &mut |twin| twin.at_once(name, mode, value));
    }
}
