//! `incoming-request` and `incoming-response`.

use super::body::Incoming;
use crate::WasiHttpView;
use crate::bind::func;
use crate::host::body::IncomingBody;
use crate::host::fields::Fields;
use crate::host::message::{Method, Scheme};
use helve::Result;
use helve::component::{LinkerInstance, Resource};
use helve_wasi::p2::bind::resource;

/// `incoming-request`.
pub struct IncomingRequest {
    pub method: Method,
    pub scheme: Option<Scheme>,
    pub authority: Option<String>,
    pub path_with_query: Option<String>,
    pub fields: Fields,
    /// `None` once it was consumed.
    pub body: Option<IncomingBody>,
}

/// `incoming-response`.
pub struct IncomingResponse {
    pub status: u16,
    pub fields: Fields,
    /// `None` once it was consumed.
    pub body: Option<IncomingBody>,
}

type Request = Resource<IncomingRequest>;
type Response = Resource<IncomingResponse>;

pub fn add_to_linker<T: WasiHttpView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    resource::<T, IncomingRequest>(types, "incoming-request")?;
    resource::<T, IncomingResponse>(types, "incoming-response")?;
    func(
        types,
        "[method]incoming-request.method",
        |host, (request,): (Request,)| Ok(host.table.get(&request)?.method.clone()),
    )?;
    func(
        types,
        "[method]incoming-request.path-with-query",
        |host, (request,): (Request,)| Ok(host.table.get(&request)?.path_with_query.clone()),
    )?;
    func(
        types,
        "[method]incoming-request.scheme",
        |host, (request,): (Request,)| Ok(host.table.get(&request)?.scheme.clone()),
    )?;
    func(
        types,
        "[method]incoming-request.authority",
        |host, (request,): (Request,)| Ok(host.table.get(&request)?.authority.clone()),
    )?;
    func(
        types,
        "[method]incoming-request.headers",
        |host, (request,): (Request,)| {
            let fields = host.table.get(&request)?.fields.clone();
            Ok(host.table.push_child(fields, &request)?)
        },
    )?;
    func(
        types,
        "[method]incoming-request.consume",
        |host, (request,): (Request,)| match host.table.get_mut(&request)?.body.take() {
            Some(body) => Ok(Ok(host.table.push(Incoming::new(body))?)),
            None => Ok(Err(())),
        },
    )?;
    func(
        types,
        "[method]incoming-response.status",
        |host, (response,): (Response,)| Ok(host.table.get(&response)?.status),
    )?;
    func(
        types,
        "[method]incoming-response.headers",
        |host, (response,): (Response,)| {
            let fields = host.table.get(&response)?.fields.clone();
            Ok(host.table.push_child(fields, &response)?)
        },
    )?;
    func(
        types,
        "[method]incoming-response.consume",
        |host, (response,): (Response,)| match host.table.get_mut(&response)?.body.take() {
            Some(body) => Ok(Ok(host.table.push(Incoming::new(body))?)),
            None => Ok(Err(())),
        },
    )
}
