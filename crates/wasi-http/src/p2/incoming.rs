//! `incoming-request` and `incoming-response`.

use super::bindings::wasi::http::types;
use super::body::Incoming;
use crate::WasiHttpCtxView;
use crate::host::body::IncomingBody;
use crate::host::fields::Fields;
use crate::host::message::{Method, Scheme};
use helve::Result;
use helve::component::Resource;

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

impl types::HostIncomingRequest for WasiHttpCtxView<'_> {
    fn method(&mut self, request: Request) -> Result<Method> {
        Ok(self.table.get(&request)?.method.clone())
    }

    fn path_with_query(&mut self, request: Request) -> Result<Option<String>> {
        Ok(self.table.get(&request)?.path_with_query.clone())
    }

    fn scheme(&mut self, request: Request) -> Result<Option<Scheme>> {
        Ok(self.table.get(&request)?.scheme.clone())
    }

    fn authority(&mut self, request: Request) -> Result<Option<String>> {
        Ok(self.table.get(&request)?.authority.clone())
    }

    fn headers(&mut self, request: Request) -> Result<Resource<Fields>> {
        let fields = self.table.get(&request)?.fields.clone();
        Ok(self.table.push_child(fields, &request)?)
    }

    fn consume(&mut self, request: Request) -> Result<Result<Resource<Incoming>, ()>> {
        let body = self.table.get_mut(&request)?.body.take();
        self.incoming_body(body)
    }

    fn drop(&mut self, request: Request) -> Result<()> {
        self.discard(request)
    }
}

impl types::HostIncomingResponse for WasiHttpCtxView<'_> {
    fn status(&mut self, response: Response) -> Result<u16> {
        Ok(self.table.get(&response)?.status)
    }

    fn headers(&mut self, response: Response) -> Result<Resource<Fields>> {
        let fields = self.table.get(&response)?.fields.clone();
        Ok(self.table.push_child(fields, &response)?)
    }

    fn consume(&mut self, response: Response) -> Result<Result<Resource<Incoming>, ()>> {
        let body = self.table.get_mut(&response)?.body.take();
        self.incoming_body(body)
    }

    fn drop(&mut self, response: Response) -> Result<()> {
        self.discard(response)
    }
}

impl WasiHttpCtxView<'_> {
    /// A body, which a guest gets once.
    fn incoming_body(
        &mut self,
        body: Option<IncomingBody>,
    ) -> Result<Result<Resource<Incoming>, ()>> {
        let made = body.map(|body| self.table.push(Incoming::new(body)));
        Ok(made.transpose()?.ok_or(()))
    }
}
