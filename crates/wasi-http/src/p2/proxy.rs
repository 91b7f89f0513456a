//! `response-outparam`, and a guest that exports `incoming-handler`: one call of it.
//!
//! ```text
//!   request --> handle(incoming-request, response-outparam) --set--> Answer, at once
//!                       |                                      |
//!                       v                                      v
//!               goes on until it returns                body: frames as they come
//! ```

use super::bindings::exports::wasi::http::incoming_handler::{Guest, GuestIndices};
use super::bindings::wasi::http::types;
use super::incoming::IncomingRequest;
use super::outgoing::OutgoingResponse;
use crate::host::body::{BoxBody, IncomingBody, empty, full};
use crate::host::error::{ErrorCode, Fault};
use crate::host::fields::Fields;
use crate::host::message::{Method, Scheme};
use crate::{WasiHttpCtxView, WasiHttpView};
use helve::component::{Component, Instance, Resource};
use helve::{AsContextMut, Context as _, Result};
use tokio::sync::oneshot;

/// What a guest answers.
pub type Answer = Result<http::Response<BoxBody>, ErrorCode>;

/// `response-outparam`: where one answer goes.
pub struct ResponseOutparam(oneshot::Sender<OutgoingAnswer>);

/// An answer whose body may still be written.
pub struct OutgoingAnswer(Result<OutgoingResponse, ErrorCode>);

impl OutgoingAnswer {
    /// As the crate `http` has it. A body that is complete by now has its length.
    pub fn into_http(self) -> Answer {
        let response = self.0?;
        let status = http::StatusCode::from_u16(response.status);
        let status = status.map_err(|_| ErrorCode::HttpProtocolError)?;
        let body = match response.frames {
            None => empty(),
            Some(frames) => match frames.complete() {
                Some(bytes) => full(bytes),
                None => BoxBody::new(frames),
            },
        };
        let mut http = http::Response::new(body);
        *http.status_mut() = status;
        *http.headers_mut() = response.fields.into_map();
        Ok(http)
    }
}

impl types::HostResponseOutparam for WasiHttpCtxView<'_> {
    fn send_informational(
        &mut self,
        _: Resource<ResponseOutparam>,
        _: u16,
        _: Resource<Fields>,
    ) -> Result<(), Fault> {
        let code = ErrorCode::internal("informational responses are not sent by this host");
        Err(code.into())
    }

    fn set(
        &mut self,
        param: Resource<ResponseOutparam>,
        response: Result<Resource<OutgoingResponse>, ErrorCode>,
    ) -> Result<()> {
        let param = self.table.delete(param)?;
        let answer = match response {
            Ok(response) => Ok(self.table.delete(response)?),
            Err(code) => Err(code),
        };
        // Nobody listens where the client is gone: no concern of the guest's.
        let _ = param.0.send(OutgoingAnswer(answer));
        Ok(())
    }

    fn drop(&mut self, param: Resource<ResponseOutparam>) -> Result<()> {
        self.discard(param)
    }
}

/// Where a component exports `handle` (of any 0.2 version): found once, good for each of its
/// instances.
#[derive(Clone, Debug)]
pub struct ProxyIndex(GuestIndices);

impl ProxyIndex {
    /// Looks for it.
    ///
    /// # Errors
    /// Where the component exports no `wasi:http/incoming-handler`.
    pub fn new(component: &Component) -> Result<ProxyIndex> {
        Ok(ProxyIndex(GuestIndices::of(component).context(NO_PROXY)?))
    }
}

/// An instance of the world `wasi:http/proxy`.
pub struct Proxy(Guest);

impl Proxy {
    /// Takes `handle` of an instance of the index's component.
    ///
    /// # Errors
    /// Where it has another type.
    pub fn at(store: impl AsContextMut, instance: Instance, index: &ProxyIndex) -> Result<Proxy> {
        Ok(Proxy(index.0.load(store, &instance)?))
    }

    /// Finds `handle` among an instance's exports.
    ///
    /// # Errors
    /// Where it exports no `wasi:http/incoming-handler`.
    pub fn new(store: impl AsContextMut, instance: Instance) -> Result<Proxy> {
        let component = instance.component(&store)?;
        Proxy::at(store, instance, &ProxyIndex::new(&component)?)
    }

    /// Hands `request` to the guest. The answer comes by the receiver, perhaps long before
    /// the future that runs the guest is ready; without one, the receiver fails.
    ///
    /// # Errors
    /// Where the guest traps.
    pub async fn handle<T: WasiHttpView>(
        &self,
        mut store: impl AsContextMut<Data = T>,
        request: http::Request<BoxBody>,
        scheme: Scheme,
        answer: oneshot::Sender<OutgoingAnswer>,
    ) -> Result<()> {
        let mut context = store.as_context_mut();
        let view = context.data_mut().http();
        let limits = view.http.field_limits;
        let request = view.table.push(incoming(request, scheme, limits))?;
        let param = view.table.push(ResponseOutparam(answer))?;
        self.0.call_handle(&mut store, request, param).await
    }
}

const NO_PROXY: &str =
    "the component is no HTTP proxy: it exports no `wasi:http/incoming-handler@0.2`";

fn incoming(
    request: http::Request<BoxBody>,
    scheme: Scheme,
    limits: crate::host::fields::FieldLimits,
) -> IncomingRequest {
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
    IncomingRequest {
        method: Method::from(&head.method),
        scheme: Some(scheme),
        authority,
        path_with_query: head.uri.path_and_query().map(|p| p.as_str().to_owned()),
        fields: Fields::received(head.headers, limits),
        body: Some(IncomingBody::new(body)),
    }
}
