//! The Messages API itself, or an upstream that speaks it: bytes go through as they are.
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, request,
};
use http_body_util::{BodyExt, Limited};

use crate::context::Context;
use crate::error::{Error, ErrorKind, Problem, Result, Secret};
use crate::net::body::Body;
use crate::net::client::{Client, Failure, Upstream};
use crate::net::headers;
use crate::net::http1::Awaits;
use crate::net::pool::PooledBody;
use crate::net::tls::Trust;
use crate::providers::frames::Frames;
use crate::providers::unsupported::Unsupported;
use crate::providers::{Accepts, Attempt, Credentials, Provider, Timeouts, refusal};
use crate::wire::{Endpoint, Reply, ReplyBody, scan};

/// Where the API itself is.
const OWN_HOST: &str = "api.anthropic.com";
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const VERSION: HeaderName = HeaderName::from_static("anthropic-version");
/// What the API takes where a caller names no version (plain curl).
const DEFAULT_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");
/// Answers that do not stream are held whole; real ones stay far below.
const MAX_ANSWER: usize = 256 * 1024 * 1024;
const MAX_ERROR: usize = 1024 * 1024;

/// What the config says of one.
pub struct Settings<'a> {
    /// Sent as `x-api-key`.
    pub api_key: &'a Secret,
    /// Without `/v1`.
    pub base_url: &'a str,
    /// Whose credential the upstream gets.
    pub credentials: Credentials,
    /// The authorities that may sign its certificate.
    pub ca_file: Option<&'a Path>,
    /// It takes blocks that can be cited; none: if it is the API itself.
    pub cites: Option<bool>,
}

/// A native upstream.
pub struct Anthropic {
    upstream: Arc<Upstream>,
    host: HeaderValue,
    /// What stands before `/v1/…`; usually nothing.
    prefix: String,
    paths: [Uri; 2],
    api_key: Option<HeaderValue>,
    credentials: Credentials,
    accepts: Accepts,
}

impl Anthropic {
    /// Checks the URL, the key and the authorities; `path` is where the config names this provider.
    pub fn build(
        path: &str,
        settings: Settings<'_>,
        client: &Client,
    ) -> Result<Self, Vec<Problem>> {
        let Settings { api_key, base_url, credentials, ca_file, cites } = settings;
        let wrong_url = |message: String| vec![Problem::new(format!("{path}.base_url"), message)];
        let base: Uri = base_url.parse().map_err(|e| wrong_url(format!("is no URL: {e}")))?;
        let trust = match ca_file {
            None => Trust::System,
            Some(file) => Trust::read(file)
                .map_err(|message| vec![Problem::new(format!("{path}.ca_file"), message)])?,
        };
        let upstream = client.upstream(&base, &trust).map_err(wrong_url)?;
        let prefix = base.path().trim_end_matches('/').to_owned();
        let uri = |endpoint: Endpoint| format!("{prefix}{}", endpoint.path()).parse::<Uri>();
        let (messages, count) = uri(Endpoint::Messages)
            .and_then(|messages| Ok((messages, uri(Endpoint::CountTokens)?)))
            .map_err(|e| wrong_url(format!("its path cannot be used: {e}")))?;
        let api_key = match api_key.is_empty() {
            true => None,
            false => Some(secret_value(api_key).map_err(|()| {
                vec![Problem::new(
                    format!("{path}.api_key"),
                    "has characters that no header may have",
                )]
            })?),
        };
        let host = base.authority().map(|a| headers::value(a.as_str()));
        let host = host.unwrap_or_else(|| HeaderValue::from_static(""));
        let cites = cites.unwrap_or(base.host() == Some(OWN_HOST));
        let accepts =
            Accepts { is_native: true, has_server_tools: true, cites, ..Accepts::default() };
        Ok(Self { upstream, host, prefix, paths: [messages, count], api_key, credentials, accepts })
    }

    /// The same without some of what the API has.
    #[must_use]
    pub fn lacking(mut self, unsupported: Unsupported) -> Self {
        self.accepts.unsupported = unsupported;
        self
    }

    fn head(
        &self,
        ctx: &Context,
        endpoint: Endpoint,
        headers: HeaderMap,
    ) -> Result<request::Parts> {
        let path = &self.paths[usize::from(endpoint == Endpoint::CountTokens)];
        let uri = match &ctx.query {
            None => path.clone(),
            Some(query) => with_query(path.path(), query)?,
        };
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = Method::POST;
        head.uri = uri;
        head.headers = self.headers(ctx, headers)?;
        head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(head)
    }

    fn headers(&self, ctx: &Context, mut headers: HeaderMap) -> Result<HeaderMap> {
        headers.insert(HOST, self.host.clone());
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.entry(VERSION).or_insert(DEFAULT_VERSION);
        match (self.credentials, &self.api_key, &ctx.credential) {
            (Credentials::Caller, _, Some(own)) => {
                let value = secret_value(own).map_err(|()| no_credential())?;
                headers.insert(AUTHORIZATION, value);
            }
            (Credentials::Caller, None, None) => return Err(no_credential()),
            (_, Some(key), _) => {
                headers.insert(API_KEY, key.clone());
            }
            (Credentials::Own, None, _) => {}
        }
        Ok(headers)
    }
}

