//! Upstreams as the rest of the gateway sees them: the trait, its settings, one attempt and its timeouts.
//!
//! Everything that knows how an upstream speaks lives in the folders below this one; `registry` lists them.
pub mod accepts;
mod anthropic;
mod frames;
mod http;
pub mod registry;
pub mod simulator;
mod timed;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, HeaderValue, Request, Response};
use async_trait::async_trait;
use bytes::Bytes;

use crate::context::Context;
use crate::error::{Error, ErrorKind, Origin, Problem, Result, UpstreamOrigin};
use crate::net::body::Body;
use crate::net::client::Client;
use crate::net::headers::{self, SHOULD_RETRY};
use crate::providers::accepts::Accepts;
use crate::wire::{MessagesRequest, Reply};

/// The settings of one provider; each type has its own.
pub trait Settings: fmt::Debug + Send + Sync {
    /// Makes the provider. `path` is its place in the config; problems name keys below it.
    fn build(&self, path: &str, parts: &Parts<'_>) -> Result<Arc<dyn Provider>, Vec<Problem>>;

    /// Returns the files to watch, relative to the folder of the config.
    fn files(&self) -> Vec<&Path> {
        Vec::new()
    }

    /// Returns the keys with values that can never work, and a message for each.
    fn problems(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

/// Everything that a provider is built with.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// Keeps the connections; outlives generations.
    pub client: &'a Client,
    /// The folder of the config: paths in settings are relative to it.
    pub base_dir: &'a Path,
}

/// Whose credential an upstream gets.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    serde::Deserialize,
    serde::Serialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Credentials {
    /// The provider's `api_key`.
    #[default]
    Own,
    /// The caller's own `Authorization`, where it authenticated by `x-tidegate-key`.
    Caller,
}

/// How long one attempt may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// Until the connection stands, TLS included.
    pub connect: Duration,
    /// From sending the request to the first event of a stream.
    pub first_event: Duration,
    /// Between two events.
    pub idle: Duration,
    /// The whole attempt.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_event: Duration::from_secs(120),
            idle: Duration::from_secs(120),
            total: Duration::from_secs(15 * 60),
        }
    }
}

/// One attempt at one target: the request with the upstream's model name already in it.
#[derive(Debug)]
pub struct Attempt {
    /// What to send.
    pub request: MessagesRequest,
    /// The caller's headers as stages left them, without the provider's own; `None` if they are
    /// as they came.
    pub headers: Option<HeaderMap>,
    /// How long it may take.
    pub timeouts: Timeouts,
}

impl Attempt {
    /// What is sent of the caller's headers.
    pub fn headers(&self, ctx: &Context) -> HeaderMap {
        match &self.headers {
            Some(edited) => edited.clone(),
            None => headers::for_attempt(&ctx.headers),
        }
    }
}

/// An upstream. Users extend through scripts and wasm; this trait is for the dialects we ship.
#[async_trait]
pub trait Provider: Send + Sync {
    /// What the upstream understands.
    fn accepts(&self) -> &Accepts;

    /// Whose credential the upstream gets.
    fn credentials(&self) -> Credentials {
        Credentials::Own
    }

    /// Sends one attempt. `Ok` is a success status, with a stream of events exactly if
    /// `request.is_stream()`; an `Err` says by its kind and retry advice whether another target
    /// may be tried, and carries the upstream's own answer where there was one.
    async fn send(&self, ctx: &Context, attempt: Attempt) -> Result<Reply>;

    /// Forwards a request to a route that the gateway does not know, body and answer untouched.
    async fn forward(&self, _ctx: &Context, request: Request<Body>) -> Result<Response<Body>> {
        let message = format!("this provider has no route `{}`", request.uri().path());
        Err(Error::new(ErrorKind::NotFound, message))
    }
}

/// An upstream's refusal: its own answer, to be passed on as it is.
pub fn refusal(answer: Response<Bytes>) -> Error {
    let status = answer.status();
    let message = format!("the upstream answered {}", status.as_u16());
    let should_retry = match answer.headers().get(SHOULD_RETRY).map(HeaderValue::as_bytes) {
        Some(b"true") => Some(true),
        Some(b"false") => Some(false),
        _ => None,
    };
    let origin = UpstreamOrigin {
        status: Some(status),
        retry_after: headers::retry_after(answer.headers()),
        should_retry,
        is_callers_bound: false,
        answer: Some(Box::new(answer)),
    };
    let error = Error::new(ErrorKind::of_status(status), message);
    error.with_origin(Origin::Upstream(Box::new(origin)))
}
