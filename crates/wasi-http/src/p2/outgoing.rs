//! `outgoing-request`, `request-options`, `outgoing-response`, `future-incoming-response`
//! and the function that sends a request.

use super::body::Outgoing;
use super::incoming::IncomingResponse;
use crate::bind::func;
use crate::host::body::{self, BoxBody, IncomingBody, OutgoingBody, OutgoingFrames, Side};
use crate::host::error::ErrorCode;
use crate::host::fields::Fields;
use crate::host::message::{
    Method, RequestOptions, Scheme, content_length, is_authority, is_path_with_query,
};
use crate::{WasiHttpCtxView, WasiHttpView};
use helve::Result;
use helve::component::{LinkerInstance, Resource};
use helve_wasi::host::poll::{Flag, Readiness};
use helve_wasi::p2::bind::resource;
use helve_wasi::p2::io::Pollable;
use std::sync::{Arc, Mutex, PoisonError};

/// `outgoing-request`.
pub struct OutgoingRequest {
    method: Method,
    scheme: Option<Scheme>,
    authority: Option<String>,
    path_with_query: Option<String>,
    fields: Fields,
    /// `None` until its body was asked for.
    frames: Option<OutgoingFrames>,
}

/// `outgoing-response`.
pub struct OutgoingResponse {
    pub status: u16,
    pub fields: Fields,
    /// `None` until its body was asked for.
    pub frames: Option<OutgoingFrames>,
}

/// `future-incoming-response`: a request at work.
pub struct FutureResponse {
    state: Arc<Mutex<FutureState>>,
    done: Flag,
    task: tokio::task::AbortHandle,
}

enum FutureState {
    Waiting,
    Ready(Result<http::Response<BoxBody>, ErrorCode>),
    Taken,
}

impl Drop for FutureResponse {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Request = Resource<OutgoingRequest>;
type Response = Resource<OutgoingResponse>;

pub fn add_to_linker<T: WasiHttpView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    resource::<T, OutgoingRequest>(types, "outgoing-request")?;
    resource::<T, OutgoingResponse>(types, "outgoing-response")?;
    resource::<T, RequestOptions>(types, "request-options")?;
    resource::<T, FutureResponse>(types, "future-incoming-response")?;
    request(types)?;
    request_setters(types)?;
    options(types)?;
    response(types)?;
    future(types)
}

fn request<T: WasiHttpView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    func(
        types,
        "[constructor]outgoing-request",
        |host, (fields,): (Resource<Fields>,)| {
            let request = OutgoingRequest {
                method: Method::Get,
                scheme: None,
                authority: None,
                path_with_query: None,
                fields: host.table.delete(fields)?.frozen(),
                frames: None,
            };
            Ok(host.table.push(request)?)
        },
    )?;
    func(
        types,
        "[method]outgoing-request.body",
        |host, (request,): (Request,)| {
            let request = host.table.get_mut(&request)?;
            if request.frames.is_some() {
                return Ok(Err(()));
            }
            let Ok(length) = content_length(request.fields.map()) else {
                return Ok(Err(()));
            };
            let (body, frames) = OutgoingBody::new(length, Side::Request);
            request.frames = Some(frames);
            Ok(Ok(host.table.push(Outgoing::new(body))?))
        },
    )?;
    func(
        types,
        "[method]outgoing-request.method",
        |host, (request,): (Request,)| Ok(host.table.get(&request)?.method.clone()),
    )?;
    func(
        types,
        "[method]outgoing-request.path-with-query",
        |host, (request,): (Request,)| Ok(host.table.get(&request)?.path_with_query.clone()),
    )?;
    func(
        types,
        "[method]outgoing-request.scheme",
        |host, (request,): (Request,)| Ok(host.table.get(&request)?.scheme.clone()),
    )?;
    func(
        types,
        "[method]outgoing-request.authority",
        |host, (request,): (Request,)| Ok(host.table.get(&request)?.authority.clone()),
    )?;
    func(
        types,
        "[method]outgoing-request.headers",
        |host, (request,): (Request,)| {
            let fields = host.table.get(&request)?.fields.clone();
            Ok(host.table.push_child(fields, &request)?)
        },
    )
}

