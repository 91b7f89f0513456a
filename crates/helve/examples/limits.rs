//! Limits and metering: fuel for time, a limiter for memory, and what an instance uses.
//!
//! ```sh
//! cargo run --package helve --example limits
//! ```

use helve::component::{Component, Linker};
use helve::{Config, Engine, InstanceLimits, Limiter, Result, Store, Trap};

/// A guest that counts, and one that grows.
const GUEST: &str = r#"(component
    (core module $m
        (memory (export "memory") 1)
        (func (export "count") (param i64)
            (loop $more
                (local.set 0 (i64.sub (local.get 0) (i64.const 1)))
                (br_if $more (i64.ne (local.get 0) (i64.const 0)))))
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))
    (core instance $i (instantiate $m))
    (func (export "count") (param "to" u64) (canon lift (core func $i "count")))
    (func (export "grow") (param "pages" u32) (result s32) (canon lift (core func $i "grow"))))"#;

/// The host's data: how much memory guests have, and may have.
struct Quota {
    used: u64,
    most: u64,
}

impl Limiter for Quota {
    fn memory_growing(&mut self, current: u64, desired: u64, _maximum: Option<u64>) -> bool {
        let used = self.used + (desired - current);
        let allowed = used <= self.most;
        if allowed {
            self.used = used;
        }
        allowed
    }

    fn table_growing(&mut self, _current: u64, _desired: u64, _maximum: Option<u64>) -> bool {
        true
    }
}

fn main() -> Result<()> {
    let engine = Engine::new(Config::new().consume_fuel(true))?;
    let component = Component::new(&engine, GUEST)?;
    let quota = Quota {
        used: 0,
        most: 4 << 16,
    };
    let mut store = Store::new(&engine, quota);
    store.limiter(|quota| quota);
    store.set_fuel(1_000_000)?;
    let linker = Linker::new(&engine);
    let instance = linker.instantiate(&mut store, &component)?;
    let count = instance.get_typed_func::<(u64,), ()>(&mut store, "count")?;
    let grow = instance.get_typed_func::<(u32,), (i32,)>(&mut store, "grow")?;

    // Metering: what a call costs.
    let before = store.get_fuel()?;
    count.call(&mut store, (1000,))?;
    let cost = before - store.get_fuel()?;
    println!("counting to 1000 costs {cost} units of fuel");
    assert!(cost >= 1000);

    // Memory: the guest is told no, and goes on.
    assert_eq!(grow.call(&mut store, (3,))?, (1,));
    assert_eq!(grow.call(&mut store, (1,))?, (-1,));
    for usage in instance.usage(&mut store)? {
        println!("{}: {} bytes of memory", usage.instance, usage.memory_bytes);
        assert_eq!(usage.memory_bytes, 4 << 16);
    }

    // What each component instance may have by itself, whatever the store has left.
    store.data_mut().most = u64::MAX;
    let mut limits = InstanceLimits::from(engine.limits());
    limits.memory_bytes = 2 << 16;
    store.set_instance_limits(limits);
    let small = linker.instantiate(&mut store, &component)?;
    let small = small.get_typed_func::<(u32,), (i32,)>(&mut store, "grow")?;
    assert_eq!(small.call(&mut store, (1,))?, (1,));
    assert_eq!(small.call(&mut store, (1,))?, (-1,));

    // Time: a guest that never ends is ended.
    let error = count.call(&mut store, (u64::MAX,)).unwrap_err();
    assert_eq!(error.trap(), Some(Trap::OutOfFuel));
    println!("and a call that never ends: {}", Trap::OutOfFuel);
    Ok(())
}

#[test]
fn it_runs() -> Result<()> {
    main()
}
