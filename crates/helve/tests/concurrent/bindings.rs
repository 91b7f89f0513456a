//! Generated bindings where things wait: an `async` import by way of an `Accessor`, one that
//! keeps the host's data, exports beside each other, one by one, and without waiting; and
//! errors of the host's own.

use crate::support::{TASKS, block_on, engine, wait};
use helve::component::{Accessor, Component, HasSelf, Linker};
use helve::{Store, bail};

helve::bindgen!({
    inline: "package test:waits;
        world tasks {
            import later: async func(n: u32) -> u32;
            import wait: func(n: u32) -> u32;
            export start: async func(n: u32) -> u32;
            export block: async func(n: u32) -> u32;
            export plain: func(n: u32) -> u32;
        }",
    imports: { "wait": async | trappable },
    exports: { "block": async | ignore_wit, "plain": async },
});

/// What happened, in order.
#[derive(Default)]
struct Host {
    lines: Vec<String>,
}

impl TasksImports for Host {
    async fn wait(&mut self, n: u32) -> helve::Result<u32> {
        let lines = &mut self.lines;
        lines.push(format!("wait {n}"));
        wait(n % 100).await;
        lines.push(format!("waited {n}"));
        if n >= 100 {
            bail!("{n} is too long");
        }
        Ok(n + 1)
    }
}

impl TasksImportsWithStore for HasSelf<Host> {
    async fn later<T: Send + 'static>(accessor: &Accessor<T, Self>, n: u32) -> u32 {
        wait(n).await;
        let noted = accessor.with(|mut cx| cx.get().lines.push(format!("later {n}")));
        noted.expect("inside of the loop");
        n + 10
    }
}

fn guest() -> (Store<Host>, Tasks) {
    let engine = engine();
    let component = Component::new(&engine, TASKS).unwrap();
    let mut linker = Linker::new(&engine);
    Tasks::add_to_linker::<_, HasSelf<_>>(&mut linker, |host: &mut Host| host).unwrap();
    let mut store = Store::new(&engine, Host::default());
    let guest = Tasks::instantiate(&mut store, &component, &linker).unwrap();
    (store, guest)
}

#[test]
fn every_kind_of_function() {
    let (mut store, guest) = guest();
    assert_eq!(block_on(guest.call_block(&mut store, 3)).unwrap(), 13);
    assert_eq!(block_on(guest.call_plain(&mut store, 3)).unwrap(), 4);
    let sum = block_on(store.run_concurrent(async |accessor| {
        let (one, two) = (guest.call_start(accessor, 5), guest.call_start(accessor, 1));
        let (one, two) = futures(one, two).await;
        one.unwrap() + two.unwrap()
    }));
    assert_eq!(sum.unwrap(), 15 + 11);
    let expected = ["later 3", "wait 3", "waited 3", "later 1", "later 5"];
    assert_eq!(store.data().lines, expected);
}

#[test]
fn an_error_of_the_host_is_the_calls() {
    let (mut store, guest) = guest();
    let error = block_on(guest.call_plain(&mut store, 102)).unwrap_err();
    assert!(
        format!("{error:#}").contains("102 is too long"),
        "{error:#}"
    );
}

/// Both at once.
async fn futures<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (std::pin::pin!(a), std::pin::pin!(b));
    let (mut left, mut right) = (None, None);
    std::future::poll_fn(|cx| {
        if left.is_none()
            && let std::task::Poll::Ready(output) = a.as_mut().poll(cx)
        {
            left = Some(output);
        }
        if right.is_none()
            && let std::task::Poll::Ready(output) = b.as_mut().poll(cx)
        {
            right = Some(output);
        }
        match left.is_some() && right.is_some() {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    (left.expect("ready"), right.expect("ready"))
}
