//! `request` of `wasi:http/types` 0.3.

use super::bindings::wasi::http::types::{HostRequest, HostRequestWithStore};
use super::body::{Body, Sent, Trailers};
use super::options::Options;
use crate::host::fields::Fields;
use crate::host::message::{Method, Scheme, is_authority, is_path_with_query};
use crate::{HasWasiHttp, WasiHttpCtxView};
use helve::Result;
use helve::component::{Access, Accessor, FutureReader, Resource, StreamReader};

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
/// What a setter returns.
type Set = Result<Result<(), ()>>;

impl HostRequestWithStore for HasWasiHttp {
    fn new<T: 'static>(
        mut host: Access<'_, T, Self>,
        fields: Resource<Fields>,
        contents: Option<StreamReader<u8>>,
        trailers: FutureReader<Trailers>,
        options: Option<Resource<Options>>,
    ) -> Result<(Own, FutureReader<Sent>)> {
        let (body, sent) = Body::guest(&mut host, contents, trailers)?;
        let table = host.get().table;
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
        Ok((table.push(request)?, sent))
    }

    async fn consume_body<T: Send + 'static>(
        cx: &Accessor<T, Self>,
        request: Own,
        handled: FutureReader<Sent>,
    ) -> Result<(StreamReader<u8>, FutureReader<Trailers>)> {
        let request = cx.with(|mut host| host.get().table.delete(request))??;
        request.body.consume(cx, handled)
    }
}

impl HostRequest for WasiHttpCtxView<'_> {
    fn get_method(&mut self, request: Own) -> Result<Method> {
        Ok(self.table.get(&request)?.method.clone())
    }

    fn set_method(&mut self, request: Own, method: Method) -> Set {
        let request = self.table.get_mut(&request)?;
        let http = method.to_http();
        if let Some(http) = &http {
            request.method = Method::from(http);
        }
        set(http.is_some())
    }

    fn get_path_with_query(&mut self, request: Own) -> Result<Option<String>> {
        Ok(self.table.get(&request)?.path_with_query.clone())
    }

    fn set_path_with_query(&mut self, request: Own, path: Option<String>) -> Set {
        let request = self.table.get_mut(&request)?;
        let valid = path.as_deref().is_none_or(is_path_with_query);
        if valid {
            let root = path.as_deref() == Some("");
            request.path_with_query = if root { Some("/".into()) } else { path };
        }
        set(valid)
    }

    fn get_scheme(&mut self, request: Own) -> Result<Option<Scheme>> {
        Ok(self.table.get(&request)?.scheme.clone())
    }

    fn set_scheme(&mut self, request: Own, scheme: Option<Scheme>) -> Set {
        let request = self.table.get_mut(&request)?;
        match scheme.as_ref().map(Scheme::to_http) {
            None => request.scheme = None,
            Some(Some(http)) => request.scheme = Some(Scheme::from(&http)),
            Some(None) => return set(false),
        }
        set(true)
    }

    fn get_authority(&mut self, request: Own) -> Result<Option<String>> {
        Ok(self.table.get(&request)?.authority.clone())
    }

    fn set_authority(&mut self, request: Own, authority: Option<String>) -> Set {
        let request = self.table.get_mut(&request)?;
        let valid = authority.as_deref().is_none_or(is_authority);
        if valid {
            request.authority = authority;
        }
        set(valid)
    }

    fn get_options(&mut self, request: Own) -> Result<Option<Resource<Options>>> {
        let options = self.table.get(&request)?.options;
        let made = options.map(|options| self.table.push(options));
        Ok(made.transpose()?)
    }

    fn get_headers(&mut self, request: Own) -> Result<Resource<Fields>> {
        let fields = self.table.get(&request)?.fields.frozen();
        Ok(self.table.push(fields)?)
    }

    fn drop(&mut self, request: Own) -> Result<()> {
        self.discard(request)
    }
}

fn set(valid: bool) -> Set {
    Ok(valid.then_some(()).ok_or(()))
}
