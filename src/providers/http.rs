//! The HTTP call of all providers: sends a request, separates rejections from successes, and reads
//! the response whole or as a stream.
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, HOST, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Uri, request, response};
use http_body_util::{BodyExt, Collected, LengthLimitError, Limited};
use url::Url;

use crate::error::{Error, ErrorKind, Origin, Result, Secret, UpstreamOrigin};
use crate::net::body::Body;
use crate::net::client::{Client, Failure, Sending, Upstream};
use crate::net::headers;
use crate::net::pool::PooledBody;
use crate::net::proxy::Proxy;
use crate::net::rate_limits;
use crate::net::tls::Trust;
use crate::providers::arriving::Arriving;
use crate::providers::timed::{Decoder, Timed};
use crate::providers::{Timeouts, refusal};
use crate::wire::{EventStream, Pieces, scan};

/// The largest non-streaming response in bytes. The gateway holds it whole; real ones are far
/// smaller.
const MAX_ANSWER: usize = 256 * 1024 * 1024;
/// The largest body of a rejection in bytes.
const MAX_ERROR: usize = 1024 * 1024;
/// The longest wait for the body of a rejection.
const ERROR_TIME: Duration = Duration::from_secs(5);

/// Checks a `base_url` without a connection, and returns its parts.
///
/// Fails with a message for the key.
pub(super) fn check_base_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text)
        .map_err(|error| format!("no URL such as `https://api.example.com`: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("`http://` or `https://` is needed".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("no query and no fragment may be in it: the route is added to it".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("no credentials may be in it: use `api_key`".to_owned());
    }
    Ok(url)
}

/// Returns the message for a key that is missing: the hosts of `needs` answer no request without one.
pub(super) fn missing_key(base_url: &str, needs: impl Fn(&str) -> bool) -> Option<String> {
    let url = check_base_url(base_url).ok()?;
    let host = url.host_str().filter(|host| needs(host))?;
    Some(format!("is missing, and `{host}` takes no request without one: set it"))
}

/// Reads `proxy:` of a provider; none if it is empty.
///
/// Fails with the key, and a message that does not quote the URL.
pub(super) fn proxy(url: &Secret) -> Result<Option<Proxy>, (&'static str, String)> {
    if url.is_empty() {
        return Ok(None);
    }
    Proxy::parse(url.expose()).map(Some).map_err(|message| ("proxy", message))
}

/// The base URL of a provider, and the connections to it.
pub(super) struct Base {
    upstream: Arc<Upstream>,
    host: HeaderValue,
    /// The path of the URL, without a `/` at its end; usually empty.
    prefix: String,
}

impl Base {
    /// Reads the URL and the authorities that may sign the upstream's certificate. Requests go through the proxy if
    /// there is one.
    ///
    /// Fails with the key that has a wrong value, and a message.
    pub(super) fn by(
        base_url: &str,
        ca_file: Option<&Path>,
        proxy: Option<&Proxy>,
        client: &Client,
    ) -> Result<Self, (&'static str, String)> {
        let base: Uri = base_url.parse().map_err(|e| ("base_url", format!("is no URL: {e}")))?;
        let trust = match ca_file {
            None => Trust::System,
            Some(file) => Trust::read(file).map_err(|message| ("ca_file", message))?,
        };
        let upstream = client.upstream_by(&base, &trust, proxy);
        let upstream = upstream.map_err(|message| ("base_url", message))?;
        let host = base.authority().map(|authority| headers::value(authority.as_str()));
        Ok(Self {
            upstream,
            host: host.unwrap_or_else(|| HeaderValue::from_static("")),
            prefix: base.path().trim_end_matches('/').to_owned(),
        })
    }

    /// Returns the path of a route on this upstream.
    pub(super) fn path(&self, route: &str) -> String {
        format!("{}{route}", self.prefix)
    }

    /// Sets the headers of every request to this upstream.
    pub(super) fn address(&self, headers: &mut HeaderMap) {
        headers.insert(HOST, self.host.clone());
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }

    /// Sends a request and reads the head of its response. `head` makes the request's head, once
    /// for each connection that is tried.
    ///
    /// Fails with the upstream's own response for every status except a success.
    pub(super) async fn send(
        &self,
        head: impl Fn() -> Result<request::Parts>,
        body: Pieces,
        how: Sending,
        timeouts: Timeouts,
    ) -> Result<UpstreamAnswer> {
        self.ask(head, body, how, timeouts).await?.map_err(Rejection::into_error)
    }

