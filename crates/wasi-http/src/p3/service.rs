//! A guest that exports `handler`: requests to it, many at a time where it allows that.

use super::bindings::exports::wasi::http::handler::{Guest, GuestIndices};
use super::body::Body;
use super::request::Request;
use crate::host::body::{BoxBody, IncomingBody, Side};
use crate::host::error::ErrorCode;
use crate::host::fields::{FieldLimits, Fields};
use crate::host::message::{Method, Scheme};
use crate::{HasWasiHttp, WasiHttpView};
use helve::component::{Accessor, Instance, Linker, Resource};
use helve::{AsContextMut, Context as _, Result};

/// What a guest answers.
pub type Answer = Result<http::Response<BoxBody>, ErrorCode>;

/// What a linker has for whoever is before a service.
const HANDLER: &str = "wasi:http/handler@0.3.0";
const NO_SERVICE: &str = "the component is no HTTP service: it exports no `wasi:http/handler@0.3`";

/// An instance of the world `wasi:http/service`; any 0.3 version of `wasi:http/handler` makes
/// it one.
#[derive(Clone)]
pub struct Service(Guest);

impl Service {
    /// Finds `handle` among an instance's exports.
    ///
    /// # Errors
    /// Where it exports no `wasi:http/handler`.
    pub fn new(mut store: impl AsContextMut, instance: Instance) -> Result<Service> {
        let component = instance.component(&store)?;
        let indices = GuestIndices::of(&component).context(NO_SERVICE)?;
        Ok(Service(indices.load(&mut store, &instance)?))
    }

    /// Lets guests of `linker` import `wasi:http/handler` from this instance, which must be of
    /// the store that they run in: so middleware is put before a service, or before other
    /// middleware. The linker must allow shadowing where it has the network there already.
    ///
    /// # Errors
    /// Where `linker` already has the name and does not allow shadowing.
    pub fn add_to_linker<T: WasiHttpView>(&self, linker: &mut Linker<T>) -> Result<()> {
        let guest = self.0.clone();
        linker.instance(HANDLER)?.func_wrap_async(
            "handle",
            move |cx: Accessor<T>, (request,): (Resource<Request>,)| {
                let guest = guest.clone();
                async move { Ok((guest.call_handle(&cx, request).await?,)) }
            },
        )
    }

    /// Hands `request` to the guest, beside others; its answer's body may still come, for
    /// as long as the store's event loop runs.
    ///
    /// # Errors
    /// Where the guest traps.
    pub async fn handle<T: WasiHttpView>(
        &self,
        cx: &Accessor<T>,
        request: http::Request<BoxBody>,
        scheme: Scheme,
    ) -> Result<Answer> {
        let cx = &cx.with_getter::<HasWasiHttp>(T::http);
        let request = cx.with(|mut host| {
            let view = host.get();
            let request = incoming(request, scheme, view.http.field_limits);
            view.table.push(request)
        })??;
        let response = match self.0.call_handle(cx, request).await? {
            Ok(response) => cx.with(|mut host| host.get().table.delete(response))??,
            Err(code) => return Ok(Err(code)),
        };
        let Ok(status) = http::StatusCode::from_u16(response.status) else {
            return Ok(Err(ErrorCode::HttpProtocolError));
        };
        let headers = response.fields.into_map();
        let body = match response.body.send(cx, &headers, Side::Response)? {
            Ok((body, _)) => body,
            Err(code) => return Ok(Err(code)),
        };
        let mut http = http::Response::new(body);
        *http.status_mut() = status;
        *http.headers_mut() = headers;
        Ok(Ok(http))
    }
}

fn incoming(request: http::Request<BoxBody>, scheme: Scheme, limits: FieldLimits) -> Request {
    let (mut head, body) = request.into_parts();
    let authority = match head.uri.authority() {
        Some(authority) => Some(authority.as_str().to_owned()),
        None => head
            .headers
            .get(http::header::HOST)
            .and_then(|host| host.to_str().ok())
            .map(str::to_owned),
    };
    head.headers.remove(http::header::HOST);
    Request {
        method: Method::from(&head.method),
        scheme: Some(scheme),
        authority,
        path_with_query: head.uri.path_and_query().map(|p| p.as_str().to_owned()),
        fields: Fields::received(head.headers, limits),
        options: None,
        body: Body::Host(IncomingBody::new(body)),
    }
}
