//! `outgoing-request`, `request-options`, `outgoing-response`, `future-incoming-response`
//! and the function that sends a request.

use super::bindings::wasi::http::{outgoing_handler, types};
use super::body::Outgoing;
use super::incoming::IncomingResponse;
use crate::WasiHttpCtxView;
use crate::host::body::{self, BoxBody, IncomingBody, OutgoingBody, OutgoingFrames, Side};
use crate::host::error::{ErrorCode, Fault};
use crate::host::fields::Fields;
use crate::host::message::{
    Method, RequestOptions, Scheme, content_length, is_authority, is_path_with_query,
};
use helve::Result;
use helve::component::Resource;
use helve_wasi::host::poll::{Flag, Readiness};
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

type Got = Result<Result<Resource<IncomingResponse>, ErrorCode>, ()>;
/// What a function that can fail without saying why returns.
type Outcome<R> = Result<Result<R, ()>>;

/// Sets `field` to `value` where that is `valid`.
fn set<V>(field: &mut V, value: V, valid: bool) -> Outcome<()> {
    if !valid {
        return Ok(Err(()));
    }
    *field = value;
    Ok(Ok(()))
}

impl types::HostOutgoingRequest for WasiHttpCtxView<'_> {
    fn new(&mut self, fields: Resource<Fields>) -> Result<Request> {
        let request = OutgoingRequest {
            method: Method::Get,
            scheme: None,
            authority: None,
            path_with_query: None,
            fields: self.table.delete(fields)?.frozen(),
            frames: None,
        };
        Ok(self.table.push(request)?)
    }

    fn body(&mut self, request: Request) -> Outcome<Resource<Outgoing>> {
        let request = self.table.get_mut(&request)?;
        let body = open_body(&mut request.frames, &request.fields, Side::Request);
        self.outgoing_body(body)
    }

    fn method(&mut self, request: Request) -> Result<Method> {
        Ok(self.table.get(&request)?.method.clone())
    }

    fn set_method(&mut self, request: Request, method: Method) -> Outcome<()> {
        let valid = method.to_http().is_some();
        set(&mut self.table.get_mut(&request)?.method, method, valid)
    }

    fn path_with_query(&mut self, request: Request) -> Result<Option<String>> {
        Ok(self.table.get(&request)?.path_with_query.clone())
    }

    fn set_path_with_query(&mut self, request: Request, path: Option<String>) -> Outcome<()> {
        let valid = path.as_deref().is_none_or(is_path_with_query);
        let request = self.table.get_mut(&request)?;
        set(&mut request.path_with_query, path, valid)
    }

    fn scheme(&mut self, request: Request) -> Result<Option<Scheme>> {
        Ok(self.table.get(&request)?.scheme.clone())
    }

    fn set_scheme(&mut self, request: Request, scheme: Option<Scheme>) -> Outcome<()> {
        let valid = scheme.as_ref().is_none_or(|s| s.to_http().is_some());
        set(&mut self.table.get_mut(&request)?.scheme, scheme, valid)
    }

    fn authority(&mut self, request: Request) -> Result<Option<String>> {
        Ok(self.table.get(&request)?.authority.clone())
    }

    fn set_authority(&mut self, request: Request, authority: Option<String>) -> Outcome<()> {
        let valid = authority.as_deref().is_none_or(is_authority);
        let request = self.table.get_mut(&request)?;
        set(&mut request.authority, authority, valid)
    }

    fn headers(&mut self, request: Request) -> Result<Resource<Fields>> {
        let fields = self.table.get(&request)?.fields.clone();
        Ok(self.table.push_child(fields, &request)?)
    }

    fn drop(&mut self, request: Request) -> Result<()> {
        self.discard(request)
    }
}

/// A message's body, the first time that it is asked for.
fn open_body(
    frames: &mut Option<OutgoingFrames>,
    fields: &Fields,
    side: Side,
) -> Option<OutgoingBody> {
    if frames.is_some() {
        return None;
    }
    let length = content_length(fields.map()).ok()?;
    let (body, new) = OutgoingBody::new(length, side);
    *frames = Some(new);
    Some(body)
}

impl WasiHttpCtxView<'_> {
    fn outgoing_body(&mut self, body: Option<OutgoingBody>) -> Outcome<Resource<Outgoing>> {
        let made = body.map(|body| self.table.push(Outgoing::new(body)));
        Ok(made.transpose()?.ok_or(()))
    }
}

