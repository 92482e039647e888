//! The request of one hop, and the next hop after a redirect.
use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderName,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, LOCATION, RANGE, USER_AGENT,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use hyper::body::Incoming;
use url::{Position, Url};

use crate::net::body::Body;
use crate::net::egress::answer::ENCODINGS;
use crate::net::egress::destination::Destination;
use crate::net::egress::{Policy, Refusal, Request};

/// The headers of the connection, in both directions.
const OF_CONNECTION: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The headers that may go to another site than the one that the plugin named. Any other header may be a
/// credential: every service has its own header for them.
const OF_NO_SECRET: [HeaderName; 8] = [
    ACCEPT,
    ACCEPT_LANGUAGE,
    CACHE_CONTROL,
    CONTENT_TYPE,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    RANGE,
    USER_AGENT,
];

/// A request in progress, hop by hop.
pub(crate) struct Hop {
    /// The next destination.
    pub to: Destination,
    method: Method,
    headers: HeaderMap,
    body: Option<Bytes>,
}

impl Hop {
    /// Returns the first hop: the plugin's request.
    pub(crate) fn first(request: Request, policy: &Policy) -> Result<Self, Refusal> {
        let to = Destination::new(&request.url, policy)?;
        let method = Method::from_bytes(request.method.as_bytes()).ok();
        let method = method.filter(|method| !matches!(*method, Method::CONNECT | Method::TRACE));
        let Some(method) = method else {
            return Err(Refusal::new("invalid_input", "no such method: use `GET` or `POST`"));
        };
        let mut headers = HeaderMap::with_capacity(request.headers.len() + 4);
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let agents =
            request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("user-agent"));
        if agents {
            headers.clear();
        }
        for (name, value) in &request.headers {
            let parsed = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
            let Some((parsed, value)) = parsed else {
                let shown: String = name.chars().take(64).collect();
                let message = format!("the header `{shown}` has invalid characters");
                return Err(Refusal::new("invalid_input", message));
            };
            if !OF_CONNECTION.contains(&parsed.as_str()) {
                headers.append(parsed, value);
            }
        }
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(ENCODINGS));
        Ok(Self { to, method, headers, body: request.body })
    }

    /// Returns the request for the wire.
    pub(crate) fn request(&self) -> Result<http::Request<Body>, Refusal> {
        let url = &self.to.url;
        let target = &url[Position::BeforePath..Position::AfterQuery];
        let mut request = http::Request::builder()
            .method(self.method.clone())
            .uri(target)
            .body(self.body.clone().unwrap_or_default().into())
            .map_err(|_| Refusal::new("invalid_url", "the URL has a path that cannot be sent"))?;
        *request.headers_mut() = self.headers.clone();
        let host = url[Position::BeforeHost..Position::AfterHost].trim_end_matches('.');
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let host = HeaderValue::try_from(authority)
            .map_err(|_| Refusal::new("invalid_url", "the URL has a host that cannot be sent"))?;
        request.headers_mut().insert(HOST, host);
        Ok(request)
    }

    /// Returns the next hop if the response is a redirect.
    pub(crate) fn next(
        self,
        answer: &Response<Incoming>,
        policy: &Policy,
    ) -> Result<Step, Refusal> {
        let Some(url) = self.location(answer)? else { return Ok(Step::Stay(self)) };
        if self.to.url.scheme() == "https" && url.scheme() == "http" {
            let message = "the redirect leads from `https:` to `http:`: it is not followed";
            return Err(Refusal::new("url_not_allowed", message));
        }
        let to = Destination::of(url, policy)?;
        let Self { to: from, mut method, mut headers, mut body } = self;
        let is_get_now = match answer.status() {
            StatusCode::SEE_OTHER => method != Method::HEAD,
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => method == Method::POST,
            _ => false,
        };
        if is_get_now {
            method = Method::GET;
            body = None;
            headers.remove(CONTENT_TYPE);
        }
        if to.host != from.host && body.is_some() {
            let message = "the redirect leads to another host, and the request body may hold a secret: request that host directly";
            return Err(Refusal::new("url_not_allowed", message));
        }
        if to.origin() != from.origin() {
            headers = headers
                .into_iter()
                .filter_map(|(name, value)| Some((name?, value)))
                .filter(|(name, _)| OF_NO_SECRET.contains(name) || name == ACCEPT_ENCODING)
                .collect();
        }
        Ok(Step::Go(Self { to, method, headers, body }))
    }

    fn location(&self, answer: &Response<Incoming>) -> Result<Option<Url>, Refusal> {
        let Some(location) = location(answer.status(), answer.headers()) else { return Ok(None) };
        let Ok(mut url) = self.to.url.join(&ascii(location)) else {
            let message = format!("`{}` redirects to an invalid URL", self.to.host);
            return Err(Refusal::new("unreachable", message));
        };
        // the fragment is kept unless the new URL has its own
        if url.fragment().is_none() {
            url.set_fragment(self.to.url.fragment());
        }
        Ok(Some(url))
    }
}

/// Returns the `location` of a redirect. A header without an address is none, as in browsers.
pub(crate) fn location(status: StatusCode, headers: &HeaderMap) -> Option<&HeaderValue> {
    let is_redirect = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
    let mut locations = headers.get_all(LOCATION).iter();
    locations.find(|value| is_redirect && !value.as_bytes().trim_ascii().is_empty())
}

/// Returns an address as ASCII. Browsers send the bytes of any other character back as they are,
/// in whichever encoding the server has written them.
fn ascii(location: &HeaderValue) -> String {
    let mut text = String::with_capacity(location.len());
    for byte in location.as_bytes() {
        match byte {
            0..0x80 => text.push(char::from(*byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// Returns the text of a header: UTF-8, or one byte for each character.
fn text(value: &HeaderValue) -> String {
    let bytes = value.as_bytes();
    let latin = || bytes.iter().map(|byte| char::from(*byte)).collect();
    std::str::from_utf8(bytes).map_or_else(|_| latin(), str::to_owned)
}

/// The step after a response.
pub(crate) enum Step {
    /// The response is the last one.
    Stay(Hop),
    /// Another hop follows.
    Go(Hop),
}

/// Returns the headers of a response that a plugin may read.
pub(crate) fn for_plugin(headers: &HeaderMap) -> Vec<(String, String)> {
    let is_of_body = |name: &str| matches!(name, "content-encoding");
    headers
        .iter()
        .filter(|(name, _)| !OF_CONNECTION.contains(&name.as_str()) && !is_of_body(name.as_str()))
        .map(|(name, value)| {
            let value = if name == LOCATION { ascii(value) } else { text(value) };
            (name.as_str().to_owned(), value)
        })
        .collect()
}

const AGENT: &str = concat!("tidegate/", env!("CARGO_PKG_VERSION"));
