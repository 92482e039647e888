//! `Endpoint`: a small HTTP exchange with a server of credentials.
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};

use crate::disk;
use crate::error::Result;
use crate::net::client::{Client, Connections, Failure, Sending, Upstream};
use crate::net::headers;
use crate::net::http1::Awaits;
use crate::net::proxy::Proxy;
use crate::net::tls::Trust;
use crate::providers::signer::cached::Missing;

/// The time for a connection to a server of credentials.
const CONNECT: Duration = Duration::from_secs(3);
/// The time for a whole exchange.
const TOTAL: Duration = Duration::from_secs(15);
/// The largest answer, in bytes.
const MAX_ANSWER: usize = 256 * 1024;

/// A server of credentials. Its path and query are fixed.
#[derive(Clone)]
pub(super) struct Endpoint {
    upstream: Arc<Upstream>,
    host: HeaderValue,
    uri: Uri,
}

impl Endpoint {
    /// Fails with a message if this is no usable URL.
    pub(super) fn new(url: &str, client: &Client) -> Result<Self, String> {
        Self::by(url, None, client)
    }

    /// Does the same as [`Endpoint::new`], through a proxy if there is one.
    pub(super) fn by(url: &str, proxy: Option<&Proxy>, client: &Client) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|e| format!("`{url}` is no URL: {e}"))?;
        let upstream = client.upstream_by(&uri, &Trust::System, proxy)?;
        let host = uri.authority().map_or("", |authority| authority.as_str());
        Ok(Self { upstream, host: headers::value(host), uri })
    }

    /// Returns the host, and the port if the URL has one.
    pub(super) fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// Sends a request and reads the whole answer.
    ///
    /// Fails with the reason if there is no answer.
    pub(super) async fn call(&self, request: Request<Bytes>) -> Result<Response, Missing> {
        let whole = tokio::time::timeout(TOTAL, self.exchange(request)).await;
        let whole = whole.unwrap_or_else(|_| Err("it did not answer in time".to_owned()));
        whole.map_err(|why| {
            let host = self.host.to_str().unwrap_or_default();
            Missing::new(format!("the server of credentials at `{host}` failed: {why}"))
        })
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response, String> {
        let (parts, body) = request.into_parts();
        let mut connections = Connections::Any;
        let answer = loop {
            let head = || {
                let mut head = parts.clone();
                head.headers.insert(HOST, self.host.clone());
                head.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
                Ok(head)
            };
            let how = Sending { awaits: Awaits::Whole, connect: CONNECT, connections };
            let sent = self.upstream.send(head, body.clone().into(), how).await;
            match sent.map_err(|error| error.message)? {
                Ok(answer) => break answer,
                // the kept connection had been closed: once more on a new one
                Err(Failure::Unprocessed(_)) if connections == Connections::Any => {
                    connections = Connections::New;
                }
                Err(failure) => return Err(reason(&failure)),
            }
        };
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map_err(|e| format!("its answer cannot be read: {e}"))?.to_bytes();
        Ok(Response { status: head.status, body })
    }

    /// Starts a request to the path of this endpoint.
    pub(super) fn request(&self, method: Method, body: impl Into<Bytes>) -> Request<Bytes> {
        self.request_at(method, self.uri.path_and_query().map_or("/", |path| path.as_str()), body)
    }

    /// Starts a request to another path of the server.
    pub(super) fn request_at(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Request<Bytes> {
        let mut request = Request::new(body.into());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap_or_default();
        request
    }

    /// Starts a `POST` of a form.
    pub(super) fn form(&self, fields: &[(&str, &str)]) -> Request<Bytes> {
        let body =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut request = self.request(Method::POST, body);
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(http::header::CONTENT_TYPE, form);
        request
    }
}

fn reason(failure: &Failure) -> String {
    match failure {
        Failure::Connect(e) => format!("no connection: {e}"),
        Failure::ConnectTimeout => format!("no connection within {} s", CONNECT.as_secs()),
        Failure::Unprocessed(e) | Failure::Broken(e) => format!("it closed the connection: {e}"),
    }
}

/// The whole answer of a server of credentials.
pub(super) struct Response {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

impl Response {
    /// Returns the body of a success; else fails with the status and the names of the error. Bodies of
    /// these servers may hold secrets, so no other part of one is quoted.
    pub(super) fn success(self, server: &str) -> Result<Bytes, Missing> {
        match self.status.is_success() {
            true => Ok(self.body),
            false => {
                let status = self.status.as_u16();
                let why =
                    error_name(&self.body).map_or_else(String::new, |name| format!(": {name}"));
                Err(Missing::new(format!("{server} answered {status}{why}")))
            }
        }
    }
}

/// Returns `error` and `error_description` of an OAuth error, or code and message of another JSON error.
fn error_name(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let texts = ["error", "error_description", "code", "Code", "message", "Message"];
    let found: Vec<&str> = texts.iter().filter_map(|name| body[*name].as_str()).collect();
    (!found.is_empty()).then(|| found.join(": ").chars().take(300).collect())
}

/// Reads a text file without a wait on this thread.
pub(super) async fn read(path: PathBuf) -> Result<String, Missing> {
    let shown = path.display().to_string();
    let read = tokio::task::spawn_blocking(move || disk::text(&path));
    match read.await {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(unread)) => Err(Missing::new(format!("`{shown}` {unread}"))),
        Err(_) => Err(Missing::new(format!("`{shown}` cannot be read"))),
    }
}

/// Sets a header that is hidden in logs.
///
/// Fails if it has characters that no header may have.
pub(super) fn set_secret(
    headers: &mut HeaderMap,
    name: HeaderName,
    text: &str,
) -> Result<(), Missing> {
    let wrong =
        |_| Missing::new(format!("the value of `{name}` has characters that no header may have"));
    let mut value = HeaderValue::from_str(text).map_err(wrong)?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}
