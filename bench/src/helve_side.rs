//! The workloads on Helve.

use crate::rows::Row;
use helve::component::{Component, Linker, Resource, ResourceTable, ResourceType, Val};
use helve::{Config, Engine, Store, StoreContextMut};

struct Host {
    table: ResourceTable,
}

struct Counter(u32);

fn linker(engine: &Engine, dynamic: bool) -> Linker<Host> {
    let mut linker = Linker::<Host>::new(engine);
    if dynamic {
        add_dynamic(&mut linker);
    } else {
        linker.root().func_wrap("host-add", |_, (a, b): (u32, u32)| Ok((a.wrapping_add(b),))).unwrap();
    }
    let mut res = linker.instance("res").unwrap();
    res.resource("counter", ResourceType::host::<Counter>(), |mut s: StoreContextMut<'_, Host>, rep| {
        s.data_mut().table.delete(Resource::<Counter>::new_own(rep))?;
        Ok(())
    })
    .unwrap();
    res.func_wrap("[constructor]counter", |mut s: StoreContextMut<'_, Host>, (): ()| {
        Ok((s.data_mut().table.push(Counter(0))?,))
    })
    .unwrap();
    res.func_wrap("[method]counter.bump", |mut s: StoreContextMut<'_, Host>, (c,): (Resource<Counter>,)| {
        let c = s.data_mut().table.get_mut(&c)?;
        c.0 += 1;
        Ok((c.0,))
    })
    .unwrap();
    linker
}

fn add_dynamic(linker: &mut Linker<Host>) {
    linker
        .root()
        .func_new("host-add", |_, args, out| {
            if let [Val::U32(a), Val::U32(b)] = args {
                out[0] = Val::U32(a.wrapping_add(*b));
            }
            Ok(())
        })
        .unwrap();
}

/// `row` as a closure that does `n` operations.
pub fn workload(row: &Row) -> Box<dyn FnMut(u32)> {
    let engine = Engine::new(&Config::new()).unwrap();
    let component = Component::new(&engine, row.text).unwrap();
    let linker = linker(&engine, row.name == "guest-host-dynamic");
    let mut store = Store::new(&engine, Host { table: ResourceTable::new() });
    let instance = linker.instantiate(&mut store, &component).unwrap();
    if row.name.starts_with("host-guest") {
        let add = instance.get_func(&mut store, "add").unwrap();
        if row.name == "host-guest-dynamic" {
            return Box::new(move |n| {
                for i in 0..n {
                    let mut out = [Val::U32(0)];
                    add.call(&mut store, &[Val::U32(i), Val::U32(1)], &mut out).unwrap();
                    assert!(matches!(out[0], Val::U32(v) if v == i + 1));
                }
            });
        }
        let add = add.typed::<(u32, u32), (u32,)>(&store).unwrap();
        return Box::new(move |n| {
            for i in 0..n {
                assert_eq!(add.call(&mut store, (i, 1)).unwrap(), (i + 1,));
            }
        });
    }
    let export = if row.name.ends_with("-life") { "run-life" } else { "run" };
    let run = instance.get_typed_func::<(u32,), (u32,)>(&mut store, export).unwrap();
    Box::new(move |n| assert_eq!(run.call(&mut store, (n,)).unwrap(), (n,)))
}
