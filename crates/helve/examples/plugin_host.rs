//! A plugin host: a world in WIT, its functions as a trait, one `call_..` for each export.
//!
//! ```sh
//! cargo run --package helve --example plugin_host
//! ```

mod support;

use helve::component::{Component, HasSelf, Linker};
use helve::{Config, Engine, Result, Store};

helve::bindgen!({
    inline: "
        package example:plugin;

        world plugin {
            import log: func(line: string);
            export transform: func(text: string) -> string;
        }
    ",
});

/// What the host keeps for one plugin.
#[derive(Default)]
struct Host {
    lines: Vec<String>,
}

impl PluginImports for Host {
    fn log(&mut self, line: String) {
        self.lines.push(line);
    }
}

fn main() -> Result<()> {
    let engine = Engine::new(&Config::new())?;
    let mut linker: Linker<Host> = Linker::new(&engine);
    Plugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host)?;

    for (guest, expected) in [
        (support::SHOUT, "HELLO, PLUGIN"),
        (support::LEET, "h3llo, plugin"),
    ] {
        let component = Component::new(&engine, support::transformer(guest))?;
        let mut store = Store::new(&engine, Host::default());
        let plugin = Plugin::instantiate(&mut store, &component, &linker)?;
        let text = plugin.call_transform(&mut store, "hello, plugin")?;
        println!("{text} (the plugin logged {:?})", store.data().lines);
        assert_eq!(text, expected);
        assert_eq!(store.data().lines, ["hello, plugin"]);
    }
    Ok(())
}

#[test]
fn it_runs() -> Result<()> {
    main()
}
