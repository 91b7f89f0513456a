//! Memories and stacks from pools: whatever the settings, a guest starts with what its
//! module says and nothing of another guest's; pools are bounded; many instances take no
//! more memory than one.

use helve::core::{Extern, Linker, Memory, Module};
use helve::{
    CompileMode, Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
    Store,
};

/// Settings that must make no difference to guests.
fn settings() -> Vec<(String, Config)> {
    let mut all = Vec::new();
    let mut strategies = vec![InstanceAllocationStrategy::OnDemand];
    for scan in [Enabled::Auto, Enabled::No] {
        for resident in [0, 4096, 70_000, 1 << 30] {
            for slots in [0, 1, 100] {
                let mut pool = PoolingAllocationConfig::new();
                pool.pagemap_scan(scan)
                    .linear_memory_keep_resident(resident)
                    .async_stack_keep_resident(resident)
                    .max_unused_warm_slots(slots);
                strategies.push(pool.into());
            }
        }
    }
    for strategy in strategies {
        for images in [true, false] {
            for mode in [CompileMode::Ahead, CompileMode::Lazy] {
                let mut config = Config::new();
                config
                    .allocation_strategy(strategy.clone())
                    .memory_init_cow(images)
                    .compile(mode);
                all.push((format!("{strategy:?}, images {images}, {mode:?}"), config));
            }
        }
    }
    all
}

/// Pages of a memory, and data segments: where to, and what.
type Kind<'a> = (usize, Vec<(usize, &'a [u8])>);

/// Modules whose memories start differently, with what these hold then.
fn modules(engine: &Engine) -> Vec<(Module, Vec<u8>)> {
    let dense: Vec<u8> = (0..150_000u32).map(|i| (i % 251) as u8 + 1).collect();
    let kinds: [Kind<'_>; 5] = [
        (1, vec![]),
        (3, vec![(70_001, b"few bytes")]),
        (4, vec![(0, &dense)]),
        (
            3,
            vec![
                (5_000, &dense[..20_000]),
                (3 * 65536 - 9, b"the end !"),
                (6_000, b"over"),
            ],
        ),
        (6, vec![(4 * 65536 + 17, &dense[7..90_000])]),
    ];
    let make = |(pages, segments): Kind<'_>| {
        let mut text = format!("(module (memory (export \"m\") {pages} 10)");
        let mut first = vec![0; pages * 65536];
        for (at, bytes) in segments {
            let hex: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
            text.push_str(&format!("(data (i32.const {at}) \"{hex}\")"));
            first[at..at + bytes.len()].copy_from_slice(bytes);
        }
        text.push_str(
            r#"(func (export "fill") (param $from i32) (param $byte i32) (param $len i32)
                (memory.fill (local.get $from) (local.get $byte) (local.get $len)))
            (func $grow (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
            (table $t (export "t") 12 3000 funcref)
            (elem declare func $grow)
            (func (export "put") (param $more i32)
                (drop (table.grow $t (ref.null func) (local.get $more)))
                (table.fill $t (i32.const 0) (ref.func $grow) (table.size $t)))
            (func (export "nulls") (param $more i32) (result i32) (local $i i32) (local $n i32)
                (drop (table.grow $t (ref.null func) (local.get $more)))
                (loop $next
                    (local.set $n (i32.add (local.get $n)
                        (ref.is_null (table.get $t (local.get $i)))))
                    (local.set $i (i32.add (local.get $i) (i32.const 1)))
                    (br_if $next (i32.lt_u (local.get $i) (table.size $t))))
                (local.get $n)))"#,
        );
        (Module::new(engine, &text).expect("a module"), first)
    };
    kinds.into_iter().map(make).collect()
}

#[test]
fn no_byte_of_one_tenant_is_seen_by_the_next() {
    for (what, config) in settings() {
        let engine = Engine::new(&config).expect("an engine");
        let modules = modules(&engine);
        let mut seed = 7u32;
        let mut random = move |below: usize| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 9) as usize % below
        };
        for round in 0..30 {
            let mut stores = Vec::new();
            for _ in 0..=random(3) {
                let (module, first) = &modules[random(modules.len())];
                let mut store = Store::new(&engine, ());
                let instance = Linker::new(&engine)
                    .instantiate(&mut store, module)
                    .expect("an instance");
                let memory = instance.get_memory(&store, "m").expect("a memory");
                assert_eq!(
                    memory.data(&store).expect("bytes"),
                    first,
                    "{what}, round {round}"
                );
                let grow = instance.get_typed_func::<i32, i32>(&store, "grow");
                let more = random(4) as i32;
                grow.and_then(|grow| grow.call(&mut store, more))
                    .expect("growth");
                let rest = memory.data(&store).expect("bytes")[first.len()..].iter();
                assert!(rest.clone().all(|&byte| byte == 0), "{what}, round {round}");
                let all = memory.data(&store).expect("bytes").len();
                let more = random(1000) as i32;
                let nulls = instance.get_typed_func::<i32, i32>(&store, "nulls");
                let nulls = nulls.and_then(|nulls| nulls.call(&mut store, more));
                assert_eq!(nulls.expect("a number"), 12 + more, "{what}, round {round}");
                let put = instance.get_typed_func::<i32, ()>(&store, "put");
                put.and_then(|put| put.call(&mut store, random(1000) as i32))
                    .expect("references");
                let fill = instance.get_typed_func::<(i32, i32, i32), ()>(&store, "fill");
                let fill = fill.expect("a function");
                for _ in 0..random(5) {
                    let from = random(all);
                    let len = random((all - from).min(40_000) + 1);
                    let args = (from as i32, 0xee, len as i32);
                    fill.call(&mut store, args).expect("a fill");
                }
                stores.push(store);
            }
        }
    }
}

