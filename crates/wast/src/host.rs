//! What scripts of components may import from their host, where they import it: the
//! functions `host-echo-u32` and `host-return-two`, and the instance `host` with functions,
//! a module and two resource types.
//!
//! ```text
//! host: return-three, return-hi, nested.return-four      plain functions
//!       echo-slowly, return-two-slowly, never-return     async ones
//!       simple-module                                    (global "g" 100) (func "f" -> 101)
//!       resource1, resource1-again (the same type), resource2
//!       [constructor]resource1(rep), [static]resource1.{assert(own, rep), drops, last-drop},
//!       [method]resource1.{simple(rep), take-borrow(borrow), take-own(own), never-return}
//! ```
//! These names are what scripts written for other runtimes count on. What a script
//! registers as `host` goes before. Not here: `spectest` (`spectest.rs`).

use helve::component::{Component, Linker, Resource, ResourceType};
use helve::core::{self, FuncType, Module};
use helve::{Engine, Error, Result};
use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::Poll;

struct Resource1;
struct Resource2;

/// What core modules may import beside `spectest`: a collection of garbage, of which there
/// is none.
pub fn define_core(linker: &mut core::Linker<()>) -> Result<()> {
    let nothing = FuncType::new([], []);
    linker.func_new("wasmtime", "gc", nothing, |_, _, _| Ok(()))
}

/// What became of the values of `resource1` that scripts made.
#[derive(Default)]
struct Counts {
    drops: AtomicU32,
    last_drop: AtomicU32,
}

/// What a script's components share of their host.
#[derive(Clone, Default)]
pub struct Host {
    counts: Arc<Counts>,
}

impl Host {
    /// Defines in `linker` what `component` imports of it.
    pub fn define(&self, linker: &mut Linker<()>, component: &Component) -> Result<()> {
        for import in component.imports() {
            match import {
                "host-echo-u32" => linker
                    .root()
                    .func_wrap_async(import, |_, (n,): (u32,)| async move { Ok((n,)) })?,
                "host-return-two" => linker.root().func_wrap(import, |_, ()| Ok((2_u32,)))?,
                "wasmtime" => linker.instance(import)?.func_wrap("gc", |_, ()| Ok(()))?,
                "host" => {
                    functions(linker)?;
                    self.resources(linker)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn resources(&self, linker: &mut Linker<()>) -> Result<()> {
        let mut host = linker.instance("host")?;
        let counts = self.counts.clone();
        host.resource(
            "resource1",
            ResourceType::host::<Resource1>(),
            move |_, rep| {
                counts.drops.fetch_add(1, Relaxed);
                counts.last_drop.store(rep, Relaxed);
                Ok(())
            },
        )?;
        host.resource_type("resource1-again", ResourceType::host::<Resource1>())?;
        host.resource(
            "resource2",
            ResourceType::host::<Resource2>(),
            |_, _| Ok(()),
        )?;
        host.func_wrap("[constructor]resource1", |_, (rep,): (u32,)| {
            Ok((Resource::<Resource1>::new_own(rep),))
        })?;
        host.func_wrap(
            "[static]resource1.assert",
            |_, (it, rep): (Resource<Resource1>, u32)| is(&it, true, Some(rep)),
        )?;
        host.func_wrap(
            "[method]resource1.simple",
            |_, (it, rep): (Resource<Resource1>, u32)| is(&it, false, Some(rep)),
        )?;
        host.func_wrap(
            "[method]resource1.take-borrow",
            |_, (it, other): (Resource<Resource1>, Resource<Resource1>)| {
                is(&it, false, None)?;
                is(&other, false, None)
            },
        )?;
        host.func_wrap(
            "[method]resource1.take-own",
            |_, (it, other): (Resource<Resource1>, Resource<Resource1>)| {
                is(&it, false, None)?;
                is(&other, true, None)
            },
        )?;
        host.func_wrap_async(
            "[method]resource1.never-return",
            |_, (_,): (Resource<Resource1>,)| pending::<Result<()>>(),
        )?;
        let counts = self.counts.clone();
        host.func_wrap("[static]resource1.drops", move |_, ()| {
            Ok((counts.drops.load(Relaxed),))
        })?;
        let counts = self.counts.clone();
        host.func_wrap("[static]resource1.last-drop", move |_, ()| {
            Ok((counts.last_drop.load(Relaxed),))
        })
    }
}

fn functions(linker: &mut Linker<()>) -> Result<()> {
    let module = simple_module(linker.engine())?;
    let mut host = linker.instance("host")?;
    host.module("simple-module", &module)?;
    host.func_wrap("return-three", |_, ()| Ok((3_u32,)))?;
    host.func_wrap("return-hi", |_, ()| Ok(("hi".to_string(),)))?;
    host.func_wrap_async("return-two-slowly", |_, ()| async {
        not_at_once().await;
        Ok((2_i32,))
    })?;
    host.func_wrap_async("echo-slowly", |_, (n,): (u32,)| async move {
        not_at_once().await;
        Ok((n,))
    })?;
    host.func_wrap_async("never-return", |_, ()| pending::<Result<()>>())?;
    host.instance("nested")?
        .func_wrap("return-four", |_, ()| Ok((4_u32,)))
}

fn simple_module(engine: &Engine) -> Result<Module> {
    Module::new(
        engine,
        r#"(module (global (export "g") i32 (i32.const 100))
                   (func (export "f") (result i32) (i32.const 101)))"#,
    )
}

/// That `it` is owned or borrowed, and what it stands for.
fn is(it: &Resource<Resource1>, owned: bool, rep: Option<u32>) -> Result<()> {
    if it.owned() != owned || rep.is_some_and(|rep| rep != it.rep()) {
        return Err(Error::msg(format!(
            "the host was handed `resource1` {} (owned: {}), but owned: {owned}, rep: {rep:?} was expected",
            it.rep(),
            it.owned(),
        )));
    }
    Ok(())
}

/// Ready when it is asked for the second time.
async fn not_at_once() {
    let mut asked = false;
    poll_fn(|context| match std::mem::replace(&mut asked, true) {
        true => Poll::Ready(()),
        false => {
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}
