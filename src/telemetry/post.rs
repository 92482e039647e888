//! `Destination`: an HTTP receiver outside of the gateway, such as a collector of traces, and one try to send it a body.
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Limited};
use url::{Position, Url};

use crate::net::client::{Client, Connections, Failure, Sending, Upstream};
use crate::net::headers;
use crate::net::http1::Awaits;
use crate::net::proxy::Proxy;
use crate::net::tls::Trust;
use crate::wire::Pieces;

/// The headers of a request that the gateway sets itself.
const OWN: [HeaderName; 6] =
    [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, HOST];
/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// The facts about a receiver.
pub(crate) struct Receiver<'a> {
    /// Its name in messages, such as `the collector`.
    pub(crate) name: &'static str,
    /// Its address.
    pub(crate) url: &'a Url,
    /// The headers of each request.
    pub(crate) headers: HeaderMap,
    /// The time for one try.
    pub(crate) timeout: Duration,
    /// The PEM file with its authorities, in place of those of the system.
    pub(crate) ca_file: Option<&'a Path>,
    /// The proxy on the way.
    pub(crate) proxy: Option<&'a Proxy>,
}

/// A receiver, and the connections to it.
pub(crate) struct Destination {
    name: &'static str,
    upstream: Arc<Upstream>,
    uri: Uri,
    headers: HeaderMap,
    timeout: Duration,
}

/// The result of one try.
pub(crate) enum Sent<A> {
    /// The receiver took the body.
    Taken(A),
    /// The receiver may take it later, after this time if it says so.
    Later(Option<Duration>, String),
    /// The receiver does not take it.
    Rejected(String),
}

impl Destination {
    /// Fails with a message if the address or the certificate file cannot be used.
    pub(crate) fn new(receiver: Receiver<'_>) -> Result<Self, String> {
        let Receiver { name, url, mut headers, timeout, ca_file, proxy } = receiver;
        let base: Uri = url.as_str().parse().map_err(|_| "it is no URL".to_owned())?;
        let path = &url[Position::BeforePath..Position::AfterQuery];
        let uri: Uri = path.parse().map_err(|_| "its path is malformed".to_owned())?;
        let trust = ca_file.map_or(Ok(Trust::System), Trust::read)?;
        let host = base.authority().map(|authority| headers::value(authority.as_str()));
        headers.extend(host.map(|host| (HOST, host)));
        // connections of its own: those of the workers belong to their threads
        let upstream = Client::new(1).upstream_by(&base, &trust, proxy)?;
        Ok(Self { name, upstream, uri, headers, timeout })
    }

    /// Sends a body once, with more headers. Any answer counts as taken: its status decides later.
    pub(crate) async fn post(&self, more: &HeaderMap, body: &Bytes) -> Sent<Response<Bytes>> {
        let mut request = self.request(Method::POST, body.clone());
        request.headers_mut().extend(more.clone());
        self.send(request).await
    }

    /// Reads the URL once.
    pub(crate) async fn get(&self) -> Sent<Response<Bytes>> {
        self.send(self.request(Method::GET, Bytes::new())).await
    }

    fn request(&self, method: Method, body: Bytes) -> Request<Bytes> {
        let mut request = Request::new(body);
        (*request.method_mut(), *request.uri_mut()) = (method, self.uri.clone());
        *request.headers_mut() = self.headers.clone();
        request
    }

    async fn send(&self, request: Request<Bytes>) -> Sent<Response<Bytes>> {
        let (head, body) = request.into_parts();
        let head = || Ok(head.clone());
        let how =
            Sending { awaits: Awaits::Whole, connect: self.timeout, connections: Connections::Any };
        let exchange = async {
            let sent = self.upstream.send(head, Pieces::from(body), how).await;
            let answer = match sent {
                Ok(Ok(answer)) => answer,
                Ok(Err(failure)) => return Sent::Later(None, self.unreachable(failure)),
                Err(error) => return Sent::Rejected(error.message),
            };
            let (head, body) = answer.into_parts();
            // the status decides also if the body cannot be read
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            let body = body.map(|body| body.to_bytes()).unwrap_or_default();
            Sent::Taken(Response::from_parts(head, body))
        };
        tokio::time::timeout(self.timeout, exchange).await.unwrap_or_else(|_| {
            let millis = self.timeout.as_millis();
            Sent::Later(None, format!("{} gave no answer within {millis} ms", self.name))
        })
    }

    fn unreachable(&self, failure: Failure) -> String {
        let name = self.name;
        match failure {
            Failure::Connect(error) => format!("{name} cannot be reached: {error}"),
            Failure::ConnectTimeout => format!("{name} did not take a connection in time"),
            Failure::Unprocessed(error) | Failure::Broken(error) => {
                format!("{name} closed the connection without an answer: {error}")
            }
        }
    }
}

/// Reads the address of a receiver. The message begins with `expected` and does not quote the address, since it may hold
/// a password.
pub(crate) fn address(text: &str, expected: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{expected}: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(format!("{expected}, with `http://` or `https://`"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("{expected}, without credentials: use `headers`"));
    }
    Ok(url)
}

/// Reads a header of the config that is not one of those that the gateway sets itself, of which the receiver has `more`.
/// Messages never quote the value.
pub(crate) fn header(
    name: &str,
    value: &str,
    more: &[HeaderName],
) -> Result<(HeaderName, HeaderValue), String> {
    let name = HeaderName::try_from(name)
        .map_err(|_| format!("expected the name of a header, found `{name}`"))?;
    if OWN.contains(&name) || more.contains(&name) {
        return Err(format!("the gateway sets `{name}` itself"));
    }
    let mut value = HeaderValue::from_str(value.trim())
        .map_err(|_| format!("the value of `{name}` has characters that no header may have"))?;
    value.set_sensitive(true);
    Ok((name, value))
}
