//! One interface under several names in a world: each name is an import or export of its own,
//! with a host's own implementation.

use helve::component::{Component, HasData, Linker};
use helve::{Engine, Result, Store};

helve::bindgen!({
    inline: "
        package test:named;
        interface store {
            enum kind { small, large }
            size: func(k: kind) -> u32;
        }
        world stores {
            import primary: store;
            import secondary: store;
            import store;
            export first: store;
            export second: store;
        }
    ",
});

/// Exports that pass on to the imports: `first` to `primary`, `second` to `secondary`.
const GUEST: &str = r#"(component
    (type $store (instance
        (type $k (enum "small" "large"))
        (export "kind" (type $kind (eq $k)))
        (export "size" (func (param "k" $kind) (result u32)))))
    (import "primary" (instance $primary (type $store)))
    (import "secondary" (instance $secondary (type $store)))
    (import "test:named/store" (instance (type $store)))
    (alias export $primary "kind" (type $one))
    (alias export $secondary "kind" (type $two))
    (core func $one (canon lower (func $primary "size")))
    (core func $two (canon lower (func $secondary "size")))
    (core module $m
        (import "" "one" (func $one (param i32) (result i32)))
        (import "" "two" (func $two (param i32) (result i32)))
        (func (export "one") (param i32) (result i32) (call $one (local.get 0)))
        (func (export "two") (param i32) (result i32) (call $two (local.get 0))))
    (core instance $i (instantiate $m (with "" (instance
        (export "one" (func $one)) (export "two" (func $two))))))
    (func $first (param "k" $one) (result u32) (canon lift (core func $i "one")))
    (func $second (param "k" $two) (result u32) (canon lift (core func $i "two")))
    (instance $a (export "kind" (type $one)) (export "size" (func $first)))
    (instance $b (export "kind" (type $two)) (export "size" (func $second)))
    (export "first" (instance $a))
    (export "second" (instance $b)))"#;

struct Sizes {
    primary: u32,
    secondary: u32,
}

impl primary::Host for Sizes {
    fn size(&mut self, kind: primary::Kind) -> u32 {
        self.primary + kind as u32
    }
}

impl secondary::Host for Sizes {
    fn size(&mut self, kind: secondary::Kind) -> u32 {
        self.secondary + kind as u32
    }
}

impl test::named::store::Host for Sizes {
    fn size(&mut self, _: test::named::store::Kind) -> u32 {
        0
    }
}

/// The store's data lent as what implements the hosts.
struct View;

impl HasData for View {
    type Data<'a> = &'a mut Sizes;
}

#[test]
fn each_name_has_its_own_host_and_its_own_accessor() -> Result<()> {
    let engine = Engine::default();
    let component = Component::new(&engine, GUEST)?;
    let mut linker = Linker::new(&engine);
    Stores::add_to_linker::<Sizes, View>(&mut linker, |data| data)?;
    let sizes = Sizes {
        primary: 10,
        secondary: 20,
    };
    let mut store = Store::new(&engine, sizes);
    let stores = Stores::instantiate(&mut store, &component, &linker)?;
    let (first, second) = (stores.first(), stores.second());
    use exports::{first, second};
    assert_eq!(first.call_size(&mut store, first::Kind::Large)?, 11);
    assert_eq!(second.call_size(&mut store, second::Kind::Small)?, 20);
    Ok(())
}
