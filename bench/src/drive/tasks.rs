//! Guests that wait, for each other or for the host.

use super::super::engine::AsContextMut;
use super::super::engine::component::{Linker, StreamReader, Val};
use super::super::{consume, func_async, produce};
use super::calls::{as_u64, guest_args};
use super::{Host, Running};
use crate::measure::Operation;
use futures::executor::block_on;
use futures::stream::{FuturesUnordered, StreamExt};
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

/// Waits once, and is woken at once.
pub async fn once() {
    let mut pending = true;
    poll_fn(|cx| {
        if !std::mem::take(&mut pending) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

pub fn guest(
    mut run: Running,
    export: &'static str,
    args: &'static [u32],
    result: fn(u64, &[u32]) -> u64,
) -> Operation {
    Box::new(move |n| {
        run.renew(n);
        let func = run.instance.get_func(&mut run.store, export).unwrap();
        let mut out = [Val::U32(0)];
        block_on(func.call_async(&mut run.store, &guest_args(n, args), &mut out)).unwrap();
        assert_eq!(as_u64(&out[0]), result(u64::from(n), args));
    })
}

pub fn stream_to_guest(mut run: Running, chunk: u32) -> Operation {
    type Params = (StreamReader<u8>, u32);
    let drain = run
        .instance
        .get_typed_func::<Params, (u64,)>(&mut run.store, "drain")
        .unwrap();
    Box::new(move |n| {
        let total = u64::from(n) * u64::from(chunk);
        let reader = produce(run.store.as_context_mut(), chunk, total);
        assert_eq!(
            block_on(drain.call_async(&mut run.store, (reader, chunk))).unwrap(),
            (total,)
        );
    })
}

pub fn stream_to_host(mut run: Running, chunk: u32) -> Operation {
    type Results = (StreamReader<u8>,);
    let source = run
        .instance
        .get_typed_func::<(u32, u32), Results>(&mut run.store, "source")
        .unwrap();
    Box::new(move |n| {
        let got = block_on(run.store.run_concurrent(async |accessor| {
            let (reader,) = source.call_concurrent(accessor, (n, chunk)).await.unwrap();
            consume(accessor, reader, chunk).await
        }));
        assert_eq!(got.unwrap(), u64::from(n) * u64::from(chunk));
    })
}

/// Opens when all have come.
#[derive(Default)]
pub struct Gate {
    arrived: u32,
    wakers: Vec<Waker>,
    open: bool,
}

impl Gate {
    async fn pass(gate: Arc<Mutex<Gate>>, total: u32) {
        let mut first = true;
        poll_fn(|cx| {
            let mut gate = gate.lock().unwrap();
            if gate.open {
                return Poll::Ready(());
            }
            gate.arrived += u32::from(std::mem::take(&mut first));
            if gate.arrived == total {
                gate.open = true;
                gate.wakers.drain(..).for_each(Waker::wake);
                return Poll::Ready(());
            }
            gate.wakers.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

type More = Box<dyn FnOnce(&mut Linker<Host>)>;

pub fn many(total: u32, running_with: impl FnOnce(More) -> Running) -> Operation {
    let gate = Arc::new(Mutex::new(Gate::default()));
    let shared = gate.clone();
    let mut run = running_with(Box::new(move |linker| {
        func_async(linker, "gate", move |(x,): (u32,)| {
            let pass = Gate::pass(shared.clone(), total);
            async move {
                pass.await;
                (x,)
            }
        });
    }));
    let task = run
        .instance
        .get_typed_func::<(u32,), (u32,)>(&mut run.store, "task")
        .unwrap();
    Box::new(move |n| {
        for _ in 0..n {
            *gate.lock().unwrap() = Gate::default();
            let sum = block_on(run.store.run_concurrent(async |accessor| {
                let mut calls: FuturesUnordered<_> = (0..total)
                    .map(|x| task.call_concurrent(accessor, (x,)))
                    .collect();
                let mut sum = 0u64;
                while let Some(result) = calls.next().await {
                    sum += u64::from(result.unwrap().0);
                }
                sum
            }));
            assert_eq!(sum.unwrap(), u64::from(total) * (u64::from(total) + 1) / 2);
        }
    })
}
