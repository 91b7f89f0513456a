//! How a host function of ours gets from the linker to its code.

use crate::{WasiHttpCtxView, WasiHttpView};
use helve::component::{ComponentNamedList, Lift, LinkerInstance, Lower};
use helve::{Result, StoreContextMut};

/// Defines `name` as a function with one result.
pub fn func<T, P, R>(
    instance: &mut LinkerInstance<'_, T>,
    name: &str,
    body: impl Fn(WasiHttpCtxView<'_>, P) -> Result<R> + Send + Sync + 'static,
) -> Result<()>
where
    T: WasiHttpView,
    P: ComponentNamedList + Lift + 'static,
    R: Lower + 'static,
{
    instance.func_wrap(name, move |mut cx: StoreContextMut<'_, T>, params: P| {
        body(cx.data_mut().http(), params).map(|result| (result,))
    })
}

/// Defines `name` as a function without a result.
pub fn proc<T, P>(
    instance: &mut LinkerInstance<'_, T>,
    name: &str,
    body: impl Fn(WasiHttpCtxView<'_>, P) -> Result<()> + Send + Sync + 'static,
) -> Result<()>
where
    T: WasiHttpView,
    P: ComponentNamedList + Lift + 'static,
{
    instance.func_wrap(name, move |mut cx: StoreContextMut<'_, T>, params: P| {
        body(cx.data_mut().http(), params)
    })
}
