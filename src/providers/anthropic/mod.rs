//! The Messages API itself, or an upstream that speaks it. The bytes pass unchanged.
mod config;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, request};

pub(crate) use config::Config;

use crate::context::Context;
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::net::body::Body;
use crate::net::headers::{self, Forwards};
use crate::net::http1::Awaits;
use crate::providers::accepts::Accepts;
use crate::providers::frames::Frames;
use crate::providers::http::{Base, secret_value, uri};
use crate::providers::{Answer, Attempt, Credentials, Parts, Provider, Settings};
use crate::wire::{Endpoint, Reply, ReplyBody};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const VERSION: HeaderName = HeaderName::from_static("anthropic-version");
/// The version for a caller that names none (plain curl).
const DEFAULT_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

impl Settings for Config {
    fn build(&self, path: &str, parts: &Parts<'_>) -> Result<Arc<dyn Provider>, Vec<Problem>> {
        let all = Accepts {
            is_native: true,
            has_server_tools: true,
            cites: self.cites(),
            ..Accepts::default()
        };
        match (Anthropic::new(self, parts), all.without(path, &self.unsupported)) {
            (Ok(anthropic), Ok(accepts)) => Ok(Arc::new(Anthropic { accepts, ..anthropic })),
            (made, accepts) => {
                let wrong = |(key, message)| Problem::new(format!("{path}.{key}"), message);
                Err(made.err().map(wrong).into_iter().chain(accepts.err()).collect())
            }
        }
    }

    fn files(&self) -> Vec<&Path> {
        self.ca_file.as_deref().into_iter().collect()
    }

    fn problems(&self) -> Vec<(&'static str, String)> {
        self.wrong_values()
    }
}

/// A native upstream.
struct Anthropic {
    base: Base,
    messages: Uri,
    count_tokens: Uri,
    api_key: Option<HeaderValue>,
    credentials: Credentials,
    accepts: Accepts,
    forwards: Forwards,
}

impl Anthropic {
    /// Reads URL, key and authorities. The result accepts everything.
    ///
    /// Fails with the key that has a wrong value, and a message.
    fn new(config: &Config, parts: &Parts<'_>) -> Result<Self, (&'static str, String)> {
        let ca_file = config.ca_file.as_ref().map(|file| parts.base_dir.join(file));
        let base = Base::new(&config.base_url, ca_file.as_deref(), parts.client)?;
        let uri = |endpoint: Endpoint| {
            let uri = base.path(endpoint.path()).parse::<Uri>();
            uri.map_err(|e| ("base_url", format!("its path cannot be used: {e}")))
        };
        let (messages, count_tokens) = (uri(Endpoint::Messages)?, uri(Endpoint::CountTokens)?);
        let api_key = match config.api_key.is_empty() {
            true => None,
            false => {
                let wrong = || ("api_key", "has characters that no header may have".to_owned());
                Some(secret_value(&config.api_key).ok_or_else(wrong)?)
            }
        };
        let forwards = Forwards::new(&config.forward_headers);
        let forwards = forwards.map_err(|message| ("forward_headers", message))?;
        let (credentials, accepts) = (config.credentials, Accepts::default());
        Ok(Self { base, messages, count_tokens, api_key, credentials, accepts, forwards })
    }

    fn head(
        &self,
        ctx: &Context,
        endpoint: Endpoint,
        headers: HeaderMap,
    ) -> Result<request::Parts> {
        let path = match endpoint {
            Endpoint::Messages => &self.messages,
            Endpoint::CountTokens => &self.count_tokens,
        };
        let uri = match &ctx.query {
            None => path.clone(),
            query => uri(path.path(), query.as_deref())?,
        };
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = Method::POST;
        head.uri = uri;
        head.headers = self.headers(ctx, headers)?;
        head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(head)
    }

    fn headers(&self, ctx: &Context, mut headers: HeaderMap) -> Result<HeaderMap> {
        self.base.address(&mut headers);
        headers.entry(VERSION).or_insert(DEFAULT_VERSION);
        match (self.credentials, &self.api_key, &ctx.credential) {
            (Credentials::Caller, _, Some(own)) => {
                let value = secret_value(own).ok_or_else(no_credential)?;
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
    fn family(&self) -> Option<&str> {
        Some("anthropic")
    }

    fn credentials(&self) -> Credentials {
        self.credentials
    }

    fn accepts(&self) -> &Accepts {
        &self.accepts
    }

    fn forwards(&self) -> &Forwards {
        &self.forwards
    }

    async fn send(&self, ctx: &Context, attempt: Attempt) -> Result<Answer> {
        let endpoint = attempt.request.endpoint;
        let awaits = match endpoint == Endpoint::Messages && attempt.request.is_stream() {
            true => Awaits::FirstEvent,
            false => Awaits::Whole,
        };
        let head = || self.head(ctx, endpoint, attempt.headers(ctx, &self.forwards));
        let body = attempt.request.to_pieces();
        let answer = self.base.send(head, body, attempt.sending(awaits), attempt.timeouts).await?;
        let (status, headers) = (answer.status, answer.for_caller());
        let body = match awaits {
            Awaits::FirstEvent => ReplyBody::Events(answer.events(Frames::default())?),
            Awaits::Whole => ReplyBody::Full(answer.json().await?),
        };
        Ok(Reply { status, headers, body }.into())
    }

    async fn forward(&self, ctx: &Context, request: Request<Body>) -> Result<Response<Body>> {
        let (mut head, body) = request.into_parts();
        head.uri = uri(&self.base.path(head.uri.path()), ctx.query.as_deref())?;
        let own = self.headers(ctx, headers::for_attempt(&ctx.headers, &self.forwards))?;
        let described = std::mem::replace(&mut head.headers, own);
        for name in [CONTENT_TYPE, CONTENT_ENCODING] {
            if let Some(value) = described.get(&name) {
                head.headers.insert(name, value.clone());
            }
        }
        self.base.pass(head, body).await
    }
}

fn no_credential() -> Error {
    let message = "this provider takes the caller's own credential: send your key as `x-tidegate-key` and your own `authorization` beside it";
    Error::new(ErrorKind::Authentication, message)
}
