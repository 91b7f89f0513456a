//! `response` of `wasi:http/types` 0.3.

use super::body::{Body, Sent, Trailers};
use crate::WasiHttpView;
use crate::bind::func;
use crate::host::fields::Fields;
use helve::component::{Accessor, FutureReader, LinkerInstance, Resource, StreamReader};
use helve::{Result, StoreContextMut};
use helve_wasi::p2::bind::resource;

/// `response`.
pub struct Response {
    pub status: u16,
    pub fields: Fields,
    pub body: Body,
}

type Own = Resource<Response>;
type New = (
    Resource<Fields>,
    Option<StreamReader<u8>>,
    FutureReader<Trailers>,
);

pub fn add_to_linker<T: WasiHttpView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    resource::<T, Response>(types, "response")?;
    types.func_wrap(
        "[static]response.new",
        |mut cx: StoreContextMut<'_, T>, (fields, contents, trailers): New| {
            let (body, sent) = Body::guest(&mut cx, contents, trailers)?;
            let table = cx.data_mut().http().table;
            let response = Response {
                status: 200,
                fields: table.delete(fields)?.frozen(),
                body,
            };
            Ok(((table.push(response)?, sent),))
        },
    )?;
    types.func_wrap_async(
        "[static]response.consume-body",
        |cx: Accessor<T>, (response, handled): (Own, FutureReader<Sent>)| async move {
            let response =
                cx.with(|mut store| store.data_mut().http().table.delete(response))??;
            Ok((response.body.consume(&cx, handled)?,))
        },
    )?;
    func(
        types,
        "[method]response.get-status-code",
        |host, (response,): (Own,)| Ok(host.table.get(&response)?.status),
    )?;
    func(
        types,
        "[method]response.set-status-code",
        |host, (response, status): (Own, u16)| {
            let response = host.table.get_mut(&response)?;
            let valid = (100..600).contains(&status);
            if valid {
                response.status = status;
            }
            Ok(valid.then_some(()).ok_or(()))
        },
    )?;
    func(
        types,
        "[method]response.get-headers",
        |host, (response,): (Own,)| {
            let fields = host.table.get(&response)?.fields.frozen();
            Ok(host.table.push(fields)?)
        },
    )
}
