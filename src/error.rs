//! What can go wrong with a request (`Error`) and with a configuration (`Problem`).
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

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
    /// To the caller: which field, what was found, what would do. Never a secret.
    pub message: String,
    /// Advice for whoever might try again.
    pub retry: Retry,
    /// Another status than the kind's own (a policy's `deny(451, …)`).
    pub status: Option<StatusCode>,
    /// `error.details.error_code`, where the API has one that clients act on.
    pub code: Option<&'static str>,
    /// Who was asked before it came to this; `None` if nobody was.
    pub tried: Option<Box<Tried>>,
    /// The upstream's own answer, passed on as it is.
    pub upstream: Option<Box<http::Response<Bytes>>>,
    /// Headers of the answer to set, or (without a value) to take out, as stages want it.
    pub headers: Vec<(HeaderName, Option<HeaderValue>)>,
    /// To the log only.
    pub source: Option<BoxError>,
}

/// The attempt that an error came from.
#[derive(Debug, Clone)]
pub struct Tried {
    /// The model's name, as it was looked up in the config.
    pub model: String,
    /// `<provider>/<model>`.
    pub target: HeaderValue,
    /// How many times an upstream was asked.
    pub attempts: u32,
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
            tried: None,
            upstream: None,
            headers: Vec::new(),
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

    /// The same with other words for the log, where the message quotes what the caller wrote.
    pub fn with_log(self, text: impl Into<String>) -> Self {
        self.with_source(Logged(text.into()))
    }

    /// What the log says of it.
    pub fn logged(&self) -> &str {
        let own = self.source.as_ref().and_then(|source| source.downcast_ref::<Logged>());
        own.map_or(&self.message, |own| &own.0)
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
        match &self.upstream {
            Some(answer) => answer.status(),
            None => self.status.unwrap_or_else(|| self.kind.status()),
        }
    }
}

/// The words of an error for the log.
#[derive(Debug)]
struct Logged(String);

impl fmt::Display for Logged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Logged {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.as_str(), self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // the upstream's answer may hold anything: name only its status
        f.debug_struct("Error")
            .field("kind", &self.kind)
            .field("message", &self.message)
            .field("retry", &self.retry)
            .field("code", &self.code)
            .field("upstream", &self.upstream.as_ref().map(|answer| answer.status()))
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
