//! `response` of `wasi:http/types` 0.3.

use super::bindings::wasi::http::types::{HostResponse, HostResponseWithStore};
use super::body::{Body, Sent, Trailers};
use crate::host::fields::Fields;
use crate::{HasWasiHttp, WasiHttpCtxView};
use helve::Result;
use helve::component::{Access, Accessor, FutureReader, Resource, StreamReader};

/// `response`.
pub struct Response {
    pub status: u16,
    pub fields: Fields,
    pub body: Body,
}

type Own = Resource<Response>;

impl HostResponseWithStore for HasWasiHttp {
    fn new<T: 'static>(
        mut host: Access<'_, T, Self>,
        fields: Resource<Fields>,
        contents: Option<StreamReader<u8>>,
        trailers: FutureReader<Trailers>,
    ) -> Result<(Own, FutureReader<Sent>)> {
        let (body, sent) = Body::guest(&mut host, contents, trailers)?;
        let table = host.get().table;
        let response = Response {
            status: 200,
            fields: table.delete(fields)?.frozen(),
            body,
        };
        Ok((table.push(response)?, sent))
    }

    async fn consume_body<T: Send + 'static>(
        cx: &Accessor<T, Self>,
        response: Own,
        handled: FutureReader<Sent>,
    ) -> Result<(StreamReader<u8>, FutureReader<Trailers>)> {
        let response = cx.with(|mut host| host.get().table.delete(response))??;
        response.body.consume(cx, handled)
    }
}

impl HostResponse for WasiHttpCtxView<'_> {
    fn get_status_code(&mut self, response: Own) -> Result<u16> {
        Ok(self.table.get(&response)?.status)
    }

    fn set_status_code(&mut self, response: Own, status: u16) -> Result<Result<(), ()>> {
        let response = self.table.get_mut(&response)?;
        let valid = (100..600).contains(&status);
        if valid {
            response.status = status;
        }
        Ok(valid.then_some(()).ok_or(()))
    }

    fn get_headers(&mut self, response: Own) -> Result<Resource<Fields>> {
        let fields = self.table.get(&response)?.fields.frozen();
        Ok(self.table.push(fields)?)
    }

    fn drop(&mut self, response: Own) -> Result<()> {
        self.discard(response)
    }
}
