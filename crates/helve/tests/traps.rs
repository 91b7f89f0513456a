//! Every way for a guest to fail, in every place where it can: the error says what it was,
//! and process, engine and other stores go on as if nothing had been.
//!
//! ```text
//!   how     signal | check | stack | host's error | host's panic
//!   where   export | start | realloc | post-return | destructor | called by a component
//!           | on a fiber, before and after it waited
//! ```

use helve::component::{Component, Linker, ResourceAny};
use helve::{CompileMode, Config, Engine, Error, Store, Trap};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// How a guest fails.
struct How {
    name: &'static str,
    /// The body of the core function that does.
    body: &'static str,
    expected: Expected,
}

enum Expected {
    Trap(Trap),
    /// A host function's error, with this text.
    Host(&'static str),
    /// A host function's panic, with this payload.
    Panic(&'static str),
}

const HOW: &[How] = &[
    How {
        name: "unreachable",
        body: "unreachable",
        expected: Expected::Trap(Trap::Unreachable),
    },
    How {
        name: "load",
        body: "(drop (i32.load (i32.const -4)))",
        expected: Expected::Trap(Trap::MemoryOutOfBounds),
    },
    How {
        name: "store far out",
        body: "(i64.store offset=0xffffffff (i32.const -1) (i64.const 0))",
        expected: Expected::Trap(Trap::MemoryOutOfBounds),
    },
    How {
        name: "division",
        body: "(drop (i32.div_s (i32.const 1) (global.get $zero)))",
        expected: Expected::Trap(Trap::IntegerDivisionByZero),
    },
    How {
        name: "conversion",
        body: "(drop (i32.trunc_f64_s (f64.const 1e300)))",
        expected: Expected::Trap(Trap::IntegerOverflow),
    },
    How {
        name: "table",
        body: "(call_indirect (i32.const 9))",
        expected: Expected::Trap(Trap::UndefinedElement),
    },
    How {
        name: "null",
        body: "(call_indirect (i32.const 0))",
        expected: Expected::Trap(Trap::UninitializedElement),
    },
    How {
        name: "bulk",
        body: "(memory.fill (i32.const 65530) (i32.const 1) (i32.const 100))",
        expected: Expected::Trap(Trap::MemoryOutOfBounds),
    },
    How {
        name: "recursion",
        body: "(call $fail)",
        expected: Expected::Trap(Trap::StackOverflow),
    },
    How {
        name: "host error",
        body: "(call $error)",
        expected: Expected::Host("the host says no"),
    },
    How {
        name: "host panic",
        body: "(call $panic)",
        expected: Expected::Panic("the host panics"),
    },
];

/// Where it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Export,
    Start,
    Realloc,
    PostReturn,
    Destructor,
    Called,
    Fiber,
    Waited,
}

const PLACES: &[Place] = &[
    Place::Export,
    Place::Start,
    Place::Realloc,
    Place::PostReturn,
    Place::Destructor,
    Place::Called,
    Place::Fiber,
    Place::Waited,
];

/// A component that fails so, there. `run` has a parameter that needs `realloc` and a
/// result that ends with `post-return`; `make` gives a resource with a destructor.
fn text(how: &How, place: Place) -> String {
    let here = |at: Place| if at == place { "(call $fail)" } else { "" };
    let waits = matches!(place, Place::Fiber | Place::Waited);
    let import = |text: &'static str| if waits { text } else { "" };
    let inner = format!(
        r#"(component $inner
          (import "error" (func $error)) (import "panic" (func $panic))
          {wait_import}
          (core func $error (canon lower (func $error)))
          (core func $panic (canon lower (func $panic)))
          {wait_lower}
          (core module $m
            (import "" "error" (func $error)) (import "" "panic" (func $panic))
            {wait_core}
            (memory (export "memory") 1) (table 1 funcref) (global $zero (mut i32) (i32.const 0))
            (func $fail {body})
            (func $start {start}) (start $start)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) {realloc} (i32.const 1024))
            (func (export "run") (param i32 i32) (result i32)
              {waited} {export}
              (i32.store (i32.const 16) (i32.const 32)) (i32.store (i32.const 20) (local.get 1))
              (i32.const 16))
            (func (export "post") (param i32) {post})
            (func (export "drop") (param i32) {drop}))
          (core instance $i (instantiate $m (with "" (instance
            (export "error" (func $error)) (export "panic" (func $panic)) {wait_with}))))
          (type $r (resource (rep i32) (dtor (core func $i "drop"))))
          (core func $new (canon resource.new $r))
          (core module $maker (import "" "new" (func $new (param i32) (result i32)))
            (func (export "make") (result i32) (call $new (i32.const 7))))
          (core instance $j (instantiate $maker (with "" (instance (export "new" (func $new))))))
          (export $r' "r" (type $r))
          (func (export "make") (result (own $r')) (canon lift (core func $j "make")))
          (func (export "run") (param "s" string) (result string)
            (canon lift (core func $i "run") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))
              (post-return (core func $i "post")))))"#,
        body = how.body,
        start = here(Place::Start),
        realloc = here(Place::Realloc),
        post = here(Place::PostReturn),
        drop = here(Place::Destructor),
        export = match place {
            Place::Export | Place::Called | Place::Fiber | Place::Waited => "(call $fail)",
            _ => "",
        },
        waited = if place == Place::Waited {
            "(call $wait)"
        } else {
            ""
        },
        wait_import = import(r#"(import "wait" (func $wait))"#),
        wait_lower = import("(core func $wait (canon lower (func $wait)))"),
        wait_core = import(r#"(import "" "wait" (func $wait))"#),
        wait_with = import(r#"(export "wait" (func $wait))"#),
    );
    let (imports, with) = match waits {
        true => (
            r#"(import "wait" (func $wait))"#,
            r#"(with "wait" (func $wait))"#,
        ),
        false => ("", ""),
    };
    let instance = format!(
        r#"(component
          (import "error" (func $error)) (import "panic" (func $panic)) {imports}
          {inner}
          (instance $inner (instantiate $inner
            (with "error" (func $error)) (with "panic" (func $panic)) {with}))
          (export "inner" (instance $inner))"#
    );
    if place != Place::Called {
        return format!("{instance})");
    }
    // Another component calls it.
    format!(
        r#"{instance}
          (alias export $inner "run" (func $run))
          (component $outer
            (import "run" (func $run (param "s" string) (result string)))
            (core module $libc (memory (export "memory") 1)
              (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 2048)))
            (core instance $libc (instantiate $libc))
            (core func $run (canon lower (func $run) (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
            (core module $m (import "" "run" (func $run (param i32 i32 i32)))
              (func (export "run") (param i32 i32) (result i32)
                (call $run (local.get 0) (local.get 1) (i32.const 64)) (i32.const 64)))
            (core instance $i (instantiate $m (with "" (instance (export "run" (func $run))))))
            (func (export "run") (param "s" string) (result string)
              (canon lift (core func $i "run") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc")))))
          (instance $outer (instantiate $outer (with "run" (func $run))))
          (export "run" (func $outer "run")))"#
    )
}

fn linker(engine: &Engine) -> Linker<()> {
    let mut linker = Linker::new(engine);
    let mut root = linker.root();
    root.func_wrap("error", |_, (): ()| -> helve::Result<()> {
        Err(Error::msg("the host says no"))
    })
    .expect("a name");
    root.func_wrap("panic", |_, (): ()| -> helve::Result<()> {
        panic!("the host panics")
    })
    .expect("a name");
    root.func_wrap_async("wait", |_, (): ()| async {
        let mut waited = false;
        poll_fn(move |cx| {
            cx.waker().wake_by_ref();
            match std::mem::replace(&mut waited, true) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
        Ok(())
    })
    .expect("a name");
    linker
}

/// Runs a future to its end.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            return output;
        }
    }
}

/// Does all that there is to do with a component, so that it fails where it is to fail.
fn run(engine: &Engine, component: &Component, place: Place) -> helve::Result<String> {
    let mut store = Store::new(engine, ());
    let instance = linker(engine).instantiate(&mut store, component)?;
    let name = if place == Place::Called {
        "run"
    } else {
        "inner#run"
    };
    let run = instance.get_typed_func::<(&str,), (String,)>(&mut store, name)?;
    let (text,) = match place {
        Place::Fiber | Place::Waited => block_on(run.call_async(&mut store, ("text",)))?,
        _ => run.call(&mut store, ("text",))?,
    };
    let make = instance.get_typed_func::<(), (ResourceAny,)>(&mut store, "inner#make")?;
    let (resource,) = make.call(&mut store, ())?;
    resource.resource_drop(&mut store)?;
    Ok(text)
}

fn fails(engine: &Engine, component: &Component, how: &How, place: Place) {
    let what = format!("{} in {place:?}", how.name);
    let outcome = catch_unwind(AssertUnwindSafe(|| run(engine, component, place)));
    // These may not call out at all.
    let alone = matches!(place, Place::Realloc | Place::PostReturn);
    let expected = match how.expected {
        Expected::Host(_) | Expected::Panic(_) if alone => {
            &Expected::Trap(Trap::CannotLeaveComponent)
        }
        ref other => other,
    };
    match (expected, outcome) {
        (Expected::Trap(trap), Ok(Err(error))) => {
            assert_eq!(error.trap(), Some(*trap), "{what}: {error:#}");
        }
        (Expected::Host(text), Ok(Err(error))) => {
            let error = format!("{error:#}");
            assert!(error.contains(text), "{what}: {error}");
        }
        (Expected::Panic(text), Err(panic)) => {
            assert_eq!(panic.downcast_ref(), Some(text), "{what}");
        }
        (_, Ok(outcome)) => panic!("{what}: {outcome:?}"),
        (_, Err(_)) => panic!("{what}: a panic"),
    }
}

#[test]
fn every_failure_everywhere_leaves_the_process_healthy() {
    // Some panics are expected here: they are not to fill the output.
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref() != Some(&"the host panics") {
            default(info);
        }
    }));
    for mode in [CompileMode::Ahead, CompileMode::Lazy] {
        let engine = Engine::new(Config::new().compile(mode)).expect("an engine");
        let never = How {
            name: "nothing",
            body: "",
            expected: Expected::Host(""),
        };
        let good = Component::new(&engine, text(&never, Place::Export)).expect("a component");
        for &place in PLACES {
            for how in HOW {
                let component = Component::new(&engine, text(how, place));
                let component =
                    component.unwrap_or_else(|e| panic!("{} in {place:?}: {e:#}", how.name));
                fails(&engine, &component, how, place);
                fails(&engine, &component, how, place);
                let text = run(&engine, &good, Place::Export);
                assert!(
                    text.is_ok_and(|text| text.len() == 4),
                    "{} {place:?}",
                    how.name
                );
                // A thread that never ran a guest has nothing prepared.
                std::thread::scope(|scope| {
                    let failed = scope.spawn(|| fails(&engine, &component, how, place));
                    failed.join().expect("the thread");
                });
            }
        }
    }
}

/// Uses about as many bytes of stack.
#[inline(never)]
fn use_stack(bytes: usize) -> usize {
    let page = std::hint::black_box([1u8; 4096]);
    match bytes.checked_sub(8192) {
        Some(rest) => use_stack(rest) + usize::from(page[rest % 4096]),
        None => page[0].into(),
    }
}

/// A guest that recurses as deep as it may, and calls the host from every depth: host
/// functions always have the stack that `Limits::host_stack_bytes` says, on the caller's
/// stack and on a fiber.
#[test]
fn host_functions_have_their_stack_at_any_depth() {
    use helve::core::{Linker, Module};
    for host_stack in [256 << 10, 1 << 20] {
        let mut limits = helve::Limits::default();
        limits.host_stack_bytes = host_stack;
        limits.guest_stack_bytes = 64 << 10;
        let engine = Engine::new(Config::new().limits(limits)).expect("an engine");
        let module = Module::new(
            &engine,
            r#"(module (import "h" "use" (func $use))
                (func $down (export "down") (call $use) (call $down)))"#,
        )
        .expect("a module");
        let mut linker = Linker::new(&engine);
        // What unoptimised code and its own frames take beside.
        let bytes = host_stack - (96 << 10);
        linker
            .func_wrap("h", "use", move || _ = use_stack(bytes / 2))
            .expect("a name");
        let run = || {
            let mut store = Store::new(&engine, ());
            let instance = linker
                .instantiate(&mut store, &module)
                .expect("an instance");
            let down = instance
                .get_typed_func::<(), ()>(&store, "down")
                .expect("a function");
            let error = down.call(&mut store, ()).expect_err("no end");
            assert_eq!(error.trap(), Some(Trap::StackOverflow), "{error:#}");
            let error = block_on(down.call_async(&mut store, ())).expect_err("no end");
            assert_eq!(error.trap(), Some(Trap::StackOverflow), "{error:#}");
        };
        std::thread::scope(|scope| {
            let builder = std::thread::Builder::new().stack_size(4 << 20);
            let thread = builder.spawn_scoped(scope, run).expect("a thread");
            thread.join().expect("no overflow");
        });
    }
}

#[test]
fn the_guide_has_every_trap() {
    let page = include_str!("../../../docs/src/errors.md");
    for trap in Trap::ALL {
        assert!(page.contains(trap.text()), "{}", trap.text());
    }
}
