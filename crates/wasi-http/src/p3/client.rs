//! `client.send` and an imported `handler.handle`: requests to the network.

use super::bindings::wasi::http::{client, handler};
use super::body::Body;
use super::request::Request;
use super::response::Response;
use crate::host::body::{IncomingBody, Side};
use crate::host::error::{ErrorCode, Fault};
use crate::host::fields::Fields;
use crate::host::message::{RequestOptions, Scheme};
use crate::{HasWasiHttp, WasiHttpCtxView};
use helve::Result;
use helve::component::{Accessor, Resource};

impl client::Host for WasiHttpCtxView<'_> {}
impl client::HostWithStore for HasWasiHttp {
    async fn send<T: Send + 'static>(
        cx: &Accessor<T, Self>,
        request: Resource<Request>,
    ) -> Result<Resource<Response>, Fault> {
        send(cx, request).await
    }
}

impl handler::Host for WasiHttpCtxView<'_> {}
impl handler::HostWithStore for HasWasiHttp {
    async fn handle<T: Send + 'static>(
        cx: &Accessor<T, Self>,
        request: Resource<Request>,
    ) -> Result<Resource<Response>, Fault> {
        send(cx, request).await
    }
}

async fn send<T: Send + 'static>(
    cx: &Accessor<T, HasWasiHttp>,
    request: Resource<Request>,
) -> Result<Resource<Response>, Fault> {
    let (request, grants, client) = cx.with(|mut host| -> Result<_> {
        let view = host.get();
        let grants = view.ctx.network().grants.clone();
        let client = view.http.client.clone();
        Ok((view.table.delete(request)?, grants, client))
    })??;
    let uri = uri(&request)?;
    let Some(method) = request.method.to_http() else {
        return Err(ErrorCode::HttpRequestMethodInvalid.into());
    };
    let options = request
        .options
        .map_or(RequestOptions::default(), |o| o.times);
    let headers = request.fields.into_map();
    let (body, transmission) = request.body.send(cx, &headers, Side::Request)??;
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
            return Err(code.into());
        }
    };
    drop(transmission);
    let (head, body) = response.into_parts();
    let response = cx.with(|mut host| {
        let view = host.get();
        let response = Response {
            status: head.status.as_u16(),
            fields: Fields::received(head.headers, view.http.field_limits),
            body: Body::Host(IncomingBody::new(body)),
        };
        view.table.push(response)
    })??;
    Ok(response)
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
