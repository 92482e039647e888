//! The interface to upstreams for the rest of the gateway: the trait, its settings, one attempt and
//! its timeouts.
//!
//! All code for the dialect of an upstream is in the folders below this one; `registry` lists them.
pub(crate) mod accepts;
mod anthropic;
mod arriving;
mod bedrock;
#[cfg(test)]
mod carried;
pub(crate) mod dropped;
mod fixed_headers;
mod foundry;
mod frames;
mod gemini;
mod http;
mod openai;
mod native;
pub(crate) mod registry;
mod signer;
pub(crate) mod simulator;
mod timed;
mod translate;
mod vertex;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, HeaderValue, Request, Response};
use async_trait::async_trait;
use bytes::Bytes;

use crate::catalogue::Catalogue;
use crate::catalogue::billing::Place;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Origin, Problem, Result, UpstreamOrigin};
use crate::net::body::Body;
use crate::net::client::{Client, Connections, Sending};
use crate::net::egress::collector::{Collector, Fetched};
use crate::net::headers::{self, Forwards, SHOULD_RETRY};
use crate::net::http1::Awaits;
use crate::providers::accepts::Accepts;
use crate::providers::dropped::Dropped;
use crate::wire::{MessagesRequest, Reply};

/// The settings of one provider; each type has its own.
pub(crate) trait Settings: fmt::Debug + Send + Sync {
    /// Makes the provider. `path` is its place in the config, and problems name the keys below it.
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

/// The parts for building a provider.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// The client, which keeps the connections and outlives generations.
    pub client: &'a Client,
    /// The folder of the config: paths in settings are relative to it.
    pub base_dir: &'a Path,
    /// The table of models.
    pub catalogue: &'a Arc<Catalogue>,
    /// The part that fetches the URLs of requests; `None` if the config has none fetched.
    pub collector: Option<&'a Collector>,
}

/// The credential that an upstream receives.
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
    /// The caller's own `Authorization`, if the caller authenticated by `x-tidegate-key`.
    Caller,
}

/// The time limits of one attempt.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// The time until the connection is open, TLS included.
    pub connect: Duration,
    /// The time from sending the request to the first event of a stream.
    pub first_event: Duration,
    /// The time between two events.
    pub idle: Duration,
    /// The time of the whole attempt.
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

/// One attempt at one target. The request already has the upstream's model name.
#[derive(Debug)]
pub struct Attempt {
    /// The request to send.
    pub request: MessagesRequest,
    /// The model's name that the caller requested; a translated answer has it.
    pub asked_model: String,
    /// The caller's headers after the stages, without the provider's own; `None` if they are
    /// unchanged.
    pub headers: Option<HeaderMap>,
    /// The time limits.
    pub timeouts: Timeouts,
    /// The connections that it may use.
    pub connections: Connections,
    /// The form of a block whose URL a native upstream does not take and the gateway could not fetch.
    pub unfetched: Unfetched,
}

/// The form of a block whose URL a native upstream does not take and the gateway could not fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfetched {
    /// A visible line, and the block is named as dropped.
    Line,
    /// The block as it is: the upstream decides about it.
    Unchanged,
}

impl Attempt {
    /// Returns the way in which the attempt is sent.
    pub fn sending(&self, awaits: Awaits) -> Sending {
        let (connect, connections) = (self.timeouts.connect, self.connections);
        Sending { awaits, connect, connections }
    }

    /// Returns the caller's headers that are sent.
    pub fn headers(&self, ctx: &Context, forwards: &Forwards) -> HeaderMap {
        match &self.headers {
            Some(edited) => edited.clone(),
            None => headers::for_attempt(&ctx.headers, forwards),
        }
    }
}

/// An upstream's successful answer, and the parts of the request that it did not receive.
pub struct Answer {
    /// The answer.
    pub reply: Reply,
    /// The parts that have no counterpart at the upstream.
    pub dropped: Vec<Dropped>,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self { reply, dropped: Vec::new() }
    }
}

/// An upstream. This trait is for the dialects that Tidegate ships; users extend it by scripts and
/// wasm.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Returns the part of the Messages API that the upstream understands.
    fn accepts(&self) -> &Accepts;

    /// Returns the name that the table of models has for the vendor of the upstream's models, such as `openai`; `None` if
    /// they may be anybody's.
    fn family(&self) -> Option<&str> {
        None
    }

    /// Returns the place where the upstream runs a model, which may change its price.
    fn place(&self, _model: &str) -> Place {
        Place::Global
    }

    /// Returns the upstream's name in OpenTelemetry's GenAI conventions (`gen_ai.provider.name`), such as
    /// `aws.bedrock`.
    fn genai_name(&self) -> &str;

    /// Returns whether the upstream counts the tokens of a model. If not, the gateway estimates them.
    fn counts(&self, _model: &str) -> bool {
        true
    }

    /// Returns the kind of credential that the upstream receives.
    fn credentials(&self) -> Credentials {
        Credentials::Own
    }

    /// Returns the caller's headers that the upstream receives beside the usual ones.
    fn forwards(&self) -> &Forwards {
        &headers::NO_FORWARDS
    }

    /// Returns the parts of a request that the upstream would not receive with these contents of URLs, beside
    /// those that [`Provider::accepts`] names.
    fn losses(&self, _request: &MessagesRequest, _fetched: &Fetched) -> Vec<Dropped> {
        Vec::new()
    }

    /// Returns whether [`Provider::fetch`] may do something.
    fn fetches(&self) -> bool {
        false
    }

    /// Fetches the URLs of a request whose content the upstream has to receive, into `ctx.media`. A URL that cannot be
    /// fetched has a reason there.
    async fn fetch(&self, _ctx: &Context, _request: &MessagesRequest, _time: Duration) {}

    /// Sends one attempt. `Ok` is a success status, with a stream of events exactly if
    /// `request.is_stream()`. The kind and the retry advice of an `Err` define whether another
    /// target may be tried. An `Err` carries the upstream's own response if there was one.
    async fn send(&self, ctx: &Context, attempt: Attempt) -> Result<Answer>;

    /// Forwards a request to a route that the gateway does not know. Body and response pass
    /// unchanged.
    async fn forward(&self, _ctx: &Context, request: Request<Body>) -> Result<Response<Body>> {
        let message = format!("this provider has no route `{}`", request.uri().path());
        Err(Error::new(ErrorKind::NotFound, message))
    }
}

/// Makes the error for an upstream's rejection. The upstream's own response is passed on unchanged.
pub(crate) fn refusal(answer: Response<Bytes>) -> Error {
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
        answer: Some(Box::new(answer)),
        ..UpstreamOrigin::default()
    };
    let error = Error::new(ErrorKind::of_status(status), message);
    error.with_origin(Origin::Upstream(Box::new(origin)))
}
