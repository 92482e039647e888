//! Errors of a request (`Error`) and problems of a configuration (`Problem`).
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

/// Any error that goes only to the log.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// The result of a function on the path of a request.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One variant per `error.type` of the Messages API that the gateway itself produces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// 400: the body, a field, a tool declaration, or a policy's `deny`.
    InvalidRequest,
    /// 401: a missing, unknown or expired credential.
    Authentication,
    /// 403: the client may not use the model or tool.
    Permission,
    /// 404: unknown alias or route.
    NotFound,
    /// 408: the client sent its request too slowly.
    RequestTimeout,
    /// 413: the body is over its limit.
    RequestTooLarge,
    /// 429: a limit (per time) was reached.
    RateLimit,
    /// 429: a budget was used up.
    Billing,
    /// 500: a stage that fails closed failed.
    Api,
    /// 501: the upstream does not support the request.
    NotSupported,
    /// 502: the upstream cannot be reached, or its response is invalid.
    BadUpstream,
    /// 504: the upstream is too slow.
    Timeout,
    /// 503: every target is cooling down, or the gateway is at its limit.
    Overloaded,
}

impl ErrorKind {
    /// Returns the value of `error.type` on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request_error",
            Self::Authentication => "authentication_error",
            Self::Permission => "permission_error",
            Self::NotFound => "not_found_error",
            Self::RequestTooLarge => "request_too_large",
            Self::RateLimit => "rate_limit_error",
            Self::Billing => "billing_error",
            Self::Api | Self::BadUpstream => "api_error",
            Self::NotSupported => "not_supported",
            Self::Timeout | Self::RequestTimeout => "timeout_error",
            Self::Overloaded => "overloaded_error",
        }
    }

    /// Returns the kind of an error with this status, chosen by an upstream, a policy or a plugin.
    pub fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            401 => Self::Authentication,
            403 => Self::Permission,
            404 => Self::NotFound,
            408 | 504 => Self::Timeout,
            413 => Self::RequestTooLarge,
            429 => Self::RateLimit,
            503 | 529 => Self::Overloaded,
            400..500 => Self::InvalidRequest,
            _ => Self::Api,
        }
    }

    /// Returns the status of the gateway's response.
    pub fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::Authentication => StatusCode::UNAUTHORIZED,
            Self::Permission => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RateLimit | Self::Billing => StatusCode::TOO_MANY_REQUESTS,
            Self::Api => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotSupported => StatusCode::NOT_IMPLEMENTED,
            Self::BadUpstream => StatusCode::BAD_GATEWAY,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Advice to a client, or to the next attempt, about retrying after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// A retry will fail again: `x-should-retry: false` if clients would retry otherwise.
    Never,
    /// A retry may succeed at once.
    Now,
    /// A retry may succeed after this time: `retry-after`.
    After(Duration),
    /// A retry fails for this time, which is too long for a client to wait: `retry-after`, and `x-should-retry: false`.
    NotWithin(Duration),
}

/// An error on the path of one request.
pub struct Error {
    /// The kind; decides on status and `error.type`.
    pub kind: ErrorKind,
    /// The message for the client: the field, the value found, the value expected. Never a secret.
    pub message: String,
    /// The advice about retries.
    pub retry: Retry,
    /// A status other than the kind's own (a policy's `deny(451, …)`).
    pub status: Option<StatusCode>,
    /// `error.details.error_code`, if the API has one that clients act on.
    pub code: Option<&'static str>,
    /// The origin of the error.
    pub origin: Origin,
    /// A different message for the log, if `message` quotes the client.
    pub log: Option<Box<str>>,
    /// Whether the log already has the cause: it is not logged again.
    pub is_logged: bool,
    /// The cause, for the log only.
    pub source: Option<BoxError>,
}

/// The origin of an error. Retries and the health of a target depend on it.
#[derive(Debug, Clone)]
pub enum Origin {
    /// The request, or a limit that the request sets.
    Caller,
    /// The gateway: its config, its limits, or an internal fault.
    Gateway,
    /// A stage of the pipeline.
    Stage(StageOrigin),
    /// An upstream, or the connection to it.
    Upstream(Box<UpstreamOrigin>),
}

/// The stage that caused an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageOrigin {
    /// The stage's name in the pipeline.
    pub name: Arc<str>,
    /// The extent of the error.
    pub scope: Scope,
    /// Whether the stage decided to refuse, or failed.
    pub act: Act,
}

/// The extent of a stage's error: the part of the work that it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The whole exchange ends.
    Exchange,
    /// The attempt at one target ends: the next target is tried.
    Target,
}

/// The way in which a stage caused an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// The stage refused.
    Decided,
    /// The stage failed, and the operator configured that this ends the request.
    Failed,
}

/// The upstream's part in an error.
#[derive(Clone, Default)]
pub struct UpstreamOrigin {
    /// The status of the upstream's response; `None` if it sent none.
    pub status: Option<StatusCode>,
    /// The wait that the upstream asks for.
    pub retry_after: Option<Duration>,
    /// The upstream's `x-should-retry`.
    pub should_retry: Option<bool>,
    /// Whether the attempt ended at a limit set by the request, so that the target is not at fault.
    pub is_callers_bound: bool,
    /// Whether the upstream has certainly not processed the request.
    pub is_unprocessed: bool,
    /// Whether the body of `answer` was left out: the message says why, and the client receives the message.
    pub lacks_body: bool,
    /// The upstream's response, forwarded as it is.
    pub answer: Option<Box<http::Response<Bytes>>>,
}

