//! Hooks of calls that wait: each beginning has its end, whatever becomes of the call.

use crate::support::{PLAIN, TASKS, block_on, engine, wait};
use helve::component::{Accessor, CallHook, Component, Instance, Linker, TypedFunc};
use helve::{Engine, Error, Result, Store, bail};

type Func = TypedFunc<(u32,), (u32,)>;
type Lines = Vec<String>;

/// Every way to call a function that waits.
const WAYS: [(&str, &str); 4] = [
    (PLAIN, "run"),
    (TASKS, "start"),
    (TASKS, "block"),
    (TASKS, "plain"),
];

const NEVER: u32 = 999;

fn instantiate(engine: &Engine, text: &str, store: &mut Store<Lines>) -> Instance {
    let mut linker: Linker<Lines> = Linker::new(engine);
    for name in ["wait", "later"] {
        let later = |_: Accessor<Lines>, (n,): (u32,)| async move {
            if n == NEVER {
                std::future::pending::<()>().await;
            }
            wait(n % 1000).await;
            match n / 1000 {
                0 => Ok((n,)),
                _ => Err(Error::msg("no luck")),
            }
        };
        linker.root().func_wrap_async(name, later).unwrap();
    }
    let component = Component::new(engine, text).unwrap();
    linker.instantiate(store, &component).unwrap()
}

/// A store whose hook notes all, and fails at the first crossing of the kind `fails`.
fn hooked(engine: &Engine, fails: Option<CallHook>) -> Store<Lines> {
    let mut store = Store::new(engine, Lines::new());
    store.call_hook(move |mut cx, crossing| {
        let line = format!("{:?} {}", crossing.kind, crossing.function);
        let first = !cx.data().contains(&line);
        cx.data_mut().push(line);
        if Some(crossing.kind) == fails && first {
            bail!("the hook says no");
        }
        Ok(())
    });
    store
}

fn func(store: &mut Store<Lines>, instance: &Instance, name: &str) -> Func {
    instance.get_typed_func(store, name).unwrap()
}

/// That each beginning has its end, inside of what began before it.
fn check_nesting(lines: &[String], way: &str) {
    let count = |kind: &str| lines.iter().filter(|line| line.starts_with(kind)).count();
    assert_eq!(
        count("CallingWasm"),
        count("ReturningFromWasm"),
        "{way}: {lines:?}"
    );
    assert_eq!(
        count("CallingHost"),
        count("ReturningFromHost"),
        "{way}: {lines:?}"
    );
}

#[test]
fn calls_that_wait_are_told() {
    for (text, name) in WAYS {
        for n in [0, 3] {
            for concurrent in [false, true] {
                let engine = engine();
                let mut store = hooked(&engine, None);
                let instance = instantiate(&engine, text, &mut store);
                let run = func(&mut store, &instance, name);
                match concurrent {
                    false => drop(block_on(run.call_async(&mut store, (n,))).unwrap()),
                    true => block_on(store.run_concurrent(async |accessor| {
                        run.call_concurrent(accessor, (n,)).await.unwrap();
                        // The hook was told before this is.
                        accessor.with(|mut cx| cx.data_mut().push("done".into()))
                    }))
                    .unwrap()
                    .unwrap(),
                }
                let mut lines = std::mem::take(store.data_mut());
                if concurrent {
                    assert_eq!(lines.pop().as_deref(), Some("done"), "{name}({n})");
                }
                let first = lines.first().map(String::as_str);
                assert_eq!(first, Some(&*format!("CallingWasm {name}")), "{lines:?}");
                let last = lines.last().map(String::as_str);
                let over = format!("ReturningFromWasm {name}");
                assert_eq!(last, Some(&*over), "{name}({n}): {lines:?}");
                check_nesting(&lines, name);
                assert_eq!(lines.len(), 2 + 2 * if text == PLAIN { 2 } else { 1 });
            }
        }
    }
}

#[test]
fn whatever_becomes_of_them() {
    for (text, name) in WAYS {
        for what in ["fails", "drop", "cancel", "abandon"] {
            let engine = engine();
            let mut store = hooked(&engine, None);
            let instance = instantiate(&engine, text, &mut store);
            let run = func(&mut store, &instance, name);
            if name != "start" && ["cancel", "drop"].contains(&what) {
                continue; // what isn't told to cancel waits for ever
            }
            let n = if what == "fails" { 1003 } else { NEVER };
            block_on(store.run_concurrent(async |accessor| {
                let call = run.call_concurrent(accessor, (n,));
                wait(10).await;
                match what {
                    "drop" => drop(call),
                    "abandon" => call.abandon(),
                    "cancel" => {
                        call.cancel();
                        call.await.unwrap_err();
                    }
                    _ => drop(call.await.unwrap_err()),
                }
            }))
            .unwrap();
            block_on(store.run_until_idle()).unwrap();
            check_nesting(store.data(), &format!("{name} {what}"));
            assert_eq!(store.data().len(), 4, "{name} {what}: {:?}", store.data());
        }
    }
}

#[test]
fn an_error_of_the_hook_ends_the_call() {
    use CallHook::*;
    for (text, name) in WAYS {
        for kind in [
            CallingWasm,
            ReturningFromWasm,
            CallingHost,
            ReturningFromHost,
        ] {
            for n in [0, 3] {
                for concurrent in [false, true] {
                    let engine = engine();
                    let mut store = hooked(&engine, Some(kind));
                    let instance = instantiate(&engine, text, &mut store);
                    let run = func(&mut store, &instance, name);
                    let call = |store: &mut Store<Lines>| -> Result<(u32,)> {
                        match concurrent {
                            false => block_on(run.call_async(store, (n,))),
                            true => block_on(store.run_concurrent(async |accessor| {
                                run.call_concurrent(accessor, (n,)).await
                            }))?,
                        }
                    };
                    let way = format!("{name}({n}) {kind:?} {concurrent}");
                    let error = format!("{:#}", call(&mut store).expect_err(&way));
                    assert!(error.contains("the hook says no"), "{way}: {error}");
                    // A guest that was not entered, or had returned, is as it was.
                    let alive = matches!(kind, CallingWasm | ReturningFromWasm);
                    let again = call(&mut store);
                    assert_eq!(again.is_ok(), alive, "{way}: {again:?}");
                    store.audit_tasks().unwrap();
                }
            }
        }
    }
}
