//! Shared memories: guests of several threads and stores, who count, wait and notify.

use helve::core::{Extern, Instance, Linker, MemoryType, Module, SharedMemory, WaitResult};
use helve::{CompileMode, Config, Engine, Result, Store, Trap};
use std::time::Duration;

const GUEST: &str = r#"(module
    (import "host" "memory" (memory 1 4 shared))
    (data (i32.const 64) "shared")
    (func (export "count") (param $n i32)
        (loop $again
            (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))
            (drop (i64.atomic.rmw8.xor_u (i32.const 16) (i64.const 1)))
            (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
    (func (export "wait") (param i32 i64) (result i32)
        (memory.atomic.wait32 (i32.const 8) (local.get 0) (local.get 1)))
    (func (export "notify") (param i32) (result i32)
        (memory.atomic.notify (i32.const 8) (local.get 0)))
    (func (export "size") (result i32) (memory.size))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "peek") (param i32) (result i32) (i32.load8_u (local.get 0))))"#;

const SHARED: MemoryType = MemoryType {
    minimum: 1,
    maximum: Some(4),
    memory64: false,
    shared: true,
    page_size_log2: 16,
};

fn engines() -> Result<[Engine; 2]> {
    let engine = |mode| {
        let mut config = Config::new();
        config.wasm_threads(true).verifier(true).compile(mode);
        config.epoch_interruption(true);
        Engine::new(&config)
    };
    Ok([engine(CompileMode::Ahead)?, engine(CompileMode::Lazy)?])
}

fn guest(engine: &Engine, module: &Module, memory: &SharedMemory) -> Result<(Store<()>, Instance)> {
    let mut store = Store::new(engine, ());
    store.set_epoch_deadline(1);
    let mut linker = Linker::new(engine);
    let handle = memory.in_store(&mut store)?;
    linker.define("host", "memory", handle)?;
    let instance = linker.instantiate(&mut store, module)?;
    Ok((store, instance))
}

#[test]
fn nothing_is_lost_between_threads() -> Result<()> {
    for engine in engines()? {
        let module = Module::new(&engine, GUEST)?;
        let memory = SharedMemory::new(&engine, SHARED)?;
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let (mut store, instance) = guest(&engine, &module, &memory).expect("a guest");
                    let count = instance.get_typed_func::<i32, ()>(&store, "count");
                    count
                        .expect("exported")
                        .call(&mut store, 10_000)
                        .expect("returns");
                });
            }
        });
        let (mut store, instance) = guest(&engine, &module, &memory)?;
        let peek = instance.get_typed_func::<i32, i32>(&store, "peek")?;
        let bytes = [0, 1, 2, 3].map(|i| peek.call(&mut store, i).expect("in bounds") as u8);
        assert_eq!(u32::from_le_bytes(bytes), 40_000);
        assert_eq!(peek.call(&mut store, 16)?, 0);
        assert_eq!(peek.call(&mut store, 64)?, i32::from(b's'));
    }
    Ok(())
}

