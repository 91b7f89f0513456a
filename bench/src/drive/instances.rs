//! Instances that come and go, and compiling.

use super::super::engine::component::Component;
use super::super::engine::{Engine, Store};
use super::{Host, Running};
use crate::measure::Operation;
use crate::texts;

pub fn instance(run: &Running, check: u32) -> Operation {
    let pre = run.pre.clone();
    let mut store = Store::new(pre.engine(), Host::new());
    let instance = pre.instantiate(&mut store).unwrap();
    let f = instance
        .get_typed_func::<(u32,), (u32,)>(&mut store, "f")
        .unwrap();
    assert_eq!(f.call(&mut store, (0,)).unwrap(), (check,));
    Box::new(move |n| {
        for _ in 0..n {
            let mut store = Store::new(pre.engine(), Host::new());
            pre.instantiate(&mut store).unwrap();
        }
    })
}

pub fn touch(run: &Running, pages: u32) -> Operation {
    let pre = run.pre.clone();
    let touch = pre.component().get_export_index(None, "touch").unwrap();
    let sum: u32 = (0..pages)
        .map(|page| u32::from(texts::image_byte(page << 16)))
        .sum();
    Box::new(move |n| {
        for _ in 0..n {
            let mut store = Store::new(pre.engine(), Host::new());
            let instance = pre.instantiate(&mut store).unwrap();
            let f = instance
                .get_typed_func::<(u32,), (u32,)>(&mut store, &touch)
                .unwrap();
            assert_eq!(f.call(&mut store, (pages,)).unwrap(), (sum,));
        }
    })
}

pub fn compile(engine: &Engine) -> Operation {
    let engine = engine.clone();
    let bytes = texts::big();
    Box::new(move |n| {
        for _ in 0..n {
            std::hint::black_box(Component::from_binary(&engine, bytes).unwrap());
        }
    })
}
