//! The workloads on Helve, and what of them is written differently for it.

pub use helve as engine;

#[path = "drive/mod.rs"]
pub mod drive;

use crate::rows::Setting;
use helve::component::{
    Accessor, Destination, Linker, Source, StreamConsumer, StreamProducer, StreamReader,
    StreamState, Val,
};
use helve::component::{ComponentNamedList, Lift, Lower};
use helve::{Config, InstanceAllocationStrategy, PoolingAllocationConfig, Result, StoreContextMut};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Calls that return at once after which a store is made anew: never.
pub const RENEW: u32 = u32::MAX;

pub fn config(setting: Setting, _concurrency: bool) -> Config {
    let mut config = Config::new();
    config.wasm_component_model_async_stackful(true);
    config.wasm_component_model_more_async_builtins(true);
    let mut pool = PoolingAllocationConfig::new();
    match setting {
        Setting::Default | Setting::Pool => {}
        Setting::OnDemand => {
            config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
        }
        Setting::PoolKeep => {
            pool.linear_memory_keep_resident(1 << 20);
            config.allocation_strategy(pool);
        }
    }
    config
}

pub fn func_new<T: Send + 'static>(
    linker: &mut Linker<T>,
    name: &str,
    func: fn(&[Val], &mut [Val]),
) {
    let func = move |_: StoreContextMut<'_, T>, args: &[Val], out: &mut [Val]| {
        func(args, out);
        Ok(())
    };
    linker.root().func_new(name, func).unwrap();
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
    let func = move |_: Accessor<T>, params: P| {
        let work = func(params);
        async move { Ok(work.await) }
    };
    linker.root().func_wrap_async(name, func).unwrap();
}

struct Producer {
    bytes: Vec<u8>,
    left: u64,
}

impl StreamProducer<u8> for Producer {
    fn poll_produce(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        to: &mut Destination<'_, u8>,
    ) -> Poll<Result<StreamState>> {
        let mut count = 0;
        to.fill(|room| {
            count = room.len().min(self.bytes.len()).min(self.left as usize);
            room[..count].copy_from_slice(&self.bytes[..count]);
            count
        })?;
        self.left -= count as u64;
        Poll::Ready(Ok(if self.left == 0 {
            StreamState::Closed
        } else {
            StreamState::Open
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

impl StreamConsumer<u8> for Consumer {
    fn poll_consume(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        from: &mut Source<'_, u8>,
    ) -> Poll<Result<StreamState>> {
        let mut count = 0;
        from.drain(|there| {
            count = there.len().min(self.bytes.len());
            self.bytes[..count].copy_from_slice(&there[..count]);
            count
        })?;
        self.got += count as u64;
        Poll::Ready(Ok(StreamState::Open))
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
        .unwrap()
        .unwrap();
    got.await.unwrap()
}
