//! How a host function of ours gets from the linker to its code: context and table out
//! of the store's data, one result or none.
//!
//! A function that may wait is an attempt, made again whenever what it waits for may have
//! come:
//!
//! ```text
//!   attempt ---Done(result)---> the guest goes on
//!      ^ |
//!      | +------Wait(sources)--> the guest's stack is suspended until one is ready
//!      +--------------------------+
//! ```

use crate::host::poll::{Readiness, first_of};
use crate::{WasiCtxView, WasiView};
use helve::component::{Accessor, ComponentNamedList, Lift, LinkerInstance, Lower};
use helve::{Result, StoreContextMut};
use std::future::Ready;
use std::sync::Arc;

/// Defines `name` as a function with one result.
pub fn func<T, P, R>(
    instance: &mut LinkerInstance<'_, T>,
    name: &str,
    body: impl Fn(WasiCtxView<'_>, P) -> Result<R> + Send + Sync + 'static,
) -> Result<()>
where
    T: WasiView,
    P: ComponentNamedList + Lift + 'static,
    R: Lower + 'static,
{
    instance.func_wrap(name, move |mut cx: StoreContextMut<'_, T>, params: P| {
        body(cx.data_mut().wasi(), params).map(|result| (result,))
    })
}

/// Defines `name` as a function without a result.
pub fn proc<T, P>(
    instance: &mut LinkerInstance<'_, T>,
    name: &str,
    body: impl Fn(WasiCtxView<'_>, P) -> Result<()> + Send + Sync + 'static,
) -> Result<()>
where
    T: WasiView,
    P: ComponentNamedList + Lift + 'static,
{
    instance.func_wrap(name, move |mut cx: StoreContextMut<'_, T>, params: P| {
        body(cx.data_mut().wasi(), params)
    })
}

/// What one attempt came to.
pub enum Attempt<R> {
    /// The result.
    Done(R),
    /// Nothing yet: to be made again when one of these is ready.
    Wait(Vec<Readiness>),
}

/// Defines `name` as a function with one result that may wait for it. `attempt` may
/// change the parameters, to keep what it has done so far.
pub fn waiting<T, P, R>(
    instance: &mut LinkerInstance<'_, T>,
    name: &str,
    attempt: impl Fn(WasiCtxView<'_>, &mut P) -> Result<Attempt<R>> + Send + Sync + 'static,
) -> Result<()>
where
    T: WasiView,
    P: ComponentNamedList + Lift + Send + 'static,
    R: Lower + Send + 'static,
{
    let attempt = Arc::new(attempt);
    instance.func_wrap_async(name, move |cx: Accessor<T>, mut params: P| {
        let attempt = attempt.clone();
        async move {
            let result = until_done(&cx, |host| attempt(host, &mut params)).await?;
            Ok((result,))
        }
    })
}

/// As [`waiting`], for a function without a result.
pub fn waiting_proc<T, P>(
    instance: &mut LinkerInstance<'_, T>,
    name: &str,
    attempt: impl Fn(WasiCtxView<'_>, &mut P) -> Result<Attempt<()>> + Send + Sync + 'static,
) -> Result<()>
where
    T: WasiView,
    P: ComponentNamedList + Lift + Send + 'static,
{
    let attempt = Arc::new(attempt);
    instance.func_wrap_async(name, move |cx: Accessor<T>, mut params: P| {
        let attempt = attempt.clone();
        async move { until_done(&cx, |host| attempt(host, &mut params)).await }
    })
}

/// Attempts until there is a result.
async fn until_done<T: WasiView, R>(
    cx: &Accessor<T>,
    mut attempt: impl FnMut(WasiCtxView<'_>) -> Result<Attempt<R>>,
) -> Result<R> {
    let mut rounds = Rounds::default();
    loop {
        match cx.with(|mut store| attempt(store.data_mut().wasi()))?? {
            Attempt::Done(result) => return Ok(result),
            Attempt::Wait(sources) => first_of(&sources, None::<Ready<()>>).await,
        }
        rounds.another().await;
    }
}

/// Counts attempts: who makes a source ready may need this thread to do so for good.
#[derive(Default)]
pub(crate) struct Rounds(u32);

impl Rounds {
    /// After a wait, before the next attempt.
    pub async fn another(&mut self) {
        self.0 = self.0.wrapping_add(1);
        if self.0.is_multiple_of(16) {
            tokio::task::yield_now().await;
        }
    }
}

/// Defines the host resource `U` as `name`: a guest's drop takes it out of the table.
pub fn resource<T: WasiView, U: Send + 'static>(
    instance: &mut LinkerInstance<'_, T>,
    name: &str,
) -> Result<()> {
    instance.resource(
        name,
        helve::component::ResourceType::host::<U>(),
        |mut cx: StoreContextMut<'_, T>, rep| {
            let own = helve::component::Resource::<U>::new_own(rep);
            cx.data_mut().wasi().table.delete(own)?;
            Ok(())
        },
    )
}
