//! Things that are made and kept, so that their memory can be seen.

use super::super::config;
use super::super::engine::component::{Component, Linker};
use super::super::engine::{Engine, Store};
use super::Host;
use crate::measure::Operation;
use crate::memory::Thing;
use crate::rows::Setting;

const HOLD: &str = include_str!("../../wat/hold.wat");
const SMALL: &str = include_str!("../../wat/inst_small.wat");

/// Makes so many things and keeps them for as long as it lives.
pub fn holder(thing: Thing) -> Operation {
    let engine = Engine::new(&config(Setting::Default, true)).unwrap();
    let text = if thing == Thing::Instance {
        SMALL
    } else {
        HOLD
    };
    let component = Component::new(&engine, text).unwrap();
    let pre = Linker::<Host>::new(&engine)
        .instantiate_pre(&component)
        .unwrap();
    let mut store = Store::new(&engine, Host::new());
    if thing == Thing::Instance {
        return Box::new(move |n| {
            for _ in 0..n {
                pre.instantiate(&mut store).unwrap();
            }
        });
    }
    let instance = pre.instantiate(&mut store).unwrap();
    let export = if thing == Thing::Stream {
        "streams"
    } else {
        "handles"
    };
    let make = instance
        .get_typed_func::<(u32,), (u32,)>(&mut store, export)
        .unwrap();
    Box::new(move |n| assert_eq!(make.call(&mut store, (n,)).unwrap(), (n,)))
}
