//! The facts of one exchange, known before the first stage runs; no services.
use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;

pub use crate::auth::Caller;
use crate::error::Secret;
use crate::limits::Admission;
use crate::net::egress::collector::Collection;
use crate::telemetry::story::Story;

/// The facts that every part of a request's path may read.
#[derive(Debug)]
pub struct Context {
    /// `req_…`; the client's `request-id` if the gateway itself responds.
    pub request_id: String,
    /// The time at which the head of the request had been read.
    pub started: Instant,
    /// The client.
    pub caller: Arc<Caller>,
    /// The client's headers, without credentials and hop-by-hop headers.
    pub headers: HeaderMap,
    /// The query string, without `?`.
    pub query: Option<String>,
    /// The client's own `Authorization`, if it authenticated with `x-tidegate-key`.
    pub credential: Option<Secret>,
    /// The key that keeps a conversation on one upstream: `x-claude-code-session-id`, else
    /// `metadata.user_id`, else the key's name.
    pub session: String,
    /// The model that the client requested, before any stage; empty if the body is unreadable.
    pub model: String,
    /// The contents of the URLs that the exchange has fetched so far.
    pub media: Arc<Collection>,
    /// The record of the exchange; every part of the gateway writes to it.
    pub story: Arc<Story>,
    /// The reservation of limits and budgets; `None` if the request needs none.
    pub admission: Option<Arc<Admission>>,
}
