//! How a host function of ours gets from the linker to its code: context and table out
//! of the store's data, one result or none.

use crate::{WasiCtxView, WasiView};
use helve::component::{ComponentNamedList, Lift, LinkerInstance, Lower};
use helve::{Result, StoreContextMut};

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
