//! Callbacks on top of a stack that waits: they have as much room as on a stack of their own,
//! however deep the one that waits is, and end where that ends.

use crate::support::engine;
use helve::component::{Component, Instance, Linker};
use helve::{Engine, Error, Result, Store, StoreContextMut, Trap};

/// `begin(depth, rounds)` returns; its callback calls itself so deep, in so many rounds, and
/// then fails.
const CALLBACK: &str = r#"(component
    (import "fail" (func $fail))
    (core func $fail (canon lower (func $fail)))
    (core func $return (canon task.return))
    (core module $callback
        (import "" "fail" (func $fail))
        (import "" "return" (func $return))
        (global $depth (mut i32) (i32.const 0))
        (global $rounds (mut i32) (i32.const 0))
        (global $seen (mut i32) (i32.const 0))
        (func $deep (param i32) (result i32)
            (if (result i32) (local.get 0)
                (then (i32.add
                    (call $deep (i32.sub (local.get 0) (i32.const 1)))
                    (i32.const 1)))
                (else (i32.const 0))))
        (func (export "begin") (param $depth i32) (param $rounds i32) (result i32)
            (global.set $depth (local.get $depth))
            (global.set $rounds (local.get $rounds))
            (call $return)
            (i32.const 1))
        (func (export "callback") (param i32 i32 i32) (result i32)
            (if (i32.ge_u (global.get $seen) (global.get $rounds)) (then (call $fail)))
            (if (i32.ne (call $deep (global.get $depth)) (global.get $depth)) (then unreachable))
            (global.set $seen (i32.add (global.get $seen) (i32.const 1)))
            (i32.const 1)))
    (core instance $i (instantiate $callback (with "" (instance
        (export "fail" (func $fail)) (export "return" (func $return))))))
    (func (export "begin") async (param "depth" u32) (param "rounds" u32)
        (canon lift (core func $i "begin") async (callback (core func $i "callback")))))"#;

/// `deep(n)` calls itself so deep, and yields there.
const WAITER: &str = r#"(component
    (core func $yield (canon thread.yield))
    (core func $return (canon task.return (result u32)))
    (core module $waiter
        (import "" "yield" (func $yield (result i32)))
        (import "" "return" (func $return (param i32)))
        (func $deep (param i32) (result i32) (local $n i32)
            (if (result i32) (local.get 0)
                (then (i32.add
                    (call $deep (i32.sub (local.get 0) (i32.const 1)))
                    (i32.const 1)))
                (else
                    (loop $again
                        (drop (call $yield))
                        (br_if $again (i32.lt_u
                            (local.tee $n (i32.add (local.get $n) (i32.const 1)))
                            (i32.const 30))))
                    (i32.const 0))))
        (func (export "deep") (param i32) (call $return (call $deep (local.get 0)))))
    (core instance $i (instantiate $waiter (with "" (instance
        (export "yield" (func $yield)) (export "return" (func $return))))))
    (func (export "deep") async (param "n" u32) (result u32)
        (canon lift (core func $i "deep") async)))"#;

struct Guests {
    store: Store<()>,
    callback: Instance,
    waiter: Instance,
}

impl Guests {
    fn new(engine: &Engine, components: &[Component; 2]) -> Guests {
        let mut linker: Linker<()> = Linker::new(engine);
        let fail = |_: StoreContextMut<'_, ()>, (): ()| -> Result<()> { Err(Error::msg("enough")) };
        linker.root().func_wrap("fail", fail).unwrap();
        let mut store = Store::new(engine, ());
        let [callback, waiter] = components
            .each_ref()
            .map(|component| linker.instantiate(&mut store, component).unwrap());
        Guests {
            store,
            callback,
            waiter,
        }
    }

    fn begin(&mut self, depth: u32, rounds: u32) {
        let begin = self
            .callback
            .get_typed_func::<(u32, u32), ()>(&mut self.store, "begin");
        begin
            .unwrap()
            .call(&mut self.store, (depth, rounds))
            .unwrap();
    }

    fn deep(&mut self, n: u32) -> Result<u32> {
        let deep = self
            .waiter
            .get_typed_func::<(u32,), (u32,)>(&mut self.store, "deep")?;
        Ok(deep.call(&mut self.store, (n,))?.0)
    }
}

/// The greatest number for which `holds`.
fn most(mut holds: impl FnMut(u32) -> bool) -> u32 {
    let (mut low, mut high) = (1, 1 << 22);
    while low + 1 < high {
        let middle = (low + high) / 2;
        match holds(middle) {
            true => low = middle,
            false => high = middle,
        }
    }
    low
}

#[test]
fn callbacks_on_deep_stacks_have_as_much_room() {
    let engine = engine();
    let components = [CALLBACK, WAITER].map(|text| Component::new(&engine, text).unwrap());
    let guests = || Guests::new(&engine, &components);
    let deepest = most(|n| guests().deep(n).is_ok());
    // Alone, on a stack of its own or the native one.
    let room = most(|depth| {
        let mut guests = guests();
        guests.begin(depth, u32::MAX);
        guests.deep(0).unwrap();
        guests.store.take_unreported_error().is_none()
    });
    for eighths in 0..=8 {
        // Where it has called itself so deep there is still room for the call that waits.
        let depth = deepest * eighths / 8 - u32::from(eighths == 8);
        for below in [0, 1, 100] {
            let mut guests = guests();
            guests.begin((room - room / 50).saturating_sub(below), 20);
            assert_eq!(guests.deep(depth).unwrap(), depth);
            let error = guests
                .store
                .take_unreported_error()
                .expect("the last round");
            let text = format!("{error:#}");
            assert!(text.contains("enough"), "{depth}: {text}");
            // It ran while the other one waited.
            assert!(text.contains(" - waiter!"), "{depth}: {text}");
            assert_eq!(guests.deep(depth).unwrap(), depth);

            // And one that has no end.
            let mut guests = self::Guests::new(&engine, &components);
            guests.begin(u32::MAX, u32::MAX);
            assert_eq!(guests.deep(depth).unwrap(), depth);
            let error = guests.store.take_unreported_error().expect("no room");
            assert_eq!(
                error.trap(),
                Some(Trap::StackOverflow),
                "{depth}: {error:#}"
            );
            assert_eq!(guests.deep(depth).unwrap(), depth);
        }
    }
}
