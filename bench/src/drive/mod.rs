//! The driver of the workloads, written once and compiled once for each engine: what differs
//! between their APIs is in the module above (`helve_side`, `wasmtime_side`).

mod calls;
mod hold;
mod instances;
mod tasks;

use super::engine::component::{
    Component, Instance, InstancePre, Linker, Resource, ResourceTable, ResourceType,
};
use super::engine::{Engine, Store, StoreContextMut};
use super::{config, func_async, func_new};
use crate::measure::Operation;
use crate::rows::{self, Drive, Row, Text};
use crate::texts;
use futures::executor::block_on;
pub use hold::holder;

/// The host's data.
pub struct Host {
    table: ResourceTable,
}

impl Host {
    fn new() -> Host {
        Host {
            table: ResourceTable::new(),
        }
    }
}

struct Counter(u32);

/// A component that is linked and runs.
pub struct Running {
    store: Store<Host>,
    instance: Instance,
    pre: InstancePre<Host>,
    /// Since the store was made.
    calls: u32,
}

impl Running {
    /// Makes a new store where `n` more calls would be too many for this one.
    fn renew(&mut self, n: u32) {
        self.calls = self.calls.saturating_add(n);
        if self.calls > super::RENEW {
            self.calls = n;
            self.store = Store::new(self.pre.engine(), Host::new());
            self.instance = block_on(self.pre.instantiate_async(&mut self.store)).unwrap();
        }
    }
}

fn add_resource(linker: &mut Linker<Host>) {
    let mut res = linker.instance("res").unwrap();
    res.resource(
        "counter",
        ResourceType::host::<Counter>(),
        |mut s: StoreContextMut<'_, Host>, rep| {
            s.data_mut()
                .table
                .delete(Resource::<Counter>::new_own(rep))?;
            Ok(())
        },
    )
    .unwrap();
    res.func_wrap(
        "[constructor]counter",
        |mut s: StoreContextMut<'_, Host>, (): ()| Ok((s.data_mut().table.push(Counter(0))?,)),
    )
    .unwrap();
    res.func_wrap(
        "[method]counter.bump",
        |mut s: StoreContextMut<'_, Host>, (c,): (Resource<Counter>,)| {
            let c = s.data_mut().table.get_mut(&c)?;
            c.0 += 1;
            Ok((c.0,))
        },
    )
    .unwrap();
}

fn linker(engine: &Engine, host: rows::Host) -> Linker<Host> {
    let mut linker = Linker::<Host>::new(engine);
    add_resource(&mut linker);
    match host {
        rows::Host::Plain => {
            let mut root = linker.root();
            root.func_wrap("host-add", |_, (a, b): (u32, u32)| Ok((a.wrapping_add(b),)))
                .unwrap();
            root.func_wrap("take", |_, (s, l): (String, Vec<u32>)| {
                Ok(((s.len() + l.len()) as u32,))
            })
            .unwrap();
        }
        rows::Host::Dynamic => func_new(&mut linker, "host-add", calls::add),
        rows::Host::Ready => {
            func_async(&mut linker, "host-add", |(a, b): (u32, u32)| async move {
                (a.wrapping_add(b),)
            });
        }
        rows::Host::Nap => func_async(&mut linker, "nap", |(x,): (u32,)| async move {
            tasks::once().await;
            (x,)
        }),
    }
    linker
}

fn component(engine: &Engine, text: Text) -> Component {
    match text {
        Text::Wat(text) => Component::new(engine, text).unwrap(),
        Text::Big => Component::from_binary(engine, texts::big()).unwrap(),
        Text::Image => Component::from_binary(engine, texts::image()).unwrap(),
    }
}

fn running_with(row: &Row, concurrency: bool, more: impl FnOnce(&mut Linker<Host>)) -> Running {
    let engine = Engine::new(&config(row.setting, concurrency)).unwrap();
    let component = component(&engine, row.text);
    let mut linker = linker(&engine, row.host);
    more(&mut linker);
    let pre = linker.instantiate_pre(&component).unwrap();
    let mut store = Store::new(&engine, Host::new());
    let instance = if concurrency {
        block_on(pre.instantiate_async(&mut store)).unwrap()
    } else {
        pre.instantiate(&mut store).unwrap()
    };
    Running {
        store,
        instance,
        pre,
        calls: 0,
    }
}

fn running(row: &Row, concurrency: bool) -> Running {
    running_with(row, concurrency, |_| {})
}

/// `row` as a closure that does so many rounds. Without `concurrency` only where the row is
/// synchronous.
pub fn workload(row: &Row, concurrency: bool) -> Operation {
    let running = || running(row, concurrency);
    match row.drive {
        Drive::Typed => calls::typed(running()),
        Drive::Dynamic => calls::dynamic(running()),
        Drive::CallAsync => calls::call_async(running()),
        Drive::Concurrent => calls::concurrent(running()),
        Drive::Chain => calls::chain(running()),
        Drive::HostData { string, list } => calls::host_data(running(), string, list),
        Drive::Guest {
            export,
            args,
            result,
            asynchronous: false,
        } => calls::guest(running(), export, args, result),
        Drive::Guest {
            export,
            args,
            result,
            asynchronous: true,
        } => tasks::guest(running(), export, args, result),
        Drive::StreamToGuest(chunk) => tasks::stream_to_guest(running(), chunk),
        Drive::StreamToHost(chunk) => tasks::stream_to_host(running(), chunk),
        Drive::ManyTasks(total) => tasks::many(total, |more| running_with(row, true, more)),
        Drive::Instance { check } => instances::instance(&running(), check),
        Drive::InstanceTouch(pages) => instances::touch(&running(), pages),
        Drive::Compile => {
            instances::compile(&Engine::new(&config(row.setting, concurrency)).unwrap())
        }
    }
}