fn request_setters<T: WasiHttpView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    func(
        types,
        "[method]outgoing-request.set-method",
        |host, (request, method): (Request, Method)| {
            let request = host.table.get_mut(&request)?;
            let valid = method.to_http().is_some();
            if valid {
                request.method = method;
            }
            Ok(valid.then_some(()).ok_or(()))
        },
    )?;
    func(
        types,
        "[method]outgoing-request.set-path-with-query",
        |host, (request, path): (Request, Option<String>)| {
            let request = host.table.get_mut(&request)?;
            let valid = path.as_deref().is_none_or(is_path_with_query);
            if valid {
                request.path_with_query = path;
            }
            Ok(valid.then_some(()).ok_or(()))
        },
    )?;
    func(
        types,
        "[method]outgoing-request.set-scheme",
        |host, (request, scheme): (Request, Option<Scheme>)| {
            let request = host.table.get_mut(&request)?;
            let valid = scheme.as_ref().is_none_or(|s| s.to_http().is_some());
            if valid {
                request.scheme = scheme;
            }
            Ok(valid.then_some(()).ok_or(()))
        },
    )?;
    func(
        types,
        "[method]outgoing-request.set-authority",
        |host, (request, authority): (Request, Option<String>)| {
            let request = host.table.get_mut(&request)?;
            let valid = authority.as_deref().is_none_or(is_authority);
            if valid {
                request.authority = authority;
            }
            Ok(valid.then_some(()).ok_or(()))
        },
    )
}

fn options<T: WasiHttpView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    type Field = fn(&mut RequestOptions) -> &mut Option<u64>;
    func(types, "[constructor]request-options", |host, (): ()| {
        Ok(host.table.push(RequestOptions::default())?)
    })?;
    let fields: [(&str, Field); 3] = [
        ("connect-timeout", |o| &mut o.connect_timeout),
        ("first-byte-timeout", |o| &mut o.first_byte_timeout),
        ("between-bytes-timeout", |o| &mut o.between_bytes_timeout),
    ];
    for (name, field) in fields {
        func(
            types,
            &format!("[method]request-options.{name}"),
            move |host, (options,): (Resource<RequestOptions>,)| {
                Ok(*field(host.table.get_mut(&options)?))
            },
        )?;
        func(
            types,
            &format!("[method]request-options.set-{name}"),
            move |host, (options, value): (Resource<RequestOptions>, Option<u64>)| {
                *field(host.table.get_mut(&options)?) = value;
                Ok(Result::<(), ()>::Ok(()))
            },
        )?;
    }
    Ok(())
}

fn response<T: WasiHttpView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    func(
        types,
        "[constructor]outgoing-response",
        |host, (fields,): (Resource<Fields>,)| {
            let response = OutgoingResponse {
                status: 200,
                fields: host.table.delete(fields)?.frozen(),
                frames: None,
            };
            Ok(host.table.push(response)?)
        },
    )?;
    func(
        types,
        "[method]outgoing-response.status-code",
        |host, (response,): (Response,)| Ok(host.table.get(&response)?.status),
    )?;
    func(
        types,
        "[method]outgoing-response.set-status-code",
        |host, (response, status): (Response, u16)| {
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
        "[method]outgoing-response.headers",
        |host, (response,): (Response,)| {
            let fields = host.table.get(&response)?.fields.clone();
            Ok(host.table.push_child(fields, &response)?)
        },
    )?;
    func(
        types,
        "[method]outgoing-response.body",
        |host, (response,): (Response,)| {
            let response = host.table.get_mut(&response)?;
            if response.frames.is_some() {
                return Ok(Err(()));
            }
            let Ok(length) = content_length(response.fields.map()) else {
                return Ok(Err(()));
            };
            let (body, frames) = OutgoingBody::new(length, Side::Response);
            response.frames = Some(frames);
            Ok(Ok(host.table.push(Outgoing::new(body))?))
        },
    )
}