#[async_trait]
impl Provider for Anthropic {
    fn credentials(&self) -> Credentials {
        self.credentials
    }

    fn accepts(&self) -> &Accepts {
        &self.accepts
    }

    async fn send(&self, ctx: &Context, attempt: Attempt) -> Result<Reply> {
        let is_stream =
            attempt.request.is_stream() && attempt.request.endpoint == Endpoint::Messages;
        let head = || self.head(ctx, attempt.request.endpoint, attempt.headers(ctx));
        let body = attempt.request.to_pieces();
        let awaits = if is_stream { Awaits::FirstEvent } else { Awaits::Whole };
        let terms = (awaits, attempt.timeouts.connect);
        let answer = self.upstream.send(head, body, terms).await?;
        let answer = answer.map_err(|failure| unreachable_upstream(failure, attempt.timeouts))?;
        decode(answer, is_stream, attempt.timeouts).await
    }

    async fn forward(&self, ctx: &Context, request: Request<Body>) -> Result<Response<Body>> {
        let (mut head, body) = request.into_parts();
        let path = format!("{}{}", self.prefix, head.uri.path());
        head.uri = match &ctx.query {
            Some(query) => with_query(&path, query)?,
            None => path.parse::<Uri>().map_err(|e| bad_path().with_source(e))?,
        };
        let described =
            std::mem::replace(&mut head.headers, self.headers(ctx, ctx.headers.clone())?);
        for name in [CONTENT_TYPE, CONTENT_ENCODING] {
            if let Some(value) = described.get(&name) {
                head.headers.insert(name, value.clone());
            }
        }
        let timeouts = Timeouts::default();
        let answer = self.upstream.pass(head, body, timeouts.connect);
        // an upload takes its time, but not for ever
        let answer = tokio::time::timeout(timeouts.total, answer).await.map_err(|_| {
            let seconds = timeouts.total.as_secs();
            Error::new(
                ErrorKind::Timeout,
                format!("the upstream did not answer within {seconds} s"),
            )
        })?;
        let answer = answer.map_err(|failure| unreachable_upstream(failure, timeouts))?;
        Ok(answer.map(|body| Body::Stream(Box::pin(body))))
    }
}

async fn decode(
    answer: Response<PooledBody>,
    is_stream: bool,
    timeouts: Timeouts,
) -> Result<Reply> {
    let (head, body) = answer.into_parts();
    let status = head.status;
    if head.headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(nonsense("the upstream compressed its answer though it was asked not to"));
    }
    if !status.is_success() {
        return Err(refused(status, &head.headers, body).await);
    }
    let headers = headers::for_caller(&head.headers);
    let body = if is_stream {
        require_type(&head.headers, "text/event-stream")?;
        ReplyBody::Events(Box::pin(Frames::new(body, timeouts)))
    } else {
        let whole = collect(body, MAX_ANSWER).await?;
        scan::value(&whole).map_err(|e| {
            nonsense("the upstream's answer is not JSON, or only a part of it").with_source(e)
        })?;
        ReplyBody::Full(whole)
    };
    Ok(Reply { status, headers, body })
}

/// The upstream's refusal, its body as it is; nonsense if it is no final answer at all.
async fn refused(status: StatusCode, upstream: &HeaderMap, body: PooledBody) -> Error {
    if status.is_informational() || status.is_redirection() {
        return nonsense(&format!("the upstream answered {}", status.as_u16()));
    }
    let body = match collect(body, MAX_ERROR).await {
        Ok(body) => body,
        Err(e) => return e,
    };
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    *answer.headers_mut() = headers::for_caller(upstream);
    refusal(answer)
}

async fn collect(body: PooledBody, limit: usize) -> Result<Bytes> {
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

fn unreachable_upstream(failure: Failure, timeouts: Timeouts) -> Error {
    match failure {
        Failure::Connect(e) => {
            Error::new(ErrorKind::BadUpstream, "the upstream cannot be reached").with_source(e)
        }
        Failure::ConnectTimeout => {
            let millis = timeouts.connect.as_millis();
            let message = format!("the upstream did not take a connection within {millis} ms");
            Error::new(ErrorKind::Timeout, message)
        }
        Failure::Broken(e) => {
            nonsense("the upstream closed the connection without an answer").with_source(e)
        }
    }
}

fn with_query(path: &str, query: &str) -> Result<Uri> {
    let uri = format!("{path}?{query}").parse();
    uri.map_err(|e: http::uri::InvalidUri| bad_path().with_source(e))
}

fn secret_value(secret: &Secret) -> Result<HeaderValue, ()> {
    let mut value = HeaderValue::from_str(secret.expose()).map_err(|_| ())?;
    value.set_sensitive(true);
    Ok(value)
}

fn bad_path() -> Error {
    Error::invalid("the path or the query string is malformed")
}

fn no_credential() -> Error {
    let message = "this provider takes the caller's own credential: send your key as `x-tidegate-key` and your own `authorization` beside it";
    Error::new(ErrorKind::Authentication, message)
}

fn nonsense(message: &str) -> Error {
    Error::new(ErrorKind::BadUpstream, message)
}