impl fmt::Debug for UpstreamOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // the response may hold secrets
        f.debug_struct("UpstreamOrigin")
            .field("status", &self.status)
            .field("retry_after", &self.retry_after)
            .field("should_retry", &self.should_retry)
            .field("is_callers_bound", &self.is_callers_bound)
            .field("is_unprocessed", &self.is_unprocessed)
            .finish_non_exhaustive()
    }
}

impl Origin {
    /// Returns the usual origin of errors of a kind.
    fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidRequest
            | ErrorKind::Authentication
            | ErrorKind::Permission
            | ErrorKind::NotFound
            | ErrorKind::RequestTimeout
            | ErrorKind::RequestTooLarge => Self::Caller,
            ErrorKind::RateLimit
            | ErrorKind::Billing
            | ErrorKind::Api
            | ErrorKind::NotSupported
            | ErrorKind::Overloaded => Self::Gateway,
            ErrorKind::BadUpstream | ErrorKind::Timeout => Self::Upstream(Box::default()),
        }
    }
}

impl Error {
    /// Returns an error with the usual retry advice of its kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let retry = match kind {
            ErrorKind::RateLimit
            | ErrorKind::Api
            | ErrorKind::BadUpstream
            | ErrorKind::Timeout
            | ErrorKind::RequestTimeout
            | ErrorKind::Overloaded => Retry::Now,
            _ => Retry::Never,
        };
        Self {
            kind,
            message: message.into(),
            retry,
            status: None,
            code: None,
            origin: Origin::of(kind),
            log: None,
            is_logged: false,
            source: None,
        }
    }

    /// Returns a 400.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidRequest, message)
    }

    /// Adds a cause for the log.
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Returns the refusal of a stage.
    pub fn denied(stage: &Arc<str>, status: StatusCode, message: impl Into<String>) -> Self {
        let error = Self::new(ErrorKind::of_status(status), message);
        Self { status: Some(status), ..error.by_stage(stage, Scope::Exchange, Act::Decided) }
    }

    /// Returns a stage's refusal of one target; the next target is tried.
    pub fn passed_over(stage: &Arc<str>, why: &str) -> Self {
        Self::invalid(why).by_stage(stage, Scope::Target, Act::Decided)
    }

    /// Sets a stage as the origin.
    pub fn by_stage(mut self, stage: &Arc<str>, scope: Scope, act: Act) -> Self {
        self.origin = Origin::Stage(StageOrigin { name: Arc::clone(stage), scope, act });
        self
    }

    /// Sets the origin.
    pub fn with_origin(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    /// Sets a different message for the log, if `message` quotes the client.
    pub fn with_log(mut self, text: impl Into<String>) -> Self {
        self.log = Some(text.into().into());
        self
    }

    /// Returns the message for the log.
    pub fn logged(&self) -> &str {
        self.log.as_deref().unwrap_or(&self.message)
    }

    /// Returns the stage that refused or failed.
    pub fn stage(&self) -> Option<&StageOrigin> {
        match &self.origin {
            Origin::Stage(stage) => Some(stage),
            _ => None,
        }
    }

    /// Returns the upstream's part in the error.
    pub fn upstream(&self) -> Option<&UpstreamOrigin> {
        match &self.origin {
            Origin::Upstream(upstream) => Some(upstream),
            _ => None,
        }
    }

    /// Returns the upstream's own response.
    pub fn answer(&self) -> Option<&http::Response<Bytes>> {
        self.upstream()?.answer.as_deref()
    }

    /// Returns the upstream's own response for edits.
    pub fn answer_mut(&mut self) -> Option<&mut http::Response<Bytes>> {
        match &mut self.origin {
            Origin::Upstream(upstream) => upstream.answer.as_deref_mut(),
            _ => None,
        }
    }

    /// Sets the retry advice.
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Sets `error.details.error_code`.
    pub fn with_code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// Returns the status that the client receives.
    pub fn status(&self) -> StatusCode {
        let upstream = self.upstream().and_then(|upstream| upstream.status);
        upstream.or(self.status).unwrap_or_else(|| self.kind.status())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.as_str(), self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind)
            .field("message", &self.message)
            .field("retry", &self.retry)
            .field("code", &self.code)
            .field("origin", &self.origin)
            .field("source", &self.source)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// A mistake in the configuration, a policy or a plugin, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The path: `models.fast.targets[0].provider`, `policies/x.rhai:3:7`, `plugins/x.wasm`.
    pub path: String,
    /// The value found and the values expected.
    pub message: String,
}

impl Problem {
    /// Returns a problem at a path.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

/// A value that never appears in a log, a debug print or an error.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// Returns the value, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns whether the value is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> serde::Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

impl serde::Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.is_empty() { "" } else { "***" })
    }
}

#[cfg(test)]
mod tests;
