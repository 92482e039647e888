//! The providers: everything that knows how an upstream speaks lives below this folder.
pub mod anthropic;
pub mod frames;
pub mod simulator;
pub mod unsupported;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};

use crate::context::Context;
use crate::error::{Error, ErrorKind, Origin, Problem, Result, Secret, UpstreamOrigin};
use crate::net::body::Body;
use crate::net::client::Client;
use crate::net::headers::{self, SHOULD_RETRY};
use crate::providers::anthropic::Anthropic;
use crate::providers::simulator::Simulator;
use crate::providers::unsupported::Unsupported;
use crate::wire::{MessagesRequest, Reply};

/// An entry of `providers:`.
#[derive(Debug, Clone, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Config {
    /// The Messages API itself, or an upstream that speaks it.
    Anthropic {
        /// Sent as `x-api-key`; none with `credentials: caller`.
        #[serde(default)]
        #[schemars(with = "String")]
        api_key: Secret,
        /// Without `/v1`.
        #[serde(default = "default_base_url")]
        base_url: String,
        /// Whose credential the upstream gets.
        #[serde(default)]
        credentials: Credentials,
        /// PEM: the authorities that may sign the upstream's certificate; the system's if left out.
        ca_file: Option<PathBuf>,
        /// It takes what the gateway searched and fetched as blocks that can be cited (`search_result`,
        /// `document`), and cites them. If left out, only the API's own host is thought to: others may
        /// ignore such a block, and with it the result.
        citations: Option<bool>,
        /// What of the Messages API it does not understand, whatever the target; targets add to it.
        #[serde(default)]
        unsupported: Vec<String>,
    },
    /// The built-in simulator (docs/simulator.md).
    Simulator {
        /// Between two events of a stream, unless the request says so itself.
        #[serde(default, with = "crate::wire::duration")]
        #[schemars(with = "String")]
        pace: Duration,
        /// What of the Messages API it is to count as not understanding.
        #[serde(default)]
        unsupported: Vec<String>,
    },
}

impl Config {
    /// Makes the provider; `name` is what the config calls it.
    pub fn build(&self, name: &str, client: &Client) -> Result<Arc<dyn Provider>, Vec<Problem>> {
        let path = format!("providers.{name}");
        Ok(match self {
            Self::Anthropic { api_key, base_url, credentials, ca_file, citations, unsupported } => {
                let lacks = lacking(&path, unsupported);
                let credentials = *credentials;
                let ca_file = ca_file.as_deref();
                let settings = anthropic::Settings {
                    api_key,
                    base_url,
                    credentials,
                    ca_file,
                    cites: *citations,
                };
                match (Anthropic::build(&path, settings, client), lacks) {
                    (Ok(provider), Ok(lacks)) => Arc::new(provider.lacking(lacks)),
                    (built, lacks) => {
                        let problems = [built.err(), lacks.err().map(|problem| vec![problem])];
                        return Err(problems.into_iter().flatten().flatten().collect());
                    }
                }
            }
            Self::Simulator { pace, unsupported } => {
                let lacks = lacking(&path, unsupported).map_err(|problem| vec![problem])?;
                Arc::new(Simulator::new(*pace).lacking(lacks))
            }
        })
    }
}

fn lacking(path: &str, names: &[String]) -> Result<Unsupported, Problem> {
    Unsupported::default()
        .with(names)
        .map_err(|(n, message)| Problem::new(format!("{path}.unsupported[{n}]"), message))
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

fn default_base_url() -> String {
    "https://api.anthropic.com".to_owned()
}

/// What an upstream understands beyond the core of the Messages API.
#[derive(Debug, Clone, Default)]
pub struct Accepts {
    /// Everything the API has passes as it is.
    pub is_native: bool,
    /// It runs the API's own server tools itself.
    pub has_server_tools: bool,
    /// Results of tools may be blocks that can be cited.
    pub cites: bool,
    /// What the operator knows it to lack.
    pub unsupported: Unsupported,
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
