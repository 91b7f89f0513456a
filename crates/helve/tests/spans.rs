//! Spans of `tracing`: which there are, what stands inside of what, that each one closes;
//! and that there are none where nobody asked for them.

use helve::component::{Accessor, Component, Linker};
use helve::{Config, Engine, Store};
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// What was seen: each span as a line, by how deep it stands, and those that are open.
#[derive(Default)]
struct Seen {
    lines: Vec<String>,
    open: Vec<u64>,
    entered: Vec<u64>,
    depths: Vec<usize>,
}

#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Seen>>);

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0 += &format!(" {}={value:?}", field.name());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0 += &format!(" {}={value}", field.name());
    }
}

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "helve"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut seen = self.0.lock().unwrap();
        let mut fields = Fields(span.metadata().name().to_owned());
        span.record(&mut fields);
        let depth = match seen.entered.last() {
            Some(id) => seen.depths[*id as usize - 1] + 1,
            None => 0,
        };
        seen.lines.push("  ".repeat(depth) + &fields.0);
        seen.depths.push(depth);
        let id = seen.lines.len() as u64;
        seen.open.push(id);
        Id::from_u64(id)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, id: &Id) {
        self.0.lock().unwrap().entered.push(id.into_u64());
    }

    fn exit(&self, id: &Id) {
        let left = self.0.lock().unwrap().entered.pop();
        assert_eq!(left, Some(id.into_u64()));
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.0.lock().unwrap().open.push(id.into_u64());
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let open = &mut self.0.lock().unwrap().open;
        let at = open.iter().position(|open| *open == id.into_u64());
        open.remove(at.expect("an open span"));
        !open.contains(&id.into_u64())
    }
}

/// `run` calls `f` of a component inside, which calls the host; sync or async all the way.
fn guest(is_async: bool) -> String {
    let (keyword, lift, ret) = match is_async {
        false => ("", "", ""),
        true => (
            "async",
            "async",
            r#"(core func $return (canon task.return (result u32)))"#,
        ),
    };
    let (result, done, import) = match is_async {
        false => ("(result i32)", "", ""),
        true => (
            "",
            "(call $return)",
            r#"(import "" "return" (func $return (param i32)))"#,
        ),
    };
    let with = match is_async {
        false => "",
        true => r#"(export "return" (func $return))"#,
    };
    format!(
        r#"(component
        (import "ask" (func $ask {keyword} (param "x" u32) (result u32)))
        (component $inner
            (import "ask" (func $ask {keyword} (param "x" u32) (result u32)))
            (core func $ask (canon lower (func $ask)))
            {ret}
            (core module $m
                (import "" "ask" (func $ask (param i32) (result i32)))
                {import}
                (func (export "f") (param i32) {result} (call $ask (local.get 0)) {done}))
            (core instance $m (instantiate $m (with "" (instance (export "ask" (func $ask)) {with}))))
            (func (export "f") {keyword} (param "x" u32) (result u32) (canon lift (core func $m "f") {lift})))
        (instance $inner (instantiate $inner (with "ask" (func $ask))))
        (core func $f (canon lower (func $inner "f")))
        {ret}
        (core module $m
            (import "" "f" (func $f (param i32) (result i32)))
            {import}
            (func (export "run") (param i32) {result} (call $f (local.get 0)) {done}))
        (core instance $m (instantiate $m (with "" (instance (export "f" (func $f)) {with}))))
        (func (export "run") {keyword} (param "x" u32) (result u32) (canon lift (core func $m "run") {lift})))"#
    )
}

/// Ready at its second poll.
async fn once() {
    let mut ready = false;
    std::future::poll_fn(move |cx| {
        cx.waker().wake_by_ref();
        match std::mem::replace(&mut ready, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
    }
}

/// Makes an instance and calls `run` once.
fn seen(traces: bool, async_guest: bool, async_host: bool, concurrent: bool) -> Vec<String> {
    let collector = Collector::default();
    tracing::subscriber::with_default(collector.clone(), || {
        let engine = Engine::new(Config::new().all_features(true).trace_calls(traces)).unwrap();
        let component = Component::new(&engine, guest(async_guest)).unwrap();
        let mut linker: Linker<()> = Linker::new(&engine);
        match async_host {
            false => linker
                .root()
                .func_wrap("ask", |_, (x,): (u32,)| Ok((x + 1,))),
            true => {
                linker
                    .root()
                    .func_wrap_async("ask", |_: Accessor<()>, (x,): (u32,)| async move {
                        once().await;
                        Ok((x + 1,))
                    })
            }
        }
        .unwrap();
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &component).unwrap();
        let run = instance
            .get_typed_func::<(u32,), (u32,)>(&mut store, "run")
            .unwrap();
        let result = match (async_host, concurrent) {
            (false, false) => run.call(&mut store, (1,)),
            (true, false) => block_on(run.call_async(&mut store, (1,))),
            (_, true) => block_on(
                store.run_concurrent(async |accessor| run.call_concurrent(accessor, (1,)).await),
            )
            .unwrap(),
        };
        assert_eq!(result.unwrap(), (2,));
        block_on(store.run_until_idle()).unwrap();
        let seen = collector.0.lock().unwrap();
        assert!(seen.open.is_empty(), "{:?}", seen.lines);
    });
    let mut seen = collector.0.lock().unwrap();
    std::mem::take(&mut seen.lines)
}

#[test]
fn every_border_is_a_span() {
    for async_guest in [false, true] {
        for async_host in [false, true] {
            for concurrent in [false, true] {
                let lines = seen(true, async_guest, async_host, concurrent);
                let expected = [
                    "instantiate parts=2",
                    "call from=the host instance=root function=run",
                    "  call from=root instance=root / inner function=f",
                    "    call from=root / inner instance=the host function=ask",
                ];
                assert_eq!(
                    lines, expected,
                    "async guest {async_guest}, host {async_host}, concurrent {concurrent}"
                );
            }
        }
    }
}

#[test]
fn without_it_there_are_none() {
    for async_guest in [false, true] {
        assert!(seen(false, async_guest, true, true).is_empty());
    }
}