type Options = Resource<RequestOptions>;

impl types::HostRequestOptions for WasiHttpCtxView<'_> {
    fn new(&mut self) -> Result<Options> {
        Ok(self.table.push(RequestOptions::default())?)
    }

    fn connect_timeout(&mut self, options: Options) -> Result<Option<u64>> {
        Ok(self.table.get(&options)?.connect_timeout)
    }

    fn set_connect_timeout(&mut self, options: Options, value: Option<u64>) -> Outcome<()> {
        self.table.get_mut(&options)?.connect_timeout = value;
        Ok(Ok(()))
    }

    fn first_byte_timeout(&mut self, options: Options) -> Result<Option<u64>> {
        Ok(self.table.get(&options)?.first_byte_timeout)
    }

    fn set_first_byte_timeout(&mut self, options: Options, value: Option<u64>) -> Outcome<()> {
        self.table.get_mut(&options)?.first_byte_timeout = value;
        Ok(Ok(()))
    }

    fn between_bytes_timeout(&mut self, options: Options) -> Result<Option<u64>> {
        Ok(self.table.get(&options)?.between_bytes_timeout)
    }

    fn set_between_bytes_timeout(&mut self, options: Options, value: Option<u64>) -> Outcome<()> {
        self.table.get_mut(&options)?.between_bytes_timeout = value;
        Ok(Ok(()))
    }

    fn drop(&mut self, options: Options) -> Result<()> {
        self.discard(options)
    }
}

impl types::HostOutgoingResponse for WasiHttpCtxView<'_> {
    fn new(&mut self, fields: Resource<Fields>) -> Result<Response> {
        let response = OutgoingResponse {
            status: 200,
            fields: self.table.delete(fields)?.frozen(),
            frames: None,
        };
        Ok(self.table.push(response)?)
    }

    fn status_code(&mut self, response: Response) -> Result<u16> {
        Ok(self.table.get(&response)?.status)
    }

    fn set_status_code(&mut self, response: Response, status: u16) -> Outcome<()> {
        let valid = (100..600).contains(&status);
        set(&mut self.table.get_mut(&response)?.status, status, valid)
    }

    fn headers(&mut self, response: Response) -> Result<Resource<Fields>> {
        let fields = self.table.get(&response)?.fields.clone();
        Ok(self.table.push_child(fields, &response)?)
    }

    fn body(&mut self, response: Response) -> Outcome<Resource<Outgoing>> {
        let response = self.table.get_mut(&response)?;
        let body = open_body(&mut response.frames, &response.fields, Side::Response);
        self.outgoing_body(body)
    }

    fn drop(&mut self, response: Response) -> Result<()> {
        self.discard(response)
    }
}

impl types::HostFutureIncomingResponse for WasiHttpCtxView<'_> {
    fn subscribe(&mut self, future: Resource<FutureResponse>) -> Result<Resource<Pollable>> {
        let readiness = Readiness::Flag(self.table.get(&future)?.done.clone());
        Ok(self.table.push_child(Pollable::fixed(readiness), &future)?)
    }

    fn get(&mut self, future: Resource<FutureResponse>) -> Result<Option<Got>> {
        let limits = self.http.field_limits;
        let future = self.table.get(&future)?;
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
                Ok(Ok(self.table.push(response)?))
            }
        }))
    }

    fn drop(&mut self, future: Resource<FutureResponse>) -> Result<()> {
        self.discard(future)
    }
}

impl outgoing_handler::Host for WasiHttpCtxView<'_> {
    fn handle(
        &mut self,
        request: Request,
        options: Option<Options>,
    ) -> Result<Resource<FutureResponse>, Fault> {
        let request = self.table.delete(request)?;
        let options = match options {
            Some(options) => self.table.delete(options)?,
            None => RequestOptions::default(),
        };
        let request = build(request)?;
        let grants = self.ctx.network().grants.clone();
        let client = self.http.client.clone();
        let state = Arc::new(Mutex::new(FutureState::Waiting));
        let done = Flag::new(false);
        let (to, flag) = (state.clone(), done.clone());
        let task = helve_wasi::host::executor::spawn(async move {
            let result = client.send(&grants, request, options).await;
            *to.lock().unwrap_or_else(PoisonError::into_inner) = FutureState::Ready(result);
            flag.set(true);
        })?;
        Ok(self.table.push(FutureResponse { state, done, task })?)
    }
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