    /// Does the same as [`Base::send`], and returns a rejection with all headers of the upstream.
    pub(super) async fn ask(
        &self,
        head: impl Fn() -> Result<request::Parts>,
        body: Pieces,
        how: Sending,
        timeouts: Timeouts,
    ) -> Result<Result<UpstreamAnswer, Rejection>> {
        let sent = self.upstream.send(head, body, how).await?;
        let answer = sent.map_err(|failure| no_answer(failure, timeouts))?;
        let (head, body) = answer.into_parts();
        if !head.status.is_success() {
            return Rejection::read(head, body).await.map(Err);
        }
        let body = Arriving::of(body, &head.headers).map_err(|message| nonsense(&message))?;
        Ok(Ok(UpstreamAnswer { status: head.status, headers: head.headers, body, timeouts }))
    }

    /// Sends a request once, and streams its body. The body of the response is passed on.
    pub(super) async fn pass(&self, head: request::Parts, body: Body) -> Result<Response<Body>> {
        let timeouts = Timeouts::default();
        let answer = self.upstream.pass(head, body, timeouts.connect);
        // an upload may be slow, but has a limit
        let answer = tokio::time::timeout(timeouts.total, answer).await.map_err(|_| {
            let seconds = timeouts.total.as_secs();
            let message = format!("the upstream did not answer within {seconds} s");
            Error::new(ErrorKind::Timeout, message)
        })?;
        let answer = answer.map_err(|failure| no_answer(failure, timeouts))?;
        Ok(answer.map(|body| Body::Stream(Box::pin(body))))
    }
}

/// The kind of a translated answer's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContentType {
    /// Server-sent events.
    Events,
    /// JSON.
    Json,
}

/// A successful response: the head has been read, the body has not.
pub(super) struct UpstreamAnswer {
    /// The status, always a success.
    pub(super) status: StatusCode,
    headers: HeaderMap,
    body: Arriving,
    timeouts: Timeouts,
}

impl UpstreamAnswer {
    /// Returns the headers for the caller.
    pub(super) fn for_caller(&self) -> HeaderMap {
        headers::for_caller(&self.headers)
    }

    /// Returns the kind of the body. Fails if a translated answer cannot have it.
    pub(super) fn content_type(&self) -> Result<ContentType> {
        let found = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let found = found.unwrap_or_default().trim().to_ascii_lowercase();
        let kind = found.split(';').next().unwrap_or_default().trim_end();
        match kind {
            "text/event-stream" => Ok(ContentType::Events),
            // some servers name no type, or a wrong one: the parser of the JSON decides
            "" | "text/plain" => Ok(ContentType::Json),
            _ if kind.ends_with("json") => Ok(ContentType::Json),
            _ => require_type(&self.headers, "application/json").map(|()| ContentType::Json),
        }
    }

    /// Reads the whole body.
    pub(super) async fn whole(self) -> Result<Bytes> {
        collect(self.body, MAX_ANSWER).await
    }

    /// Returns a header of the upstream.
    pub(super) fn header(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.headers.get(name)
    }

    /// Reads the whole body. Fails if it is not JSON.
    pub(super) async fn json(self) -> Result<Bytes> {
        let whole = collect(self.body, MAX_ANSWER).await?;
        scan::value(&whole).map_err(|e| {
            nonsense("the upstream's answer is not JSON, or only a part of it").with_source(e)
        })?;
        Ok(whole)
    }

    /// Reads the body as events while it arrives. Fails if the decoder does not read its content
    /// type.
    pub(super) fn events<D: Decoder + Send + 'static>(self, decoder: D) -> Result<EventStream> {
        require_type(&self.headers, D::CONTENT_TYPE)?;
        Ok(Box::pin(Timed::new(self.body, decoder, self.timeouts)))
    }
}

/// Returns the URI of a request's head: a path, and the caller's query string.
///
/// Fails with a 400, because a part of the URI comes from the caller.
pub(super) fn uri(path: &str, query: Option<&str>) -> Result<Uri> {
    let uri = match query {
        None => path.parse(),
        Some(query) => format!("{path}?{query}").parse(),
    };
    uri.map_err(|e: http::uri::InvalidUri| {
        Error::invalid("the path or the query string is malformed").with_source(e)
    })
}