/// A segment of elements that traps comes before the data, images or not.
#[test]
fn data_after_a_trap_is_not_there() {
    let engine = Engine::new(&Config::new()).expect("an engine");
    let data = "\\aa".repeat(20_000);
    let module = format!(
        r#"(module (import "" "t" (table 4 funcref)) (memory 1) (table $own 1 funcref)
            (func $peek (result i32) (i32.load8_u (i32.const 100)))
            (elem (table 0) (i32.const 0) func $peek)
            (elem (table $own) (i32.const 1) func $peek)
            (data (i32.const 0) "{data}"))"#
    );
    let module = Module::new(&engine, module).expect("a module");
    let call = r#"(module (import "" "t" (table 4 funcref))
        (func (export "peek") (result i32) (call_indirect (result i32) (i32.const 0))))"#;
    let call = Module::new(&engine, call).expect("a module");
    for round in 0..3 {
        let mut store = Store::new(&engine, ());
        let mut linker = Linker::new(&engine);
        let table = Module::new(&engine, r#"(module (table (export "t") 4 funcref))"#);
        let table = linker.instantiate(&mut store, &table.expect("a module"));
        let table = table
            .expect("an instance")
            .get_export(&store, "t")
            .expect("a table");
        linker.define("", "t", table).expect("a name");
        let trap = linker.instantiate(&mut store, &module).expect_err("a trap");
        assert!(trap.to_string().contains("out of bounds"), "{trap:#}");
        let peek = linker.instantiate(&mut store, &call).expect("an instance");
        let peek = peek
            .get_typed_func::<(), i32>(&store, "peek")
            .expect("a function");
        assert_eq!(
            peek.call(&mut store, ()).expect("a result"),
            0,
            "round {round}"
        );
    }
}

#[test]
fn the_pool_is_bounded() {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_memories(3);
    let engine = Engine::new(Config::new().allocation_strategy(pool)).expect("an engine");
    let module = Module::new(&engine, "(module (memory 1))").expect("a module");
    let make = |engine: &Engine| {
        let mut store = Store::new(engine, ());
        let made = Linker::new(engine).instantiate(&mut store, &module);
        made.map(|_| store)
    };
    for _ in 0..3 {
        let stores: Vec<_> = (0..3)
            .map(|_| make(&engine).expect("an instance"))
            .collect();
        let error = make(&engine).expect_err("one too many");
        assert!(format!("{error:#}").contains("total_memories"), "{error:#}");
        drop(stores);
    }
}

/// Bytes of memory that this process has.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").expect("statm");
    let pages = status
        .split(' ')
        .nth(1)
        .and_then(|n| n.parse::<usize>().ok());
    pages.expect("a number") * 4096
}

#[test]
fn many_instances_take_no_more_memory_than_few() {
    let engine = Engine::new(&Config::new()).expect("an engine");
    let module = r#"(module (memory (export "m") 1) (table 10 funcref)
        (func (export "f") (result i32) (i32.store (i32.const 5) (i32.const 1)) (i32.const 1)))"#;
    let module = Module::new(&engine, module).expect("a module");
    let linker = Linker::new(&engine);
    let run = |count: u32| {
        for _ in 0..count {
            let mut store = Store::new(&engine, ());
            let instance = linker
                .instantiate(&mut store, &module)
                .expect("an instance");
            let f = instance
                .get_typed_func::<(), i32>(&store, "f")
                .expect("a function");
            assert_eq!(f.call(&mut store, ()).expect("a result"), 1);
        }
    };
    run(1_000);
    let before = resident();
    run(20_000);
    let more = resident().saturating_sub(before);
    assert!(more < 8 << 20, "{more} bytes more after 20,000 instances");
}

/// What the host makes is pooled too.
#[test]
fn memories_of_the_host_start_as_zeros() {
    let engine = Engine::new(&Config::new()).expect("an engine");
    for _ in 0..5 {
        let mut store = Store::new(&engine, ());
        let ty = helve::core::MemoryType {
            minimum: 2,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: 16,
        };
        let memory = Memory::new(&mut store, ty).expect("a memory");
        assert!(
            memory
                .data(&store)
                .expect("bytes")
                .iter()
                .all(|&byte| byte == 0)
        );
        memory.data_mut(&mut store).expect("bytes").fill(9);
        let _ = Extern::Memory(memory);
    }
}
