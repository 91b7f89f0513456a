//! Async guests that others' tools have built, against async hosts, under many seeds: the
//! world `demo:akit`, by `wit-bindgen` (Rust), `componentize-py` and `componentize-qjs`.
//!
//! Where the guests are is what `HELVE_GUESTS` says; without it this says so and tests
//! nothing. `HELVE_SEEDS` says how many seeds (10 by default).

use helve::component::{
    Accessor, Component, FutureReader, Instance, Linker, ResourceTable, StreamReader, TypedFunc,
    stream,
};
use helve::{Config, Engine, Error, Result, Schedule, Store};
use helve_wasi::{WasiCtx, WasiCtxView, WasiView, p2};
use std::path::PathBuf;
use std::time::Duration;

struct Host {
    ctx: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Host {
    fn wasi(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.ctx,
            table: &mut self.table,
        }
    }
}

type Fetched = (Result<String, String>,);

/// The hosts that the guests import: `fetch` answers late, and not at all for "bad".
fn linker(engine: &Engine) -> Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    p2::add_to_linker(&mut linker)?;
    let fetch = |cx: Accessor<Host>, (key,): (String,)| async move {
        // What fails does so last: Python's runtime leaves calls that are under way behind.
        let time = if key == "bad" { 50 } else { key.len() % 3 };
        cx.sleep(Duration::from_millis(time as u64)).await?;
        let found: Fetched = match key.as_str() {
            "bad" => (Err("no such key".into()),),
            _ => (Ok(format!("<{key}>")),),
        };
        Ok(found)
    };
    for interface in ["demo:akit/host@0.1.0", "demo:akit/host-sync@0.1.0"] {
        linker
            .instance(interface)?
            .func_wrap_async("fetch", fetch)?;
    }
    Ok(linker)
}

/// What `both` returns.
type Both = Result<(String, String), String>;

/// The functions of `demo:akit/pipeline`.
struct Pipeline {
    upper: TypedFunc<(String,), (String,)>,
    squares: TypedFunc<(u32,), (StreamReader<u32>,)>,
    sum: TypedFunc<(StreamReader<u32>,), (u64,)>,
    later: TypedFunc<(String,), (FutureReader<String>,)>,
    both: TypedFunc<(String, String), (Both,)>,
}

impl Pipeline {
    fn new(store: &mut Store<Host>, instance: &Instance) -> Result<Pipeline> {
        let name = |name: &str| format!("demo:akit/pipeline@0.1.0#{name}");
        Ok(Pipeline {
            upper: instance.get_typed_func(&mut *store, name("upper"))?,
            squares: instance.get_typed_func(&mut *store, name("squares"))?,
            sum: instance.get_typed_func(&mut *store, name("sum"))?,
            later: instance.get_typed_func(&mut *store, name("later"))?,
            both: instance.get_typed_func(&mut *store, name("both"))?,
        })
    }

    /// Everything at once, and again.
    async fn run(&self, accessor: &Accessor<Host>) -> Result<()> {
        for round in 0..3 {
            let upper = self.upper.call_concurrent(accessor, ("abc".into(),));
            let squares = self.squares.call_concurrent(accessor, (20,));
            let again = self.squares.call_concurrent(accessor, (5,));
            let later = self.later.call_concurrent(accessor, ("xyz".into(),));
            let both = self
                .both
                .call_concurrent(accessor, ("a".into(), "bb".into()));
            let bad = self
                .both
                .call_concurrent(accessor, ("a".into(), "bad".into()));
            let (mut writer, reader) = accessor.with(|store| stream::<u32>(store))??;
            let sum = self.sum.call_concurrent(accessor, (reader,));
            for n in 0..10 {
                writer.write(accessor, vec![n; 3]).await?;
            }
            drop(writer);
            same(sum.await?.0, 3 * 45, "sum")?;
            same(upper.await?.0, "ABC".to_owned(), "upper")?;
            let mut stream = squares.await?.0;
            let all = stream.read_all(accessor).await?;
            same(all.len(), 20, "squares")?;
            // A stream that is left in the middle.
            let mut left = again.await?.0;
            if round == 0 {
                left.read(accessor, 2).await?;
            }
            drop(left);
            let mut future = later.await?.0;
            let value = future.read(accessor).await?;
            same(value.is_some(), true, "later")?;
            same(
                both.await?.0,
                Ok(("<a>".to_owned(), "<bb>".to_owned())),
                "both",
            )?;
            same(bad.await?.0.is_err(), true, "bad")?;
        }
        Ok(())
    }
}

fn same<T: PartialEq + std::fmt::Debug>(found: T, expected: T, what: &str) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::msg(format!("{what}: {found:?}, not {expected:?}")))
}

async fn one(component: &Component, linker: &Linker<Host>, schedule: Schedule) -> Result<()> {
    let ctx = WasiCtx::builder().build();
    let table = ResourceTable::new();
    let mut store = Store::new(component.engine(), Host { ctx, table });
    store.set_schedule(schedule);
    let instance = linker.instantiate_async(&mut store, component).await?;
    let pipeline = Pipeline::new(&mut store, &instance)?;
    store
        .run_concurrent(async |accessor| pipeline.run(accessor).await)
        .await??;
    store.run_until_idle().await?;
    store.audit_tasks().map_err(Error::msg)?;
    Ok(())
}

#[test]
fn akit_guests() {
    let Some(guests) = std::env::var_os("HELVE_GUESTS").map(PathBuf::from) else {
        println!("SKIPPED: HELVE_GUESTS does not say where the guests are");
        return;
    };
    let seeds = std::env::var("HELVE_SEEDS").ok();
    let seeds = seeds.and_then(|seeds| seeds.parse().ok()).unwrap_or(10);
    let mut config = Config::new();
    config.all_features(true);
    let engine = Engine::new(&config).unwrap();
    let linker = linker(&engine).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for name in ["rust/rust-akit.wasm", "js/qjs-akit.wasm", "py/py-akit.wasm"] {
        let bytes = std::fs::read(guests.join(name)).unwrap();
        let component = Component::new(&engine, bytes).unwrap();
        let schedules = (0..seeds).map(Schedule::Seed);
        for schedule in [Schedule::InOrder].into_iter().chain(schedules) {
            let done = runtime.block_on(one(&component, &linker, schedule));
            done.unwrap_or_else(|error| panic!("{name}, {schedule:?}: {error:?}"));
        }
        println!("{name}: in order and under {seeds} seeds");
    }
}
