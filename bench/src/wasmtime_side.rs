//! The workloads on Wasmtime, and what of them is written differently for it.

pub use wasmtime as engine;

#[path = "drive/mod.rs"]
pub mod drive;

use crate::rows::Setting;
use std::pin::Pin;
use std::task::{Context, Poll};
use wasmtime::component::{
    Accessor, Destination, Linker, Source, StreamConsumer, StreamProducer, StreamReader,
    StreamResult, Val, VecBuffer,
};
use wasmtime::component::{ComponentNamedList, Lift, Lower};
use wasmtime::{
    Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, Result, StoreContextMut,
};

/// Calls that return at once after which a store is made anew: this version keeps a record of
/// each for as long as the store lives, and traps at 1,000,000 of them.
pub const RENEW: u32 = 900_000;

pub fn config(setting: Setting, concurrency: bool) -> Config {
    let mut config = Config::new();
    if concurrency {
        config.wasm_component_model_async(true);
        config.wasm_component_model_async_stackful(true);
        config.wasm_component_model_more_async_builtins(true);
    } else {
        config.concurrency_support(false);
    }
    if matches!(setting, Setting::Pool | Setting::PoolKeep) {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_memories(100)
            .total_core_instances(100)
            .total_tables(100);
        if setting == Setting::PoolKeep {
            pool.linear_memory_keep_resident(1 << 20)
                .pagemap_scan(Enabled::Auto);
        }
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    config
}

pub fn func_new<T: Send + 'static>(
    linker: &mut Linker<T>,
    name: &str,
    func: fn(&[Val], &mut [Val]),
) {
    linker
        .root()
        .func_new(name, move |_, _, args, out| {
            func(args, out);
            Ok(())
        })
        .unwrap();
}

/// An async host function that does not need the store.
pub fn func_async<T, P, R, F, Fut>(linker: &mut Linker<T>, name: &str, func: F)
where
    T: Send + 'static,
    P: ComponentNamedList + Lift + Send + Sync + 'static,
    R: ComponentNamedList + Lower + Send + Sync + 'static,
    F: Fn(P) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = R> + Send + 'static,
{
    linker
        .root()
        .func_wrap_concurrent(name, move |_: &Accessor<T>, params: P| {
            let work = func(params);
            Box::pin(async move { Ok(work.await) })
        })
        .unwrap();
}

struct Producer {
    bytes: Vec<u8>,
    left: u64,
}

impl<D: 'static> StreamProducer<D> for Producer {
    type Item = u8;
    type Buffer = VecBuffer<u8>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        store: StoreContextMut<'a, D>,
        to: Destination<'a, u8, VecBuffer<u8>>,
        _finish: bool,
    ) -> Poll<Result<StreamResult>> {
        let mut to = to.as_direct(store, self.bytes.len());
        let room = to.remaining();
        let count = room.len().min(self.bytes.len()).min(self.left as usize);
        room[..count].copy_from_slice(&self.bytes[..count]);
        to.mark_written(count);
        self.left -= count as u64;
        Poll::Ready(Ok(if self.left == 0 {
            StreamResult::Dropped
        } else {
            StreamResult::Completed
        }))
    }
}

/// A stream of `total` bytes, at most `chunk` at a time.
pub fn produce<T: Send + 'static>(
    store: StoreContextMut<'_, T>,
    chunk: u32,
    total: u64,
) -> StreamReader<u8> {
    StreamReader::new(
        store,
        Producer {
            bytes: vec![7; chunk as usize],
            left: total,
        },
    )
    .unwrap()
}

struct Consumer {
    bytes: Vec<u8>,
    got: u64,
    done: Option<futures::channel::oneshot::Sender<u64>>,
}

impl<D: 'static> StreamConsumer<D> for Consumer {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        store: StoreContextMut<D>,
        from: Source<'_, u8>,
        _finish: bool,
    ) -> Poll<Result<StreamResult>> {
        let mut from = from.as_direct(store);
        let there = from.remaining();
        let count = there.len().min(self.bytes.len());
        self.bytes[..count].copy_from_slice(&there[..count]);
        from.mark_read(count);
        self.got += count as u64;
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let _ = self.done.take().unwrap().send(self.got);
    }
}

/// Takes everything from `reader`: how many bytes there were.
pub async fn consume<T: Send + 'static>(
    accessor: &Accessor<T>,
    reader: StreamReader<u8>,
    chunk: u32,
) -> u64 {
    let (done, got) = futures::channel::oneshot::channel();
    let consumer = Consumer {
        bytes: vec![0; chunk as usize],
        got: 0,
        done: Some(done),
    };
    accessor
        .with(|mut access| reader.pipe(&mut access, consumer))
        .unwrap();
    got.await.unwrap()
}
