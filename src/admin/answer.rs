//! `Answer`: the success of an admin route, and the response that every answer of the listener becomes.
use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, REFERRER_POLICY,
    RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::admin::failure::Failure;
use crate::admin::tag::Tag;
use crate::net::body::Body;

/// The answer of a route.
pub(crate) struct Answer {
    /// The response.
    pub(crate) response: Response<Body>,
    /// The row of the audit table; only for writes.
    pub(crate) audit: Note,
    /// Whether the gateway stops as soon as the write is recorded.
    pub(super) stops: bool,
}

/// The part of an audit row that only the route knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Note {
    /// The object that was written, such as the id of a key.
    pub(crate) object: String,
    /// The values before and after, without secrets.
    pub(crate) detail: Option<String>,
    /// Whether the route has written the row itself, in the transaction of its change.
    pub(crate) is_written: bool,
}

impl Answer {
    /// Returns a 200 with a JSON body.
    pub(crate) fn json(body: &impl Serialize) -> Result<Self, Failure> {
        Self::with(StatusCode::OK, body)
    }

    /// Returns an answer with a JSON body.
    pub(crate) fn with(status: StatusCode, body: &impl Serialize) -> Result<Self, Failure> {
        let text = serde_json::to_vec(body).map_err(|e| {
            tracing::error!(error = %e, "an answer of the admin API cannot be written as JSON");
            Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the answer cannot be written as JSON")
        })?;
        Ok(Self::of("application/json", Bytes::from(text)).status(status))
    }

    /// Returns a 200 with this body.
    pub(crate) fn of(media_type: &'static str, body: impl Into<Body>) -> Self {
        let mut response = Response::new(body.into());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        Self { response, audit: Note::default(), stops: false }
    }

    /// Returns an answer that is a response.
    pub(crate) fn from(response: Response<Body>) -> Self {
        Self { response, audit: Note::default(), stops: false }
    }

    /// Returns an answer without a body.
    pub(crate) fn empty() -> Self {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Self { response, audit: Note::default(), stops: false }
    }

    /// Sets the status.
    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        *self.response.status_mut() = status;
        self
    }

    /// Adds `etag`.
    pub(crate) fn tagged(mut self, tag: &Tag) -> Self {
        self.response.headers_mut().insert(ETAG, tag.header());
        self
    }

    /// Names the object of a write, for the audit table.
    pub(crate) fn about(mut self, object: impl Into<String>) -> Self {
        self.audit.object = object.into();
        self
    }

    /// Notes that the route has written the row of the audit table itself.
    pub(crate) fn recorded(mut self) -> Self {
        self.audit.is_written = true;
        self
    }

    /// Makes the gateway stop as soon as the write is recorded.
    pub(super) fn and_stop(self) -> Self {
        Self { stops: true, ..self }
    }

    /// Describes a write for the audit table: the values before and after, without secrets.
    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.audit.detail = Some(detail.into());
        self
    }
}

/// Returns the response of an error.
pub(super) fn failed(failure: &Failure) -> Response<Body> {
    // texts can always be written
    let text = serde_json::to_vec(&failure.body).unwrap_or_default();
    let mut response = Answer::of("application/json", Bytes::from(text)).response;
    *response.status_mut() = failure.status;
    let headers = response.headers_mut();
    if let Some(wait) = failure.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
    }
    if let Some(allowed) = failure.allowed.as_deref().and_then(|it| HeaderValue::from_str(it).ok())
    {
        headers.insert(ALLOW, allowed);
    }
    response
}

/// Adds the headers of every answer of the listener: nothing may be stored, framed, taken for a page or loaded by
/// another site, unless the route says something else.
pub(super) fn harden(headers: &mut HeaderMap) {
    const COMMON: [(HeaderName, &str); 6] = [
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in COMMON {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}
