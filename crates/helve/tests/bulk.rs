//! `memory.copy` and `memory.fill` with a constant length, which are loads and stores where it
//! is small, beside the same with a length that is not known before: same bytes, same traps,
//! and nothing is written where it traps.

use helve::core::{Linker, Memory, Module, Val};
use helve::{CompileMode, Config, Engine, OptLevel, Store, Trap};

const LENGTHS: [u32; 24] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 100, 1000,
];

/// Functions `copy` and `fill` with each length, and with any (`copy`, `fill`), on a memory
/// with indices of type `index`.
fn module(index: &str) -> String {
    let ty = if index == "i64" { "i64" } else { "" };
    let mut text = format!("(module (memory (export \"memory\") {ty} 1)");
    let params = format!("(param $to {index})");
    for (suffix, more, len) in std::iter::once((
        String::new(),
        format!("(param $len {index})"),
        "(local.get $len)".to_owned(),
    ))
    .chain(
        LENGTHS
            .iter()
            .map(|n| (n.to_string(), String::new(), format!("({index}.const {n})"))),
    ) {
        text += &format!(
            "(func (export \"copy{suffix}\") {params} (param $from {index}) {more}
                (memory.copy (local.get $to) (local.get $from) {len}))
             (func (export \"fill{suffix}\") {params} (param $byte i32) {more}
                (memory.fill (local.get $to) (local.get $byte) {len}))"
        );
    }
    text + ")"
}

struct Guest {
    store: Store<()>,
    instance: helve::core::Instance,
    memory: Memory,
    wide: bool,
    /// What the memory is full of before each call.
    before: Vec<u8>,
}

impl Guest {
    fn new(wide: bool, mode: CompileMode, level: OptLevel, fuel: bool) -> Guest {
        let mut config = Config::new();
        config
            .verifier(true)
            .compile(mode)
            .optimize(level)
            .consume_fuel(fuel);
        let engine = Engine::new(&config).expect("an engine");
        let text = module(if wide { "i64" } else { "i32" });
        let module = Module::new(&engine, text).expect("a module");
        let mut store = Store::new(&engine, ());
        if fuel {
            store.set_fuel(u64::MAX >> 1).expect("counted");
        }
        let instance = Linker::new(&engine).instantiate(&mut store, &module);
        let instance = instance.expect("an instance");
        let memory = instance.get_memory(&mut store, "memory").expect("there");
        Guest {
            store,
            instance,
            memory,
            wide,
            before: (0..65536u32).map(|i| (i * 7 + i / 256) as u8).collect(),
        }
    }

    fn index(&self, n: u64) -> Val {
        match self.wide {
            true => Val::I64(n as i64),
            false => Val::I32(n as u32 as i32),
        }
    }

    /// Whether it traps, and the memory then; which is full of bytes that differ before.
    fn run(&mut self, name: &str, args: &[Val]) -> (bool, Vec<u8>) {
        let before = &self.before;
        self.memory.write(&mut self.store, 0, before).expect("fits");
        let func = self
            .instance
            .get_func(&mut self.store, name)
            .expect("there");
        let outcome = func.call(&mut self.store, args, &mut []);
        if let Err(error) = &outcome {
            assert_eq!(
                error.downcast_ref(),
                Some(&Trap::MemoryOutOfBounds),
                "{name}"
            );
        }
        let mut after = vec![0; 65536];
        self.memory.read(&self.store, 0, &mut after).expect("fits");
        if outcome.is_err() {
            assert!(
                after == *before,
                "{name} {args:?} wrote something before it trapped"
            );
        }
        (outcome.is_err(), after)
    }
}

#[test]
fn constant_lengths_do_what_others_do() {
    let ways = [
        (CompileMode::Ahead, OptLevel::Speed, false),
        (CompileMode::Ahead, OptLevel::None, true),
        (CompileMode::Lazy, OptLevel::Speed, false),
    ];
    for wide in [false, true] {
        for (mode, level, fuel) in ways {
            let mut guest = Guest::new(wide, mode, level, fuel);
            for len in LENGTHS {
                both(&mut guest, u64::from(len));
            }
        }
    }
}

fn both(guest: &mut Guest, len: u64) {
    const END: u64 = 65536;
    let places = [
        0,
        100,
        101,
        107,
        133,
        200,
        END - len,
        END - len + 1,
        END,
        END + 1,
        u64::MAX,
    ];
    let n = guest.index(len);
    for to in places {
        let at = guest.index(to);
        // Of this only the lowest byte counts.
        let byte = Val::I32(0x1a5);
        let found = guest.run(&format!("fill{len}"), &[at, byte]);
        let other = guest.run("fill", &[at, byte, n]);
        assert!(found == other, "fill {len} bytes at {to}");
        let traps = to.min(if guest.wide { to } else { to & 0xffff_ffff }) > END - len;
        assert_eq!(found.0, traps, "fill {len} bytes at {to}");
        for from in places {
            let from_val = guest.index(from);
            let found = guest.run(&format!("copy{len}"), &[at, from_val]);
            let other = guest.run("copy", &[at, from_val, n]);
            assert!(found == other, "copy {len} bytes from {from} to {to}");
        }
    }
}