/// Returns a secret as a header that is hidden in logs; `None` if it has characters that are
/// invalid in a header.
pub(super) fn secret_value(secret: &Secret) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(secret.expose()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// An upstream's answer with a status that is no success.
pub(super) struct Rejection {
    /// The status.
    pub(super) status: StatusCode,
    /// All headers of the upstream.
    pub(super) headers: HeaderMap,
    /// The body without its content coding, or the reason why it was left out.
    pub(super) body: Result<Bytes, String>,
}

impl Rejection {
    /// Reads the body, unless it is too large or too slow.
    ///
    /// Fails for a status that is not final: it is no rejection.
    async fn read(head: response::Parts, body: PooledBody) -> Result<Self> {
        let response::Parts { status, headers, .. } = head;
        if status.is_informational() || status.is_redirection() {
            return Err(nonsense(&format!("the upstream answered {}", status.as_u16())));
        }
        let read = async {
            let body = Arriving::of(body, &headers)?;
            let read = Limited::new(body, MAX_ERROR).collect().await;
            read.map(Collected::to_bytes).map_err(|e| match e.is::<LengthLimitError>() {
                true => "its error body is larger than 1 MiB and was left out".to_owned(),
                false => "its error body was cut off or unreadable and was left out".to_owned(),
            })
        };
        let body = tokio::time::timeout(ERROR_TIME, read).await.unwrap_or_else(|_| {
            let seconds = ERROR_TIME.as_secs();
            Err(format!("its error body was not complete within {seconds} s and was left out"))
        });
        Ok(Self { status, headers, body })
    }

    /// Returns the error that passes the upstream's answer on. Without its body, the message says why.
    pub(super) fn into_error(self) -> Error {
        let mut answer = Response::new(Bytes::new());
        *answer.status_mut() = self.status;
        *answer.headers_mut() = headers::for_caller(&self.headers);
        if self.status == StatusCode::TOO_MANY_REQUESTS
            && !self.headers.contains_key(RETRY_AFTER)
            && let Some(wait) = rate_limits::wait(&self.headers)
        {
            let seconds = wait.as_secs_f64().ceil().to_string();
            answer.headers_mut().insert(RETRY_AFTER, headers::value(&seconds));
        }
        match self.body {
            Ok(body) => {
                *answer.body_mut() = body;
                refusal(answer)
            }
            Err(why) => {
                let mut error = refusal(answer);
                error.message = format!("{}; {why}", error.message);
                if let Origin::Upstream(upstream) = &mut error.origin {
                    upstream.lacks_body = true;
                }
                error
            }
        }
    }
}

async fn collect(body: Arriving, limit: usize) -> Result<Bytes> {
    let whole = Limited::new(body, limit)
        .collect()
        .await
        .map_err(|e| nonsense("the upstream's answer broke off, or is too large").with_source(e))?;
    Ok(whole.to_bytes())
}

fn require_type(headers: &HeaderMap, expected: &str) -> Result<()> {
    let found = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("none");
    match found.trim_start().to_ascii_lowercase().starts_with(expected) {
        true => Ok(()),
        false => {
            let found: String = found.chars().take(64).collect();
            Err(nonsense(&format!(
                "the upstream answered with `content-type: {found}` instead of `{expected}`"
            )))
        }
    }
}

fn no_answer(failure: Failure, timeouts: Timeouts) -> Error {
    match failure {
        Failure::Connect(e) => {
            Error::new(ErrorKind::BadUpstream, "the upstream cannot be reached").with_source(e)
        }
        Failure::ConnectTimeout => {
            let millis = timeouts.connect.as_millis();
            let message = format!("the upstream did not take a connection within {millis} ms");
            Error::new(ErrorKind::Timeout, message)
        }
        Failure::Unprocessed(e) => {
            let origin = UpstreamOrigin { is_unprocessed: true, ..UpstreamOrigin::default() };
            nonsense("the upstream had closed the connection before the request arrived")
                .with_source(e)
                .with_origin(Origin::Upstream(Box::new(origin)))
        }
        Failure::Broken(e) => {
            nonsense("the upstream closed the connection without an answer").with_source(e)
        }
    }
}

fn nonsense(message: &str) -> Error {
    Error::new(ErrorKind::BadUpstream, message)
}
