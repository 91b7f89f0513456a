//! `request` of `wasi:http/types` 0.3.

use super::body::{Body, Sent, Trailers};
use super::fields::Options;
use crate::WasiHttpView;
use crate::bind::func;
use crate::host::fields::Fields;
use crate::host::message::{Method, Scheme, is_authority, is_path_with_query};
use helve::component::{Accessor, FutureReader, LinkerInstance, Resource, StreamReader};
use helve::{Result, StoreContextMut};
use helve_wasi::p2::bind::resource;

/// `request`.
pub struct Request {
    pub method: Method,
    pub scheme: Option<Scheme>,
    pub authority: Option<String>,
    pub path_with_query: Option<String>,
    pub fields: Fields,
    pub options: Option<Options>,
    pub body: Body,
}

type Own = Resource<Request>;
type New = (
    Resource<Fields>,
    Option<StreamReader<u8>>,
    FutureReader<Trailers>,
    Option<Resource<Options>>,
);

pub fn add_to_linker<T: WasiHttpView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    resource::<T, Request>(types, "request")?;
    types.func_wrap(
        "[static]request.new",
        |mut cx: StoreContextMut<'_, T>, (fields, contents, trailers, options): New| {
            let (body, sent) = Body::guest(&mut cx, contents, trailers)?;
            let table = cx.data_mut().http().table;
            let options = match options {
                Some(options) => Some(Options {
                    immutable: true,
                    ..table.delete(options)?
                }),
                None => None,
            };
            let request = Request {
                method: Method::Get,
                scheme: None,
                authority: None,
                path_with_query: None,
                fields: table.delete(fields)?.frozen(),
                options,
                body,
            };
            Ok(((table.push(request)?, sent),))
        },
    )?;
    types.func_wrap_async(
        "[static]request.consume-body",
        |cx: Accessor<T>, (request, handled): (Own, FutureReader<Sent>)| async move {
            let request = cx.with(|mut store| store.data_mut().http().table.delete(request))??;
            Ok((request.body.consume(&cx, handled)?,))
        },
    )?;
    getters(types)?;
    setters(types)
}

fn getters<T: WasiHttpView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    func(
        types,
        "[method]request.get-method",
        |host, (request,): (Own,)| Ok(host.table.get(&request)?.method.clone()),
    )?;
    func(
        types,
        "[method]request.get-path-with-query",
        |host, (request,): (Own,)| Ok(host.table.get(&request)?.path_with_query.clone()),
    )?;
    func(
        types,
        "[method]request.get-scheme",
        |host, (request,): (Own,)| Ok(host.table.get(&request)?.scheme.clone()),
    )?;
    func(
        types,
        "[method]request.get-authority",
        |host, (request,): (Own,)| Ok(host.table.get(&request)?.authority.clone()),
    )?;
    func(
        types,
        "[method]request.get-options",
        |host, (request,): (Own,)| {
            let options = host.table.get(&request)?.options;
            let made: Option<Resource<Options>> = options
                .map(|options| host.table.push(options))
                .transpose()?;
            Ok(made)
        },
    )?;
    func(
        types,
        "[method]request.get-headers",
        |host, (request,): (Own,)| {
            let fields = host.table.get(&request)?.fields.frozen();
            Ok(host.table.push(fields)?)
        },
    )
}

/// What a setter returns.
fn set(valid: bool) -> Result<Result<(), ()>> {
    Ok(valid.then_some(()).ok_or(()))
}

fn setters<T: WasiHttpView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    func(
        types,
        "[method]request.set-method",
        |host, (request, method): (Own, Method)| {
            let request = host.table.get_mut(&request)?;
            let http = method.to_http();
            if let Some(http) = &http {
                request.method = Method::from(http);
            }
            set(http.is_some())
        },
    )?;
    func(
        types,
        "[method]request.set-path-with-query",
        |host, (request, path): (Own, Option<String>)| {
            let request = host.table.get_mut(&request)?;
            let valid = path.as_deref().is_none_or(is_path_with_query);
            if valid {
                let root = path.as_deref() == Some("");
                request.path_with_query = if root { Some("/".into()) } else { path };
            }
            set(valid)
        },
    )?;
    func(
        types,
        "[method]request.set-scheme",
        |host, (request, scheme): (Own, Option<Scheme>)| {
            let request = host.table.get_mut(&request)?;
            let http = scheme.as_ref().map(Scheme::to_http);
            match http {
                None => request.scheme = None,
                Some(Some(http)) => request.scheme = Some(Scheme::from(&http)),
                Some(None) => return set(false),
            }
            set(true)
        },
    )?;
    func(
        types,
        "[method]request.set-authority",
        |host, (request, authority): (Own, Option<String>)| {
            let request = host.table.get_mut(&request)?;
            let valid = authority.as_deref().is_none_or(is_authority);
            if valid {
                request.authority = authority;
            }
            set(valid)
        },
    )
}