type Got = Result<Result<Resource<IncomingResponse>, ErrorCode>, ()>;

fn future<T: WasiHttpView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    func(
        types,
        "[method]future-incoming-response.subscribe",
        |host, (future,): (Resource<FutureResponse>,)| {
            let readiness = Readiness::Flag(host.table.get(&future)?.done.clone());
            Ok(host.table.push_child(Pollable::fixed(readiness), &future)?)
        },
    )?;
    func(
        types,
        "[method]future-incoming-response.get",
        |host, (future,): (Resource<FutureResponse>,)| -> Result<Option<Got>> {
            let limits = host.http.field_limits;
            let future = host.table.get(&future)?;
            let state = {
                let mut state = future.state.lock().unwrap_or_else(PoisonError::into_inner);
                if matches!(*state, FutureState::Waiting) {
                    return Ok(None);
                }
                std::mem::replace(&mut *state, FutureState::Taken)
            };
            Ok(Some(match state {
                FutureState::Waiting => return Ok(None),
                FutureState::Taken => Err(()),
                FutureState::Ready(Err(code)) => Ok(Err(code)),
                FutureState::Ready(Ok(response)) => {
                    let (head, body) = response.into_parts();
                    let response = IncomingResponse {
                        status: head.status.as_u16(),
                        fields: Fields::received(head.headers, limits),
                        body: Some(IncomingBody::new(body)),
                    };
                    Ok(Ok(host.table.push(response)?))
                }
            }))
        },
    )
}

/// `outgoing-handler`.
pub fn add_handler<T: WasiHttpView>(handler: &mut LinkerInstance<'_, T>) -> Result<()> {
    func(handler, "handle", handle)
}

type Handled = Result<Resource<FutureResponse>, ErrorCode>;

fn handle(
    host: WasiHttpCtxView<'_>,
    (request, options): (Request, Option<Resource<RequestOptions>>),
) -> Result<Handled> {
    let request = host.table.delete(request)?;
    let options = match options {
        Some(options) => host.table.delete(options)?,
        None => RequestOptions::default(),
    };
    let request = match build(request) {
        Ok(request) => request,
        Err(code) => return Ok(Err(code)),
    };
    let grants = host.ctx.network().grants.clone();
    let client = host.http.client.clone();
    let state = Arc::new(Mutex::new(FutureState::Waiting));
    let done = Flag::new(false);
    let (to, flag) = (state.clone(), done.clone());
    let task = helve_wasi::host::executor::spawn(async move {
        let result = client.send(&grants, request, options).await;
        *to.lock().unwrap_or_else(PoisonError::into_inner) = FutureState::Ready(result);
        flag.set(true);
    })?;
    Ok(Ok(host.table.push(FutureResponse { state, done, task })?))
}

fn build(request: OutgoingRequest) -> Result<http::Request<BoxBody>, ErrorCode> {
    let invalid = || ErrorCode::HttpRequestUriInvalid;
    let method = request.method.to_http();
    let scheme = request.scheme.unwrap_or(Scheme::Https);
    let uri = http::Uri::builder()
        .scheme(scheme.to_http().ok_or_else(invalid)?)
        .authority(request.authority.ok_or_else(invalid)?)
        .path_and_query(match request.path_with_query {
            Some(path) if !path.is_empty() => path,
            _ => "/".to_owned(),
        })
        .build()
        .map_err(|_| invalid())?;
    let body = match request.frames {
        Some(frames) => BoxBody::new(frames),
        None => body::empty(),
    };
    let mut built = http::Request::new(body);
    *built.method_mut() = method.ok_or(ErrorCode::HttpRequestMethodInvalid)?;
    *built.uri_mut() = uri;
    *built.headers_mut() = request.fields.into_map();
    Ok(built)
}