#[test]
fn threads_wait_for_each_other() -> Result<()> {
    for engine in engines()? {
        let module = Module::new(&engine, GUEST)?;
        let memory = SharedMemory::new(&engine, SHARED)?;
        let (mut store, instance) = guest(&engine, &module, &memory)?;
        let wait = instance.get_typed_func::<(i32, i64), i32>(&store, "wait")?;
        let notify = instance.get_typed_func::<i32, i32>(&store, "notify")?;
        assert_eq!(wait.call(&mut store, (7, -1))?, 1);
        assert_eq!(wait.call(&mut store, (0, 1_000_000))?, 2);
        assert_eq!(notify.call(&mut store, 5)?, 0);
        let short = Some(Duration::from_millis(1));
        assert_eq!(memory.atomic_wait32(8, 1, None)?, WaitResult::Mismatch);
        assert_eq!(memory.atomic_wait64(8, 0, short)?, WaitResult::TimedOut);
        assert_eq!(
            memory
                .atomic_wait32(9, 0, short)
                .err()
                .and_then(|e| e.trap()),
            Some(Trap::UnalignedAtomic)
        );
        assert_eq!(
            memory.atomic_notify(65536, 1).err().and_then(|e| e.trap()),
            Some(Trap::MemoryOutOfBounds)
        );
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| {
                let (mut store, instance) = guest(&engine, &module, &memory).expect("a guest");
                let wait = instance.get_typed_func::<(i32, i64), i32>(&store, "wait");
                wait.expect("exported").call(&mut store, (0, -1))
            });
            let host = scope.spawn(|| memory.atomic_wait32(8, 0, None));
            let mut woken = 0;
            while woken < 2 {
                woken += notify.call(&mut store, 1).expect("returns");
            }
            assert_eq!(waits.join().expect("no panic").expect("returns"), 0);
            assert_eq!(
                host.join().expect("no panic").expect("returns"),
                WaitResult::Ok
            );
            // Whoever waits for ever can be interrupted.
            let waits = scope.spawn(|| {
                let (mut store, instance) = guest(&engine, &module, &memory).expect("a guest");
                let wait = instance.get_typed_func::<(i32, i64), i32>(&store, "wait");
                engine.increment_epoch();
                wait.expect("exported").call(&mut store, (0, -1))
            });
            let error = waits.join().expect("no panic").expect_err("interrupted");
            assert_eq!(error.trap(), Some(Trap::Interrupt));
        });
    }
    Ok(())
}

#[test]
fn all_see_a_memory_grow() -> Result<()> {
    for engine in engines()? {
        let module = Module::new(&engine, GUEST)?;
        let memory = SharedMemory::new(&engine, SHARED)?;
        let (mut one, first) = guest(&engine, &module, &memory)?;
        let (mut other, second) = guest(&engine, &module, &memory)?;
        let grow = first.get_typed_func::<i32, i32>(&one, "grow")?;
        let size = second.get_typed_func::<(), i32>(&other, "size")?;
        let peek = second.get_typed_func::<i32, i32>(&other, "peek")?;
        assert_eq!(size.call(&mut other, ())?, 1);
        assert_eq!(grow.call(&mut one, 2)?, 1);
        assert_eq!((size.call(&mut other, ())?, memory.size()), (3, 3));
        assert_eq!(peek.call(&mut other, 150_000)?, 0);
        assert_eq!(memory.grow(1)?, 3);
        assert!(memory.grow(1).is_err());
        assert_eq!(grow.call(&mut one, 1)?, -1);
        assert_eq!(
            (size.call(&mut other, ())?, memory.data().len()),
            (4, 4 << 16)
        );
    }
    Ok(())
}

#[test]
fn shared_memories_are_no_plain_bytes() -> Result<()> {
    let [engine, _] = engines()?;
    let text = "(module (memory (export \"m\") 1 2 shared) (data (i32.const 0) \"x\"))";
    let module = Module::new(&engine, text)?;
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine).instantiate(&mut store, &module)?;
    let exported = instance
        .get_export(&store, "m")
        .and_then(Extern::into_memory);
    let exported = exported.expect("exported");
    assert!(exported.data(&store).is_err() && exported.data_mut(&mut store).is_err());
    let shared = exported.as_shared(&store)?.expect("is shared");
    drop(store);
    // It outlives the store that made it.
    assert_eq!((shared.size(), shared.data().len()), (1, 65536));
    assert_eq!(
        shared.atomic_wait32(0, u32::from(b'x'), Some(Duration::ZERO))?,
        WaitResult::TimedOut
    );

    assert!(
        SharedMemory::new(
            &engine,
            MemoryType {
                shared: false,
                ..SHARED
            }
        )
        .is_err()
    );
    assert!(
        SharedMemory::new(
            &engine,
            MemoryType {
                maximum: None,
                ..SHARED
            }
        )
        .is_err()
    );
    let [_, other] = engines()?;
    assert!(shared.in_store(Store::new(&other, ())).is_err());
    assert!(
        Module::new(&Engine::new(&Config::new())?, text).is_err(),
        "off by default"
    );
    Ok(())
}
