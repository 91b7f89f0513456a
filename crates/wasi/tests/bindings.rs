//! A host whose own WIT uses WASI's resources takes their types from this crate's bindings.

use helve::component::{Component, HasSelf, Linker, Resource, ResourceTable};
use helve::{Config, Engine, Result, Store};
use helve_wasi::p2::io::Output;
use helve_wasi::{WasiCtx, WasiCtxView, WasiView};

helve::bindgen!({
    path: "wit/p2",
    inline: "package my:app;
        world app {
            import logger: interface {
                use wasi:io/streams@0.2.12.{output-stream};
                log-to: func(to: borrow<output-stream>, text: string);
            }
        }",
    with: { "wasi": helve_wasi::p2::bindings::wasi },
});

struct Host {
    ctx: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Host {
    fn wasi(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.ctx,
            table: &mut self.table,
        }
    }
}

impl logger::Host for Host {
    fn log_to(&mut self, _: Resource<Output>, _: String) {}
}

#[test]
fn resources_of_wasi_are_the_same_in_both() -> Result<()> {
    let engine = Engine::new(&Config::new())?;
    let text = r#"(component
        (import "wasi:io/streams@0.2.12" (instance $streams
            (export "output-stream" (type (sub resource)))))
        (alias export $streams "output-stream" (type $stream))
        (import "logger" (instance
            (alias outer 1 $stream (type $outer))
            (export "output-stream" (type $stream (eq $outer)))
            (export "log-to" (func (param "to" (borrow $stream)) (param "text" string))))))"#;
    let component = Component::new(&engine, text)?;
    let mut linker: Linker<Host> = Linker::new(&engine);
    helve_wasi::p2::add_to_linker(&mut linker)?;
    App::add_to_linker::<_, HasSelf<Host>>(&mut linker, |host| host)?;
    let host = Host {
        ctx: WasiCtx::builder().build(),
        table: ResourceTable::new(),
    };
    linker.instantiate(&mut Store::new(&engine, host), &component)?;
    Ok(())
}
