//! Hot swap: a new version of a plugin takes the old one's place, and so does a fresh
//! instance after a trap, while the store and the host's data live on.
//!
//! ```sh
//! cargo run --package helve --example hot_swap
//! ```

mod support;

use helve::component::{Component, HasSelf, Instance, Linker};
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

/// What outlives every version.
#[derive(Default)]
struct Host {
    calls: usize,
}

impl PluginImports for Host {
    fn log(&mut self, _line: String) {
        self.calls += 1;
    }
}

/// The plugin that serves now.
struct Slot {
    pre: PluginPre<Host>,
    instance: Instance,
    plugin: Plugin,
}

impl Slot {
    fn new(store: &mut Store<Host>, linker: &Linker<Host>, guest: &str) -> Result<Slot> {
        let component = Component::new(linker.engine(), support::transformer(guest))?;
        let pre = PluginPre::new(linker.instantiate_pre(&component)?)?;
        let instance = pre.instance_pre().instantiate(&mut *store)?;
        let plugin = Plugin::new(store, &instance)?;
        Ok(Slot {
            pre,
            instance,
            plugin,
        })
    }

    /// A fresh instance of the same version; the old one's memory is free again.
    fn restart(&mut self, store: &mut Store<Host>) -> Result<()> {
        store.remove_instance(self.instance)?;
        self.instance = self.pre.instance_pre().instantiate(&mut *store)?;
        self.plugin = Plugin::new(store, &self.instance)?;
        Ok(())
    }
}

fn main() -> Result<()> {
    let engine = Engine::new(&Config::new())?;
    let mut linker: Linker<Host> = Linker::new(&engine);
    Plugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host)?;
    let mut store = Store::new(&engine, Host::default());

    let mut slot = Slot::new(&mut store, &linker, support::SHOUT)?;
    assert_eq!(slot.plugin.call_transform(&mut store, "one")?, "ONE");

    // A new version: the old instance goes with all it had.
    let next = Slot::new(&mut store, &linker, support::LEET)?;
    let old = std::mem::replace(&mut slot, next);
    let left = store.remove_instance(old.instance)?;
    assert!(left.is_empty(), "the plugin leaks: {left}");
    assert_eq!(slot.plugin.call_transform(&mut store, "one")?, "on3");

    // A version that traps, and what is done about it.
    let mut broken = Slot::new(&mut store, &linker, "unreachable")?;
    assert!(broken.plugin.call_transform(&mut store, "x").is_err());
    let dead = broken.plugin.call_transform(&mut store, "x").unwrap_err();
    println!("after a trap: {dead}");
    broken.restart(&mut store)?;
    assert!(broken.plugin.call_transform(&mut store, "x").is_err());
    assert_eq!(slot.plugin.call_transform(&mut store, "see")?, "s33");

    println!("{} calls, three versions, one store", store.data().calls);
    assert_eq!(store.data().calls, 5);
    Ok(())
}

#[test]
fn it_runs() -> Result<()> {
    main()
}
