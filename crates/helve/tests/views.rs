//! Strings and lists that host functions look at in guest memory.

use helve::component::{Component, Linker, WasmList, WasmStr};
use helve::{AsContext, Config, Engine, Result, Store};

/// Hands on what it gets, in UTF-8 or in UTF-16.
fn guest(encoding: &str) -> String {
    format!(
        r#"(component
            (import "look" (func $look (param "text" string) (param "numbers" (list u16))
                (param "pairs" (list (tuple u8 string)))))
            (core module $libc
                (memory (export "memory") 1)
                (global $next (mut i32) (i32.const 1024))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                    (global.set $next (i32.and
                        (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
                    (global.get $next)
                    (global.set $next (i32.add (global.get $next) (local.get 3)))))
            (core instance $libc (instantiate $libc))
            (core func $look (canon lower (func $look) {encoding}
                (memory (core memory $libc "memory"))))
            (core module $m
                (import "" "look" (func $look (param i32 i32 i32 i32 i32 i32)))
                (func (export "go") (param i32 i32 i32 i32 i32 i32)
                    (call $look (local.get 0) (local.get 1) (local.get 2) (local.get 3)
                        (local.get 4) (local.get 5))))
            (core instance $m (instantiate $m
                (with "" (instance (export "look" (func $look))))))
            (func (export "go") (param "text" string) (param "numbers" (list u16))
                (param "pairs" (list (tuple u8 string)))
                (canon lift (core func $m "go") {encoding}
                    (memory (core memory $libc "memory"))
                    (realloc (core func $libc "realloc")))))"#
    )
}

type Views = (WasmStr, WasmList<u16>, WasmList<(u8, String)>);

#[test]
fn views_show_what_the_guest_has() -> Result<()> {
    for (encoding, borrowed) in [("", true), ("string-encoding=utf16", false)] {
        let engine = Engine::new(&Config::new())?;
        let component = Component::new(&engine, guest(encoding))?;
        let mut linker: Linker<Vec<WasmStr>> = Linker::new(&engine);
        linker
            .root()
            .func_wrap("look", move |mut cx, (text, numbers, pairs): Views| {
                let seen = text.to_str(&cx)?;
                assert_eq!(seen, "grüße");
                assert_eq!(matches!(seen, std::borrow::Cow::Borrowed(_)), borrowed);
                assert_eq!(numbers.as_slice(&cx)?, [1, 500, u16::MAX]);
                assert_eq!(numbers.as_bytes(&cx)?, [1, 0, 244, 1, 255, 255]);
                assert_eq!(numbers.get(&cx, 1)?, Some(500));
                assert_eq!(numbers.get(&cx, 3)?, None);
                let items = pairs.iter(cx.as_context())?.collect::<Result<Vec<_>>>()?;
                assert_eq!(items, [(7, "a".to_owned()), (8, String::new())]);
                assert_eq!((pairs.len(), pairs.is_empty()), (2, false));
                cx.data_mut().push(text);
                Ok(())
            })?;
        let mut store = Store::new(&engine, Vec::new());
        let instance = linker.instantiate(&mut store, &component)?;
        let go = instance.get_typed_func::<(&str, &[u16], &[(u8, &str)]), ()>(&mut store, "go")?;
        go.call(
            &mut store,
            ("grüße", &[1, 500, u16::MAX], &[(7, "a"), (8, "")]),
        )?;
        // Kept beyond its call it still reads that memory, while that is there.
        let kept = store.data()[0];
        assert!(kept.to_str(&store).is_ok());
        assert!(kept.to_str(&Store::new(&engine, ())).is_err());
        store.remove_instance(instance)?;
        assert!(kept.to_str(&store).is_err());
    }
    Ok(())
}
