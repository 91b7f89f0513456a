//! Middleware as HTTP servers have it: handlers that call the next one, some of them guests,
//! some of the host's, all with one interface.
//!
//! ```text
//! host --> log (host) --> guard (guest) --> app (guest)
//! ```
//!
//! ```sh
//! cargo run --package helve --example middleware
//! ```

use helve::component::{Component, Linker, TypedFunc};
use helve::{Config, Engine, Result, Store};

/// `handle: func(path: string) -> result<string, u16>`: a body, or a status.
type Handle = TypedFunc<(String,), (Result<String, u16>,)>;

/// The type of `handle`, for both guests.
const MEMORY: &str = r#"
    (core module $libc
        (memory (export "memory") 1)
        (global $next (mut i32) (i32.const 1024))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (global.get $next)
            (global.set $next (i32.add (global.get $next) (local.get 3)))))
    (core instance $libc (instantiate $libc))"#;

/// Its body is the path.
fn app() -> String {
    format!(
        r#"(component {MEMORY}
            (core module $m
                (import "libc" "memory" (memory 1))
                (func (export "handle") (param i32 i32) (result i32)
                    (i32.store8 (i32.const 16) (i32.const 0))
                    (i32.store (i32.const 20) (local.get 0))
                    (i32.store (i32.const 24) (local.get 1))
                    (i32.const 16)))
            (core instance $m (instantiate $m (with "libc" (instance $libc))))
            (func (export "handle") (param "path" string) (result (result string (error u16)))
                (canon lift (core func $m "handle")
                    (memory (core memory $libc "memory")) (realloc (core func $libc "realloc")))))"#
    )
}

/// Sends paths that start with `/` on; for others it is 404.
fn guard() -> String {
    format!(
        r#"(component
            (import "handle" (func $next
                (param "path" string) (result (result string (error u16)))))
            {MEMORY}
            (core func $next (canon lower (func $next)
                (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
            (core module $m
                (import "libc" "memory" (memory 1))
                (import "" "next" (func $next (param i32 i32 i32)))
                (func (export "handle") (param i32 i32) (result i32)
                    (if (i32.eq (i32.load8_u (local.get 0)) (i32.const 47))
                        (then (call $next (local.get 0) (local.get 1) (i32.const 16)))
                        (else
                            (i32.store8 (i32.const 16) (i32.const 1))
                            (i32.store16 (i32.const 20) (i32.const 404))))
                    (i32.const 16)))
            (core instance $m (instantiate $m (with "libc" (instance $libc))
                (with "" (instance (export "next" (func $next))))))
            (func (export "handle") (param "path" string) (result (result string (error u16)))
                (canon lift (core func $m "handle")
                    (memory (core memory $libc "memory")) (realloc (core func $libc "realloc")))))"#
    )
}

/// The chain's first link, in Rust.
fn log(store: &mut Store<Vec<String>>, next: &Handle, path: &str) -> Result<Result<String, u16>> {
    let (response,) = next.call(&mut *store, (path.to_owned(),))?;
    let line = match &response {
        Ok(body) => format!("{path} 200 {}", body.len()),
        Err(status) => format!("{path} {status}"),
    };
    store.data_mut().push(line);
    Ok(response)
}

fn main() -> Result<()> {
    let engine = Engine::new(&Config::new())?;
    let mut store = Store::new(&engine, Vec::new());

    let app = Component::new(&engine, app())?;
    let app = Linker::new(&engine).instantiate(&mut store, &app)?;

    // The guard's `handle` is the app's: a call from guest to guest.
    let mut linker = Linker::new(&engine);
    let next = app.get_func(&mut store, "handle");
    linker.root().func("handle", next.expect("it exports it"))?;
    let guard = Component::new(&engine, guard())?;
    let guard = linker.instantiate(&mut store, &guard)?;
    let handle: Handle = guard.get_typed_func(&mut store, "handle")?;

    assert_eq!(log(&mut store, &handle, "/index")?, Ok("/index".to_owned()));
    assert_eq!(log(&mut store, &handle, "index")?, Err(404));
    println!("{}", store.data().join("\n"));
    assert_eq!(store.data(), &["/index 200 6", "index 404"]);
    Ok(())
}

#[test]
fn it_runs() -> Result<()> {
    main()
}
