//! `client.send` and an imported `handler.handle`: requests to the network.

use super::body::Body;
use super::request::Request;
use super::response::Response;
use crate::WasiHttpView;
use crate::host::body::{IncomingBody, Side};
use crate::host::error::ErrorCode;
use crate::host::fields::Fields;
use crate::host::message::{RequestOptions, Scheme};
use helve::Result;
use helve::component::{Accessor, Linker, Resource};

pub fn add_to_linker<T: WasiHttpView>(linker: &mut Linker<T>) -> Result<()> {
    let functions = [
        ("wasi:http/client@0.3.0", "send"),
        ("wasi:http/handler@0.3.0", "handle"),
    ];
    for (interface, name) in functions {
        linker.instance(interface)?.func_wrap_async(
            name,
            |cx: Accessor<T>, (request,): (Resource<Request>,)| async move {
                Ok((send(&cx, request).await?,))
            },
        )?;
    }
    Ok(())
}

type Answered = Result<Resource<Response>, ErrorCode>;

async fn send<T: WasiHttpView>(cx: &Accessor<T>, request: Resource<Request>) -> Result<Answered> {
    let (request, grants, client) = cx.with(|mut store| -> Result<_> {
        let view = store.data_mut().http();
        let grants = view.ctx.network().grants.clone();
        let client = view.http.client.clone();
        Ok((view.table.delete(request)?, grants, client))
    })??;
    let uri = match uri(&request) {
        Ok(uri) => uri,
        Err(code) => return Ok(Err(code)),
    };
    let Some(method) = request.method.to_http() else {
        return Ok(Err(ErrorCode::HttpRequestMethodInvalid));
    };
    let options = request
        .options
        .map_or(RequestOptions::default(), |o| o.times);
    let headers = request.fields.into_map();
    let (body, transmission) = match request.body.send(cx, &headers, Side::Request)? {
        Ok(sending) => sending,
        Err(code) => return Ok(Err(code)),
    };
    let mut http = http::Request::new(body);
    *http.method_mut() = method;
    *http.uri_mut() = uri;
    *http.headers_mut() = headers;
    // A task of the executor: the guest's body moves only while the store's loop runs, and
    // the connection's must not wait for that.
    let response = match client.send(&grants, http, options).await {
        Ok(response) => response,
        Err(code) => {
            transmission.failed(&code);
            return Ok(Err(code));
        }
    };
    drop(transmission);
    let (head, body) = response.into_parts();
    let response = cx.with(|mut store| {
        let view = store.data_mut().http();
        let response = Response {
            status: head.status.as_u16(),
            fields: Fields::received(head.headers, view.http.field_limits),
            body: Body::Host(IncomingBody::new(body)),
        };
        view.table.push(response)
    })??;
    Ok(Ok(response))
}

fn uri(request: &Request) -> Result<http::Uri, ErrorCode> {
    let invalid = || ErrorCode::HttpRequestUriInvalid;
    let scheme = request.scheme.clone().unwrap_or(Scheme::Https);
    let path = match &request.path_with_query {
        Some(path) if path.starts_with('/') => path.clone(),
        Some(path) => format!("/{path}"),
        None => "/".to_owned(),
    };
    http::Uri::builder()
        .scheme(scheme.to_http().ok_or_else(invalid)?)
        .authority(request.authority.clone().ok_or_else(invalid)?)
        .path_and_query(path)
        .build()
        .map_err(|_| invalid())
}
