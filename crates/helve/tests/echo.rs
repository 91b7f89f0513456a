//! Random values of many types, through a guest and back, by generated bindings.
//!
//! ```text
//! test --export (call_eN)--> guest: passes on what it got --import (Host::eN)--> host
//!   <------------------------ the same <----------------------------------------- the same
//! ```
//!
//! The guest is made here, of the WIT alone: each export calls the import of its name with
//! the very arguments. Not here: what bindings are generated (`worlds`).

#[macro_use]
mod support {
    pub mod forwarder;
    #[macro_use]
    pub mod rng;
}

use helve::component::{Component, HasSelf, Linker};
use helve::{Config, Engine, Store};
use support::forwarder::forwarder;
use support::rng::{Any, Rng};

mod bindings {
    helve::bindgen!({
        path: "tests/worlds/echo.wit",
        additional_derives: [PartialEq],
    });
}

use bindings::corpus::echo::echo as host;
use bindings::exports::corpus::echo::echo::*;

/// A host that gives back what it gets.
struct Mirror {
    calls: usize,
}

/// `any` for records and variants, on the guest's side of the bindings.
macro_rules! any {
    ($(struct $name:ident { $($field:ident),* })* $(enum $variant:ident { $($case:expr),* })*) => {
        $(impl Any for $name {
            fn any(rng: &mut Rng) -> Self {
                $name { $($field: Any::any(rng)),* }
            }
        })*
        $(impl Any for $variant {
            fn any(rng: &mut Rng) -> Self {
                let cases: &[fn(&mut Rng) -> $variant] = &[$($case),*];
                cases[rng.below(cases.len())](rng)
            }
        })*
    };
}

any! {
    struct Plain { a, b, c, d, e, f, g, h }
    struct Mixed { flag, letter, text, bytes, half }
    struct Spill { a, b, c, d }
    enum Few { |_| Few::One, |_| Few::Two, |_| Few::Three }
    enum Lots { |_| Lots::K0, |_| Lots::K1, |_| Lots::K127, |_| Lots::K128, |_| Lots::K255, |_| Lots::K256, |_| Lots::K259 }
    enum Pick {
        |_| Pick::Nothing, |r| Pick::Number(Any::any(r)), |r| Pick::Text(Any::any(r)),
        |r| Pick::Rec(Any::any(r)), |r| Pick::Many(Any::any(r)), |r| Pick::Pair(Any::any(r))
    }
    enum PickItem { |r| PickItem::A(Any::any(r)), |r| PickItem::B(Any::any(r)), |r| PickItem::C(Any::any(r)) }
}

impl Any for Bits {
    fn any(rng: &mut Rng) -> Self {
        Bits::from_bits_truncate(Any::any(rng))
    }
}

impl Any for MoreBits {
    fn any(rng: &mut Rng) -> Self {
        MoreBits::from_bits_truncate(Any::any(rng))
    }
}

lend!(copy Plain, Few, Lots, Bits, MoreBits; borrow Mixed, Spill, Pick);

type Optional = (Option<u8>, Option<u64>, Option<f32>, Option<String>);

/// For each function its type on the host's side, and a round of random values through it.
macro_rules! functions {
    ($($call:ident $name:ident: $ty:ty => $of:ty;)*) => {
        impl host::Host for Mirror {
            $(fn $name(&mut self, x: $ty) -> $ty {
                self.calls += 1;
                x
            })*
        }

        /// Sends one value through each function; how many those were.
        fn round(store: &mut Store<Mirror>, guest: &Guest, rng: &mut Rng) -> usize {
            let mut count = 0;
            $({
                let x: $of = Any::any(rng);
                let back = guest.$call(&mut *store, support::rng::lend(&x)).expect("it runs");
                assert_eq!(format!("{back:?}"), format!("{x:?}"), stringify!($name));
                count += 1;
            })*
            count
        }
    };
}

functions! {
    call_e0 e0: bool => bool;
    call_e1 e1: u8 => u8;
    call_e2 e2: i8 => i8;
    call_e3 e3: u16 => u16;
    call_e4 e4: i16 => i16;
    call_e5 e5: u32 => u32;
    call_e6 e6: i32 => i32;
    call_e7 e7: u64 => u64;
    call_e8 e8: i64 => i64;
    call_e9 e9: f32 => f32;
    call_e10 e10: f64 => f64;
    call_e11 e11: char => char;
    call_e12 e12: String => String;
    call_e13 e13: Vec<u8> => Vec<u8>;
    call_e14 e14: Vec<f64> => Vec<f64>;
    call_e15 e15: Vec<String> => Vec<String>;
    call_e16 e16: Vec<Vec<u32>> => Vec<Vec<u32>>;
    call_e17 e17: Option<u64> => Option<u64>;
    call_e18 e18: Option<Option<String>> => Option<Option<String>>;
    call_e19 e19: Result<u8, String> => Result<u8, String>;
    call_e20 e20: Result<Vec<char>, Result<f32, u64>> => Result<Vec<char>, Result<f32, u64>>;
    call_e21 e21: Result<(), ()> => Result<(), ()>;
    call_e22 e22: (u8, String, f64, Vec<u16>) => (u8, String, f64, Vec<u16>);
    call_e23 e23: host::Plain => Plain;
    call_e24 e24: host::Mixed => Mixed;
    call_e25 e25: host::Spill => Spill;
    call_e26 e26: host::Few => Few;
    call_e27 e27: host::Lots => Lots;
    call_e28 e28: host::Bits => Bits;
    call_e29 e29: host::MoreBits => MoreBits;
    call_e30 e30: host::Pick => Pick;
    call_e31 e31: Vec<host::Pick> => Vec<Pick>;
    call_e32 e32: Vec<host::Plain> => Vec<Plain>;
    call_e33 e33: Vec<(host::Few, host::Bits, bool)> => Vec<(Few, Bits, bool)>;
    call_e34 e34: Vec<host::Lots> => Vec<Lots>;
    call_e35 e35: Option<host::Spill> => Option<Spill>;
    call_e36 e36: Vec<(String, u32)> => Vec<(String, u32)>;
    call_e37 e37: Vec<(u16, Vec<Option<String>>)> => Vec<(u16, Vec<Option<String>>)>;
    call_e38 e38: [u32; 3] => [u32; 3];
    call_e39 e39: [String; 2] => [String; 2];
    call_e40 e40: Vec<[u8; 4]> => Vec<[u8; 4]>;
    call_e41 e41: Result<(), host::Mixed> => Result<(), Mixed>;
    call_e42 e42: Optional => Optional;
    call_e43 e43: Vec<host::MoreBits> => Vec<MoreBits>;
}

#[test]
fn values_come_back_unchanged() {
    let engine = Engine::new(Config::new().all_features(true)).expect("an engine");
    let bytes = forwarder("tests/worlds/echo.wit", "echo-world");
    let component = Component::new(&engine, bytes).expect("a component");
    let mut linker: Linker<Mirror> = Linker::new(&engine);
    bindings::EchoWorld::add_to_linker::<_, HasSelf<_>>(&mut linker, |data| data)
        .expect("names are free");
    let mut store = Store::new(&engine, Mirror { calls: 0 });
    let mut sent = 0;
    for seed in 0..200 {
        // A fresh instance each: its memory is never given back.
        let world =
            bindings::EchoWorld::instantiate(&mut store, &component, &linker).expect("an instance");
        let mut rng = Rng::new(seed);
        sent += round(&mut store, world.corpus_echo_echo(), &mut rng);
    }
    assert_eq!(store.data().calls, sent);
    assert_eq!(sent, 200 * 44);
}
