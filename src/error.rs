//! What can go wrong with a request (`Error`) and with a configuration (`Problem`).
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

/// Any error that only the log sees.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// The result of everything on the path of a request.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One variant per `error.type` of the Messages API that the gateway itself makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// 400: the body, a field, a tool declaration, or a policy's `deny`.
    InvalidRequest,
    /// 401: no, unknown or expired credential.
    Authentication,
    /// 403: the model or tool is not allowed to this caller.
    Permission,
    /// 404: no such alias or route.
    NotFound,
    /// 408: the caller was too slow to send its request.
    RequestTimeout,
    /// 413: the body is over its limit.
    RequestTooLarge,
    /// 429: a limit per time.
    RateLimit,
    /// 429: a budget.
    Billing,
    /// 500: a stage that fails closed broke.
    Api,
    /// 501: the upstream has no such thing.
    NotSupported,
    /// 502: the upstream cannot be reached or answers nonsense.
    BadUpstream,
    /// 504: the upstream is too slow.
    Timeout,
    /// 503: every target is cooling down, or the gateway is full.
    Overloaded,
}

impl ErrorKind {
    /// The value of `error.type` on the wire.
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

    /// The kind that an error of this status is of, whoever chose it: an upstream, a policy, a plugin.
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

    /// The status the gateway answers with.
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

/// What a caller, or the next attempt, should do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It will fail again: `x-should-retry: false` where clients would try otherwise.
    Never,
    /// Another try may work at once.
    Now,
    /// Another try may work after this long: `retry-after`.
    After(Duration),
}

/// An error on the path of one request.
pub struct Error {
    /// Decides status and `error.type`.
    pub kind: ErrorKind,
    /// To the caller: the field, the value that was found, the value that was expected. Never a secret.
    pub message: String,
    /// Advice for another try.
    pub retry: Retry,
    /// Another status than the kind's own (a policy's `deny(451, …)`).
    pub status: Option<StatusCode>,
    /// `error.details.error_code`, where the API has one that clients act on.
    pub code: Option<&'static str>,
    /// Where it comes from.
    pub origin: Origin,
    /// Other words for the log, where the message quotes the caller.
    pub log: Option<Box<str>>,
    /// The log has the cause already: it is not logged again.
    pub is_logged: bool,
    /// The cause, for the log only.
    pub source: Option<BoxError>,
}

/// Where an error comes from. Another try, and the health of a target, depend on it.
#[derive(Debug, Clone)]
pub enum Origin {
    /// The request, or a bound that it sets itself.
    Caller,
    /// The gateway: its config, its own limits, a fault of its own.
    Gateway,
    /// A stage of the pipeline.
    Stage(StageOrigin),
    /// An upstream, or the way to it.
    Upstream(Box<UpstreamOrigin>),
}

/// The stage that an error comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageOrigin {
    /// The stage's name in the pipeline.
    pub name: Arc<str>,
    /// What the error ends.
    pub scope: Scope,
    /// Whether the stage decided it, or failed.
    pub act: Act,
}

/// What an error of a stage ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The exchange.
    Exchange,
    /// The try of one target: the next target is tried.
    Target,
}

/// How a stage made an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// It refused.
    Decided,
    /// It failed, and its operator wants that to end the request.
    Failed,
}

/// The upstream's part in an error.
#[derive(Clone, Default)]
pub struct UpstreamOrigin {
    /// The status of its answer; `None` if it gave none.
    pub status: Option<StatusCode>,
    /// How long it asks to be left alone.
    pub retry_after: Option<Duration>,
    /// Its `x-should-retry`.
    pub should_retry: Option<bool>,
    /// The attempt ended at a bound that the request set itself, so the target is not at fault.
    pub is_callers_bound: bool,
    /// Its answer, passed on as it is.
    pub answer: Option<Box<http::Response<Bytes>>>,
}

impl fmt::Debug for UpstreamOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // the answer may hold anything
        f.debug_struct("UpstreamOrigin")
            .field("status", &self.status)
            .field("retry_after", &self.retry_after)
            .field("should_retry", &self.should_retry)
            .field("is_callers_bound", &self.is_callers_bound)
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
    /// An error with the retry advice that its kind usually has.
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

    /// A 400.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidRequest, message)
    }

    /// The same with a cause for the log.
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Makes the refusal of a stage.
    pub fn denied(stage: &Arc<str>, status: StatusCode, message: impl Into<String>) -> Self {
        let error = Self::new(ErrorKind::of_status(status), message);
        Self { status: Some(status), ..error.by_stage(stage, Scope::Exchange, Act::Decided) }
    }

    /// Makes the refusal of one target by a stage; the next target is tried.
    pub fn passed_over(stage: &Arc<str>, why: &str) -> Self {
        Self::invalid(why).by_stage(stage, Scope::Target, Act::Decided)
    }

    /// The same with a stage as its origin.
    pub fn by_stage(mut self, stage: &Arc<str>, scope: Scope, act: Act) -> Self {
        self.origin = Origin::Stage(StageOrigin { name: Arc::clone(stage), scope, act });
        self
    }

    /// The same with another origin.
    pub fn with_origin(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    /// The same with other words for the log, where the message quotes the caller.
    pub fn with_log(mut self, text: impl Into<String>) -> Self {
        self.log = Some(text.into().into());
        self
    }

    /// Returns the words for the log.
    pub fn logged(&self) -> &str {
        self.log.as_deref().unwrap_or(&self.message)
    }

    /// Returns the stage that decided it or failed.
    pub fn stage(&self) -> Option<&StageOrigin> {
        match &self.origin {
            Origin::Stage(stage) => Some(stage),
            _ => None,
        }
    }

    /// Returns the upstream's part in it.
    pub fn upstream(&self) -> Option<&UpstreamOrigin> {
        match &self.origin {
            Origin::Upstream(upstream) => Some(upstream),
            _ => None,
        }
    }

    /// Returns the upstream's own answer.
    pub fn answer(&self) -> Option<&http::Response<Bytes>> {
        self.upstream()?.answer.as_deref()
    }

    /// Returns the upstream's own answer, to be edited.
    pub fn answer_mut(&mut self) -> Option<&mut http::Response<Bytes>> {
        match &mut self.origin {
            Origin::Upstream(upstream) => upstream.answer.as_deref_mut(),
            _ => None,
        }
    }

    /// The same with other retry advice.
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// The same with `error.details.error_code`.
    pub fn with_code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// The status that the caller sees.
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

/// Something wrong in the configuration, a policy or a plugin, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `models.fast.targets[0].provider`, `policies/x.rhai:3:7`, `plugins/x.wasm`.
    pub path: String,
    /// What was found and what would do.
    pub message: String,
}

impl Problem {
    /// A problem at a path.
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

/// A value that never shows itself in a log, a debug print or an error.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Hides a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Nothing was given.
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
