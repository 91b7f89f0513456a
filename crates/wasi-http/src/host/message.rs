//! The parts of a request that guests set: methods, schemes, authorities, paths; and what
//! is none of them.

use helve::component::{ComponentType, Lift, Lower};
use http::uri::{Authority, PathAndQuery, Scheme as HttpScheme};

/// `method`.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
#[allow(missing_docs, reason = "the names are WASI's own")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    Other(String),
}

/// `scheme`.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
#[allow(missing_docs, reason = "the names are WASI's own")]
pub enum Scheme {
    #[component(name = "HTTP")]
    Http,
    #[component(name = "HTTPS")]
    Https,
    #[component(name = "other")]
    Other(String),
}

const METHODS: [(Method, http::Method); 9] = [
    (Method::Get, http::Method::GET),
    (Method::Head, http::Method::HEAD),
    (Method::Post, http::Method::POST),
    (Method::Put, http::Method::PUT),
    (Method::Delete, http::Method::DELETE),
    (Method::Connect, http::Method::CONNECT),
    (Method::Options, http::Method::OPTIONS),
    (Method::Trace, http::Method::TRACE),
    (Method::Patch, http::Method::PATCH),
];

impl Method {
    /// As the crate `http` has it; `None` for what is no method.
    pub fn to_http(&self) -> Option<http::Method> {
        match self {
            Method::Other(text) => http::Method::from_bytes(text.as_bytes()).ok(),
            method => METHODS
                .iter()
                .find(|(own, _)| own == method)
                .map(|(_, http)| http.clone()),
        }
    }
}

impl From<&http::Method> for Method {
    fn from(method: &http::Method) -> Method {
        let known = METHODS.iter().find(|(_, http)| http == method);
        known.map_or_else(
            || Method::Other(method.as_str().to_owned()),
            |(own, _)| own.clone(),
        )
    }
}

impl Scheme {
    /// As the crate `http` has it; `None` for what is no scheme.
    pub fn to_http(&self) -> Option<HttpScheme> {
        match self {
            Scheme::Http => Some(HttpScheme::HTTP),
            Scheme::Https => Some(HttpScheme::HTTPS),
            // A scheme starts with a letter, which the crate does not ask for.
            Scheme::Other(text) if text.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                text.parse().ok()
            }
            Scheme::Other(_) => None,
        }
    }
}

impl From<&HttpScheme> for Scheme {
    fn from(scheme: &HttpScheme) -> Scheme {
        match scheme.as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => Scheme::Other(other.to_owned()),
        }
    }
}

/// Whether `text` is an authority: host and port, perhaps with a user before.
pub fn is_authority(text: &str) -> bool {
    let Ok(authority) = text.parse::<Authority>() else {
        return false;
    };
    let place = match text.rsplit_once('@') {
        Some((_, place)) => place,
        None => text,
    };
    let port_is_number = match place.rsplit_once(':') {
        Some((_, port)) if !port.contains(']') => port.parse::<u16>().is_ok(),
        _ => true,
    };
    !authority.host().is_empty() && port_is_number
}

/// Whether `text` is a path with perhaps a query: nothing that would end a request line or
/// that no URI has. Letters of other scripts are let pass, as they are everywhere.
pub fn is_path_with_query(text: &str) -> bool {
    let no = |c: char| c <= ' ' || "\"#<>`\u{7f}".contains(c);
    let rooted = if text.starts_with('/') { "" } else { "/" };
    !text.contains(no) && format!("{rooted}{text}").parse::<PathAndQuery>().is_ok()
}

/// A request's times, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestOptions {
    /// Longest wait for a connection.
    pub connect_timeout: Option<u64>,
    /// Longest wait for the first byte of the response.
    pub first_byte_timeout: Option<u64>,
    /// Longest wait for each further piece of the response's body.
    pub between_bytes_timeout: Option<u64>,
}

/// Headers whose content-length is no number, or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidLength;

/// The length that a content-length field says.
///
/// # Errors
/// Where it says no number, or two.
pub fn content_length(headers: &http::HeaderMap) -> Result<Option<u64>, InvalidLength> {
    let mut values = headers.get_all(http::header::CONTENT_LENGTH).iter();
    let Some(first) = values.next() else {
        return Ok(None);
    };
    if values.any(|other| other != first) {
        return Err(InvalidLength);
    }
    let text = first.to_str().map_err(|_| InvalidLength)?;
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(InvalidLength);
    }
    text.parse().map(Some).map_err(|_| InvalidLength)
}
